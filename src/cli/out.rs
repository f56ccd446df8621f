//! Writing to the two streams; the only place that does.

use std::io::Write;

use crate::base::diag::one_line;

/// Writes a result to stdout.
///
/// # Errors
/// If stdout cannot be written to, such as when its reader has gone.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes lines to stderr; if that fails, there is nowhere to report it. What a terminal would obey is
/// escaped: errors quote arguments, names and what other servers answer.
pub fn complain(text: &str) {
    let mut stderr = std::io::stderr().lock();
    for line in text.trim_end().lines() {
        let _ = writeln!(stderr, "{}", one_line(line));
    }
}
