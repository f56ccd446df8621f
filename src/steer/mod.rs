//! Floor 2: which pool answers, given the order for a client and what is up.
//!
//! [`choose`] turns one rank list and the standing of every pool into what its clients are answered.
//! It is called once per rank list and family when a snapshot is built, never per query. Where several
//! pools share clients, [`rendezvous`] decides per client prefix.

pub mod rendezvous;
pub mod spill;
pub mod spread;

use std::borrow::Cow;

use crate::base::ix::PoolIx;
use crate::base::rank::RankList;
use crate::base::rank::Share;
use crate::steer::spread::Admitted;
use crate::steer::spread::Spread;

/// What a client is answered when none of its pools is up.
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

/// What a pool is worth in one address family now, from worst to best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PoolStatus {
    /// It has no endpoint of the family: never a candidate.
    Absent,
    /// An operator took it out.
    Drained,
    /// It has endpoints, but too few are up.
    Down,
    /// Enough endpoints could be up, but too few have ever been probed: behind all that are up.
    Unproven,
    /// Enough endpoints are up.
    Up,
}

impl PoolStatus {
    /// All, from worst to best.
    pub const ALL: [Self; 5] = [
        Self::Absent,
        Self::Drained,
        Self::Down,
        Self::Unproven,
        Self::Up,
    ];
}

/// What a client is answered in one family: `T` holds the pools, or what has become of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice<T> {
    /// NODATA: no pool of the name has an address of this family, or `all_down = "empty"`.
    NoData,
    /// The addresses of these pools.
    Pools(T),
    /// SERVFAIL: the name has addresses of this family, but none that this client may have now.
    ServFail,
}

/// Pools that share clients by weight; never empty.
pub type Shares = Box<[Share]>;

/// The pools that answer the clients of one rank list; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Serving {
    /// Each client gets addresses of all that take it: several pools, each with the share of the clients that
    /// it takes.
    All(Box<[(Share, Admitted)]>),
    /// Each client belongs to one of them, by weight.
    One(Shares),
}

/// A pool that is used only where no other pool of a client's list is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standby {
    /// The pool.
    pub pool: PoolIx,
    /// The share of the list's clients that it takes while it is up and others serve the rest: so that one
    /// knows that it works before one needs it.
    pub trickle: Admitted,
}

/// The pools of one steered name in one family, as they are now.
pub struct Pools<'a> {
    /// What each pool is worth.
    pub status: &'a dyn Fn(PoolIx) -> PoolStatus,
    /// The share of its own clients that a pool takes: of those for whom it is in the first group that serves.
    pub admitted: &'a dyn Fn(PoolIx) -> Admitted,
    /// The share that it takes of those that others have passed on.
    pub guests: &'a dyn Fn(PoolIx) -> Admitted,
    /// Whether a pool of the list is ordered by policy multivalue, with the others of its group.
    pub is_multivalue: &'a dyn Fn(PoolIx) -> bool,
    /// The pools of the list that stand by, each once.
    pub standby: &'a [Standby],
    /// Whether a pool was up when any pool of the name last was.
    pub was_up: &'a dyn Fn(PoolIx) -> bool,
    /// Which statuses occur among the pools of the name and its rules: spares looking through a long
    /// list for a pool that is not there.
    pub occurring: StatusSet,
}

impl Pools<'_> {
    fn is_standby(&self, pool: PoolIx) -> bool {
        self.standby.iter().any(|standby| standby.pool == pool)
    }

    /// The pools that stand by and take clients while others serve the rest.
    fn trickles(&self) -> impl Iterator<Item = (PoolIx, Admitted)> {
        let takes_any = |standby: &&Standby| {
            standby.trickle > Admitted::NONE && (self.status)(standby.pool) == PoolStatus::Up
        };
        let standby = self.standby.iter().filter(takes_any);
        standby.map(|s| (s.pool, s.trickle.of((self.admitted)(s.pool))))
    }
}

/// A set of [`PoolStatus`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusSet(u8);

impl StatusSet {
    /// Whether a status is in it.
    pub fn has(self, status: PoolStatus) -> bool {
        self.0 & (1 << status as u8) != 0
    }
}

