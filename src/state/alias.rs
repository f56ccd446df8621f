//! Where an alias leads: to data in a zone of this server, or to a name that is resolved elsewhere.

use crate::base::ix::AliasIx;
use crate::base::qname::QName;
use crate::base::rr::RrType;
use crate::config::model::Alias;
use crate::state::plan::Plan;
use crate::zone::Computed;
use crate::zone::Lookup;
use crate::zone::Node;

/// The most names that are followed from an alias to its end; more are taken for a loop.
const MAX_NAMES: usize = 16;

/// Where an alias ends.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// In a loop, or in too long a chain.
    Endless,
    /// At a name that does not exist in the zone that would hold it.
    Missing,
    /// At a node that is no alias.
    Node(Node<'a>),
    /// Outside of the zones of this server: what resolving the target of this alias gave is its end.
    Outside(AliasIx),
}

/// Follows an alias, and the CNAMEs and further aliases behind it, to its end; with the lowest TTL of them all.
/// Never allocates.
pub fn follow(plan: &Plan, alias: AliasIx) -> (End<'_>, u32) {
    let first = plan.alias(alias);
    let (mut at, mut target, mut ttl) = (alias, first.target.wire(), first.ttl);
    let mut qname = QName::root();
    for _ in 0..MAX_NAMES {
        if qname.set_wire(target).is_err() {
            return (End::Missing, ttl);
        }
        let Some(zone) = plan.zones.zone_for(&qname) else {
            return (End::Outside(at), ttl);
        };
        let node = match zone.find(&qname) {
            Lookup::Cut { .. } | Lookup::Dname { .. } => return (End::Outside(at), ttl),
            Lookup::Missing { .. } => return (End::Missing, ttl),
            Lookup::Node { node, .. } => node,
        };
        if let Some(Computed::Alias(ix)) = node.computed() {
            let next = plan.alias(ix);
            (at, target, ttl) = (ix, next.target.wire(), ttl.min(next.ttl));
        } else if let Some(cname) = node.rrset(RrType::CNAME) {
            target = cname.rdatas().next().unwrap_or_default();
            ttl = ttl.min(cname.ttl);
        } else {
            return (End::Node(node), ttl);
        }
    }
    (End::Endless, ttl)
}

impl Plan {
    /// The aliases whose targets lie outside of the zones of this server.
    pub fn aliases_outside(&self) -> impl Iterator<Item = &Alias> {
        let aliases = self.config.pools.aliases.iter();
        let is_outside = |(ix, _): &(usize, &Alias)| {
            let (end, _) = follow(self, AliasIx::new(*ix));
            matches!(end, End::Outside(_))
        };
        aliases
            .enumerate()
            .filter(is_outside)
            .map(|(_, alias)| alias)
    }
}
