//! One examination from its beginning to its end: find the servers, ask them, have it judged.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::base::name::Name;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::base::prefix::Prefix;
use crate::base::rr::RrType;
use crate::doctor::ask;
use crate::doctor::delegation;
use crate::doctor::delegation::Found;
use crate::doctor::finding::Finding;
use crate::doctor::judge;
use crate::doctor::judge::Evidence;
use crate::doctor::message::Edns;
use crate::doctor::message::Question;
use crate::doctor::message::Record;
use crate::doctor::resolvers::Resolved;
use crate::doctor::resolvers::Resolvers;
use crate::doctor::server;
use crate::doctor::server::Answers;
use crate::doctor::server::Plan;
use crate::doctor::server::Server;
use crate::live::clock;

/// The port of name servers that a delegation names.
const PORT: u16 = 53;

/// How many addresses are asked: twice the thirteen servers of the largest zones, and more.
const MAX_SERVERS: usize = 64;

/// How many names are asked for every client network.
const MAX_NAMES: usize = 8;

/// Two servers of the root, of different operators: a and k.
const ROOT_SERVERS: PerFamily<[IpAddr; 2]> = PerFamily {
    v4: [
        IpAddr::V4(Ipv4Addr::new(198, 41, 0, 4)),
        IpAddr::V4(Ipv4Addr::new(193, 0, 14, 129)),
    ],
    v6: [
        IpAddr::V6(Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0x7fd, 0, 0, 0, 0, 0, 1)),
    ],
};

/// What is examined.
#[derive(Clone, Debug)]
pub struct Request {
    /// A zone, or a name in one.
    pub name: Name,
    /// The servers to ask; empty: those that the parent delegates to.
    pub servers: Vec<SocketAddr>,
    /// A server of the parent zone.
    pub parent: Option<SocketAddr>,
    /// The recursive resolvers.
    pub resolvers: Resolvers,
    /// Names that are known to be steered.
    pub steered: Vec<Name>,
    /// Client networks to ask for.
    pub subnets: Vec<Prefix>,
}

