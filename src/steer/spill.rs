//! `Spill`: which share of its clients each pool takes, so that its load stays at its mark.
//!
//! A pure controller: loads and times come in, shares come out. For every pool it moves two shares: `own`, of the
//! clients for whom the pool is in the first usable group, and `guests`, of those that others have passed on.
//! Guests are refused before own clients, and come back after them: one control variable over two ranges.
//!
//! **Interval.** A share shows in the load when resolvers have asked again (the TTL) and every endpoint has been
//! probed since (a probe's interval, jitter and timeout: the gap). Loads are sampled after that, for two more gaps,
//! and their median decides: an interval is `TTL + 3 gaps` ([`Timing`]), and no step is taken before the one before
//! can be seen. What resolvers keep for longer than the TTL is a slow remainder, not a delay of the loop.
//!
//! **Step.** With load `L`, mark `m`, hysteresis `h = m / 10` and target `t = m - h / 2`, nothing moves while
//! `m - h <= L <= m`. Else the share moves to what brings the load to `t`, since load is proportional to the clients
//! that a pool has: `own` by `kept × (t / L - 1) / (1 - R)`. `kept = own + (1 - own) R` is what the pool has of
//! its clients, as the share `R` of those it refuses comes back because no rival takes them. This is back-calculation
//! against windup: while nobody takes them (`R = 1`), refusing more would do nothing but delay the way back. `guests`
//! moves by `guests × (t / L - 1)`, which treats all load as that of guests and so never steps over `t`, but down by half
//! a full step at least, so that own clients do not wait long for their turn, and up by a quarter, so that it can begin.
//!
//! **Quantisation.** Clients move by the prefix, and those of one step may bring much more load than their number: the
//! actuator is quantised, and a dead band narrower than its step makes a limit cycle. So the width of the band follows the
//! step that is seen: where a step up takes the load from `L` to `L'` above the mark, the band reaches `L' - L + h / 2` below
//! the mark from then on, at least `h` and at most `2 h`. Below it the same step fits under the mark, and is taken again.
//! With one client prefix heavier than the band this is shown to come to rest for one pool with a mark beside rivals
//! without. Several with marks that pass such a prefix to each other can go on moving, slowly: each sees a load that
//! another one's step brought, which is none of its own steps up.
//!
//! **Bounds**, with one step of at most `s = 10 %`, demand `D` of own clients in units of capacity, and a load that
//! follows the share within an interval but for noise:
//!
//! - *Moves.* Shares are weights of a rendezvous hash. A pool that refuses more moves `|Δown|` of its clients, and no
//!   others. A rival that takes fewer guests takes `(1 - own) |Δguests|` of them less and the next ones as much more: as
//!   two weights move, at most twice as many clients do. All steps of an interval are scaled so that
//!   `|Δown| + 2 (1 - own) Σ |Δguests|` is at most 10 % for every pool. Guests that are taken again have what the others
//!   leave of it, and a quarter at least, so that own clients come back first.
//! - *Settling.* `own` reaches `t / D` by steps of `s` or, where closer, at once: at most 10 steps, one to see that
//!   it is there. `guests` goes before, where others refuse clients: from all to none takes at most 40 steps for each
//!   pool's worth of clients that they refuse, and 20 from a load of `2 t` on.
//! - *Overshoot.* The last step lands on `t`; one before lands above it. Below the band is only whoever a rival's
//!   step or noise beyond `h / 2` puts there: after a step of the controller itself `L >= t - noise`. Above the mark
//!   is what demand adds within an interval, and what rivals pass on: `s × D` of each in one interval.
//! - *No oscillation*, with prefixes lighter than the band, or one pool with a mark. A step comes to rest in the band, which is `h` wide: with noise below `h / 2` there is no step
//!   from there. A step up that brings up to `3 h / 2` of load at once may not: it is taken back, and not repeated until
//!   demand has fallen by what is over. With a remainder of `1 - a` that follows late, the error obeys `z² - a z + (1 - a) = 0` at worst,
//!   whose roots have the modulus `sqrt(1 - a) < 1`.
//! - *Work conservation.* While `L < m - h`, `own` grows by `s` or to `t`, and by four fifths of that while rivals take
//!   guests again: a pool refuses own clients below `m - h` for at most 10 intervals, 12 in that case; below `m - 2 h`
//!   where its last step up was taken back.
//! - *Total overload.* Every pool above its mark refuses guests, so `R = 1` and all clients are back at their nearest
//!   pool, as if there were no marks ([`PoolSpill::is_full`]).
//!
//! **Leader.** Machines that hear one another go by the shares of one of them. They take its steps over as it makes them,
//! since each is within the bounds; where theirs are further away, after a partition or under another leader, they
//! move there by steps of the same size, one per interval. So nobody's shares ever move by more than that, whoever
//! leads. One that has just started and has not moved yet takes the leader's shares as they are.
//!
//! A pool without a load keeps its shares for [`HOLD`] intervals, then moves back to whole by half a step per interval:
//! what is not measured is not steered, but old evidence is better than none for a while. A pool that does not serve
//! keeps its shares. `own` never falls below [`LEAST_OWN`], so that a pool that always says "full" is still seen.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::steer::spread::Admission;
use crate::steer::spread::Admitted;

