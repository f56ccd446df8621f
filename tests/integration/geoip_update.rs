//! `[geoip.update]`: downloads as vendors serve them, over restarts, and databases that are not taken.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use meridian::mmdb::writer;
use meridian::mmdb::writer::Header;
use meridian::mmdb::writer::Range;
use meridian::mmdb::writer::Value;
use ring::digest;

use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::Server;
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::still_world;

const APP: &str = "app.example.com.";

/// A vendor's server: what it has is served under any path, with an ETag; requests are kept.
#[derive(Default)]
struct Vendor {
    /// Status line and body; the ETag follows from the body.
    response: Mutex<(&'static str, Vec<u8>)>,
    requests: Mutex<Vec<String>>,
}

impl Vendor {
    fn start() -> (Arc<Self>, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let vendor = Arc::new(Self::default());
        let serving = Arc::clone(&vendor);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = Vec::new();
                let mut octet = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut octet).is_ok() {
                    head.push(octet[0]);
                }
                let response = serving.respond(&String::from_utf8_lossy(&head));
                let _ = stream.write_all(&response);
            }
        });
        (vendor, port)
    }

    fn serve(&self, status: &'static str, body: &[u8]) {
        *self.response.lock().expect("no panic") = (status, body.to_vec());
    }

    fn respond(&self, head: &str) -> Vec<u8> {
        let (status, body) = self.response.lock().expect("no panic").clone();
        let target = head.split(' ').nth(1).unwrap_or_default();
        let mut requests = self.requests.lock().expect("no panic");
        requests.push(head.to_owned());
        drop(requests);
        let sum = sha256(&body);
        if target.contains(".sha256") {
            let body = format!("{sum}  GeoLite2-City_20261124.tar.gz\n");
            return format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}").into_bytes();
        }
        if head.contains(&sum) {
            return b"HTTP/1.1 304 Not Modified\r\nconnection: close\r\n\r\n".to_vec();
        }
        let len = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {len}\r\netag: \"{sum}\"\r\n\r\n"
        );
        [head.as_bytes(), &body].concat()
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

fn sha256(octets: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, octets);
    digest
        .as_ref()
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("packed");
    encoder.finish().expect("packed")
}

/// As MaxMind packs it.
fn tar_gz(content: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in [
        ("GeoLite2-City_20261124/COPYRIGHT.txt", b"c".as_slice()),
        ("GeoLite2-City_20261124/GeoLite2-City.mmdb", content),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, path, content)
            .expect("packed");
    }
    gzip(&archive.into_inner().expect("packed"))
}

/// A database that has the /8 of the usual French client, and nothing else, in this country.
fn database(build_epoch: u64, field: &'static str, value: &str) -> Vec<u8> {
    let header = Header {
        database_type: "Test-Country",
        description: "",
        build_epoch,
    };
    let range = Range {
        first: 0x5a00_0000,
        last: 0x5aff_ffff,
        record: 0,
    };
    let code = Value::Text(value.to_owned());
    let record = Value::Map(vec![("country", Value::Map(vec![(field, code)]))]);
    writer::write(header, &[range], &[record]).expect("sound")
}

fn folder(block: u8, update: &str) -> Folder {
    Folder::usual(&still_world(block), &format!("[geoip.update]\n{update}\n"))
}

/// The first of `downloads` in the status.
fn download(server: &Server) -> serde_json::Value {
    let (_, status) = http(server.admin, "GET", "/api/v1/status");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    status["downloads"][0].clone()
}

/// Stops a server and starts it again when its next attempt is due.
fn restart_when_due(server: Server) -> Server {
    let path = server.folder.path("state/geoip/location.json");
    let mut record: serde_json::Value = eventually("what is known", || {
        let record: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&path).ok()?).ok()?;
        (record["next"].as_u64()? > 0).then_some(record)
    });
    server.signal("-TERM");
    let (status, folder, log) = server.ended();
    assert_eq!(status, Some(0), "{log}");
    record["next"] = 0.into();
    fs::write(&path, record.to_string()).expect("written");
    folder.serve()
}

