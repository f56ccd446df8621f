//! Answering from a zone: the algorithm of RFC 1034 s4.3.2, with RFC 2308 negative answers, RFC 4592
//! wildcards, RFC 6672 DNAMEs and RFC 8482 for ANY.
//!
//! One function per state of the search. Aliases are followed inside the zone only. An RRset that
//! the answer needs and that does not fit sets TC; one that is merely helpful is left out.

use crate::base::name::MAX_NAME_LEN;
use crate::base::name::Name;
use crate::base::prefix::Family;
use crate::base::qname::QName;
use crate::base::rr::Class;
use crate::base::rr::Rcode;
use crate::base::rr::RrSet;
use crate::base::rr::RrType;
use crate::engine::arrival::Arrival;
use crate::engine::arrival::Scratch;
use crate::engine::rate_limit::ResponseClass;
use crate::state::snapshot::Snapshot;
use crate::wire::edns::ExtendedError;
use crate::wire::encode::Encoder;
use crate::wire::encode::Full;
use crate::wire::encode::Owner;
use crate::wire::query::Query;
use crate::zone::Found;
use crate::zone::Node;
use crate::zone::Zone;

/// One answer in the making.
pub(super) struct Composer<'a, 'b> {
    pub snapshot: &'a Snapshot,
    /// `scratch.qname` is the name that is looked for now: the question's, then each alias's target.
    pub scratch: &'a mut Scratch,
    pub query: &'a Query<'a>,
    pub arrival: Arrival,
    /// The name of the key that the query was signed with.
    pub key: Option<&'a Name>,
    pub encoder: &'a mut Encoder<'b>,
    /// The ECS scope of the answer; 0 for all that does not depend on the client.
    pub scope_len: u8,
    /// What the response counts as for the rate limit, unless its RCODE says error.
    pub class: ResponseClass,
    /// The counter of `answers_total` that the response moves.
    pub counter: Option<u32>,
    /// What an operator who asks should know of the answer (RFC 8914).
    pub extended_error: Option<ExtendedError<'static>>,
    /// Whether `scratch.qname` is no longer the question's name.
    pub followed: bool,
}

/// What following one name led to.
pub(super) enum Next {
    /// The answer is complete.
    Done(Rcode),
    /// `scratch.qname` is the target of an alias now.
    Follow,
}

/// The most nodes whose addresses one response brings along.
const MAX_ADDITIONAL: usize = 16;

