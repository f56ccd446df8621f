//! The logger: one line per event on stderr, with the time unless systemd adds its own.
//!
//! A thread of its own writes, so that a log that is full, closed or not read holds nobody up.

use std::env;
use std::fs::File;
use std::io;
use std::io::stderr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;
use tracing::Level;
use tracing::Metadata;
use tracing::warn;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::daemon::log_format::Format;
use crate::daemon::log_queue::LogQueue;
use crate::live::meters::Meters;

/// Environment variable with the lowest level that is logged.
const LEVEL_VARIABLE: &str = "MERIDIAN_LOG";

/// Its values.
const LEVELS: [(&str, Level); 4] = [
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
];

/// Octets of lines that may wait to be written.
const QUEUE_LEN: usize = 1024 * 1024;

/// How long unwritten lines may hold up the end.
const FLUSH_DEADLINE: Duration = Duration::from_millis(500);

/// The logger; when it is dropped, lines that wait are written, if stderr takes them soon.
pub struct Log(Arc<LogQueue>);

/// Counts the lines of this process that were dropped.
static DROPPED_LINES: LazyLock<IntCounter> = LazyLock::new(|| Meters::new().log_lines_dropped);

/// The counter of the lines that were dropped.
pub fn dropped_lines() -> IntCounter {
    DROPPED_LINES.clone()
}

impl Log {
    /// Sets the process's logger up, with colours or without; a second one in a process gets no lines.
    ///
    /// # Errors
    /// If there is no thread or file descriptor to be had.
    pub fn start(has_colors: bool) -> io::Result<Self> {
        let queue = Arc::new(LogQueue::new(QUEUE_LEN, dropped_lines()));
        // A descriptor of its own: `Stderr` has a lock, and whoever prints an error at the end would
        // wait for a write that waits for a reader.
        let out = File::from(stderr().as_fd().try_clone_to_owned()?);
        let written = Arc::clone(&queue);
        thread::Builder::new().name("log".into()).spawn(move || {
            written.write_to(out, |lines| {
                warn!(
                    lines,
                    "log lines were dropped: stderr could not be written to, or not fast enough"
                );
            })
        })?;
        let word = env::var_os(LEVEL_VARIABLE).filter(|word| !word.is_empty());
        let word = word.map(|word| word.to_string_lossy().into_owned());
        let level = word.as_deref().map(level);
        let lowest = level.flatten().unwrap_or(Level::INFO);
        // That library logs what it also returns, which is logged once by whoever gets it.
        let is_ours = move |line: &Metadata<'_>| {
            lowest == Level::DEBUG || !line.target().starts_with("kube_client")
        };
        let logger = fmt()
            .with_max_level(lowest)
            .with_writer(Arc::clone(&queue))
            .with_ansi(has_colors)
            .log_internal_errors(false)
            .event_format(Format {
                text: format().with_target(false).with_timer(Timer),
            })
            .finish()
            .with(filter_fn(is_ours));
        // An error only says that there is a logger already.
        let _ = logger.try_init();
        if level == Some(None) {
            let values = LEVELS.map(|(word, _)| word).join(", ");
            let value = word.unwrap_or_default();
            warn!(
                value,
                "{LEVEL_VARIABLE} is not a log level, expected one of {values}; logging from info on"
            );
        }
        Ok(Self(queue))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush(FLUSH_DEADLINE);
    }
}

/// A level by its name, in any case.
fn level(word: &str) -> Option<Level> {
    let found = LEVELS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word));
    found.map(|(_, level)| *level)
}

/// The time, unless the journal adds its own.
struct Timer;

impl FormatTime for Timer {
    fn format_time(&self, w: &mut format::Writer<'_>) -> std::fmt::Result {
        match env::var_os("JOURNAL_STREAM") {
            Some(_) => Ok(()),
            None => SystemTime.format_time(w),
        }
    }
}
