//! The loader: the only code that opens configuration, zones and databases.
//!
//! `check`, `serve`, a reload and the offline commands all call it, so that what passes one passes the
//! others. It reports every fault of every file at once and gives either a whole plan or none. What
//! has not changed on disk since the load before is taken over, not read again, unless somebody asks
//! for a reload: then everything is read, and taken over where it holds what it held.

pub mod databases;
mod idle_rules;
mod journal;
pub mod kept;
mod latency;
mod origins;
mod reader;
mod secrets;
mod settings;
mod updates;
mod zones;

use std::collections::HashMap;
use std::collections::HashSet;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::diag::Report;
use crate::base::name::Name;
use crate::config::model::Config;
use crate::config::model::Pools;
use crate::config::model::Process;
use crate::config::model::ZoneRef;
use crate::daemon::files;
use crate::daemon::files::FileSet;
use crate::daemon::kept::TakenFiles;
use crate::daemon::load::databases::LoadedAtlas;
use crate::daemon::load::latency::LoadedLatency;
use crate::daemon::load::reader::Reader;
use crate::daemon::load::zones::Before;
use crate::daemon::load::zones::LoadedZone;
use crate::daemon::load::zones::LoadedZones;
use crate::daemon::load::zones::list_of;
use crate::daemon::memory::memory_sys;
use crate::engine::update::Order;
use crate::fleet::nats::Role;
use crate::health::monitor::QuorumScope;
use crate::live;
use crate::live::random;
use crate::state::changes::Changes;
use crate::state::correspondence::Correspondence;
use crate::state::plan::Geography;
use crate::state::plan::Plan;
use crate::wire::cookie::Secret;
use crate::zone::set::ZoneSet;

pub use self::databases::embedded_atlas;
pub use self::reader::Trigger;
pub use self::updates::UpdateRefused;
pub use self::updates::Updated;
pub use self::updates::ZoneUpdated;

/// What is asked about a plan before it replaces the one before; it reports an error if it must not.
pub type Judge<'a> = &'a dyn Fn(&Arc<Plan>, &mut Report);

/// Loads plans for one process, again and again.
#[derive(Clone, Debug)]
pub struct Loader {
    /// `meridian.toml`.
    path: PathBuf,
    /// In how many shards a process counts; asked once.
    count_shards: fn(&Process) -> usize,
    n_shards: Option<usize>,
    seen: FileSet,
    /// What the latest accepted load was made from; empty if one of its files is not known.
    taken: TakenFiles,
    /// `meridian.toml` as it was read last, also after a fault.
    process: Option<Process>,
    /// By path.
    zones: HashMap<PathBuf, LoadedZone>,
    /// The newest that each zone was served with.
    newest_serials: HashMap<Name, u32>,
    atlas: Option<LoadedAtlas>,
    latency: LoadedLatency,
    /// Whether `[geoip] latency` is read.
    reads_latency: bool,
    /// What cookies are made with where no file is configured.
    own_secret: Secret,
    /// What the process does with it.
    role: Role,
    /// Whether journals of dynamic updates are written, as the server that runs does.
    keeps_journals: bool,
}

/// What a load gives: the plan, and what the operator should know all the same.
#[derive(Debug)]
pub struct Loaded {
    /// The plan.
    pub plan: Arc<Plan>,
    /// In how many shards the process counts.
    pub n_shards: usize,
    /// What it was made from; `None` if one of the files is not known, and for a kept configuration.
    pub files: Option<TakenFiles>,
    /// What differs from the plan before; nothing for the first.
    pub changes: Changes,
    /// The kept configuration that it is, if it is served instead of the files on disk.
    pub rolled_back: Option<live::RolledBack>,
    /// Warnings.
    pub report: Report,
}

impl Loader {
    /// A loader of the files that `meridian.toml` at `path` names.
    pub fn new(path: &Path, count_shards: fn(&Process) -> usize) -> Self {
        Self {
            path: path.to_owned(),
            count_shards,
            n_shards: None,
            seen: FileSet::default(),
            taken: TakenFiles::new(),
            process: None,
            zones: HashMap::new(),
            newest_serials: HashMap::new(),
            atlas: None,
            latency: LoadedLatency::default(),
            reads_latency: true,
            own_secret: random::octets(),
            role: Role::NameServer,
            keeps_journals: false,
        }
    }

