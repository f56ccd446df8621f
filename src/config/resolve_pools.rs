//! `pools.toml`: monitors and pools; `resolve_steer` reads the steered names.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::base::ix::MonitorIx;
use crate::base::location::Point;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::config::defaults;
use crate::config::keys;
use crate::config::model::Endpoint;
use crate::config::model::HostEndpoint;
use crate::config::model::Pool;
use crate::config::model::PoolSource;
use crate::config::model::Pools;
use crate::config::names::Name;
use crate::config::names::Names;
use crate::config::resolve_steer;
use crate::config::safety::Safety;
use crate::config::units;
use crate::config::written::Item;
use crate::config::written::Table;
use crate::health::monitor::Damping;
use crate::health::monitor::FailureWindow;
use crate::health::monitor::HttpCheck;
use crate::health::monitor::Monitor;
use crate::health::monitor::MonitorKind;
use crate::health::monitor::Quorum;
use crate::health::monitor::QuorumScope;
use crate::health::monitor::Unproven;

/// What `location` looks like.
pub(super) const LOCATION: &str =
    "latitude (-90 to 90) and longitude (-180 to 180) such as [45.60, -121.18]";
/// What `endpoints` looks like.
const ENDPOINTS: &str = "a list of addresses such as [\"192.0.2.10\", \"2001:db8::10\"], or of host names \
     such as [{ host = \"lb-1.example.net\" }]";

/// What `source` looks like.
const SOURCE: &str = "\"api\"";

/// The largest `min_healthy` of a pool whose endpoints are not known beforehand.
const MOST_MIN_HEALTHY: u32 = 1_000;

/// What `damping` looks like.
const DAMPING: &str = "a table such as { half_life = \"5m\", suppress = 3, reuse = 1 }";

/// The Earth's circumference: a larger bias means nothing more.
const MOST_BIAS_KM: f64 = 40_000.0;

/// Resolves the whole file.
pub(super) fn pools(top: &Table<'_>, safety: &Safety) -> Pools {
    let (monitor_names, monitor_tables) = Names::with_tables(top, "monitor", &keys::MONITOR);
    let (pool_names, pool_tables) = Names::with_tables(top, "pool", &keys::POOL);
    let monitors: Vec<_> = monitor_names
        .iter()
        .zip(&monitor_tables)
        .map(|(name, table)| monitor(name, table.as_ref()?))
        .collect();
    let pools: Vec<_> = pool_names
        .iter()
        .zip(&pool_tables)
        .map(|(name, table)| pool(name, table.as_ref()?, &monitor_names, safety))
        .collect();
    let steered = resolve_steer::steered(top, &pool_names, &pools);
    monitor_names.warn_unused("is used by no pool");
    pool_names.warn_unused("is used by no steered name");
    // Without faults, none is left out, and every index is right.
    Pools {
        monitors: monitors.into_iter().flatten().collect(),
        pools: pools.into_iter().flatten().collect(),
        steered,
    }
}

/// The name of a monitor or pool, which stands in URLs and metric labels.
fn plain_name(name: &Name<'_>) -> Option<Box<str>> {
    let plain = units::plain_name(name.text);
    if plain.is_none() {
        name.fault(&format!(
            "is no fitting name, expected {}",
            units::PLAIN_NAME
        ));
    }
    plain
}