#[test]
fn a_database_is_fetched_once_and_served_until_there_is_a_newer_one() {
    let (vendor, port) = Vendor::start();
    vendor.serve(
        "200 OK",
        &tar_gz(&database(1_700_000_000, "iso_code", "JP")),
    );
    let folder = folder(
        160,
        &format!(
            "url = \"http://127.0.0.1:{port}/geoip/databases/GeoLite2-City/download?suffix=tar.gz\"\n\
             checksum_url = \".sha256\"\nuser = \"1234\"\npassword_file = \"licence\""
        ),
    );
    folder.write("licence", "k3y\n");
    let server = folder.serve();
    server.wait_for_log("newer GeoIP database is in force database=location");
    server.moves_to(APP, FRANCE, "127.0.160.3");
    let requests = vendor.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(
        requests[0]
            .starts_with("GET /geoip/databases/GeoLite2-City/download?suffix=tar.gz.sha256 ")
    );
    // Base64 of `1234:k3y`.
    assert!(
        requests
            .iter()
            .all(|head| head.contains("authorization: Basic MTIzNDprM3k="))
    );
    let shown = download(&server);
    assert_eq!(
        shown["url"],
        format!("http://127.0.0.1:{port}/geoip/databases/GeoLite2-City/download")
    );
    let secrets = ["k3y", "suffix"];
    assert!(secrets.iter().all(|secret| !server.log().contains(secret)));
    let (_, metrics) = http(server.admin, "GET", "/metrics");
    for line in [
        "meridian_geoip_update_total{database=\"location\",result=\"updated\"} 1",
        "meridian_geoip_update_refused{database=\"location\"} 0",
        "meridian_geoip_build_timestamp_seconds{database=\"Test-Country\"} 1700000000",
    ] {
        assert!(metrics.contains(line), "{line}");
    }

    // The checksum alone says that there is nothing newer.
    let server = restart_when_due(server);
    eventually("the third request", || {
        (vendor.requests().len() == 3).then_some(())
    });
    server.moves_to(APP, FRANCE, "127.0.160.3");
    eventually("success", || {
        (download(&server)["failures"] == 0).then_some(())
    });

    vendor.serve(
        "200 OK",
        &tar_gz(&database(1_700_000_001, "iso_code", "FR")),
    );
    let server = restart_when_due(server);
    server.moves_to(APP, FRANCE, "127.0.160.2");
    let kept = fs::read(server.folder.path("state/geoip/location.before.mmdb")).expect("kept");
    assert_eq!(kept, database(1_700_000_000, "iso_code", "JP"));
}

#[test]
fn a_refused_database_changes_nothing_and_is_not_fetched_again() {
    let (vendor, port) = Vendor::start();
    vendor.serve("200 OK", &gzip(&database(1_700_000_000, "iso_code", "JP")));
    let url = format!("url = \"http://127.0.0.1:{port}/db-{{year}}-{{month}}.mmdb.gz\"");
    let server = folder(161, &url).serve();
    server.moves_to(APP, FRANCE, "127.0.161.3");
    // A sound file, in which nobody is anywhere.
    let useless = database(1_700_000_001, "name", "nowhere");
    vendor.serve("200 OK", &gzip(&useless));
    let server = restart_when_due(server);
    server.wait_for_log("newer GeoIP database is refused");
    let shown = eventually("the reason", || {
        Some(download(&server)).filter(|it| !it["refused"].is_null())
    });
    let reason = shown["refused"].as_str().expect("a reason");
    assert!(
        reason.contains("location.mmdb") && reason.contains("no record has"),
        "{reason}"
    );
    assert_eq!(server.steer(APP, FRANCE)[0].to_string(), "127.0.161.3");
    let refused = fs::read(server.folder.path("state/geoip/location.refused.mmdb"));
    assert_eq!(refused.expect("kept"), useless);

    // 304: it is still the refused one; and the files on disk are the good ones.
    let n = vendor.requests().len();
    let server = restart_when_due(server);
    eventually("another request", || {
        (vendor.requests().len() > n).then_some(())
    });
    server.moves_to(APP, FRANCE, "127.0.161.3");
    let shown = eventually("an attempt", || {
        Some(download(&server)).filter(|it| it["next"].as_u64() > Some(0))
    });
    assert_eq!(shown["refused"], reason, "{shown}");
    let last = vendor.requests().pop().expect("a request");
    assert!(
        last.starts_with("GET /db-2") && last.contains("if-none-match: "),
        "{last}"
    );

    vendor.serve("200 OK", &database(1_700_000_002, "iso_code", "FR"));
    let server = restart_when_due(server);
    server.moves_to(APP, FRANCE, "127.0.161.2");
    eventually("no reason", || {
        download(&server)["refused"].is_null().then_some(())
    });
}

#[test]
fn what_a_server_sends_instead_of_a_database_is_not_taken() {
    let (vendor, port) = Vendor::start();
    vendor.serve("200 OK", b"<!DOCTYPE html><title>Sign in</title>");
    let url =
        format!("url = \"http://127.0.0.1:{port}/a?token={{token}}\"\ntoken_file = \"account\"");
    let folder = folder(162, &url);
    folder.write("account", "s3cr3t/+\n");
    let server = folder.serve();
    server.wait_for_log("GeoIP database cannot be fetched");
    let shown = eventually("the fault", || {
        Some(download(&server)).filter(|it| it["failures"] == 1)
    });
    let fault = shown["fault"].as_str().expect("a fault");
    assert!(fault.starts_with("not a sound MMDB file: "), "{fault}");
    let first = vendor.requests().remove(0);
    assert!(first.starts_with("GET /a?token=s3cr3t%2F%2B "), "{first}");
    // The embedded database goes on.
    assert_eq!(server.steer(APP, FRANCE)[0].to_string(), "127.0.162.2");

    vendor.serve("429 Too Many Requests", b"");
    let server = restart_when_due(server);
    server.wait_for_log("status 429: the account's limit of downloads is reached");
    assert!(!server.log().contains("s3cr3t"));
    let (_, metrics) = http(server.admin, "GET", "/metrics");
    let line = "meridian_geoip_update_total{database=\"location\",result=\"failed\"} 1";
    assert!(metrics.contains(line));
}

