//! The events that survive a restart: `events.jsonl` in `state_dir`, one JSON object a line.
//!
//! A task of its own appends what is new, and rewrites the file with the latest events when it has grown to
//! twice as many. A disk that is full or slow holds nobody up: what could not be written is written
//! later, as long as it is among the latest. Lines that cannot be read are passed over.

use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::warn;

use crate::daemon::files;
use crate::live::Live;
use crate::live::events::EventLog;
use crate::live::events::MAX_EVENTS;
use crate::live::events::Record;
use crate::live::events::event;

/// Lines in the file after which it is rewritten.
const MAX_LINES: usize = 2 * MAX_EVENTS;

/// The longest file that is read, in octets.
const MAX_LEN: u64 = 64 << 20;

/// How long after a failed write the next is tried.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("events.jsonl")
}

/// Reads the latest events of the last run, oldest first: none where there is no file.
pub fn read(state_dir: &Path) -> Vec<Record> {
    let path = path(state_dir);
    let file = path.display();
    let bytes = match files::read(&path, MAX_LEN) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            warn!(%file, %error, "events of the last run cannot be read: going on without them");
            return Vec::new();
        }
    };
    let mut records: Vec<Record> = Vec::new();
    let mut n_unread = 0;
    // A process that was killed may have left a part of a line at the end.
    let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    for line in bytes[..end]
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let last = records.last().map_or(0, |record| record.seq);
        match serde_json::from_slice::<Record>(line) {
            Ok(record) if record.seq > last => records.push(record),
            _ => n_unread += 1,
        }
    }
    if n_unread > 0 {
        warn!(%file, lines = n_unread, "lines of the last run's events cannot be read: passed over");
    }
    records.drain(..records.len().saturating_sub(MAX_EVENTS));
    records
}

