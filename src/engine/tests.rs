//! Limits and cookies through [`answer`]: what a flood gets, and who is exempt.

use std::net::IpAddr;
use std::sync::Arc;

use super::Arrival;
use super::Outcome;
use super::Scratch;
use super::answer;
use super::explain::explain;
use super::question::Asker;
use super::question::Question;
use super::rate_limit::RateLimiter;
use crate::base::name::Name;
use crate::base::rr::RrType;
use crate::base::transport::Transport;
use crate::health::overrides::Forced;
use crate::state::counters::Counters;
use crate::state::counters::Dropped;
use crate::state::country_counters::SAMPLE_INTERVAL;
use crate::state::evidence::Evidence;
use crate::state::fixture;
use crate::state::plan::Plan;
use crate::state::snapshot::Snapshot;
use crate::wire::cookie::Secrets;

const ZONE: &str = "$TTL 300\n@ SOA ns1 host 1 2h 1h 1w 5m\n@ NS ns1\nns1 A 192.0.2.53\n\
     www A 192.0.2.1\nsub NS ns.sub\nns.sub A 192.0.2.2\n";

const POOLS: &str = "[pool.p]\nlocation = [0, 0]\nendpoints = [\"192.0.2.10\"]\n\
     [steer.\"app.example.com\"]\npools = [\"p\"]\n";

/// A thread with a limit of ten responses of a class to a client prefix in a second.
struct Thread {
    snapshot: Snapshot,
    counters: Arc<Counters>,
    scratch: Scratch,
    now_ms: u64,
}

impl Thread {
    fn start(slip: u32) -> Self {
        let process = format!(
            "[server]\nnsid = \"ns1\"\n[server.rate_limit]\nresponses_per_second = 10\nslip = {slip}\n"
        );
        let atlas = fixture::embedded_atlas();
        let plan = Plan {
            cookie_secrets: Some(Secrets::one(*b"not very secret!")),
            ..fixture::plan(&process, POOLS, &[("example.com", ZONE)], atlas)
        };
        let limit = plan.config.process.server.rate_limit.clone().unwrap();
        let limiter = Arc::new(RateLimiter::new(limit, *b"not very random!"));
        let counters = Arc::new(Counters::new(1));
        Self {
            snapshot: Snapshot::build(Arc::new(plan), &Evidence::default(), 1, None),
            scratch: Scratch::new(Arc::clone(&counters), 0).with_limiter(Some(limiter)),
            counters,
            now_ms: 1_700_000_000_000,
        }
    }

