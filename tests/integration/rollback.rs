//! Back to what was served before a reload, over restarts, and forward again.

use std::process::Output;

use serde_json::Value;

use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::Server;
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::still_world;

const APP: &str = "app.example.com.";

/// Runs a command against the server: its exit code, and what it prints on both streams.
fn run(server: &Server, arguments: &[&str]) -> (Option<i32>, String, String) {
    let admin = server.admin.to_string();
    let mut all = arguments.to_vec();
    all.extend(["--server", &admin, "--token-file", "token"]);
    let Output {
        status,
        stdout,
        stderr,
    } = server.folder.meridian(&all);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// Writes a pools.toml whose addresses are in this block, and reloads.
fn accept(server: &Server, block: u8) {
    server.folder.write("pools.toml", still_world(block));
    let (code, printed, errors) = run(server, &["reload"]);
    assert_eq!(code, Some(0), "{errors}");
    // The watch may have been faster.
    let changes = [
        "changed: pools: br eu jp us changed\n",
        "changed: nothing\n",
    ];
    assert!(
        changes.iter().any(|text| printed.ends_with(text)),
        "{printed}"
    );
    serves(server, block);
}

fn roll_back(server: &Server, to: u8) {
    let (code, printed, errors) = run(server, &["rollback"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        printed.contains("changed: pools: br eu jp us changed\n"),
        "{printed}"
    );
    serves(server, to);
}

fn serves(server: &Server, block: u8) {
    let address = std::net::IpAddr::from([127, 0, block, 2]);
    assert_eq!(server.steer(APP, FRANCE), [address]);
}

/// Waits until status, metrics and page say whether the server is rolled back.
fn is_shown(server: &Server, is_rolled_back: bool) {
    eventually("what is shown", || {
        let (_, status) = http(server.admin, "GET", "/api/v1/status");
        let status: Value = serde_json::from_str(&status).expect("JSON");
        let rolled_back = &status["last_reload"]["rolled_back"];
        if !rolled_back.is_null() {
            assert_eq!(rolled_back["by"], "token");
            assert_eq!(rolled_back["digest"].as_str().map(str::len), Some(64));
        }
        let (_, metrics) = http(server.admin, "GET", "/metrics");
        let (_, page) = http(server.admin, "GET", "/");
        let (_, printed, _) = run(server, &["status"]);
        let shown = [
            !rolled_back.is_null(),
            metrics.contains("\nmeridian_rolled_back 1\n"),
            page.contains("Rolled back"),
            printed.contains("Rolled back"),
        ];
        (shown == [is_rolled_back; 4]).then_some(())
    });
}

/// Ends the server and starts another with the same files.
fn restart(server: Server) -> Server {
    server.signal("-TERM");
    server.ended().1.serve()
}

#[test]
fn a_rollback_holds_until_the_files_change() {
    let server = Folder::usual(&still_world(90), "").serve();
    accept(&server, 91);
    accept(&server, 92);
    is_shown(&server, false);
    roll_back(&server, 91);
    server
        .wait_for_log("rolled back: a kept configuration is served until the files on disk change");
    is_shown(&server, true);

    // Files at fault change nothing of it.
    server
        .folder
        .write("pools.toml", "[pool.us]\nlocatoin = [1, 1]\n");
    let (code, printed, errors) = run(&server, &["reload"]);
    assert_eq!(code, Some(1));
    assert!(
        printed.contains("pools.toml:2:1: unknown key `locatoin`"),
        "{printed}"
    );
    assert_eq!(
        errors,
        "meridian: the server refused: the files are refused; still serving the previous ones\n"
    );
    is_shown(&server, true);
    serves(&server, 91);
    server.folder.write("pools.toml", still_world(92));
    server.moves_to(APP, FRANCE, "127.0.92.2");
    is_shown(&server, false);
    roll_back(&server, 91);

    let server = restart(server);
    serves(&server, 91);
    is_shown(&server, true);
    server
        .wait_for_log("rolled back: a kept configuration is served until the files on disk change");
    roll_back(&server, 90);
    let (code, printed, errors) = run(&server, &["rollback"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        printed.contains("holds no configuration from before"),
        "{printed}"
    );
    serves(&server, 90);
    is_shown(&server, true);

    server.folder.write("pools.toml", still_world(93));
    server.moves_to(APP, FRANCE, "127.0.93.2");
    is_shown(&server, false);
    roll_back(&server, 90);
    // Asked for, the same files are served again.
    let (code, printed, errors) = run(&server, &["reload"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(printed.contains("pools: br eu jp us changed"), "{printed}");
    serves(&server, 93);
    roll_back(&server, 90);
    server.signal("-TERM");
    let folder = server.ended().1;
    folder.write("pools.toml", still_world(94));
    let server = folder.serve();
    serves(&server, 94);
    is_shown(&server, false);
}
