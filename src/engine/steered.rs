//! Steered names: find the client's answer in the snapshot and copy it.

use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::base::rank::Order;
use crate::base::rr::Rcode;
use crate::engine::arrival::scaled;
use crate::engine::client;
use crate::engine::composer::Composer;
use crate::engine::composer::Next;
use crate::engine::outcome::SteerReason;
use crate::engine::outcome::SteeredAnswer;
use crate::state::answers::Counted;
use crate::state::answers::Found;
use crate::state::answers::PoolAnswer;
use crate::state::answers::Records;
use crate::steer::AllDown;
use crate::steer::PoolStatus;
use crate::steer::rendezvous::ClientKey;
use crate::wire::edns::ExtendedError;
use crate::wire::encode::Full;
use crate::wire::encode::Owner;
use crate::zone::Zone;

impl<'a> Composer<'a, '_> {
    /// The addresses of a steered name in one family.
    pub(super) fn steered(&mut self, zone: &'a Zone, ix: SteeredIx, family: Family) -> Next {
        let found = self.find_steered(ix, family);
        self.put_found(zone, ix, family, found)
    }

    #[inline(always)] // Hot path, once per query for a steered name.
    pub(super) fn put_found(
        &mut self,
        zone: &'a Zone,
        ix: SteeredIx,
        family: Family,
        found: Found<'a>,
    ) -> Next {
        match found {
            Found::NoData if self.has_family(ix, family) => {
                self.no_address_now(zone, self.snapshot.steered_ttl(ix))
            }
            Found::NoData => self.negative(zone, Rcode::NoError),
            Found::Pools((pool, records)) => self.put_steered(ix, family, pool, records),
            Found::ServFail => self.failed(),
        }
    }

    /// One RRset of a steered name for type ANY (RFC 8482 s4.1): A where there is one, else AAAA. Which of
    /// them it is holds where both families are answered alike: the longer scope of the two.
    #[cold]
    pub(super) fn steered_any(&mut self, zone: &'a Zone, ix: SteeredIx) -> Next {
        let (mut found, better) = self.find_both(ix);
        let found = std::mem::replace(&mut found[better], Found::NoData);
        self.put_found(zone, ix, better, found)
    }

    /// What a client gets in each family, and in which it gets more, IPv4 if in none: that is the outcome. The
    /// scope is the longer one of the two.
    pub(super) fn find_both(&mut self, ix: SteeredIx) -> (PerFamily<Found<'a>>, Family) {
        let both = PerFamily::from_fn(|family| {
            let found = self.find_steered(ix, family);
            let merit = match found {
                Found::Pools(_) => 3,
                Found::ServFail => 2,
                Found::NoData => u8::from(self.has_family(ix, family)),
            };
            (merit, found, self.scratch.outcome)
        });
        let better = match both.v6.0 > both.v4.0 {
            true => Family::V6,
            false => Family::V4,
        };
        self.scratch.outcome = both[better].2;
        (both.map(|(_, found, _)| found), better)
    }

    /// Whether any pool of the name has endpoints of a family: then it is `all_down`
    /// that leaves a client without an address.
    fn has_family(&self, ix: SteeredIx, family: Family) -> bool {
        let plan = &self.snapshot.plan;
        let steered = plan.steered(ix);
        let has_family = |pool: &PoolIx| {
            let now = self.snapshot.pools.get(pool.index());
            now.is_some_and(|now| now.status[family] != PoolStatus::Absent)
        };
        let of_rules = steered.rules.iter().flat_map(|rule| &rule.pools);
        let mut policies = steered.all_down_policies();
        policies.any(|policy| policy == AllDown::Empty)
            && steered.pools.iter().chain(of_rules).any(has_family)
    }

    pub(super) fn find_steered(&mut self, ix: SteeredIx, family: Family) -> Found<'a> {
        let edns = self.query.edns.as_ref();
        // Without client subnets, all clients of a resolver get the same: scope 0 (RFC 7871 s7.2.1).
        let has_ecs = self.snapshot.plan.steered(ix).ecs;
        let subnet = edns
            .and_then(|edns| edns.subnet.as_ref())
            .filter(|_| has_ecs);
        let ecs = &self.snapshot.plan.config.process.ecs;
        let client = client::of_query(ecs, subnet, self.arrival.src);
        let Some(now) = self.snapshot.steered.get(ix.index()) else {
            return Found::ServFail;
        };
        let answers = &now.families[family];
        let steered = answers.find(client, self.arrival.src, &mut self.scratch.majority);
        let pool = match steered.found {
            Found::Pools((pool, _)) => Some(pool),
            Found::NoData | Found::ServFail => None,
        };
        let reason = reason(pool);
        // Of several names and families that the answer depends on, the longest.
        self.scope_len = self.scope_len.max(Some(steered.scope_len));
        self.scratch.outcome.extended_error = extended_error(reason, &steered.found);
        self.scratch.outcome.steered = Some(SteeredAnswer {
            name: ix,
            family,
            client: steered.client,
            pool: pool.map(|pool| pool.pool),
            key: steered.key,
            reason,
            counter: pool.map_or(u32::MAX, |pool| now.counters.saturating_add(pool.counter)),
        });
        steered.found
    }

    fn put_steered(
        &mut self,
        ix: SteeredIx,
        family: Family,
        pool: &PoolAnswer,
        records: &Records,
    ) -> Next {
        self.encoder.set_authoritative();
        let start = self.first_of(pool, records);
        if let Some(owner) = pool.owner(records, start) {
            self.count_for(ix, owner);
        }
        let put = match self.followed {
            // Behind the question the records can be copied as they are.
            false => self.encoder.raw(records.rotated(start), records.n()),
            true => self.put_renamed(family, records, start),
        };
        match put {
            Ok(()) => Next::Done(Rcode::NoError),
            Err(Full) => self.truncated(),
        }
    }

    /// An answer of several pools counts for the one whose address comes first.
    pub(super) fn count_for(&mut self, ix: SteeredIx, owner: Counted) {
        let now = self.snapshot.steered.get(ix.index());
        if let (Some(now), Some(steered)) = (now, &mut self.scratch.outcome.steered) {
            steered.pool = Some(owner.pool);
            steered.counter = now.counters.saturating_add(owner.counter);
        }
    }

    /// Which of some addresses of a pool's answer comes first.
    pub(super) fn first_of(&mut self, pool: &PoolAnswer, records: &Records) -> usize {
        match (pool.order, usize::from(records.n())) {
            (_, 1) | (Order::Fixed, _) => 0,
            (Order::Hash, n) => self.hashed_start(n),
            (Order::Rotate, n) => self.scratch.next_turn(n),
        }
    }

    /// Which of the `n` addresses of the client's answer comes first, by its prefix.
    fn hashed_start(&self, n: usize) -> usize {
        let client = self
            .scratch
            .outcome
            .steered
            .map(|steered| steered.client.prefix);
        // The low bits say already which selection of many endpoints it gets.
        let fraction = client.map(|prefix| (ClientKey::of(prefix).spread() >> 32) as u32);
        scaled(fraction.unwrap_or(0), n)
    }

    /// The same records at the end of an alias, where the owner is not the question's name.
    fn put_renamed(&mut self, family: Family, records: &Records, start: usize) -> Result<(), Full> {
        let owner = Owner::Wire(self.scratch.qname.wire());
        self.encoder
            .records(owner, family.rtype(), records.ttl(), records.rdatas(start))
    }
}

fn reason(pool: Option<&PoolAnswer>) -> SteerReason {
    match pool.map(|pool| pool.status) {
        None => SteerReason::NoAddress,
        Some(PoolStatus::Up) => SteerReason::Up,
        Some(PoolStatus::Unproven) => SteerReason::Unproven,
        Some(PoolStatus::Absent | PoolStatus::Down | PoolStatus::Drained) => SteerReason::AllDown,
    }
}

/// What is wrong with an answer although it is what the configuration asks for (RFC 8914 s4.1).
fn extended_error(reason: SteerReason, found: &Found<'_>) -> Option<ExtendedError<'static>> {
    let text = match (reason, found) {
        (SteerReason::AllDown, _) => "no healthy pool: answering as if up",
        (_, Found::ServFail) => "no pool for this client has a usable address of this family",
        _ => return None,
    };
    Some(ExtendedError { code: 0, text })
}
