//! `Table`: the round-trip times of a latency table, one for each pair of key and pool.

use std::cmp::Ordering;
use std::ops::Range;

use crate::latency::key::Key;

/// One line of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Of which clients.
    pub key: Key,
    /// To which pool, a position in the list of names.
    pub pool: u32,
    /// Milliseconds.
    pub rtt_ms: f32,
    /// How many measurements it stands for; `None`: enough.
    pub samples: Option<u32>,
    /// When it was measured, in seconds since 1970; `None`: not known, so that it never gets too old.
    pub measured: Option<u64>,
}

/// The round-trip time of a key's clients to a pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// Which pool, a position in [`Table::pools`].
    pub pool: u32,
    /// The median, in milliseconds.
    pub rtt_ms: f32,
    /// How many measurements it is the median of, if the file says so.
    pub samples: Option<u32>,
    /// When the newest was measured, in seconds since 1970.
    pub measured: Option<u64>,
}

/// What rows must be for their pair to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The fewest samples of a pair.
    pub min_samples: u32,
    /// Older rows do not count, in seconds.
    pub max_age: u64,
    /// Seconds since 1970.
    pub now: u64,
}

impl Limits {
    fn is_too_old(&self, row: &Row) -> bool {
        row.measured
            .is_some_and(|at| self.now.saturating_sub(at) > self.max_age)
    }
}

/// What became of a file's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows of the file.
    pub n_rows: usize,
    /// Rows that are too old.
    pub n_too_old: usize,
    /// Pairs with fewer samples than are asked for.
    pub n_too_few: usize,
    /// When the newest row was measured, in seconds since 1970; `None`: no row says so.
    pub newest: Option<u64>,
    /// When the first of the rows that count gets too old; `None`: none ever does.
    pub expires: Option<u64>,
}

/// A latency table, ready to be looked up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Ascending, no two equal.
    keys: Vec<Key>,
    /// Where the entries of each key end.
    ends: Vec<u32>,
    entries: Vec<Entry>,
    pools: Vec<Box<str>>,
    summary: Summary,
}

impl Table {
    /// Joins the rows of each key and pool; `pools` are the names that rows refer to.
    pub fn new(mut rows: Vec<Row>, pools: Vec<Box<str>>, limits: &Limits) -> Self {
        let mut table = Self {
            pools,
            ..Self::default()
        };
        table.summary.n_rows = rows.len();
        table.summary.newest = rows.iter().filter_map(|row| row.measured).max();
        rows.retain(|row| !limits.is_too_old(row));
        table.summary.n_too_old = table.summary.n_rows - rows.len();
        rows.sort_by(|a, b| a.key.cmp(&b.key).then(a.pool.cmp(&b.pool)));
        for pair in rows.chunk_by_mut(|a, b| (a.key, a.pool) == (b.key, b.pool)) {
            table.add(pair, limits);
        }
        table
    }

    fn add(&mut self, pair: &mut [Row], limits: &Limits) {
        let n_samples = pair
            .iter()
            .try_fold(0_u32, |sum, row| Some(sum.saturating_add(row.samples?)));
        if n_samples.is_some_and(|n| n < limits.min_samples) {
            self.summary.n_too_few += 1;
            return;
        }
        // The first second at which the row is older than it may be.
        let expiry = |row: &Row| {
            let at = row.measured?;
            Some(at.saturating_add(limits.max_age).saturating_add(1))
        };
        let expires = pair
            .iter()
            .filter_map(expiry)
            .chain(self.summary.expires)
            .min();
        self.summary.expires = expires;
        let entry = Entry {
            pool: pair[0].pool,
            rtt_ms: median(pair),
            samples: n_samples,
            measured: pair.iter().filter_map(|row| row.measured).max(),
        };
        if self.keys.last() != Some(&pair[0].key) {
            self.keys.push(pair[0].key);
            self.ends.push(self.entries.len() as u32);
        }
        self.entries.push(entry);
        if let Some(end) = self.ends.last_mut() {
            *end = self.entries.len() as u32;
        }
    }

    /// Every key that has an entry, ascending.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The entries of the key at a position, one for each pool that was measured.
    pub fn entries(&self, key: usize) -> &[Entry] {
        let start = key.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.entries[Range {
            start: start as usize,
            end: self.ends[key] as usize,
        }]
    }

    /// The names of all pools that the file has.
    pub fn pools(&self) -> &[Box<str>] {
        &self.pools
    }

    /// How many entries each pool has, in the order of [`Self::pools`].
    pub fn n_by_pool(&self) -> Vec<usize> {
        let mut counts = vec![0; self.pools.len()];
        for entry in &self.entries {
            counts[entry.pool as usize] += 1;
        }
        counts
    }

