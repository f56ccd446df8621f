//! When a server is asked again. No clock: times come in.

use std::time::Duration;

/// How long after a first failure; it doubles with each that follows.
const FIRST_RETRY: u64 = 60;

/// The longest that a failure alone delays the next try.
const MAX_RETRY: u64 = 6 * 3_600;

/// How the server was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// With success.
    Well,
    /// In vain, so many times in a row; the server may ask to be left alone.
    InVain(u32, Option<Duration>),
}

/// When to ask next, in Unix seconds. `random`, 0 to 1, spreads many machines over some time: a tenth of the interval after
/// a success, half of the delay after a failure.
pub fn next(asked: Asked, now: u64, every: Duration, random: f64) -> u64 {
    let every = every.as_secs();
    let (delay, spread) = match asked {
        Asked::Well => (every, every / 10),
        Asked::InVain(n, retry_after) => {
            let doubled = FIRST_RETRY.saturating_mul(1 << n.saturating_sub(1).min(20));
            let delay = doubled.min(MAX_RETRY).min(every);
            let asked_for = retry_after.map_or(0, |delay| delay.as_secs());
            (delay.max(asked_for), delay / 2)
        }
    };
    now + delay + (spread as f64 * random) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn failures_back_off_and_success_waits_for_its_interval() {
        let retry_after = |seconds| Some(Duration::from_secs(seconds));
        for (asked, every, at_least, at_most) in [
            (Asked::Well, DAY, DAY, DAY + DAY / 10),
            (Asked::Well, 3_600, 3_600, 3_960),
            (Asked::InVain(1, None), DAY, 60, 90),
            (Asked::InVain(2, None), DAY, 120, 180),
            (Asked::InVain(5, None), DAY, 960, 1_440),
            (Asked::InVain(9, None), DAY, 15_360, 23_040),
            (Asked::InVain(10, None), DAY, 21_600, 32_400),
            (Asked::InVain(u32::MAX, None), DAY, 21_600, 32_400),
            (Asked::InVain(u32::MAX, None), 3_600, 3_600, 5_400),
            (Asked::InVain(1, retry_after(7_200)), DAY, 7_200, 7_230),
            (Asked::InVain(4, retry_after(5)), DAY, 480, 720),
        ] {
            let every = Duration::from_secs(every);
            let delays = [0.0, 1.0].map(|random| next(asked, 1_000, every, random) - 1_000);
            assert_eq!(delays, [at_least, at_most], "{asked:?}");
        }
    }

    #[test]
    fn a_server_that_is_down_for_a_day_is_asked_a_dozen_times() {
        let (mut now, mut failures) = (0, 0);
        while now < DAY {
            failures += 1;
            let asked = Asked::InVain(failures, None);
            now = next(asked, now, Duration::from_secs(DAY), 0.5);
        }
        assert_eq!(failures, 11);
    }
}
