//! Edits, good and bad, while the server runs.

use std::fs;
use std::time::Duration;
use std::time::Instant;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::SLACK;
use crate::harness::ZONE;
use crate::harness::eventually;
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
    let auth = "Authorization: Bearer s3cret\r\n";
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
