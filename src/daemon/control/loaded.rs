//! What follows from a load that has ended: a new plan is served, or the one before goes on.

use std::sync::Arc;
use std::time::Instant;

use crate::base::diag::Report;
use crate::daemon::control::Control;
use crate::daemon::control::event::Event;
use crate::daemon::control::event::log;
use crate::daemon::control::finished::answer_reload;
use crate::daemon::load::Loaded;
use crate::daemon::load::Loader;
use crate::daemon::load::Trigger;
use crate::daemon::log_format;
use crate::live::LastReload;
use crate::live::clock::unix;
use crate::live::request::Reloaded;
use crate::state::plan::Plan;

impl Control {
    /// A load has ended.
    pub(super) fn loaded(
        &mut self,
        loader: Box<Loader>,
        trigger: &Trigger,
        result: Result<Loaded, Report>,
    ) {
        let started = Instant::now();
        let is_rollback = matches!(trigger, Trigger::RollBack { .. });
        let seen = loader.seen().clone();
        // A rollback that is refused says nothing of the files on disk.
        let is_accepted = result.is_ok() || (is_rollback && self.reload.is_in_force());
        let finished = self.reload.finished(seen, is_accepted);
        self.work.give_back(loader);
        match result {
            Ok(mut loaded) => {
                let files = loaded.files.take();
                let reloaded = self.accepted(loaded, started);
                let plan = Arc::clone(&self.publish.served().plan);
                let done = move || answer_reload(finished.waiting, &Ok(reloaded));
                match is_rollback {
                    true => done(),
                    false => {
                        self.live.meters.reloaded(false);
                        self.keeper.keep(&plan.config.process, files, done);
                    }
                }
            }
            Err(report) => {
                self.refused(&report, is_rollback);
                answer_reload(finished.waiting, &Err(report));
            }
        }
        self.work.load(finished.load);
    }

    /// Serves what was loaded.
    fn accepted(&mut self, loaded: Loaded, started: Instant) -> Reloaded {
        let Loaded {
            plan,
            report,
            changes,
            rolled_back,
            ..
        } = loaded;
        *self.last_reload.write() = LastReload {
            at: unix(),
            refused: false,
            report: report.clone(),
            rolled_back: rolled_back.clone(),
        };
        let reloaded = Reloaded {
            report,
            changes,
            rolled_back,
        };
        self.adopt(&plan, &reloaded, started);
        reloaded
    }

    /// Goes on with what is served.
    fn refused(&mut self, report: &Report, is_rollback: bool) {
        let report = report.clone();
        if is_rollback {
            log(&self.live.events, &[Event::RollbackRefused { report }]);
            return;
        }
        self.live.meters.reloaded(true);
        let mut last_reload = self.last_reload.write();
        last_reload.at = unix();
        last_reload.refused = true;
        last_reload.report = report.clone();
        drop(last_reload);
        log(&self.live.events, &[Event::ReloadRefused { report }]);
    }

    /// Makes a new plan the one that is served and probed.
    fn adopt(&mut self, plan: &Arc<Plan>, reloaded: &Reloaded, started: Instant) {
        log_format::set(plan.config.process.log_format);
        self.members.adopt(&plan.config);
        self.list_members(plan);
        let evidence = self.evidence.of(plan);
        let published = self.publish.adopt(Arc::clone(plan), &evidence);
        self.serve(published);
        self.published(started);
        self.follow_plan();
        let names = plan.config.pools.pools.iter().map(|pool| &*pool.name);
        self.live.meters.forget_all_but(&names.collect());
        let Reloaded {
            report,
            changes,
            rolled_back,
        } = reloaded.clone();
        log(
            &self.live.events,
            &[Event::Reloaded {
                generation: self.publish.served().generation,
                zones: plan.zones.iter().count(),
                pools: plan.config.pools.pools.len(),
                changes: Box::new(changes),
                rolled_back,
                report,
            }],
        );
    }
}