impl Request {
    /// Whether the servers are found by walking down from the root.
    fn is_from_root(&self) -> bool {
        self.servers.is_empty() && self.parent.is_none()
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The zone.
    pub zone: Name,
    /// What each server answered, in the order of their names.
    pub servers: Vec<Answers>,
    /// What follows, the worst first.
    pub findings: Vec<Finding>,
}

/// Examines a zone.
pub async fn examine(request: Request) -> Examination {
    let found = parents_view(&request).await;
    let zone = match &found {
        Some(Found::Delegated(delegation)) => delegation.zone.clone(),
        Some(Found::Hidden(zone, _)) => zone.clone(),
        _ => apex(&request).await,
    };
    let hosts = hosts(found.as_ref(), &zone, &request.servers).await;
    let mut resolved = BTreeMap::new();
    for host in hosts.iter().filter(|host| !host.is_at_or_below(&zone)) {
        resolved.insert(host.clone(), request.resolvers.addresses(host).await);
    }
    let servers = match &*request.servers {
        [] => delegated(found.as_ref(), &hosts, &resolved, &request.resolvers).await,
        named => named.iter().copied().map(Server::unnamed).collect(),
    };
    let plan = Arc::new(plan(&request, zone, &hosts));
    let mut answers = ask_servers(servers, &plan).await;
    if judge::subnets::differ(&answers) {
        ask_subnets_again(&mut answers, &plan).await;
    }
    let evidence = Evidence {
        is_cut_off: match request.is_from_root() {
            true => cut_off(found.as_ref(), &answers).await,
            false => PerFamily::default(),
        },
        zone: plan.zone.clone(),
        found,
        resolved,
        steered: request.steered,
        servers: answers,
        now: clock::unix(),
    };
    let findings = judge::judge(&evidence);
    Examination {
        zone: evidence.zone,
        servers: evidence.servers,
        findings,
    }
}

/// What the parent says; `None`: it is not asked.
async fn parents_view(request: &Request) -> Option<Found> {
    match request.parent {
        Some(parent) => Some(delegation::ask_parent(parent, &request.name).await),
        None if request.is_from_root() => {
            Some(delegation::walk(&request.resolvers, &request.name).await)
        }
        None => None,
    }
}

/// What every server is asked for.
fn plan(request: &Request, zone: Name, hosts: &[Name]) -> Plan {
    let is_in_zone = |name: &&Name| name.is_at_or_below(&zone);
    let mut names = vec![request.name.clone()];
    let steered = request.steered.iter().filter(is_in_zone);
    names.extend(steered.filter(|name| **name != request.name).cloned());
    names.truncate(MAX_NAMES);
    Plan {
        hosts: hosts.iter().filter(is_in_zone).cloned().collect(),
        zone,
        names,
        subnets: request.subnets.clone(),
    }
}

/// The apex of the zone that has the name, by the first of the named servers that says so.
async fn apex(request: &Request) -> Name {
    let question = Question::new(&request.name, RrType::SOA, Edns::default());
    for server in &request.servers {
        if let Ok(reply) = ask::either(*server, &question).await
            && let Some(soa) = reply.soa().filter(|_| reply.is_authoritative)
            && request.name.is_at_or_below(&soa.owner)
        {
            return soa.owner.clone();
        }
    }
    request.name.clone()
}

/// The names of the zone's servers, by the parent or, where that does not say, by the zone.
async fn hosts(found: Option<&Found>, zone: &Name, servers: &[SocketAddr]) -> Vec<Name> {
    let asked = match found {
        Some(Found::Delegated(delegation)) => return delegation.servers.clone(),
        Some(Found::Hidden(_, server)) => std::slice::from_ref(server),
        _ => servers,
    };
    let question = Question::new(zone, RrType::NS, Edns::default());
    for server in asked {
        if let Ok(reply) = ask::either(*server, &question).await {
            let records = reply.answers(zone, RrType::NS);
            let hosts: Vec<Name> = records.filter_map(Record::target).collect();
            if !hosts.is_empty() {
                return hosts;
            }
        }
    }
    Vec::new()
}

/// The addresses of the servers that a zone is delegated to: in the zone by glue, or by the resolvers if there is
/// none, elsewhere by the resolvers.
async fn delegated(
    found: Option<&Found>,
    hosts: &[Name],
    resolved: &BTreeMap<Name, Resolved>,
    resolvers: &Resolvers,
) -> Vec<Server> {
    let mut servers = Vec::new();
    for host in hosts {
        let mut addresses = match found {
            Some(Found::Delegated(delegation)) => delegation.glue_of(host),
            _ => Vec::new(),
        };
        match resolved.get(host) {
            Some(known) => addresses.clone_from(&known.addresses),
            None if addresses.is_empty() => {
                addresses = resolvers.addresses(host).await.addresses;
            }
            None => {}
        }
        servers.extend(addresses.into_iter().map(|address| Server {
            name: Some(host.clone()),
            address: SocketAddr::new(address, PORT),
        }));
    }
    servers.truncate(MAX_SERVERS);
    servers
}

/// Asks all servers at once, each one question after the other; the answers in the servers' order.
async fn ask_servers(servers: Vec<Server>, plan: &Arc<Plan>) -> Vec<Answers> {
    let mut tasks = JoinSet::new();
    for (at, server) in servers.into_iter().enumerate() {
        let plan = Arc::clone(plan);
        tasks.spawn(async move { (at, server::ask_all(server, &plan).await) });
    }
    let mut answers = tasks.join_all().await;
    answers.sort_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answers)| answers).collect()
}

/// Of which families neither the zone's servers nor the parent's nor the root's answer.
async fn cut_off(found: Option<&Found>, servers: &[Answers]) -> PerFamily<bool> {
    let mut is_cut_off = PerFamily::default();
    let question = Question::new(&Name::root(), RrType::SOA, None);
    let answered = match found {
        Some(Found::Delegated(delegation)) => Some(Family::of(delegation.parent.ip())),
        _ => None,
    };
    for family in Family::ALL
        .into_iter()
        .filter(|family| answered != Some(*family))
    {
        let mut of_family = judge::servers_of(servers, family).peekable();
        if of_family.peek().is_some() && of_family.all(Answers::is_silent) {
            let asked = ROOT_SERVERS[family].map(|root| SocketAddr::new(root, PORT));
            let (a, b) = tokio::join!(ask::udp(asked[0], &question), ask::udp(asked[1], &question));
            is_cut_off[family] = a.is_err() && b.is_err();
        }
    }
    is_cut_off
}

/// Asks for the client networks again: between two servers' answers, health may have changed.
async fn ask_subnets_again(servers: &mut [Answers], plan: &Arc<Plan>) {
    let mut tasks = JoinSet::new();
    for (at, server) in servers
        .iter()
        .enumerate()
        .filter(|(_, server)| server.more.is_some())
    {
        let (plan, address) = (Arc::clone(plan), server.server.address);
        tasks.spawn(async move { (at, server::ask_subnets(address, &plan).await) });
    }
    for (at, subnets) in tasks.join_all().await {
        if let Some(more) = &mut servers[at].more {
            more.subnets = subnets;
        }
    }
}
