//! The loader: the only code that opens configuration, zones and databases.
//!
//! `check`, `serve`, a reload and the offline commands all call it, so that what passes one passes the
//! others. It reports every fault of every file at once and gives either a whole plan or none. What
//! has not changed on disk since the load before is taken over, not read again.

use std::collections::HashMap;
use std::collections::HashSet;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::admin::auth::Token;
use crate::base::diag::LineIndex;
use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::location::Continent;
use crate::base::location::Country;
use crate::base::location::Point;
use crate::base::name::Name;
use crate::config;
use crate::config::model::Config;
use crate::config::model::Pools;
use crate::config::model::Process;
use crate::config::model::ZoneRef;
use crate::daemon::files::FileSet;
use crate::daemon::files::MAX_DATA_LEN;
use crate::daemon::files::MAX_SETTINGS_LEN;
use crate::daemon::files::Stamp;
use crate::daemon::files::ZONE_EXTENSION;
use crate::daemon::secrets;
use crate::geo::atlas::Atlas;
use crate::geo::atlas::MmdbError;
use crate::geo::atlas::Which;
use crate::geo::rules::Matcher;
use crate::live::random;
use crate::mmdb::countries;
use crate::state::plan::Plan;
use crate::state::plan::owners_by_zone;
use crate::wire::cookie::Secret;
use crate::zone::SteeredOwner;
use crate::zone::Zone;
use crate::zone::master;
use crate::zone::master::Record;
use crate::zone::set::ZoneSet;

/// The database that serves where none is configured.
const EMBEDDED: &[u8] = include_bytes!("../../geoip/world-country.mmdb");

/// The embedded country database.
///
/// # Errors
/// Never, as a test holds.
pub fn embedded_atlas() -> Result<Atlas, MmdbError> {
    Atlas::read(EMBEDDED.to_vec(), None, &centre_of)
}

/// What is known of a country without a database.
fn centre_of(code: Country) -> Option<(Continent, Point)> {
    countries::country(code).map(|info| (info.continent, info.centre))
}

/// Reads `meridian.toml`.
///
/// # Errors
/// Every fault of the file.
pub fn process(path: &Path) -> Result<(Process, Report), Report> {
    let mut report = Report::default();
    let file: Arc<str> = path.to_string_lossy().into();
    let mut unwatched = FileSet::default();
    let Some(text) = read_text(&mut unwatched, path, &file, MAX_SETTINGS_LEN, &mut report) else {
        return Err(report);
    };
    let dir = path.parent().unwrap_or(Path::new(""));
    let source = config::Source {
        file,
        dir,
        text: &text,
    };
    let defaults = config::Defaults {
        host_name: host_name(),
    };
    match config::process(&source, &defaults, &mut report) {
        Some(process) if !report.has_errors() => Ok((process, report)),
        _ => Err(report),
    }
}

