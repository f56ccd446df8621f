//! `simulate`: which share of the world each pool serves, and who takes over where pools are down.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use anyhow::Result;
use rustc_hash::FxHashMap;

use crate::admin::census;
use crate::admin::census::Down;
use crate::admin::census::FamilySimulation;
use crate::admin::census::NameSimulation;
use crate::admin::census::Simulation;
use crate::base::diag::Report;
use crate::base::diag::did_you_mean;
use crate::base::ix::SteeredIx;
use crate::base::name::Name;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::census::Census;
use crate::census::Clients;
use crate::census::Compared;
use crate::census::weights;
use crate::cli::EXIT_CONFIG;
use crate::cli::EXIT_USAGE;
use crate::cli::offline::Offline;
use crate::cli::out;
use crate::cli::progress::Progress;
use crate::cli::shares;
use crate::cli::world;
use crate::daemon::files;
use crate::daemon::files::MAX_DATA_LEN;
use crate::state::answers::FamilyAnswers;
use crate::state::correspondence::Correspondence;
use crate::state::plan::Plan;
use crate::state::snapshot::Snapshot;

/// What is counted.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The steered name [default: all]
    name: Option<String>,
    /// Suppose that this pool is down, and show who takes over; may be given again
    #[arg(long, value_name = "POOL")]
    down: Vec<String>,
    /// Count these clients instead of all addresses: lines of PREFIX,COUNT
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write a map of the name's IPv4 clients, each country in the colour of the pool that serves most of it
    #[arg(long, value_name = "FILE", requires = "name")]
    svg: Option<PathBuf>,
}

/// Simulates.
pub fn run(config: &Path, options: &Options) -> Result<ExitCode> {
    let progress = Progress::new();
    let usage = |error: &str| {
        progress.end();
        out::complain(error);
        Ok(ExitCode::from(EXIT_USAGE))
    };
    let clients = match options.weights.as_deref().map(clients) {
        Some(Err(report)) => return usage(&report.to_string()),
        Some(Ok(clients)) => clients,
        None => Clients::World,
    };
    progress.begin("loading");
    let offline = match Offline::load(config) {
        Ok(offline) => offline,
        Err(report) => {
            progress.end();
            out::complain(&report.to_string());
            return Ok(ExitCode::from(EXIT_CONFIG));
        }
    };
    let names = match names(&offline.plan, options.name.as_deref()) {
        Ok(names) => names,
        Err(error) => return usage(&format!("meridian: {error}")),
    };
    let now = offline.snapshot(&[]);
    let down = match options.down.is_empty() {
        true => None,
        false => Some(offline.snapshot(&options.down)),
    };
    let (now, down) = match (now, down.transpose()) {
        (Ok(now), Ok(down)) => (now, down),
        (Err(error), _) | (_, Err(error)) => return usage(&format!("meridian: {error}")),
    };
    let simulator = Simulator::new(&now, down.as_ref(), &clients);
    let simulation = Simulation {
        down: options.down.clone(),
        names: simulator.names(&names, &progress),
    };
    progress.end();
    if let (Some(path), [name]) = (&options.svg, &*names) {
        let census = Census::of(down.as_ref().unwrap_or(&now), *name, Family::V4, &clients);
        std::fs::write(path, world::svg(&census)).with_context(|| path.display().to_string())?;
    }
    out::print(&match options.json {
        true => format!("{}\n", serde_json::to_string_pretty(&simulation)?),
        false => shares::render(&simulation.names, &simulation.down, &clients),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The names that are asked for.
fn names(plan: &Plan, name: Option<&str>) -> Result<Vec<SteeredIx>, String> {
    let steered = &plan.config.pools.steered;
    let Some(text) = name else {
        return match steered.is_empty() {
            true => Err("no name is steered: pools.toml has no [steer]".to_owned()),
            false => Ok((0..steered.len()).map(SteeredIx::new).collect()),
        };
    };
    let name = Name::parse(text).map_err(|error| format!("`{text}`: {error}"))?;
    match steered.iter().position(|steered| steered.owner == name) {
        Some(at) => Ok(vec![SteeredIx::new(at)]),
        None => {
            let known: Vec<_> = steered
                .iter()
                .map(|steered| steered.owner.plain())
                .collect();
            let hint = match did_you_mean(&name.plain(), known.iter().map(|name| &**name)) {
                Some(name) => format!("; did you mean `{name}`?"),
                None => String::new(),
            };
            Err(format!("no steered name is `{}`{hint}", name.plain()))
        }
    }
}

/// The clients of a file.
fn clients(path: &Path) -> Result<Clients, Report> {
    let mut report = Report::default();
    let file: Arc<str> = path.to_string_lossy().into();
    let text = files::read(path, MAX_DATA_LEN).map_err(|error| {
        let mut report = Report::default();
        report.error(
            files::place(path),
            format!("{error}, expected a readable file of clients"),
        );
        report
    })?;
    weights::read(&String::from_utf8_lossy(&text), &file, &mut report).ok_or(report)
}

/// The answers of a family, those with pools down, and whether client subnets count.
type Answers = (*const FamilyAnswers, Option<*const FamilyAnswers>, bool);

/// Counts names; those that are answered alike once.
struct Simulator<'a> {
    now: &'a Snapshot,
    down: Option<&'a Snapshot>,
    pools: Correspondence,
    clients: &'a Clients,
}

impl<'a> Simulator<'a> {
    fn new(now: &'a Snapshot, down: Option<&'a Snapshot>, clients: &'a Clients) -> Self {
        let pools = &now.plan.config.pools;
        Self {
            now,
            down,
            pools: Correspondence::between(pools, pools),
            clients,
        }
    }

    fn names(&self, names: &[SteeredIx], progress: &Progress) -> Vec<NameSimulation> {
        let mut known = FxHashMap::default();
        progress.count("names", names.len());
        let simulate = |name: &SteeredIx| {
            let families = PerFamily::from_fn(|family| {
                let answers = self.answers(*name, family);
                let made = known.entry((answers, family));
                made.or_insert_with(|| self.family(*name, family)).clone()
            });
            progress.step();
            NameSimulation {
                name: self.now.plan.steered(*name).owner.plain(),
                ipv4: families.v4,
                ipv6: families.v6,
            }
        };
        names.iter().map(simulate).collect()
    }

    fn answers(&self, name: SteeredIx, family: Family) -> Answers {
        let of =
            |snapshot: &Snapshot| Arc::as_ptr(&snapshot.steered[name.index()].families[family]);
        let ecs = self.now.plan.steered(name).ecs;
        (of(self.now), self.down.map(of), ecs)
    }

    fn family(&self, name: SteeredIx, family: Family) -> FamilySimulation {
        let shares = |snapshot| census::shares(&Census::of(snapshot, name, family, self.clients));
        let down = |down| {
            let compared = Compared {
                before: (self.now, name),
                after: (down, name),
                pools: &self.pools,
            };
            Down {
                shares: shares(down),
                moved: census::moves(&compared.moves(family, self.clients)),
            }
        };
        FamilySimulation {
            shares: shares(self.now),
            down: self.down.map(down),
        }
    }
}
