//! Signals: from the first moment on, and however a disk hangs.

use std::fmt::Write as _;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use hickory_proto::rr::RecordType;

use crate::harness::Folder;
use crate::harness::SLACK;
use crate::harness::ZONE;
use crate::harness::eventually;
use crate::harness::http_with;
use crate::harness::still_world;

/// A server that reads a large zone, with its signal handlers just installed.
fn starting(folder: &Folder) -> Child {
    let mut zone = String::from(ZONE);
    for n in 0..300_000 {
        let _ = writeln!(zone, "n{n} A 192.0.2.1");
    }
    folder.write("zones/example.com.zone", zone);
    let child = Command::new(env!("CARGO_BIN_EXE_meridian"))
        .current_dir(folder.path(""))
        .arg("serve")
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    eventually("signal handlers", || {
        let status = std::fs::read_to_string(&status).ok()?;
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        // SIGHUP is 1, SIGTERM 15.
        (caught & 1 != 0 && caught & 1 << 14 != 0).then_some(())
    });
    child
}

fn send(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    let status = Command::new("kill").args([signal, &pid]).status();
    assert!(status.expect("kill runs").success());
}

#[test]
fn sighup_kills_nobody_and_sigterm_ends_a_server_that_is_starting() {
    let folder = Folder::usual(&still_world(75), "");
    let child = starting(&folder);
    send(&child, "-HUP");
    send(&child, "-TERM");
    let output = child.wait_with_output().expect("the end");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(
        log.contains("stopping before the server has started"),
        "{log}"
    );
}

#[test]
fn a_state_dir_that_hangs_is_reported_and_holds_up_neither_edits_nor_the_end() {
    let server = Folder::usual(&still_world(76), "").serve();
    std::fs::create_dir_all(server.folder.path("state")).expect("a folder");
    // Opening a pipe that nobody reads hangs, as a disk over a dead network does.
    for file in ["state.json.new", "overrides.json.new"] {
        let pipe = server.folder.path("state").join(file);
        let made = Command::new("mkfifo").arg(pipe).status();
        assert!(made.expect("mkfifo runs").success());
    }
    let bearer = "Authorization: Bearer s3cret-of-16-octets\r\n";
    let body = r#"{"state":"drain"}"#;
    let (status, body) = http_with(server.admin, "PUT", "/api/v1/overrides/eu", bearer, body);
    assert_eq!(status, 500, "{body}");
    server.wait_for_log("state cannot be saved");
    let edit = format!("{ZONE}edited A 192.0.2.78\n");
    server.folder.write("zones/example.com.zone", edit);
    eventually("an edit meanwhile", || {
        let reply = server.ask("edited.example.com", RecordType::A, None);
        (!reply.addresses().is_empty()).then_some(())
    });
    let since = Instant::now();
    server.signal("-TERM");
    let (code, _, log) = server.ended();
    assert_eq!(code, Some(0));
    assert!(
        since.elapsed() < Duration::from_secs(5) + SLACK,
        "{:?}",
        since.elapsed()
    );
    assert!(log.contains("state not saved"), "{log}");
}
