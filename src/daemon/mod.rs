//! the process.
