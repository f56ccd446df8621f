//! `replay`: what of a decision log another configuration would answer otherwise.
//!
//! Each line's question is asked of the engine. A decision differs if the pool that was answered is not among those that
//! would be, or if the response code differs; TTL, scope and the order of pools that answer together may change.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::bail;
use serde::Serialize;

use crate::base::rr::Rcode;
use crate::cli::lines::Lines;
use crate::cli::lines::MAX_SHOWN;
use crate::cli::offline::Offline;
use crate::cli::out;
use crate::cli::table;
use crate::engine::Scratch;
use crate::engine::decision;
use crate::querylog::line::Line;
use crate::state::counters::Counters;
use crate::state::snapshot::Snapshot;

/// How many decisions that differ are shown.
const MAX_EXAMPLES: usize = 10;

/// What is replayed.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The decision log (`[decisions] file`); `-` is stdin
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// Suppose that this pool is down; may be given again. All others are taken to be up
    #[arg(long, value_name = "POOL")]
    down: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Replays; exit code 1 if something differs.
pub fn run(config: &Path, options: &Options) -> Result<ExitCode> {
    let (_, snapshot) = match Offline::answering(config, &options.down) {
        Ok(answering) => answering,
        Err(code) => return Ok(code),
    };
    let path = &options.log;
    let context = || format!("cannot read {}", path.display());
    let mut lines = Lines::open(path).with_context(context)?;
    let mut replay = Replay::new(&snapshot);
    while let Some(text) = lines.next_full().with_context(context)? {
        if let Err(fault) = replay.line(lines.number(), &text) {
            replay.result.faults += 1;
            if replay.result.faults <= MAX_SHOWN {
                let number = lines.number();
                out::complain(&format!("{}:{number}: {fault}", path.display()));
            }
        }
    }
    let result = replay.finish();
    if result.decisions == 0 && result.faults > 0 {
        bail!("{} has no decision in it", path.display());
    }
    out::print(&match options.json {
        true => format!("{}\n", serde_json::to_string_pretty(&result)?),
        false => render(&result),
    })?;
    Ok(match result.differ {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// What came out.
#[derive(Debug, Default, Serialize)]
struct Replayed {
    /// Lines that were replayed.
    decisions: u64,
    /// Of these, those that would be answered otherwise.
    differ: u64,
    /// Of these, those that were not answered by the first pool of the client's order, so that health may be why.
    differ_from_later_pool: u64,
    /// Lines that could not be read.
    faults: u64,
    /// What differs, most decisions first.
    moves: Vec<Move>,
    /// Where the clients are whose decisions differ, most decisions first.
    countries: Vec<OfCountry>,
    /// The first decisions that differ.
    examples: Vec<Example>,
}

/// Decisions of a name that go from one pool to another.
#[derive(Debug, Serialize)]
struct Move {
    name: String,
    from: Option<String>,
    to: Option<String>,
    decisions: u64,
}

/// Decisions that differ, by the client's country; null if it could not be located.
#[derive(Debug, Serialize)]
struct OfCountry {
    country: Option<String>,
    decisions: u64,
}

/// A decision that differs.
#[derive(Debug, Serialize)]
struct Example {
    line: u64,
    name: String,
    r#type: String,
    client: String,
    country: Option<String>,
    from: Option<String>,
    to: Option<String>,
    rcode_before: String,
    rcode_now: String,
}

/// A log that is being replayed.
struct Replay<'a> {
    snapshot: &'a Snapshot,
    scratch: Scratch,
    response: Box<[u8]>,
    moves: BTreeMap<(String, Option<String>, Option<String>), u64>,
    countries: BTreeMap<Option<String>, u64>,
    result: Replayed,
}

impl<'a> Replay<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            scratch: Scratch::new(Arc::new(Counters::new(1)), 0),
            response: vec![0; usize::from(u16::MAX)].into(),
            moves: BTreeMap::new(),
            countries: BTreeMap::new(),
            result: Replayed::default(),
        }
    }

    /// Replays a line; an error says what is wrong with it.
    fn line(&mut self, number: u64, text: &str) -> Result<(), String> {
        let line: Line = serde_json::from_str(text).map_err(|error| {
            format!("is no decision, expected a line of [decisions] file: {error}")
        })?;
        let question = line.question().map_err(|error| error.to_string())?;
        let now = decision::ask(
            self.snapshot,
            &mut self.scratch,
            &question,
            &mut self.response,
        );
        let pools = &self.snapshot.plan.config.pools.pools;
        let mut names = now.pools.iter().filter_map(|pool| pools.get(pool.index()));
        let first = names.clone().next().map(|pool| pool.name.to_string());
        let is_same = match &line.pool {
            Some(before) => names.any(|pool| *pool.name == **before),
            None => first.is_none(),
        };
        self.result.decisions += 1;
        if !is_same || line.rcode != now.rcode.as_str() {
            self.differs(number, line, first, now.rcode);
        }
        Ok(())
    }

    fn differs(&mut self, number: u64, line: Line, to: Option<String>, rcode: Rcode) {
        self.result.differ += 1;
        self.result.differ_from_later_pool += u64::from(line.rank != Some(1));
        *self.countries.entry(line.country.clone()).or_default() += 1;
        let key = (line.name.clone(), line.pool.clone(), to.clone());
        *self.moves.entry(key).or_default() += 1;
        if self.result.examples.len() < MAX_EXAMPLES {
            self.result.examples.push(Example {
                line: number,
                name: line.name,
                r#type: line.r#type,
                client: line.client,
                country: line.country,
                from: line.pool,
                to,
                rcode_before: line.rcode,
                rcode_now: rcode.to_string(),
            });
        }
    }

    fn finish(self) -> Replayed {
        let moves = self
            .moves
            .into_iter()
            .map(|((name, from, to), decisions)| Move {
                name,
                from,
                to,
                decisions,
            });
        let countries = self.countries.into_iter();
        let countries = countries.map(|(country, decisions)| OfCountry { country, decisions });
        let mut result = Replayed {
            moves: moves.collect(),
            countries: countries.collect(),
            ..self.result
        };
        result
            .moves
            .sort_by_key(|of| std::cmp::Reverse(of.decisions));
        result
            .countries
            .sort_by_key(|of| std::cmp::Reverse(of.decisions));
        result
    }
}

