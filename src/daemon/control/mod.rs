//! The control loop: the one owner of verdicts, overrides and plan, and the only publisher.
//!
//! Everything that can change an answer arrives here as an event and leaves as a snapshot: probe
//! results, operators' requests, edited files, merged tables that the background has finished. Events
//! are taken one by one, so no change can be lost to another. What takes long (loading, merging, writing
//! state) runs on blocking threads and comes back as an event.

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::base::diag::Report;
use crate::base::health::Health;
use crate::base::lock::read;
use crate::base::lock::write;
use crate::config::model::Endpoint;
use crate::daemon::files::FileSet;
use crate::daemon::load::Loaded;
use crate::daemon::load::Loader;
use crate::daemon::memory::retire;
use crate::daemon::saved;
use crate::daemon::saved::State;
use crate::geo::answer_table::AnswerTable;
use crate::health::health_table::Flip;
use crate::health::health_table::HealthTable;
use crate::health::observation::Observation;
use crate::health::overrides::Override;
use crate::health::overrides::Overrides;
use crate::live::LastReload;
use crate::live::Live;
use crate::live::clock::Clock;
use crate::live::clock::unix;
use crate::live::request::Request;
use crate::probe::pairs;
use crate::probe::schedule::Prober;
use crate::state::build::Evidence;
use crate::state::build::MergeJob;
use crate::state::build::merge_tables;
use crate::state::plan::Plan;
use crate::state::snapshot::Snapshot;
use crate::transport::notify::Notifier;
use crate::transport::notify::warn_of_stale_serials;

/// How often files are looked at. A change is taken up when two looks in a row find the same new
/// state, so that an edit is in force within a second and a file being written is left alone.
const WATCH_INTERVAL: Duration = Duration::from_millis(400);

/// How often old reports and overrides are looked through.
const TICK_INTERVAL: Duration = Duration::from_secs(1);

/// The most faults of a refused reload that are logged; all of them are on the status page.
const MAX_LOGGED_FAULTS: usize = 20;

/// The health_table's view of a plan: every endpoint that has a monitor, by the vantages that can reach it.
pub fn health_table(plan: &Plan) -> HealthTable {
    let process = &plan.config.process;
    let pairs = pairs(&plan.config.pools, &process.vantages);
    let watched = pairs.into_iter().map(|pair| (pair.target, pair.vantage));
    HealthTable::new(watched, process.report_max_age)
}

/// What the health_table and the operators say of a plan's pools.
pub fn evidence(plan: &Plan, health_table: &HealthTable, overrides: &Overrides) -> Evidence {
    let pools = &plan.config.pools.pools;
    let endpoints = pools.iter().map(|pool| {
        let health = |e: &Endpoint| health_table.health(&pool.name, e.address);
        pool.endpoints.iter().map(health).collect()
    });
    let forced = pools
        .iter()
        .map(|pool| overrides.of(&pool.name).map(|word| word.state));
    Evidence {
        endpoints: endpoints.collect(),
        forced: forced.collect(),
    }
}

/// Something that a blocking thread has finished.
enum Finished {
    /// The files as they are on disk now.
    Looked(FileSet),
    /// A load, with the loader given back.
    Loaded(Box<Loader>, Box<Result<Loaded, Report>>),
    /// State was written, or not.
    Saved(std::io::Result<()>),
    /// Merged tables.
    Merged(Vec<(MergeJob, Arc<AnswerTable>)>),
}

/// Who waits for a reload.
type Waiting = oneshot::Sender<Result<Report, Report>>;

/// The loop's state.
pub struct Control {
    live: Arc<Live>,
    clock: Clock,
    prober: Prober,
    /// `None` while a load runs.
    loader: Option<Box<Loader>>,
    /// What the latest load looked at.
    seen: FileSet,
    /// What the latest look found, if it differs from that.
    changed: Option<FileSet>,
    is_looking: bool,
    waiting: Vec<Waiting>,
    /// Those who asked while a load was running: it may have read before their edit.
    waiting_next: Vec<Waiting>,
    is_merging: bool,
    is_saving: bool,
    is_unsaved: bool,
    finished: mpsc::UnboundedSender<Finished>,
    generation: u64,
    notifier: Notifier,
}

