//! What can become of a server's files, limits and addresses: each fault ends in a clear error or in
//! the old state, and the server answers all the time.

use std::env;
use std::fs;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use hickory_proto::rr::RecordType;

use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::PATIENCE;
use crate::harness::Server;
use crate::harness::ZONE;
use crate::harness::eventually;
use crate::harness::exchange;
use crate::harness::exchange_tcp;
use crate::harness::http_with;
use crate::harness::query;
use crate::harness::still_world;

const APP: &str = "app.example.com.";

/// The database that the program has in it, as a file.
const DATABASE: &[u8] = include_bytes!("../../geoip/world-country.mmdb");

const WITH_DATABASE: &str = "[geoip]\ndatabase = \"geo.mmdb\"";

/// Asks for a reload and gives its status and faults.
fn reload(server: &Server) -> (u16, String) {
    let auth = "Authorization: Bearer s3cret-of-16-octets\r\n";
    http_with(server.admin, "POST", "/api/v1/reload", auth, "")
}

fn make_pipe(path: &Path) {
    let status = Command::new("mkfifo").arg(path).status();
    assert!(status.expect("mkfifo runs").success());
}

/// Six gibibytes that take no room on the disk.
fn make_huge(path: &Path) {
    let file = File::create(path).expect("a file");
    file.set_len(6 << 30).expect("a length");
}

#[test]
fn what_is_no_file_or_too_long_is_refused_at_once() {
    let folder = Folder::usual(&still_world(90), WITH_DATABASE);
    folder.write("geo.mmdb", DATABASE);
    let server = folder.serve();
    type Make = fn(&Path);
    let faults: [(Make, &str); 4] = [
        (make_pipe, "it is a pipe or a device"),
        (
            |path| symlink("/dev/zero", path).expect("a link"),
            "it is a pipe or a device",
        ),
        (
            |path| fs::create_dir(path).expect("a folder"),
            "is a directory",
        ),
        (make_huge, "it has 6144 MiB, more than the limit of "),
    ];
    for name in ["geo.mmdb", "pools.toml", "zones/example.com.zone"] {
        let path = server.folder.path(name);
        let aside = server.folder.path("aside");
        fs::rename(&path, &aside).expect("renamed");
        for (make, told) in faults {
            make(&path);
            let (status, body) = reload(&server);
            assert_eq!(status, 422, "{name}: {body}");
            assert!(body.contains(name) && body.contains(told), "{body}");
            let output = Command::new("timeout")
                .args(["20", env!("CARGO_BIN_EXE_meridian"), "-c"])
                .args([&server.folder.path("meridian.toml")])
                .arg("check")
                .output()
                .expect("the program runs");
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{stderr}");
            assert!(stderr.contains(told), "{stderr}");
            server.moves_to(APP, FRANCE, "127.0.90.2");
            fs::remove_file(&path)
                .or_else(|_| fs::remove_dir(&path))
                .expect("removed");
        }
        fs::rename(&aside, &path).expect("renamed");
        assert_eq!(reload(&server).0, 200);
    }
}

/// Runs `check` and gives its exit code and what it reports.
fn check(folder: &Folder) -> (Option<i32>, String) {
    let output = folder.meridian(&["check"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), stderr)
}

#[test]
fn every_zone_has_one_file() {
    for [one, other] in [
        ["Example.org", "example.org"],
        ["example.org", "example.org."],
        ["example.org", "ex\\097mple.org"],
        ["0%2F25.example.org", "0%2f25.example.org"],
        ["0%2F25.example.org", "0\\04725.example.org"],
    ] {
        let folder = Folder::usual("", "");
        let [one, other] = [one, other].map(|name| format!("zones/{name}.zone"));
        folder.write(&one, ZONE);
        assert_eq!(check(&folder).0, Some(0), "{one}");
        folder.write(&other, ZONE);
        let (code, stderr) = check(&folder);
        assert_eq!(code, Some(1), "{one} {other}");
        assert!(
            stderr.contains(&*one) && stderr.contains(&*other),
            "{stderr}"
        );
        assert!(stderr.contains("expected one file for a zone"), "{stderr}");
        assert!(stderr.ends_with("1 fault\n"), "{stderr}");
    }
}

