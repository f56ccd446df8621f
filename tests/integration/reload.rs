//! Edits, good and bad, while the server runs.

use std::fs;
use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::Reply;
use crate::harness::SLACK;
use crate::harness::Server;
use crate::harness::ZONE;
use crate::harness::eventually;
use crate::harness::exchange;
use crate::harness::http;
use crate::harness::http_with;
use crate::harness::still_world;

const APP: &str = "app.example.com.";

#[test]
fn edits_are_in_force_within_two_seconds() {
    let server = Folder::usual(&still_world(50), "").serve();
    server.moves_to(APP, FRANCE, "127.0.50.2");
    let edited = Instant::now();
    server.folder.write("pools.toml", still_world(51));
    server.moves_to(APP, FRANCE, "127.0.51.2");
    assert!(
        edited.elapsed() < Duration::from_secs(2) + SLACK,
        "{:?}",
        edited.elapsed()
    );

    // By rename, as editors do; a file beside it that is no zone is passed over.
    server
        .folder
        .write("zones/.new", ZONE.replace("192.0.2.25", "192.0.2.26"));
    fs::rename(
        server.folder.path("zones/.new"),
        server.folder.path("zones/example.com.zone"),
    )
    .expect("renamed");
    eventually("the new zone", || {
        let addresses = server
            .ask("mx.example.com.", RecordType::A, None)
            .addresses();
        (addresses == ["192.0.2.26".parse::<std::net::IpAddr>().expect("address")]).then_some(())
    });
    server.folder.write("zones/example.org.zone", ZONE);
    eventually("a further zone", || {
        let rcode = server.ask("example.org.", RecordType::SOA, None).rcode();
        (rcode == ResponseCode::NoError).then_some(())
    });
    fs::remove_file(server.folder.path("zones/example.org.zone")).expect("removed");
    eventually("the zone to go", || {
        let rcode = server.ask("example.org.", RecordType::SOA, None).rcode();
        (rcode == ResponseCode::Refused).then_some(())
    });
    // The resolved names stay through all this.
    assert_eq!(server.steer(APP, FRANCE).len(), 1);
}

#[test]
fn bad_edits_change_nothing_and_are_reported() {
    let server = Folder::usual(&still_world(52), "").serve();
    let auth = "Authorization: Bearer s3cret-of-16-octets\r\n";
    let reload = || http_with(server.admin, "POST", "/api/v1/reload", auth, "");
    server.folder.write(
        "pools.toml",
        still_world(53)
            .replace("locaton", "x")
            .replace("location", "locaton"),
    );
    server.wait_for_log("reload refused");
    server.wait_for_log("pools.toml:2:1");
    let (status, body) = reload();
    assert_eq!(status, 422);
    assert!(body.contains("did you mean `location`"), "{body}");
    server.folder.write("pools.toml", still_world(53));
    server.folder.write(
        "zones/example.com.zone",
        ZONE.replace("app\n", "app junk\n"),
    );
    let (status, body) = reload();
    assert_eq!(
        (status, body.contains("example.com.zone:8:")),
        (422, true),
        "{body}"
    );
    assert_eq!(
        server.steer(APP, FRANCE),
        [std::net::IpAddr::from([127, 0, 52, 2])]
    );
    server.folder.write("zones/example.com.zone", ZONE);
    assert_eq!(reload().0, 200);
    assert_eq!(
        server.steer(APP, FRANCE),
        [std::net::IpAddr::from([127, 0, 53, 2])]
    );
    assert_eq!(
        http_with(server.admin, "POST", "/api/v1/reload", "", "").0,
        401
    );
}

#[test]
fn the_same_length_and_time_hide_no_edit() {
    let server = Folder::usual(&still_world(57), "").serve();
    let write = |block| {
        let path = server.folder.path("pools.toml");
        server.folder.write("pools.toml", still_world(block));
        let file = fs::File::options().write(true).open(path).expect("a file");
        file.set_modified(std::time::UNIX_EPOCH).expect("a time");
    };
    write(58);
    server.moves_to(APP, FRANCE, "127.0.58.2");
    write(59);
    server.moves_to(APP, FRANCE, "127.0.59.2");
}