/// The most of a pool's clients that move in an interval.
const STEP: f64 = 0.1;

/// The width of the band below the mark in which nothing moves, by the mark.
const HYSTERESIS: f64 = 0.1;

/// How wide the band becomes at most where a step up has proved too much, in hystereses.
const WIDEST: f64 = 2.0;

/// The least share of its own clients that a pool takes.
pub const LEAST_OWN: f64 = 0.05;

/// For how many intervals a pool without a load keeps its shares.
pub const HOLD: u32 = 5;

/// Less than any share that moves a client prefix.
const NOTHING: f64 = 1e-4;

/// When loads are sampled and shares move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// From a move of shares until the loads show it.
    pub settle: Duration,
    /// From a move to the next.
    pub interval: Duration,
}

impl Timing {
    /// Where resolvers keep answers for `ttl`, and every endpoint is probed at least once in a `gap`.
    pub fn new(ttl: Duration, gap: Duration) -> Self {
        Self {
            settle: ttl + gap,
            interval: ttl + gap * 3,
        }
    }
}

/// A pool as it is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pool {
    /// Its name.
    pub name: Box<str>,
    /// The load above which it spills; `None`: it takes everybody.
    pub mark: Option<f64>,
    /// Whether it serves anybody.
    pub is_up: bool,
    /// The share of its clients that it would take without this controller: by ramps and operators.
    pub base: f64,
    /// The positions of the pools that its clients could go to.
    pub rivals: Vec<usize>,
}

/// What the controller knows of a pool with a mark.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolSpill {
    /// The shares that it takes.
    pub shares: Admission,
    /// The load that they were last decided by; `None`: it has none.
    pub load: Option<f64>,
    /// Whether it is above its mark and no pool takes what it would pass on.
    pub is_full: bool,
    samples: Vec<f64>,
    /// The load before the last step, if that was up.
    raised_from: Option<f64>,
    /// By how much the last step up raised the load, if that proved too much.
    jump: f64,
    /// Intervals without a load.
    n_unknown: u32,
    /// Whether its shares are to move with the next step.
    is_moving: bool,
}

/// The controller of all pools, by name, so that shares outlive a reload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spill {
    pools: BTreeMap<Box<str>, PoolSpill>,
    /// When shares last could move.
    since: Duration,
    /// When they last did; `None`: an interval has not passed since the start.
    moved: Option<Duration>,
    /// When the next step comes at the earliest.
    due: Duration,
}

/// What a step does to a pool.
#[derive(Clone, Copy, Default, PartialEq)]
struct Move {
    own: f64,
    guests: f64,
}

impl Spill {
    /// Goes on from shares that were saved.
    pub fn resume(shares: impl IntoIterator<Item = (Box<str>, Admission)>) -> Self {
        let known = |(name, shares)| {
            let pool = PoolSpill {
                shares,
                ..PoolSpill::default()
            };
            (name, pool)
        };
        Self {
            pools: shares.into_iter().map(known).collect(),
            ..Self::default()
        }
    }