/// The flags and the number of answers of the response to a message.
fn raw_exchange(server: SocketAddr, message: &[u8]) -> [u16; 2] {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.send_to(message, server).expect("sent");
    let mut buffer = [0; 4096];
    socket.recv(&mut buffer).expect("a response");
    [2, 6].map(|at| u16::from_be_bytes([buffer[at], buffer[at + 1]]))
}

#[test]
fn origins_that_are_no_file_names_are_served() {
    let long = vec!["a".repeat(62); 3].join(".") + "." + &"b".repeat(30) + ".org.";
    let folder = Folder::usual("", "");
    folder
        .write("zones/0%2F25.2.0.192.in-addr.arpa.zone", ZONE)
        .write("zones/@long.zone", format!("$ORIGIN {long}\n{ZONE}"));
    let server = folder.serve();
    // The decoder of the test refuses a slash.
    let question = b"\x040/25\x012\x010\x03192\x07in-addr\x04arpa\0\0\x06\0\x01";
    let header = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0";
    let [flags, n_answers] = raw_exchange(server.dns, &[&header[..], question].concat());
    assert_eq!((flags & 0xF, n_answers), (0, 1));
    // An edit of the file, and one of its origin.
    let other = long.replace(".org.", ".net.");
    for (origin, address) in [(&long, "192.0.2.26"), (&other, "192.0.2.27")] {
        let zone = ZONE.replace("192.0.2.25", address);
        server
            .folder
            .write("zones/@long.zone", format!("$ORIGIN {origin}\n{zone}"));
        assert_eq!(reload(&server).0, 200);
        let reply = server.ask(&format!("mx.{origin}"), RecordType::A, None);
        let address: std::net::IpAddr = address.parse().expect("an address");
        assert_eq!(reply.addresses(), [address]);
    }
    server.folder.write("zones/@long.zone", ZONE);
    let (status, body) = reload(&server);
    assert_eq!(status, 422);
    assert!(
        body.contains("expected `$ORIGIN NAME.` as the first line"),
        "{body}"
    );
}

#[test]
fn files_that_are_not_loaded_are_named() {
    let folder = Folder::usual("", "");
    folder
        .write("zones/db.example.com", ZONE)
        .write("zones/mail.inc", "more A 192.0.2.88\n")
        .write("zones/example.com.zone~", ZONE)
        .write("zones/.example.com.zone.swp", "")
        .write("zones/common/unused.inc", "")
        .write(
            "zones/example.com.zone",
            format!("{ZONE}$INCLUDE mail.inc\n"),
        );
    let (code, stderr) = check(&folder);
    assert_eq!(code, Some(0), "{stderr}");
    let told = "zones:1:1: warning: `db.example.com`: not loaded, as zone files end in `.zone`\n";
    assert!(stderr.contains(told), "{stderr}");
    assert_eq!(stderr.matches("not loaded").count(), 1, "{stderr}");
}

#[test]
fn files_that_something_else_is_read_from_are_not_named() {
    let folder = Folder::usual("", "");
    folder.write("zones/pools.toml", still_world(94));
    for zones in ["zones", "./zones/"] {
        let settings = format!("zones = \"{zones}\"\npools = \"zones/pools.toml\"\n");
        folder.write("meridian.toml", settings);
        let (code, stderr) = check(&folder);
        assert_eq!(
            (code, stderr.contains("warning")),
            (Some(0), false),
            "{stderr}"
        );
    }
}

#[test]
fn faults_of_all_files_are_reported_in_one_run() {
    let good = still_world(94) + "[steer.\"www.example.org\"]\npools = [\"us\"]\n";
    let folder = Folder::usual(&good, "[geoip]\ndatabase = \"geo.mmdb\"\n");
    let org = "@ SOA ns host 1 1h 1h 1w 1h\n NS ns.example.net.\n MX 10 www\n";
    folder
        .write("zones/example.org.zone", format!("$TTL 1h\n{org}"))
        .write("geo.mmdb", DATABASE);
    let (code, stderr) = check(&folder);
    let is_of_token = |line: &str| line.starts_with("token:");
    assert!(
        code == Some(0) && stderr.lines().all(is_of_token),
        "{stderr}"
    );

    let text = fs::read_to_string(folder.path("meridian.toml")).expect("a file");
    folder
        .write("meridian.toml", text.replace("workers", "wrokers"))
        .write("pools.toml", good.replacen("endpoints", "endponts", 1))
        .write(
            "zones/example.com.zone",
            ZONE.replace("mx     A", "mx     B"),
        )
        .write("geo.mmdb", "no database")
        .write("token", "");
    let (code, stderr) = check(&folder);
    assert_eq!(code, Some(1));
    let told = [
        "meridian.toml:6:1: unknown key `wrokers`",
        "meridian.toml:8:12: `geo.mmdb`: ",
        "pools.toml:3:1: unknown key `endponts`",
        "token:1:1: ",
        "zones/example.com.zone:11:8: ",
    ];
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), told.len() + 1, "{stderr}");
    for (line, told) in lines.iter().zip(told) {
        assert!(line.starts_with(told), "{line}\n{told}");
    }
    assert_eq!(lines.last(), Some(&"5 faults"));
}

