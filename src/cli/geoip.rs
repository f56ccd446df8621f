//! `geoip`: what a database holds, and how the embedded one is made.

use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use anyhow::Result;

use crate::base::date::Date;
use crate::base::diag::Report;
use crate::cli::geoip_diff;
use crate::cli::geoip_lookup;
use crate::cli::out;
use crate::daemon::files;
use crate::live::clock;
use crate::mmdb::country_db;
use crate::mmdb::info;

/// What to do with a database.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show what a database holds
    Info {
        /// An MMDB file
        file: PathBuf,
    },
    /// Show what a database says of addresses, and what Meridian makes of it
    Lookup {
        /// An MMDB file
        file: PathBuf,
        /// Addresses
        #[arg(required = true, value_name = "ADDR")]
        addresses: Vec<IpAddr>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare two location databases: how many addresses have another country, city or place
    Diff {
        /// An MMDB file
        old: PathBuf,
        /// Another one
        new: PathBuf,
        /// Coordinates that differ by more have moved
        #[arg(long, value_name = "N", default_value_t = 100.0)]
        km: f64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a country database from the text files of Debian's package tor-geoipdb
    Build {
        /// IPv4 ranges
        #[arg(long, value_name = "FILE", default_value = "/usr/share/tor/geoip")]
        ipv4: PathBuf,
        /// IPv6 ranges
        #[arg(long, value_name = "FILE", default_value = "/usr/share/tor/geoip6")]
        ipv6: PathBuf,
        /// The MMDB file to write
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
        /// The build date [default: that of the IPv4 file, else today]
        #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date)]
        date: Option<Date>,
    },
}

fn parse_date(text: &str) -> Result<Date, &'static str> {
    text.parse()
        .map_err(|_| "expected a day such as 2026-06-25")
}

/// Runs one of them.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Info { file } => {
            let bytes = files::read(&file, files::MAX_DATA_LEN)
                .with_context(|| file.display().to_string())?;
            let figures = info::figures(bytes).with_context(|| file.display().to_string())?;
            out::print(&figures.to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Lookup {
            file,
            addresses,
            json,
        } => geoip_lookup::run(&file, &addresses, json),
        Command::Diff { old, new, km, json } => geoip_diff::run(&old, &new, km, json),
        Command::Build {
            ipv4,
            ipv6,
            output,
            date,
        } => make(&ipv4, &ipv6, &output, date),
    }
}

fn make(ipv4: &Path, ipv6: &Path, output: &Path, date: Option<Date>) -> Result<ExitCode> {
    let text = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let name = |path: &Path| Arc::<str>::from(path.to_string_lossy());
    let (ipv4_text, ipv6_text) = (text(ipv4)?, text(ipv6)?);
    let epoch = date
        .map(|date| date.epoch())
        .or_else(|| country_db::generated(&ipv4_text))
        .unwrap_or_else(clock::unix);
    let mut report = Report::default();
    let database = country_db::build(
        (&name(ipv4), &ipv4_text),
        (&name(ipv6), &ipv6_text),
        epoch,
        &mut report,
    );
    if !report.to_string().is_empty() {
        out::complain(&report.to_string());
    }
    let Some(database) = database else {
        return Ok(ExitCode::FAILURE);
    };
    files::replace(output, &database)
        .with_context(|| format!("cannot write {}", output.display()))?;
    let date = Date::from_epoch(epoch);
    out::print(&format!(
        "{}: {} octets, built {date}\n",
        output.display(),
        database.len()
    ))?;
    Ok(ExitCode::SUCCESS)
}