/// The events that come from outside.
pub struct Events {
    /// Finished probes.
    pub observations: mpsc::Receiver<Observation>,
    /// Requests of the admin API and of signals.
    pub requests: mpsc::Receiver<Request>,
    /// Ends the loop.
    pub stop: tokio::sync::watch::Receiver<bool>,
}

impl Control {
    /// Takes over a process whose first snapshot is published, and starts probing.
    pub fn start(
        live: Arc<Live>,
        clock: Clock,
        prober: Prober,
        loader: Loader,
        events: Events,
    ) -> JoinHandle<()> {
        let (finished, finishing) = mpsc::unbounded_channel();
        let mut control = Self {
            generation: live.publisher.current().generation,
            notifier: Notifier::new(live.meters.notifies.clone()),
            live,
            clock,
            prober,
            seen: loader.seen().clone(),
            loader: Some(Box::new(loader)),
            changed: None,
            is_looking: false,
            waiting: Vec::new(),
            waiting_next: Vec::new(),
            is_merging: false,
            is_saving: false,
            is_unsaved: false,
            finished,
        };
        control.probe_plan();
        control
            .notifier
            .notify(&control.live.publisher.current().plan);
        tokio::spawn(control.run(events, finishing))
    }

    async fn run(mut self, mut events: Events, mut finishing: mpsc::UnboundedReceiver<Finished>) {
        let mut tick = interval(TICK_INTERVAL);
        let mut watch = interval(WATCH_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(observation) = events.observations.recv() => {
                    self.observe(observation, &mut events.observations);
                }
                Some(request) = events.requests.recv() => self.request(request),
                Some(finished) = finishing.recv() => self.finish(finished),
                _ = tick.tick() => self.tick(),
                _ = watch.tick() => self.look(),
                _ = stopped(&mut events.stop) => break,
            }
        }
        self.save_at_the_end();
    }

    /// Takes a finished probe and all that wait behind it, and publishes once for all of them.
    fn observe(&mut self, first: Observation, rest: &mut mpsc::Receiver<Observation>) {
        let started = Instant::now();
        let now = self.clock.now();
        let mut flips = Vec::new();
        let mut health_table = write(&self.live.health_table);
        let mut next = Some(first);
        while let Some(observation) = next {
            // A probe that was in flight over a reload must not bring back a pool's series.
            if health_table.watches(&observation) {
                self.live.meters.probe(&observation);
            }
            flips.extend(health_table.observe(&observation, now));
            next = rest.try_recv().ok();
        }
        // Counted only until it is known: thousands of endpoints report every few milliseconds.
        if !self.live.is_ready.load(Relaxed) && health_table.n_awaited() == 0 {
            self.live.is_ready.store(true, Relaxed);
            info!("ready: the first round of probes is in");
        }
        drop(health_table);
        self.flipped(&flips, started);
    }

    fn tick(&mut self) {
        let started = Instant::now();
        let now = self.clock.now();
        let flips = write(&self.live.health_table).tick(now);
        self.flipped(&flips, started);
        let ended = write(&self.live.overrides).expire(now.unix);
        for pool in &ended {
            info!(%pool, "override ended by itself");
        }
        if !ended.is_empty() {
            self.publish(started);
            self.save();
        }
    }

    fn flipped(&mut self, flips: &[Flip], started: Instant) {
        for flip in flips {
            let (pool, endpoint) = (&flip.target.pool, flip.target.address);
            match flip.to {
                Health::Down => warn!(%pool, %endpoint, "endpoint is down"),
                Health::Up if flip.from == Health::Down => {
                    info!(%pool, %endpoint, "endpoint is up");
                }
                Health::Up | Health::Unknown => {}
            }
        }
        if flips.iter().any(Flip::moves_traffic) {
            self.publish(started);
        }
        if !flips.is_empty() {
            self.save();
        }
    }

    fn request(&mut self, request: Request) {
        let started = Instant::now();
        match request {
            Request::Reload { reply } => self.reload(Some(reply)),
            Request::SetOverride { pool, word, reply } => {
                self.log_override(&pool, &word);
                write(&self.live.overrides).set(&pool, word);
                self.publish(started);
                self.save();
                // Nobody may be waiting any more.
                let _ = reply.send(());
            }
            Request::ClearOverride { pool, reply } => {
                let was_there = write(&self.live.overrides).clear(&pool);
                if was_there {
                    info!(%pool, "override taken back");
                    self.publish(started);
                    self.save();
                }
                let _ = reply.send(was_there);
            }
        }
    }

    fn log_override(&self, pool: &str, word: &Override) {
        let (state, reason) = (word.state.as_str(), &*word.reason);
        let seconds = word.until.map(|until| until.saturating_sub(unix()));
        info!(pool, state, reason, ?seconds, "override set");
    }

    /// Publishes what plan, health_table and overrides say now.
    fn publish(&mut self, started: Instant) {
        let before = self.live.publisher.current();
        self.publish_plan(Arc::clone(&before.plan), started);
    }

    fn publish_plan(&mut self, plan: Arc<Plan>, started: Instant) {
        let before = self.live.publisher.current();
        self.generation += 1;
        let evidence = evidence(
            &plan,
            &read(&self.live.health_table),
            &read(&self.live.overrides),
        );
        let snapshot = Snapshot::build(plan, &evidence, self.generation, Some(&before));
        retire::replace(&self.live.publisher, snapshot);
        self.live.meters.published(started.elapsed());
        self.merge();
    }

    /// Has the missing merged tables made, one batch at a time.
    fn merge(&mut self) {
        if self.is_merging {
            return;
        }
        let jobs = self.live.publisher.current().missing_merges();
        if !jobs.is_empty() {
            self.is_merging = true;
            self.in_background(move || Finished::Merged(merge_tables(jobs)));
        }
    }

    fn look(&mut self) {
        if !self.is_looking && self.loader.is_some() {
            self.is_looking = true;
            let seen = self.seen.clone();
            self.in_background(move || Finished::Looked(seen.now()));
        }
    }

    fn finish(&mut self, finished: Finished) {
        match finished {
            Finished::Looked(found) => self.looked(found),
            Finished::Loaded(loader, result) => self.loaded(loader, *result),
            Finished::Saved(result) => {
                self.is_saving = false;
                if let Err(error) = result {
                    warn!(%error, "state cannot be saved: verdicts would not survive a restart");
                }
                if self.is_unsaved {
                    self.save();
                }
            }
            Finished::Merged(made) => {
                self.is_merging = false;
                self.generation += 1;
                let before = self.live.publisher.current();
                let snapshot = before.with_tables(&made, self.generation);
                retire::replace(&self.live.publisher, snapshot);
                self.merge();
            }
        }
    }

    fn looked(&mut self, found: FileSet) {
        self.is_looking = false;
        if found == self.seen {
            self.changed = None;
        } else if self.changed.as_ref() == Some(&found) {
            self.changed = None;
            self.reload(None);
        } else {
            self.changed = Some(found);
        }
    }

    /// Starts a load, or notes that one more is wanted behind the one that runs.
    fn reload(&mut self, waiting: Option<Waiting>) {
        let Some(mut loader) = self.loader.take() else {
            self.waiting_next.extend(waiting);
            return;
        };
        self.waiting.extend(waiting);
        let plan = Arc::clone(&self.live.publisher.current().plan);
        self.in_background(move || {
            let result = loader.load(Some(&plan));
            Finished::Loaded(loader, Box::new(result))
        });
    }

    fn loaded(&mut self, loader: Box<Loader>, result: Result<Loaded, Report>) {
        let started = Instant::now();
        self.seen = loader.seen().clone();
        self.loader = Some(loader);
        let refused = result.is_err();
        let result = match result {
            Ok(Loaded { plan, report }) => {
                self.adopt(plan, started);
                Ok(report)
            }
            Err(report) => {
                log_refused(&report);
                Err(report)
            }
        };
        self.live.meters.reloaded(refused);
        let report = match &result {
            Ok(report) | Err(report) => report.clone(),
        };
        *write(&self.live.last_reload) = LastReload {
            at: unix(),
            refused,
            report,
        };
        for reply in self.waiting.drain(..) {
            let _ = reply.send(result.clone());
        }
        if !self.waiting_next.is_empty() {
            self.waiting = std::mem::take(&mut self.waiting_next);
            self.reload(None);
        }
    }

    /// Makes a new plan the one that is served and probed.
    fn adopt(&mut self, plan: Plan, started: Instant) {
        let plan = Arc::new(plan);
        warn_of_stale_serials(&self.live.publisher.current().plan, &plan);
        let mut next = health_table(&plan);
        {
            let mut health_table = write(&self.live.health_table);
            next.adopt(&health_table);
            *health_table = next;
        }
        self.publish_plan(Arc::clone(&plan), started);
        self.probe_plan();
        self.notifier.notify(&plan);
        let pools = plan.config.pools.pools.iter();
        let names = pools.map(|pool| &*pool.name).collect();
        self.live.meters.forget_all_but(&names);
        let (zones, pools) = (plan.zones.iter().count(), plan.config.pools.pools.len());
        info!(generation = self.generation, zones, pools, "reloaded");
    }

    fn probe_plan(&mut self) {
        let plan = Arc::clone(&self.live.publisher.current().plan);
        self.prober
            .replace(pairs(&plan.config.pools, &plan.config.process.vantages));
        if read(&self.live.health_table).n_awaited() == 0 {
            self.live.is_ready.store(true, Relaxed);
        }
    }

    fn state(&self) -> Option<(PathBuf, State)> {
        let plan = Arc::clone(&self.live.publisher.current().plan);
        let state_dir = plan.config.process.state_dir.clone()?;
        let verdicts = read(&self.live.health_table).saved(self.clock.now());
        let overrides = read(&self.live.overrides).clone();
        Some((
            state_dir,
            State {
                verdicts,
                overrides,
            },
        ))
    }

    /// Has the state written; while one write runs, the next waits for it.
    fn save(&mut self) {
        self.is_unsaved = self.is_saving;
        if self.is_saving {
            return;
        }
        if let Some((state_dir, state)) = self.state() {
            self.is_saving = true;
            self.in_background(move || Finished::Saved(saved::write(&state_dir, &state)));
        }
    }

    fn save_at_the_end(&self) {
        if let Some((state_dir, state)) = self.state()
            && let Err(error) = saved::write(&state_dir, &state)
        {
            warn!(%error, "state cannot be saved: verdicts will not survive the restart");
        }
    }

    fn in_background(&self, work: impl FnOnce() -> Finished + Send + 'static) {
        let finished = self.finished.clone();
        tokio::task::spawn_blocking(move || {
            // The loop may have ended meanwhile.
            let _ = finished.send(work());
        });
    }
}

fn log_refused(report: &Report) {
    let faults = report.n_errors();
    error!(
        faults,
        "reload refused: what was served before is served on"
    );
    for fault in report.sorted().into_iter().take(MAX_LOGGED_FAULTS) {
        error!("{fault}");
    }
}

/// Ends when the process is to stop.
async fn stopped(stop: &mut tokio::sync::watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        pending::<()>().await;
    }
}
