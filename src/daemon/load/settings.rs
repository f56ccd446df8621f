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
    match read_process(path, &mut report) {
        Ok(process) => Ok((process, report)),
        Err(_) => Err(report),
    }
}

/// Reads `meridian.toml`; after a fault, what could be read of it, if it is text at all.
pub(super) fn read_process(
    path: &Path,
    report: &mut Report,
) -> Result<Process, Option<Box<Process>>> {
    let text = read_text(path, report).ok_or(None)?;
    let defaults = config::Defaults {
        host_name: host_name(),
    };
    config::process(&source(path, &text), &defaults, report).map_err(Some)
}

/// This machine's name, for `[health] vantage`.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "local".into(),
        name => name.into(),
    }
}

/// Reads `pools.toml`.
///
/// # Errors
/// After a fault, which is reported: with what could be read, for the zones to be checked with.
pub(super) fn pools(
    process: &Process,
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> Result<Pools, Pools> {
    let Some(path) = &process.pools else {
        return Ok(Pools::default());
    };
    match reader.text(path, report) {
        Ok(Some(text)) => config::pools(&source(path, &text), &process.safety, report),
        Ok(None) => Err(Pools::default()),
        Err(Moving { before }) => Ok(before.config.pools.clone()),
    }
}

fn source<'a>(path: &'a Path, text: &'a str) -> config::Source<'a> {
    config::Source {
        file: path.to_string_lossy().into(),
        dir: path.parent().unwrap_or(Path::new("")),
        text,
    }
}
