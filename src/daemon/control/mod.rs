//! The control loop: the one owner of verdicts, overrides and plan, and the only publisher.
//!
//! Everything that can change an answer arrives here as an event and leaves as a snapshot: probe
//! results, operators' requests, edited files, merged tables that the background has finished. Events
//! are taken one by one, so no change can be lost to another. What takes long (loading, merging, writing
//! state) runs on blocking threads and comes back as an event.
//!
//! The loop decides nothing. Five
//! state machines do, without tokio, clock or disk, and return what is to be done: `evidence` (what is known
//! of the pools), `members` (which endpoints they have), `reload` (when files are loaded), `publish` (what is
//! served), `persist` (when state is written). `work` has the loader load and update, one at a time.

mod comparer;
mod drill;
pub mod event;
pub mod evidence;
mod finished;
mod fleet;
pub mod keeper;
mod loaded;
mod members;
mod overrides;
mod ownership;
mod persist;
mod publish;
mod reload;
mod save;
mod shares;
mod sources;
mod updates;
mod work;

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;

use self::comparer::Comparer;
use self::event::log;
use self::evidence::Effects;
use self::evidence::Evidence;
use self::evidence::Urgency;
use self::finished::Finished;
use self::finished::WaitsForReload;
use self::finished::WaitsForSave;
use self::finished::WaitsForUpdate;
use self::finished::answer;
use self::keeper::Keeper;
use self::members::Members;
use self::persist::Persist;
use self::publish::Publish;
use self::publish::Published;
use self::reload::Reload;
use self::work::Done;
use self::work::Work;
use crate::daemon::files::read_setting;
use crate::daemon::load::Loader;
use crate::daemon::load::Trigger;
use crate::daemon::memory::retire;
use crate::discovery::Discovery;
use crate::discovery::found::Found;
use crate::fleet::link::Incoming;
use crate::fleet::link::Outbox;
use crate::fleet::member::Member;
use crate::fleet::nats::Role;
use crate::fleet::record::Boot;
use crate::fleet::roster::Settings;
use crate::health::observation::Observation;
use crate::health::observation::WitnessObservation;
use crate::live::LastReload;
use crate::live::Live;
use crate::live::Owner;
use crate::live::clock::now_ms;
use crate::live::random;
use crate::live::request::Request;
use crate::live::shared::Owned;
use crate::probe::schedule::Prober;
use crate::probe::witness::witness_pairs;
use crate::state::derive::merge_tables;
use crate::state::publish::Publisher;
use crate::transport::notify::Notifier;
use crate::webhook::Webhooks;

/// How often files are looked at: an edit is in force within a second.
const WATCH_INTERVAL: Duration = Duration::from_millis(400);

/// How often old reports and overrides are looked through, and what may wait is published and saved.
const TICK_INTERVAL: Duration = Duration::from_secs(1);

/// Resolved names and reports of objects that may wait for the loop.
const FOUND: usize = 64;

/// The loop's state.
pub struct Control {
    live: Arc<Live>,
    publisher: Publisher,
    last_reload: Owned<LastReload>,
    progress: Owned<crate::live::Progress>,
    evidence: Evidence,
    members: Members,
    publish: Publish,
    persist: Persist<WaitsForSave>,
    reload: Reload<WaitsForReload>,
    /// Whether something that is shown, but answers nobody, waits for the next tick.
    is_publish_due: bool,
    prober: Prober,
    discovery: Discovery,
    work: Work<WaitsForUpdate>,
    keeper: Keeper,
    finished: mpsc::UnboundedSender<Finished>,
    notifier: Notifier,
    webhooks: Webhooks,
    outbox: Outbox,
}

/// The events that come from outside.
pub struct Events {
    /// Finished probes.
    pub observations: mpsc::Receiver<Observation>,
    /// Finished attempts to reach witnesses.
    pub witnessed: mpsc::Receiver<WitnessObservation>,
    /// Requests of the admin API and of signals.
    pub requests: mpsc::Receiver<Request>,
    /// What comes from the fleet's message bus; closed for a single machine.
    pub incoming: mpsc::Receiver<Incoming>,
    /// What goes there.
    pub outbox: Outbox,
    /// Ends the loop.
    pub stop: watch::Receiver<bool>,
}