fn monitor(name: &Name<'_>, table: &Table<'_>) -> Option<Monitor> {
    let name = plain_name(name);
    let kind = kind(table);
    let port = port(table, kind.as_ref());
    let interval = table.read_or("interval", defaults::INTERVAL, |item| {
        item.duration(Duration::from_millis(10)..=Duration::from_secs(86_400))
    });
    let timeout = table.read_or("timeout", defaults::timeout(interval), |item| {
        let timeout = item.duration(Duration::from_millis(1)..=Duration::from_secs(300))?;
        if timeout > interval {
            item.warn(&format!(
                "is longer than the interval of {}: an endpoint that does not answer is probed \
                 every {} instead",
                units::duration_text(interval),
                units::duration_text(timeout)
            ));
        }
        Some(timeout)
    });
    let threshold = |item: &Item<'_>| NonZeroU32::new(item.integer(1..=1000)?);
    let failure_threshold =
        table.read_or("failure_threshold", defaults::FAILURE_THRESHOLD, threshold);
    let success_threshold =
        table.read_or("success_threshold", defaults::SUCCESS_THRESHOLD, threshold);
    let failures_in_window = table.read_or("failures_in_window", None, |item| {
        failures_in_window(item, interval)
    });
    let damping = table.read_or("damping", None, damping);
    let quorum = table.read_or("quorum", defaults::QUORUM, quorum);
    let quorum_scope = table.read_or("quorum_scope", defaults::QUORUM_SCOPE, |item| {
        item.word(&[
            ("global", QuorumScope::Global),
            ("region", QuorumScope::Region),
        ])
    });
    let unproven = table.read_or("unproven", defaults::UNPROVEN, |item| {
        item.word(&[
            ("behind", Unproven::Behind),
            ("up", Unproven::Up),
            ("down", Unproven::Down),
        ])
    });
    Some(Monitor {
        name: name?,
        kind: kind?,
        port: port?,
        interval,
        timeout,
        failure_threshold,
        success_threshold,
        failures_in_window,
        damping,
        quorum,
        quorum_scope,
        unproven,
    })
}

fn failures_in_window(item: &Item<'_>, interval: Duration) -> Option<Option<FailureWindow>> {
    let (failures, length) = item.parse(units::FAILURES, units::failures)?;
    let Some(failures) = NonZeroU32::new(failures) else {
        return Some(None);
    };
    if interval * (failures.get() - 1) > length {
        item.warn(&format!(
            "is never reached, since an endpoint is probed only every {}",
            units::duration_text(interval)
        ));
    }
    Some(Some(FailureWindow { failures, length }))
}

fn damping(item: &Item<'_>) -> Option<Option<Damping>> {
    if !item.is_table() {
        return item.word_or(&[("off", None)], Some(DAMPING));
    }
    let table = item.table(&keys::DAMPING, "")?;
    let half_life = table.read_or("half_life", defaults::HALF_LIFE, |item| {
        item.duration(Duration::from_secs(1)..=Duration::from_secs(86_400))
    });
    let penalty = |item: &Item<'_>| item.number(0.1..=1_000.0);
    let damping = Damping {
        half_life,
        suppress: table.read_or("suppress", defaults::SUPPRESS, penalty),
        reuse: table.read_or("reuse", defaults::REUSE, penalty),
    };
    let (suppress, reuse) = (damping.suppress, damping.reuse);
    if reuse >= suppress {
        item.fault(&format!(
            "has `reuse` {reuse} and `suppress` {suppress}, expected `reuse` below `suppress`"
        ));
    } else if suppress >= damping.ceiling() {
        item.fault(&format!(
            "has `suppress` {suppress}, which is never exceeded: the penalty grows to at most 16 times `reuse`, \
             {}",
            damping.ceiling()
        ));
    }
    Some(Some(damping))
}

