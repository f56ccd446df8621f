//! What an MMDB file holds, for `meridian geoip info`.
//!
//! The whole file is verified before it is counted: a tree with a cycle or a pointer out of bounds
//! is an error here, never a hang. A record is decoded once however many networks have it.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fmt;

use crate::base::date::Date;
use crate::base::location::Country;
use crate::mmdb::country_db;
use crate::mmdb::database::Database;
use crate::mmdb::database::DatabaseInfo;
use crate::mmdb::database::Unsound;

/// A database in figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// What it says of itself.
    pub database: DatabaseInfo,
    /// Whom its licence asks to name, for the makers known here.
    pub attribution: Option<&'static str>,
    /// Bits per half node: 24, 28 or 32.
    pub record_size: u16,
    /// Nodes of the tree.
    pub n_nodes: u32,
    /// Distinct records.
    pub n_records: usize,
    /// Networks whose record has coordinates.
    pub n_with_coordinates: u64,
    /// Networks whose record has a country.
    pub n_with_country: u64,
    /// Countries seen.
    pub countries: BTreeSet<Country>,
}

/// Reads and verifies a whole database; takes about a second per five million networks.
pub fn figures(bytes: Vec<u8>) -> Result<Figures, Unsound> {
    let database = Database::open(bytes)?;
    database.verify()?;
    let info = database.info();
    let (record_size, n_nodes) = database.tree();
    let mut figures = Figures {
        attribution: attribution(&info.database_type),
        database: info,
        record_size,
        n_nodes,
        n_records: 0,
        n_with_coordinates: 0,
        n_with_country: 0,
        countries: BTreeSet::new(),
    };
    let mut records: HashMap<usize, Facts> = HashMap::new();
    for entry in database.entries()? {
        let entry = entry?;
        let facts = match records.get(&entry.offset) {
            Some(facts) => *facts,
            None => {
                let record = entry.record()?;
                *records.entry(entry.offset).or_insert(Facts {
                    country: record.country(),
                    has_coordinates: record.point().is_some(),
                })
            }
        };
        figures.database.n_networks[entry.network.family()] += 1;
        figures.n_with_coordinates += u64::from(facts.has_coordinates);
        figures.n_with_country += u64::from(facts.country.is_some());
        figures.countries.extend(facts.country);
    }
    figures.n_records = records.len();
    Ok(figures)
}

/// What is counted of a record.
#[derive(Clone, Copy)]
struct Facts {
    country: Option<Country>,
    has_coordinates: bool,
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

impl fmt::Display for Figures {
    /// One aligned line per fact; text of the file itself has its control characters escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = &self.database;
        let mut line = |name: &str, value: &dyn fmt::Display| writeln!(f, "{name:<13}{value}");
        line("type", &printable(&database.database_type))?;
        line("built", &Date::from_epoch(database.build_epoch))?;
        line("description", &printable(&database.description))?;
        if let Some(attribution) = self.attribution {
            line("attribution", &attribution)?;
        }
        line("addresses", &format_args!("IPv{}", database.ip_version))?;
        let n = database.n_networks;
        line("networks", &format_args!("{} IPv4, {} IPv6", n.v4, n.v6))?;
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
        let text = figures(database()).expect("sound").to_string();
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
            let error = figures(bytes.to_vec())
                .expect_err("no database")
                .to_string();
            assert!(error.starts_with("not a sound MMDB file: "), "{error}");
        }
    }

    #[test]
    fn a_tree_with_a_cycle_is_refused() {
        let mut bytes = database();
        // The right half of the root is the root: every address from 8000:: on goes in circles.
        bytes[3..6].fill(0);
        figures(bytes).expect_err("a cycle");
    }

    #[test]
    fn a_tree_that_branches_into_itself_is_refused() {
        let mut bytes = database();
        // Both halves of each of the first nodes are the next one: 2¹⁴ times what is below them.
        for ix in 0..14_u8 {
            let at = usize::from(ix) * 6;
            bytes[at..at + 6].copy_from_slice(&[0, 0, ix + 1, 0, 0, ix + 1]);
        }
        figures(bytes).expect_err("too many networks");
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
            let _ = figures(bytes).map(|figures| figures.to_string());
        }
    }
}