#[test]
fn a_hang_up_reloads() {
    let server = Folder::usual(&still_world(54), "").serve();
    server.folder.write("pools.toml", still_world(55));
    server.signal("-HUP");
    server.wait_for_log("reloaded");
    server.moves_to(APP, FRANCE, "127.0.55.2");
}

/// Asks for a reload and gives its status and faults.
fn reload(server: &Server) -> (u16, String) {
    let auth = "Authorization: Bearer s3cret-of-16-octets\r\n";
    http_with(server.admin, "POST", "/api/v1/reload", auth, "")
}

/// The warnings and faults of the latest reload.
fn last_reload(server: &Server) -> String {
    let (_, status) = http(server.admin, "GET", "/api/v1/status");
    let (_, last) = status.split_once("\"last_reload\"").expect("a reload");
    last.to_owned()
}

#[test]
fn what_is_empty_for_a_moment_deletes_nothing() {
    let server = Folder::usual(&still_world(130), "").serve();
    let refused = |what: &str| {
        let (status, body) = reload(&server);
        assert_eq!((status, body.contains(what)), (422, true), "{body}");
        assert_eq!(server.steer(APP, FRANCE).len(), 1);
    };
    for text in ["", "\n", "# pools\n"] {
        server.folder.write("pools.toml", text);
        refused("pools.toml:1:1: is empty");
    }
    server.folder.write("pools.toml", still_world(130));
    let [zones, away] = ["zones", "away"].map(|name| server.folder.path(name));
    fs::rename(&zones, &away).expect("renamed");
    refused("zones:1:1: not found");
    fs::create_dir(&zones).expect("a folder");
    refused("zones:1:1: holds no zone file");
    fs::remove_dir(&zones).expect("removed");
    fs::rename(&away, &zones).expect("renamed");
    assert_eq!(reload(&server).0, 200);
}

#[test]
fn what_a_reload_takes_away_is_warned_of() {
    let steered = |name: &str| format!("[steer.\"{name}.example.com\"]\npools = [\"us\"]\n");
    let names: Vec<String> = (0..12).map(|n| steered(&format!("n{n}"))).collect();
    let pools = still_world(131) + &names.concat();
    let server = Folder::usual(&pools, "").serve();
    server.folder.write("zones/example.org.zone", ZONE);
    assert_eq!(reload(&server).0, 200);
    assert!(!last_reload(&server).contains("no longer has"));

    server.folder.write("pools.toml", still_world(131));
    fs::remove_file(server.folder.path("zones/example.org.zone")).expect("removed");
    assert_eq!(reload(&server).0, 200);
    let told = "no longer has steered names: `n0.example.com.`, `n1.example.com.`,";
    for text in [told, "and 2 more", "no longer has zones: `example.org.`"] {
        assert!(last_reload(&server).contains(text), "{text}");
        server.wait_for_log(text);
    }
    assert_eq!(server.steer(APP, FRANCE).len(), 1);
    assert_eq!(reload(&server).0, 200);
    assert!(!last_reload(&server).contains("no longer has"), "once");
}

#[test]
fn the_process_file_is_read_again() {
    let server = Folder::usual(&still_world(132), "version = \"one\"").serve();
    let path = server.folder.path("meridian.toml");
    let text = fs::read_to_string(path).expect("a file");
    let version = || {
        let question = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x07version\x06server\0\0\x10\0\x03";
        let reply = exchange(server.dns, question);
        Reply::texts(&reply.message.answers).join(" ")
    };
    assert!(version().contains("one"), "{}", version());

    server
        .folder
        .write("meridian.toml", text.replace("\"one\"", "\"two\""));
    eventually("the new version", || {
        version().contains("two").then_some(())
    });
    let edited = text
        .replace("workers = 1", "workers = 2")
        .replace("\"127.0.0.1:0\"", "\"127.0.0.2:0\"");
    server.folder.write("meridian.toml", edited);
    assert_eq!(reload(&server).0, 200);
    for name in ["[server] listen", "[server] workers", "[admin]"] {
        let told = format!("`{name}` has changed: restart to apply");
        assert!(last_reload(&server).contains(&told), "{told}");
        server.wait_for_log(&told);
    }
    assert!(version().contains("one"), "the rest is in force");

    server
        .folder
        .write("meridian.toml", text.replace("workers", "wrokers"));
    let (status, body) = reload(&server);
    let told = body.contains("meridian.toml:6:1: unknown key `wrokers`");
    assert_eq!((status, told), (422, true), "{body}");
    fs::remove_file(server.folder.path("meridian.toml")).expect("removed");
    server.wait_for_log("meridian.toml:1:1: not found");
    server.folder.write("meridian.toml", text);
    assert_eq!(reload(&server).0, 200);
    assert_eq!(server.steer(APP, FRANCE).len(), 1);
}

