//! `Offline`: what the files would answer, for commands that ask no server.
//!
//! Nothing is probed: all pools are up but those that are supposed to be down. Endpoints from sources are those that
//! the last run saved.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::base::diag::Report;
use crate::base::diag::did_you_mean;
use crate::cli::EXIT_CONFIG;
use crate::cli::EXIT_USAGE;
use crate::cli::check;
use crate::cli::out;
use crate::daemon::saved_sources;
use crate::health::overrides::Forced;
use crate::state::evidence::Evidence;
use crate::state::plan::Plan;
use crate::state::snapshot::Snapshot;
use crate::state::sources::Sources;

/// The files, loaded.
pub struct Offline {
    /// What they say.
    pub plan: Arc<Plan>,
    /// What named endpoints in the last run.
    pub sources: Sources,
}

impl Offline {
    /// Loads the files as `serve` would.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load(config: &Path) -> Result<Self, Report> {
        let (loaded, _) = check::load(config)?;
        let state_dir = loaded.plan.config.process.state_dir.as_deref();
        let sources = state_dir.map(saved_sources::peek).unwrap_or_default();
        Ok(Self {
            plan: loaded.plan,
            sources,
        })
    }

    /// The files and what is answered while some pools are down, with shorter scopes where answers are equal.
    ///
    /// # Errors
    /// The exit code, after the faults were printed.
    pub fn answering(config: &Path, down: &[String]) -> Result<(Self, Snapshot), ExitCode> {
        let offline = Self::load(config).map_err(|report| {
            out::complain(&report.to_string());
            ExitCode::from(EXIT_CONFIG)
        })?;
        let snapshot = offline.snapshot(down).map_err(|error| {
            out::complain(&format!("meridian: {error}"));
            ExitCode::from(EXIT_USAGE)
        })?;
        Ok((offline, snapshot.with_merged_tables()))
    }

    /// What is answered while some pools are down.
    ///
    /// # Errors
    /// A name that no pool has.
    pub fn snapshot(&self, down: &[String]) -> Result<Snapshot, String> {
        let config = &self.plan.config;
        let pools = &config.pools.pools;
        let unknown = |name: &&String| pools.iter().all(|pool| *pool.name != *name.as_str());
        if let Some(wrong) = down.iter().find(unknown) {
            let hint = match did_you_mean(wrong, pools.iter().map(|pool| &*pool.name)) {
                Some(name) => format!("; did you mean `{name}`?"),
                None => String::new(),
            };
            return Err(format!("no pool is named `{wrong}`{hint}"));
        }
        let is_down = |name: &str| down.iter().any(|other| other == name);
        let forced = pools
            .iter()
            .map(|pool| is_down(&pool.name).then_some(Forced::Down));
        let evidence = Evidence {
            members: self
                .sources
                .membership(&config.pools, &config.process.safety),
            forced: forced.collect(),
            ..Evidence::default()
        };
        Ok(Snapshot::build(Arc::clone(&self.plan), &evidence, 1, None))
    }
}
