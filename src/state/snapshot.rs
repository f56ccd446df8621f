//! `Snapshot`: everything that an answer depends on, immutable once published.
//!
//! It joins the plan (what could be answered: compiled in seconds, on an edit) with the evidence (what
//! is up: joined in well under a millisecond per steered name, on a health flip). Parts that a change
//! does not touch are shared with the snapshot before.

use std::sync::Arc;

use crate::base::ix::AliasIx;
use crate::base::ix::SteeredIx;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::state::answers::FamilyAnswers;
use crate::state::answers::Records;
use crate::state::evidence::LastUp;
use crate::state::evidence::PoolNow;
use crate::state::plan::Plan;

/// What is served now.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts publications; each snapshot has its own number.
    pub generation: u64,
    /// What could be answered.
    pub plan: Arc<Plan>,
    /// The pools, by `PoolIx`.
    pub pools: Box<[PoolNow]>,
    /// The same as the clients of each region have them; empty: as everybody.
    pub regional: Box<[Box<[PoolNow]>]>,
    /// What each steered name answers, by `SteeredIx`.
    pub steered: Box<[SteeredNow]>,
    /// What resolving the targets of aliases gave, by `AliasIx`; `None`: nothing yet, or they lie in zones here.
    pub(super) aliases: Arc<[Option<PerFamily<Records>>]>,
    /// The pools that were up last, of the evidence.
    pub(super) last_up: Arc<LastUp>,
}

impl Snapshot {
    /// The TTL of what depends on all pools of a steered name: no answer of it has a smaller one.
    pub fn steered_ttl(&self, ix: SteeredIx) -> u32 {
        let now = self.steered.get(ix.index());
        let families = now.into_iter().flat_map(|now| now.families.iter());
        let ttls = families.map(|family| family.least_ttl);
        ttls.min().unwrap_or_default()
    }

    /// The addresses that resolving the target of an alias gave; `None`: nothing yet.
    pub fn alias(&self, ix: AliasIx) -> Option<&PerFamily<Records>> {
        self.aliases.get(ix.index())?.as_ref()
    }

    /// The pools as clients have them that the vantages of a region judge for.
    pub fn pools_in(&self, region: Option<u16>) -> &[PoolNow] {
        let regional = region.and_then(|region| self.regional.get(usize::from(region)));
        regional.unwrap_or(&self.pools)
    }
}

/// One steered name now: what a query needs, in as little memory as it can be, as there may be very many.
#[derive(Debug)]
pub struct SteeredNow {
    /// Shared with the snapshot before where nothing changed, and by names that are
    /// answered alike.
    pub families: PerFamily<Arc<FamilyAnswers>>,
    /// The family whose choice a CNAME and TXT follow.
    pub leading: Family,
    /// Where the name's counters start.
    pub counters: u32,
}
