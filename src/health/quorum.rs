//! Many verdicts to one: the vote of the fresh vantages about an endpoint.

use crate::base::health::Health;
use crate::health::monitor::Quorum;

/// The health of an endpoint from the verdicts of its fresh vantages, in any order.
///
/// Down when the quorum of them says down, else up when any says up. A vantage that reports but has
/// not reached a verdict yet is one of those asked, and says neither. Where nobody says anything
/// that decides, `previous` stands: a lost vantage freezes, it never kills.
pub fn judge(quorum: Quorum, fresh: impl Iterator<Item = Health>, previous: Health) -> Health {
    let (mut n_fresh, mut n_up, mut n_down) = (0, 0, 0);
    for verdict in fresh {
        n_fresh += 1;
        match verdict {
            Health::Unknown => {}
            Health::Up => n_up += 1,
            Health::Down => n_down += 1,
        }
    }
    if n_down >= quorum.votes_needed(n_fresh) {
        Health::Down
    } else if n_up > 0 {
        Health::Up
    } else {
        previous
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn the_quorum_of_the_fresh_decides() {
        let two = Quorum::Count(NonZeroU32::new(2).expect("not zero"));
        let one = Quorum::Count(NonZeroU32::MIN);
        let (any, majority, all) = (Quorum::Any, Quorum::Majority, Quorum::All);
        // Verdicts as letters, then the outcome where the endpoint stood as up, and as down.
        for (verdicts, quorum, from_up, from_down) in [
            ("", any, "u", "d"),
            ("", all, "u", "d"),
            ("d", majority, "d", "d"),
            ("u", majority, "u", "u"),
            ("?", any, "u", "d"),
            ("?d", any, "d", "d"),
            ("?d", majority, "u", "d"),
            ("?u", majority, "u", "u"),
            ("?dd", majority, "d", "d"),
            ("ud", any, "d", "d"),
            ("ud", majority, "u", "u"),
            ("udd", majority, "d", "d"),
            ("udd", all, "u", "u"),
            ("ddd", all, "d", "d"),
            ("uudd", majority, "u", "u"),
            ("uudd", two, "d", "d"),
            ("uuud", two, "u", "u"),
            ("d", two, "d", "d"),
            // Where two or more are fresh, only `any` and 1 let one decide; one without a verdict is fresh.
            ("?d", two, "u", "d"),
            ("?d", all, "u", "d"),
            ("??d", majority, "u", "d"),
            ("??d", two, "u", "d"),
            ("u?d", majority, "u", "u"),
            ("ud", all, "u", "u"),
            ("ud", two, "u", "u"),
            ("ud", one, "d", "d"),
            ("?d", one, "d", "d"),
        ] {
            let health = |letter| match letter {
                'u' => Health::Up,
                'd' => Health::Down,
                _ => Health::Unknown,
            };
            for (previous, expected) in [(Health::Up, from_up), (Health::Down, from_down)] {
                let judged = judge(quorum, verdicts.chars().map(health), previous);
                let expected = expected.chars().map(health).next().expect("a letter");
                assert_eq!(judged, expected, "{verdicts} {quorum:?} from {previous}");
            }
        }
    }
}
