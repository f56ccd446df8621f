//! Signed queries: verified before they are answered, and answered signed (RFC 8945 s5.2, s5.3).

use crate::base::rr::Rcode;
use crate::engine::arrival::Arrival;
use crate::engine::arrival::Scratch;
use crate::engine::outcome::Refusal;
use crate::engine::outcome::Response;
use crate::engine::rate_limit::RateDecision;
use crate::engine::rate_limit::ResponseClass;
use crate::engine::respond;
use crate::state::counters::Dropped;
use crate::state::snapshot::Snapshot;
use crate::wire::edns::MIN_UDP_PAYLOAD;
use crate::wire::edns::Opt;
use crate::wire::encode::Encoder;
use crate::wire::query::Query;
use crate::wire::tsig::Refused;
use crate::wire::tsig::Tsig;
use crate::wire::tsig::TsigError;

/// Verifies a query, answers it and signs the response.
pub(super) fn answer(
    snapshot: &Snapshot,
    scratch: &mut Scratch,
    arrival: Arrival,
    message: &[u8],
    query: &Query<'_>,
    out: &mut [u8],
) -> Result<Response, Dropped> {
    let now = arrival.now_ms / 1000;
    // The query's reader has seen it.
    let tsig = Tsig::of(message).ok_or(Dropped::Short)?;
    let mut signer = match snapshot.plan.keyring.verify(&tsig, now) {
        Ok(signer) => signer,
        Err(refused) => {
            scratch.outcome.refusal = Some(Refusal::Tsig(refused.error));
            return match scratch.decide(arrival, ResponseClass::Error) {
                RateDecision::Drop => Err(Dropped::RateLimit),
                _ => Ok(refuse(snapshot, query, &tsig, refused, now, out)),
            };
        }
    };
    let key = Some(signer.key());
    let response = respond(snapshot, scratch, arrival, query, key, out)?;
    // The response was kept short enough, so that there is always room.
    let len = signer.sign(out, response.len, now).ok_or(Dropped::Send)?;
    Ok(Response { len, ..response })
}

/// NOTAUTH with a TSIG that says why; a response that would be too long for it goes without.
pub(super) fn refuse(
    snapshot: &Snapshot,
    query: &Query<'_>,
    tsig: &Tsig<'_>,
    refused: Refused,
    now: u64,
    out: &mut [u8],
) -> Response {
    let max_udp_payload = snapshot.plan.config.process.server.max_udp_payload;
    let opt = query.edns.as_ref().map(|_| Opt::new(max_udp_payload));
    let limit = out.len().min(usize::from(MIN_UDP_PAYLOAD));
    let out = out.get_mut(..limit).unwrap_or_default();
    let rcode = match refused.error {
        TsigError::Length => Rcode::FormErr,
        _ => Rcode::NotAuth,
    };
    let len = Encoder::begin(out, limit, &query.echo).finish(rcode, opt.as_ref());
    let with_tsig = match (refused.error, refused.signer) {
        (TsigError::Length, _) => None,
        (error, Some(mut signer)) => signer.refuse(error, out, len, now),
        (error, None) => tsig.refuse(error, out, len),
    };
    Response {
        len: with_tsig.unwrap_or(len),
        rcode,
    }
}
