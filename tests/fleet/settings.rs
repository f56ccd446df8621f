//! What the machines are configured with: the same pools, and one file of settings each.

use std::sync::Arc;
use std::sync::OnceLock;

use meridian::geo::atlas::Atlas;
use meridian::state::evidence::Evidence;
use meridian::state::plan::Plan;
use meridian::state::snapshot::Snapshot;

use crate::support;

/// The largest number of machines.
pub(crate) const MAX_MACHINES: usize = 5;

/// Variants of `pools.toml`; the first is what a schedule begins with.
pub(crate) const VARIANTS: usize = 3;

/// `[health] report_max_age` and `blind_max`.
pub(crate) const MAX_AGE_MS: u64 = 15_000;
pub(crate) const BLIND_MAX_MS: u64 = 15_000;

/// How often a machine sends its full state: the interval of the monitor.
pub(crate) const INTERVAL_MS: u64 = 5_000;
pub(crate) const TIMEOUT_MS: u64 = 2_000;

/// Damping.
pub(crate) const HALF_LIFE_MS: u64 = 30_000;
pub(crate) const SUPPRESS: f64 = 1.5;
pub(crate) const REUSE: f64 = 1.2;

/// The pools and their endpoints; the last pool is left out of the last variant.
pub(crate) const POOLS: [(&str, &[&str]); 3] = [
    ("a", &["10.0.0.1"]),
    ("b", &["10.0.0.2"]),
    ("c", &["10.0.0.3", "10.0.0.4"]),
];

/// All endpoints.
pub(crate) const N_ENDPOINTS: usize = 4;

/// The name of a machine. The first has a second vantage.
pub(crate) fn name(machine: usize) -> &'static str {
    ["n0", "n1", "n2", "n3", "n4"][machine]
}

/// A machine's plan of a variant.
pub(crate) fn plan(machine: usize, variant: usize) -> Arc<Plan> {
    static PLANS: OnceLock<Vec<Arc<Plan>>> = OnceLock::new();
    let plans = PLANS.get_or_init(|| {
        let atlas = Arc::new(Atlas::empty());
        let all = (0..MAX_MACHINES).flat_map(|m| (0..VARIANTS).map(move |v| (m, v)));
        all.map(|(machine, variant)| {
            let (process, pools) = (process(machine), pools(variant));
            support::plan(&process, &pools, &[], Arc::clone(&atlas)).expect("no fault")
        })
        .collect()
    });
    Arc::clone(&plans[machine * VARIANTS + variant])
}

/// What is served where nothing depends on it.
pub(crate) fn snapshot() -> &'static Snapshot {
    static SNAPSHOT: OnceLock<Snapshot> = OnceLock::new();
    SNAPSHOT.get_or_init(|| {
        let plan = support::plan("", "", &[], Arc::new(Atlas::empty())).expect("no fault");
        Snapshot::build(plan, &Evidence::default(), 1, None)
    })
}

fn process(machine: usize) -> String {
    let name = name(machine);
    let further = match machine {
        0 => "[[vantage]]\nname = \"far\"\nsource = \"10.9.0.1\"\n",
        _ => "",
    };
    format!(
        "[health]\nvantage = \"{name}\"\nreport_max_age = \"{MAX_AGE_MS}ms\"\n\
         blind_max = \"{BLIND_MAX_MS}ms\"\n[cluster]\nnats = [\"nats://127.0.0.1:4222\"]\n\
         node = \"{name}\"\n{further}"
    )
}

fn pools(variant: usize) -> String {
    let threshold = if variant == 1 { 3 } else { 2 };
    let mut text = format!(
        "[monitor.ready]\ntype = \"tcp\"\nport = 80\ninterval = \"{INTERVAL_MS}ms\"\n\
         timeout = \"{TIMEOUT_MS}ms\"\nfailure_threshold = {threshold}\nsuccess_threshold = 1\n\
         damping = {{ half_life = \"{HALF_LIFE_MS}ms\", suppress = {SUPPRESS:.1}, reuse = {REUSE:.1} }}\n"
    );
    let n_pools = POOLS.len() - usize::from(variant == 2);
    for (name, endpoints) in &POOLS[..n_pools] {
        text.push_str(&format!(
            "[pool.{name}]\nlocation = [45.6, -121.2]\nendpoints = {endpoints:?}\nmonitor = \"ready\"\n"
        ));
    }
    text
}
