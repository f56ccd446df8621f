//! One socket's queries on their way: which are unanswered, since when, and what came of them.

use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::time::Duration;
use std::time::Instant;

use hdrhistogram::Histogram;
use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;

use crate::batch_sys::Batch;
use crate::queries::Queries;
use crate::queries::is_right;

/// A query without an answer after this time is lost.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// The low bits of an ID are the place of its query among the unanswered ones, the others change each
/// time that the place is used: an answer that comes too late is not taken for another's.
const SLOT_BITS: u32 = 10;

/// How many queries of one socket may be unanswered.
pub const MAX_WINDOW: usize = 1 << SLOT_BITS;

/// What happened between the beginning and the end of the measurement.
pub struct Tally {
    pub start: Instant,
    pub end: Instant,
    pub n_sent: u64,
    pub n_answered: u64,
    pub n_lost: u64,
    pub n_wrong: u64,
    /// Nanoseconds from when a query was due to its answer.
    pub latency: Histogram<u64>,
}

impl Tally {
    pub fn new(start: Instant, end: Instant) -> Self {
        let latency = Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("valid bounds");
        Self {
            start,
            end,
            n_sent: 0,
            n_answered: 0,
            n_lost: 0,
            n_wrong: 0,
            latency,
        }
    }

    fn holds(&self, time: Instant) -> bool {
        (self.start..self.end).contains(&time)
    }

    pub fn add(&mut self, other: &Self) {
        self.n_sent += other.n_sent;
        self.n_answered += other.n_answered;
        self.n_lost += other.n_lost;
        self.n_wrong += other.n_wrong;
        self.latency
            .add(&other.latency)
            .expect("histograms of one kind");
    }
}

#[derive(Clone, Copy)]
struct Pending {
    since: Instant,
    query: usize,
}

/// A connected socket and its unanswered queries.
pub struct Flow {
    pub socket: UdpSocket,
    pending: Vec<Option<Pending>>,
    turns: Vec<u16>,
    free: Vec<usize>,
    next_query: usize,
}

impl Flow {
    /// Opens a socket from `port` (0 for any) to `server`; begins with query `first`.
    pub fn open(server: SocketAddr, port: u16, window: usize, first: usize) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(server),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        socket.set_recv_buffer_size(4 << 20)?;
        socket.set_nonblocking(true)?;
        let local: SocketAddr = match server {
            SocketAddr::V4(_) => ([0; 4], port).into(),
            SocketAddr::V6(_) => ([0; 16], port).into(),
        };
        socket.bind(&local.into())?;
        socket.connect(&server.into())?;
        Ok(Self {
            socket: socket.into(),
            pending: vec![None; window],
            turns: vec![0; window],
            free: (0..window).collect(),
            next_query: first,
        })
    }

    /// How many more queries may go out.
    pub fn room(&self) -> usize {
        self.free.len()
    }

    /// Whether all queries were answered or given up.
    pub fn is_idle(&self) -> bool {
        self.free.len() == self.pending.len()
    }

    /// Sends as many queries as there is room for, in the window and in the batch, at most `n`; since
    /// when each has been due is what `due` says. Returns how many went out.
    pub fn send(
        &mut self,
        batch: &mut Batch,
        queries: &Queries,
        n: usize,
        tally: &mut Tally,
        due: impl Fn(usize) -> Instant,
    ) -> io::Result<usize> {
        let n = n.min(self.free.len()).min(batch.len());
        for ix in 0..n {
            let slot = self.free[self.free.len() - 1 - ix];
            let query = (self.next_query + ix) % queries.len();
            let id = self.turns[slot] << SLOT_BITS | slot as u16;
            batch.put(ix, queries.message(query), id);
        }
        let n_sent = match batch.send(&self.socket, n) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        for ix in 0..n_sent {
            let slot = self.free.pop().expect("counted above");
            let since = due(ix);
            self.pending[slot] = Some(Pending {
                since,
                query: self.next_query,
            });
            self.next_query = (self.next_query + 1) % queries.len();
            tally.n_sent += u64::from(tally.holds(since));
        }
        Ok(n_sent)
    }

    /// Takes what has come, a batch at most.
    pub fn receive(
        &mut self,
        batch: &mut Batch,
        queries: &Queries,
        allowed: &[IpAddr],
        tally: &mut Tally,
    ) -> io::Result<()> {
        let n = match batch.receive(&self.socket, false) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let now = Instant::now();
        for ix in 0..n {
            let response = batch.message(ix);
            let Some((id, _)) = response.split_first_chunk() else {
                continue;
            };
            let id = u16::from_be_bytes(*id);
            let slot = usize::from(id) & (MAX_WINDOW - 1);
            if self.turns.get(slot) != Some(&(id >> SLOT_BITS)) {
                continue;
            }
            let Some(pending) = self.pending[slot].take() else {
                continue;
            };
            self.release(slot);
            tally.n_answered += u64::from(tally.holds(now));
            if tally.holds(pending.since) {
                let latency = (now - pending.since).as_nanos() as u64;
                tally.latency.saturating_record(latency);
                let is_right = is_right(queries.message(pending.query), response, allowed);
                tally.n_wrong += u64::from(!is_right);
            }
        }
        Ok(())
    }

    /// Gives up what has been without an answer for too long.
    pub fn give_up(&mut self, now: Instant, tally: &mut Tally) {
        for slot in 0..self.pending.len() {
            if let Some(pending) = self.pending[slot]
                && now.saturating_duration_since(pending.since) > PATIENCE
            {
                self.pending[slot] = None;
                self.release(slot);
                tally.n_lost += u64::from(tally.holds(pending.since));
            }
        }
    }

    fn release(&mut self, slot: usize) {
        self.turns[slot] = (self.turns[slot] + 1) & (u16::MAX >> SLOT_BITS);
        self.free.push(slot);
    }
}