/// The result for a person.
fn render(result: &Replayed) -> String {
    let mut text = format!(
        "{} decisions, {} would differ ({:.2} %)\n",
        result.decisions,
        result.differ,
        100.0 * result.differ as f64 / result.decisions.max(1) as f64
    );
    if result.differ_from_later_pool > 0 {
        text += &format!(
            "of these, {} were not answered by the first pool of the client's order: health may be why\n",
            result.differ_from_later_pool
        );
    }
    if result.faults > 0 {
        text += &format!("{} lines could not be read\n", result.faults);
    }
    if result.differ == 0 {
        return text;
    }
    let moves = result.moves.iter().map(|of| {
        let decisions = of.decisions.to_string();
        [of.name.clone(), pool(&of.from), pool(&of.to), decisions]
    });
    text += "\n";
    text += &table::lines(["name", "from", "to", "decisions"], &[3], moves);
    let countries = result.countries.iter().map(|of| {
        let country = of.country.clone().unwrap_or_else(|| "unknown".to_owned());
        [country, of.decisions.to_string()]
    });
    text += "\n";
    text += &table::lines(["country", "decisions"], &[1], countries);
    let examples = result.examples.iter().map(|example| {
        let place = example.country.as_deref().unwrap_or("unknown");
        let answer = |pool: &Option<String>, rcode: &str| match pool {
            Some(pool) => pool.clone(),
            None => format!("no pool, {rcode}"),
        };
        [
            example.line.to_string(),
            format!("{} {}", example.name, example.r#type),
            format!("{} ({place})", example.client),
            answer(&example.from, &example.rcode_before),
            answer(&example.to, &example.rcode_now),
        ]
    });
    text += "\n";
    text += &table::lines(["line", "question", "client", "from", "to"], &[0], examples);
    text
}

fn pool(name: &Option<String>) -> String {
    name.clone().unwrap_or_else(|| "no pool".to_owned())
}
