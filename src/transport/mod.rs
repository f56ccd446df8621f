//! Floor 7: listeners. UDP by batch threads, past the kernel's stack where AF_XDP is on, and TCP by tasks, all
//! answered by the one engine.
//!
//! [`bind()`] opens every socket, so that a busy port is found before anything is served; only an address
//! that the machine does not have yet is left for later. [`Bound::serve`] starts the threads and tasks;
//! [`Serving::stop`] ends them after they have answered what was received. A query sees one snapshot, a
//! batch as a whole the same one. What clients send cannot fill the log: refused transfers and updates are
//! logged a bounded number of times, all else is counted.

#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod address_watch;
mod bind;
mod connections;
mod framing;
pub mod notify;
mod refusal_log;
mod responder;
mod serving;
mod starter;
mod stop;
mod tcp;
mod udp;
mod udp_sys;
mod updates;
mod xdp;

#[cfg(test)]
mod tests;

pub use self::bind::Bound;
pub use self::bind::TransportError;
pub use self::bind::advice;
pub use self::bind::bind;
pub use self::bind::is_absent;
pub use self::bind::n_shards;
pub use self::connections::TcpLimits;
pub use self::serving::Serving;
pub use self::serving::Settings;
pub use self::updates::Updates;
