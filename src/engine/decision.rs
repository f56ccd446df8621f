//! What a steered query was answered, for the decision log, and the same question asked again.

use crate::base::ix::PoolIx;
use crate::base::location::Country;
use crate::base::name::Name;
use crate::base::prefix::Prefix;
use crate::base::qname::QName;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::base::transport::Transport;
use crate::engine::Arrival;
use crate::engine::Scratch;
use crate::engine::answer_uncounted;
use crate::engine::explain::answered;
use crate::engine::explain::ranking;
use crate::engine::explain_wire::message;
use crate::engine::explain_wire::read;
use crate::engine::outcome::SteerReason;
use crate::engine::outcome::SteeredAnswer;
use crate::engine::question::Question;
use crate::state::snapshot::Snapshot;
use crate::wire::header::HEADER_LEN;

/// A steered answer in full.
#[derive(Debug)]
pub struct Decision {
    /// The name in the question.
    pub name: Name,
    /// The type in the question.
    pub qtype: RrType,
    /// Whom it was answered for.
    pub client: Prefix,
    /// Whether that is the client subnet; otherwise it is the resolver.
    pub by_subnet: bool,
    /// Where the client is.
    pub country: Option<Country>,
    /// The pool whose addresses were answered, of several the one whose address comes first.
    pub pool: Option<PoolIx>,
    /// The place of the pool in the client's order, from 1; `None` for one that is not in it.
    pub rank: Option<usize>,
    /// Why this pool, or none.
    pub reason: SteerReason,
    /// The response code.
    pub rcode: Rcode,
    /// The ECS scope, if a subnet was sent.
    pub scope: Option<u8>,
    /// The TTL of the first record in the answer section.
    pub ttl: Option<u32>,
}

impl Decision {
    /// What `snapshot` decided and `response` says; `None` for a response without a question.
    pub fn read(snapshot: &Snapshot, steered: &SteeredAnswer, response: &[u8]) -> Option<Self> {
        let (name, qtype) = question(response)?;
        let wire = read(response);
        let country = snapshot.plan.atlas.country(steered.client.prefix.addr());
        Some(Self {
            name,
            qtype,
            client: steered.client.prefix,
            by_subnet: steered.client.max_scope.is_some(),
            country,
            pool: steered.pool,
            rank: steered.pool.and_then(|pool| place(snapshot, steered, pool)),
            reason: steered.reason,
            rcode: wire.rcode,
            scope: wire.scope,
            ttl: wire.ttl,
        })
    }
}

/// The name, in lower case, and the type of a message's question.
fn question(message: &[u8]) -> Option<(Name, RrType)> {
    let question = message.get(HEADER_LEN..)?;
    let mut name = QName::root();
    let len = name.set_wire(question).ok()?;
    let qtype = question.get(len..)?.first_chunk::<2>()?;
    let name = Name::from_wire(name.wire()).ok()?;
    Some((name, RrType(u16::from_be_bytes(*qtype))))
}

/// The place of a pool in the order of the client that was answered.
fn place(snapshot: &Snapshot, steered: &SteeredAnswer, pool: PoolIx) -> Option<usize> {
    let rank = ranking(snapshot, steered)?.rank;
    let mut groups = rank.groups.iter();
    let at = groups.position(|group| group.iter().any(|share| share.pool == pool))?;
    Some(at + 1)
}

/// What a question is answered.
#[derive(Debug)]
pub struct Answer {
    /// The pools whose addresses are answered; none for a name that is not steered.
    pub pools: Vec<PoolIx>,
    /// The response code.
    pub rcode: Rcode,
}

/// What a snapshot answers a question, without counting it. The response is written into `out`, which should hold
/// 65,535 octets.
pub fn ask(
    snapshot: &Snapshot,
    scratch: &mut Scratch,
    question: &Question,
    out: &mut [u8],
) -> Answer {
    let (src, subnet) = question.client.source();
    let arrival = Arrival {
        src,
        transport: Transport::Tcp,
        now_ms: 0,
    };
    let message = message(question, subnet);
    let outcome = answer_uncounted(snapshot, scratch, arrival, &message, out);
    Answer {
        pools: outcome
            .steered
            .map_or_else(Vec::new, |steered| answered(snapshot, &steered)),
        // A question of ours is never met with silence.
        rcode: outcome
            .response
            .map_or(Rcode::ServFail, |response| response.rcode),
    }
}