impl Control {
    /// Takes over a process whose first snapshot is published, and starts probing.
    pub fn start(
        live: Arc<Live>,
        owner: Owner,
        start: &evidence::Start,
        prober: Prober,
        loader: Loader,
        keeper: Keeper,
        events: Events,
    ) -> JoinHandle<()> {
        let (finished, finishing) = mpsc::unbounded_channel();
        let (found, finding) = mpsc::channel(FOUND);
        let role = loader.role();
        let served = owner.publisher.current();
        let mut control = Self {
            publish: Publish::new(Arc::clone(&served)),
            publisher: owner.publisher,
            last_reload: owner.last_reload,
            progress: owner.progress,
            evidence: Evidence::new(owner.health_table, owner.overrides, start),
            outbox: events.outbox.clone(),
            members: Members::new(owner.sources, start.members.clone()),
            persist: Persist::new(),
            reload: Reload::new(loader.seen().clone()),
            is_publish_due: false,
            notifier: Notifier::new(live.meters.notifies.clone()),
            webhooks: Webhooks::new(Arc::clone(&live.events), live.meters.clone(), read_setting),
            live,
            prober,
            discovery: Discovery::new(found),
            work: Work::new(loader),
            keeper,
            finished,
        };
        let process = &control.publish.served().plan.config.process;
        if let Some(cluster) = &process.cluster {
            let settings = Settings {
                node: cluster.node.clone(),
                reporters: cluster.reporters.clone(),
                report_max_age: process.report_max_age,
            };
            let boot = Boot {
                started_ms: now_ms(),
                random: u32::from_ne_bytes(random::octets()),
            };
            let member = match role {
                Role::NameServer => Member::new(settings, boot),
                Role::Vantage => Member::new(settings, boot).reporting_only(),
            };
            control.evidence.join(member, owner.fleet);
        }
        control.evidence.drill_from(owner.drills);
        control.follow_plan();
        tokio::spawn(control.run(events, finishing, finding))
    }

    async fn run(
        mut self,
        mut events: Events,
        mut finishing: mpsc::UnboundedReceiver<Finished>,
        mut finding: mpsc::Receiver<Found>,
    ) {
        let mut tick = interval(TICK_INTERVAL);
        let mut watch = interval(WATCH_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.progress.write().last_turn = self.live.clock.elapsed();
            tokio::select! {
                Some(first) = events.observations.recv() => {
                    let mut observations = vec![first];
                    while let Ok(next) = events.observations.try_recv() {
                        observations.push(next);
                    }
                    self.observe(&observations);
                }
                Some(incoming) = events.incoming.recv() => self.receive(&incoming),
                Some(observation) = events.witnessed.recv() => self.observe_witness(&observation),
                Some(first) = finding.recv() => {
                    let mut all = vec![first];
                    while let Ok(next) = finding.try_recv() {
                        all.push(next);
                    }
                    self.found(&all);
                }
                Some(request) = events.requests.recv() => self.request(request),
                Some(finished) = finishing.recv() => self.finish(finished),
                _ = tick.tick() => self.tick(),
                _ = watch.tick() => self.look(),
                _ = stopped(&mut events.stop) => break,
            }
            if self.evidence.is_drilling() {
                self.drill();
            }
            self.work();
            self.save();
        }
        self.stop_drills();
        self.save_at_the_end().await;
    }

    fn observe(&mut self, observations: &[Observation]) {
        let started = Instant::now();
        let now = self.live.clock.now();
        let effects = self.evidence.observe(observations, now, &self.live.meters);
        self.carry_out(effects, None, started);
    }

    fn receive(&mut self, incoming: &Incoming) {
        let started = Instant::now();
        let effects = self.evidence.receive(incoming, self.live.clock.now());
        self.carry_out(effects, None, started);
    }

    fn observe_witness(&mut self, observation: &WitnessObservation) {
        let (started, now) = (Instant::now(), self.live.clock.now());
        let effects = self.evidence.observe_witness(observation, now);
        self.carry_out(effects, None, started);
    }

