//! What an MMDB file holds, for `meridian geoip info`.
//!
//! The whole file is verified before it is counted: a tree with a cycle or a pointer out of bounds
//! is an error here, never a hang. A record is decoded once however many networks have it.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fmt;

use maxminddb::MaxMindDbError;
use maxminddb::Metadata;
use maxminddb::Reader;
use maxminddb::path;

use crate::base::date::Date;
use crate::base::location::Country;
use crate::base::location::Point;
use crate::base::prefix::Family;
use crate::mmdb::country_db;

/// A database in figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Such as `GeoLite2-City`.
    pub database_type: String,
    /// The day it was built, in UTC.
    pub built: Date,
    /// What its maker says, in English if there is English; may be empty.
    pub description: String,
    /// Whom its licence asks to name, for the makers known here.
    pub attribution: Option<&'static str>,
    /// 4 or 6.
    pub ip_version: u16,
    /// Bits per half node: 24, 28 or 32.
    pub record_size: u16,
    /// Nodes of the tree.
    pub n_nodes: u32,
    /// Networks with a record, by [`Family::ix`]; aliases of the IPv4 tree are not counted.
    pub n_networks: [u64; 2],
    /// Distinct records.
    pub n_records: usize,
    /// Networks whose record has coordinates.
    pub n_with_coordinates: u64,
    /// Networks whose record has a country.
    pub n_with_country: u64,
    /// Countries seen.
    pub countries: BTreeSet<Country>,
}

/// Why a file is no database that can be used.
#[derive(Debug, thiserror::Error)]
#[error("not a sound MMDB file: {0}")]
pub struct Unsound(MaxMindDbError);

impl From<MaxMindDbError> for Unsound {
    fn from(error: MaxMindDbError) -> Self {
        Self(error)
    }
}

/// Reads and verifies a whole database; takes about a second per five million networks.
pub fn info(bytes: &[u8]) -> Result<Info, Unsound> {
    let reader = Reader::from_source(bytes)?;
    reader.verify()?;
    let mut info = Info::of_metadata(reader.metadata());
    let mut records: HashMap<usize, Facts> = HashMap::new();
    for found in reader.networks(maxminddb::WithinOptions::default())? {
        let found = found?;
        let Some(offset) = found.offset() else {
            continue;
        };
        let facts = match records.get(&offset) {
            Some(facts) => *facts,
            None => *records.entry(offset).or_insert(Facts {
                country: found
                    .decode_path::<&str>(&path!["country", "iso_code"])?
                    .and_then(|code| code.parse().ok()),
                has_coordinates: coordinates(&found)?.is_some(),
            }),
        };
        let family = if found.network()?.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        };
        info.n_networks[family.ix()] += 1;
        info.n_with_coordinates += u64::from(facts.has_coordinates);
        info.n_with_country += u64::from(facts.country.is_some());
        info.countries.extend(facts.country);
    }
    info.n_records = records.len();
    Ok(info)
}

/// What is counted of a record.
#[derive(Clone, Copy)]
struct Facts {
    country: Option<Country>,
    has_coordinates: bool,
}

fn coordinates(
    found: &maxminddb::LookupResult<'_, &[u8]>,
) -> Result<Option<Point>, MaxMindDbError> {
    let latitude = found.decode_path(&path!["location", "latitude"])?;
    let longitude = found.decode_path(&path!["location", "longitude"])?;
    Ok(latitude
        .zip(longitude)
        .and_then(|(latitude, longitude)| Point::new(latitude, longitude)))
}

impl Info {
    fn of_metadata(metadata: &Metadata) -> Self {
        let descriptions = &metadata.description;
        let description = descriptions.get("en").or(descriptions.values().next());
        Self {
            database_type: metadata.database_type.clone(),
            built: Date::from_epoch(metadata.build_epoch),
            description: description.cloned().unwrap_or_default(),
            attribution: attribution(&metadata.database_type),
            ip_version: metadata.ip_version,
            record_size: metadata.record_size,
            n_nodes: metadata.node_count,
            n_networks: [0; 2],
            n_records: 0,
            n_with_coordinates: 0,
            n_with_country: 0,
            countries: BTreeSet::new(),
        }
    }
}

/// The makers of free databases, by how their types begin, and the words they ask for.
fn attribution(database_type: &str) -> Option<&'static str> {
    let known = [
        (country_db::DATABASE_TYPE, country_db::ATTRIBUTION),
        (
            "GeoLite2",
            "GeoLite2 data created by MaxMind (https://www.maxmind.com), GeoLite2 licence",
        ),
        (
            "DBIP",
            "IP Geolocation by DB-IP (https://db-ip.com), CC BY 4.0 for the Lite databases",
        ),
    ];
    let maker = known
        .iter()
        .find(|(start, _)| database_type.starts_with(start));
    maker.map(|(_, words)| *words)
}

