//! What happens to the world: faults and what operators do, at random times. Everything ends before the heal.

use crate::random::Random;
use crate::settings::BLIND_MAX_MS;
use crate::settings::INTERVAL_MS;
use crate::settings::MAX_MACHINES;
use crate::settings::N_ENDPOINTS;
use crate::settings::POOLS;
use crate::settings::VARIANTS;

/// When faults begin: every machine has started, and probed once.
const CALM_MS: u64 = 8_000;

/// What happens at a time.
pub(crate) type Step = (u64, Fault);

/// A schedule.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// How many machines there are.
    pub(crate) n_machines: usize,
    /// How many of them, the last ones, are vantages only: no operator uses them.
    pub(crate) n_vantages: usize,
    /// In order of time.
    pub(crate) steps: Vec<Step>,
    /// When everything is mended.
    pub(crate) heal: u64,
    /// The endpoints that are up after that.
    pub(crate) up: [bool; N_ENDPOINTS],
    /// The variant of `pools.toml` that all machines have then.
    pub(crate) variant: usize,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By an operator: it saves its state.
    Stop,
    /// Killed: what was being written is lost.
    Kill,
    /// Killed, and its verdicts are lost.
    LoseVerdicts,
}

/// What a backend does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Healthy,
    Refuses,
    Silent,
    /// It responds, but not as it should.
    Unfit,
}

/// What a vantage's uplink to all backends does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uplink {
    Up,
    Silent,
    NoRoute,
}

/// How well the message bus works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quality {
    Good,
    /// It loses, repeats, reorders and delays messages.
    Bad,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Backend {
        endpoint: usize,
        does: Backend,
    },
    BusFreeze,
    BusThaw,
    Clear {
        machine: usize,
        pool: usize,
    },
    Clock {
        machine: usize,
        offset_ms: i64,
    },
    /// What is on the way from one machine to another is lost, or waits for the join.
    Cut {
        from: usize,
        to: usize,
        is_held: bool,
    },
    Edit {
        machine: usize,
        variant: usize,
    },
    End {
        machine: usize,
        how: Ending,
    },
    Freeze {
        machine: usize,
    },
    Join {
        from: usize,
        to: usize,
    },
    /// A machine loses its message bus.
    LinkDown {
        machine: usize,
    },
    LinkUp {
        machine: usize,
    },
    Path {
        machine: usize,
        vantage: usize,
        endpoint: usize,
        is_open: bool,
    },
    Quality(Quality),
    Set {
        machine: usize,
        pool: usize,
        seconds: Option<u64>,
    },
    Start {
        machine: usize,
    },
    Thaw {
        machine: usize,
    },
    Uplink {
        machine: usize,
        vantage: usize,
        does: Uplink,
    },
}

impl Schedule {
    /// That of a seed.
    pub(crate) fn new(random: &mut Random) -> Self {
        let n_machines = 2 + random.index(MAX_MACHINES - 1);
        let n_vantages = random.index(n_machines - 1).min(2);
        let heal = random.between(30_000, 90_000);
        let share_up = *random.pick(&[75, 75, 75, 0]);
        let mut schedule = Self {
            n_machines,
            n_vantages,
            steps: Vec::new(),
            heal,
            up: [(); N_ENDPOINTS].map(|()| random.percent(share_up)),
            variant: 0,
        };
        for _ in 0..random.between(2, 10) {
            let start = random.between(CALM_MS, heal);
            let length = match random.percent(70) {
                true => random.between(500, 12_000),
                false => random.between(5_000, 45_000),
            };
            schedule.episode(random, start, (start + length).min(heal));
        }
        if random.percent(30) {
            schedule.rolling_edit(random);
        }
        schedule.steps.sort_by_key(|(at, _)| *at);
        schedule
    }

    /// When the machines can agree again. Where nothing is up, all of them are blind first.
    pub(crate) fn healed(&self) -> u64 {
        let n = if self.variant == VARIANTS - 1 {
            2
        } else {
            N_ENDPOINTS
        };
        match self.up[..n].contains(&true) {
            true => self.heal,
            false => self.heal + BLIND_MAX_MS + 2 * INTERVAL_MS,
        }
    }

