//! `majority`: which answer serves most of a prefix that holds several.
//!
//! A prefix may hold a million ranges, so their sizes are summed ahead of time, per rank, at every
//! block of ranges. A vote then walks no more than the two blocks that the prefix cuts and takes
//! the difference of two rows of sums for those between.

use std::cmp::Reverse;
use std::ops::Range;

use crate::geo::ranges::Address;
use crate::geo::ranges::Flat;

/// The outcome of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Majority {
    /// The key that serves the largest share of the prefix's located addresses, or of all its
    /// addresses if none is located; of equal shares the one whose first address is lowest.
    pub key: u32,
    /// Whether every address of the prefix has this key, located or not.
    pub unanimous: bool,
}

/// Working memory for votes, kept by the caller from one to the next.
#[derive(Clone, Debug, Default)]
pub struct MajorityScratch {
    /// By key; all zero between votes.
    tallies: Vec<Tally>,
    /// The keys that have a tally, in the order met.
    met: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    located: u128,
    all: u128,
}

impl MajorityScratch {
    fn add(&mut self, key: u32, n_addresses: u128, located: bool) {
        if n_addresses == 0 {
            return;
        }
        let at = key as usize;
        if at >= self.tallies.len() {
            self.tallies.resize(at + 1, Tally::default());
        }
        let tally = &mut self.tallies[at];
        if tally.all == 0 {
            self.met.push(key);
        }
        // Only ::/0 as a whole has more addresses than fit.
        tally.all = tally.all.saturating_add(n_addresses);
        if located {
            tally.located = tally.located.saturating_add(n_addresses);
        }
    }

    /// Votes for each key met: of its located addresses, or of all if nobody's is.
    fn n_votes(&self, key: u32, any_located: bool) -> u128 {
        match self.tallies.get(key as usize) {
            Some(tally) if any_located => tally.located,
            Some(tally) => tally.all,
            None => 0,
        }
    }

    fn any_located(&self) -> bool {
        self.met.iter().any(|key| self.n_votes(*key, true) > 0)
    }

    fn clear(&mut self) {
        for key in self.met.drain(..) {
            self.tallies[key as usize] = Tally::default();
        }
    }
}

/// How many addresses each rank has in the first so many blocks of one family's ranges.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    /// Ranges in a block.
    block: usize,
    n_ranks: usize,
    /// Row b holds the sums of blocks 0 to b - 1; only full blocks are counted.
    rows: Vec<u128>,
}

impl Sums {
    /// Counts a table of ranks, `n_ranks` different ones.
    ///
    /// Blocks are long enough for a row to be cheap beside its block: at most 4 octets a range.
    pub(super) fn new<A: Address>(table: &Flat<A>, n_ranks: usize) -> Self {
        Self::with_block(table, n_ranks, (4 * n_ranks).max(256))
    }

    fn with_block<A: Address>(table: &Flat<A>, n_ranks: usize, block: usize) -> Self {
        let n_blocks = table.n_ranges() / block;
        let mut rows = Vec::with_capacity((n_blocks + 1) * n_ranks);
        let mut sums = vec![0_u128; n_ranks];
        rows.extend_from_slice(&sums);
        for at in 0..n_blocks * block {
            let (first, last) = table.extent(at);
            let sum = &mut sums[table.value_at(at) as usize];
            *sum = sum.saturating_add(first.count_to(last));
            if (at + 1) % block == 0 {
                rows.extend_from_slice(&sums);
            }
        }
        Self {
            block,
            n_ranks,
            rows,
        }
    }

    /// Heap memory in bytes.
    pub(super) fn n_bytes(&self) -> usize {
        size_of_val(&*self.rows)
    }

    fn row(&self, block: usize) -> &[u128] {
        &self.rows[block * self.n_ranks..][..self.n_ranks]
    }

    /// The number of a rank's addresses from one block up to another.
    fn between(&self, from: usize, to: usize, rank: usize) -> u128 {
        self.row(to)[rank] - self.row(from)[rank]
    }
}

/// One vote: the addresses `first` to `last` of a table of ranks.
pub(super) struct Vote<'a, A: Address> {
    /// The ranks.
    pub(super) table: &'a Flat<A>,
    /// Their sums.
    pub(super) sums: &'a Sums,
    /// Which ranks are of located clients.
    pub(super) located: &'a [bool],
    /// The key of each rank.
    pub(super) key_of: &'a [u32],
    /// The first address.
    pub(super) first: A,
    /// The last address.
    pub(super) last: A,
}

