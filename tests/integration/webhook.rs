//! external-dns with `--provider=webhook`: what it sends (its provider/webhook/webhook.go), what it makes of what it
//! gets (plan/plan.go, registry/txt), and nonsense.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use serde_json::Value;
use serde_json::json;

use crate::harness::Folder;
use crate::harness::Reply;
use crate::harness::Server;
use crate::harness::http;
use crate::harness::http_whole;
use crate::harness::http_with;

const MEDIA_TYPE: &str = "application/external.dns.webhook+json;version=1";

const POOLS: &str = "\
[pool.us]\nlocation = [45, -121]\nsource = \"api\"\n
[pool.eu]\nlocation = [50, 4]\nsource = \"api\"\n
[pool.file]\nlocation = [50, 4]\nendpoints = [\"192.0.2.99\"]\n
[steer.\"app.example.com\"]\npools = [\"us\", \"eu\"]\n
[steer.\"file.example.com\"]\npools = [\"file\"]\n";

/// Base64 of `x:us-0123456789abcdef` and `x:eu-0123456789abcdef`: what Go's client makes of `http://x:TOKEN@host`.
const US: &str = "eDp1cy0wMTIzNDU2Nzg5YWJjZGVm";
const EU: &str = "eDpldS0wMTIzNDU2Nzg5YWJjZGVm";

fn folder(more: &str) -> Folder {
    let folder = Folder::usual(POOLS, "");
    let usual = std::fs::read_to_string(folder.path("meridian.toml")).expect("a file");
    let mut settings = usual;
    for pool in ["us", "eu"] {
        settings += &format!("[[admin.token]]\nfile = \"{pool}.token\"\ncan = [\"pool:{pool}\"]\n");
        folder.write(
            &format!("{pool}.token"),
            format!("{pool}-0123456789abcdef\n"),
        );
    }
    folder.write("meridian.toml", settings + more);
    folder
}

/// An external-dns: one set of endpoints that are wanted, and the loop that brings them about.
struct ExternalDns<'a> {
    server: &'a Server,
    credentials: &'static str,
    owner: &'static str,
}

impl ExternalDns<'_> {
    fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let headers = format!(
            "Authorization: Basic {}\r\nAccept: {MEDIA_TYPE}\r\nContent-Type: {MEDIA_TYPE}\r\n",
            self.credentials
        );
        let body = match method {
            "GET" => String::new(),
            _ => body.to_string(),
        };
        let (code, body) = http_with(self.server.admin, method, path, &headers, &body);
        (code, serde_json::from_str(&body).unwrap_or_default())
    }

    /// The records by name, type and set identifier; those of ownership become labels of the others.
    fn records(&self) -> BTreeMap<[String; 3], Value> {
        let (code, records) = self.call("GET", "/webhook/records", &Value::Null);
        assert_eq!(code, 200, "{records}");
        let records = records.as_array().expect("a list").clone();
        let (texts, others): (Vec<_>, Vec<_>) = records
            .into_iter()
            .partition(|record| record["recordType"] == "TXT");
        let with_labels = others.into_iter().map(|mut record| {
            let key = key(&record);
            let owner = ownership_name(&key);
            let own = texts
                .iter()
                .find(|text| text["dnsName"] == *owner && text["setIdentifier"] == *key[2]);
            let text = own
                .and_then(|text| text["targets"][0].as_str())
                .unwrap_or_default();
            let owner = text.split("external-dns/owner=").nth(1);
            record["owner"] = owner.map_or(Value::Null, |owner| {
                owner.split([',', '"']).next().expect("a first part").into()
            });
            (key, record)
        });
        with_labels.collect()
    }

    /// What is to be changed so that `wanted` is there: the plan.
    fn plan(&self, wanted: &Value) -> Value {
        let current = self.records();
        let (code, wanted) = self.call("POST", "/webhook/adjustendpoints", wanted);
        assert_eq!(code, 200, "{wanted}");
        let wanted: BTreeMap<_, _> = (wanted.as_array().expect("a list").iter())
            .map(|endpoint| (key(endpoint), endpoint.clone()))
            .collect();
        let mut lists: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for (key, wanted) in &wanted {
            match current.get(key) {
                None => lists
                    .entry("create")
                    .or_default()
                    .extend(self.with_ownership(wanted)),
                Some(current) if current["owner"] == self.owner && differs(wanted, current) => {
                    let old = self.with_ownership(current);
                    lists.entry("updateOld").or_default().extend(old);
                    lists
                        .entry("updateNew")
                        .or_default()
                        .extend(self.with_ownership(wanted));
                }
                Some(_) => {}
            }
        }
        for (key, current) in &current {
            if !wanted.contains_key(key) && current["owner"] == self.owner {
                lists
                    .entry("delete")
                    .or_default()
                    .extend(self.with_ownership(current));
            }
        }
        json!(lists)
    }

    /// One turn of the loop; the changes that it made.
    fn sync(&self, wanted: &Value) -> Value {
        let changes = self.plan(wanted);
        if changes != json!({}) {
            let (code, answer) = self.call("POST", "/webhook/records", &changes);
            assert_eq!(code, 204, "{changes} {answer}");
        }
        changes
    }

    /// An endpoint, and the TXT record that says whose it is.
    fn with_ownership(&self, endpoint: &Value) -> [Value; 2] {
        let key = key(endpoint);
        let text = format!(
            "\"heritage=external-dns,external-dns/owner={},external-dns/resource=service/prod/app\"",
            self.owner
        );
        let owner = ownership_name(&key);
        let text = json!({"dnsName": owner, "recordType": "TXT", "setIdentifier": key[2],
            "targets": [text], "labels": {"ownedRecord": key[0]}});
        [endpoint.clone(), text]
    }
}

