//! `/metrics`: Prometheus text.
//!
//! What the control loop counts is kept in [`Meters`](crate::live::meters::Meters); everything else is
//! gathered afresh for each scrape from what is shared, so that the series of pools that a reload took
//! away are gone. Labels come from configuration and closed sets, never from packets.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Display;
use std::fmt::Write;
use std::sync::Arc;

use prometheus::TextEncoder;
use prometheus::core::Collector;

use crate::admin::checks::Verdicts;
use crate::admin::drills;
use crate::admin::process::ProcessNow;
use crate::admin::sources;
use crate::base::health::Health;
use crate::base::prefix::Family;
use crate::base::rr::Rcode;
use crate::base::transport::Transport;
use crate::config::model::Pool;
use crate::health::overrides::Forced;
use crate::live::Live;
use crate::state::counters::Dropped;
use crate::state::counters::Transferred;
use crate::state::counters::XdpStatistic;
use crate::state::snapshot::Snapshot;
use crate::state::source::SourceId;
use crate::state::source::SourceState;

/// The content type of [`text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// With more pairs of steered name and pool than this, those that have never been answered have no
/// series: most would stay at zero for ever.
pub(super) const MAX_ZERO_PAIRS: usize = 10_000;

/// All metrics now.
pub fn text(live: &Live) -> String {
    let mut page = Page::default();
    let snapshot = live.snapshots.current();
    page.queries(live, &snapshot);
    page.countries(&snapshot.plan);
    page.pools(live, &snapshot);
    page.steering(&snapshot);
    page.ttls(&snapshot);
    page.sources(live, &snapshot);
    page.verdicts(live);
    page.vantages(live);
    if let Some(fleet) = &*live.fleet.read() {
        page.fleet(fleet);
    }
    page.state(live, &snapshot);
    page.process(live);
    page.add(&live.meters.admin_refused);
    page.add(&live.meters.fleet_link_dropped);
    page.add(&live.meters.log_lines_dropped);
    page.add(&live.meters.dnstap_messages);
    page.add(&live.meters.dnstap_dropped);
    page.add(&live.meters.decisions);
    page.add(&live.meters.decisions_dropped);
    page.add(&live.meters.probes);
    page.add(&live.meters.probe_duration);
    page.add(&live.meters.load_faults);
    page.add(&live.meters.probes_late);
    page.add(&live.meters.publish);
    page.add(&live.meters.reloads);
    page.add(&live.meters.drills);
    page.add(&live.meters.notifies);
    page.add(&live.meters.events);
    page.add(&live.meters.webhook_deliveries);
    page.add(&live.meters.webhook_dropped);
    page.add(&live.meters.webhook_queued);
    page.add(&live.meters.geoip_updates);
    page.add(&live.meters.updates);
    page.into_text()
}

