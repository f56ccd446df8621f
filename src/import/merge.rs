//! One steered name from what another system answers for A and for AAAA.
//!
//! octoDNS and Route 53 have policies, pools and rules for each address type of a name; here, a name has one set
//! for both. Where the two are alike, their addresses go into the same pools. Where they are not, those of A
//! count, and the AAAA of pools that A alone has come from the last resort of AAAA.

use std::net::IpAddr;

use crate::import::draft::AllDown;
use crate::import::draft::Endpoint;
use crate::import::draft::Pool;
use crate::import::draft::Rule;
use crate::import::draft::Steered;

/// A steered name and its pools.
#[derive(Debug)]
pub(super) struct Steering {
    pub(super) steered: Steered,
    pub(super) pools: Vec<Pool>,
}

/// Whether clients get the same pools from both.
fn are_alike(a: &Steered, b: &Steered) -> bool {
    let rule = |rule: &Rule| {
        let rule = rule.clone();
        (
            rule.key,
            rule.values,
            rule.policy,
            rule.pools,
            rule.all_down,
        )
    };
    let of = |steered: &Steered| {
        let steered = steered.clone();
        let rules: Vec<_> = steered.rules.iter().map(rule).collect();
        (steered.policy, steered.pools, steered.all_down, rules)
    };
    of(a) == of(b)
}

/// Joins what A and AAAA of one name are answered.
pub(super) fn merge(mut a: Steering, aaaa: Steering) -> Steering {
    let steered = &mut a.steered;
    let ttl = steered.ttl.min(aaaa.steered.ttl);
    if steered.ttl != aaaa.steered.ttl {
        let what = format!("TTL {} of A and {} of AAAA", steered.ttl, aaaa.steered.ttl);
        steered
            .notes
            .missing(&what, "a name has one TTL; it has the shorter");
    }
    steered.ttl = ttl;
    steered.answers = steered.answers.max(aaaa.steered.answers);
    if !are_alike(steered, &aaaa.steered) {
        steered.notes.missing(
            "policy, pools and rules of AAAA",
            "they differ from those of A, and a name has one set for both; those of A count",
        );
    }
    let last_resort = last_resort(&aaaa);
    steered.notes.append(aaaa.steered.notes);
    for other in aaaa.pools {
        match a.pools.iter_mut().find(|pool| pool.name == other.name) {
            Some(pool) => join(pool, other),
            None => {
                let addresses: Vec<_> = other.endpoints.iter().map(|e| e.address).collect();
                let what = format!("pool `{}` of AAAA with {addresses:?}", other.name);
                steered.notes.missing(&what, "A has no pool of this name");
            }
        }
    }
    for pool in &mut a.pools {
        if !pool.endpoints.iter().any(|e| e.address.is_ipv6()) {
            pool.endpoints.extend(&last_resort);
        }
    }
    a
}

/// Adds the addresses of one pool to those of the other.
fn join(pool: &mut Pool, other: Pool) {
    if pool.monitor != other.monitor {
        let why = "it differs from that of the A record, and a pool has one; that of A probes both";
        pool.notes.missing("health check of AAAA", why);
    }
    pool.notes.append(other.notes);
    pool.endpoints.extend(other.endpoints);
    pool.min_healthy = pool.min_healthy.max(other.min_healthy);
}

/// The addresses that are answered when nothing else is up.
fn last_resort(steering: &Steering) -> Vec<Endpoint> {
    let steered = &steering.steered;
    let name = match &steered.all_down {
        AllDown::Fallback(pool) => Some(pool),
        AllDown::Nearest => steered.pools.first(),
    };
    let pool = steering.pools.iter().find(|pool| Some(&pool.name) == name);
    pool.map(|pool| pool.endpoints.clone()).unwrap_or_default()
}

/// Gives every pool the static addresses that the name has in the other family: whichever pool answers,
/// they are the same.
pub(super) fn add_static(steering: &mut Steering, addresses: &[IpAddr], ttl: u32) {
    let steered = &mut steering.steered;
    let n = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    if steered.answers.is_some_and(|answers| answers < n) {
        let what = format!("{n} static addresses at once");
        let why = "a name's `answers` holds for both families; an answer has one of them";
        steered.notes.missing(&what, why);
    }
    if ttl != steered.ttl {
        let what = format!("TTL {ttl} of the static addresses");
        steered
            .notes
            .missing(&what, "a name has one TTL, that of its dynamic record");
    }
    for pool in &mut steering.pools {
        pool.endpoints
            .extend(addresses.iter().map(|address| Endpoint {
                address: *address,
                weight: 1,
            }));
    }
}
