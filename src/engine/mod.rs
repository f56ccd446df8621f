//! Floor 5: query in, answer out.
//!
//! [`answer`] is the table of contents: parse, decide who answers (the protocol, CHAOS, a zone), write.
//! It is one function for every transport and for `explain`, it cannot fail, and on the steered and
//! static path it allocates nothing, takes no lock and reads no clock.

#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

mod arrival;
mod chain;
pub mod client;
mod compose;
pub mod explain;
pub mod question;
mod special;
mod steered;

pub use arrival::Arrival;
pub use arrival::Scratch;

use crate::base::rr::Class;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::config::model::Process;
use crate::engine::compose::Composer;
use crate::state::counters::Dropped;
use crate::state::counters::Transport;
use crate::state::snapshot::Snapshot;
use crate::wire::edns::Edns;
use crate::wire::edns::Opt;
use crate::wire::encode::Encoder;
use crate::wire::query::Fault;
use crate::wire::query::Malformed;
use crate::wire::query::Query;
use crate::wire::query::Reject;

/// What a client without EDNS takes over UDP, in octets (RFC 1035 s4.2.1).
const PLAIN_UDP_PAYLOAD: u16 = 512;

/// Answers one message from one snapshot into `out` and returns the response's length in octets; 0
/// means silence. Over UDP the response keeps to the client's and the server's payload limits, over
/// TCP to `out`, which should hold 65,535 octets.
pub fn answer(
    snapshot: &Snapshot,
    scratch: &mut Scratch,
    arrival: Arrival,
    message: &[u8],
    out: &mut [u8],
) -> usize {
    scratch.counters().query(arrival.transport);
    let process = &snapshot.plan.config.process;
    let (len, rcode) = match Query::parse(message, &mut scratch.qname) {
        Ok(query) => respond(snapshot, scratch, arrival, &query, out),
        Err(Malformed::Reject(reject)) => (refuse(process, &reject, out), reject.rcode),
        Err(Malformed::Drop(fault)) => {
            scratch.counters().dropped(match fault {
                Fault::Response => Dropped::Response,
                _ => Dropped::Short,
            });
            return 0;
        }
    };
    scratch.counters().response(rcode);
    len
}

/// Answers a message that is no query.
fn refuse(process: &Process, reject: &Reject<'_>, out: &mut [u8]) -> usize {
    let opt = reject
        .has_opt
        .then(|| Opt::new(process.server.max_udp_payload));
    let limit = usize::from(PLAIN_UDP_PAYLOAD);
    Encoder::begin(out, limit, &reject.echo).finish(reject.rcode, opt.as_ref())
}

/// Answers a query.
fn respond(
    snapshot: &Snapshot,
    scratch: &mut Scratch,
    arrival: Arrival,
    query: &Query<'_>,
    out: &mut [u8],
) -> (usize, Rcode) {
    let process = &snapshot.plan.config.process;
    let mut opt = query.edns.as_ref().map(|edns| opt(process, edns));
    let limit = match (arrival.transport, &query.edns) {
        (Transport::Tcp, _) => out.len(),
        (Transport::Udp, None) => usize::from(PLAIN_UDP_PAYLOAD),
        (Transport::Udp, Some(edns)) => {
            usize::from(edns.udp_payload.min(process.server.max_udp_payload))
        }
    };
    let mut encoder = Encoder::begin(out, limit, &query.echo);
    encoder.reserve(opt.as_ref().map_or(0, Opt::len));
    let mut composer = Composer {
        snapshot,
        scratch,
        query,
        src: arrival.src,
        encoder,
        scope_len: 0,
        followed: false,
    };
    let rcode = match query.edns {
        // RFC 6891 s6.1.3: tell the version that we speak, whatever the question.
        Some(edns) if edns.version > 0 => Rcode::BadVers,
        _ => dispatch(&mut composer),
    };
    let Composer {
        encoder, scope_len, ..
    } = composer;
    if let Some((subnet, scope)) = opt.as_mut().and_then(|opt| opt.subnet.as_mut()) {
        *scope = subnet.scope_len(scope_len);
    }
    (encoder.finish(rcode, opt.as_ref()), rcode)
}

/// The OPT of the response to a query with one; the scope is still to be filled in.
fn opt<'a>(process: &'a Process, edns: &Edns<'_>) -> Opt<'a> {
    let nsid = process.server.nsid.as_bytes();
    Opt {
        dnssec_ok: edns.dnssec_ok,
        // A server with ECS switched off treats the option as unknown (RFC 7871 s7.2.1).
        subnet: edns
            .subnet
            .filter(|_| process.ecs.enabled)
            .map(|subnet| (subnet, 0)),
        nsid: (edns.nsid && !nsid.is_empty()).then_some(nsid),
        ..Opt::new(process.server.max_udp_payload)
    }
}

/// Finds who answers a well-formed query by class, type and zone.
fn dispatch(composer: &mut Composer<'_, '_>) -> Rcode {
    match (composer.query.qclass, composer.query.qtype) {
        (Class::CH, _) => return special::chaos(composer),
        (Class::IN | Class::ANY, _) => {}
        _ => return Rcode::Refused,
    }
    match composer.query.qtype {
        RrType::AXFR | RrType::IXFR => Rcode::Refused,
        // RFC 6895 s3.1: these are no types of data that could be asked for.
        RrType::OPT | RrType::TSIG | RrType::TKEY => Rcode::FormErr,
        RrType::MAILA | RrType::MAILB => Rcode::NotImp,
        _ => composer.zone_answer(),
    }
}
