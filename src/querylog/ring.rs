//! Bounded rings from the threads that answer to the one that writes: one producer and one consumer each, so that
//! there are no locks, and all memory is allocated when a ring is made.
//!
//! A record is a value of fixed size, and the octets of a query and a response beside it. What finds no room is
//! left out, which the producer counts.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::thread::Thread;
use std::time::Duration;
use std::time::Instant;

use crate::base::lock::lock;

/// Records that wait in one ring at most.
const N_RECORDS: usize = 4096;

/// Octets of messages that wait in one ring at most: of usual length, for as many records.
const N_OCTETS: usize = 1024 * 1024;

/// How long records may lie in a ring that is not filling up: often enough for who watches, seldom enough to cost
/// an idle machine nothing.
const INTERVAL: Duration = Duration::from_millis(100);

/// A record without its octets.
#[derive(Debug)]
struct Record<H> {
    head: H,
    query_len: usize,
    response_len: usize,
}

/// What a log's producers share with its writer.
#[derive(Debug)]
pub(super) struct Hub<H> {
    /// The consumers that the writer does not have yet.
    new: Mutex<Vec<Consumer<H>>>,
    writer: OnceLock<Thread>,
    is_stopping: AtomicBool,
}

impl<H> Hub<H> {
    /// Without a ring.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            new: Mutex::default(),
            writer: OnceLock::new(),
            is_stopping: AtomicBool::new(false),
        })
    }

    /// Another ring.
    pub(super) fn producer(self: &Arc<Self>) -> Producer<H> {
        let (records, to_read) = rtrb::RingBuffer::new(N_RECORDS);
        let (octets, octets_to_read) = rtrb::RingBuffer::new(N_OCTETS);
        lock(&self.new).push(Consumer {
            records: to_read,
            octets: octets_to_read,
        });
        Producer {
            records,
            octets,
            hub: Arc::clone(self),
        }
    }

    /// Has the writer end when it has written what waits.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Relaxed);
        self.wake();
    }

    /// Has the writer look at once.
    pub(super) fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }
}

/// The end that an answering thread or task has.
#[derive(Debug)]
pub(super) struct Producer<H> {
    records: rtrb::Producer<Record<H>>,
    octets: rtrb::Producer<u8>,
    hub: Arc<Hub<H>>,
}

impl<H> Producer<H> {
    /// Adds a record; false if there is no room for it. Neither waits nor allocates. The writer is woken only when
    /// a quarter of the ring is full: it looks by itself often enough.
    pub(super) fn push(&mut self, head: H, query: &[u8], response: &[u8]) -> bool {
        let n_records = self.records.slots();
        let n_octets = self.octets.slots();
        if n_records == 0 || n_octets < query.len() + response.len() {
            return false;
        }
        let record = Record {
            head,
            query_len: query.len(),
            response_len: response.len(),
        };
        // There is room for them, which nobody else fills. The record is last, so that its octets are there when it
        // is seen.
        let is_pushed = self.octets.push_entire_slice(query).is_ok()
            && self.octets.push_entire_slice(response).is_ok()
            && self.records.push(record).is_ok();
        debug_assert!(is_pushed, "there was room");
        if n_records < N_RECORDS / 4 * 3 || n_octets < N_OCTETS / 4 * 3 {
            self.hub.wake();
        }
        true
    }
}

/// The other end of a ring.
#[derive(Debug)]
struct Consumer<H> {
    records: rtrb::Consumer<Record<H>>,
    octets: rtrb::Consumer<u8>,
}

/// All rings of a log, as its writer has them.
#[derive(Debug)]
pub(super) struct Reader<H> {
    hub: Arc<Hub<H>>,
    consumers: Vec<Consumer<H>>,
    /// The octets of the record that is looked at.
    octets: Vec<u8>,
}

impl<H> Reader<H> {
    /// For the thread that calls, which is the only one that reads the rings of `hub`.
    pub(super) fn new(hub: Arc<Hub<H>>) -> Self {
        let _ = hub.writer.set(thread::current());
        Self {
            hub,
            consumers: Vec::new(),
            octets: Vec::new(),
        }
    }

