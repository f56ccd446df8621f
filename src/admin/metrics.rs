//! `/metrics`: Prometheus text.
//!
//! What the control loop counts is kept in [`Meters`](crate::admin::meters::Meters); everything else is
//! gathered afresh for each scrape from what is shared, so that the series of pools that a reload took
//! away are gone. Labels come from configuration and closed sets, never from packets.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::CounterVec;
use prometheus::Encoder as _;
use prometheus::GaugeVec;
use prometheus::Opts;
use prometheus::Registry;
use prometheus::TextEncoder;
use prometheus::core::Collector;

use crate::admin::Live;
use crate::admin::json::read;
use crate::admin::process::ProcessNow;
use crate::base::health::Health;
use crate::base::prefix::Family;
use crate::base::rr::Rcode;
use crate::health::overrides::Forced;
use crate::state::counters::Dropped;
use crate::state::counters::Transferred;
use crate::state::counters::Transport;
use crate::state::snapshot::Snapshot;

/// The content type of [`text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics now.
pub fn text(live: &Live) -> String {
    let mut page = Page::default();
    let snapshot = live.publisher.current();
    page.queries(live, &snapshot);
    page.pools(live, &snapshot);
    page.vantages(live);
    page.state(live, &snapshot);
    page.process(live);
    page.add(live.meters.probes.clone());
    page.add(live.meters.probe_duration.clone());
    page.add(live.meters.publish.clone());
    page.add(live.meters.reloads.clone());
    page.add(live.meters.notifies.clone());
    let mut text = Vec::new();
    TextEncoder::new()
        .encode(&page.registry.gather(), &mut text)
        .expect("families that gather returns are not empty");
    String::from_utf8(text).expect("metrics are text")
}

/// The metrics of one scrape.
#[derive(Default)]
struct Page {
    registry: Registry,
}

impl Page {
    fn add(&self, metric: impl Collector + 'static) {
        self.registry
            .register(Box::new(metric))
            .expect("each metric is added once, under its own name");
    }

