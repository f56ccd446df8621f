//! The world: simulated time, the message bus between the machines, and what their probes find.
//!
//! Whatever the machines do is the real code of `daemon/control/evidence.rs` and below. The world calls it as
//! the control loop would, one event at a time; nothing else reads a clock or a random number.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use meridian::daemon::control::evidence::Effects;
use meridian::daemon::control::evidence::Urgency;
use meridian::fleet::link::Incoming;
use meridian::fleet::link::Kind;
use meridian::fleet::link::Outgoing;
use meridian::health::failure::Phase;
use meridian::health::failure::ProbeFailure;
use meridian::health::failure::VantageFault;
use meridian::health::observation::Observation;
use meridian::health::observation::ProbeResult;
use meridian::health::overrides::Forced;
use meridian::health::overrides::Override;
use meridian::health::overrides::Register;
use meridian::live::meters::Meters;

use crate::invariants::Floor;
use crate::invariants::Invariants;
use crate::invariants::Violation;
use crate::machine::Machine;
use crate::machine::Process;
use crate::random::Random;
use crate::schedule::Backend;
use crate::schedule::Ending;
use crate::schedule::Fault;
use crate::schedule::Quality;
use crate::schedule::Schedule;
use crate::schedule::Uplink;
use crate::settings;
use crate::settings::INTERVAL_MS;
use crate::settings::N_ENDPOINTS;
use crate::settings::POOLS;
use crate::settings::TIMEOUT_MS;

/// How long the world goes on after the heal.
const QUIET_MS: u64 = 60_000;

/// What happens at a time; to a machine, in one life of its process.
#[derive(Debug)]
pub(crate) enum Event {
    Check,
    Connect {
        machine: usize,
        life: u64,
    },
    Deliver {
        machine: usize,
        incoming: Incoming,
    },
    Disconnect {
        machine: usize,
        life: u64,
    },
    Fault(Fault),
    Heal,
    Probe {
        machine: usize,
        life: u64,
        epoch: u64,
        pair: usize,
    },
    Probed {
        machine: usize,
        life: u64,
        vantage: usize,
        observation: Observation,
    },
    Saved {
        machine: usize,
        life: u64,
        save: Box<Save>,
    },
    Tick {
        machine: usize,
        life: u64,
    },
}

/// A write that is on its way to the disk.
#[derive(Debug)]
pub(crate) struct Save {
    verdicts: Option<Vec<u8>>,
    overrides: Option<(Vec<u8>, Floor)>,
    waiting: Vec<Register>,
}

/// The state.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) machines: Vec<Machine>,
    pub(crate) backends: [Backend; N_ENDPOINTS],
    pub(crate) heal: u64,
    schedule: Schedule,
    random: Random,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    /// By number.
    events: BTreeMap<u64, Event>,
    n_events: u64,
    /// By from and to: whether what is cut is held.
    cuts: Vec<Vec<Option<bool>>>,
    cut_messages: Vec<(usize, usize, Incoming)>,
    is_bus_frozen: bool,
    bus_messages: Vec<(usize, usize, Incoming)>,
    quality: Quality,
    n_lives: u64,
    meters: Meters,
    invariants: Invariants,
}

impl World {
    /// Runs a schedule to its end.
    pub(crate) fn run(schedule: Schedule, random: Random) -> Result<(), Violation> {
        let mut world = Self::new(schedule, random);
        while let Some(Reverse((at, number))) = world.queue.pop() {
            world.now = at;
            if let Some(event) = world.events.remove(&number) {
                world.happen(event);
            }
            if let Some(violation) = world.invariants.violation.take() {
                return Err(violation);
            }
            if at >= world.heal + QUIET_MS {
                break;
            }
        }
        let up = world.schedule.up;
        world.invariants.at_the_end(&world.machines, &up, world.now);
        world.invariants.violation.take().map_or(Ok(()), Err)
    }