impl fmt::Display for Info {
    /// One aligned line per fact; text of the file itself has its control characters escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [v4, v6] = self.n_networks;
        let mut line = |name: &str, value: &dyn fmt::Display| writeln!(f, "{name:<13}{value}");
        line("type", &printable(&self.database_type))?;
        line("built", &self.built)?;
        line("description", &printable(&self.description))?;
        if let Some(attribution) = self.attribution {
            line("attribution", &attribution)?;
        }
        line("addresses", &format_args!("IPv{}", self.ip_version))?;
        line("networks", &format_args!("{v4} IPv4, {v6} IPv6"))?;
        line("records", &self.n_records)?;
        line("countries", &self.countries.len())?;
        line(
            "located",
            &format_args!(
                "{} networks by country, {} by coordinates",
                self.n_with_country, self.n_with_coordinates
            ),
        )?;
        line(
            "tree",
            &format_args!("{} nodes of 2 × {} bits", self.n_nodes, self.record_size),
        )
    }
}

fn printable(text: &str) -> String {
    let escaped = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.into()
        }
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mmdb::writer;
    use crate::mmdb::writer::Header;
    use crate::mmdb::writer::Range;
    use crate::mmdb::writer::Value;

    fn record(code: Option<&str>, point: Option<(f64, f64)>) -> Value {
        let country = code.map(|code| {
            let code = Value::Text(code.to_owned());
            ("country", Value::Map(vec![("iso_code", code)]))
        });
        let location = point.map(|(latitude, longitude)| {
            let point = vec![
                ("latitude", Value::Double(latitude)),
                ("longitude", Value::Double(longitude)),
            ];
            ("location", Value::Map(point))
        });
        Value::Map(country.into_iter().chain(location).collect())
    }

    fn database() -> Vec<u8> {
        let header = Header {
            database_type: "GeoLite2-City",
            description: "invented\nfor tests",
            build_epoch: 1_782_362_039,
        };
        let range = |first, last, record| Range {
            first,
            last,
            record,
        };
        let ranges = [
            range(0x0100_0000, 0x0100_00ff, 0),
            range(0x0100_0100, 0x0100_01ff, 1),
            range(0x0200_0000, 0x0200_02ff, 2),
            range(0x2001_0db8 << 96, (0x2001_0db9 << 96) - 1, 0),
        ];
        let records = [
            record(Some("AU"), None),
            record(Some("CN"), Some((32.2, 114.3))),
            record(None, Some((48.6, 8.1))),
        ];
        writer::write(header, &ranges, &records).expect("sound")
    }

    #[test]
    fn everything_is_counted() {
        let text = info(&database()).expect("sound").to_string();
        let expected = "\
type         GeoLite2-City
built        2026-06-25
description  invented\\nfor tests
attribution  GeoLite2 data created by MaxMind (https://www.maxmind.com), GeoLite2 licence
addresses    IPv6
networks     4 IPv4, 1 IPv6
records      3
countries    2
located      3 networks by country, 3 by coordinates
tree         166 nodes of 2 × 24 bits
";
        assert_eq!(text, expected);
    }

    #[test]
    fn files_that_are_no_databases_are_refused() {
        let sound = database();
        let cut = &sound[sound.len() / 2..];
        for bytes in [b"".as_slice(), b"\xab\xcd\xefMaxMind.com", b"text", cut] {
            let error = info(bytes).expect_err("no database").to_string();
            assert!(error.starts_with("not a sound MMDB file: "), "{error}");
        }
    }

    #[test]
    fn a_tree_with_a_cycle_is_refused() {
        let mut bytes = database();
        // The right half of the root is the root: every address from 8000:: on goes in circles.
        bytes[3..6].fill(0);
        info(&bytes).expect_err("a cycle");
    }

    #[test]
    fn a_tree_that_branches_into_itself_is_refused() {
        let mut bytes = database();
        // Both halves of each of the first nodes are the next one: 2¹⁴ times what is below them.
        for ix in 0..14_u8 {
            let at = usize::from(ix) * 6;
            bytes[at..at + 6].copy_from_slice(&[0, 0, ix + 1, 0, 0, ix + 1]);
        }
        info(&bytes).expect_err("too many networks");
    }

    proptest! {
        #[test]
        fn damaged_files_never_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<prop::sample::Index>(),
            is_cut in any::<bool>(),
        ) {
            let mut bytes = database();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if is_cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let _ = info(&bytes).map(|info| info.to_string());
        }
    }
}
