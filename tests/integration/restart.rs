//! Ends and new beginnings.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use hickory_proto::rr::RecordType;
use serde_json::Value;

use crate::harness::Backends;
use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::Mood;
use crate::harness::Server;
use crate::harness::ZONE;
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::http_with;
use crate::harness::query;
use crate::harness::read_framed;
use crate::harness::still_world;
use crate::harness::world;

const APP: &str = "app.example.com.";

#[test]
fn a_pool_that_was_down_does_not_come_back_as_up() {
    let backends = Backends::start(60, 4);
    // A slow interval: the first answers after the restart come before any verdict by probes.
    let server = Folder::usual(&world(60, backends.port), "").serve().ready();
    backends.set(2, Mood::Unavailable);
    server.moves_to(APP, FRANCE, "127.0.60.1");
    let state = server.folder.path("state/state.json");
    eventually("the verdict on disk", || {
        fs::read_to_string(&state)
            .ok()?
            .contains("\"down\"")
            .then_some(())
    });
    server.signal("-KILL");
    let (_, folder, _) = server.ended();
    let server = folder.serve();
    for _ in 0..20 {
        assert_eq!(server.steer(APP, FRANCE), [IpAddr::from([127, 0, 60, 1])]);
    }
    backends.set(2, Mood::Ready);
    server.moves_to(APP, FRANCE, "127.0.60.2");
}