    fn new(schedule: Schedule, mut random: Random) -> Self {
        let n = schedule.n_machines;
        let offsets = (0..n).map(|_| i64::try_from(random.between(0, 1_000)).expect("small") - 500);
        let offsets: Vec<_> = offsets.collect();
        let machines = (0..n)
            .zip(offsets)
            .map(|(index, offset)| Machine::new(index, offset));
        let mut world = Self {
            now: 0,
            machines: machines.collect(),
            backends: [Backend::Healthy; N_ENDPOINTS],
            heal: schedule.heal,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            n_events: 0,
            cuts: vec![vec![None; n]; n],
            cut_messages: Vec::new(),
            is_bus_frozen: false,
            bus_messages: Vec::new(),
            quality: Quality::Good,
            n_lives: 0,
            meters: Meters::new(),
            invariants: Invariants::new(n, schedule.healed()),
            schedule,
            random,
        };
        for (at, fault) in world.schedule.steps.clone() {
            world.at(at, Event::Fault(fault));
        }
        world.at(world.heal, Event::Heal);
        world.at(500, Event::Check);
        for machine in 0..n {
            world.start(machine);
        }
        world
    }

    fn at(&mut self, time: u64, event: Event) {
        self.n_events += 1;
        self.queue.push(Reverse((time, self.n_events)));
        self.events.insert(self.n_events, event);
    }

    fn after(&mut self, low: u64, high: u64, event: Event) {
        let delay = self.random.between(low, high);
        self.at(self.now + delay, event);
    }

    fn happen(&mut self, event: Event) {
        let machine = match &event {
            Event::Check => {
                self.invariants.every_second(&self.machines, self.now);
                return self.after(1_000, 1_001, Event::Check);
            }
            Event::Fault(fault) => return self.fault(*fault),
            Event::Heal => return self.heal(),
            Event::Deliver { machine, .. } => *machine,
            Event::Connect { machine, life }
            | Event::Disconnect { machine, life }
            | Event::Probe { machine, life, .. }
            | Event::Probed { machine, life, .. }
            | Event::Saved { machine, life, .. }
            | Event::Tick { machine, life } => {
                let process = self.machines[*machine].process.as_ref();
                if process.is_none_or(|process| process.life != *life) {
                    return;
                }
                *machine
            }
        };
        if self.machines[machine].frozen.is_some() {
            self.machines[machine].held.push(event);
            return;
        }
        match event {
            Event::Connect { life, .. } => self.connect(machine, life),
            Event::Disconnect { .. } => self.disconnect(machine),
            Event::Deliver { incoming, .. } => self.receive(machine, &incoming),
            Event::Probe {
                life, epoch, pair, ..
            } => self.probe(machine, life, epoch, pair),
            Event::Probed {
                vantage,
                observation,
                ..
            } => self.probed(machine, vantage, observation),
            Event::Saved { save, .. } => self.saved(machine, *save),
            Event::Tick { life, .. } => {
                let moment = self.machines[machine].moment(self.now);
                if let Some(process) = &mut self.machines[machine].process {
                    let effects = process.evidence.tick(moment);
                    self.carry_out(machine, effects);
                }
                self.after(1_000, 1_001, Event::Tick { machine, life });
            }
            Event::Check | Event::Fault(_) | Event::Heal => {}
        }
    }

    /// What the control loop does with effects.
    fn carry_out(&mut self, machine: usize, effects: Effects) {
        if let Some(process) = &mut self.machines[machine].process {
            process.unsaved_verdicts |= effects.save_verdicts || effects.publish != Urgency::No;
            process.unsaved_overrides |= effects.save_overrides;
            for message in effects.outgoing {
                process.outbox.push(message);
            }
        }
        self.send_what_waits(machine);
        self.save(machine);
        self.invariants
            .after_call(&self.machines, machine, self.now);
    }

    fn save(&mut self, machine: usize) {
        let moment = self.machines[machine].moment(self.now);
        let Some(process) = &mut self.machines[machine].process else {
            return;
        };
        if process.is_saving || !(process.unsaved_verdicts || process.unsaved_overrides) {
            return;
        }
        process.is_saving = true;
        let verdicts = std::mem::take(&mut process.unsaved_verdicts);
        let overrides = std::mem::take(&mut process.unsaved_overrides);
        let floor = || self.invariants.floor(machine, process);
        let save = Save {
            verdicts: verdicts.then(|| process.verdicts_file(moment)),
            overrides: overrides.then(|| (process.overrides_file(), floor())),
            waiting: if overrides {
                std::mem::take(&mut process.waiting)
            } else {
                Vec::new()
            },
        };
        let (life, save) = (process.life, Box::new(save));
        self.after(
            1,
            60,
            Event::Saved {
                machine,
                life,
                save,
            },
        );
    }

