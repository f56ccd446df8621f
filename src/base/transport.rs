//! `Transport`: how a query came.

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram.
    Udp,
    /// A message on a stream.
    Tcp,
}

impl Transport {
    /// All, in index order.
    pub const ALL: [Self; 2] = [Self::Udp, Self::Tcp];

    /// The metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}
