//! What leaves from one node in a zone transfer: a secondary serves the copy as a static zone, so that what
//! is chosen for each client here is what a client that cannot be located gets.

use std::borrow::Cow;
use std::net::IpAddr;
use std::net::Ipv4Addr;

use crate::base::ix::AliasIx;
use crate::base::ix::SteeredIx;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::base::rr::RrSet;
use crate::base::rr::RrType;
use crate::engine::hints::Hints;
use crate::geo::majority::MajorityScratch;
use crate::state::alias;
use crate::state::alias::End;
use crate::state::answers::Client;
use crate::state::answers::Found;
use crate::state::answers::PoolAnswer;
use crate::state::answers::Records;
use crate::state::snapshot::Snapshot;
use crate::wire::svcb::HintParts;
use crate::zone::Computed;
use crate::zone::Node;
use crate::zone::SteeredTypes;
use crate::zone::master::Record;

/// One record as it leaves.
pub(super) struct Leaving<'a> {
    pub owner: &'a [u8],
    pub rtype: RrType,
    pub ttl: u32,
    pub rdata: Cow<'a, [u8]>,
}

impl<'a> Leaving<'a> {
    /// A record as it was written.
    pub fn of(record: &'a Record) -> Self {
        Self {
            owner: record.owner.wire(),
            rtype: record.rtype,
            ttl: record.ttl,
            rdata: (&*record.rdata).into(),
        }
    }
}

/// The records of a node but the SOA, which stands in front and at the end; then what is chosen.
pub(super) fn leaving_node<'a>(
    snapshot: &'a Snapshot,
    node: Node<'a>,
) -> impl Iterator<Item = Leaving<'a>> {
    let sets = node.rrsets().filter(|set| set.rtype != RrType::SOA);
    let written = sets.flat_map(move |set| match node.computed() {
        Some(Computed::Steered {
            ix,
            types: SteeredTypes::Addresses { hints: true, .. },
        }) if matches!(set.rtype, RrType::HTTPS | RrType::SVCB) => hinted(snapshot, node, set, ix),
        _ => as_written(node, set),
    });
    let chosen = match node.computed() {
        Some(Computed::Steered { ix, types }) => chosen(snapshot, node, ix, types),
        Some(Computed::Alias(ix)) => aliased(snapshot, node, ix),
        None => Vec::new(),
    };
    written.chain(chosen)
}

fn as_written<'a>(node: Node<'a>, set: RrSet<'a>) -> Vec<Leaving<'a>> {
    let leaving = |rdata: &'a [u8]| Leaving {
        owner: node.owner(),
        rtype: set.rtype,
        ttl: set.ttl,
        rdata: rdata.into(),
    };
    set.rdatas().map(leaving).collect()
}

/// HTTPS or SVCB records of a steered name with address hints.
fn hinted<'a>(
    snapshot: &Snapshot,
    node: Node<'a>,
    set: RrSet<'a>,
    ix: SteeredIx,
) -> Vec<Leaving<'a>> {
    let of_family = |family| Some((unlocated(snapshot, ix, family)?.1, 0));
    let hints = Hints::new(PerFamily::from_fn(of_family));
    let qname = node.to_qname();
    let is_own = |rdata| HintParts::of(rdata, qname.wire()).is_some();
    if !set.rdatas().any(is_own) {
        return as_written(node, set);
    }
    let leaving = |rdata| {
        let parts: Vec<&[u8]> = hints.put_into(rdata, qname.wire()).collect();
        Leaving {
            owner: node.owner(),
            rtype: set.rtype,
            ttl: set.ttl.min(snapshot.steered_ttl(ix)),
            rdata: parts.concat().into(),
        }
    };
    set.rdatas().map(leaving).collect()
}

/// What a steered name has of the chosen pools.
fn chosen<'a>(
    snapshot: &'a Snapshot,
    node: Node<'a>,
    ix: SteeredIx,
    types: SteeredTypes,
) -> Vec<Leaving<'a>> {
    let leaving = |rtype, ttl, rdata: &'a [u8]| Leaving {
        owner: node.owner(),
        rtype,
        ttl,
        rdata: rdata.into(),
    };
    let pool = || {
        let family = snapshot.steered.get(ix.index())?.leading;
        let (answer, records) = unlocated(snapshot, ix, family)?;
        let pool = snapshot.plan.config.pools.pools.get(answer.pool.index())?;
        Some((pool, records.ttl()))
    };
    if types == SteeredTypes::Cname {
        let targets = pool().into_iter().flat_map(|(pool, ttl)| {
            let hosts = pool.hosts.iter();
            hosts.map(move |host| leaving(RrType::CNAME, ttl, host.domain.wire()))
        });
        return targets.collect();
    }
    let of_family = |family: Family| {
        let records = unlocated(snapshot, ix, family).into_iter();
        records.flat_map(move |(_, records)| {
            let rdatas = records.rdatas(0);
            rdatas.map(move |rdata| leaving(family.rtype(), records.ttl(), rdata))
        })
    };
    let mut all: Vec<_> = Family::ALL.into_iter().flat_map(of_family).collect();
    if let SteeredTypes::Addresses { txt: true, .. } = types {
        let texts = pool().into_iter().flat_map(|(pool, ttl)| {
            let texts = pool.txt.iter();
            texts.map(move |text| leaving(RrType::TXT, ttl, text))
        });
        all.extend(texts);
    }
    all
}

/// The addresses of an alias's target.
fn aliased<'a>(snapshot: &'a Snapshot, node: Node<'a>, alias: AliasIx) -> Vec<Leaving<'a>> {
    let (end, ttl) = alias::follow(&snapshot.plan, alias);
    let leaving = |family: Family, ttl, rdata: &'a [u8]| Leaving {
        owner: node.owner(),
        rtype: family.rtype(),
        ttl,
        rdata: rdata.into(),
    };
    let of_records = |family, ttl: u32, records: &'a Records| {
        let (rdatas, ttl) = (records.rdatas(0), ttl.min(records.ttl()));
        rdatas.map(|rdata| leaving(family, ttl, rdata)).collect()
    };
    let of_family = |family: Family| -> Vec<Leaving<'a>> {
        match end {
            End::Node(target) => match target.computed() {
                Some(Computed::Steered { ix, .. }) => {
                    let found = unlocated(snapshot, ix, family);
                    found.map_or(Vec::new(), |(_, records)| of_records(family, ttl, records))
                }
                _ => {
                    let sets = target.rrset(family.rtype()).into_iter();
                    let of_set = |set: RrSet<'a>| {
                        let ttl = ttl.min(set.ttl);
                        set.rdatas().map(move |rdata| leaving(family, ttl, rdata))
                    };
                    sets.flat_map(of_set).collect()
                }
            },
            End::Outside(ix) => snapshot.alias(ix).map_or(Vec::new(), |resolved| {
                let records = &resolved[family];
                of_records(family, ttl, records)
            }),
            End::Endless | End::Missing => Vec::new(),
        }
    };
    Family::ALL.into_iter().flat_map(of_family).collect()
}

/// What a client without a location gets.
fn unlocated(
    snapshot: &Snapshot,
    ix: SteeredIx,
    family: Family,
) -> Option<(&PoolAnswer, &Records)> {
    let src = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let answers = &snapshot.steered.get(ix.index())?.families[family];
    let mut scratch = MajorityScratch::default();
    match answers.find(Client::source(src), src, &mut scratch).found {
        Found::Pools(found) => Some(found),
        Found::NoData | Found::ServFail => None,
    }
}
