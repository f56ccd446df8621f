//! `Distances`: how far clients are from the pools that serve them.

/// Quantiles of great-circle distances, each client with equal weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distances {
    /// Half of the clients are no farther.
    pub median_km: f64,
    /// 95 of 100 clients are no farther.
    pub p95_km: f64,
}

impl Distances {
    /// Of distances in kilometres, each with the number of clients; `None` without any.
    pub(super) fn of(mut weighed: Vec<(f64, f64)>) -> Option<Self> {
        weighed.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let sum: f64 = weighed.iter().map(|(_, n)| n).sum();
        let quantile = |share: f64| {
            let mut before = 0.0;
            let reached = weighed.iter().find(|(_, n)| {
                before += n;
                before >= sum * share
            });
            // Rounding may leave the sum of all below the sum.
            Some(reached.or(weighed.last())?.0)
        };
        Some(Self {
            median_km: quantile(0.5)?,
            p95_km: quantile(0.95)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_weighed_by_clients() {
        for (name, weighed, expected) in [
            ("nobody", vec![], None),
            ("one", vec![(7.0, 0.5)], Some((7.0, 7.0))),
            ("even", vec![(3.0, 1.0), (1.0, 1.0)], Some((1.0, 3.0))),
            (
                "most are near",
                vec![(9.0, 4.0), (1.0, 96.0)],
                Some((1.0, 1.0)),
            ),
            (
                "some are far",
                vec![(9.0, 6.0), (1.0, 94.0)],
                Some((1.0, 9.0)),
            ),
        ] {
            let found = Distances::of(weighed).map(|found| (found.median_km, found.p95_km));
            assert_eq!(found, expected, "{name}");
        }
    }
}