impl<'a> Composer<'a, '_> {
    /// Answers from the zone that the name lies in; REFUSED where there is none.
    pub fn zone_answer(&mut self) -> Rcode {
        let zones = &self.snapshot.plan.zones;
        let Some(mut zone) = zones.zone_for(&self.scratch.qname) else {
            return self.refused("no zone here holds this name");
        };
        // The parent's side of a zone cut answers for DS (RFC 4035 s3.1.4.1).
        if self.query.qtype == RrType::DS
            && self.scratch.qname == QName::from_name(zone.apex())
            && let Some(parent) = zones.parent_zone_for(&self.scratch.qname)
        {
            zone = parent;
        }
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
            let fresh = self.scratch.names.add(self.scratch.qname.wire());
            let apex = QName::from_name(zone.apex());
            if !fresh || !self.scratch.qname.is_at_or_below(&apex) {
                return Rcode::NoError;
            }
        }
    }

    /// REFUSED, because this server is not authoritative for what is asked (RFC 8914 s4.21).
    pub fn refused(&mut self, text: &'static str) -> Rcode {
        self.extended_error = Some(ExtendedError { code: 20, text });
        Rcode::Refused
    }

    /// One search and what it found.
    fn step(&mut self, zone: &'a Zone) -> Next {
        match zone.find(&self.scratch.qname) {
            Found::Node { node, .. } => self.node(zone, node),
            Found::Cut { node } if self.asks_for_ds_of(node) => self.data(zone, node),
            Found::Cut { node } => self.referral(zone, node),
            Found::Dname { node } => self.dname(node),
            Found::Missing { .. } => self.negative(zone, Rcode::NxDomain),
        }
    }

    fn asks_for_ds_of(&self, cut: Node<'_>) -> bool {
        self.query.qtype == RrType::DS && cut.is(self.scratch.qname.wire())
    }

    /// The name exists, by itself or by a wildcard.
    fn node(&mut self, zone: &'a Zone, node: Node<'a>) -> Next {
        let qtype = self.query.qtype;
        if let Some(steered) = node.steered() {
            match qtype {
                RrType::A => return self.steered(zone, steered, Family::V4),
                RrType::AAAA => return self.steered(zone, steered, Family::V6),
                RrType::ANY => return self.steered_any(zone, steered),
                _ => {}
            }
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

    /// The data of the asked type at a node, or NODATA.
    fn data(&mut self, zone: &'a Zone, node: Node<'a>) -> Next {
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

    fn put_answer(&mut self, set: RrSet<'_>) -> Result<(), Full> {
        match self.followed {
            true => self
                .encoder
                .rrset(Owner::Wire(self.scratch.qname.wire()), set),
            false => self.encoder.rrset(Owner::Qname, set),
        }
    }

    /// Makes an alias's target the name that is looked for.
    fn follow(&mut self, target: &[u8]) -> Next {
        self.followed = true;
        match self.scratch.qname.set_wire(target) {
            Ok(_) => Next::Follow,
            // Zones hold only well-formed names.
            Err(_) => Next::Done(Rcode::ServFail),
        }
    }

    /// The name lies below a DNAME: the DNAME, and the CNAME it makes of this name (RFC 6672 s3.1).
    fn dname(&mut self, node: Node<'a>) -> Next {
        let Some(set) = node.rrset(RrType::DNAME) else {
            return Next::Done(Rcode::ServFail);
        };
        self.encoder.set_authoritative();
        // No record stands twice in an answer, even if it renames twice.
        let is_new = self.scratch.dnames.add(node.to_qname().wire());
        if is_new && self.encoder.rrset(Owner::Wire(node.owner()), set).is_err() {
            return self.truncated();
        }
        let mut buffer = [0; MAX_NAME_LEN];
        let target = set.rdatas().next().unwrap_or_default();
        let Some(renamed) = substitute(&self.scratch.qname, node.owner(), target, &mut buffer)
        else {
            return Next::Done(Rcode::YxDomain);
        };
        let owner = match self.followed {
            true => Owner::Wire(self.scratch.qname.wire()),
            false => Owner::Qname,
        };
        if self
            .encoder
            .record(owner, RrType::CNAME, Class::IN, set.ttl, renamed)
            .is_err()
        {
            return self.truncated();
        }
        // Who asked for the CNAME has it.
        match self.query.qtype {
            RrType::CNAME | RrType::ANY => Next::Done(Rcode::NoError),
            _ => self.follow(renamed),
        }
    }

    /// The name lies at or below a zone cut: NS of the child, and the glue to reach it.
    fn referral(&mut self, zone: &'a Zone, cut: Node<'a>) -> Next {
        match self.followed {
            true => self.encoder.set_authoritative(),
            false => self.class = ResponseClass::Referral,
        }
        let Some(ns) = cut.rrset(RrType::NS) else {
            return Next::Done(Rcode::ServFail);
        };
        if self
            .encoder
            .authority()
            .rrset(Owner::Wire(cut.owner()), ns)
            .is_err()
        {
            return self.truncated();
        }
        let cut_name = cut.to_qname();
        // Glue that the child cannot be reached without comes first (RFC 9471 s2.1).
        for needed in [true, false] {
            for target in ns.rdatas() {
                let mut name = QName::root();
                if name.set_wire(target).is_err() || name.is_at_or_below(&cut_name) != needed {
                    continue;
                }
                let Some(glue) = zone.node(&name) else {
                    continue;
                };
                if self.put_addresses(Owner::Wire(glue.owner()), glue).is_err() && needed {
                    return self.truncated();
                }
            }
        }
        Next::Done(Rcode::NoError)
    }

    /// No such name, or no such type: the SOA, at the TTL of RFC 2308 s3.
    pub fn negative(&mut self, zone: &'a Zone, rcode: Rcode) -> Next {
        self.class = ResponseClass::Negative;
        self.encoder.set_authoritative();
        let rdata = zone.soa().rdatas().next().unwrap_or_default();
        let apex = Owner::Name(zone.apex());
        let put = self.encoder.authority().record(
            apex,
            RrType::SOA,
            Class::IN,
            zone.negative_ttl(),
            rdata,
        );
        if put.is_err() {
            self.encoder.set_truncated();
        }
        Next::Done(rcode)
    }

    /// The addresses of the hosts that an answer names, as far as this zone has them (RFC 1035 s3.3,
    /// RFC 2782, RFC 9460 s4.1).
    fn additional_of(&mut self, zone: &'a Zone, set: RrSet<'_>) {
        let skip = match set.rtype {
            RrType::NS => 0,
            RrType::MX | RrType::SVCB | RrType::HTTPS => 2,
            RrType::SRV => 6,
            _ => return,
        };
        let apex = QName::from_name(zone.apex());
        let mut seen: [Option<&[u8]>; MAX_ADDITIONAL] = [None; MAX_ADDITIONAL];
        for rdata in set.rdatas() {
            let mut name = QName::root();
            let target = rdata.get(skip..).unwrap_or_default();
            let Ok(len) = name.set_wire(target) else {
                continue;
            };
            // An alias of itself leads nowhere (RFC 9460 s2.4.2).
            let is_alias = skip == 2 && set.rtype != RrType::MX && rdata.starts_with(&[0, 0]);
            if !name.is_at_or_below(&apex) || is_alias && name == self.scratch.qname {
                continue;
            }
            let node = match zone.find(&name) {
                Found::Node { node, .. } => node,
                // A name server below a cut is reached by its glue.
                Found::Cut { .. } if set.rtype == RrType::NS => match zone.node(&name) {
                    Some(node) => node,
                    None => continue,
                },
                _ => continue,
            };
            // A wildcard stands for many hosts (RFC 4592 s2.2.3), so hosts are told apart by name.
            let host = target.get(..len).unwrap_or_default();
            let known = |other: &Option<&[u8]>| other.is_some_and(|o| o.eq_ignore_ascii_case(host));
            let Some(slot) = seen.iter_mut().find(|slot| slot.is_none() || known(slot)) else {
                return;
            };
            if slot.replace(host).is_some() {
                continue;
            }
            // What an alias leads to is a service itself, whose hosts are another question (as BIND).
            let put = match node.rrset(set.rtype).filter(|_| is_alias) {
                Some(service) => self.encoder.additional().rrset(Owner::Wire(host), service),
                None => self.put_addresses(Owner::Wire(host), node),
            };
            if put.is_err() {
                return;
            }
        }
    }

    /// A node's addresses, in the additional section, under the name that it was found by.
    fn put_addresses(&mut self, owner: Owner<'_>, node: Node<'_>) -> Result<(), Full> {
        for rtype in [RrType::A, RrType::AAAA] {
            if let Some(set) = node.rrset(rtype) {
                self.encoder.additional().rrset(owner, set)?;
            }
        }
        Ok(())
    }

    /// An RRset that is needed does not fit: the client asks again over TCP.
    pub fn truncated(&mut self) -> Next {
        self.encoder.set_truncated();
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

/// Replaces the suffix `owner` of a name below it by `target`; `None` if that gets too long.
fn substitute<'b>(
    name: &QName,
    owner: &[u8],
    target: &[u8],
    buffer: &'b mut [u8; MAX_NAME_LEN],
) -> Option<&'b [u8]> {
    let kept = name.wire().len().checked_sub(owner.len())?;
    let len = kept.checked_add(target.len())?;
    let renamed = buffer.get_mut(..len)?;
    let (front, back) = renamed.split_at_mut_checked(kept)?;
    front.copy_from_slice(name.wire().get(..kept)?);
    back.copy_from_slice(target);
    Some(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substitution_keeps_the_labels_in_front_and_the_limit() {
        let name = |text: &str| Name::parse(text).expect("a name");
        let mut buffer = [0; MAX_NAME_LEN];
        let qname = QName::from_name(&name("a.b.old.example."));
        let target = name("new.test.");
        let renamed = substitute(
            &qname,
            name("OLD.example.").wire(),
            target.wire(),
            &mut buffer,
        );
        assert_eq!(renamed, Some(name("a.b.new.test.").wire()));
        let long = name(&"abcdefg.".repeat(31));
        let fits = name("x.");
        assert!(
            substitute(
                &qname,
                name("old.example.").wire(),
                long.wire(),
                &mut buffer
            )
            .is_some()
        );
        let deep = QName::from_name(&name(&format!("{}x.", "abcdefg.".repeat(29))));
        assert_eq!(
            substitute(&deep, fits.wire(), long.wire(), &mut buffer),
            None
        );
    }
}
