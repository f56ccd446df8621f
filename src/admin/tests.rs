//! The API over real sockets on loopback, with a control loop that only notes what it is asked.

mod pages;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio::time::timeout;

use crate::admin::auth::Access;
use crate::admin::auth::Grant;
use crate::admin::auth::Token;
use crate::admin::details;
use crate::admin::fleet;
use crate::admin::json;
use crate::admin::metrics;
use crate::admin::server::serve;
use crate::admin::site::Site;
use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::prefix::Family;
use crate::base::transport::Transport;
use crate::config::rights::Right;
use crate::health::failure::ProbeFailure;
use crate::health::health_table::HealthTable;
use crate::health::health_table::Limits;
use crate::health::load::Load;
use crate::health::load::NoLoad;
use crate::health::observation::Moment;
use crate::health::observation::Observation;
use crate::health::observation::ProbeResult;
use crate::health::observation::Target;
use crate::health::overrides::Forced;
use crate::health::overrides::Override;
use crate::health::overrides::Overrides;
use crate::latency::table;
use crate::latency::table::Row;
use crate::latency::table::Table;
use crate::live::Addresses;
use crate::live::LastReload;
use crate::live::Live;
use crate::live::Owner;
use crate::live::Start;
use crate::live::clock::Clock;
use crate::live::downloads::Download;
use crate::live::meters::Meters;
use crate::live::request::ChangeError;
use crate::live::request::Request;
use crate::state::counters::Counters;
use crate::state::demand::Moved;
use crate::state::drill::DrillResult;
use crate::state::drill::Drills;
use crate::state::drill::LoadChange;
use crate::state::drill::Outcome;
use crate::state::drill::Record;
use crate::state::evidence::Evidence;
use crate::state::evidence::ShareLimits;
use crate::state::evidence::Spilling;
use crate::state::fixture;
use crate::state::plan::Geography;
use crate::state::source::SourceId;
use crate::state::source::SourceState;
use crate::state::sources::Sources;
use crate::steer::spread::Admission;

const PROCESS: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n[safety]\nmax_down = \"99%\"\n\
    [geoip]\nlatency = \"latency.csv\"\n";

const POOLS: &str = r#"
[monitor.ready]
damping = {}
quorum_scope = "region"
type = "http"
port = 8081
path = "/_ready"
load = { header = "x-load" }
[pool.us-west]
location = [45.60, -121.18]
endpoints = ["192.0.2.10", "2001:db8::10"]
monitor = "ready"
spill_at = "80%"
[pool.europe-west]
location = [50.45, 3.82]
endpoints = ["192.0.2.20"]
[steer."app.example.com"]
pools = ["us-west", "europe-west"]
ttl = { min = "20s", max = "30s" }
[[steer."app.example.com".rule]]
continent = ["SA", "AF"]
pools = ["europe-west"]
"#;

const ZONE: &str = "@ 300 SOA ns1 admin 7 3600 600 86400 300\n@ 300 NS ns1\nns1 300 A 192.0.2.53\n";

/// A measurement of Germany, and one to a pool that there is not.
fn latency_table() -> Table {
    let row = |pool| Row {
        key: "DE".parse().expect("a key"),
        pool,
        rtt_ms: 150.0,
        samples: Some(10),
        measured: Some(1_000),
    };
    let limits = table::Limits {
        min_samples: 10,
        max_age: 1_000,
        now: 1_000,
    };
    let pools = vec!["us-west".into(), "gone".into()];
    Table::new(vec![row(0), row(1)], pools, &limits)
}