/// The metrics of one scrape, in the text format 0.0.4 of Prometheus.
///
/// What is gathered afresh is written as it comes: series of the `prometheus` crate, made for one scrape
/// and then thrown away, would take a kilobyte each.
#[derive(Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn add(&mut self, metric: &impl Collector) {
        let mut families = metric.collect();
        families.retain(|family| !family.get_metric().is_empty());
        TextEncoder::new()
            .encode_utf8(&families, &mut self.text)
            .expect("families have names and are not empty");
    }

    pub(super) fn gauge<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        rows: impl IntoIterator<Item = ([impl Display; N], f64)>,
    ) {
        // Writing to a string cannot fail.
        let _ = self.family("gauge", name, help, labels, rows);
    }

    pub(super) fn counter<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        rows: impl IntoIterator<Item = ([impl Display; N], f64)>,
    ) {
        let _ = self.family("counter", name, help, labels, rows);
    }

    /// Writes one family; nothing at all if it has no rows.
    fn family<const N: usize>(
        &mut self,
        kind: &str,
        name: &str,
        help: &str,
        labels: [&str; N],
        rows: impl IntoIterator<Item = ([impl Display; N], f64)>,
    ) -> fmt::Result {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let text = &mut self.text;
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
        for (values, value) in rows {
            text.push_str(name);
            for (at, (label, value)) in labels.iter().zip(values).enumerate() {
                text.push_str(if at == 0 { "{" } else { "," });
                write!(text, "{label}=\"")?;
                write!(Escaped(text), "{value}")?;
                text.push('"');
            }
            writeln!(text, "{} {value}", if N == 0 { "" } else { "}" })?;
        }
        Ok(())
    }

    /// The answer path.
    fn queries(&mut self, live: &Live, snapshot: &Snapshot) {
        let counters = &live.counters;
        self.counter(
            "meridian_queries_total",
            "DNS messages received.",
            ["transport"],
            Transport::ALL.map(|t| ([t.as_str()], counters.queries(t) as f64)),
        );
        self.counter(
            "meridian_xdp_queries_total",
            "DNS messages received over UDP by AF_XDP.",
            [],
            [([""; 0], counters.xdp_queries() as f64)],
        );
        self.counter(
            "meridian_xdp_statistics_total",
            "The kernel's statistics of AF_XDP sockets: packets dropped, rings full or empty.",
            ["statistic"],
            XdpStatistic::ALL.map(|s| ([s.as_str()], counters.xdp_statistic(s) as f64)),
        );
        self.counter(
            "meridian_responses_total",
            "DNS responses sent, by response code.",
            ["rcode"],
            Rcode::ALL.map(|r| ([r.as_str()], counters.responses(r) as f64)),
        );
        self.counter(
            "meridian_dropped_total",
            "DNS messages that were not answered, or whose response could not be sent.",
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
        let tells_zeros = snapshot.plan.counters.n_pairs() <= MAX_ZERO_PAIRS;
        self.counter(
            "meridian_answers_total",
            "Answers with the addresses of a pool, by steered name.",
            ["name", "pool"],
            answers
                .filter(|(_, n)| *n > 0 || tells_zeros)
                .map(|((name, pool), n)| ([name, pool], n as f64)),
        );
    }

    /// Pools and endpoints as they are served.
    fn pools(&mut self, live: &Live, snapshot: &Snapshot) {
        let plan = &snapshot.plan;
        let pools = || plan.config.pools.pools.iter().zip(&snapshot.pools);
        let families = pools().flat_map(|(pool, now)| {
            Family::ALL.into_iter().filter_map(move |family| {
                let health = now.health(family)?;
                Some(([family.as_str(), &*pool.name], up(health)))
            })
        });
        self.gauge(
            "meridian_pool_up",
            "Whether a pool is up in an address family, overrides included.",
            ["family", "pool"],
            families,
        );
        let endpoints = pools().flat_map(|(pool, now)| {
            let endpoints = now.endpoints.iter().zip(&now.health);
            endpoints.map(|(endpoint, health)| {
                let labels: [&dyn Display; 2] = [&endpoint.address, &pool.name];
                (labels, up(*health))
            })
        });
        self.gauge(
            "meridian_endpoint_up",
            "Whether an endpoint is up by the quorum of its vantages; unknown counts as up.",
            ["endpoint", "pool"],
            endpoints,
        );
        let overrides = live.overrides.read().clone();
        let active = pools().flat_map(|(pool, _)| {
            let set = overrides.of(&pool.name).map(|override_| override_.state);
            Forced::WORDS.map(|state| {
                let is_active = f64::from(u8::from(set.map(Forced::as_str) == Some(state)));
                ([&*pool.name, state], is_active)
            })
        });
        self.gauge(
            "meridian_override_active",
            "Whether an operator's override of a pool is in force.",
            ["pool", "state"],
            active,
        );
        for (name, help, rows) in drills::gauges(live, snapshot) {
            self.gauge(name, help, ["pool"], rows);
        }
        let orphaned = overrides.orphaned(pools().map(|(pool, _)| &*pool.name));
        self.gauge(
            "meridian_override_orphaned",
            "Overrides of pools that are not configured; always 1.",
            ["pool", "state"],
            orphaned.map(|(pool, override_)| ([pool, override_.state.as_str()], 1.0)),
        );
    }

    /// What names the endpoints of pools.
    fn sources(&mut self, live: &Live, snapshot: &Snapshot) {
        let (sources, now) = (live.sources.read(), live.clock.now().unix());
        let pools = snapshot.plan.config.pools.pools.iter();
        let of_pool = |pool| sources::of(&sources, pool).map(move |source| (pool, source));
        let all: Vec<(&Pool, _)> = pools.flat_map(of_pool).collect();
        let rows = |value: &dyn Fn(&SourceState) -> Option<f64>| {
            let row = |(pool, (id, state)): &(&Pool, (&SourceId, &SourceState))| {
                Some(([pool.name.to_string(), id.to_string()], value(state)?))
            };
            all.iter().filter_map(row).collect::<Vec<_>>()
        };
        let labels = ["pool", "source"];
        self.gauge(
            "meridian_source_up",
            "Whether what names a pool's endpoints has answered and does not fail now.",
            labels,
            rows(&|state| Some(f64::from(u8::from(sources::is_up(state))))),
        );
        self.gauge(
            "meridian_source_age_seconds",
            "The time since what names a pool's endpoints last answered, in this run or before.",
            labels,
            rows(&|state| Some(now.saturating_sub(state.last_success?) as f64)),
        );
        self.gauge(
            "meridian_source_refused_addresses",
            "Addresses of a source's latest answer that are neither probed nor answered.",
            labels,
            rows(&|state| Some(state.refused.as_ref().map_or(0, |refused| refused.n) as f64)),
        );
    }

    /// What vantages and monitors say of endpoints.
    fn verdicts(&mut self, live: &Live) {
        let verdicts = Verdicts::of(&live.health_table.read(), live.clock.now());
        self.gauge(
            "meridian_monitor_up",
            "Whether an endpoint is up by the verdict of one of its pool's monitors, with a vote or without; unknown counts as up.",
            ["endpoint", "pool", "monitor"],
            verdicts.of_monitors.iter().map(|(of, health)| (of.labels(), up(*health))),
        );
        self.gauge(
            "meridian_vantage_endpoint_up",
            "Whether an endpoint is up by the verdict of one vantage; unknown counts as up.",
            ["endpoint", "pool", "vantage"],
            verdicts
                .of_vantages
                .iter()
                .map(|(of, health)| (of.labels(), up(*health))),
        );
        let suppressed = verdicts.suppressed.iter();
        self.gauge(
            "meridian_vantage_endpoint_suppressed",
            "Whether a vantage says down of an endpoint because it has flapped.",
            ["endpoint", "pool", "vantage"],
            suppressed
                .map(|(of, is_suppressed)| (of.labels(), f64::from(u8::from(*is_suppressed)))),
        );
    }

    /// The vantages themselves.
    fn vantages(&mut self, live: &Live) {
        let (health_table, now) = (live.health_table.read(), live.clock.now());
        self.gauge(
            "meridian_vantage_report_age_seconds",
            "The age of a vantage's newest report about any endpoint; before the first, the time \
             since the start.",
            ["vantage"],
            health_table
                .vantages(now)
                .map(|vantage| ([vantage.name], vantage.report_age.as_secs_f64())),
        );
        let blind = health_table.vantages(now).flat_map(|vantage| {
            Family::ALL.map(|family| {
                let is_blind = f64::from(u8::from(vantage.blind_since[family].is_some()));
                ([family.as_str(), &**vantage.name], is_blind)
            })
        });
        self.gauge(
            "meridian_vantage_blind",
            "Whether a vantage has lost contact with all pools at once, so that it has no vote.",
            ["family", "vantage"],
            blind,
        );
        let witnesses = health_table.vantages(now).flat_map(|vantage| {
            let name = Arc::clone(vantage.name);
            vantage
                .witnesses
                .into_iter()
                .map(move |(witness, is_reached)| {
                    let labels = [name.to_string(), witness.to_string()];
                    (labels, f64::from(u8::from(is_reached)))
                })
        });
        self.gauge(
            "meridian_witness_reached",
            "Whether a vantage reached a witness at its latest attempt.",
            ["vantage", "witness"],
            witnesses,
        );
    }

    /// What is served.
    fn state(&mut self, live: &Live, snapshot: &Snapshot) {
        self.gauge(
            "meridian_table_generation",
            "The generation of the snapshot that is served.",
            [],
            [([""; 0], snapshot.generation as f64)],
        );
        let now = live.clock.now().unix();
        self.gauge(
            "meridian_geoip_build_timestamp_seconds",
            "When a GeoIP database was built, by its type.",
            ["database"],
            snapshot
                .plan
                .databases(now)
                .map(|(about, _)| (&about.database_type, about.build_epoch))
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .map(|(name, built)| ([name], built as f64)),
        );
        self.gauge(
            "meridian_geoip_old",
            "Whether a GeoIP database is older than max_age; the embedded one never is.",
            ["database"],
            snapshot
                .plan
                .databases(now)
                .map(|(about, is_old)| (&about.database_type, is_old))
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .map(|(name, is_old)| ([name], f64::from(u8::from(is_old)))),
        );
        self.downloads(live);
        self.latency(snapshot);
        let last_reload = live.last_reload.read();
        let is_refused = last_reload.refused;
        let is_rolled_back = last_reload.rolled_back.is_some();
        drop(last_reload);
        self.gauge(
            "meridian_reload_failed",
            "Whether the latest reload was refused, so that the previous files are still served.",
            [],
            [([""; 0], f64::from(u8::from(is_refused)))],
        );
        self.gauge(
            "meridian_rolled_back",
            "Whether a kept configuration is served instead of the files on disk.",
            [],
            [([""; 0], f64::from(u8::from(is_rolled_back)))],
        );
        self.gauge(
            "meridian_build_info",
            "Always 1; the version is a label.",
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
                "Maximum number of open file descriptors.",
                now.max_fds,
            ),
            (
                "process_open_fds",
                "Number of open file descriptors.",
                now.open_fds,
            ),
            (
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
                now.resident_bytes,
            ),
            (
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
                started,
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory size in bytes.",
                now.virtual_bytes,
            ),
        ] {
            self.gauge(name, help, [], value.map(|value| ([""; 0], value)));
        }
        self.counter(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            [],
            now.cpu_seconds.map(|value| ([""; 0], value)),
        );
    }
}

/// Writes the value of a label between its quotes.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, value: &str) -> fmt::Result {
        for character in value.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                _ => self.0.push(character),
            }
        }
        Ok(())
    }
}

/// 1 unless down: unknown counts as up, as in the answers.
fn up(health: Health) -> f64 {
    f64::from(u8::from(health.is_usable()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_text_that_prometheus_reads() {
        let mut page = Page::default();
        page.gauge(
            "a",
            "Help.",
            ["x", "y"],
            [(["q\"\\\n", "é"], 0.5), (["", "z"], 2e9)],
        );
        page.counter("b", "More.", [], [([""; 0], 3.0)]);
        page.gauge("none", "No rows.", ["x"], Vec::<([&str; 1], f64)>::new());
        let expected = "# HELP a Help.\n# TYPE a gauge\n\
                        a{x=\"q\\\"\\\\\\n\",y=\"é\"} 0.5\na{x=\"\",y=\"z\"} 2000000000\n\
                        # HELP b More.\n# TYPE b counter\nb 3\n";
        assert_eq!(page.text, expected);
    }
}