impl FromIterator<PoolStatus> for StatusSet {
    fn from_iter<I: IntoIterator<Item = PoolStatus>>(statuses: I) -> Self {
        let statuses = statuses.into_iter();
        Self(statuses.fold(0, |bits, status| bits | 1 << status as u8))
    }
}

/// What the clients of `rank` are answered when none of its pools is up, by the policy of the name and that
/// of the list's rule, if it has its own.
///
/// Clients of a fenced list get SERVFAIL where the rule says nothing and the name does not ask for
/// [`AllDown::Empty`]: NODATA would be kept by their resolvers for everybody (RFC 7871 s7.4).
pub fn all_down_of(rank: &RankList, of_name: AllDown, of_rule: Option<AllDown>) -> AllDown {
    match of_rule {
        Some(of_rule) => of_rule,
        None if rank.fenced && of_name != AllDown::Empty => AllDown::ServFail,
        None => of_name,
    }
}

/// Decides what the clients of `rank` are answered.
///
/// The first group with a pool that is up wins, and only its pools that are up share it, unless they admit
/// only a share of their clients: then the rest goes on to the next such group ([`spread`]). Without any,
/// the same with pools that are unproven. Pools that stand by come behind all others of their status, and while
/// others are up take their trickle before any group is offered the clients. The pools of a group of policy multivalue answer together, and
/// their clients go no further. With none of either, `all_down` decides among those that
/// are down; a pool that an operator drained is used only if nothing else is left. Clients whose pools lack
/// the family while others of the name have it get SERVFAIL, unless `all_down` is [`AllDown::Empty`].
///
/// Of a list that is truncated, `beyond` returns the first group of the complete list with a wanted pool.
pub fn choose(
    rank: &RankList,
    all_down: AllDown,
    pools: &Pools<'_>,
    beyond: impl Fn(&dyn Fn(PoolIx) -> bool) -> Option<Vec<Share>>,
) -> Choice<Serving> {
    let first = |wanted: &dyn Fn(PoolIx) -> bool| {
        let mut groups = rank.groups.iter();
        let found = groups.find_map(|group| members(group, wanted));
        match found {
            None if rank.truncated.is_some() => members(&beyond(wanted)?, wanted),
            found => found,
        }
    };
    let first_in_turn = |wanted: &dyn Fn(PoolIx) -> bool| match pools.standby {
        [] => first(wanted),
        _ => {
            let others = first(&|pool| wanted(pool) && !pools.is_standby(pool));
            others.or_else(|| first(wanted))
        }
    };
    let first_with = |status: PoolStatus| match pools.occurring.has(status) {
        true => first_in_turn(&|pool| (pools.status)(pool) == status),
        false => None,
    };
    let served_by = |status: PoolStatus| {
        let of = |standby| served_by(rank, status, standby, pools, &beyond);
        match pools.occurring.has(status) {
            true if pools.standby.is_empty() => of(false),
            true => of(false).or_else(|| of(true)),
            false => None,
        }
    };
    if let Some(serving) = served_by(PoolStatus::Up).or_else(|| served_by(PoolStatus::Unproven)) {
        return Choice::Pools(serving);
    }
    let exists = PoolStatus::ALL[1..]
        .iter()
        .any(|status| pools.occurring.has(*status));
    match all_down {
        // A family that no pool serves does not exist for this name, whatever the policy.
        _ if !exists => Choice::NoData,
        AllDown::Empty => Choice::NoData,
        AllDown::ServFail => Choice::ServFail,
        AllDown::Fallback(pool) if (pools.status)(pool) != PoolStatus::Absent => {
            Choice::Pools(Serving::One([Share { pool, weight: 1 }].into()))
        }
        AllDown::LastGood | AllDown::Fallback(_) | AllDown::Nearest => {
            let was_up = || match all_down {
                AllDown::LastGood => first_in_turn(&|pool| {
                    (pools.status)(pool) == PoolStatus::Down && (pools.was_up)(pool)
                }),
                _ => None,
            };
            was_up()
                .or_else(|| first_with(PoolStatus::Down))
                .or_else(|| first_with(PoolStatus::Drained))
                .map_or(Choice::ServFail, |shares| {
                    Choice::Pools(serving(shares, pools, &|_| Admitted::ALL, &[]))
                })
        }
    }
}

