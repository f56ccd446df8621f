//! Whether the server is ready, and what it waits for.

use std::time::Duration;

use crate::live::Live;
use crate::live::Progress;

/// The age of the control loop's last turn from which on it counts as hanging: it wakes every second.
const MAX_TURN_AGE: Duration = Duration::from_secs(10);

/// What readiness waits for; `None` once it is there.
pub fn waiting_for(live: &Live) -> Option<String> {
    let progress = *live.progress.read();
    if let Some(seconds) = hangs_for(&progress, live.clock.elapsed()) {
        return Some(format!(
            "the control loop has hung for {seconds} s: health, edits and overrides are not followed"
        ));
    }
    if progress.is_ready {
        return None;
    }
    let n = live.health_table.read().n_awaited();
    Some(format!("waiting for the first of {n} probes"))
}

/// For how many seconds the control loop has hung, if it does.
fn hangs_for(progress: &Progress, now: Duration) -> Option<u64> {
    let age = now.saturating_sub(progress.last_turn);
    (age > MAX_TURN_AGE).then_some(age.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_has_not_turned_for_ten_seconds_hangs() {
        let progress = Progress {
            is_ready: true,
            last_turn: Duration::from_secs(100),
        };
        for (now, expected) in [(99, None), (101, None), (110, None), (111, Some(11))] {
            assert_eq!(
                hangs_for(&progress, Duration::from_secs(now)),
                expected,
                "{now}"
            );
        }
    }
}
