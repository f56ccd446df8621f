//! Meridian: an authoritative nameserver that answers with the nearest healthy region.
//!
//! One sentence: pure values at the bottom, one immutable snapshot in the middle, sockets at the edge.
//!
//! The modules below stand in order of their floors; a module imports only from lower ones, which
//! `tests/tidy.rs` holds. Floors 0 to 5 do no I/O, read no clock and start no task.
//!
//! Read in this order: [`engine`] (what an answer is), [`state`] (what it is made from), [`geo`] and
//! [`steer`] (who gets which), [`health`] (what is up), [`daemon::control`] (how changes get in), then
//! the edges. `ARCHITECTURE.md` follows a query, a probe and a reload through them, and says where each rule
//! is decided.

// Floor 0: words.
pub mod base;
// Floor 1: DNS bytes, MMDB files and latency tables; hostile input lives here.
pub mod latency;
pub mod mmdb;
pub mod wire;
// Floor 2: pure models and compilers.
pub mod geo;
pub mod health;
pub mod import;
pub mod map;
pub mod steer;
pub mod zone;
// Floor 3: what the operator wrote and what it means.
pub mod config;
// Floor 4: what is served.
pub mod state;
// Floor 5: query in, answer out; and who gets which.
pub mod census;
pub mod engine;
// Floor 6: what the running process shares, and what it logs of queries.
pub mod live;
pub mod querylog;
// Floor 7: sockets and tasks.
pub mod admin;
pub mod discovery;
pub mod doctor;
pub mod fetch;
pub mod fleet;
pub mod probe;
pub mod transport;
pub mod webhook;
// Floor 8: the process.
pub mod daemon;
// Floor 9: words for people.
pub mod cli;
