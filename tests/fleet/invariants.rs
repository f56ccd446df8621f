//! What must hold in every schedule. Each invariant has a name and a check of its own.
//!
//! The checks know what the machines cannot: the true time, and what is broken. Where the evidence of a
//! vantage may or may not be too old to count, by its age and the clocks, whatever the machine makes of it
//! is taken; so a check never fails by rounding.

use std::collections::BTreeMap;

use meridian::base::health::Health;
use meridian::health::overrides::Register;
use meridian::health::view::EndpointView;
use meridian::health::view::VantageView;

use crate::machine::Machine;
use crate::machine::Process;
use crate::machine::START_MS;
use crate::schedule::Backend;
use crate::schedule::Fault;
use crate::schedule::Uplink;
use crate::settings;
use crate::settings::BLIND_MAX_MS;
use crate::settings::HALF_LIFE_MS;
use crate::settings::INTERVAL_MS;
use crate::settings::MAX_AGE_MS;
use crate::settings::N_ENDPOINTS;
use crate::settings::POOLS;
use crate::settings::REUSE;
use crate::settings::SUPPRESS;
use crate::settings::TIMEOUT_MS;
use crate::settings::VARIANTS;
use crate::world::endpoint;

/// The invariants.
const MINORITY: &str = "1: a pool that a majority of the fresh vantages reaches is not down";
const SAME_REPORTS: &str = "2: machines that hear the same reach the same verdict";
const HEALED: &str = "3: after the heal all agree within two intervals";
const DEAD_OR_BLIND: &str = "4: a dead or blind vantage never kills";
const OVERRIDES: &str = "5: an override is never lost and never comes back after its end";
const DAMPED: &str = "6: nothing flaps more than damping allows";
const LIVENESS: &str = "7: what is dead for long is down everywhere, and what is well is up";

/// What two intervals are, with the delay of a reconnect and a tick.
const TWO_INTERVALS_MS: u64 = 2 * INTERVAL_MS + 2_000;

/// So long machines may differ while a change is on its way.
const IN_FLIGHT_MS: u64 = 3_000;

/// So long a vote may rest on one that has left it: until the next evidence of any vantage.
const SETTLED_MS: u64 = INTERVAL_MS + 3_000;

/// Ticks, delays, and clocks that differ a little.
const SLACK_MS: u64 = 3_000;

/// After so long without a step, no evidence bears a time of before.
const CLOCK_CALM_MS: u64 = 75_000;

/// A vantage that has seen two pools for so long must know when it is blind.
const SEEN_MS: u64 = 12_000;

/// In so long a probe has failed at every endpoint.
const NOTICED_MS: u64 = INTERVAL_MS + INTERVAL_MS / 10 + TIMEOUT_MS + 500;

/// How far ahead of a machine's clock a register may be.
const MAX_SKEW_MS: u64 = 5_000;

/// What does not hold.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) at: u64,
    pub(crate) what: String,
}

/// The newest registers that a machine has held, and whether their overrides have ended.
pub(crate) type Floor = BTreeMap<Box<str>, (Register, bool)>;

/// The state.
pub(crate) struct Invariants {
    pub(crate) violation: Option<Violation>,
    /// By vantage, two for each machine, and endpoint: the true time by that in the record.
    probes: Vec<[BTreeMap<u64, u64>; N_ENDPOINTS]>,
    watches: Vec<Watch>,
    /// Since when each backend does what it does.
    backends: [(Backend, u64); N_ENDPOINTS],
    written: Vec<Register>,
    acknowledged: BTreeMap<Box<str>, Register>,
    /// From when on machines have what they need to agree.
    healed: u64,
    verdicts_differ: Option<u64>,
    overrides_differ: Option<u64>,
    /// By two machines and endpoint: since when they differ though they hear the same.
    differ: BTreeMap<(usize, usize, usize), u64>,
}

/// What is watched of a machine.
struct Watch {
    health: [Health; N_ENDPOINTS],
    floor: Floor,
    on_disk: Floor,
    edited: u64,
    vantages: [VantageWatch; 2],
}

/// What is watched of a vantage.
#[derive(Default)]
struct VantageWatch {
    flaps: [Flaps; N_ENDPOINTS],
    paths: [(bool, u64); N_ENDPOINTS],
    /// When its uplink was down, and until when.
    outages: Vec<(u64, Option<u64>)>,
}

/// An independent count of the penalty: never more than the real one.
#[derive(Clone, Copy, Default)]
struct Flaps {
    verdict: Health,
    penalty: f64,
    at: u64,
    is_suppressed: bool,
}

