//! Address hints of steered names in HTTPS and SVCB records (RFC 9460 s7.3): the addresses that A and AAAA
//! would have for the same client.

use crate::base::ix::SteeredIx;
use crate::base::per_family::PerFamily;
use crate::base::rr::Rcode;
use crate::engine::composer::Composer;
use crate::engine::composer::Next;
use crate::engine::composer::owner;
use crate::state::answers::Found;
use crate::state::answers::Records;
use crate::wire::svcb::HintParts;
use crate::wire::svcb::IPV4HINT;
use crate::wire::svcb::IPV6HINT;
use crate::zone::Node;
use crate::zone::Zone;

impl<'a> Composer<'a, '_> {
    /// The HTTPS or SVCB records of a steered name with hints, as far as they are about the name itself.
    pub(super) fn hinted(&mut self, zone: &'a Zone, node: Node<'a>, ix: SteeredIx) -> Next {
        let Some(set) = node.rrset(self.query.qtype) else {
            return self.negative(zone, Rcode::NoError);
        };
        let qname = &self.scratch.qname;
        let is_own = |rdata| HintParts::of(rdata, qname.wire()).is_some();
        if !set.rdatas().any(is_own) {
            return self.data(zone, node);
        }
        let (found, better) = self.find_both(ix);
        if !matches!(found[better], Found::Pools(_)) {
            // The records are good without hints.
            self.scratch.outcome.extended_error = None;
        }
        let hints = PerFamily::from_fn(|family| match found[family] {
            Found::Pools((pool, records)) => {
                let start = self.first_of(pool, records);
                if let Some(owner) = pool.owner(records, start).filter(|_| family == better) {
                    self.count_for(ix, owner);
                }
                Some((records, start))
            }
            Found::NoData | Found::ServFail => None,
        });
        let hints = Hints::new(hints);
        let start = self.scratch.next_turn(set.rdatas().count());
        let ttl = set.ttl.min(self.snapshot.steered_ttl(ix));
        let qname = &self.scratch.qname;
        let records = set.rotated(start);
        let records = records.map(|rdata| hints.put_into(rdata, qname.wire()));
        self.encoder.set_authoritative();
        let owner = owner(self.followed, qname);
        let put = self
            .encoder
            .records_of_parts(owner, set.rtype, ttl, records);
        if put.is_err() {
            return self.truncated();
        }
        self.additional_of(zone, set);
        Next::Done(Rcode::NoError)
    }
}

/// The hints of one answer, each as the parameter's key and length, and the addresses from one on.
pub(super) struct Hints<'a> {
    v4: Option<Hint<'a>>,
    v6: Option<Hint<'a>>,
}

struct Hint<'a> {
    front: [u8; 4],
    records: &'a Records,
    start: usize,
}

impl<'a> Hints<'a> {
    /// Of the addresses of each family, and which of them comes first.
    pub(super) fn new(addresses: PerFamily<Option<(&'a Records, usize)>>) -> Self {
        let hint = |addresses, key: u16| {
            let (records, start): (&Records, usize) = addresses?;
            let len: usize = records.rdatas(0).map(<[u8]>::len).sum();
            let ([k0, k1], [l0, l1]) = (key.to_be_bytes(), u16::try_from(len).ok()?.to_be_bytes());
            Some(Hint {
                front: [k0, k1, l0, l1],
                records,
                start,
            })
        };
        Self {
            v4: hint(addresses.v4, IPV4HINT),
            v6: hint(addresses.v6, IPV6HINT),
        }
    }

    /// RDATA of `owner`, which is in lower-case wire form, in parts; with the hints if it is about the owner.
    pub(super) fn put_into<'r>(
        &'r self,
        rdata: &'r [u8],
        owner: &[u8],
    ) -> impl Iterator<Item = &'r [u8]> {
        let own = HintParts::of(rdata, owner);
        let parts = own.unwrap_or(HintParts {
            before_v4: rdata,
            before_v6: &[],
            rest: &[],
        });
        let of = move |hint: &'r Option<Hint<'_>>| {
            let hint = hint.iter().filter(move |_| own.is_some());
            hint.flat_map(Hint::parts)
        };
        std::iter::once(parts.before_v4)
            .chain(of(&self.v4))
            .chain(std::iter::once(parts.before_v6))
            .chain(of(&self.v6))
            .chain(std::iter::once(parts.rest))
    }
}

impl Hint<'_> {
    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.front[..]).chain(self.records.rdatas(self.start))
    }
}
