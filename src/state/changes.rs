//! What differs between two plans, by name: what a reload, or going back to a kept configuration, changed.
//!
//! It compares what the files mean, not how they are written: a line that moved, or a pool that took another
//! position, is no change.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::base::date::Date;
use crate::base::ix::MonitorIx;
use crate::base::ix::PoolIx;
use crate::base::name::Name;
use crate::config::model::Alias;
use crate::config::model::GeoIp;
use crate::config::model::Grant;
use crate::config::model::Pool;
use crate::config::model::PoolSource;
use crate::config::model::Pools;
use crate::config::model::Process;
use crate::config::model::Secondary;
use crate::config::model::Steered;
use crate::config::model::ZoneRef;
use crate::health::monitor::Monitor;
use crate::mmdb::database::DatabaseInfo;
use crate::state::correspondence::Correspondence;
use crate::state::plan::Plan;
use crate::steer::AllDown;
use crate::zone::Node;
use crate::zone::Zone;

/// How many names of a kind its text lists.
const MAX_LISTED: usize = 10;

/// What differs between two plans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Zones by apex.
    pub zones: ChangedNames,
    /// Steered names and aliases by owner.
    pub names: ChangedNames,
    /// Pools.
    pub pools: ChangedNames,
    /// Monitors.
    pub monitors: ChangedNames,
    /// What databases and the latency table are now, where they are others; by type and build date.
    pub databases: Vec<String>,
    /// Tables and keys of `meridian.toml` whose settings differ.
    pub settings: Vec<&'static str>,
}

/// Things of one kind, by name; each list in the order of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedNames {
    /// Only in the second plan.
    pub added: Vec<String>,
    /// Only in the first.
    pub removed: Vec<String>,
    /// In both, and different.
    pub changed: Vec<String>,
}

impl Changes {
    /// Compares two plans; takes its time where large zones differ.
    pub fn between(before: &Plan, after: &Plan) -> Self {
        let (old, new) = (&before.config.pools, &after.config.pools);
        let correspondence = Correspondence::between(old, new);
        let monitors = |pools: &Pools, monitors: &[MonitorIx]| -> Vec<Box<str>> {
            let name = |monitor: &MonitorIx| pools.monitors[monitor.index()].name.clone();
            monitors.iter().map(name).collect()
        };
        let is_same_pool = |a: &Pool, b: &Pool| {
            let has_same_monitors = monitors(old, &a.monitors) == monitors(new, &b.monitors)
                && monitors(old, &a.watch) == monitors(new, &b.watch);
            let b = Pool {
                monitors: a.monitors.clone(),
                watch: a.watch.clone(),
                source: placed_like(&b.source, &a.source),
                ..b.clone()
            };
            has_same_monitors && *a == b
        };
        let aliases = changed_names(
            (&old.aliases, &new.aliases),
            |alias| alias.owner.plain(),
            |a, b| {
                let place = a.place.clone();
                *a == Alias { place, ..b.clone() }
            },
        );
        let names = changed_names(
            (&old.steered, &new.steered),
            |steered| steered.owner.plain(),
            |a, b| translated(b, a, &correspondence).is_some_and(|b| *a == b),
        );
        Self {
            zones: changed_names(
                (
                    before.zones.iter().as_slice(),
                    after.zones.iter().as_slice(),
                ),
                |zone| zone.apex().plain(),
                |a, b| Arc::ptr_eq(a, b) || have_same_records(a, b),
            ),
            names: names.and(aliases),
            pools: changed_names(
                (&old.pools, &new.pools),
                |pool| pool.name.to_string(),
                is_same_pool,
            ),
            monitors: changed_names(
                (&old.monitors, &new.monitors),
                |monitor: &Monitor| monitor.name.to_string(),
                PartialEq::eq,
            ),
            databases: databases(before, after),
            settings: settings(&before.config.process, &after.config.process),
        }
    }

    /// Whether both plans say the same.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Changes {
    /// One line, such as `pools: us-east added; zones: example.com changed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (kind, names) in [
            ("zones", &self.zones),
            ("names", &self.names),
            ("pools", &self.pools),
            ("monitors", &self.monitors),
        ] {
            let lists = [
                (&names.added, "added"),
                (&names.removed, "removed"),
                (&names.changed, "changed"),
            ];
            let lists = lists.into_iter().filter(|(list, _)| !list.is_empty());
            let lists: Vec<_> = lists
                .map(|(list, what)| format!("{} {what}", listed(list)))
                .collect();
            if !lists.is_empty() {
                parts.push(format!("{kind}: {}", lists.join(", ")));
            }
        }
        if !self.databases.is_empty() {
            parts.push(format!("databases: now {}", self.databases.join(", ")));
        }
        if !self.settings.is_empty() {
            parts.push(format!("settings: {} changed", self.settings.join(" ")));
        }
        match parts.is_empty() {
            true => f.write_str("nothing"),
            false => f.write_str(&parts.join("; ")),
        }
    }
}

