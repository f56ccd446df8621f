//! `pools.toml`: pools; `resolve_monitors` reads the monitors, `resolve_steer` the steered names.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::ix::MonitorIx;
use crate::base::location::Point;
use crate::base::name;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::config::check_address::CheckAddress;
use crate::config::defaults;
use crate::config::keys;
use crate::config::model::Endpoint;
use crate::config::model::HostEndpoint;
use crate::config::model::MinHealthy;
use crate::config::model::Pool;
use crate::config::model::PoolSource;
use crate::config::model::Pools;
use crate::config::names::Name;
use crate::config::names::Names;
use crate::config::owners::Owners;
use crate::config::resolve_alias;
use crate::config::resolve_drill;
use crate::config::resolve_kubernetes::KUBERNETES_SOURCE;
use crate::config::resolve_kubernetes::kubernetes_source;
use crate::config::resolve_match::NamedRegions;
use crate::config::resolve_monitors::monitor;
use crate::config::resolve_steer;
use crate::config::resolve_types;
use crate::config::safety::Safety;
use crate::config::units;
use crate::config::written::Item;
use crate::config::written::Table;
use crate::health::load::Load;
use crate::health::monitor::Monitor;
use crate::steer::spread::Admitted;

/// What `location` looks like.
pub(super) const LOCATION: &str =
    "latitude (-90 to 90) and longitude (-180 to 180) such as [45.60, -121.18]";
/// What `endpoints` looks like.
const ENDPOINTS: &str = "a list of addresses such as [\"192.0.2.10\", \"2001:db8::10\"], or of host names \
     such as [{ host = \"lb-1.example.net\" }]";

/// What `watch` looks like, and `monitor` where there are several.
const MONITORS: &str = "the names of monitors such as [\"ready\", \"db\"]";

/// The largest `min_healthy` of a pool whose endpoints are not known beforehand.
const MOST_MIN_HEALTHY: u32 = 1_000;

/// The largest `trickle`, in hundredths of a percent: a pool that takes more is none that stands by.
const MOST_TRICKLE: u16 = 5_000;

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
        .map(|(name, table)| pool(name, table.as_ref()?, &monitor_names, &monitors, safety))
        .collect();
    let regions = NamedRegions::read(top);
    let mut owners = Owners::default();
    let steered = resolve_steer::steered(top, &pool_names, &pools, &regions, &mut owners);
    let aliases = resolve_alias::aliases(top, &mut owners);
    monitor_names.warn_unused("is used by no pool");
    pool_names.warn_unused("is used by no steered name");
    // Without faults, none is left out, and every index is right.
    Pools {
        monitors: monitors.into_iter().flatten().collect(),
        regions: regions.finish(),
        pools: pools.into_iter().flatten().collect(),
        steered,
        aliases,
    }
}

fn pool(
    name: &Name<'_>,
    table: &Table<'_>,
    monitor_names: &Names<'_>,
    monitors: &[Option<Monitor>],
    safety: &Safety,
) -> Option<Pool> {
    let name = name.plain();
    let location = table.require("location", LOCATION, location);
    let members = members(table, safety);
    let known = Known {
        names: monitor_names,
        monitors,
    };
    let voting = table.read_or("monitor", Vec::new(), |item| match item.value.is_array() {
        true => known.list(item, &[]),
        false => Some(vec![known.find(item, &[])?]),
    });
    let watch = table.read_or("watch", Vec::new(), |item| known.list(item, &voting));
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
    let drill = table.read("drill", resolve_drill::drill);
    let standby = standby(table);
    let spill_at = table.read("spill_at", |item| {
        let is_unmonitored = table.is_missing("monitor") && table.is_missing("watch");
        spill_at(
            item,
            is_unmonitored,
            &[&*voting, &*watch].concat(),
            monitors,
        )
    });
    let txt = table.read_or("txt", Vec::new(), resolve_types::texts);
    let members = members?;
    Some(Pool {
        name: name?,
        location: location?,
        endpoints: members.endpoints.into(),
        hosts: members.hosts,
        source: members.source,
        monitors: voting,
        watch,
        min_healthy,
        standby,
        weight,
        bias_km,
        txt,
        ramp,
        drill,
        spill_at,
    })
}

/// What `monitor` and `watch` refer to.
struct Known<'a> {
    names: &'a Names<'a>,
    monitors: &'a [Option<Monitor>],
}

impl Known<'_> {
    /// The monitors of a list, which differ from one another and from these.
    fn list(&self, item: &Item<'_>, others: &[MonitorIx]) -> Option<Vec<MonitorIx>> {
        let mut taken = others.to_vec();
        item.list(MONITORS, |item| {
            let ix = self.find(item, &taken)?;
            taken.push(ix);
            Some(ix)
        })
    }

    /// A monitor that asks something else than these.
    fn find(&self, item: &Item<'_>, others: &[MonitorIx]) -> Option<MonitorIx> {
        let ix = MonitorIx::new(self.names.find(item)?);
        let monitor = |ix: MonitorIx| self.monitors[ix.index()].as_ref();
        let is_same = |other: MonitorIx| match (monitor(ix), monitor(other)) {
            (Some(one), Some(other)) => one.is_same_check(other),
            _ => ix == other,
        };
        if let Some(other) = others.iter().copied().find(|other| is_same(*other)) {
            let other = monitor(other).map_or("", |other| &other.name);
            item.fault(&format!(
                "does just what \"{other}\" does, expected monitors that differ"
            ));
            return None;
        }
        Some(ix)
    }
}

