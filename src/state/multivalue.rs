//! The RRsets of pools that answer together (`policy = "multivalue"`).
//!
//! Where an answer holds all addresses and every pool takes all of its clients, there is one RRset for
//! everybody. Otherwise there are [`N_VARIANTS`] selections, which client prefixes share: a pool is in as many
//! of them as it admits clients, always the same ones first. A selection has an address of as many pools as it
//! may hold, and the other places go by weight.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::model::Endpoint;
use crate::state::answers::N_VARIANTS;
use crate::state::answers::Records;
use crate::steer::rendezvous;
use crate::steer::rendezvous::ClientKey;
use crate::steer::spread::Admitted;

/// One of the pools.
pub(super) struct Part {
    /// The hash of its name.
    pub(super) hash: u64,
    /// Its share of the places that are left when every pool has one.
    pub(super) weight: u32,
    /// The share of the clients that it takes.
    pub(super) admitted: Admitted,
    /// Its endpoints that may be answered.
    pub(super) endpoints: Vec<Endpoint>,
}

/// An address with its hash and the position of its pool.
#[derive(Clone, Copy)]
struct Candidate {
    address: IpAddr,
    owner: u16,
    hash: u64,
    /// Its share of its pool's weight.
    weight: f64,
}

/// A pool's addresses and the selections that it is in.
struct Source {
    weight: f64,
    hash: u64,
    candidates: Vec<Candidate>,
    is_in: Vec<bool>,
}

/// The RRsets of several pools, of at most `max_addresses` each.
pub(super) fn variants_of(parts: &[Part], max_addresses: usize, ttl: u32) -> Arc<[Records]> {
    let sources: Vec<Source> = parts.iter().zip(0..).map(source).collect();
    let n_addresses: usize = sources.iter().map(|source| source.candidates.len()).sum();
    let are_whole = parts.iter().all(|part| part.admitted == Admitted::ALL);
    let n_variants = match are_whole && n_addresses <= max_addresses {
        true => 1,
        false => N_VARIANTS,
    };
    let selection = |n: usize| {
        let takers: Vec<&Source> = sources.iter().filter(|source| source.is_in[n]).collect();
        // Nobody is left without an address.
        let takers = match takers.is_empty() {
            true => sources.iter().collect(),
            false => takers,
        };
        let chosen = select(&takers, max_addresses, ClientKey::nth(n as u64));
        let chosen: Vec<(IpAddr, u16)> = chosen.iter().map(|c| (c.address, c.owner)).collect();
        Records::of_several(&chosen, ttl)
    };
    (0..n_variants).map(selection).collect()
}

fn source((part, owner): (&Part, u16)) -> Source {
    let sum: f64 = part.endpoints.iter().map(|e| f64::from(e.weight)).sum();
    let candidate = |endpoint: &Endpoint| Candidate {
        address: endpoint.address,
        owner,
        hash: rendezvous::name_hash(endpoint.address.to_string().as_bytes()),
        weight: f64::from(endpoint.weight) / sum.max(1.0),
    };
    Source {
        weight: f64::from(part.weight),
        hash: part.hash,
        candidates: part.endpoints.iter().map(candidate).collect(),
        is_in: is_in(part),
    }
}

/// The selections that a pool is in: those that it takes first stay the same, whatever it admits.
fn is_in(part: &Part) -> Vec<bool> {
    let n = (part.admitted.ratio() * N_VARIANTS as f64).ceil() as usize;
    let score = |at: &usize| rendezvous::score(ClientKey::nth(*at as u64), part.hash, 1);
    let mut in_order: Vec<usize> = (0..N_VARIANTS).collect();
    if n < N_VARIANTS {
        in_order.sort_by(|a, b| score(b).total_cmp(&score(a)));
    }
    let mut is_in = vec![false; N_VARIANTS];
    for at in in_order.into_iter().take(n) {
        is_in[at] = true;
    }
    is_in
}

/// The addresses of one selection, each once (RFC 2181 s5): in turns from pool to pool if all fit.
fn select(takers: &[&Source], max_addresses: usize, key: ClientKey) -> Vec<Candidate> {
    let n_addresses: usize = takers.iter().map(|source| source.candidates.len()).sum();
    if n_addresses <= max_addresses {
        let longest = takers.iter().map(|source| source.candidates.len()).max();
        let turns = 0..longest.unwrap_or(0);
        let in_turns = turns.flat_map(|at| takers.iter().filter_map(move |s| s.candidates.get(at)));
        return each_once(in_turns, max_addresses);
    }
    let score = |hash, weight: f64| rendezvous::score(key, hash, 1) * weight;
    let mut pools: Vec<_> = takers
        .iter()
        .map(|s| (score(s.hash, s.weight), *s))
        .collect();
    best_first(&mut pools);
    let mut chosen = Vec::new();
    let mut others = Vec::new();
    for (_, source) in pools {
        let scored = |c: &Candidate| (score(c.hash, source.weight * c.weight), *c);
        let mut in_order: Vec<_> = source.candidates.iter().map(scored).collect();
        best_first(&mut in_order);
        let mut in_order = in_order.into_iter();
        chosen.extend(in_order.next().map(|(_, best)| best));
        others.extend(in_order);
    }
    best_first(&mut others);
    chosen.extend(others.into_iter().map(|(_, candidate)| candidate));
    each_once(chosen.iter(), max_addresses)
}

fn best_first<T>(scored: &mut [(f64, T)]) {
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
}