/// A process without probes yet.
fn live() -> (Arc<Live>, Owner) {
    let zones = [("example.com", ZONE)];
    let geography = Geography {
        atlas: fixture::embedded_atlas(),
        latency: Arc::new(latency_table()),
    };
    let plan = fixture::plan(PROCESS, POOLS, &zones, geography);
    let monitor = Arc::new(plan.config.pools.monitors[0].clone());
    let targets = plan.config.pools.pools[0].endpoints.iter().map(|endpoint| {
        let target = Target::new(
            "us-west".into(),
            endpoint.address,
            Arc::clone(&monitor),
            true,
        );
        (Arc::new(target), "ns1".into())
    });
    let health_table = HealthTable::new(
        targets,
        Limits {
            report_max_age: Duration::from_secs(30),
            blind_max: Duration::ZERO,
        },
    )
    .with_witnesses([("ns1".into(), SocketAddr::from(([192, 0, 2, 53], 443)))])
    .with_regions(vec![["ns1".into()].into()]);
    let spill = Spilling {
        mark: Load::from(8_000),
        load: Some(Load::from(7_500)),
        shares: Admission::ALL,
        is_full: false,
    };
    let evidence = Evidence {
        limits: vec![ShareLimits {
            shed: None,
            spill: Some(spill),
        }],
        ..Evidence::default()
    };
    Live::start(Start {
        first: fixture::snapshot(plan, &evidence),
        counters: Arc::new(Counters::new(1)),
        health_table,
        overrides: Overrides::default(),
        drills: Drills::default(),
        sources: Sources::default(),
        last_reload: LastReload::default(),
        events: Vec::new(),
        meters: Meters::new(),
        clock: Clock::start(),
        addresses: Addresses {
            dns: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 5300))],
            admin: None,
        },
    })
}

fn download() -> Download {
    Download {
        database: "location",
        succeeded: Some(1),
        ..Download::default()
    }
}

/// One that was ended early.
fn drills() -> Drills {
    let last = Outcome {
        result: DrillResult::Aborted,
        reason: "vantage `v` is blind".into(),
        begun: 1_000,
        ended: 1_060,
        moved: Moved {
            share: Some(0.25),
            names: vec![("app.example.com".into(), 0.25)],
        },
        loads: vec![LoadChange {
            pool: "europe-west".into(),
            before: Some(Load::from(4_000)),
            most: None,
        }],
    };
    let record = Record {
        begun: Some(1_000),
        last: Some(last),
    };
    Drills::resume([("us-west".into(), record)].into())
}

/// Has the local vantage see both endpoints of us-west fail once.
fn see_failures(live: &Live, owner: &Owner) {
    let mut health_table = owner.health_table.write();
    let targets: Vec<_> = health_table
        .view(Moment::default())
        .map(|view| Arc::clone(view.target))
        .collect();
    for target in targets {
        let status = ProbeFailure::Status {
            status: 503,
            expected: [(200, 399)].into(),
        };
        let observation = Observation {
            target,
            vantage: "ns1".into(),
            result: ProbeResult::Failure(status),
            took: Duration::from_millis(3),
            load: Some(Err(NoLoad::Missing)),
        };
        live.meters.probe(&observation);
        health_table.observe(&observation, live.clock.now());
    }
}

