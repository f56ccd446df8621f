//! SIGHUP before there is a handler for it, whose default is to end the process.

#![expect(unsafe_code, reason = "signal has no safe wrapper")]

/// Ignores SIGHUP until a handler is installed: what it asks for, the files are read anyway at the start.
pub fn ignore() {
    // SAFETY: sets the disposition of a signal, which may be done at any time, and runs no code of ours.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}