/// The load above which a pool spills, of a monitor that reads one.
fn spill_at(
    item: &Item<'_>,
    is_unmonitored: bool,
    of_pool: &[MonitorIx],
    monitors: &[Option<Monitor>],
) -> Option<Load> {
    let percent = item.parse(units::PERCENTAGE, units::percentage)?;
    // A monitor that is unknown or faulty is no second fault.
    let mut known = of_pool.iter().map(|ix| monitors[ix.index()].as_ref());
    let mut reads_load = |monitor: Option<&Monitor>| monitor.is_none_or(Monitor::reads_load);
    let reads_load = !is_unmonitored && (of_pool.is_empty() || known.any(&mut reads_load));
    if !reads_load {
        item.fault(
            "has no load to go by, expected a `monitor` with `load`, which reads it from the probe's response",
        );
    }
    reads_load.then(|| Load::from(u32::from(percent) * 100))
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

/// Reads `standby` and `trickle`, which belong together.
fn standby(table: &Table<'_>) -> Option<Admitted> {
    let is_standby = table.read_or("standby", false, Item::boolean);
    let trickle = table.read_or("trickle", Admitted::NONE, |item| {
        if !is_standby {
            item.fault("is for pools that stand by, expected `standby = true` beside it");
        }
        if item.value.as_str() == Some("off") {
            return Some(Admitted::NONE);
        }
        let expected = "\"off\" or a percentage from \"0.01%\" to \"50%\"";
        let hundredths = item.parse(expected, |text| {
            units::hundredths(text).filter(|hundredths| (1..=MOST_TRICKLE).contains(hundredths))
        })?;
        Some(Admitted::from_ratio(f64::from(hundredths) / 10_000.0))
    });
    is_standby.then_some(trickle)
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
        &format!("`endpoints` with {ENDPOINTS}, or `source` with \"api\" or {KUBERNETES_SOURCE}"),
    );
    let is_probed = !table.is_missing("monitor") || !table.is_missing("watch");
    let entries = table.read("endpoints", |item| endpoints(item, safety, is_probed));
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
        source: pool_source(&source)?,
    })
}

fn pool_source(item: &Item<'_>) -> Option<PoolSource> {
    if item.is_table() {
        return kubernetes_source(item);
    }
    item.word_or(&[("api", ())], Some(KUBERNETES_SOURCE))?;
    Some(PoolSource::Api)
}

/// The endpoints of a pool; no two may be the same.
fn endpoints(item: &Item<'_>, safety: &Safety, is_probed: bool) -> Option<Vec<Entry>> {
    let (mut addresses, mut names) = (HashSet::new(), HashSet::new());
    item.list(ENDPOINTS, |item| {
        let entry = endpoint(item, safety, is_probed)?;
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
fn endpoint(item: &Item<'_>, safety: &Safety, is_probed: bool) -> Option<Entry> {
    let address = |item: &Item<'_>| {
        let address = item.parse(units::UNICAST, units::unicast)?;
        let refusal = safety.check(address).err();
        if let Some(refusal) = refusal {
            item.fault(&format!("is {address}, {refusal}"));
        }
        refusal.is_none().then_some(address)
    };
    if !item.is_table() {
        let endpoint = Endpoint::new(address(item)?, defaults::WEIGHT);
        return Some(Entry::Address(endpoint));
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
    let check = table.read("check", |item| {
        if !is_probed {
            item.warn("has no effect on a pool without `monitor`, which is not probed");
        }
        check(item, &table, found, safety)
    });
    let weight = table.read_or("weight", defaults::WEIGHT, weight);
    let address = found.map(|address| {
        Entry::Address(Endpoint {
            address,
            check,
            weight,
        })
    });
    address.or_else(|| {
        let name = name?;
        Some(Entry::Host(HostEndpoint {
            domain: name::Name::parse(&name).ok()?,
            name,
            weight,
        }))
    })
}

/// Where the endpoint of a table is probed.
fn check(
    item: &Item<'_>,
    table: &Table<'_>,
    address: Option<IpAddr>,
    safety: &Safety,
) -> Option<CheckAddress> {
    if table.get("host").is_some() {
        item.fault("stands beside `host`, expected beside `address` only");
        return None;
    }
    let check = item.parse(units::CHECK_ADDRESS, units::check_address)?;
    let fault = check.check(address?, safety).err();
    if let Some(fault) = &fault {
        item.fault(fault);
    }
    fault.is_none().then_some(check)
}

fn weight(item: &Item<'_>) -> Option<u32> {
    item.integer(0..=Endpoint::MAX_WEIGHT)
}

fn min_healthy(item: &Item<'_>, members: &Members) -> Option<MinHealthy> {
    if item.is_text() {
        let percent = item.parse(units::PERCENTAGE, units::percentage);
        return percent.map(MinHealthy::Percent);
    }
    if members.source != PoolSource::File || !members.hosts.is_empty() {
        return item.integer(1..=MOST_MIN_HEALTHY).map(MinHealthy::Count);
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
    Some(MinHealthy::Count(number))
}