/// The first names, and how many there are more.
fn listed(names: &[String]) -> String {
    let first = &names[..names.len().min(MAX_LISTED)];
    match names.len() - first.len() {
        0 => first.join(" "),
        more => format!("{} and {more} more", first.join(" ")),
    }
}

impl ChangedNames {
    /// These and others.
    fn and(self, other: Self) -> Self {
        let joined = |mut a: Vec<String>, b: Vec<String>| {
            a.extend(b);
            a.sort();
            a
        };
        Self {
            added: joined(self.added, other.added),
            removed: joined(self.removed, other.removed),
            changed: joined(self.changed, other.changed),
        }
    }
}

/// Compares things of one kind.
fn changed_names<T>(
    (before, after): (&[T], &[T]),
    name: impl Fn(&T) -> String,
    is_same: impl Fn(&T, &T) -> bool,
) -> ChangedNames {
    let mut old: BTreeMap<String, &T> = before.iter().map(|thing| (name(thing), thing)).collect();
    let mut names = ChangedNames::default();
    for thing in after {
        let name = name(thing);
        match old.remove(&name) {
            None => names.added.push(name),
            Some(before) if !is_same(before, thing) => names.changed.push(name),
            Some(_) => {}
        }
    }
    names.removed = old.into_keys().collect();
    names.added.sort();
    names.changed.sort();
    names
}

/// Whether two zones hold the same records; names that are only steered hold none.
fn have_same_records(a: &Zone, b: &Zone) -> bool {
    let nodes = |zone| Zone::iter(zone).filter(|node| node.rrsets().next().is_some());
    let is_same = |(a, b): (Node<'_>, Node<'_>)| a.has_same_records(&b);
    a.n_records() == b.n_records() && nodes(a).zip(nodes(b)).all(is_same)
}

/// A source that is written where another is.
fn placed_like(source: &PoolSource, like: &PoolSource) -> PoolSource {
    let mut source = source.clone();
    if let (PoolSource::Kubernetes { place, .. }, PoolSource::Kubernetes { place: there, .. }) =
        (&mut source, like)
    {
        place.clone_from(there);
    }
    source
}

/// A steered name with the pools' positions of the plan before, and written where another is; `None` if it has
/// a pool that was not there.
fn translated(steered: &Steered, like: &Steered, pools: &Correspondence) -> Option<Steered> {
    let mut steered = steered.clone();
    steered.place.clone_from(&like.place);
    let all = |of: &mut Vec<PoolIx>| -> Option<()> {
        for pool in of {
            *pool = pools.pool(*pool)?;
        }
        Some(())
    };
    let fallback = |all_down: &mut AllDown| -> Option<()> {
        if let AllDown::Fallback(pool) = all_down {
            *pool = pools.pool(*pool)?;
        }
        Some(())
    };
    all(&mut steered.pools)?;
    fallback(&mut steered.all_down)?;
    for (rule, like) in steered.rules.iter_mut().zip(&like.rules) {
        rule.place.clone_from(&like.place);
        all(&mut rule.pools)?;
        if let Some(all_down) = &mut rule.all_down {
            fallback(all_down)?;
        }
    }
    Some(steered)
}

/// The databases that another one stands for, and the latency table.
fn databases(before: &Plan, after: &Plan) -> Vec<String> {
    let of = |plan: &Plan| -> Vec<DatabaseInfo> {
        let all = [Some(plan.atlas.about()), plan.atlas.about_asn()];
        all.into_iter().flatten().cloned().collect()
    };
    let mut changed = Vec::new();
    if !Arc::ptr_eq(&before.atlas, &after.atlas) {
        let (old, mut new) = (of(before), of(after));
        // Of the same type and day, only the content tells them apart.
        if old != new {
            new.retain(|info| !old.contains(info));
        }
        let text = |info: &DatabaseInfo| {
            let date = Date::from_epoch(info.build_epoch);
            format!("{} of {date}", info.database_type)
        };
        changed.extend(new.iter().map(text));
    }
    if !before.measured.has_same_table(&after.measured) {
        changed.push("another latency table".into());
    }
    changed
}

