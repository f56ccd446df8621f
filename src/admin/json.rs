//! What is printed as JSON, by the API and by the command line's `--json` alike.
//!
//! Types of the lower floors are not serialisable on purpose: these mirror them, one field per key, and
//! are the contract. They can be read as well, so that the command line can show a running server's
//! answers as a table. Times are Unix seconds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::Serialize;

use crate::admin::checks;
use crate::admin::checks::Check;
use crate::admin::countries::clients;
use crate::admin::downloads;
use crate::admin::drills;
use crate::admin::drills::Drill;
use crate::admin::fleet;
use crate::admin::fleet::Fleet;
use crate::admin::latency;
use crate::admin::latency::Latency;
use crate::admin::readiness::waiting_for;
use crate::admin::reloads::LastReload;
use crate::admin::reloads::last_reload;
use crate::admin::sources::Membership;
use crate::admin::sources::membership;
use crate::admin::steering;
use crate::admin::steering::Steered;
use crate::admin::vantages::Region;
use crate::admin::vantages::Vantage;
use crate::admin::vantages::VantageState;
use crate::admin::vantages::region;
use crate::admin::vantages::vantage;
use crate::admin::vantages::vantage_state;
use crate::base::date::Date;
use crate::base::health::Health;
use crate::base::ix::MonitorIx;
use crate::base::ix::SteeredIx;
use crate::base::prefix::Family;
use crate::config::model;
use crate::config::model::Process;
use crate::health::load::Load;
use crate::health::overrides;
use crate::health::view::EndpointView;
use crate::live::Live;
use crate::mmdb::database::DatabaseInfo;
use crate::state::snapshot::Snapshot;
use crate::steer::spread::Admitted;

/// `status --json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// The machine: its name in the fleet, or that of its first vantage.
    #[serde(default)]
    pub node: String,
    /// The program's version.
    pub version: String,
    /// Since when the process runs.
    pub started: u64,
    /// The time of this status.
    pub now: u64,
    /// Whether zones, database and the first round of probes are in.
    pub ready: bool,
    /// Why not, if not.
    pub waiting_for: Option<String>,
    /// The snapshot that is served.
    pub generation: u64,
    /// DNS listeners.
    pub listen: Vec<SocketAddr>,
    /// The zones.
    pub zones: Vec<Zone>,
    /// The databases.
    pub databases: Vec<Database>,
    /// The databases that are fetched.
    #[serde(default)]
    pub downloads: Vec<downloads::Download>,
    /// The table of measured round-trip times; `None`: none is configured.
    #[serde(default)]
    pub latency: Option<Latency>,
    /// The vantages of this process, then those of other machines.
    pub vantages: Vec<VantageState>,
    /// The other machines; `None` for a single one.
    #[serde(default)]
    pub fleet: Option<Fleet>,
    /// The pools with what is known of them.
    pub pools: Vec<Pool>,
    /// Overrides of pools that are not configured.
    pub orphaned_overrides: Vec<OrphanedOverride>,
    /// The steered names.
    pub steered: Vec<Steered>,
    /// How the latest load of the files went.
    pub last_reload: LastReload,
}

/// A zone.
#[derive(Debug, Serialize, Deserialize)]
pub struct Zone {
    /// Its apex.
    pub apex: String,
    /// The SOA's serial.
    pub serial: u32,
    /// Names in it.
    pub names: usize,
}

/// A GeoIP database.
#[derive(Debug, Serialize, Deserialize)]
pub struct Database {
    /// Its type.
    pub r#type: String,
    /// When it was built.
    pub built: u64,
    /// The same as a day.
    pub build_date: String,
    /// Whether it is older than `[geoip] max_age`, which the embedded one never is.
    pub is_old: bool,
    /// Networks that have a record.
    pub networks: usize,
}

/// A pool.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Where it is: latitude and longitude in degrees.
    #[serde(default)]
    pub location: Option<[f64; 2]>,
    /// The first of its monitors; null: always up.
    pub monitor: Option<String>,
    /// The monitors that have a vote.
    #[serde(default)]
    pub monitors: Vec<String>,
    /// The monitors whose results are only shown.
    #[serde(default)]
    pub watch: Vec<String>,
    /// Its health for A; null without an IPv4 endpoint.
    pub ipv4: Option<String>,
    /// Its health for AAAA; null without an IPv6 endpoint.
    pub ipv6: Option<String>,
    /// The share of its clients for A that it takes, from 0 to 1; null without an IPv4 endpoint.
    #[serde(default)]
    pub ipv4_admitted: Option<f64>,
    /// The same for AAAA.
    #[serde(default)]
    pub ipv6_admitted: Option<f64>,
    /// Whether it is used only where no other pool of a client's list is up.
    #[serde(default)]
    pub standby: bool,
    /// The share of the clients that it takes while it stands by, from 0 to 1; null where it does not.
    #[serde(default)]
    pub trickle: Option<f64>,
    /// Its load when its shares were last decided, 1 at full utilisation; null: none, or no `spill_at`.
    #[serde(default)]
    pub load: Option<f64>,
    /// The load above which it spills; null: it takes everybody.
    #[serde(default)]
    pub spill_at: Option<f64>,
    /// The share that its load leaves of its own clients, from 0 to 1; null without `spill_at`.
    #[serde(default)]
    pub spill_admitted: Option<f64>,
    /// The share that it takes of clients that other pools pass on; null without `spill_at`.
    #[serde(default)]
    pub guests_admitted: Option<f64>,
    /// Whether it is above its mark and no other pool takes its clients.
    #[serde(default)]
    pub full: bool,
    /// The operator's override that is in force.
    pub r#override: Option<Override>,
    /// One that begins later.
    #[serde(default)]
    pub planned_override: Option<Override>,
    /// Its drills; null: none is configured, and there was none.
    #[serde(default)]
    pub drill: Option<Drill>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Who names them.
    #[serde(flatten)]
    pub membership: Membership,
}