fn both_clusters(server: &Server) -> [ExternalDns<'_>; 2] {
    [(US, "cluster-us"), (EU, "cluster-eu")].map(|(credentials, owner)| ExternalDns {
        server,
        credentials,
        owner,
    })
}

fn key(endpoint: &Value) -> [String; 3] {
    ["dnsName", "recordType", "setIdentifier"]
        .map(|key| {
            endpoint[key]
                .as_str()
                .unwrap_or_default()
                .to_ascii_lowercase()
        })
        .map(|text| text.trim_end_matches('.').to_owned())
}

/// The owner of the TXT record, without prefix and suffix.
fn ownership_name([name, rtype, _]: &[String; 3]) -> String {
    format!("{rtype}-{name}")
}

/// Whether an update is due: for targets in any order, a TTL that is asked for, and properties of the provider.
fn differs(wanted: &Value, current: &Value) -> bool {
    let targets = |endpoint: &Value| {
        let targets = endpoint["targets"].as_array().cloned().unwrap_or_default();
        let mut targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
        targets.sort();
        targets
    };
    let ttl = wanted["recordTTL"].as_u64().unwrap_or(0);
    let properties = |endpoint: &Value| endpoint["providerSpecific"].as_array().map_or(0, Vec::len);
    targets(wanted) != targets(current)
        || ttl > 0 && wanted["recordTTL"] != current["recordTTL"]
        || properties(wanted) != properties(current)
}

fn endpoint(name: &str, rtype: &str, pool: &str, targets: &[&str]) -> Value {
    json!({"dnsName": name, "recordType": rtype, "setIdentifier": pool, "targets": targets,
        "recordTTL": 60, "labels": {"resource": "service/prod/app"},
        "providerSpecific": [{"name": "aws/evaluate-target-health", "value": "true"}]})
}

fn texts(server: &Server, owner: &str) -> Vec<String> {
    let reply = server.ask(owner, RecordType::TXT, None);
    let mut texts = Reply::texts(&reply.message.answers);
    texts.sort();
    texts
}

