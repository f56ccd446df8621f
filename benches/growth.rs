//! What does an answer cost, and what does loading, as pools, steered names, names and zones grow?
//!
//! One table for each of them, in steps of ten: loading (text to plan, to snapshot, to merged tables), a
//! flip (one pool goes down: the snapshot that says so, without the merging that follows), an outage (so
//! do all pools west of Greenwich), and an answer to a random question, from bytes to bytes, without sockets. On `synthetic-city.mmdb` if
//! `MERIDIAN_GEODATA` names its folder, else on the embedded database. `cargo bench --bench growth --
//! pools names` makes only those two. A table ends early behind a step that took too long to load.
#![expect(clippy::print_stdout, reason = "tables are what it is for")]

use std::hint::black_box;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use meridian::base::health::Health;
use meridian::base::name::Name;
use meridian::base::prefix::Prefix;
use meridian::base::rr::RrType;
use meridian::base::transport::Transport;
use meridian::config::model::Pool;
use meridian::daemon::load::embedded_atlas;
use meridian::daemon::memory::pages;
use meridian::engine::Arrival;
use meridian::engine::Scratch;
use meridian::engine::answer;
use meridian::geo::atlas::Atlas;
use meridian::state::counters::Counters;
use meridian::state::evidence::Evidence;
use meridian::state::snapshot::Snapshot;

#[path = "../tests/support/mod.rs"]
mod support;

/// Questions asked in one round.
const N_ASKED: usize = 1 << 16;

/// Rounds, of which the median is printed.
const N_ROUNDS: usize = 9;

/// No larger step follows behind one that took so long.
const PATIENCE: Duration = Duration::from_secs(20);

const ZONE: &str = "$TTL 300\n@ SOA ns1 host 1 2h 1h 1w 5m\n@ NS ns1\nns1 A 192.0.2.53\n";

/// What is loaded and asked in one step.
struct Step {
    pools: String,
    zones: Vec<(String, String)>,
    /// The qname of the nth question.
    qname: Box<dyn Fn(usize) -> String>,
}

/// One kind of growth: what it is called, the steps, and how one is made.
type Growth = (&'static str, &'static [usize], fn(usize) -> Step);

const GROWTHS: [Growth; 5] = [
    ("pools", &[1, 10, 100, 1_000, 10_000], pools),
    ("names", &[1, 10, 100, 1_000, 10_000, 100_000], names_alike),
    ("specs", &[1, 10, 100], names_with_rules),
    (
        "records",
        &[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000],
        records,
    ),
    ("zones", &[1, 10, 100, 1_000, 10_000], zones),
];

