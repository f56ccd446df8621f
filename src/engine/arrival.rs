//! What comes with a message, and what a thread keeps from one message to the next.

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::ix::SteeredIx;
use crate::base::prefix::Family;
use crate::base::qname::QName;
use crate::base::transport::Transport;
use crate::engine::chain::Visited;
use crate::engine::outcome::Outcome;
use crate::engine::outcome::Refusal;
use crate::engine::rate_limit::RateDecision;
use crate::engine::rate_limit::RateLimiter;
use crate::engine::rate_limit::ResponseClass;
use crate::geo::majority::MajorityScratch;
use crate::state::counters::Counters;
use crate::state::counters::Transferred;
use crate::state::snapshot::Snapshot;

/// How, when and from where a message came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The packet's source address.
    pub src: IpAddr,
    /// Over which transport.
    pub transport: Transport,
    /// When, in milliseconds since 1970. Read once for each batch: limits and cookies need no better.
    pub now_ms: u64,
}

/// What one answering thread or task keeps between messages, so that answering allocates nothing.
#[derive(Debug)]
pub struct Scratch {
    counters: Arc<Counters>,
    shard: usize,
    pub(super) qname: QName,
    /// The names that the answer has followed.
    pub(super) names: Visited,
    /// The owners of the DNAMEs in the answer.
    pub(super) dnames: Visited,
    pub(super) majority: MajorityScratch,
    /// The steered name that was answered last, and in which family: what to prefetch.
    pub(super) last_steered: (SteeredIx, Family),
    /// Counts answers of several records: where the next one starts.
    turn: u32,
    limiter: Option<Arc<RateLimiter>>,
    /// Responses that the limiter kept back.
    n_suppressed: u32,
}

impl Scratch {
    /// For the thread that owns counter shard `shard`.
    pub fn new(counters: Arc<Counters>, shard: usize) -> Self {
        Self {
            counters,
            shard,
            qname: QName::root(),
            names: Visited::default(),
            dnames: Visited::default(),
            majority: MajorityScratch::default(),
            last_steered: (SteeredIx(0), Family::V4),
            turn: 0,
            limiter: None,
            n_suppressed: 0,
        }
    }

    /// The same with a limit on what is sent over UDP, shared with other threads.
    #[must_use]
    pub fn with_limiter(self, limiter: Option<Arc<RateLimiter>>) -> Self {
        Self { limiter, ..self }
    }

    /// What becomes of a response over UDP.
    pub(super) fn decide(&mut self, arrival: Arrival, class: ResponseClass) -> RateDecision {
        match &self.limiter {
            Some(limiter) if arrival.transport == Transport::Udp => {
                limiter.decide(arrival.src, class, arrival.now_ms, &mut self.n_suppressed)
            }
            _ => RateDecision::Send,
        }
    }

    /// Where the records of the next answer of several start, for those that rotate.
    pub(super) fn next_turn(&mut self) -> u32 {
        let turn = self.turn;
        self.turn = turn.wrapping_add(1);
        turn
    }

    /// Counts a message by what became of it.
    pub(super) fn count(&mut self, snapshot: &Snapshot, transport: Transport, outcome: &Outcome) {
        let counters = self.counters.shard(self.shard);
        counters.query(transport);
        match &outcome.response {
            Ok(response) => counters.response(response.rcode),
            Err(reason) => counters.dropped(*reason),
        }
        if outcome.refusal == Some(Refusal::Transfer) {
            counters.transfer(Transferred::Refused);
        }
        if let Some(steered) = &outcome.steered {
            snapshot.plan.counters.count(self.shard, steered.counter);
            self.last_steered = (steered.name, steered.family);
        }
    }
}