    fn episode(&mut self, random: &mut Random, start: u64, end: u64) {
        let machine = random.index(self.n_machines);
        let (begin, finish) = match random.between(0, 14) {
            0 => {
                let how = *random.pick(&[Ending::Stop, Ending::Kill, Ending::LoseVerdicts]);
                (Fault::End { machine, how }, Fault::Start { machine })
            }
            1 => (Fault::Freeze { machine }, Fault::Thaw { machine }),
            2 => (Fault::LinkDown { machine }, Fault::LinkUp { machine }),
            3 => (Fault::BusFreeze, Fault::BusThaw),
            4 => (Fault::Quality(Quality::Bad), Fault::Quality(Quality::Good)),
            5 | 6 => return self.partition(random, start, end),
            7 => return self.clocks(random, start, end),
            8 => {
                let vantage = random.index(if machine == 0 { 2 } else { 1 });
                let does = *random.pick(&[Uplink::Silent, Uplink::Silent, Uplink::NoRoute]);
                let up = Uplink::Up;
                (
                    Fault::Uplink {
                        machine,
                        vantage,
                        does,
                    },
                    Fault::Uplink {
                        machine,
                        vantage,
                        does: up,
                    },
                )
            }
            9 => {
                let vantage = random.index(if machine == 0 { 2 } else { 1 });
                let endpoint = random.index(N_ENDPOINTS);
                let path = |is_open| Fault::Path {
                    machine,
                    vantage,
                    endpoint,
                    is_open,
                };
                (path(false), path(true))
            }
            10 => {
                // Its clock is wrong from one start to the next.
                let machine = random.index(self.n_machines);
                let offset_ms = offset(random);
                let how = Ending::Kill;
                for (at, offset_ms) in [(start, offset_ms), (end, 0)] {
                    let back = (at + 1_000).min(self.heal);
                    self.steps.extend([
                        (at, Fault::End { machine, how }),
                        (at, Fault::Clock { machine, offset_ms }),
                        (back, Fault::Start { machine }),
                    ]);
                }
                return;
            }
            11 => return self.flapping(random, start, end),
            _ => return self.operators(random, start, end),
        };
        self.steps.extend([(start, begin), (end, finish)]);
    }

    /// The clock of one machine is wrong, or those of all by the same.
    fn clocks(&mut self, random: &mut Random, start: u64, end: u64) {
        let one = random.index(self.n_machines);
        let (offset_ms, are_all) = (offset(random), random.percent(30));
        for machine in (0..self.n_machines).filter(|machine| are_all || *machine == one) {
            self.steps
                .push((start, Fault::Clock { machine, offset_ms }));
            let offset_ms = 0;
            self.steps.push((end, Fault::Clock { machine, offset_ms }));
        }
    }

    /// Splits the machines in two, in both directions or in one.
    fn partition(&mut self, random: &mut Random, start: u64, end: u64) {
        let side: Vec<bool> = (0..self.n_machines).map(|_| random.percent(50)).collect();
        let is_one_way = random.percent(40);
        let is_held = random.percent(40);
        for from in 0..self.n_machines {
            for to in 0..self.n_machines {
                if side[from] != side[to] && (side[from] || !is_one_way) {
                    self.steps.push((start, Fault::Cut { from, to, is_held }));
                    self.steps.push((end, Fault::Join { from, to }));
                }
            }
        }
    }

    /// A backend dies, once or again and again.
    fn flapping(&mut self, random: &mut Random, start: u64, end: u64) {
        let endpoint = random.index(N_ENDPOINTS);
        let dead = *random.pick(&[Backend::Refuses, Backend::Silent, Backend::Unfit]);
        let period = match random.percent(50) {
            true => random.between(2_000, 15_000),
            false => u64::MAX - end,
        };
        let (mut at, mut is_up) = (start, true);
        while at < end {
            let does = if is_up { dead } else { Backend::Healthy };
            self.steps.push((at, Fault::Backend { endpoint, does }));
            is_up = !is_up;
            at += period;
        }
        let does = Backend::Healthy;
        self.steps.push((end, Fault::Backend { endpoint, does }));
    }

    /// Operators set and clear overrides of a pool on any machine.
    fn operators(&mut self, random: &mut Random, start: u64, end: u64) {
        let pool = random.index(POOLS.len());
        for _ in 0..random.between(1, 5) {
            let at = random.between(start, end + 1);
            let machine = random.index(self.n_machines - self.n_vantages);
            self.steps.push((
                at,
                match random.percent(60) {
                    true => {
                        let seconds = random.percent(60).then(|| random.between(2, 40));
                        Fault::Set {
                            machine,
                            pool,
                            seconds,
                        }
                    }
                    false => Fault::Clear { machine, pool },
                },
            ));
        }
    }

    /// One machine after another gets other pools.
    fn rolling_edit(&mut self, random: &mut Random) {
        self.variant = random.index(VARIANTS);
        let first = random.between(CALM_MS, self.heal);
        let through = random.index(VARIANTS);
        for variant in [through, self.variant] {
            for machine in 0..self.n_machines {
                let at = random.between(first, self.heal + 1);
                self.steps.push((at, Fault::Edit { machine, variant }));
            }
        }
    }
}

/// How far a clock is wrong: within what is allowed, or far from it.
fn offset(random: &mut Random) -> i64 {
    let most = *random.pick(&[5_000, 60_000]);
    let offset = i64::try_from(random.between(0, most)).expect("small");
    if random.percent(50) { offset } else { -offset }
}