    /// What is known of a pool.
    pub fn of(&self, pool: &str) -> Option<&PoolSpill> {
        self.pools.get(pool)
    }

    /// All pools with a mark.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PoolSpill)> {
        self.pools.iter().map(|(name, pool)| (&**name, pool))
    }

    /// How long it takes at least until the shares of a pool move; `None`: as far as is known they stay.
    pub fn next_step(&self, pool: &str, now: Duration) -> Option<Duration> {
        let is_moving = self.of(pool)?.is_moving;
        is_moving.then(|| self.due.saturating_sub(now))
    }

    /// Takes the loads of now, in the order of the pools, and the shares of the machine that leads, if that is another;
    /// returns whether any share or its explanation has changed. To be called about every second.
    pub fn advance(
        &mut self,
        pools: &[Pool],
        loads: &[Option<f64>],
        timing: Timing,
        leader: Option<&[(Box<str>, Admission)]>,
        now: Duration,
    ) -> bool {
        let has_changed = self.go_on(pools, loads, timing, leader, now);
        self.foresee(pools, timing, leader);
        has_changed
    }

    fn go_on(
        &mut self,
        pools: &[Pool],
        loads: &[Option<f64>],
        timing: Timing,
        leader: Option<&[(Box<str>, Admission)]>,
        now: Duration,
    ) -> bool {
        let marked = |name: &str| pools.iter().any(|p| *p.name == *name && p.mark.is_some());
        self.pools.retain(|name, _| marked(name));
        for pool in pools.iter().filter(|pool| pool.mark.is_some()) {
            self.pools.entry(pool.name.clone()).or_default();
        }
        let age = now.saturating_sub(self.since);
        if age >= timing.settle {
            for (pool, load) in pools.iter().zip(loads) {
                if let Some(known) = self.pools.get_mut(&pool.name) {
                    known.samples.extend(*load);
                }
            }
        }
        let is_over = age >= timing.interval;
        let may_move = self
            .moved
            .is_none_or(|moved| now.saturating_sub(moved) >= timing.interval);
        let ahead = leader.map(|shares| self.towards(pools, shares));
        let is_behind = |moves: &Vec<Move>| moves.iter().any(|by| *by != Move::default());
        let is_led = may_move && ahead.as_ref().is_some_and(is_behind);
        if !(is_over || is_led) {
            return false;
        }
        let before = self.clone();
        self.since = now;
        let mut moves = Vec::new();
        if age >= timing.settle {
            moves = self.decide(pools);
        }
        let is_new = self.moved.is_none() && leader.is_some();
        moves = ahead.unwrap_or(moves);
        let most = if is_new { f64::INFINITY } else { STEP };
        if may_move && is_behind(&moves) {
            self.apply(pools, &mut moves, most);
            self.moved = Some(now);
        } else if is_over {
            self.moved = self.moved.or(Some(Duration::ZERO));
        }
        let mut pairs = self.pools.iter().zip(&before.pools);
        pairs.any(|((_, now), (_, then))| {
            now.shares != then.shares || now.is_full != then.is_full || now.load != then.load
        })
    }

    /// How every pool is to move to the shares of the machine that leads.
    fn towards(&self, pools: &[Pool], leader: &[(Box<str>, Admission)]) -> Vec<Move> {
        let of_leader = |name: &str| leader.iter().find(|(other, _)| **other == *name);
        let moves = pools.iter().map(|pool| {
            let known = self.pools.get(&pool.name)?;
            let (_, to) = of_leader(&pool.name)?;
            Some(Move {
                own: to.own.ratio() - known.shares.own.ratio(),
                guests: to.guests.ratio() - known.shares.guests.ratio(),
            })
        });
        moves.map(Option::unwrap_or_default).collect()
    }

    /// Finds out which shares are to move with the next step, and when that comes at the earliest.
    fn foresee(
        &mut self,
        pools: &[Pool],
        timing: Timing,
        leader: Option<&[(Box<str>, Admission)]>,
    ) {
        // The steps of another machine come when it takes them, but not before an interval has passed here.
        let last = leader.map_or(Some(self.since), |_| self.moved);
        self.due = last.map_or(Duration::ZERO, |last| last + timing.interval);
        let ahead = leader.map(|shares| self.towards(pools, shares));
        let ahead = ahead.unwrap_or_else(|| vec![Move::default(); pools.len()]);
        for (pool, ahead) in pools.iter().zip(ahead) {
            if let (Some(known), Some(mark)) = (self.pools.get_mut(&pool.name), pool.mark) {
                let is_behind = ahead != Move::default();
                known.is_moving = pool.is_up && (is_behind || known.has_to_move(mark));
            }
        }
    }

    /// The shares of a pool: all, without a mark.
    fn shares(&self, pool: &Pool) -> (f64, f64) {
        let known = self.pools.get(&pool.name).filter(|_| pool.mark.is_some());
        let shares = known.map_or(Admission::ALL, |known| known.shares);
        match pool.is_up {
            true => (
                shares.own.ratio() * pool.base,
                shares.guests.ratio() * pool.base,
            ),
            // Its clients are those of the next: they are nobody's guests.
            false => (1.0, 0.0),
        }
    }

    /// How every pool is to move by its samples, which are used up.
    fn decide(&mut self, pools: &[Pool]) -> Vec<Move> {
        let shares: Vec<(f64, f64)> = pools.iter().map(|pool| self.shares(pool)).collect();
        let all_refused: f64 = shares.iter().map(|(own, _)| 1.0 - own).sum();
        let mut moves = vec![Move::default(); pools.len()];
        for (at, pool) in pools.iter().enumerate() {
            let Some(mark) = pool.mark else { continue };
            let known = self.pools.entry(pool.name.clone()).or_default();
            let load = median(std::mem::take(&mut known.samples));
            known.is_full = false;
            if !pool.is_up {
                continue;
            }
            known.load = load;
            known.n_unknown = if load.is_none() {
                known.n_unknown + 1
            } else {
                0
            };
            if let Some(load) = load.filter(|load| *load > mark)
                && let Some(from) = known.raised_from.take()
            {
                known.jump = load - from;
            }
            let rivals = pool.rivals.iter().filter(|rival| **rival != at);
            let come_back: f64 = rivals.map(|rival| 1.0 - shares[*rival].1).product();
            let by_others = all_refused - (1.0 - shares[at].0);
            let situation = Situation {
                own: known.shares.own.ratio(),
                guests: known.shares.guests.ratio(),
                come_back,
                guest_step: (STEP / 2.0 / by_others.max(NOTHING)).min(1.0),
                has_guests: by_others > NOTHING,
            };
            moves[at] = match load {
                Some(load) => situation.by_load(load.max(NOTHING), mark, known.band(mark)),
                None if known.n_unknown > HOLD => situation.towards_whole(),
                None => Move::default(),
            };
            known.is_full = come_back > 1.0 - NOTHING && load.is_some_and(|load| load > mark);
        }
        moves
    }

    /// Moves the shares, by less where that is more than so many of a pool's clients. Guests that pools take again
    /// have what the other moves leave of it, and a quarter at least: a pool's own clients come back first.
    fn apply(&mut self, pools: &[Pool], moves: &mut [Move], limit: f64) {
        let moved_guests = |pool: &Pool, moves: &[Move], of: fn(f64) -> f64| {
            let guests = pool.rivals.iter().map(|rival| of(moves[*rival].guests));
            2.0 * (1.0 - self.shares(pool).0) * guests.sum::<f64>()
        };
        let mut up_scale = 1.0_f64;
        for (pool, by) in pools.iter().zip(&*moves) {
            let down = moved_guests(pool, moves, |guests| (-guests).max(0.0));
            let up = moved_guests(pool, moves, |guests| guests.max(0.0));
            let left = (limit - by.own.abs() - down).max(limit / 4.0);
            up_scale = up_scale.min(left / up.max(left));
        }
        for by in &mut *moves {
            by.guests = by.guests.min(by.guests * up_scale);
        }
        let moved = |(pool, by): (&Pool, &Move)| by.own.abs() + moved_guests(pool, moves, f64::abs);
        let most = pools.iter().zip(&*moves).map(moved).fold(0.0, f64::max);
        let scale = if most > limit { limit / most } else { 1.0 };
        let has_refused = pools.iter().any(|pool| self.shares(pool).0 < 1.0 - NOTHING);
        // Nobody is a guest anywhere: what guests would find moves nobody.
        let guest_scale = if has_refused { scale } else { 1.0 };
        for (pool, by) in pools.iter().zip(&*moves) {
            if let Some(known) = self.pools.get_mut(&pool.name) {
                if by.own > 0.0 || by.guests > 0.0 {
                    (known.raised_from, known.jump) = (known.load, 0.0);
                }
                let before = known.shares.own.ratio();
                let own = (before + by.own * scale).max(LEAST_OWN.min(before));
                let guests = known.shares.guests.ratio() + by.guests * guest_scale;
                known.shares = Admission {
                    own: Admitted::from_ratio(own),
                    guests: Admitted::from_ratio(guests),
                };
            }
        }
    }
}

