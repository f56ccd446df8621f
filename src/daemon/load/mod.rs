//! The loader: the only code that opens configuration, zones and databases.
//!
//! `check`, `serve`, a reload and the offline commands all call it, so that what passes one passes the
//! others. It reports every fault of every file at once and gives either a whole plan or none. What
//! has not changed on disk since the load before is taken over, not read again, unless somebody asks
//! for a reload: then everything is read, and taken over where it holds what it held.

mod databases;
mod reader;
mod secrets;
mod settings;
mod zones;

use std::collections::HashMap;
use std::collections::HashSet;
use std::hash::RandomState;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::diag::Report;
use crate::base::name::Name;
use crate::config::model::Config;
use crate::config::model::Pools;
use crate::config::model::Process;
use crate::config::model::ZoneRef;
use crate::daemon::files::FileSet;
use crate::daemon::load::databases::LoadedAtlas;
use crate::daemon::load::reader::Reader;
use crate::daemon::load::zones::LoadedZone;
use crate::daemon::memory::memory_sys;
use crate::geo::atlas::Atlas;
use crate::geo::rules::Matcher;
use crate::live::random;
use crate::state::correspondence::Correspondence;
use crate::state::plan::Plan;
use crate::wire::cookie::Secret;
use crate::zone::set::ZoneSet;

pub use self::databases::embedded_atlas;
pub use self::reader::Trigger;
pub use self::settings::process;

/// Loads plans for one process, again and again.
#[derive(Debug)]
pub struct Loader {
    process: Process,
    n_shards: usize,
    seen: FileSet,
    /// By path.
    zones: HashMap<PathBuf, LoadedZone>,
    atlas: Option<LoadedAtlas>,
    /// What cookies are made with where no file is configured.
    own_secret: Secret,
    /// What the content of files is hashed with, to tell whether it is still the same.
    hashes: RandomState,
}

/// What a load gives: the plan, and what the operator should know all the same.
#[derive(Debug)]
pub struct Loaded {
    /// The plan.
    pub plan: Plan,
    /// What of it was in the plan before.
    pub correspondence: Correspondence,
    /// Warnings.
    pub report: Report,
}

/// Reads `meridian.toml` for a command that goes on to load everything that it names.
///
/// # Errors
/// Every fault of the file, and of the others as far as it still tells which they are.
pub fn process_or_all_faults(path: &Path) -> Result<(Process, Report), Report> {
    let mut report = Report::default();
    let process = match settings::read_process(path, &mut report) {
        Ok(process) => return Ok((process, report)),
        Err(process) => process,
    };
    if let Some(process) = process {
        let has_zones = process.zones.is_some();
        let mut loader = Loader::new(*process, 1);
        let others = if has_zones {
            loader.load(None, &Trigger::Asked).err().unwrap_or_default()
        } else {
            loader.check_pools()
        };
        // Warnings may only come from what is missing.
        report.append(others.without_warnings());
    }
    Err(report)
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
            hashes: RandomState::new(),
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
    pub fn load(&mut self, before: Option<&Plan>, trigger: &Trigger) -> Result<Loaded, Report> {
        let hashes = self.hashes.clone();
        let mut reader = Reader::new(trigger, before, &hashes);
        let result = self.load_with(&mut reader, before);
        self.seen = reader.finish();
        if result.is_err() {
            // What was made of refused files can be several times as long as they are.
            memory_sys::return_free_pages();
        }
        result
    }

    /// Checks `pools.toml` alone, where the folder of zones is not known.
    fn check_pools(&self) -> Report {
        let mut report = Report::default();
        let hashes = self.hashes.clone();
        let mut reader = Reader::new(&Trigger::Asked, None, &hashes);
        // Whether it can be taken is not asked: its faults are in the report.
        let _ = settings::pools(&self.process, &mut reader, &mut report);
        report
    }

    fn load_with(
        &mut self,
        reader: &mut Reader<'_>,
        before: Option<&Plan>,
    ) -> Result<Loaded, Report> {
        let mut report = Report::default();
        let pools = settings::pools(&self.process, reader, &mut report);
        let mut of_zones = Report::default();
        let zones = zones::load(
            &self.process,
            pools.as_ref().unwrap_or_else(|faulty| faulty),
            &self.zones,
            reader,
            &mut of_zones,
        );
        // Steered names may be missing from faulty pools, and zones are warned of what points at them.
        report.append(match pools {
            Ok(_) => of_zones,
            Err(_) => of_zones.without_warnings(),
        });
        if let Some((apexes, _)) = &zones {
            check_secondaries(&self.process, apexes, &mut report);
        }
        let atlas = databases::atlas(&self.process, self.atlas.as_ref(), reader, &mut report);
        let cookie_secrets = secrets::cookies(&self.process, self.own_secret, reader, &mut report);
        let keyring = secrets::keyring(&self.process, reader, &mut report);
        let (Ok(pools), Some((_, zones)), Some(atlas)) = (pools, zones, atlas) else {
            return Err(report);
        };
        warn_of_idle_rules(&pools, &atlas.atlas, &mut report);
        if report.has_errors() {
            return Err(report);
        }
        let set = zones.iter().map(|loaded| Arc::clone(&loaded.zone));
        let set = ZoneSet::new(set.collect());
        self.zones = zones.into_iter().map(|z| (z.path.clone(), z)).collect();
        let config = Arc::new(Config {
            process: self.process.clone(),
            pools,
        });
        let atlas = Arc::clone(&self.atlas.insert(atlas).atlas);
        let nothing = Pools::default();
        let old = before.map_or(&nothing, |before| &before.config.pools);
        let correspondence = Correspondence::between(old, &config.pools);
        let plan = Plan {
            cookie_secrets,
            keyring,
            ..Plan::compile(
                config,
                set,
                atlas,
                self.n_shards,
                before.map(|before| (before, &correspondence)),
            )
        };
        Ok(Loaded {
            plan,
            correspondence,
            report,
        })
    }
}

/// Reports zones that `[[secondary]]` names and that are not there.
fn check_secondaries(process: &Process, apexes: &[Name], report: &mut Report) {
    let named = process.secondaries.iter().filter_map(|s| s.zones.as_ref());
    let apexes: HashSet<&Name> = apexes.iter().collect();
    for ZoneRef { apex, place } in named.flatten() {
        if !apexes.contains(apex) {
            let message = format!("`{apex}` is none of the zones, expected one of them");
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
