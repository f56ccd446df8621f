//! What `--help` says below the options of each command: examples and exit codes. `-h` leaves it out.

use clap::Command;

/// A command, examples of it, and what its exit codes mean.
type Entry = (&'static str, &'static [&'static str], &'static str);

/// Where nothing is asked that could be answered by no.
const DONE: &str = "0 done, 1 not done, 2 usage";

/// The same for commands that need the configuration.
const DONE_BY_CONFIG: &str = "0 done, 1 not done, 2 usage, 78 configuration refused";

/// All commands; a test holds this table and the commands together.
const ENTRIES: &[Entry] = &[
    (
        "serve",
        &[
            "meridian serve",
            "meridian -c /etc/meridian/meridian.toml serve",
        ],
        "0 ended by a signal, 1 cannot start, 2 usage, 78 configuration refused",
    ),
    (
        "vantage",
        &["meridian -c tokyo.toml vantage"],
        "0 ended by a signal, 1 cannot start, 2 usage, 78 configuration refused",
    ),
    ("demo", &["meridian demo"], DONE),
    (
        "check",
        &[
            "meridian check",
            "meridian check --deny-warnings",
            "meridian check --json | jq .faults",
        ],
        "0 no faults, 1 faults (with --deny-warnings also warnings), 2 usage",
    ),
    (
        "explain",
        &[
            "meridian explain app.example.com --client 192.0.2.0/24",
            "meridian explain app.example.com --client 192.0.2.0/24 --down us-west",
            "meridian explain app.example.com --live --json",
        ],
        "0 answered, 1 no answer of that type, 2 usage, 78 configuration refused",
    ),
    (
        "simulate",
        &[
            "meridian simulate app.example.com",
            "meridian simulate --down us-west --json",
        ],
        DONE_BY_CONFIG,
    ),
    (
        "diff",
        &[
            "meridian diff",
            "meridian diff /etc/meridian/next.toml --json",
        ],
        "0 compared, 1 faults or no answer, 2 usage, 78 configuration refused",
    ),
    (
        "doctor",
        &["meridian doctor example.com"],
        "0 nothing wrong, 1 something wrong, 2 usage, 78 configuration refused",
    ),
    (
        "status",
        &[
            "meridian status",
            "meridian status --fleet",
            "meridian status --server ns2.example.com --json",
        ],
        "0 ready, 1 not ready or no answer, 2 usage, 78 configuration refused",
    ),
    (
        "drain",
        &[
            "meridian drain us-west --for 2h --reason \"kernel upgrade\"",
            "meridian drain us-west --in 5m",
        ],
        DONE_BY_CONFIG,
    ),
    (
        "shed",
        &["meridian shed us-west 20% --for 1h"],
        DONE_BY_CONFIG,
    ),
    (
        "drill",
        &["meridian drill us-west --for 10m"],
        DONE_BY_CONFIG,
    ),
    (
        "up",
        &["meridian up us-west --for 30m --reason \"monitor is wrong\""],
        DONE_BY_CONFIG,
    ),
    (
        "down",
        &["meridian down us-west --reason \"data is stale\""],
        DONE_BY_CONFIG,
    ),
    ("undrain", &["meridian undrain us-west"], DONE_BY_CONFIG),
    (
        "reload",
        &["meridian reload", "meridian reload --force"],
        "0 reloaded, 1 refused or no answer, 2 usage, 78 configuration refused",
    ),
    (
        "rollback",
        &["meridian rollback"],
        "0 rolled back, 1 refused or no answer, 2 usage, 78 configuration refused",
    ),
    (
        "replay",
        &[
            "meridian replay decisions.jsonl",
            "meridian -c new.toml replay decisions.jsonl",
        ],
        "0 nothing differs, 1 something differs, 2 usage, 78 configuration refused",
    ),
    ("import", &["meridian import octodns config.yaml"], DONE),
    (
        "latency",
        &["meridian latency import measurements.csv"],
        DONE_BY_CONFIG,
    ),
    (
        "geoip",
        &[
            "meridian geoip info GeoLite2-City.mmdb",
            "meridian geoip lookup GeoLite2-City.mmdb 192.0.2.1 2001:db8::1",
            "meridian geoip diff old.mmdb new.mmdb --km 50",
        ],
        DONE,
    ),
    (
        "completions",
        &["meridian completions bash > /etc/bash_completion.d/meridian"],
        DONE,
    ),
    ("man", &["meridian man /usr/local/share/man/man1"], DONE),
];

/// Adds examples and exit codes to the long help of every command.
pub fn complete(command: Command) -> Command {
    ENTRIES
        .iter()
        .fold(command, |command, (name, examples, codes)| {
            let examples: String = examples.iter().map(|line| format!("  {line}\n")).collect();
            let text = format!("Examples:\n{examples}\nExit codes: {codes}");
            command.mut_subcommand(name, |command| command.after_long_help(text))
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Arguments;

    #[test]
    fn every_command_has_examples_that_are_understood() {
        let commands = Arguments::command();
        let commands: BTreeSet<&str> = commands.get_subcommands().map(Command::get_name).collect();
        let entries: BTreeSet<&str> = ENTRIES.iter().map(|(name, ..)| *name).collect();
        assert_eq!(entries, commands);
        for (name, examples, _) in ENTRIES {
            for example in *examples {
                // As far as the shell gives it to the program.
                let words = example.split(['|', '>']).next().unwrap_or_default();
                let words = words.replace("\"kernel upgrade\"", "why");
                let words = words.replace("\"monitor is wrong\"", "why");
                let words = words.replace("\"data is stale\"", "why");
                let parsed = Arguments::command().try_get_matches_from(words.split_whitespace());
                let parsed = parsed.unwrap_or_else(|error| panic!("{example}: {error}"));
                assert_eq!(parsed.subcommand_name(), Some(*name), "{example}");
            }
        }
    }

    #[test]
    fn help_is_as_it_was_looked_at() {
        let command = complete(Arguments::command()).term_width(100);
        let mut root = command.clone();
        insta::assert_snapshot!("meridian", root.render_long_help().to_string());
        for mut command in command.get_subcommands().cloned() {
            let name = command.get_name().to_owned();
            command = command.term_width(100);
            let (short, long) = (command.render_help(), command.render_long_help());
            insta::assert_snapshot!(name, format!("{short}\n---\n\n{long}"));
        }
    }
}
