//! Overrides: a pool's state as an operator sets it, whatever its probes say, until it expires.

use std::collections::BTreeMap;
use std::collections::HashSet;

use serde::Deserialize;
use serde::Serialize;

use crate::base::fnv::fnv1a;
use crate::health::observation::Moment;

/// The state that an operator puts a pool into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forced {
    /// No new answers; probes go on.
    Drain,
    /// Treated as down.
    Down,
    /// Out for practice, as in a drain; ends by itself, or when something is wrong.
    Drill,
    /// A share of its clients goes to their next pools; probes count.
    Shed(Percent),
    /// Treated as up.
    Up,
}

/// A share that is neither nothing nor all: from 1 to 99 in a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

/// Why something is no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForcedError {
    /// There is none of that name.
    #[error(
        "`state`: `{0}` is not taken, expected \"drain\", \"up\", \"down\", \"shed\" or \"drill\""
    )]
    Unknown(Box<str>),
    /// `shed` needs a percentage, and no other state has one.
    #[error(
        "`percent` is a whole number from 1 to 99 with `state` \"shed\", and goes with no other"
    )]
    Percent,
    /// A drill would not end if who began it were gone.
    #[error("a drill has no end, expected `until`")]
    Endless,
}

impl Forced {
    /// The words of all, in the order of the contract.
    pub const WORDS: [&str; 5] = ["drain", "up", "down", "shed", "drill"];

    /// The state of that name.
    ///
    /// # Errors
    /// If there is none, or the percentage does not go with it.
    pub fn parse(word: &str, percent: Option<u8>) -> Result<Self, ForcedError> {
        let state = match word {
            "drain" => Self::Drain,
            "down" => Self::Down,
            "drill" => Self::Drill,
            "up" => Self::Up,
            "shed" => {
                let percent = percent.and_then(Percent::new);
                return percent.map(Self::Shed).ok_or(ForcedError::Percent);
            }
            _ => return Err(ForcedError::Unknown(word.into())),
        };
        match percent {
            None => Ok(state),
            Some(_) => Err(ForcedError::Percent),
        }
    }

    /// The word used in the API and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Down => "down",
            Self::Drill => "drill",
            Self::Shed(_) => "shed",
            Self::Up => "up",
        }
    }

    /// The share of its clients that a pool sheds.
    pub fn percent(self) -> Option<u8> {
        match self {
            Self::Shed(percent) => Some(percent.get()),
            Self::Drain | Self::Down | Self::Drill | Self::Up => None,
        }
    }
}

impl Percent {
    /// So many in a hundred; `None` unless from 1 to 99.
    pub fn new(percent: u8) -> Option<Self> {
        (1..=99).contains(&percent).then_some(Self(percent))
    }

    /// So many in a hundred.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// An operator override.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "WrittenOverride", into = "WrittenOverride")]
pub struct Override {
    /// The state.
    pub state: Forced,
    /// When it was set, in Unix seconds.
    pub since: u64,
    /// When it begins, in Unix seconds; `None`: when it was set.
    pub begins: Option<u64>,
    /// When it ends by itself, in Unix seconds; `None`: never.
    pub until: Option<u64>,
    /// Why, for people; may be empty.
    pub reason: Box<str>,
}

/// An override in files and messages.
#[derive(Serialize, Deserialize)]
struct WrittenOverride {
    state: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    percent: Option<u8>,
    since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begins: Option<u64>,
    until: Option<u64>,
    reason: Box<str>,
}

impl TryFrom<WrittenOverride> for Override {
    type Error = ForcedError;

    fn try_from(written: WrittenOverride) -> Result<Self, ForcedError> {
        let state = Forced::parse(&written.state, written.percent)?;
        if state == Forced::Drill && written.until.is_none() {
            return Err(ForcedError::Endless);
        }
        Ok(Self {
            state,
            since: written.since,
            begins: written.begins,
            until: written.until,
            reason: written.reason,
        })
    }
}

impl From<Override> for WrittenOverride {
    fn from(override_: Override) -> Self {
        Self {
            state: override_.state.as_str().into(),
            percent: override_.state.percent(),
            since: override_.since,
            begins: override_.begins,
            until: override_.until,
            reason: override_.reason,
        }
    }
}

/// When a register was written, and by whom: a hybrid logical clock. Later ones win.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// Unix milliseconds; more where the register held a stamp that was ahead of the writer's clock.
    pub ms: u64,
    /// The machine, empty for one that is in no fleet.
    pub node: Box<str>,
}

