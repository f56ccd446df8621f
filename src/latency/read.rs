//! Reads a latency table: comma-separated values under a line that names the columns.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::diag::did_you_mean;
use crate::base::diag::excerpt;
use crate::base::location::Country;
use crate::latency::key;
use crate::latency::key::Key;
use crate::latency::table::Row;
use crate::latency::time;

/// The most faults that are listed; a file of another kind has one on every line.
const MAX_FAULTS: usize = 20;

const MAX_RTT_MS: f32 = 60_000.0;

const COLUMNS: [(&str, Column); 6] = [
    ("key", Column::Key),
    ("pool", Column::Pool),
    ("rtt_ms", Column::Rtt),
    ("samples", Column::Samples),
    ("measured", Column::Measured),
    ("age", Column::Age),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Key,
    Pool,
    Rtt,
    Samples,
    Measured,
    Age,
}

/// What a file is read with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Its name as the operator would write it.
    pub file: &'a Arc<str>,
    /// When it was written, in seconds since 1970: what ages count from.
    pub written: u64,
    /// Whether a country's code is assigned.
    pub is_country: &'a dyn Fn(Country) -> bool,
}

/// Reads the rows and the names of their pools; `None` after a fault, all of which are reported.
pub fn rows(
    text: &str,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<(Vec<Row>, Vec<Box<str>>)> {
    let mut reader = Reader {
        context,
        columns: Vec::new(),
        rows: Vec::new(),
        names: Vec::new(),
        known: FxHashMap::default(),
        faults: Vec::new(),
        n_faults: 0,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, number) in text.split('\n').zip(1..) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let result = match reader.columns.is_empty() {
            true => reader.header(line),
            false => reader.row(line),
        };
        if let Err(fault) = result {
            let is_header = reader.columns.is_empty();
            reader.fault(number, line, fault);
            if is_header {
                break;
            }
        }
    }
    reader.finish(report)
}

/// What is wrong, and at which octet of the line.
type Fault = (usize, String);

struct Reader<'a> {
    context: &'a Context<'a>,
    columns: Vec<Column>,
    rows: Vec<Row>,
    names: Vec<Box<str>>,
    known: FxHashMap<&'a str, u32>,
    faults: Vec<(Place, String)>,
    n_faults: usize,
}

impl<'a> Reader<'a> {
    fn header(&mut self, line: &str) -> Result<(), Fault> {
        let mut columns = Vec::new();
        for (at, name) in fields(line) {
            let column = COLUMNS.iter().find(|(known, _)| *known == name);
            let Some((_, column)) = column else {
                let hint = did_you_mean(name, COLUMNS.map(|(known, _)| known));
                let hint = hint.map(|known| format!(", did you mean `{known}`?"));
                return Err((
                    at,
                    format!(
                        "`{}` is no column, expected `key,pool,rtt_ms` and perhaps `samples` and `measured` or \
                         `age`{}",
                        excerpt(name),
                        hint.unwrap_or_default(),
                    ),
                ));
            };
            if columns.contains(column) {
                return Err((at, format!("column `{name}` stands twice")));
            }
            columns.push(*column);
        }
        for (name, column) in &COLUMNS[..3] {
            if !columns.contains(column) {
                return Err((
                    0,
                    format!("column `{name}` is missing, expected `key,pool,rtt_ms`"),
                ));
            }
        }
        if columns.contains(&Column::Measured) && columns.contains(&Column::Age) {
            return Err((
                0,
                "has both `measured` and `age`, expected one of them".to_owned(),
            ));
        }
        self.columns = columns;
        Ok(())
    }

    fn row(&mut self, line: &'a str) -> Result<(), Fault> {
        let (mut key, mut pool, mut rtt, mut samples, mut measured) =
            (None, None, None, None, None);
        let mut n = 0;
        for (at, field) in fields(line) {
            let Some(column) = self.columns.get(n) else {
                return Err((
                    at,
                    format!("has more fields than the {} columns", self.columns.len()),
                ));
            };
            n += 1;
            let fault = |expected: &str| (at, format!("`{}` is not {expected}", excerpt(field)));
            match column {
                Column::Key => key = Some(self.key(field).ok_or_else(|| fault(key::EXPECTED))?),
                Column::Pool if field.is_empty() => return Err(fault("the name of a pool")),
                Column::Pool => pool = Some(field),
                Column::Rtt => {
                    let value = rtt_ms(field);
                    rtt =
                        Some(value.ok_or_else(|| {
                            fault("a time above 0 and up to 60000 in milliseconds")
                        })?);
                }
                Column::Samples | Column::Measured | Column::Age if field.is_empty() => {}
                Column::Samples => {
                    let count = field.parse().ok().filter(|n| *n > 0);
                    samples = Some(count.ok_or_else(|| fault("a count of 1 or more"))?);
                }
                Column::Measured => {
                    measured = Some(time::time(field).ok_or_else(|| fault(time::TIME))?);
                }
                Column::Age => {
                    let age = time::age(field).ok_or_else(|| fault(time::AGE))?;
                    measured = Some(self.context.written.saturating_sub(age));
                }
            }
        }
        let (Some(key), Some(pool), Some(rtt_ms)) = (key, pool, rtt) else {
            return Err((
                line.len(),
                format!("has {n} fields, expected {}", self.columns.len()),
            ));
        };
        let pool = self.pool(pool);
        self.rows.push(Row {
            key,
            pool,
            rtt_ms,
            samples,
            measured,
        });
        Ok(())
    }

    fn key(&self, text: &str) -> Option<Key> {
        let key: Key = text.parse().ok()?;
        let is_assigned = match key {
            Key::Country(country) => (self.context.is_country)(country),
            Key::Subdivision(subdivision) => (self.context.is_country)(subdivision.country),
            Key::Continent(_) | Key::Asn(_) | Key::Network(_) => true,
        };
        is_assigned.then_some(key)
    }

