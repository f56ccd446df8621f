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
use crate::state::country_counters::SAMPLE_INTERVAL;
use crate::state::snapshot::Snapshot;

/// 2^32 over the golden ratio.
const GOLDEN_RATIO: u32 = 0x9E37_79B9;

/// The number below `n` that lies where `fraction` lies below 2^32; 0 if there is none.
pub(super) fn scaled(fraction: u32, n: usize) -> usize {
    ((u64::from(fraction) * n as u64) >> 32) as usize
}

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
    /// Where the next answer of several records starts, in parts of 2^32.
    turn: u32,
    /// Steered answers until one is counted by its client's country.
    until_sample: u32,
    /// What became of the message that was answered last.
    pub(super) outcome: Outcome,
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
            until_sample: SAMPLE_INTERVAL,
            outcome: Outcome::new(),
            limiter: None,
            n_suppressed: 0,
        }
    }

    /// The same with a limit on what is sent over UDP, shared with other threads.
    #[must_use]
    pub fn with_limiter(self, limiter: Option<Arc<RateLimiter>>) -> Self {
        Self { limiter, ..self }
    }

    /// What became of the message that was answered last.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
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

    /// Which of an answer's `n` records comes first, for those that rotate.
    ///
    /// The turns are multiples of the golden ratio, which any regular pick of them spreads evenly. Of a
    /// counter's numbers, who asks for A and AAAA by turns gets every second one, and of two addresses
    /// always the same.
    pub(super) fn next_turn(&mut self, n: usize) -> usize {
        let turn = self.turn;
        self.turn = turn.wrapping_add(GOLDEN_RATIO);
        scaled(turn, n)
    }

    /// Counts a message by what became of it.
    pub(super) fn count(&mut self, snapshot: &Snapshot, transport: Transport) {
        let outcome = &self.outcome;
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
            self.until_sample -= 1;
            if self.until_sample == 0 {
                self.until_sample = SAMPLE_INTERVAL;
                let country = snapshot.plan.atlas.country(steered.client.prefix.addr());
                let countries = &snapshot.plan.countries;
                countries.count(self.shard, steered.name, country);
            }
        }
    }
}
