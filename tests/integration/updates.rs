//! Dynamic updates, by the real `nsupdate`: what is acknowledged is served, and still is after a crash.
//! Skipped where it is not installed, unless `MERIDIAN_REQUIRE_PEERS` is set.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use hickory_proto::rr::RecordType;

use crate::harness::Folder;
use crate::harness::Reply;
use crate::harness::Server;
use crate::harness::ZONE;
use crate::harness::eventually;
use crate::harness::http;
use crate::secondaries::program;
use crate::transfer::POOLS;
use crate::transfer::SECRET_BASE64;

/// Who may change what.
pub const GRANTS: &str = "\
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
    let zone = if lines.contains("zone ") {
        ""
    } else {
        "zone example.com\n"
    };
    let script = format!("server {ip} {port}\n{zone}{lines}\nsend\n");
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

#[test]
fn a_response_leaves_from_the_address_that_was_asked() {
    let Some(_) = program("nsupdate") else { return };
    let folder = folder("");
    let text = fs::read_to_string(folder.path("meridian.toml")).expect("a file");
    folder.write(
        "meridian.toml",
        text.replacen("127.0.0.1:0", "0.0.0.0:0", 1),
    );
    let mut server = folder.serve();
    // nsupdate takes a response from no other address.
    server.dns.set_ip([127, 0, 0, 2].into());
    update(&server, "update add new.example.com 60 TXT one");
    assert_eq!(serial(&server), 8);
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

/// Sends an update that must be carried out.
pub fn update(server: &Server, lines: &str) {
    let result = nsupdate(server, Some("update.key"), &[], lines);
    assert_eq!(result, "NOERROR", "{lines}\n{}", server.log());
}

const ALL: Option<&str> = Some("update.key");
const ACME: Option<&str> = Some("acme.key");

/// By which key what is sent, and its RCODE.
const REFUSED: &[(Option<&str>, &str, &str)] = &[
    (None, "update add a.example.com 60 A 192.0.2.1", "REFUSED"),
    (
        Some("other.key"),
        "update add a.example.com 60 A 192.0.2.1",
        "REFUSED",
    ),
    (
        Some("no.key"),
        "update add a.example.com 60 A 192.0.2.1",
        "NOTAUTH(BADKEY)",
    ),
    (ACME, "update add a.example.com 60 TXT x", "REFUSED"),
    (
        ACME,
        "update add _acme-challenge.example.com 60 SRV 1 2 3 mx",
        "REFUSED",
    ),
    (ACME, "update delete mail.example.com", "REFUSED"),
    (ALL, "update add example.com 60 NS ns9", "REFUSED"),
    (ALL, "update add app.example.com 60 A 192.0.2.1", "REFUSED"),
    (ALL, "update add app.example.com 60 CNAME www", "REFUSED"),
    (ALL, "update delete app.example.com A", "REFUSED"),
    (
        ALL,
        "update add x.old.example.com 60 A 192.0.2.1",
        "REFUSED",
    ),
    (ALL, "update add *.b.example.com 60 NS ns9", "REFUSED"),
    (
        ALL,
        "prereq nxdomain mail.example.com\nupdate add a.example.com 60 A 192.0.2.1",
        "YXDOMAIN",
    ),
    (
        ALL,
        "prereq yxdomain no.example.com\nupdate add a.example.com 60 A 192.0.2.1",
        "NXDOMAIN",
    ),
    (
        ALL,
        "prereq nxrrset mx.example.com A\nupdate add a.example.com 60 A 192.0.2.1",
        "YXRRSET",
    ),
    (
        ALL,
        "prereq yxrrset mx.example.com A 192.0.2.1\nupdate delete mx.example.com",
        "NXRRSET",
    ),
    (ALL, "update add a.example.org 60 A 192.0.2.1", "NOTZONE"),
    (
        ALL,
        "zone example.org\nupdate add a.example.org 60 A 192.0.2.1",
        "NOTAUTH",
    ),
];

#[test]
fn what_is_refused_changes_nothing() {
    let Some(_) = program("nsupdate") else { return };
    let server = folder("").serve();
    for (key, lines, result) in REFUSED {
        for arguments in [&[][..], &["-v"]] {
            let found = nsupdate(&server, *key, arguments, lines);
            assert!(found.ends_with(result), "{key:?} {lines}: {found}");
        }
    }
    assert_eq!(serial(&server), 7);
    let challenge = "update add _acme-challenge.www.example.com 60 TXT x";
    assert_eq!(nsupdate(&server, ACME, &[], challenge), "NOERROR");
    let (_, metrics) = http(server.admin, "GET", "/metrics");
    for line in [
        "meridian_updates_total{result=\"NOERROR\",zone=\"example.com\"} 1\n",
        "meridian_updates_total{result=\"YXRRSET\",zone=\"example.com\"} 2\n",
        "meridian_updates_total{result=\"NOTAUTH\",zone=\"\"} 2\n",
        "meridian_updates_total{result=\"NOTAUTH\",zone=\"example.com\"} 2\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
    for line in [
        "no [[update]] lets this key change a name or type of the update",
        "the name is steered",
        "updates must be signed",
        "zone updated zone=example.com. serial=8 updates=1 removed=0 added=1",
    ] {
        server.wait_for_log(line);
    }
}

#[test]
fn an_edited_file_and_its_updates_are_merged() {
    let Some(_) = program("nsupdate") else { return };
    let server = folder("").serve();
    update(
        &server,
        "update add new.example.com 60 TXT one\nupdate add gone.example.com 60 A 192.0.2.1\n\
         update delete mx.example.com",
    );
    update(&server, "update add more.example.com 60 TXT two");
    assert_eq!(serial(&server), 9);
    // An edit that knows nothing of the updates, at a serial that was served already.
    let edited = ZONE.replace(" 7 1h", " 8 1h") + "edit TXT e\ngone CNAME edit\n";
    server.folder.write("zones/example.com.zone", &edited);
    eventually("the edit", || (serial(&server) == 10).then_some(()));
    let found = |server: &Server, name: &str, rtype| {
        texts(server, &format!("{name}.example.com."), rtype).len()
    };
    for (name, rtype, n) in [
        ("new", RecordType::TXT, 1),
        ("more", RecordType::TXT, 1),
        ("edit", RecordType::TXT, 1),
        ("mx", RecordType::A, 0),
        ("gone", RecordType::CNAME, 1),
    ] {
        assert_eq!(found(&server, name, rtype), n, "{name}");
    }
    server.wait_for_log(
        "A record of `gone.example.com.`, added by a dynamic update, is dropped: a CNAME cannot be \
         beside other records",
    );
    // What the file no longer has need not be kept as deleted.
    let without = edited.replace("mx     A   192.0.2.25\n", "");
    server.folder.write("zones/example.com.zone", &without);
    eventually("the edit", || (serial(&server) == 11).then_some(()));
    server.signal("-KILL");
    let (_, folder, _) = server.ended();
    let server = folder.serve();
    assert_eq!(serial(&server), 11, "the same after a crash");
    server
        .folder
        .write("zones/example.com.zone", edited.replace(" 8 1h", " 20 1h"));
    eventually("a newer serial", || (serial(&server) == 20).then_some(()));
    assert_eq!(found(&server, "mx", RecordType::A), 1);
    assert_eq!(found(&server, "new", RecordType::TXT), 1);
}

#[test]
fn a_torn_journal_is_cut_and_check_leaves_it_alone() {
    let Some(_) = program("nsupdate") else { return };
    let server = folder("").serve();
    for n in 1..=3 {
        update(&server, &format!("update add n{n}.example.com 60 TXT x"));
    }
    server.signal("-KILL");
    let (_, folder, _) = server.ended();
    let path = folder.path("state/journal/example.com.journal");
    let whole = fs::read(&path).expect("a journal");
    fs::write(&path, &whole[..whole.len() - 1]).expect("written");
    let checked = folder.meridian(&["check"]);
    let text = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    assert!(
        text.contains("part of an update that was not finished"),
        "{text}"
    );
    assert_eq!(fs::read(&path).expect("a journal").len(), whole.len() - 1);
    let server = folder.serve();
    assert_eq!(serial(&server), 9, "two of three");
    server.wait_for_log("part of an update that was not finished");
    update(&server, "update add n4.example.com 60 TXT x");
    assert_eq!(serial(&server), 10);

    // What is no journal at all is left where it is.
    server.signal("-KILL");
    let (_, folder, _) = server.ended();
    fs::write(&path, "x").expect("written");
    let server = folder.serve();
    assert_eq!(serial(&server), 7, "the file alone");
    server.wait_for_log("is no journal, or its beginning is damaged");
    update(&server, "update add n5.example.com 60 TXT x");
    let aside = server
        .folder
        .path("state/journal/example.com.journal.damaged");
    assert_eq!(fs::read(aside).expect("kept"), b"x");
}

#[test]
fn updates_from_many_clients_are_all_there_and_queries_go_on() {
    let Some(_) = program("nsupdate") else { return };
    const N: u32 = 40;
    let server = folder("").serve();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut n_halves = 0;
            while !is_over.load(Relaxed) {
                let pair = texts(&server, "pair.example.com.", RecordType::TXT);
                let numbers: Vec<_> = pair.iter().map(|text| &text[text.len() - 2..]).collect();
                let is_whole =
                    matches!(&*numbers, [] | [_, _]) && numbers.first() == numbers.last();
                n_halves += usize::from(!is_whole);
            }
            n_halves
        });
        let changing: Vec<_> = (0..N)
            .map(|n| {
                let server = &server;
                scope.spawn(move || {
                    update(server, &format!("update add n{n}.example.com 60 TXT x"));
                })
            })
            .collect();
        for n in 10..30 {
            update(
                &server,
                &format!(
                    "update delete pair.example.com\nupdate add pair.example.com 60 TXT a{n}\n\
                     update add pair.example.com 60 TXT b{n}"
                ),
            );
        }
        changing
            .into_iter()
            .for_each(|change| change.join().expect("no panic"));
        is_over.store(true, Relaxed);
        assert_eq!(
            asking.join().expect("no panic"),
            0,
            "half of an update was seen"
        );
    });
    for n in 0..N {
        let found = texts(&server, &format!("n{n}.example.com."), RecordType::TXT);
        assert_eq!(found.len(), 1, "{n}");
    }
    let n_serials = serial(&server) - 7;
    assert!(n_serials <= N + 20, "{n_serials}");
}

