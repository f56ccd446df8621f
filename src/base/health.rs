//! `Health`: what all evidence together says of an endpoint or a pool.
//!
//! It lives on floor 0 because steering and health judging both speak it and neither imports the
//! other.

use std::fmt;
use std::str::FromStr;

use crate::base::word;
use crate::base::word::UnknownWord;

/// The combined judgement about an endpoint, or about a pool in one address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// Never judged: no monitor, or no vantage has reported yet. Treated as up.
    #[default]
    Unknown,
    /// Able to serve.
    Up,
    /// Not able to serve.
    Down,
}

impl Health {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Unknown, Self::Up, Self::Down];

    /// Whether traffic may be sent there; unknown counts as up.
    pub fn is_usable(self) -> bool {
        self != Self::Down
    }

    /// Down if any is, up if all are; unknown for none.
    pub fn worst(all: impl IntoIterator<Item = Self>) -> Self {
        let worse = |one: Self, other: Self| match (one, other) {
            (Self::Down, _) | (_, Self::Down) => Self::Down,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Up, Self::Up) => Self::Up,
        };
        all.into_iter().reduce(worse).unwrap_or_default()
    }

    /// The word used in JSON, tables and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl FromStr for Health {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        word::parse(Self::ALL, Self::as_str, word)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
