//! Steered names in JSON, and the metrics of what pools take and names answer.

use serde::Deserialize;
use serde::Serialize;

use crate::admin::countries::Clients;
use crate::admin::metrics::MAX_ZERO_PAIRS;
use crate::admin::metrics::Page;
use crate::admin::spill;
use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::prefix::Family;
use crate::config::safety::MaxDown;
use crate::state::snapshot::Snapshot;

/// A steered name.
#[derive(Debug, Serialize, Deserialize)]
pub struct Steered {
    /// The owner.
    pub name: String,
    /// Its policy.
    pub policy: String,
    /// Its pools in the operator's order.
    pub pools: Vec<String>,
    /// Seconds; of a range the most.
    pub ttl: u32,
    /// The least of the range, in seconds; that of `ttl` without a range.
    #[serde(default)]
    pub ttl_min: u32,
    /// The smallest TTL that an answer can have now.
    #[serde(default)]
    pub ttl_now: u32,
    /// Why it is no greater, as of when it came to be so; null: `ttl` allows no greater one.
    #[serde(default)]
    pub ttl_reason: Option<String>,
    /// The families in which probes are ignored, since more pools are down than `max_down` allows.
    #[serde(default)]
    pub max_down_exceeded: Vec<String>,
    /// Where its clients are.
    #[serde(default)]
    pub clients: Clients,
}

/// A steered name in its printed form.
pub(super) fn steered(snapshot: &Snapshot, ix: SteeredIx, clients: Option<Clients>) -> Steered {
    let (plan, steered) = (&snapshot.plan, snapshot.plan.steered(ix));
    let pool_name = |pool: &PoolIx| plan.config.pools.pools[pool.index()].name.to_string();
    let ignored = Family::ALL.into_iter().filter(|family| {
        let now = snapshot.steered.get(ix.index());
        now.is_some_and(|now| now.families[*family].ignores_probes)
    });
    let (ttl_now, ttl_reason) = snapshot.least_ttl(ix);
    Steered {
        name: steered.owner.plain(),
        policy: steered.policy.as_str().into(),
        pools: steered.pools.iter().map(pool_name).collect(),
        ttl: steered.ttl.max,
        ttl_min: steered.ttl.min,
        ttl_now,
        ttl_reason,
        max_down_exceeded: ignored.map(|family| family.as_str().into()).collect(),
        clients: clients.unwrap_or_default(),
    }
}

impl Page {
    /// Which clients pools take, and whose probes are ignored.
    pub(super) fn steering(&mut self, snapshot: &Snapshot) {
        let plan = &snapshot.plan;
        let pools = plan.config.pools.pools.iter().zip(&snapshot.pools);
        let admitted = pools.flat_map(|(pool, now)| {
            let families = Family::ALL.into_iter();
            let families = families.filter(|family| now.health(*family).is_some());
            families.map(|family| {
                let ratio = now.admitted[family].ratio();
                ([family.as_str(), &*pool.name], ratio)
            })
        });
        self.gauge(
            "meridian_pool_admitted_ratio",
            "The share of its own clients that a pool takes: less than 1 while it gets them back after it was down, above its spill mark, or where an operator sheds.",
            ["family", "pool"],
            admitted,
        );
        for (name, help, rows) in spill::gauges(snapshot) {
            self.gauge(name, help, ["pool"], rows);
        }
        let is_on = plan.config.process.safety.max_down != MaxDown::OFF;
        let tells_zeros = snapshot.steered.len() <= MAX_ZERO_PAIRS;
        let names = plan.config.pools.steered.iter().zip(&snapshot.steered);
        let exceeded = names.filter(|_| is_on).flat_map(|(steered, now)| {
            let families = Family::ALL.map(|family| (family, now.families[family].ignores_probes));
            let families = families.into_iter();
            let shown = families.filter(|(_, is_exceeded)| *is_exceeded || tells_zeros);
            shown.map(|(family, is_exceeded)| {
                let labels = [family.as_str().to_owned(), steered.owner.plain()];
                (labels, f64::from(u8::from(is_exceeded)))
            })
        });
        self.gauge(
            "meridian_max_down_exceeded",
            "Whether the probes of a name are ignored: more of its pools are down than max_down allows.",
            ["family", "name"],
            exceeded,
        );
    }

    /// The TTLs of names that have a range.
    pub(super) fn ttls(&mut self, snapshot: &Snapshot) {
        let names = snapshot.plan.config.pools.steered.iter().zip(0..);
        let ranged = names.filter(|(steered, _)| !steered.ttl.is_fixed());
        self.gauge(
            "meridian_ttl_seconds",
            "The smallest TTL that an answer of a name with a range of TTLs can have now.",
            ["name"],
            ranged.map(|(steered, ix)| {
                let (ttl, _) = snapshot.least_ttl(SteeredIx(ix));
                ([steered.owner.plain()], f64::from(ttl))
            }),
        );
    }
}