    fn saved(&mut self, machine: usize, save: Save) {
        let Machine { disk, process, .. } = &mut self.machines[machine];
        if let Some((bytes, floor)) = save.overrides {
            disk.overrides = Some(bytes);
            self.invariants.on_disk(machine, floor);
        }
        if save.verdicts.is_some() {
            disk.verdicts = save.verdicts;
        }
        self.invariants.acknowledged(save.waiting);
        if let Some(process) = process {
            process.is_saving = false;
        }
        self.save(machine);
    }

    fn start(&mut self, machine: usize) {
        if self.machines[machine].process.is_some() {
            return;
        }
        self.n_lives += 1;
        let (life, now) = (self.n_lives, self.now);
        let boot_ms = self.machines[machine].moment(now).unix_ms;
        self.machines[machine].start(machine, life, now);
        if let Some(ended) = self.machines[machine].frozen.take() {
            self.machines[machine].pauses.push((ended, now));
        }
        self.invariants
            .started(&self.machines, machine, boot_ms, now);
        let latest = &mut self.machines[machine].latest_boot_ms;
        *latest = boot_ms.max(*latest);
        self.begin_probes(machine);
        self.after(0, 1_000, Event::Tick { machine, life });
        self.after(50, 1_000, Event::Connect { machine, life });
    }

    fn end(&mut self, machine: usize, how: Ending) {
        let moment = self.machines[machine].moment(self.now);
        let is_frozen = self.machines[machine].frozen.is_some();
        let m = &mut self.machines[machine];
        let Some(process) = m.process.take() else {
            return;
        };
        m.held.clear();
        let since = m.frozen.unwrap_or(self.now);
        m.frozen = Some(since);
        match how {
            Ending::Stop if !is_frozen => {
                m.disk.verdicts = Some(process.verdicts_file(moment));
                m.disk.overrides = Some(process.overrides_file());
                let floor = self.invariants.floor(machine, &process);
                self.invariants.on_disk(machine, floor);
                self.invariants.acknowledged(process.waiting);
            }
            Ending::LoseVerdicts => m.disk.verdicts = None,
            Ending::Stop | Ending::Kill => {}
        }
    }

    fn begin_probes(&mut self, machine: usize) {
        let Some(process) = &self.machines[machine].process else {
            return;
        };
        let (life, epoch, n) = (process.life, process.epoch, process.pairs.len());
        for pair in 0..n {
            self.after(
                0,
                INTERVAL_MS,
                Event::Probe {
                    machine,
                    life,
                    epoch,
                    pair,
                },
            );
        }
    }

    fn probe(&mut self, machine: usize, life: u64, epoch: u64, pair: usize) {
        let m = &self.machines[machine];
        let Some(process) = m.process.as_ref().filter(|process| process.epoch == epoch) else {
            return;
        };
        let target = process.pairs[pair].target.clone();
        let name = process.pairs[pair].vantage.clone();
        let vantage = usize::from(*name != *m.name);
        let endpoint = endpoint(target.address);
        let timeout = ProbeFailure::Timeout {
            after: Duration::from_millis(TIMEOUT_MS),
            phase: Phase::Connect,
        };
        let quick = self.random.between(5, 50);
        let path = (m.uplinks[vantage], m.paths[vantage][endpoint]);
        let (result, took) = match (path, self.backends[endpoint]) {
            ((Uplink::NoRoute, _), _) => {
                let fault = VantageFault::NoRoute("network unreachable".into());
                (ProbeResult::NoEvidence(fault), 1)
            }
            ((Uplink::Silent, _) | (_, false), _) | (_, Backend::Silent) => {
                (ProbeResult::Failure(timeout), TIMEOUT_MS)
            }
            (_, Backend::Healthy) => (ProbeResult::Success, quick),
            (_, Backend::Refuses) => (ProbeResult::Failure(ProbeFailure::Refused), quick),
            (_, Backend::Unfit) => {
                let failure = ProbeFailure::Protocol("response is not HTTP/1.1".into());
                (ProbeResult::Failure(failure), quick)
            }
        };
        let took_ms = Duration::from_millis(took);
        let observation = Observation {
            target,
            vantage: name,
            result,
            took: took_ms,
            load: None,
        };
        let probed = Event::Probed {
            machine,
            life,
            vantage,
            observation,
        };
        self.at(self.now + took, probed);
        let jitter = INTERVAL_MS / 10;
        let next = Event::Probe {
            machine,
            life,
            epoch,
            pair,
        };
        self.after(INTERVAL_MS - jitter, INTERVAL_MS + jitter, next);
    }