/// Which settings differ, but for where they are written.
fn settings(before: &Process, after: &Process) -> Vec<&'static str> {
    let geoip = |process: &Process| GeoIp {
        latency_place: None,
        database_place: None,
        asn_database_place: None,
        ..process.geoip.clone()
    };
    let secondaries = |process: &Process| -> Vec<_> {
        let secondaries = process.secondaries.iter();
        let plain = |s: &Secondary| {
            let zones = s.zones.as_ref().map(|zones| apexes(zones));
            (s.addresses.clone(), s.key.clone(), s.notify.clone(), zones)
        };
        secondaries.map(plain).collect()
    };
    let grants = |process: &Process| -> Vec<_> {
        let plain = |g: &Grant| {
            let zones = apexes(&g.zones);
            (g.key.clone(), zones, g.names.clone(), g.types.clone())
        };
        process.grants.iter().map(plain).collect()
    };
    let health = |process: &Process| {
        let witnesses = process.witnesses.clone();
        (process.report_max_age, witnesses, process.blind_max)
    };
    let vantages =
        |process: &Process| (process.vantages.clone(), process.vantage_locations.clone());
    let same = [
        ("zones", before.zones == after.zones),
        ("pools", before.pools == after.pools),
        ("state_dir", before.state_dir == after.state_dir),
        ("[server]", before.server == after.server),
        ("[geoip]", geoip(before) == geoip(after)),
        ("[ecs]", before.ecs == after.ecs),
        ("[admin]", before.admin == after.admin),
        ("[health]", health(before) == health(after)),
        ("[[vantage]]", vantages(before) == vantages(after)),
        ("[cluster]", before.cluster == after.cluster),
        ("[log]", before.log_format == after.log_format),
        ("[safety]", before.safety == after.safety),
        ("[resolve]", before.resolve_servers == after.resolve_servers),
        ("[[tsig_key]]", before.tsig_keys == after.tsig_keys),
        ("[[secondary]]", secondaries(before) == secondaries(after)),
        ("[[update]]", grants(before) == grants(after)),
        ("[kubernetes]", before.kubernetes == after.kubernetes),
    ];
    let changed = same.into_iter().filter(|(_, is_same)| !is_same);
    changed.map(|(name, _)| name).collect()
}

fn apexes(zones: &[ZoneRef]) -> Vec<Name> {
    zones.iter().map(|zone| zone.apex.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::fixture::embedded_atlas;
    use crate::state::fixture::plan;

    const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";

    const POOLS: &str = r#"
[monitor.m]
type = "tcp"
port = 1
[pool.a]
location = [1, 1]
endpoints = ["10.0.0.1"]
[pool.b]
location = [2, 2]
endpoints = ["10.0.0.2"]
monitor = "m"
[steer."app.example.com"]
pools = ["a", "b"]
all_down = "fallback"
fallback = "b"
[[steer."app.example.com".rule]]
country = ["DE"]
pools = ["b"]
[alias."alias.example.com"]
target = "there.example.net"
"#;

    #[test]
    #[expect(clippy::too_many_lines, reason = "a row per change")]
    fn what_differs_is_named_and_nothing_else() {
        let atlas = embedded_atlas();
        let of = |process: &str, pools: &str, zone: &str| {
            let zones = [("example.com", zone), ("example.org", ZONE)];
            plan(process, pools, &zones, Arc::clone(&atlas))
        };
        let before = of("", POOLS, ZONE);
        let with = |from: &str, to: &str| {
            let pools = POOLS.replace(from, to);
            assert_ne!(pools, POOLS, "{from}");
            Changes::between(&before, &of("", &pools, ZONE)).to_string()
        };
        for (what, from, to, expected) in [
            ("a line", "[pool.a]", "\n\n[pool.a]", "nothing"),
            (
                "positions",
                "[monitor.m]",
                "[monitor.l]\ntype = 'tcp'\nport = 2\n[pool.0]\nlocation = [0, 0]\nendpoints = ['10.0.0.9']\n[monitor.m]",
                "pools: 0 added; monitors: l added",
            ),
            ("a pool", "10.0.0.2", "10.0.0.3", "pools: b changed"),
            ("a monitor", "port = 1", "port = 2", "monitors: m changed"),
            (
                "a pool's monitor",
                "monitor = \"m\"",
                "watch = [\"m\"]",
                "pools: b changed",
            ),
            (
                "a rule",
                "DE\"]\npools = [\"b\"]",
                "DE\"]\npools = [\"a\"]",
                "names: app.example.com changed",
            ),
            (
                "a fallback",
                "fallback = \"b\"",
                "fallback = \"a\"",
                "names: app.example.com changed",
            ),
            (
                "a name",
                "steer.\"app.",
                "steer.\"api.",
                "names: api.example.com added, app.example.com removed",
            ),
            (
                "an alias",
                "there.",
                "where.",
                "names: alias.example.com changed",
            ),
        ] {
            assert_eq!(with(from, to), expected, "{what}");
        }
        let changes =
            |process: &str, zone: &str| Changes::between(&before, &of(process, POOLS, zone));
        let zone = changes("", &ZONE.replace("192.0.2.1", "192.0.2.2"));
        assert_eq!(zone.to_string(), "zones: example.com changed");
        let settings = changes("[ecs]\nenabled = false\n", ZONE);
        assert_eq!(settings.to_string(), "settings: [ecs] changed");
        assert!(changes("", ZONE).is_empty());
        let zones = [("example.net", ZONE), ("example.com", ZONE)];
        let after = plan("", POOLS, &zones, embedded_atlas());
        let text = Changes::between(&before, &after).to_string();
        let date = Date::from_epoch(atlas.about().build_epoch);
        let name = &atlas.about().database_type;
        assert_eq!(
            text,
            format!(
                "zones: example.net added, example.org removed; databases: now {name} of {date}"
            )
        );
    }
}
