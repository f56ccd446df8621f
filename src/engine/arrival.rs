//! What comes with a message, and what a thread keeps from one message to the next.

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::prefix::Family;
use crate::base::qname::QName;
use crate::base::transport::Transport;
use crate::engine::chain::Visited;
use crate::engine::rate_limit::RateDecision;
use crate::engine::rate_limit::RateLimiter;
use crate::engine::rate_limit::ResponseClass;
use crate::geo::majority::MajorityScratch;
use crate::state::answers::Client;
use crate::state::counters::Counters;
use crate::state::counters::Shard;
use crate::state::snapshot::Snapshot;
use crate::wire::tsig::TsigError;

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

/// Why a machine that may be a secondary was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A transfer, to who is no secondary of the zone.
    Transfer,
    /// A query whose TSIG is wrong.
    Tsig(TsigError),
}

impl Refusal {
    /// In words, for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transfer => "transfer refused: no [[secondary]] allows it",
            Self::Tsig(error) => error.as_str(),
        }
    }
}

/// What one answering thread or task keeps between messages, so that answering allocates nothing.
#[derive(Debug)]
pub struct Scratch {
    pub(super) counters: Arc<Counters>,
    pub(super) shard: usize,
    pub(super) qname: QName,
    /// The names that the answer has followed.
    pub(super) names: Visited,
    /// The owners of the DNAMEs in the answer.
    pub(super) dnames: Visited,
    pub(super) majority: MajorityScratch,
    /// The steered name that was answered last, and in which family.
    pub(super) last_steered: (SteeredIx, Family),
    pub(super) trace: Option<Trace>,
    pub(super) refusal: Option<Refusal>,
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
            trace: None,
            refusal: None,
            limiter: None,
            n_suppressed: 0,
        }
    }

    /// The same with a limit on what is sent over UDP, shared with other threads.
    #[must_use]
    pub fn with_limiter(self, limiter: Option<Arc<RateLimiter>>) -> Self {
        Self { limiter, ..self }
    }

    /// For an explanation: what happens is written down, and `answers_total` stays as it is.
    pub(super) fn tracing() -> Self {
        Self {
            trace: Some(Trace::default()),
            ..Self::new(Arc::new(Counters::new(1)), 0)
        }
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

    /// Counts an answer of a pool, unless it is only explained.
    pub(super) fn count_answer(&self, snapshot: &Snapshot, counter: u32) {
        if self.trace.is_none() {
            snapshot.plan.counters.count(self.shard, counter);
        }
    }

    /// Takes why the last message was refused, if it was a secondary that was.
    pub fn take_refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// This thread's counters.
    pub fn counters(&self) -> &Shard {
        self.counters.shard(self.shard)
    }
}

/// What an explanation needs to know of an answer that the wire does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trace {
    /// The steered name that answered, if one did.
    pub steered: Option<TracedSteering>,
}

/// A steered answer's inputs and result.
#[derive(Clone, Copy, Debug)]
pub(super) struct TracedSteering {
    /// The steered name.
    pub ix: SteeredIx,
    /// The family asked for.
    pub family: Family,
    /// Whom it was answered for.
    pub client: Client,
    /// The pool whose addresses were answered.
    pub pool: Option<PoolIx>,
    /// The key of the answer among those of the name and family.
    pub key: u32,
}
