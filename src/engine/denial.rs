//! Denial of existence: NXDOMAIN and NODATA (RFC 2308).

use crate::base::rr::Class;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::engine::composer::Composer;
use crate::engine::composer::Next;
use crate::engine::rate_limit::ResponseClass;
use crate::wire::encode::Owner;
use crate::zone::Zone;

impl<'a> Composer<'a, '_> {
    /// No such name, or no such type: the SOA, at the TTL of RFC 2308 s3.
    pub(super) fn negative(&mut self, zone: &'a Zone, rcode: Rcode) -> Next {
        self.deny(zone, rcode, zone.negative_ttl())
    }

    /// No address now, of a steered name that has some: what changes with the pools' health is kept no longer
    /// than an address would be.
    pub(super) fn no_address_now(&mut self, zone: &'a Zone, ttl: u32) -> Next {
        self.deny(zone, Rcode::NoError, zone.negative_ttl().min(ttl))
    }

    fn deny(&mut self, zone: &'a Zone, rcode: Rcode, ttl: u32) -> Next {
        self.class = ResponseClass::Negative;
        self.encoder.set_authoritative();
        let rdata = zone.soa().rdatas().next().unwrap_or_default();
        let apex = Owner::Name(zone.apex());
        let put = self
            .encoder
            .authority()
            .record(apex, RrType::SOA, Class::IN, ttl, rdata);
        if put.is_err() {
            self.encoder.set_truncated();
        }
        Next::Done(rcode)
    }
}