#[test]
fn a_zone_that_never_holds_still_delays_no_other_edit() {
    let server = Folder::usual(&still_world(133), "").serve();
    server.folder.write("zones/busy.example.zone", ZONE);
    assert_eq!(reload(&server).0, 200);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                server.folder.write("zones/.new", ZONE);
                let [new, busy] = ["zones/.new", "zones/busy.example.zone"];
                let renamed = fs::rename(server.folder.path(new), server.folder.path(busy));
                renamed.expect("renamed");
                thread::sleep(Duration::from_millis(100));
            }
        });
        let edited = Instant::now();
        server.folder.write("pools.toml", still_world(134));
        server.moves_to(APP, FRANCE, "127.0.134.2");
        assert!(edited.elapsed() < Duration::from_secs(2) + SLACK);
        let told = "busy.example.zone:1:1: warning: is being written";
        assert!(
            last_reload(&server).contains(told),
            "{}",
            last_reload(&server)
        );
        server.wait_for_log("file changes all the time");
        stop.store(true, SeqCst);
    });
    let soa = server.ask("busy.example.", RecordType::SOA, None);
    assert_eq!(soa.message.answers.len(), 1);
}

#[test]
fn a_database_that_is_copied_slowly_delays_no_other_edit() {
    let database = include_bytes!("../../geoip/world-country.mmdb");
    let folder = Folder::usual(&still_world(135), "[geoip]\ndatabase = \"geo.mmdb\"");
    folder.write("geo.mmdb", database);
    let server = folder.serve();
    let (is_edited, is_copied) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::File::create(server.folder.path("geo.mmdb")).expect("a file");
            let mut pieces = database.chunks(1000);
            // Until the edit is in force, and then the rest at once.
            while !is_edited.load(SeqCst) {
                let piece = pieces.next().expect("enough of it");
                file.write_all(piece).expect("written");
                thread::sleep(Duration::from_millis(50));
            }
            file.write_all(&pieces.collect::<Vec<_>>().concat())
                .expect("written");
            is_copied.store(true, SeqCst);
        });
        server.folder.write("pools.toml", still_world(136));
        server.moves_to(APP, FRANCE, "127.0.136.2");
        assert!(!is_copied.load(SeqCst));
        is_edited.store(true, SeqCst);
    });
    server.folder.write("pools.toml", still_world(137));
    server.moves_to(APP, FRANCE, "127.0.137.2");
}

#[test]
fn a_corrupt_database_is_kept_out() {
    let good = include_bytes!("../../geoip/world-country.mmdb");
    let folder = Folder::usual(&still_world(56), "[geoip]\ndatabase = \"geo.mmdb\"");
    folder.write("geo.mmdb", good);
    let server = folder.serve();
    server.folder.write("geo.mmdb", &good[..good.len() / 2]);
    server.wait_for_log("geo.mmdb");
    server.wait_for_log("reload refused");
    assert_eq!(
        server.steer(APP, FRANCE),
        [std::net::IpAddr::from([127, 0, 56, 2])]
    );
    fs::remove_file(server.folder.path("geo.mmdb")).expect("removed");
    server.wait_for_log("not found");
    assert_eq!(
        server.steer(APP, FRANCE),
        [std::net::IpAddr::from([127, 0, 56, 2])]
    );
    server.folder.write("geo.mmdb", good);
    server.wait_for_log("reloaded");
}

#[test]
fn without_pools_static_zones_are_served() {
    let folder = Folder::new();
    folder.write("zones/example.com.zone", ZONE).write(
        "meridian.toml",
        "zones = \"zones\"\n[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n",
    );
    let server = folder.serve().ready();
    assert_eq!(
        server
            .ask("mx.example.com.", RecordType::A, None)
            .addresses()
            .len(),
        1
    );
}