/// What `dig` or `kdig` gets for an IXFR: its records, each as `OWNER TTL TYPE RDATA`.
fn ixfr(program: &Path, server: &Server, since: u32) -> Vec<String> {
    let output = Command::new(program)
        .args([
            &format!("@{}", server.dns.ip()),
            "-p",
            &server.dns.port().to_string(),
            "+tcp",
            "example.com",
            &format!("IXFR={since}"),
        ])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let records = text
        .lines()
        .filter(|line| !line.starts_with(';') && !line.is_empty());
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    records.map(words).collect()
}

#[test]
fn secondaries_get_the_differences() {
    let (Some(_), Some(dig), Some(kdig)) = (program("nsupdate"), program("dig"), program("kdig"))
    else {
        return;
    };
    let folder = Folder::usual(
        "",
        &format!("{GRANTS}[[secondary]]\naddresses = [\"127.0.0.1\"]\n"),
    );
    folder.write("update.key", SECRET_BASE64);
    let server = folder.serve();
    update(&server, "update add one.example.com 60 TXT 1");
    update(
        &server,
        "update add one.example.com 60 TXT 2\nupdate delete mx.example.com",
    );
    update(&server, "update delete one.example.com TXT 1");
    let soa = |serial| {
        format!(
            "example.com. 3600 IN SOA ns1.example.com. hostmaster.example.com. {serial} 3600 900 604800 300"
        )
    };
    let (one, two) = (
        "one.example.com. 60 IN TXT \"1\"",
        "one.example.com. 60 IN TXT \"2\"",
    );
    let mx = "mx.example.com. 3600 IN A 192.0.2.25";
    let (s7, s8, s9, s10) = (soa(7), soa(8), soa(9), soa(10));
    let all = [
        &*s10, &s7, &s8, one, &s8, mx, &s9, two, &s9, one, &s10, &s10,
    ];
    let from_9 = [&*s10, &s9, one, &s10, &s10];
    for program in [&dig, &kdig] {
        assert_eq!(ixfr(program, &server, 7), all, "{program:?}");
        assert_eq!(ixfr(program, &server, 9), from_9, "{program:?}");
        assert_eq!(ixfr(program, &server, 10), [&*s10]);
        let whole = ixfr(program, &server, 3);
        assert!(whole.len() > 15, "the whole zone: {whole:#?}");
    }
    server.signal("-KILL");
    let (_, folder, _) = server.ended();
    let server = folder.serve();
    assert_eq!(ixfr(&dig, &server, 7), all, "the same after a crash");
    server
        .folder
        .write("zones/example.com.zone", format!("{ZONE}edit TXT e\n"));
    eventually("the edit", || (serial(&server) == 11).then_some(()));
    assert!(
        ixfr(&dig, &server, 10).len() > 15,
        "the whole zone after an edit"
    );
    update(&server, "update add two.example.com 60 TXT 1");
    assert_eq!(ixfr(&dig, &server, 11).len(), 5);
}
