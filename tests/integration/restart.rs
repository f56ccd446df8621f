//! Ends and new beginnings.

use std::io::Write;
use std::net::IpAddr;
use std::net::TcpStream;

use hickory_proto::rr::RecordType;

use crate::harness::Backends;
use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::Mood;
use crate::harness::eventually;
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
        std::fs::read_to_string(&state)
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
    assert!(since.elapsed() < std::time::Duration::from_secs(5));
    assert!(!log.contains("ERROR"), "{log}");
}