    fn tick(&mut self) {
        let started = Instant::now();
        let now = self.live.clock.now();
        let effects = self.evidence.tick(now);
        self.carry_out(effects, None, started);
        self.drill();
        if std::mem::take(&mut self.is_publish_due) {
            self.publish(started);
        }
        answer(&self.live.events, self.persist.overdue(now.elapsed));
        log(
            &self.live.events,
            self.reload.watch_hang(now.elapsed).as_slice(),
        );
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Compare { config, reply } => self.work.compare(config, reply),
            Request::Reload { is_forced, reply } => {
                let trigger = match is_forced {
                    true => Trigger::Forced,
                    false => Trigger::Asked,
                };
                let trigger = self.reload.ask(trigger, reply);
                self.work.load(trigger);
            }
            Request::RollBack { by, reply } => {
                let trigger = self.reload.ask(Trigger::RollBack { by }, reply);
                self.work.load(trigger);
            }
            Request::Update { order, reply } => {
                self.work.update(*order, WaitsForUpdate::Client(reply));
            }
            Request::ChangeRecords { changes, by, reply } => {
                self.change_records(&changes, &by, reply);
            }
            Request::SetEndpoints { asked, reply } => self.set_endpoints(&asked, reply),
            Request::SetOverride {
                pool,
                override_,
                is_forced,
                by,
                reply,
            } => self.set_override(pool, override_, is_forced, &by, reply),
            Request::ClearOverride { pool, by, reply } => self.clear_override(&pool, &by, reply),
        }
    }

    /// Logs, publishes and saves what a change of evidence asks for; `waiting` is answered when it is
    /// saved, or at once where nothing is kept.
    fn carry_out(&mut self, effects: Effects, waiting: Option<WaitsForSave>, started: Instant) {
        let Effects {
            publish,
            save_verdicts,
            save_overrides,
            outgoing,
            events,
        } = effects;
        log(&self.live.events, &events);
        outgoing
            .into_iter()
            .for_each(|message| self.outbox.push(message));
        match publish {
            Urgency::No => {}
            Urgency::Soon => self.is_publish_due = true,
            Urgency::Now => self.publish(started),
        }
        self.progress.write().is_ready = self.evidence.is_ready();
        if save_verdicts {
            self.persist.verdicts_changed();
        }
        self.save_changes(save_overrides, waiting);
    }

    /// Publishes what the evidence of now gives.
    fn publish(&mut self, started: Instant) {
        let evidence = self.evidence.of(&self.publish.served().plan);
        let published = self.publish.publish(&evidence);
        self.serve(published);
        self.published(started);
    }

    fn published(&mut self, started: Instant) {
        self.is_publish_due = false;
        // The pools that were up last may have changed with it.
        self.persist.verdicts_changed();
        self.live.meters.published(started.elapsed());
    }

    fn serve(&mut self, published: Published) {
        retire::replace(&self.publisher, published.snapshot);
        log(&self.live.events, &published.events);
        if !published.merge.is_empty() {
            self.in_background(move || Finished::Merged(merge_tables(published.merge)));
        }
    }

    fn look(&mut self) {
        if let Some(files) = self.reload.look() {
            self.in_background(move || Finished::Looked(files.now()));
        }
    }

    fn finish(&mut self, finished: Finished) {
        match finished {
            Finished::Looked(found) => {
                let looked = self.reload.looked(found, self.live.clock.elapsed());
                log(&self.live.events, &looked.events);
                self.work.load(looked.load);
            }
            Finished::Worked(done) => match done {
                Done::Loaded(loader, trigger, result) => self.loaded(loader, &trigger, *result),
                Done::Updated(loader, updated, waiting) => {
                    self.work.give_back(loader);
                    self.updated(*updated, waiting);
                }
                Done::Compared(loader, compared, waiting) => {
                    self.work.give_back(loader);
                    for waiting in waiting {
                        let _ = waiting.send(compared.clone());
                    }
                }
            },
            Finished::Saved(result, took) => {
                let now = self.live.clock.elapsed();
                let finished = self.persist.finished(now, took, result);
                answer(&self.live.events, finished);
            }
            Finished::Merged(merged) => {
                let published = self.publish.merged(&merged);
                self.serve(published);
            }
        }
    }

    /// Has the loader do what is due.
    fn work(&mut self) {
        if let Some(job) = self.work.next() {
            let served = Arc::clone(&self.publish.served().plan);
            let comparer = Comparer::new(Arc::clone(&self.live), served);
            let keeper = self.keeper.clone();
            self.in_background(move || Finished::Worked(job.run(&comparer, &keeper)));
        }
    }

    /// Probes and notifies as the plan asks for.
    fn follow_plan(&mut self) {
        let plan = Arc::clone(&self.publish.served().plan);
        let process = &plan.config.process;
        self.prober.replace_witnesses(witness_pairs(process));
        self.probe(&plan);
        self.discover(&plan);
        self.notifier.notify(&plan);
        (self.webhooks).follow(&process.webhooks, &process.vantages[0].name);
        self.evidence.follow(&plan);
        log(&self.live.events, &self.evidence.orphaned(&plan));
        self.progress.write().is_ready = self.evidence.is_ready();
        self.publish_ownership(None);
    }

    fn state_dir(&self) -> Option<&PathBuf> {
        self.publish.served().plan.config.process.state_dir.as_ref()
    }

    fn in_background(&self, work: impl FnOnce() -> Finished + Send + 'static) {
        let finished = self.finished.clone();
        tokio::task::spawn_blocking(move || {
            // The loop may have ended meanwhile.
            let _ = finished.send(work());
        });
    }
}

/// Ends when the process is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        pending::<()>().await;
    }
}
