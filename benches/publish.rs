//! How long from a verdict to the snapshot that holds it: 100 steered names over 50 pools, one of which
//! flips?
//!
//! `build` is what stands between a verdict and new answers; `merge` follows in the background and makes
//! scopes as short as they can be. On `synthetic-city.mmdb` if `MERIDIAN_GEODATA` names its folder.

use std::path::PathBuf;
use std::sync::Arc;

use criterion::BenchmarkId;
use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;

use meridian::base::health::Health;
use meridian::daemon::load::embedded_atlas;
use meridian::geo::atlas::Atlas;
use meridian::state::derive::merge_tables;
use meridian::state::evidence::Evidence;
use meridian::state::plan::Plan;
use meridian::state::snapshot::Snapshot;

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "only plans are needed here")]
mod support;

const ZONE: &str = "$TTL 300\n@ SOA ns1 host 1 2h 1h 1w 5m\n@ NS ns1\nns1 A 192.0.2.53\n";

/// Pools spread over the globe, and names that all of them serve.
fn plan(n_pools: usize, n_names: usize) -> Arc<Plan> {
    let mut pools = String::new();
    let mut names = Vec::new();
    for n in 0..n_pools {
        let (latitude, longitude) = (n * 37 % 140, n * 71 % 360);
        pools += &format!(
            "[pool.p{n}]\nlocation = [{}.0, {}.0]\nendpoints = [\"10.{}.{}.1\"]\n",
            latitude as i32 - 70,
            longitude as i32 - 180,
            n / 256,
            n % 256
        );
        names.push(format!("\"p{n}\""));
    }
    let names = names.join(", ");
    for n in 0..n_names {
        pools += &format!("[steer.\"app{n}.example.com\"]\npools = [{names}]\n");
    }
    let atlas = match std::env::var_os("MERIDIAN_GEODATA").map(PathBuf::from) {
        Some(folder) => {
            let bytes = std::fs::read(folder.join("synthetic-city.mmdb")).expect("the database");
            Atlas::read(bytes, None, &|_| None).expect("a sound database")
        }
        None => embedded_atlas().expect("a sound database"),
    };
    let zones = [("example.com", ZONE)];
    support::plan("", &pools, &zones, Arc::new(atlas)).expect("no faults")
}

fn flips(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    group.sample_size(20);
    for (n_pools, n_names) in [(50, 1), (50, 100), (500, 10)] {
        let plan = plan(n_pools, n_names);
        let evidence = |first| Evidence {
            endpoints: (0..n_pools)
                .map(|pool| vec![if pool == 0 { first } else { Health::Up }])
                .collect(),
            forced: vec![None; n_pools],
            ..Evidence::default()
        };
        let up = Snapshot::build(Arc::clone(&plan), &evidence(Health::Up), 1, None);
        let up = up.with_merged_tables();
        let down = evidence(Health::Down);
        let build = || Snapshot::build(Arc::clone(&plan), &down, 2, Some(&up));
        let what = format!("{n_pools} pools, {n_names} names");
        group.bench_function(BenchmarkId::new("build", &what), |b| b.iter(build));
        let built = build();
        group.bench_function(BenchmarkId::new("merge", &what), |b| {
            b.iter(|| merge_tables(built.missing_merges()));
        });
    }
}

criterion_group!(benches, flips);
criterion_main!(benches);
