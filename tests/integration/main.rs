//! The real program over real sockets, with real faults. One file per feature; `harness` starts servers
//! and backends on ports that the kernel gives, and waits for conditions, never for time.

#![expect(clippy::print_stderr, reason = "a failed test shows its server's log")]

mod harness;

mod answers;
mod cli;
mod doctor;
mod events;
mod faults;
mod fleet;
mod geoip_update;
mod health;
mod import;
mod latency;
mod limits;
mod log;
mod messages;
mod moves;
mod nats;
mod nats_server;
mod operators;
mod page;
mod protocol;
mod querylog;
mod reload;
mod replay;
mod resolver;
mod restart;
mod robustness;
mod rollback;
mod secondaries;
mod shares;
mod signals;
mod sources;
mod spill;
mod steering;
mod transfer;
mod ttl;
mod types;
mod updates;
mod vantage;
mod webhook;
mod xdp;
