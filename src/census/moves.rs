//! `Moves`: which clients of a name another pool serves than before.

use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::base::ix::SteeredIx;
use crate::base::location::Country;
use crate::base::prefix::Family;
use crate::census::Distances;
use crate::census::Served;
use crate::census::clients::Clients;
use crate::census::clients::granularity;
use crate::census::clients::keys;
use crate::census::count::distance_km;
use crate::census::count::sums;
use crate::config::model::Pool;
use crate::state::correspondence::Correspondence;
use crate::state::plan::Plan;
use crate::state::snapshot::Snapshot;

/// One name in one family, before and after. Clients count where they were before: located by the
/// database of before, in the country that it names. Pools are the same if their names are.
#[derive(Clone, Debug)]
pub struct Moves {
    /// How many clients are located.
    pub n_located: f64,
    before: Arc<Plan>,
    after: Arc<Plan>,
    /// In the order of `from` and `to`.
    cells: Vec<Cell>,
}

/// The clients of one place that have moved alike.
#[derive(Clone, Copy, Debug)]
struct Cell {
    /// In the plan of before.
    from: Served,
    /// In the plan of after.
    to: Served,
    place: u32,
    n: f64,
}

/// The located clients that have moved alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    /// What they got, in the plan of before.
    pub from: Served,
    /// What they get, in the plan of after.
    pub to: Served,
    /// How many they are.
    pub n: f64,
    /// Their countries, most clients first; `None`: the database names none.
    pub countries: Vec<(Option<Country>, f64)>,
    /// How far they were, where both distances are known.
    pub before: Option<Distances>,
    /// How far they are, where both distances are known.
    pub after: Option<Distances>,
}

/// One name's place in two snapshots.
#[derive(Clone, Copy, Debug)]
pub struct Compared<'a> {
    /// What was served.
    pub before: (&'a Snapshot, SteeredIx),
    /// What is served.
    pub after: (&'a Snapshot, SteeredIx),
    /// Which pool of `after` was which of `before`.
    pub pools: &'a Correspondence,
}

impl Compared<'_> {
    /// Whether nobody moves, as far as can be seen without counting.
    pub fn is_same(&self, family: Family) -> bool {
        let [before, after] = [self.before, self.after]
            .map(|(snapshot, name)| &snapshot.steered[name.index()].families[family]);
        let cut =
            [self.before, self.after].map(|(snapshot, name)| granularity(&snapshot.plan, name));
        let n_keys = before.answers.len() + before.passed_over.len();
        Arc::ptr_eq(&before.table, &after.table)
            && cut[0] == cut[1]
            && before.key_of_rank == after.key_of_rank
            && (0..n_keys as u32).all(|key| {
                let flows = self.flows(&before.shares(key), &after.shares(key));
                flows.is_empty()
            })
    }

    /// What the result depends on beyond the database: equal ones have the same clients who move.
    pub fn answers(&self, family: Family) -> impl Eq + Hash + use<> {
        [self.before, self.after].map(|(snapshot, name)| {
            let answers = &snapshot.steered[name.index()].families[family];
            (
                Arc::as_ptr(answers),
                granularity(&snapshot.plan, name),
                family,
            )
        })
    }

    /// Counts who moves.
    pub fn moves(&self, family: Family, clients: &Clients) -> Moves {
        let [(before, old_name), (after, new_name)] = [self.before, self.after];
        let old = &before.steered[old_name.index()].families[family];
        let new = &after.steered[new_name.index()].families[family];
        let keys = [
            keys(&before.plan, old_name, old),
            keys(&after.plan, new_name, new),
        ];
        let atlas = &before.plan.atlas;
        let (mut n_located, mut cells) = (0.0, Vec::new());
        let mut flows = FxHashMap::default();
        let tallied = clients.tally(family, [&keys[0], &keys[1], atlas.places()]);
        for ([old_key, new_key, place], n) in tallied {
            if !atlas.locations()[place as usize].is_located() {
                continue;
            }
            n_located += n;
            let flows = flows
                .entry([old_key, new_key])
                .or_insert_with(|| self.flows(&old.shares(old_key), &new.shares(new_key)));
            cells.extend(flows.iter().map(|(from, to, share)| Cell {
                from: *from,
                to: *to,
                place,
                n: n * share,
            }));
        }
        cells.sort_by_key(|cell| (cell.from, cell.to));
        Moves {
            n_located,
            before: Arc::clone(&before.plan),
            after: Arc::clone(&after.plan),
            cells,
        }
    }

    /// The shares that move from one pool to another. No more move than must: rendezvous hashing moves the
    /// clients of those who lose a share to those who gain one.
    fn flows(
        &self,
        before: &[(Served, f64)],
        after: &[(Served, f64)],
    ) -> Vec<(Served, Served, f64)> {
        let then = |served: Served| match served {
            Served::Pool(pool) => self.pools.pool(pool).map(Served::Pool),
            other => Some(other),
        };
        let lost = before.iter().map(|(served, share)| {
            let mut after = after.iter();
            let now = after.find(|(now, _)| then(*now) == Some(*served));
            (*served, share - now.map_or(0.0, |(_, share)| *share))
        });
        let gained = after.iter().map(|(served, share)| {
            let mut before = before.iter();
            let before = before.find(|(before, _)| then(*served) == Some(*before));
            (*served, share - before.map_or(0.0, |(_, share)| *share))
        });
        let is_some = |(_, share): &(Served, f64)| *share > ROUNDING;
        let lost: Vec<_> = lost.filter(is_some).collect();
        let gained: Vec<_> = gained.filter(is_some).collect();
        let sum: f64 = gained.iter().map(|(_, share)| share).sum();
        let to_all = |(from, lost): &(Served, f64)| {
            let (from, lost) = (*from, *lost);
            let to = gained.iter();
            to.map(move |(to, gained)| (from, *to, lost * gained / sum))
                .collect::<Vec<_>>()
        };
        lost.iter().flat_map(to_all).collect()
    }
}