fn kind(table: &Table<'_>) -> Option<MonitorKind> {
    type MakeKind = fn(HttpCheck) -> MonitorKind;
    let words: [(_, MakeKind); 3] = [
        ("http", MonitorKind::Http),
        ("https", MonitorKind::Https),
        ("tcp", |_| MonitorKind::Tcp),
    ];
    let make = match table.get("type") {
        Some(item) => item.word(&words),
        None => Some(words[0].1),
    };
    let check = HttpCheck {
        path: table.read_or("path", defaults::MONITOR_PATH.into(), |item| {
            item.parse(units::REQUEST_PATH, units::request_path)
        }),
        host: table.read("host", |item| {
            item.parse(units::HOST_NAME, units::host_name)
        }),
        expect_status: table.read_or("expect_status", [defaults::EXPECT_STATUS].into(), |item| {
            item.parse(units::STATUSES, units::statuses)
        }),
        expect_body: table.read_or("expect_body", "".into(), |item| {
            item.text("a text in quotes").map(Into::into)
        }),
    };
    let kind = make?(check);
    if matches!(kind, MonitorKind::Https(_)) && table.is_missing("host") {
        table
            .warn("has no `host`, so that certificates must be valid for the endpoints' addresses");
    }
    if kind == MonitorKind::Tcp {
        for key in ["path", "host", "expect_status", "expect_body"] {
            if let Some(item) = table.get(key) {
                item.fault("is not looked at by type \"tcp\", expected only with http or https");
            }
        }
    }
    Some(kind)
}

fn port(table: &Table<'_>, kind: Option<&MonitorKind>) -> Option<u16> {
    let port = |item: &Item<'_>| item.integer(1..=65_535)?.try_into().ok();
    match kind {
        Some(MonitorKind::Tcp) => table.require("port", "the TCP port to connect to", port),
        Some(MonitorKind::Https(_)) => Some(table.read_or("port", defaults::HTTPS_PORT, port)),
        Some(MonitorKind::Http(_)) | None => Some(table.read_or("port", defaults::HTTP_PORT, port)),
    }
}

fn quorum(item: &Item<'_>) -> Option<Quorum> {
    if item.is_integer() {
        return item
            .integer(1..=1000)
            .and_then(NonZeroU32::new)
            .map(Quorum::Count);
    }
    item.word_or(
        &[
            ("any", Quorum::Any),
            ("majority", Quorum::Majority),
            ("all", Quorum::All),
        ],
        Some("a number of vantages"),
    )
}

fn pool(name: &Name<'_>, table: &Table<'_>, monitors: &Names<'_>, safety: &Safety) -> Option<Pool> {
    let name = plain_name(name);
    let location = table.require("location", LOCATION, location);
    let members = members(table, safety);
    let monitor = table.read("monitor", |item| Some(MonitorIx::new(monitors.find(item)?)));
    let min_healthy = table.read_or("min_healthy", defaults::MIN_HEALTHY, |item| {
        min_healthy(item, members.as_ref()?)
    });
    let weight = table.read_or("weight", defaults::WEIGHT, weight);
    let bias_km = table.read_or("bias_km", defaults::BIAS_KM, |item| {
        item.number(-MOST_BIAS_KM..=MOST_BIAS_KM)
    });
    let ramp = table.read_or("ramp", defaults::RAMP, |item| {
        let ramp = item.duration(Duration::ZERO..=Duration::from_secs(86_400))?;
        if !ramp.is_zero() && table.is_missing("monitor") {
            item.warn("has no effect on a pool without `monitor`, which is never down");
        }
        Some(ramp)
    });
    let members = members?;
    Some(Pool {
        name: name?,
        location: location?,
        endpoints: members.endpoints.into(),
        hosts: members.hosts,
        source: members.source,
        monitor,
        min_healthy: min_healthy as usize,
        weight,
        bias_km,
        ramp,
    })
}

pub(super) fn location(item: &Item<'_>) -> Option<Point> {
    let numbers = item.list(LOCATION, |entry| entry.number(-180.0..=180.0))?;
    let point = match numbers[..] {
        [latitude, longitude] => Point::new(latitude, longitude),
        _ => None,
    };
    if point.is_none() {
        item.fault(&format!("is no place on Earth, expected {LOCATION}"));
    }
    point
}

/// What a pool says of its endpoints.
struct Members {
    endpoints: Vec<Endpoint>,
    hosts: Vec<HostEndpoint>,
    source: PoolSource,
}

/// An entry of `endpoints`.
enum Entry {
    Address(Endpoint),
    Host(HostEndpoint),
}

