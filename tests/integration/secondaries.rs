//! NSD, Knot DNS and BIND as secondaries: they fetch a zone with TSIG, are told of its next serial, and
//! hold the same records. Skipped where they are not installed, unless `MERIDIAN_REQUIRE_PEERS` is set.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::UdpSocket;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use domain::base::Message;
use domain::base::iana::Rtype;

use crate::harness::Folder;
use crate::harness::eventually;
use crate::transfer::POOLS;
use crate::transfer::SECRET_BASE64;
use crate::transfer::question;
use crate::transfer::records;
use crate::transfer::transfer;
use crate::updates::GRANTS;
use crate::updates::update;

/// Records of many kinds; every name server here takes them all.
const ZONE: &str = "\
$TTL 1h
@       SOA ns1 hostmaster 7 1h 15m 1w 5m
        NS  ns1
        MX  10 mail
        CAA 0 issue \"ca.example.net\"
ns1     A   192.0.2.53
mail    AAAA 2001:db8::25
*.wild  TXT \"any\" \"thing\"
sub     NS  ns.sub
        NS  ns.elsewhere.example.
ns.sub  A   192.0.2.99
old     DNAME new
a.b.c   TYPE65280 \\# 4 0a0b0c0d
_s._tcp SRV 1 2 3 mail
web     HTTPS 1 . alpn=h2
";

/// A program of a peer; `None` if it is missing, which is said.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        assert!(
            env::var_os("MERIDIAN_REQUIRE_PEERS").is_none(),
            "{name} is not installed"
        );
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// A secondary that runs until it is dropped.
pub struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn start(program: &Path, arguments: &[&str], folder: &Path) -> Peer {
    let log = fs::File::create(folder.join("log")).expect("a log");
    let child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn();
    Peer(child.expect("the peer starts"))
}

/// An address that nobody listens on, neither by UDP nor by TCP.
pub fn free_address() -> SocketAddr {
    eventually("a free port", || {
        let udp = UdpSocket::bind("127.0.0.1:0").ok()?;
        let address = udp.local_addr().ok()?;
        TcpListener::bind(address).ok().map(|_| address)
    })
}

/// The serial that a server has; `None` if it does not answer with one.
fn serial_of(server: SocketAddr) -> Option<u32> {
    let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .ok()?;
    socket
        .send_to(&question("example.com", Rtype::SOA).finish(), server)
        .ok()?;
    let mut buffer = vec![0; 4096];
    let len = socket.recv(&mut buffer).ok()?;
    let soa = records(&Message::from_octets(buffer[..len].to_vec()).ok()?);
    soa.first()?.split_whitespace().nth(6)?.parse().ok()
}

/// Configures and starts a peer in a folder, as a secondary of a primary.
type StartPeer = fn(&Path, &Path, SocketAddr, SocketAddr) -> Peer;

/// All records that a server transfers, in lower case.
fn copy(server: SocketAddr) -> Vec<String> {
    let (mut records, _) = transfer(server, "example.com", None);
    records
        .iter_mut()
        .for_each(|record| record.make_ascii_lowercase());
    records.sort();
    records
}

/// Lets a peer fetch the zone, then changes it.
fn serves_as_secondary(name: &str, start: StartPeer) {
    let Some(program) = program(name) else {
        return;
    };
    let secondary = free_address();
    let tables = format!(
        "[[tsig_key]]\nname = \"transfer.key\"\nsecret_file = \"transfer.key\"\n\
         [[secondary]]\naddresses = [\"127.0.0.1\"]\nkey = \"transfer.key\"\nnotify = [\"{secondary}\"]\n\
         [[secondary]]\naddresses = [\"127.0.0.1\"]\n"
    );
    let folder = Folder::usual(POOLS, &tables);
    folder
        .write("transfer.key", SECRET_BASE64)
        .write("zones/example.com.zone", ZONE)
        .write("peer/empty", "");
    let primary = folder.serve();
    let peer_folder = primary.folder.path("peer");
    let _peer = start(&program, &peer_folder, primary.dns, secondary);
    let has_serial = |wanted| {
        let log = || fs::read_to_string(peer_folder.join("log")).unwrap_or_default();
        eventually(&format!("serial {wanted}\n{}", log()), || {
            (serial_of(secondary)? == wanted).then_some(())
        });
    };
    has_serial(7);
    let newer = ZONE.replace("hostmaster 7 ", "hostmaster 8 ") + "more A 192.0.2.1\n";
    primary.folder.write("zones/example.com.zone", newer);
    has_serial(8);
    primary.wait_for_log("serial=8 secondary=");
    // NSD's new process answers over UDP before the old one has left the TCP socket.
    let ours = copy(primary.dns);
    eventually("the same records", || {
        (copy(secondary) == ours).then_some(())
    });
}

