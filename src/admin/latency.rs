//! The latency table in status, page and metrics, beside what vantages measure.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::admin::metrics::Page;
use crate::live::Live;
use crate::state::plan::Plan;
use crate::state::snapshot::Snapshot;

/// The table of `[geoip] latency`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Latency {
    /// Rows of the file.
    pub rows: usize,
    /// Pairs of key and pool that count.
    pub measurements: usize,
    /// When the newest row was measured; null: no row says so.
    pub newest: Option<u64>,
    /// Rows that are older than `latency_max_age`.
    pub too_old: usize,
    /// Pairs with fewer samples than `latency_min_samples`.
    pub too_few: usize,
    /// Pairs with a pool that there is not.
    pub unknown_pool: usize,
    /// The configured pools.
    pub pools: Vec<MeasuredPool>,
}

/// What is measured to a pool.
#[derive(Debug, Serialize, Deserialize)]
pub struct MeasuredPool {
    /// Its name.
    pub pool: String,
    /// Its pairs in the table that count.
    pub measurements: usize,
    /// The latest probe at each vantage.
    pub probes: Vec<LatestProbe>,
}

/// How long it takes a vantage to probe a pool.
#[derive(Debug, Serialize, Deserialize)]
pub struct LatestProbe {
    /// Its name.
    pub vantage: String,
    /// Of the quickest endpoint, in milliseconds.
    pub ms: f64,
}

/// The table of a plan; `None` if none is configured.
pub(super) fn latency(live: &Live, plan: &Plan) -> Option<Latency> {
    plan.config.process.geoip.latency.as_ref()?;
    let table = plan.measured.table();
    let names = table.pools().iter().map(|name| &**name);
    let counts: HashMap<&str, usize> = names.zip(table.n_by_pool()).collect();
    let mut probes = probes(live);
    let pools = plan.config.pools.pools.iter().map(|pool| MeasuredPool {
        pool: pool.name.to_string(),
        measurements: counts.get(&*pool.name).copied().unwrap_or(0),
        probes: {
            let of_pool = probes.remove(&*pool.name).unwrap_or_default();
            let printed = of_pool
                .into_iter()
                .map(|(vantage, ms)| LatestProbe { vantage, ms });
            printed.collect()
        },
    });
    let summary = table.summary();
    Some(Latency {
        rows: summary.n_rows,
        measurements: table.n_entries(),
        newest: summary.newest,
        too_old: summary.n_too_old,
        too_few: summary.n_too_few,
        unknown_pool: plan.measured.n_to_unknown_pools(),
        pools: pools.collect(),
    })
}

/// The quickest latest probe of each pool at each vantage.
fn probes(live: &Live) -> HashMap<String, BTreeMap<String, f64>> {
    let health_table = live.health_table.read();
    let mut probes: HashMap<String, BTreeMap<String, f64>> = HashMap::new();
    for endpoint in health_table.view(live.clock.now()) {
        for vantage in &endpoint.vantages {
            let Some(us) = vantage.streak.record_of().latency_us else {
                continue;
            };
            let ms = Duration::from_micros(us).as_secs_f64() * 1e3;
            let of_pool = probes.entry(endpoint.target.pool.to_string()).or_default();
            let quickest = of_pool.entry(vantage.name.to_string()).or_insert(ms);
            *quickest = quickest.min(ms);
        }
    }
    probes
}

impl Page {
    /// The latency table, if one is configured.
    pub(super) fn latency(&mut self, snapshot: &Snapshot) {
        let plan = &snapshot.plan;
        if plan.config.process.geoip.latency.is_none() {
            return;
        }
        let (table, summary) = (plan.measured.table(), plan.measured.table().summary());
        let n_unknown = plan.measured.n_to_unknown_pools();
        let rows = [
            ("used", table.n_entries() - n_unknown),
            ("unknown_pool", n_unknown),
            ("too_few", summary.n_too_few),
            ("too_old", summary.n_too_old),
        ];
        self.gauge(
            "meridian_latency_measurements",
            "Measurements of the latency table, by what becomes of them.",
            ["state"],
            rows.map(|(state, n)| ([state], n as f64)),
        );
        self.gauge(
            "meridian_latency_newest_timestamp_seconds",
            "When the newest row of the latency table was measured.",
            [],
            summary.newest.map(|at| ([""; 0], at as f64)),
        );
    }
}
