//! `Prober`: which probe when.
//!
//! One task per pair of endpoint and vantage sleeps, probes, reports, and sleeps again, so that a
//! pair never has two probes in flight; the runtime's timer wheel is the queue. A sleeping task holds
//! no connection state, which keeps ten thousand endpoints affordable.
//!
//! Timing keeps the operator's promise that a failure shows within `failure_threshold × interval +
//! timeout` and a second: intervals run from start to start, and jitter makes them longer only while
//! all is well, by half a second at most. Probes that start late all the same are counted and warned
//! of.
//!
//! When an endpoint falls silent, some of other pools that the vantage has just reached are probed at
//! once: their answer decides whether the endpoint is down or the vantage cut off, and that should not
//! have to wait for an interval.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use prometheus::IntCounterVec;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio::time::sleep_until;

use crate::health::monitor::Monitor;
use crate::health::observation::LoadReading;
use crate::health::observation::Observation;
use crate::health::observation::ProbeResult;
use crate::health::observation::WitnessObservation;
use crate::probe::Context;
use crate::probe::Pair;
use crate::probe::late::LateLog;
use crate::probe::peers::Peers;
use crate::probe::peers::Probed;
use crate::probe::probe;
use crate::probe::shares::Lane;
use crate::probe::shares::Lanes;
use crate::probe::tls::Tls;
use crate::probe::tls::TrustWatch;
use crate::probe::witness::WitnessPair;
use crate::probe::witness::Witnesses;

/// First probes are spread over this much, or the interval if that is shorter: soon enough for a
/// quick start, and no burst.
const FIRST_ROUND: Duration = Duration::from_secs(1);

/// First probes per second where there are more of them than that: about what one core can do beside
/// answering. Later rounds keep the spread of the first.
const FIRST_PROBES_PER_SECOND: f64 = 10_000.0;

/// The most that jitter adds to an interval.
const MAX_DELAY: Duration = Duration::from_millis(500);

/// Probes all its pairs until it is dropped.
pub struct Prober {
    ask: Ask,
    lanes: Lanes,
    reports: mpsc::Sender<Observation>,
    running: HashMap<Key, Running>,
    peers: Arc<Peers>,
    late: Arc<LateLog>,
    trust: Option<TrustWatch>,
    witnesses: Option<Witnesses>,
}

/// How a pair is probed: a function, so that the schedule can be tested without a network.
type Ask = Arc<dyn Fn(Arc<Pair>) -> Asking + Send + Sync>;
type Asking = Pin<Box<dyn Future<Output = (ProbeResult, LoadReading)> + Send>>;

/// Pool, endpoint, monitor and vantage.
type Key = (Arc<str>, IpAddr, Box<str>, Arc<str>);