/// An override of a pool that is not configured: it changes nothing until there is one of that name.
#[derive(Debug, Serialize, Deserialize)]
pub struct OrphanedOverride {
    /// The name.
    pub pool: String,
    /// The override.
    pub r#override: Override,
}

/// An operator's override.
#[derive(Debug, Serialize, Deserialize)]
pub struct Override {
    /// `drain`, `up`, `down`, `shed` or `drill`.
    pub state: String,
    /// Of `shed`: how many of a hundred clients; else null.
    #[serde(default)]
    pub percent: Option<u8>,
    /// When it was set.
    pub since: u64,
    /// When it begins, if later than that; null: it holds since then.
    #[serde(default)]
    pub begins: Option<u64>,
    /// Until when; null: until it is cleared.
    pub until: Option<u64>,
    /// Why.
    pub reason: String,
}

/// An endpoint.
#[derive(Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Where it is probed, an address with or without a port; null: at its address.
    #[serde(default)]
    pub check: Option<String>,
    /// The verdict.
    pub health: String,
    /// Since when.
    pub since: Option<u64>,
    /// What each vantage says, the worst where several monitors have a vote; empty without a monitor.
    pub vantages: Vec<Vantage>,
    /// What each region says; empty unless its monitor judges by region.
    #[serde(default)]
    pub regions: Vec<Region>,
    /// What each monitor says; empty where one alone decides, since the rest says so already.
    #[serde(default)]
    pub checks: Vec<Check>,
}

impl Endpoint {
    /// Where it is probed if not at its address, such as `checked at 10.0.0.10`.
    pub fn checked_at(&self) -> Option<String> {
        Some(format!("checked at {}", self.check.as_ref()?))
    }

    /// What regions say that is not what all vantages say together, such as `near v2: down`.
    pub fn dissent(&self) -> impl Iterator<Item = String> {
        let regions = self.regions.iter();
        let differing = regions.filter(|region| region.health != self.health);
        differing.map(|region| format!("near {}: {}", region.vantages.join(", "), region.health))
    }
}

/// In percent, with one digit after the point where there is one.
pub fn percent(share: f64) -> f64 {
    (share * 1e3).round() / 10.0
}

impl Pool {
    /// How it stands if it goes by its load.
    pub fn spill(&self) -> Option<String> {
        let mark = percent(self.spill_at?);
        let load = match self.load {
            Some(load) => format!("load {} %", percent(load)),
            None => "load unknown".into(),
        };
        let guests = percent(self.guests_admitted.unwrap_or(1.0));
        Some(format!(
            "{load}, mark {mark} %, takes {guests} % of other pools' clients"
        ))
    }
}

/// The running server.
pub fn status(live: &Live) -> Status {
    let snapshot = live.snapshots.current();
    let plan = &snapshot.plan;
    let process = &plan.config.process;
    let now = live.clock.now();
    let waiting_for = waiting_for(live);
    let mut clients = clients(&plan.countries);
    let steered = (0..plan.config.pools.steered.len()).map(SteeredIx::new);
    let steered = steered.map(|ix| steering::steered(&snapshot, ix, clients.remove(&ix)));
    let pools = pools(live, &snapshot);
    Status {
        node: process.node_name().into(),
        version: env!("CARGO_PKG_VERSION").into(),
        started: live.started,
        now: now.unix(),
        ready: waiting_for.is_none(),
        waiting_for,
        generation: snapshot.generation,
        listen: live.addresses.dns.clone(),
        zones: plan
            .zones
            .iter()
            .map(|zone| Zone {
                apex: zone.apex().plain(),
                serial: zone.serial(),
                names: zone.n_names(),
            })
            .collect(),
        databases: plan
            .databases(now.unix())
            .map(|(about, is_old)| database(about, is_old))
            .collect(),
        downloads: downloads::downloads(live),
        latency: latency::latency(live, plan),
        vantages: vantages(live, process, &pools),
        fleet: live.fleet.read().as_ref().map(fleet::fleet),
        pools,
        orphaned_overrides: orphaned_overrides(live, &snapshot),
        steered: steered.collect(),
        last_reload: last_reload(live),
    }
}

