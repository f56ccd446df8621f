//! `Drills`: pools that are taken out for practice and brought back.
//!
//! A drill is an override of a pool ([`Forced::Drill`]) that ends by itself: every machine of a fleet has it, brings
//! the pool back when its time is over, and ends it as soon as it sees something wrong ([`crate::state::drill_checks`]).
//! The machine that wrote the override judges the drill: it knows what was moved, and keeps the result. The machine of
//! the fleet that leads begins those of the configuration; any begins one by hand.
//!
//! At most one is in force: none begins while another is known, and of two that began before either machine
//! heard of the other, the later by (time, node) ends. No clock: times come in.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::ix::PoolIx;
use crate::config::model::Pool;
use crate::health::load::Load;
use crate::health::overrides::Forced;
use crate::health::overrides::Override;
use crate::health::overrides::Overrides;
use crate::state::demand::Moved;
use crate::state::drill_checks::Known;
use crate::state::drill_checks::Obstacle;

/// Who orders the drills of the configuration, in the log.
const CONFIGURATION: &str = "configuration";

/// The state of all pools.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drills {
    /// By name, so that they outlive a reload.
    records: BTreeMap<Box<str>, Record>,
    /// Those that this machine began and that are in force.
    running: BTreeMap<Box<str>, Running>,
    /// Those that are due and wait.
    postponed: BTreeMap<Box<str>, Postponed>,
}

/// What is kept of a pool's drills.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// When the last one began, on whichever machine, in Unix seconds.
    pub begun: Option<u64>,
    /// The result of the last one that this machine began, or was to begin.
    pub last: Option<Outcome>,
}

/// The result of a drill.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether it went to its end.
    pub result: DrillResult,
    /// Why not; empty if it did.
    pub reason: Box<str>,
    /// When it began, in Unix seconds; of one that was skipped, when its window opened.
    pub begun: u64,
    /// When it ended, or was given up.
    pub ended: u64,
    /// The clients that had the pool before.
    pub moved: Moved,
    /// The loads of the other pools of its names, and of the pool itself.
    pub loads: Vec<LoadChange>,
}

/// Whether a drill went to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrillResult {
    /// It ended when its time was over.
    Completed,
    /// It ended before.
    Aborted,
    /// It did not begin in its window.
    Skipped,
}

/// A pool's load, where its probes read one.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadChange {
    /// Its name.
    pub pool: Box<str>,
    /// When the drill began.
    pub before: Option<Load>,
    /// The most while it was in force.
    pub most: Option<Load>,
}

#[derive(Clone, Debug, PartialEq)]
struct Running {
    since: u64,
    moved: Moved,
    loads: Vec<LoadChange>,
}

#[derive(Clone, Debug, PartialEq)]
struct Postponed {
    /// When its window opened.
    opens: u64,
    reason: Box<str>,
}

/// A drill in force, as the overrides have it; ordered by who has precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct InForce<'a> {
    since: u64,
    node: &'a str,
    pool: &'a str,
}

/// What to do about drills.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    /// To be put in force.
    pub begin: Option<(Box<str>, Override)>,
    /// To be ended at once, by pool.
    pub end: Vec<Box<str>>,
    /// What has happened.
    pub changes: Vec<DrillChange>,
}

/// Something about a drill that an operator should know.
#[derive(Clone, Debug, PartialEq)]
pub enum DrillChange {
    /// One has begun.
    Begun {
        /// The pool.
        pool: Box<str>,
        /// Who ordered it: the name of a token, or the configuration.
        by: Box<str>,
        /// Why.
        reason: Box<str>,
        /// For how long.
        seconds: u64,
        /// The clients that had it.
        moved: Moved,
    },
    /// One that this machine began has ended, or does not begin in its window.
    Ended {
        /// The pool.
        pool: Box<str>,
        /// How.
        outcome: Outcome,
    },
    /// This machine ends one that another began.
    EndedHere {
        /// The pool.
        pool: Box<str>,
        /// The other machine.
        node: Box<str>,
        /// Why.
        reason: Box<str>,
    },
    /// One is due and waits.
    Postponed {
        /// The pool.
        pool: Box<str>,
        /// What for.
        reason: Box<str>,
        /// Until when, in Unix seconds.
        latest: u64,
    },
}

impl DrillResult {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Aborted, Self::Completed, Self::Skipped];

    /// The word used in JSON and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Aborted => "aborted",
            Self::Skipped => "skipped",
        }
    }
}

impl Drills {
    /// Goes on after a restart.
    pub fn resume(records: BTreeMap<Box<str>, Record>) -> Self {
        Self {
            records,
            ..Self::default()
        }
    }

    /// What to go on with after a restart.
    pub fn records(&self) -> &BTreeMap<Box<str>, Record> {
        &self.records
    }

