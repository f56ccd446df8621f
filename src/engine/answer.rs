//! The answer section: the search of RFC 1034 s4.3.2 in the zone that holds the name, wherever on this server
//! an alias leads, and the data that it finds (RFC 4592 wildcards and RFC 8482 for ANY).

use crate::base::ix::SteeredIx;
use crate::base::prefix::Family;
use crate::base::qname::QName;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::engine::composer::Composer;
use crate::engine::composer::Next;
use crate::zone::Computed;
use crate::zone::Lookup;
use crate::zone::Node;
use crate::zone::SteeredTypes;
use crate::zone::Zone;

impl<'a> Composer<'a, '_> {
    /// Answers from the zone that the name lies in, and from those that aliases lead to; REFUSED where
    /// there is none.
    pub(super) fn zone_answer(&mut self) -> Rcode {
        let Some(mut zone) = self.zone() else {
            return self.refused("no zone here holds this name");
        };
        loop {
            if let Next::Done(rcode) = self.step(zone) {
                return rcode;
            }
            // Most names are no aliases: what was asked for is noted only once one is followed.
            if self.scratch.names.is_empty() {
                let mut asked = QName::root();
                let _ = asked.set_wire(self.query.echo.question);
                self.scratch.names.add(asked.wire());
            }
            let is_fresh = self.scratch.names.add(self.scratch.qname.wire());
            match self.zone().filter(|_| is_fresh) {
                Some(next) => zone = next,
                None => return Rcode::NoError,
            }
        }
    }

    /// The zone that answers for the name that is looked for now.
    fn zone(&self) -> Option<&'a Zone> {
        let zones = &self.snapshot.plan.zones;
        let qname = &self.scratch.qname;
        let zone = zones.zone_for(qname)?;
        // The parent's side of a zone cut answers for DS (RFC 4035 s3.1.4.1).
        if self.query.qtype == RrType::DS
            && *qname == QName::from_name(zone.apex())
            && let Some(parent) = zones.parent_zone_for(qname)
        {
            return Some(parent);
        }
        Some(zone)
    }

    /// One search and what it found.
    fn step(&mut self, zone: &'a Zone) -> Next {
        match zone.find(&self.scratch.qname) {
            Lookup::Node { node, .. } => self.node(zone, node),
            Lookup::Cut { node } if self.asks_for_ds_of(node) => self.data(zone, node),
            Lookup::Cut { node } => self.referral(zone, node),
            Lookup::Dname { node } => self.dname(node),
            Lookup::Missing { .. } => self.negative(zone, Rcode::NxDomain),
        }
    }

    fn asks_for_ds_of(&self, cut: Node<'_>) -> bool {
        self.query.qtype == RrType::DS && cut.is(self.scratch.qname.wire())
    }

    /// The name exists, by itself or by a wildcard.
    fn node(&mut self, zone: &'a Zone, node: Node<'a>) -> Next {
        let qtype = self.query.qtype;
        match node.computed() {
            Some(Computed::Steered { ix, types }) => {
                if let Some(next) = self.steered_types(zone, node, ix, types) {
                    return next;
                }
            }
            Some(Computed::Alias(ix)) => match qtype {
                RrType::A => return self.aliased(zone, ix, Family::V4),
                RrType::AAAA => return self.aliased(zone, ix, Family::V6),
                // RFC 8482 s4.1: what the zone has, or else addresses.
                RrType::ANY if node.rrsets().next().is_none() => {
                    return self.aliased(zone, ix, Family::V4);
                }
                _ => {}
            },
            None => {}
        }
        match node.rrset(RrType::CNAME) {
            // NSEC and RRSIG stand beside an alias, not behind it (RFC 4035 s2.5).
            Some(cname) if !is_at_alias(qtype) => {
                self.encoder.set_authoritative();
                if self.put_answer(cname).is_err() {
                    return self.truncated();
                }
                self.follow(cname.rdatas().next().unwrap_or_default())
            }
            _ => self.data(zone, node),
        }
    }

    /// The types of a steered name that are chosen; `None`: what the zone has.
    #[inline(always)] // Hot path, once per query for a steered name.
    fn steered_types(
        &mut self,
        zone: &'a Zone,
        node: Node<'a>,
        ix: SteeredIx,
        types: SteeredTypes,
    ) -> Option<Next> {
        Some(match (self.query.qtype, types) {
            (RrType::NSEC | RrType::RRSIG, SteeredTypes::Cname) => return None,
            (_, SteeredTypes::Cname) => self.steered_cname(zone, ix),
            (RrType::A, _) => self.steered(zone, ix, Family::V4),
            (RrType::AAAA, _) => self.steered(zone, ix, Family::V6),
            (RrType::ANY, _) => self.steered_any(zone, ix),
            (RrType::TXT, SteeredTypes::Addresses { txt: true, .. }) => self.steered_txt(zone, ix),
            (RrType::HTTPS | RrType::SVCB, SteeredTypes::Addresses { hints: true, .. }) => {
                self.hinted(zone, node, ix)
            }
            _ => return None,
        })
    }

    /// The data of the asked type at a node, or NODATA.
    pub(super) fn data(&mut self, zone: &'a Zone, node: Node<'a>) -> Next {
        let found = match self.query.qtype {
            // RFC 8482 s4.1: any one RRset will do, which leaves nothing to amplify.
            RrType::ANY => node.rrsets().next(),
            qtype => node.rrset(qtype),
        };
        let Some(set) = found else {
            return self.negative(zone, Rcode::NoError);
        };
        self.encoder.set_authoritative();
        // A DNAME that led to itself is in the answer.
        if set.rtype == RrType::DNAME && !self.scratch.dnames.add(self.scratch.qname.wire()) {
            return Next::Done(Rcode::NoError);
        }
        if self.put_answer(set).is_err() {
            return self.truncated();
        }
        self.additional_of(zone, set);
        Next::Done(Rcode::NoError)
    }
}

/// Whether an alias itself answers a type.
fn is_at_alias(qtype: RrType) -> bool {
    matches!(
        qtype,
        RrType::CNAME | RrType::ANY | RrType::NSEC | RrType::RRSIG
    )
}
