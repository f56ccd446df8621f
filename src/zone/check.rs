//! What makes records a zone: the faults that no single record shows.
//!
//! First record by record and owner by owner, on records sorted by owner and type; then, once the
//! zone is laid out, how names refer to one another. Errors are what no server should serve (RFC 1035 s5.2,
//! RFC 2181 s10.1, RFC 6672 s2.4); warnings are what BIND, NSD and Knot load but the operator hardly
//! meant.

use std::collections::HashSet;
use std::sync::Arc;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::name::MAX_NAME_LEN;
use crate::base::name::Name;
use crate::base::qname::QName;
use crate::base::rr::Class;
use crate::base::rr::RrType;
use crate::wire::encode::Encoder;
use crate::wire::encode::Owner;
use crate::wire::header::Flags;
use crate::wire::header::HEADER_LEN;
use crate::wire::query::Echo;
use crate::wire::svcb::HintParts;
use crate::zone::arena::Node;
use crate::zone::computed::Computed;
use crate::zone::computed::ComputedOwner;
use crate::zone::computed::may_be_with_cname;
use crate::zone::find::Lookup;
use crate::zone::master::Record;
use crate::zone::rdata;
use crate::zone::zone::Zone;

/// The default of BIND's `max-records-per-type`.
const MAX_RECORDS_OF_BIND: usize = 100;

/// The longest message, over TCP.
const MAX_MESSAGE_LEN: usize = 65_535;

/// What a response keeps free of records: room for an OPT with all its options, and for a TSIG.
const RESERVED_LEN: usize = 512;

/// Sorts records by owner and type, in file order where those are equal; takes out those outside the
/// zone, as every server does, and repeated ones.
pub(super) fn sort(apex: &Name, records: &mut Vec<Record>, report: &mut Report) {
    records.retain(|record| {
        let inside = record.owner.is_at_or_below(apex);
        if !inside {
            let message = format!(
                "`{}` is outside the zone `{apex}`: this record is passed over",
                record.owner
            );
            report.warning(record.place.clone(), message);
        }
        inside
    });
    records.sort_by(|a, b| a.owner.cmp(&b.owner).then(a.rtype.cmp(&b.rtype)));
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    let mut last: Option<(Name, RrType)> = None;
    records.retain(|record| {
        let same_set = last
            .as_ref()
            .is_some_and(|(owner, rtype)| *owner == record.owner && *rtype == record.rtype);
        if !same_set {
            seen.clear();
            last = Some((record.owner.clone(), record.rtype));
        }
        let first = seen.insert(rdata::folded(record.rtype, &record.rdata));
        if !first {
            let message = format!("duplicate {} record", record.rtype);
            report.warning(record.place.clone(), message);
        }
        first
    });
}

/// Takes out the digest of the zone at the apex (RFC 8976) if names of the zone are computed: it covers
/// the file, and secondaries receive those beside it.
pub(super) fn drop_digest(
    apex: &Name,
    records: &mut Vec<Record>,
    computed: &[&ComputedOwner],
    report: &mut Report,
) {
    let Some(ComputedOwner { owner, .. }) = computed.first() else {
        return;
    };
    records.retain(|record| {
        let is_digest = record.rtype == RrType::ZONEMD && record.owner == *apex;
        if is_digest {
            let message = format!(
                "this ZONEMD is left out: it cannot cover data that come from elsewhere, such as those of `{owner}`"
            );
            report.warning(record.place.clone(), message);
        }
        !is_digest
    });
}

/// Refuses a signed zone: a DNSKEY at the apex, with signatures or denials of existence anywhere.
/// Answers carry neither, so validating resolvers would take the whole zone for forged.
pub(super) fn signed(apex: &Name, records: &[Record], report: &mut Report) {
    let is_key = |record: &&Record| record.rtype == RrType::DNSKEY && record.owner == *apex;
    let is_of_signed =
        |record: &&Record| matches!(record.rtype, RrType::RRSIG | RrType::NSEC | RrType::NSEC3);
    if let Some(key) = records.iter().find(is_key)
        && let Some(record) = records.iter().find(is_of_signed)
    {
        let of_file = match key.place.file == record.place.file {
            true => String::new(),
            false => format!(" of {}", key.place.file),
        };
        let message = format!(
            "`{apex}` is a signed zone, with {} here and DNSKEY in line {}{of_file}, but answers carry \
             no signatures, so that validating resolvers would reject them; expected the unsigned zone",
            record.rtype, key.place.line
        );
        report.error(record.place.clone(), message);
    }
}

