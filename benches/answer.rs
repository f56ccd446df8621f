//! How long does one query take through the engine, from bytes to bytes, without sockets?
//!
//! Steered answers are asked for random client subnets: on `synthetic-city.mmdb` if `MERIDIAN_GEODATA`
//! names its folder, else on the embedded database. Static answers come from zones of one name and of
//! a million names, in random order so that caches help as little as in life.

use std::hint::black_box;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use criterion::BenchmarkId;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;

use meridian::base::ix::SteeredIx;
use meridian::base::name::Name;
use meridian::base::prefix::Family;
use meridian::base::prefix::Prefix;
use meridian::base::rr::RrType;
use meridian::base::transport::Transport;
use meridian::daemon::load::embedded_atlas;
use meridian::daemon::memory::pages;
use meridian::engine::Arrival;
use meridian::engine::Prefetcher;
use meridian::engine::Scratch;
use meridian::engine::answer;
use meridian::geo::atlas::Atlas;
use meridian::state::counters::Counters;
use meridian::state::evidence::Evidence;
use meridian::state::plan::Plan;
use meridian::state::snapshot::Snapshot;

#[path = "../tests/support/mod.rs"]
mod support;

/// Queries asked in one iteration, so that a whole iteration's worth does not stay in the cache.
const N_ASKED: usize = 1 << 14;

/// Eight regions of a cloud, and `app.example.com` in all of them.
const POOLS: &str = include_str!("../tests/support/regions.toml");

fn zone(n_names: usize) -> String {
    let mut text =
        "$TTL 300\n@ SOA ns1 host 1 2h 1h 1w 5m\n@ NS ns1\nns1 A 192.0.2.53\n".to_owned();
    (0..n_names).for_each(|n| text += &format!("h{n} A 192.0.2.1\n"));
    text
}

fn geodata() -> Option<PathBuf> {
    std::env::var_os("MERIDIAN_GEODATA").map(PathBuf::from)
}

fn atlas() -> Arc<Atlas> {
    Arc::new(match geodata() {
        Some(folder) => {
            let bytes = std::fs::read(folder.join("synthetic-city.mmdb")).expect("the database");
            Atlas::read(bytes, None, &|_| None).expect("a sound database")
        }
        None => embedded_atlas().expect("a sound database"),
    })
}

fn subnets() -> Vec<Prefix> {
    match geodata() {
        Some(folder) => std::fs::read_to_string(folder.join("client-subnets.txt"))
            .expect("the clients")
            .lines()
            .filter_map(|line| line.parse().ok())
            .take(N_ASKED)
            .collect(),
        None => (0..N_ASKED as u32)
            .map(|n| Prefix::cut(IpAddr::from(n.wrapping_mul(0x9E37_79B1).to_be_bytes()), 24))
            .collect(),
    }
}

fn snapshot(plan: Arc<Plan>) -> Snapshot {
    Snapshot::build(plan, &Evidence::default(), 1, None).with_merged_tables()
}

fn plan(n_names: usize, atlas: &Arc<Atlas>) -> Arc<Plan> {
    let zones = [("example.com", zone(n_names))];
    let zones = zones
        .each_ref()
        .map(|(origin, text)| (*origin, text.as_str()));
    support::plan("", POOLS, &zones, Arc::clone(atlas)).expect("no faults")
}

/// Octets from one message to the next: where messages lie must not differ from run to run.
const STRIDE: usize = 128;

/// How many messages ahead a UDP thread prefetches.
const PREFETCH_DISTANCE: usize = 4;

/// Rounds for the median of single answers.
const N_ROUNDS: usize = 8;

/// Messages as a UDP thread has them: each at a place of its own.
struct Messages {
    octets: Vec<u8>,
    lens: Vec<usize>,
}

impl Messages {
    fn of(messages: &[Vec<u8>]) -> Self {
        let mut octets = vec![0; messages.len() * STRIDE];
        for (place, message) in octets.chunks_exact_mut(STRIDE).zip(messages) {
            place[..message.len()].copy_from_slice(message);
        }
        let lens = messages.iter().map(Vec::len).collect();
        // As the program does when it has loaded all.
        pages::join();
        Self { octets, lens }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let places = self.octets.chunks_exact(STRIDE).zip(&self.lens);
        places.map(|(message, len)| &message[..*len])
    }
}

const ARRIVAL: Arrival = Arrival {
    src: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
    transport: Transport::Udp,
    now_ms: 1_700_000_000_000,
};

/// What a UDP thread has.
struct Thread<'a> {
    snapshot: &'a Snapshot,
    scratch: Scratch,
    out: [u8; 4096],
}

impl<'a> Thread<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            scratch: Scratch::new(Arc::new(Counters::new(2)), 0),
            out: [0; 4096],
        }
    }

    fn answer(&mut self, message: &[u8]) {
        let (scratch, out) = (&mut self.scratch, &mut self.out);
        let outcome = answer(self.snapshot, scratch, ARRIVAL, message, out);
        black_box(outcome.response_len());
    }
}

