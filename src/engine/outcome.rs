//! `Outcome`: what became of one message, for whoever counts, logs or explains it.
//!
//! It lives in the thread's scratch memory and is returned by reference: a copy of so many octets that
//! were just written one by one would wait for them to reach memory (store-to-load forwarding fails), which
//! took 10 to 15 ns of an answer (`benches/answer.rs`).

use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::prefix::Family;
use crate::base::rr::Rcode;
use crate::state::answers::Client;
use crate::state::counters::Dropped;
use crate::wire::edns::ExtendedError;
use crate::wire::tsig::TsigError;
use crate::zone::update::Refused;

/// What became of one message.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The response, or why there is none.
    pub response: Result<Response, Dropped>,
    /// The response's extended error, which a client with EDNS is sent (RFC 8914).
    pub extended_error: Option<ExtendedError<'static>>,
    /// The steered name that the response was answered from, if any.
    pub steered: Option<SteeredAnswer>,
    /// What an operator should hear of.
    pub refusal: Option<Refusal>,
}

/// A response that is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Response {
    /// Its length in octets.
    pub len: usize,
    /// Its response code.
    pub rcode: Rcode,
}

/// How a steered name was answered.
#[derive(Clone, Copy, Debug)]
pub struct SteeredAnswer {
    /// The steered name.
    pub name: SteeredIx,
    /// The family of the addresses asked for.
    pub family: Family,
    /// Whom it was answered for.
    pub client: Client,
    /// The pool whose addresses were answered, of several the one whose address comes first; `None` for NODATA
    /// and SERVFAIL.
    pub pool: Option<PoolIx>,
    /// The key of the answer among those of the name and family.
    pub key: u32,
    /// Why this pool, or none.
    pub reason: SteerReason,
    /// The counter of `answers_total` that the answer moves, one that does not exist without a pool.
    pub(super) counter: u32,
}

/// Why a client got a pool's addresses, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SteerReason {
    /// None of its pools is up: the pool that `all_down` gives.
    AllDown,
    /// There is no address for the client.
    NoAddress,
    /// None of its pools is known to be up: one that has never been probed.
    Unproven,
    /// The pool is up.
    Up,
}

impl SteerReason {
    /// In a word, for the decision log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllDown => "all_down",
            Self::NoAddress => "no_address",
            Self::Unproven => "unproven",
            Self::Up => "up",
        }
    }
}

/// Why a machine that may be a secondary, or may change zones, was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A transfer, to who is no secondary of the zone.
    Transfer,
    /// A message whose TSIG is wrong.
    Tsig(TsigError),
    /// An update.
    Update(Refused),
}

impl Refusal {
    /// In words, for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transfer => "transfer refused: no [[secondary]] allows it",
            Self::Tsig(error) => error.as_str(),
            Self::Update(refused) => refused.reason,
        }
    }
}

impl Outcome {
    /// Forgets the message before.
    pub(super) fn clear(&mut self) {
        self.extended_error = None;
        self.steered = None;
        self.refusal = None;
    }

    /// Nothing has been answered yet.
    pub(super) fn new() -> Self {
        Self {
            response: Err(Dropped::Short),
            extended_error: None,
            steered: None,
            refusal: None,
        }
    }

    /// The length of the response in octets; 0 means silence.
    pub fn response_len(&self) -> usize {
        self.response.map_or(0, |response| response.len)
    }
}
