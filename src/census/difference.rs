//! `Difference`: what another plan would change of what is served.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::base::ix::MonitorIx;
use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::name::Name;
use crate::base::prefix::Family;
use crate::census::Clients;
use crate::census::Compared;
use crate::census::Moves;
use crate::census::records;
use crate::census::records::ZoneChange;
use crate::config::model::Pool;
use crate::config::model::PoolSource;
use crate::config::model::Pools;
use crate::config::model::Rule;
use crate::config::model::Steered;
use crate::health::monitor::Monitor;
use crate::state::correspondence::Correspondence;
use crate::state::snapshot::Snapshot;
use crate::steer::AllDown;

/// What changes from one snapshot to another.
#[derive(Debug)]
pub struct Difference {
    /// Pools, in the order of their names.
    pub pools: Vec<Change>,
    /// Steered names, in the order of their names.
    pub names: Vec<Change>,
    /// Zones, in the order of their apexes; only those with a difference.
    pub zones: Vec<ZoneChange>,
    /// Who moves, of names that are in both, by name and family; only names with clients who do.
    pub moves: Vec<NameMoves>,
}

/// Something with a name that is new, gone, or other than it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// What has become of it.
    pub kind: ChangeKind,
}

/// What has become of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// These keys of it have other values.
    Changed(Vec<&'static str>),
}

/// Who moves in one family of a name.
#[derive(Debug)]
pub struct NameMoves {
    /// The name, in the snapshot of after.
    pub name: SteeredIx,
    /// The same as a domain name.
    pub owner: Name,
    /// The family.
    pub family: Family,
    /// Who moves; names that are answered alike share it.
    pub moves: Arc<Moves>,
}

impl Difference {
    /// Compares two snapshots.
    pub fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let [old, new] = [before, after].map(|snapshot| &snapshot.plan.config.pools);
        Self {
            pools: changes(&pools(old), &pools(new), |a, b| pool_keys(old, a, new, b)),
            names: changes(&names(old), &names(new), |a, b| name_keys(old, a, new, b)),
            zones: records::changes(&before.plan.zones, &after.plan.zones),
            moves: moves(before, after),
        }
    }
}

/// Who moves from one snapshot to another.
pub fn moves(before: &Snapshot, after: &Snapshot) -> Vec<NameMoves> {
    let [old, new] = [before, after].map(|snapshot| &snapshot.plan.config.pools);
    let pools = Correspondence::between(old, new);
    let mut moves = Vec::new();
    let mut known = FxHashMap::default();
    for name in (0..new.steered.len()).map(SteeredIx::new) {
        let Some(then) = pools.steered(name) else {
            continue;
        };
        let compared = Compared {
            before: (before, then),
            after: (after, name),
            pools: &pools,
        };
        for family in Family::ALL {
            if compared.is_same(family) {
                continue;
            }
            let counted = known
                .entry(compared.answers(family))
                .or_insert_with(|| Arc::new(compared.moves(family, &Clients::World)));
            if !counted.is_empty() {
                moves.push(NameMoves {
                    name,
                    owner: new.steered[name.index()].owner.clone(),
                    family,
                    moves: Arc::clone(counted),
                });
            }
        }
    }
    moves
}

fn pools(of: &Pools) -> BTreeMap<String, &Pool> {
    let pools = of.pools.iter();
    pools.map(|pool| (pool.name.to_string(), pool)).collect()
}

fn names(of: &Pools) -> BTreeMap<String, &Steered> {
    let steered = of.steered.iter();
    steered
        .map(|steered| (steered.owner.plain(), steered))
        .collect()
}

/// What is new, gone or changed; `keys` are those in which two of one name differ.
fn changes<T>(
    before: &BTreeMap<String, &T>,
    after: &BTreeMap<String, &T>,
    keys: impl Fn(&T, &T) -> Vec<&'static str>,
) -> Vec<Change> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |name: &String| {
        let kind = match (before.get(name), after.get(name)) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            (Some(before), Some(after)) => match keys(before, after) {
                none if none.is_empty() => return None,
                keys => ChangeKind::Changed(keys),
            },
        };
        let name = name.clone();
        Some(Change { name, kind })
    };
    names.into_iter().filter_map(change).collect()
}

/// The keys of a pool that have other values.
fn pool_keys(before: &Pools, a: &Pool, after: &Pools, b: &Pool) -> Vec<&'static str> {
    let monitors = |pools: &Pools, of: &[MonitorIx]| -> Vec<Monitor> {
        let monitors = of.iter().map(|ix| pools.monitors[ix.index()].clone());
        monitors.collect()
    };
    differing([
        ("location", a.location != b.location),
        (
            "endpoints",
            a.endpoints != b.endpoints || a.hosts != b.hosts,
        ),
        ("source", !is_same_source(&a.source, &b.source)),
        (
            "monitor",
            monitors(before, &a.monitors) != monitors(after, &b.monitors),
        ),
        (
            "watch",
            monitors(before, &a.watch) != monitors(after, &b.watch),
        ),
        ("min_healthy", a.min_healthy != b.min_healthy),
        ("weight", a.weight != b.weight),
        ("bias_km", a.bias_km != b.bias_km),
        ("txt", a.txt != b.txt),
        ("standby", a.standby != b.standby),
        ("ramp", a.ramp != b.ramp),
        ("drill", a.drill != b.drill),
        ("spill_at", a.spill_at != b.spill_at),
    ])
}

fn is_same_source(a: &PoolSource, b: &PoolSource) -> bool {
    match (a, b) {
        (PoolSource::Kubernetes { object: a, .. }, PoolSource::Kubernetes { object: b, .. }) => {
            a == b
        }
        _ => a == b,
    }
}

/// The keys of a steered name that have other values.
fn name_keys(before: &Pools, a: &Steered, after: &Pools, b: &Steered) -> Vec<&'static str> {
    let pools = |pools: &Pools, of: &[PoolIx]| -> Vec<Box<str>> {
        let names = of.iter().map(|ix| pools.pools[ix.index()].name.clone());
        names.collect()
    };
    let all_down = |of: &Pools, all_down: AllDown| match all_down {
        AllDown::Fallback(pool) => (None, Some(pools(of, &[pool]))),
        other => (Some(other), None),
    };
    let rules = |of: &Pools, steered: &Steered| -> Vec<_> {
        let rule = |rule: &Rule| {
            (
                Arc::clone(&rule.matcher),
                pools(of, &rule.pools),
                (rule.policy, rule.fence),
                rule.all_down.map(|policy| all_down(of, policy)),
            )
        };
        steered.rules.iter().map(rule).collect()
    };
    differing([
        ("policy", a.policy != b.policy),
        ("pools", pools(before, &a.pools) != pools(after, &b.pools)),
        ("ttl", a.ttl != b.ttl),
        ("order", a.order != b.order),
        ("ecs", a.ecs != b.ecs),
        ("answers", a.max_addresses != b.max_addresses),
        ("answer", a.types != b.types),
        (
            "all_down",
            all_down(before, a.all_down) != all_down(after, b.all_down),
        ),
        ("rule", rules(before, a) != rules(after, b)),
    ])
}

fn differing<const N: usize>(keys: [(&'static str, bool); N]) -> Vec<&'static str> {
    let keys = keys.into_iter();
    keys.filter_map(|(key, differs)| differs.then_some(key))
        .collect()
}
