//! Pools whose endpoints come from host names and from the API.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use serde_json::Value;

use crate::harness::Backends;
use crate::harness::Folder;
use crate::harness::Mood;
use crate::harness::Server;
use crate::harness::eventually;
use crate::harness::exchange;
use crate::harness::http;
use crate::harness::http_with;
use crate::harness::query;
use crate::resolver::Behaviour;
use crate::resolver::FakeResolver;

/// The names that the fake resolver knows, each with its first address; each is a pool of its own.
const NAMES: [(&str, &str); 7] = [
    ("rotates", "192.0.2.1"),
    ("fails", "192.0.2.2"),
    ("vanishes", "192.0.2.3"),
    ("hangs", "192.0.2.4"),
    ("lies", "192.0.2.5"),
    ("swells", "192.0.2.6"),
    ("empties", "192.0.2.7"),
];

fn host(name: &str) -> String {
    format!("{name}.example.net")
}

fn owner(name: &str) -> String {
    format!("{name}.example.com.")
}

fn pools_by_host() -> String {
    let pool = |(name, _): (&str, &str)| {
        format!(
            "[pool.{name}]\nlocation = [50, 4]\nendpoints = [{{ host = \"{}\" }}]\n\
             [steer.\"{name}.example.com\"]\npools = [\"{name}\"]\n",
            host(name)
        )
    };
    NAMES.map(pool).concat()
}

fn addresses(server: &Server, name: &str) -> BTreeSet<IpAddr> {
    let reply = server.ask(&owner(name), RecordType::A, None);
    reply.addresses().into_iter().collect()
}

fn wait_for(server: &Server, name: &str, wanted: &str) {
    let words = wanted.split_whitespace();
    let wanted: BTreeSet<IpAddr> = words
        .map(|word| word.parse().expect("an address"))
        .collect();
    eventually(&format!("{name} has {wanted:?}"), || {
        (addresses(server, name) == wanted).then_some(())
    });
}