struct Running {
    probed: Arc<Probed>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Prober {
    /// A prober without pairs, with at most so many probes in flight, that reports to `reports`, of
    /// witnesses to `witnessed`, and counts late probes in `late`, by pool. Runs inside a tokio runtime.
    pub fn new(
        tls: Tls,
        max_in_flight: usize,
        reports: mpsc::Sender<Observation>,
        witnessed: mpsc::Sender<WitnessObservation>,
        late: IntCounterVec,
    ) -> Self {
        let trust = Some(TrustWatch::start(tls.clone()));
        let context = Context::new(tls);
        let witnesses = Some(Witnesses::new(context.proxies.clone(), witnessed));
        let ask = move |pair: Arc<Pair>| -> Asking {
            let context = context.clone();
            Box::pin(async move { probe(&pair.target, &pair.egress, &context).await })
        };
        Self {
            trust,
            witnesses,
            ..Self::with(Arc::new(ask), max_in_flight, reports, late)
        }
    }

    fn with(
        ask: Ask,
        max_in_flight: usize,
        reports: mpsc::Sender<Observation>,
        late: IntCounterVec,
    ) -> Self {
        Self {
            ask,
            lanes: Lanes::new(max_in_flight),
            reports,
            running: HashMap::new(),
            peers: Arc::default(),
            late: Arc::new(LateLog::new(late)),
            trust: None,
            witnesses: None,
        }
    }

    /// Probes these pairs from now on, and no others. Unchanged pairs keep their schedule; probes of
    /// the others are cut off without a report. Has the machine's CA certificates read again. Runs
    /// inside a tokio runtime.
    pub fn replace(&mut self, pairs: Vec<Pair>) {
        if let Some(trust) = &self.trust {
            let mut checks = pairs
                .iter()
                .filter_map(|pair| pair.target.monitor.kind.tls());
            trust.read_again(checks.any(|check| check.is_verified));
        }
        let lanes = self.lanes.share_out(pairs.iter().map(Pair::lane));
        let mut before = std::mem::take(&mut self.running);
        let mut new = Vec::new();
        for pair in pairs {
            let key = pair.key();
            match before.remove(&key).filter(|old| *old.probed.pair == pair) {
                Some(running) => {
                    running.probed.lane.store(Arc::clone(&lanes[&pair.lane()]));
                    self.running.insert(key, running);
                }
                None => new.push(pair),
            }
        }
        let first_round = first_round(new.len());
        for pair in new {
            let (key, lane) = (pair.key(), Arc::clone(&lanes[&pair.lane()]));
            let running = self.start(pair, lane, first_round);
            self.running.insert(key, running);
        }
        let probed = self.running.values().map(|running| &running.probed);
        let hurries = self.witnesses.as_ref().map(Witnesses::hurries);
        self.peers
            .replace(probed.cloned(), hurries.unwrap_or_default());
    }

    /// Asks these witnesses from now on, and no others; the next call of `replace` has them asked at once when
    /// an endpoint falls silent.
    pub fn replace_witnesses(&mut self, pairs: Vec<WitnessPair>) {
        if let Some(witnesses) = &mut self.witnesses {
            witnesses.replace(pairs);
        }
    }

    fn start(&self, pair: Pair, lane: Arc<Semaphore>, first_round: Duration) -> Running {
        let spread = first_round.min(pair.target.monitor.interval);
        let due = Instant::now() + spread.mul_f64(random());
        let probed = Arc::new(Probed::new(pair, lane));
        let task = tokio::spawn(probe_forever(
            Arc::clone(&probed),
            due,
            Arc::clone(&self.ask),
            Arc::clone(&self.peers),
            Arc::clone(&self.late),
            self.reports.clone(),
        ));
        Running { probed, task }
    }
}

/// The time over which so many first probes are spread.
fn first_round(n: usize) -> Duration {
    FIRST_ROUND.max(Duration::from_secs_f64(n as f64 / FIRST_PROBES_PER_SECOND))
}

impl Pair {
    fn key(&self) -> Key {
        let (pool, vantage) = self.lane();
        let monitor = self.target.monitor.name.clone();
        (pool, self.target.address, monitor, vantage)
    }

