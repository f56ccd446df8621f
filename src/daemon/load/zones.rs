//! The zone files.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::fnv::fnv1a;
use crate::base::name::Name;
use crate::base::serial;
use crate::config::model::Pools;
use crate::config::model::Process;
use crate::daemon::files;
use crate::daemon::files::Listing;
use crate::daemon::files::MAX_DATA_LEN;
use crate::daemon::files::ReadError;
use crate::daemon::kept::Store;
use crate::daemon::load::journal;
use crate::daemon::load::journal::ZoneJournal;
use crate::daemon::load::origins;
use crate::daemon::load::origins::Origin;
use crate::daemon::load::reader::Reader;
use crate::daemon::load::reader::Source;
use crate::state::plan::owners_by_zone;
use crate::zone::ComputedOwner;
use crate::zone::Zone;
use crate::zone::master;
use crate::zone::set::ZoneSet;

/// A zone and what it was compiled from.
#[derive(Clone, Debug)]
pub(super) struct LoadedZone {
    pub(super) path: PathBuf,
    /// The file and everything it includes.
    sources: Vec<Source>,
    pub(super) owners: Vec<ComputedOwner>,
    /// As it is served, with its dynamic updates.
    pub(super) zone: Arc<Zone>,
    /// Of its dynamic updates; `None` if there never were any.
    pub(super) journal: Option<ZoneJournal>,
    warnings: Report,
}

/// A hash of `pools.toml` and the zones' files, the same on every machine that has the same.
pub(super) fn digest(pools: u64, zones: &[LoadedZone]) -> u64 {
    let mut zones: Vec<_> = zones.iter().collect();
    zones.sort_by_key(|loaded| loaded.zone.apex().plain());
    let mut text = format!("{pools:x}");
    for LoadedZone { zone, sources, .. } in zones {
        text.push_str(&format!("\n{}", zone.apex().plain()));
        for source in sources {
            text.push_str(&format!(" {:x}", source.hash));
        }
    }
    fnv1a(text.as_bytes())
}

/// Warns of zones whose secondaries will not fetch a change, because the serial does not show it.
///
/// `newest` holds the newest serial that each zone was served with since the start: secondaries that have
/// fetched it stay there, however often the zone is edited at a lower one.
pub(super) fn check_serials(
    process: &Process,
    before: Option<&ZoneSet>,
    zones: &[LoadedZone],
    newest: &mut HashMap<Name, u32>,
    report: &mut Report,
) {
    let before = before.into_iter().flat_map(ZoneSet::iter);
    let known: HashMap<&Name, &Arc<Zone>> = before.map(|zone| (zone.apex(), zone)).collect();
    let secondaries = &process.secondaries;
    for LoadedZone { path, zone, .. } in zones {
        let new = zone.serial();
        let mut newest = match newest.entry(zone.apex().clone()) {
            Entry::Occupied(newest) => newest,
            Entry::Vacant(entry) => {
                entry.insert(new);
                continue;
            }
        };
        let same_as_before = |known: &&Arc<Zone>| {
            known.serial() != new || Arc::ptr_eq(known, zone) || known.has_same_records(zone)
        };
        let message = match serial::compare(*newest.get(), new) {
            Some(Ordering::Less) => {
                newest.insert(new);
                continue;
            }
            Some(Ordering::Equal) if known.get(zone.apex()).is_none_or(same_as_before) => continue,
            Some(Ordering::Equal) => format!(
                "zone changed but its SOA serial {new} did not; secondaries will not transfer it"
            ),
            Some(Ordering::Greater) | None => {
                let newest = newest.get();
                format!(
                    "SOA serial {new} is not newer than {newest}, which was served before (RFC 1982); \
                     secondaries will not transfer the zone until it is above {newest}"
                )
            }
        };
        if secondaries.iter().any(|s| s.has_zone(zone.apex())) {
            report.warning(Place::file(&path.to_string_lossy().into()), message);
        }
    }
}

/// The zones of a folder.
#[derive(Debug, Default)]
pub(super) struct LoadedZones {
    /// Without those at fault.
    pub(super) zones: Vec<LoadedZone>,
    /// With those at fault; `None` if the origins of some are not known.
    pub(super) apexes: Option<HashSet<Name>>,
}

/// No zones, as none are configured: steered names are then at fault.
pub(super) fn none(pools: &Pools, report: &mut Report) -> LoadedZones {
    owners_by_zone(pools, &[], report);
    LoadedZones {
        zones: Vec::new(),
        apexes: Some(HashSet::new()),
    }
}

