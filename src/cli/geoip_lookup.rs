//! `geoip lookup`: what a database says of an address, and what Meridian makes of it.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::Result;
use serde_json::Value;
use serde_json::json;

use crate::base::diag::one_line;
use crate::cli::out;
use crate::daemon::files;
use crate::mmdb::database::Database;
use crate::mmdb::record::Record;

/// Looks addresses up.
pub fn run(file: &Path, addresses: &[IpAddr], is_json: bool) -> Result<ExitCode> {
    let name = || file.display().to_string();
    let bytes = files::read(file, files::MAX_DATA_LEN).with_context(name)?;
    let database = Database::open(bytes).with_context(name)?;
    let mut all = Vec::new();
    for address in addresses {
        let entry = database.lookup(address.to_canonical());
        let found = match &entry {
            Some(entry) => {
                let record = entry.record().with_context(name)?;
                json!({
                    "address": address,
                    "network": entry.network.to_string(),
                    "record": entry.json(),
                    "meaning": meaning(&record),
                })
            }
            None => json!({ "address": address, "network": null, "record": null, "meaning": null }),
        };
        all.push(found);
    }
    let text = match is_json {
        true => format!("{:#}\n", Value::Array(all)),
        false => all.iter().map(as_text).collect(),
    };
    out::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What Meridian makes of a record.
fn meaning(record: &Record) -> Value {
    let subdivisions = record.subdivisions();
    let subdivisions: Vec<_> = subdivisions.iter().map(ToString::to_string).collect();
    json!({
        "continent": record.continent().map(|continent| continent.as_str()),
        "country": record.country().map(|country| country.to_string()),
        "subdivisions": subdivisions,
        "city": record.city(),
        "city_id": record.city_id(),
        "coordinates": record.point().map(|point| [point.latitude, point.longitude]),
        "asn": record.asn(),
    })
}

fn as_text(found: &Value) -> String {
    let plain = |value: &Value| match value {
        Value::String(text) => one_line(text).into_owned(),
        other => one_line(&other.to_string()).into_owned(),
    };
    let mut text = format!("{}\n", plain(&found["address"]));
    // Writing to a string cannot fail.
    if found["network"].is_null() {
        let _ = writeln!(text, "  not in the database");
        return text;
    }
    let _ = writeln!(text, "  {:<13}{}", "network", plain(&found["network"]));
    let known = found["meaning"].as_object().into_iter().flatten();
    for (name, value) in known.filter(|(_, value)| !value.is_null() && **value != json!([])) {
        let value = match value.as_array() {
            Some(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
            None => plain(value),
        };
        let _ = writeln!(text, "  {name:<13}{value}");
    }
    let _ = writeln!(text, "  {:<13}{}", "record", plain(&found["record"]));
    text
}
