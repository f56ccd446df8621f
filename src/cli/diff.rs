//! `diff`: what other files would change of what the running server serves.

use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::Result;

use crate::admin::difference::Changes;
use crate::admin::difference::Difference;
use crate::admin::difference::NameMoves;
use crate::admin::difference::Records;
use crate::cli::out;
use crate::cli::remote;
use crate::cli::shares;

/// What is compared.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Another meridian.toml, which the server reads [default: the files that it was started with, as they are now]
    new: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: remote::ServerOptions,
}

/// The most changes that are listed of each kind; JSON has more.
const MAX_LISTED: usize = 20;

/// Compares.
pub fn run(config: &Path, options: &Options) -> Result<ExitCode> {
    let remote = options.server.remote(config)?;
    let difference: Difference = match &options.new {
        None => remote.get("/api/v1/diff", &[])?,
        Some(path) => {
            let path = std::path::absolute(path).with_context(|| path.display().to_string())?;
            remote.get_with_token("/api/v1/diff", &[("config", &path.to_string_lossy())])?
        }
    };
    out::print(&match options.json {
        true => format!("{}\n", serde_json::to_string_pretty(&difference)?),
        false => render(&difference),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The difference for a person.
fn render(difference: &Difference) -> String {
    let mut text = String::new();
    for warning in &difference.warnings {
        let _ = writeln!(text, "{warning}");
    }
    write_changes(&mut text, "pool", &difference.pools);
    write_changes(&mut text, "name", &difference.names);
    for zone in &difference.zones {
        let serial = |serial: Option<u32>| serial.map_or("none".to_owned(), |n| n.to_string());
        let (before, after) = (serial(zone.serial_before), serial(zone.serial_after));
        let (n_added, n_removed) = (zone.added.count, zone.removed.count);
        let _ = writeln!(
            text,
            "zone {}: {n_added} records added, {n_removed} removed, serial {before} to {after}",
            zone.apex
        );
        write_records(&mut text, '-', &zone.removed);
        write_records(&mut text, '+', &zone.added);
    }
    for NameMoves {
        name,
        family,
        moved,
    } in &difference.moves
    {
        let percent = shares::percent(moved.share);
        let _ = writeln!(
            text,
            "\n{name} ({family}): {percent} of the located clients leave their pool"
        );
        shares::write_moves(&mut text, moved);
    }
    if text.is_empty() {
        text.push_str("nothing would change\n");
    } else if difference.moves.is_empty() {
        text.push_str("no clients would move\n");
    }
    for reason in &difference.refused {
        let _ = writeln!(text, "\nwould be refused: {reason}");
    }
    text
}

fn write_changes(text: &mut String, what: &str, changes: &Changes) {
    let added = changes.added.iter().map(|name| format!("+ {what} {name}"));
    let removed = changes
        .removed
        .iter()
        .map(|name| format!("- {what} {name}"));
    let changed = changes.changed.iter();
    let changed = changed.map(|one| format!("~ {what} {}: {}", one.name, one.keys.join(", ")));
    write_some(text, removed.chain(added).chain(changed).collect());
}

fn write_records(text: &mut String, sign: char, records: &Records) {
    let lines = records
        .first
        .iter()
        .map(|record| format!("  {sign} {record}"));
    let n = records.count;
    write_listed(text, lines.collect(), n);
}

fn write_some(text: &mut String, lines: Vec<String>) {
    let n = lines.len();
    write_listed(text, lines, n);
}

/// The first of `n` lines, of which some are given.
fn write_listed(text: &mut String, mut lines: Vec<String>, n: usize) {
    lines.truncate(MAX_LISTED);
    for line in &lines {
        let _ = writeln!(text, "{line}");
    }
    if n > lines.len() {
        let _ = writeln!(text, "  and {} more", n - lines.len());
    }
}