/// Loads every zone of the folder, and takes over those of before that are still the same.
pub(super) fn load(
    folder: &Path,
    pools: &Pools,
    before: &Before<'_>,
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> LoadedZones {
    let listing = match reader.list(folder) {
        Ok(listing) => listing,
        Err(error) => {
            let fault = ReadError::from(error).fault("folder of zone files");
            report.error(files::place(folder), fault);
            return LoadedZones::default();
        }
    };
    if listing.zones.is_empty() {
        let fault = "holds no zone file, expected at least one such as `example.com.zone`";
        report.error(files::place(folder), fault);
        return LoadedZones::default();
    }
    let n_files = listing.zones.len();
    let named = with_origins(&listing, before.zones, reader, report);
    let apexes: Vec<Name> = by_apex(&named, report).into_keys().collect();
    let all_are_known = named.len() == n_files;
    let mut outside = Report::default();
    let owners = owners_by_zone(pools, &apexes, &mut outside);
    if all_are_known {
        report.append(outside);
    }
    let owners: HashMap<&Name, Vec<ComputedOwner>> = apexes.iter().zip(owners).collect();
    let mut zones = Vec::with_capacity(n_files);
    for (path, apex) in &named {
        let owners = owners.get(apex).map(Vec::as_slice).unwrap_or_default();
        zones.extend(zone(path, apex, owners, before, reader, report));
    }
    if zones.len() == n_files {
        warn_of_others(folder, &listing, reader, report);
    }
    LoadedZones {
        zones,
        apexes: all_are_known.then(|| apexes.into_iter().collect()),
    }
}

/// Each zone file with its origin, without those that have none, which is reported.
fn with_origins(
    listing: &Listing,
    before: &HashMap<PathBuf, LoadedZone>,
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> Vec<(PathBuf, Name)> {
    let mut named = Vec::with_capacity(listing.zones.len());
    for path in &listing.zones {
        let apex = match origins::of_file_name(path) {
            Ok(Origin::Named(apex)) => Ok(apex),
            Ok(Origin::Inside) => origin_inside(path, before.get(path), reader, report),
            Err(fault) => Err(fault),
        };
        match apex {
            Ok(apex) => named.push((path.clone(), apex)),
            Err(fault) => {
                reader.note_unread(path);
                report.error(files::place(path), fault);
            }
        }
    }
    named
}

/// The origin that a file's first line gives: that of before if the file is still the same.
fn origin_inside(
    path: &Path,
    known: Option<&LoadedZone>,
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> Result<Name, String> {
    if let Some(known) = known
        && let Some((source, _)) = known.sources.split_first()
        && reader
            .unchanged(std::slice::from_ref(source), MAX_DATA_LEN, report)
            .is_some()
    {
        return Ok(known.zone.apex().clone());
    }
    let read = reader.read(path, MAX_DATA_LEN);
    let (octets, _) = read.map_err(|error| error.fault("file"))?;
    origins::of_first_line(&octets)
}

/// The file of each zone; a zone with two files is reported.
fn by_apex<'a>(named: &'a [(PathBuf, Name)], report: &mut Report) -> HashMap<Name, &'a Path> {
    let mut files: HashMap<Name, &Path> = HashMap::with_capacity(named.len());
    for (path, apex) in named {
        match files.entry(apex.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(path);
            }
            Entry::Occupied(entry) => {
                let other = entry.get().display();
                let message = format!(
                    "holds zone `{apex}`, and so does `{other}`, expected one file for a zone"
                );
                report.error(files::place(path), message);
            }
        }
    }
    files
}

fn zone(
    path: &Path,
    apex: &Name,
    owners: &[ComputedOwner],
    before: &Before<'_>,
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> Option<LoadedZone> {
    let known = before.of(path, apex, owners);
    if let Some(known) = known
        && let Some(sources) = reader.unchanged(&known.sources, MAX_DATA_LEN, report)
    {
        report.append(known.warnings.clone());
        return Some(LoadedZone {
            sources,
            ..known.clone()
        });
    }
    let is_moving = reader.is_moving(path);
    let mut warnings = Report::default();
    let of = Definition {
        path,
        apex,
        owners,
        state_dir: before.state_dir,
    };
    if let Some(loaded) = of.compile(reader, &mut warnings) {
        report.append(warnings.clone());
        return Some(LoadedZone { warnings, ..loaded });
    }
    if !is_moving && !before.isolate {
        report.append(warnings);
        return None;
    }
    let kept = before.recover(path, apex, owners);
    if kept.is_none() && !owners.is_empty() {
        report.append(warnings);
        return None;
    }
    let why = if is_moving {
        "is being written"
    } else {
        "is faulty"
    };
    let outcome = match &kept {
        Some(_) => "the zone keeps its last good content",
        None => "the zone is left out, as there is no last good content",
    };
    report.warning(files::place(path), format!("{why}: {outcome}"));
    if !is_moving {
        report.append(warnings.into_warnings());
    }
    for source in kept.iter().flat_map(|kept| &kept.sources) {
        reader.keep(&source.path);
    }
    kept
}

/// What there was before, for zones that are still the same, and for those that are at fault.
#[derive(Debug)]
pub(super) struct Before<'a> {
    /// The zones of the load before, by path.
    pub(super) zones: &'a HashMap<PathBuf, LoadedZone>,
    /// Where the last good copy of all files is. It is looked at only if it is needed: the disk may hang.
    pub(super) state_dir: Option<&'a Path>,
    /// Whether faulty zones keep their last good content.
    pub(super) isolate: bool,
}

