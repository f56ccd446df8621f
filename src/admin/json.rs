//! What is printed as JSON, by the API and by the command line's `--json` alike.
//!
//! Types of the lower floors are not serialisable on purpose: these mirror them, one field per key, and
//! are the contract. They can be read as well, so that the command line can show a running server's
//! answers as a table. Times are Unix seconds.

use std::net::IpAddr;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::Serialize;

use crate::admin::readiness::waiting_for;
use crate::admin::vantages::Vantage;
use crate::admin::vantages::vantage;
use crate::base::date::Date;
use crate::base::diag::Report;
use crate::base::diag::Severity;
use crate::base::health::Health;
use crate::base::ix::PoolIx;
use crate::base::prefix::Family;
use crate::config::model;
use crate::engine::explain;
use crate::engine::question::Asker;
use crate::geo::rules::Matcher;
use crate::health::overrides;
use crate::health::view::EndpointView;
use crate::live::Live;
use crate::mmdb::database::DatabaseInfo;
use crate::state::snapshot::Snapshot;

/// `explain --json`: fields that do not apply are null.
#[derive(Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The name asked for, without final dot.
    pub name: String,
    /// The type asked for.
    pub r#type: String,
    /// The client: an address, or a prefix as it was sent.
    pub client: String,
    /// `ecs` if the client subnet decided, `resolver` if the packet's source did.
    pub client_source: String,
    /// Where the client is.
    pub location: Location,
    /// The rule that ranked the pools, as it is matched: `continent = ["EU", "AF"]`.
    pub rule: Option<String>,
    /// Of a subnet that holds several answers, the share of its located addresses that this one is the answer
    /// of, rounded to 0.0001.
    pub vote: Option<f64>,
    /// The client's pools, best first.
    pub candidates: Vec<Candidate>,
    /// The pool that was answered.
    pub pool: Option<String>,
    /// The addresses answered.
    pub answer: Vec<IpAddr>,
    /// Seconds.
    pub ttl: Option<u32>,
    /// The ECS scope.
    pub scope: Option<u8>,
    /// The response code.
    pub rcode: String,
}

/// A client's place.
#[derive(Debug, Serialize, Deserialize)]
pub struct Location {
    /// Two letters.
    pub continent: Option<String>,
    /// ISO 3166-1.
    pub country: Option<String>,
    /// ISO 3166-2, the largest one.
    pub subdivision: Option<String>,
    /// In English.
    pub city: Option<String>,
    /// Degrees.
    pub latitude: Option<f64>,
    /// Degrees.
    pub longitude: Option<f64>,
    /// The autonomous system.
    pub asn: Option<u32>,
    /// The database's network.
    pub network: Option<String>,
}

/// A pool that could have been answered.
#[derive(Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// Its name.
    pub pool: String,
    /// Rounded to 100 m.
    pub distance_km: Option<f64>,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// Taken out by an operator.
    pub drained: bool,
    /// Answered.
    pub chosen: bool,
    /// Why, or why not.
    pub reason: String,
}

/// An explanation in its printed form.
pub fn explanation(explained: &explain::Explanation, snapshot: &Snapshot) -> Explanation {
    let pools = &snapshot.plan.config.pools.pools;
    let pool_name = |ix: PoolIx| pools[ix.index()].name.to_string();
    let candidate = |candidate: &explain::Candidate| Candidate {
        pool: pool_name(candidate.pool),
        distance_km: candidate.distance_km.map(|km| (km * 10.0).round() / 10.0),
        health: candidate.health.as_str().into(),
        drained: candidate.drained,
        chosen: candidate.chosen,
        reason: candidate.reason.clone(),
    };
    let place = &explained.location;
    Explanation {
        name: explained.question.name.plain(),
        r#type: explained.question.qtype.to_string(),
        client: match explained.question.client {
            Asker::Resolver(address) => address.to_string(),
            Asker::Subnet(prefix) => prefix.to_string(),
        },
        client_source: if explained.by_subnet {
            "ecs"
        } else {
            "resolver"
        }
        .into(),
        location: Location {
            continent: place.continent.map(|continent| continent.to_string()),
            country: place.country.map(|country| country.to_string()),
            subdivision: place.subdivisions.first().map(ToString::to_string),
            city: place.city.as_ref().map(ToString::to_string),
            latitude: place.point.map(|point| point.latitude),
            longitude: place.point.map(|point| point.longitude),
            asn: place.asn,
            network: explained.network.map(|network| network.to_string()),
        },
        rule: explained.rule.as_ref().map(rule),
        vote: explained.vote.map(|vote| (vote * 1e4).round() / 1e4),
        candidates: explained.candidates.iter().map(candidate).collect(),
        pool: explained.pool.map(pool_name),
        answer: explained.answer.clone(),
        ttl: explained.ttl,
        scope: explained.scope,
        rcode: explained.rcode.to_string(),
    }
}

