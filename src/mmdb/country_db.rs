//! Makes the embedded country database from the text files of Debian's `tor-geoipdb`.
//!
//! Those hold the country ranges of the IPFire Location Database, one `FIRST,LAST,CC` per line:
//! IPv4 addresses as decimal numbers, IPv6 addresses as text, comments behind `#`. The result is
//! Country-shaped. It has no coordinates, since those of a country are in [`countries`] alone; only
//! the registry's `EU`, which is no country, brings its own.
//!
//! Codes that name no country leave their addresses unlocated, because a wrong place is worse than
//! the operator's own order: silently where the source means just that, else with a warning.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

use crate::base::date::Date;
use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::location::Continent;
use crate::base::location::Country;
use crate::base::location::Point;
use crate::base::prefix::Family;
use crate::mmdb::countries;
use crate::mmdb::countries::CountryInfo;
use crate::mmdb::writer;
use crate::mmdb::writer::Header;
use crate::mmdb::writer::Range;
use crate::mmdb::writer::Value;

/// Builds a database from the IPv4 and the IPv6 file, each given as its name and text.
///
/// `epoch` is the build time in seconds since 1970; see [`generated`]. Lines may stand in any
/// order, but their ranges must not overlap. `None` if the report got an error.
pub fn build(
    ipv4: (&Arc<str>, &str),
    ipv6: (&Arc<str>, &str),
    epoch: u64,
    report: &mut Report,
) -> Option<Vec<u8>> {
    let mut faults = Report::default();
    let mut ranges = Vec::new();
    let mut records = Records::default();
    for (family, (file, text)) in Family::ALL.into_iter().zip([ipv4, ipv6]) {
        let rows = sorted(file, read(file, text, family, &mut faults), &mut faults);
        records.add_all(file, &rows, &mut ranges, &mut faults);
    }
    let is_sound = !faults.has_errors();
    report.append(faults);
    if !is_sound {
        return None;
    }
    let header = Header {
        database_type: DATABASE_TYPE,
        description: &description(epoch),
        build_epoch: epoch,
    };
    let bytes = writer::write(header, &ranges, &records.values);
    bytes
        .map_err(|error| report.error(Place::file(ipv6.0), error.to_string()))
        .ok()
}

/// Returns when the source was made, in seconds since 1970, from the comments at the top of a file:
/// `# Generated: Thu, 25 Jun 2026 04:33:59 GMT`.
pub fn generated(text: &str) -> Option<u64> {
    let stamp = text
        .lines()
        .map_while(|line| line.strip_prefix('#'))
        .find_map(|line| line.trim().strip_prefix("Generated:"))?;
    let mut words = stamp.split_whitespace().skip(1);
    let day = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let date = Date::from_civil(words.next()?.parse().ok()?, month as u8, day)?;
    let mut seconds = 0;
    for part in words.next()?.splitn(3, ':') {
        seconds = seconds * 60 + u64::from(part.parse::<u8>().ok()?);
    }
    Some(date.epoch() + seconds)
}

/// One line of a file.
struct Row<'a> {
    first: u128,
    last: u128,
    code: &'a str,
    line: u32,
}

/// Reads all lines; gives up on a file after so many faults that it is probably not of this kind.
fn read<'a>(file: &Arc<str>, text: &'a str, family: Family, report: &mut Report) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    let mut n_faults = 0;
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim_end();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let fault = match row(content, line, family) {
            Ok(row) => {
                rows.push(row);
                continue;
            }
            Err(fault) => fault,
        };
        let place = at(file, line);
        if n_faults == MAX_FAULTS {
            report.error(place, "too many faults: the rest of the file was not read");
            return rows;
        }
        n_faults += 1;
        report.error(place, fault);
    }
    if rows.is_empty() && n_faults == 0 {
        report.error(
            Place::file(file),
            "no ranges, expected lines of `FIRST,LAST,CC`",
        );
    }
    rows
}

fn row(content: &str, line: u32, family: Family) -> Result<Row<'_>, String> {
    let fields: Vec<_> = content.split(',').collect();
    let [first, last, code] = fields[..] else {
        return Err(format!("`{content}` is no range, expected `FIRST,LAST,CC`"));
    };
    let (first, last) = (address(first, family)?, address(last, family)?);
    if last < first {
        return Err("the range ends before it begins".to_owned());
    }
    if family == Family::V6 && first <= u128::from(u32::MAX) {
        return Err("the range touches ::/96, which holds the IPv4 addresses".to_owned());
    }
    if code != "??" && (code.len() != 2 || !code.bytes().all(|b| b.is_ascii_alphanumeric())) {
        return Err(format!("`{code}` is no country code, expected two letters"));
    }
    Ok(Row {
        first,
        last,
        code,
        line,
    })
}

