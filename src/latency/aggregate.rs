//! Joins any number of samples into medians, in bounded memory.
//!
//! Each pair of key and pool keeps a sample of `N_KEPT` times, drawn evenly from all that it had (reservoir sampling,
//! Vitter's algorithm R), and their median is that of the pair.

use std::fmt::Write;

use rustc_hash::FxHashMap;

use crate::latency::key::Key;
use crate::latency::time;

/// How many times a pair keeps. The median of 63 lies between the 40th and the 60th percentile of all in nine cases of
/// ten.
const N_KEPT: usize = 63;

/// The most pairs: with their times, some 400 MB.
pub const MAX_PAIRS: usize = 1 << 20;

/// Pairs of key and pool with their times.
#[derive(Debug, Default)]
pub struct Aggregate {
    pairs: FxHashMap<(Key, Box<str>), Times>,
    /// Samples of pairs beyond [`MAX_PAIRS`].
    n_dropped: u64,
    random: u64,
}

#[derive(Debug, Default)]
struct Times {
    kept: Vec<f32>,
    n: u64,
    newest: Option<u64>,
}

impl Aggregate {
    /// Adds a time that stands for `n` samples.
    pub fn add(&mut self, key: Key, pool: &str, rtt_ms: f32, n: u32, measured: Option<u64>) {
        let is_full = self.pairs.len() >= MAX_PAIRS;
        let pair = (key, Box::from(pool));
        if is_full && !self.pairs.contains_key(&pair) {
            self.n_dropped += 1;
            return;
        }
        let times = self.pairs.entry(pair).or_default();
        times.newest = times.newest.max(measured);
        // As many as are kept weigh as much as all can.
        for _ in 0..n.min(N_KEPT as u32) {
            times.n += 1;
            if times.kept.len() < N_KEPT {
                times.kept.push(rtt_ms);
                continue;
            }
            // A linear congruential generator (Knuth's MMIX): the high bits are even enough to draw by.
            self.random = self
                .random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = ((u128::from(self.random) * u128::from(times.n)) >> 64) as usize;
            if let Some(slot) = times.kept.get_mut(at) {
                *slot = rtt_ms;
            }
        }
        times.n += u64::from(n.saturating_sub(N_KEPT as u32));
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// How many samples were left out because there were too many pairs.
    pub fn n_dropped(&self) -> u64 {
        self.n_dropped
    }

    /// The latency table, sorted by key and pool.
    pub fn into_csv(self) -> String {
        let mut pairs: Vec<_> = self.pairs.into_iter().collect();
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut text = "key,pool,rtt_ms,samples,measured\n".to_owned();
        for ((key, pool), mut times) in pairs {
            let middle = (times.kept.len() - 1) / 2;
            let (_, median, _) = times.kept.select_nth_unstable_by(middle, f32::total_cmp);
            let at = times.newest.map(time::time_text).unwrap_or_default();
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{key},{pool},{},{},{at}",
                Milliseconds(*median),
                times.n
            );
        }
        text
    }
}

/// A time to a hundredth, or to as much as it has where it is shorter.
struct Milliseconds(f32);

impl std::fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hundredths = (f64::from(self.0) * 100.0).round().max(1.0);
        write!(f, "{}", hundredths / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        text.parse().expect(text)
    }

    #[test]
    fn pairs_have_their_median_count_and_newest_time() {
        let mut all = Aggregate::default();
        for (rtt, at) in [(30.0, 5), (10.004, 9), (20.126, 7)] {
            all.add(key("192.0.2.0/24"), "us", rtt, 1, Some(at));
        }
        all.add(key("DE"), "us", 0.0001, 1, None);
        all.add(key("DE"), "eu", 7.0, 1_000_000, None);
        let expected = "key,pool,rtt_ms,samples,measured\n\
            DE,eu,7,1000000,\n\
            DE,us,0.01,1,\n\
            192.0.2.0/24,us,20.13,3,1970-01-01T00:00:09Z\n";
        assert_eq!(all.into_csv(), expected);
    }

    #[test]
    fn a_sample_of_many_has_nearly_the_same_median() {
        let mut all = Aggregate::default();
        for n in 0..100_000 {
            // Ascending: what is kept must not be the first or the last.
            all.add(key("DE"), "us", 1.0 + n as f32 / 1_000.0, 1, None);
        }
        let text = all.into_csv();
        let row = text.lines().nth(1).expect("a row");
        let median: f64 = row
            .split(',')
            .nth(2)
            .and_then(|ms| ms.parse().ok())
            .expect("a time");
        assert!((35.0..67.0).contains(&median), "{row}");
        assert!(row.ends_with(",100000,"), "{row}");
    }
}