/// What was last ordered for a pool: a last-writer-wins register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The pool's name.
    pub pool: Box<str>,
    /// When, and by whom.
    pub stamp: Stamp,
    /// The override; `None`: it was cleared.
    pub value: Option<Override>,
}

/// The overrides, by pool name; a name may be of a pool that a reload has taken away, and then has no effect
/// until the pool is back.
///
/// Machines that exchange registers in any order, any number of times, end with the same ones. Registers
/// that were cleared or have expired are kept as tombstones, so that no stale copy of what was there before
/// can come back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    by_pool: BTreeMap<Box<str>, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    register: Register,
    phase: Phase,
}

/// How far an override is. It only goes on, whatever the clock does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// It begins later.
    Planned,
    /// It is in force.
    InForce,
    /// It has ended by itself, or was cleared.
    Over,
}

impl Overrides {
    /// Sets a pool's override in place of the one before; returns the register to send to other machines.
    pub fn set(&mut self, pool: &str, override_: Override, node: &str, now: Moment) -> Register {
        self.write(pool, Some(override_), node, now)
    }

    /// Begins a drill of a pool, or ends one (`None`), with the least stamp that replaces what is known here:
    /// whatever an operator orders meanwhile on another machine replaces it there.
    pub fn drill(
        &mut self,
        pool: &str,
        value: Option<Override>,
        node: &str,
        now: Moment,
    ) -> Register {
        let register = Register {
            pool: pool.into(),
            stamp: Stamp {
                ms: self.next_stamp(pool),
                node: node.into(),
            },
            value,
        };
        self.merge(register.clone(), now.unix());
        register
    }

    /// Clears a pool's override; `None` if none is in force or planned.
    pub fn clear(&mut self, pool: &str, node: &str, now: Moment) -> Option<Register> {
        self.standing(pool)?;
        Some(self.write(pool, None, node, now))
    }

    fn write(&mut self, pool: &str, value: Option<Override>, node: &str, now: Moment) -> Register {
        let register = Register {
            pool: pool.into(),
            stamp: Stamp {
                ms: now.unix_ms.max(self.next_stamp(pool)),
                node: node.into(),
            },
            value,
        };
        self.merge(register.clone(), now.unix());
        register
    }

    /// The least time of a stamp that is later than that of a pool's register.
    fn next_stamp(&self, pool: &str) -> u64 {
        let before = self.by_pool.get(pool);
        before.map_or(0, |entry| entry.register.stamp.ms.saturating_add(1))
    }

    /// Takes a register of another machine, or of the last run; whether it is newer than the one here. `now`
    /// is in Unix seconds.
    pub fn merge(&mut self, register: Register, now: u64) -> bool {
        let order = |register: &Register| (register.stamp.clone(), register.value.clone());
        let before = self.by_pool.get(&register.pool);
        if before.is_some_and(|before| order(&before.register) >= order(&register)) {
            return false;
        }
        let phase = register.value.as_ref().map(|o| o.phase(now));
        let pool = register.pool.clone();
        let entry = Entry {
            register,
            phase: phase.unwrap_or(Phase::Over),
        };
        self.by_pool.insert(pool, entry);
        true
    }

    /// A pool's override that is in force.
    pub fn of(&self, pool: &str) -> Option<&Override> {
        self.by_pool.get(pool)?.in_phase(Phase::InForce)
    }

    /// A pool's override that begins later.
    pub fn planned(&self, pool: &str) -> Option<&Override> {
        self.by_pool.get(pool)?.in_phase(Phase::Planned)
    }

    /// A pool's override that is in force or planned.
    pub fn standing(&self, pool: &str) -> Option<&Override> {
        self.by_pool.get(pool).and_then(Entry::standing)
    }

    /// A pool's register.
    pub fn register(&self, pool: &str) -> Option<&Register> {
        self.by_pool.get(pool).map(|entry| &entry.register)
    }

    /// All registers, by pool name.
    pub fn registers(&self) -> impl Iterator<Item = &Register> {
        self.by_pool.values().map(|entry| &entry.register)
    }