/// A running server and a control loop that carries out requests, save that reloads are refused.
struct Running {
    address: SocketAddr,
    live: Arc<Live>,
    owner: Arc<Owner>,
    token: watch::Sender<Access>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

/// One token that permits everything, if its file can be used.
fn access(token: Option<&str>) -> Access {
    Access(vec![Grant {
        name: "admin.token".into(),
        can: [Right::All].into(),
        token: token.map(|text| Token::parse(text).expect("a token")),
    }])
}

#[expect(
    clippy::too_many_lines,
    reason = "every part of the state that is shown"
)]
async fn run(token: Option<&str>) -> Running {
    let (live, owner) = live();
    let (requests, mut asked) = mpsc::channel(8);
    let owner = Arc::new(owner);
    let controlled = Arc::clone(&owner);
    tokio::spawn(async move {
        while let Some(request) = asked.recv().await {
            let mut overrides = controlled.overrides.write();
            match request {
                Request::ClearOverride { pool, reply, .. } => {
                    let _ = reply.send(Ok(overrides.clear(&pool, "", Moment::default()).is_some()));
                }
                Request::Reload { reply, .. } => {
                    let mut report = Report::default();
                    let place = Place::file(&"pools.toml".into());
                    report.error(place.clone(), "unknown key `poool`");
                    report.warning(place, "odd");
                    let _ = reply.send(Err(report));
                }
                Request::SetEndpoints { reply, .. } => {
                    let _ = reply.send(Err(ChangeError::NotSettable));
                }
                Request::SetOverride {
                    pool,
                    override_,
                    is_forced,
                    reply,
                    ..
                } => {
                    let strands = ChangeError::Strands("clients".into());
                    let is_refused = &*override_.reason == "strands" && !is_forced;
                    overrides.set(&pool, override_, "", Moment::default());
                    let _ = reply.send(if is_refused { Err(strands) } else { Ok(true) });
                }
                request => unreachable!("no test here asks for {request:?}"),
            }
        }
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let access = token.map_or_else(Access::default, |token| access(Some(token)));
    let (token, access) = watch::channel(access);
    let site = Site {
        live: Arc::clone(&live),
        requests,
        access,
        hosts: vec!["ns1.example.com".into()],
    };
    let (stop, stopping) = watch::channel(false);
    let server = tokio::spawn(serve(listener, site, stopping));
    Running {
        address,
        live,
        owner,
        token,
        stop,
        server,
    }
}

mod events;

/// What a call was answered.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

impl Running {
    async fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let len = body.len();
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\n{headers}\r\n{body}"
        ))
        .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "", "").await
    }

    /// Sends octets and reads until the server closes, as it does after each answer.
    async fn send(&self, octets: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address)
            .await
            .expect("a connection");
        stream.write_all(octets.as_bytes()).await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        Answer {
            status: head[9..12].parse().expect("a status"),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }
}

const BEARER: &str = "Authorization: Bearer s3cret\r\n";