impl Before<'_> {
    /// The zone of a file as it was compiled for these owners.
    fn of(&self, path: &Path, apex: &Name, owners: &[ComputedOwner]) -> Option<&LoadedZone> {
        let known = self.zones.get(path)?;
        (known.zone.apex() == apex && same_owners(&known.owners, owners)).then_some(known)
    }

    /// The last good content of a zone: from memory, or compiled again from the copy if other names are
    /// steered.
    fn recover(&self, path: &Path, apex: &Name, owners: &[ComputedOwner]) -> Option<LoadedZone> {
        if let Some(known) = self.of(path, apex, owners) {
            return Some(known.clone());
        }
        let copy = Store::of(self.state_dir?).current()?;
        let mut reader = Reader::of_copy(&copy);
        let mut warnings = Report::default();
        let of = Definition {
            path,
            apex,
            owners,
            state_dir: self.state_dir,
        };
        let loaded = of.compile(&mut reader, &mut warnings)?;
        Some(LoadedZone { warnings, ..loaded })
    }
}

/// Whether a zone compiled for some owners serves for others; where they were written is no matter.
fn same_owners(a: &[ComputedOwner], b: &[ComputedOwner]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| (&a.owner, a.computed) == (&b.owner, b.computed))
}

/// What a zone is compiled from.
struct Definition<'a> {
    path: &'a Path,
    apex: &'a Name,
    owners: &'a [ComputedOwner],
    /// Where its dynamic updates are.
    state_dir: Option<&'a Path>,
}

impl Definition<'_> {
    /// Compiles the zone from its file and all it includes, with its dynamic updates; `None` after a fault,
    /// which is reported.
    fn compile(&self, reader: &mut Reader<'_>, report: &mut Report) -> Option<LoadedZone> {
        let (octets, source) = match reader.read(self.path, MAX_DATA_LEN) {
            Ok(read) => read,
            Err(error) => {
                report.error(files::place(self.path), error.fault("file"));
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
        let file: Arc<str> = self.path.to_string_lossy().into();
        let records = master::read(&file, &octets, self.apex, &mut include, report);
        drop(octets);
        if report.has_errors() {
            return None;
        }
        let zone = Zone::compile(self.apex, &file, records, self.owners, report)?;
        let (zone, journal) = journal::overlay(zone, self.owners, self.state_dir, report)?;
        (!report.has_errors()).then(|| LoadedZone {
            path: self.path.to_owned(),
            sources,
            owners: self.owners.to_vec(),
            zone: Arc::new(zone),
            journal,
            warnings: Report::default(),
        })
    }
}

/// How many files or names a warning lists.
const MAX_LISTED: usize = 5;

/// Names the files of the folder that nothing was read from.
fn warn_of_others(folder: &Path, listing: &Listing, reader: &Reader<'_>, report: &mut Report) {
    let others = listing.others.iter().filter(|path| !reader.has_seen(path));
    let names = others.map(|path| path.file_name().unwrap_or_default().to_string_lossy());
    if let Some(list) = list_of(names, MAX_LISTED) {
        let message = format!("{list}: not loaded, as zone files end in `.zone`");
        report.warning(files::place(folder), message);
    }
}

/// The first of some names and the number of the others; `None` if there are none.
pub(super) fn list_of(
    names: impl Iterator<Item = impl std::fmt::Display>,
    max: usize,
) -> Option<String> {
    let (mut list, mut n_others) = (Vec::new(), 0);
    for name in names {
        if list.len() < max {
            list.push(format!("`{name}`"));
        } else {
            n_others += 1;
        }
    }
    if n_others > 0 {
        list.push(format!("and {n_others} more"));
    }
    (!list.is_empty()).then(|| list.join(", "))
}
