//! Pools, client prefixes and resolvers in simulated time, closed over the real controller and the real choice.

use std::collections::BTreeSet;
use std::time::Duration;

use meridian::base::ix::PoolIx;
use meridian::base::rank::RankList;
use meridian::base::rank::Share;
use meridian::steer::AllDown;
use meridian::steer::Choice;
use meridian::steer::PoolStatus;
use meridian::steer::Pools;
use meridian::steer::Serving;
use meridian::steer::choose;
use meridian::steer::rendezvous::ClientKey;
use meridian::steer::rendezvous::name_hash;
use meridian::steer::rendezvous::pick;
use meridian::steer::rendezvous::score;
use meridian::steer::spill::Pool;
use meridian::steer::spill::Spill;
use meridian::steer::spill::Timing;
use meridian::steer::spread::Admission;
use meridian::steer::spread::Admitted;

use crate::random::Random;

/// Seconds.
pub(crate) const TTL: u64 = 30;
const PROBE: u64 = 5;
pub(crate) const GAP: u64 = 9;
pub(crate) const INTERVAL: u64 = TTL + 3 * GAP;

/// Client prefixes that are nearest to each pool.
const N_PREFIXES: usize = 400;

/// What a pool says of its load, whatever that is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Says {
    Truth,
    Always(f64),
    Anything,
    Nothing,
}

/// The pools of a rank list with their hashes and weights.
type Choices = Vec<(u64, u32, usize)>;

/// A pool of the simulation; its capacity is 1.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) mark: Option<f64>,
    pub(crate) says: Says,
    pub(crate) is_up: bool,
    /// The demand of the clients that are nearest to it.
    pub(crate) demand: f64,
    /// By ramps and operators.
    pub(crate) base: f64,
    position: (f64, f64),
    /// The load of the latest probe.
    seen: Option<f64>,
}

struct Prefix {
    key: ClientKey,
    /// The pool that is nearest to it.
    home: usize,
    /// Its share of the demand there.
    part: f64,
    keeps: u64,
    expires: u64,
    answer: Option<usize>,
}

/// A share that moved.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    /// By pool: the share of its own clients that are answered otherwise from now on, if there were very many.
    pub(crate) clients: Vec<f64>,
    pub(crate) shares: Vec<Admission>,
}

/// The state.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) sites: Vec<Site>,
    pub(crate) spill: Spill,
    noise: f64,
    pub(crate) moves: Vec<Moved>,
    /// Of shares, that [`Spill::next_step`] did not announce a second before.
    pub(crate) n_unforeseen: usize,
    prefixes: Vec<Prefix>,
    random: Random,
    lists: Vec<RankList>,
    /// By home.
    choices: Vec<Choices>,
    is_outdated: bool,
}

impl World {
    /// Pools in clusters of three, regions far apart; so many percent of the prefixes keep answers far too long.
    pub(crate) fn new(random: Random, n_pools: usize, mark: f64, noise: f64, late: u64) -> Self {
        let mut random = random;
        let sites: Vec<Site> = (0..n_pools).map(|at| site(&mut random, at, mark)).collect();
        let prefixes = (0..n_pools).flat_map(|home| (0..N_PREFIXES).map(move |n| (home, n)));
        let mut weights = Vec::new();
        let prefixes: Vec<(usize, usize)> = prefixes.collect();
        for _ in &prefixes {
            weights.push(1.0 + random.unit() * 3.0);
        }
        let sum_of = |home: usize| {
            weights[home * N_PREFIXES..][..N_PREFIXES]
                .iter()
                .sum::<f64>()
        };
        let sums: Vec<f64> = (0..n_pools).map(sum_of).collect();
        let prefixes = prefixes
            .into_iter()
            .enumerate()
            .map(|(n, (home, _))| Prefix {
                key: ClientKey::nth(n as u64),
                home,
                part: weights[n] / sums[home],
                keeps: match random.percent(late) {
                    true => TTL * 10,
                    false => TTL,
                },
                expires: random.between(0, TTL),
                answer: None,
            });
        let prefixes = prefixes.collect();
        Self {
            now: 0,
            lists: (0..n_pools).map(|home| list(&sites, home)).collect(),
            choices: Vec::new(),
            is_outdated: true,
            sites,
            spill: Spill::default(),
            noise,
            moves: Vec::new(),
            n_unforeseen: 0,
            prefixes,
            random,
        }
    }