fn measure(c: &mut Criterion, id: BenchmarkId, n: usize, mut round: impl FnMut()) {
    let mut group = c.benchmark_group("answer");
    group.throughput(Throughput::Elements(n as u64));
    group.bench_function(id, |b| b.iter(&mut round));
}

/// Asks all messages, one after the other.
fn ask(c: &mut Criterion, id: BenchmarkId, snapshot: &Snapshot, messages: &[Vec<u8>]) {
    let messages = Messages::of(messages);
    let mut thread = Thread::new(snapshot);
    measure(c, id, messages.lens.len(), || {
        messages.iter().for_each(|message| thread.answer(message));
    });
}

/// The same with prefetching, as the messages of one batch are answered.
fn ask_prefetched(c: &mut Criterion, id: BenchmarkId, snapshot: &Snapshot, messages: &[Vec<u8>]) {
    let messages = Messages::of(messages);
    let mut thread = Thread::new(snapshot);
    measure(c, id, messages.lens.len(), || {
        let prefetcher = Prefetcher::of(snapshot, &thread.scratch);
        let later = messages
            .iter()
            .skip(PREFETCH_DISTANCE)
            .chain([&[][..]; PREFETCH_DISTANCE]);
        for (message, later) in messages.iter().zip(later) {
            prefetcher.prefetch(later);
            thread.answer(message);
        }
    });
}

/// Prints the median of single answers, without what looking at the clock twice takes.
#[expect(clippy::print_stderr, reason = "criterion knows means only")]
fn tell_median(what: &str, snapshot: &Snapshot, messages: &[Vec<u8>]) {
    let messages = Messages::of(messages);
    let mut thread = Thread::new(snapshot);
    let mut times = Vec::new();
    let mut empty = Vec::new();
    for _ in 0..N_ROUNDS {
        for message in messages.iter() {
            let begin = Instant::now();
            let middle = Instant::now();
            thread.answer(message);
            times.push(middle.elapsed());
            empty.push(middle - begin);
        }
    }
    let [time, empty] = [times, empty].map(|mut times| {
        let middle = times.len() / 2;
        *times.select_nth_unstable(middle).1
    });
    eprintln!(
        "answer/{what}: p50 {} ns (clock {} ns taken off)",
        (time - empty).as_nanos(),
        empty.as_nanos()
    );
}

fn steered(c: &mut Criterion) {
    let atlas = atlas();
    let snapshot = snapshot(plan(1, &atlas));
    let name = Name::parse("app.example.com").expect("a name");
    let subnets = subnets();
    let with_subnet: Vec<_> = subnets
        .iter()
        .map(|subnet| support::query(&name, RrType::A, Some(1232), Some(*subnet)))
        .collect();
    ask(
        c,
        BenchmarkId::new("steered", "subnets"),
        &snapshot,
        &with_subnet,
    );
    ask_prefetched(
        c,
        BenchmarkId::new("steered", "subnets, prefetched"),
        &snapshot,
        &with_subnet,
    );
    tell_median("steered/subnets", &snapshot, &with_subnet);
    for family in [Family::V4, Family::V6] {
        let of_family = subnets
            .iter()
            .zip(&with_subnet)
            .filter(|(s, _)| s.family() == family);
        let of_family: Vec<_> = of_family.map(|(_, m)| m.clone()).collect();
        // Without the folder of databases, all are of IPv4.
        if !of_family.is_empty() {
            tell_median(&format!("steered/{family:?}"), &snapshot, &of_family);
        }
    }
    let plain = vec![support::query(&name, RrType::A, Some(1232), None); N_ASKED];
    ask(
        c,
        BenchmarkId::new("steered", "one resolver"),
        &snapshot,
        &plain,
    );
    let missing = Name::parse("missing.example.com").expect("a name");
    let negative = vec![support::query(&missing, RrType::A, Some(1232), None); N_ASKED];
    ask(
        c,
        BenchmarkId::new("static", "NXDOMAIN"),
        &snapshot,
        &negative,
    );
}

/// What every 127th steered answer takes on top: its client's country is looked up and counted.
fn sample(c: &mut Criterion) {
    let snapshot = snapshot(plan(1, &atlas()));
    let subnets = subnets();
    measure(
        c,
        BenchmarkId::new("steered", "sample"),
        subnets.len(),
        || {
            for subnet in &subnets {
                let country = snapshot.plan.atlas.country(subnet.addr());
                snapshot.plan.countries.count(0, SteeredIx(0), country);
            }
        },
    );
}

fn fixed(c: &mut Criterion) {
    let atlas = atlas();
    for n_names in [1, 1_000_000] {
        let snapshot = snapshot(plan(n_names, &atlas));
        let messages: Vec<_> = (0..N_ASKED)
            .map(|n| n.wrapping_mul(0x9E37_79B1) % n_names)
            .map(|n| Name::parse(&format!("h{n}.example.com")).expect("a name"))
            .map(|name| support::query(&name, RrType::A, Some(1232), None))
            .collect();
        let id = BenchmarkId::new("static", format!("{n_names} names"));
        ask(c, id, &snapshot, &messages);
    }
}

criterion_group!(benches, steered, sample, fixed);
criterion_main!(benches);