    /// The same for this role; a vantage's plan has neither zones nor steered names.
    #[must_use]
    pub fn with_role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    /// The same without measured round-trip times: for the command that makes the file.
    #[must_use]
    pub fn without_latency(self) -> Self {
        Self {
            reads_latency: false,
            ..self
        }
    }

    /// A loader of the same files, or of those that another `meridian.toml` names, that leaves this one and what
    /// is on disk alone. What they have in common is not made twice.
    #[must_use]
    pub fn beside(&self, path: Option<&Path>) -> Self {
        Self {
            path: path.unwrap_or(&self.path).to_owned(),
            keeps_journals: false,
            ..self.clone()
        }
    }

    /// What the process does with its plans.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The same for the server that runs, which alone writes journals of dynamic updates.
    #[must_use]
    pub fn keeping_journals(self) -> Self {
        Self {
            keeps_journals: true,
            ..self
        }
    }

    /// What the load before looked at.
    pub fn seen(&self) -> &FileSet {
        &self.seen
    }

    /// `meridian.toml` as the load before read it; after a fault, which that reported, with defaults in place
    /// of what is at fault. `None` if nothing of it could be read.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Reads everything and compiles it. After an error the loader still remembers what it looked at,
    /// so that a watcher waits for the next change.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load(&mut self, before: Option<&Plan>, trigger: &Trigger) -> Result<Loaded, Report> {
        self.load_judged(before, trigger, &|_, _| {})
    }

    /// The same, unless a judge reports an error of the plan.
    ///
    /// # Errors
    /// Every fault of every file, or what the judge reports.
    pub fn load_judged(
        &mut self,
        before: Option<&Plan>,
        trigger: &Trigger,
        judge: Judge<'_>,
    ) -> Result<Loaded, Report> {
        let mut reader = Reader::new(trigger, before);
        let mut result = self.load_with(&mut reader, before, judge);
        let (seen, taken) = reader.finish();
        self.seen = seen;
        match &mut result {
            Ok(loaded) => {
                loaded.files = taken.after(&self.taken);
                self.taken = loaded.files.clone().unwrap_or_default();
                loaded.note_changes(before);
            }
            // What was made of refused files can be several times as long as they are.
            Err(_) => memory_sys::return_free_pages(),
        }
        result
    }

    /// Carries out dynamic updates of the zones that are served. What is done is on disk when this returns.
    pub fn update(&mut self, served: &Plan, orders: &[Order]) -> Updated {
        updates::update(&mut self.zones, served, orders)
    }

    fn load_with(
        &mut self,
        reader: &mut Reader<'_>,
        before: Option<&Plan>,
        judge: Judge<'_>,
    ) -> Result<Loaded, Report> {
        let mut report = Report::default();
        let Some(process) = self.read_process(reader, before, &mut report) else {
            return Err(report);
        };
        // What is checked against settings that are at fault would only be reported as wrong as well.
        let is_sound = !report.has_errors();
        let pools = settings::pools(&process, self.role, reader, &mut report);
        let atlas_before = self.atlas.as_ref();
        let atlas = databases::atlas(&process, self.role, atlas_before, reader, &mut report);
        let latency = latency::table(&process, &self.latency, reader, &mut report);
        let cookie_secrets = secrets::cookies(&process, self.own_secret, reader, &mut report);
        let keyring = secrets::keyring(&process, reader, &mut report);
        secrets::webhooks(&process, reader, &mut report);
        // Last, as files beside the zones that nothing was read from are named.
        let zones = self.load_zones(&process, is_sound, &pools, before, reader, &mut report);
        if let Some(apexes) = &zones.apexes {
            check_zones(&process, apexes, &mut report);
        }
        let (Ok(pools), Some(atlas), Some(latency)) = (pools, atlas, latency) else {
            return Err(report);
        };
        if is_sound {
            idle_rules::warn(&pools, &process.ecs, &atlas.atlas, &mut report);
            warn_of_missing_regions(&process, &pools, &mut report);
            latency::warn(&process, &pools, &latency.table, &atlas.atlas, &mut report);
        }
        if report.has_errors() {
            return Err(report);
        }
        let zones = zones.zones;
        if let Some(before) = before {
            warn_of_removals(&self.path, &process, &pools, &zones, before, &mut report);
        }
        let digest = digest(&process, &zones, reader, before);
        let config = Arc::new(Config { process, pools });
        let geography = Geography {
            atlas: Arc::clone(&atlas.atlas),
            latency: Arc::clone(&latency.table),
        };
        let plan = Arc::new(Plan {
            digest,
            cookie_secrets,
            keyring,
            ..self.compile(config, &zones, geography, before)
        });
        judge(&plan, &mut report);
        if report.has_errors() {
            return Err(report);
        }
        let zones_before = before.map(|before| &before.zones);
        let newest = &mut self.newest_serials;
        let process = &plan.config.process;
        zones::check_serials(process, zones_before, &zones, newest, &mut report);
        self.keep(zones, atlas, latency);
        Ok(Loaded {
            n_shards: self.n_shards(process),
            plan,
            files: None,
            changes: Changes::default(),
            rolled_back: None,
            report,
        })
    }

    /// The settings of the process that are to be in force; `None`: the file cannot be read.
    fn read_process(
        &mut self,
        reader: &mut Reader<'_>,
        before: Option<&Plan>,
        report: &mut Report,
    ) -> Option<Process> {
        let process = settings::process(&self.path, self.role, reader, report);
        self.process.clone_from(&process);
        let mut process = process?;
        if !self.reads_latency {
            process.geoip.latency = None;
        }
        if let Some(before) = before {
            settings::keep_fixed(&self.path, &mut process, &before.config.process, report);
        }
        databases::prefer_fetched(&mut process, reader);
        Some(process)
    }

    fn load_zones(
        &self,
        process: &Process,
        is_sound: bool,
        pools: &Result<Pools, Pools>,
        before: Option<&Plan>,
        reader: &mut Reader<'_>,
        report: &mut Report,
    ) -> LoadedZones {
        let mut found = Report::default();
        let (Ok(known_pools) | Err(known_pools)) = pools;
        let zones = match &process.zones {
            Some(folder) => {
                let before = Before {
                    zones: &self.zones,
                    state_dir: process.state_dir.as_deref(),
                    isolate: process.safety.isolate_zones && before.is_some(),
                };
                zones::load(folder, known_pools, &before, reader, &mut found)
            }
            None if is_sound => zones::none(known_pools, &mut found),
            None => LoadedZones::default(),
        };
        // Steered names may be missing from faulty pools, and zones are warned of what points at them.
        report.append(match pools {
            Ok(_) => found,
            Err(_) => found.without_warnings(),
        });
        zones
    }

    /// Compiles the plan, without secrets and keys.
    fn compile(
        &mut self,
        config: Arc<Config>,
        zones: &[LoadedZone],
        geography: Geography,
        before: Option<&Plan>,
    ) -> Plan {
        let set = zones.iter().map(|loaded| Arc::clone(&loaded.zone));
        let set = ZoneSet::new(set.collect());
        let n_shards = self.n_shards(&config.process);
        let nothing = Pools::default();
        let old = before.map_or(&nothing, |before| &before.config.pools);
        let correspondence = Correspondence::between(old, &config.pools);
        let before = before.map(|before| (before, &correspondence));
        Plan::compile(config, set, geography, n_shards, before)
    }

    /// Remembers what the plan was made from.
    fn keep(&mut self, mut zones: Vec<LoadedZone>, atlas: LoadedAtlas, latency: LoadedLatency) {
        if self.keeps_journals {
            updates::write_journals(&mut zones);
        }
        self.zones = zones.into_iter().map(|z| (z.path.clone(), z)).collect();
        self.atlas = Some(atlas);
        self.latency = latency;
    }

    fn n_shards(&mut self, process: &Process) -> usize {
        *self
            .n_shards
            .get_or_insert_with(|| (self.count_shards)(process))
    }
}