    /// What is kept of a pool's drills.
    pub fn of(&self, pool: &str) -> Option<&Record> {
        self.records.get(pool)
    }

    /// Why a pool's drill that is due does not begin.
    pub fn postponed(&self, pool: &str) -> Option<&str> {
        self.postponed.get(pool).map(|postponed| &*postponed.reason)
    }

    /// Goes on to the time of what is known. To be called every second.
    pub fn tick(&mut self, known: &Known<'_>) -> Steps {
        let mut steps = Steps::default();
        let in_force = in_force(known.overrides);
        self.settle(&in_force, known, &mut steps);
        for drill in &in_force {
            let record = self.records.entry(drill.pool.into()).or_default();
            record.begun = record.begun.max(Some(drill.since));
            if let Some(reason) = self.reason_to_end(drill, &in_force, known) {
                steps.end.push(drill.pool.into());
                let pool = drill.pool.into();
                steps.changes.push(match drill.node == known.node {
                    true => self.finish(drill, reason, known),
                    false => DrillChange::EndedHere {
                        pool,
                        node: drill.node.into(),
                        reason,
                    },
                });
            }
        }
        for running in self.running.values_mut() {
            for change in &mut running.loads {
                let load = known.position(&change.pool).and_then(known.load_of);
                change.most = change.most.max(load);
            }
        }
        match known.is_leading() {
            true => self.schedule(known, &mut steps),
            false => self.postponed.clear(),
        }
        steps
    }

    /// Begins a drill of a pool, if nothing speaks against it.
    ///
    /// # Errors
    /// With what does.
    pub fn begin(
        &mut self,
        pool: PoolIx,
        override_: &Override,
        by: &str,
        known: &Known<'_>,
    ) -> Result<DrillChange, Obstacle> {
        let until = override_.until.unwrap_or(known.now);
        if let Some(drill) = in_force(known.overrides).first() {
            return Err(Obstacle::Drilled(drill.pool.into()));
        }
        if let Some(pool) = self.running.keys().next() {
            return Err(Obstacle::Drilled(pool.clone()));
        }
        known.may_begin(pool, until)?;
        let name = known.name(pool);
        let others = known.others(pool);
        let loads = std::iter::once(pool).chain(others).filter_map(|ix| {
            let before = (known.load_of)(ix)?;
            Some(LoadChange {
                pool: known.name(ix).into(),
                before: Some(before),
                most: None,
            })
        });
        let running = Running {
            since: override_.since,
            moved: (known.moved_from)(pool),
            loads: loads.collect(),
        };
        let moved = running.moved.clone();
        self.records.entry(name.into()).or_default().begun = Some(override_.since);
        self.postponed.remove(name);
        self.running.insert(name.into(), running);
        Ok(DrillChange::Begun {
            pool: name.into(),
            by: by.into(),
            reason: override_.reason.clone(),
            seconds: until.saturating_sub(known.now),
            moved,
        })
    }

    /// Ends those that this machine began, since the process ends.
    pub fn stop(&mut self, known: &Known<'_>) -> Steps {
        let in_force = in_force(known.overrides);
        let own = in_force.iter().filter(|drill| drill.node == known.node);
        let mut steps = Steps::default();
        for drill in own {
            steps.end.push(drill.pool.into());
            let reason = "the process was told to stop".into();
            steps.changes.push(self.finish(drill, reason, known));
        }
        steps
    }

    /// Takes account of those that are no longer in force.
    fn settle(&mut self, in_force: &[InForce<'_>], known: &Known<'_>, steps: &mut Steps) {
        let is_over = |pool: &str, running: &Running| {
            let is_it = |drill: &&InForce<'_>| {
                drill.pool == pool && drill.since == running.since && drill.node == known.node
            };
            in_force.iter().find(is_it).is_none()
        };
        let running = self.running.iter();
        let over = running.filter(|(pool, running)| is_over(pool, running));
        let over: Vec<(Box<str>, u64)> =
            over.map(|(pool, run)| (pool.clone(), run.since)).collect();
        for (pool, since) in over {
            let drill = InForce {
                since,
                node: known.node,
                pool: &pool,
            };
            let register = known.overrides.register(&pool);
            let node = register.map_or(known.node, |register| &register.stamp.node);
            let is_own = node == known.node;
            let reason = match register.and_then(|register| register.value.as_ref()) {
                Some(value) if value.state == Forced::Drill && value.since == since && is_own => {
                    String::new()
                }
                Some(value) => format!("override `{}` was set", value.state.as_str()),
                None if is_own => "an operator ended it".into(),
                None => format!("node `{node}` ended it, and its log has the reason"),
            };
            steps
                .changes
                .push(self.finish(&drill, reason.into(), known));
        }
    }

