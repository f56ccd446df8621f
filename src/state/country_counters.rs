//! `steered_queries_total`: queries for steered names by their clients' country, from a sample.
//!
//! Every [`SAMPLE_INTERVAL`]th answer of a thread is counted, and stands for as many: looking up a country takes
//! about as long as half an answer. The interval is prime, so that no regular order of queries (A and AAAA by
//! turns, say) hides any of them.
//!
//! Each thread has a hash table of its own, of a fixed size: pairs of name and country take a slot when they
//! occur first, so that counting allocates nothing. Pairs that find no slot are counted as other ones of their name.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::base::ix::SteeredIx;
use crate::base::location::Country;
use crate::config::model::Pools;
use crate::state::correspondence::Correspondence;
use crate::state::counters::add_one;

/// One answer in so many is counted.
pub const SAMPLE_INTERVAL: u32 = 127;

/// Slots of a thread's table; a power of two.
const N_SLOTS: usize = 4096;

/// Slots that are looked at for a pair.
const MAX_PROBES: usize = 32;

/// Which clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Those of a country.
    Country(Country),
    /// Those of countries for which there is no slot.
    Other,
    /// Those that are not located.
    Unknown,
}

impl Origin {
    /// The metric label.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Country(country) => country.as_str(),
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }
}

/// Queries by steered name and country; the slots belong to one configuration, and a new one takes over the
/// totals of the names it still has.
#[derive(Debug)]
pub struct CountryCounters {
    /// The first one begins with the totals of the configuration before.
    shards: Box<[Table]>,
}

/// One thread's counters.
#[derive(Debug)]
struct Table {
    slots: Box<[Slot]>,
    /// By `SteeredIx`: pairs without a slot.
    others: Box<[AtomicU64]>,
}

/// A pair of name and country, and how often it was sampled.
#[derive(Debug, Default)]
struct Slot {
    /// 0: free.
    key: AtomicU64,
    n: AtomicU64,
}

impl CountryCounters {
    /// Nothing is counted yet, save for what a configuration before has counted.
    pub fn new(pools: &Pools, n_shards: usize, before: Option<(&Self, &Correspondence)>) -> Self {
        let n_names = pools.steered.len();
        let table = || Table {
            slots: (0..N_SLOTS).map(|_| Slot::default()).collect(),
            others: (0..n_names).map(|_| AtomicU64::new(0)).collect(),
        };
        let counters = Self {
            shards: (0..n_shards.max(1)).map(|_| table()).collect(),
        };
        if let Some((before, correspondence)) = before {
            let names = (0..n_names).map(SteeredIx::new);
            let old = names.filter_map(|name| Some((correspondence.steered(name)?, name)));
            let old: BTreeMap<SteeredIx, SteeredIx> = old.collect();
            for ((name, origin), n) in before.samples() {
                if let Some(name) = old.get(&name) {
                    counters.shards[0].counter(*name, origin).store(n, Relaxed);
                }
            }
        }
        counters
    }

    /// Counts one sampled answer.
    #[cold] // One answer in many.
    pub fn count(&self, shard: usize, name: SteeredIx, country: Option<Country>) {
        let last = self.shards.len() - 1;
        let origin = country.map_or(Origin::Unknown, Origin::Country);
        let counter = self.shards[shard.min(last)].counter(name, origin);
        add_one(counter, shard >= last);
    }

    /// The queries that the samples stand for.
    pub fn totals(&self) -> BTreeMap<(SteeredIx, Origin), u64> {
        let mut totals = self.samples();
        totals
            .values_mut()
            .for_each(|n| *n *= u64::from(SAMPLE_INTERVAL));
        totals
    }

    fn samples(&self) -> BTreeMap<(SteeredIx, Origin), u64> {
        let mut samples = BTreeMap::new();
        for table in &self.shards {
            let of_slots = table.slots.iter().filter_map(|slot| {
                let pair = pair_of(slot.key.load(Relaxed))?;
                Some((pair, slot.n.load(Relaxed)))
            });
            let others = (0..).map(SteeredIx::new).zip(&table.others);
            let others = others.map(|(name, n)| ((name, Origin::Other), n.load(Relaxed)));
            for (pair, n) in of_slots.chain(others).filter(|(_, n)| *n > 0) {
                *samples.entry(pair).or_default() += n;
            }
        }
        samples
    }
}