    /// The number of a pool's name.
    fn pool(&mut self, name: &'a str) -> u32 {
        *self.known.entry(name).or_insert_with(|| {
            self.names.push(name.into());
            self.names.len() as u32 - 1
        })
    }

    fn fault(&mut self, line: u32, text: &str, (at, message): Fault) {
        self.n_faults += 1;
        if self.n_faults <= MAX_FAULTS {
            let place = Place {
                file: Arc::clone(self.context.file),
                line,
                column: text[..at].chars().count() as u32 + 1,
            };
            self.faults.push((place, message));
        }
    }

    fn finish(self, report: &mut Report) -> Option<(Vec<Row>, Vec<Box<str>>)> {
        let file = Place::file(self.context.file);
        if self.columns.is_empty() && self.n_faults == 0 {
            report.error(
                file,
                "is empty, expected a line of columns such as `key,pool,rtt_ms`",
            );
            return None;
        }
        for (place, message) in self.faults {
            report.error(place, message);
        }
        match self.n_faults {
            0 => Some((self.rows, self.names)),
            n if n > MAX_FAULTS => {
                report.error(file, format!("{} more lines are at fault", n - MAX_FAULTS));
                None
            }
            _ => None,
        }
    }
}

/// The fields of a line without blanks and quotes around them, each with where it begins.
fn fields(line: &str) -> impl Iterator<Item = (usize, &str)> {
    line.split(',').map(move |field| {
        let field = field.trim();
        let quoted = field
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let field = quoted.unwrap_or(field);
        (field.as_ptr() as usize - line.as_ptr() as usize, field)
    })
}

fn rtt_ms(text: &str) -> Option<f32> {
    text.parse().ok().filter(|ms| is_rtt_ms(*ms))
}

/// Whether a number can be a round-trip time in milliseconds: above 0, and no longer than a minute, after which any
/// client has given up.
pub fn is_rtt_ms(ms: f32) -> bool {
    ms > 0.0 && ms <= MAX_RTT_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Vec<Row>, Vec<Box<str>>), String> {
        let file: Arc<str> = "latency.csv".into();
        let context = Context {
            file: &file,
            written: 1_000_000,
            is_country: &|country| country.as_str() != "UK",
        };
        let mut report = Report::default();
        rows(text, &context, &mut report).ok_or_else(|| report.to_string())
    }

    #[test]
    fn rows_are_read_by_the_names_of_their_columns() {
        let text = "\u{feff}# made by hand\nrtt_ms, pool ,key,samples,age\r\n\n12.5,eu,\"DE\",100,1d\n7,us,AS64500,,\n";
        let (rows, names) = read(text).expect("sound");
        assert_eq!(names, ["eu".into(), "us".into()]);
        assert_eq!(
            rows,
            [
                Row {
                    key: "DE".parse().expect("a key"),
                    pool: 0,
                    rtt_ms: 12.5,
                    samples: Some(100),
                    measured: Some(913_600),
                },
                Row {
                    key: Key::Asn(64_500),
                    pool: 1,
                    rtt_ms: 7.0,
                    samples: None,
                    measured: None,
                },
            ]
        );
        let (rows, _) = read("key,pool,rtt_ms,measured\nDE,eu,1,1970-01-02\n").expect("sound");
        assert_eq!(rows[0].measured, Some(86_400));
    }

    #[test]
    fn faults_are_reported_where_they_are() {
        for (text, expected) in [
            ("", "1:1: is empty"),
            ("key,pool\nDE,eu", "1:1: column `rtt_ms` is missing"),
            ("key,pool,rtt", "1:10: `rtt` is no column"),
            ("key,pool,rtt_ms,pool", "1:17: column `pool` stands twice"),
            (
                "key,pool,rtt_ms,age,measured",
                "1:1: has both `measured` and `age`",
            ),
            ("key,pool,rtt_ms\nUK,eu,1", "2:1: `UK` is not a network"),
            (
                "key,pool,rtt_ms\n10.0.0.1/8,eu,1",
                "2:1: `10.0.0.1/8` is not a network",
            ),
            ("key,pool,rtt_ms\nDE,eu", "2:6: has 2 fields, expected 3"),
            (
                "key,pool,rtt_ms\nDE,eu,1,1",
                "2:9: has more fields than the 3 columns",
            ),
            (
                "key,pool,rtt_ms\nDE,,1",
                "2:4: `` is not the name of a pool",
            ),
            ("key,pool,rtt_ms\nDE,ü, 0", "2:7: `0` is not a time above 0"),
            ("key,pool,rtt_ms\nDE,eu,NaN", "2:7: `NaN` is not a time"),
            ("key,pool,rtt_ms\nDE,eu,60001", "2:7: `60001` is not a time"),
            (
                "key,pool,rtt_ms,samples\nDE,eu,1,0",
                "2:9: `0` is not a count",
            ),
            ("key,pool,rtt_ms,age\nDE,eu,1,3", "2:9: `3` is not an age"),
            (
                "key,pool,rtt_ms,measured\nDE,eu,1,now",
                "2:9: `now` is not a time",
            ),
        ] {
            let faults = read(text).expect_err(text);
            assert!(faults.contains(expected), "{text}: {faults}");
        }
    }

    #[test]
    fn a_file_of_another_kind_has_few_faults() {
        let faults = read(&format!("key,pool,rtt_ms\n{}", "x\n".repeat(100))).expect_err("faults");
        assert_eq!(faults.lines().count(), 21);
        assert!(faults.contains("80 more lines are at fault"), "{faults}");
    }
}