/// Lets a peer fetch the zone, then updates it message by message: the peer takes the differences alone, of
/// which `trace` in its log, or a journal, tells.
fn follows_updates(name: &str, start: StartPeer, trace: &str) {
    let (Some(program), Some(_)) = (program(name), program("nsupdate")) else {
        return;
    };
    let secondary = free_address();
    let tables = format!(
        "{GRANTS}[[tsig_key]]\nname = \"transfer.key\"\nsecret_file = \"update.key\"\n\
         [[secondary]]\naddresses = [\"127.0.0.1\"]\nkey = \"transfer.key\"\nnotify = [\"{secondary}\"]\n\
         [[secondary]]\naddresses = [\"127.0.0.1\"]\n"
    );
    let folder = Folder::usual("", &tables);
    folder
        .write("update.key", SECRET_BASE64)
        .write("zones/example.com.zone", ZONE)
        .write("peer/empty", "");
    let primary = folder.serve();
    let peer_folder = primary.folder.path("peer");
    let _peer = start(&program, &peer_folder, primary.dns, secondary);
    let log = || fs::read_to_string(peer_folder.join("log")).unwrap_or_default();
    let has_serial = |wanted| {
        eventually(&format!("serial {wanted}\n{}", log()), || {
            (serial_of(secondary)? == wanted).then_some(())
        });
    };
    has_serial(7);
    let changes = [
        "update add one.example.com 60 TXT x\nupdate add two.example.com 60 A 192.0.2.1",
        "update add one.example.com 30 TXT y\nupdate delete mail.example.com",
        "update delete two.example.com A\nupdate delete example.com MX",
        "update add a.b.example.com 60 CNAME one\nupdate add \\*.example.com 60 TXT w",
        "update delete one.example.com TXT x\nupdate delete sub.example.com NS",
    ];
    for (change, serial) in changes.into_iter().zip(8..) {
        update(&primary, change);
        if serial % 2 == 0 {
            has_serial(serial);
        }
    }
    has_serial(12);
    let ours = copy(primary.dns);
    eventually("the same records", || {
        (copy(secondary) == ours).then_some(())
    });
    let has_journal = || peer_folder.join("copy.jnl").exists();
    assert!(log().contains(trace) || has_journal(), "{}", log());
}

fn nsd(program: &Path, folder: &Path, primary: SocketAddr, secondary: SocketAddr) -> Peer {
    let (dir, ip, port) = (folder.display(), secondary.ip(), secondary.port());
    let primary = format!("{}@{}", primary.ip(), primary.port());
    let text = format!(
        "server:\n ip-address: {ip}@{port}\n username: \"\"\n zonesdir: \"{dir}\"\n database: \"\"\n \
         pidfile: \"\"\n xfrdfile: \"\"\n xfrdir: \"{dir}\"\n zonelistfile: \"{dir}/list\"\n \
         server-count: 1\nremote-control:\n control-enable: no\n\
         key:\n name: transfer.key\n algorithm: hmac-sha256\n secret: \"{}\"\n\
         zone:\n name: example.com\n zonefile: example.com.zone\n \
         allow-notify: 127.0.0.1 transfer.key\n request-xfr: {primary} transfer.key\n \
         provide-xfr: 127.0.0.1 NOKEY\n",
        SECRET_BASE64.trim()
    );
    fs::write(folder.join("nsd.conf"), text).expect("written");
    start(program, &["-d", "-c", "nsd.conf"], folder)
}

fn knot(program: &Path, folder: &Path, primary: SocketAddr, secondary: SocketAddr) -> Peer {
    let (dir, ip, port) = (folder.display(), secondary.ip(), secondary.port());
    let primary = format!("{}@{}", primary.ip(), primary.port());
    let text = format!(
        "server:\n rundir: {dir}\n listen: {ip}@{port}\ndatabase:\n storage: {dir}\n\
         key:\n - id: transfer.key\n   algorithm: hmac-sha256\n   secret: {}\n\
         remote:\n - id: primary\n   address: {primary}\n   key: transfer.key\n\
         acl:\n - id: notify\n   remote: primary\n   action: notify\n \
         - id: copy\n   address: 127.0.0.1\n   action: transfer\n\
         zone:\n - domain: example.com\n   storage: {dir}\n   master: primary\n   acl: [notify, copy]\n",
        SECRET_BASE64.trim()
    );
    fs::write(folder.join("knot.conf"), text).expect("written");
    start(program, &["-c", "knot.conf"], folder)
}

fn bind(program: &Path, folder: &Path, primary: SocketAddr, secondary: SocketAddr) -> Peer {
    let (dir, ip, port) = (folder.display(), secondary.ip(), secondary.port());
    let primary = format!("{} port {}", primary.ip(), primary.port());
    let text = format!(
        "options {{ directory \"{dir}\"; listen-on port {port} {{ {ip}; }}; listen-on-v6 {{ none; }};\n\
         pid-file none; session-keyfile none; recursion no; dnssec-validation no; notify no;\n\
         allow-transfer {{ 127.0.0.1; }}; }};\ncontrols {{ }};\n\
         key \"transfer.key\" {{ algorithm hmac-sha256; secret \"{}\"; }};\n\
         zone \"example.com\" {{ type secondary; file \"copy\"; primaries {{ {primary} key \"transfer.key\"; }};\n\
         allow-notify {{ key \"transfer.key\"; }}; }};\n",
        SECRET_BASE64.trim()
    );
    fs::write(folder.join("named.conf"), text).expect("written");
    start(program, &["-g", "-c", "named.conf"], folder)
}

#[test]
fn nsd_serves_as_secondary() {
    serves_as_secondary("nsd", nsd);
}

#[test]
fn nsd_follows_updates() {
    follows_updates("nsd", nsd, "");
}

#[test]
fn knot_serves_as_secondary() {
    serves_as_secondary("knotd", knot);
}

#[test]
fn knot_follows_updates() {
    follows_updates("knotd", knot, "IXFR");
}

#[test]
fn bind_serves_as_secondary() {
    serves_as_secondary("named", bind);
}

#[test]
fn bind_follows_updates() {
    follows_updates("named", bind, "no such line");
}