/// Checks that the apex has what makes it one.
pub(super) fn apex(apex: &Name, file: &Arc<str>, records: &[Record], report: &mut Report) {
    if report.has_errors() {
        return;
    }
    for rtype in [RrType::SOA, RrType::NS] {
        if !records.iter().any(|r| r.rtype == rtype && r.owner == *apex) {
            let message = format!("no {rtype} record at the apex, expected one for `{apex}`");
            report.error(Place::file(file), message);
        }
    }
}

/// Checks each owner by itself.
pub(super) fn owners(
    apex: &Name,
    records: &[Record],
    computed: &[&ComputedOwner],
    report: &mut Report,
) {
    for records in records.chunk_by(|a, b| a.owner == b.owner) {
        let owner = &records[0].owner;
        singletons(apex, records, report);
        coexistence(apex, records, report);
        ttls(records, report);
        sizes(records, report);
        if let Ok(at) = computed.binary_search_by(|computed| computed.owner.cmp(owner)) {
            beside_computed(records, computed[at].computed, report);
        }
    }
    let at_apex = computed.first().filter(|first| first.owner == *apex);
    if let Some(first) = at_apex.filter(|first| first.computed.is_cname()) {
        let message = format!("`{apex}` is an apex, which cannot have a CNAME");
        report.error(first.place.clone(), message);
    }
}

/// Records of an owner some of whose data come from elsewhere.
fn beside_computed(records: &[Record], computed: Computed, report: &mut Report) {
    for Record {
        owner,
        rtype,
        rdata,
        place,
        ..
    } in records
    {
        // An apex with a CNAME is reported as such.
        let is_of_apex = matches!(*rtype, RrType::SOA | RrType::NS);
        if computed.excludes(*rtype) && !(computed.is_cname() && is_of_apex) {
            let what = computed.as_str();
            let message = format!("`{owner}` is {what}, so its {rtype} cannot stand in the zone");
            report.error(place.clone(), message);
        } else if computed.gives_hints() && has_own_hints(owner, *rtype, rdata) {
            let message = format!(
                "`{owner}` has `hints = true`, so its {rtype} cannot have hints of its own addresses"
            );
            report.error(place.clone(), message);
        }
    }
}

/// Whether a record of an owner has hints of the owner's addresses (RFC 9460 s7.3).
pub(super) fn has_own_hints(owner: &Name, rtype: RrType, rdata: &[u8]) -> bool {
    let owner = QName::from_name(owner);
    matches!(rtype, RrType::HTTPS | RrType::SVCB)
        && HintParts::of(rdata, owner.wire()).is_some_and(|parts| parts.has_hints())
}

/// SOA at the apex only, and one record of the types that can have no more.
fn singletons(apex: &Name, records: &[Record], report: &mut Report) {
    for set in records.chunk_by(|a, b| a.rtype == b.rtype) {
        let Record { owner, rtype, .. } = &set[0];
        if *rtype == RrType::SOA && owner != apex {
            let message = format!("SOA at `{owner}`, expected it at the apex `{apex}`");
            report.error(set[0].place.clone(), message);
        }
        if matches!(*rtype, RrType::CNAME | RrType::DNAME | RrType::SOA) {
            for record in &set[1..] {
                let message = format!("another {rtype} at `{owner}`, expected only one");
                report.error(record.place.clone(), message);
            }
        }
    }
}

/// Types that cannot be at one owner, or not at this one.
fn coexistence(apex: &Name, records: &[Record], report: &mut Report) {
    let owner = &records[0].owner;
    let has = |rtype| records.iter().find(|record| record.rtype == rtype);
    if let Some(cname) = has(RrType::CNAME)
        && let Some(other) = records
            .iter()
            .find(|record| !may_be_with_cname(record.rtype))
    {
        let message = format!(
            "`{owner}` has a CNAME and, in line {}, {}, expected the CNAME alone",
            other.place.line, other.rtype
        );
        report.error(cname.place.clone(), message);
    }
    if owner == apex {
        return;
    }
    // RFC 6672 s2.4: below the apex NS makes a cut, and the DNAME belongs into the zone below.
    if let (Some(dname), Some(_)) = (has(RrType::DNAME), has(RrType::NS)) {
        let message = format!("`{owner}` has a DNAME and NS records, expected one of both");
        report.error(dname.place.clone(), message);
    }
    if !owner.is_wildcard() {
        return;
    }
    // RFC 4592 s4.2 and s4.4 leave open what these mean.
    if let Some(ns) = has(RrType::NS) {
        let message = format!("NS at the wildcard `{owner}`, expected delegations by name");
        report.error(ns.place.clone(), message);
    }
    if let Some(dname) = has(RrType::DNAME) {
        let message = format!("DNAME at the wildcard `{owner}` rewrites nothing");
        report.warning(dname.place.clone(), message);
    }
}

