//! The logger: one line per event on stderr, with the time unless systemd adds its own.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::time::SystemTime;

/// Environment variable with the lowest level that is logged: `error`, `warn`, `info` or `debug`.
const LEVEL_VARIABLE: &str = "MERIDIAN_LOG";

/// Sets the logger up, once per process; a second call changes nothing.
pub fn init() {
    let level = std::env::var(LEVEL_VARIABLE)
        .ok()
        .and_then(|word| word.parse().ok());
    let builder = fmt()
        .with_max_level(level.unwrap_or(Level::INFO))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_timer(Timer);
    // An error only says that there is a logger already.
    let _ = builder.try_init();
}

/// The time, where nobody else tells it.
struct Timer;

impl FormatTime for Timer {
    fn format_time(&self, w: &mut fmt::format::Writer<'_>) -> std::fmt::Result {
        match std::env::var_os("JOURNAL_STREAM") {
            Some(_) => Ok(()),
            None => SystemTime.format_time(w),
        }
    }
}
