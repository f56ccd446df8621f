//! Writing to the two streams; the only place that does.

use std::io::Write;

/// Writes a result to stdout.
///
/// # Errors
/// If stdout cannot be written to, such as when its reader has gone.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes a line to stderr; if that fails, there is nowhere to report it.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", line.trim_end());
}