    fn probed(&mut self, machine: usize, vantage: usize, observation: Observation) {
        let moment = self.machines[machine].moment(self.now);
        if !matches!(observation.result, ProbeResult::NoEvidence(_)) {
            let endpoint = endpoint(observation.target.address);
            let probed_ms = moment.unix_ms;
            self.invariants
                .probed(machine * 2 + vantage, endpoint, probed_ms, self.now);
        }
        if let Some(process) = &mut self.machines[machine].process {
            let effects = process
                .evidence
                .observe(&[observation], moment, &self.meters);
            self.carry_out(machine, effects);
        }
    }

    fn is_reachable(&self, machine: usize) -> bool {
        self.machines[machine].is_linked && !self.is_bus_frozen
    }

    fn connect(&mut self, machine: usize, life: u64) {
        if !self.is_reachable(machine) {
            return self.after(1_000, 1_001, Event::Connect { machine, life });
        }
        if let Some(process) = &mut self.machines[machine].process
            && !process.is_connected
        {
            process.is_connected = true;
            let server = "nats://127.0.0.1:4222".into();
            self.receive(machine, &Incoming::Connected { server });
        }
    }

    fn disconnect(&mut self, machine: usize) {
        let is_reachable = self.is_reachable(machine);
        if let Some(process) = &mut self.machines[machine].process
            && process.is_connected
            && !is_reachable
        {
            let life = process.life;
            process.is_connected = false;
            let reason = "no response to pings".into();
            self.receive(machine, &Incoming::Disconnected { reason });
            self.after(200, 1_000, Event::Connect { machine, life });
        }
    }

    fn receive(&mut self, machine: usize, incoming: &Incoming) {
        let moment = self.machines[machine].moment(self.now);
        if let Some(process) = &mut self.machines[machine].process {
            let effects = process.evidence.receive(incoming, moment);
            self.carry_out(machine, effects);
        }
    }

    /// What the adapter to the message bus does.
    fn send_what_waits(&mut self, machine: usize) {
        let connected = |process: &&Process| process.is_connected;
        while let Some(process) = self.machines[machine].process.as_ref().filter(connected) {
            let Some(message) = process.next_outgoing() else {
                return;
            };
            let node: Box<str> = self.machines[machine].name.into();
            match message {
                Outgoing::Report(parts) => {
                    for part in parts {
                        self.send(machine, None, Kind::Report, &node, part, None);
                    }
                }
                Outgoing::Changes(part) => {
                    self.send(machine, None, Kind::Report, &node, part, None);
                }
                Outgoing::Override(payload) => {
                    self.send(machine, None, Kind::Override, &node, payload, None);
                }
                Outgoing::Sync(payload) => {
                    let inbox = machine.to_string().into();
                    self.send(machine, None, Kind::Sync, "", payload, Some(inbox));
                }
                Outgoing::Reply { to, payload } => {
                    let to = to.parse().expect("an inbox");
                    self.send(machine, Some(to), Kind::Sync, "", payload, None);
                }
            }
        }
    }

    fn send(
        &mut self,
        from: usize,
        to: Option<usize>,
        kind: Kind,
        node: &str,
        payload: Vec<u8>,
        reply: Option<Box<str>>,
    ) {
        let (node, payload) = (node.into(), Bytes::from(payload));
        let incoming = Incoming::Message {
            kind,
            node,
            payload,
            reply,
        };
        let all = 0..self.machines.len();
        for to in all.filter(|machine| to.is_none_or(|to| to == *machine)) {
            self.carry(from, to, incoming.clone());
        }
    }

