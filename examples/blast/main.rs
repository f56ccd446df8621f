//! Loads a nameserver with address queries from many client subnets, or is the echo to compare it with.
//!
//! `cargo run --release --example blast -- load --help` and `… -- echo --help` say how. Generators for
//! resolvers saturate before a fast authoritative server does: this one prepares all queries, sends and
//! receives by the batch over many sockets, and keeps a closed window of unanswered queries or a fixed
//! rate. What it prints is one line of `key=value`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is what the example is for"
)]

use std::process::ExitCode;

use clap::Parser;
use clap::Subcommand;

mod batch_sys;
mod cores;
mod echo;
mod flow;
mod load;
mod queries;
#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, reason = "no plan is made here")]
mod support;
mod usage;

#[derive(Parser)]
#[command(about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send queries and measure the answers
    Load(load::Load),
    /// Send each message back, longer by some octets: what the kernel's sockets can do at best
    Echo(echo::Echo),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Load(load) => load.run().map(|report| println!("{report}")),
        Command::Echo(echo) => echo.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("blast: {error}");
            ExitCode::FAILURE
        }
    }
}
