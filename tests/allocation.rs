//! Answering and recording allocate nothing: a counting allocator watches `engine::answer`, and a million answers
//! while tables are swapped are each of one generation.

#![expect(
    unsafe_code,
    reason = "a global allocator is an unsafe trait; this one only counts and passes on"
)]

#[path = "support/mod.rs"]
mod support;

use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::cell::Cell;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use meridian::base::health::Health;
use meridian::base::name::Name;
use meridian::base::prefix::Prefix;
use meridian::base::rr::RrType;
use meridian::base::transport::Transport;
use meridian::daemon::load::embedded_atlas;
use meridian::engine::Arrival;
use meridian::engine::Scratch;
use meridian::engine::answer;
use meridian::querylog::AllCounters;
use meridian::querylog::Counters;
use meridian::querylog::Exchange;
use meridian::querylog::QueryLog;
use meridian::state::counters;
use meridian::state::evidence::Evidence;
use meridian::state::plan::Plan;
use meridian::state::publish::Publisher;
use meridian::state::publish::SnapshotReader;
use meridian::state::snapshot::Snapshot;
use prometheus::IntCounter;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const POOLS: &str = r#"
[pool.us]
location = [45.60, -121.18]
endpoints = ["10.0.0.1", "10.0.0.2"]
[pool.eu]
location = [50.45, 3.82]
endpoints = ["10.0.1.1", "10.0.1.2"]
[pool.jp]
location = [35.69, 139.69]
endpoints = ["10.0.2.1", "10.0.2.2"]
[steer."app.example.com"]
pools = ["us", "eu", "jp"]
[steer."hints.example.com"]
hints = true
pools = ["us", "eu", "jp"]
[steer."shared.example.com"]
policy = "weighted"
answers = 1
pools = ["us", "eu", "jp"]
"#;

const ZONE: &str = "$TTL 60
@ SOA ns h 1 1 1 1 1
@ NS ns
ns A 192.0.2.1
www CNAME app
hints HTTPS 1 . alpn=h2 port=8443
hints HTTPS 2 other alpn=h2
txt TXT \"text\"
mail MX 10 ns
sub NS ns.sub
ns.sub A 192.0.2.2
old DNAME new
*.wild A 192.0.2.3
";

fn plan(pools: &str) -> Arc<Plan> {
    let atlas = embedded_atlas().expect("the embedded database is sound");
    support::plan("", pools, &[("example.com", ZONE)], Arc::new(atlas)).expect("no fault")
}

/// A query with an OPT, and an IPv4 client subnet in it if one is given.
fn query(name: &str, qtype: u16, subnet: Option<([u8; 4], u8)>) -> Vec<u8> {
    let name = Name::parse(name).expect("a name");
    let subnet = subnet.map(|(address, len)| Prefix::cut(IpAddr::from(address), len));
    support::query(&name, RrType(qtype), Some(1232), subnet)
}

const A: u16 = 1;

const ARRIVAL: Arrival = Arrival {
    src: IpAddr::V4(Ipv4Addr::LOCALHOST),
    transport: Transport::Udp,
    now_ms: 0,
};

fn scratch() -> Scratch {
    Scratch::new(Arc::new(counters::Counters::new(1)), 0)
}

#[test]
fn answering_allocates_nothing() {
    let plan = plan(POOLS);
    let merged = Snapshot::build(Arc::clone(&plan), &Evidence::default(), 1, None);
    let fresh = Snapshot::build(plan, &Evidence::default(), 2, None);
    let merged = merged.with_merged_tables();
    let mut scratch = scratch();
    let mut out = [0; 4096];
    let france = Some(([90, 63, 0, 0], 24));
    for (name, qtype, subnet) in [
        ("app.example.com", A, france),
        ("app.example.com", A, None),
        ("app.example.com", A, Some(([80, 0, 0, 0], 6))),
        ("app.example.com", 28, france),
        ("shared.example.com", A, france),
        ("shared.example.com", A, Some(([80, 0, 0, 0], 8))),
        ("hints.example.com", 65, france),
        ("hints.example.com", 65, Some(([80, 0, 0, 0], 6))),
        ("www.example.com", A, france),
        ("txt.example.com", 16, None),
        ("mail.example.com", 15, None),
        ("nope.example.com", A, france),
        ("deep.sub.example.com", A, None),
        ("a.old.example.com", A, None),
        ("b.wild.example.com", A, None),
        ("example.org", A, None),
        ("example.com", 255, None),
    ] {
        for snapshot in [&merged, &fresh] {
            let message = query(name, qtype, subnet);
            // The first may grow the scratch memory of a vote.
            let first = answer(snapshot, &mut scratch, ARRIVAL, &message, &mut out);
            assert!(first.response_len() > 12);
            let before = ALLOCATIONS.with(Cell::get);
            let len = answer(snapshot, &mut scratch, ARRIVAL, &message, &mut out).response_len();
            let after = ALLOCATIONS.with(Cell::get);
            assert!(len > 12, "{name} is answered");
            assert_eq!(after - before, 0, "{name} {qtype} {subnet:?}");
        }
    }
    let bad = query("app.example.com", A, Some(([90, 63, 0, 1], 24)));
    let before = ALLOCATIONS.with(Cell::get);
    answer(
        &merged,
        &mut scratch,
        ARRIVAL,
        &bad[..bad.len() - 1],
        &mut out,
    );
    assert_eq!(ALLOCATIONS.with(Cell::get), before, "malformed");
}