fn status(server: &Server) -> Value {
    let (code, body) = http(server.admin, "GET", "/api/v1/status");
    assert_eq!(code, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

fn pool(server: &Server, name: &str) -> Value {
    let status = status(server);
    let pools = status["pools"].as_array().expect("pools");
    pools
        .iter()
        .find(|pool| pool["name"] == name)
        .expect(name)
        .clone()
}

/// Asks a name again and again, and collects what is answered: response codes and addresses.
fn ask_all_the_time(
    server: &Server,
    name: &str,
    stop: &Arc<AtomicBool>,
) -> thread::JoinHandle<BTreeSet<String>> {
    let (dns, stop, name) = (server.dns, Arc::clone(stop), owner(name));
    thread::spawn(move || {
        let mut seen = BTreeSet::new();
        while !stop.load(Relaxed) {
            let reply = exchange(dns, &query(&name, RecordType::A, None));
            match reply.addresses().as_slice() {
                [] => seen.insert(reply.rcode().to_string()),
                addresses => seen.insert(format!("{addresses:?}")),
            };
        }
        seen
    })
}

#[expect(clippy::too_many_lines, reason = "one server, changed step by step")]
#[test]
fn endpoints_follow_their_host_names_while_queries_run() {
    let resolver = FakeResolver::start();
    for (name, address) in NAMES {
        resolver.set_addresses(&host(name), address);
    }
    let folder = Folder::usual(&pools_by_host(), "");
    let settings = format!("[resolve]\nservers = [\"{}\"]\n", resolver.address);
    let usual = std::fs::read_to_string(folder.path("meridian.toml")).expect("a file");
    folder.write("meridian.toml", usual + &settings);
    let server = folder.serve();
    for (name, address) in NAMES {
        wait_for(&server, name, address);
    }

    let stop = Arc::new(AtomicBool::new(false));
    let asking = NAMES.map(|(name, _)| ask_all_the_time(&server, name, &stop));
    resolver.set_addresses(&host("rotates"), "192.0.2.11 2001:db8::11");
    resolver.set(&host("fails"), Behaviour::Fails(ResponseCode::ServFail));
    resolver.set(&host("vanishes"), Behaviour::Fails(ResponseCode::NXDomain));
    resolver.set(&host("hangs"), Behaviour::Hangs);
    resolver.set_addresses(&host("lies"), "127.0.0.1 0.0.0.0");
    let many = (0..1_500_u32)
        .rev()
        .map(|n| IpAddr::from((0x0900_0001 + n).to_be_bytes()));
    // More than a datagram holds: they come over TCP.
    resolver.set(&host("swells"), Behaviour::Addresses(many.collect()));
    resolver.set_addresses(&host("empties"), "");
    wait_for(&server, "rotates", "192.0.2.11");
    eventually("the pool without addresses is down", || {
        let reply = server.ask(&owner("empties"), RecordType::A, None);
        (reply.rcode() == ResponseCode::ServFail).then_some(())
    });
    for (name, reason) in [
        ("fails", "SERVFAIL"),
        ("vanishes", "NXDOMAIN"),
        ("hangs", "no answer in time"),
        ("lies", "all 2 addresses are refused"),
    ] {
        eventually(&format!("{name} fails"), || {
            let source = &pool(&server, name)["sources"][0];
            let error = source["error"].as_str()?;
            (error.contains(reason) && source["up"] == false).then_some(())
        });
    }
    eventually("the first of thousands", || {
        (pool(&server, "swells")["endpoints"].as_array()?.len() == 64).then_some(())
    });
    assert_eq!(pool(&server, "swells")["sources"][0]["refused"], 1_500 - 64);
    let v6 = server.ask(&owner("rotates"), RecordType::AAAA, None);
    assert_eq!(
        v6.addresses(),
        ["2001:db8::11".parse::<IpAddr>().expect("an address")]
    );

    stop.store(true, Relaxed);
    let seen = asking.map(|asking| asking.join().expect("no panic"));
    for (at, (name, first)) in NAMES.into_iter().enumerate() {
        let second = match name {
            "rotates" => Some("[192.0.2.11]"),
            "empties" => Some("Server Failure"),
            _ => None,
        };
        let first = format!("[{first}]");
        let is_expected = |seen: &String| match name {
            "swells" => *seen == first || seen.contains("9.0.0."),
            _ => *seen == first || Some(&**seen) == second,
        };
        assert!(seen[at].iter().all(is_expected), "{name}: {:?}", seen[at]);
    }
    let (_, metrics) = http(server.admin, "GET", "/metrics");
    for (name, up) in [("fails", 0), ("rotates", 1), ("empties", 1)] {
        let line = format!(
            "meridian_source_up{{pool=\"{name}\",source=\"{}\"}} {up}\n",
            host(name)
        );
        assert!(metrics.contains(&line), "{line}");
    }
    assert!(
        metrics.contains("meridian_pool_up{family=\"ipv4\",pool=\"empties\"} 0\n"),
        "{metrics}"
    );
    assert_eq!(
        pool(&server, "empties")["reason"],
        "empties.example.net has no addresses"
    );
    let path = "/api/v1/explain?name=empties.example.com&client=192.0.2.0/24";
    let (_, explained) = http(server.admin, "GET", path);
    assert!(
        explained.contains("empties.example.net has no addresses"),
        "{explained}"
    );

    // A resolver that is gone delays no start, and takes nothing away.
    for (name, _) in NAMES {
        resolver.set(&host(name), Behaviour::Hangs);
    }
    server.signal("-TERM");
    let (code, folder, log) = server.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("endpoints changed"), "{log}");
    let server = folder.serve();
    for (name, first) in NAMES
        .into_iter()
        .filter(|(name, _)| !["swells", "empties"].contains(name))
    {
        let kept = if name == "rotates" {
            "192.0.2.11"
        } else {
            first
        };
        let kept: IpAddr = kept.parse().expect("an address");
        assert_eq!(addresses(&server, name), [kept].into(), "{name}");
    }
    server.wait_for_log("source of endpoints fails");
    let log = server.log();
    assert!(
        log.find("serving") < log.find("source of endpoints fails"),
        "{log}"
    );
}

/// A block of loopback addresses of this test's own.
const BLOCK: u8 = 86;

#[test]
fn each_address_of_a_host_name_is_probed_while_they_rotate() {
    let backends = Backends::start(BLOCK, 3);
    let address = |at: u8| format!("127.0.{BLOCK}.{at}");
    let resolver = FakeResolver::start();
    let both = format!("{} {}", address(1), address(2));
    resolver.set_addresses("lb.example.net", &both);
    let port = backends.port;
    let pools = format!(
        "[monitor.ready]\ntype = \"http\"\nport = {port}\ninterval = \"200ms\"\ntimeout = \"150ms\"\n\
         [pool.eu]\nlocation = [50, 4]\nendpoints = [{{ host = \"lb.example.net\" }}]\nmonitor = \"ready\"\n\
         [steer.\"app.example.com\"]\npools = [\"eu\"]\n"
    );
    let folder = Folder::usual(&pools, "");
    let usual = std::fs::read_to_string(folder.path("meridian.toml")).expect("a file");
    let settings = format!(
        "[resolve]\nservers = [\"{}\"]\n[safety]\nallow = [\"127.0.{BLOCK}.0/24\"]\n",
        resolver.address
    );
    folder.write("meridian.toml", usual + &settings);
    let server = folder.serve().ready();
    wait_for(&server, "app", &both);

    // One of two fails, and the other is answered alone.
    backends.set(1, Mood::Unavailable);
    wait_for(&server, "app", &address(2));
    // The name loses it and gains one that fails from the start: its first probe takes it out.
    backends.set(3, Mood::Unavailable);
    resolver.set_addresses("lb.example.net", &format!("{} {}", address(2), address(3)));
    let health = |at: u8| {
        let pool = pool(&server, "eu");
        let endpoints = pool["endpoints"].as_array().expect("endpoints").clone();
        let found = endpoints
            .iter()
            .find(|endpoint| endpoint["address"] == *address(at));
        found.map(|endpoint| endpoint["health"].as_str().unwrap_or_default().to_owned())
    };
    eventually("the new address is probed", || {
        (health(3).as_deref() == Some("down")).then_some(())
    });
    assert_eq!((health(1), health(2).as_deref()), (None, Some("up")));
    wait_for(&server, "app", &address(2));
    backends.set(3, Mood::Ready);
    wait_for(&server, "app", &format!("{} {}", address(2), address(3)));
    // One that goes and comes again has its first probe decide again.
    backends.set(1, Mood::Ready);
    resolver.set_addresses("lb.example.net", &address(1));
    wait_for(&server, "app", &address(1));
    let log = server.log();
    let change = format!("before=\"{both}\" after=\"{} {}\"", address(2), address(3));
    assert!(
        log.contains("source=lb.example.net") && log.contains(&change),
        "{log}"
    );
}

const API_POOLS: &str = "\
[pool.eu]\nlocation = [50, 4]\nsource = \"api\"\n
[pool.file]\nlocation = [50, 4]\nendpoints = [\"192.0.2.99\"]\n
[steer.\"app.example.com\"]\npools = [\"eu\"]\n
[steer.\"other.example.com\"]\npools = [\"file\"]\n";

#[expect(clippy::too_many_lines, reason = "one server, changed step by step")]
#[test]
fn a_pipeline_sets_the_endpoints_of_its_pool() {
    let folder = Folder::usual(API_POOLS, "");
    let usual = std::fs::read_to_string(folder.path("meridian.toml")).expect("a file");
    let token = "[[admin.token]]\nfile = \"ci.token\"\ncan = [\"pool:eu\"]\n";
    folder
        .write("meridian.toml", usual + token)
        .write("ci.token", "ci-0123456789abcdef\n");
    let server = folder.serve();
    let path = "/api/v1/pools/eu/endpoints";
    let bearer = "Authorization: Bearer ci-0123456789abcdef\r\n";
    let put = |path: &str, headers: &str, body: &str| {
        let headers = format!("{bearer}{headers}");
        let (code, body) = http_with(server.admin, "PUT", path, &headers, body);
        (code, serde_json::from_str::<Value>(&body).expect("JSON"))
    };
    assert_eq!(
        server.ask("app.example.com.", RecordType::A, None).rcode(),
        ResponseCode::ServFail
    );
    assert_eq!(pool(&server, "eu")["reason"], "no endpoints yet");
    assert_eq!(http_with(server.admin, "PUT", path, "", "{}").0, 401);
    let one = r#"{"endpoints":["192.0.2.1"]}"#;
    for (path, body, code) in [
        ("/api/v1/pools/file/endpoints", one, 403),
        ("/api/v1/pools/none/endpoints", one, 403),
        (path, "{", 400),
        (path, r#"{"endpoints":["0.0.0.0"]}"#, 422),
        ("/api/v1/pools/eu/endpoints?dry=1", one, 400),
    ] {
        assert_eq!(put(path, "", body).0, code, "{path} {body}");
    }
    let all = "Authorization: Bearer s3cret-of-16-octets\r\n";
    for (pool, code) in [("file", 409), ("none", 404)] {
        let path = format!("/api/v1/pools/{pool}/endpoints");
        assert_eq!(
            http_with(server.admin, "PUT", &path, all, one).0,
            code,
            "{pool}"
        );
        assert_eq!(http(server.admin, "GET", &path).0, code, "{pool}");
    }

    let (code, dry) = put(&format!("{path}?dry_run=1"), "", one);
    assert_eq!(
        (code, &dry["revision"], &dry["added"][0]),
        (200, &0.into(), &"192.0.2.1".into())
    );
    assert_eq!(
        server
            .ask("app.example.com.", RecordType::A, None)
            .addresses(),
        [] as [IpAddr; 0]
    );
    let (code, set) = put(path, "If-Match: \"0\"\r\n", one);
    assert_eq!((code, &set["revision"]), (200, &1.into()), "{set}");
    // It is answered once that is served.
    let first: IpAddr = "192.0.2.1".parse().expect("an address");
    assert_eq!(
        server
            .ask("app.example.com.", RecordType::A, None)
            .addresses(),
        [first]
    );
    let two = r#"{"endpoints":[{"address":"192.0.2.2","check":"10.0.0.2:8081"},
        {"address":"2001:db8::2","weight":2}]}"#;
    let (code, outdated) = put(path, "If-Match: \"0\"\r\n", two);
    assert_eq!(code, 412, "{outdated}");
    let (code, set) = put(path, "If-Match: \"1\"\r\n", two);
    assert_eq!(
        (code, &set["removed"][0]),
        (200, &"192.0.2.1".into()),
        "{set}"
    );
    server.wait_for_log("endpoints changed");
    for part in ["by=\"ci.token\"", "192.0.2.2(check 10.0.0.2:8081)"] {
        assert!(server.log().contains(part), "{}", server.log());
    }

    // Once it is answered, it is on disk.
    server.signal("-KILL");
    let (_, folder, _) = server.ended();
    let server = folder.serve();
    let second: IpAddr = "192.0.2.2".parse().expect("an address");
    assert_eq!(
        server
            .ask("app.example.com.", RecordType::A, None)
            .addresses(),
        [second]
    );
    let (code, body) = http(server.admin, "GET", path);
    let kept: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (code, &kept["revision"], &kept["by"]),
        (200, &2.into(), &"ci.token".into())
    );
    assert_eq!(kept["endpoints"][0]["check"], "10.0.0.2:8081");
    let shown = pool(&server, "eu");
    assert_eq!(shown["endpoints"][0]["check"], "10.0.0.2:8081");
    assert!(shown["endpoints"][1]["check"].is_null());
    let (code, _) = http_with(server.admin, "PUT", path, bearer, r#"{"endpoints":[]}"#);
    assert_eq!(code, 200);
    assert_eq!(
        server.ask("app.example.com.", RecordType::A, None).rcode(),
        ResponseCode::ServFail
    );
    assert_eq!(
        pool(&server, "eu")["reason"],
        "no endpoints, as set by ci.token"
    );
}
