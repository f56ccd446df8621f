//! The log never holds the server up and never ends it.

use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use hickory_proto::rr::RecordType;

use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::LogReader;
use crate::harness::SLACK;
use crate::harness::Server;
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::http_with;
use crate::harness::still_world;

const BEARER: &str = "Authorization: Bearer s3cret-of-16-octets\r\n";

/// A server whose `pools.toml` was then given a fault on each of many lines.
fn server_with_much_to_log() -> Server {
    let server = Folder::usual(&still_world(73), "").serve();
    let faults: String = (0..30).map(|n| format!("fault-{n:0>150} = 1\n")).collect();
    server.folder.write("pools.toml", faults);
    server
}

fn dropped_lines(server: &Server) -> u64 {
    let metrics = http(server.admin, "GET", "/metrics").1;
    let mut lines = metrics.lines();
    let line = lines.find_map(|line| line.strip_prefix("meridian_log_lines_dropped_total "));
    line.expect("the metric").parse().expect("a number")
}

/// Has the server refuse its files, which is logged, until lines are dropped.
fn log_until_lines_are_dropped(server: &Server) {
    eventually("dropped lines", || {
        let refused = http_with(server.admin, "POST", "/api/v1/reload", BEARER, "").0;
        assert_eq!(refused, 422);
        (dropped_lines(server) > 0).then_some(())
    });
}

fn still_works(server: &Server) {
    let before = server.steer("app.example.com", FRANCE);
    let pool = "/api/v1/overrides/eu";
    let drained = http_with(server.admin, "PUT", pool, BEARER, r#"{"state":"drain"}"#);
    assert_eq!(drained.0, 200, "{drained:?}");
    assert_ne!(server.steer("app.example.com", FRANCE), before);
}

fn ends_in_time(server: Server) -> String {
    let started = Instant::now();
    server.signal("-TERM");
    let (code, _, log) = server.ended();
    assert_eq!(code, Some(0));
    assert!(started.elapsed() < Duration::from_secs(5) + SLACK);
    log
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let server = server_with_much_to_log();
    server.set_log_reader(LogReader::Waits);
    log_until_lines_are_dropped(&server);
    still_works(&server);
    server.set_log_reader(LogReader::Reads);
    server.wait_for_log("log lines were dropped");
    server.set_log_reader(LogReader::Waits);
    log_until_lines_are_dropped(&server);
    ends_in_time(server);
}

#[test]
fn a_log_whose_reader_has_gone_ends_nothing() {
    let server = server_with_much_to_log();
    server.set_log_reader(LogReader::Leaves);
    log_until_lines_are_dropped(&server);
    still_works(&server);
    ends_in_time(server);
}

#[test]
fn a_log_level_that_does_not_exist_is_named_with_those_that_do() {
    let start = |level: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
        command.env("MERIDIAN_LOG", level);
        Server::start(Folder::usual(&still_world(74), ""), command)
    };
    let server = start("nonsense");
    let expected = "MERIDIAN_LOG is not a log level, expected one of error, warn, info, debug";
    server.wait_for_log(expected);
    server.ask("app.example.com", RecordType::A, None);
    assert!(!ends_in_time(start("Debug")).contains("MERIDIAN_LOG"));
}

#[test]
fn lines_are_objects_where_that_is_configured() {
    let server = Folder::usual(&still_world(74), "").serve();
    let usual = std::fs::read_to_string(server.folder.path("meridian.toml")).expect("a file");
    let with = |format: &str| format!("{usual}[log]\nformat = \"{format}\"\n");
    server.folder.write("meridian.toml", with("xml"));
    let (status, body) = http_with(server.admin, "POST", "/api/v1/reload", BEARER, "");
    assert_eq!(status, 422, "{body}");
    assert!(body.contains("`format`"), "{body}");
    server.folder.write("meridian.toml", with("json"));
    let (status, body) = http_with(server.admin, "POST", "/api/v1/reload", BEARER, "");
    assert_eq!(status, 200, "{body}");
    server.wait_for_log("\"message\":\"reloaded\"");
    let log = server.log();
    let line = log
        .lines()
        .find(|line| line.contains("\"reloaded\""))
        .expect("a line");
    let line: serde_json::Value = serde_json::from_str(line).expect("an object");
    let keys: Vec<_> = line.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["fields", "level", "message", "target", "timestamp"]);
    assert_eq!(line["level"], "info");
    assert_eq!(line["fields"]["pools"], 4);
    assert_eq!(line["fields"]["changes"], "settings: [log] changed");
}
