//! A closed loop in simulated time: clients are answered by the shares, pools are loaded by the clients, and the
//! controller sees the loads with delay and noise. README.md says which bound is checked where.

#![expect(clippy::panic, reason = "a failed test shows its seed")]

mod fleet;
#[path = "../support/random.rs"]
#[expect(dead_code, reason = "nothing is picked from a list")]
mod random;
mod world;

use crate::fleet::Fleet;
use crate::random::Random;
use crate::world::INTERVAL;
use crate::world::Says;
use crate::world::World;
use crate::world::name;

/// How many seeds a plain `cargo test` runs of each scenario.
const SEEDS: u64 = 8;

/// One interval to see the load, ten steps, and one to see that it is done.
const SETTLING: u64 = 13 * INTERVAL;

/// What the prefixes' hashes make of a share: three standard deviations of 400 prefixes, and some.
const GRAIN: f64 = 0.08;

const MARK: f64 = 0.8;
const BAND: f64 = MARK * 0.1;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

/// Runs a scenario with many seeds.
fn check(scenario: impl Fn(Random) -> Result<(), String>) {
    let seeds = match number("MERIDIAN_SPILL_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("MERIDIAN_SPILL_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        if let Err(what) = scenario(Random::new(seed)) {
            panic!("{what}\nAgain: MERIDIAN_SPILL_SEED={seed} cargo test --test spill");
        }
    }
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// Nine pools that have room, with noise that the band absorbs.
fn calm(mut random: Random) -> World {
    let (noise, late) = (random.within(0.0, 0.04), random.between(0, 25));
    let demands: Vec<f64> = (0..9).map(|_| random.within(0.2, 0.6)).collect();
    let mut world = World::new(random, 9, MARK, noise, late);
    for (site, demand) in world.sites.iter_mut().zip(demands) {
        site.demand = demand;
    }
    world
}

/// The most of any pool's own clients that were moved by one decision.
fn ensure_small_moves(world: &World) -> Result<(), String> {
    for moved in &world.moves {
        let most = moved.clients.iter().copied().fold(0.0, f64::max);
        ensure(most <= 0.1 + 1e-3, || {
            format!("{most} of a pool's clients moved: {moved:?}")
        })?;
    }
    Ok(())
}

/// How often a pool's own share turned round.
fn turns(world: &World, at: usize) -> usize {
    let shares: Vec<f64> = world
        .moves
        .iter()
        .map(|m| m.shares[at].own.ratio())
        .collect();
    let steps = shares.windows(2).map(|pair| pair[1] - pair[0]);
    let steps: Vec<f64> = steps.filter(|step| *step != 0.0).collect();
    steps
        .windows(2)
        .filter(|pair| pair[0] * pair[1] < 0.0)
        .count()
}

#[test]
fn nothing_moves_while_every_nearest_pool_has_room() {
    check(|random| {
        let mut world = calm(random);
        world.run(30 * INTERVAL);
        ensure(
            world
                .moves
                .iter()
                .all(|m| m.clients.iter().all(|c| *c < 1e-9)),
            || format!("{:?}", world.moves),
        )
    });
}

#[test]
fn an_overloaded_pool_settles_at_its_mark_and_stays() {
    check(|mut random| {
        let demand = random.within(0.9, 1.5);
        let mut world = calm(random);
        world.run(3 * INTERVAL);
        world.sites[0].demand = demand;
        // Rivals take what is refused by themselves: some fill up meanwhile.
        world.run(2 * SETTLING);
        let n = world.moves.len();
        for second in 0..20 * INTERVAL {
            world.step();
            let load = world.loads()[0];
            ensure((MARK - BAND - GRAIN..=MARK + GRAIN).contains(&load), || {
                format!("{second} s after it has settled: {load}")
            })?;
            let most = world.loads().into_iter().fold(0.0, f64::max);
            ensure(most <= MARK + GRAIN, || {
                format!("a rival is overloaded: {:?}", world.loads())
            })?;
        }
        ensure(world.moves.len() - n <= 4, || {
            format!("moves go on: {:?}", &world.moves[n..])
        })?;
        ensure(turns(&world, 0) <= 2, || {
            format!("oscillates: {:?}", world.moves)
        })?;
        // Only what the last sample of an interval tips over comes unannounced.
        ensure(world.n_unforeseen <= 1 + world.moves.len() / 10, || {
            format!("{} of {:?}", world.n_unforeseen, world.moves)
        })?;
        ensure_small_moves(&world)
    });
}

#[test]
fn a_prefix_that_is_heavier_than_the_band_does_not_go_to_and_fro() {
    check(|mut random| {
        let demand = random.within(1.0, 1.5);
        let mut world = calm(random);
        for rival in &mut world.sites[1..] {
            rival.mark = None;
        }
        world.sites[0].demand = demand;
        world.run(2 * SETTLING);
        // Too much with the prefix, and too little without.
        world.make_heavy(0, BAND * 1.1);
        world.sites[0].demand *= (MARK + BAND * 0.05) / world.targets()[0];
        world.run(2 * SETTLING);
        let n = world.moves.len();
        world.run(40 * INTERVAL);
        ensure(world.moves.len() - n <= 4, || {
            format!("moves go on: {:?}", &world.moves[n..])
        })
    });
}

#[test]
fn clients_come_back_when_there_is_room() {
    check(|mut random| {
        let (high, low) = (random.within(0.9, 1.5), random.within(0.1, 0.6));
        let mut world = calm(random);
        world.sites[0].demand = high;
        world.run(2 * SETTLING);
        world.sites[0].demand = low;
        world.run(SETTLING);
        ensure(world.shares(0).own.ratio() == 1.0, || {
            format!("{:?}", world.shares(0))
        })?;
        let targets = world.targets();
        let demands: Vec<f64> = world.sites.iter().map(|site| site.demand).collect();
        let is_home = targets
            .iter()
            .zip(&demands)
            .all(|(a, b)| (a - b).abs() < 1e-9);
        ensure(is_home, || format!("{targets:?} {demands:?}"))?;
        ensure_small_moves(&world)
    });
}

#[test]
fn own_clients_come_back_before_guests_of_pools_that_recover_with_them() {
    check(|mut random| {
        let (noise, late) = (random.within(0.0, 0.04), random.between(0, 15));
        let n = random.between(3, 8) as usize;
        let demands: Vec<f64> = (0..n).map(|_| random.within(0.1, 0.5)).collect();
        let mut world = World::new(random, n, MARK, noise, late);
        for (site, demand) in world.sites.iter_mut().zip(&demands) {
            site.demand = *demand;
        }
        // One keeps nearly no client; then the others refuse its clients; then all have room.
        world.sites[0].says = Says::Always(0.95);
        world.run(2 * SETTLING);
        for site in &mut world.sites[1..] {
            site.says = Says::Always(0.85);
        }
        world.run(6 * SETTLING);
        for site in &mut world.sites {
            site.says = Says::Truth;
        }
        world.run(SETTLING);
        for at in 0..n {
            ensure(world.shares(at).own.ratio() == 1.0, || {
                format!("{at} of {n}: {:?}", world.shares(at))
            })?;
        }
        ensure_small_moves(&world)
    });
}

#[test]
fn guests_are_refused_before_own_clients() {
    check(|mut random| {
        let (own, late) = (random.within(0.5, 0.75), random.between(0, 15));
        let mut world = World::new(random, 3, MARK, 0.02, late);
        // The others are full by themselves: whatever is refused comes to the first.
        for (site, demand) in world.sites.iter_mut().zip([own, 1.2, 1.2]) {
            site.demand = demand;
        }
        for _ in 0..60 * INTERVAL {
            world.step();
            let shares = world.shares(0);
            ensure(shares.own.ratio() == 1.0, || {
                format!(
                    "own clients refused at {}: {shares:?} {:?}",
                    world.now,
                    world.loads()
                )
            })?;
        }
        let load = world.loads()[0];
        ensure((MARK - BAND - GRAIN..=MARK + GRAIN).contains(&load), || {
            format!("{load}")
        })?;
        ensure_small_moves(&world)
    });
}

#[test]
fn guests_of_pools_that_fill_up_at_once_move_a_few_at_a_time() {
    check(|mut random| {
        let demand = random.within(1.4, 2.0);
        let mut world = calm(random);
        world.sites[0].demand = demand;
        world.run(2 * SETTLING);
        for site in &mut world.sites[1..] {
            site.demand += 0.3;
        }
        world.run(2 * SETTLING);
        ensure_small_moves(&world)
    });
}

#[test]
fn in_total_overload_everybody_is_served_by_the_nearest() {
    check(|mut random| {
        let demands: Vec<f64> = (0..9).map(|_| random.within(0.9, 2.0)).collect();
        let mut world = calm(random);
        for (site, demand) in world.sites.iter_mut().zip(&demands) {
            site.demand = *demand;
        }
        world.run(2 * SETTLING);
        let targets = world.targets();
        let is_home = targets
            .iter()
            .zip(&demands)
            .all(|(a, b)| (a - b).abs() < 1e-9);
        ensure(is_home, || format!("{targets:?} {demands:?}"))?;
        let is_full = |at: usize| world.spill.of(&name(at)).is_some_and(|known| known.is_full);
        ensure((0..9).all(is_full), || "not all are full".to_owned())?;
        // Refusing more would move nobody, but delay the way back.
        ensure((0..9).all(|at| world.shares(at).own.ratio() >= 0.8), || {
            format!("{:?}", world.moves.last())
        })?;
        // And back: none stays away for having been refused for hours.
        for site in &mut world.sites {
            site.demand = 0.5;
        }
        world.run(SETTLING);
        ensure((0..9).all(|at| world.shares(at).own.ratio() == 1.0), || {
            format!("{:?}", world.moves.last())
        })?;
        ensure_small_moves(&world)
    });
}

#[test]
fn the_load_of_the_day_goes_round_the_world() {
    check(|mut random| {
        let (peak, phase) = (random.within(0.7, 1.05), random.unit());
        let mut world = calm(random);
        let day = 200 * INTERVAL;
        let mut idle = [0_u64; 9];
        // The two rivals of a region may each pass on a step before the pool is seen to be full.
        let most = MARK + 2.0 * 0.1 * peak + GRAIN;
        for second in 0..2 * day {
            for (at, site) in world.sites.iter_mut().enumerate() {
                let hour = second as f64 / day as f64 + phase + (at / 3) as f64 / 3.0;
                site.demand =
                    0.2 + (peak - 0.2) * (0.5 + 0.5 * (hour * std::f64::consts::TAU).sin());
            }
            world.step();
            if second < SETTLING {
                continue;
            }
            for (at, load) in world.loads().into_iter().enumerate() {
                ensure(load <= most, || format!("{load} at {at}, {second} s"))?;
                let has_room =
                    load < MARK - 2.0 * BAND - GRAIN / 2.0 && world.shares(at).own.ratio() < 1.0;
                idle[at] = if has_room { idle[at] + 1 } else { 0 };
                ensure(idle[at] <= SETTLING, || {
                    format!("{at} refuses and has room, {second} s")
                })?;
            }
        }
        ensure_small_moves(&world)
    });
}

#[test]
fn a_pool_that_lies_harms_nobody_else() {
    check(|mut random| {
        let says = match random.between(0, 3) {
            0 => Says::Always(0.0),
            1 => Says::Always(1.0),
            _ => Says::Anything,
        };
        let mut world = calm(random);
        world.sites[4].says = says;
        world.sites[0].demand = 1.1;
        for second in 0..60 * INTERVAL {
            world.step();
            for (at, load) in world.loads().into_iter().enumerate() {
                let is_settling = at == 0 && second < 2 * SETTLING || second < SETTLING;
                ensure(
                    at == 4 || is_settling || load <= MARK + BAND + GRAIN,
                    || format!("{says:?}: {load} at {at}, {second} s"),
                )?;
            }
        }
        ensure_small_moves(&world)?;
        if says == Says::Always(1.0) {
            let own = world.shares(4).own.ratio();
            ensure(own == 0.05, || format!("it keeps a twentieth: {own}"))?;
        }
        world.sites[4].says = Says::Truth;
        world.run(3 * SETTLING);
        ensure(
            world.shares(4).own.ratio() > 0.99 || world.loads()[4] > MARK - BAND - GRAIN,
            || format!("{:?} {:?}", world.shares(4), world.loads()),
        )
    });
}

#[test]
fn a_pool_without_loads_keeps_its_share_for_a_while() {
    check(|random| {
        let mut world = calm(random);
        world.sites[0].demand = 1.1;
        world.run(2 * SETTLING);
        let before = world.shares(0);
        world.sites[0].says = Says::Nothing;
        world.run(4 * INTERVAL);
        ensure(world.shares(0) == before, || {
            format!("{before:?} {:?}", world.shares(0))
        })?;
        world.run(14 * INTERVAL);
        ensure(world.shares(0).own.ratio() == 1.0, || {
            format!("{:?}", world.shares(0))
        })?;
        ensure_small_moves(&world)
    });
}

#[test]
fn a_pool_that_dies_in_overload_takes_nobody_along() {
    check(|mut random| {
        let demand = random.within(1.1, 1.4);
        let mut world = calm(random);
        world.sites[0].demand = demand;
        world.run(3 * INTERVAL);
        // What it had is too much for the two next: they pass it on.
        world.set_up(0, false);
        world.run(3 * SETTLING);
        for load in &world.loads()[1..] {
            ensure(*load <= MARK + BAND + GRAIN, || {
                format!("{:?}", world.loads())
            })?;
        }
        world.set_up(0, true);
        for base in [0.1, 0.25, 0.5, 1.0] {
            world.set_base(0, base);
            world.run(4 * INTERVAL);
        }
        world.run(2 * SETTLING);
        for load in world.loads() {
            ensure(load <= MARK + GRAIN, || format!("{:?}", world.loads()))?;
        }
        Ok(())
    });
}

#[test]
fn fenced_clients_stay() {
    check(|random| {
        let mut world = calm(random);
        world.fence(0);
        world.sites[0].demand = 1.3;
        world.run(2 * SETTLING);
        let load = world.targets()[0];
        ensure(load >= 1.3 - 1e-9, || format!("{load}"))
    });
}

/// Machines come and go, and hear different loads while they are apart.
#[test]
fn machines_of_a_fleet_agree_on_shares_and_never_jump() {
    check(|mut random| {
        let mut fleet = Fleet::new(&mut random);
        for _ in 0..20 {
            for machine in &mut fleet.machines {
                machine.is_connected = random.percent(80);
                machine.side = random.between(0, 2);
            }
            for load in fleet.loads.iter_mut().flatten() {
                *load = random.within(0.3, 1.5);
            }
            for _ in 0..random.between(1, 8 * INTERVAL) {
                fleet.step();
            }
        }
        for machine in &mut fleet.machines {
            (machine.is_connected, machine.side) = (true, 0);
        }
        // In the band: the leader moves nothing, and the others come to it from wherever they are.
        fleet.loads[0] = [0.76; 3];
        for _ in 0..60 * INTERVAL {
            fleet.step();
        }
        let shares: Vec<_> = fleet.machines.iter().map(|m| m.shares()).collect();
        ensure(shares.windows(2).all(|pair| pair[0] == pair[1]), || {
            format!("they differ: {shares:?}")
        })?;
        let most = fleet.most_moved();
        ensure(most <= 0.1 + 1e-3, || {
            format!("{most} of a pool's clients moved within an interval")
        })
    });
}
