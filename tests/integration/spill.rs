//! Pools that pass clients on: because an operator sheds them, or because the pool is above its mark.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Output;
use std::time::Duration;
use std::time::Instant;

use hickory_proto::rr::RecordType;
use serde_json::Value;

use crate::harness::Backends;
use crate::harness::Folder;
use crate::harness::Reply;
use crate::harness::Server;
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::http_with;
use crate::harness::still_world;
use crate::harness::world;

const APP: &str = "app.example.com.";
const BEARER: &str = "Authorization: Bearer s3cret-of-16-octets\r\n";

/// Where the clients of a test are: 200 client subnets each.
const FRANCE: [u8; 2] = [90, 63];
const UNITED_STATES: [u8; 2] = [12, 0];
const JAPAN: [u8; 2] = [126, 0];
const BRAZIL: [u8; 2] = [200, 160];

fn subnet([a, b]: [u8; 2], n: u8) -> String {
    format!("{a}.{b}.{n}.0/24")
}

/// The number of the only pool in an answer: the last octet of its address.
fn pool_of(reply: &Reply) -> u8 {
    let addresses = reply.addresses();
    assert_eq!(addresses.len(), 1, "{addresses:?}");
    match addresses[0] {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    }
}

/// The pools of 200 client subnets of a country.
fn pools_of(server: &Server, country: [u8; 2], rtype: RecordType) -> Vec<u8> {
    let ask = |n| server.ask(APP, rtype, Some(&subnet(country, n)));
    let pool = |n| pool_of(&ask(n));
    (0..200).map(pool).collect()
}

/// Calls the API about the override of a pool.
fn call(server: &Server, method: &str, pool: &str, body: &str) -> (u16, String) {
    let path = format!("/api/v1/overrides/{pool}");
    http_with(server.admin, method, &path, BEARER, body)
}

fn run(server: &Server, arguments: &[&str]) -> (i32, String) {
    let admin = server.admin.to_string();
    let mut all = arguments.to_vec();
    all.extend(["--server", &admin, "--token-file", "token"]);
    let Output {
        status,
        stdout,
        stderr,
    } = server.folder.meridian(&all);
    let text = String::from_utf8([stdout, stderr].concat()).expect("UTF-8");
    (status.code().expect("an exit code"), text)
}

/// What explain says of pool `eu` for a client.
fn why(server: &Server, client: &str) -> String {
    let path = format!("/api/v1/explain?name=app.example.com&client={client}");
    let (_, text) = http(server.admin, "GET", &path);
    let explained: Value = serde_json::from_str(&text).expect("JSON");
    let candidates = explained["candidates"].as_array().expect("a list");
    let eu = candidates.iter().find(|pool| pool["pool"] == "eu");
    let reason = eu.expect("eu")["reason"].as_str().expect("text");
    reason.to_owned()
}

/// A pool as `/api/v1/status` has it.
fn status_of(server: &Server, pool: &str) -> Value {
    let (_, text) = http(server.admin, "GET", "/api/v1/status");
    let status: Value = serde_json::from_str(&text).expect("JSON");
    let mut pools = status["pools"].as_array().expect("pools").iter();
    pools.find(|p| p["name"] == pool).expect("a pool").clone()
}