    fn ask(&mut self, transport: Transport, message: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 65_535];
        let outcome = self.outcome(transport, message, &mut out);
        out.truncate(outcome.response_len());
        out
    }

    fn outcome(&mut self, transport: Transport, message: &[u8], out: &mut [u8]) -> Outcome {
        let arrival = Arrival {
            src: IpAddr::from([198, 51, 100, 7]),
            transport,
            now_ms: self.now_ms,
        };
        *answer(&self.snapshot, &mut self.scratch, arrival, message, out)
    }

    /// What 30 times the same query gets at one moment.
    fn flood(&mut self, transport: Transport, message: &[u8]) -> Flooded {
        let mut got = Flooded::default();
        for _ in 0..30 {
            let response = self.ask(transport, message);
            match response.get(..12) {
                None => got.n_silent += 1,
                Some(header) if header[2] & 2 != 0 => {
                    assert_eq!(header[6..10], [0; 4], "TC without records");
                    got.n_truncated += 1;
                }
                Some(header) if header[3] & 15 == 7 => got.n_bad_cookie += 1,
                Some(_) => got.n_whole += 1,
            }
        }
        got
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Flooded {
    n_whole: u32,
    n_truncated: u32,
    n_bad_cookie: u32,
    n_silent: u32,
}

/// An A query for a name, with an OPT that has these options if `options` is given.
fn query(name: &[u8], options: Option<&[u8]>) -> Vec<u8> {
    let mut message = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0".to_vec();
    message.extend_from_slice(name);
    message.extend_from_slice(b"\x07example\x03com\0\0\x01\0\x01");
    if let Some(options) = options {
        message[11] = 1;
        message.extend_from_slice(b"\0\0\x29\x04\xd0\0\0\0\0\0");
        message.push(options.len() as u8);
        message.extend_from_slice(options);
    }
    message
}

const WWW: &[u8] = b"\x03www";
const APP: &[u8] = b"\x03app";
const CLIENT_COOKIE: &[u8] = b"\0\x0a\0\x08client_1";

/// The cookie option of a response.
fn cookie_of(response: &[u8]) -> Vec<u8> {
    let at = response
        .windows(CLIENT_COOKIE.len())
        .position(|part| part == b"\0\x0a\0\x18client_1")
        .expect("a cookie");
    response[at..at + 28].to_vec()
}

/// The last octet of each A record's address in a response of nothing else.
fn last_octets(response: &[u8]) -> Vec<u8> {
    let n = usize::from(response[7]);
    let records = &response[response.len() - 16 * n..];
    records.chunks(16).map(|record| record[15]).collect()
}

#[test]
fn records_take_turns_unless_the_order_is_fixed_or_the_clients() {
    let zone = format!("{ZONE}many A 192.0.2.1\n A 192.0.2.2\n A 192.0.2.3\nalias CNAME app\n");
    let first_three = |order: &str, name: &[u8]| {
        let pools = format!(
            "[pool.p]\nlocation = [0, 0]\nendpoints = [\"192.0.2.1\", \"192.0.2.2\", \"192.0.2.3\"]\n\
             [steer.\"app.example.com\"]\npools = [\"p\"]\norder = \"{order}\"\n"
        );
        let atlas = fixture::embedded_atlas();
        let plan = fixture::plan("", &pools, &[("example.com", &zone)], atlas);
        let mut thread = Thread {
            snapshot: Snapshot::build(Arc::new(plan), &Evidence::default(), 1, None),
            scratch: Scratch::new(Arc::new(Counters::new(1)), 0),
            ..Thread::start(2)
        };
        let mut ask = || {
            let mut response = thread.ask(Transport::Udp, &query(name, None));
            // The alias is no address.
            let n_aliases = u8::from(name == b"\x05alias");
            response[7] -= n_aliases;
            last_octets(&response)
        };
        [ask(), ask(), ask()]
    };
    let rotated = [[1, 2, 3], [2, 3, 1], [3, 1, 2]];
    for name in [APP, b"\x04many", b"\x05alias"] {
        let orders = first_three("rotate", name);
        assert_eq!(orders, [rotated[0], rotated[1], rotated[0]], "{name:?}");
    }
    assert_eq!(first_three("fixed", APP), [[1, 2, 3]; 3]);
    let [first, second, third] = first_three("hash", APP);
    assert!(first == second && second == third, "the same client");
    assert!(rotated.iter().any(|order| *order == *first));
}

#[test]
fn all_records_come_first_equally_often_whatever_is_asked_between() {
    for n in [2, 3, 4, 8] {
        for n_between in 0..12 {
            let mut scratch = Scratch::new(Arc::new(Counters::new(1)), 0);
            let mut n_first = [0_u32; 8];
            for _ in 0..400 {
                n_first[scratch.next_turn(n)] += 1;
                for _ in 0..n_between {
                    scratch.next_turn(2);
                }
            }
            let mean = 400 / n as u32;
            let close = mean * 9 / 10..=mean * 11 / 10;
            let all_close = n_first[..n].iter().all(|n| close.contains(n));
            assert!(all_close, "{n} records, {n_between} between: {n_first:?}");
        }
    }
}

#[test]
fn a_flood_gets_its_share_and_every_other_one_truncated() {
    let mut thread = Thread::start(2);
    for message in [query(WWW, None), query(WWW, Some(b""))] {
        thread.now_ms += 10_000;
        let expected = Flooded {
            n_whole: 10,
            n_truncated: 10,
            n_silent: 10,
            ..Flooded::default()
        };
        assert_eq!(thread.flood(Transport::Udp, &message), expected);
    }
    assert_eq!(thread.counters.dropped(Dropped::RateLimit), 20);
}

#[test]
fn classes_have_a_share_each_and_errors_are_never_truncated() {
    let mut thread = Thread::start(1);
    let other_zone = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x01x\x04test\0\0\x01\0\x01".to_vec();
    let malformed = [query(WWW, None), vec![0]].concat();
    for (message, n_whole) in [
        (query(WWW, None), 10),
        (query(b"\x03ns1", None), 0),
        (query(b"\x07missing", None), 10),
        (query(b"\x07another", None), 0),
        (query(b"\x03sub", None), 10),
        // Errors slip as they are, since all of the suppressed do.
        (other_zone, 30),
        (malformed, 30),
    ] {
        let got = thread.flood(Transport::Udp, &message);
        assert_eq!((got.n_whole, got.n_truncated), (n_whole, 30 - n_whole));
    }
    let mut thread = Thread::start(0);
    let malformed = [query(WWW, None), vec![0]].concat();
    let got = thread.flood(Transport::Udp, &malformed);
    assert_eq!((got.n_whole, got.n_silent), (10, 20));
}

#[test]
fn a_client_with_a_cookie_is_asked_to_use_it_and_then_exempt() {
    let mut thread = Thread::start(2);
    let new = query(WWW, Some(CLIENT_COOKIE));
    let expected = Flooded {
        n_whole: 10,
        n_bad_cookie: 10,
        n_silent: 10,
        ..Flooded::default()
    };
    assert_eq!(thread.flood(Transport::Udp, &new), expected);
    let refused = (0..2)
        .map(|_| thread.ask(Transport::Udp, &new))
        .find(|response| !response.is_empty())
        .expect("every other one slips");
    assert_eq!(refused.len(), new.len() + 16, "no records");
    let known = query(WWW, Some(&cookie_of(&refused)));
    assert_eq!(thread.flood(Transport::Udp, &known).n_whole, 30);
    // Others of its prefix are not.
    assert_eq!(thread.flood(Transport::Udp, &new).n_whole, 0);
    let forged = query(WWW, Some(b"\0\x0a\0\x18client_1\x01\0\0\0forged_times"));
    assert_eq!(thread.flood(Transport::Udp, &forged).n_whole, 0);
}

#[test]
fn tcp_is_never_limited() {
    let mut thread = Thread::start(0);
    let message = query(WWW, None);
    assert_eq!(thread.flood(Transport::Tcp, &message).n_whole, 30);
    assert_eq!(thread.flood(Transport::Udp, &message).n_whole, 10);
}

#[test]
fn only_answers_that_leave_are_counted() {
    let mut thread = Thread::start(2);
    let got = thread.flood(Transport::Udp, &query(APP, None));
    assert_eq!(got.n_whole, 10);
    let n: u64 = thread.snapshot.plan.counters.totals().map(|(_, n)| n).sum();
    assert_eq!(n, 10);
}

#[test]
fn every_nth_steered_answer_is_counted_by_its_clients_country() {
    let mut thread = Thread::start(2);
    let subnet = |octets: [u8; 3]| [&[0, 8, 0, 7, 0, 1, 24, 0][..], &octets].concat();
    let (america, japan) = (subnet([8, 8, 8]), subnet([203, 178, 128]));
    for (n, message) in [
        (3, query(WWW, None)),
        (SAMPLE_INTERVAL - 1, query(APP, Some(&america))),
        (1, query(APP, Some(&japan))),
        (SAMPLE_INTERVAL - 1, query(APP, Some(&japan))),
        (5, query(WWW, None)),
        // Neither has a client subnet, and the resolver's address is one of documentation.
        (SAMPLE_INTERVAL, query(APP, Some(b""))),
        (1, query(APP, None)),
    ] {
        (0..n).for_each(|_| drop(thread.ask(Transport::Tcp, &message)));
    }
    let totals = thread.snapshot.plan.countries.totals();
    let found: Vec<_> = totals
        .iter()
        .map(|((_, origin), n)| (origin.as_str(), *n))
        .collect();
    let n = u64::from(SAMPLE_INTERVAL);
    assert_eq!(found, [("JP", n), ("unknown", 2 * n)]);
}

#[test]
fn the_outcome_says_what_was_answered_or_why_nothing_was() {
    let mut thread = Thread::start(2);
    let typed = |qtype: u8| {
        let mut message = query(b"", Some(b""));
        let at = message.len() - 14;
        message[at] = qtype;
        message
    };
    let malformed = [query(WWW, Some(b"")), vec![0]].concat();
    let mut response = query(WWW, None);
    response[2] |= 0x80;
    for (message, expected) in [
        (query(WWW, None), "NOERROR"),
        (query(APP, None), "NOERROR app.example.com. p Up"),
        (query(b"\x05nopes", None), "NXDOMAIN"),
        (malformed, "FORMERR (trailing bytes after the last record)"),
        (
            typed(252),
            "REFUSED (transfers are for configured secondaries) Transfer",
        ),
        (response, "silence: response"),
        (vec![0; 11], "silence: short"),
    ] {
        let mut out = [0; 512];
        let outcome = thread.outcome(Transport::Udp, &message, &mut out);
        assert_eq!(shown(&thread.snapshot, &outcome), expected);
    }
}

/// An outcome in words.
fn shown(snapshot: &Snapshot, outcome: &Outcome) -> String {
    let response = match outcome.response {
        Ok(response) => response,
        Err(reason) => return format!("silence: {}", reason.as_str()),
    };
    let mut text = response.rcode.to_string();
    if let Some(error) = outcome.extended_error {
        text += &format!(" ({})", error.text);
    }
    if let Some(steered) = outcome.steered {
        let pools = &snapshot.plan.config.pools.pools;
        let pool = steered
            .pool
            .map_or("none", |pool| &*pools[pool.index()].name);
        let owner = &snapshot.plan.steered(steered.name).owner;
        text += &format!(" {owner} {pool} {:?}", steered.reason);
    }
    if let Some(refusal) = outcome.refusal {
        text += &format!(" {refusal:?}");
    }
    text
}

#[test]
fn an_explanation_adds_what_is_known_of_pools_that_are_down_or_drained() {
    let plan = Thread::start(2).snapshot.plan;
    let question = || Question {
        name: Name::parse("app.example.com").expect("a name"),
        qtype: RrType::A,
        client: Asker::Resolver(IpAddr::from([127, 0, 0, 1])),
    };
    let details = |_, _| Some("until noon".to_owned());
    for (forced, reason) in [
        (None, "first in the client's order that is up"),
        (
            Some(Forced::Drain),
            "nothing but drained pools is left (until noon)",
        ),
        (
            Some(Forced::Down),
            "no pool is up: chosen by all_down (until noon)",
        ),
    ] {
        let evidence = Evidence {
            forced: vec![forced],
            ..Evidence::default()
        };
        let snapshot = Snapshot::build(Arc::clone(&plan), &evidence, 1, None);
        let explained = explain(&snapshot, question(), &details);
        assert_eq!(explained.candidates[0].reason, reason);
    }
}
