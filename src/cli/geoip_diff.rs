//! `geoip diff`: what another database says differently.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::Result;
use serde_json::json;

use crate::base::date::Date;
use crate::base::diag::one_line;
use crate::base::location::Country;
use crate::base::prefix::Family;
use crate::census::databases;
use crate::census::databases::Count;
use crate::census::databases::Differences;
use crate::cli::out;
use crate::cli::table;
use crate::daemon::files;
use crate::daemon::load::databases::read_locations;
use crate::geo::atlas::Atlas;

/// The most changes of country that are shown to people.
const MAX_SHOWN: usize = 20;

/// Compares two databases.
pub fn run(old: &Path, new: &Path, km: f64, is_json: bool) -> Result<ExitCode> {
    let (old, new) = (read(old)?, read(new)?);
    let found = databases::compare(&old, &new, km);
    let text = match is_json {
        true => format!("{:#}\n", as_json(&old, &new, km, &found)),
        false => as_text(&old, &new, km, &found),
    };
    out::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a location database as a server does.
pub fn read(path: &Path) -> Result<Atlas> {
    let name = || path.display().to_string();
    let bytes = files::read(path, files::MAX_DATA_LEN).with_context(name)?;
    read_locations(bytes).with_context(name)
}

fn rows(km: f64, found: &Differences) -> [(String, Count); 5] {
    [
        ("in another country".to_owned(), found.country),
        ("in another city".to_owned(), found.city),
        (format!("moved by more than {km} km"), found.moved),
        ("newly located".to_owned(), found.gained),
        ("no longer located".to_owned(), found.lost),
    ]
}

fn percent(count: Count, found: &Differences, family: Family) -> f64 {
    100.0 * count[family] / f64::max(found.located[family], 1.0)
}

fn as_text(old: &Atlas, new: &Atlas, km: f64, found: &Differences) -> String {
    let mut text = String::new();
    for (name, atlas) in [("old", old), ("new", new)] {
        let about = atlas.about();
        let built = Date::from_epoch(about.build_epoch);
        let edition = one_line(&about.database_type);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}  {edition}, built {built}");
    }
    let share = |count, family| format!("{:.2} %", percent(count, found, family));
    let row =
        |(what, count): (String, Count)| [what, share(count, Family::V4), share(count, Family::V6)];
    let changes = found.by_country.iter().take(MAX_SHOWN);
    let changes =
        changes.map(|([from, to], count)| (format!("{} to {}", code(*from), code(*to)), *count));
    text.push('\n');
    text += &table::lines(
        ["located addresses", "IPv4", "IPv6 /48s"],
        &[1, 2],
        rows(km, found).into_iter().map(row),
    );
    if !found.by_country.is_empty() {
        text.push('\n');
        text += &table::lines(["country", "IPv4", "IPv6 /48s"], &[1, 2], changes.map(row));
    }
    if let Some(n @ 1..) = found.by_country.len().checked_sub(MAX_SHOWN) {
        let _ = writeln!(text, "and {n} more (--json shows all)");
    }
    text
}

fn code(country: Option<Country>) -> String {
    country.map_or_else(|| "unknown".to_owned(), |country| country.to_string())
}

fn as_json(old: &Atlas, new: &Atlas, km: f64, found: &Differences) -> serde_json::Value {
    let about = |atlas: &Atlas| {
        let about = atlas.about();
        json!({ "type": about.database_type, "built": about.build_epoch })
    };
    let count = |count: &Count| json!({ "ipv4": count.v4, "ipv6_48": count.v6 });
    let by_country = found.by_country.iter().map(|([from, to], n)| {
        let [from, to] = [from, to].map(|country| country.as_ref().map(ToString::to_string));
        json!({ "from": from, "to": to, "addresses": count(n) })
    });
    json!({
        "old": about(old),
        "new": about(new),
        "km": km,
        "located": count(&found.located),
        "country": count(&found.country),
        "city": count(&found.city),
        "moved": count(&found.moved),
        "gained": count(&found.gained),
        "lost": count(&found.lost),
        "by_country": by_country.collect::<Vec<_>>(),
    })
}
