//! The parent's delegation against the zone, and the names and addresses of its servers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::base::name::Name;
use crate::base::prefix::Family;
use crate::base::prefix::Prefix;
use crate::base::rr::RrType;
use crate::doctor::delegation::Delegation;
use crate::doctor::delegation::Found;
use crate::doctor::finding::Findings;
use crate::doctor::finding::Kind;
use crate::doctor::judge::Evidence;
use crate::doctor::judge::list;
use crate::doctor::message::Record;
use crate::doctor::resolvers::Problem;

/// The least TTL, in seconds, of what finds the servers.
const MIN_TTL: u32 = 300;

/// Judges all of it.
pub fn judge(evidence: &Evidence, findings: &mut Findings) {
    let zone = evidence.zone.plain();
    match &evidence.found {
        None => findings.add(Kind::NotCompared, "the delegation was not looked at"),
        Some(Found::Unknown(why)) => findings.add(Kind::ParentSilent, why),
        Some(Found::Hidden(_, server)) => {
            findings.add(
                Kind::ParentServesZone,
                format!("{server} serves {zone} itself"),
            );
        }
        // The parent's server was asked for a name that is inside the very zone.
        Some(Found::Undelegated(apex, server)) if *apex == evidence.zone => {
            findings.add(
                Kind::ParentServesZone,
                format!("{server} serves {zone} itself"),
            );
        }
        Some(Found::Undelegated(apex, server)) => {
            let apex = apex.plain();
            findings.add(
                Kind::NotDelegated,
                format!("the zone {apex} at {server} has no NS records for {zone}"),
            );
        }
        Some(Found::Delegated(delegation)) => {
            name_servers(evidence, delegation, findings);
            for server in &delegation.servers {
                glue(evidence, delegation, server, findings);
            }
        }
    }
    let is_explained = findings.has(&[Kind::NotDelegated, Kind::ParentSilent]);
    if evidence.servers.is_empty() && !is_explained {
        findings.add(
            Kind::NoServers,
            format!("no server of {zone} could be asked"),
        );
    }
    addresses(evidence, findings);
    redundancy(evidence, findings);
    ttls(evidence, findings);
    let kinds = [
        Kind::NsMissingAtParent,
        Kind::NsMissingInZone,
        Kind::GlueMissing,
        Kind::GlueDiffers,
        Kind::NsUnresolvable,
        Kind::NsCname,
    ];
    if matches!(evidence.found, Some(Found::Delegated(_)))
        && evidence.authoritative().next().is_some()
        && !findings.has(&kinds)
    {
        findings.fine("delegation: the parent's NS records and addresses are those of the zone");
    }
}

/// The zone's own NS records, by the first server that gives them.
fn own_records(evidence: &Evidence) -> Vec<&Record> {
    let replies = evidence
        .authoritative()
        .filter_map(|server| server.more.as_ref()?.ns.as_ref().ok());
    replies
        .map(|reply| {
            reply
                .answers(&evidence.zone, RrType::NS)
                .collect::<Vec<_>>()
        })
        .find(|records| !records.is_empty())
        .unwrap_or_default()
}

fn name_servers(evidence: &Evidence, delegation: &Delegation, findings: &mut Findings) {
    let own: BTreeSet<Name> = own_records(evidence)
        .into_iter()
        .filter_map(Record::target)
        .collect();
    let parents: BTreeSet<Name> = delegation.servers.iter().cloned().collect();
    if own.is_empty() {
        return;
    }
    let missing = |of: &BTreeSet<Name>, from: &BTreeSet<Name>| {
        let missing: Vec<String> = of.difference(from).map(Name::plain).collect();
        (!missing.is_empty()).then(|| missing.join(" "))
    };
    if let Some(names) = missing(&own, &parents) {
        let parents = list(parents.iter().map(Name::plain));
        findings.add(
            Kind::NsMissingAtParent,
            format!("{names} is in the zone; the parent has {parents}"),
        );
    }
    if let Some(names) = missing(&parents, &own) {
        let own = list(own.iter().map(Name::plain));
        findings.add(
            Kind::NsMissingInZone,
            format!("{names} is at the parent; the zone has {own}"),
        );
    }
}

