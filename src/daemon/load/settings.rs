//! The two files of settings, `meridian.toml` and `pools.toml`.

use std::path::Path;

use crate::base::diag::Report;
use crate::config;
use crate::config::model::Pools;
use crate::config::model::Process;
use crate::daemon::files::read_text;
use crate::daemon::load::reader::Moving;
use crate::daemon::load::reader::Reader;

/// Reads `meridian.toml`.
///
/// # Errors
/// Every fault of the file.
pub fn process(path: &Path) -> Result<(Process, Report), Report> {
    let mut report = Report::default();
    let Some(text) = read_text(path, &mut report) else {
        return Err(report);
    };
    let defaults = config::Defaults {
        host_name: host_name(),
    };
    match config::process(&source(path, &text), &defaults, &mut report) {
        Some(process) if !report.has_errors() => Ok((process, report)),
        _ => Err(report),
    }
}

/// This machine's name, for `[health] vantage`.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "local".into(),
        name => name.into(),
    }
}

/// Reads `pools.toml`; `None` after a fault, which is reported.
pub(super) fn pools(
    process: &Process,
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> Option<Pools> {
    let Some(path) = &process.pools else {
        return Some(Pools::default());
    };
    match reader.text(path, report) {
        Ok(text) => config::pools(&source(path, &text?), &process.safety, report),
        Err(Moving { before }) => Some(before.config.pools.clone()),
    }
}

fn source<'a>(path: &'a Path, text: &'a str) -> config::Source<'a> {
    config::Source {
        file: path.to_string_lossy().into(),
        dir: path.parent().unwrap_or(Path::new("")),
        text,
    }
}
