//! How long does it take to read a whole database, to compile it for eight pools, and to ask it? And with a latency
//! table of a million rows?
//!
//! Runs on `synthetic-city.mmdb` in the folder that `MERIDIAN_GEODATA` names.

#![expect(clippy::print_stdout, reason = "sizes belong beside the times")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use criterion::BenchmarkId;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;

use meridian::base::diag::Report;
use meridian::base::ix::PoolIx;
use meridian::base::location::Point;
use meridian::base::per_family::PerFamily;
use meridian::base::prefix::Prefix;
use meridian::base::rank::Policy;
use meridian::geo::atlas::Atlas;
use meridian::geo::by_latency;
use meridian::geo::by_latency::Incumbents;
use meridian::geo::majority::MajorityScratch;
use meridian::geo::measured::Measured;
use meridian::geo::rank_table::compile;
use meridian::geo::rules::Site;
use meridian::geo::rules::Spec;
use meridian::latency::read::Context;
use meridian::latency::read::rows;
use meridian::latency::table::Limits;
use meridian::latency::table::Table;

fn spec() -> Spec {
    let places = [
        (45.60, -121.18),
        (33.07, -80.04),
        (50.45, 3.82),
        (-23.55, -46.63),
        (35.69, 139.69),
        (1.35, 103.82),
        (-33.87, 151.21),
        (-26.20, 28.05),
    ];
    let sites = places
        .into_iter()
        .zip(0..)
        .map(|((latitude, longitude), at)| {
            let point = Point {
                latitude,
                longitude,
            };
            Site::new(PoolIx(at), point)
        });
    Spec {
        policy: Policy::Nearest,
        sites: sites.collect(),
        rules: Vec::new(),
        regions: Vec::new(),
    }
}

fn real(c: &mut Criterion) {
    let Some(folder) = std::env::var_os("MERIDIAN_GEODATA").map(PathBuf::from) else {
        println!("MERIDIAN_GEODATA is not set: no run on a whole database");
        return;
    };
    let database = std::fs::read(folder.join("synthetic-city.mmdb")).expect("the database");
    let subnets = std::fs::read_to_string(folder.join("client-subnets.txt")).expect("the clients");
    let subnets = subnets.lines().filter_map(|line| line.parse().ok());
    let subnets: Vec<Prefix> = subnets.collect();
    let read = || Atlas::read(database.clone(), None, &|_| None).expect("a sound database");
    let atlas = read();
    let spec = spec();
    let table = compile(&spec, &atlas);
    let key_of: Vec<u32> = table
        .ranks()
        .iter()
        .map(|r| r.groups.iter().next().expect("a group")[0].pool.0)
        .collect();
    let granularity = PerFamily { v4: 24, v6: 56 };
    let answer_table = table.merged(&key_of, granularity);
    println!(
        "atlas {:?}, {} locations, {} ranges, {} bytes; table {} ranks, {} ranges, {} bytes; \
         answer_table {} ranges, {} bytes",
        atlas.about(),
        atlas.locations().len(),
        atlas.places().n_ranges(),
        atlas.n_bytes(),
        table.ranks().len(),
        table.n_ranges(),
        table.n_bytes(),
        answer_table.n_ranges(),
        answer_table.n_bytes(),
    );
    let mut group = c.benchmark_group("city");
    group.sample_size(10);
    group.bench_function("read", |b| b.iter(read));
    group.bench_function("compile", |b| b.iter(|| compile(&spec, &atlas)));
    group.bench_function("merge", |b| b.iter(|| table.merged(&key_of, granularity)));
    group.throughput(Throughput::Elements(subnets.len() as u64));
    group.bench_function("ranking", |b| {
        b.iter(|| {
            for subnet in &subnets {
                black_box(table.lookup(*subnet, &key_of));
            }
        });
    });
    group.bench_function("answer_table", |b| {
        b.iter(|| {
            for subnet in &subnets {
                black_box(answer_table.lookup(*subnet));
            }
        });
    });
    group.throughput(Throughput::Elements(1));
    let mut scratch = MajorityScratch::default();
    for text in ["81.0.0.0/24", "80.0.0.0/8", "0.0.0.0/1", "2000::/3"] {
        let prefix: Prefix = text.parse().expect("a prefix");
        group.bench_function(BenchmarkId::new("majority", text.replace('/', "-")), |b| {
            b.iter(|| table.majority(prefix, &key_of, &mut scratch));
        });
    }
}