/// `endpoints`, or who else names them.
fn members(table: &Table<'_>, safety: &Safety) -> Option<Members> {
    table.require_one_of(
        &["endpoints", "source"],
        &format!("`endpoints` with {ENDPOINTS}, or `source` with {SOURCE}"),
    );
    let entries = table.read("endpoints", |item| endpoints(item, safety));
    let Some(source) = table.get("source") else {
        let (mut endpoints, mut hosts) = (Vec::new(), Vec::new());
        for entry in entries? {
            match entry {
                Entry::Address(endpoint) => endpoints.push(endpoint),
                Entry::Host(host) => hosts.push(host),
            }
        }
        return Some(Members {
            endpoints,
            hosts,
            source: PoolSource::File,
        });
    };
    if table.get("endpoints").is_some() {
        source.fault("stands beside `endpoints`, expected only one of them");
    }
    Some(Members {
        endpoints: Vec::new(),
        hosts: Vec::new(),
        source: source.word(&[("api", PoolSource::Api)])?,
    })
}

/// The endpoints of a pool; no two may be the same.
fn endpoints(item: &Item<'_>, safety: &Safety) -> Option<Vec<Entry>> {
    let (mut addresses, mut names) = (HashSet::new(), HashSet::new());
    item.list(ENDPOINTS, |item| {
        let entry = endpoint(item, safety)?;
        match &entry {
            Entry::Address(endpoint) if !addresses.insert(endpoint.address) => {
                let address = endpoint.address;
                item.fault(&format!("is {address} again, expected each address once"));
            }
            Entry::Host(host) if !names.insert(Arc::clone(&host.name)) => {
                let name = &host.name;
                item.fault(&format!("is {name} again, expected each host name once"));
            }
            _ => {}
        }
        Some(entry)
    })
}

/// An address, or a table of an address or a host name and its weight.
fn endpoint(item: &Item<'_>, safety: &Safety) -> Option<Entry> {
    let address = |item: &Item<'_>| {
        let address = item.parse(units::UNICAST, units::unicast)?;
        let refusal = safety.check(address).err();
        if let Some(refusal) = refusal {
            item.fault(&format!("is {address}, {refusal}"));
        }
        refusal.is_none().then_some(address)
    };
    if !item.is_table() {
        return Some(Entry::Address(Endpoint {
            address: address(item)?,
            weight: defaults::WEIGHT,
        }));
    }
    let table = item.table(&keys::ENDPOINT, "")?;
    table.require_one_of(&["address", "host"], "exactly one of them");
    let found = table.read("address", address);
    let name = table.read("host", |item| {
        if table.get("address").is_some() {
            item.fault("stands beside `address`, expected only one of them");
        }
        item.parse(units::ENDPOINT_HOST, units::endpoint_host)
    });
    let weight = table.read_or("weight", defaults::WEIGHT, weight);
    let address = found.map(|address| Entry::Address(Endpoint { address, weight }));
    address.or_else(|| {
        Some(Entry::Host(HostEndpoint {
            name: name?,
            weight,
        }))
    })
}

fn weight(item: &Item<'_>) -> Option<u32> {
    item.integer(0..=Endpoint::MAX_WEIGHT)
}

fn min_healthy(item: &Item<'_>, members: &Members) -> Option<u32> {
    if members.source != PoolSource::File || !members.hosts.is_empty() {
        return item.integer(1..=MOST_MIN_HEALTHY);
    }
    let endpoints = &members.endpoints;
    let counts = PerFamily::from_fn(|family| {
        let of_family = |endpoint: &&Endpoint| Family::of(endpoint.address) == family;
        endpoints.iter().filter(of_family).count() as u32
    });
    let number = item.integer(1..=counts.v4.max(counts.v6).max(1))?;
    for family in Family::ALL {
        let count = counts[family];
        if (1..number).contains(&count) {
            item.warn(&format!(
                "is {number}, more than the pool has {family} endpoints ({count}): all of them must be \
                 up in that family"
            ));
        }
    }
    Some(number)
}