fn address(text: &str, family: Family) -> Result<u128, String> {
    match family {
        Family::V4 => text.parse::<u32>().map(u128::from).map_err(|_| {
            format!("`{text}` is no IPv4 address, expected a decimal number such as 16777216")
        }),
        Family::V6 => text
            .parse::<Ipv6Addr>()
            .map(Ipv6Addr::to_bits)
            .map_err(|_| format!("`{text}` is no IPv6 address, expected one such as 2001:200::")),
    }
}

/// Sorts the rows by address and reports those that overlap.
fn sorted<'a>(file: &Arc<str>, mut rows: Vec<Row<'a>>, report: &mut Report) -> Vec<Row<'a>> {
    rows.sort_by_key(|row| (row.first, row.line));
    let overlaps = rows.windows(2).filter(|pair| pair[1].first <= pair[0].last);
    for pair in overlaps.take(MAX_FAULTS) {
        let message = format!("the range overlaps that of line {}", pair[0].line);
        report.error(at(file, pair[1].line), message);
    }
    rows
}

/// The distinct records, in the order in which addresses first need them.
#[derive(Default)]
struct Records {
    values: Vec<Value>,
    by_country: BTreeMap<Option<Country>, u32>,
}

impl Records {
    /// Adds the ranges of the rows that mean a place, and the records they need.
    fn add_all(
        &mut self,
        file: &Arc<str>,
        rows: &[Row<'_>],
        ranges: &mut Vec<Range>,
        report: &mut Report,
    ) {
        let mut unknown: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        for row in rows {
            let record = match meaning(row.code) {
                Meaning::Country(info) => self.record(Some(info)),
                Meaning::Europe => self.record(None),
                Meaning::Nowhere => continue,
                Meaning::Unknown => {
                    let (line, n) = unknown.entry(row.code).or_insert((row.line, 0));
                    *line = row.line.min(*line);
                    *n += 1;
                    continue;
                }
            };
            ranges.push(Range {
                first: row.first,
                last: row.last,
                record,
            });
        }
        for (code, (line, n)) in unknown {
            let plural = if n == 1 { "range stays" } else { "ranges stay" };
            let message = format!("`{code}` is no known country code: {n} {plural} unlocated");
            report.warning(at(file, line), message);
        }
    }

    /// The record of a country, or of Europe.
    fn record(&mut self, country: Option<&CountryInfo>) -> u32 {
        let code = country.map(|info| info.code);
        *self.by_country.entry(code).or_insert_with(|| {
            self.values
                .push(country.map_or_else(europe, country_shaped));
            self.values.len() as u32 - 1
        })
    }
}

/// What a code of the source says.
enum Meaning {
    /// A country of the table.
    Country(&'static CountryInfo),
    /// Somewhere in Europe, in more than one country.
    Europe,
    /// Deliberately no place.
    Nowhere,
    /// A code that nobody knows.
    Unknown,
}

fn meaning(code: &str) -> Meaning {
    let code = match code {
        // ISO 3166-3 and registries: withdrawn or reserved codes that old entries still carry.
        "AN" => "CW",
        "CS" => "RS",
        "SU" => "RU",
        "UK" => "GB",
        "EU" => return Meaning::Europe,
        // Unknown; anycast, proxy, satellite and Tor flags; `AP` is from Pakistan to New Zealand.
        "??" | "A1" | "A2" | "A3" | "AP" | "T1" | "XX" | "ZZ" => return Meaning::Nowhere,
        code => code,
    };
    let info = code.parse().ok().and_then(countries::country);
    info.map_or(Meaning::Unknown, Meaning::Country)
}

fn country_shaped(info: &CountryInfo) -> Value {
    let country = vec![
        ("iso_code", text(info.code.as_str())),
        ("names", Value::Map(vec![("en", text(info.name))])),
    ];
    Value::Map(vec![
        ("continent", continent(info.continent)),
        ("country", Value::Map(country)),
    ])
}

fn europe() -> Value {
    let location = vec![
        ("latitude", Value::Double(EUROPE.latitude)),
        ("longitude", Value::Double(EUROPE.longitude)),
    ];
    Value::Map(vec![
        ("continent", continent(Continent::Eu)),
        ("location", Value::Map(location)),
    ])
}

fn continent(continent: Continent) -> Value {
    Value::Map(vec![("code", text(continent.as_str()))])
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn description(epoch: u64) -> String {
    let date = Date::from_epoch(epoch);
    format!("{ATTRIBUTION}; state of {date}")
}

fn at(file: &Arc<str>, line: u32) -> Place {
    Place {
        line,
        ..Place::file(file)
    }
}

/// The type that the databases made here have.
pub(crate) const DATABASE_TYPE: &str = "Meridian-Country";
/// Whom the licence of the source asks to name.
pub(crate) const ATTRIBUTION: &str = "IPFire Location Database (https://location.ipfire.org/), \
     CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/), by way of tor-geoipdb";
/// Where `EU` is: the population-weighted centre of the EU, EFTA and the United Kingdom, from the
/// same towns as the centres of countries.
const EUROPE: Point = Point {
    latitude: 48.64,
    longitude: 8.13,
};
/// Faults of one kind that are reported of one file; a wrong file would have one per line.
const MAX_FAULTS: usize = 50;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use maxminddb::Reader;
    use maxminddb::path;

    use super::*;
    use crate::mmdb::info;

    const EPOCH: u64 = 1_782_362_039;
    const IPV4: &str = "# Generated: Thu, 25 Jun 2026 04:33:59 GMT\n\
                        16777216,16777471,AU\n16777472,16778239,CN\r\n\n16778240,16778241,??\n";
    const IPV6: &str = "2001:200::,2001:200:ffff:ffff:ffff:ffff:ffff:ffff,JP\n";

    fn run(ipv4: &str, ipv6: &str) -> (Option<Reader<Vec<u8>>>, String) {
        let mut report = Report::default();
        let (v4, v6) = (Arc::from("v4"), Arc::from("v6"));
        let bytes = build((&v4, ipv4), (&v6, ipv6), EPOCH, &mut report);
        let reader = bytes.map(|bytes| Reader::from_source(bytes).expect("a database"));
        (reader, report.to_string())
    }

    fn find(reader: &Reader<impl AsRef<[u8]>>, addr: &str) -> Option<String> {
        let addr: IpAddr = addr.parse().expect(addr);
        let found = reader.lookup(addr).expect("a sound tree");
        found
            .decode_path(&path!["country", "iso_code"])
            .expect("sound data")
    }

    #[test]
    fn both_files_go_into_one_database() {
        let (reader, report) = run(IPV4, IPV6);
        let reader = reader.expect("no faults");
        assert_eq!(report, "");
        reader.verify().expect("sound");
        let rows = [
            ("1.0.0.0", Some("AU")),
            ("1.0.0.255", Some("AU")),
            ("1.0.1.0", Some("CN")),
            ("1.0.3.255", Some("CN")),
            ("1.0.4.0", None),
            ("0.255.255.255", None),
            ("2001:200::1", Some("JP")),
            ("2001:201::", None),
        ];
        for (addr, code) in rows {
            assert_eq!(find(&reader, addr).as_deref(), code, "{addr}");
        }
        let found = reader.lookup("1.0.0.1".parse().expect("address"));
        let record: Option<serde_json::Value> = found.expect("sound").decode().expect("sound");
        let expected = serde_json::json!({
            "continent": {"code": "OC"},
            "country": {"iso_code": "AU", "names": {"en": "Australia"}},
        });
        assert_eq!(record, Some(expected));
    }

    #[test]
    fn metadata_tells_source_licence_and_day() {
        let (reader, _) = run(IPV4, IPV6);
        let reader = reader.expect("no faults");
        let metadata = reader.metadata();
        assert_eq!(metadata.build_epoch, EPOCH);
        assert_eq!(metadata.database_type, "Meridian-Country");
        let description = &metadata.description["en"];
        for part in [
            "IPFire Location Database",
            "CC BY-SA 4.0",
            "tor-geoipdb",
            "2026-06-25",
        ] {
            assert!(description.contains(part), "{part}");
        }
    }

    #[test]
    fn lines_may_stand_in_any_order() {
        let (one, _) = run("1,2,FR\n5,6,DE\n", IPV6);
        let (other, report) = run("5,6,DE\n1,2,FR\n", IPV6);
        assert_eq!(report, "");
        assert_eq!(find(&one.expect("sound"), "0.0.0.5"), Some("DE".into()));
        assert_eq!(find(&other.expect("sound"), "0.0.0.5"), Some("DE".into()));
    }

    #[test]
    fn codes_that_are_no_countries_are_told_apart() {
        let text = "1,1,UK\n2,2,SU\n3,3,AN\n4,4,CS\n5,5,EU\n6,6,AP\n7,7,??\n8,8,OS\n9,9,OS\n";
        let (reader, report) = run(text, IPV6);
        let reader = reader.expect("warnings only");
        let codes = [1, 2, 3, 4, 5, 6, 7, 8].map(|last| find(&reader, &format!("0.0.0.{last}")));
        let expected = [
            Some("GB"),
            Some("RU"),
            Some("CW"),
            Some("RS"),
            None,
            None,
            None,
            None,
        ];
        assert_eq!(codes, expected.map(|code| code.map(str::to_owned)));
        let europe = reader
            .lookup("0.0.0.5".parse().expect("address"))
            .expect("sound");
        let record: Option<serde_json::Value> = europe.decode().expect("sound");
        let expected = serde_json::json!({
            "continent": {"code": "EU"},
            "location": {"latitude": EUROPE.latitude, "longitude": EUROPE.longitude},
        });
        assert_eq!(record, Some(expected));
        let warning = "v4:8:1: warning: `OS` is no known country code: 2 ranges stay unlocated\n";
        assert_eq!(report, warning);
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let v4 =
            "# comment\n1,2\n1.0.0.0,2,FR\n9,8,FR\n10,20,fr1\n30,40,FR\n40,50,DE\n4294967296,1,FR";
        let v6 = "2001:db8::,2001:db8::ff\n::1,::2,FR\n1,2001:db8::,FR\n";
        let (reader, report) = run(v4, v6);
        assert!(reader.is_none());
        let expected = "\
v4:2:1: `1,2` is no range, expected `FIRST,LAST,CC`
v4:3:1: `1.0.0.0` is no IPv4 address, expected a decimal number such as 16777216
v4:4:1: the range ends before it begins
v4:5:1: `fr1` is no country code, expected two letters
v4:7:1: the range overlaps that of line 6
v4:8:1: `4294967296` is no IPv4 address, expected a decimal number such as 16777216
v6:1:1: `2001:db8::,2001:db8::ff` is no range, expected `FIRST,LAST,CC`
v6:2:1: the range touches ::/96, which holds the IPv4 addresses
v6:3:1: `1` is no IPv6 address, expected one such as 2001:200::
";
        assert_eq!(report, expected);
    }

    #[test]
    fn a_file_of_another_kind_is_given_up_on() {
        let (reader, report) = run(&"nonsense\n".repeat(100_000), "# nothing\n");
        assert!(reader.is_none());
        assert_eq!(report.lines().count(), MAX_FAULTS + 2);
        assert!(report.contains("v4:51:1: too many faults"));
        assert!(report.contains("v6:1:1: no ranges"));
    }

    #[test]
    fn the_time_of_the_source_is_in_its_header() {
        assert_eq!(generated(IPV4), Some(EPOCH));
        for text in [
            "",
            "1,2,FR\n# Generated: Thu, 25 Jun 2026 04:33:59 GMT",
            "# Generated: Thu, 31 Jun 2026 04:33:59 GMT",
            "# Generated: Thu, 25 Juni 2026 04:33:59 GMT",
            "# Generated: 2026-06-25",
        ] {
            assert_eq!(generated(text), None, "{text}");
        }
    }

    #[test]
    fn the_embedded_database_is_sound_and_knows_large_networks() {
        let bytes = include_bytes!("../../geoip/world-country.mmdb").as_slice();
        let found = info::figures(bytes.to_vec()).expect("sound");
        assert_eq!(found.database.database_type, DATABASE_TYPE);
        let built = Date::from_epoch(found.database.build_epoch);
        assert_eq!(built.to_string(), "2026-06-25");
        assert!(found.database.n_networks.iter().all(|n| *n > 500_000));
        for code in &found.countries {
            assert!(countries::country(*code).is_some(), "{code}");
        }
        assert!(found.countries.len() > 245);

        let reader = Reader::from_source(bytes).expect("a database");
        let rows = [
            ("1.128.1.1", "AU"),     // Telstra
            ("2001:8000::1", "AU"),  // Telstra
            ("189.40.1.1", "BR"),    // TIM
            ("200.160.2.3", "BR"),   // NIC.br
            ("2804:14c:1::1", "BR"), // Claro
            ("53.1.2.3", "DE"),      // Mercedes-Benz
            ("91.10.1.1", "DE"),     // Deutsche Telekom
            ("2003:e0::1", "DE"),    // Deutsche Telekom
            ("90.1.2.3", "FR"),      // Orange
            ("193.252.19.3", "FR"),  // Orange
            ("2a01:e0a:1::1", "FR"), // Free
            ("49.36.1.1", "IN"),     // Jio
            ("117.200.1.1", "IN"),   // BSNL
            ("2409:4000::1", "IN"),  // Jio
            ("126.1.2.3", "JP"),     // SoftBank
            ("133.11.0.1", "JP"),    // University of Tokyo
            ("2400:4050::1", "JP"),  // NTT
            ("12.1.2.3", "US"),      // AT&T
            ("73.1.2.3", "US"),      // Comcast
            ("2600:1700::1", "US"),  // AT&T
            ("41.1.2.3", "ZA"),      // Vodacom
            ("105.224.1.1", "ZA"),   // Telkom
            ("2c0f:f4c0::1", "ZA"),  // African registry
        ];
        for (addr, code) in rows {
            assert_eq!(find(&reader, addr).as_deref(), Some(code), "{addr}");
        }
        for addr in [
            "10.1.2.3",
            "127.0.0.1",
            "192.0.2.1",
            "2001:db8::1",
            "fd00::1",
        ] {
            assert_eq!(find(&reader, addr), None, "{addr}");
        }
    }
}
