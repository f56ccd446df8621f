//! `Spread`: the clients of one rank list handed out to its groups, where some pools take only a share
//! of theirs.
//!
//! The groups are offered the clients in order. Each member takes its weight's share times what it admits;
//! what it refuses is offered to the others of its group, and goes on to the next group if they all refuse.
//! What is left at the end goes back to the first group as if that admitted all: admission never leaves a
//! client without a pool.
//!
//! The result is nothing but weights. Weighted rendezvous over them moves the right clients by itself: a
//! pool that admits more takes clients from the pools behind it and moves no others, and takes the same
//! ones each time.

use crate::base::ix::PoolIx;
use crate::base::rank::Share;

/// The sum of the weights where any pool takes less than all of its clients. So fine that rounding moves
/// one client prefix in a billion.
const TOTAL: f64 = (1_u32 << 30) as f64;

/// The share of the clients offered to it that a pool takes, in ten-thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Admitted(u16);

impl Admitted {
    /// All of them.
    pub const ALL: Self = Self(10_000);

    /// None.
    pub const NONE: Self = Self(0);

    /// So many in a hundred; all, above 100.
    pub const fn percent(percent: u8) -> Self {
        match percent {
            0..100 => Self(percent as u16 * 100),
            _ => Self::ALL,
        }
    }

    /// The nearest to a number from 0 to 1; numbers beyond are taken as these.
    pub fn from_ratio(ratio: f64) -> Self {
        // A cast from floating point saturates.
        Self((ratio * f64::from(Self::ALL.0)).round() as u16).min(Self::ALL)
    }

    /// This share of another.
    #[must_use]
    pub fn of(self, other: Self) -> Self {
        Self::from_ratio(self.ratio() * other.ratio())
    }

    /// From 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ALL.0)
    }
}

impl Default for Admitted {
    fn default() -> Self {
        Self::ALL
    }
}

/// The shares of the clients offered to it that a pool takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Admission {
    /// Of those for whom it is in the first group that serves.
    pub own: Admitted,
    /// Of those that other groups have passed on.
    pub guests: Admitted,
}

impl Admission {
    /// Everybody.
    pub const ALL: Self = Self::both(Admitted::ALL);

    /// The same share of both.
    pub const fn both(admitted: Admitted) -> Self {
        Self {
            own: admitted,
            guests: admitted,
        }
    }
}

/// Who has got which share of the clients so far.
#[derive(Debug)]
pub(super) struct Spread {
    /// The members of the groups that were offered any, with the share that they took.
    taken: Vec<(Share, f64)>,
    /// How many of them are of the first group.
    n_first: usize,
    /// The pools that took a share before any group, with that share.
    set_aside: Vec<(Share, f64)>,
    /// The share that is left.
    left: f64,
}

impl Spread {
    /// Nothing is handed out.
    pub(super) fn new() -> Self {
        Self {
            taken: Vec::new(),
            n_first: 0,
            set_aside: Vec::new(),
            left: 1.0,
        }
    }

    /// Gives a pool a share of what is left, before any group is offered it.
    pub(super) fn set_aside(&mut self, pool: PoolIx, admitted: Admitted) {
        let taken = self.left * admitted.ratio();
        self.set_aside.push((Share { pool, weight: 1 }, taken));
        self.left -= taken;
    }

    /// Offers a group what is left; returns whether it took it all. Every member has a weight.
    pub(super) fn offer(
        &mut self,
        members: &[Share],
        admitted: &dyn Fn(PoolIx) -> Admitted,
    ) -> bool {
        let sum = sum_of(members);
        let members = members.iter().map(|share| Member {
            share: *share,
            part: f64::from(share.weight) / sum,
            admitted: admitted(share.pool).ratio(),
            others: sum - f64::from(share.weight),
        });
        let members: Vec<Member> = members.collect();
        let all_refuse: f64 = members.iter().map(Member::refused).product();
        let at_first: f64 = members.iter().map(|m| m.part * m.admitted).sum();
        // What the members refuse by themselves, but not together.
        let passed_on = (1.0 - all_refuse - at_first).max(0.0);
        let refused: f64 = members.iter().map(Member::offered_to_others).sum();
        let claim = |m: &Member| m.part * m.admitted * (refused - m.offered_to_others()).max(0.0);
        let claims: f64 = members.iter().map(claim).sum();
        if self.taken.is_empty() {
            self.n_first = members.len();
        }
        for member in &members {
            let more = match claims > 0.0 {
                true => passed_on * claim(member) / claims,
                false => 0.0,
            };
            let taken = member.part * member.admitted + more;
            self.taken.push((member.share, self.left * taken));
        }
        self.left *= all_refuse;
        self.left == 0.0
    }