/// Reads the admin API's token; `None` if no file is configured, or after a fault, which is reported.
pub fn token(process: &Process, report: &mut Report) -> Option<Token> {
    let path = process.admin.as_ref()?.token_file.as_ref()?;
    let file: Arc<str> = path.to_string_lossy().into();
    let mut unwatched = FileSet::default();
    let text = read_text(&mut unwatched, path, &file, MAX_SETTINGS_LEN, report)?;
    match Token::parse(&text) {
        Ok(token) => Some(token),
        Err(fault) => {
            report.error(Place::file(&file), fault.to_string());
            None
        }
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

/// Files as they were when they were read.
type Stamps = Vec<(PathBuf, Option<Stamp>)>;

/// Loads plans for one process, again and again.
#[derive(Debug)]
pub struct Loader {
    process: Process,
    n_shards: usize,
    seen: FileSet,
    /// By path.
    zones: HashMap<PathBuf, LoadedZone>,
    atlas: Option<Arc<Atlas>>,
    /// What cookies are made with where no file is configured.
    own_secret: Secret,
}

/// A zone and what it was compiled from.
#[derive(Clone, Debug)]
struct LoadedZone {
    path: PathBuf,
    /// The file and everything it includes.
    stamps: Stamps,
    owners: Vec<SteeredOwner>,
    zone: Arc<Zone>,
    warnings: Report,
}

/// What a load gives: the plan, and what the operator should know all the same.
#[derive(Debug)]
pub struct Loaded {
    /// The plan.
    pub plan: Plan,
    /// Warnings.
    pub report: Report,
}

impl Loader {
    /// A loader for a process that counts in `n_shards` shards.
    pub fn new(process: Process, n_shards: usize) -> Self {
        Self {
            process,
            n_shards,
            seen: FileSet::default(),
            zones: HashMap::new(),
            atlas: None,
            own_secret: random::octets(),
        }
    }

    /// What the load before looked at.
    pub fn seen(&self) -> &FileSet {
        &self.seen
    }

    /// Reads everything and compiles it. After an error the loader still remembers what it looked at,
    /// so that a watcher waits for the next change.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load(&mut self, before: Option<&Plan>) -> Result<Loaded, Report> {
        let mut report = Report::default();
        let mut seen = FileSet::default();
        let pools = self.pools(&mut seen, &mut report);
        let zones = self.zones(&mut seen, pools.as_ref(), &mut report);
        let atlas = self.atlas(&mut seen, &mut report);
        let cookie_secrets =
            secrets::cookies(&self.process, self.own_secret, &mut seen, &mut report);
        let keyring = secrets::keyring(&self.process, &mut seen, &mut report);
        self.seen = seen;
        let (Some(pools), Some(zones), Some(atlas)) = (pools, zones, atlas) else {
            return Err(report);
        };
        warn_of_idle_rules(&pools, &atlas, &mut report);
        check_secondaries(&self.process, &zones, &mut report);
        if report.has_errors() {
            return Err(report);
        }
        let set = ZoneSet::new(
            zones
                .iter()
                .map(|loaded| Arc::clone(&loaded.zone))
                .collect(),
        );
        self.zones = zones.into_iter().map(|z| (z.path.clone(), z)).collect();
        self.atlas = Some(Arc::clone(&atlas));
        let config = Arc::new(Config {
            process: self.process.clone(),
            pools,
        });
        let plan = Plan {
            cookie_secrets,
            keyring,
            ..Plan::compile(config, set, atlas, self.n_shards, before)
        };
        Ok(Loaded { plan, report })
    }

    fn pools(&self, seen: &mut FileSet, report: &mut Report) -> Option<Pools> {
        let Some(path) = &self.process.pools else {
            return Some(Pools::default());
        };
        let file: Arc<str> = path.to_string_lossy().into();
        let text = read_text(seen, path, &file, MAX_SETTINGS_LEN, report)?;
        let dir = path.parent().unwrap_or(Path::new(""));
        config::pools(
            &config::Source {
                file,
                dir,
                text: &text,
            },
            &self.process.safety,
            report,
        )
    }

    /// Every zone, or `None` if one of them is at fault. Without pools, zones are still checked, but
    /// as if nothing were steered.
    fn zones(
        &self,
        seen: &mut FileSet,
        pools: Option<&Pools>,
        report: &mut Report,
    ) -> Option<Vec<LoadedZone>> {
        let steered = pools.map_or(&[][..], |pools| &pools.steered);
        let paths = match &self.process.zones {
            Some(folder) => match seen.list(folder, ZONE_EXTENSION) {
                Ok(paths) => paths,
                Err(error) => {
                    let place = Place::file(&folder.to_string_lossy().into());
                    report.error(place, cannot_read("folder of zone files", &error));
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
        let owners = owners_by_zone(steered, &apexes, report);
        let zones: Vec<Option<LoadedZone>> = named
            .into_iter()
            .zip(owners)
            .map(|((path, apex), owners)| self.zone(seen, path, &apex, owners, report))
            .collect();
        zones.into_iter().collect()
    }

    fn zone(
        &self,
        seen: &mut FileSet,
        path: PathBuf,
        apex: &Name,
        owners: Vec<SteeredOwner>,
        report: &mut Report,
    ) -> Option<LoadedZone> {
        let known = self
            .zones
            .get(&path)
            .filter(|known| same_owners(&known.owners, &owners));
        if let Some(known) = known
            && known
                .stamps
                .iter()
                .all(|(path, stamp)| Stamp::of(path) == *stamp)
        {
            for (path, stamp) in &known.stamps {
                seen.keep(path, *stamp);
            }
            report.append(known.warnings.clone());
            return Some(known.clone());
        }
        let mut warnings = Report::default();
        let file: Arc<str> = path.to_string_lossy().into();
        let (records, stamps) = read_zone(seen, &path, &file, apex, &mut warnings);
        let zone = records.and_then(|records| {
            Zone::compile(apex, &file, records, &owners, &mut warnings).map(Arc::new)
        });
        report.append(warnings.clone());
        Some(LoadedZone {
            path,
            stamps,
            owners,
            zone: zone?,
            warnings,
        })
    }

    fn atlas(&self, seen: &mut FileSet, report: &mut Report) -> Option<Arc<Atlas>> {
        let geoip = &self.process.geoip;
        let paths: Vec<&PathBuf> = geoip.database.iter().chain(&geoip.asn_database).collect();
        if let Some(atlas) = &self.atlas
            && paths
                .iter()
                .all(|path| self.seen.stamp(path) == Stamp::of(path))
        {
            for path in paths {
                seen.keep(path, self.seen.stamp(path));
            }
            return Some(Arc::clone(atlas));
        }
        let place = |path: &Path, written: &Option<Place>| {
            let at = || Place::file(&path.to_string_lossy().into());
            written.clone().unwrap_or_else(at)
        };
        let mut read = |path: &PathBuf, written: &Option<Place>| match seen.read(path, MAX_DATA_LEN)
        {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let message = format!("`{}`: {}", path.display(), cannot_read("MMDB file", &error));
                report.error(place(path, written), message);
                None
            }
        };
        let database = match &geoip.database {
            Some(path) => read(path, &geoip.database_place),
            None => Some(EMBEDDED.to_vec()),
        };
        let asn_database = match &geoip.asn_database {
            Some(path) => Some(read(path, &geoip.asn_database_place)?),
            None => None,
        };
        match Atlas::read(database?, asn_database, &centre_of) {
            Ok(atlas) => Some(Arc::new(atlas)),
            Err(error) => {
                let (path, written) = match error.which {
                    Which::Locations => (&geoip.database, &geoip.database_place),
                    Which::Systems => (&geoip.asn_database, &geoip.asn_database_place),
                };
                let path = path.as_deref().unwrap_or(Path::new("embedded database"));
                let message = format!("`{}`: {error}", path.display());
                report.error(place(path, written), message);
                None
            }
        }
    }
}

/// Reports zones that `[[secondary]]` names and that are not there.
fn check_secondaries(process: &Process, zones: &[LoadedZone], report: &mut Report) {
    let named = process.secondaries.iter().filter_map(|s| s.zones.as_ref());
    let apexes: HashSet<&Name> = zones.iter().map(|loaded| loaded.zone.apex()).collect();
    for ZoneRef { apex, place } in named.flatten() {
        if !apexes.contains(apex) {
            let message = format!("`{apex}` is none of the loaded zones, expected one of them");
            report.error(place.clone(), message);
        }
    }
}

/// Warns of rules that the databases can never match.
fn warn_of_idle_rules(pools: &Pools, atlas: &Atlas, report: &mut Report) {
    let has_subdivisions = atlas
        .locations()
        .iter()
        .any(|place| !place.subdivisions.is_empty());
    for steered in &pools.steered {
        for rule in &steered.rules {
            let missing = match &rule.matcher {
                Matcher::Asn(_) if atlas.about_asn().is_none() => {
                    "rules by asn match nobody without [geoip] asn_database"
                }
                Matcher::Subdivision(_) if !has_subdivisions => {
                    "rules by subdivision match nobody: the GeoIP database has no subdivisions"
                }
                _ => continue,
            };
            report.warning(rule.place.clone(), missing);
        }
    }
}

/// Whether a zone compiled for some owners serves for others; where they were written is no matter.
fn same_owners(a: &[SteeredOwner], b: &[SteeredOwner]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| (&a.owner, a.steered) == (&b.owner, b.steered))
}

/// Reads a zone file and all it includes; `None` if the file itself cannot be read.
fn read_zone(
    seen: &mut FileSet,
    path: &Path,
    file: &Arc<str>,
    apex: &Name,
    report: &mut Report,
) -> (Option<Vec<Record>>, Stamps) {
    let mut own = FileSet::default();
    let octets = match own.read(path, MAX_DATA_LEN) {
        Ok(octets) => octets,
        Err(error) => {
            report.error(Place::file(file), cannot_read("file", &error));
            return (None, stamps(seen, path, &[], &own));
        }
    };
    let mut included = Vec::new();
    let mut include = |written: &str, from: &Arc<str>| {
        let dir = Path::new(&**from).parent().unwrap_or(Path::new(""));
        let path = dir.join(written);
        included.push(path.clone());
        let octets = own
            .read(&path, MAX_DATA_LEN)
            .map_err(|error| cannot_read("file", &error))?;
        Ok((path.to_string_lossy().into(), octets))
    };
    let records = master::read(file, &octets, apex, &mut include, report);
    let stamps = stamps(seen, path, &included, &own);
    ((!report.has_errors()).then_some(records), stamps)
}

/// Notes the files of one zone in `seen`.
fn stamps(seen: &mut FileSet, path: &Path, included: &[PathBuf], own: &FileSet) -> Stamps {
    let paths = std::iter::once(path).chain(included.iter().map(PathBuf::as_path));
    let stamps: Stamps = paths
        .map(|path| (path.to_owned(), own.stamp(path)))
        .collect();
    for (path, stamp) in &stamps {
        seen.keep(path, *stamp);
    }
    stamps
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
            let place = Place::file(&path.to_string_lossy().into());
            report.error(
                place,
                format!(
                    "file name is no origin: {error}, expected a name such as `example.com.zone`"
                ),
            );
            None
        }
    }
}

/// What is said of bytes that are no text.
const NOT_UTF8: &str = "not UTF-8 text";

/// Reads a text file of at most `max_len` octets; what is wrong with it is reported.
pub(super) fn read_text(
    seen: &mut FileSet,
    path: &Path,
    file: &Arc<str>,
    max_len: u64,
    report: &mut Report,
) -> Option<String> {
    let bytes = match seen.read(path, max_len) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.error(Place::file(file), cannot_read("file", &error));
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
            let place = LineIndex::new(file, &text).place(valid);
            report.error(place, format!("{NOT_UTF8}, expected UTF-8"));
            None
        }
    }
}

fn cannot_read(what: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("not found, expected a {what}"),
        _ => format!("cannot be read: {error}, expected a readable {what}"),
    }
}
