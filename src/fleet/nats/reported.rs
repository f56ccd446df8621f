//! What was reported already, so that a fault that lasts fills no log.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// How often the same is reported.
const REPEAT_INTERVAL: Duration = Duration::from_secs(60);

/// So many texts are remembered; a server that sends ever new ones is reported no further.
const MAX_TEXTS: usize = 64;

/// When each text was reported last.
#[derive(Debug, Default)]
pub(super) struct Reported(HashMap<String, Instant>);

impl Reported {
    /// Whether a text is to be reported now: it was not in the last minute.
    pub(super) fn is_news(&mut self, text: &str, now: Instant) -> bool {
        self.0
            .retain(|_, at| now.duration_since(*at) < REPEAT_INTERVAL);
        let is_news = self.0.len() < MAX_TEXTS && !self.0.contains_key(text);
        if is_news {
            self.0.insert(text.to_owned(), now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_reported_once_a_minute() {
        let mut reported = Reported::default();
        let start = Instant::now();
        for (after, text, expected) in [
            (0, "a", true),
            (1, "a", false),
            (2, "b", true),
            (59, "a", false),
            (60, "a", true),
            (61, "a", false),
        ] {
            let now = start + Duration::from_secs(after);
            assert_eq!(
                reported.is_news(text, now),
                expected,
                "{text} after {after} s"
            );
        }
        for n in 0..1000 {
            reported.is_news(&n.to_string(), start);
        }
        assert_eq!(reported.0.len(), MAX_TEXTS);
    }
}