    /// Hands over what has been recorded, at most `max` records of each ring, with query and response; returns how
    /// many there were.
    pub(super) fn read(&mut self, max: usize, mut each: impl FnMut(&H, &[u8], &[u8])) -> usize {
        self.consumers.append(&mut lock(&self.hub.new));
        let mut n = 0;
        self.consumers.retain_mut(|consumer| {
            // Asked first: what its producer recorded before it went is still read.
            let is_last = consumer.records.is_abandoned();
            for _ in 0..max {
                let Ok(record) = consumer.records.pop() else {
                    return !is_last;
                };
                self.octets
                    .resize(record.query_len + record.response_len, 0);
                let is_whole = consumer.octets.pop_entire_slice(&mut self.octets).is_ok();
                debug_assert!(is_whole, "octets come before their record");
                let (query, response) = self.octets.split_at(record.query_len);
                each(&record.head, query, response);
                n += 1;
            }
            true
        });
        n
    }

    /// Whether the writer is to end.
    pub(super) fn is_stopping(&self) -> bool {
        self.hub.is_stopping.load(Relaxed)
    }

    /// Waits until a ring fills up, or for a moment.
    pub(super) fn wait(&self) {
        self.wait_at_most(INTERVAL);
    }

    fn wait_at_most(&self, time: Duration) {
        if !self.is_stopping() {
            thread::park_timeout(time);
        }
    }

    /// Waits for so long, however full the rings are, or until the writer is to end.
    pub(super) fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_stopping() {
            match end.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => thread::park_timeout(left),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn read(reader: &mut Reader<u32>) -> Vec<(u32, Vec<u8>, Vec<u8>)> {
        let mut records = Vec::new();
        reader.read(usize::MAX, |head, query, response| {
            records.push((*head, query.to_vec(), response.to_vec()));
        });
        records
    }

    #[test]
    fn records_come_out_as_they_went_in() {
        let hub = Hub::new();
        let mut reader = Reader::new(Arc::clone(&hub));
        let (mut one, mut two) = (hub.producer(), hub.producer());
        assert!(one.push(1, b"query", b"response"));
        assert!(two.push(2, b"", b"response"));
        assert!(one.push(3, b"query", b""));
        drop(one);
        let record =
            |head: u32, query: &[u8], response: &[u8]| (head, query.to_vec(), response.to_vec());
        assert_eq!(
            read(&mut reader),
            [
                record(1, b"query", b"response"),
                record(3, b"query", b""),
                record(2, b"", b"response"),
            ]
        );
        assert_eq!(reader.consumers.len(), 1, "the other's thread has gone");
        assert!(two.push(4, &[7; 300], b""));
        assert_eq!(read(&mut reader), [record(4, &[7; 300], b"")]);
    }

    #[test]
    fn what_finds_no_room_is_refused_whole() {
        let hub = Hub::new();
        let mut reader = Reader::new(Arc::clone(&hub));
        let mut producer = hub.producer();
        assert!(
            !producer.push(0, &vec![0; N_OCTETS], b"x"),
            "longer than the ring"
        );
        for (len, fits) in [(100, N_RECORDS), (65_535, N_OCTETS / 65_535)] {
            let octets = vec![9; len];
            let n = (0..)
                .take_while(|n| producer.push(*n, b"", &octets))
                .count();
            assert_eq!(n, fits, "messages of {len} octets");
            let records = read(&mut reader);
            assert_eq!(records.len(), n);
            assert!(records.iter().all(|(_, _, response)| *response == octets));
        }
    }

    #[test]
    fn a_ring_that_fills_up_wakes_the_writer() {
        let hub = Hub::<u32>::new();
        let (send, woken) = mpsc::channel();
        let (started, start) = mpsc::channel();
        let reading = Arc::clone(&hub);
        let writer = thread::spawn(move || {
            let mut reader = Reader::new(reading);
            started.send(()).unwrap();
            let mut n = 0;
            while !reader.is_stopping() || n > 0 {
                reader.wait_at_most(Duration::from_secs(60));
                n = read(&mut reader).len();
                send.send(n).unwrap();
            }
        });
        start.recv().unwrap();
        let start = Instant::now();
        let mut producer = hub.producer();
        for n in 0..(N_RECORDS / 2) as u32 {
            assert!(producer.push(n, b"q", b"r"));
        }
        let mut n = 0;
        while n < N_RECORDS / 4 {
            n += woken.recv().unwrap();
        }
        hub.stop();
        writer.join().unwrap();
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
