//! What a drain would move, before it does.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::location::Country;
use crate::base::prefix::Family;
use crate::census::Clients;
use crate::census::Compared;
use crate::census::Move;
use crate::census::Served;
use crate::state::correspondence::Correspondence;
use crate::state::snapshot::Snapshot;

/// The most groups of names that are counted.
const MAX_NAMES: usize = 6;

/// Whom a drain would move.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    /// By name and family; those of whom nobody would move are not there.
    pub moves: Vec<NameMoves>,
    /// Names that were not counted.
    pub n_more: usize,
    /// Which clients would be left without a pool.
    pub stranded: Option<String>,
}

/// Whom it would move of a name in a family.
#[derive(Clone, Debug, PartialEq)]
pub struct NameMoves {
    /// The name, and how many more that are answered alike.
    pub name: String,
    /// The family.
    pub family: Family,
    /// The share of the located clients.
    pub share: f64,
    /// Where those of the pool would go, most clients first.
    pub to: Vec<Destination>,
    /// The share that would go from one of the other pools to another: of clients whose resolvers are answered by
    /// subnets that the pool has clients in.
    pub others: f64,
}

/// Where clients would go.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// The pool; `None`: to no address.
    pub pool: Option<String>,
    /// The share of the name's located clients.
    pub share: f64,
    /// Within how many kilometres of their pool half of them are, now and then.
    pub median_km: Option<(f64, f64)>,
    /// The countries that most of them are in.
    pub countries: Vec<Country>,
}

/// How many countries are named.
const MAX_COUNTRIES: usize = 5;

/// Counts whom draining a pool would move.
pub fn preview(snapshot: &Snapshot, pool: PoolIx) -> Preview {
    let after = snapshot.with_drained(pool);
    let pools = &snapshot.plan.config.pools;
    let same = Correspondence::between(pools, pools);
    let mut preview = Preview {
        stranded: snapshot
            .stranded_without(pool)
            .map(|stranded| stranded.to_string()),
        ..Preview::default()
    };
    for (family, names) in alike(snapshot, &after) {
        let Some(name) = names.first().copied() else {
            continue;
        };
        let compared = Compared {
            before: (snapshot, name),
            after: (&after, name),
            pools: &same,
        };
        if compared.is_same(family) {
            continue;
        }
        if preview.moves.len() >= MAX_NAMES {
            preview.n_more += names.len();
            continue;
        }
        let owner = snapshot.plan.steered(name).owner.plain();
        let name = match names.len() {
            1 => owner,
            n => format!("{owner} and {} more names that are answered alike", n - 1),
        };
        preview.moves.extend(moves(&compared, pool, family, name));
    }
    preview
}

/// The names of each family, in groups that are answered alike before and after.
fn alike(before: &Snapshot, after: &Snapshot) -> Vec<(Family, Vec<SteeredIx>)> {
    let mut groups: Vec<(Family, Vec<SteeredIx>)> = Vec::new();
    let answers = |snapshot: &Snapshot, name: SteeredIx, family| {
        Arc::as_ptr(&snapshot.steered[name.index()].families[family])
    };
    let both = |name, family| (answers(before, name, family), answers(after, name, family));
    let mut known = FxHashMap::default();
    for name in (0..before.steered.len()).map(SteeredIx::new) {
        for family in Family::ALL {
            let at = *known
                .entry((family, both(name, family)))
                .or_insert_with(|| {
                    groups.push((family, Vec::new()));
                    groups.len() - 1
                });
            groups[at].1.push(name);
        }
    }
    groups
}

fn moves(compared: &Compared<'_>, pool: PoolIx, family: Family, name: String) -> Option<NameMoves> {
    let moves = compared.moves(family, &Clients::World);
    let n_located = Some(moves.n_located).filter(|n| *n > 0.0)?;
    let pools = &compared.after.0.plan.config.pools.pools;
    let destination = |found: &Move| Destination {
        pool: match found.to {
            Served::Pool(pool) => Some(pools[pool.index()].name.to_string()),
            Served::NoData | Served::ServFail => None,
        },
        share: found.n / n_located,
        median_km: found
            .before
            .zip(found.after)
            .map(|(before, after)| (before.median_km, after.median_km)),
        countries: {
            let countries = found.countries.iter();
            countries
                .filter_map(|(country, _)| *country)
                .take(MAX_COUNTRIES)
                .collect()
        },
    };
    let (own, others): (Vec<_>, Vec<_>) = moves
        .all()
        .into_iter()
        .partition(|found| found.from == Served::Pool(pool));
    let to: Vec<Destination> = own.iter().map(destination).collect();
    (!to.is_empty()).then(|| NameMoves {
        name,
        family,
        share: to.iter().map(|to| to.share).sum(),
        to,
        others: others.iter().map(|found| found.n).sum::<f64>() / n_located,
    })
}