/// The first group that answers, in the way of its policy; `trickles` only where that is multivalue.
fn serving(
    shares: Shares,
    pools: &Pools<'_>,
    admitted: &dyn Fn(PoolIx) -> Admitted,
    trickles: &[(PoolIx, Admitted)],
) -> Serving {
    match &*shares {
        [first, others @ ..]
            if (pools.is_multivalue)(first.pool) && (others.len() + trickles.len() > 0) =>
        {
            let members = shares.iter().map(|share| (*share, admitted(share.pool)));
            let trickles = trickles.iter();
            let trickles = trickles.map(|(pool, share)| {
                (
                    Share {
                        pool: *pool,
                        weight: 1,
                    },
                    *share,
                )
            });
            Serving::All(members.chain(trickles).collect())
        }
        _ => Serving::One(shares),
    }
}

/// The pools of one status that answer the clients of `rank`, as far as they admit them: those that stand by, or
/// the others.
fn served_by(
    rank: &RankList,
    status: PoolStatus,
    standby: bool,
    pools: &Pools<'_>,
    beyond: impl Fn(&dyn Fn(PoolIx) -> bool) -> Option<Vec<Share>>,
) -> Option<Serving> {
    let is_of_them =
        |pool: PoolIx| (pools.status)(pool) == status && pools.is_standby(pool) == standby;
    let trickles: Vec<_> = match status {
        PoolStatus::Up if !standby => pools.trickles().collect(),
        _ => Vec::new(),
    };
    let admits_all = |share: &Share| (pools.admitted)(share.pool) == Admitted::ALL;
    let mut spread = Spread::new();
    let mut listed = rank.groups.iter();
    // The pools of the groups that were offered clients.
    let mut seen: Vec<PoolIx> = Vec::new();
    loop {
        let is_first = seen.is_empty();
        // Pools that take no guests are passed over.
        let takes_any = |pool: PoolIx| is_first || (pools.guests)(pool) > Admitted::NONE;
        let wanted = |pool: PoolIx| is_of_them(pool) && takes_any(pool) && !seen.contains(&pool);
        let group = match listed.find(|group| group.iter().any(|share| wanted(share.pool))) {
            Some(group) => Some(Cow::Borrowed(group)),
            None if rank.truncated.is_some() => beyond(&wanted).map(Cow::Owned),
            None => None,
        };
        let with_members = group.and_then(|group| Some((members(&group, &wanted)?, group)));
        let Some((members, group)) = with_members else {
            return spread.into_shares().map(Serving::One);
        };
        if is_first {
            let is_whole = || trickles.is_empty() && members.iter().all(admits_all);
            if (pools.is_multivalue)(members[0].pool) || is_whole() {
                return Some(serving(members, pools, pools.admitted, &trickles));
            }
            for (pool, share) in &trickles {
                spread.set_aside(*pool, *share);
            }
        }
        let admitted = if is_first {
            pools.admitted
        } else {
            pools.guests
        };
        if spread.offer(&members, admitted) {
            return spread.into_shares().map(Serving::One);
        }
        seen.extend(group.iter().map(|share| share.pool));
    }
}

/// The pools of a group that are wanted, if any; those of weight 0 only if there are no others.
fn members(group: &[Share], wanted: &dyn Fn(PoolIx) -> bool) -> Option<Shares> {
    let wanted = || group.iter().copied().filter(|share| wanted(share.pool));
    let mut shares: Shares = wanted().filter(|share| share.weight > 0).collect();
    if shares.is_empty() {
        shares = wanted().map(|share| Share { weight: 1, ..share }).collect();
    }
    (!shares.is_empty()).then_some(shares)
}

#[cfg(test)]
mod tests {
    use crate::base::location::Point;

    use super::*;

