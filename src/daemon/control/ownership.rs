//! The ownership records of external-dns in the zones: the server puts them there itself, by the same way as
//! dynamic updates, so that serial, journal, NOTIFY and IXFR follow.
//!
//! What belongs into the zones is derived from the pools' sources, and derived again after each change and each
//! load: an update that came to nothing, or a zone that comes later, is caught up with.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::name::Name;
use crate::base::qname::QName;
use crate::base::rr::RrType;
use crate::daemon::control::event::Event;
use crate::engine::update::Order;
use crate::engine::update::Writer;
use crate::state::sources::Sources;
use crate::zone::Lookup;
use crate::zone::set::ZoneSet;
use crate::zone::update::Update;

/// The TTL of ownership records, in seconds: external-dns reads them here, not by DNS.
const TTL: u32 = 300;

/// What an update changes at an owner.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OwnershipChange {
    /// The owner.
    pub owner: Name,
    /// Texts that the zone does not have any more.
    pub removed: Vec<Box<str>>,
}

/// Why an owner has no records in a zone.
#[derive(Debug, PartialEq, Eq)]
enum NoPlace {
    /// It is outside all zones, as those of a zone's apex are.
    NoZone,
    /// There is something that leaves no room.
    Taken(&'static str),
}

/// The updates that give every owner in a zone its records and take away others. All that is ordered counts as
/// being in the zone from now on, until it is known not to be.
pub(super) fn orders(
    sources: &mut Sources,
    zones: &ZoneSet,
) -> (Vec<(Order, OwnershipChange)>, Vec<Event>) {
    let mut wanted: BTreeMap<Name, BTreeSet<Box<str>>> = BTreeMap::new();
    for (_, _, state) in sources.iter() {
        for (owner, text) in &state.external.ownership {
            let texts = wanted.entry(owner.clone()).or_default();
            texts.insert(text.clone());
        }
    }
    let published = sources.published.iter().map(|(owner, _)| owner);
    let owners: BTreeSet<Name> = wanted.keys().chain(published).cloned().collect();
    let (mut orders, mut events) = (Vec::new(), Vec::new());
    for owner in owners {
        let added = wanted.remove(&owner).unwrap_or_default();
        let (apex, ttl) = match place(zones, &owner) {
            Ok(place) => place,
            Err(NoPlace::NoZone) => continue,
            Err(NoPlace::Taken(reason)) => {
                events.push(not_answered(owner, reason));
                continue;
            }
        };
        let removed: Vec<Box<str>> = sources
            .published
            .of(&owner)
            .difference(&added)
            .cloned()
            .collect();
        added
            .iter()
            .for_each(|text| sources.published.insert(&owner, text));
        let update = Update::of_texts(
            &owner,
            ttl,
            removed.iter().map(|text| &**text),
            added.iter().map(|text| &**text),
            &"external-dns".into(),
        );
        let order = Order {
            apex,
            writer: Writer::Server,
            update,
        };
        orders.push((order, OwnershipChange { owner, removed }));
    }
    (orders, events)
}

/// The zone of an owner's TXT records, and their TTL: that of those which are there.
fn place(zones: &ZoneSet, owner: &Name) -> Result<(Name, u32), NoPlace> {
    let qname = QName::from_name(owner);
    let zone = zones.zone_for(&qname).ok_or(NoPlace::NoZone)?;
    let ttl = match zone.find(&qname) {
        Lookup::Cut { .. } => return Err(NoPlace::Taken("it is at or below a delegation")),
        Lookup::Dname { .. } => return Err(NoPlace::Taken("it is below a DNAME")),
        Lookup::Node {
            node,
            wildcard: false,
        } => match node.rrset(RrType::CNAME) {
            Some(_) => return Err(NoPlace::Taken("a CNAME is there")),
            None => node.rrset(RrType::TXT).map_or(TTL, |set| set.ttl),
        },
        Lookup::Missing { .. } | Lookup::Node { .. } => TTL,
    };
    Ok((zone.apex().clone(), ttl))
}

pub(super) fn not_answered(owner: Name, reason: &'static str) -> Event {
    Event::OwnershipNotAnswered { owner, reason }
}