    /// Lets the prefix that would leave a pool next bring so much load beside what the pool has.
    pub(crate) fn make_heavy(&mut self, home: usize, load: f64) {
        self.choose();
        let margin = |prefix: &&mut Prefix| {
            let of_all = self.choices[home]
                .iter()
                .map(|(hash, weight, at)| (score(prefix.key, *hash, *weight), *at));
            let (own, others): (Vec<_>, Vec<_>) = of_all.partition(|(_, at)| *at == home);
            let best = |scores: &[(f64, usize)]| {
                scores.iter().map(|(score, _)| *score).fold(0.0, f64::max)
            };
            best(&own) / best(&others)
        };
        let own = self
            .prefixes
            .iter_mut()
            .filter(|prefix| prefix.home == home);
        let at_home = own.filter(|prefix| margin(prefix) > 1.0);
        let next = at_home.min_by(|a, b| margin(a).total_cmp(&margin(b)));
        next.expect("the pool has clients").part += load / self.sites[home].demand;
    }

    /// Fences the clients of a pool: they have no other.
    pub(crate) fn fence(&mut self, home: usize) {
        let only = Share {
            pool: PoolIx(home as u32),
            weight: 1,
        };
        self.lists[home].groups = [vec![only]].into_iter().collect();
        self.lists[home].fenced = true;
        self.is_outdated = true;
    }

    /// The true load of each pool.
    pub(crate) fn loads(&self) -> Vec<f64> {
        let mut loads = vec![0.0; self.sites.len()];
        for prefix in &self.prefixes {
            if let Some(answer) = prefix.answer {
                loads[answer] += prefix.part * self.sites[prefix.home].demand;
            }
        }
        loads
    }

    /// The load that each pool would have if every client asked now.
    pub(crate) fn targets(&mut self) -> Vec<f64> {
        self.choose();
        let mut loads = vec![0.0; self.sites.len()];
        for prefix in &self.prefixes {
            loads[self.target(prefix)] += prefix.part * self.sites[prefix.home].demand;
        }
        loads
    }

    pub(crate) fn shares(&self, at: usize) -> Admission {
        let known = self.spill.of(&name(at));
        known.map_or(Admission::ALL, |known| known.shares)
    }

    /// A second.
    pub(crate) fn step(&mut self) {
        self.now += 1;
        self.choose();
        for at in 0..self.prefixes.len() {
            if self.prefixes[at].expires <= self.now {
                let target = self.target(&self.prefixes[at]);
                let prefix = &mut self.prefixes[at];
                prefix.answer = Some(target);
                prefix.expires = self.now + prefix.keeps;
            }
        }
        if self.now.is_multiple_of(PROBE) {
            self.probe();
        }
        let pools: Vec<Pool> = (0..self.sites.len()).map(|at| self.pool(at)).collect();
        let loads: Vec<Option<f64>> = self.sites.iter().map(|site| site.seen).collect();
        let before = self.spill.clone();
        let gap = Duration::from_secs(GAP);
        let timing = Timing::new(Duration::from_secs(TTL), gap);
        let now = Duration::from_secs(self.now);
        if self.spill.advance(&pools, &loads, timing, None, now) {
            self.moved(&before);
        }
    }