    fn carry(&mut self, from: usize, to: usize, incoming: Incoming) {
        if !self.machines[from].is_linked || !self.machines[to].is_linked {
            return;
        }
        if let Some(is_held) = self.cuts[from][to] {
            if is_held {
                self.cut_messages.push((from, to, incoming));
            }
            return;
        }
        if self.is_bus_frozen {
            self.bus_messages.push((from, to, incoming));
            return;
        }
        let (losses, copies, delay) = match self.quality {
            Quality::Good => (0, 0, 40),
            Quality::Bad => (25, 20, 6_000),
        };
        if self.random.percent(losses) {
            return;
        }
        let machine = to;
        if self.random.percent(copies) {
            let incoming = incoming.clone();
            self.after(1, delay, Event::Deliver { machine, incoming });
        }
        self.after(1, delay, Event::Deliver { machine, incoming });
    }

    fn fault(&mut self, fault: Fault) {
        self.invariants
            .fault(&self.machines, &self.backends, &fault, self.now);
        match fault {
            Fault::Backend { endpoint, does } => self.backends[endpoint] = does,
            Fault::BusFreeze => {
                self.is_bus_frozen = true;
                // A server that is frozen for long is noticed, or only when it goes on.
                if self.random.percent(50) {
                    (0..self.machines.len()).for_each(|machine| self.notice(machine));
                }
            }
            Fault::BusThaw => {
                self.is_bus_frozen = false;
                for (from, to, incoming) in std::mem::take(&mut self.bus_messages) {
                    self.carry(from, to, incoming);
                }
            }
            Fault::Clear { machine, pool } => self.clear(machine, POOLS[pool].0),
            Fault::Clock { machine, offset_ms } => {
                let m = &mut self.machines[machine];
                (m.offset_ms, m.clock_set) = (offset_ms, self.now);
            }
            Fault::Cut { from, to, is_held } => self.cuts[from][to] = Some(is_held),
            Fault::Edit { machine, variant } => self.edit(machine, variant),
            Fault::End { machine, how } => self.end(machine, how),
            Fault::Freeze { machine } => {
                let m = &mut self.machines[machine];
                if m.process.is_some() {
                    m.frozen.get_or_insert(self.now);
                }
            }
            Fault::Join { from, to } => self.join(from, to),
            Fault::LinkDown { machine } => {
                self.machines[machine].is_linked = false;
                self.notice(machine);
            }
            Fault::LinkUp { machine } => self.machines[machine].is_linked = true,
            Fault::Path {
                machine,
                vantage,
                endpoint,
                is_open,
            } => {
                self.machines[machine].paths[vantage][endpoint] = is_open;
            }
            Fault::Quality(quality) => self.quality = quality,
            Fault::Set {
                machine,
                pool,
                seconds,
            } => self.set(machine, POOLS[pool].0, seconds),
            Fault::Start { machine } => self.start(machine),
            Fault::Thaw { machine } => self.thaw(machine),
            Fault::Uplink {
                machine,
                vantage,
                does,
            } => {
                self.machines[machine].uplinks[vantage] = does;
            }
        }
    }

    /// Pings are not answered: the connection ends some seconds later, unless it works again.
    fn notice(&mut self, machine: usize) {
        if let Some(process) = &self.machines[machine].process {
            let life = process.life;
            self.after(2_000, 5_000, Event::Disconnect { machine, life });
        }
    }

    fn join(&mut self, from: usize, to: usize) {
        self.cuts[from][to] = None;
        for message in std::mem::take(&mut self.cut_messages) {
            let (held_from, held_to, incoming) = message;
            if (held_from, held_to) == (from, to) {
                self.carry(from, to, incoming);
            } else {
                self.cut_messages.push((held_from, held_to, incoming));
            }
        }
    }

    fn thaw(&mut self, machine: usize) {
        let m = &mut self.machines[machine];
        let (Some(_), Some(since)) = (&m.process, m.frozen) else {
            return;
        };
        m.frozen = None;
        m.pauses.push((since, self.now));
        for event in std::mem::take(&mut m.held) {
            self.at(
                self.now,
                match event {
                    // The prober knows that it did not run.
                    Event::Probed {
                        machine,
                        life,
                        vantage,
                        mut observation,
                    } => {
                        if matches!(observation.result, ProbeResult::Failure(_)) {
                            let what = "this process was suspended while it probed";
                            observation.result =
                                ProbeResult::NoEvidence(VantageFault::Local(what.into()));
                        }
                        Event::Probed {
                            machine,
                            life,
                            vantage,
                            observation,
                        }
                    }
                    other => other,
                },
            );
        }
        self.reload(machine);
    }

