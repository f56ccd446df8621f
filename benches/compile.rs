//! How long does it take to read a whole database, to compile it for eight pools, and to ask it?
//!
//! Runs on `synthetic-city.mmdb` in the folder that `MERIDIAN_GEODATA` names.

#![expect(clippy::print_stdout, reason = "sizes belong beside the times")]

use std::hint::black_box;
use std::path::PathBuf;

use criterion::BenchmarkId;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;

use meridian::base::ix::PoolIx;
use meridian::base::location::Point;
use meridian::base::per_family::PerFamily;
use meridian::base::prefix::Prefix;
use meridian::base::rank::Policy;
use meridian::geo::atlas::Atlas;
use meridian::geo::majority::MajorityScratch;
use meridian::geo::rank_table::compile;
use meridian::geo::rules::Site;
use meridian::geo::rules::Spec;

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

criterion_group!(benches, real);
criterion_main!(benches);
