//! `latency import`: a latency table of what others measure.
//!
//! Files are read line by line, and only medians leave the command: a client's address is cut to the prefix that it is
//! counted under before anything is kept. What cannot be read is counted, and the first few are shown.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::bail;

use crate::base::diag::Report;
use crate::base::diag::excerpt;
use crate::base::prefix::Family;
use crate::base::prefix::Prefix;
use crate::cli::EXIT_CONFIG;
use crate::cli::lines::Lines;
use crate::cli::lines::MAX_SHOWN;
use crate::cli::out;
use crate::config::units;
use crate::daemon::load::Loader;
use crate::daemon::load::Trigger;
use crate::geo::atlas::Atlas;
use crate::latency::aggregate::Aggregate;
use crate::latency::import::Format;
use crate::latency::import::From;
use crate::latency::import::Sample;
use crate::latency::import::To;
use crate::latency::import::json;
use crate::latency::import::log;
use crate::latency::key::Key;
use crate::latency::read;
use crate::live::clock;
use crate::mmdb::countries;

/// What to do with round-trip times.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a latency table from logs of web servers, beacons of browsers, RIPE Atlas and Globalping
    Import(Options),
}

/// What to read.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The files; `-` is stdin
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The pool that was measured, where a file does not say it
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// How the files are written [default: what the first line of each looks like]
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// Whom clients with an address are counted under; may be given again. All but `network` need the databases of the
    /// configuration
    #[arg(long, value_enum, default_value = "network")]
    by: Vec<Level>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FormatName {
    /// Lines with `client=`, `rtt_us=` and the like, of nginx and HAProxy
    Log,
    /// Beacons, RIPE Atlas, Globalping: one object a line, or a document
    Json,
    /// A latency table
    Csv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Level {
    /// The /24 or /56
    Network,
    Asn,
    Subdivision,
    Country,
}

/// Runs the command.
pub fn run(config: &Path, command: &Command) -> Result<ExitCode> {
    let Command::Import(options) = command;
    let known = match load(config, options)? {
        Ok(known) => known,
        Err(report) => {
            out::complain(&report.to_string());
            return Ok(ExitCode::from(EXIT_CONFIG));
        }
    };
    let mut importer = Importer {
        options,
        known,
        aggregate: Aggregate::default(),
        n_samples: 0,
        n_without_time: 0,
        n_faults: 0,
    };
    for path in &options.files {
        importer.file(path)?;
    }
    importer.finish()
}

/// What the configuration says.
#[derive(Default)]
struct Known {
    /// The pool of each endpoint; `None`: there is no configuration.
    pools: Option<HashMap<IpAddr, Box<str>>>,
    names: Vec<Box<str>>,
    atlas: Option<Arc<Atlas>>,
}

/// Loads the configuration, if there is one; the table in it, which may be about to be replaced, is not looked at.
fn load(config: &Path, options: &Options) -> Result<Result<Known, Report>> {
    if !config.exists() {
        if options.by.iter().any(|level| *level != Level::Network) {
            bail!(
                "--by needs the databases of a configuration, and {} is not there",
                config.display()
            );
        }
        return Ok(Ok(Known::default()));
    }
    let mut loader = Loader::new(config, |_| 1).without_latency();
    let plan = match loader.load(None, &Trigger::Asked) {
        Ok(loaded) => loaded.plan,
        Err(report) => return Ok(Err(report)),
    };
    let pools = &plan.config.pools.pools;
    if let Some(pool) = options
        .pool
        .as_ref()
        .filter(|pool| pools.iter().all(|p| *p.name != ***pool))
    {
        bail!("no pool is named `{pool}`");
    }
    let endpoints = pools.iter().flat_map(|pool| {
        let endpoints = pool.endpoints.iter();
        endpoints.map(|endpoint| (endpoint.address, pool.name.clone()))
    });
    Ok(Ok(Known {
        pools: Some(endpoints.collect()),
        names: pools.iter().map(|pool| pool.name.clone()).collect(),
        atlas: Some(Arc::clone(&plan.atlas)),
    }))
}

struct Importer<'a> {
    options: &'a Options,
    known: Known,
    aggregate: Aggregate,
    n_samples: u64,
    n_without_time: u64,
    n_faults: u64,
}