    /// The pools with their shares; `None` if there was no group.
    pub(super) fn into_shares(mut self) -> Option<Box<[Share]>> {
        let (first, _) = self.taken.split_at_mut(self.n_first);
        let sum: f64 = first.iter().map(|(share, _)| f64::from(share.weight)).sum();
        for (share, taken) in first {
            *taken += self.left * f64::from(share.weight) / sum;
        }
        self.taken.append(&mut self.set_aside);
        self.taken.retain(|(_, taken)| *taken > 0.0);
        match &*self.taken {
            [] => None,
            [(only, _)] => Some([*only].into()),
            taken => Some(taken.iter().map(weighted).collect()),
        }
    }
}

/// One pool of a group that is offered clients.
struct Member {
    share: Share,
    /// Its share of the group by weight.
    part: f64,
    /// The share that it takes of what it is offered.
    admitted: f64,
    /// The weights of the others.
    others: f64,
}

impl Member {
    fn refused(&self) -> f64 {
        1.0 - self.admitted
    }

    /// What it refuses, per weight of those who are offered it instead.
    fn offered_to_others(&self) -> f64 {
        match self.others > 0.0 {
            true => self.part * self.refused() / self.others,
            false => 0.0,
        }
    }
}

fn sum_of(members: &[Share]) -> f64 {
    members.iter().map(|share| f64::from(share.weight)).sum()
}