#[test]
fn a_database_written_in_place_is_taken_when_it_is_whole() {
    let folder = Folder::usual(&still_world(91), WITH_DATABASE);
    folder.write("geo.mmdb", DATABASE);
    // The same client in another country.
    let [first, last] = [[90, 63, 0, 0], [90, 63, 255, 255]].map(u32::from_be_bytes);
    folder
        .write("geoip", format!("{first},{last},BR\n"))
        .write("geoip6", "2001:db8::,2001:db8::ffff,BR\n");
    let files = [
        "--ipv4",
        "geoip",
        "--ipv6",
        "geoip6",
        "--output",
        "other.mmdb",
    ];
    let output = folder.meridian(&[&["geoip", "build"][..], &files].concat());
    assert!(output.status.success(), "{output:?}");
    let other = fs::read(folder.path("other.mmdb")).expect("a database");

    let server = folder.serve();
    server.moves_to(APP, FRANCE, "127.0.91.2");
    let mut file = File::create(server.folder.path("geo.mmdb")).expect("a file");
    let pieces: Vec<&[u8]> = other.chunks(other.len().div_ceil(14)).collect();
    for (n, piece) in pieces.iter().enumerate() {
        let (status, body) = reload(&server);
        assert_eq!(status, 422, "{n} of {} pieces: {body}", pieces.len());
        server.moves_to(APP, FRANCE, "127.0.91.2");
        file.write_all(piece).expect("written");
    }
    assert_eq!(reload(&server).0, 200);
    server.moves_to(APP, FRANCE, "127.0.91.4");

    // Cut off under the running server, and then replaced.
    file.set_len(other.len() as u64 / 2).expect("a length");
    assert_eq!(reload(&server).0, 422);
    server.moves_to(APP, FRANCE, "127.0.91.4");
    server.folder.write("geo.mmdb.new", DATABASE);
    let path = |name| server.folder.path(name);
    fs::rename(path("geo.mmdb.new"), path("geo.mmdb")).expect("renamed");
    assert_eq!(reload(&server).0, 200);
    server.moves_to(APP, FRANCE, "127.0.91.2");
}

#[test]
fn as_many_workers_as_may_be_serve() {
    let folder = Folder::usual(&still_world(92), "");
    let text = fs::read_to_string(folder.path("meridian.toml")).expect("a file");
    let text = text.replace("workers = 1\n", "workers = 1024\n");
    folder.write("meridian.toml", text);
    let server = folder.serve();
    let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("its threads");
    assert!(threads.count() > 1024);
    for _ in 0..100 {
        assert_eq!(server.steer(APP, FRANCE).len(), 1);
    }
    server.signal("-TERM");
    let (code, _, log) = server.ended();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn too_few_open_files_are_told_with_what_to_do() {
    let folder = Folder::usual("", "");
    let text = fs::read_to_string(folder.path("meridian.toml")).expect("a file");
    for (n_files, workers, told) in [
        (40, "workers = 1000\n", "lower [server] workers"),
        (12, "workers = 1\n", "cannot start; raise"),
    ] {
        folder.write("meridian.toml", text.replace("workers = 1\n", workers));
        let output = Command::new("sh")
            .args(["-c", &format!("ulimit -n {n_files} && exec \"$0\" \"$@\"")])
            .args(["timeout", "20", env!("CARGO_BIN_EXE_meridian"), "-c"])
            .args([&folder.path("meridian.toml")])
            .arg("serve")
            .output()
            .expect("a shell runs");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("Too many open files"), "{stderr}");
        assert!(stderr.contains(told), "{stderr}");
    }
}