/// Writes events to `state_dir` as they happen, until `stop` becomes true.
pub async fn keep(live: Arc<Live>, mut stop: watch::Receiver<bool>) {
    let mut follower = live.events.follow();
    let mut file = EventFile::default();
    let mut has_failed = false;
    loop {
        let wait = async {
            match has_failed {
                true => sleep(RETRY_INTERVAL).await,
                // The log lives as long as this.
                false => drop(follower.changed().await),
            }
        };
        let stops = tokio::select! {
            () = wait => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        let writing = Arc::clone(&live);
        let written = spawn_blocking(move || {
            let plan = Arc::clone(&writing.snapshots.current().plan);
            let result = match &plan.config.process.state_dir {
                Some(state_dir) => file.write(state_dir, &writing.events),
                None => Ok(()),
            };
            (file, result)
        });
        // An error: the process ends.
        let Ok((back, result)) = written.await else {
            return;
        };
        file = back;
        if stops {
            return;
        }
        let failed = result.is_err();
        match result {
            Err(error) if !has_failed => live.events.push(event!(
                warn,
                EventsNotSaved,
                [error],
                [],
                "events cannot be saved, trying again every few seconds: they would not survive a restart"
            )),
            Ok(()) if has_failed => live.events.push(event!(
                info,
                EventsSaved,
                [],
                [],
                "events can be saved again"
            )),
            _ => {}
        }
        has_failed = failed;
    }
}

/// What is known of the file.
#[derive(Debug, Default)]
struct EventFile {
    /// Where it is; `None`: what is there was not written by this process, or not to its end.
    path: Option<PathBuf>,
    n_lines: usize,
    /// The number of the last event in it.
    written: u64,
}

impl EventFile {
    /// Brings it up to date.
    fn write(&mut self, state_dir: &Path, events: &EventLog) -> io::Result<()> {
        let path = path(state_dir);
        let new = events.since(self.written);
        let n_lines = self.n_lines + new.len();
        if self.path.as_ref() == Some(&path) && n_lines <= MAX_LINES {
            if new.is_empty() {
                return Ok(());
            }
            self.path = None;
            let mut file = OpenOptions::new().append(true).open(&path)?;
            file.write_all(&lines(&new)?)?;
            self.n_lines = n_lines;
            self.written = new.last().map_or(self.written, |last| last.seq);
        } else {
            self.path = None;
            let all = events.since(0);
            std::fs::create_dir_all(state_dir)?;
            files::replace(&path, &lines(&all)?)?;
            self.n_lines = all.len();
            self.written = all.last().map_or(0, |last| last.seq);
        }
        self.path = Some(path);
        Ok(())
    }
}

/// A line for each.
fn lines(records: &[Arc<Record>]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for record in records {
        serde_json::to_writer(&mut bytes, &**record)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::live::meters::Meters;

    fn log(kept: Vec<Record>) -> EventLog {
        EventLog::resume(kept, Meters::new().events)
    }

    fn push(log: &EventLog, n: usize) {
        for _ in 0..n {
            log.push(event!(info, PoolUp, [pool = "a"], [], "pool is up"));
        }
    }

    fn seqs(dir: &Path) -> Vec<u64> {
        read(dir).iter().map(|record| record.seq).collect()
    }

    fn n_lines(dir: &Path) -> usize {
        let text = fs::read_to_string(path(dir)).expect("a file");
        text.lines().count()
    }

    #[test]
    fn events_are_appended_and_the_file_stays_bounded() {
        let dir = tempfile::tempdir().expect("temp dir");
        let state_dir = dir.path().join("state");
        let (log, mut file) = (log(Vec::new()), EventFile::default());
        assert!(read(&state_dir).is_empty());
        push(&log, 2);
        file.write(&state_dir, &log).expect("write");
        let first = fs::read(path(&state_dir)).expect("a file");
        push(&log, 1);
        file.write(&state_dir, &log).expect("write");
        let second = fs::read(path(&state_dir)).expect("a file");
        assert!(second.starts_with(&first) && second.len() > first.len());
        assert_eq!(seqs(&state_dir), [1, 2, 3]);
        for _ in 0..3 {
            push(&log, 900);
            file.write(&state_dir, &log).expect("write");
            assert!(n_lines(&state_dir) <= MAX_LINES);
        }
        let kept = seqs(&state_dir);
        assert_eq!((kept.len(), kept.last()), (MAX_EVENTS, Some(&2703)));
    }

    #[test]
    fn a_torn_last_line_is_passed_over_and_written_over() {
        let dir = tempfile::tempdir().expect("temp dir");
        let first = log(Vec::new());
        push(&first, 3);
        EventFile::default()
            .write(dir.path(), &first)
            .expect("write");
        let whole = fs::read(path(dir.path())).expect("a file");
        for len in whole.len() - 80..whole.len() {
            fs::write(path(dir.path()), &whole[..len]).expect("write");
            assert_eq!(seqs(dir.path()), [1, 2], "{len}");
        }
        let next = log(read(dir.path()));
        push(&next, 1);
        EventFile::default()
            .write(dir.path(), &next)
            .expect("write");
        assert_eq!(seqs(dir.path()), [1, 2, 1003]);
    }

    #[test]
    fn garbage_costs_its_own_lines_only() {
        let dir = tempfile::tempdir().expect("temp dir");
        let first = log(Vec::new());
        push(&first, 2);
        EventFile::default()
            .write(dir.path(), &first)
            .expect("write");
        let text = fs::read_to_string(path(dir.path())).expect("a file");
        // The second copy has no numbers that rise.
        let spoilt = format!("\0\u{7f}\n{{}}\n{text}[1]\n\n{text}");
        fs::write(path(dir.path()), spoilt).expect("write");
        assert_eq!(seqs(dir.path()), [1, 2]);
    }

    #[test]
    fn what_a_full_disk_did_not_take_is_written_later() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (log, mut file) = (log(Vec::new()), EventFile::default());
        push(&log, 1);
        file.write(dir.path(), &log).expect("write");
        // Writing to that device fails as a full disk does.
        fs::remove_file(path(dir.path())).expect("remove");
        std::os::unix::fs::symlink("/dev/full", path(dir.path())).expect("link");
        push(&log, 1);
        let error = file.write(dir.path(), &log).expect_err("it is full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        push(&log, 1);
        file.write(dir.path(), &log).expect("there is room again");
        assert_eq!(seqs(dir.path()), [1, 2, 3]);
    }
}