#[test]
fn nothing_is_fetched_while_the_configuration_is_at_fault() {
    let (vendor, port) = Vendor::start();
    vendor.serve("200 OK", &database(1_700_000_000, "iso_code", "JP"));
    let server = folder(163, &format!("url = \"http://127.0.0.1:{port}/a.mmdb\"")).serve();
    server.moves_to(APP, FRANCE, "127.0.163.3");
    server.folder.write("pools.toml", "nonsense");
    server.wait_for_log("reload refused");
    let server = restart_when_due(server);
    eventually("an attempt", || {
        let (_, metrics) = http(server.admin, "GET", "/metrics");
        let line = "meridian_geoip_update_total{database=\"location\",result=\"postponed\"} 1";
        metrics.contains(line).then_some(())
    });
    assert_eq!(vendor.requests().len(), 1);
    server.moves_to(APP, FRANCE, "127.0.163.3");
}

#[test]
fn databases_are_looked_into_and_compared() {
    let folder = Folder::new();
    folder
        .write("old.mmdb", database(1_700_000_000, "iso_code", "JP"))
        .write("new.mmdb", database(1_700_000_001, "iso_code", "FR"))
        .write("bad.mmdb", "nothing");
    let run = |arguments: &[&str]| {
        let output = folder.meridian(arguments);
        let text = |octets: Vec<u8>| String::from_utf8(octets).expect("text");
        (
            output.status.success(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (_, found, _) = run(&["geoip", "lookup", "old.mmdb", "90.63.0.1", "2001:db8::1"]);
    assert_eq!(
        found,
        "90.63.0.1\n  network      90.0.0.0/8\n  country      JP\n  \
         record       {\"country\":{\"iso_code\":\"JP\"}}\n\
         2001:db8::1\n  not in the database\n"
    );
    let (_, found, _) = run(&["geoip", "diff", "old.mmdb", "new.mmdb"]);
    for line in [
        "old  Test-Country, built 2023-11-14",
        "in another country       100.00 %       0.00 %",
        "moved by more than 100 km",
        "JP to FR",
    ] {
        let is_line = |found: &str| found.split_whitespace().eq(line.split_whitespace());
        let has = found
            .lines()
            .any(|found| is_line(found) || found.trim_start().starts_with(line));
        assert!(has, "{line}: {found}");
    }
    let (_, found, _) = run(&["geoip", "diff", "old.mmdb", "new.mmdb", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!(found["country"]["ipv4"], f64::from(1 << 24), "{found}");
    assert_eq!(found["by_country"][0]["from"], "JP", "{found}");
    for arguments in [
        ["geoip", "lookup", "bad.mmdb", "90.63.0.1"].as_slice(),
        &["geoip", "diff", "old.mmdb", "bad.mmdb"],
        &["geoip", "diff", "gone.mmdb", "old.mmdb"],
    ] {
        let (is_ok, _, fault) = run(arguments);
        let file = arguments
            .iter()
            .find(|word| ["bad.mmdb", "gone.mmdb"].contains(word));
        assert!(!is_ok && fault.contains(file.expect("a file")), "{fault}");
    }
}

#[test]
fn a_database_that_moves_too_many_clients_is_refused_with_their_share() {
    let (vendor, port) = Vendor::start();
    vendor.serve("200 OK", &database(1_700_000_000, "iso_code", "JP"));
    let server = folder(
        164,
        &format!("url = \"http://127.0.0.1:{port}/a.mmdb\"\n[safety]\nmax_move = \"10%\""),
    )
    .serve();
    server.wait_for_log("newer GeoIP database is refused");
    let shown = eventually("the reason", || {
        Some(download(&server)).filter(|it| !it["refused"].is_null())
    });
    let reason = shown["refused"].as_str().expect("a reason");
    for part in [
        " % of the ",
        "`app.example.com`",
        "more than the 10 % of [safety] max_move",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    assert_eq!(server.steer(APP, FRANCE)[0].to_string(), "127.0.164.2");
    assert!(!server.folder.path("state/geoip/location.mmdb").exists());
}
