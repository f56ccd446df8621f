//! Dynamic updates (RFC 2136): who may change what is decided here, the change itself is the control loop's.
//!
//! [`Pending::begin`] verifies and reads a message; what comes of it is an order for the control loop and,
//! once that is published and on disk, a signed response. What is refused is answered at once, like any query:
//! an update without a key, outside its grant, of a zone that is not here, or malformed.

use std::net::IpAddr;

use crate::base::name::Name;
use crate::base::qname::QName;
use crate::base::rr::Class;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::base::transport::Transport;
use crate::config::model::Grant;
use crate::engine::arrival::Arrival;
use crate::engine::arrival::Scratch;
use crate::engine::outcome::Refusal;
use crate::engine::outcome::Response;
use crate::engine::rate_limit::RateDecision;
use crate::engine::rate_limit::ResponseClass;
use crate::engine::refuse;
use crate::engine::signed;
use crate::state::counters::Dropped;
use crate::state::snapshot::Snapshot;
use crate::wire::edns::ExtendedError;
use crate::wire::edns::MIN_UDP_PAYLOAD;
use crate::wire::edns::Opt;
use crate::wire::encode::Encoder;
use crate::wire::header::Flags;
use crate::wire::query::Echo;
use crate::wire::query::Malformed;
use crate::wire::query::Query;
use crate::wire::tsig::Refused as TsigRefused;
use crate::wire::tsig::Signer;
use crate::wire::tsig::Tsig;
use crate::wire::update;
use crate::zone::update::Refused;
use crate::zone::update::Update;

/// An update that may be carried out.
#[derive(Clone, Debug)]
pub struct Order {
    /// The zone.
    pub apex: Name,
    /// Who changes it.
    pub writer: Writer,
    /// What is to be changed, and on which condition.
    pub update: Update,
}

/// Who changes a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The holder of a TSIG key.
    Client {
        /// The key that the update was signed with.
        key: Name,
        /// Who sent it.
        address: IpAddr,
    },
    /// This server, which may change everything.
    Server,
}

/// An update whose response is still to be written.
#[derive(Debug)]
pub struct Pending {
    /// What is to be carried out.
    pub order: Order,
    response: Box<UpdateResponse>,
}

/// What the response to an update is made of.
#[derive(Debug)]
struct UpdateResponse {
    id: u16,
    flags: Flags,
    zone: Box<[u8]>,
    /// The payload size of our OPT; `None` for a client without EDNS.
    udp_payload: Option<u16>,
    /// Octets of the whole response.
    limit: usize,
    signer: Option<Signer>,
}

/// Why an update is answered at once.
enum Denied<'a> {
    Malformed(Malformed<'a>),
    Tsig(Box<(Query<'a>, Tsig<'a>, TsigRefused)>),
    /// Signed, if the request was.
    Refused(Refused, Box<UpdateResponse>),
}

const NO_KEY: Refused = Refused {
    rcode: Rcode::Refused,
    reason: "updates must be signed with a TSIG key",
};

const NO_GRANT: Refused = Refused {
    rcode: Rcode::Refused,
    reason: "no [[update]] lets this key change the zone",
};

const OUTSIDE_GRANT: Refused = Refused {
    rcode: Rcode::Refused,
    reason: "no [[update]] lets this key change a name or type of the update",
};

const NO_ZONE: Refused = Refused {
    rcode: Rcode::NotAuth,
    reason: "the zone is not served here",
};

const NO_SOA: Refused = Refused {
    rcode: Rcode::FormErr,
    reason: "the zone section is not of type SOA",
};

/// The result of an order for which there is no room.
const OVERLOADED: Refused = Refused {
    rcode: Rcode::ServFail,
    reason: "too many updates are waiting",
};

impl Order {
    /// Whether its writer may change a type at a name.
    pub fn permits(&self, grants: &[Grant], owner: &Name, rtype: RrType) -> bool {
        let Writer::Client { key, .. } = &self.writer else {
            return true;
        };
        let mut of_key = grants.iter().filter(|g| g.is_for(key, &self.apex));
        of_key.any(|grant| grant.permits(&self.apex, owner, rtype))
    }
}

impl Pending {
    /// Begins the update that a message asks for; `None` if [`answer`](crate::engine::answer()) has to say
    /// why it is refused.
    pub fn begin(
        snapshot: &Snapshot,
        scratch: &mut Scratch,
        arrival: Arrival,
        message: &[u8],
    ) -> Option<Self> {
        judge(snapshot, &mut scratch.qname, arrival, message).ok()
    }

    /// Writes the response into `out` and returns its length and RCODE; 0 if it cannot be signed.
    pub fn respond(
        self,
        result: Result<(), Refused>,
        out: &mut [u8],
        now_ms: u64,
    ) -> (usize, Rcode) {
        let response = self.response.write(result, out, now_ms);
        response.map_or((0, Rcode::ServFail), |response| {
            (response.len, response.rcode)
        })
    }
}