impl PoolSpill {
    /// How far below the mark nothing moves.
    fn band(&self, mark: f64) -> f64 {
        let hysteresis = mark * HYSTERESIS;
        (self.jump + hysteresis / 2.0).clamp(hysteresis, hysteresis * WIDEST)
    }

    /// Whether its load, as far as it is known since the last step, calls for another one.
    fn has_to_move(&self, mark: f64) -> bool {
        let is_whole = self.shares == Admission::ALL;
        match median(self.samples.clone()).or(self.load) {
            Some(load) => load > mark || !is_whole && load < mark - self.band(mark),
            None => !is_whole,
        }
    }
}

/// One pool at the end of an interval.
struct Situation {
    own: f64,
    guests: f64,
    /// The share of what it refuses that comes back, as no rival takes it.
    come_back: f64,
    /// The most that `guests` may move.
    guest_step: f64,
    /// Whether other pools refuse anybody.
    has_guests: bool,
}

impl Situation {
    fn by_load(&self, load: f64, mark: f64, band: f64) -> Move {
        let error = mark * (1.0 - HYSTERESIS / 2.0) / load - 1.0;
        if load > mark {
            if self.guests > 0.0 && self.has_guests {
                return self.move_guests(error);
            }
            return Move {
                own: self.move_own(error),
                guests: -self.guests,
            };
        }
        match load < mark - band {
            true if self.own < 1.0 => Move {
                own: self.move_own(error),
                guests: 0.0,
            },
            true => self.move_guests(error),
            false => Move::default(),
        }
    }

