//! Floor 9: the command line.
//!
//! One file per command. Results go to stdout, errors to stderr; the exit code is 0 for fine, 1 for
//! "the answer is no", 2 for usage, 78 for refused configuration.

mod check;
mod demo;
mod diff;
mod doctor;
mod drain;
mod explain;
mod geoip;
mod geoip_diff;
mod geoip_lookup;
mod help;
mod import;
mod latency;
mod lines;
mod offline;
mod out;
mod progress;
mod reload;
mod remote;
mod replay;
mod serve;
mod shares;
mod shell;
mod simulate;
mod status;
mod table;
mod world;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap::FromArgMatches as _;
use clap::Parser;
use clap::Subcommand;

use crate::cli::out::Color;
use crate::fleet::nats::Role;
use crate::health::overrides::Forced;

/// The arguments make no sense.
const EXIT_USAGE: u8 = 2;

/// The configuration was refused (sysexits.h EX_CONFIG).
const EXIT_CONFIG: u8 = 78;

/// What is wrong with the configuration, for [`EXIT_CONFIG`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
struct ConfigRefused(String);

/// Where the configuration is looked for without `--config`, in this order.
const DEFAULT_CONFIGS: [&str; 2] = ["meridian.toml", "/etc/meridian/meridian.toml"];

/// An authoritative DNS server that answers with the nearest healthy region.
#[derive(Debug, Parser)]
#[command(name = "meridian", version, max_term_width = 100)]
struct Arguments {
    /// The process's configuration [default: MERIDIAN_CONFIG, then ./meridian.toml, then
    /// /etc/meridian/meridian.toml]
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// When to colour help and log lines
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    color: Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve,
    /// Probe what pools.toml says and report to the fleet; serves no DNS
    ///
    /// The configuration is that of `serve`, with a `[cluster]`; of the rest only `pools`, `state_dir`, `[admin]`,
    /// `[health]`, `[[vantage]]` and `[safety]` matter. Neither zones nor a GeoIP database are needed.
    Vantage,
    /// Run everything on loopback, with four regions to switch off and on
    Demo(demo::Options),
    /// Load everything as `serve` would and report every fault
    Check(check::Options),
    /// Explain why a client gets its answer
    Explain(explain::Options),
    /// Show which share of the world each pool serves, also with pools down
    Simulate(simulate::Options),
    /// Show what other files would change of what the running server serves
    Diff(diff::Options),
    /// Ask a zone's servers and its parent's, as resolvers do, and report what is wrong
    Doctor(doctor::Options),
    /// Show the running server's pools, endpoints, vantages and overrides
    Status(status::Options),
    /// Take a pool out of the answers; its probes go on
    Drain(drain::Options),
    /// Send a share of a pool's clients to their next pools
    Shed(drain::ShedOptions),
    /// Take a pool out for practice, if all others of its names can take its clients
    Drill(drain::DrillOptions),
    /// Have a pool count as up, whatever probes say
    Up(drain::HoldOptions),
    /// Have a pool count as down, whatever probes say
    Down(drain::HoldOptions),
    /// Clear the override of a pool: take it back in
    Undrain(drain::UndrainOptions),
    /// Have the running server read its files again; prints what changed, or every fault
    Reload(reload::Options),
    /// Have the running server go back to what it served before its last reload
    ///
    /// The files on disk stay as they are, and are served again once they change or `meridian reload` is run.
    Rollback(reload::RollbackOptions),
    /// Hold a decision log against the configuration: what would be answered otherwise
    Replay(replay::Options),
    /// Make pools.toml and zones from another system's configuration
    Import(import::Options),
    /// Make a table of round-trip times for policy latency
    #[command(subcommand)]
    Latency(latency::Command),
    /// Show what a GeoIP database holds, or make the embedded one
    #[command(subcommand)]
    Geoip(geoip::Command),
    /// Print the completions of a shell
    Completions(shell::CompletionsOptions),
    /// Write man pages into a folder
    Man(shell::ManOptions),
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let color = Color::of(std::env::args_os());
    let mut command = help::complete(Arguments::command()).color(color.of_help());
    let matches = command.clone().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let config = || config_path(arguments.config.as_deref());
    let result = match arguments.command {
        Command::Serve => serve::run(&config(), Role::NameServer, color),
        Command::Vantage => serve::run(&config(), Role::Vantage, color),
        Command::Demo(options) => demo::run(&options, color),
        Command::Check(options) => check::run(&config(), &options),
        Command::Explain(options) => explain::run(&config(), &options),
        Command::Diff(options) => diff::run(&config(), &options),
        Command::Simulate(options) => simulate::run(&config(), &options),
        Command::Doctor(options) => doctor::run(&config(), &options),
        Command::Status(options) => status::run(&config(), &options),
        Command::Drain(options) => drain::drain(&config(), &options),
        Command::Shed(options) => drain::shed(&config(), &options),
        Command::Drill(options) => drain::drill(&config(), &options),
        Command::Up(options) => drain::hold(&config(), &options, Forced::Up),
        Command::Down(options) => drain::hold(&config(), &options, Forced::Down),
        Command::Undrain(options) => drain::undrain(&config(), &options),
        Command::Reload(options) => reload::reload(&config(), &options),
        Command::Rollback(options) => reload::rollback(&config(), &options),
        Command::Replay(options) => replay::run(&config(), &options),
        Command::Import(options) => import::run(&options),
        Command::Latency(command) => latency::run(&config(), &command),
        Command::Geoip(command) => geoip::run(command),
        Command::Completions(options) => shell::completions(&mut command, &options),
        Command::Man(options) => shell::man(command, &options),
    };
    result.unwrap_or_else(|error| {
        // A reader that has seen enough is no fault.
        let is_broken_pipe = error.chain().any(|cause| {
            cause
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
        });
        if is_broken_pipe {
            return ExitCode::SUCCESS;
        }
        out::complain(&format!("meridian: {error:#}"));
        match error.is::<ConfigRefused>() {
            true => ExitCode::from(EXIT_CONFIG),
            false => ExitCode::FAILURE,
        }
    })
}

/// The file that `--config` or the environment names, or the first default that is there; if none is, the first, so that
/// the error names what was expected.
fn config_path(given: Option<&Path>) -> PathBuf {
    let named = out::variable("MERIDIAN_CONFIG").map(PathBuf::from);
    let mut defaults = DEFAULT_CONFIGS.iter().map(Path::new);
    given
        .or(named.as_deref())
        .or_else(|| defaults.find(|path| path.exists()))
        .unwrap_or(Path::new(DEFAULT_CONFIGS[0]))
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_contradicts_itself() {
        Arguments::command().debug_assert();
    }
}
