//! The delegation of a zone: what a server of the parent zone says of it, and the walk down from the root to there.

use std::net::IpAddr;
use std::net::SocketAddr;

use crate::base::name::Name;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::doctor::ask;
use crate::doctor::message::Edns;
use crate::doctor::message::PAYLOAD;
use crate::doctor::message::Question;
use crate::doctor::message::Record;
use crate::doctor::message::Reply;
use crate::doctor::resolvers::Resolvers;

/// The port of name servers that a delegation names.
const PORT: u16 = 53;

/// How many servers of one zone are tried.
const MAX_TRIED: usize = 6;

/// How many zone cuts are passed: as many as a name can have.
const MAX_CUTS: usize = 128;

/// What the parent zone says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The zone that is delegated.
    pub zone: Name,
    /// Which server said so.
    pub parent: SocketAddr,
    /// The names of its servers.
    pub servers: Vec<Name>,
    /// Addresses of them.
    pub glue: Vec<(Name, IpAddr)>,
    /// DS records.
    pub ds: Vec<Record>,
}

impl Delegation {
    /// The addresses that the parent gives for a name.
    pub fn glue_of(&self, name: &Name) -> Vec<IpAddr> {
        let of_name = self.glue.iter().filter(|(owner, _)| owner == name);
        let mut glue: Vec<_> = of_name.map(|(_, address)| *address).collect();
        glue.sort();
        glue.dedup();
        glue
    }
}

/// What a server of a zone above says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A zone at or above the name is elsewhere.
    Referral(Delegation),
    /// It serves the zone of this apex itself, in which the name is, or is not.
    Served(Name),
    /// Nothing that helps, in words.
    Useless(String),
}

/// Reads what `parent` says of `name`.
pub fn step(reply: &Reply, name: &Name, parent: SocketAddr) -> Step {
    let ns: Vec<&Record> = reply
        .authority
        .iter()
        .filter(|record| record.rtype == RrType::NS && name.is_at_or_below(&record.owner))
        .collect();
    let is_denial = [Rcode::NoError, Rcode::NxDomain].map(|rcode| rcode as u16);
    if let (Some(soa), true) = (reply.soa(), is_denial.contains(&reply.rcode))
        && name.is_at_or_below(&soa.owner)
    {
        return Step::Served(soa.owner.clone());
    }
    let Some(first) = ns.first().filter(|_| reply.is_ok()) else {
        return Step::Useless(match reply.is_ok() {
            true => "an answer without a delegation".into(),
            false => reply.rcode_text(),
        });
    };
    let zone = first.owner.clone();
    let of_zone = ns.iter().filter(|record| record.owner == zone);
    let mut servers: Vec<Name> = of_zone.filter_map(|record| record.target()).collect();
    servers.sort();
    servers.dedup();
    let ds = reply
        .authority
        .iter()
        .filter(|record| record.rtype == RrType::DS && record.owner == zone);
    Step::Referral(Delegation {
        parent,
        glue: reply.glue(&servers),
        ds: ds.cloned().collect(),
        zone,
        servers,
    })
}

/// What is known of where a name is delegated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A zone is delegated to these servers.
    Delegated(Delegation),
    /// This server of the parent serves the zone itself, and answers from that.
    Hidden(Name, SocketAddr),
    /// The zone of this apex has the name, or denies it, and delegates nothing.
    Undelegated(Name, SocketAddr),
    /// Nobody could be asked; why.
    Unknown(String),
}

/// Asks a server of the parent zone.
pub async fn ask_parent(parent: SocketAddr, name: &Name) -> Found {
    match ask_step(parent, name).await {
        Step::Referral(delegation) => Found::Delegated(delegation),
        Step::Served(apex) if apex == *name => Found::Hidden(apex, parent),
        Step::Served(apex) => Found::Undelegated(apex, parent),
        Step::Useless(why) => Found::Unknown(format!("{parent}: {why}")),
    }
}