    fn move_own(&self, error: f64) -> f64 {
        let passed_on = 1.0 - self.come_back;
        let kept = self.own + (1.0 - self.own) * self.come_back;
        match passed_on > NOTHING {
            true => (kept * error / passed_on).clamp(-STEP, STEP),
            // Refusing more does nothing; refusing fewer, neither.
            false => (STEP * error.signum()).max(0.0),
        }
    }

    fn move_guests(&self, error: f64) -> Move {
        let least = self.guest_step * if error < 0.0 { 0.5 } else { 0.25 };
        let by = (self.guests * error.abs()).clamp(least, self.guest_step);
        let to = (self.guests + by * error.signum()).clamp(0.0, 1.0);
        Move {
            own: 0.0,
            guests: to - self.guests,
        }
    }

    fn towards_whole(&self) -> Move {
        match self.own < 1.0 {
            true => Move {
                own: STEP / 2.0,
                guests: 0.0,
            },
            false => Move {
                own: 0.0,
                guests: self.guest_step.min(1.0 - self.guests),
            },
        }
    }
}

/// The lower one of two in the middle.
fn median(mut samples: Vec<f64>) -> Option<f64> {
    samples.sort_unstable_by(f64::total_cmp);
    samples.get(samples.len().checked_sub(1)? / 2).copied()
}