    use PoolStatus::Absent;
    use PoolStatus::Down;
    use PoolStatus::Drained;
    use PoolStatus::Unproven;
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
            special_purpose: false,
            fenced,
            truncated: None,
            region: None,
            groups: groups.collect(),
        }
    }

    /// The pools chosen, or a word.
    fn check(rank: &RankList, all_down: AllDown, status: &[PoolStatus], was_up: &[u32]) -> String {
        let pools = Pools {
            status: &|pool| status[pool.index()],
            admitted: &|_| Admitted::ALL,
            guests: &|_| Admitted::ALL,
            is_multivalue: &|_| false,
            standby: &[],
            was_up: &|pool| was_up.contains(&pool.0),
            occurring: status.iter().copied().collect(),
        };
        // Behind the groups of a truncated list there is pool 2 alone.
        let beyond =
            |wanted: &dyn Fn(PoolIx) -> bool| wanted(PoolIx(2)).then(|| vec![share(&(2, 1))]);
        match choose(rank, all_down_of(rank, all_down, None), &pools, beyond) {
            Choice::NoData => "nodata".into(),
            Choice::ServFail => "servfail".into(),
            Choice::Pools(Serving::All(_)) => unreachable!("no policy multivalue"),
            Choice::Pools(Serving::One(shares)) => text(&shares),
        }
    }

    /// Pools with their weights.
    fn text(shares: &[Share]) -> String {
        let text = |s: &Share| format!("{}x{}", s.pool.0, s.weight);
        shares.iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn first_group_with_a_pool_up_wins() {
        let list = rank(false, &[&[(0, 1)], &[(1, 3), (2, 1)], &[(3, 1)]]);
        for (status, expected) in [
            ([Up, Up, Up, Up], "0x1"),
            ([Down, Up, Up, Up], "1x3 2x1"),
            ([Unproven, Unproven, Down, Up], "3x1"),
            ([Down, Unproven, Down, Unproven], "1x3"),
            ([Drained, Down, Up, Up], "2x1"),
            ([Absent, Absent, Absent, Up], "3x1"),
            ([Down, Down, Down, Down], "0x1"),
            ([Absent, Down, Down, Down], "1x3 2x1"),
            ([Drained, Drained, Down, Drained], "2x1"),
            ([Drained, Drained, Drained, Absent], "0x1"),
            ([Absent, Absent, Absent, Absent], "nodata"),
        ] {
            assert_eq!(
                check(&list, AllDown::Nearest, &status, &[]),
                expected,
                "{status:?}"
            );
        }
    }

    #[test]
    fn all_down_is_a_policy_of_the_name() {
        let list = rank(false, &[&[(0, 1)], &[(1, 1)]]);
        let fenced = rank(true, &[&[(0, 1)]]);
        for (all_down, expected) in [
            (AllDown::Nearest, "0x1"),
            (AllDown::Empty, "nodata"),
            (AllDown::ServFail, "servfail"),
            (AllDown::LastGood, "1x1"),
            (AllDown::Fallback(PoolIx(2)), "2x1"),
            (AllDown::Fallback(PoolIx(3)), "0x1"),
        ] {
            let status = [Down, Down, Down, Absent];
            assert_eq!(
                check(&list, all_down, &status, &[1]),
                expected,
                "{all_down:?}"
            );
            // A NODATA of its own would be kept for everybody.
            let of_fenced = match all_down {
                AllDown::Empty => "nodata",
                _ => "servfail",
            };
            assert_eq!(check(&fenced, all_down, &status, &[1]), of_fenced);
            // Without a pool of the family, the policy has nothing to say.
            assert_eq!(
                check(&list, all_down, &[Absent; 4], &[1]),
                "nodata",
                "{all_down:?}"
            );
        }
        assert_eq!(check(&list, AllDown::LastGood, &[Down, Down], &[]), "0x1");
    }

    #[test]
    fn a_rule_has_its_own_policy() {
        for fenced in [false, true] {
            let list = rank(fenced, &[&[(0, 1)]]);
            for of_rule in [
                AllDown::Nearest,
                AllDown::Empty,
                AllDown::ServFail,
                AllDown::LastGood,
                AllDown::Fallback(PoolIx(2)),
            ] {
                for of_name in [AllDown::Nearest, AllDown::Empty] {
                    assert_eq!(all_down_of(&list, of_name, Some(of_rule)), of_rule);
                }
            }
        }
    }

    #[test]
    fn pools_of_a_multivalue_group_answer_together() {
        let list = rank(false, &[&[(0, 1)], &[(1, 3), (2, 0), (3, 1)]]);
        for (status, percent, expected) in [
            ([Up, Up, Up, Up], [100; 4], "0x1"),
            ([Down, Up, Up, Up], [100; 4], "all 1x3:1 3x1:1"),
            ([Down, Up, Up, Up], [100, 50, 100, 0], "all 1x3:0.5 3x1:0"),
            ([Down, Down, Up, Down], [100; 4], "2x1"),
            (
                [Down, Unproven, Down, Unproven],
                [100; 4],
                "all 1x3:1 3x1:1",
            ),
            // What the pool in front refuses is shared by weight.
            (
                [Up, Up, Up, Down],
                [50, 100, 100, 100],
                "0x536870912 1x536870912",
            ),
        ] {
            let pools = Pools {
                status: &|pool| status[pool.index()],
                admitted: &|pool| Admitted::percent(percent[pool.index()]),
                guests: &|pool| Admitted::percent(percent[pool.index()]),
                is_multivalue: &|pool| pool != PoolIx(0),
                standby: &[],
                was_up: &|_| false,
                occurring: status.iter().copied().collect(),
            };
            let found = match choose(&list, AllDown::Nearest, &pools, |_| None) {
                Choice::Pools(Serving::All(members)) => {
                    let text = |(share, admitted): &(Share, Admitted)| {
                        format!(" {}x{}:{}", share.pool.0, share.weight, admitted.ratio())
                    };
                    format!("all{}", members.iter().map(text).collect::<String>())
                }
                Choice::Pools(Serving::One(shares)) => text(&shares),
                other => format!("{other:?}"),
            };
            assert_eq!(found, expected, "{status:?} {percent:?}");
        }
        let fallen = |all_down| {
            let pools = Pools {
                status: &|_| Down,
                admitted: &|_| Admitted::ALL,
                guests: &|_| Admitted::ALL,
                is_multivalue: &|_| true,
                standby: &[],
                was_up: &|_| false,
                occurring: StatusSet::from_iter([Down]),
            };
            let group = rank(false, &[&[(0, 1), (1, 1)]]);
            choose(&group, all_down, &pools, |_| None)
        };
        let both = [0, 1].map(|pool| (share(&(pool, 1)), Admitted::ALL));
        let both = Choice::Pools(Serving::All(both.into()));
        assert_eq!(fallen(AllDown::Nearest), both, "as if all were up");
        assert_eq!(fallen(AllDown::Empty), Choice::NoData);
    }

    #[expect(clippy::too_many_lines, reason = "one table of all cases")]
    #[test]
    fn pools_that_stand_by_come_behind_and_take_a_trickle() {
        let list = rank(false, &[&[(0, 1)], &[(1, 1)], &[(2, 3)], &[(3, 1), (4, 1)]]);
        let one = Admitted::percent(1);
        for (status, percent, trickle, expected) in [
            // The nearest of the others has all but the trickle of each.
            ([Up, Up, Up, Up, Up], [100; 5], one, "1:98.01 0:1 3:0.99"),
            ([Up, Up, Up, Up, Up], [100; 5], Admitted::NONE, "1:100"),
            ([Up, Drained, Up, Down, Up], [100; 5], one, "2:99 0:1"),
            ([Up, Up, Down, Down, Up], [100; 5], one, "1:99 0:1"),
            // One that is down or drained takes none.
            ([Drained, Up, Up, Down, Up], [100; 5], one, "1:100"),
            // It takes its trickle as far as it admits, from all others alike.
            (
                [Up, Up, Up, Down, Up],
                [50, 100, 100, 100, 100],
                one,
                "1:99.5 0:0.5",
            ),
            (
                [Up, Up, Up, Down, Up],
                [100, 50, 100, 100, 100],
                one,
                "1:49.5 2:49.5 0:1",
            ),
            // No other is up: in their order, whatever was never probed.
            ([Up, Down, Down, Up, Unproven], [100; 5], one, "0:100"),
            ([Down, Down, Unproven, Up, Down], [100; 5], one, "3:100"),
            (
                [Unproven, Unproven, Down, Down, Down],
                [100; 5],
                one,
                "1:100",
            ),
            ([Unproven, Down, Down, Down, Down], [100; 5], one, "0:100"),
            // As if all were up, they would stand by.
            ([Down, Down, Down, Down, Down], [100; 5], one, "1:100"),
            (
                [Down, Drained, Drained, Drained, Drained],
                [100; 5],
                one,
                "0:100",
            ),
            (
                [Drained, Drained, Drained, Drained, Drained],
                [100; 5],
                one,
                "1:100",
            ),
        ] {
            let standby = [0, 3].map(|pool| Standby {
                pool: PoolIx(pool),
                trickle,
            });
            let pools = Pools {
                status: &|pool| status[pool.index()],
                admitted: &|pool| Admitted::percent(percent[pool.index()]),
                guests: &|pool| Admitted::percent(percent[pool.index()]),
                is_multivalue: &|_| false,
                standby: &standby,
                was_up: &|_| false,
                occurring: status.iter().copied().collect(),
            };
            let found = match choose(&list, AllDown::Nearest, &pools, |_| None) {
                Choice::Pools(Serving::One(shares)) => percents(&shares, 100.0),
                other => format!("{other:?}"),
            };
            assert_eq!(found, expected, "{status:?} {percent:?} {trickle:?}");
        }
    }

    #[test]
    fn a_trickle_is_a_part_of_multivalue_answers() {
        let list = rank(false, &[&[(0, 1), (1, 1), (2, 1)]]);
        let standby = [Standby {
            pool: PoolIx(2),
            trickle: Admitted::percent(1),
        }];
        for (status, expected) in [
            ([Up, Up, Up], vec![(0, 100), (1, 100), (2, 1)]),
            ([Up, Down, Up], vec![(0, 100), (2, 1)]),
            ([Up, Up, Down], vec![(0, 100), (1, 100)]),
            ([Down, Down, Up], vec![]),
        ] {
            let pools = Pools {
                status: &|pool| status[pool.index()],
                admitted: &|_| Admitted::ALL,
                guests: &|_| Admitted::ALL,
                is_multivalue: &|_| true,
                standby: &standby,
                was_up: &|_| false,
                occurring: status.iter().copied().collect(),
            };
            let found = match choose(&list, AllDown::Nearest, &pools, |_| None) {
                Choice::Pools(Serving::All(members)) => members.to_vec(),
                _ => Vec::new(),
            };
            let expected = expected.into_iter();
            let member = |(pool, percent)| (share(&(pool, 1)), Admitted::percent(percent));
            assert_eq!(
                found,
                expected.map(member).collect::<Vec<_>>(),
                "{status:?}"
            );
        }
    }

    #[test]
    fn behind_a_truncated_list_the_search_goes_on() {
        let truncated = RankList {
            truncated: Point::new(0.0, 0.0),
            ..rank(false, &[&[(0, 1)], &[(1, 1)]])
        };
        for (all_down, status, expected) in [
            (AllDown::Nearest, [Down, Up, Up], "1x1"),
            (AllDown::Nearest, [Down, Down, Up], "2x1"),
            (AllDown::Nearest, [Drained, Down, Down], "1x1"),
            (AllDown::Nearest, [Drained, Drained, Down], "2x1"),
            (AllDown::Nearest, [Absent, Absent, Drained], "2x1"),
            (AllDown::Nearest, [Absent, Absent, Absent], "nodata"),
            (AllDown::Empty, [Absent, Absent, Up], "2x1"),
            (AllDown::Empty, [Down, Absent, Down], "nodata"),
            (AllDown::LastGood, [Down, Down, Down], "2x1"),
        ] {
            assert_eq!(
                check(&truncated, all_down, &status, &[2]),
                expected,
                "{status:?}"
            );
        }
    }

    /// The pools chosen where these percentages are admitted, with their shares in percent.
    fn check_admitted(rank: &RankList, status: &[PoolStatus], percent: &[u8]) -> String {
        let pools = Pools {
            status: &|pool| status[pool.index()],
            admitted: &|pool| Admitted::percent(percent[pool.index()]),
            guests: &|pool| Admitted::percent(percent[pool.index()]),
            is_multivalue: &|_| false,
            standby: &[],
            was_up: &|_| false,
            occurring: status.iter().copied().collect(),
        };
        // The complete list is 0, 1 | 2 | 3, 4 with 4 of weight 0.
        let complete = [
            [share(&(0, 1)), share(&(1, 3))].to_vec(),
            vec![share(&(2, 1))],
        ];
        let last = vec![share(&(3, 1)), share(&(4, 0))];
        let beyond = |wanted: &dyn Fn(PoolIx) -> bool| {
            let mut groups = complete.iter().chain([&last]);
            let has_wanted = |group: &&Vec<Share>| group.iter().any(|share| wanted(share.pool));
            groups.find(has_wanted).cloned()
        };
        match choose(rank, AllDown::ServFail, &pools, beyond) {
            Choice::Pools(Serving::One(shares)) => percents(&shares, 10.0),
            other => format!("{other:?}"),
        }
    }

    /// Pools with their shares in percent, rounded to one part in `parts`.
    fn percents(shares: &[Share], parts: f64) -> String {
        let sum: f64 = shares.iter().map(|s| f64::from(s.weight)).sum();
        let text = |s: &Share| {
            let percent = 100.0 * f64::from(s.weight) / sum;
            format!("{}:{}", s.pool.0, (percent * parts).round() / parts)
        };
        shares.iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[expect(clippy::too_many_lines, reason = "one table of all cases")]
    #[test]
    fn what_a_pool_does_not_admit_goes_on_to_the_next() {
        let list = rank(false, &[&[(0, 1), (1, 3)], &[(2, 1)], &[(3, 1), (4, 0)]]);
        let truncated = RankList {
            truncated: Point::new(0.0, 0.0),
            ..rank(false, &[&[(0, 1), (1, 3)]])
        };
        let up = [Up; 5];
        for (row, status, percent, expected) in [
            ("all", up, [100, 100, 0, 0, 0], "0:25 1:75"),
            (
                "the rest to the group",
                up,
                [10, 100, 0, 0, 0],
                "0:2.5 1:97.5",
            ),
            ("none to one", up, [0, 100, 0, 0, 0], "1:100"),
            (
                "on to the next group",
                [Down, Up, Up, Up, Up],
                [0, 10, 100, 0, 0],
                "1:10 2:90",
            ),
            (
                "and the next",
                [Down, Up, Up, Up, Up],
                [0, 10, 50, 100, 0],
                "1:10 2:45 3:45",
            ),
            (
                "what all refuse goes back to the nearest",
                [Down, Up, Up, Up, Up],
                [0, 10, 10, 0, 0],
                "1:91 2:9",
            ),
            (
                "alone it serves all",
                [Down, Up, Down, Drained, Down],
                [0, 10, 0, 0, 0],
                "1:100",
            ),
            ("all none", [Down, Up, Up, Up, Up], [0; 5], "1:100"),
            ("a whole group none", up, [0; 5], "0:25 1:75"),
            (
                "weight 0 serves only alone",
                [Down, Down, Up, Up, Up],
                [0, 0, 10, 50, 100],
                "2:55 3:45",
            ),
            (
                "unproven are no overflow",
                [Down, Up, Unproven, Down, Down],
                [10; 5],
                "1:100",
            ),
            (
                "unproven ones have their shares",
                [Down, Down, Unproven, Unproven, Down],
                [10; 5],
                "2:91 3:9",
            ),
        ] {
            assert_eq!(check_admitted(&list, &status, &percent), expected, "{row}");
            assert_eq!(
                check_admitted(&truncated, &status, &percent),
                expected,
                "{row}, beyond a truncated list"
            );
        }
    }

    #[test]
    fn what_is_not_admitted_stays_behind_a_fence() {
        let fenced = rank(true, &[&[(0, 1)], &[(1, 1)]]);
        assert_eq!(
            check_admitted(&fenced, &[Up; 3], &[10, 10, 100]),
            "0:91 1:9"
        );
    }

    #[test]
    fn pools_without_the_family_behind_a_fence_are_no_proof_that_there_is_none() {
        let fenced = rank(true, &[&[(0, 1)]]);
        for (all_down, expected) in [(AllDown::Nearest, "servfail"), (AllDown::Empty, "nodata")] {
            assert_eq!(check(&fenced, all_down, &[Absent, Up], &[]), expected);
            assert_eq!(check(&fenced, all_down, &[Absent, Absent], &[]), "nodata");
        }
    }

    #[test]
    fn weight_zero_serves_only_alone() {
        let list = rank(false, &[&[(0, 0), (1, 2)], &[(2, 1)]]);
        assert_eq!(check(&list, AllDown::Nearest, &[Up, Up, Up], &[]), "1x2");
        assert_eq!(check(&list, AllDown::Nearest, &[Up, Down, Up], &[]), "0x1");
    }
}