#[test]
fn a_pool_sheds_the_share_that_an_operator_says() {
    let mut pools = still_world(85);
    for at in 1..=4 {
        let v4 = format!("\"127.0.85.{at}\"");
        pools = pools.replace(&v4, &format!("{v4}, \"2001:db8::{at}\""));
    }
    let server = Folder::usual(&pools, "").serve();
    let of_france = |server: &Server| pools_of(server, FRANCE, RecordType::A);
    assert_eq!(of_france(&server), [2; 200]);
    let others = |server: &Server| {
        [UNITED_STATES, JAPAN, BRAZIL].map(|country| pools_of(server, country, RecordType::A))
    };
    let before = others(&server);
    assert_eq!(before, [1, 3, 4].map(|pool| vec![pool; 200]));

    let shed = r#"{"state":"shed","percent":40,"for":"1h"}"#;
    let (code, body) = call(&server, "PUT", "eu", shed);
    assert_eq!(code, 200, "{body}");
    let shared = of_france(&server);
    let moved = shared.iter().filter(|pool| **pool == 1).count();
    let kept = shared.iter().filter(|pool| **pool == 2).count();
    // Binomial: 80, and four standard deviations.
    assert!((53..=107).contains(&moved), "{shared:?}");
    assert_eq!(moved + kept, 200, "to the next pool: {shared:?}");
    assert_eq!(of_france(&server), shared);
    assert_eq!(pools_of(&server, FRANCE, RecordType::AAAA), shared);
    assert_eq!(others(&server), before);

    let client = |pool| {
        let at = shared.iter().position(|p| *p == pool).expect("a client");
        subnet(FRANCE, at as u8)
    };
    let sheds = "an operator sheds 40 % of its clients, and it takes no others";
    let refused = format!("up, but does not take this client; {sheds}");
    assert_eq!(why(&server, &client(1)), refused);
    let taken = format!("first in the client's order that is up; {sheds}");
    assert_eq!(why(&server, &client(2)), taken);

    // A pool that sheds takes none of those that another sheds.
    let (code, body) = call(&server, "PUT", "us", r#"{"state":"shed","percent":1}"#);
    assert_eq!(code, 200, "{body}");
    let elsewhere = of_france(&server);
    let n_kept = elsewhere.iter().filter(|pool| **pool == 2).count();
    assert!((93..=147).contains(&n_kept), "{elsewhere:?}");
    assert!(!elsewhere.contains(&1), "{elsewhere:?}");
    let (code, body) = call(&server, "DELETE", "us", "");
    assert_eq!(code, 200, "{body}");
    assert_eq!(of_france(&server), shared);

    // A greater share has the same clients and more.
    let (code, text) = run(&server, &["shed", "eu", "60%", "--for", "1h"]);
    assert_eq!(code, 0, "{text}");
    let more = of_france(&server);
    let n_more = more.iter().filter(|pool| **pool == 1).count();
    assert!((93..=147).contains(&n_more), "{more:?}");
    assert!(shared.iter().zip(&more).all(|(then, now)| now <= then));

    let (code, text) = run(&server, &["undrain", "eu"]);
    assert_eq!((code, &*text), (0, "the override of eu is cleared\n"));
    assert_eq!(of_france(&server), [2; 200]);
}

#[test]
fn what_a_pool_sheds_is_checked_and_kept() {
    let server = Folder::usual(&still_world(87), "").serve();
    let (code, text) = run(&server, &["shed", "eu", "60", "--reason", "new disks"]);
    assert_eq!(code, 0, "{text}");
    let shared = pools_of(&server, FRANCE, RecordType::A);
    for percent in ["0", "100", "\"x\"", "-1", "2.5", "null"] {
        let body = format!("{{\"state\":\"shed\",\"percent\":{percent}}}");
        let (code, text) = call(&server, "PUT", "eu", &body);
        assert_eq!(code, 400, "{percent}: {text}");
    }
    for percent in ["0%", "100%", "x"] {
        let (code, text) = run(&server, &["shed", "eu", percent]);
        assert_eq!(code, 2, "{percent}: {text}");
        assert!(text.contains("from 1% to 99%"), "{text}");
    }
    server.signal("-TERM");
    let (_, folder, _) = server.ended();
    let server = folder.serve();
    assert_eq!(pools_of(&server, FRANCE, RecordType::A), shared);
    let override_ = &status_of(&server, "eu")["override"];
    assert_eq!(
        (&override_["percent"], &override_["reason"]),
        (&60.into(), &"new disks".into())
    );
}

/// Client subnets in two countries behind resolvers that keep answers for their TTL. The pools report the load that
/// follows from the answers kept.
struct Clients<'a> {
    server: &'a Server,
    backends: &'a Backends,
    /// The demand of all French subnets, in units of a pool's capacity.
    french_demand: f64,
    subnets: Vec<Client>,
    /// The most that pool `us` was loaded.
    most_of_us: f64,
}

struct Client {
    subnet: String,
    is_french: bool,
    pool: u8,
    expires: Instant,
}

/// What the clients of pool `us` ask of it.
const US_DEMAND: f64 = 0.4;