/// A number below `n` that looks random.
fn scattered(nth: usize, n: usize) -> usize {
    (nth.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % n
}

/// Pools spread over the globe, and their names as a list.
fn pools_text(n: usize) -> (String, String) {
    let mut text = String::new();
    let mut names = Vec::new();
    for nth in 0..n {
        // A spiral of the golden angle, over the latitudes that people live at.
        let latitude = 65.0 - 105.0 * (nth as f64 + 0.5) / n as f64;
        let longitude = (nth as f64 * 137.507_764).rem_euclid(360.0) - 180.0;
        let [_, a, b, c] = (nth as u32).to_be_bytes();
        text += &format!(
            "[pool.p{nth}]\nlocation = [{latitude:.4}, {longitude:.4}]\n\
             endpoints = [\"10.{a}.{b}.{c}\", \"2001:db8::{nth:x}\"]\n"
        );
        names.push(format!("\"p{nth}\""));
    }
    (text, names.join(", "))
}

fn one_zone() -> Vec<(String, String)> {
    vec![("example.com".into(), ZONE.into())]
}

/// One name, more and more pools.
fn pools(n: usize) -> Step {
    let (text, all) = pools_text(n);
    Step {
        pools: format!("{text}[steer.\"app.example.com\"]\npools = [{all}]\n"),
        zones: one_zone(),
        qname: Box::new(|_| "app.example.com".into()),
    }
}

/// Eight pools, more and more names that are answered alike.
fn names_alike(n: usize) -> Step {
    let (mut text, all) = pools_text(8);
    for nth in 0..n {
        text += &format!("[steer.\"n{nth:06}.example.com\"]\npools = [{all}]\n");
    }
    Step {
        pools: text,
        zones: one_zone(),
        qname: Box::new(move |nth| format!("n{:06}.example.com", scattered(nth, n))),
    }
}

/// Eight pools, more and more names with a rule of their own.
fn names_with_rules(n: usize) -> Step {
    let (mut text, all) = pools_text(8);
    for nth in 0..n {
        let name = format!("n{nth:06}.example.com");
        let (a, b) = (nth / 256, nth % 256);
        text += &format!(
            "[steer.\"{name}\"]\npools = [{all}]\n\
             [[steer.\"{name}\".rule]]\nnetwork = [\"10.{a}.{b}.0/24\"]\npools = [\"p0\"]\n"
        );
    }
    Step {
        pools: text,
        zones: one_zone(),
        qname: Box::new(move |nth| format!("n{:06}.example.com", scattered(nth, n))),
    }
}

/// A zone of more and more names.
fn records(n: usize) -> Step {
    let mut zone = ZONE.to_owned();
    (0..n).for_each(|nth| zone += &format!("n{nth:06} A 192.0.2.1\n"));
    Step {
        pools: String::new(),
        zones: vec![("example.com".into(), zone)],
        qname: Box::new(move |nth| format!("n{:06}.example.com", scattered(nth, n))),
    }
}

/// More and more zones.
fn zones(n: usize) -> Step {
    let zone = format!("{ZONE}www A 192.0.2.1\n");
    Step {
        pools: String::new(),
        zones: (0..n)
            .map(|nth| (format!("z{nth:06}.example"), zone.clone()))
            .collect(),
        qname: Box::new(move |nth| format!("www.z{:06}.example", scattered(nth, n))),
    }
}

fn atlas() -> Arc<Atlas> {
    let atlas = match std::env::var_os("MERIDIAN_GEODATA").map(PathBuf::from) {
        Some(folder) => {
            let bytes = std::fs::read(folder.join("synthetic-city.mmdb")).expect("the database");
            Atlas::read(bytes, None, &|_| None)
        }
        None => embedded_atlas(),
    };
    Arc::new(atlas.expect("a sound database"))
}

/// All questions of a step, one after the other in one run of memory, and the length of each: how
/// messages happen to lie would otherwise be measured too.
fn questions(qname: &dyn Fn(usize) -> String) -> (Vec<u8>, usize) {
    let message = |nth: usize| {
        let name = Name::parse(&qname(nth)).expect("a name");
        let client = IpAddr::from((scattered(nth, 1 << 32) as u32).to_be_bytes());
        support::query(&name, RrType::A, Some(1232), Some(Prefix::cut(client, 24)))
    };
    let len = message(0).len();
    let all: Vec<u8> = (0..N_ASKED).flat_map(message).collect();
    assert_eq!(all.len(), N_ASKED * len, "questions are of one length");
    (all, len)
}

/// The median time of an answer.
fn answer_time(snapshot: &Snapshot, qname: &dyn Fn(usize) -> String) -> Duration {
    let (messages, len) = questions(qname);
    let mut scratch = Scratch::new(Arc::new(Counters::new(1)), 0);
    let arrival = Arrival {
        src: IpAddr::from([198, 51, 100, 7]),
        transport: Transport::Udp,
        now_ms: 1_700_000_000_000,
    };
    let mut out = [0; 4096];
    let mut round = || {
        let started = Instant::now();
        for message in messages.chunks_exact(len) {
            let len = answer(snapshot, &mut scratch, arrival, message, &mut out).response_len();
            assert!(len > 0, "every question has an answer");
            black_box(&out);
        }
        started.elapsed() / N_ASKED as u32
    };
    // The first one finds nothing in the caches.
    round();
    let mut rounds: Vec<Duration> = (0..N_ROUNDS).map(|_| round()).collect();
    rounds.sort();
    rounds[N_ROUNDS / 2]
}

/// Times one step and prints its row; returns how long loading took.
fn run(n: usize, step: &Step, atlas: &Arc<Atlas>) -> Duration {
    let zones: Vec<_> = step
        .zones
        .iter()
        .map(|(origin, text)| (origin.as_str(), text.as_str()))
        .collect();
    let started = Instant::now();
    let plan = support::plan("", &step.pools, &zones, Arc::clone(atlas)).expect("no faults");
    let planned = started.elapsed();
    let built = Snapshot::build(Arc::clone(&plan), &Evidence::default(), 1, None);
    let building = started.elapsed() - planned;
    let snapshot = built.with_merged_tables();
    let loaded = started.elapsed();
    let down = Evidence {
        endpoints: vec![vec![Health::Down; 2]],
        ..Evidence::default()
    };
    let started = Instant::now();
    let flipped = Snapshot::build(Arc::clone(&plan), &down, 2, Some(&snapshot));
    let flip = started.elapsed();
    drop(flipped);
    let is_west = |pool: &Pool| pool.location.longitude < 0.0;
    let health = |pool: &Pool| {
        if is_west(pool) {
            Health::Down
        } else {
            Health::Up
        }
    };
    let pools = &plan.config.pools.pools;
    let half = Evidence {
        endpoints: pools.iter().map(|pool| vec![health(pool); 2]).collect(),
        ..Evidence::default()
    };
    let started = Instant::now();
    drop(Snapshot::build(
        Arc::clone(&plan),
        &half,
        2,
        Some(&snapshot),
    ));
    let outage = started.elapsed();
    pages::join();
    let answer = answer_time(&snapshot, &step.qname);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "| {n} | {:.1} ms | {:.1} ms | {:.1} ms | {:.2} ms | {:.1} ms | {} ns |",
        ms(planned),
        ms(building),
        ms(loaded),
        ms(flip),
        ms(outage),
        answer.as_nanos()
    );
    loaded
}

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let atlas = atlas();
    for (what, steps, make) in GROWTHS {
        if !wanted.is_empty() && !wanted.iter().any(|word| word == what) {
            continue;
        }
        println!(
            "\n| {what} | plan | build | loaded | flip | outage | an answer |\n|---|---|---|---|---|---|---|"
        );
        for n in steps {
            if run(*n, &make(*n), &atlas) > PATIENCE {
                break;
            }
        }
    }
}
