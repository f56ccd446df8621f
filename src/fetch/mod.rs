//! Floor 7: files that are fetched from other people's HTTP servers.
//!
//! [`Client`] sends one conditional GET and follows its redirects, [`unpack`] takes the database out of what came. Neither
//! trusts the server: everything has a length and a time limit, and no path of an archive is used.

mod client;
pub mod unpack;

pub use client::Client;
pub use client::Credentials;
pub use client::Fetched;
pub use client::Limits;
pub use client::Request;
pub use client::Validators;
pub use client::origin;

use std::io;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection, no TLS, or the response ends early.
    #[error("{0}")]
    Network(Box<str>),
    /// The server took too long.
    #[error("not finished within {}s", .0.as_secs())]
    Timeout(Duration),
    /// Another status than 200 and 304.
    #[error("status {status}{}", advice(*.status))]
    Status {
        /// As in the response.
        status: u16,
        /// What its Retry-After asks for.
        retry_after: Option<Duration>,
    },
    /// A redirect that is not followed.
    #[error("redirects to {0}")]
    Redirect(Box<str>),
    /// More than the limit.
    #[error("more than the limit of {} MiB", .0 >> 20)]
    TooLong(u64),
    /// Neither a database nor an archive that holds one.
    #[error("{0}")]
    Archive(Box<str>),
    /// The local disk.
    #[error("cannot be written: {0}")]
    Disk(io::Error),
}

impl FetchError {
    /// How long the server asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What an operator can do about a status.
fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => ": the account's user, password, token or licence is not accepted",
        404 | 410 => ": no such file; a dated one may not have been published yet",
        429 => ": the account's limit of downloads is reached",
        _ => "",
    }
}
