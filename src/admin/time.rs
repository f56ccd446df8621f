//! Times as people read them.

use std::fmt;
use std::fmt::Display;

pub use crate::base::date::Utc;

/// A number of seconds by its two largest units.
pub struct Span(pub u64);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            s @ 0..60 => write!(f, "{s}s"),
            s @ 60..3600 => write!(f, "{}m {}s", s / 60, s % 60),
            s @ 3600..86_400 => write!(f, "{}h {}m", s / 3600, s / 60 % 60),
            s => write!(f, "{}d {}h", s / 86_400, s / 3600 % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m 1s"),
            (3_660, "1h 1m"),
            (90_000, "1d 1h"),
        ] {
            assert_eq!(Span(seconds).to_string(), text);
        }
    }
}
