//! Answers a second by pool and by country: the difference of two readings of the counters.
//!
//! The counters are read when somebody looks, and never otherwise. Who looks for the first time gets the rate since
//! the start, who looks again that of the time between, and who keeps looking that of the last half minute.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use crate::base::lock::lock;
use crate::live::Live;

/// How long a time rates are taken over while somebody looks.
const WINDOW: Duration = Duration::from_secs(30);

/// From one reading that is kept to the next.
const STEP: Duration = Duration::from_secs(2);

/// What has been counted by name: of a pool or a country.
type Counts = BTreeMap<Box<str>, u64>;

/// The counters at one time.
#[derive(Clone, Debug, Default)]
struct Reading {
    /// Since the start.
    at: Duration,
    pools: Counts,
    countries: Counts,
}

/// How often something was answered.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// The seconds that the rates are an average of.
    pub seconds: u64,
    /// Answers a second that gave a pool.
    pub pools: BTreeMap<Box<str>, f64>,
    /// Queries a second for steered names from a country, estimated from a sample.
    pub countries: BTreeMap<Box<str>, f64>,
}

/// The readings of which rates are the difference.
#[derive(Debug, Default)]
pub struct RateMeter(Mutex<VecDeque<Reading>>);

impl RateMeter {
    /// Reads the counters.
    pub fn rates(&self, live: &Live) -> Rates {
        let plan = &live.snapshots.current().plan;
        let mut reading = Reading {
            at: live.clock.elapsed(),
            ..Reading::default()
        };
        for ((_, pool), n) in plan.counters.totals() {
            *reading.pools.entry(pool.into()).or_default() += n;
        }
        for ((_, origin), n) in plan.countries.totals() {
            let country = reading.countries.entry(origin.as_str().into());
            *country.or_default() += n;
        }
        self.since_before(reading)
    }

    /// The rates from an older reading to this one.
    fn since_before(&self, now: Reading) -> Rates {
        let mut readings = lock(&self.0);
        let age = |reading: &Reading| now.at.saturating_sub(reading.at);
        while readings.len() > 1 && age(&readings[0]) > WINDOW {
            readings.pop_front();
        }
        let before = readings.front().cloned().unwrap_or_default();
        if readings.back().is_none_or(|latest| age(latest) >= STEP) {
            readings.push_back(now.clone());
        }
        let seconds = age(&before).as_secs_f64().max(1.0);
        let rates = |now: Counts, before: &Counts| {
            let rate = |(name, n): (Box<str>, u64)| {
                let n = n.saturating_sub(before.get(&name).copied().unwrap_or(0));
                (name, n as f64 / seconds)
            };
            now.into_iter().map(rate).collect()
        };
        Rates {
            seconds: seconds as u64,
            pools: rates(now.pools, &before.pools),
            countries: rates(now.countries, &before.countries),
        }
    }
}

/// A rate as people read it.
pub fn per_second(rate: f64) -> String {
    match rate {
        0.0 => "0".into(),
        ..0.01 => "< 0.01".into(),
        ..1.0 => format!("{rate:.2}"),
        ..100.0 => format!("{rate:.1}"),
        ..10_000.0 => format!("{rate:.0}"),
        _ => format!("{:.0} k", rate / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_half_minute_while_somebody_looks() {
        let meter = RateMeter::default();
        // The total grows by as much as is listed; rates are over the seconds that are listed.
        for (at, total, seconds, rate) in [
            (100, 1_000, 100, 10.0),
            (101, 1_000, 1, 0.0),
            (110, 1_100, 10, 10.0),
            (125, 1_250, 25, 10.0),
            (135, 1_350, 25, 10.0),
            (4_135, 5_350, 4_000, 1.0),
        ] {
            let counts: Counts = [("eu".into(), total)].into();
            let rates = meter.since_before(Reading {
                at: Duration::from_secs(at),
                pools: counts.clone(),
                countries: counts,
            });
            assert_eq!((rates.seconds, rates.pools["eu"]), (seconds, rate), "{at}");
            assert_eq!(rates.countries["eu"], rate, "{at}");
        }
    }

    #[test]
    fn counters_that_begin_again_are_no_rate() {
        let meter = RateMeter::default();
        let reading = |at, total| Reading {
            at: Duration::from_secs(at),
            pools: [("eu".into(), total)].into(),
            countries: Counts::new(),
        };
        meter.since_before(reading(10, 1_000));
        assert_eq!(meter.since_before(reading(20, 5)).pools["eu"], 0.0);
    }

    #[test]
    fn rates_are_short() {
        for (rate, text) in [
            (0.0, "0"),
            (0.001, "< 0.01"),
            (0.25, "0.25"),
            (12.34, "12.3"),
            (1234.5, "1234"),
            (123_456.0, "123 k"),
        ] {
            assert_eq!(per_second(rate), text);
        }
    }
}