/// This process's vantages, then those of other machines.
fn vantages(live: &Live, process: &Process, pools: &[Pool]) -> Vec<VantageState> {
    let mut suppressed: HashMap<&str, usize> = HashMap::new();
    let endpoints = pools.iter().flat_map(|pool| &pool.endpoints);
    for vantage in endpoints.flat_map(|endpoint| &endpoint.vantages) {
        if vantage.suppressed_until.is_some() {
            *suppressed.entry(&vantage.name).or_default() += 1;
        }
    }
    let health_table = live.health_table.read();
    let summaries: Vec<_> = health_table.vantages(live.clock.now()).collect();
    let state = |name: &str, is_local, summary| {
        let n = suppressed.get(name).copied().unwrap_or_default();
        vantage_state(name, is_local, summary, n)
    };
    let own = process.vantages.iter().map(|vantage| {
        let mut summaries = summaries.iter();
        let summary = summaries.find(|summary| **summary.name == *vantage.name);
        state(&vantage.name, true, summary)
    });
    let remote = summaries.iter().filter(|summary| summary.is_remote);
    let remote = remote.map(|summary| state(summary.name, false, Some(summary)));
    own.chain(remote).collect()
}

fn database(about: &DatabaseInfo, is_old: bool) -> Database {
    Database {
        r#type: about.database_type.clone(),
        built: about.build_epoch,
        build_date: Date::from_epoch(about.build_epoch).to_string(),
        is_old,
        networks: about.n_networks.iter().sum(),
    }
}

fn pools(live: &Live, snapshot: &Snapshot) -> Vec<Pool> {
    let config = &snapshot.plan.config.pools;
    let (health_table, overrides) = (live.health_table.read(), live.overrides.read());
    let sources = live.sources.read();
    let views = checks::by_endpoint(&health_table, live.clock.now());
    let names = |monitors: &[MonitorIx]| {
        let names = monitors.iter().map(|ix| &config.monitors[ix.index()].name);
        names.map(ToString::to_string).collect::<Vec<_>>()
    };
    let pool = |(ix, pool): (usize, &model::Pool)| {
        let now = &snapshot.pools[ix];
        let health = |family| now.health(family);
        let admitted = |family| health(family).map(|_| now.admitted[family].ratio());
        let spill = now.limits.spill;
        let endpoint = |(endpoint, health): (&model::Endpoint, _)| {
            let views = views.get(&(&*pool.name, endpoint.address));
            self::endpoint(endpoint, health, views.map_or(&[], |views| views))
        };
        Pool {
            name: pool.name.to_string(),
            location: Some([pool.location.latitude, pool.location.longitude]),
            monitor: names(&pool.monitors).into_iter().next(),
            monitors: names(&pool.monitors),
            watch: names(&pool.watch),
            ipv4: health(Family::V4).map(|health| health.to_string()),
            ipv6: health(Family::V6).map(|health| health.to_string()),
            ipv4_admitted: admitted(Family::V4),
            ipv6_admitted: admitted(Family::V6),
            standby: now.standby.is_some(),
            trickle: now.standby.map(Admitted::ratio),
            load: spill.and_then(|spill| spill.load).map(Load::ratio),
            spill_at: spill.map(|spill| spill.mark.ratio()),
            spill_admitted: spill.map(|spill| spill.shares.own.ratio()),
            guests_admitted: spill.map(|spill| spill.shares.guests.ratio()),
            full: spill.is_some_and(|spill| spill.is_full),
            r#override: overrides.of(&pool.name).map(override_),
            planned_override: overrides.planned(&pool.name).map(override_),
            drill: drills::drill(live, pool),
            endpoints: now
                .endpoints
                .iter()
                .zip(now.health.iter().copied())
                .map(endpoint)
                .collect(),
            membership: membership(&sources, pool, now),
        }
    };
    config.pools.iter().enumerate().map(pool).collect()
}

fn orphaned_overrides(live: &Live, snapshot: &Snapshot) -> Vec<OrphanedOverride> {
    let pools = snapshot.plan.config.pools.pools.iter();
    let overrides = live.overrides.read();
    let orphaned = overrides.orphaned(pools.map(|pool| &*pool.name));
    let printed = orphaned.map(|(pool, override_)| OrphanedOverride {
        pool: pool.into(),
        r#override: self::override_(override_),
    });
    printed.collect()
}

impl Override {
    /// The seconds until it begins.
    pub fn begins_in(&self, now: u64) -> u64 {
        self.begins.unwrap_or_default().saturating_sub(now)
    }
}

/// An override in its printed form.
pub fn override_(override_: &overrides::Override) -> Override {
    Override {
        state: override_.state.as_str().into(),
        percent: override_.state.percent(),
        since: override_.since,
        begins: override_.begins,
        until: override_.until,
        reason: override_.reason.to_string(),
    }
}

fn endpoint(endpoint: &model::Endpoint, health: Health, views: &[EndpointView<'_>]) -> Endpoint {
    let together = checks::together(views).into_iter();
    Endpoint {
        address: endpoint.address,
        check: endpoint.check.map(|check| check.to_string()),
        health: health.to_string(),
        since: checks::since(views, health),
        vantages: together.map(vantage).collect(),
        regions: checks::regions(views).iter().map(region).collect(),
        checks: checks::checks(views),
    }
}