fn weighted((share, taken): &(Share, f64)) -> Share {
    Share {
        pool: share.pool,
        // Whoever takes any has a weight: without one, it would never be chosen.
        weight: (taken * TOTAL).round().max(1.0) as u32,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::any;
    use proptest::prop_assert;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    use super::*;
    use crate::steer::rendezvous::ClientKey;
    use crate::steer::rendezvous::name_hash;
    use crate::steer::rendezvous::pick;

    /// Groups of (weight, percent admitted); pools are numbered through.
    type Groups = Vec<Vec<(u32, u8)>>;

    fn members(groups: &Groups) -> Vec<Vec<(Share, u8)>> {
        let mut pools = 0..;
        let mut member = |(weight, percent): &(u32, u8)| {
            let pool = PoolIx(pools.next().expect("endless"));
            let weight = *weight;
            (Share { pool, weight }, *percent)
        };
        let mut group = |group: &Vec<_>| group.iter().map(&mut member).collect();
        groups.iter().map(&mut group).collect()
    }

    fn spread(groups: &Groups) -> Vec<Share> {
        let percent: Vec<u8> = groups
            .iter()
            .flatten()
            .map(|(_, percent)| *percent)
            .collect();
        let mut spread = Spread::new();
        for group in members(groups) {
            let group: Vec<Share> = group.into_iter().map(|(share, _)| share).collect();
            if spread.offer(&group, &|pool| Admitted::percent(percent[pool.index()])) {
                break;
            }
        }
        spread.into_shares().expect("a group").into()
    }

    /// The share that each pool has.
    fn parts(shares: &[Share]) -> BTreeMap<u32, f64> {
        let sum = sum_of(shares);
        let part = |share: &Share| (share.pool.0, f64::from(share.weight) / sum);
        shares.iter().map(part).collect()
    }

    /// Clients that walk from pool to pool: to one of a group by weight, to one of the others if it
    /// refuses them, to the next group if all have. Adds what each pool admits, returns what is left.
    fn walk(clients: f64, group: &[(Share, u8)], taken: &mut BTreeMap<u32, f64>) -> f64 {
        if group.is_empty() {
            return clients;
        }
        let sum: f64 = group.iter().map(|(share, _)| f64::from(share.weight)).sum();
        let walked = (0..group.len()).map(|at| {
            let (share, percent) = group[at];
            let arrived = clients * f64::from(share.weight) / sum;
            let admitted = arrived * f64::from(percent) / 100.0;
            *taken.entry(share.pool.0).or_default() += admitted;
            let others = [&group[..at], &group[at + 1..]].concat();
            walk(arrived - admitted, &others, taken)
        });
        walked.sum()
    }

    fn walked(groups: &Groups) -> BTreeMap<u32, f64> {
        let mut taken = BTreeMap::new();
        let groups = members(groups);
        let mut left = 1.0;
        for group in &groups {
            left = walk(left, group, &mut taken);
        }
        let first: Vec<Share> = groups[0].iter().map(|(share, _)| *share).collect();
        for (pool, part) in parts(&first) {
            *taken.entry(pool).or_default() += left * part;
        }
        taken
    }

    fn picks(shares: &[Share]) -> Vec<PoolIx> {
        let hash = |share: &Share| (name_hash(&share.pool.0.to_be_bytes()), share.weight);
        let key = |n| pick(ClientKey::nth(n), shares.iter().map(hash));
        (0..500).map(|n| shares[key(n)].pool).collect()
    }

    proptest! {
        /// Groups of up to two pools get what walking clients bring them.
        #[test]
        fn shares_are_those_of_walking_clients(
            groups in vec(vec((1..100_u32, 0..=100_u8), 1..=2), 1..6),
        ) {
            let (found, expected) = (parts(&spread(&groups)), walked(&groups));
            for (pool, expected) in expected {
                let found = found.get(&pool).copied().unwrap_or_default();
                prop_assert!((found - expected).abs() < 1e-6, "{pool}: {found} {expected}");
            }
        }

        /// Larger groups get as much together, and each pool at least its own share.
        #[test]
        fn groups_pass_on_only_what_all_refuse(
            groups in vec(vec((1..100_u32, 0..=100_u8), 1..=5), 1..4),
        ) {
            let (found, expected) = (parts(&spread(&groups)), walked(&groups));
            for group in members(&groups) {
                let of_group = |parts: &BTreeMap<u32, f64>| -> f64 {
                    group.iter().filter_map(|(share, _)| parts.get(&share.pool.0)).sum()
                };
                let (found, expected) = (of_group(&found), of_group(&expected));
                prop_assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
            let first = &groups[0];
            let sum: f64 = first.iter().map(|(weight, _)| f64::from(*weight)).sum();
            for (pool, (weight, percent)) in (0..).zip(first) {
                let own = f64::from(*weight) / sum * f64::from(*percent) / 100.0;
                prop_assert!(found.get(&pool).copied().unwrap_or_default() > own - 1e-6);
            }
        }

        /// A pool that admits more takes clients from those behind it, and moves no others.
        #[test]
        fn clients_move_only_to_the_pool_that_admits_more(
            percents in vec(1..=100_u8, 2..6),
            more in 1..=100_u8,
            end_admits_all in any::<bool>(),
        ) {
            let mut groups: Groups = percents.iter().map(|percent| vec![(1, *percent)]).collect();
            if end_admits_all {
                groups.push(vec![(1, 100)]);
            }
            let before = picks(&spread(&groups));
            groups[0][0].1 = more.max(percents[0]);
            let after = picks(&spread(&groups));
            let is_kept = |(before, after): (&PoolIx, &PoolIx)| before == after || after.0 == 0;
            prop_assert!(before.iter().zip(&after).all(is_kept));
        }

        /// Those that a pool refuses go where they would go without it.
        #[test]
        fn refused_clients_go_where_they_would_without_the_pool(
            percent in 0..100_u8,
            rest in vec(1..=100_u8, 1..5),
        ) {
            let rest: Groups = rest.iter().map(|percent| vec![(1, *percent)]).collect();
            let without: Groups = [vec![vec![(1, 0)]], rest.clone(), vec![vec![(1, 100)]]].concat();
            let with: Groups = [vec![vec![(1, percent)]], rest, vec![vec![(1, 100)]]].concat();
            for (with, without) in picks(&spread(&with)).iter().zip(picks(&spread(&without))) {
                prop_assert!(*with == without || with.0 == 0);
            }
        }

        /// Nobody is left out, and equal offers have equal results.
        #[test]
        fn shares_are_whole(groups in vec(vec((1..1000_u32, 0..=100_u8), 1..=5), 1..8)) {
            let shares = spread(&groups);
            prop_assert!(shares.iter().all(|share| share.weight > 0));
            if shares.len() > 1 {
                prop_assert!((sum_of(&shares) - TOTAL).abs() < 100.0);
            }
            prop_assert_eq!(shares, spread(&groups));
        }
    }
}