#[test]
fn recording_allocates_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let process = format!(
        "[dnstap]\nsocket = {:?}\n[decisions]\nfile = {:?}\nsample = 1.0\n",
        folder.path().join("nobody"),
        folder.path().join("decisions")
    );
    let atlas = embedded_atlas().expect("the embedded database is sound");
    let plan = support::plan(&process, POOLS, &[("example.com", ZONE)], Arc::new(atlas));
    let plan = plan.expect("no fault");
    let snapshot = Snapshot::build(Arc::clone(&plan), &Evidence::default(), 1, None);
    let publisher = Publisher::new(snapshot.with_merged_tables());
    let counters = || Counters {
        written: IntCounter::new("written", "Records.").expect("a counter"),
        dropped: IntCounter::new("dropped", "Records.").expect("a counter"),
    };
    let counters = AllCounters {
        dnstap: counters(),
        decisions: counters(),
    };
    let log = QueryLog::start(&plan.config.process, &publisher.reader(), &counters);
    let log = log.expect("threads");
    let mut recorder = log.recorders().recorder().expect("both are on");
    let (snapshot, mut scratch, mut out) = (publisher.current(), scratch(), [0; 4096]);
    let source = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
    let exchange = || Exchange {
        source,
        local: source,
        transport: Transport::Udp,
        query_time: Duration::ZERO,
        response_time: Duration::ZERO,
    };
    let message = query("app.example.com", A, Some(([90, 63, 0, 0], 24)));
    // Also when the ring is full, which nobody empties.
    for _ in 0..10_000 {
        let before = ALLOCATIONS.with(Cell::get);
        let outcome = answer(&snapshot, &mut scratch, ARRIVAL, &message, &mut out);
        let response = &out[..outcome.response_len()];
        recorder.record(&snapshot, outcome, 0, &message, response, exchange);
        assert_eq!(ALLOCATIONS.with(Cell::get), before);
    }
    assert!(counters.dnstap.dropped.get() > 0);
    drop(recorder);
    log.stop(Duration::from_secs(60));
    let decisions = &counters.decisions;
    assert_eq!(decisions.written.get() + decisions.dropped.get(), 10_000);
    assert!(decisions.written.get() > 0);
}

/// Answers during swaps; debug builds are slow, so they do with fewer.
const N_ANSWERS: usize = if cfg!(debug_assertions) {
    100_000
} else {
    1_000_000
};
const N_SWAPS: u64 = if cfg!(debug_assertions) { 100 } else { 1_000 };

#[test]
fn every_answer_is_of_one_generation() {
    // Both endpoints of a pool go down and come back together, by turns with the other pools', so
    // that an answer that mixes two generations names the endpoints of none.
    let plan = plan(POOLS);
    let evidence = |generation: u64| {
        let health = |pool: u64, endpoint: u64| match generation.is_multiple_of(2) {
            // Even: all is well; odd: one endpoint of each pool, the first or the second.
            true => Health::Up,
            false if (generation / 2 + pool) % 2 == endpoint => Health::Up,
            false => Health::Down,
        };
        let endpoints = (0..3)
            .map(|pool| vec![health(pool, 0), health(pool, 1)])
            .collect();
        Evidence {
            endpoints,
            ..Evidence::default()
        }
    };
    let first = Snapshot::build(plan.clone(), &evidence(0), 0, None);
    let publisher = Publisher::new(first.with_merged_tables());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..2 {
            let (publisher, stop) = (&publisher, &stop);
            scope.spawn(move || ask(&publisher.reader(), stop, seed));
        }
        for generation in 1..=N_SWAPS {
            let before = publisher.current();
            let evidence = evidence(generation);
            let next = Snapshot::build(plan.clone(), &evidence, generation, Some(&before));
            // Some are published before their merged tables are made, as after a flip.
            let is_bare = generation.is_multiple_of(3);
            publisher.publish(Arc::new(if is_bare {
                next
            } else {
                next.with_merged_tables()
            }));
        }
        stop.store(true, SeqCst);
    });
}

/// Asks for client after client until there were enough answers and no more swaps.
fn ask(snapshots: &SnapshotReader, stop: &AtomicBool, seed: u32) {
    let mut reader = snapshots.cached();
    let mut scratch = scratch();
    let mut out = [0; 4096];
    let (mut n, mut newest) = (0_usize, 0);
    while n < N_ANSWERS / 2 || !stop.load(SeqCst) {
        let snapshot = Arc::clone(reader.current());
        assert!(snapshot.generation >= newest, "time runs forward");
        newest = snapshot.generation;
        for _ in 0..64 {
            let address = (n as u32).wrapping_mul(2_654_435_761) ^ seed;
            let subnet = Some(((address & 0xFFFF_FF00).to_be_bytes(), 24));
            let message = query("app.example.com", A, subnet);
            let len = answer(&snapshot, &mut scratch, ARRIVAL, &message, &mut out).response_len();
            check(&out[..len], message.len(), newest);
            n += 1;
        }
    }
}

/// Checks that the addresses are those that this generation gives.
fn check(response: &[u8], query_len: usize, generation: u64) {
    let n = usize::from(u16::from_be_bytes([response[6], response[7]]));
    assert_eq!(
        (response[3] & 15, n),
        (0, if generation.is_multiple_of(2) { 2 } else { 1 })
    );
    // The records stand behind header and question; the query had an OPT of 23 octets behind that.
    let records = &response[query_len - 22..];
    let addresses: Vec<&[u8]> = (0..n)
        .map(|at| &records[at * 16 + 12..at * 16 + 16])
        .collect();
    let pool = addresses[0][2];
    assert!(
        addresses.iter().all(|address| address[2] == pool),
        "one pool: {addresses:?}"
    );
    if !generation.is_multiple_of(2) {
        let endpoint = (generation / 2 + u64::from(pool)) % 2 + 1;
        assert_eq!(
            u64::from(addresses[0][3]),
            endpoint,
            "generation {generation}"
        );
    }
}
