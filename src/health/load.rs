//! `Load`: how busy an endpoint says it is, read from the response to a probe.
//!
//! A number is a ratio, `0.85`; with a percent sign it is a percentage, `85%`. More than 100 % is a fact of overload
//! and is taken, up to [`Load::MAX`]. `85` alone could be either: as a ratio it would shed nearly all clients of a
//! pool that is fine. A bare number above 10 is refused for that. What cannot be read is no load, never a zero: a
//! pool whose load is unknown must not look idle.

use std::fmt;

use serde_json::Value;

/// Where a response has the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadSource {
    /// A header, in lower case.
    Header(Box<str>),
    /// A value of the JSON body, by its pointer (RFC 6901).
    Json(Box<str>),
}

/// A utilisation, in ten-thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Load(u32);

/// Why a response has no load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLoad {
    /// It has no such header, or its body no such value.
    Missing,
    /// What is there is no load.
    Unreadable,
}

impl NoLoad {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Missing, Self::Unreadable];

    /// The metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
        }
    }
}

/// The longest text that is read as a load.
const MAX_LEN: usize = 32;

/// The largest bare number that is a ratio.
const MAX_RATIO: f64 = 10.0;

impl Load {
    /// 1000 %: what is more counts as this.
    pub const MAX: Self = Self(100_000);

    /// 1 at full utilisation.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// Reads `0.85` or `85%`.
    ///
    /// # Errors
    /// If it is neither, not finite, negative, or a bare number above 10.
    pub fn parse(text: &str) -> Result<Self, NoLoad> {
        let text = text.trim();
        let (number, divisor) = match text.strip_suffix('%') {
            Some(number) => (number.trim_end(), 100.0),
            None => (text, 1.0),
        };
        let is_short = text.len() <= MAX_LEN;
        let number = number.parse::<f64>().ok().filter(|_| is_short);
        let number = number.ok_or(NoLoad::Unreadable)?;
        match divisor {
            1.0 => Self::of_ratio(number),
            divisor => Self::of_number(number / divisor),
        }
    }

    /// The value at a pointer of a JSON text: a number, or a text as of a header.
    ///
    /// # Errors
    /// If the text is no JSON, has no such value, or that is no load.
    pub fn of_json(json: &[u8], pointer: &str) -> Result<Self, NoLoad> {
        let json: Value = serde_json::from_slice(json).map_err(|_| NoLoad::Unreadable)?;
        match json.pointer(pointer) {
            None | Some(Value::Null) => Err(NoLoad::Missing),
            Some(Value::String(text)) => Self::parse(text),
            Some(Value::Number(number)) => {
                Self::of_ratio(number.as_f64().ok_or(NoLoad::Unreadable)?)
            }
            Some(Value::Array(_) | Value::Bool(_) | Value::Object(_)) => Err(NoLoad::Unreadable),
        }
    }

    fn of_ratio(ratio: f64) -> Result<Self, NoLoad> {
        match ratio {
            _ if ratio > MAX_RATIO => Err(NoLoad::Unreadable),
            ratio => Self::of_number(ratio),
        }
    }

    fn of_number(ratio: f64) -> Result<Self, NoLoad> {
        if !ratio.is_finite() || ratio < 0.0 {
            return Err(NoLoad::Unreadable);
        }
        // A cast from floating point saturates.
        Ok(Self::from((ratio * 10_000.0).round() as u32))
    }
}

impl From<u32> for Load {
    fn from(ten_thousandths: u32) -> Self {
        Self(ten_thousandths).min(Self::MAX)
    }
}

impl From<Load> for u32 {
    fn from(load: Load) -> Self {
        load.0
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", (self.0 + 50) / 100)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::prop_assert;
    use proptest::proptest;

    use super::*;

    #[test]
    fn a_load_is_a_ratio_or_a_percentage() {
        for (text, expected) in [
            ("0.85", Some(8_500)),
            ("85%", Some(8_500)),
            (" 85 % ", Some(8_500)),
            ("84.996%", Some(8_500)),
            ("0", Some(0)),
            ("-0", Some(0)),
            ("1", Some(10_000)),
            ("1.2", Some(12_000)),
            ("10", Some(100_000)),
            ("250%", Some(25_000)),
            ("1e99%", Some(100_000)),
            ("5e-1", Some(5_000)),
            ("85", None),
            ("10.1", None),
            ("-0.1", None),
            ("-1%", None),
            ("NaN", None),
            ("inf", None),
            ("inf%", None),
            ("", None),
            ("%", None),
            ("0,85", None),
            ("0.85, 0.9", None),
            ("busy", None),
            ("0.000000000000000000000000000000085", None),
        ] {
            let expected = expected.map(Load).ok_or(NoLoad::Unreadable);
            assert_eq!(Load::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_json_body_has_it_at_a_pointer() {
        use NoLoad::Missing;
        use NoLoad::Unreadable;
        for (json, pointer, expected) in [
            (r#"{"load":0.85}"#, "/load", Ok(8_500)),
            (r#"{"load":"85%"}"#, "/load", Ok(8_500)),
            (r#"{"load":1}"#, "/load", Ok(10_000)),
            (r#"{"a":[{"b/c":0.5}]}"#, "/a/0/b~1c", Ok(5_000)),
            ("0.5", "", Ok(5_000)),
            (r#"{"load":85}"#, "/load", Err(Unreadable)),
            (r#"{"load":-1}"#, "/load", Err(Unreadable)),
            (r#"{"load":true}"#, "/load", Err(Unreadable)),
            (r#"{"load":{}}"#, "/load", Err(Unreadable)),
            (r#"{"load":null}"#, "/load", Err(Missing)),
            (r#"{"loads":1}"#, "/load", Err(Missing)),
            (r#"{"load":0.8"#, "/load", Err(Unreadable)),
            ("", "/load", Err(Unreadable)),
        ] {
            let found = Load::of_json(json.as_bytes(), pointer);
            assert_eq!(found, expected.map(Load), "{json} {pointer}");
        }
    }

    #[test]
    fn it_is_shown_in_percent() {
        assert_eq!(Load(9_349).to_string(), "93 %");
        assert_eq!(Load(9_350).to_string(), "94 %");
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_in_bounds(text in ".*", ratio in any::<f64>()) {
            let texts = [text, format!("{ratio}"), format!("{ratio}%")];
            let loads = texts.iter().filter_map(|text| Load::parse(text).ok());
            for load in loads {
                prop_assert!(load <= Load::MAX);
            }
        }
    }
}
