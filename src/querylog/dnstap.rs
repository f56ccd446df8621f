//! The thread that sends dnstap messages to their reader.
//!
//! While there is no reader, or it takes nothing, the rings fill up and what finds no room is counted as dropped.
//! Messages count as sent when the kernel has taken them: what a reader has not read when it dies is lost.

use std::io;
use std::io::ErrorKind;
use std::io::Write;
use std::mem::MaybeUninit;
use std::time::Duration;
use std::time::Instant;

use socket2::Domain;
use socket2::SockAddr;
use socket2::Socket;
use socket2::Type;
use tracing::info;
use tracing::warn;

use crate::base::qname::QName;
use crate::config::query_log::DnstapReader;
use crate::querylog::counters::Counters;
use crate::querylog::frame_streams;
use crate::querylog::message::Exchange;
use crate::querylog::message::Half;
use crate::querylog::message::MessageWriter;
use crate::querylog::ring::Reader;
use crate::state::publish::SnapshotReader;
use crate::wire::query::Query;
use crate::zone::set::ZoneSet;

/// How long the reader may take to accept a connection, to answer, or to take octets.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The pause after the first failure; it doubles with each up to [`MAX_PAUSE`], and begins again after a connection
/// that lasted as long as that.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts to connect.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Exchanges of one ring that are sent at once.
const BATCH: usize = 128;

/// Sends what is recorded.
pub(super) struct DnstapSender {
    reader: Reader<Exchange>,
    to: DnstapReader,
    snapshots: SnapshotReader,
    messages: MessageWriter,
    counters: Counters,
    /// Frames that are to be written.
    frames: Vec<u8>,
    qname: QName,
}

impl DnstapSender {
    pub(super) fn new(
        reader: Reader<Exchange>,
        to: DnstapReader,
        identity: &str,
        snapshots: SnapshotReader,
        counters: Counters,
    ) -> Self {
        Self {
            reader,
            to,
            snapshots,
            messages: MessageWriter::new(identity),
            counters,
            frames: Vec::new(),
            qname: QName::root(),
        }
    }

    /// Sends until the end, over as many connections as it takes.
    pub(super) fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        let mut is_logged = false;
        while !self.reader.is_stopping() {
            let start = Instant::now();
            match self.connect() {
                Ok(mut stream) => {
                    info!(reader = %self.to, "dnstap reader connected");
                    let Err(error) = self.send(&mut stream) else {
                        return;
                    };
                    warn!(reader = %self.to, %error, "dnstap reader lost; {DROPPED}");
                    is_logged = true;
                }
                Err(error) if !is_logged => {
                    warn!(reader = %self.to, %error, "dnstap reader cannot be reached; {DROPPED}");
                    is_logged = true;
                }
                Err(_) => {}
            }
            if start.elapsed() >= MAX_PAUSE {
                pause = FIRST_PAUSE;
            }
            self.reader.pause(pause);
            pause = (pause * 2).min(MAX_PAUSE);
        }
        while self.fill() > 0 {
            count(&self.frames, 0, &self.counters);
        }
    }

    fn connect(&self) -> io::Result<Socket> {
        let (domain, address) = match &self.to {
            DnstapReader::Tcp(address) => (Domain::for_address(*address), (*address).into()),
            DnstapReader::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
        };
        let mut stream = Socket::new(domain, Type::STREAM, None)?;
        stream.connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        frame_streams::start(&mut stream)?;
        Ok(stream)
    }

    /// Sends until the end; an error is that of the connection.
    fn send(&mut self, stream: &mut Socket) -> io::Result<()> {
        loop {
            let is_last = self.reader.is_stopping();
            if is_closed(stream) {
                return Err(io::Error::new(
                    ErrorKind::ConnectionReset,
                    "it closed the connection",
                ));
            }
            match self.fill() {
                0 if is_last => return frame_streams::stop(stream),
                0 => self.reader.wait(),
                _ => write(stream, &self.frames, &self.counters)?,
            }
        }
    }

    /// Makes frames of what has been recorded, and returns how many exchanges there were.
    fn fill(&mut self) -> usize {
        self.frames.clear();
        let snapshot = self.snapshots.current();
        let (frames, messages, qname) = (&mut self.frames, &mut self.messages, &mut self.qname);
        self.reader.read(BATCH, |exchange, query, response| {
            let zone = zone(&snapshot.plan.zones, qname, query);
            for (half, octets) in [(Half::Query, query), (Half::Response, response)] {
                if half == Half::Query || !octets.is_empty() {
                    put_frame(frames, |frames| {
                        messages.write(frames, half, exchange, zone, octets);
                    });
                }
            }
        })
    }
}

/// What is lost meanwhile.
const DROPPED: &str = "messages are dropped and counted until it is back";

/// The apex of the zone that a query is for.
fn zone<'z>(zones: &'z ZoneSet, qname: &mut QName, query: &[u8]) -> Option<&'z [u8]> {
    Query::unread().read(query, qname).ok()?;
    zones.zone_for(qname).map(|zone| zone.apex().wire())
}

/// Appends a data frame, whose octets are appended by `write`.
fn put_frame(frames: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = frames.len();
    frames.extend_from_slice(&[0; LEN]);
    write(frames);
    let len = frames.len() - start - LEN;
    frames[start..start + LEN].copy_from_slice(&(len as u32).to_be_bytes());
}

/// Octets of a frame's length.
const LEN: usize = 4;

/// Whether the reader has closed the connection. It sends nothing while the stream runs.
fn is_closed(stream: &Socket) -> bool {
    let mut octet = [MaybeUninit::uninit()];
    let read = stream.recv_with_flags(&mut octet, libc::MSG_DONTWAIT | libc::MSG_PEEK);
    read.map_or_else(
        |error| !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        |n| n == 0,
    )
}

/// Writes all frames, and counts those that were written whole and the others.
fn write(stream: &mut impl Write, frames: &[u8], counters: &Counters) -> io::Result<()> {
    let mut n = 0;
    let written = loop {
        if n == frames.len() {
            break Ok(());
        }
        match stream.write(&frames[n..]) {
            Ok(0) => break Err(ErrorKind::WriteZero.into()),
            Ok(more) => n += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                break Err(io::Error::new(
                    ErrorKind::TimedOut,
                    "it took nothing for 5 s",
                ));
            }
            Err(error) => break Err(error),
        }
    };
    count(frames, n, counters);
    written
}

/// Counts frames, of which the first `n_written` octets were written.
fn count(frames: &[u8], n_written: usize, counters: &Counters) {
    let mut end = 0;
    while let Some((len, _)) = frames[end..].split_first_chunk::<LEN>() {
        end += LEN + u32::from_be_bytes(*len) as usize;
        let counter = match end <= n_written {
            true => &counters.written,
            false => &counters.dropped,
        };
        counter.inc();
    }
}
