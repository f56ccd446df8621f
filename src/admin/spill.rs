//! The metrics of pools that go by their load.

use crate::state::evidence::Spilling;
use crate::state::snapshot::Snapshot;

/// A gauge: its name, its help, and its value for each pool that has one.
pub(super) type Gauge = (&'static str, &'static str, Vec<([String; 1], f64)>);

/// The gauges of a snapshot.
pub(super) fn gauges(snapshot: &Snapshot) -> [Gauge; 4] {
    let pools = snapshot.plan.config.pools.pools.iter().zip(&snapshot.pools);
    let spills = pools.filter_map(|(pool, now)| Some((&*pool.name, now.limits.spill?)));
    let spills: Vec<(&str, Spilling)> = spills.collect();
    let rows = |value: &dyn Fn(&Spilling) -> Option<f64>| {
        let row = |(pool, spill): &(&str, Spilling)| Some(([(*pool).to_owned()], value(spill)?));
        spills.iter().filter_map(row).collect()
    };
    [
        (
            "meridian_pool_load",
            "The load of a pool with a spill mark when its shares were last decided, 1 at full utilisation.",
            rows(&|spill| Some(spill.load?.ratio())),
        ),
        (
            "meridian_pool_spill_at",
            "The load above which a pool passes clients on.",
            rows(&|spill| Some(spill.mark.ratio())),
        ),
        (
            "meridian_pool_guests_admitted_ratio",
            "The share that a pool with a spill mark takes of clients that other pools pass on.",
            rows(&|spill| Some(spill.shares.guests.ratio())),
        ),
        (
            "meridian_pool_full",
            "Whether a pool is above its spill mark and no other pool takes its clients.",
            rows(&|spill| Some(f64::from(u8::from(spill.is_full)))),
        ),
    ]
}