/// The parent's addresses of one server against those of the zone, for a name in the zone.
fn glue(evidence: &Evidence, delegation: &Delegation, server: &Name, findings: &mut Findings) {
    if !server.is_at_or_below(&evidence.zone) {
        return;
    }
    let glue = delegation.glue_of(server);
    let own = own_addresses(evidence, server);
    if glue.is_empty() {
        let has = own.map_or_else(String::new, |own| format!("; the zone has {}", list(own)));
        findings.add(
            Kind::GlueMissing,
            format!("the parent has no address of {}{has}", server.plain()),
        );
        return;
    }
    let Some(own) = own.filter(|own| !own.is_empty() && *own != glue) else {
        return;
    };
    findings.add(
        Kind::GlueDiffers,
        format!(
            "{}: {} at the parent, {} in the zone",
            server.plain(),
            list(glue),
            list(own)
        ),
    );
}

/// The zone's addresses of a name in it, sorted; `None` if no server says.
fn own_addresses(evidence: &Evidence, host: &Name) -> Option<Vec<IpAddr>> {
    let mut addresses = evidence
        .authoritative()
        .find_map(|server| server.addresses_of(host))?;
    addresses.sort();
    Some(addresses)
}

/// Whether the names of the servers have addresses, and no aliases.
fn addresses(evidence: &Evidence, findings: &mut Findings) {
    for (host, resolved) in &evidence.resolved {
        let host = host.plain();
        if let Some(alias) = &resolved.alias {
            let message = format!("{host} is an alias of {}", alias.plain());
            findings.add(Kind::NsCname, message);
        }
        match &resolved.problem {
            Some(Problem::None(text)) => {
                findings.add(Kind::NsUnresolvable, format!("{host}: {text}"));
            }
            Some(Problem::Silent) => {
                findings.add(Kind::ResolverSilent, format!("{host} was not resolved"));
            }
            None => {}
        }
    }
    let Some(server) = evidence
        .authoritative()
        .find(|server| server.more.is_some())
    else {
        return;
    };
    for (host, asked) in server.more.iter().flat_map(|more| &more.hosts) {
        let replies = || asked.iter().flatten();
        let alias = replies().find_map(|reply| reply.answers(host, RrType::CNAME).next()?.target());
        if let Some(alias) = alias {
            let message = format!("{} is an alias of {}", host.plain(), alias.plain());
            findings.add(Kind::NsCname, message);
        } else if server.addresses_of(host).is_some_and(|own| own.is_empty()) {
            findings.add(
                Kind::NsUnresolvable,
                format!("{}: neither A nor AAAA records in the zone", host.plain()),
            );
        }
    }
}

/// Whether one failure takes away all servers. Who names some of them with `--server` knows that there are others.
fn redundancy(evidence: &Evidence, findings: &mut Findings) {
    let servers = || evidence.servers.iter().map(|server| &server.server);
    let names: BTreeSet<_> = servers().map(|server| &server.name).collect();
    let addresses: BTreeSet<IpAddr> = servers().map(|server| server.address.ip()).collect();
    if names.contains(&None) || addresses.is_empty() {
        return;
    }
    if names.len() == 1 || addresses.len() == 1 {
        let message = format!("all addresses: {}", list(addresses));
        return findings.add(Kind::OneServer, message);
    }
    let network = |address: &IpAddr| match Family::of(*address) {
        Family::V4 => Prefix::cut(*address, 24),
        Family::V6 => Prefix::cut(*address, 48),
    };
    let networks: BTreeSet<Prefix> = addresses.iter().map(network).collect();
    let families: BTreeSet<Family> = networks.iter().map(|network| network.family()).collect();
    // Of one IPv4 and one IPv6 address nothing follows: they may be far apart.
    if networks.len() == families.len() && addresses.len() > networks.len() {
        let message = format!("all servers are in {}", list(networks));
        findings.add(Kind::OneNetwork, message);
    }
}

/// How long resolvers know the way to the servers.
fn ttls(evidence: &Evidence, findings: &mut Findings) {
    let mut short = BTreeSet::new();
    let mut look = |record: &Record| {
        if record.ttl < MIN_TTL {
            let (owner, rtype, ttl) = (record.owner.plain(), record.rtype, record.ttl);
            short.insert(format!("{owner} {rtype} has TTL {ttl} s"));
        }
    };
    own_records(evidence).into_iter().for_each(&mut look);
    for more in evidence
        .authoritative()
        .filter_map(|server| server.more.as_ref())
    {
        for (host, asked) in &more.hosts {
            let records = asked.iter().flatten().flat_map(|reply| &reply.answer);
            records
                .filter(|record| record.owner == *host)
                .for_each(&mut look);
        }
    }
    if !short.is_empty() {
        findings.add(
            Kind::DelegationTtl,
            short.into_iter().collect::<Vec<_>>().join(", "),
        );
    }
}
