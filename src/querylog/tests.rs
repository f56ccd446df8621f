//! Records and their reader: what was recorded is read, or was counted as dropped.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use super::*;
use crate::base::transport::Transport;
use crate::config::query_log::Dnstap;
use crate::config::query_log::DnstapReader;
use crate::engine;
use crate::engine::Arrival;
use crate::engine::Scratch;
use crate::live::meters::Meters;
use crate::state::counters;
use crate::state::fixture::empty_snapshot;
use crate::state::publish::Publisher;

/// Exchanges that are recorded; debug builds are slow, so they do with fewer.
const N: u64 = if cfg!(debug_assertions) {
    100_000
} else {
    1_000_000
};

/// A root query for NS, which is refused.
const QUERY: &[u8] = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01";

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(publisher: &Publisher, socket: &Path, sample: f64) -> (QueryLog, Counters) {
    let snapshots = publisher.reader();
    let mut process = snapshots.current().plan.config.process.clone();
    process.dnstap = Some(Dnstap {
        reader: DnstapReader::Unix(socket.to_owned()),
        sample,
        identity: "ns1".into(),
    });
    let meters = Meters::new();
    let counters = AllCounters {
        dnstap: Counters {
            written: meters.dnstap_messages,
            dropped: meters.dnstap_dropped,
        },
        decisions: Counters {
            written: meters.decisions,
            dropped: meters.decisions_dropped,
        },
    };
    let log = QueryLog::start(&process, &snapshots, &counters).unwrap();
    (log, counters.dnstap)
}

/// Records so many exchanges, as an answering thread does.
fn record(recorder: &mut Recorder, snapshot: &Arc<Snapshot>, n: u64) {
    let mut scratch = Scratch::new(Arc::new(counters::Counters::new(1)), 0);
    let source: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let arrival = Arrival {
        src: source.ip(),
        transport: Transport::Udp,
        now_ms: 0,
    };
    let mut out = [0; 512];
    for _ in 0..n {
        let outcome = engine::answer(snapshot, &mut scratch, arrival, QUERY, &mut out);
        let response = &out[..outcome.response_len()];
        recorder.record(snapshot, outcome, 0, QUERY, response, || Exchange {
            source,
            local: source,
            transport: Transport::Udp,
            query_time: Duration::ZERO,
            response_time: Duration::ZERO,
        });
    }
}

/// Reads connections, whose frames it counts, once `go` comes, until nobody connects any more.
fn read_all(listener: &UnixListener, go: &Receiver<()>, n_frames: &AtomicU64) {
    const CONTROL: &[u8] = b"\0\0\0\x01\0\0\0\x16protobuf:dnstap.Dnstap";
    loop {
        let (mut stream, _) = listener.accept().unwrap();
        let mut control = [0; 12 + CONTROL.len()];
        if stream.read_exact(&mut control).is_err() {
            return;
        }
        let accept = [&[0, 0, 0, 0, 0, 0, 0, 34, 0, 0, 0, 1], CONTROL].concat();
        stream.write_all(&accept).unwrap();
        stream.read_exact(&mut control).unwrap();
        // Only the first time: then the sender has gone.
        let _ = go.recv();
        let mut len = [0; 4];
        while stream.read_exact(&mut len).is_ok() && len != [0; 4] {
            let mut frame = vec![0; u32::from_be_bytes(len) as usize];
            if stream.read_exact(&mut frame).is_ok() {
                n_frames.fetch_add(1, Relaxed);
            }
        }
        if len == [0; 4] {
            let _ = stream.read_exact(&mut [0; 8]);
            let _ = stream.write_all(&[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 5]);
        }
    }
}

#[test]
fn a_reader_that_stops_for_a_while_gets_what_was_not_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("tap");
    let listener = UnixListener::bind(&socket).unwrap();
    let publisher = Publisher::new(empty_snapshot());
    let (log, counters) = start(&publisher, &socket, 1.0);
    let n_frames = AtomicU64::new(0);
    let (go, going) = mpsc::channel();
    thread::scope(|scope| {
        let (listener, n_frames) = (&listener, &n_frames);
        scope.spawn(move || read_all(listener, &going, n_frames));
        let snapshot = publisher.current();
        let recorders = log.recorders();
        // Nothing is read, and yet all of these return.
        thread::scope(|scope| {
            for _ in 0..2 {
                let mut recorder = recorders.recorder().unwrap();
                let snapshot = &snapshot;
                scope.spawn(move || record(&mut recorder, snapshot, N / 4));
            }
        });
        assert!(counters.dropped.get() > 0);
        drop(go);
        record(&mut recorders.recorder().unwrap(), &snapshot, N / 2);
        log.stop(PATIENCE);
        // Ends the reader.
        drop(std::os::unix::net::UnixStream::connect(&socket).unwrap());
    });
    let (written, dropped) = (counters.written.get(), counters.dropped.get());
    assert_eq!(n_frames.into_inner(), written);
    assert_eq!(
        written + dropped,
        2 * N,
        "{written} sent, {dropped} dropped"
    );
}

#[test]
fn what_nobody_reads_is_counted_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let publisher = Publisher::new(empty_snapshot());
    let (log, counters) = start(&publisher, &folder.path().join("nobody"), 1.0);
    let mut recorder = log.recorders().recorder().unwrap();
    record(&mut recorder, &publisher.current(), 10_000);
    log.stop(PATIENCE);
    assert_eq!(
        (counters.written.get(), counters.dropped.get()),
        (0, 20_000)
    );
}

#[test]
fn without_a_log_there_is_no_recorder() {
    assert!(QueryLog::off().recorders().recorder().is_none());
}