    pub(crate) fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.step();
        }
    }

    /// Takes a pool out or in.
    pub(crate) fn set_up(&mut self, at: usize, is_up: bool) {
        self.sites[at].is_up = is_up;
        self.is_outdated = true;
    }

    pub(crate) fn set_base(&mut self, at: usize, base: f64) {
        self.sites[at].base = base;
        self.is_outdated = true;
    }

    fn moved(&mut self, before: &Spill) {
        let then = self.choices.clone();
        self.is_outdated = true;
        let n = self.sites.len();
        let has_moved = |at: &usize| {
            let shares = before.of(&name(*at)).map(|known| known.shares);
            shares.unwrap_or(Admission::ALL) != self.shares(*at)
        };
        let moved: Vec<usize> = (0..n).filter(has_moved).collect();
        let second_before = Duration::from_secs(self.now - 1);
        let is_foreseen = |at: &usize| {
            before.next_step(&name(*at), second_before) == Some(Duration::from_secs(1))
        };
        self.n_unforeseen += moved.iter().filter(|at| !is_foreseen(at)).count();
        self.choose();
        if !moved.is_empty() {
            let clients = then.iter().zip(&self.choices);
            self.moves.push(Moved {
                clients: clients.map(|(then, now)| moved_share(then, now)).collect(),
                shares: (0..n).map(|at| self.shares(at)).collect(),
            });
        }
    }

    fn pool(&self, at: usize) -> Pool {
        let site = &self.sites[at];
        Pool {
            name: name(at),
            mark: site.mark,
            is_up: site.is_up,
            base: site.base,
            rivals: (0..self.sites.len()).filter(|other| *other != at).collect(),
        }
    }

    fn probe(&mut self) {
        let loads = self.loads();
        for (site, load) in self.sites.iter_mut().zip(loads) {
            let noise = 1.0 + self.noise * (2.0 * self.random.unit() - 1.0);
            site.seen = match site.says {
                _ if !site.is_up => None,
                Says::Truth => Some(load * noise),
                Says::Always(load) => Some(load),
                Says::Anything => Some(self.random.unit() * 2.0),
                Says::Nothing => None,
            };
        }
    }

    fn target(&self, prefix: &Prefix) -> usize {
        let choice = &self.choices[prefix.home];
        let candidates = choice.iter().map(|(hash, weight, _)| (*hash, *weight));
        choice[pick(prefix.key, candidates)].2
    }

    fn choose(&mut self) {
        if !std::mem::take(&mut self.is_outdated) {
            return;
        }
        let status = |pool: PoolIx| match self.sites[pool.index()].is_up {
            true => PoolStatus::Up,
            false => PoolStatus::Down,
        };
        let base = |pool: PoolIx| Admitted::from_ratio(self.sites[pool.index()].base);
        let pools = Pools {
            status: &status,
            admitted: &|pool| base(pool).of(self.shares(pool.index()).own),
            guests: &|pool| base(pool).of(self.shares(pool.index()).guests),
            is_multivalue: &|_| false,
            standby: &[],
            was_up: &|_| false,
            occurring: (0..self.sites.len())
                .map(|at| status(PoolIx(at as u32)))
                .collect(),
        };
        let chosen = self.lists.iter().map(|list| {
            let choice = choose(list, AllDown::Nearest, &pools, |_| None);
            let Choice::Pools(Serving::One(shares)) = choice else {
                panic!("{choice:?}");
            };
            let shares = shares.iter();
            shares
                .map(|share| {
                    let at = share.pool.index();
                    (name_hash(name(at).as_bytes()), share.weight, at)
                })
                .collect()
        });
        self.choices = chosen.collect();
    }
}

pub(crate) fn name(at: usize) -> Box<str> {
    format!("p{at}").into()
}

fn site(random: &mut Random, at: usize, mark: f64) -> Site {
    let region = (at / 3) as f64;
    Site {
        mark: Some(mark),
        says: Says::Truth,
        is_up: true,
        demand: 0.5,
        base: 1.0,
        position: (region * 100.0 + random.unit() * 10.0, random.unit() * 10.0),
        seen: None,
    }
}

/// The share of very many clients that change their pool with the weights. A client's scores are `w / e` with the same
/// exponential variables `e` before and after, so that it is at a pool both times with a chance of
/// `1 / sum(max(w_j / w_i, w'_j / w'_i))`.
fn moved_share(then: &Choices, now: &Choices) -> f64 {
    let weight = |choices: &Choices, at: usize| {
        let found = choices.iter().find(|(_, _, pool)| *pool == at);
        found.map_or(0.0, |(_, weight, _)| f64::from(*weight))
    };
    let pools: BTreeSet<usize> = then.iter().chain(now).map(|(_, _, at)| *at).collect();
    let weights: Vec<(f64, f64)> = pools
        .iter()
        .map(|at| (weight(then, *at), weight(now, *at)))
        .collect();
    let stays = |(before, after): &(f64, f64)| {
        let relative = weights.iter().map(|(b, a)| (b / before).max(a / after));
        1.0 / relative.sum::<f64>()
    };
    let have_both = weights
        .iter()
        .filter(|(before, after)| *before > 0.0 && *after > 0.0);
    1.0 - have_both.map(stays).sum::<f64>()
}

/// All pools by their distance from one.
fn list(sites: &[Site], home: usize) -> RankList {
    let (x, y) = sites[home].position;
    let distance = |at: &usize| {
        let site = &sites[*at];
        (site.position.0 - x).hypot(site.position.1 - y)
    };
    let mut order: Vec<usize> = (0..sites.len()).collect();
    order.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
    let group = |at: usize| {
        vec![Share {
            pool: PoolIx(at as u32),
            weight: 1,
        }]
    };
    RankList {
        rule: None,
        located: true,
        special_purpose: false,
        fenced: false,
        truncated: None,
        region: None,
        groups: order.into_iter().map(group).collect(),
    }
}
