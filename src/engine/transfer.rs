//! Zone transfers out: AXFR (RFC 5936), and IXFR (RFC 1995) answered by the differences that dynamic updates
//! have made, by a whole zone, or by the news that there is none.
//!
//! A [`Transfer`] is a place in a zone of one snapshot: each call writes as many records as make a
//! good message and moves on, so that a transfer of any size holds one message at a time and never
//! mixes two generations. Steered names leave with what a client that cannot be located gets, as
//! plain records: the copy is a static one. As these change without a difference, a zone that has any always
//! leaves whole.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use crate::base::name::Name;
use crate::base::rr::Class;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::base::serial;
use crate::base::transport::Transport;
use crate::engine::arrival::Arrival;
use crate::engine::arrival::Scratch;
use crate::engine::composer::Composer;
use crate::engine::leaving::Leaving;
use crate::engine::leaving::leaving_node;
use crate::engine::outcome::Refusal;
use crate::state::snapshot::Snapshot;
use crate::wire::edns::ExtendedError;
use crate::wire::edns::Opt;
use crate::wire::encode::Encoder;
use crate::wire::encode::Owner;
use crate::wire::header::Flags;
use crate::wire::query::Echo;
use crate::wire::query::Query;
use crate::wire::tsig::Signer;
use crate::wire::tsig::Tsig;
use crate::zone::Zone;
use crate::zone::difference::Difference;

/// How long a message is made before the next one begins: as far as compression pointers reach.
const ENOUGH: usize = 0x4000;

/// Answers a query for a transfer that is not one over TCP: what is refused, and what one message says.
pub(super) fn answer(composer: &mut Composer<'_, '_>) -> Rcode {
    let snapshot = composer.snapshot;
    let qname = &composer.scratch.qname;
    let Some(zone) = snapshot.plan.zones.zone_at(qname) else {
        return Rcode::NotAuth;
    };
    if !may_copy(snapshot, zone, composer.arrival.src, composer.key) {
        composer.scratch.outcome.refusal = Some(Refusal::Transfer);
        composer.scratch.outcome.extended_error = Some(ExtendedError {
            code: 18,
            text: "transfers are for configured secondaries",
        });
        return Rcode::Refused;
    }
    match composer.query.qtype {
        // AXFR over UDP is undefined (RFC 5936 s4.2).
        RrType::AXFR => Rcode::FormErr,
        // The serial alone: who has an older one comes by TCP (RFC 1995 s2).
        _ => {
            composer.encoder.set_authoritative();
            if composer.encoder.rrset(Owner::Qname, zone.soa()).is_err() {
                composer.encoder.set_truncated();
            }
            Rcode::NoError
        }
    }
}

fn may_copy(snapshot: &Snapshot, zone: &Zone, src: IpAddr, key: Option<&Name>) -> bool {
    let secondaries = &snapshot.plan.config.process.secondaries;
    secondaries
        .iter()
        .any(|secondary| secondary.may_copy(zone.apex(), src, key))
}

/// A transfer that has begun.
#[derive(Debug)]
pub struct Transfer {
    snapshot: Arc<Snapshot>,
    zone: Arc<Zone>,
    id: u16,
    flags: Flags,
    /// In the first message only (RFC 5936 s2.2.2).
    question: Box<[u8]>,
    has_opt: bool,
    signer: Option<Signer>,
    /// The serial that the client has, if it gets the differences since then instead of the zone.
    since: Option<u32>,
    next: Next,
}

/// The record that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The SOA in front.
    First,
    /// A record in between.
    At(Place),
    /// The SOA at the end.
    Last,
    /// Nothing.
    Done,
}

/// A record's place in a zone, or among its differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    /// The position of the node, or which of the differences.
    node: u32,
    /// Which of the records that leave from there.
    record: usize,
}

impl Transfer {
    /// Begins the transfer that a message over TCP asks for; `None` if it does not, or if
    /// [`answer`](crate::engine::answer()) has to say what is wrong with it, or that nothing is new.
    pub fn begin(
        snapshot: &Arc<Snapshot>,
        scratch: &mut Scratch,
        arrival: Arrival,
        message: &[u8],
    ) -> Option<Self> {
        let query = Query::parse(message, &mut scratch.qname).ok()?;
        let is_sound = matches!(query.qtype, RrType::AXFR | RrType::IXFR)
            && query.qclass == Class::IN
            && query.edns.is_none_or(|edns| edns.version == 0);
        if !is_sound || arrival.transport != Transport::Tcp {
            return None;
        }
        let signer = match query.has_tsig.then(|| Tsig::of(message)).flatten() {
            Some(tsig) => Some(
                snapshot
                    .plan
                    .keyring
                    .verify(&tsig, arrival.now_ms / 1000)
                    .ok()?,
            ),
            None => None,
        };
        let zone = snapshot.plan.zones.zone_at(&scratch.qname)?;
        let key = signer.as_ref().map(|signer| signer.key().name());
        let is_news = query.qtype == RrType::AXFR
            || query
                .ixfr_serial
                // One that cannot be compared counts as older.
                .is_none_or(|theirs| {
                    matches!(
                        serial::compare(theirs, zone.serial()),
                        Some(Ordering::Less) | None
                    )
                });
        (is_news && may_copy(snapshot, zone, arrival.src, key)).then(|| Self {
            snapshot: Arc::clone(snapshot),
            zone: Arc::clone(zone),
            id: query.echo.id,
            flags: query.echo.flags,
            question: query.echo.question.into(),
            has_opt: query.edns.is_some(),
            signer,
            since: (query.ixfr_serial)
                .filter(|serial| query.qtype == RrType::IXFR && has_differences(zone, *serial)),
            next: Next::First,
        })
    }