fn ttls(records: &[Record], report: &mut Report) {
    for set in records.chunk_by(|a, b| a.rtype == b.rtype) {
        let lowest = set.iter().map(|record| record.ttl).min().unwrap_or(0);
        // Each signature has the TTL of what it signs (RFC 4034 s3).
        let differs = |record: &&Record| {
            record.ttl != lowest && !matches!(record.rtype, RrType::RRSIG | RrType::SIG)
        };
        if let Some(record) = set.iter().find(differs) {
            let message = format!(
                "TTL {} where others of `{}` {} have {lowest}, which is used for all",
                record.ttl, record.owner, record.rtype
            );
            report.warning(record.place.clone(), message);
        }
    }
}

/// RRsets that no response has the room for, and those that are too large for resolvers.
fn sizes(records: &[Record], report: &mut Report) {
    for set in records.chunk_by(|a, b| a.rtype == b.rtype) {
        // Signatures are sets of their own by the type that they cover.
        if matches!(set[0].rtype, RrType::RRSIG | RrType::SIG) {
            continue;
        }
        let Record { owner, rtype, .. } = &set[0];
        if !fits_response(set) {
            let message = format!(
                "the {} {rtype} records of `{owner}` do not fit into a response of 65535 octets",
                set.len()
            );
            report.error(set[0].place.clone(), message);
        } else if set.len() > MAX_RECORDS_OF_BIND {
            let message = format!(
                "`{owner}` has {} {rtype} records: resolvers that run BIND answer SERVFAIL, and \
                 secondaries refuse the zone, beyond {MAX_RECORDS_OF_BIND}",
                set.len()
            );
            report.warning(set[0].place.clone(), message);
        }
    }
}

/// Whether an RRset fits into a response over TCP, as the server writes it.
fn fits_response(set: &[Record]) -> bool {
    let Record { owner, rtype, .. } = &set[0];
    // Type, class, TTL and RDLENGTH behind a pointer to the question's name.
    let len: usize = set.iter().map(|record| 12 + record.rdata.len()).sum();
    let max_question_len = MAX_NAME_LEN + 4;
    if HEADER_LEN + max_question_len + len + RESERVED_LEN <= MAX_MESSAGE_LEN {
        return true;
    }
    let question = [
        owner.wire(),
        &rtype.0.to_be_bytes(),
        &Class::IN.0.to_be_bytes(),
    ]
    .concat();
    let echo = Echo {
        id: 0,
        flags: Flags(0),
        question: &question,
    };
    let mut message = vec![0; MAX_MESSAGE_LEN];
    let mut encoder = Encoder::begin(&mut message, MAX_MESSAGE_LEN, &echo);
    // A wildcard answers for names up to the longest.
    let longer_question = if owner.is_wildcard() {
        max_question_len - question.len()
    } else {
        0
    };
    encoder.reserve(RESERVED_LEN + longer_question);
    let rdatas = set.iter().map(|record| &*record.rdata);
    encoder.records(Owner::Qname, *rtype, 0, rdatas).is_ok()
}