impl Invariants {
    pub(crate) fn new(n_machines: usize, healed: u64) -> Self {
        let watch = || Watch {
            health: [Health::Unknown; N_ENDPOINTS],
            floor: Floor::new(),
            on_disk: Floor::new(),
            edited: 0,
            vantages: [VantageWatch::new(), VantageWatch::new()],
        };
        Self {
            violation: None,
            probes: (0..n_machines * 2).map(|_| Default::default()).collect(),
            watches: (0..n_machines).map(|_| watch()).collect(),
            backends: [(Backend::Healthy, 0); N_ENDPOINTS],
            written: Vec::new(),
            acknowledged: BTreeMap::new(),
            healed,
            verdicts_differ: None,
            overrides_differ: None,
            differ: BTreeMap::new(),
        }
    }

    fn violated(&mut self, invariant: &'static str, at: u64, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let what = what();
            self.violation = Some(Violation {
                invariant,
                at,
                what,
            });
        }
    }

    // What the world reports.

    /// A vantage has new evidence, with this time in its record.
    pub(crate) fn probed(&mut self, vantage: usize, endpoint: usize, probed_ms: u64, now: u64) {
        self.probes[vantage][endpoint].insert(probed_ms, now);
    }

    /// An operator has written a register.
    pub(crate) fn written(&mut self, register: Register) {
        self.written.push(register);
    }

    /// Registers are on the disk of the machine that they were written on, and its operator knows.
    pub(crate) fn acknowledged(&mut self, registers: Vec<Register>) {
        for register in registers {
            let latest = self.acknowledged.entry(register.pool.clone());
            let latest = latest.or_insert_with(|| register.clone());
            if is_newer(&register, latest) {
                *latest = register;
            }
        }
    }

    /// What a machine holds now.
    pub(crate) fn floor(&self, machine: usize, process: &Process) -> Floor {
        let mut floor = self.watches[machine].floor.clone();
        raise(&mut floor, process);
        floor
    }

    /// What a machine held is on its disk.
    pub(crate) fn on_disk(&mut self, machine: usize, floor: Floor) {
        self.watches[machine].on_disk = floor;
    }

    /// A process has started, from what is on disk.
    pub(crate) fn started(&mut self, machines: &[Machine], machine: usize, boot_ms: u64, now: u64) {
        if boot_ms <= machines[machine].latest_boot_ms {
            // The others believe it once they have lost the process before, which was later by its clock.
            self.healed = self.healed.max(now + MAX_AGE_MS + SLACK_MS);
        }
        let watch = &mut self.watches[machine];
        watch.floor.clone_from(&watch.on_disk);
        watch.edited = now;
        self.look_anew(machines, machine, now);
        self.after_call(machines, machine, now);
    }

    /// A process goes on with other pools.
    pub(crate) fn edited(&mut self, machines: &[Machine], machine: usize, now: u64) {
        self.watches[machine].edited = now;
        self.look_anew(machines, machine, now);
    }

    /// Takes verdicts as they are: they are those of before.
    fn look_anew(&mut self, machines: &[Machine], machine: usize, now: u64) {
        let watch = &mut self.watches[machine];
        watch.health = [Health::Unknown; N_ENDPOINTS];
        for vantage in &mut watch.vantages {
            vantage.flaps = Default::default();
        }
        let Some(process) = &machines[machine].process else {
            return;
        };
        for view in process
            .health_table
            .read()
            .view(machines[machine].moment(now))
        {
            let at = endpoint(view.target.address);
            watch.health[at] = view.health;
            for vantage in view.vantages.iter().filter(|vantage| !vantage.is_remote) {
                let id = id(machine, vantage);
                watch.vantages[id % 2].flaps[at].verdict = vantage.streak.verdict;
            }
        }
    }

    /// Something breaks, or is mended.
    pub(crate) fn fault(
        &mut self,
        machines: &[Machine],
        backends: &[Backend],
        fault: &Fault,
        now: u64,
    ) {
        match fault {
            Fault::Backend { endpoint, does } if backends[*endpoint] != *does => {
                self.backends[*endpoint] = (*does, now);
            }
            Fault::Path {
                machine,
                vantage,
                endpoint,
                is_open,
            } if machines[*machine].paths[*vantage][*endpoint] != *is_open => {
                let watch = &mut self.watches[*machine].vantages[*vantage];
                watch.paths[*endpoint] = (*is_open, now);
            }
            Fault::Uplink {
                machine,
                vantage,
                does,
            } => {
                let outages = &mut self.watches[*machine].vantages[*vantage].outages;
                match (does, outages.last_mut()) {
                    (Uplink::Up, Some((_, end))) => {
                        end.get_or_insert(now);
                    }
                    (Uplink::Up, None) | (_, Some((_, None))) => {}
                    (_, _) => outages.push((now, None)),
                }
            }
            _ => {}
        }
    }

    // Checks after each call of a machine.

    /// A machine has taken an event.
    pub(crate) fn after_call(&mut self, machines: &[Machine], machine: usize, now: u64) {
        let m = &machines[machine];
        let Some(process) = &m.process else {
            return;
        };
        for view in process.health_table.read().view(m.moment(now)) {
            let at = endpoint(view.target.address);
            let before = std::mem::replace(&mut self.watches[machine].health[at], view.health);
            if before != Health::Down && view.health == Health::Down {
                self.check_kill(machines, machine, &view, now);
            }
            for vantage in view.vantages.iter().filter(|vantage| !vantage.is_remote) {
                let id = id(machine, vantage);
                let verdict = vantage.streak.verdict;
                let before = self.watches[machine].vantages[id % 2].flaps[at].verdict;
                if before != verdict {
                    self.check_damping(id, at, verdict, now);
                    if verdict == Health::Down && before != Health::Down {
                        self.check_sight(machines, id, at, now);
                    }
                }
            }
        }
        self.check_floor(process, m, machine, now);
    }

    /// Invariants 1 and 4: who has called an endpoint down.
    fn check_kill(
        &mut self,
        machines: &[Machine],
        machine: usize,
        view: &EndpointView<'_>,
        now: u64,
    ) {
        let at = endpoint(view.target.address);
        let (mut n_down, mut n_others) = (0, 0);
        for vantage in &view.vantages {
            let (may_vote, must_vote) = self.vote(machines, machine, vantage, at, now);
            if vantage.streak.verdict == Health::Down {
                n_down += usize::from(may_vote);
            } else {
                n_others += usize::from(must_vote);
            }
        }
        let what = || {
            let votes = view.vantages.iter().map(|vantage| {
                let votes = self.vote(machines, machine, vantage, at, now);
                let verdict = vantage.streak.verdict;
                format!(
                    "{} {verdict:?} age {:?} blind {} may and must vote {votes:?}",
                    vantage.name, vantage.report_age, vantage.is_blind
                )
            });
            let votes: Vec<_> = votes.collect();
            format!(
                "{} calls endpoint {at} down; {}",
                machines[machine].name,
                votes.join("; ")
            )
        };
        let violated = match (n_down, n_down > n_others) {
            (0, _) => DEAD_OR_BLIND,
            (_, false) => MINORITY,
            (_, true) => return,
        };
        let what = what();
        self.violated(violated, now, || what);
    }

    /// Whether a vantage may have a vote at a machine, and whether it must.
    fn vote(
        &self,
        machines: &[Machine],
        machine: usize,
        vantage: &VantageView<'_>,
        at: usize,
        now: u64,
    ) -> (bool, bool) {
        let id = id(machine, vantage);
        let m = &machines[machine];
        let started = m.process.as_ref().map_or(0, |process| process.started);
        let probed = vantage.streak.record_of().probed_ms;
        let probed = probed.and_then(|probed| self.probes[id][at].get(&probed));
        let Some(probed) = probed.copied() else {
            return (!vantage.is_blind, false);
        };
        let owner = &machines[id / 2];
        let is_calm = |m: &Machine| m.clock_set == 0 || m.clock_set + CLOCK_CALM_MS <= now;
        let is_calm = !vantage.is_remote || (is_calm(m) && is_calm(owner));
        let age = now - probed;
        let is_restored = probed < started && now - started <= MAX_AGE_MS + SLACK_MS;
        let may = age <= MAX_AGE_MS + SLACK_MS + m.paused_since(probed, now);
        let must = is_calm && age + SLACK_MS <= MAX_AGE_MS && probed > started;
        let sees = !vantage.is_blind;
        (sees && (may || is_restored || !is_calm), sees && must)
    }

    /// Invariant 4: a vantage whose uplink fails must not call an endpoint down that is well.
    fn check_sight(&mut self, machines: &[Machine], vantage: usize, at: usize, now: u64) {
        let (machine, nth) = (vantage / 2, vantage % 2);
        let watch = &self.watches[machine].vantages[nth];
        let outages = watch.outages.iter();
        let outages = outages.filter(|(_, end)| end.is_none_or(|end| end + 2 * SEEN_MS >= now));
        let outages: Vec<_> = outages.copied().collect();
        let since = match outages[..] {
            [] => now.saturating_sub(2 * SEEN_MS),
            // One that is shorter than an interval is not noticed at all endpoints.
            [(start, end)]
                if end.unwrap_or(now) - start + SLACK_MS <= BLIND_MAX_MS
                    && end.is_none_or(|end| end - start >= NOTICED_MS) =>
            {
                start.saturating_sub(SEEN_MS)
            }
            _ => return,
        };
        let is_well = |at: usize| {
            let ((backend, changed), (is_open, moved)) = (self.backends[at], watch.paths[at]);
            backend == Backend::Healthy && is_open && changed.max(moved) <= since
        };
        let pool_of = |at: usize| at.min(2);
        let n_pools = POOLS.len() - usize::from(machines[machine].variant == VARIANTS - 1);
        let mut others =
            (0..N_ENDPOINTS).filter(|e| pool_of(*e) != pool_of(at) && pool_of(*e) < n_pools);
        let was_undisturbed = self.watches[machine].edited <= since
            && machines[machine].paused_since(since, now) == 0
            && since > 0;
        if was_undisturbed && is_well(at) && others.any(is_well) {
            let name = machines[machine].name;
            self.violated(DEAD_OR_BLIND, now, || {
                format!("vantage {nth} of {name} calls endpoint {at} down, which is well; its uplink was down {outages:?}")
            });
        }
    }

    /// Invariant 6.
    fn check_damping(&mut self, vantage: usize, at: usize, verdict: Health, now: u64) {
        let flaps = &mut self.watches[vantage / 2].vantages[vantage % 2].flaps[at];
        let before = std::mem::replace(&mut flaps.verdict, verdict);
        let half_lives = (now - flaps.at) as f64 / HALF_LIFE_MS as f64;
        flaps.penalty *= 0.5_f64.powf(half_lives);
        flaps.at = now;
        if verdict == Health::Down {
            flaps.penalty += 1.0;
            flaps.is_suppressed |= flaps.penalty > SUPPRESS + 0.01;
        } else if before == Health::Down && std::mem::take(&mut flaps.is_suppressed) {
            let penalty = flaps.penalty;
            if penalty > REUSE + 0.01 {
                self.violated(DAMPED, now, || {
                    format!(
                        "vantage {vantage} calls endpoint {at} up with a penalty of {penalty:.2}"
                    )
                });
            }
        }
    }

    /// Invariant 5, on one machine: registers only become newer, and what has ended stays so.
    fn check_floor(&mut self, process: &Process, m: &Machine, machine: usize, now: u64) {
        let overrides = process.overrides.read();
        for (pool, (before, has_ended)) in &self.watches[machine].floor {
            let what = match overrides.register(pool) {
                None => "was forgotten",
                Some(register) if is_newer(before, register) => "went back",
                Some(register)
                    if register == before && *has_ended && overrides.of(pool).is_some() =>
                {
                    "came back after its end"
                }
                Some(_) => continue,
            };
            let what = format!(
                "the override of {pool} on {} {what}: {before:?}, now {:?}",
                m.name,
                overrides.register(pool)
            );
            self.violated(OVERRIDES, now, || what);
            return;
        }
        drop(overrides);
        raise(&mut self.watches[machine].floor, process);
    }

    // Checks every second.

    /// Compares the machines.
    pub(crate) fn every_second(&mut self, machines: &[Machine], now: u64) {
        for (machine, m) in machines.iter().enumerate() {
            if let Some(process) = m.running() {
                self.check_ended(process, m, now);
                self.check_written(process, m, now);
                for other in machine + 1..machines.len() {
                    self.check_same_reports(machines, machine, other, now);
                }
            }
        }
        self.check_agreement(machines, now);
    }

    /// Invariant 5: nothing is in force after its end, by the machine's clock.
    fn check_ended(&mut self, process: &Process, m: &Machine, now: u64) {
        let unix = m
            .moment(now.saturating_sub(SLACK_MS).max(process.started))
            .unix();
        let is_calm = now > m.clock_set.max(process.started) + SLACK_MS
            && m.paused_since(now - SLACK_MS, now) == 0;
        let overrides = process.overrides.read();
        let ended = overrides
            .iter()
            .find(|(_, o)| o.until.is_some_and(|until| until < unix));
        if let (Some((pool, o)), true) = (ended, is_calm) {
            let what = format!(
                "the override of {pool} is in force on {} after its end: {o:?}",
                m.name
            );
            self.violated(OVERRIDES, now, || what);
        }
    }

    /// Invariant 5: nothing is in force that no operator has set.
    fn check_written(&mut self, process: &Process, m: &Machine, now: u64) {
        for register in process.overrides.read().registers() {
            if !self.written.contains(register) {
                self.violated(OVERRIDES, now, || {
                    format!("{} holds what nobody wrote: {register:?}", m.name)
                });
            }
        }
    }

    /// Invariant 2.
    fn check_same_reports(&mut self, machines: &[Machine], one: usize, other: usize, now: u64) {
        let pair = [one, other].map(|at| (at, &machines[at], machines[at].running()));
        let [(_, a, Some(of_a)), (_, b, Some(of_b))] = pair else {
            self.differ
                .retain(|(first, second, _), _| (*first, *second) != (one, other));
            return;
        };
        let (table_a, table_b) = (of_a.health_table.read(), of_b.health_table.read());
        let mut differing = Vec::new();
        if a.variant == b.variant {
            let views = table_a.view(a.moment(now)).zip(table_b.view(b.moment(now)));
            for (view_a, view_b) in views {
                let votes = votes(one, &view_a);
                if view_a.health != view_b.health
                    && is_decisive(&votes)
                    && votes == self::votes(other, &view_b)
                {
                    differing.push((endpoint(view_a.target.address), votes));
                }
            }
        }
        for at in 0..N_ENDPOINTS {
            let Some((_, votes)) = differing.iter().find(|(differing, _)| *differing == at) else {
                self.differ.remove(&(one, other, at));
                continue;
            };
            let since = *self.differ.entry((one, other, at)).or_insert(now);
            if now - since > SETTLED_MS {
                let names = [a.name, b.name];
                let what = format!(
                    "{names:?} differ about endpoint {at} since {since}, with votes {votes:?}"
                );
                self.violated(SAME_REPORTS, now, || what);
            }
        }
    }

    /// Invariant 3.
    fn check_agreement(&mut self, machines: &[Machine], now: u64) {
        let running = || machines.iter().filter_map(|m| Some((m, m.running()?)));
        let verdicts_differ = verdicts_differ(machines, now);
        let pools = POOLS.iter().map(|(pool, _)| *pool);
        let mut overrides_differ = false;
        for pool in pools {
            let having = || running().filter(|(_, process)| process.has_pool(pool));
            let registers = having().map(|(_, process)| {
                let overrides = process.overrides.read();

                let register = overrides.register(pool).cloned();
                // A clock that was ahead ends an override early, on its machine only.
                let until = register.as_ref().and_then(|r| r.value.as_ref()?.until);
                let may_differ =
                    until.is_some_and(|until| until * 1_000 + SLACK_MS > START_MS + now);
                (register, overrides.of(pool).is_some() && !may_differ)
            });
            let registers: Vec<_> = registers.collect();
            overrides_differ |= !are_equal(registers.iter());
            let acknowledged = self.acknowledged.get(pool);
            let is_lost = acknowledged.is_some_and(|acknowledged| {
                let mut held = registers.iter().map(|(register, _)| register.as_ref());
                held.any(|held| held.is_none_or(|held| is_newer(acknowledged, held)))
            });
            overrides_differ |= is_lost;
        }
        let since = |differ: bool, since: Option<u64>| differ.then(|| since.unwrap_or(now));
        self.verdicts_differ = since(verdicts_differ, self.verdicts_differ);
        self.overrides_differ = since(overrides_differ, self.overrides_differ);
        let ahead = self
            .written
            .iter()
            .map(|r| r.stamp.ms.saturating_sub(START_MS + MAX_SKEW_MS))
            .max();
        let overrides_healed = self.healed.max(ahead.unwrap_or(0) + SLACK_MS);
        for (what, differ, healed) in [
            ("verdicts", self.verdicts_differ, self.healed),
            ("overrides", self.overrides_differ, overrides_healed),
        ] {
            if let Some(since) = differ
                && now > healed + TWO_INTERVALS_MS
                && now - since > IN_FLIGHT_MS
            {
                let described = running()
                    .map(|(m, process)| describe(m, process, now))
                    .collect::<String>();
                self.violated(HEALED, now, || {
                    format!("{what} differ since {since}{described}")
                });
            }
        }
    }

    /// Invariant 7, at the end.
    pub(crate) fn at_the_end(&mut self, machines: &[Machine], up: &[bool; N_ENDPOINTS], now: u64) {
        for m in machines {
            let Some(process) = m.running() else {
                self.violated(LIVENESS, now, || format!("{} does not run", m.name));
                return;
            };
            for view in process.health_table.read().view(m.moment(now)) {
                let at = endpoint(view.target.address);
                let expected = if up[at] { Health::Up } else { Health::Down };
                if view.health != expected {
                    let described = describe(m, process, now);
                    self.violated(LIVENESS, now, || {
                        format!(
                            "{} calls endpoint {at} {:?}, it is {expected:?}{described}",
                            m.name, view.health
                        )
                    });
                }
            }
        }
    }
}

