//! The judgement: findings from what was answered. Nothing here asks, waits or reads a clock.

pub mod agreement;
pub mod availability;
pub mod delegation;
pub mod dnssec;
pub mod edns;
pub mod subnets;

use std::collections::BTreeMap;

use crate::base::name::Name;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::doctor::ask::Failure;
use crate::doctor::delegation::Found;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Findings;
use crate::doctor::resolvers::Resolved;
use crate::doctor::server::Answers;

/// All that was answered.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The zone.
    pub zone: Name,
    /// What the parent says; `None`: it was not asked.
    pub found: Option<Found>,
    /// What the resolvers say of name servers outside of the zone.
    pub resolved: BTreeMap<Name, Resolved>,
    /// Names that are known to be steered.
    pub steered: Vec<Name>,
    /// Of which families the root's servers do not answer either.
    pub is_cut_off: PerFamily<bool>,
    /// What each server answered.
    pub servers: Vec<Answers>,
    /// When all that was done, in seconds since 1970.
    pub now: u64,
}

impl Evidence {
    /// Whether a server cannot be judged from this machine: it has no route there, or nobody else of that address family
    /// answers either.
    pub fn is_unreachable(&self, server: &Answers) -> bool {
        let family = Family::of(server.server.address.ip());
        server.soa == Err(Failure::NoRoute) || (server.is_silent() && self.is_cut_off[family])
    }

    /// The servers that answer with authority.
    pub fn authoritative(&self) -> impl Iterator<Item = &Answers> {
        let servers = self.servers.iter();
        servers.filter(|server| server.is_authoritative(&self.zone))
    }
}

/// The servers with an address of a family.
pub fn servers_of(servers: &[Answers], family: Family) -> impl Iterator<Item = &Answers> {
    let is_of_family = move |server: &&Answers| Family::of(server.server.address.ip()) == family;
    servers.iter().filter(is_of_family)
}

/// Everything that is found, the worst first.
pub fn judge(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Findings::default();
    delegation::judge(evidence, &mut findings);
    availability::judge(evidence, &mut findings);
    agreement::judge(evidence, &mut findings);
    edns::judge(evidence, &mut findings);
    subnets::judge(evidence, &mut findings);
    dnssec::judge(evidence, &mut findings);
    findings.sorted()
}

/// Some things in a row, or a dash.
fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.is_empty() {
        true => "-".into(),
        false => items.join(" "),
    }
}

#[cfg(test)]
mod tests;
