//! How many probes each pool may have in flight from each vantage, so that those of one never wait for
//! those of another.
//!
//! A hanging endpoint holds its probe's socket for the whole timeout, and open files are limited. The
//! limit is shared out once per reload, max-min fair: a pool that needs less than an equal share gets
//! all that it needs, so that its probes never wait; what is left is shared by the larger ones. Each
//! lane, the probes of one pool from one vantage, has a semaphore of its own.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// Pool and vantage.
pub(super) type Lane = (Arc<str>, Arc<str>);

/// The lanes of a prober.
#[derive(Debug)]
pub(super) struct Lanes {
    max_in_flight: usize,
    /// With the permits that each has.
    lanes: HashMap<Lane, (usize, Arc<Semaphore>)>,
}

impl Lanes {
    /// None, with so many probes in flight to share out.
    pub(super) fn new(max_in_flight: usize) -> Self {
        Self {
            max_in_flight: max_in_flight.max(1),
            lanes: HashMap::new(),
        }
    }

    /// Shares the probes in flight out among the lanes of all pairs. A lane whose share stays the same
    /// keeps its semaphore. With more lanes than probes in flight, several share one.
    pub(super) fn share_out(
        &mut self,
        pairs: impl Iterator<Item = Lane>,
    ) -> HashMap<Lane, Arc<Semaphore>> {
        let mut demands: HashMap<Lane, usize> = HashMap::new();
        for lane in pairs {
            *demands.entry(lane).or_default() += 1;
        }
        let (lanes, demands): (Vec<Lane>, Vec<usize>) = demands.into_iter().unzip();
        let mut before = std::mem::take(&mut self.lanes);
        if lanes.len() > self.max_in_flight {
            tracing::warn!(
                lanes = lanes.len(),
                max_in_flight = self.max_in_flight,
                "more pools and vantages than probes in flight: pools can delay each other's \
                 probes; raise the limit of open files"
            );
            let shared: Vec<_> = (0..self.max_in_flight)
                .map(|_| Arc::new(Semaphore::new(1)))
                .collect();
            let shared = shared.iter().cycle().cloned();
            return lanes.into_iter().zip(shared).collect();
        }
        for (lane, share) in lanes.into_iter().zip(shares(&demands, self.max_in_flight)) {
            let kept = before.remove(&lane).filter(|(before, _)| *before == share);
            let lane_of = || (share, Arc::new(Semaphore::new(share)));
            self.lanes.insert(lane, kept.unwrap_or_else(lane_of));
        }
        let semaphores = self.lanes.iter();
        let semaphores = semaphores.map(|(lane, (_, semaphore))| (lane.clone(), semaphore.clone()));
        semaphores.collect()
    }
}

/// Divides `total` max-min fair: nobody gets more than it demands, and who gets less than that gets at
/// least as much as anybody else. Each gets at least 1, if there are not more of them than `total`.
fn shares(demands: &[usize], total: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..demands.len()).collect();
    order.sort_by_key(|at| demands[*at]);
    let mut shares = vec![0; demands.len()];
    let mut left = total;
    for (n_served, at) in order.into_iter().enumerate() {
        let share = demands[at].min(left / (demands.len() - n_served));
        shares[at] = share;
        left -= share;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_demands_are_met_and_large_ones_share_the_rest() {
        for (demands, total, expected) in [
            (&[][..], 8, &[][..]),
            (&[3], 8, &[3]),
            (&[600, 4], 256, &[252, 4]),
            (&[600, 4, 600], 256, &[126, 4, 126]),
            (&[5, 5, 5], 8, &[2, 3, 3]),
            (&[1, 1, 1], 3, &[1, 1, 1]),
        ] {
            let found = shares(demands, total);
            assert_eq!(found, expected, "{demands:?} of {total}");
            assert!(found.iter().sum::<usize>() <= total);
        }
    }

    fn lane(pool: &str) -> Lane {
        (pool.into(), "local".into())
    }

    #[test]
    fn lanes_keep_their_semaphore_while_their_share_is_the_same() {
        let mut lanes = Lanes::new(8);
        let pairs = |large| (0..large).map(|_| lane("large")).chain([lane("small")]);
        let first = lanes.share_out(pairs(100));
        assert_eq!(first[&lane("large")].available_permits(), 7);
        assert_eq!(first[&lane("small")].available_permits(), 1);
        let second = lanes.share_out(pairs(3));
        assert_eq!(second[&lane("large")].available_permits(), 3);
        assert!(Arc::ptr_eq(&first[&lane("small")], &second[&lane("small")]));
    }

    #[test]
    fn more_lanes_than_probes_in_flight_share_them() {
        let mut lanes = Lanes::new(2);
        let shared = lanes.share_out((0..5).map(|at| lane(&at.to_string())));
        assert_eq!(shared.len(), 5);
        assert!(shared.values().all(|s| s.available_permits() == 1));
        let mut distinct: Vec<_> = shared.values().map(Arc::as_ptr).collect();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), 2);
    }
}
