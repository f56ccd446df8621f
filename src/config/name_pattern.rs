//! `NamePattern`: names that are alike, as `[[update]] names` lists them.

use std::str::FromStr;

use crate::base::name::Name;
use crate::base::name::NameError;

/// Names that are alike: labels, with any number of others, at least one, in place of a `*` at either
/// end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    labels: Name,
    any_before: bool,
    any_after: bool,
}

impl NamePattern {
    /// Whether a name is one of them.
    pub fn matches(&self, name: &Name) -> bool {
        let labels: Vec<&[u8]> = name.labels().collect();
        let wanted: Vec<&[u8]> = self.labels.labels().collect();
        let Some(n_others) = labels.len().checked_sub(wanted.len()) else {
            return false;
        };
        let is_here = |n_before: usize| {
            let is_allowed =
                self.any_before == (n_before > 0) && self.any_after == (n_before < n_others);
            let here = labels.iter().skip(n_before).zip(&wanted);
            is_allowed && here.into_iter().all(|(a, b)| a.eq_ignore_ascii_case(b))
        };
        (0..=n_others).any(is_here)
    }
}

impl FromStr for NamePattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = text.strip_suffix('.').unwrap_or(text);
        if plain == "*" {
            return Ok(Self {
                labels: Name::root(),
                any_before: true,
                any_after: false,
            });
        }
        let (any_before, plain) = match plain.strip_prefix("*.") {
            Some(plain) => (true, plain),
            None => (false, plain),
        };
        let (any_after, plain) = match plain.strip_suffix(".*") {
            Some(plain) => (true, plain),
            None => (false, plain),
        };
        let labels = Name::parse(plain)?;
        let is_within = labels.labels().any(|label| label == b"*");
        if is_within {
            return Err(NameError::EmptyLabel);
        }
        Ok(Self {
            labels,
            any_before,
            any_after,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Name {
        Name::parse(text).expect(text)
    }

    #[test]
    fn stars_stand_for_one_label_or_more_at_either_end() {
        for (pattern, inside, outside) in [
            (
                "host.example.com",
                &["host.example.com", "HOST.Example.com"][..],
                &["a.host.example.com", "example.com", "host.example.com.x"][..],
            ),
            (
                "*.apps.example.com",
                &[
                    "a.apps.example.com",
                    "a.b.apps.example.com",
                    "*.apps.example.com",
                ],
                &["apps.example.com", "a.example.com", "xapps.example.com"],
            ),
            (
                "_acme-challenge.*",
                &[
                    "_acme-challenge.example.com",
                    "_ACME-challenge.a.b.example.com",
                ],
                &[
                    "_acme-challenge",
                    "a._acme-challenge.example.com",
                    "www.example.com",
                ],
            ),
            (
                "*._tcp.*",
                &["_sip._tcp.example.com", "a._sip._tcp.com"],
                &["_tcp.example.com", "_sip._tcp", "_sip._udp.example.com"],
            ),
            ("*", &["com", "a.b.example.com"], &["."]),
        ] {
            let parsed: NamePattern = pattern.parse().expect(pattern);
            for name in inside {
                assert!(parsed.matches(&n(name)), "{pattern} {name}");
            }
            for name in outside {
                assert!(!parsed.matches(&n(name)), "{pattern} {name}");
            }
        }
        for pattern in ["", "a.*.b", "*.*", "*.*.b", "a..b", "."] {
            assert!(pattern.parse::<NamePattern>().is_err(), "{pattern}");
        }
    }
}
