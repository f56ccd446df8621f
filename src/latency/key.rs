//! `Key`: which clients a measurement is of.

use std::fmt;
use std::str::FromStr;

use crate::base::location::Continent;
use crate::base::location::Country;
use crate::base::location::Subdivision;
use crate::base::prefix::Prefix;

/// Which clients. The order puts a network before those inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Those of a continent, as `continent:EU`: some continents have the code of a country.
    Continent(Continent),
    /// Those of a country, as `DE`.
    Country(Country),
    /// Those of a subdivision, as `US-CA`.
    Subdivision(Subdivision),
    /// Those of an autonomous system, as `AS64500`.
    Asn(u32),
    /// Those of a network, as `192.0.2.0/24`.
    Network(Prefix),
}

/// What a key looks like.
pub const EXPECTED: &str = "a network such as `192.0.2.0/24`, an AS number such as `AS64500`, a subdivision such as \
     `US-CA`, a country such as `DE`, or `continent:EU`";

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continent(continent) => write!(f, "continent:{continent}"),
            Self::Country(country) => write!(f, "{country}"),
            Self::Subdivision(subdivision) => write!(f, "{subdivision}"),
            Self::Asn(asn) => write!(f, "AS{asn}"),
            Self::Network(network) => write!(f, "{network}"),
        }
    }
}

impl FromStr for Key {
    type Err = ();

    /// Reads a key; whether ISO assigns the code of a country is for the caller to check.
    fn from_str(text: &str) -> Result<Self, ()> {
        if text.contains(['.', '/']) || text.matches(':').count() > 1 {
            return text.parse().map(Self::Network).map_err(|_| ());
        }
        if let Some(code) = text.strip_prefix("continent:") {
            return code.parse().map(Self::Continent).map_err(|_| ());
        }
        if let Some(digits) = text.strip_prefix("AS")
            && digits.starts_with(|first: char| matches!(first, '1'..='9'))
        {
            return digits.parse().map(Self::Asn).map_err(|_| ());
        }
        match text.contains('-') {
            true => text.parse().map(Self::Subdivision),
            false => text.parse().map(Self::Country),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_they_are_read() {
        for text in [
            "192.0.2.0/24",
            "192.0.2.1/32",
            "2001:db8::/32",
            "::/0",
            "AS64500",
            "US-CA",
            "DE",
            "AS",
            "continent:AS",
        ] {
            let key: Key = text.parse().expect(text);
            assert_eq!(key.to_string(), text);
        }
        assert_eq!(
            "AS".parse::<Key>()
                .map(|key| matches!(key, Key::Country(_))),
            Ok(true)
        );
        for text in [
            "",
            "de",
            "DEU",
            "AS0",
            "AS4294967296",
            "US-",
            "192.0.2.1/24",
            "continent:XX",
            "192.0.2",
            "1::2::3",
        ] {
            assert_eq!(text.parse::<Key>(), Err(()), "{text}");
        }
    }

    #[test]
    fn outer_networks_come_first() {
        let key = |text: &str| text.parse::<Key>().expect(text);
        assert!(key("10.0.0.0/8") < key("10.0.0.0/16"));
        assert!(key("10.0.0.0/16") < key("10.0.1.0/24"));
        assert!(key("AS1") < key("0.0.0.0/0"));
    }
}
