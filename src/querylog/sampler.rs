//! Which of many events are sampled: each with the same probability, independently of the others.
//!
//! Instead of a random number for each event, one for each sample says how many events lie between it and the
//! next (a geometric distribution), so that an event that is not sampled costs a decrement.

use std::hash::BuildHasher;
use std::hash::Hasher;
use std::hash::RandomState;

/// Says of each event whether it is sampled.
#[derive(Debug)]
pub(super) struct Sampler {
    /// Events up to the next sample, which is the last of them.
    until: u64,
    /// The logarithm of the probability that an event is not sampled; minus infinity if all are.
    ln_skipped: f64,
    /// The state of SplitMix64 (Steele, Lea and Flood 2014).
    state: u64,
}

impl Sampler {
    /// Samples the share `sample` of events, above 0 and at most 1.
    pub(super) fn new(sample: f64) -> Self {
        Self::seeded(sample, RandomState::new().build_hasher().finish())
    }

    fn seeded(sample: f64, state: u64) -> Self {
        let mut sampler = Self {
            until: 0,
            ln_skipped: (-sample).ln_1p(),
            state,
        };
        sampler.until = sampler.next_gap();
        sampler
    }

    /// Whether the next event is sampled.
    #[inline]
    pub(super) fn takes(&mut self) -> bool {
        self.until -= 1;
        if self.until > 0 {
            return false;
        }
        self.until = self.next_gap();
        true
    }

    /// How many events further the next sample is, at least 1.
    fn next_gap(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // 52 random bits, moved off both ends so that the logarithm is finite and not zero.
        let unit = ((z >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
        1_u64.saturating_add((unit.ln() / self.ln_skipped) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_sampled_with_the_probability_asked_for() {
        const EVENTS: u32 = 1_000_000;
        for sample in [1.0, 0.5, 0.1, 0.01, 0.001] {
            let mut sampler = Sampler::seeded(sample, 7);
            let n = (0..EVENTS).filter(|_| sampler.takes()).count() as f64;
            let expected = f64::from(EVENTS) * sample;
            let deviation = (expected * (1.0 - sample)).sqrt();
            assert!((n - expected).abs() <= 4.0 * deviation, "{sample}: {n}");
        }
    }

    #[test]
    fn a_regular_pattern_of_events_does_not_meet_every_sample() {
        let mut sampler = Sampler::seeded(0.1, 11);
        let mut by_remainder = [0; 10];
        for n in 0..100_000 {
            by_remainder[n % 10] += u32::from(sampler.takes());
        }
        assert!(
            by_remainder.iter().all(|n| (850..1_150).contains(n)),
            "{by_remainder:?}"
        );
    }
}