impl Loaded {
    /// Compares the plan with the one before.
    fn note_changes(&mut self, before: Option<&Plan>) {
        let changes = before.map(|before| Changes::between(before, &self.plan));
        self.changes = changes.unwrap_or_default();
    }
}

/// A hash of `pools.toml` and the zones; `None`: not compared with other machines'.
fn digest(
    process: &Process,
    zones: &[LoadedZone],
    reader: &Reader<'_>,
    before: Option<&Plan>,
) -> Option<u64> {
    let hash = process.pools.as_ref().map(|path| reader.hash_of(path));
    match hash.filter(|_| process.zones.is_some()) {
        Some(Some(pools)) => Some(zones::digest(pools, zones)),
        // The file is being written: what was read before stands.
        Some(None) => before.and_then(|before| before.digest),
        None => None,
    }
}

/// Reports zones that `[[secondary]]` and `[[update]]` name and that are not there.
fn check_zones(process: &Process, apexes: &HashSet<Name>, report: &mut Report) {
    let named = process.secondaries.iter().filter_map(|s| s.zones.as_ref());
    let named = named.chain(process.grants.iter().map(|grant| &grant.zones));
    for ZoneRef { apex, place } in named.flatten() {
        if !apexes.contains(apex) {
            let message = format!("`{apex}` is none of the zones, expected one of them");
            report.error(place.clone(), message);
        }
    }
}