#[test]
fn the_end_comes_in_time_and_answers_what_was_received() {
    let server = Folder::usual(&still_world(61), "").serve();
    let query = query(APP, RecordType::A, Some(FRANCE));
    let mut stream = TcpStream::connect(server.dns).expect("a connection");
    let mut framed = (query.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(&query);
    stream.write_all(&framed).expect("sent");
    // The first answer shows that the connection is served; the second query is in the same breath as
    // the signal.
    read_framed(&mut stream);
    stream.write_all(&framed).expect("sent");
    let since = std::time::Instant::now();
    server.signal("-TERM");
    read_framed(&mut stream);
    let (code, _, log) = server.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(since.elapsed() < Duration::from_secs(5));
    assert!(!log.contains("ERROR"), "{log}");
}

/// Waits until the newest kept configuration has a file with this text, and gives where it is.
fn copied(folder: &Folder, file: &str, text: &str) -> PathBuf {
    let path = folder.path(file);
    eventually("the last good copy", || {
        let manifests = fs::read_dir(folder.path("state/kept")).ok()?;
        let number = |entry: std::io::Result<fs::DirEntry>| {
            let name = entry.ok()?.file_name();
            name.to_str()?.strip_suffix(".json")?.parse::<u64>().ok()
        };
        let newest = manifests.filter_map(number).max()?;
        let manifest = fs::read(folder.path(&format!("state/kept/{newest}.json"))).ok()?;
        let manifest: Value = serde_json::from_slice(&manifest).ok()?;
        let mut files = manifest["files"].as_array()?.iter();
        let file = files.find(|file| file["path"].as_str().map(Path::new) == Some(&path))?;
        let object = folder
            .path("state/kept/objects")
            .join(file["sha256"].as_str()?);
        let content = fs::read_to_string(&object).ok()?;
        content.contains(text).then_some(object)
    })
}

fn kill(server: Server) -> Folder {
    server.signal("-KILL");
    server.ended().1
}

#[test]
fn a_faulty_file_does_not_keep_the_server_from_starting() {
    let more = "[server.cookies]\nsecret_file = \"cookie.secret\"\n\
                [geoip]\ndatabase = \"geo.mmdb\"\n";
    let folder = Folder::usual(&still_world(62), more);
    let meridian_toml = fs::read_to_string(folder.path("meridian.toml")).expect("a file");
    let database = include_bytes!("../../geoip/world-country.mmdb");
    let zone = format!("{ZONE}$INCLUDE ../more.inc\n");
    folder
        .write("cookie.secret", "e5e973e5a6b2a43f48e7dc849e37bfcf\n")
        .write("geo.mmdb", database)
        .write("more.inc", "more A 192.0.2.88\n")
        .write("zones/example.com.zone", &zone);
    let broken = [
        (
            "zones/example.com.zone",
            zone.replace("mx     A", "mx     B"),
        ),
        ("pools.toml", String::new()),
        ("more.inc", "more".into()),
        ("geo.mmdb", "no database".into()),
        ("cookie.secret", "short".into()),
        ("meridian.toml", meridian_toml.replace("workers", "wrokers")),
        (
            "meridian.toml",
            meridian_toml.replace("state_dir", "state_di"),
        ),
        ("meridian.toml", String::new()),
    ];
    let server = folder.serve();
    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    let secret = copied(&server.folder, "cookie.secret", "e5e973");
    let folder = secret.parent().expect("a folder");
    assert_eq!((mode(folder), mode(&secret)), (0o700, 0o600));
    let mut folder = kill(server);
    for (name, text) in broken {
        let sound = fs::read(folder.path(name)).expect("a file");
        folder.write(name, text);
        let server = folder.serve();
        assert_eq!(server.steer(APP, FRANCE), [IpAddr::from([127, 0, 62, 2])]);
        let reply = server.ask("more.example.com.", RecordType::A, None);
        assert_eq!(reply.addresses().len(), 1, "{name}");
        server.wait_for_log("files are faulty: started from the last good copy");
        let told = match name {
            "geo.mmdb" => "ERROR meridian.toml:10:12: `geo.mmdb`",
            "more.inc" => "ERROR zones/../more.inc:1:",
            _ => &format!("ERROR {name}:"),
        };
        server.wait_for_log(told);
        let (_, metrics) = http(server.admin, "GET", "/metrics");
        assert!(metrics.contains("meridian_reload_failed 1"), "{name}");
        server.folder.write(name, sound);
        server.wait_for_log("reloaded");
        folder = kill(server);
    }
}

#[test]
fn a_faulty_file_is_refused_without_a_copy_or_where_that_is_wanted() {
    let server = Folder::usual(&still_world(67), "").serve();
    copied(&server.folder, "pools.toml", "127.0.67.2");
    let folder = kill(server);
    let meridian_toml = fs::read_to_string(folder.path("meridian.toml")).expect("a file");
    folder.write("pools.toml", "");
    let refuse = meridian_toml.clone() + "[safety]\non_faulty_start = \"refuse\"\n";
    folder.write("meridian.toml", refuse);
    assert_eq!(folder.meridian(&["serve"]).status.code(), Some(78));
    folder.write("meridian.toml", meridian_toml);
    fs::remove_dir_all(folder.path("state")).expect("removed");
    assert_eq!(folder.meridian(&["serve"]).status.code(), Some(78));
}

#[test]
fn a_copy_that_is_cut_off_leaves_the_one_before() {
    let server = Folder::usual(&still_world(63), "").serve();
    copied(&server.folder, "pools.toml", "127.0.63.2");
    let mut folder = kill(server);
    for n in 0..5 {
        let server = folder.serve();
        // A copy is under way after each edit, and killed somewhere.
        server.folder.write("pools.toml", still_world(64));
        server.signal("-HUP");
        thread::sleep(Duration::from_millis(n * 10));
        folder = kill(server);
        folder.write("pools.toml", "");
        let server = folder.serve();
        let answer = server.steer(APP, FRANCE);
        let expected = [63, 64].map(|block| IpAddr::from([127, 0, block, 2]));
        assert!(
            answer.len() == 1 && expected.contains(&answer[0]),
            "{answer:?}"
        );
        folder = kill(server);
        folder.write("pools.toml", still_world(63));
    }
}

/// Asks for a reload and waits for its result.
fn reload(server: &Server) -> (u16, String) {
    let auth = "Authorization: Bearer s3cret-of-16-octets\r\n";
    http_with(server.admin, "POST", "/api/v1/reload", auth, "")
}

/// What `meridian status` prints.
fn printed_status(server: &Server) -> String {
    let address = server.admin.to_string();
    let printed = server.folder.meridian(&["status", "--server", &address]);
    String::from_utf8_lossy(&printed.stdout).into_owned()
}

#[test]
fn an_isolated_zone_keeps_its_content_while_others_change() {
    let folder = Folder::usual(&still_world(65), "[safety]\nisolate_zones = true\n");
    let zone = |address: &str| ZONE.replace("192.0.2.25", address);
    folder
        .write("zones/one.example.zone", zone("192.0.2.31"))
        .write("zones/two.example.zone", zone("192.0.2.32"));
    let server = folder.serve();
    copied(&server.folder, "zones/one.example.zone", "192.0.2.31");
    let mx = |zone: &str| {
        let reply = server.ask(&format!("mx.{zone}."), RecordType::A, None);
        let address = reply.addresses().first().map(ToString::to_string);
        address.unwrap_or_default()
    };
    let broken = |text: &str| text.replace("mx     A", "mx     B");
    server
        .folder
        .write("zones/one.example.zone", broken(ZONE))
        .write("zones/new.example.zone", broken(ZONE))
        .write("zones/example.com.zone", broken(ZONE))
        .write("zones/two.example.zone", zone("192.0.2.42"));
    let (status, body) = reload(&server);
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        (&*mx("one.example"), &*mx("two.example")),
        ("192.0.2.31", "192.0.2.42")
    );
    assert_eq!(mx("example.com"), "192.0.2.25");
    for told in [
        "one.example.zone:1:1: warning: is faulty: the zone keeps its last good content",
        "one.example.zone:11:8: warning: unknown type `B`",
        "new.example.zone:1:1: warning: is faulty: the zone is left out",
    ] {
        server.wait_for_log(told);
        let (_, status) = http(server.admin, "GET", "/api/v1/status");
        assert!(status.contains(told), "{told}");
        assert!(printed_status(&server).contains(told), "{told}");
    }

    // Another name is steered in a zone at fault: it is compiled again from the copy.
    let more = "[steer.\"extra.example.com\"]\npools = [\"us\"]\n";
    let pools = still_world(66).replace("[steer.", &format!("{more}[steer."));
    server.folder.write("pools.toml", pools);
    let (status, body) = reload(&server);
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        server.steer("extra.example.com.", FRANCE),
        [IpAddr::from([127, 0, 66, 1])]
    );
    assert_eq!(server.steer(APP, FRANCE), [IpAddr::from([127, 0, 66, 2])]);
    assert_eq!(mx("example.com"), "192.0.2.25");

    // The copy does not lose it, whatever changes besides.
    copied(&server.folder, "pools.toml", "127.0.66.2");
    copied(&server.folder, "zones/one.example.zone", "192.0.2.31");
    server
        .folder
        .write("zones/one.example.zone", zone("192.0.2.41"));
    assert_eq!(reload(&server).0, 200);
    assert_eq!(mx("one.example"), "192.0.2.41");
    let output = server.folder.meridian(&["check"]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "to `check`, faults are faults"
    );
}
