//! Reads clients from a file: lines of `PREFIX,COUNT`, a network or an address and the number of its clients (or
//! queries, or requests a second: only their proportions count). Empty lines and those that begin with `#` are
//! skipped, and so is a first line `prefix,count`. A prefix that stands twice has the sum.
//!
//! Lines that begin with `{` are those of a decision log, of which each is one client.

use std::sync::Arc;

use serde_json::Value;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::diag::excerpt;
use crate::base::prefix::Prefix;
use crate::census::clients::Clients;

/// The most faults that are listed; a file of another kind has one on every line.
const MAX_FAULTS: usize = 20;

/// Reads a file; `None` after a fault, all of which are reported.
pub fn read(text: &str, file: &Arc<str>, report: &mut Report) -> Option<Clients> {
    let (mut prefixes, mut n_faults) = (Vec::new(), 0);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, number) in text.lines().zip(1_u32..) {
        let is_header = number == 1 && line.trim() == "prefix,count";
        if is_header || line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match client(line) {
            Ok(client) => prefixes.push(client),
            Err((at, message)) => {
                n_faults += 1;
                if n_faults <= MAX_FAULTS {
                    let column = line[..at].chars().count() as u32 + 1;
                    let place = Place {
                        file: Arc::clone(file),
                        line: number,
                        column,
                    };
                    report.error(place, message);
                }
            }
        }
    }
    if n_faults > MAX_FAULTS {
        let message = format!("{} more lines are at fault", n_faults - MAX_FAULTS);
        report.error(Place::file(file), message);
    }
    if n_faults == 0 && prefixes.iter().all(|(_, n)| *n == 0.0) {
        report.error(
            Place::file(file),
            "holds no clients, expected lines of `PREFIX,COUNT` with a count above 0",
        );
        return None;
    }
    prefixes.sort_unstable_by_key(|(prefix, _): &(Prefix, f64)| *prefix);
    prefixes.dedup_by(|later, kept| {
        let is_same = later.0 == kept.0;
        if is_same {
            kept.1 += later.1;
        }
        is_same
    });
    (n_faults == 0).then_some(Clients::Prefixes(prefixes))
}

/// Reads a line; after a fault, at which octet, and what is wrong.
fn client(line: &str) -> Result<(Prefix, f64), (usize, String)> {
    if line.starts_with('{') {
        return logged(line).map_err(|fault| (0, fault));
    }
    let Some((prefix, count)) = line.split_once(',') else {
        return Err((0, format!("`{}` is no `PREFIX,COUNT`", excerpt(line))));
    };
    let at = prefix.len() + 1;
    let parsed = prefix.trim().parse::<Prefix>();
    let parsed = parsed.map_err(|error| {
        let prefix = excerpt(prefix.trim());
        (
            0,
            format!("`{prefix}`: {error}, expected a network as 192.0.2.0/24, or an address"),
        )
    })?;
    let n = count.trim().parse::<f64>().ok();
    let n = n.filter(|n| n.is_finite() && *n >= 0.0);
    let n = n.ok_or_else(|| {
        (
            at,
            format!("`{}` is no number of clients", excerpt(count.trim())),
        )
    })?;
    Ok((parsed, n))
}

/// Reads a line of a decision log.
fn logged(line: &str) -> Result<(Prefix, f64), String> {
    let decision: Value = serde_json::from_str(line)
        .map_err(|error| format!("is no line of a decision log: {error}"))?;
    let prefix = decision["client"]
        .as_str()
        .and_then(|client| client.parse().ok());
    let prefix = prefix.ok_or("is no line of a decision log: its `client` is no network")?;
    Ok((prefix, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<(String, f64)>, String> {
        let mut report = Report::default();
        match read(text, &"w.csv".into(), &mut report) {
            Some(Clients::Prefixes(prefixes)) => Ok(prefixes
                .iter()
                .map(|(prefix, n)| (prefix.to_string(), *n))
                .collect()),
            _ => Err(report.to_string()),
        }
    }

    #[test]
    fn lines_are_prefixes_with_their_clients() {
        let text = "\u{feff}prefix,count\r\n# comment\n\n192.0.2.0/24, 7\n2001:db8::/48,0.5\n\
                    192.0.2.0/24,3\n198.51.100.7,1\n";
        let expected = [
            ("192.0.2.0/24", 10.0),
            ("198.51.100.7/32", 1.0),
            ("2001:db8::/48", 0.5),
        ];
        let expected = expected.map(|(prefix, n)| (prefix.to_owned(), n));
        assert_eq!(read_text(text), Ok(expected.into()));
    }

    #[test]
    fn each_line_of_a_decision_log_is_a_client() {
        let text = "{\"client\":\"192.0.2.0/24\",\"name\":\"a\"}\n{\"client\":\"2001:db8::/56\"}\n\
                    {\"client\":\"192.0.2.0/24\"}\n";
        let expected = [("192.0.2.0/24", 2.0), ("2001:db8::/56", 1.0)];
        let expected = expected.map(|(prefix, n)| (prefix.to_owned(), n));
        assert_eq!(read_text(text), Ok(expected.into()));
    }

    #[test]
    fn faults_are_reported_where_they_are() {
        for (text, fault) in [
            (
                "192.0.2.0/24\n",
                "w.csv:1:1: `192.0.2.0/24` is no `PREFIX,COUNT`",
            ),
            ("# x\nhost,1\n", "w.csv:2:1: `host`: not an IP address"),
            (
                "192.0.2.1/24,1\n",
                "w.csv:1:1: `192.0.2.1/24`: address has bits set",
            ),
            ("192.0.2.0/24,-1\n", "w.csv:1:14: `-1` is no number"),
            ("192.0.2.0/24,NaN\n", "w.csv:1:14: `NaN` is no number"),
            ("192.0.2.0/24,1,2\n", "w.csv:1:14: `1,2` is no number"),
            (
                "{\"client\":7}\n",
                "w.csv:1:1: is no line of a decision log: its",
            ),
            (
                "{\"client\n",
                "w.csv:1:1: is no line of a decision log: EOF",
            ),
            ("", "w.csv:1:1: holds no clients"),
            ("192.0.2.0/24,0\n", "w.csv:1:1: holds no clients"),
        ] {
            let report = read_text(text).expect_err(text);
            assert!(report.contains(fault), "{text:?}: {report}");
        }
        let many = "x,1\n".repeat(25);
        let report = read_text(&many).expect_err("faults");
        assert_eq!(report.matches("not an IP address").count(), 20);
        assert!(
            report.contains("w.csv:1:1: 5 more lines are at fault"),
            "{report}"
        );
    }
}
