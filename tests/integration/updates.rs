//! Dynamic updates, by the real `nsupdate`: what is acknowledged is served, and still is after a crash.
//! Skipped where it is not installed, unless `MERIDIAN_REQUIRE_PEERS` is set.

use std::io::Write;
use std::process::Command;
use std::process::Stdio;

use hickory_proto::rr::RecordType;

use crate::harness::Folder;
use crate::harness::Reply;
use crate::harness::Server;
use crate::secondaries::program;
use crate::transfer::POOLS;
use crate::transfer::SECRET_BASE64;

/// Who may change what.
const GRANTS: &str = "\
[[tsig_key]]
name = \"update.key\"
secret_file = \"update.key\"
[[tsig_key]]
name = \"acme.key\"
secret_file = \"update.key\"
[[tsig_key]]
name = \"other.key\"
secret_file = \"update.key\"
[[update]]
key = \"update.key\"
zones = [\"example.com\"]
[[update]]
key = \"acme.key\"
zones = [\"example.com\"]
names = [\"_acme-challenge.*\"]
types = [\"TXT\"]
";

fn folder(more: &str) -> Folder {
    let folder = Folder::usual(POOLS, &format!("{GRANTS}{more}"));
    folder.write("update.key", SECRET_BASE64);
    folder
}

/// Runs `nsupdate` on some lines; the RCODE that it reports, or else its output.
fn nsupdate(server: &Server, key: Option<&str>, arguments: &[&str], lines: &str) -> String {
    let mut command = Command::new(program("nsupdate").expect("looked for before"));
    if let Some(key) = key {
        command.args(["-y", &format!("hmac-sha256:{key}:{}", SECRET_BASE64.trim())]);
    }
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nsupdate runs");
    let (ip, port) = (server.dns.ip(), server.dns.port());
    let script = format!("server {ip} {port}\nzone example.com\n{lines}\nsend\n");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(script.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match text.strip_prefix("update failed: ") {
        Some(rcode) => rcode.to_owned(),
        None if text.is_empty() && output.status.success() => "NOERROR".to_owned(),
        None => text,
    }
}

fn texts(server: &Server, name: &str, rtype: RecordType) -> Vec<String> {
    Reply::texts(&server.ask(name, rtype, None).message.answers)
}

fn serial(server: &Server) -> u32 {
    let soa = texts(server, "example.com.", RecordType::SOA);
    let serial = soa[0].split(' ').nth(4).expect("a serial");
    serial.parse().expect("a number")
}

#[test]
fn an_acknowledged_update_is_served_and_survives_a_crash() {
    let Some(_) = program("nsupdate") else { return };
    let server = folder("").serve();
    let add =
        "update add new.example.com 60 TXT \"one\"\nupdate add b.new.example.com 60 A 192.0.2.1";
    for arguments in [&[][..], &["-v"]] {
        assert_eq!(
            nsupdate(&server, Some("update.key"), arguments, add),
            "NOERROR"
        );
        let found = texts(&server, "new.example.com.", RecordType::TXT);
        assert_eq!(found, ["new.example.com. TXT one"], "{arguments:?}");
    }
    assert_eq!(serial(&server), 8, "the second changed nothing");
    server.signal("-KILL");
    let (_, folder, _) = server.ended();
    let server = folder.serve();
    let found = texts(&server, "new.example.com.", RecordType::TXT);
    assert_eq!(found, ["new.example.com. TXT one"]);
    assert_eq!(serial(&server), 8);
    let delete = "update delete new.example.com TXT";
    assert_eq!(
        nsupdate(&server, Some("update.key"), &[], delete),
        "NOERROR"
    );
    assert!(texts(&server, "new.example.com.", RecordType::TXT).is_empty());
    assert_eq!(serial(&server), 9);
}