impl<A: Address> Vote<'_, A> {
    /// Counts, in time bounded by two blocks and a row of sums.
    pub(super) fn count(&self, scratch: &mut MajorityScratch) -> Majority {
        let begin = self.tally(scratch);
        let key = self.best(begin, scratch);
        let unanimous = scratch.met.len() == 1;
        scratch.clear();
        Majority { key, unanimous }
    }

    /// The keys in the prefix with their votes, most first.
    pub(super) fn votes(&self) -> Vec<(u32, u128)> {
        let mut scratch = MajorityScratch::default();
        self.tally(&mut scratch);
        let any_located = scratch.any_located();
        let votes = |key: &u32| (*key, scratch.n_votes(*key, any_located));
        let mut votes: Vec<(u32, u128)> = scratch.met.iter().map(votes).collect();
        votes.sort_by_key(|(key, n_votes)| (Reverse(*n_votes), *key));
        votes
    }

    /// Adds up the prefix's addresses by key; returns the position of its first range.
    fn tally(&self, scratch: &mut MajorityScratch) -> usize {
        let (begin, end) = (self.table.find(self.first), self.table.find(self.last));
        // Full blocks between those of the first and the last range, which the prefix may cut.
        let (from, to) = (begin / self.sums.block + 1, end / self.sums.block);
        if from < to {
            self.walk(begin..from * self.sums.block, scratch);
            for rank in 0..self.sums.n_ranks {
                let n_addresses = self.sums.between(from, to, rank);
                scratch.add(self.key_of[rank], n_addresses, self.located[rank]);
            }
            self.walk(to * self.sums.block..end + 1, scratch);
        } else {
            self.walk(begin..end + 1, scratch);
        }
        begin
    }

    /// Counts ranges one by one, those at the ends as far as they lie in the prefix.
    fn walk(&self, positions: Range<usize>, scratch: &mut MajorityScratch) {
        for at in positions {
            let (first, last) = self.table.extent(at);
            let n_addresses = first.max(self.first).count_to(last.min(self.last));
            let rank = self.table.value_at(at) as usize;
            scratch.add(self.key_of[rank], n_addresses, self.located[rank]);
        }
    }

    fn best(&self, begin: usize, scratch: &MajorityScratch) -> u32 {
        let met = || scratch.met.iter().copied();
        let any_located = scratch.any_located();
        let votes = |key: u32| scratch.n_votes(key, any_located);
        let most = met().map(votes).max().unwrap_or(0);
        let mut best = met().filter(|key| votes(*key) == most);
        match (best.next(), best.next()) {
            (Some(key), None) => key,
            // Equal shares: rare enough to look for the first by walking, which is soon over.
            _ => (begin..self.table.n_ranges())
                .map(|at| self.key_of[self.table.value_at(at) as usize])
                .find(|key| votes(*key) == most)
                .unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::ProptestConfig;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    use crate::base::prefix::Prefix;
    use crate::geo::fixture::Scan;
    use crate::geo::fixture::prefixes;
    use crate::geo::table::PrefixTable;

    use super::*;

    /// The vote as the contract says it, over every part of the prefix in turn.
    fn naive(scan: &Scan<'_>, prefix: Prefix, located: &[bool], key_of: &[u32]) -> Majority {
        let parts = scan.parts(prefix);
        let any_located = parts.iter().any(|part| located[part.2 as usize]);
        let mut shares: Vec<(u32, u128)> = Vec::new();
        for (_, size_less_one, rank) in parts {
            let key = key_of[rank as usize];
            if !shares.iter().any(|share| share.0 == key) {
                shares.push((key, 0));
            }
            for share in shares.iter_mut().filter(|share| share.0 == key) {
                if located[rank as usize] || !any_located {
                    share.1 = share.1.saturating_add(size_less_one).saturating_add(1);
                }
            }
        }
        let most = shares.iter().map(|share| share.1).max();
        let first = shares.iter().find(|share| Some(share.1) == most);
        Majority {
            key: first.expect("a prefix has addresses").0,
            unanimous: shares.len() == 1,
        }
    }

    fn vote(
        table: &PrefixTable,
        prefix: Prefix,
        (located, key_of): (&[bool], &[u32]),
        block: usize,
        scratch: &mut MajorityScratch,
    ) -> Majority {
        let n_ranks = key_of.len();
        match (prefix.addr(), prefix.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => Vote {
                table: &table.v4,
                sums: &Sums::with_block(&table.v4, n_ranks, block),
                located,
                key_of,
                first: first.to_bits(),
                last: last.to_bits(),
            }
            .count(scratch),
            (IpAddr::V6(first), IpAddr::V6(last)) => Vote {
                table: &table.v6,
                sums: &Sums::with_block(&table.v6, n_ranks, block),
                located,
                key_of,
                first: first.to_bits(),
                last: last.to_bits(),
            }
            .count(scratch),
            _ => unreachable!("both ends of a prefix are of one family"),
        }
    }

    #[test]
    fn located_addresses_outvote_the_many_that_are_not() {
        let p = |text: &str| text.parse::<Prefix>().expect(text);
        let known = [
            (p("192.0.2.0/30"), 1),
            (p("192.0.2.64/27"), 2),
            (p("192.0.2.128/26"), 1),
            (p("198.51.100.0/25"), 3),
            (p("198.51.100.128/25"), 2),
        ];
        let table = PrefixTable::longest_match(&known);
        let mut scratch = MajorityScratch::default();
        // Ranks 0 and 3 are of unlocated clients; 2 and 3 have the same answer.
        let (located, key_of) = ([false, true, true, false], [0, 1, 2, 2]);
        for (asked, key, unanimous) in [
            ("192.0.2.0/24", 1, false),
            ("192.0.2.0/25", 2, false),
            ("192.0.2.0/26", 1, false),
            ("198.51.100.0/24", 2, true),
            ("203.0.113.0/24", 0, true),
            ("0.0.0.0/0", 2, false),
            ("::/0", 0, true),
        ] {
            let found = vote(&table, p(asked), (&located, &key_of), 256, &mut scratch);
            assert_eq!(found, Majority { key, unanimous }, "{asked}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn votes_agree_with_a_naive_count(
            known in prefixes(),
            asked in prefixes(),
            located in proptest::array::uniform4(proptest::bool::ANY),
            key_of in proptest::array::uniform4(0..3_u32),
            block in 1..6_usize,
        ) {
            let (table, scan) = (PrefixTable::longest_match(&known), Scan(&known));
            let mut scratch = MajorityScratch::default();
            for (prefix, _) in known.iter().chain(&asked) {
                let found = vote(&table, *prefix, (&located, &key_of), block, &mut scratch);
                prop_assert_eq!(found, naive(&scan, *prefix, &located, &key_of), "{}", prefix);
            }
        }
    }
}