    fn gauge<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        rows: impl IntoIterator<Item = ([impl AsRef<str>; N], f64)>,
    ) {
        let gauge = GaugeVec::new(Opts::new(name, help), &labels).expect(CONSTANT);
        for (values, value) in rows {
            gauge
                .with_label_values(&values.each_ref().map(AsRef::as_ref))
                .set(value);
        }
        self.add(gauge);
    }

    fn counter<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        rows: impl IntoIterator<Item = ([impl AsRef<str>; N], f64)>,
    ) {
        let counter = CounterVec::new(Opts::new(name, help), &labels).expect(CONSTANT);
        for (values, value) in rows {
            counter
                .with_label_values(&values.each_ref().map(AsRef::as_ref))
                .inc_by(value);
        }
        self.add(counter);
    }

    /// The answer path.
    fn queries(&mut self, live: &Live, snapshot: &Snapshot) {
        let counters = &live.counters;
        self.counter(
            "meridian_queries_total",
            "Messages that arrived.",
            ["transport"],
            Transport::ALL.map(|t| ([t.as_str()], counters.queries(t) as f64)),
        );
        self.counter(
            "meridian_xdp_queries_total",
            "Messages over UDP that came by AF_XDP.",
            [],
            [([""; 0], counters.xdp_queries() as f64)],
        );
        self.counter(
            "meridian_responses_total",
            "Responses sent, by response code.",
            ["rcode"],
            Rcode::ALL.map(|r| ([r.as_str()], counters.responses(r) as f64)),
        );
        self.counter(
            "meridian_dropped_total",
            "What arrived and got no response, or one that could not be sent.",
            ["reason"],
            Dropped::ALL.map(|d| ([d.as_str()], counters.dropped(d) as f64)),
        );
        self.counter(
            "meridian_transfers_total",
            "Zone transfers to secondaries.",
            ["result"],
            Transferred::ALL.map(|t| ([t.as_str()], counters.transfers(t) as f64)),
        );
        let answers = snapshot.plan.counters.totals();
        self.counter(
            "meridian_answers_total",
            "Answers with addresses of a pool.",
            ["name", "pool"],
            answers.map(|((name, pool), n)| ([name, pool], n as f64)),
        );
    }

    /// Pools and endpoints as they are served.
    fn pools(&mut self, live: &Live, snapshot: &Snapshot) {
        let plan = &snapshot.plan;
        let pools = || plan.config.pools.pools.iter().zip(&snapshot.pools);
        let families = pools().enumerate().flat_map(|(ix, (pool, now))| {
            Family::ALL.into_iter().filter_map(move |family| {
                let health = now.health(plan, ix, family)?;
                Some(([&*pool.name, family.as_str()], up(health)))
            })
        });
        self.gauge(
            "meridian_pool_up",
            "Whether a pool counts as up in a family it has endpoints of, overrides included.",
            ["pool", "family"],
            families,
        );
        let endpoints = pools().flat_map(|(pool, now)| {
            let endpoints = pool.endpoints.iter().zip(&now.endpoints);
            endpoints.map(|(endpoint, health)| {
                let labels = [pool.name.to_string(), endpoint.address.to_string()];
                (labels, up(*health))
            })
        });
        self.gauge(
            "meridian_endpoint_up",
            "Whether an endpoint is up in the judgement of its vantages; unknown counts as up.",
            ["pool", "endpoint"],
            endpoints,
        );
        let overrides = read(&live.overrides).clone();
        let said = pools().flat_map(|(pool, _)| {
            let word = overrides.of(&pool.name).map(|word| word.state);
            Forced::ALL.map(|state| {
                let is_said = f64::from(u8::from(word == Some(state)));
                ([&*pool.name, state.as_str()], is_said)
            })
        });
        self.gauge(
            "meridian_override_active",
            "Whether an operator's override of a pool is in force.",
            ["pool", "state"],
            said,
        );
    }

    /// What each vantage says.
    fn vantages(&mut self, live: &Live) {
        let board = read(&live.board);
        let mut verdicts = Vec::new();
        let mut ages: BTreeMap<&str, Duration> = BTreeMap::new();
        for endpoint in board.view(live.clock.now()) {
            let target = endpoint.target;
            for vantage in &endpoint.vantages {
                let address = target.address.to_string();
                let labels = [target.pool.to_string(), address, vantage.name.to_string()];
                verdicts.push((labels, up(vantage.verdict)));
                if let Some(age) = vantage.report_age {
                    let youngest = ages.entry(vantage.name).or_insert(age);
                    *youngest = age.min(*youngest);
                }
            }
        }
        self.gauge(
            "meridian_vantage_endpoint_up",
            "Whether an endpoint is up as one vantage sees it; unknown counts as up.",
            ["pool", "endpoint", "vantage"],
            verdicts,
        );
        self.gauge(
            "meridian_vantage_report_age_seconds",
            "The age of a vantage's newest report about any endpoint.",
            ["vantage"],
            ages.into_iter()
                .map(|(name, age)| ([name], age.as_secs_f64())),
        );
    }

    /// What is served.
    fn state(&mut self, live: &Live, snapshot: &Snapshot) {
        self.gauge(
            "meridian_table_generation",
            "The number of the snapshot that is served.",
            [],
            [([""; 0], snapshot.generation as f64)],
        );
        let atlas = &snapshot.plan.atlas;
        let databases = std::iter::once(atlas.about()).chain(atlas.about_asn());
        self.gauge(
            "meridian_geoip_build_timestamp_seconds",
            "When a GeoIP database was built, by its type.",
            ["database"],
            databases.map(|about| ([&about.database_type], about.build_epoch as f64)),
        );
        let is_refused = read(&live.last_reload).refused;
        self.gauge(
            "meridian_reload_failed",
            "Whether the latest reload was refused, so that older files are served.",
            [],
            [([""; 0], f64::from(u8::from(is_refused)))],
        );
        self.gauge(
            "meridian_build_info",
            "Always 1; the label tells the version.",
            ["version"],
            [([env!("CARGO_PKG_VERSION")], 1.0)],
        );
    }

    /// The process, under the names that Prometheus client libraries agree on.
    fn process(&mut self, live: &Live) {
        let now = ProcessNow::read();
        let started = Some(live.started as f64);
        for (name, help, value) in [
            (
                "process_max_fds",
                "The most files that may be open.",
                now.max_fds,
            ),
            ("process_open_fds", "Open files.", now.open_fds),
            (
                "process_resident_memory_bytes",
                "Memory in RAM.",
                now.resident_bytes,
            ),
            (
                "process_start_time_seconds",
                "When the process started.",
                started,
            ),
            (
                "process_virtual_memory_bytes",
                "Address space.",
                now.virtual_bytes,
            ),
        ] {
            self.gauge(name, help, [], value.map(|value| ([""; 0], value)));
        }
        self.counter(
            "process_cpu_seconds_total",
            "User and system time.",
            [],
            now.cpu_seconds.map(|value| ([""; 0], value)),
        );
    }
}

/// 1 unless down: unknown counts as up, as in the answers.
fn up(health: Health) -> f64 {
    f64::from(u8::from(health.is_usable()))
}

const CONSTANT: &str = "names and labels are constants in the form that Prometheus asks for";