impl Importer<'_> {
    fn file(&mut self, path: &Path) -> Result<()> {
        let context = || format!("cannot read {}", path.display());
        let mut lines = Lines::open(path).with_context(context)?;
        let written = lines.written;
        let Some(first) = lines.next_full().with_context(context)? else {
            return Ok(());
        };
        let format = match self.options.format {
            Some(FormatName::Log) => Format::Log,
            Some(FormatName::Json) => Format::Json,
            Some(FormatName::Csv) => Format::Csv,
            None => Format::detect(&first).with_context(|| {
                format!(
                    "{}: cannot tell how it is written, give --format",
                    path.display()
                )
            })?,
        };
        match format {
            Format::Log => self.lines(path, first, &mut lines, Self::log_line),
            Format::Json if is_document(&first) => self.document(path, first, lines),
            Format::Json => self.lines(path, first, &mut lines, Self::json_line),
            Format::Csv => {
                let written = written.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
                self.table(path, first, lines, written.map(|at| at.as_secs()))
            }
        }
    }

    fn lines(
        &mut self,
        path: &Path,
        first: String,
        lines: &mut Lines,
        read: impl Fn(&mut Self, &str) -> Result<(), String>,
    ) -> Result<()> {
        let mut line = Some(first);
        while let Some(text) = line {
            if let Err(fault) = read(self, &text) {
                self.fault(path, lines.number(), &fault);
            }
            line = lines
                .next_full()
                .with_context(|| format!("cannot read {}", path.display()))?;
        }
        Ok(())
    }

    fn log_line(&mut self, text: &str) -> Result<(), String> {
        match log::line(text)? {
            Some(sample) => self.take(&sample),
            None => {
                self.n_without_time += 1;
                Ok(())
            }
        }
    }

    fn json_line(&mut self, text: &str) -> Result<(), String> {
        let mut first_fault = Ok(());
        json::text(text, &mut |sample| {
            if let Err(fault) = self.take(&sample)
                && first_fault.is_ok()
            {
                first_fault = Err(fault);
            }
        })?;
        first_fault
    }

    /// A JSON document of several lines.
    fn document(&mut self, path: &Path, first: String, lines: Lines) -> Result<()> {
        let text = lines
            .rest(first)
            .with_context(|| format!("cannot read {}", path.display()))?;
        if let Err(fault) = self.json_line(&text) {
            self.fault(path, 1, &fault);
        }
        Ok(())
    }

    fn table(
        &mut self,
        path: &Path,
        first: String,
        lines: Lines,
        written: Option<u64>,
    ) -> Result<()> {
        let text = lines
            .rest(first)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let context = read::Context {
            file: &path.to_string_lossy().into(),
            written: written.unwrap_or_else(clock::unix),
            is_country: &|country| countries::country(country).is_some(),
        };
        let mut report = Report::default();
        let Some((rows, pools)) = read::rows(&text, &context, &mut report) else {
            bail!("{}", report.to_string().trim_end());
        };
        for row in rows {
            let sample = Sample {
                from: From::Keys(vec![row.key]),
                to: To::Pool(pools[row.pool as usize].clone()),
                rtt_ms: row.rtt_ms,
                n: row.samples.unwrap_or(1),
                measured: row.measured,
            };
            if let Err(fault) = self.take(&sample) {
                self.fault(path, 1, &fault);
            }
        }
        Ok(())
    }

    /// Counts a sample under each of its keys.
    fn take(&mut self, sample: &Sample) -> Result<(), String> {
        let pool = self
            .known
            .pool(&sample.to, self.options.pool.as_deref())?
            .to_owned();
        let keys = match &sample.from {
            From::Address(address) => self.known.keys(*address, &self.options.by),
            From::Keys(keys) => keys.iter().copied().map(cut).collect(),
        };
        for key in keys {
            self.aggregate
                .add(key, &pool, sample.rtt_ms, sample.n, sample.measured);
        }
        self.n_samples += u64::from(sample.n);
        Ok(())
    }

    fn fault(&mut self, path: &Path, line: u64, fault: &str) {
        self.n_faults += 1;
        if self.n_faults <= MAX_SHOWN {
            out::complain(&format!("{}:{line}: {fault}", path.display()));
        }
    }

    fn finish(self) -> Result<ExitCode> {
        let mut summary = format!("{} samples", self.n_samples);
        for (n, what) in [
            (self.n_without_time, "lines without a time"),
            (self.n_faults, "lines at fault"),
            (
                self.aggregate.n_dropped(),
                "samples left out: too many pairs of client and pool",
            ),
        ] {
            if n > 0 {
                summary += &format!(", {n} {what}");
            }
        }
        out::complain(&summary);
        if self.aggregate.is_empty() {
            return Ok(ExitCode::FAILURE);
        }
        out::print(&self.aggregate.into_csv())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Known {
    /// The pool that was measured; without a configuration, any name that one could have.
    fn pool<'a>(&'a self, to: &'a To, given: Option<&'a str>) -> Result<&'a str, String> {
        match to {
            To::Pool(name) => {
                let is_known = match &self.pools {
                    Some(_) => self.names.contains(name),
                    None => units::plain_name(name).is_some(),
                };
                match is_known {
                    true => Ok(name),
                    false => Err(format!("`{}` is the name of no pool", excerpt(name))),
                }
            }
            To::Address(address) => {
                let of_endpoint = self.pools.as_ref().and_then(|pools| pools.get(address));
                let pool = of_endpoint.map(|name| &**name).or(given);
                pool.ok_or_else(|| format!("{address} is the address of no endpoint, give --pool"))
            }
            To::Unsaid => given.ok_or_else(|| "does not say which pool, give --pool".to_owned()),
        }
    }

    /// What a client is counted under.
    fn keys(&self, address: IpAddr, by: &[Level]) -> Vec<Key> {
        let location = self.atlas.as_ref().map(|atlas| atlas.locate(address).0);
        let location = location.unwrap_or_default();
        let key = |level: &Level| match level {
            Level::Network => Some(cut(Key::Network(Prefix::host(address)))),
            Level::Asn => location.asn.map(Key::Asn),
            Level::Subdivision => location.subdivisions.first().copied().map(Key::Subdivision),
            Level::Country => location.country.map(Key::Country),
        };
        by.iter().filter_map(key).collect()
    }
}

/// A key that is about no single client: networks have at most 24 or 56 bits.
fn cut(key: Key) -> Key {
    match key {
        Key::Network(network) => Key::Network(network.truncated(match network.family() {
            Family::V4 => 24,
            Family::V6 => 56,
        })),
        other => other,
    }
}

/// Whether a line of JSON is only the beginning of a document.
fn is_document(first: &str) -> bool {
    let parsed: Result<serde::de::IgnoredAny, _> = serde_json::from_str(first);
    parsed.is_err_and(|error| error.is_eof())
}
