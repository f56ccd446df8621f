//! What is logged of queries: dnstap and the decision log.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// `[dnstap]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dnstap {
    /// Where the reader listens.
    pub reader: DnstapReader,
    /// The share of messages that is sent, above 0 and at most 1.
    pub sample: f64,
    /// What the messages call this server.
    pub identity: Box<str>,
}

/// Where a dnstap reader listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnstapReader {
    /// On a TCP port.
    Tcp(SocketAddr),
    /// On a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for DnstapReader {
    /// As it is written in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// `[decisions]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Decisions {
    /// The file that lines are appended to.
    pub file: PathBuf,
    /// The share of steered answers that is logged, above 0 and at most 1.
    pub sample: f64,
}
