//! Floor 2: which pool answers, given the order for a client and what is up.
//!
//! [`choose`] turns one rank list and the standing of every pool into what its clients are answered.
//! It is called once per rank list and family when a snapshot is built, never per query. Where several
//! pools share clients, [`rendezvous`] decides per client prefix.

pub mod rendezvous;

use crate::base::ix::PoolIx;
use crate::base::prefix::Family;
use crate::base::rank::RankList;
use crate::base::rank::Share;

/// What a client is told when none of its pools is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AllDown {
    /// NODATA.
    Empty,
    /// This pool, as if it were up.
    Fallback(PoolIx),
    /// The pools that were up last, as if they still were.
    LastGood,
    /// As if all were up.
    Nearest,
    /// SERVFAIL.
    ServFail,
}

/// What a pool is worth in one address family now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolStatus {
    /// It has no endpoint of the family: never a candidate.
    Absent,
    /// An operator took it out.
    Drained,
    /// It has endpoints, but too few are up.
    Down,
    /// Enough endpoints are up, or nobody knows otherwise.
    Up,
}

/// What the clients of one rank list are answered in one family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// NODATA.
    Empty,
    /// One of these pools, shared by weight; never empty.
    Pools(Box<[Share]>),
    /// SERVFAIL.
    ServFail,
}

/// Decides what the clients of `rank` are answered.
///
/// `standing` tells of each pool; `was_up` whether it was up when any pool of the name last was. The
/// first group with a pool that is up wins, and only its pools that are up share it. With none up,
/// a fenced list is answered empty and any other as `all_down` says. A pool that an operator drained
/// is used only if nothing but drained pools is left.
///
/// Where the list is truncated for this family, `first_of_complete` finds the first group of the complete
/// list with a wanted pool. `any_up` spares looking for a pool that is up where there is known to be none.
pub fn choose(
    rank: &RankList,
    all_down: AllDown,
    family: Family,
    any_up: bool,
    standing: impl Fn(PoolIx) -> PoolStatus,
    was_up: impl Fn(PoolIx) -> bool,
    first_of_complete: impl Fn(&dyn Fn(PoolIx) -> bool) -> Option<Vec<Share>>,
) -> Choice {
    let first = |wanted: &dyn Fn(PoolIx) -> bool| {
        let mut groups = rank.groups_for(family);
        groups.find_map(|group| members(group, wanted)).or_else(|| {
            match rank.is_truncated(family) {
                true => members(&first_of_complete(wanted)?, wanted),
                false => None,
            }
        })
    };
    if any_up && let Some(choice) = first(&|pool| standing(pool) == PoolStatus::Up) {
        return choice;
    }
    let as_if_up = || {
        first(&|pool| standing(pool) == PoolStatus::Down)
            .or_else(|| first(&|pool| standing(pool) == PoolStatus::Drained))
            .unwrap_or(Choice::Empty)
    };
    // A family that no pool serves does not exist for this name, whatever the policy.
    let exists = as_if_up();
    match all_down {
        _ if rank.fenced || exists == Choice::Empty => Choice::Empty,
        AllDown::Empty => Choice::Empty,
        AllDown::Fallback(pool) if standing(pool) != PoolStatus::Absent => {
            Choice::Pools([Share { pool, weight: 1 }].into())
        }
        AllDown::LastGood => {
            first(&|pool| standing(pool) == PoolStatus::Down && was_up(pool)).unwrap_or(exists)
        }
        AllDown::Fallback(_) | AllDown::Nearest => exists,
        AllDown::ServFail => Choice::ServFail,
    }
}

/// The pools of a group that are wanted, if any; those of weight 0 only if there are no others.
fn members(group: &[Share], wanted: &dyn Fn(PoolIx) -> bool) -> Option<Choice> {
    let wanted = || group.iter().copied().filter(|share| wanted(share.pool));
    let mut shares: Box<[Share]> = wanted().filter(|share| share.weight > 0).collect();
    if shares.is_empty() {
        shares = wanted().map(|share| Share { weight: 1, ..share }).collect();
    }
    (!shares.is_empty()).then_some(Choice::Pools(shares))
}

#[cfg(test)]
mod tests {
    use crate::base::location::Point;
    use crate::base::per_family::PerFamily;
    use crate::base::rank::Truncated;

    use super::*;

    use PoolStatus::Absent;
    use PoolStatus::Down;
    use PoolStatus::Drained;
    use PoolStatus::Up;

    fn share(&(pool, weight): &(u32, u32)) -> Share {
        Share {
            pool: PoolIx(pool),
            weight,
        }
    }

    /// A rank list from groups of (pool, weight).
    fn rank(fenced: bool, groups: &[&[(u32, u32)]]) -> RankList {
        let groups = groups.iter().map(|group| group.iter().map(share));
        RankList {
            rule: None,
            located: true,
            fenced,
            truncated: None,
            groups: groups.collect(),
        }
    }