fn serial(server: &Server) -> String {
    let reply = server.ask("example.com.", RecordType::SOA, None);
    Reply::texts(&reply.message.answers).concat()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

const APP: &str = "app.example.com.";
const FROM_US: &str = "9.9.9.0/24";

#[expect(clippy::too_many_lines, reason = "one server, changed step by step")]
#[test]
fn two_clusters_fill_two_pools_of_one_name() {
    let server = folder("").serve();
    let [us, eu] = both_clusters(&server);
    let before = serial(&server);
    let of_us = json!([
        endpoint(
            "App.example.com",
            "A",
            "us",
            &["192.0.2.2", "192.0.2.1", "192.0.2.1"]
        ),
        endpoint("app.example.com", "AAAA", "us", &["2001:DB8:0::1"]),
    ]);
    let of_eu = json!([endpoint("app.example.com", "A", "eu", &["198.51.100.1"])]);
    let made = us.sync(&of_us);
    assert_eq!(made["create"].as_array().map(Vec::len), Some(4), "{made}");
    // Once it is answered, it is served: the addresses, and whose they are.
    let mut served = server.ask(APP, RecordType::A, None).addresses();
    served.sort_unstable();
    assert_eq!(served, [ip("192.0.2.1"), ip("192.0.2.2")]);
    let aaaa = server.ask(APP, RecordType::AAAA, None).addresses();
    assert_eq!(aaaa, [ip("2001:db8::1")]);
    assert_ne!(serial(&server), before);
    eu.sync(&of_eu);
    assert_eq!(
        server
            .ask(APP, RecordType::A, Some("5.145.96.0/24"))
            .addresses(),
        [ip("198.51.100.1")]
    );
    let both = texts(&server, "a-app.example.com.");
    let [first, second] = &*both else {
        panic!("{both:?}")
    };
    assert!(
        first.contains("owner=cluster-eu,") && second.contains("owner=cluster-us,"),
        "{both:?}"
    );

    // Neither has anything more to do, now and after a restart that comes without notice.
    let at_rest = serial(&server);
    for (external_dns, wanted) in [(&us, &of_us), (&eu, &of_eu)] {
        assert_eq!(external_dns.sync(wanted), json!({}));
    }
    server.signal("-KILL");
    let (_, folder, _) = server.ended();
    let server = folder.serve();
    let [us, eu] = both_clusters(&server);
    for (external_dns, wanted) in [(&us, &of_us), (&eu, &of_eu)] {
        assert_eq!(external_dns.sync(wanted), json!({}));
    }
    assert_eq!(
        (serial(&server), texts(&server, "a-app.example.com.")),
        (at_rest, both)
    );

    // The load balancer of one moves, its IPv6 goes; the other's stays.
    let moved = json!([endpoint("app.example.com", "A", "us", &["192.0.2.7"])]);
    let made = us.sync(&moved);
    let n = |list: &str| made[list].as_array().map_or(0, Vec::len);
    assert_eq!(
        ["create", "updateOld", "updateNew", "delete"].map(n),
        [0, 2, 2, 2],
        "{made}"
    );
    assert_eq!(us.sync(&moved), json!({}));
    assert_eq!(
        server.ask(APP, RecordType::A, Some(FROM_US)).addresses(),
        [ip("192.0.2.7")]
    );
    assert_eq!(texts(&server, "aaaa-app.example.com."), [""; 0]);
    server.wait_for_log("endpoints changed");
    let log = server.log();
    assert!(log.contains("by=\"us.token\""), "{log}");
    assert!(
        log.contains("before=\"192.0.2.1 192.0.2.2 2001:db8::1\" after=\"192.0.2.7\""),
        "{log}"
    );

    // Who sets them by hand is overruled.
    let all = "Authorization: Bearer s3cret-of-16-octets\r\n";
    let by_hand = r#"{"endpoints":["192.0.2.50"]}"#;
    let path = "/api/v1/pools/us/endpoints";
    assert_eq!(http_with(server.admin, "PUT", path, all, by_hand).0, 200);
    assert_ne!(us.sync(&moved), json!({}));
    assert_eq!(
        server.ask(APP, RecordType::A, Some(FROM_US)).addresses(),
        [ip("192.0.2.7")]
    );

    // One cluster goes: its clients get the other.
    let made = us.sync(&json!(null));
    assert_eq!(made["delete"].as_array().map(Vec::len), Some(2), "{made}");
    assert_eq!(
        server.ask(APP, RecordType::A, Some(FROM_US)).addresses(),
        [ip("198.51.100.1")]
    );
    let left = texts(&server, "a-app.example.com.");
    assert!(
        left.len() == 1 && left[0].contains("cluster-eu"),
        "{left:?}"
    );
}

#[test]
fn it_negotiates_as_external_dns_asks_for() {
    let server = folder("").serve();
    let basic = format!("Authorization: Basic {US}\r\n");
    let bearer = "Authorization: Bearer us-0123456789abcdef\r\n";
    for (path, headers, code) in [
        ("/webhook", format!("{basic}Accept: {MEDIA_TYPE}\r\n"), 200),
        (
            "/webhook/",
            format!("{bearer}Accept: text/html, */*;q=0.1\r\n"),
            200,
        ),
        ("/webhook", bearer.into(), 200),
        (
            "/webhook",
            format!("{basic}Accept: application/json\r\n"),
            406,
        ),
        ("/webhook", format!("{basic}Accept: {MEDIA_TYPE}0\r\n"), 406),
        ("/webhook", String::new(), 401),
        ("/webhook/records", String::new(), 401),
        (
            "/webhook",
            "Authorization: Bearer us-0123456789abcdeg\r\n".into(),
            401,
        ),
        ("/webhook/healthz", String::new(), 200),
        // A browser would send these by itself.
        ("/api/v1/status", basic.clone(), 200),
    ] {
        let found = http_with(server.admin, "GET", path, &headers, "");
        assert_eq!(found.0, code, "{path} {headers} {found:?}");
    }
    assert_eq!(
        http_with(server.admin, "POST", "/api/v1/reload", &basic, "").0,
        401
    );
    let (_, head, body) = http_whole(server.admin, "GET", "/webhook", &basic, "");
    let head = head.to_ascii_lowercase();
    for line in [
        format!("content-type: {MEDIA_TYPE}"),
        "vary: content-type".into(),
    ] {
        assert!(head.lines().any(|found| found == line), "{head}");
    }
    assert_eq!(body, r#"{"include":["app.example.com"]}"#);
}

#[expect(clippy::too_many_lines, reason = "mostly a table")]
#[test]
fn nonsense_changes_nothing() {
    let server = folder("").serve();
    let [us, eu] = both_clusters(&server);
    let wanted = json!([endpoint("app.example.com", "A", "us", &["192.0.2.1"])]);
    us.sync(&wanted);
    let before = (serial(&server), us.records());
    let sound = endpoint("app.example.com", "A", "us", &["192.0.2.2"]);
    let with = |wrong: Value| json!({"updateNew": [sound], "create": [wrong]});
    let at =
        |name: &str, rtype: &str, pool: &str, target: &str| endpoint(name, rtype, pool, &[target]);
    let many: Vec<String> = (0..10_000)
        .map(|n| format!("10.0.{}.{}", n / 250, n % 250))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (what, changes, code) in [
        (
            "unknown pool",
            with(at("app.example.com", "AAAA", "asia", "2001:db8::1")),
            403,
        ),
        (
            "another's pool",
            with(at("app.example.com", "A", "eu", "192.0.2.1")),
            403,
        ),
        (
            "a static name",
            with(at("www.example.com", "A", "us", "192.0.2.1")),
            422,
        ),
        (
            "another pool's name",
            with(at("file.example.com", "A", "us", "192.0.2.1")),
            422,
        ),
        (
            "no pool",
            with(
                json!({"dnsName": "www.example.com", "recordType": "A", "targets": ["192.0.2.1"]}),
            ),
            422,
        ),
        (
            "thousands",
            with(endpoint("app.example.com", "AAAA", "us", &many)),
            422,
        ),
        (
            "this machine",
            with(at("app.example.com", "AAAA", "us", "fe80::1")),
            422,
        ),
        (
            "a host name",
            with(at("app.example.com", "CNAME", "us", "lb.example.net")),
            422,
        ),
        (
            "a challenge",
            with(at("_acme-challenge.app.example.com", "TXT", "us", "token")),
            422,
        ),
        (
            "the same name twice",
            json!({"create": [sound, at("APP.example.com", "A", "us", "192.0.2.3")]}),
            422,
        ),
        ("no list", json!({"create": {}}), 400),
        ("no JSON", json!("{"), 400),
    ] {
        let (found, answer) = us.call("POST", "/webhook/records", &changes);
        assert_eq!(found, code, "{what}: {answer}");
        assert!(answer["error"].is_string(), "{what}: {answer}");
    }
    let (code, answer) = us.call("POST", "/webhook/adjustendpoints", &json!({}));
    assert_eq!(code, 400, "{answer}");
    let headers = format!("Authorization: Basic {US}\r\nContent-Type: application/json\r\n");
    let path = "/webhook/records";
    assert_eq!(http_with(server.admin, "POST", path, &headers, "{}").0, 415);
    let headers = format!("Authorization: Basic {US}\r\n");
    let large = format!(
        "{{\"create\":[{{\"dnsName\":\"{}\"}}]}}",
        "a".repeat(4 << 20)
    );
    assert_eq!(
        http_with(server.admin, "POST", path, &headers, &large).0,
        413
    );
    assert_eq!(http_with(server.admin, "PUT", path, &headers, "{}").0, 405);
    let changes = json!({"delete": [at("app.example.com", "A", "us", "192.0.2.1")]});
    assert_eq!(eu.call("POST", path, &changes).0, 403);
    assert_eq!((serial(&server), us.records()), before);
    assert_eq!(us.sync(&wanted), json!({}));
    assert_eq!(
        server.ask(APP, RecordType::A, None).addresses(),
        [ip("192.0.2.1")]
    );
    let log = server.log();
    assert!(
        log.contains("call of external-dns failed") && log.contains("by=us.token"),
        "{log}"
    );
    let (_, metrics) = http(server.admin, "GET", "/metrics");
    for line in ["{reason=\"webhook\"} 13", "{reason=\"not_permitted\"} 3"] {
        let line = format!("meridian_admin_refused_total{line}\n");
        assert!(metrics.contains(&line), "{line} {metrics}");
    }
}

#[test]
fn ownership_leaves_static_records_alone() {
    let folder = folder("");
    let zone = crate::harness::ZONE.to_owned()
        + "app 1h TXT \"v=spf1 -all\"\na-app CNAME www\n$ORIGIN cut.example.com.\n@ NS ns.example.net.\n";
    folder.write("zones/example.com.zone", &zone);
    let server = folder.serve();
    let all = |server: &Server, method: &str, body: &Value| {
        let headers = "Authorization: Bearer s3cret-of-16-octets\r\n";
        let body = body.to_string();
        http_with(server.admin, method, "/webhook/records", headers, &body)
    };
    let text = |owner: &str| {
        let text = "heritage=external-dns,external-dns/owner=us";
        json!({"dnsName": owner, "recordType": "TXT", "setIdentifier": "us", "targets": [text]})
    };
    let created = [
        json!({"dnsName": "app.example.com", "recordType": "A", "setIdentifier": "us", "targets": ["192.0.2.1"]}),
        // What versions without a type in the owner write stands beside a static record, and takes its TTL.
        text("app.example.com"),
        text("a-app.example.com"),
    ];
    let (code, answer) = all(
        &server,
        "POST",
        &json!({"Create": created, "UpdateOld": null}),
    );
    assert_eq!(code, 204, "{answer}");
    let reply = server.ask(APP, RecordType::TXT, None);
    let ttls: Vec<u32> = reply
        .message
        .answers
        .iter()
        .map(|record| record.ttl)
        .collect();
    assert_eq!(ttls, [3_600, 3_600]);
    let alias = server.ask("a-app.example.com.", RecordType::CNAME, None);
    assert_eq!(alias.rcode(), ResponseCode::NoError);
    server.wait_for_log("ownership record of external-dns is kept, but not in the zone");
    let (_, listed) = all(&server, "GET", &json!({}));
    assert_eq!(listed.matches("heritage").count(), 2, "{listed}");

    // With the alias gone there is room.
    server.folder.write(
        "zones/example.com.zone",
        zone.replace("a-app CNAME www\n", ""),
    );
    crate::harness::eventually("the record is in the zone", || {
        (texts(&server, "a-app.example.com.").len() == 1).then_some(())
    });
    let (code, answer) = all(&server, "POST", &json!({"delete": created}));
    assert_eq!(code, 204, "{answer}");
    assert_eq!(texts(&server, APP), ["app.example.com. TXT v=spf1 -all"]);
    let gone = server.ask("a-app.example.com.", RecordType::TXT, None);
    assert_eq!(gone.rcode(), ResponseCode::NXDomain);
}
