//! The meters that the control loop moves; the answer path has its own sharded counters.

use std::collections::HashSet;
use std::time::Duration;

use prometheus::Histogram;
use prometheus::HistogramOpts;
use prometheus::HistogramVec;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;

use crate::health::load::NoLoad;
use crate::health::observation::Observation;

/// Upper bounds in seconds for probes: from a neighbour's LAN to the longest sensible timeout.
const PROBE_BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Upper bounds in seconds for publishing a snapshot.
const PUBLISH_BUCKETS: [f64; 10] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.1, 1.0,
];

/// What a delivery to a webhook can end in.
const WEBHOOK_RESULTS: [&str; 3] = ["ok", "failed", "rejected"];

/// Meters in the form of the `prometheus` crate, ready to be registered.
#[derive(Clone, Debug)]
pub struct Meters {
    /// `probes_total{pool,vantage,result}`.
    pub probes: IntCounterVec,
    /// `probe_duration_seconds{pool,vantage}`.
    pub probe_duration: HistogramVec,
    /// `load_faults_total{pool,vantage,reason}`.
    pub load_faults: IntCounterVec,
    /// `probes_late_total{pool}`.
    pub probes_late: IntCounterVec,
    /// `table_publish_seconds`.
    pub publish: Histogram,
    /// `events_total{kind}`.
    pub events: IntCounterVec,
    /// `webhook_deliveries_total{webhook,result}`.
    pub webhook_deliveries: IntCounterVec,
    /// `webhook_dropped_total{webhook}`.
    pub webhook_dropped: IntCounterVec,
    /// `webhook_queued{webhook}`.
    pub webhook_queued: IntGaugeVec,
    /// `reloads_total{result}`.
    pub reloads: IntCounterVec,
    /// `drills_total{pool,result}`.
    pub drills: IntCounterVec,
    /// `notifies_total{result}`.
    pub notifies: IntCounterVec,
    /// `geoip_update_total{database,result}`.
    pub geoip_updates: IntCounterVec,
    /// `updates_total{zone,result}`.
    pub updates: IntCounterVec,
    /// `fleet_link_dropped_total{reason}`.
    pub fleet_link_dropped: IntCounterVec,
    /// `admin_refused_total{reason}`.
    pub admin_refused: IntCounterVec,
    /// `log_lines_dropped_total`.
    pub log_lines_dropped: IntCounter,
    /// `dnstap_messages_total`.
    pub dnstap_messages: IntCounter,
    /// `dnstap_dropped_total`.
    pub dnstap_dropped: IntCounter,
    /// `decisions_total`.
    pub decisions: IntCounter,
    /// `decisions_dropped_total`.
    pub decisions_dropped: IntCounter,
}