#[expect(clippy::too_many_lines, reason = "one table of every error")]
#[tokio::test]
async fn every_error_is_json_with_a_fitting_status() {
    let running = run(Some("s3cret")).await;
    let long = format!("{{\"reason\":\"{}\"}}", "x".repeat(70_000));
    let control = r#"{"state":"up","reason":"a\u001b[2J"}"#;
    let pool = "/api/v1/overrides/us-west";
    let explain = "/api/v1/explain";
    for (method, path, headers, body, status, error) in [
        ("GET", "/nope", "", "", 404, "no such path"),
        ("GET", "/api/v1/status/", "", "", 404, "no such path"),
        (
            "POST",
            "/metrics",
            "",
            "",
            405,
            "this path does not take that method",
        ),
        (
            "GET",
            pool,
            BEARER,
            "",
            405,
            "this path does not take that method",
        ),
        ("GET", explain, "", "", 400, "`name` is missing"),
        (
            "GET",
            "/api/v1/explain?name=a..b",
            "",
            "",
            400,
            "`a..b` is no name",
        ),
        (
            "GET",
            "/api/v1/explain?name=a&type=Q",
            "",
            "",
            400,
            "`Q` is no record type",
        ),
        (
            "GET",
            "/api/v1/explain?name=a&client=b",
            "",
            "",
            400,
            "`b` is no client",
        ),
        (
            "GET",
            "/api/v1/explain?name=a&nmae=b",
            "",
            "",
            400,
            "Failed to deserialize query",
        ),
        (
            "GET",
            "/api/v1/status?x=1",
            "",
            "",
            400,
            "this call takes no parameters",
        ),
        (
            "POST",
            "/api/v1/reload?force",
            BEARER,
            "",
            400,
            "Failed to deserialize query string: force: provided string was not",
        ),
        (
            "GET",
            "/api/v1/diff?config=x.toml",
            BEARER,
            "",
            400,
            "`config` is no absolute path",
        ),
        (
            "DELETE",
            "/api/v1/overrides/us-west?x=1",
            BEARER,
            "",
            400,
            "this call takes no parameters",
        ),
        ("PUT", pool, "", "{", 401, "this call needs the header"),
        (
            "PUT",
            pool,
            "Authorization: Bearer s3cre\r\n",
            "{",
            401,
            "the bearer token is none",
        ),
        ("DELETE", pool, "", "", 401, "this call needs the header"),
        (
            "POST",
            "/api/v1/reload",
            "",
            "",
            401,
            "this call needs the header",
        ),
        (
            "PUT",
            "/api/v1/overrides/us",
            BEARER,
            "{",
            404,
            "pool `us` is not defined",
        ),
        (
            "DELETE",
            "/api/v1/overrides/us",
            BEARER,
            "",
            404,
            "pool `us` is not defined",
        ),
        ("PUT", pool, BEARER, "", 400, "EOF while parsing"),
        ("PUT", pool, BEARER, "{\"state\":", 400, "EOF while parsing"),
        ("PUT", pool, BEARER, "{}", 400, "missing field `state`"),
        (
            "PUT",
            pool,
            BEARER,
            r#"{"state":"off"}"#,
            400,
            "`state`: `off` is not taken",
        ),
        (
            "PUT",
            pool,
            BEARER,
            r#"{"state":"up","until":1}"#,
            400,
            "unknown field `until`",
        ),
        (
            "PUT",
            pool,
            BEARER,
            r#"{"state":"up","for":"2"}"#,
            400,
            "`for`: `2` is not taken",
        ),
        (
            "PUT",
            pool,
            BEARER,
            r#"{"state":"up","for":"0s"}"#,
            422,
            "`for`: `0s` is not taken, expected a duration above 0s",
        ),
        (
            "PUT",
            pool,
            BEARER,
            r#"{"state":"up","for":"-1h"}"#,
            422,
            "`for`: `-1h` is not taken, expected a duration above 0s",
        ),
        (
            "PUT",
            pool,
            BEARER,
            r#"{"state":"up","for":"99999999d"}"#,
            422,
            "`for`: `99999999d` is not taken, expected an end before",
        ),
        (
            "PUT",
            pool,
            BEARER,
            r#"{"state":"drain","in":"-5m"}"#,
            422,
            "`in`: `-5m` is not taken, expected a duration from 0s on",
        ),
        (
            "PUT",
            pool,
            BEARER,
            r#"{"state":"drain","in":"soon"}"#,
            400,
            "`in`: `soon` is not taken, expected a duration such as",
        ),
        (
            "PUT",
            pool,
            BEARER,
            r#"{"state":"drain","in":"5m","for":"0s"}"#,
            422,
            "`for`: `0s` is not taken, expected a duration above 0s",
        ),
        ("PUT", pool, BEARER, control, 400, "`reason` is not taken"),
        ("PUT", pool, BEARER, &long, 413, "the body is too large"),
    ] {
        let answer = running.call(method, path, headers, body).await;
        let row = format!("{method} {path} {}", &body[..body.len().min(40)]);
        assert_eq!(answer.status, status, "{row}: {}", answer.body);
        let told = answer.json();
        assert!(
            told["error"].as_str().expect("text").starts_with(error),
            "{row}: {told}"
        );
        assert_eq!(told.as_object().expect("an object").len(), 1, "{row}");
        assert_eq!(
            answer.head.contains("www-authenticate: bearer"),
            status == 401,
            "{row}"
        );
    }
    assert_eq!(running.live.overrides.read().iter().count(), 0);
}