    /// The zone's name.
    pub fn apex(&self) -> &Name {
        self.zone.apex()
    }

    /// Writes the next message into `out`, which should hold 65,535 octets, and returns its length;
    /// `None` after the last one.
    ///
    /// # Errors
    /// [`TooLong`] if a record does not fit into any message; then the transfer cannot go on.
    pub fn next_message(&mut self, out: &mut [u8], now_ms: u64) -> Result<Option<usize>, TooLong> {
        if self.next == Next::Done {
            return Ok(None);
        }
        let (snapshot, zone) = (Arc::clone(&self.snapshot), Arc::clone(&self.zone));
        let echo = Echo {
            id: self.id,
            flags: self.flags,
            question: match self.next {
                Next::First => &self.question,
                _ => &[],
            },
        };
        let signature_len = self.signer.as_ref().map_or(0, |s| s.key().record_len());
        let limit = out.len().saturating_sub(signature_len);
        let opt = Opt::new(snapshot.plan.config.process.server.max_udp_payload);
        let opt = self.has_opt.then_some(opt);
        let mut encoder = Encoder::begin(out, limit, &echo);
        encoder.reserve(opt.as_ref().map_or(0, Opt::len));
        encoder.preserve_case();
        encoder.set_authoritative();
        let begun_with = self.next;
        let mut records = leaving(&snapshot, &zone, self.since, self.next);
        self.next = loop {
            let Some((next, leaving)) = records.next() else {
                break Next::Done;
            };
            let owner = Owner::Wire(leaving.owner);
            let is_put = encoder.len() < ENOUGH
                && encoder
                    .record(owner, leaving.rtype, Class::IN, leaving.ttl, &leaving.rdata)
                    .is_ok();
            match is_put {
                true => {}
                false if next == begun_with => return Err(TooLong),
                false => break next,
            }
        };
        let len = encoder.finish(Rcode::NoError, opt.as_ref());
        match &mut self.signer {
            Some(signer) => signer
                .sign(out, len, now_ms / 1000)
                .map(Some)
                .ok_or(TooLong),
            None => Ok(Some(len)),
        }
    }
}

/// A record that fits no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record is too long for any message")]
pub struct TooLong;

/// The records from one on, each with what names it.
fn leaving<'a>(
    snapshot: &'a Snapshot,
    zone: &'a Zone,
    since: Option<u32>,
    from: Next,
) -> impl Iterator<Item = (Next, Leaving<'a>)> {
    let soa = || {
        zone.soa().rdatas().map(|rdata| Leaving {
            owner: zone.apex().wire(),
            rtype: RrType::SOA,
            ttl: zone.soa().ttl,
            rdata: rdata.into(),
        })
    };
    let place = match from {
        Next::At(place) => place,
        _ => Place::default(),
    };
    let between: Box<dyn Iterator<Item = _>> =
        match since {
            Some(serial) => {
                let differences = zone.changes_since(serial).unwrap_or_default();
                let differences = (0..).zip(differences).skip(place.node as usize);
                Box::new(differences.flat_map(|(nth, difference)| {
                    places_at(nth).zip(difference.records().map(Leaving::of))
                }))
            }
            None => {
                let mut nodes = zone.nodes_from(place.node);
                let nodes = std::iter::from_fn(move || Some((nodes.position(), nodes.next()?)));
                Box::new(nodes.flat_map(|(position, node)| {
                    places_at(position).zip(leaving_node(snapshot, node))
                }))
            }
        };
    let is_before_last = !matches!(from, Next::Last | Next::Done);
    let first = soa().map(|soa| (Next::First, soa));
    let last = soa().map(|soa| (Next::Last, soa));
    first
        .filter(move |_| from == Next::First)
        .chain(
            between
                .skip(place.record)
                .take_while(move |_| is_before_last),
        )
        .chain(last.filter(move |_| from != Next::Done))
}

/// The places of the records that leave from a node or difference.
fn places_at(node: u32) -> impl Iterator<Item = Next> {
    (0..).map(move |record| Next::At(Place { node, record }))
}

/// Whether the differences since a serial are known, say all that has changed, and are less than the zone.
fn has_differences(zone: &Zone, since: u32) -> bool {
    let is_less = |differences: &[Arc<Difference>]| {
        let n_records: usize = differences.iter().map(|d| d.n_records()).sum();
        n_records < zone.n_records()
    };
    !zone.has_computed() && zone.changes_since(since).is_some_and(is_less)
}