    /// The pairs that compete for the same probes in flight.
    fn lane(&self) -> Lane {
        let (pool, vantage) = (&self.target.pool, &self.vantage);
        (Arc::clone(pool), Arc::clone(vantage))
    }
}

/// Begins when it is `due`, and ends when nobody listens any more.
async fn probe_forever(
    probed: Arc<Probed>,
    mut due: Instant,
    ask: Ask,
    peers: Arc<Peers>,
    late: Arc<LateLog>,
    reports: mpsc::Sender<Observation>,
) {
    let pair = &probed.pair;
    let monitor = &pair.target.monitor;
    let mut n_good = 0;
    loop {
        tokio::select! {
            () = sleep_until(due) => {}
            () = probed.hurry.notified() => due = Instant::now(),
        }
        let lane = probed.lane.load_full();
        let Ok(permit) = lane.acquire().await else {
            return;
        };
        let started = Instant::now();
        late.started(&pair.target.pool, started - due);
        let (result, load) = ask(Arc::clone(pair)).await;
        drop(permit);
        let took = started.elapsed();
        tracing::debug!(
            pool = %pair.target.pool, endpoint = %pair.target.address, monitor = %monitor.name, vantage = %pair.vantage,
            result = result.label(), ?took, "probe"
        );
        match result {
            ProbeResult::Failure(_) => n_good = 0,
            ProbeResult::NoEvidence(_) => {}
            ProbeResult::Success => n_good = monitor.success_threshold.get().min(n_good + 1),
        }
        let contact = result.contact();
        due = started + gap(monitor, n_good, random());
        let observation = Observation {
            target: Arc::clone(&pair.target),
            vantage: Arc::clone(&pair.vantage),
            result,
            took,
            load,
        };
        if reports.send(observation).await.is_err() {
            return;
        }
        if let Some(contact) = contact
            && probed.is_reached.swap(contact, Relaxed)
            && !contact
        {
            peers.confirm(pair);
        }
    }
}

/// The time from the start of a probe to the start of the next, after `n_good` successes in a row;
/// `random` is from 0 to 1.
fn gap(monitor: &Monitor, n_good: u32, random: f64) -> Duration {
    let interval = monitor.interval;
    let shortest = monitor.shortest_gap();
    // While a verdict may be in the making, nothing is put off.
    let longest = if n_good >= monitor.success_threshold.get() {
        interval + (interval / 10).min(MAX_DELAY)
    } else {
        interval
    };
    shortest + (longest - shortest).mul_f64(random)
}

/// A number from 0 to 1 from the seeds that the standard library makes for hash maps: good enough to
/// spread load.
fn random() -> f64 {
    let bits = RandomState::new().hash_one(()) >> 11;
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::Ipv4Addr;
    use std::num::NonZeroU32;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;

    use tokio::time::sleep;
    use tokio::time::timeout;

    use super::*;
    use crate::base::health::Health;
    use crate::config::model::Egress;
    use crate::health::failure::Phase;
    use crate::health::failure::ProbeFailure;
    use crate::health::health_table::HealthTable;
    use crate::health::health_table::Limits;
    use crate::health::monitor::MonitorKind;
    use crate::health::monitor::Quorum;
    use crate::health::monitor::QuorumScope;
    use crate::health::monitor::Unproven;
    use crate::health::observation::Moment;
    use crate::health::observation::Target;
    use crate::live::meters::Meters;

    const MAX_IN_FLIGHT: usize = 512;
    const INTERVAL: Duration = Duration::from_secs(5);
    const TIMEOUT: Duration = Duration::from_secs(4);

    fn monitor(interval: Duration) -> Monitor {
        let two = NonZeroU32::new(2).expect("not zero");
        Monitor {
            name: "ready".into(),
            kind: MonitorKind::Tcp,
            port: 80,
            interval,
            timeout: TIMEOUT,
            failure_threshold: two,
            success_threshold: two,
            failures_in_window: None,
            damping: None,
            quorum: Quorum::Majority,
            quorum_scope: QuorumScope::Global,
            unproven: Unproven::Behind,
        }
    }

    fn pair(number: u32, interval: Duration) -> Pair {
        pair_of("west", number, interval)
    }

    fn pair_of(pool: &str, number: u32, interval: Duration) -> Pair {
        let target = Target::new(
            pool.into(),
            Ipv4Addr::from_bits(0x7F00_0000 + number).into(),
            Arc::new(monitor(interval)),
            true,
        );
        Pair {
            target: Arc::new(target),
            vantage: "local".into(),
            egress: Egress::Direct,
        }
    }

    fn asks<F>(ask: impl Fn(Arc<Pair>) -> F + Send + Sync + 'static) -> Ask
    where
        F: Future<Output = ProbeResult> + Send + 'static,
    {
        Arc::new(move |pair| -> Asking {
            let asking = ask(pair);
            Box::pin(async move { (asking.await, None) })
        })
    }

    fn late() -> IntCounterVec {
        Meters::new().probes_late
    }

    fn always_good() -> Ask {
        asks(|_| async { ProbeResult::Success })
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_round_takes_a_second() {
        let (reports, mut seen) = mpsc::channel(1000);
        let mut prober = Prober::with(always_good(), MAX_IN_FLIGHT, reports, late());
        let start = Instant::now();
        prober.replace((0..500).map(|i| pair(i, INTERVAL)).collect());
        let mut addresses = HashSet::new();
        while addresses.len() < 500 {
            let observation = seen.recv().await.expect("a report");
            addresses.insert(observation.target.address);
        }
        let took = start.elapsed();
        assert!(took < Duration::from_millis(1010), "{took:?}");
        assert!(took > Duration::from_millis(900), "spread over {took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_first_round_is_spread_over_more_than_a_second() {
        let (reports, mut seen) = mpsc::channel(1);
        let mut prober = Prober::with(always_good(), MAX_IN_FLIGHT, reports, late());
        for (n, interval, least, most) in [
            (30_000, INTERVAL, 2.9, 3.01),
            // Never over more than the interval.
            (30_000, Duration::from_secs(2), 1.9, 2.01),
        ] {
            let start = Instant::now();
            prober.replace((0..n).map(|i| pair(i, interval)).collect());
            let mut addresses = HashSet::new();
            while addresses.len() < n as usize {
                let observation = seen.recv().await.expect("a report");
                addresses.insert(observation.target.address);
            }
            let took = start.elapsed().as_secs_f64();
            assert!((least..most).contains(&took), "{n}: {took}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn intervals_run_from_start_to_start_within_a_tenth() {
        let (reports, mut seen) = mpsc::channel(1);
        let slow = asks(|_| async {
            sleep(Duration::from_secs(2)).await;
            ProbeResult::Success
        });
        let mut prober = Prober::with(slow, MAX_IN_FLIGHT, reports, late());
        prober.replace(vec![pair(1, INTERVAL)]);
        seen.recv().await.expect("a report");
        let mut before = Instant::now();
        let (mut shortest, mut longest) = (INTERVAL, INTERVAL);
        for _ in 0..1000 {
            let observation = seen.recv().await.expect("a report");
            assert!(observation.took >= Duration::from_secs(2));
            (shortest, longest) = (
                shortest.min(before.elapsed()),
                longest.max(before.elapsed()),
            );
            before = Instant::now();
        }
        // The clock of the runtime counts milliseconds, rounded up.
        let slack = Duration::from_millis(2);
        assert!(shortest + slack >= INTERVAL - INTERVAL / 10, "{shortest:?}");
        assert!(longest <= INTERVAL + INTERVAL / 10 + slack, "{longest:?}");
        assert!(
            longest - shortest > INTERVAL / 6,
            "{shortest:?} to {longest:?}"
        );
    }

    #[test]
    fn nothing_is_put_off_while_a_verdict_may_be_in_the_making() {
        for (interval, n_good, longest) in [
            (INTERVAL, 0, INTERVAL),
            (INTERVAL, 1, INTERVAL),
            (INTERVAL, 2, Duration::from_millis(5500)),
            (Duration::from_secs(60), 2, Duration::from_millis(60_500)),
        ] {
            let monitor = monitor(interval);
            assert_eq!(gap(&monitor, n_good, 1.0), longest);
            assert_eq!(gap(&monitor, n_good, 0.0), interval - interval / 10);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn probes_in_flight_are_bounded_in_all_and_one_per_pair() {
        let in_flight = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let hangs = {
            let (in_flight, most) = (Arc::clone(&in_flight), Arc::clone(&most));
            asks(move |_| {
                let (in_flight, most) = (Arc::clone(&in_flight), Arc::clone(&most));
                async move {
                    let now = in_flight.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    sleep(INTERVAL * 3).await;
                    in_flight.fetch_sub(1, Ordering::SeqCst);
                    ProbeResult::Success
                }
            })
        };
        for (n_pairs, expected) in [(3, 3), (20, 8)] {
            most.store(0, Ordering::SeqCst);
            let (reports, mut seen) = mpsc::channel(1);
            let mut prober = Prober::with(Arc::clone(&hangs), 8, reports, late());
            prober.replace((0..n_pairs).map(|i| pair(i, INTERVAL)).collect());
            for _ in 0..100 {
                seen.recv().await.expect("a report");
            }
            assert_eq!(most.load(Ordering::SeqCst), expected);
            drop(prober);
            in_flight.store(0, Ordering::SeqCst);
        }
    }

    /// 600 endpoints that hang, where 256 probes may be in flight.
    #[tokio::test(start_paused = true)]
    async fn hanging_endpoints_do_not_delay_another_pools_probes() {
        let ask = asks(|pair| async move {
            if &*pair.target.pool == "dead" {
                sleep(TIMEOUT).await;
                let (after, phase) = (TIMEOUT, Phase::Connect);
                return ProbeResult::Failure(ProbeFailure::Timeout { after, phase });
            }
            ProbeResult::Success
        });
        let (reports, mut seen) = mpsc::channel(1000);
        let late = late();
        let mut prober = Prober::with(ask, 256, reports, late.clone());
        let dead = (0..600).map(|i| pair_of("dead", i, INTERVAL));
        prober.replace(dead.chain([pair_of("well", 1, INTERVAL)]).collect());
        let start = Instant::now();
        let mut before = start;
        while start.elapsed() < INTERVAL * 100 {
            let observation = seen.recv().await.expect("a report");
            if &*observation.target.pool == "well" {
                let gap = before.elapsed();
                assert!(
                    gap <= INTERVAL + MAX_DELAY + Duration::from_millis(2),
                    "{gap:?}"
                );
                before = Instant::now();
            }
        }
        // The large pool cannot keep its own schedule, and says so.
        assert_eq!(late.with_label_values(&["well"]).get(), 0);
        assert!(late.with_label_values(&["dead"]).get() > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_endpoints_from_five_vantages_keep_their_schedule() {
        let (reports, mut seen) = mpsc::channel(100_000);
        let late = late();
        let hangs = asks(|_| async {
            sleep(TIMEOUT).await;
            ProbeResult::Success
        });
        let mut prober = Prober::with(hangs, 50_000, reports, late.clone());
        let vantages: [Arc<str>; 5] = ["a", "b", "c", "d", "e"].map(Arc::from);
        let pairs = vantages.iter().flat_map(|vantage| {
            (0..10_000).map(|i| Pair {
                vantage: Arc::clone(vantage),
                ..pair_of(["x", "y", "z"][i as usize % 3], i, INTERVAL)
            })
        });
        prober.replace(pairs.collect());
        for _ in 0..150_000 {
            seen.recv().await.expect("a report");
        }
        for pool in ["x", "y", "z"] {
            assert_eq!(late.with_label_values(&[pool]).get(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn other_pools_are_asked_at_once_when_an_endpoint_falls_silent() {
        let is_dead = Arc::new(AtomicBool::new(false));
        let ask = {
            let is_dead = Arc::clone(&is_dead);
            asks(move |pair| {
                let fails = is_dead.load(Ordering::SeqCst) && &*pair.target.pool == "dead";
                async move {
                    match fails {
                        true => ProbeResult::Failure(ProbeFailure::Refused),
                        false => ProbeResult::Success,
                    }
                }
            })
        };
        let (reports, mut seen) = mpsc::channel(1);
        let mut prober = Prober::with(ask, MAX_IN_FLIGHT, reports, late());
        let slow = INTERVAL * 100;
        let of = |pool, number| pair_of(pool, number, if pool == "dead" { INTERVAL } else { slow });
        prober.replace(vec![of("dead", 1), of("b", 3), of("c", 4), of("d", 5)]);
        for _ in 0..4 {
            seen.recv().await.expect("a report");
        }
        is_dead.store(true, Ordering::SeqCst);
        let mut n_asked = 0;
        let mut fallen_silent = None;
        let start = Instant::now();
        while start.elapsed() < INTERVAL * 10 {
            let observation = seen.recv().await.expect("a report");
            if observation.result == ProbeResult::Success && &*observation.target.pool != "dead" {
                n_asked += 1;
                let silent: Instant = fallen_silent.expect("only when one fell silent");
                assert!(silent.elapsed() < Duration::from_millis(10));
            } else if observation.result != ProbeResult::Success {
                fallen_silent = Some(Instant::now());
            }
        }
        // Two peers once, and none for what stays silent.
        assert_eq!(n_asked, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_starts_and_stops_only_what_has_changed() {
        let (reports, mut seen) = mpsc::channel(100);
        let mut prober = Prober::with(always_good(), MAX_IN_FLIGHT, reports, late());
        prober.replace(vec![pair(1, INTERVAL), pair(2, INTERVAL)]);
        for _ in 0..2 {
            seen.recv().await.expect("a report");
        }
        // Far from due: 1 stays as it is, 2 changes, 3 is new.
        let faster = INTERVAL - Duration::from_secs(1);
        prober.replace(vec![pair(1, INTERVAL), pair(2, faster), pair(3, INTERVAL)]);
        let mut asked = Vec::new();
        while let Ok(observation) = timeout(Duration::from_secs(2), seen.recv()).await {
            let monitor = &observation.expect("a report").target.monitor;
            asked.push(monitor.interval);
        }
        asked.sort();
        assert_eq!(asked, [faster, INTERVAL]);

        // Dropped: the tasks end, and with them the senders.
        drop(prober);
        while seen.recv().await.is_some() {}
    }

    /// The contract's promise, with the real schedule and the real health table: an endpoint that begins to
    /// hang is down within `failure_threshold × interval + timeout + 1 s`, and one that recovers is
    /// up within the same time.
    #[tokio::test(start_paused = true)]
    async fn changes_show_in_time() {
        for interval in [INTERVAL, Duration::from_secs(60)] {
            let start = Instant::now();
            let broken_at = start + interval * 5;
            let healed_at = start + interval * 12;
            let ask = asks(move |_| async move {
                if (broken_at..healed_at).contains(&Instant::now()) {
                    sleep(TIMEOUT).await;
                    let (after, phase) = (TIMEOUT, Phase::Connect);
                    return ProbeResult::Failure(ProbeFailure::Timeout { after, phase });
                }
                ProbeResult::Success
            });
            let (reports, mut seen) = mpsc::channel(1000);
            let mut prober = Prober::with(ask, MAX_IN_FLIGHT, reports, late());
            let pairs: Vec<_> = (0..200).map(|i| pair(i, interval)).collect();
            prober.replace(pairs.clone());
            let keys = pairs.into_iter().map(|p| (p.target, p.vantage));
            let mut health_table = HealthTable::new(
                keys,
                Limits {
                    report_max_age: Duration::from_secs(30),
                    blind_max: Duration::from_secs(30),
                },
            );

            let (mut n_down, mut n_up) = (0, 0);
            let bound = interval * 2 + TIMEOUT + Duration::from_secs(1);
            while n_up < 200 {
                let observation = seen.recv().await.expect("a report");
                let now = Moment {
                    elapsed: start.elapsed(),
                    unix_ms: 0,
                };
                for flip in health_table.observe(&observation, now) {
                    if flip.to == Health::Down {
                        n_down += 1;
                        assert!(broken_at.elapsed() <= bound, "{:?}", broken_at.elapsed());
                    } else if flip.from == Health::Down {
                        n_up += 1;
                        assert!(healed_at.elapsed() <= bound, "{:?}", healed_at.elapsed());
                    }
                }
            }
            assert_eq!(n_down, 200);
        }
    }
}
