//! What a steered name has of the chosen pool beside its addresses: the CNAME of its host, or its TXT records.

use crate::base::ix::SteeredIx;
use crate::base::prefix::Family;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::config::model::Pool;
use crate::engine::composer::Composer;
use crate::engine::composer::Next;
use crate::engine::composer::owner;
use crate::state::answers::Found;
use crate::zone::Zone;

impl<'a> Composer<'a, '_> {
    /// The TXT records of the chosen pool.
    pub(super) fn steered_txt(&mut self, zone: &'a Zone, ix: SteeredIx) -> Next {
        match self.chosen(zone, ix) {
            Ok((pool, ttl)) => {
                let put = self.put_chosen(ttl, RrType::TXT, pool.txt.iter().map(|txt| &**txt));
                put.unwrap_or(Next::Done(Rcode::NoError))
            }
            Err(next) => next,
        }
    }

    /// The name of the chosen pool's host as a CNAME, which is followed (RFC 1034 s3.6.2).
    pub(super) fn steered_cname(&mut self, zone: &'a Zone, ix: SteeredIx) -> Next {
        let (pool, ttl) = match self.chosen(zone, ix) {
            Ok(chosen) => chosen,
            Err(next) => return next,
        };
        let Some(host) = pool.hosts.first() else {
            return self.failed();
        };
        let target = host.domain.wire();
        if let Some(next) = self.put_chosen(ttl, RrType::CNAME, std::iter::once(target)) {
            return next;
        }
        match self.query.qtype {
            RrType::CNAME | RrType::ANY => Next::Done(Rcode::NoError),
            _ => self.follow(target),
        }
    }

    /// The pool that is chosen for the client, and its TTL; or the answer if there is none.
    fn chosen(&mut self, zone: &'a Zone, ix: SteeredIx) -> Result<(&'a Pool, u32), Next> {
        let now = self.snapshot.steered.get(ix.index());
        let family = now.map_or(Family::V4, |now| now.leading);
        match self.find_steered(ix, family) {
            Found::Pools((answer, records)) => {
                let pools = &self.snapshot.plan.config.pools.pools;
                let pool = pools.get(answer.pool.index());
                let chosen = pool.map(|pool| (pool, records.ttl()));
                chosen.ok_or_else(|| self.failed())
            }
            none => Err(self.put_found(zone, ix, family, none)),
        }
    }

    /// Writes the records; the answer if they do not fit.
    fn put_chosen<'r>(
        &mut self,
        ttl: u32,
        rtype: RrType,
        rdatas: impl Iterator<Item = &'r [u8]>,
    ) -> Option<Next> {
        self.encoder.set_authoritative();
        let owner = owner(self.followed, &self.scratch.qname);
        let put = self.encoder.records(owner, rtype, ttl, rdatas);
        put.is_err().then(|| self.truncated())
    }
}