impl Table {
    /// The counter of a pair, which gets a slot if it has none.
    fn counter(&self, name: SteeredIx, origin: Origin) -> &AtomicU64 {
        let others = &self.others[name.index()];
        let Some(key) = key_of(name, origin) else {
            return others;
        };
        // Fibonacci hashing: the high bits of the product depend on all of the key.
        let start = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize;
        for probe in 0..MAX_PROBES {
            let slot = &self.slots[(start + probe) % N_SLOTS];
            // Another thread may take the slot of a shared table at the same time.
            let taken = match slot.key.load(Relaxed) {
                0 => slot.key.compare_exchange(0, key, Relaxed, Relaxed).err(),
                taken => Some(taken),
            };
            if taken.is_none_or(|taken| taken == key) {
                return &slot.n;
            }
        }
        others
    }
}

/// A pair as a number above 0; `None` for other countries.
fn key_of(name: SteeredIx, origin: Origin) -> Option<u64> {
    let country = match origin {
        Origin::Country(country) => u16::from_be_bytes(country.letters()),
        Origin::Other => return None,
        Origin::Unknown => 0,
    };
    Some((name.index() as u64 + 1) << 16 | u64::from(country))
}

/// The pair of a number; `None`: there is none.
fn pair_of(key: u64) -> Option<(SteeredIx, Origin)> {
    let name = SteeredIx::new((key >> 16).checked_sub(1)? as usize);
    let origin = match (key as u16).to_be_bytes() {
        [0, 0] => Origin::Unknown,
        letters => Origin::Country(Country::of_letters(letters)?),
    };
    Some((name, origin))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::geo::atlas::Atlas;
    use crate::state::fixture;

    fn counters(names: &[&str], before: Option<(&CountryCounters, &[&str])>) -> CountryCounters {
        let pools = |names: &[&str]| {
            let pool = "[pool.p]\nlocation = [1, 1]\nendpoints = [\"192.0.2.1\"]\n".to_owned();
            let steered = names
                .iter()
                .map(|name| format!("[steer.\"{name}\"]\npools = [\"p\"]\n"));
            let zone = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";
            let text = pool + &steered.collect::<String>();
            let atlas = Arc::new(Atlas::empty());
            let plan = fixture::plan("", &text, &[("example.com", zone)], atlas);
            plan.config.pools.clone()
        };
        let new = pools(names);
        match before {
            None => CountryCounters::new(&new, 2, None),
            Some((before, old)) => {
                let correspondence = Correspondence::between(&pools(old), &new);
                CountryCounters::new(&new, 2, Some((before, &correspondence)))
            }
        }
    }

    fn country(text: &str) -> Option<Country> {
        text.parse().ok()
    }

    fn totals(counters: &CountryCounters) -> Vec<(usize, String, u64)> {
        let totals = counters.totals().into_iter();
        let rows = totals.map(|((name, origin), n)| (name.index(), origin.as_str().to_owned(), n));
        rows.collect()
    }

    #[test]
    fn samples_of_all_threads_add_up_and_outlive_a_reload() {
        let (a, b) = (SteeredIx(0), SteeredIx(1));
        let before = counters(&["a.example.com", "b.example.com"], None);
        for (shard, name, country) in [
            (0, a, country("US")),
            (1, a, country("US")),
            (7, b, country("US")),
            (0, b, country("DE")),
            (0, b, None),
        ] {
            before.count(shard, name, country);
        }
        let n = u64::from(SAMPLE_INTERVAL);
        let row = |name, origin: &str, n| (name, origin.to_owned(), n);
        let expected = [
            row(0, "US", 2 * n),
            row(1, "DE", n),
            row(1, "US", n),
            row(1, "unknown", n),
        ];
        assert_eq!(totals(&before), expected);
        let names = ["a.example.com", "b.example.com"];
        let after = counters(
            &["new.example.com", "b.example.com"],
            Some((&before, &names)),
        );
        after.count(0, b, country("DE"));
        let expected = [row(1, "DE", 2 * n), row(1, "US", n), row(1, "unknown", n)];
        assert_eq!(totals(&after), expected);
    }

    #[test]
    fn more_pairs_than_slots_are_counted_as_others() {
        let counters = counters(&["a.example.com"], None);
        let letters = || (b'A'..=b'Z').map(char::from);
        let all: Vec<Country> = letters()
            .flat_map(|a| letters().map(move |b| format!("{a}{b}")))
            .filter_map(|text| text.parse().ok())
            .collect();
        assert_eq!(all.len(), 676);
        for _ in 0..3 {
            for country in &all {
                counters.count(0, SteeredIx(0), Some(*country));
            }
        }
        assert_eq!(counters.totals().len(), 676, "all fit");
        // As many slots as there are, taken by names that do not exist.
        for (at, slot) in counters.shards[1].slots.iter().enumerate() {
            slot.key.store(u64::MAX - at as u64, Relaxed);
        }
        counters.count(1, SteeredIx(0), country("US"));
        let others = counters.shards[1].others[0].load(Relaxed);
        assert_eq!(others, 1);
    }
}