    /// Why a drill must not go on; `None`: it may.
    fn reason_to_end(
        &self,
        drill: &InForce<'_>,
        in_force: &[InForce<'_>],
        known: &Known<'_>,
    ) -> Option<Box<str>> {
        let is_own = drill.node == known.node;
        if is_own && !self.running.contains_key(drill.pool) {
            return Some("the process that began it has ended".into());
        }
        // Its own machine ends it: any other may know of only one of them.
        if let Some(first) = in_force.first().filter(|first| is_own && *first != drill) {
            let (pool, node) = (first.pool, first.node);
            return Some(format!("that of pool `{pool}` on node `{node}` began before it").into());
        }
        if !is_own && known.is_lost(drill.node) {
            return Some(format!("node {}, which began it, is lost", drill.node).into());
        }
        let pool = known.position(drill.pool)?;
        let obstacle = known.may_go_on(pool).err()?;
        Some(obstacle.to_string().into())
    }

    /// Keeps the result of one that this machine began; without a reason, it went to its end.
    fn finish(&mut self, drill: &InForce<'_>, reason: Box<str>, known: &Known<'_>) -> DrillChange {
        let running = self.running.remove(drill.pool);
        let (moved, loads) = running.map_or_else(Default::default, |run| (run.moved, run.loads));
        let result = match reason.is_empty() {
            true => DrillResult::Completed,
            false => DrillResult::Aborted,
        };
        let outcome = Outcome {
            result,
            reason,
            begun: drill.since,
            ended: known.now,
            moved,
            loads,
        };
        self.keep(drill.pool, outcome)
    }

    fn keep(&mut self, pool: &str, outcome: Outcome) -> DrillChange {
        let record = self.records.entry(pool.into()).or_default();
        record.last = Some(outcome.clone());
        DrillChange::Ended {
            pool: pool.into(),
            outcome,
        }
    }

    /// Begins the first drill that is due and may begin; the others wait, or are skipped when their window is over.
    fn schedule(&mut self, known: &Known<'_>, steps: &mut Steps) {
        let pools = known.snapshot.plan.config.pools.pools.iter();
        let is_drilled = |pool: &&Pool| pool.drill.is_some();
        let names: BTreeSet<&str> = pools.clone().filter(is_drilled).map(|p| &*p.name).collect();
        self.postponed.retain(|pool, _| names.contains(&**pool));
        for (pool, ix) in pools.zip(0..) {
            let Some(drill) = &pool.drill else {
                continue;
            };
            let begun = self.of(&pool.name).and_then(|record| record.begun);
            let slot = drill.slot(&pool.name, begun, known.now);
            let opens = slot.map(|slot| slot.opens);
            let postponed = self.postponed.get(&pool.name);
            if let Some(missed) = postponed.filter(|known| Some(known.opens) != opens) {
                let outcome = Outcome {
                    result: DrillResult::Skipped,
                    reason: missed.reason.clone(),
                    begun: missed.opens,
                    ended: known.now,
                    moved: Moved::default(),
                    loads: Vec::new(),
                };
                self.postponed.remove(&pool.name);
                steps.changes.push(self.keep(&pool.name, outcome));
            }
            let Some(slot) = slot.filter(|slot| slot.planned <= known.now) else {
                continue;
            };
            let override_ = Override {
                state: Forced::Drill,
                since: known.now,
                begins: None,
                until: Some(known.now + drill.seconds()),
                reason: "practice run".into(),
            };
            match self.begin(PoolIx(ix), &override_, CONFIGURATION, known) {
                Ok(begun) => {
                    steps.begin = Some((pool.name.clone(), override_));
                    steps.changes.push(begun);
                }
                Err(obstacle) => {
                    let reason: Box<str> = obstacle.to_string().into();
                    let postponed = Postponed {
                        opens: slot.opens,
                        reason: reason.clone(),
                    };
                    let before = self.postponed.insert(pool.name.clone(), postponed);
                    if before.is_none() {
                        steps.changes.push(DrillChange::Postponed {
                            pool: pool.name.clone(),
                            reason,
                            latest: slot.latest,
                        });
                    }
                }
            }
        }
    }
}

/// The drills in force, in the order of their precedence.
fn in_force(overrides: &Overrides) -> Vec<InForce<'_>> {
    let drills = overrides.iter().filter_map(|(pool, _)| {
        let override_ = overrides.of(pool)?;
        let register = overrides.register(pool)?;
        (override_.state == Forced::Drill).then_some(InForce {
            since: override_.since,
            node: &register.stamp.node,
            pool,
        })
    });
    let mut drills: Vec<InForce<'_>> = drills.collect();
    drills.sort_unstable();
    drills
}

#[cfg(test)]
mod tests;