/// A rule's matcher as it is written.
fn rule(rule: &model::Rule) -> String {
    fn list<T: ToString>(items: &[T], quote: &str) -> String {
        let quoted = items
            .iter()
            .map(|item| format!("{quote}{}{quote}", item.to_string()));
        quoted.collect::<Vec<_>>().join(", ")
    }
    let (key, items) = match &rule.matcher {
        Matcher::Continent(items) => ("continent", list(items, "\"")),
        Matcher::Country(items) => ("country", list(items, "\"")),
        Matcher::Subdivision(items) => ("subdivision", list(items, "\"")),
        Matcher::Asn(items) => ("asn", list(items, "")),
        Matcher::Network(items) => ("network", list(items, "\"")),
    };
    format!("{key} = [{items}]")
}

/// `status --json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
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
    /// The vantages of this process.
    pub vantages: Vec<String>,
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
    /// Its monitor; null: always up.
    pub monitor: Option<String>,
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
    /// The operator's override.
    pub r#override: Option<Override>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
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
    /// `drain`, `up` or `down`.
    pub state: String,
    /// Since when.
    pub since: u64,
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
    /// The verdict.
    pub health: String,
    /// Since when.
    pub since: Option<u64>,
    /// What each vantage says; empty without a monitor.
    pub vantages: Vec<Vantage>,
}

/// A steered name.
#[derive(Debug, Serialize, Deserialize)]
pub struct Steered {
    /// The owner.
    pub name: String,
    /// Its policy.
    pub policy: String,
    /// Its pools in the operator's order.
    pub pools: Vec<String>,
    /// Seconds.
    pub ttl: u32,
}

/// How the latest load of the files went.
#[derive(Debug, Serialize, Deserialize)]
pub struct LastReload {
    /// When.
    pub at: u64,
    /// Whether the files were refused.
    pub refused: bool,
    /// What is wrong with them, as `FILE:LINE:COLUMN: …`.
    pub faults: Vec<String>,
    /// What is odd about them.
    pub warnings: Vec<String>,
}

/// The lines of a report of one severity.
pub fn lines(report: &Report, severity: Severity) -> Vec<String> {
    let of_kind = report
        .sorted()
        .into_iter()
        .filter(|d| d.severity == severity);
    of_kind.map(ToString::to_string).collect()
}

/// The running server.
pub fn status(live: &Live) -> Status {
    let snapshot = live.snapshots.current();
    let plan = &snapshot.plan;
    let process = &plan.config.process;
    let now = live.clock.now();
    let waiting_for = waiting_for(live);
    let reload = live.last_reload.read();
    let steered = plan.config.pools.steered.iter().map(|steered| Steered {
        name: steered.owner.plain(),
        policy: steered.policy.as_str().into(),
        pools: steered
            .pools
            .iter()
            .map(|pool| plan.config.pools.pools[pool.index()].name.to_string())
            .collect(),
        ttl: steered.ttl,
    });
    Status {
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
        vantages: process
            .vantages
            .iter()
            .map(|vantage| vantage.name.to_string())
            .collect(),
        pools: pools(live, &snapshot),
        orphaned_overrides: orphaned_overrides(live, &snapshot),
        steered: steered.collect(),
        last_reload: LastReload {
            at: reload.at,
            refused: reload.refused,
            faults: lines(&reload.report, Severity::Error),
            warnings: lines(&reload.report, Severity::Warning),
        },
    }
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
    let mut views: std::collections::HashMap<_, _> = health_table
        .view(live.clock.now())
        .map(|view| ((view.target.pool.to_string(), view.target.address), view))
        .collect();
    let pool = |(ix, pool): (usize, &model::Pool)| {
        let now = &snapshot.pools[ix];
        let health = |family| now.health(family);
        let admitted = |family| health(family).map(|_| now.admitted[family].ratio());
        let endpoint = |(endpoint, health): (&model::Endpoint, _)| {
            let view = views.remove(&(pool.name.to_string(), endpoint.address));
            self::endpoint(endpoint.address, health, view.as_ref())
        };
        Pool {
            name: pool.name.to_string(),
            monitor: pool
                .monitor
                .map(|ix| config.monitors[ix.index()].name.to_string()),
            ipv4: health(Family::V4).map(|health| health.to_string()),
            ipv6: health(Family::V6).map(|health| health.to_string()),
            ipv4_admitted: admitted(Family::V4),
            ipv6_admitted: admitted(Family::V6),
            r#override: overrides.of(&pool.name).map(override_),
            endpoints: now
                .endpoints
                .iter()
                .zip(now.health.iter().copied())
                .map(endpoint)
                .collect(),
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

/// An override in its printed form.
pub fn override_(override_: &overrides::Override) -> Override {
    Override {
        state: override_.state.as_str().into(),
        since: override_.since,
        until: override_.until,
        reason: override_.reason.to_string(),
    }
}

fn endpoint(address: IpAddr, health: Health, view: Option<&EndpointView<'_>>) -> Endpoint {
    Endpoint {
        address,
        health: health.to_string(),
        since: view.and_then(|view| view.since),
        vantages: view.map_or_else(Vec::new, |view| view.vantages.iter().map(vantage).collect()),
    }
}