/// Walks down from the root to the last delegation above a name.
pub async fn walk(resolvers: &Resolvers, name: &Name) -> Found {
    let (mut zone, mut last) = (Name::root(), None);
    let mut tried = match resolvers.ask(&zone, RrType::NS).await {
        Ok(root) => {
            let names = root.answers(&zone, RrType::NS);
            let names: Vec<Name> = names.filter_map(Record::target).collect();
            addresses(resolvers, &names, &root.glue(&names)).await
        }
        Err(failure) => {
            return Found::Unknown(format!(
                "the resolvers give no servers of the root: {failure}"
            ));
        }
    };
    let mut why = "no server of the root has an address".to_owned();
    for _ in 0..MAX_CUTS {
        let mut next = None;
        for server in tried.iter().map(|server| SocketAddr::new(*server, PORT)) {
            match ask_step(server, name).await {
                Step::Referral(found) if found.zone != zone && found.zone.is_at_or_below(&zone) => {
                    next = Some(found);
                    break;
                }
                Step::Referral(found) => why = format!("{server} refers to {} again", found.zone),
                Step::Served(apex) if apex == zone => {
                    return last.map_or(Found::Undelegated(apex, server), Found::Delegated);
                }
                Step::Served(apex) => return Found::Hidden(apex, server),
                Step::Useless(text) => why = format!("{server}: {text}"),
            }
        }
        let Some(found) = next else { break };
        tried = addresses(resolvers, &found.servers, &found.glue).await;
        zone = found.zone.clone();
        last = Some(found);
    }
    last.map_or(Found::Unknown(why), Found::Delegated)
}

/// Asks one server as a validating resolver does, so that DS records come with the delegation.
async fn ask_step(server: SocketAddr, name: &Name) -> Step {
    let question = Question::new(name, RrType::SOA, Edns::signed(PAYLOAD));
    match ask::either(server, &question).await {
        Ok(reply) => step(&reply, name, server),
        Err(failure) => Step::Useless(failure.to_string()),
    }
}

/// Some addresses of servers, IPv4 first: by glue, else by the resolvers.
async fn addresses(resolvers: &Resolvers, names: &[Name], glue: &[(Name, IpAddr)]) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = glue
        .iter()
        .filter(|(owner, _)| names.contains(owner))
        .map(|(_, address)| *address)
        .collect();
    if found.is_empty() {
        for name in names.iter().take(MAX_TRIED) {
            found.extend(resolvers.addresses(name).await.addresses);
            if found.len() >= MAX_TRIED {
                break;
            }
        }
    }
    found.sort_by_key(IpAddr::is_ipv6);
    found.truncate(MAX_TRIED);
    found
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::doctor::message::Reply;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn record(owner: &str, rtype: RrType, rdata: &[u8]) -> Record {
        Record {
            owner: name(owner),
            rtype,
            ttl: 3600,
            rdata: rdata.into(),
        }
    }

    fn ns(owner: &str, host: &str) -> Record {
        record(owner, RrType::NS, name(host).wire())
    }

    fn reply(rcode: Rcode, authority: Vec<Record>) -> Reply {
        Reply {
            rcode: rcode as u16,
            authority,
            ..Reply::default()
        }
    }

    const PARENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)), PORT);

    #[test]
    fn a_referral_is_read_with_its_glue_and_ds() {
        let ds = record("example.com", RrType::DS, &[0; 36]);
        let mut referral = reply(
            Rcode::NoError,
            vec![
                ns("example.com", "ns2.example.com"),
                ns("example.com", "ns1.example.net"),
                ns("example.org", "ns.example.org"),
                ds.clone(),
            ],
        );
        referral.additional = vec![
            record("ns2.example.com", RrType::A, &[192, 0, 2, 1]),
            record("other.example.com", RrType::A, &[192, 0, 2, 2]),
        ];
        let expected = Step::Referral(Delegation {
            zone: name("example.com"),
            parent: PARENT,
            servers: vec![name("ns2.example.com"), name("ns1.example.net")],
            glue: vec![(name("ns2.example.com"), "192.0.2.1".parse().unwrap())],
            ds: vec![ds],
        });
        let found = step(&referral, &name("www.example.com"), PARENT);
        assert_eq!(found, expected);
    }

    #[test]
    fn what_else_a_server_above_says_is_read() {
        let soa = |owner: &str| record(owner, RrType::SOA, &[0; 22]);
        let elsewhere = ns("example.org", "ns.example.org");
        let useless = |why: &str| Step::Useless(why.into());
        for (row, rcode, authority, expected) in [
            (
                "a denial",
                Rcode::NxDomain,
                vec![soa("com")],
                Step::Served(name("com")),
            ),
            (
                "a name in its own zone",
                Rcode::NoError,
                vec![soa("example.com")],
                Step::Served(name("example.com")),
            ),
            (
                "a referral elsewhere",
                Rcode::NoError,
                vec![elsewhere],
                useless("an answer without a delegation"),
            ),
            (
                "another zone's SOA",
                Rcode::NoError,
                vec![soa("example.org")],
                useless("an answer without a delegation"),
            ),
            ("REFUSED", Rcode::Refused, vec![], useless("REFUSED")),
        ] {
            let found = step(&reply(rcode, authority), &name("www.example.com"), PARENT);
            assert_eq!(found, expected, "{row}");
        }
    }
}
