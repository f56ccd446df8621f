//! A machine: the process that runs the real code, its disk, and its clock.

use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

use meridian::daemon::control::evidence;
use meridian::daemon::control::evidence::Evidence;
use meridian::daemon::saved;
use meridian::fleet::link::Outbox;
use meridian::fleet::link::Outgoing;
use meridian::fleet::member::Member;
use meridian::fleet::record::Boot;
use meridian::fleet::roster::Settings;
use meridian::health::health_table::HealthTable;
use meridian::health::observation::Moment;
use meridian::health::overrides::Overrides;
use meridian::health::overrides::Register;
use meridian::live::shared::Owned;
use meridian::live::shared::Shared;
use meridian::probe::Pair;
use meridian::probe::pairs;
use meridian::state::membership::Membership;
use meridian::state::plan::Plan;

use crate::schedule::Uplink;
use crate::settings;
use crate::settings::MAX_AGE_MS;
use crate::settings::N_ENDPOINTS;
use crate::world::Event;

/// What the true clock shows when a schedule begins, in Unix milliseconds.
pub(crate) const START_MS: u64 = 1_700_000_000_000;

/// A machine, whether its process runs or not.
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    /// How far its wall clock is ahead of the true one.
    pub(crate) offset_ms: i64,
    /// When that was last changed.
    pub(crate) clock_set: u64,
    /// The variant of `pools.toml` on its disk.
    pub(crate) variant: usize,
    pub(crate) disk: Disk,
    pub(crate) process: Option<Process>,
    /// Since when it is frozen.
    pub(crate) frozen: Option<u64>,
    /// From when to when it was frozen, or its process did not run.
    pub(crate) pauses: Vec<(u64, u64)>,
    /// What happened while it was frozen.
    pub(crate) held: Vec<Event>,
    pub(crate) is_linked: bool,
    pub(crate) uplinks: [Uplink; 2],
    /// By vantage and endpoint.
    pub(crate) paths: [[bool; N_ENDPOINTS]; 2],
    pub(crate) latest_boot_ms: u64,
}

/// What survives a crash, in the bytes of the real files.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) verdicts: Option<Vec<u8>>,
    pub(crate) overrides: Option<Vec<u8>>,
}

/// A running process.
pub(crate) struct Process {
    pub(crate) evidence: Evidence,
    pub(crate) health_table: Shared<HealthTable>,
    pub(crate) overrides: Shared<Overrides>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) pairs: Vec<Pair>,
    /// Of the plan: what a probe was begun for.
    pub(crate) epoch: u64,
    pub(crate) outbox: Outbox,
    pub(crate) is_connected: bool,
    pub(crate) started: u64,
    pub(crate) life: u64,
    pub(crate) is_saving: bool,
    pub(crate) unsaved_verdicts: bool,
    pub(crate) unsaved_overrides: bool,
    /// Registers whose operator waits until they are on disk.
    pub(crate) waiting: Vec<Register>,
}

impl Machine {
    pub(crate) fn new(index: usize, offset_ms: i64) -> Self {
        Self {
            name: settings::name(index),
            offset_ms,
            clock_set: 0,
            variant: 0,
            disk: Disk::default(),
            process: None,
            frozen: None,
            pauses: Vec::new(),
            held: Vec::new(),
            is_linked: true,
            uplinks: [Uplink::Up; 2],
            paths: [[true; N_ENDPOINTS]; 2],
            latest_boot_ms: 0,
        }
    }

    /// Its own time.
    pub(crate) fn moment(&self, now: u64) -> Moment {
        let started = self.process.as_ref().map_or(now, |process| process.started);
        Moment {
            elapsed: Duration::from_millis(now - started),
            unix_ms: (START_MS + now).saturating_add_signed(self.offset_ms),
        }
    }

    /// The process, if it runs and is not frozen.
    pub(crate) fn running(&self) -> Option<&Process> {
        self.process.as_ref().filter(|_| self.frozen.is_none())
    }

    /// For how long it did not run since a time.
    pub(crate) fn paused_since(&self, start: u64, now: u64) -> u64 {
        let open = self.frozen.map(|since| (since, now));
        let pauses = self.pauses.iter().copied().chain(open);
        pauses
            .map(|(from, to)| to.saturating_sub(from.max(start)))
            .sum()
    }

    /// Starts the process as `serve` does, from what is on disk.
    pub(crate) fn start(&mut self, index: usize, life: u64, now: u64) {
        let moment = Moment {
            elapsed: Duration::ZERO,
            ..self.moment(now)
        };
        let plan = settings::plan(index, self.variant);
        let mut state = saved::State::default();
        if let Some(bytes) = &self.disk.verdicts {
            state = saved::decode_verdicts(bytes, moment.unix()).expect("sound");
        }
        if let Some(bytes) = &self.disk.overrides {
            state.overrides = saved::decode_overrides(bytes, moment.unix()).expect("sound");
        }
        let mut health_table = evidence::health_table(&plan, &Membership::default());
        health_table.restore(&state.verdicts, moment);
        let start = evidence::Start {
            is_fresh: state.verdicts.endpoints.is_empty(),
            ..evidence::Start::default()
        };
        let (health_table, overrides) = (Owned::new(health_table), Owned::new(state.overrides));
        let (table_shared, overrides_shared) = (health_table.share(), overrides.share());
        let mut evidence = Evidence::new(health_table, overrides, &start);
        let boot = Boot {
            started_ms: moment.unix_ms,
            random: u32::try_from(life).expect("small"),
        };
        let settings = Settings {
            node: self.name.into(),
            reporters: None,
            report_max_age: Duration::from_millis(MAX_AGE_MS),
        };
        evidence.join(Member::new(settings, boot), Owned::default());
        evidence.follow(&plan);
        self.process = Some(Process {
            pairs: pairs_of(&plan),
            evidence,
            health_table: table_shared,
            overrides: overrides_shared,
            plan,
            epoch: 0,
            outbox: Outbox::default(),
            is_connected: false,
            started: now,
            life,
            is_saving: false,
            unsaved_verdicts: false,
            unsaved_overrides: false,
            waiting: Vec::new(),
        });
    }
}

impl Process {
    /// Goes on with another plan, as a reload does.
    pub(crate) fn adopt(&mut self, plan: Arc<Plan>) {
        let members = Membership::default();
        let health_table = evidence::health_table(&plan, &members);
        self.evidence.adopt(members, health_table);
        self.evidence.follow(&plan);
        self.pairs = pairs_of(&plan);
        self.epoch += 1;
        self.plan = plan;
    }

    pub(crate) fn has_pool(&self, pool: &str) -> bool {
        let mut pools = self.plan.config.pools.pools.iter();
        pools.any(|configured| *configured.name == *pool)
    }

    /// The next message that waits.
    pub(crate) fn next_outgoing(&self) -> Option<Outgoing> {
        let next = std::pin::pin!(self.outbox.next());
        match next.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(message) => Some(message),
            Poll::Pending => None,
        }
    }

    /// The files, as they would be written now.
    pub(crate) fn verdicts_file(&self, now: Moment) -> Vec<u8> {
        let (verdicts, last_up, ramps, shares) = self.evidence.verdicts(now);
        saved::encode_verdicts(&verdicts, &last_up, &ramps, &shares).expect("sound")
    }

    pub(crate) fn overrides_file(&self) -> Vec<u8> {
        saved::encode_overrides(&self.evidence.overrides()).expect("sound")
    }
}

fn pairs_of(plan: &Plan) -> Vec<Pair> {
    let config = &plan.config;
    pairs(
        &config.pools,
        &Membership::default(),
        &config.process.vantages,
    )
}
