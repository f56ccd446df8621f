//! Times as people read them.

use std::fmt;
use std::fmt::Display;

use crate::base::date::Date;

/// A time in Unix seconds as in RFC 3339.
pub struct Utc(pub u64);

impl Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(at) = *self;
        let (day, second) = (Date::from_epoch(at), at % 86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{day}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

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
        assert_eq!(Utc(1_795_229_338).to_string(), "2026-11-21T02:48:58Z");
    }
}