    /// All overrides that are in force or planned, by pool name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Override)> {
        let entries = self.by_pool.iter();
        entries.filter_map(|(pool, entry)| Some((&**pool, entry.standing()?)))
    }

    /// Those of pools that are none of these.
    pub fn orphaned<'a>(
        &'a self,
        pools: impl Iterator<Item = &'a str>,
    ) -> impl Iterator<Item = (&'a str, &'a Override)> {
        let pools: HashSet<&str> = pools.collect();
        self.iter().filter(move |(pool, _)| !pools.contains(pool))
    }

    /// Begins what is due by `now`, in Unix seconds; returns the pools it was about.
    pub fn begin(&mut self, now: u64) -> Vec<Box<str>> {
        let is_due = |o: &Override| o.begins.is_none_or(|begins| begins <= now);
        self.go_on(|o| is_due(o).then_some(Phase::InForce))
    }

    /// Ends what is over by `now`, in Unix seconds; returns the pools it was about.
    pub fn expire(&mut self, now: u64) -> Vec<Box<str>> {
        self.go_on(|o| (o.phase(now) == Phase::Over).then_some(Phase::Over))
    }

    /// Goes on with the overrides for which there is a later phase; returns their pools.
    fn go_on(&mut self, next: impl Fn(&Override) -> Option<Phase>) -> Vec<Box<str>> {
        let mut changed = Vec::new();
        for (pool, entry) in &mut self.by_pool {
            let next = entry.standing().and_then(&next);
            if let Some(phase) = next.filter(|next| *next > entry.phase) {
                entry.phase = phase;
                changed.push(pool.clone());
            }
        }
        changed
    }

    /// The pools whose override has begun later than it was set, and not ended.
    pub fn begun(&self) -> impl Iterator<Item = &str> {
        let overrides = self.by_pool.iter();
        let has_begun = |o: &Override| o.begins.is_some();
        overrides.filter_map(move |(pool, entry)| {
            let in_force = entry.in_phase(Phase::InForce);
            in_force.is_some_and(has_begun).then_some(&**pool)
        })
    }

    /// The pools whose override has ended by itself.
    pub fn ended(&self) -> impl Iterator<Item = &str> {
        let has_ended = |entry: &Entry| entry.in_phase(Phase::Over).is_some();
        let entries = self.by_pool.iter();
        entries.filter_map(move |(pool, entry)| has_ended(entry).then_some(&**pool))
    }

    /// Goes on with a pool's override as far as it was in the last run, whatever the clock says.
    fn resume(&mut self, pool: &str, phase: Phase) {
        if let Some(entry) = self.by_pool.get_mut(pool) {
            entry.phase = entry.phase.max(phase);
        }
    }

    /// Begins a pool's override, whatever the clock says: it had begun in the last run.
    pub fn resume_begun(&mut self, pool: &str) {
        self.resume(pool, Phase::InForce);
    }

    /// Ends a pool's override, whatever the clock says: it had ended in the last run.
    pub fn resume_ended(&mut self, pool: &str) {
        self.resume(pool, Phase::Over);
    }

    /// A hash of the registers of some pools: equal on machines that hold the same.
    pub fn digest(&self, is_wanted: impl Fn(&str) -> bool) -> u64 {
        let mut text = String::new();
        for register in self.registers().filter(|r| is_wanted(&r.pool)) {
            let Register { pool, stamp, value } = register;
            text.push_str(&format!("{pool:?} {} {:?} ", stamp.ms, stamp.node));
            if let Some(value) = value {
                let Override {
                    state,
                    since,
                    begins,
                    until,
                    reason,
                } = value;
                text.push_str(&format!("{} {since} {until:?} {reason:?}", state.as_str()));
                if let Some(begins) = begins {
                    text.push_str(&format!(" {begins}"));
                }
                if let Some(percent) = state.percent() {
                    text.push_str(&format!(" {percent}"));
                }
            }
            text.push('\n');
        }
        fnv1a(text.as_bytes())
    }
}

impl Override {
    fn phase(&self, now: u64) -> Phase {
        match (self.begins, self.until) {
            (_, Some(until)) if until <= now => Phase::Over,
            (Some(begins), _) if begins > now => Phase::Planned,
            _ => Phase::InForce,
        }
    }
}

impl Entry {
    fn in_phase(&self, phase: Phase) -> Option<&Override> {
        self.register.value.as_ref().filter(|_| self.phase == phase)
    }

    fn standing(&self) -> Option<&Override> {
        self.register
            .value
            .as_ref()
            .filter(|_| self.phase != Phase::Over)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment {
            unix_ms: seconds * 1_000,
            ..Moment::default()
        }
    }