/// Checks how names refer to one another: delegations, DNAMEs and the hosts that records point to.
pub(super) fn references(
    zone: &Zone,
    records: &[Record],
    computed: &[&ComputedOwner],
    report: &mut Report,
) {
    for ComputedOwner {
        owner,
        computed,
        place,
    } in computed
    {
        let node = zone.node(&QName::from_name(owner));
        if let Some(occluder) = node.and_then(|node| zone.occluder(node)) {
            let (what, hidden) = (computed.as_str(), hidden_by(owner, occluder));
            let message = format!("`{owner}` cannot be {what}, as it is {hidden}");
            report.error(place.clone(), message);
        }
    }
    let glue: HashSet<Name> = records
        .iter()
        .filter(|record| record.rtype == RrType::NS)
        .filter_map(target)
        .collect();
    let mut nodes = zone.iter();
    for records in records.chunk_by(|a, b| a.owner == b.owner) {
        // Both are in canonical order.
        let owner = records[0].owner.wire();
        let Some(node) = nodes.find(|node| node.owner().eq_ignore_ascii_case(owner)) else {
            return;
        };
        match zone.occluder(node) {
            // NSEC3 names are no names of the zone, and stand below a DNAME at its apex too.
            Some(occluder) if node.is_denial() && occluder == zone.apex_node() => {}
            Some(occluder) => occlusion(records, occluder, &glue, report),
            None => {
                for record in records {
                    check_target(zone, record, report);
                }
            }
        }
        if node.is_cut() && zone.occluder(node).is_some_and(|by| by == node) {
            for record in records.iter().filter(|record| record.rtype == RrType::NS) {
                check_target(zone, record, report);
            }
        }
    }
}

fn hidden_by(owner: &Name, occluder: Node<'_>) -> String {
    let above = occluder.to_name();
    match (occluder.is_cut(), *owner == above) {
        (true, true) => "delegated away".to_owned(),
        (true, false) => format!("below the delegation of `{above}`"),
        (false, _) => format!("below the DNAME of `{above}`"),
    }
}

/// Records that a cut or DNAME hides: below a DNAME they are errors (RFC 6672 s2.4), at or below a cut
/// only the delegation itself and addresses of name servers are of use.
fn occlusion(records: &[Record], occluder: Node<'_>, glue: &HashSet<Name>, report: &mut Report) {
    let owner = &records[0].owner;
    let at_cut = *owner == occluder.to_name();
    for record in records {
        let hidden = hidden_by(owner, occluder);
        if !occluder.is_cut() {
            let message = format!("{} at `{owner}`, which is {hidden}", record.rtype);
            report.error(record.place.clone(), message);
            continue;
        }
        let of_use = match record.rtype {
            RrType::A | RrType::AAAA => glue.contains(owner),
            RrType::NS | RrType::DS | RrType::NSEC => at_cut,
            // Reported as an error of its own.
            RrType::DNAME => at_cut,
            RrType::RRSIG => true,
            _ => false,
        };
        if !of_use {
            let message = format!(
                "{} at `{owner}` is never answered, as it is {hidden}",
                record.rtype
            );
            report.warning(record.place.clone(), message);
        }
    }
}

/// The host that a record sends its reader to.
fn target(record: &Record) -> Option<Name> {
    if !matches!(record.rtype, RrType::MX | RrType::NS | RrType::SRV) {
        return None;
    }
    let range = rdata::names(record.rtype, &record.rdata).pop()?;
    Name::from_wire(record.rdata.get(range)?).ok()
}

/// Checks that a host in this zone has addresses and is no alias (RFC 2181 s10.3).
fn check_target(zone: &Zone, record: &Record, report: &mut Report) {
    let Some(target) = target(record) else {
        return;
    };
    // A lone dot says that there is no such service (RFC 2782, RFC 7505).
    if target.is_root() || !target.is_at_or_below(zone.apex()) {
        return;
    }
    let qname = QName::from_name(&target);
    let has_address = |node: Node<'_>| {
        let types = [RrType::A, RrType::AAAA];
        node.computed().is_some() || types.iter().any(|rtype| node.rrset(*rtype).is_some())
    };
    let complaint = match zone.find(&qname) {
        Lookup::Node { node, .. } if node.rrset(RrType::CNAME).is_some() => "is an alias (CNAME)",
        Lookup::Node { node, .. } if has_address(node) => return,
        Lookup::Node { .. } | Lookup::Missing { .. } => "has no address in the zone",
        Lookup::Dname { .. } => "is an alias (DNAME)",
        // Only a delegation whose own servers are below it cannot be followed without glue.
        Lookup::Cut { node } if node.to_name() != record.owner => return,
        Lookup::Cut { .. } if zone.node(&qname).is_some_and(has_address) => return,
        Lookup::Cut { .. } => "is below the delegation and has no glue address",
    };
    let message = format!("{} target `{target}` {complaint}", record.rtype);
    report.warning(record.place.clone(), message);
}