#[tokio::test]
async fn without_a_configured_token_nothing_can_be_changed() {
    let running = run(None).await;
    for (method, path) in [
        ("PUT", "/api/v1/overrides/us-west"),
        ("DELETE", "/api/v1/overrides/us-west"),
        ("POST", "/api/v1/reload"),
    ] {
        let answer = running
            .call(method, path, BEARER, r#"{"state":"drain"}"#)
            .await;
        assert_eq!(answer.status, 403, "{method} {path}");
        assert!(
            answer
                .body
                .contains("[admin] token_file nor [[admin.token]] is configured"),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn overrides_come_go_and_are_told() {
    let running = run(Some("s3cret")).await;
    let pool = "/api/v1/overrides/us-west";
    let body = r#"{"state":"drain","for":"2h","reason":"<b>"}"#;
    let said = running.call("PUT", pool, BEARER, body).await;
    assert_eq!(said.status, 200, "{}", said.body);
    let said = said.json();
    let override_ = &said["override"];
    assert_eq!(
        (&said["pool"], &override_["state"]),
        (&"us-west".into(), &"drain".into())
    );
    let since = override_["since"].as_u64().expect("a time");
    assert_eq!(override_["until"].as_u64(), Some(since + 7200));
    assert_eq!(
        running.get("/api/v1/status").await.json()["pools"][0]["override"],
        *override_
    );
    let active = "meridian_override_active{pool=\"us-west\",state=\"drain\"} 1\n";
    assert!(running.get("/metrics").await.body.contains(active));
    assert!(running.get("/").await.body.contains(": &lt;b&gt;"));
    for _ in 0..2 {
        let taken_back = running.call("DELETE", pool, BEARER, "").await;
        assert_eq!(
            (taken_back.status, &taken_back.json()["override"]),
            (200, &Value::Null)
        );
    }
    for (force, status) in [
        ("", 409),
        (",\"force\":false", 409),
        (",\"force\":true", 200),
    ] {
        let body = format!("{{\"state\":\"drain\",\"reason\":\"strands\"{force}}}");
        let answer = running.call("PUT", pool, BEARER, &body).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    // One second is the least, and nobody needs to give an end.
    running
        .call("PUT", pool, BEARER, r#"{"state":"up","for":"1ms"}"#)
        .await;
    let overrides = running.live.overrides.read().clone();
    let override_ = overrides.of("us-west").expect("an override");
    assert_eq!(override_.until, Some(override_.since + 1));
    let endless = running
        .call("PUT", pool, BEARER, r#"{"state":"down","for":null}"#)
        .await;
    assert_eq!(endless.json()["override"]["until"], Value::Null);
}

fn drain() -> Override {
    Override {
        state: Forced::Drain,
        since: 1,
        begins: None,
        until: None,
        reason: "".into(),
    }
}

#[tokio::test]
async fn an_override_of_a_pool_that_is_gone_is_shown_and_can_be_cleared() {
    let running = run(Some("s3cret")).await;
    running
        .owner
        .overrides
        .write()
        .set("gone", drain(), "", Moment::default());
    let status = running.get("/api/v1/status").await.json();
    assert_eq!(status["orphaned_overrides"][0]["pool"], "gone");
    let page = running.get("/").await.body;
    assert!(page.contains("no such pool: has no effect"));
    for status in [200, 404] {
        let answer = running
            .call("DELETE", "/api/v1/overrides/gone", BEARER, "")
            .await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn a_refused_reload_tells_the_faults() {
    let running = run(Some("s3cret")).await;
    let answer = running.call("POST", "/api/v1/reload", BEARER, "").await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.json()["faults"],
        serde_json::json!(["pools.toml:1:1: unknown key `poool`"])
    );
    assert!(answer.json()["error"].is_string());
}

#[tokio::test]
async fn readiness_waits_for_the_first_probes() {
    let running = run(None).await;
    assert_eq!(running.get("/healthz").await.status, 200);
    let answer = running.get("/_ready").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("2 probes"), "{}", answer.body);
    running.owner.progress.write().is_ready = true;
    assert_eq!(running.get("/_ready").await.status, 200);
}

#[tokio::test]
async fn explanations_have_the_contracts_fields() {
    let running = run(None).await;
    let keys = |value: &Value| -> BTreeSet<String> {
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
    // São Paulo's largest carrier.
    let path = "/api/v1/explain?name=APP.example.com&type=A&client=187.32.0.0/16";
    let told = running.get(path).await.json();
    assert_eq!(
        keys(&told),
        words(
            "name type client client_source location rule vote candidates pool answer cname ttl \
             ttl_reason scope rcode"
        )
    );
    assert_eq!(
        keys(&told["location"]),
        words("continent country subdivision city latitude longitude asn network")
    );
    assert_eq!(
        keys(&told["candidates"][0]),
        words(
            "pool distance_km rtt_ms rtt_from rtt_samples rtt_measured health drained chosen reason \
             checks"
        )
    );
    assert_eq!(told["rule"], r#"continent = ["SA", "AF"]"#);
    assert_eq!(told["client_source"], "ecs");
    assert_eq!(told["pool"], "europe-west");
    assert_eq!(told["answer"], serde_json::json!(["192.0.2.20"]));
    assert_eq!(
        (&told["ttl"], &told["rcode"]),
        (&30.into(), &"NOERROR".into())
    );
    let km = told["candidates"][0]["distance_km"]
        .as_f64()
        .expect("a distance");
    assert!((km * 10.0 - (km * 10.0).round()).abs() < 1e-6, "{km}");

    // Without a client the HTTP peer asks, and nothing is known of loopback.
    let told = running
        .get("/api/v1/explain?name=ns1.example.com&type=&client=")
        .await
        .json();
    assert_eq!(
        (&told["client"], &told["client_source"]),
        (&"127.0.0.1".into(), &"resolver".into())
    );
    assert_eq!(told["answer"], serde_json::json!(["192.0.2.53"]));
    for key in ["rule", "pool", "scope"] {
        assert_eq!(told[key], Value::Null, "{key}");
    }
}

#[test]
fn details_are_what_a_snapshot_does_not_hold() {
    let (live, owner) = live();
    let mut override_ = drain();
    (override_.until, override_.reason) = (Some(1_795_229_338), "kernel".into());
    owner
        .overrides
        .write()
        .set("europe-west", override_, "", Moment::default());
    let snapshot = live.snapshots.current();
    let details = details::of(&live, &snapshot, PoolIx::new(1), Family::V4);
    assert_eq!(
        details.as_deref(),
        Some("until 2026-11-21T02:48:58Z: kernel")
    );
    see_failures(&live, &owner);
    see_failures(&live, &owner);
    let details = details::of(&live, &snapshot, PoolIx::new(0), Family::V4);
    let expected = "192.0.2.10 at ns1: status 503, expected 200-399";
    assert_eq!(details.as_deref(), Some(expected));
}

/// The paths of all keys, items of lists under `[]`.
fn paths(value: &Value, at: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                paths(value, &format!("{at}.{key}"), out);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for item in items {
                paths(item, &format!("{at}[]"), out);
            }
        }
        _ => {
            out.insert(at.trim_start_matches('.').to_owned());
        }
    }
}

/// The first words in code form of the table rows below a heading.
fn documented(text: &str, heading: &str) -> BTreeSet<String> {
    let (_, section) = text.split_once(heading).expect(heading);
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next().map(str::to_owned))
        .collect()
}

/// A host name that names endpoints of us-west, and has answered once; and a query that was sampled.
fn add_source(owner: &Owner) {
    let plan = &owner.publisher.current().plan;
    plan.countries.count(0, SteeredIx(0), None);
    let state = SourceState {
        since: Some(1),
        last_success: Some(1),
        ..SourceState::default()
    };
    let source = SourceId::Host("lb.example.net".into());
    owner.sources.write().insert("us-west", source, state);
}

#[test]
fn every_field_of_status_is_documented_and_no_other() {
    let (live, owner) = live();
    *owner.fleet.write() = Some(fleet::tests::view());
    see_failures(&live, &owner);
    let override_ = Override {
        state: Forced::Down,
        since: 1,
        begins: None,
        until: Some(2),
        reason: "why".into(),
    };
    owner
        .overrides
        .write()
        .set("us-west", override_.clone(), "", Moment::default());
    let planned = Override {
        begins: Some(4_000_000_000),
        until: None,
        ..override_.clone()
    };
    for (pool, override_) in [("gone", override_), ("europe-west", planned)] {
        let mut overrides = owner.overrides.write();
        overrides.set(pool, override_, "", Moment::default());
    }
    add_source(&owner);
    *owner.drills.write() = drills();
    *owner.downloads.write() = vec![download()];
    let told = serde_json::to_value(json::status(&live)).expect("JSON");
    let mut found = BTreeSet::new();
    paths(&told, "", &mut found);
    // Null or absent in this state, present in others.
    let other = [
        "pools[].drill",
        "pools[].drill.last",
        "pools[].override",
        "pools[].planned_override",
        "pools[].endpoints[].vantages",
        "pools[].endpoints[].regions",
        "pools[].sources",
        "latency.pools[].probes",
    ];
    found.retain(|path| !other.contains(&&**path));
    let text = include_str!("../../docs/admin-api.md");
    assert_eq!(found, documented(text, "## GET /api/v1/status"));
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "something of everything that has metrics"
)]
fn every_metric_is_documented_and_no_other() {
    let (live, owner) = live();
    *owner.fleet.write() = Some(fleet::tests::view());
    see_failures(&live, &owner);
    owner
        .overrides
        .write()
        .set("gone", drain(), "", Moment::default());
    add_source(&owner);
    *owner.drills.write() = drills();
    *owner.downloads.write() = vec![download()];
    live.meters.drilled("us-west", "aborted");
    live.meters
        .geoip_updates
        .with_label_values(&["location", "failed"])
        .inc();
    live.counters.shard(0).query(Transport::Udp);
    live.meters
        .fleet_link_dropped
        .with_label_values(&["oversized"])
        .inc();
    live.meters
        .updates
        .with_label_values(&["example.com", "NOERROR"])
        .inc();
    live.meters.expect_webhook("hook");
    let text = metrics::text(&live);
    let found: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let docs = include_str!("../../docs/metrics.md");
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| `"));
    let told: BTreeMap<&str, &str> = rows
        .filter_map(|row| {
            let (name, rest) = row.split_once("` | ")?;
            Some((name.split('{').next()?, rest.split(' ').next()?))
        })
        .collect();
    assert_eq!(found, told);
    for (line, n) in [
        ("meridian_queries_total{transport=\"udp\"}", "1"),
        (
            "meridian_steered_queries_total{name=\"app.example.com\",country=\"unknown\"}",
            "127",
        ),
        ("meridian_pool_up{family=\"ipv6\",pool=\"us-west\"}", "1"),
        (
            "meridian_endpoint_up{endpoint=\"2001:db8::10\",pool=\"us-west\"}",
            "1",
        ),
        (
            "meridian_probes_total{pool=\"us-west\",result=\"status\",vantage=\"ns1\"}",
            "2",
        ),
        ("meridian_reload_failed", "0"),
        (
            "meridian_witness_reached{vantage=\"ns1\",witness=\"192.0.2.53:443\"}",
            "0",
        ),
    ] {
        assert!(text.contains(&format!("\n{line} {n}\n")), "{line}");
    }
    // No IPv6 endpoint, no series.
    assert!(!text.contains("meridian_pool_up{family=\"ipv6\",pool=\"europe-west\"}"));
}

#[test]
fn series_of_pools_that_are_gone_are_dropped() {
    let (live, owner) = live();
    see_failures(&live, &owner);
    live.meters.forget_all_but(&HashSet::from(["us-west"]));
    assert!(metrics::text(&live).contains("meridian_probes_total{"));
    live.meters.forget_all_but(&HashSet::from(["us"]));
    let text = metrics::text(&live);
    assert!(!text.contains("meridian_probes_total{") && !text.contains("probe_duration"));
}

/// Octets that somebody leaves at that, once the server holds so many connections.
async fn left_alone(running: &Running, octets: &str, n: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..n {
        let mut stream = TcpStream::connect(running.address)
            .await
            .expect("a connection");
        stream.write_all(octets.as_bytes()).await.expect("sent");
        streams.push(stream);
    }
    streams
}

#[tokio::test(start_paused = true)]
async fn unfinished_and_unread_requests_shut_nobody_out() {
    let running = run(None).await;
    let since = Instant::now();
    let unread = "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for octets in ["", "GET / HTTP/1.1\r\nHost:", unread] {
        let _left = left_alone(&running, octets, 200).await;
        for path in ["/healthz", "/metrics"] {
            assert_eq!(running.get(path).await.status, 200, "{path} {octets}");
        }
    }
    assert!(since.elapsed() < Duration::from_secs(1), "nobody waits");
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_let_go_within_seconds() {
    let running = run(None).await;
    let mut silent = left_alone(&running, "GET / HTTP/1.1\r\nHost:", 1).await;
    let mut rest = Vec::new();
    let closed = silent[0].read_to_end(&mut rest);
    let closed = timeout(Duration::from_secs(6), closed).await;
    closed.expect("in time").expect("closed");
}

#[tokio::test]
async fn who_has_asked_may_close_its_direction() {
    let running = run(None).await;
    let request = "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = left_alone(&running, request, 1).await.remove(0);
    stream.shutdown().await.expect("closed");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
}

#[tokio::test]
async fn requests_for_other_hosts_are_misdirected() {
    let running = run(Some("s3cret")).await;
    for (host, status) in [
        ("evil.example", 421),
        ("localhost", 200),
        ("NS1.example.com:9353", 200),
        ("192.0.2.1", 200),
    ] {
        for path in ["/", "/healthz", "/api/v1/status"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let answer = running.send(&request).await;
            assert_eq!(answer.status, status, "{host} {path}");
        }
    }
    let refused = "meridian_admin_refused_total{reason=\"host\"} 3\n";
    assert!(metrics::text(&running.live).contains(refused));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_replaced_is_void() {
    let running = run(Some("s3cret")).await;
    let new = "Authorization: Bearer n3w\r\n";
    let status = async |bearer| {
        let path = "/api/v1/overrides/us-west";
        running.call("DELETE", path, bearer, "").await.status
    };
    assert_eq!([status(BEARER).await, status(new).await], [200, 401]);
    running.token.send_replace(access(Some("n3w")));
    let since = Instant::now();
    assert_eq!([status(BEARER).await, status(new).await], [401, 200]);
    assert!(since.elapsed() >= Duration::from_secs(1), "wrong ones wait");
    running.token.send_replace(access(None));
    assert_eq!([status(BEARER).await, status(new).await], [403, 403]);
    let refused = "meridian_admin_refused_total{reason=\"wrong_token\"} 2\n";
    assert!(metrics::text(&running.live).contains(refused));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let running = run(Some("s3cret")).await;
    let head = "PUT /api/v1/overrides/us-west HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n";
    let answer = running.send(&format!("{head}{BEARER}\r\n{{")).await;
    assert_eq!(answer.status, 408);
    assert!(answer.json()["error"].is_string());
}

#[tokio::test]
async fn it_stops_within_a_second_and_closes_its_port() {
    let running = run(None).await;
    let _silent = TcpStream::connect(running.address)
        .await
        .expect("a connection");
    assert_eq!(running.get("/healthz").await.status, 200);
    running.stop.send_replace(true);
    let stopped = timeout(Duration::from_secs(3), running.server).await;
    stopped.expect("in time").expect("without panic");
    assert!(TcpStream::connect(running.address).await.is_err());
}
