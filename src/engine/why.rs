//! `_why.NAME`: why its asker gets the addresses of NAME, as TXT, for those whom `[server] why` allows.
//!
//! It says what `explain` says for the same query. Unlike all other answers it allocates; who may ask is
//! listed by the operator.

use crate::base::ix::PoolIx;
use crate::base::name::Name;
use crate::base::prefix::Family;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::engine::composer::Composer;
use crate::engine::composer::Next;
use crate::engine::explain::Explanation;
use crate::engine::explain::explain_as;
use crate::engine::question::Asker;
use crate::engine::question::Question;
use crate::state::snapshot::Snapshot;
use crate::wire::encode::Owner;
use crate::zone::Zone;

/// The first label, in wire form.
const LABEL: &[u8] = b"\x04_why";

/// The most octets of one character-string (RFC 1035 s3.3).
const MAX_TEXT_LEN: usize = 255;

/// The most octets of one record's RDATA: those of both families fit into a response over UDP.
const MAX_RDATA_LEN: usize = 450;

/// Whether an explanation is asked for by who may have it.
pub(super) fn is_asked(composer: &Composer<'_, '_>) -> bool {
    let allowed = &composer.snapshot.plan.config.process.server.why;
    !allowed.is_empty()
        && composer.scratch.qname.wire().starts_with(LABEL)
        && allowed
            .iter()
            .any(|prefix| prefix.contains(composer.arrival.src))
}

/// Explains the addresses of the name behind the label; other types have no data.
pub(super) fn answer<'a>(composer: &mut Composer<'a, '_>) -> Rcode {
    let qname = &composer.scratch.qname;
    let Some(zone) = composer.snapshot.plan.zones.zone_for(qname) else {
        return composer.refused("no zone here holds this name");
    };
    let name = qname.wire().get(LABEL.len()..).map(Name::from_wire);
    let next = match (name, composer.query.qtype) {
        (Some(Ok(name)), RrType::TXT | RrType::ANY) => explained(composer, zone, &name),
        _ => composer.negative(zone, Rcode::NoError),
    };
    match next {
        Next::Done(rcode) => rcode,
        Next::Follow => Rcode::ServFail,
    }
}

fn explained<'a>(composer: &mut Composer<'a, '_>, zone: &'a Zone, name: &Name) -> Next {
    if !name.is_at_or_below(zone.apex()) {
        return composer.negative(zone, Rcode::NxDomain);
    }
    let src = composer.arrival.src;
    let edns = composer.query.edns.as_ref();
    let subnet = edns.and_then(|edns| edns.subnet.as_ref()?.prefix());
    composer.encoder.set_authoritative();
    for family in Family::ALL {
        let question = Question {
            name: name.clone(),
            qtype: family.rtype(),
            client: subnet.map_or(Asker::Resolver(src), Asker::Subnet),
        };
        let snapshot = composer.snapshot;
        let explanation = explain_as(snapshot, question, src, subnet, &|_, _| None);
        composer.scope_len = composer.scope_len.max(explanation.scope);
        let rdata = rdata(&texts(snapshot, &explanation));
        let put = composer
            .encoder
            .records(Owner::Qname, RrType::TXT, 0, std::iter::once(&*rdata));
        if put.is_err() {
            return composer.truncated();
        }
    }
    Next::Done(Rcode::NoError)
}

/// What an explanation says, most important first.
fn texts(snapshot: &Snapshot, of: &Explanation) -> Vec<String> {
    let config = &snapshot.plan.config;
    let pool_name = |ix: PoolIx| {
        let pool = config.pools.pools.get(ix.index());
        pool.map_or_else(String::new, |pool| pool.name.to_string())
    };
    let pool = of.pool.map_or_else(|| "none".into(), pool_name);
    let mut texts = vec![format!("{} pool={pool}", of.question.qtype)];
    let (chosen, others): (Vec<_>, Vec<_>) = of.candidates.iter().partition(|c| c.chosen);
    texts.extend(chosen.iter().map(|c| format!("reason={}", c.reason)));
    texts.push(format!("rcode={}", of.rcode));
    let by = match (of.question.client, of.by_subnet) {
        (Asker::Subnet(subnet), true) => format!("subnet {subnet}"),
        (Asker::Subnet(subnet), false) => format!("resolver, not subnet {subnet}"),
        (Asker::Resolver(src), _) => format!("resolver {src}"),
    };
    texts.push(format!("client={by}"));
    let location = &of.location;
    let mut place: Vec<String> = Vec::new();
    place.extend(location.continent.map(|continent| continent.to_string()));
    place.extend(location.country.map(|country| country.to_string()));
    place.extend(location.subdivisions.iter().map(ToString::to_string));
    place.extend(location.city.as_ref().map(ToString::to_string));
    place.extend(location.asn.map(|asn| format!("AS{asn}")));
    if place.is_empty() {
        place.push("unknown".into());
    }
    texts.push(format!("location={}", place.join(" ")));
    texts.extend(of.scope.map(|scope| format!("scope={scope}")));
    texts.extend(
        others
            .iter()
            .map(|c| format!("not {}: {}", pool_name(c.pool), c.reason)),
    );
    texts
}

/// The texts as RDATA, as far as it has the room for them.
fn rdata(texts: &[String]) -> Vec<u8> {
    let mut rdata = Vec::new();
    for text in texts {
        let end = text.floor_char_boundary(MAX_TEXT_LEN);
        let text = text.get(..end).unwrap_or_default().as_bytes();
        if rdata.len() + 1 + text.len() > MAX_RDATA_LEN {
            break;
        }
        rdata.push(text.len() as u8);
        rdata.extend_from_slice(text);
    }
    rdata
}
