//! Every rule of RFC 2136 s3: the table of `tests/support/updates.rs` in memory, and the same messages to
//! BIND and to us, each for a zone of its own; RCODEs and resulting zones are compared.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use domain::base::Message;
use domain::rdata::ZoneRecordData;
use meridian::base::diag::Report;
use meridian::base::name::Name;
use meridian::base::qname::QName;
use meridian::base::rr::RrType;
use meridian::wire::tsig::Algorithm;
use meridian::wire::tsig::Key;
use meridian::wire::tsig::Signer;
use meridian::wire::update;
use meridian::zone::Zone;
use meridian::zone::editor::Editor;
use meridian::zone::update::Update;

use crate::peers::REQUIRE;
use crate::peers::Server;
use crate::peers::find;
use crate::peers::say;
use crate::table::ROWS;
use crate::table::Row;
use crate::table::ZONE;
use crate::table::read as read_text;
use crate::table::records;
use crate::table::shown;

const KEY_NAME: &str = "update.key";
const SECRET: &[u8] = b"thirty-two octets of a secret...";
const SECRET_BASE64: &str = "dGhpcnR5LXR3byBvY3RldHMgb2YgYSBzZWNyZXQuLi4=";

fn apex(at: usize) -> Name {
    Name::parse(&format!("r{at}.test")).expect("a name")
}

