//! Floor 5: query in, answer out.
//!
//! [`answer()`] is the table of contents: parse, decide who answers (the protocol, CHAOS, a zone), write.
//! It is one function for every transport and for `explain`, it cannot fail, and on the steered and
//! static path it allocates nothing, takes no lock and reads no clock. What strangers may not have of
//! it, or only so often, is decided here too, when the response is known
//! (`rate_limit.rs`).

#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

mod additional;
mod alias;
mod answer;
mod arrival;
mod chain;
mod chaos;
mod chosen;
pub mod client;
mod composer;
pub mod decision;
mod denial;
pub mod explain;
mod explain_wire;
mod flatten;
mod hints;
mod leaving;
pub mod outcome;
mod prefetch;
pub mod question;
pub mod rate_limit;
mod referral;
mod share_limits;
mod signed;
mod steered;
#[cfg(test)]
mod tests;
pub mod transfer;
pub mod update;
mod why;

pub use arrival::Arrival;
pub use arrival::Scratch;
pub use outcome::Outcome;
pub use outcome::Refusal;
pub use prefetch::Prefetcher;

use std::time::Duration;

use crate::base::rr::Class;
use crate::base::rr::Opcode;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::base::transport::Transport;
use crate::config::model::Process;
use crate::engine::composer::Composer;
use crate::engine::outcome::Response;
use crate::engine::rate_limit::RateDecision;
use crate::engine::rate_limit::ResponseClass;
use crate::state::counters::Dropped;
use crate::state::snapshot::Snapshot;
use crate::wire::cookie::Checked;
use crate::wire::edns::Edns;
use crate::wire::edns::ExtendedError;
use crate::wire::edns::MIN_UDP_PAYLOAD;
use crate::wire::edns::Opt;
use crate::wire::encode::Encoder;
use crate::wire::fault::Fault;
use crate::wire::query::Malformed;
use crate::wire::query::Query;
use crate::wire::query::Reject;
use crate::wire::tsig::Key;

/// Answers one message from one snapshot into `out`, and counts it. Over UDP the response keeps to the
/// client's and the server's payload limits and to the rate limit, over TCP to `out`, which should hold
/// 65,535 octets.
pub fn answer<'s>(
    snapshot: &Snapshot,
    scratch: &'s mut Scratch,
    arrival: Arrival,
    message: &[u8],
    out: &mut [u8],
) -> &'s Outcome {
    answer_uncounted(snapshot, scratch, arrival, message, out);
    scratch.count(snapshot, arrival.transport);
    &scratch.outcome
}

/// The same without counting, for explanations.
fn answer_uncounted<'s>(
    snapshot: &Snapshot,
    scratch: &'s mut Scratch,
    arrival: Arrival,
    message: &[u8],
    out: &mut [u8],
) -> &'s Outcome {
    scratch.outcome.clear();
    scratch.outcome.response = write(snapshot, scratch, arrival, message, out);
    &scratch.outcome
}

/// Writes the response, and into the outcome what else there is to say of it.
fn write(
    snapshot: &Snapshot,
    scratch: &mut Scratch,
    arrival: Arrival,
    message: &[u8],
    out: &mut [u8],
) -> Result<Response, Dropped> {
    let process = &snapshot.plan.config.process;
    let mut query = Query::unread();
    match query.read(message, &mut scratch.qname) {
        Ok(()) if query.has_tsig => {
            signed::answer(snapshot, scratch, arrival, message, &query, out)
        }
        Ok(()) => respond(snapshot, scratch, arrival, &query, None, out),
        Err(Malformed::Reject(reject))
            if reject.echo.flags.opcode() == Opcode::UPDATE && !process.grants.is_empty() =>
        {
            update::answer(snapshot, scratch, arrival, message, out)
        }
        Err(Malformed::Reject(reject)) => match scratch.decide(arrival, ResponseClass::Error) {
            RateDecision::Drop => Err(Dropped::RateLimit),
            _ => Ok(refuse(process, &reject, out, &mut scratch.outcome)),
        },
        Err(Malformed::Drop(Fault::Response)) => Err(Dropped::Response),
        Err(Malformed::Drop(_)) => Err(Dropped::Short),
    }
}

/// Answers a message that is no query.
fn refuse(
    process: &Process,
    reject: &Reject<'_>,
    out: &mut [u8],
    outcome: &mut Outcome,
) -> Response {
    outcome.extended_error = Some(ExtendedError {
        code: 0,
        text: reject.fault.as_str(),
    });
    let opt = reject.has_opt.then(|| Opt {
        extended_error: outcome.extended_error,
        ..Opt::new(process.server.max_udp_payload)
    });
    let mut encoder = Encoder::begin(out, usize::from(MIN_UDP_PAYLOAD), &reject.echo);
    Response {
        len: encoder.finish(reject.rcode, opt.as_ref()),
        rcode: reject.rcode,
    }
}

