//! Writing to the two streams; the only place that does.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::io::Write;

use clap::ValueEnum;

use crate::base::diag::one_line;

/// An environment variable that is there and not empty.
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// When to colour what a terminal shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

impl Color {
    /// What the arguments ask for; what cannot be read is reported when they are parsed.
    pub fn of(arguments: impl Iterator<Item = OsString>) -> Self {
        let mut arguments =
            arguments.skip_while(|argument| !argument.to_string_lossy().starts_with("--color"));
        let given = arguments.next().unwrap_or_default();
        let given = given.to_string_lossy().into_owned();
        let value = match given.strip_prefix("--color=") {
            Some(value) => value.to_owned(),
            None => arguments
                .next()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        };
        Self::from_str(&value, false).unwrap_or_default()
    }

    /// The same for the library that prints help.
    pub fn of_help(self) -> clap::ColorChoice {
        match self {
            Self::Auto => clap::ColorChoice::Auto,
            Self::Always => clap::ColorChoice::Always,
            Self::Never => clap::ColorChoice::Never,
        }
    }

    /// Whether to colour what goes to stderr.
    pub fn on_stderr(self) -> bool {
        match self {
            Self::Auto => std::io::stderr().is_terminal() && variable("NO_COLOR").is_none(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Writes a result to stdout.
///
/// # Errors
/// If stdout cannot be written to, such as when its reader has gone.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes lines to stderr; if that fails, there is nowhere to report it. What a terminal would obey is
/// escaped: errors quote arguments, names and what other servers answer.
pub fn complain(text: &str) {
    let mut stderr = std::io::stderr().lock();
    for line in text.trim_end().lines() {
        let _ = writeln!(stderr, "{}", one_line(line));
    }
}