#[test]
fn every_rule_holds_in_memory() {
    let apex = apex(0);
    let file: Arc<str> = "z".into();
    let zone = |records| {
        let mut report = Report::default();
        Zone::compile(&apex, &file, records, &[], &mut report).ok_or(report)
    };
    let original = zone(records(&apex)).expect("a sound zone");
    let mut faults = Vec::new();
    for row in ROWS {
        let message = row.message(1, &apex);
        let mut section = QName::root();
        let result = update::Update::parse(&message, &mut section).map_err(|_| 1);
        let mut editor = Editor::new(&original, &file);
        let result = result.and_then(|read| {
            let is_here = QName::from_name(&apex).wire() == section.wire();
            if read.head.qtype != RrType::SOA {
                return Err(1);
            } else if read.head.qclass.0 != 1 || !is_here {
                return Err(9);
            }
            let update = Update::read(&read, &apex, &file).map_err(|r| r.rcode.low())?;
            editor
                .apply(&update, &|_, _| true)
                .map_err(|r| r.rcode.low())
        });
        let rcode = result.map_or_else(|rcode| rcode, |()| 0);
        let serial = match editor.difference() {
            Some(difference) => difference.to_serial(),
            None => 10,
        };
        let changed = zone(editor.into_records()).expect("a sound zone");
        faults.extend(fault(row, &apex, rcode, serial, &contents(&changed)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What differs from the table, if anything.
fn fault(row: &Row, apex: &Name, rcode: u8, serial: u32, now: &[String]) -> Option<String> {
    let [before, after] = row.before_and_after(apex);
    let expected_serial = if before == after { 10 } else { 11 };
    let is_right = rcode == row.rcode && serial == expected_serial && now == after;
    let lost = after.iter().filter(|record| !now.contains(record));
    let extra = now.iter().filter(|record| !after.contains(record));
    (!is_right).then(|| {
        format!(
            "{}: RCODE {rcode} for {}, serial {serial} for {expected_serial}, without {:?}, with {:?}",
            row.rule,
            row.rcode,
            lost.collect::<Vec<_>>(),
            extra.collect::<Vec<_>>()
        )
    })
}

fn contents(zone: &Zone) -> Vec<String> {
    let mut contents = Vec::new();
    for node in zone {
        for set in node.rrsets().filter(|set| set.rtype != RrType::SOA) {
            let owner = node.to_name().to_string().to_ascii_lowercase();
            for rdata in set.rdatas() {
                let rdata: String = rdata.iter().map(|octet| format!("{octet:02x}")).collect();
                contents.push(format!("{owner} {} {} {rdata}", set.ttl, set.rtype));
            }
        }
    }
    contents.sort();
    contents
}

#[test]
fn bind_takes_updates_alike() {
    let Some(named) = find("named") else {
        assert!(std::env::var_os(REQUIRE).is_none(), "not installed: named");
        say("conformance: SKIPPED `bind_takes_updates_alike`: not installed: named");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = folder.path();
    for zones in ["bind", "zones"] {
        fs::create_dir(base.join(zones)).expect("a folder");
        for at in 0..ROWS.len() {
            let file = base.join(zones).join(format!("r{at}.test.zone"));
            fs::write(file, ZONE).expect("a zone file");
        }
    }
    let origins: Vec<String> = (0..ROWS.len()).map(|at| format!("r{at}.test")).collect();
    let bind = Server::start_as("updates-bind", base, &origins, |port| {
        let file = base.join("bind.conf");
        fs::write(&file, bind_conf(base, port)).expect("a configuration");
        let mut command = Command::new(&named);
        command.args(["-n", "1", "-g", "-c"]).arg(file);
        command
    });
    let ours = Server::start_as("updates-meridian", base, &origins, |port| {
        fs::write(base.join("meridian.toml"), meridian_toml(port)).expect("a configuration");
        fs::write(base.join("update.key"), SECRET_BASE64).expect("a secret");
        let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
        command
            .arg("-c")
            .arg(base.join("meridian.toml"))
            .arg("serve");
        command
    });
    let key = Name::parse(KEY_NAME).expect("a name");
    let key = Arc::new(Key::new(key, Algorithm::Sha256, SECRET));
    let mut faults = Vec::new();
    for (at, row) in ROWS.iter().enumerate() {
        let apex = apex(at);
        for (who, server) in [("bind", bind.address()), ("meridian", ours.address())] {
            let rcode = send(server, &key, row.message(at as u16, &apex));
            let (serial, now) = transfer(server, &apex);
            let found = fault(row, &apex, rcode, serial, &now);
            match (found, row.bind_differs) {
                (None, Some(why)) if who == "bind" => {
                    faults.push(format!("{}: BIND agrees, though {why}", row.rule));
                }
                (Some(_), Some(_)) if who == "bind" => {}
                (found, _) => faults.extend(found.map(|fault| format!("{who}: {fault}"))),
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn bind_conf(base: &Path, port: u16) -> String {
    let dir = base.display();
    let zones: String = (0..ROWS.len())
        .map(|at| {
            format!(
                "zone \"r{at}.test\" {{ type primary; file \"bind/r{at}.test.zone\"; \
                 allow-update {{ key \"{KEY_NAME}\"; }}; }};\n"
            )
        })
        .collect();
    format!(
        "key \"{KEY_NAME}\" {{ algorithm hmac-sha256; secret \"{SECRET_BASE64}\"; }};\n\
         options {{ directory \"{dir}\"; listen-on port {port} {{ 127.0.0.1; }}; \
         listen-on-v6 {{ none; }}; pid-file none; session-keyfile none; recursion no; \
         check-names primary ignore; check-integrity no; dnssec-validation no; notify no; \
         empty-zones-enable no; allow-transfer {{ any; }}; }};\ncontrols {{ }};\n{zones}"
    )
}

fn meridian_toml(port: u16) -> String {
    let zones: Vec<String> = (0..ROWS.len())
        .map(|at| format!("\"r{at}.test\""))
        .collect();
    format!(
        "zones = \"zones\"\nstate_dir = \"state\"\n[server]\nlisten = [\"127.0.0.1:{port}\"]\nworkers = 1\n\
         [[tsig_key]]\nname = \"{KEY_NAME}\"\nsecret_file = \"update.key\"\n\
         [[secondary]]\naddresses = [\"127.0.0.1\"]\n\
         [[update]]\nkey = \"{KEY_NAME}\"\nzones = [{}]\n\
         types = [\"A\", \"NS\", \"CNAME\", \"SOA\", \"MX\", \"TXT\", \"DNAME\", \"NSEC\"]\n",
        zones.join(", ")
    )
}

/// Sends a signed message over TCP; the RCODE of the response, whose signature must be right.
fn send(server: SocketAddr, key: &Arc<Key>, mut message: Vec<u8>) -> u8 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("a clock after 1970").as_secs();
    let mut signer = Signer::of_request(key);
    let len = message.len();
    message.resize(len + key.record_len(), 0);
    signer.sign(&mut message, len, now).expect("room");
    let response = exchange(&mut connect(server), &message);
    let rcode = response[3] & 15;
    // What is not even read need not be verified.
    let is_signed = signer.is_answered_by(&response, now) || rcode == 1;
    assert!(is_signed, "a response that is not signed: {response:02x?}");
    rcode
}

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).expect("a connection");
    let patience = Some(Duration::from_secs(30));
    stream.set_read_timeout(patience).expect("a timeout");
    stream
}

fn exchange(stream: &mut TcpStream, message: &[u8]) -> Vec<u8> {
    let framed = [&(message.len() as u16).to_be_bytes(), message].concat();
    stream.write_all(&framed).expect("sent");
    receive(stream)
}

fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).expect("a length");
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message).expect("a message");
    message
}

/// The serial of a zone and all its other records.
fn transfer(server: SocketAddr, apex: &Name) -> (u32, Vec<String>) {
    let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(apex.wire());
    query.extend([0, 252, 0, 1]);
    let mut stream = connect(server);
    let mut message = exchange(&mut stream, &query);
    let (mut n_soas, mut serial, mut found) = (0, 0, Vec::new());
    loop {
        let read = Message::from_octets(&message).expect("a header");
        let answer = read.answer().expect("an answer section");
        for record in answer.limit_to::<ZoneRecordData<_, _>>() {
            let text = record.expect("a record").to_string() + "\n";
            let record = read_text(&text, apex).pop().expect("a record");
            if record.rtype == RrType::SOA {
                n_soas += 1;
                let numbers = record.rdata.last_chunk::<20>().expect("an SOA");
                serial = u32::from_be_bytes(*numbers.first_chunk().expect("four octets"));
            }
            found.extend(shown(&record));
        }
        if n_soas == 2 {
            found.sort();
            return (serial, found);
        }
        message = receive(&mut stream);
    }
}
