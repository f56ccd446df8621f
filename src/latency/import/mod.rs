//! Measurements of other programs' files: logs of web servers, beacons of browsers, results of measuring
//! platforms. Text in, [`Sample`]s out; [`aggregate`](crate::latency::aggregate) joins them.

use std::net::IpAddr;

use crate::latency::key::Key;

pub mod json;
pub mod log;

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// From whom.
    pub from: From,
    /// To which pool.
    pub to: To,
    /// Milliseconds.
    pub rtt_ms: f32,
    /// How many measurements it is the median of.
    pub n: u32,
    /// When, in seconds since 1970.
    pub measured: Option<u64>,
}

/// Where a measurement was made from.
#[derive(Clone, Debug, PartialEq)]
pub enum From {
    /// A client's address.
    Address(IpAddr),
    /// Clients that have no address in the file.
    Keys(Vec<Key>),
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub enum To {
    /// A pool by name.
    Pool(Box<str>),
    /// An endpoint.
    Address(IpAddr),
    /// What the file does not say.
    Unsaid,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines with `client=`, `rtt_us=` and the like.
    Log,
    /// JSON: one object a line, or a document.
    Json,
    /// A latency table.
    Csv,
}

impl Format {
    /// What a file with this first line seems to be.
    pub fn detect(line: &str) -> Option<Self> {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.starts_with(['{', '[']) {
            Some(Self::Json)
        } else if line.contains("rtt_us=") || line.contains("rtt_ms=") {
            Some(Self::Log)
        } else if line.split(',').any(|name| name.trim() == "rtt_ms") {
            Some(Self::Csv)
        } else {
            None
        }
    }
}

/// Reads the target of a measurement: an address, or a pool's name.
fn target(text: &str) -> To {
    match text.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => To::Address(address.to_canonical()),
        Err(_) => To::Pool(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_the_first_line() {
        for (line, expected) in [
            ("{\"client\":\"192.0.2.1\"}", Some(Format::Json)),
            ("  [", Some(Format::Json)),
            (
                "Nov 27 lb1 haproxy[1]: time=1 client=192.0.2.1 rtt_us=1",
                Some(Format::Log),
            ),
            ("key,pool,rtt_ms", Some(Format::Csv)),
            ("192.0.2.1 - - [27/Nov/2026] \"GET /\"", None),
            ("", None),
        ] {
            assert_eq!(Format::detect(line), expected, "{line}");
        }
    }
}