/// A table of a million rows: each pool from 125,000 networks of client subnets and around them.
fn latency_table(subnets: &[Prefix]) -> String {
    let mut text = "key,pool,rtt_ms,samples,measured\n".to_owned();
    let mut networks: Vec<Prefix> = Vec::new();
    for len in (8..=24).rev() {
        networks.extend(subnets.iter().map(|subnet| subnet.truncated(len)));
    }
    networks.sort();
    networks.dedup();
    // Enough of them, even if the clients are few.
    let more = (0..=u16::MAX).map(|n| {
        let [high, low] = n.to_be_bytes();
        Prefix::cut([81, high, low, 0].into(), 24)
    });
    let more = more.chain((0..=u16::MAX).map(|n| {
        let [high, low] = n.to_be_bytes();
        Prefix::cut([80, high, low, 0].into(), 24)
    }));
    networks.extend(more);
    let mut random = 1_u64;
    for network in networks.iter().take(125_000) {
        for pool in 0..8 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let rtt = 1.0 + (random >> 40) as f64 / f64::from(1 << 24) * 299.0;
            let _ = writeln!(
                text,
                "{network},pool-{pool},{rtt:.1},57,2026-11-27T12:00:00Z"
            );
        }
    }
    text
}

fn read_table(text: &str) -> Arc<Table> {
    let file = "latency.csv".into();
    let context = Context {
        file: &file,
        written: 0,
        is_country: &|_| true,
    };
    let limits = Limits {
        min_samples: 10,
        max_age: u64::MAX,
        now: 0,
    };
    let (rows, pools) = rows(text, &context, &mut Report::default()).expect("sound");
    Arc::new(Table::new(rows, pools, &limits))
}

fn latency(c: &mut Criterion) {
    let Some(folder) = std::env::var_os("MERIDIAN_GEODATA").map(PathBuf::from) else {
        return;
    };
    let database = std::fs::read(folder.join("synthetic-city.mmdb")).expect("the database");
    let subnets = std::fs::read_to_string(folder.join("client-subnets.txt")).expect("the clients");
    let subnets: Vec<Prefix> = subnets
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    let atlas = Atlas::read(database, None, &|_| None).expect("a sound database");
    let text = latency_table(&subnets);
    let read = || read_table(&text);
    let table = read();
    let spec = Spec {
        policy: Policy::Latency,
        ..spec()
    };
    let at = Point {
        latitude: 0.0,
        longitude: 0.0,
    };
    let pools: Vec<(Box<str>, Point)> = (0..8)
        .map(|at| format!("pool-{at}").into_boxed_str())
        .map(|name| (name, at))
        .collect();
    let join = || Measured::new(Arc::clone(&table), pools.clone(), &atlas);
    let measured = join();
    let compiled = by_latency::compile(&spec, &atlas, &measured, None);
    println!(
        "latency: {} octets, {} keys, {} entries; {} ranks, {} ranges, {} bytes",
        text.len(),
        table.keys().len(),
        table.n_entries(),
        compiled.ranks().len(),
        compiled.n_ranges(),
        compiled.n_bytes(),
    );
    let mut group = c.benchmark_group("latency");
    group.sample_size(10);
    group.bench_function("read", |b| b.iter(read));
    group.bench_function("join", |b| b.iter(join));
    group.bench_function("compile", |b| {
        b.iter(|| by_latency::compile(&spec, &atlas, &measured, None));
    });
    let incumbents = Incumbents::of(&compiled, Some);
    group.bench_function("compile again", |b| {
        b.iter(|| by_latency::compile(&spec, &atlas, &measured, Some(&incumbents)));
    });
}

criterion_group!(benches, real, latency);
criterion_main!(benches);
