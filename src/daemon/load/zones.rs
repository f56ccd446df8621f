//! The zone files.

use std::collections::HashMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::diag::Report;
use crate::base::name::Name;
use crate::config::model::Pools;
use crate::config::model::Process;
use crate::daemon::files;
use crate::daemon::files::MAX_DATA_LEN;
use crate::daemon::files::ReadError;
use crate::daemon::load::reader::Reader;
use crate::daemon::load::reader::Source;
use crate::state::plan::owners_by_zone;
use crate::zone::SteeredOwner;
use crate::zone::Zone;
use crate::zone::master;

/// A zone and what it was compiled from.
#[derive(Clone, Debug)]
pub(super) struct LoadedZone {
    pub(super) path: PathBuf,
    /// The file and everything it includes.
    sources: Vec<Source>,
    owners: Vec<SteeredOwner>,
    pub(super) zone: Arc<Zone>,
    warnings: Report,
}

/// The apexes of all zones of the folder, and the zones: those of before where they are still the same,
/// without those at fault, which is reported; `None` if the folder cannot be listed.
pub(super) fn load(
    process: &Process,
    pools: &Pools,
    before: &HashMap<PathBuf, LoadedZone>,
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> Option<(Vec<Name>, Vec<LoadedZone>)> {
    let paths = match &process.zones {
        Some(folder) => match reader.list(folder) {
            Ok(listing) => listing.zones,
            Err(error) => {
                let fault = ReadError::from(error).fault("folder of zone files");
                report.error(files::place(folder), fault);
                return None;
            }
        },
        None => Vec::new(),
    };
    let named: Vec<(PathBuf, Name)> = paths
        .into_iter()
        .filter_map(|path| with_origin(path, report))
        .collect();
    let apexes: Vec<Name> = named.iter().map(|(_, apex)| apex.clone()).collect();
    let owners = owners_by_zone(&pools.steered, &apexes, report);
    let named = named.into_iter().zip(owners);
    let zones = named.filter_map(|((path, apex), owners)| {
        let known = before.get(&path);
        zone(path, &apex, owners, known, reader, report)
    });
    let zones = zones.collect();
    Some((apexes, zones))
}

fn zone(
    path: PathBuf,
    apex: &Name,
    owners: Vec<SteeredOwner>,
    known: Option<&LoadedZone>,
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> Option<LoadedZone> {
    if let Some(known) = known.filter(|known| same_owners(&known.owners, &owners))
        && let Some(sources) = reader.unchanged(&known.sources, MAX_DATA_LEN, report)
    {
        report.append(known.warnings.clone());
        return Some(LoadedZone {
            sources,
            ..known.clone()
        });
    }
    let mut warnings = Report::default();
    let compiled = compile(&path, apex, &owners, reader, &mut warnings);
    report.append(warnings.clone());
    let (zone, sources) = compiled?;
    Some(LoadedZone {
        path,
        sources,
        owners,
        zone: Arc::new(zone),
        warnings,
    })
}

/// Whether a zone compiled for some owners serves for others; where they were written is no matter.
fn same_owners(a: &[SteeredOwner], b: &[SteeredOwner]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| (&a.owner, a.steered) == (&b.owner, b.steered))
}

/// Compiles a zone from its file and all it includes; `None` after a fault, which is reported.
fn compile(
    path: &Path,
    apex: &Name,
    owners: &[SteeredOwner],
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> Option<(Zone, Vec<Source>)> {
    let (octets, source) = match reader.read(path, MAX_DATA_LEN) {
        Ok(read) => read,
        Err(error) => {
            report.error(files::place(path), error.fault("file"));
            return None;
        }
    };
    let mut sources = vec![source];
    let mut include = |written: &str, from: &Arc<str>| {
        let dir = Path::new(&**from).parent().unwrap_or(Path::new(""));
        let path = dir.join(written);
        let (octets, source) = reader
            .read(&path, MAX_DATA_LEN)
            .map_err(|error| error.fault("file"))?;
        sources.push(source);
        Ok((path.to_string_lossy().into(), octets))
    };
    let file: Arc<str> = path.to_string_lossy().into();
    let records = master::read(&file, &octets, apex, &mut include, report);
    drop(octets);
    if report.has_errors() {
        return None;
    }
    let zone = Zone::compile(apex, &file, records, owners, report)?;
    (!report.has_errors()).then_some((zone, sources))
}
/// The origin that a zone file's name tells; `root.zone` is the root.
fn with_origin(path: PathBuf, report: &mut Report) -> Option<(PathBuf, Name)> {
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let apex = if stem == "root" {
        Ok(Name::root())
    } else {
        Name::parse(stem)
    };
    match apex {
        Ok(apex) => Some((path, apex)),
        Err(error) => {
            report.error(
                files::place(&path),
                format!(
                    "file name is no origin: {error}, expected a name such as `example.com.zone`"
                ),
            );
            None
        }
    }
}