/// Answers an update that is not carried out; one that could be finds no room.
pub(super) fn answer(
    snapshot: &Snapshot,
    scratch: &mut Scratch,
    arrival: Arrival,
    message: &[u8],
    out: &mut [u8],
) -> Result<Response, Dropped> {
    let denied = match judge(snapshot, &mut scratch.qname, arrival, message) {
        Ok(pending) => Denied::Refused(OVERLOADED, pending.response),
        Err(denied) => denied,
    };
    let is_proven = matches!(&denied, Denied::Refused(_, response) if response.signer.is_some());
    if !is_proven
        && matches!(
            scratch.decide(arrival, ResponseClass::Error),
            RateDecision::Drop
        )
    {
        return Err(Dropped::RateLimit);
    }
    let now = arrival.now_ms / 1000;
    match denied {
        Denied::Malformed(Malformed::Drop(_)) => Err(Dropped::Short),
        Denied::Malformed(Malformed::Reject(reject)) => {
            let process = &snapshot.plan.config.process;
            Ok(refuse(process, &reject, out, &mut scratch.outcome))
        }
        Denied::Tsig(denied) => {
            let (query, tsig, refused) = *denied;
            scratch.outcome.refusal = Some(Refusal::Tsig(refused.error));
            Ok(signed::refuse(snapshot, &query, &tsig, refused, now, out))
        }
        Denied::Refused(refused, response) => {
            // Who takes us for the primary of another zone has no key of ours, as a rule.
            if response.signer.is_some() || refused == NO_KEY {
                scratch.outcome.refusal = Some(Refusal::Update(refused));
            }
            response.write(Err(refused), out, arrival.now_ms)
        }
    }
}

/// Decides about a message, with the zone's name in `zone`.
fn judge<'m>(
    snapshot: &Snapshot,
    zone: &mut QName,
    arrival: Arrival,
    message: &'m [u8],
) -> Result<Pending, Denied<'m>> {
    let read = update::Update::parse(message, zone).map_err(Denied::Malformed)?;
    let process = &snapshot.plan.config.process;
    let signer = match Tsig::of(message) {
        Some(tsig) => match snapshot.plan.keyring.verify(&tsig, arrival.now_ms / 1000) {
            Ok(signer) => Some(signer),
            Err(refused) => return Err(Denied::Tsig(Box::new((read.head, tsig, refused)))),
        },
        None => None,
    };
    let key = signer.as_ref().map(|signer| signer.key().name().clone());
    let payload = process.server.max_udp_payload;
    let response = Box::new(UpdateResponse::to(&read.head, arrival, payload, signer));
    let Some(zone) = snapshot.plan.zones.zone_at(zone) else {
        return Err(Denied::Refused(NO_ZONE, response));
    };
    let apex = zone.apex();
    let of_key = |key: &Name| process.grants.iter().any(|grant| grant.is_for(key, apex));
    let refused = match &key {
        _ if read.head.qtype != RrType::SOA => NO_SOA,
        _ if read.head.qclass != Class::IN => NO_ZONE,
        None => NO_KEY,
        Some(key) if !of_key(key) => NO_GRANT,
        Some(key) => match Update::read(&read, apex, &"dynamic update".into()) {
            Err(refused) => refused,
            Ok(update) if !is_granted(snapshot, key, apex, &update) => OUTSIDE_GRANT,
            Ok(update) => {
                return Ok(Pending {
                    order: Order {
                        apex: apex.clone(),
                        writer: Writer::Client {
                            key: key.clone(),
                            address: arrival.src,
                        },
                        update,
                    },
                    response,
                });
            }
        },
    };
    Err(Denied::Refused(refused, response))
}

/// Whether the key may change every name and type that the update does. Which types the deletion of a name
/// needs is known only when it is carried out.
fn is_granted(snapshot: &Snapshot, key: &Name, apex: &Name, update: &Update) -> bool {
    let grants = &snapshot.plan.config.process.grants;
    update.targets().all(|(owner, rtype)| {
        let mut grants = grants.iter().filter(|grant| grant.is_for(key, apex));
        match rtype {
            Some(rtype) => grants.any(|grant| grant.permits(apex, owner, rtype)),
            None => grants.any(|grant| grant.has_name(owner)),
        }
    })
}

impl UpdateResponse {
    fn to(
        query: &Query<'_>,
        arrival: Arrival,
        max_udp_payload: u16,
        signer: Option<Signer>,
    ) -> Self {
        let limit = match (arrival.transport, &query.edns) {
            (Transport::Tcp, _) => u16::MAX,
            (Transport::Udp, None) => MIN_UDP_PAYLOAD,
            (Transport::Udp, Some(edns)) => edns.udp_payload.min(max_udp_payload),
        };
        Self {
            id: query.echo.id,
            flags: query.echo.flags,
            zone: query.echo.question.into(),
            udp_payload: query.edns.map(|_| max_udp_payload),
            limit: usize::from(limit),
            signer,
        }
    }

    /// Writes the response and signs it, if the request was signed.
    fn write(
        self,
        result: Result<(), Refused>,
        out: &mut [u8],
        now_ms: u64,
    ) -> Result<Response, Dropped> {
        let rcode = result.map_or_else(|refused| refused.rcode, |()| Rcode::NoError);
        let extended_error = result.err().map(|refused| ExtendedError {
            code: match refused.rcode {
                Rcode::Refused => PROHIBITED,
                _ => OTHER_ERROR,
            },
            text: refused.reason,
        });
        let opt = self.udp_payload.map(|payload| Opt {
            extended_error,
            ..Opt::new(payload)
        });
        let echo = Echo {
            id: self.id,
            flags: self.flags,
            question: &self.zone,
        };
        let signature_len = self.signer.as_ref().map_or(0, |s| s.key().record_len());
        let limit = self.limit.min(out.len()).saturating_sub(signature_len);
        let len = Encoder::begin(out, limit, &echo).finish(rcode, opt.as_ref());
        let len = match self.signer {
            Some(mut signer) => signer.sign(out, len, now_ms / 1000).ok_or(Dropped::Send)?,
            None => len,
        };
        Ok(Response { len, rcode })
    }
}

/// Extended errors (RFC 8914 s4).
const OTHER_ERROR: u16 = 0;
const PROHIBITED: u16 = 18;
