//! How long the latest successful probes took, for people to see a trend.

/// How many are kept.
const N_KEPT: usize = 12;

/// Of one endpoint at one vantage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RecentLatencies {
    /// In microseconds; a ring of which `next` is written next.
    us: [u32; N_KEPT],
    next: u8,
    n: u8,
}

impl RecentLatencies {
    /// Adds one, in place of the oldest if there are too many.
    pub fn add(&mut self, us: u64) {
        let next = usize::from(self.next);
        self.us[next] = u32::try_from(us).unwrap_or(u32::MAX);
        self.next = ((next + 1) % N_KEPT) as u8;
        self.n = self.n.saturating_add(1).min(N_KEPT as u8);
    }

    /// In microseconds, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let first = N_KEPT + usize::from(self.next) - usize::from(self.n);
        (first..first + usize::from(self.n)).map(|at| self.us[at % N_KEPT])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept_in_order() {
        let mut latencies = RecentLatencies::default();
        assert_eq!(latencies.iter().count(), 0);
        for n in 0..40 {
            latencies.add(n);
            let expected = (n + 1).saturating_sub(N_KEPT as u64)..=n;
            assert!(latencies.iter().map(u64::from).eq(expected), "{n}");
        }
        latencies.add(u64::MAX);
        assert_eq!(latencies.iter().last(), Some(u32::MAX));
    }
}
