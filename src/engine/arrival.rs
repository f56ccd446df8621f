//! What comes with a message, and what a thread keeps from one message to the next.

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::prefix::Family;
use crate::base::qname::QName;
use crate::geo::majority::MajorityScratch;
use crate::state::counters::Counters;
use crate::state::counters::Shard;
use crate::state::counters::Transport;
use crate::state::steered::Client;

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
    pub(super) counters: Arc<Counters>,
    pub(super) shard: usize,
    pub(super) qname: QName,
    pub(super) majority: MajorityScratch,
    pub(super) trace: Option<Trace>,
}

impl Scratch {
    /// For the thread that owns counter shard `shard`.
    pub fn new(counters: Arc<Counters>, shard: usize) -> Self {
        Self {
            counters,
            shard,
            qname: QName::root(),
            majority: MajorityScratch::default(),
            trace: None,
        }
    }

    /// For an explanation: what happens is written down, and `answers_total` stays as it is.
    pub(super) fn tracing() -> Self {
        Self {
            trace: Some(Trace::default()),
            ..Self::new(Arc::new(Counters::new(1)), 0)
        }
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