/// Says to the test that it runs in a network namespace of its own.
const INSIDE: &str = "MERIDIAN_OWN_NETWORK";

/// Runs a scenario in a network namespace that ends with it, or says why not.
fn in_own_network(test: &str, scenario: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        return scenario();
    }
    let within = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--net", "--map-root-user", program]);
        command
    };
    let is_to_be_had = within("ip")
        .args(["link", "add", "cable0", "type", "veth"])
        .status()
        .is_ok_and(|status| status.success());
    if !is_to_be_had {
        let message = "it needs namespaces, util-linux and iproute2";
        assert!(env::var_os("MERIDIAN_REQUIRE_XDP").is_none(), "{message}");
        eprintln!("{test} is passed over: {message}");
        return;
    }
    let exe = env::current_exe().expect("this test");
    let output = within(exe.to_str().expect("a path"))
        .args(["--exact", &format!("faults::{test}"), "--nocapture"])
        .env(INSIDE, "yes")
        .output()
        .expect("unshare runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.expect("ip runs").success(), "{arguments}");
}

/// An interface with the address 192.0.2.1.
fn plug_in() {
    ip("link add cable0 type veth peer name cable1");
    ip("link set cable0 up");
    ip("addr add 192.0.2.1/24 dev cable0");
}

/// A server's files, with these listening addresses.
fn listening(block: u8, listen: &str) -> Folder {
    let folder = Folder::usual(&still_world(block), "");
    let text = fs::read_to_string(folder.path("meridian.toml")).expect("a file");
    folder.write("meridian.toml", text.replacen("\"127.0.0.1:0\"", listen, 1));
    folder
}

/// Asks over TCP and UDP.
fn answers(address: SocketAddr) {
    let question = query("mail.example.com.", RecordType::MX, None);
    let by_tcp = exchange_tcp(address, std::slice::from_ref(&question));
    assert_eq!(by_tcp[0].message.answers.len(), 1);
    assert_eq!(exchange(address, &question).message.answers.len(), 1);
}

fn ends_well(server: Server) {
    server.signal("-TERM");
    let (code, _, log) = server.ended();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn an_address_may_vanish_and_come_back() {
    in_own_network("an_address_may_vanish_and_come_back", || {
        ip("link set lo up");
        plug_in();
        let server = listening(93, "\"127.0.0.1:0\", \"192.0.2.1:53\"").serve();
        let other: SocketAddr = ([192, 0, 2, 1], 53).into();
        let logged = |n: usize, what: &str| {
            eventually(what, || {
                (server.log().matches(what).count() == n).then_some(())
            });
        };
        answers(other);
        ip("addr del 192.0.2.1/24 dev cable0");
        logged(1, "listening address has gone");
        answers(server.dns);
        ip("addr add 192.0.2.1/24 dev cable0");
        logged(1, "listening address is back");
        answers(other);
        ip("link del cable0");
        logged(2, "listening address has gone");
        answers(server.dns);
        plug_in();
        logged(2, "listening address is back");
        answers(other);
        answers(server.dns);

        ip("addr del 192.0.2.1/24 dev cable0");
        logged(3, "listening address has gone");
        ends_well(server);
    });
}

#[test]
fn an_address_may_be_missing_at_start() {
    in_own_network("an_address_may_be_missing_at_start", || {
        ip("link set lo up");
        plug_in();
        ip("addr del 192.0.2.1/24 dev cable0");
        let other: SocketAddr = ([192, 0, 2, 1], 53).into();
        let listen = "\"127.0.0.1:0\", \"192.0.2.1:53\", \"[2001:db8::1]:53\"";
        let server = listening(95, listen).serve();
        answers(server.dns);
        for address in ["192.0.2.1:53", "[2001:db8::1]:53"] {
            server.wait_for_log(&format!("cannot listen on udp {address}: no interface"));
        }
        ip("addr add 192.0.2.1/24 dev cable0");
        server.wait_for_log("listening address has appeared");
        answers(other);
        answers(server.dns);
        ends_well(server);

        // None is there.
        ip("addr del 192.0.2.1/24 dev cable0");
        let output = listening(95, "\"192.0.2.1:53\"").meridian(&["serve"]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains("no interface has this address; add it"),
            "{stderr}"
        );
    });
}