impl VantageWatch {
    fn new() -> Self {
        Self {
            paths: [(true, 0); N_ENDPOINTS],
            ..Self::default()
        }
    }
}

/// A vantage's number: two for each machine.
fn id(machine: usize, vantage: &VantageView<'_>) -> usize {
    let owner = match vantage.is_remote {
        true => {
            let node = vantage.name.split('/').next().expect("a name");
            (0..settings::MAX_MACHINES)
                .position(|m| settings::name(m) == node)
                .expect("a machine")
        }
        false => machine,
    };
    owner * 2 + usize::from(vantage.name.ends_with("far"))
}

/// The verdicts that count on a machine.
fn votes(machine: usize, view: &EndpointView<'_>) -> BTreeMap<usize, &'static str> {
    let fresh = view.vantages.iter().filter(|vantage| vantage.is_fresh);
    fresh
        .map(|vantage| (id(machine, vantage), vantage.streak.verdict.as_str()))
        .collect()
}

/// Whether votes decide whatever was before.
fn is_decisive(votes: &BTreeMap<usize, &'static str>) -> bool {
    let count = |word| votes.values().filter(|vote| **vote == word).count();
    count("up") > 0 || count("down") * 2 > votes.len()
}

/// Whether machines call an endpoint otherwise than others, and not merely because the last verdict stands:
/// where the votes decide nothing, as after an edit until vantages have verdicts again, it is each machine's
/// own.
fn verdicts_differ(machines: &[Machine], now: u64) -> bool {
    let mut known: BTreeMap<usize, Vec<(Health, bool)>> = BTreeMap::new();
    for (ix, m) in machines.iter().enumerate() {
        let Some(process) = m.running() else {
            continue;
        };
        for view in process.health_table.read().view(m.moment(now)) {
            let of_endpoint = known.entry(endpoint(view.target.address)).or_default();
            of_endpoint.push((view.health, is_decisive(&votes(ix, &view))));
        }
    }
    known.values().any(|of_endpoint| {
        let healths = of_endpoint.iter().map(|(health, _)| *health);
        !are_equal(healths) && of_endpoint.iter().any(|(_, is_decided)| *is_decided)
    })
}

fn is_newer(one: &Register, other: &Register) -> bool {
    (&one.stamp, &one.value) > (&other.stamp, &other.value)
}

fn raise(floor: &mut Floor, process: &Process) {
    let overrides = process.overrides.read();
    for register in overrides.registers() {
        let has_ended = overrides.of(&register.pool).is_none();
        floor.insert(register.pool.clone(), (register.clone(), has_ended));
    }
}

fn are_equal<T: PartialEq>(mut values: impl Iterator<Item = T>) -> bool {
    let first = values.next();
    values.all(|value| Some(value) == first)
}

fn describe(m: &Machine, process: &Process, now: u64) -> String {
    let mut text = format!("\n  {}:", m.name);
    for view in process.health_table.read().view(m.moment(now)) {
        let votes = view.vantages.iter().map(|vantage| {
            let age = vantage.report_age.map(|age| age.as_secs());
            let fresh = if vantage.is_fresh { "" } else { " (not fresh)" };
            format!(
                "{} {} {age:?}{fresh}",
                vantage.name,
                vantage.streak.verdict.as_str()
            )
        });
        let votes: Vec<_> = votes.collect();
        text.push_str(&format!(
            "\n    {} {}: {}",
            view.target.address,
            view.health.as_str(),
            votes.join(", ")
        ));
    }
    for register in process.overrides.read().registers() {
        text.push_str(&format!("\n    {register:?}"));
    }
    text
}
