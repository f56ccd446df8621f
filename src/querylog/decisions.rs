//! The thread that writes the decision log.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::time::Instant;

use tracing::info;
use tracing::warn;

use crate::engine::decision::Decision;
use crate::engine::outcome::SteeredAnswer;
use crate::querylog::counters::Counters;
use crate::querylog::line::Line;
use crate::querylog::log_file::LogFile;
use crate::querylog::ring::Reader;
use crate::state::snapshot::Snapshot;

/// The length at which the file is rotated, in octets: about a million lines.
const MAX_FILE_LEN: u64 = 256 * 1024 * 1024;

/// How often to look whether the file was moved away.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Decisions of one ring that are written at once.
const BATCH: usize = 128;

/// A steered answer and the snapshot that it was made from, whose indexes it holds.
#[derive(Debug)]
pub(super) struct Steering {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) steered: SteeredAnswer,
    /// When, in milliseconds since 1970.
    pub(super) now_ms: u64,
}

/// Writes what is recorded.
pub(super) struct DecisionWriter {
    reader: Reader<Steering>,
    file: LogFile,
    /// The file as the configuration names it, for the log.
    path: Box<str>,
    is_moved: Arc<AtomicBool>,
    counters: Counters,
    lines: Vec<u8>,
    is_failing: bool,
}

impl DecisionWriter {
    /// `is_moved` is set by who wants the file opened anew.
    pub(super) fn new(
        reader: Reader<Steering>,
        path: &Path,
        is_moved: Arc<AtomicBool>,
        counters: Counters,
    ) -> Self {
        Self {
            reader,
            file: LogFile::new(path, MAX_FILE_LEN),
            path: path.display().to_string().into(),
            is_moved,
            counters,
            lines: Vec::new(),
            is_failing: false,
        }
    }

    /// Writes until the end.
    pub(super) fn run(mut self) {
        // Makes the file, so that a wrong path is reported at once.
        self.write(0);
        let mut looked = Instant::now();
        loop {
            let is_last = self.reader.is_stopping();
            if self.is_moved.swap(false, Relaxed) {
                self.file.close();
                self.write(0);
            } else if looked.elapsed() >= LOOK_EVERY {
                self.file.close_if_moved();
                looked = Instant::now();
            }
            match self.fill() {
                0 if is_last => return,
                0 => self.reader.wait(),
                n => self.write(n),
            }
        }
    }

    /// Makes lines of what has been recorded, and returns how many.
    fn fill(&mut self) -> u64 {
        let lines = &mut self.lines;
        let mut n = 0;
        self.reader.read(BATCH, |steering, _, response| {
            let snapshot = &*steering.snapshot;
            let Some(decision) = Decision::read(snapshot, &steering.steered, response) else {
                return;
            };
            let line = Line::of(&decision, snapshot, steering.now_ms / 1000);
            if serde_json::to_writer(&mut *lines, &line).is_ok() {
                lines.push(b'\n');
                n += 1;
            }
        });
        n
    }

    /// Appends the lines, of which there are `n`, to the file.
    fn write(&mut self, n: u64) {
        match self.file.append(&self.lines) {
            Ok(()) => {
                self.counters.written.inc_by(n);
                if self.is_failing {
                    info!(file = &*self.path, "decision log is written again");
                    self.is_failing = false;
                }
            }
            Err(error) => {
                self.counters.dropped.inc_by(n);
                if !self.is_failing {
                    warn!(
                        file = &*self.path, %error,
                        "decision log cannot be written; lines are dropped and counted until it can"
                    );
                    self.is_failing = true;
                }
            }
        }
        self.lines.clear();
    }
}