/// Shares that differ by less are equal.
const ROUNDING: f64 = 1e-9;

impl Moves {
    /// The pools of before and those of after, which [`Served`] names.
    pub fn pools(&self) -> [&[Pool]; 2] {
        [&self.before, &self.after].map(|plan| &*plan.config.pools.pools)
    }

    /// Whether nobody moves.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// How many located clients have left a pool: for another, or for no address at all.
    pub fn n_left(&self) -> f64 {
        let left = self.cells.iter();
        left.filter(|cell| matches!(cell.from, Served::Pool(_)))
            .map(|cell| cell.n)
            .sum()
    }

    /// Who has moved: most clients first.
    pub fn all(&self) -> Vec<Move> {
        let way = |cell: &Cell| (cell.from, cell.to);
        let alike = self.cells.chunk_by(|a, b| way(a) == way(b));
        let one = |cells: &[Cell]| {
            let countries = cells.iter().map(|cell| (self.country(cell), cell.n));
            let distances = cells.iter().filter_map(|cell| self.distances(cell));
            let (before, after) = distances.unzip();
            Move {
                from: cells[0].from,
                to: cells[0].to,
                n: cells.iter().map(|cell| cell.n).sum(),
                countries: sums(countries),
                before: Distances::of(before),
                after: Distances::of(after),
            }
        };
        let mut all: Vec<Move> = alike.map(one).collect();
        all.sort_by(|a, b| b.n.total_cmp(&a.n));
        all
    }

    /// The countries of those who have moved, whatever from and to: most clients first.
    pub fn countries(&self) -> Vec<(Option<Country>, f64)> {
        sums(self.cells.iter().map(|cell| (self.country(cell), cell.n)))
    }

    fn country(&self, cell: &Cell) -> Option<Country> {
        self.before.atlas.locations()[cell.place as usize].country
    }

    /// Before and after, each with the number of clients.
    fn distances(&self, cell: &Cell) -> Option<((f64, f64), (f64, f64))> {
        let point = self.before.atlas.locations()[cell.place as usize].point?;
        let before = distance_km(&self.before, cell.from, point)?;
        let after = distance_km(&self.after, cell.to, point)?;
        Some(((before, cell.n), (after, cell.n)))
    }
}
