//! Steered names: find the client's answer in the snapshot and copy it.

use crate::base::ix::SteeredIx;
use crate::base::prefix::Family;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::engine::arrival::TracedSteering;
use crate::engine::client;
use crate::engine::composer::Composer;
use crate::engine::composer::Next;
use crate::state::answers::Found;
use crate::state::answers::PoolAnswer;
use crate::state::answers::Records;
use crate::steer::PoolStatus;
use crate::wire::edns::ExtendedError;
use crate::wire::encode::Full;
use crate::wire::encode::Owner;
use crate::zone::Zone;

impl<'a> Composer<'a, '_> {
    /// The addresses of a steered name in one family.
    pub(super) fn steered(&mut self, zone: &'a Zone, ix: SteeredIx, family: Family) -> Next {
        match self.find_steered(ix, family) {
            Found::NoData => self.negative(zone, Rcode::NoError),
            Found::Records(_, records) => self.put_steered(ix, family, records),
            Found::ServFail => Next::Done(Rcode::ServFail),
        }
    }

    /// One RRset of a steered name for type ANY (RFC 8482 s4.1): A where there is one, else AAAA.
    pub(super) fn steered_any(&mut self, zone: &'a Zone, ix: SteeredIx) -> Next {
        match self.find_steered(ix, Family::V4) {
            Found::Records(_, records) => self.put_steered(ix, Family::V4, records),
            _ => self.steered(zone, ix, Family::V6),
        }
    }

    fn find_steered(&mut self, ix: SteeredIx, family: Family) -> Found<'a> {
        let subnet = self
            .query
            .edns
            .as_ref()
            .and_then(|edns| edns.subnet.as_ref());
        let ecs = &self.snapshot.plan.config.process.ecs;
        let client = client::of_query(ecs, subnet, self.arrival.src);
        let now = self.snapshot.steered.get(ix.index());
        let Some((now, answers)) = now.and_then(|now| Some((now, now.families.get(family.ix())?)))
        else {
            return Found::ServFail;
        };
        self.scratch.last_steered = (ix, family);
        let steered = answers.find(client, &mut self.scratch.majority);
        self.scope_len = steered.scope_len;
        let pool = match steered.found {
            Found::Records(pool, _) => Some(pool),
            Found::NoData | Found::ServFail => None,
        };
        self.counter = pool.map(|pool| now.counters.saturating_add(pool.counter));
        self.extended_error = self.complaint(&steered.found, family);
        if let Some(trace) = &mut self.scratch.trace {
            let pool = pool.map(|pool| pool.pool);
            trace.steered = Some(TracedSteering {
                ix,
                family,
                client,
                pool,
                key: steered.key,
            });
        }
        steered.found
    }

    /// What is wrong with an answer although it is what the configuration asks for (RFC 8914 s4.1).
    fn complaint(&self, found: &Found<'_>, family: Family) -> Option<ExtendedError<'static>> {
        let is_up = |pool: &PoolAnswer| {
            let now = self.snapshot.pools.get(pool.pool.index());
            now.is_none_or(|now| now.standing(family) == PoolStatus::Up)
        };
        let text = match found {
            Found::Records(pool, _) if !is_up(pool) => "no pool for this client is up: best guess",
            Found::ServFail => "no pool for this client is up",
            _ => return None,
        };
        Some(ExtendedError { code: 0, text })
    }

    #[inline(always)] // On every answer's way: calls cost as much as what they call.
    fn put_steered(&mut self, ix: SteeredIx, family: Family, records: &Records) -> Next {
        self.encoder.set_authoritative();
        let put = match self.followed {
            // Behind the question the records can be copied as they are.
            false => self.encoder.raw(records.wire(), records.n()),
            true => self.put_renamed(ix, family, records),
        };
        match put {
            Ok(()) => Next::Done(Rcode::NoError),
            Err(Full) => self.truncated(),
        }
    }

    /// The same records at the end of an alias, where the owner is not the question's name.
    fn put_renamed(
        &mut self,
        ix: SteeredIx,
        family: Family,
        records: &Records,
    ) -> Result<(), Full> {
        let rtype = match family {
            Family::V4 => RrType::A,
            Family::V6 => RrType::AAAA,
        };
        let ttl = self.snapshot.plan.steered(ix).ttl;
        let owner = Owner::Wire(self.scratch.qname.wire());
        self.encoder.records(owner, rtype, ttl, records.rdatas())
    }
}
