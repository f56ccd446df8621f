//! Machines of a fleet that each have a controller and hear one another, or not.

use std::time::Duration;

use meridian::steer::spill::Pool;
use meridian::steer::spill::Spill;
use meridian::steer::spill::Timing;
use meridian::steer::spread::Admission;

use crate::random::Random;
use crate::world::GAP;
use crate::world::TTL;
use crate::world::name;

pub(crate) const N_POOLS: usize = 3;

/// How often a machine sends its shares, in seconds.
const REPORT: u64 = 5;

type Shares = Vec<(Box<str>, Admission)>;

pub(crate) struct Machine {
    spill: Spill,
    pub(crate) is_connected: bool,
    /// Those who hear one another have the same.
    pub(crate) side: u64,
    /// What it has sent last.
    sent: Shares,
    /// By time: the shares that it had.
    history: Vec<(u64, Vec<Admission>)>,
}

pub(crate) struct Fleet {
    pub(crate) machines: Vec<Machine>,
    pub(crate) now: u64,
    /// By side and pool.
    pub(crate) loads: [[f64; N_POOLS]; 2],
    timing: Timing,
}

impl Fleet {
    pub(crate) fn new(random: &mut Random) -> Self {
        let n = random.between(2, 5);
        let machine = |_| Machine {
            spill: Spill::default(),
            is_connected: true,
            side: 0,
            sent: Shares::new(),
            history: Vec::new(),
        };
        Self {
            machines: (0..n).map(machine).collect(),
            now: 0,
            loads: [[0.5; N_POOLS]; 2],
            timing: Timing::new(Duration::from_secs(TTL), Duration::from_secs(GAP)),
        }
    }

    /// A second of all machines. The first by name of those that hear one another leads.
    pub(crate) fn step(&mut self) {
        self.now += 1;
        for at in 0..self.machines.len() {
            let side = self.machines[at].side;
            let hears = |other: &&Machine| other.is_connected && other.side == side;
            let before = self.machines[..at].iter().find(hears);
            let before = before.filter(|_| self.machines[at].is_connected);
            let leader = before.map(|leader| leader.sent.clone());
            let pools: Vec<Pool> = (0..N_POOLS).map(pool).collect();
            let loads = self.loads[side as usize].map(Some);
            let now = Duration::from_secs(self.now);
            let machine = &mut self.machines[at];
            machine
                .spill
                .advance(&pools, &loads, self.timing, leader.as_deref(), now);
            let shares = machine.shares();
            if machine
                .history
                .last()
                .is_none_or(|(_, last)| *last != shares)
            {
                machine.history.push((self.now, shares));
            }
            if (self.now + at as u64).is_multiple_of(REPORT) {
                let known = machine.spill.iter();
                machine.sent = known
                    .map(|(name, pool)| (name.into(), pool.shares))
                    .collect();
            }
        }
    }

    /// The most that any machine's share of its own clients has moved within an interval.
    pub(crate) fn most_moved(&self) -> f64 {
        let interval = self.timing.interval.as_secs();
        let mut most = 0.0_f64;
        for machine in &self.machines {
            let history = &machine.history;
            for (n, (_, then)) in history.iter().enumerate() {
                let moves = &history[n + 1..];
                let end = moves.first().map_or(0, |(first, _)| first + interval);
                for (_, now) in moves.iter().take_while(|(at, _)| *at < end) {
                    let pairs = then.iter().zip(now);
                    let moved = pairs.map(|(then, now)| (then.own.ratio() - now.own.ratio()).abs());
                    most = most.max(moved.fold(0.0, f64::max));
                }
            }
        }
        most
    }
}

impl Machine {
    pub(crate) fn shares(&self) -> Vec<Admission> {
        let share = |at| {
            self.spill
                .of(&name(at))
                .map_or(Admission::ALL, |known| known.shares)
        };
        (0..N_POOLS).map(share).collect()
    }
}

fn pool(at: usize) -> Pool {
    Pool {
        name: name(at),
        mark: Some(0.8),
        is_up: true,
        base: 1.0,
        rivals: (0..N_POOLS).filter(|other| *other != at).collect(),
    }
}