impl Meters {
    /// All at zero.
    ///
    /// # Panics
    /// Never: names and labels are constants that the crate accepts.
    #[expect(clippy::too_many_lines, reason = "a row per meter")]
    pub fn new() -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels).expect("constant name and labels")
        };
        let single = |name: &str, help: &str| IntCounter::new(name, help).expect("constant name");
        let probe_opts = HistogramOpts::new(
            "meridian_probe_duration_seconds",
            "Duration of probes, failed ones included.",
        )
        .buckets(PROBE_BUCKETS.into());
        let publish_opts = HistogramOpts::new(
            "meridian_table_publish_seconds",
            "Time from a change of health, overrides or files to its snapshot being served.",
        )
        .buckets(PUBLISH_BUCKETS.into());
        let meters = Self {
            probes: counter(
                "meridian_probes_total",
                "Finished probes by result.",
                &["pool", "vantage", "result"],
            ),
            probe_duration: HistogramVec::new(probe_opts, &["pool", "vantage"])
                .expect("constant name and labels"),
            load_faults: counter(
                "meridian_load_faults_total",
                "Successful probes whose response had no load that could be read, by reason.",
                &["pool", "vantage", "reason"],
            ),
            probes_late: counter(
                "meridian_probes_late_total",
                "Probes that started more than half a second later than planned.",
                &["pool"],
            ),
            publish: Histogram::with_opts(publish_opts).expect("constant name"),
            events: counter("meridian_events_total", "Events by kind.", &["kind"]),
            drills: counter(
                "meridian_drills_total",
                "Drills that this node began, or was to begin, by pool and result.",
                &["pool", "result"],
            ),
            webhook_deliveries: counter(
                "meridian_webhook_deliveries_total",
                "Deliveries to webhooks by result.",
                &["webhook", "result"],
            ),
            webhook_dropped: counter(
                "meridian_webhook_dropped_total",
                "Events that were dropped before a webhook took them.",
                &["webhook"],
            ),
            webhook_queued: IntGaugeVec::new(
                Opts::new(
                    "meridian_webhook_queued",
                    "Events that wait to be delivered to a webhook.",
                ),
                &["webhook"],
            )
            .expect("constant name and labels"),
            notifies: counter(
                "meridian_notifies_total",
                "NOTIFY messages to secondaries by result.",
                &["result"],
            ),
            geoip_updates: counter(
                "meridian_geoip_update_total",
                "Attempts to fetch a newer GeoIP database, by database and result.",
                &["database", "result"],
            ),
            updates: counter(
                "meridian_updates_total",
                "Dynamic updates by zone and RCODE of the response; those of zones that are not served \
                 have an empty zone.",
                &["zone", "result"],
            ),
            fleet_link_dropped: counter(
                "meridian_fleet_link_dropped_total",
                "Messages that were dropped before they were read, or before NATS took them, by reason.",
                &["reason"],
            ),
            admin_refused: counter(
                "meridian_admin_refused_total",
                "Calls of the admin API that were refused for their token, Host header, or content (external-dns).",
                &["reason"],
            ),
            log_lines_dropped: single(
                "meridian_log_lines_dropped_total",
                "Log lines dropped because stderr could not be written to, or not fast enough.",
            ),
            dnstap_messages: single(
                "meridian_dnstap_messages_total",
                "dnstap messages sent to the reader.",
            ),
            dnstap_dropped: single(
                "meridian_dnstap_dropped_total",
                "dnstap messages dropped because there was no reader, or it was too slow.",
            ),
            decisions: single(
                "meridian_decisions_total",
                "Lines written to the decision log.",
            ),
            decisions_dropped: single(
                "meridian_decisions_dropped_total",
                "Lines of the decision log dropped because it could not be written, or not fast enough.",
            ),
            reloads: counter(
                "meridian_reloads_total",
                "Reloads of the configuration by result.",
                &["result"],
            ),
        };
        // Told from the start, so that an alert on a rise sees the first one.
        for result in ["ok", "refused"] {
            meters.reloads.with_label_values(&[result]);
        }
        for reason in [
            "host",
            "missing_token",
            "no_token_file",
            "not_permitted",
            "wrong_token",
        ] {
            meters.admin_refused.with_label_values(&[reason]);
        }
        for result in ["answered", "refused", "unanswered"] {
            meters.notifies.with_label_values(&[result]);
        }
        meters
    }

    /// Counts a finished probe.
    pub fn probe(&self, observation: &Observation) {
        let (pool, vantage) = (&*observation.target.pool, &*observation.vantage);
        self.probes
            .with_label_values(&[pool, vantage, observation.result.label()])
            .inc();
        self.probe_duration
            .with_label_values(&[pool, vantage])
            .observe(observation.took.as_secs_f64());
        if let Some(load) = &observation.load {
            for reason in NoLoad::ALL {
                let is_it = u64::from(*load == Err(reason));
                let labels = [pool, vantage, reason.as_str()];
                self.load_faults.with_label_values(&labels).inc_by(is_it);
            }
        }
        // There from the first probe on, so that an alert on a rise sees the first late one.
        self.probes_late.with_label_values(&[pool]);
    }

    /// Drops the series of all pools but these: those that a reload took away must not be
    /// exported for ever.
    pub fn forget_all_but(&self, pools: &HashSet<&str>) {
        for labels in stale(&self.probes, ["pool", "vantage", "result"], pools) {
            // Another thread may have dropped it already.
            let _ = self
                .probes
                .remove_label_values(&labels.each_ref().map(String::as_str));
        }
        for labels in stale(&self.load_faults, ["pool", "vantage", "reason"], pools) {
            let labels = labels.each_ref().map(String::as_str);
            let _ = self.load_faults.remove_label_values(&labels);
        }
        for labels in stale(&self.probe_duration, ["pool", "vantage"], pools) {
            let labels = labels.each_ref().map(String::as_str);
            let _ = self.probe_duration.remove_label_values(&labels);
        }
        for labels in stale(&self.drills, ["pool", "result"], pools) {
            let labels = labels.each_ref().map(String::as_str);
            let _ = self.drills.remove_label_values(&labels);
        }
        for [pool] in stale(&self.probes_late, ["pool"], pools) {
            let _ = self.probes_late.remove_label_values(&[&pool]);
        }
    }

    /// Has the series of a webhook be there from the start, so that an alert on a rise sees the first failure.
    pub fn expect_webhook(&self, webhook: &str) {
        for result in WEBHOOK_RESULTS {
            self.webhook_deliveries
                .with_label_values(&[webhook, result]);
        }
        self.webhook_dropped.with_label_values(&[webhook]);
        self.webhook_queued.with_label_values(&[webhook]);
    }

    /// Drops the series of a webhook that a reload took away.
    pub fn forget_webhook(&self, webhook: &str) {
        // There is none of one that has not begun.
        for result in WEBHOOK_RESULTS {
            let _ = (self.webhook_deliveries).remove_label_values(&[webhook, result]);
        }
        let _ = self.webhook_dropped.remove_label_values(&[webhook]);
        let _ = self.webhook_queued.remove_label_values(&[webhook]);
    }

    /// Counts a published snapshot.
    pub fn published(&self, took: Duration) {
        self.publish.observe(took.as_secs_f64());
    }

    /// Counts a drill.
    pub fn drilled(&self, pool: &str, result: &str) {
        self.drills.with_label_values(&[pool, result]).inc();
    }

    /// Counts a load.
    pub fn reloaded(&self, refused: bool) {
        self.reloads
            .with_label_values(&[if refused { "refused" } else { "ok" }])
            .inc();
    }
}

/// The label values, in the order of `names`, of the series that are of other pools than these.
fn stale<const N: usize>(
    metric: &impl Collector,
    names: [&str; N],
    pools: &HashSet<&str>,
) -> Vec<[String; N]> {
    let families = metric.collect();
    let series = families.iter().flat_map(MetricFamily::get_metric);
    let labels = series.map(|series| {
        names.map(|name| {
            let label = series.get_label().iter().find(|label| label.name() == name);
            label.map_or(String::new(), |label| label.value().to_owned())
        })
    });
    labels
        .filter(|values| !pools.contains(&*values[0]))
        .collect()
}

impl Default for Meters {
    fn default() -> Self {
        Self::new()
    }
}
