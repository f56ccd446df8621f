//! What operators do most, from the command to the DNS answer, the metric and what is shown.

use std::fs;
use std::net::IpAddr;
use std::process::Output;

use hickory_proto::rr::RecordType;
use serde_json::Value;

use crate::harness::Backends;
use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::Mood;
use crate::harness::Server;
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::http_with;
use crate::harness::world;

const APP: &str = "app.example.com";

/// Four pools that are up, and what fails them; clients in France get `eu`, and `us` without it.
struct World {
    block: u8,
    backends: Backends,
    server: Server,
}

impl World {
    fn start(block: u8) -> Self {
        let backends = Backends::start(block, 4);
        let server = Folder::usual(&world(block, backends.port), "")
            .serve()
            .ready();
        Self {
            block,
            backends,
            server,
        }
    }

    /// Runs a command against the server; its exit code, and what it prints.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let admin = self.server.admin.to_string();
        let mut all = arguments.to_vec();
        all.extend(["--server", &admin, "--token-file", "token"]);
        printed(&self.server.folder.meridian(&all))
    }

    fn status(&self) -> Value {
        let (code, text) = self.run(&["status", "--json"]);
        assert_eq!(code, 0, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Why a client in France gets its answer: the pool, and what is said of `eu`.
    fn explain(&self) -> (String, String) {
        let arguments = ["explain", APP, "--client", FRANCE, "--live", "--json"];
        let (code, text) = self.run(&arguments);
        assert_eq!(code, 0, "{text}");
        let told: Value = serde_json::from_str(&text).expect("JSON");
        let candidates = told["candidates"].as_array().expect("a list");
        let eu = candidates.iter().find(|c| c["pool"] == "eu").expect("eu");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        (text(&told["pool"]), text(&eu["reason"]))
    }

    /// Whether this line is in `/metrics`.
    fn has_metric(&self, line: &str) -> bool {
        let metrics = http(self.server.admin, "GET", "/metrics").1;
        metrics.lines().any(|other| other == line)
    }

    /// Waits until a client in France gets backend `at`.
    fn moves_to(&self, at: u8) {
        let address = format!("127.0.{}.{at}", self.block);
        self.server.moves_to(APP, FRANCE, &address);
    }

    /// Calls the API about the override of `eu`.
    fn call(&self, method: &str, body: &str) {
        let bearer = "Authorization: Bearer s3cret-of-16-octets\r\n";
        let path = "/api/v1/overrides/eu";
        let answer = http_with(self.server.admin, method, path, bearer, body);
        assert_eq!(answer.0, 200, "{}", answer.1);
    }
}

fn printed(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    let code = output.status.code().expect("an exit code");
    (code, String::from_utf8(text).expect("UTF-8"))
}

const DRAINED: &str = "meridian_override_active{pool=\"eu\",state=\"drain\"} 1";

#[test]
fn a_drain_is_answered_counted_shown_and_undone() {
    let world = World::start(77);
    // What answers is what is shown, though nothing has flipped yet.
    eventually("pools that are shown as up", || {
        let status = world.status();
        let mut pools = status["pools"].as_array().expect("pools").iter();
        let is_up = |pool: &Value| pool["ipv4"] == "up" && pool["endpoints"][0]["health"] == "up";
        pools.all(is_up).then_some(())
    });
    world.moves_to(2);
    assert_eq!(world.explain().0, "eu");

    let (code, text) = world.run(&["drain", "eu", "--reason", "new kernel"]);
    assert_eq!((code, &*text), (0, "eu is drained\n"));
    world.moves_to(1);
    assert!(world.has_metric(DRAINED));
    assert!(world.has_metric("meridian_pool_up{family=\"ipv4\",pool=\"eu\"} 1"));
    let (code, text) = world.run(&["status"]);
    assert!(code == 0 && text.contains("eu [drain]"), "{text}");
    assert_eq!(
        world.status()["pools"][1]["override"]["reason"],
        "new kernel"
    );
    let (pool, why) = world.explain();
    assert_eq!(pool, "us");
    assert_eq!(why, "drained (until it is cleared: new kernel)");

    let (code, text) = world.run(&["undrain", "eu"]);
    assert_eq!((code, &*text), (0, "the override of eu is cleared\n"));
    world.moves_to(2);
    assert!(!world.has_metric(DRAINED));
    assert_eq!(world.status()["pools"][1]["override"], Value::Null);

    let (code, text) = world.run(&["drain", "eu", "--for", "2s"]);
    assert_eq!(code, 0, "{text}");
    world.moves_to(1);
    world.moves_to(2);
    world.server.wait_for_log("override expired");
    assert!(!world.has_metric(DRAINED));

    assert_eq!(world.run(&["drain", "nowhere"]).0, 1);
    assert_eq!(world.run(&["undrain", "nowhere"]).0, 1);
}

#[test]
fn a_drill_ends_in_time_or_as_soon_as_another_pool_fails() {
    let world = World::start(98);
    let result = |result: &str, n: u32| {
        let line = format!("meridian_drills_total{{pool=\"eu\",result=\"{result}\"}} {n}");
        eventually(&line, || world.has_metric(&line).then_some(()));
    };
    let last = || world.status()["pools"][1]["drill"]["last"].clone();
    world.moves_to(2);
    let (code, text) = world.run(&["drill", "eu", "--for", "2s", "--reason", "practice"]);
    assert!(code == 0 && text.contains("eu is drilled for 2s"), "{text}");
    world.moves_to(1);
    world.moves_to(2);
    result("completed", 1);
    assert_eq!(last()["result"], "completed");
    assert!(last()["moved"].as_f64().is_some_and(|moved| moved > 0.0));

    let (code, text) = world.run(&["drill", "eu"]);
    assert!(code == 0 && text.contains("for 10m"), "{text}");
    world.moves_to(1);
    assert!(world.has_metric("meridian_override_active{pool=\"eu\",state=\"drill\"} 1"));
    let (code, text) = world.run(&["drill", "jp"]);
    assert!(
        code == 1 && text.contains("not drilled: pool `eu` is drilled"),
        "{text}"
    );
    world.backends.set(3, Mood::Unavailable);
    world.moves_to(2);
    world.server.wait_for_log("drill is ended early");
    result("aborted", 1);
    assert_eq!(last()["reason"], "pool `jp` is not up for ipv4");
    let (code, text) = world.run(&["drill", "eu"]);
    assert!(
        code == 1 && text.contains("not drilled: pool `jp` is not up"),
        "{text}"
    );

    world.backends.set(3, Mood::Ready);
    let is_begun = || (world.run(&["drill", "eu"]).0 == 0).then_some(());
    eventually("a drill after jp is back", is_begun);
    world.moves_to(1);
    assert_eq!(world.run(&["undrain", "eu"]).0, 0);
    world.moves_to(2);
    result("aborted", 2);
}

#[test]
fn up_and_down_hold_against_the_probes() {
    let world = World::start(78);
    let pool_up = |n| format!("meridian_pool_up{{family=\"ipv4\",pool=\"eu\"}} {n}");
    world.call("PUT", r#"{"state":"down"}"#);
    world.moves_to(1);
    assert!(world.has_metric(&pool_up(0)));
    assert_eq!(world.status()["pools"][1]["ipv4"], "down");
    world.call("DELETE", "");
    world.moves_to(2);
    assert!(world.has_metric(&pool_up(1)));

    world.backends.set(2, Mood::Unavailable);
    world.moves_to(1);
    let (pool, why) = world.explain();
    assert_eq!(pool, "us");
    let failed = "127.0.78.2 at ";
    assert!(why.contains(failed) && why.contains("status 503"), "{why}");
    world.call("PUT", r#"{"state":"up"}"#);
    world.moves_to(2);
    assert!(world.has_metric(&pool_up(1)));
    world.call("DELETE", "");
    world.moves_to(1);
    world.backends.set(2, Mood::Ready);
    world.moves_to(2);
}

#[test]
fn the_last_pool_is_drained_only_by_force() {
    let world = World::start(79);
    for pool in ["us", "jp", "br"] {
        assert_eq!(world.run(&["drain", pool]).0, 0, "{pool}");
    }
    let (code, text) = world.run(&["drain", "eu"]);
    assert_eq!(code, 1);
    let expected = "clients of `app.example.com` would have no usable pool left for ipv4";
    assert!(text.contains(expected), "{text}");
    assert_eq!(world.status()["pools"][1]["override"], Value::Null);
    world.moves_to(2);
    assert_eq!(world.run(&["drain", "eu", "--force"]).0, 0);
    assert!(world.has_metric(DRAINED));
}

#[test]
fn an_override_outlives_its_pool_visibly() {
    let world = World::start(80);
    assert_eq!(world.run(&["drain", "eu"]).0, 0);
    let pools = fs::read_to_string(world.server.folder.path("pools.toml")).expect("the file");
    let renamed = pools
        .replace("pool.eu", "pool.europe")
        .replace("\"eu\"", "\"europe\"");
    world.server.folder.write("pools.toml", renamed);
    world
        .server
        .wait_for_log("override of a pool that does not exist");
    assert_eq!(world.status()["orphaned_overrides"][0]["pool"], "eu");
    let (_, text) = world.run(&["status"]);
    assert!(
        text.contains("overrides of pools that do not exist"),
        "{text}"
    );
    assert!(world.has_metric("meridian_override_orphaned{pool=\"eu\",state=\"drain\"} 1"));
    assert_eq!(world.run(&["undrain", "eu"]).0, 0);
    assert_eq!(
        world.status()["orphaned_overrides"],
        Value::Array(Vec::new())
    );
}

#[test]
fn a_configuration_that_is_broken_elsewhere_is_no_obstacle() {
    let world = World::start(81);
    let admin = world.server.admin;
    let text =
        format!("nonsense = [\n[admin]\nlisten = \"{admin}\"\ntoken_file = \"token\"\n[[x\n");
    let folder = &world.server.folder;
    folder.write("broken.toml", text);
    for arguments in [&["status"][..], &["drain", "eu"], &["undrain", "eu"]] {
        let all = [&["-c", "broken.toml"], arguments].concat();
        let (code, text) = printed(&folder.meridian(&all));
        assert_eq!(code, 0, "{text}");
    }
    for (file, text) in [
        ("none.toml", "zones = \"zones\"\n"),
        ("zero.toml", "[admin]\nlisten = \"[::]:0\"\n"),
    ] {
        folder.write(file, text);
        let (code, text) = printed(&folder.meridian(&["-c", file, "status"]));
        assert_eq!(code, 78, "{text}");
        assert!(text.contains("--server"), "{text}");
    }
}

#[test]
fn a_token_that_was_replaced_is_void_within_seconds() {
    let world = World::start(82);
    let status = |token: &str| {
        let bearer = format!("Authorization: Bearer {token}\r\n");
        let admin = world.server.admin;
        http_with(admin, "DELETE", "/api/v1/overrides/eu", &bearer, "").0
    };
    assert_eq!(status("s3cret-of-16-octets"), 200);
    world.server.folder.write("token", "another\n");
    eventually("the new token", || (status("another") == 200).then_some(()));
    assert_eq!(status("s3cret-of-16-octets"), 401);
    fs::remove_file(world.server.folder.path("token")).expect("removed");
    eventually("no token", || (status("another") == 403).then_some(()));
    assert!(!world.has_metric("meridian_admin_refused_total{reason=\"wrong_token\"} 0"));
}

#[test]
fn the_last_good_pool_answers_over_reload_and_restart() {
    let backends = Backends::start(83, 4);
    let pools = world(83, backends.port) + "all_down = \"last_good\"\n";
    let server = Folder::usual(&pools, "").serve().ready();
    let wait_for_n_up = |server: &Server, n: usize| {
        eventually(&format!("{n} pools up"), || {
            let metrics = http(server.admin, "GET", "/metrics").1;
            let up = metrics.lines().filter(|line| {
                line.starts_with("meridian_pool_up{family=\"ipv4\"") && line.ends_with(" 1")
            });
            (up.count() == n).then_some(())
        });
    };
    // `us` is the last that is up: as if nothing were known, clients in France would get `eu`.
    for at in [2, 3, 4] {
        backends.set(at, Mood::Unavailable);
    }
    wait_for_n_up(&server, 1);
    backends.set(1, Mood::Unavailable);
    wait_for_n_up(&server, 0);
    let gets_us = |server: &Server, when: &str| {
        let us = [IpAddr::from([127, 0, 83, 1])];
        assert_eq!(server.steer(APP, FRANCE), us, "{when}");
    };
    gets_us(&server, "all down");

    let edited = format!("{pools}ttl = \"7s\"\n");
    server.folder.write("pools.toml", edited);
    eventually("the reload", || {
        let reply = server.ask(APP, RecordType::A, Some(FRANCE));
        (reply.message.answers[0].ttl == 7).then_some(())
    });
    gets_us(&server, "after a reload");

    let state = server.folder.path("state/state.json");
    eventually("the verdicts on disk", || {
        let text = fs::read_to_string(&state).ok()?;
        (text.matches("\"health\":\"down\"").count() == 4).then_some(())
    });
    server.signal("-KILL");
    let (_, folder, _) = server.ended();
    let server = folder.serve();
    gets_us(&server, "right after a restart");
    let server = server.ready();
    wait_for_n_up(&server, 0);
    gets_us(&server, "once probed again");
    backends.set(2, Mood::Ready);
    server.moves_to(APP, FRANCE, "127.0.83.2");
}
