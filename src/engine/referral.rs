//! Referrals: the NS records of a zone cut, and the glue to reach the child (RFC 9471).

use crate::base::qname::QName;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::engine::composer::Composer;
use crate::engine::composer::Next;
use crate::engine::rate_limit::ResponseClass;
use crate::wire::encode::Owner;
use crate::zone::Node;
use crate::zone::Zone;

impl<'a> Composer<'a, '_> {
    /// The name lies at or below a zone cut: NS of the child, and the glue to reach it.
    pub(super) fn referral(&mut self, zone: &'a Zone, cut: Node<'a>) -> Next {
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
}
