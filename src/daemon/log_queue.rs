//! The bounded queue between the threads that log and the one that writes.
//!
//! Appending never waits and never fails. Lines that find the queue full, or that cannot be written, are
//! dropped and counted.

use std::io;
use std::io::ErrorKind;
use std::io::Write;
use std::mem;
use std::sync::Condvar;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

use prometheus::IntCounter;

use crate::base::lock::lock;
use crate::base::lock::wait_while;

/// How long to wait before writing again to a stream that takes nothing now. Whoever shares our stderr
/// may have made it non-blocking.
const RETRY: Duration = Duration::from_millis(20);

/// Lines that wait to be written.
pub struct LogQueue {
    pending: Mutex<Pending>,
    changed: Condvar,
    capacity: usize,
    dropped: IntCounter,
}

#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    is_writing: bool,
}

impl LogQueue {
    /// An empty queue of so many octets, and a counter for the lines that are dropped.
    pub fn new(capacity: usize, dropped: IntCounter) -> Self {
        Self {
            pending: Mutex::default(),
            changed: Condvar::new(),
            capacity,
            dropped,
        }
    }

    fn push(&self, lines: &[u8]) {
        let mut pending = lock(&self.pending);
        if pending.lines.len() + lines.len() > self.capacity {
            self.drop_lines(lines);
            return;
        }
        pending.lines.extend_from_slice(lines);
        drop(pending);
        self.changed.notify_all();
    }

    /// Writes what comes, for ever. After lines were dropped, once one can be written again,
    /// `report_dropped` is called with how many.
    pub fn write_to(&self, mut out: impl Write, report_dropped: impl Fn(u64)) -> ! {
        let mut n_reported = 0;
        let mut ends_within_line = false;
        loop {
            let mut lines = self.take();
            if ends_within_line {
                // What there was no room for is not continued by another line.
                lines.insert(0, b'\n');
            }
            match write_whole(&mut out, &lines) {
                Ok(()) => {
                    ends_within_line = false;
                    let n_dropped = self.dropped.get();
                    if n_dropped > n_reported {
                        report_dropped(n_dropped - n_reported);
                        n_reported = n_dropped;
                    }
                }
                Err(n_written) => {
                    if let Some(last) = lines[..n_written].last() {
                        ends_within_line = *last != b'\n';
                    }
                    self.drop_lines(&lines[n_written..]);
                }
            }
            lock(&self.pending).is_writing = false;
            self.changed.notify_all();
        }
    }

    /// Waits until all lines are written, or for so long.
    pub fn flush(&self, deadline: Duration) {
        let is_busy = |pending: &mut Pending| pending.is_writing || !pending.lines.is_empty();
        let pending = lock(&self.pending);
        drop(self.changed.wait_timeout_while(pending, deadline, is_busy));
    }

    /// Takes all lines; waits while there are none.
    fn take(&self) -> Vec<u8> {
        let is_empty = |pending: &mut Pending| pending.lines.is_empty();
        let mut pending = wait_while(&self.changed, lock(&self.pending), is_empty);
        pending.is_writing = true;
        mem::take(&mut pending.lines)
    }

    fn drop_lines(&self, lines: &[u8]) {
        let n = lines.iter().filter(|octet| **octet == b'\n').count();
        self.dropped.inc_by(n as u64);
    }
}

impl Write for &LogQueue {
    /// Takes whole lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.push(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes everything, or says how much could be written.
fn write_whole(out: &mut impl Write, octets: &[u8]) -> Result<(), usize> {
    let mut n_written = 0;
    while n_written < octets.len() {
        match out.write(&octets[n_written..]) {
            Ok(0) => return Err(n_written),
            Ok(n) => n_written += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(RETRY),
            Err(_) => return Err(n_written),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Hands over what is written; each write takes as many octets as `accept` gives it, or fails.
    struct Stream {
        accept: mpsc::Receiver<io::Result<usize>>,
        written: mpsc::Sender<String>,
    }

    impl Write for Stream {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let Ok(answer) = self.accept.recv() else {
                // The test has ended.
                loop {
                    thread::park();
                }
            };
            let n = answer?.min(octets.len());
            let text = String::from_utf8_lossy(&octets[..n]).into_owned();
            self.written.send(text).expect("a test");
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Run {
        queue: Arc<LogQueue>,
        accept: mpsc::Sender<io::Result<usize>>,
        written: mpsc::Receiver<String>,
    }

    impl Run {
        fn start(capacity: usize) -> Self {
            let counter = IntCounter::new("dropped", "Lines.").expect("a counter");
            let queue = Arc::new(LogQueue::new(capacity, counter));
            let (accept, accepted) = mpsc::channel();
            let (write, written) = mpsc::channel();
            let stream = Stream {
                accept: accepted,
                written: write,
            };
            let writing = Arc::clone(&queue);
            let report = {
                let queue = Arc::clone(&queue);
                move |n| queue.push(format!("-{n}\n").as_bytes())
            };
            thread::spawn(move || writing.write_to(stream, report));
            Self {
                queue,
                accept,
                written,
            }
        }

        /// Lets the next write have this result.
        fn next(&self, result: io::Result<usize>) {
            self.accept.send(result).expect("a writer");
        }

        fn wrote(&self) -> String {
            self.written
                .recv_timeout(Duration::from_secs(20))
                .expect("a write")
        }

        fn is_writing(&self) {
            while !lock(&self.queue.pending).is_writing {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_no_time() {
        let run = Run::start(11);
        run.queue.push(b"one\n");
        run.is_writing();
        // The writer waits for its reader from here on.
        for line in ["two\n", "six\n", "ten\n", "x\ny\n"] {
            run.queue.push(line.as_bytes());
        }
        assert_eq!(run.queue.dropped.get(), 3);
        run.queue.flush(Duration::from_millis(1));
        for _ in 0..2 {
            run.next(Ok(usize::MAX));
        }
        assert_eq!(run.wrote(), "one\n");
        assert_eq!(run.wrote(), "two\nsix\n-3\n");
        assert_eq!(run.queue.dropped.get(), 3);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_later_ones_are() {
        let run = Run::start(100);
        run.queue.push(b"one\ntwo\nthree\n");
        run.next(Ok(5));
        assert_eq!(run.wrote(), "one\nt");
        run.next(Err(ErrorKind::StorageFull.into()));
        run.queue.flush(Duration::from_secs(20));
        assert_eq!(run.queue.dropped.get(), 2);
        run.next(Err(ErrorKind::WouldBlock.into()));
        run.next(Err(ErrorKind::Interrupted.into()));
        run.next(Ok(3));
        run.next(Ok(usize::MAX));
        run.next(Ok(usize::MAX));
        run.queue.push(b"four\n");
        assert_eq!(run.wrote() + &run.wrote(), "\nfour\n", "not behind the `t`");
        assert_eq!(run.wrote(), "-2\n");
        assert_eq!(run.queue.dropped.get(), 2);
    }
}