    /// The number of entries.
    pub fn n_entries(&self) -> usize {
        self.entries.len()
    }

    /// What became of the rows.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }
}

/// The median of rows, each as often as it has samples.
fn median(rows: &mut [Row]) -> f32 {
    let by_rtt = |a: &Row, b: &Row| -> Ordering { a.rtt_ms.total_cmp(&b.rtt_ms) };
    rows.sort_by(by_rtt);
    let weight = |row: &Row| u64::from(row.samples.unwrap_or(1));
    let total: u64 = rows.iter().map(weight).sum();
    let mut sum = 0;
    let middle = rows.iter().find(|row| {
        sum += weight(row);
        2 * sum >= total
    });
    middle.unwrap_or(&rows[0]).rtt_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        min_samples: 10,
        max_age: 1_000,
        now: 5_000,
    };

    fn row(key: &str, rtt_ms: f32, samples: Option<u32>, measured: Option<u64>) -> Row {
        Row {
            key: key.parse().expect(key),
            pool: 0,
            rtt_ms,
            samples,
            measured,
        }
    }

    fn table(rows: &[Row]) -> Table {
        Table::new(rows.to_vec(), vec!["a".into(), "b".into()], &LIMITS)
    }

    #[test]
    fn rows_of_a_pair_make_one_median() {
        // (rtt, samples) of each row, the median
        for (rows, expected) in [
            (&[(10.0, Some(10))][..], Some((10.0, Some(10)))),
            (&[(10.0, Some(9))], None),
            (&[(10.0, Some(5)), (30.0, Some(5))], Some((10.0, Some(10)))),
            (&[(30.0, Some(6)), (10.0, Some(5))], Some((30.0, Some(11)))),
            (
                &[(10.0, Some(1)), (90.0, Some(1)), (20.0, Some(8))],
                Some((20.0, Some(10))),
            ),
            (&[(10.0, None)], Some((10.0, None))),
            (
                &[(10.0, Some(1)), (20.0, None), (30.0, Some(1))],
                Some((20.0, None)),
            ),
            (
                &[(10.0, Some(u32::MAX)), (20.0, Some(u32::MAX))],
                Some((10.0, Some(u32::MAX))),
            ),
        ] {
            let rows: Vec<Row> = rows
                .iter()
                .map(|(rtt, n)| row("DE", *rtt, *n, None))
                .collect();
            let table = table(&rows);
            let entry = table.keys().first().map(|_| table.entries(0)[0]);
            assert_eq!(entry.map(|e| (e.rtt_ms, e.samples)), expected, "{rows:?}");
        }
    }

    #[test]
    fn old_rows_and_rare_pairs_do_not_count() {
        let table = table(&[
            row("DE", 1.0, Some(10), Some(3_999)),
            row("DE", 2.0, Some(10), Some(4_000)),
            row("FR", 3.0, Some(10), Some(3_000)),
            row("IT", 4.0, Some(1), Some(4_500)),
            row("AS7", 5.0, None, Some(9_000)),
        ]);
        let keys: Vec<String> = table.keys().iter().map(ToString::to_string).collect();
        assert_eq!(keys, ["DE", "AS7"]);
        assert_eq!(table.entries(0)[0].rtt_ms, 2.0);
        assert_eq!(
            table.summary(),
            &Summary {
                n_rows: 5,
                n_too_old: 2,
                n_too_few: 1,
                newest: Some(9_000),
                expires: Some(5_001),
            }
        );
    }

    #[test]
    fn a_time_without_end_is_no_fault() {
        let table = table(&[row("DE", 1.0, None, Some(u64::MAX))]);
        assert_eq!(table.summary().expires, Some(u64::MAX));
    }

    #[test]
    fn each_key_has_its_own_entries() {
        let mut rows = vec![
            row("10.1.0.0/16", 1.0, None, None),
            row("DE", 2.0, None, None),
            row("10.0.0.0/8", 3.0, None, None),
            row("DE", 4.0, None, None),
        ];
        rows[3].pool = 1;
        let table = table(&rows);
        let all: Vec<(String, Vec<(u32, f32)>)> = (0..table.keys().len())
            .map(|at| {
                let entries = table.entries(at).iter().map(|e| (e.pool, e.rtt_ms));
                (table.keys()[at].to_string(), entries.collect())
            })
            .collect();
        assert_eq!(
            all,
            [
                ("DE".to_owned(), vec![(0, 2.0), (1, 4.0)]),
                ("10.0.0.0/8".to_owned(), vec![(0, 3.0)]),
                ("10.1.0.0/16".to_owned(), vec![(0, 1.0)]),
            ]
        );
        assert_eq!(table.n_entries(), 4);
    }
}
