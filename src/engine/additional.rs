//! The additional section: the addresses of the hosts that an answer names (RFC 1035 s3.3, RFC 2782,
//! RFC 9460 s4.1).

use crate::base::qname::QName;
use crate::base::rr::RrSet;
use crate::base::rr::RrType;
use crate::engine::composer::Composer;
use crate::wire::encode::Full;
use crate::wire::encode::Owner;
use crate::zone::Lookup;
use crate::zone::Node;
use crate::zone::Zone;

/// The most nodes whose addresses one response brings along.
const MAX_ADDITIONAL: usize = 16;

impl<'a> Composer<'a, '_> {
    /// The addresses of the hosts that an answer names, as far as this zone has them (RFC 1035 s3.3,
    /// RFC 2782, RFC 9460 s4.1).
    pub(super) fn additional_of(&mut self, zone: &'a Zone, set: RrSet<'_>) {
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
                Lookup::Node { node, .. } => node,
                // A name server below a cut is reached by its glue.
                Lookup::Cut { .. } if set.rtype == RrType::NS => match zone.node(&name) {
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
    pub(super) fn put_addresses(&mut self, owner: Owner<'_>, node: Node<'_>) -> Result<(), Full> {
        for rtype in [RrType::A, RrType::AAAA] {
            if let Some(set) = node.rrset(rtype) {
                self.encoder.additional().rrset(owner, set)?;
            }
        }
        Ok(())
    }
}