/// How many names a warning of removals lists.
const MAX_REMOVALS: usize = 10;

/// Warns of zones and steered names that were served before and no longer are: an edit may mean that, a
/// file that was cut off does not.
fn warn_of_removals(
    meridian_toml: &Path,
    process: &Process,
    pools: &Pools,
    zones: &[LoadedZone],
    before: &Plan,
    report: &mut Report,
) {
    let mut warn = |file: &Option<PathBuf>, what: &str, removed: Option<String>| {
        if let Some(list) = removed {
            let path = file.as_deref().unwrap_or(meridian_toml);
            report.warning(files::place(path), format!("no longer has {what}: {list}"));
        }
    };
    let names: HashSet<&Name> = pools.steered.iter().map(|steered| &steered.owner).collect();
    let steered = before.config.pools.steered.iter();
    let removed = steered
        .map(|steered| &steered.owner)
        .filter(|owner| !names.contains(owner));
    warn(
        &process.pools,
        "steered names",
        list_of(removed, MAX_REMOVALS),
    );
    let apexes: HashSet<&Name> = zones.iter().map(|loaded| loaded.zone.apex()).collect();
    let removed = before
        .zones
        .iter()
        .map(|zone| zone.apex())
        .filter(|apex| !apexes.contains(apex));
    warn(&process.zones, "zones", list_of(removed, MAX_REMOVALS));
}

/// Warns of monitors that judge by region where no vantage has a location.
fn warn_of_missing_regions(process: &Process, pools: &Pools, report: &mut Report) {
    let (Some(path), []) = (&process.pools, &process.vantage_locations[..]) else {
        return;
    };
    let monitors = pools.monitors.iter();
    for monitor in monitors.filter(|monitor| monitor.quorum_scope == QuorumScope::Region) {
        let message = format!(
            "monitor \"{}\" has `quorum_scope = \"region\"`, which has no effect: no [[vantage]] of \
             meridian.toml has a `location`",
            monitor.name
        );
        report.warning(files::place(path), message);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The digest of a machine's configuration.
    fn digest(files: &[(&str, &str)]) -> Option<u64> {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::create_dir(dir.path().join("zones")).expect("a folder");
        for (name, text) in files {
            fs::write(dir.path().join(name), text).expect("write");
        }
        let mut loader = Loader::new(&dir.path().join("meridian.toml"), |_| 1);
        let loaded = loader.load(None, &Trigger::Asked).expect("sound files");
        loaded.plan.digest
    }

    #[test]
    fn equal_files_have_equal_digests_on_every_machine() {
        let zone = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n$INCLUDE more.inc\n";
        let files = [
            (
                "meridian.toml",
                "zones = 'zones'\npools = 'pools.toml'\n[server]\nlisten = ['127.0.0.1:53']\n",
            ),
            (
                "pools.toml",
                "[pool.a]\nlocation = [0, 0]\nendpoints = ['192.0.2.2']\n",
            ),
            ("zones/example.com.zone", zone),
            ("zones/example.net.zone", zone),
            ("zones/more.inc", "www A 192.0.2.3\n"),
        ];
        let usual = digest(&files);
        assert!(usual.is_some());
        let with = |at: usize, text: &str| {
            let mut files = files;
            files[at].1 = text;
            digest(&files)
        };
        // The process's own settings differ from machine to machine.
        let process = files[0].1.replace(":53", ":54");
        assert_eq!(with(0, &process), usual);
        assert_ne!(
            with(1, &files[1].1.replace("192.0.2.2", "192.0.2.9")),
            usual
        );
        assert_ne!(with(3, &zone.replace("h 1 1", "h 2 1")), usual);
        assert_ne!(with(4, "www A 192.0.2.4\n"), usual);
        assert_ne!(digest(&[files[0], files[1], files[2], files[4]]), usual);
        let no_zones = files[0].1.replace("zones = 'zones'\n", "");
        assert_eq!(with(0, &no_zones), None, "a vantage has none");
    }
}
