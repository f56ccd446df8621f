//! How far a pool is in time, by its distance: fitted to what was measured on each continent.
//!
//! A line through a fixed base. Its slope is the median of what the pairs ask for, so that half of them may be
//! wrong: routes by way of another continent, clients that the database misplaces.

use crate::base::location::Continent;

/// What the access network and the servers take, in milliseconds, whatever the distance. The usual last mile over
/// cable or fibre; mobile networks take more, to every pool alike.
const BASE_MS: f32 = 5.0;

/// The slope where nothing is known, in milliseconds per kilometre: light in fibre goes and returns at 1 ms per
/// 100 km, and routes are about one and a half times as long as the great circle.
const DEFAULT_MS_PER_KM: f32 = 0.015;

/// Nothing is faster than light in fibre (refractive index 1.468) along the great circle.
const MIN_MS_PER_KM: f32 = 0.0098;

/// Slower than a geostationary detour for a pair on opposite sides of the Earth.
const MAX_MS_PER_KM: f32 = 0.1;

/// Nearer pairs say more about the last mile than about distance, in kilometres.
const MIN_KM: f64 = 100.0;

/// Fewer pairs than this make no fit.
const MIN_PAIRS: usize = 20;

/// A measurement over a known distance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    /// The client's.
    pub(super) continent: Continent,
    pub(super) km: f64,
    pub(super) rtt_ms: f32,
}

/// A line: time by distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Milliseconds for each kilometre, on top of the base.
    pub ms_per_km: f32,
    /// How many measurements it was fitted to; 0: none.
    pub n_pairs: usize,
}

impl Fit {
    /// The round-trip time over a distance, in milliseconds.
    pub fn rtt_ms(&self, km: f64) -> f32 {
        BASE_MS + self.ms_per_km * km as f32
    }

    /// Of enough slopes their median.
    fn of(mut slopes: Vec<f32>) -> Option<Self> {
        if slopes.len() < MIN_PAIRS {
            return None;
        }
        let middle = slopes.len() / 2;
        let (_, median, _) = slopes.select_nth_unstable_by(middle, f32::total_cmp);
        Some(Self {
            ms_per_km: median.clamp(MIN_MS_PER_KM, MAX_MS_PER_KM),
            n_pairs: slopes.len(),
        })
    }
}

/// A line for each continent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fits {
    /// In the order of [`Continent::ALL`].
    continents: [Fit; 7],
    world: Fit,
}

impl Default for Fits {
    fn default() -> Self {
        let world = Fit {
            ms_per_km: DEFAULT_MS_PER_KM,
            n_pairs: 0,
        };
        Self {
            continents: [world; 7],
            world,
        }
    }
}

impl Fits {
    /// Fits a continent with enough pairs by these, the others by all pairs, and if they are too few, by default.
    pub(super) fn of(pairs: &[Pair]) -> Self {
        let slopes = |is_wanted: &dyn Fn(&Pair) -> bool| -> Vec<f32> {
            let wanted = pairs
                .iter()
                .filter(|pair| pair.km >= MIN_KM && is_wanted(pair));
            wanted
                .map(|pair| (pair.rtt_ms - BASE_MS) / pair.km as f32)
                .collect()
        };
        let world = Fit::of(slopes(&|_| true)).unwrap_or(Self::default().world);
        let of_continent = |continent| Fit::of(slopes(&|pair| pair.continent == continent));
        Self {
            continents: Continent::ALL.map(|continent| of_continent(continent).unwrap_or(world)),
            world,
        }
    }

    pub(super) fn of_continent(&self, continent: Option<Continent>) -> &Fit {
        match continent {
            Some(continent) => &self.continents[continent as usize],
            None => &self.world,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(continent: Continent, n: usize, ms_per_km: f32) -> Vec<Pair> {
        let pair = |at| {
            let km = 200.0 + 100.0 * at as f64;
            Pair {
                continent,
                km,
                rtt_ms: BASE_MS + ms_per_km * km as f32,
            }
        };
        (0..n).map(pair).collect()
    }

    #[test]
    fn each_continent_has_its_own_slope() {
        let mut all = pairs(Continent::Eu, 30, 0.012);
        all.extend(pairs(Continent::Af, 50, 0.03));
        all.extend(pairs(Continent::Oc, 19, 0.09));
        // Misplaced clients and detours, as many as half of Europe's pairs.
        all.extend(pairs(Continent::Eu, 29, 0.09));
        let fits = Fits::of(&all);
        let slope = |continent| fits.of_continent(continent).ms_per_km;
        assert!((slope(Some(Continent::Eu)) - 0.012).abs() < 1e-5);
        assert!((slope(Some(Continent::Af)) - 0.03).abs() < 1e-5);
        assert_eq!(
            slope(Some(Continent::Oc)),
            slope(None),
            "too few of its own"
        );
        assert_eq!(fits.of_continent(Some(Continent::Af)).n_pairs, 50);
    }

    #[test]
    fn without_measurements_a_line_is_given() {
        let fits = Fits::of(&pairs(Continent::Eu, 19, 0.05));
        assert_eq!(fits, Fits::default());
        assert_eq!(fits.of_continent(None).rtt_ms(1_000.0), 20.0);
    }

    #[test]
    fn nothing_is_faster_than_light() {
        let fits = Fits::of(&pairs(Continent::Eu, 40, 0.001));
        assert_eq!(fits.of_continent(None).ms_per_km, MIN_MS_PER_KM);
    }

    #[test]
    fn continents_are_counted_as_they_are_listed() {
        for (at, continent) in Continent::ALL.into_iter().enumerate() {
            assert_eq!(continent as usize, at);
        }
    }
}