    /// The pools chosen, or a word.
    fn check(
        rank: &RankList,
        all_down: AllDown,
        standing: &[PoolStatus],
        was_up: &[u32],
    ) -> String {
        let choose = |any_up| {
            choose(
                rank,
                all_down,
                Family::V4,
                any_up,
                |pool| standing[pool.index()],
                |pool| was_up.contains(&pool.0),
                // What is omitted is pool 2 alone.
                |wanted| wanted(PoolIx(2)).then(|| vec![share(&(2, 1))]),
            )
        };
        let choice = choose(true);
        if !standing.contains(&Up) {
            assert_eq!(choice, choose(false));
        }
        match choice {
            Choice::Empty => "empty".into(),
            Choice::ServFail => "servfail".into(),
            Choice::Pools(shares) => {
                let text = |s: &Share| format!("{}x{}", s.pool.0, s.weight);
                shares.iter().map(text).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn first_group_with_a_pool_up_wins() {
        let list = rank(false, &[&[(0, 1)], &[(1, 3), (2, 1)], &[(3, 1)]]);
        for (standing, expected) in [
            ([Up, Up, Up, Up], "0x1"),
            ([Down, Up, Up, Up], "1x3 2x1"),
            ([Drained, Down, Up, Up], "2x1"),
            ([Absent, Absent, Absent, Up], "3x1"),
            ([Down, Down, Down, Down], "0x1"),
            ([Absent, Down, Down, Down], "1x3 2x1"),
            ([Drained, Drained, Down, Drained], "2x1"),
            ([Drained, Drained, Drained, Absent], "0x1"),
            ([Absent, Absent, Absent, Absent], "empty"),
        ] {
            assert_eq!(
                check(&list, AllDown::Nearest, &standing, &[]),
                expected,
                "{standing:?}"
            );
        }
    }

    #[test]
    fn all_down_is_a_policy_of_the_name() {
        let list = rank(false, &[&[(0, 1)], &[(1, 1)]]);
        let fenced = rank(true, &[&[(0, 1)]]);
        for (all_down, expected) in [
            (AllDown::Nearest, "0x1"),
            (AllDown::Empty, "empty"),
            (AllDown::ServFail, "servfail"),
            (AllDown::LastGood, "1x1"),
            (AllDown::Fallback(PoolIx(2)), "2x1"),
            (AllDown::Fallback(PoolIx(3)), "0x1"),
        ] {
            let standing = [Down, Down, Down, Absent];
            assert_eq!(
                check(&list, all_down, &standing, &[1]),
                expected,
                "{all_down:?}"
            );
            assert_eq!(
                check(&fenced, all_down, &standing, &[1]),
                "empty",
                "{all_down:?}"
            );
            // Without a pool of the family, the policy has nothing to say.
            assert_eq!(
                check(&list, all_down, &[Absent; 4], &[1]),
                "empty",
                "{all_down:?}"
            );
        }
        assert_eq!(check(&list, AllDown::LastGood, &[Down, Down], &[]), "0x1");
    }

    #[test]
    fn of_a_truncated_list_the_omitted_pools_count_too() {
        let point = Point::new(0.0, 0.0).expect("in range");
        let truncated = RankList {
            truncated: Some(Truncated {
                first_omitted: PerFamily {
                    v4: Some(2),
                    v6: None,
                },
                point,
            }),
            ..rank(false, &[&[(0, 1)], &[(1, 1)]])
        };
        for (all_down, standing, expected) in [
            (AllDown::Nearest, [Down, Up, Up], "1x1"),
            (AllDown::Nearest, [Down, Down, Up], "2x1"),
            (AllDown::Nearest, [Drained, Down, Down], "1x1"),
            (AllDown::Nearest, [Drained, Drained, Down], "2x1"),
            (AllDown::Nearest, [Absent, Absent, Drained], "2x1"),
            (AllDown::Nearest, [Absent, Absent, Absent], "empty"),
            (AllDown::Empty, [Absent, Absent, Up], "2x1"),
            (AllDown::Empty, [Down, Absent, Down], "empty"),
            (AllDown::LastGood, [Down, Down, Down], "2x1"),
        ] {
            assert_eq!(
                check(&truncated, all_down, &standing, &[2]),
                expected,
                "{standing:?}"
            );
        }
    }

    #[test]
    fn weight_zero_serves_only_alone() {
        let list = rank(false, &[&[(0, 0), (1, 2)], &[(2, 1)]]);
        assert_eq!(check(&list, AllDown::Nearest, &[Up, Up, Up], &[]), "1x2");
        assert_eq!(check(&list, AllDown::Nearest, &[Up, Down, Up], &[]), "0x1");
    }
}
