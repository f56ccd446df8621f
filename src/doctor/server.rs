//! What one server answers to all that it is asked: the record that is judged afterwards.

use std::net::IpAddr;
use std::net::SocketAddr;

use crate::base::name::Name;
use crate::base::prefix::Prefix;
use crate::base::rr::RrType;
use crate::doctor::ask;
use crate::doctor::ask::Asked;
use crate::doctor::ask::Failure;
use crate::doctor::message::CLIENT_COOKIE;
use crate::doctor::message::COOKIE;
use crate::doctor::message::Edns;
use crate::doctor::message::LARGE_PAYLOAD;
use crate::doctor::message::PAYLOAD;
use crate::doctor::message::Question;
use crate::doctor::message::Reply;
use crate::doctor::message::UNKNOWN_OPTION;
use crate::live::clock;

/// An EDNS version that no server knows: 1 may exist one day.
const UNKNOWN_VERSION: u8 = 100;

/// One address of a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name, unless only its address was named.
    pub name: Option<Name>,
    /// Where it is asked.
    pub address: SocketAddr,
}

impl Server {
    /// One of which only the address is known.
    pub fn unnamed(address: SocketAddr) -> Self {
        Self {
            name: None,
            address,
        }
    }

    /// Its name and address as findings and tables have them; the port only where it is not the usual one.
    pub fn label(&self) -> String {
        let address = match self.address.port() {
            53 => self.address.ip().to_string(),
            _ => self.address.to_string(),
        };
        match &self.name {
            Some(name) => format!("{} ({address})", name.plain()),
            None => address,
        }
    }
}

/// What all servers of a zone are asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The apex.
    pub zone: Name,
    /// Names of name servers in the zone.
    pub hosts: Vec<Name>,
    /// Names whose addresses are looked at.
    pub names: Vec<Name>,
    /// For which client networks.
    pub subnets: Vec<Prefix>,
}

/// An answer about a name for clients in a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetAnswer {
    /// The name.
    pub name: Name,
    /// A or AAAA.
    pub rtype: RrType,
    /// The network.
    pub subnet: Prefix,
    /// The answer.
    pub asked: Asked,
}

/// An answer of more than a few octets, which may come truncated, in fragments or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargeAnswer {
    /// The type that was asked for.
    pub rtype: RrType,
    /// With the payload size of today over UDP, and then over TCP if it was truncated.
    pub usual: Asked,
    /// With [`LARGE_PAYLOAD`], over UDP alone.
    pub large: Asked,
}

/// Everything that one server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Which server.
    pub server: Server,
    /// SOA over UDP with EDNS, as everything is that says nothing else.
    pub soa: Asked,
    /// SOA without EDNS.
    pub plain: Asked,
    /// SOA over TCP.
    pub tcp: Asked,
    /// What follows is asked only of a server that has answered, with EDNS and authority.
    pub more: Option<MoreAnswers>,
}

/// What a server that answers is asked besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoreAnswers {
    /// NS of the apex.
    pub ns: Asked,
    /// SOA with signatures.
    pub signed_soa: Asked,
    /// DNSKEY with signatures.
    pub dnskey: Asked,
    /// The longest of some answers that are often long, by both sizes.
    pub long: LargeAnswer,
    /// SOA with an EDNS version that nobody knows.
    pub version: Asked,
    /// SOA with an option that nobody knows.
    pub option: Asked,
    /// SOA with a client cookie.
    pub cookie: Asked,
    /// When that was answered, in seconds since 1970.
    pub cookie_at: u64,
    /// A and AAAA of name servers in the zone.
    pub hosts: Vec<(Name, [Asked; 2])>,
    /// Addresses by client network.
    pub subnets: Vec<SubnetAnswer>,
    /// The first message of a transfer.
    pub transfer: Asked,
}

impl Answers {
    /// The reply that says whether the server serves the zone.
    pub fn reply(&self) -> Option<&Reply> {
        let [soa, plain] = [&self.soa, &self.plain].map(|asked| asked.as_ref().ok());
        let is_ok = |reply: &&Reply| reply.is_ok();
        soa.filter(is_ok).or(plain.filter(is_ok)).or(soa).or(plain)
    }

    /// Whether nothing came from the server, whatever it was asked.
    pub fn is_silent(&self) -> bool {
        self.soa.is_err() && self.plain.is_err() && self.tcp.is_err()
    }

    /// Whether the server answers with authority for the zone.
    pub fn is_authoritative(&self, zone: &Name) -> bool {
        self.serial(zone).is_some()
    }

    /// The serial of the zone, if it is answered with authority.
    pub fn serial(&self, zone: &Name) -> Option<u32> {
        let reply = self
            .reply()
            .filter(|reply| reply.is_ok() && reply.is_authoritative)?;
        reply.answers(zone, RrType::SOA).next()?.serial()
    }