/// The first different addresses of some.
fn each_once<'a>(candidates: impl Iterator<Item = &'a Candidate>, n: usize) -> Vec<Candidate> {
    let mut chosen: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if chosen.len() == n {
            break;
        }
        if !chosen
            .iter()
            .any(|chosen| chosen.address == candidate.address)
        {
            chosen.push(*candidate);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prop_assert;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    use super::*;

    /// Pools as (weight, percent admitted, last octets of their endpoints of weight 1).
    fn parts(pools: &[(u32, u8, &[u8])]) -> Vec<Part> {
        let endpoint = |octet: &u8| Endpoint::new(IpAddr::from([10, 0, 0, *octet]), 1);
        let part = |(at, (weight, percent, octets)): (u8, &(u32, u8, &[u8]))| Part {
            hash: rendezvous::name_hash(&[at]),
            weight: *weight,
            admitted: Admitted::percent(*percent),
            endpoints: octets.iter().map(endpoint).collect(),
        };
        (0..).zip(pools).map(part).collect()
    }

    /// The last octets of each selection, in order.
    fn selections(parts: &[Part], max_addresses: usize) -> Vec<Vec<u8>> {
        let variants = variants_of(parts, max_addresses, 30);
        let octets = |records: &Records| records.rdatas(0).map(|rdata| rdata[3]).collect();
        variants.iter().map(octets).collect()
    }

    /// How many selections hold an address.
    fn n_with(selections: &[Vec<u8>], octet: u8) -> usize {
        selections.iter().filter(|s| s.contains(&octet)).count()
    }

    #[test]
    fn where_all_fit_there_is_one_answer_in_turns() {
        let pools: [(u32, u8, &[u8]); 3] =
            [(1, 100, &[1, 2, 3]), (9, 100, &[4]), (1, 100, &[5, 1])];
        assert_eq!(selections(&parts(&pools), 8), [[1, 4, 5, 2, 3]]);
    }

    #[test]
    fn a_pool_is_in_as_many_selections_as_it_admits_clients() {
        for (percent, expected) in [(0, 0), (1, 1), (10, 7), (50, 32), (99, 64), (100, 64)] {
            let pools: [(u32, u8, &[u8]); 2] = [(1, 100, &[1]), (1, percent, &[2])];
            let found = selections(&parts(&pools), 8);
            let n = if found.len() == 1 {
                64
            } else {
                n_with(&found, 2)
            };
            assert_eq!(n, expected, "{percent} %");
        }
    }

    #[test]
    fn whom_all_refuse_gets_all() {
        let pools: [(u32, u8, &[u8]); 2] = [(1, 0, &[1]), (1, 0, &[2])];
        assert!(selections(&parts(&pools), 8).iter().all(|s| *s == [1, 2]));
    }

    #[test]
    fn places_beyond_one_for_each_pool_go_by_weight() {
        let (many, few): (Vec<u8>, Vec<u8>) = ((0..100).collect(), (100..200).collect());
        let pools: [(u32, u8, &[u8]); 2] = [(3, 100, &many), (1, 100, &few)];
        let all = selections(&parts(&pools), 10).concat();
        let share = all.iter().filter(|octet| **octet < 100).count() as f64 / all.len() as f64;
        // One place each, of the other eight three in four.
        assert!((share - 0.7).abs() < 0.05, "{share}");
    }

    proptest! {
        #[test]
        fn selections_are_full_and_of_many_pools(
            pools in vec((0..100_u32, 1..=100_u8, vec(0..40_u8, 1..8)), 2..8),
            max_addresses in 1..12_usize,
        ) {
            let mut pools = pools;
            pools.iter_mut().for_each(|(.., octets)| {
                octets.sort_unstable();
                octets.dedup();
            });
            // One takes everybody.
            pools[0].1 = 100;
            let pools: Vec<_> = pools.iter().map(|(w, p, octets)| (*w, *p, &**octets)).collect();
            let parts = parts(&pools);
            for (n, records) in variants_of(&parts, max_addresses, 30).iter().enumerate() {
                let octets: Vec<u8> = records.rdatas(0).map(|rdata| rdata[3]).collect();
                let distinct: BTreeSet<u8> = octets.iter().copied().collect();
                prop_assert_eq!(distinct.len(), octets.len(), "each once");
                let takers: Vec<usize> = (0..pools.len()).filter(|at| is_in(&parts[*at])[n]).collect();
                let all = takers.iter().flat_map(|at| pools[*at].2.iter().copied());
                let all: BTreeSet<u8> = all.collect();
                prop_assert_eq!(octets.len(), all.len().min(max_addresses), "full");
                prop_assert!(distinct.is_subset(&all), "only of those that take the client");
                let owners: BTreeSet<u16> = records.owners().iter().copied().collect();
                let is_right = |(octet, owner): (&u8, &u16)| {
                    pools[usize::from(*owner)].2.contains(octet)
                };
                prop_assert!(octets.iter().zip(records.owners()).all(is_right));
                if pools.iter().map(|(.., octets)| octets.len()).sum::<usize>() == all.len() {
                    prop_assert_eq!(owners.len(), takers.len().min(max_addresses), "many pools");
                }
            }
        }

        /// A pool that admits more is in the same selections and in others.
        #[test]
        fn a_pool_that_admits_more_keeps_its_clients(less in 0..=100_u8, more in 0..=100_u8) {
            let is_in = |percent| is_in(&parts(&[(1, percent, &[1])])[0]);
            let (less, more) = (is_in(less.min(more)), is_in(less.max(more)));
            prop_assert!(less.iter().zip(&more).all(|(less, more)| !less || *more));
        }
    }
}