/// Answers a query that was signed with `key`, if with any, and leaves room for a signature.
fn respond(
    snapshot: &Snapshot,
    scratch: &mut Scratch,
    arrival: Arrival,
    query: &Query<'_>,
    key: Option<&Key>,
    out: &mut [u8],
) -> Result<Response, Dropped> {
    let cookie = cookie(snapshot, arrival, query);
    let mut opt = query
        .edns
        .as_ref()
        .map(|edns| opt(snapshot, arrival, edns, cookie.as_ref()));
    let limit =
        payload_limit(snapshot, arrival, query, out).saturating_sub(key.map_or(0, Key::record_len));
    let mut encoder = Encoder::begin(out, limit, &query.echo);
    encoder.reserve(opt.as_ref().map_or(0, Opt::len));
    scratch.names.clear();
    scratch.dnames.clear();
    let mut composer = Composer {
        snapshot,
        scratch: &mut *scratch,
        query,
        arrival,
        key: key.map(Key::name),
        encoder: &mut encoder,
        followed: false,
        scope_len: None,
        class: ResponseClass::Answer,
    };
    let rcode = dispatch(&mut composer);
    let scope_len = composer.scope_len;
    let class = match rcode {
        Rcode::NoError | Rcode::NxDomain | Rcode::YxDomain => composer.class,
        _ => ResponseClass::Error,
    };
    // Nobody is flooded by a client that is where, or who, it says it is.
    let is_proven = key.is_some() || cookie.is_some_and(|cookie| cookie.is_valid);
    let decision = match is_proven {
        true => RateDecision::Send,
        false => scratch.decide(arrival, class),
    };
    match decision {
        RateDecision::Drop => {
            scratch.outcome.steered = None;
            return Err(Dropped::RateLimit);
        }
        // An error is short as it is, and truncated it would say nothing.
        RateDecision::Slip if class != ResponseClass::Error => {
            scratch.outcome.steered = None;
            return Ok(slip(query, opt, out));
        }
        RateDecision::Slip | RateDecision::Send => {}
    }
    // Other classes may hold more than ours (RFC 1035 s6.2).
    if query.qclass == Class::ANY {
        encoder.clear_authoritative();
    }
    if let Some(opt) = &mut opt {
        opt.extended_error = scratch.outcome.extended_error;
        let scope = opt.subnet.zip(scope_len);
        opt.scope_len = scope.map_or(0, |(subnet, len)| subnet.scope_len(len));
    }
    Ok(Response {
        len: encoder.finish(rcode, opt.as_ref()),
        rcode,
    })
}

/// What goes in place of a response that the rate limit keeps back, and is hardly longer than the
/// query: a fresh cookie to come back with (RFC 7873 s5.2.3), or TC, after which a client comes by TCP.
fn slip(query: &Query<'_>, opt: Option<Opt<'_>>, out: &mut [u8]) -> Response {
    let mut encoder = Encoder::begin(out, usize::from(MIN_UDP_PAYLOAD), &query.echo);
    let opt = opt.map(|opt| Opt { nsid: None, ..opt });
    let rcode = match &opt {
        Some(opt) if opt.cookie.is_some() => Rcode::BadCookie,
        _ => {
            encoder.set_truncated();
            Rcode::NoError
        }
    };
    Response {
        len: encoder.finish(rcode, opt.as_ref()),
        rcode,
    }
}

/// What the query's cookie is worth; `None` for a query without one.
fn cookie(snapshot: &Snapshot, arrival: Arrival, query: &Query<'_>) -> Option<Checked> {
    let secrets = snapshot.plan.cookie_secrets.as_ref()?;
    let sent = query.edns.as_ref()?.cookie?;
    Some(secrets.check(sent, arrival.src, arrival.now_ms / 1000))
}

/// How long a response to a query may be, in octets.
fn payload_limit(snapshot: &Snapshot, arrival: Arrival, query: &Query<'_>, out: &[u8]) -> usize {
    let ours = snapshot.plan.config.process.server.max_udp_payload;
    match (arrival.transport, &query.edns) {
        (Transport::Tcp, _) => out.len(),
        (Transport::Udp, None) => usize::from(MIN_UDP_PAYLOAD),
        (Transport::Udp, Some(edns)) => usize::from(edns.udp_payload.min(ours)),
    }
}

/// The OPT of the response to a query with one; scope and extended error are still to be filled in.
fn opt<'a>(
    snapshot: &'a Snapshot,
    arrival: Arrival,
    edns: &'a Edns<'_>,
    cookie: Option<&'a Checked>,
) -> Opt<'a> {
    let process = &snapshot.plan.config.process;
    let nsid = process.server.nsid.as_bytes();
    let wants_timeout = edns.tcp_keepalive && arrival.transport == Transport::Tcp;
    Opt {
        dnssec_ok: edns.dnssec_ok,
        // A server with ECS switched off treats the option as unknown (RFC 7871 s7.2.1).
        subnet: edns.subnet.as_ref().filter(|_| process.ecs.enabled),
        nsid: (edns.nsid && !nsid.is_empty()).then_some(nsid),
        cookie: cookie.map(|cookie| &cookie.reply),
        tcp_keepalive: wants_timeout.then(|| keepalive(process.server.tcp_idle_timeout)),
        ..Opt::new(process.server.max_udp_payload)
    }
}

/// A timeout in units of 100 ms (RFC 7828 s3.1).
fn keepalive(timeout: Duration) -> u16 {
    u16::try_from(timeout.as_millis() / 100).unwrap_or(u16::MAX)
}

/// Finds who answers a well-formed query by EDNS version, class, type and zone.
fn dispatch(composer: &mut Composer<'_, '_>) -> Rcode {
    match composer.query.edns {
        // RFC 6891 s6.1.3: respond with the version that we speak, whatever the question.
        Some(edns) if edns.version > 0 => return Rcode::BadVers,
        Some(_) if composer.query.is_for_cookie() => return Rcode::NoError,
        _ => {}
    }
    match (composer.query.qclass, composer.query.qtype) {
        (Class::CH, _) => return chaos::chaos(composer),
        (Class::IN | Class::ANY, _) => {}
        _ => return composer.refused("only class IN is served"),
    }
    match composer.query.qtype {
        RrType::AXFR | RrType::IXFR => transfer::answer(composer),
        // RFC 6895 s3.1: these are no types of data that could be asked for.
        RrType::OPT | RrType::TSIG | RrType::TKEY => Rcode::FormErr,
        RrType::MAILA | RrType::MAILB => Rcode::NotImp,
        _ if why::is_asked(composer) => why::answer(composer),
        _ => composer.zone_answer(),
    }
}