impl<'a> Clients<'a> {
    fn new(server: &'a Server, backends: &'a Backends, french_demand: f64) -> Self {
        let client = |country: [u8; 2]| {
            move |n| Client {
                subnet: subnet(country, n),
                is_french: country == FRANCE,
                pool: 0,
                expires: Instant::now(),
            }
        };
        let french = (0..200).map(client(FRANCE));
        Self {
            server,
            backends,
            french_demand,
            subnets: french.chain((0..200).map(client(UNITED_STATES))).collect(),
            most_of_us: 0.0,
        }
    }

    /// Asks again for all whose answer has expired, and has the pools report their loads.
    fn ask(&mut self) {
        for client in &mut self.subnets {
            let now = Instant::now();
            if client.expires <= now {
                let reply = self.server.ask(APP, RecordType::A, Some(&client.subnet));
                client.pool = pool_of(&reply);
                let ttl = reply.message.answers[0].ttl;
                client.expires = now + Duration::from_secs(ttl.into());
            }
        }
        for at in 1..=4 {
            self.backends.set_load(at, self.load(at as u8));
        }
        self.most_of_us = self.most_of_us.max(self.load(1));
    }

    fn load(&self, pool: u8) -> f64 {
        let here = |is_french| {
            let clients = self.subnets.iter();
            let clients = clients.filter(|c| c.pool == pool && c.is_french == is_french);
            clients.count() as f64 / 200.0
        };
        here(true) * self.french_demand + here(false) * US_DEMAND
    }

    /// The French subnets that get a pool.
    fn french_at(&self, pool: u8) -> BTreeSet<&str> {
        let clients = self.subnets.iter();
        let clients = clients.filter(|client| client.is_french && client.pool == pool);
        clients.map(|client| &*client.subnet).collect()
    }

    /// Goes on until pool `eu` is as wanted.
    fn until(&mut self, what: &str, is_so: impl Fn(&Self, &Value) -> bool) {
        eventually(what, || {
            self.ask();
            let eu = status_of(self.server, "eu");
            is_so(self, &eu).then_some(())
        });
    }
}

#[test]
fn a_pool_above_its_mark_keeps_the_clients_that_bring_it_back_to_it() {
    let backends = Backends::start(86, 4);
    let pools = world(86, backends.port)
        .replace("200ms", "100ms")
        .replace("150ms", "100ms")
        .replace("failure_threshold = 2", "failure_threshold = 50")
        .replacen("[pool", "load = { header = \"x-load\" }\n[pool", 1)
        .replace(
            "monitor = \"ready\"\n",
            "monitor = \"ready\"\nspill_at = \"80%\"\n",
        );
    let folder = Folder::usual(&(pools + "ttl = \"1s\"\n"), "");
    let server = folder.serve().ready();

    // A quarter more than the mark. The load comes to rest in the band from 90 to 100 % of the mark, where no
    // share moves, so what the shares were decided by is what the clients make of them.
    let mut clients = Clients::new(&server, &backends, 1.0);
    clients.until("the load at the mark", |clients, eu| {
        let is_at_mark = |load: f64| (0.72..=0.8).contains(&load);
        eu["load"].as_f64().is_some_and(is_at_mark) && is_at_mark(clients.load(2))
    });
    let (code, text) = run(&server, &["status"]);
    assert!(code == 0 && text.contains(" eu [spills "), "{text}");
    let (guests, own) = (clients.french_at(1), clients.french_at(2));
    assert_eq!(guests.len() + own.len(), 200, "to the next pool");
    let spilled = why(&server, guests.first().expect("a guest"));
    let (reason, at) = spilled.split_once("; spilled: eu at ").expect(&spilled);
    assert_eq!(reason, "up, but does not take this client");
    assert!(at.contains(" %, its mark is 80 %: it keeps "), "{at}");
    let kept = why(&server, own.first().expect("a client"));
    assert!(
        kept.starts_with("first in the client's order that is up; "),
        "{kept}"
    );

    clients.french_demand = 0.5;
    clients.until("all clients at home", |clients, eu| {
        eu["spill_admitted"] == 1.0 && clients.french_at(2).len() == 200
    });
    assert!(clients.most_of_us <= 0.8, "{}", clients.most_of_us);
}