    /// The addresses of a name server's name; `None` if that was not answered.
    pub fn addresses_of(&self, host: &Name) -> Option<Vec<IpAddr>> {
        let more = self.more.as_ref()?;
        let (_, asked) = more.hosts.iter().find(|(name, _)| name == host)?;
        let [Ok(v4), Ok(v6)] = asked else { return None };
        let mut addresses = v4.addresses();
        addresses.extend(v6.addresses());
        Some(addresses)
    }
}

/// Asks one server everything, one question after the other: a burst could meet its rate limit.
pub async fn ask_all(server: Server, plan: &Plan) -> Answers {
    let (address, zone) = (server.address, &plan.zone);
    let soa = |edns: Option<Edns>| Question::new(zone, RrType::SOA, edns);
    let mut answers = Answers {
        server,
        soa: ask::either(address, &soa(Some(Edns::default()))).await,
        plain: Err(Failure::NoRoute),
        tcp: Err(Failure::NoRoute),
        more: None,
    };
    if answers.soa == Err(Failure::NoRoute) {
        return answers;
    }
    let (plain, tcp) = (soa(None), soa(Some(Edns::default())));
    (answers.plain, answers.tcp) =
        tokio::join!(ask::either(address, &plain), ask::tcp(address, &tcp));
    if answers.soa.is_ok() && answers.is_authoritative(zone) {
        answers.more = Some(ask_more(address, plan, &answers.tcp).await);
    }
    answers
}

async fn ask_more(address: SocketAddr, plan: &Plan, tcp: &Asked) -> MoreAnswers {
    let zone = &plan.zone;
    let question = |rtype, edns| Question::new(zone, rtype, Some(edns));
    let soa = |edns| question(RrType::SOA, edns);
    let signed = |rtype| question(rtype, Edns::signed(PAYLOAD));
    let version = Edns {
        version: UNKNOWN_VERSION,
        ..Edns::default()
    };
    let dnskey = ask::either(address, &signed(RrType::DNSKEY)).await;
    let texts = ask::either(address, &signed(RrType::TXT)).await;
    let mut hosts = Vec::new();
    for host in &plan.hosts {
        let ask = |rtype| Question::new(host, rtype, Edns::default());
        let v4 = ask::either(address, &ask(RrType::A)).await;
        let v6 = ask::either(address, &ask(RrType::AAAA)).await;
        hosts.push((host.clone(), [v4, v6]));
    }
    let transfer = match tcp {
        Ok(_) => ask::tcp(address, &Question::new(zone, RrType::AXFR, None)).await,
        Err(failure) => Err(failure.clone()),
    };
    MoreAnswers {
        ns: ask::either(address, &question(RrType::NS, Edns::default())).await,
        signed_soa: ask::either(address, &signed(RrType::SOA)).await,
        long: ask_large(address, zone, &dnskey, texts).await,
        dnskey,
        version: ask::either(address, &soa(version)).await,
        option: ask::either(address, &soa(Edns::with_option(UNKNOWN_OPTION, &[1, 2]))).await,
        cookie: ask::either(address, &soa(Edns::with_option(COOKIE, &CLIENT_COOKIE))).await,
        cookie_at: clock::unix(),
        hosts,
        subnets: ask_subnets(address, plan).await,
        transfer,
    }
}

/// Asks for the longest answer by the larger size.
async fn ask_large(server: SocketAddr, zone: &Name, dnskey: &Asked, texts: Asked) -> LargeAnswer {
    // Silence, or truncation that TCP does not help with, is the longest of all.
    let len = |asked: &Asked| match asked {
        Ok(reply) if !reply.is_truncated => reply.len,
        _ => usize::MAX,
    };
    let (rtype, usual) = match len(dnskey) >= len(&texts) {
        true => (RrType::DNSKEY, dnskey.clone()),
        false => (RrType::TXT, texts),
    };
    let question = Question::new(zone, rtype, Edns::signed(LARGE_PAYLOAD));
    LargeAnswer {
        rtype,
        usual,
        large: ask::udp(server, &question).await,
    }
}

/// Asks for every name's addresses for every client network, until the server stays silent.
pub async fn ask_subnets(server: SocketAddr, plan: &Plan) -> Vec<SubnetAnswer> {
    let mut answers: Vec<SubnetAnswer> = Vec::new();
    for name in &plan.names {
        for subnet in &plan.subnets {
            for rtype in [RrType::A, RrType::AAAA] {
                let question = Question::new(name, rtype, Edns::of_subnet(*subnet));
                let asked = ask::either(server, &question).await;
                let is_silent = asked.is_err();
                answers.push(SubnetAnswer {
                    name: name.clone(),
                    rtype,
                    subnet: *subnet,
                    asked,
                });
                if is_silent {
                    return answers;
                }
            }
        }
    }
    answers
}