    fn drain(until: Option<u64>) -> Override {
        Override {
            state: Forced::Drain,
            since: 100,
            begins: None,
            until,
            reason: "".into(),
        }
    }

    #[test]
    fn states_are_read_as_they_are_written() {
        for word in Forced::WORDS {
            let percent = (word == "shed").then_some(20);
            let forced = Forced::parse(word, percent).unwrap();
            assert_eq!((forced.as_str(), forced.percent()), (word, percent));
        }
        for (word, percent, expected) in [
            ("Drain", None, ForcedError::Unknown("Drain".into())),
            ("drain", Some(20), ForcedError::Percent),
            ("shed", None, ForcedError::Percent),
            ("shed", Some(0), ForcedError::Percent),
            ("shed", Some(100), ForcedError::Percent),
        ] {
            let forced = Forced::parse(word, percent);
            assert_eq!(forced, Err(expected), "{word} {percent:?}");
        }
    }

    #[test]
    fn overrides_are_written_with_the_percentage_of_a_shed_beside_the_word() {
        let shed = Forced::Shed(Percent::new(20).unwrap());
        for (state, expected) in [
            (
                Forced::Drain,
                r#"{"state":"drain","since":100,"until":null,"reason":""}"#,
            ),
            (
                shed,
                r#"{"state":"shed","percent":20,"since":100,"until":null,"reason":""}"#,
            ),
        ] {
            let override_ = Override {
                state,
                ..drain(None)
            };
            let text = serde_json::to_string(&override_).unwrap();
            assert_eq!(text, expected);
            assert_eq!(serde_json::from_str::<Override>(&text).unwrap(), override_);
        }
        for state in [r#""shed""#, r#""drain","percent":20"#, r#""shut""#] {
            let text = format!(r#"{{"state":{state},"since":100,"until":null,"reason":""}}"#);
            assert!(serde_json::from_str::<Override>(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn overrides_expire_or_are_cleared() {
        let mut overrides = Overrides::default();
        overrides.set("a", drain(Some(160)), "n", at(100));
        overrides.set("b", drain(None), "n", at(100));
        assert!(overrides.expire(159).is_empty());
        assert_eq!(overrides.expire(160), ["a".into()]);
        assert_eq!(overrides.of("a"), None);
        assert!(overrides.expire(u64::MAX).is_empty());
        assert!(overrides.clear("b", "n", at(160)).is_some());
        assert!(overrides.clear("b", "n", at(160)).is_none());
        assert_eq!(overrides.iter().count(), 0);
        assert_eq!(overrides.registers().count(), 2, "tombstones");
    }

    #[test]
    fn planned_overrides_begin_once_and_never_go_back() {
        let planned = |begins, until| Override {
            begins: Some(begins),
            ..drain(until)
        };
        let mut overrides = Overrides::default();
        overrides.set("a", planned(200, Some(260)), "n", at(100));
        assert_eq!((overrides.of("a"), overrides.begun().count()), (None, 0));
        assert!(overrides.planned("a").is_some() && overrides.standing("a").is_some());
        assert!(overrides.begin(199).is_empty());
        assert_eq!(overrides.begin(200), ["a".into()]);
        assert!(overrides.begin(200).is_empty());
        assert!(overrides.of("a").is_some() && overrides.planned("a").is_none());
        assert!(overrides.begin(100).is_empty() && overrides.expire(100).is_empty());
        assert_eq!(overrides.begun().collect::<Vec<_>>(), ["a"]);
        assert_eq!(overrides.expire(260), ["a".into()]);
        assert_eq!(overrides.ended().collect::<Vec<_>>(), ["a"]);
        // One that another machine had ordered, and that is over when it comes.
        let mut late = Overrides::default();
        let register = overrides.register("a").expect("a tombstone").clone();
        late.merge(register.clone(), 260);
        assert_eq!(late.standing("a"), None);
        let mut early = Overrides::default();
        early.merge(register, 150);
        assert!(early.planned("a").is_some());
        // Both ends slept through.
        assert_eq!(early.begin(300), ["a".into()]);
        assert_eq!(early.expire(300), ["a".into()]);
        // Taken back before it begins, or replaced.
        early.set("a", planned(500, None), "n", at(400));
        assert!(early.clear("a", "n", at(401)).is_some());
        assert!(early.begin(500).is_empty());
        early.set("a", drain(None), "n", at(600));
        early.set("a", planned(700, None), "n", at(601));
        assert_eq!(early.of("a"), None, "the later order stands");
        let digest = early.digest(|_| true);
        early.set("a", planned(701, None), "n", at(601));
        assert_ne!(early.digest(|_| true), digest);
    }

    #[test]
    fn a_writer_whose_clock_is_behind_still_comes_last() {
        let mut overrides = Overrides::default();
        let ahead = overrides.set("a", drain(None), "z", at(200));
        let cleared = overrides.clear("a", "b", at(100)).expect("one in force");
        assert_eq!(cleared.stamp.ms, 200_001);
        assert!(!overrides.merge(ahead, 100), "stale");
        assert_eq!(overrides.of("a"), None);
    }

    /// What operators do on three machines, and which registers reach which machine in which order.
    #[derive(Clone, Debug)]
    enum Step {
        Set {
            node: usize,
            begins_after: Option<u64>,
            ends_after: Option<u64>,
        },
        Clear {
            node: usize,
        },
        /// All registers that the one ever had, the oldest first, reach the other.
        Deliver {
            from: usize,
            to: usize,
        },
        Wait {
            seconds: u64,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (
                0..3_usize,
                proptest::option::of(1..10_u64),
                proptest::option::of(1..20_u64)
            )
                .prop_map(|(node, begins_after, ends_after)| Step::Set {
                    node,
                    begins_after,
                    ends_after
                }),
            (0..3_usize).prop_map(|node| Step::Clear { node }),
            (0..3_usize, 0..3_usize).prop_map(|(from, to)| Step::Deliver { from, to }),
            (1..10_u64).prop_map(|seconds| Step::Wait { seconds }),
        ]
    }

    proptest! {
        /// Whatever the schedule and the skew of the clocks: what is ordered last, by stamp, is what all
        /// machines have once they have exchanged everything, and nothing that was cleared or has expired
        /// comes back.
        #[test]
        fn machines_that_exchange_registers_agree(
            steps in proptest::collection::vec(step(), 1..40),
            skew in proptest::array::uniform3(0..5_u64),
        ) {
            let mut now = 1_000;
            let mut machines = [0; 3].map(|_| Overrides::default());
            let mut history = [0; 3].map(|_| Vec::<Register>::new());
            for step in steps {
                match step {
                    Step::Set { node, begins_after, ends_after } => {
                        let here = at(now + skew[node]);
                        let begins = begins_after.map(|after| here.unix() + after);
                        let until = ends_after.map(|after| begins.unwrap_or(here.unix()) + after);
                        let override_ = Override { begins, ..drain(until) };
                        let register = machines[node].set("a", override_, &node.to_string(), here);
                        history[node].push(register);
                    }
                    Step::Clear { node } => {
                        let here = at(now + skew[node]);
                        history[node].extend(machines[node].clear("a", &node.to_string(), here));
                    }
                    Step::Deliver { from, to } => {
                        for register in history[from].clone() {
                            let had = machines[to].register("a").cloned();
                            let is_newer = machines[to].merge(register.clone(), now + skew[to]);
                            let wins = had.is_none_or(|had| register.stamp > had.stamp);
                            prop_assert_eq!(is_newer, wins);
                            prop_assert!(!machines[to].merge(register.clone(), now), "idempotent");
                            history[to].push(register);
                        }
                    }
                    Step::Wait { seconds } => now += seconds,
                }
                for (machine, skew) in machines.iter_mut().zip(skew) {
                    machine.begin(now + skew);
                    machine.expire(now + skew);
                    let in_force = machine.of("a").cloned();
                    let latest = machine.register("a").and_then(|r| r.value.clone());
                    prop_assert!(in_force.is_none() || in_force == latest);
                    prop_assert!(in_force.is_none_or(|o| o.phase(now + skew) == Phase::InForce));
                }
            }
            let all: Vec<Register> = history.concat();
            for (n, machine) in machines.iter_mut().enumerate() {
                for at in 0..all.len() {
                    // In another order on each machine.
                    machine.merge(all[(at * 7 + n) % all.len()].clone(), now);
                }
                all.iter().for_each(|register| {
                    machine.merge(register.clone(), now);
                });
            }
            let newest = all.iter().max_by_key(|register| register.stamp.clone());
            for machine in &machines {
                prop_assert_eq!(machine.register("a"), newest);
                prop_assert_eq!(machine.digest(|_| true), machines[0].digest(|_| true));
            }
        }
    }
}