    fn edit(&mut self, machine: usize, variant: usize) {
        self.machines[machine].variant = variant;
        self.reload(machine);
    }

    /// Looks at the files, as a process does all the time while it runs.
    fn reload(&mut self, machine: usize) {
        let m = &mut self.machines[machine];
        let plan = settings::plan(machine, m.variant);
        if let (Some(process), None) = (&mut m.process, m.frozen)
            && !Arc::ptr_eq(&process.plan, &plan)
        {
            process.adopt(plan);
            self.invariants.edited(&self.machines, machine, self.now);
            self.begin_probes(machine);
        }
    }

    fn set(&mut self, machine: usize, pool: &str, seconds: Option<u64>) {
        let moment = self.machines[machine].moment(self.now);
        let word = *self.random.pick(&["drain", "up", "down", "shed"]);
        let percent = (word == "shed").then(|| self.random.between(1, 100) as u8);
        let state = Forced::parse(word, percent).expect("a state");
        if self.machines[machine].frozen.is_some() {
            return;
        }
        let Some(process) = &mut self.machines[machine].process else {
            return;
        };
        if !process.has_pool(pool) {
            return;
        }
        let override_ = Override {
            state,
            since: moment.unix(),
            begins: None,
            until: seconds.map(|seconds| moment.unix() + seconds),
            reason: format!("order of {}", self.now).into(),
        };
        let served = settings::snapshot();
        let effects = process
            .evidence
            .set_override(pool, override_, true, "ops", served, moment);
        self.written(machine, pool, effects.expect("it is forced"));
    }

    fn clear(&mut self, machine: usize, pool: &str) {
        let moment = self.machines[machine].moment(self.now);
        if self.machines[machine].frozen.is_some() {
            return;
        }
        if let Some(process) = &mut self.machines[machine].process
            && process.has_pool(pool)
            && let Some(effects) = process.evidence.clear_override(pool, "ops", moment)
        {
            self.written(machine, pool, effects);
        }
    }

    fn written(&mut self, machine: usize, pool: &str, effects: Effects) {
        if let Some(process) = &mut self.machines[machine].process {
            let register = process.overrides.read().register(pool).cloned();
            let register = register.expect("written");
            self.invariants.written(register.clone());
            process.waiting.push(register);
        }
        self.carry_out(machine, effects);
    }

    /// Ends all faults.
    fn heal(&mut self) {
        let n = self.machines.len();
        self.quality = Quality::Good;
        for machine in 0..n {
            self.machines[machine].is_linked = true;
            for vantage in 0..2 {
                let does = Uplink::Up;
                self.fault(Fault::Uplink {
                    machine,
                    vantage,
                    does,
                });
                for endpoint in 0..N_ENDPOINTS {
                    let is_open = true;
                    self.fault(Fault::Path {
                        machine,
                        vantage,
                        endpoint,
                        is_open,
                    });
                }
            }
            if self.machines[machine].offset_ms.abs() > 500 {
                self.fault(Fault::Clock {
                    machine,
                    offset_ms: 0,
                });
            }
            self.thaw(machine);
            self.start(machine);
            for to in 0..n {
                self.join(machine, to);
            }
            self.edit(machine, self.schedule.variant);
        }
        self.fault(Fault::BusThaw);
        for endpoint in 0..N_ENDPOINTS {
            let does = match (self.schedule.up[endpoint], endpoint % 2) {
                (true, _) => Backend::Healthy,
                (false, 0) => Backend::Refuses,
                (false, _) => Backend::Silent,
            };
            self.fault(Fault::Backend { endpoint, does });
        }
    }
}

/// The index of an endpoint.
pub(crate) fn endpoint(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(address) => usize::from(address.octets()[3]) - 1,
        IpAddr::V6(_) => unreachable!("no such endpoint"),
    }
}
