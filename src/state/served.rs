//! What the clients of one answer get, as shares: for those who count clients, not answer them.

use crate::base::ix::PoolIx;
use crate::state::answers::FamilyAnswers;
use crate::state::answers::PoolAnswer;
use crate::steer::Choice;

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Served {
    /// Addresses of this pool.
    Pool(PoolIx),
    /// No addresses (NODATA).
    NoData,
    /// SERVFAIL.
    ServFail,
}

impl FamilyAnswers {
    /// What the clients of a key get, with the share of them that does, in the order of the pools; the shares
    /// add up to 1. Of a client that gets addresses of several pools together, each pool has the share of its
    /// addresses.
    pub fn shares(&self, key: u32) -> Vec<(Served, f64)> {
        let pools = match self.answer_of(key) {
            Choice::NoData => return vec![(Served::NoData, 1.0)],
            Choice::ServFail => return vec![(Served::ServFail, 1.0)],
            Choice::Pools(pools) => pools,
        };
        let sum: f64 = pools.iter().map(|pool| f64::from(pool.weight)).sum();
        let mut shares: Vec<(Served, f64)> = Vec::new();
        for (at, answer) in pools.iter().enumerate() {
            // Where none has a weight, the first is picked.
            let share = match sum > 0.0 {
                true => f64::from(answer.weight) / sum,
                false => f64::from(u8::from(at == 0)),
            };
            for (pool, part) in parts(answer) {
                shares.push((Served::Pool(pool), share * part));
            }
        }
        shares.retain(|(_, share)| *share > 0.0);
        shares.sort_by_key(|(served, _)| *served);
        shares.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                kept.1 += later.1;
            }
            is_same
        });
        shares
    }
}

/// The pools of an answer, each with the share of the addresses that clients get.
fn parts(answer: &PoolAnswer) -> Vec<(PoolIx, f64)> {
    if answer.together.is_empty() {
        return vec![(answer.pool, 1.0)];
    }
    let n_variants = answer.variants.len() as f64;
    let mut parts = Vec::new();
    for records in &*answer.variants {
        let part = 1.0 / (n_variants * f64::from(records.n()));
        parts.extend(answer.pools(records).map(|pool| (pool, part)));
    }
    parts
}
