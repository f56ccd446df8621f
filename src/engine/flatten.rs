//! Aliases at owners that can have no CNAME: the addresses of the target, under the alias's own name.

use crate::base::ix::AliasIx;
use crate::base::ix::SteeredIx;
use crate::base::prefix::Family;
use crate::base::rr::Rcode;
use crate::engine::composer::Composer;
use crate::engine::composer::Next;
use crate::engine::composer::owner;
use crate::state::alias;
use crate::state::alias::End;
use crate::state::answers::Found;
use crate::wire::edns::ExtendedError;
use crate::wire::encode::Full;
use crate::zone::Computed;
use crate::zone::Zone;

impl<'a> Composer<'a, '_> {
    /// The addresses of an alias in one family: those that its target has for this client.
    pub(super) fn aliased(&mut self, zone: &'a Zone, ix: AliasIx, family: Family) -> Next {
        let (end, ttl) = alias::follow(&self.snapshot.plan, ix);
        match end {
            End::Node(node) => {
                if let Some(Computed::Steered { ix, .. }) = node.computed() {
                    return self.aliased_to_steered(zone, ix, family, ttl);
                }
                let Some(set) = node.rrset(family.rtype()) else {
                    return self.negative(zone, Rcode::NoError);
                };
                let start = self.scratch.next_turn(set.rdatas().count());
                self.put_aliased(family, ttl.min(set.ttl), set.rotated(start))
            }
            End::Outside(ix) => match self.snapshot.alias(ix) {
                Some(resolved) if resolved[family].n() == 0 => self.negative(zone, Rcode::NoError),
                Some(resolved) => {
                    let records = &resolved[family];
                    let start = self.scratch.next_turn(usize::from(records.n()));
                    let ttl = ttl.min(records.ttl());
                    self.put_aliased(family, ttl, records.rdatas(start))
                }
                None => self.cannot_follow("the target of this alias has not been resolved yet"),
            },
            End::Missing => self.negative(zone, Rcode::NoError),
            End::Endless => self.cannot_follow("this alias leads into a loop"),
        }
    }

    fn aliased_to_steered(
        &mut self,
        zone: &'a Zone,
        ix: SteeredIx,
        family: Family,
        ttl: u32,
    ) -> Next {
        match self.find_steered(ix, family) {
            Found::Pools((pool, records)) => {
                let start = self.first_of(pool, records);
                if let Some(owner) = pool.owner(records, start) {
                    self.count_for(ix, owner);
                }
                let ttl = ttl.min(records.ttl());
                self.put_aliased(family, ttl, records.rdatas(start))
            }
            none => self.put_found(zone, ix, family, none),
        }
    }

    fn put_aliased<'r>(
        &mut self,
        family: Family,
        ttl: u32,
        rdatas: impl Iterator<Item = &'r [u8]>,
    ) -> Next {
        self.encoder.set_authoritative();
        let owner = owner(self.followed, &self.scratch.qname);
        match self.encoder.records(owner, family.rtype(), ttl, rdatas) {
            Ok(()) => Next::Done(Rcode::NoError),
            Err(Full) => self.truncated(),
        }
    }

    fn cannot_follow(&mut self, text: &'static str) -> Next {
        self.scratch.outcome.extended_error = Some(ExtendedError { code: 0, text });
        self.failed()
    }
}
