//! Health checks: `aws route53 list-health-checks`.

use std::collections::HashMap;

use crate::import::draft::Monitor;
use crate::import::draft::Notes;
use crate::import::tree::Fields;
use crate::import::tree::Node;

/// Route 53's defaults, in seconds and consecutive checks.
const INTERVAL: u32 = 30;
const FAILURE_THRESHOLD: u32 = 3;

/// The health checks of all files by their ids.
#[derive(Default)]
pub(super) struct HealthChecks<'a>(HashMap<&'a str, &'a Node>);

impl<'a> HealthChecks<'a> {
    /// Adds a check.
    pub(super) fn add(&mut self, check: &'a Node) {
        if let Some((id, config)) = check
            .get("Id")
            .and_then(Node::as_text)
            .zip(check.get("HealthCheckConfig"))
        {
            self.0.insert(id, config);
        }
    }

    /// The monitor of a check; `None`, with a note, if it cannot be one.
    pub(super) fn monitor(&self, id: &str, notes: &mut Notes) -> Option<Monitor> {
        let Some(config) = self.0.get(id) else {
            let why = "not among the files; add the output of `aws route53 list-health-checks`";
            notes.missing(&format!("health check {id}"), why);
            return None;
        };
        let mut fields = Fields::of(config);
        let kind = fields.take_text("Type").unwrap_or_default();
        let mut monitor = match kind {
            "HTTP" | "HTTP_STR_MATCH" => Monitor::new("http", 80),
            "HTTPS" | "HTTPS_STR_MATCH" => Monitor::new("https", 443),
            "TCP" => Monitor::new("tcp", 80),
            _ => {
                let what = format!("health check {id} of type {kind}: {}", config.in_line());
                notes.missing(
                    &what,
                    "only http, https and tcp are probed; the pool is always up",
                );
                return None;
            }
        };
        if fields.take_text("Disabled") == Some("true") {
            notes.say(format!("Health check {id} is disabled: always up."));
            return None;
        }
        if fields.take_text("Inverted") == Some("true") {
            let what = format!("health check {id} with `Inverted: true`");
            notes.missing(
                &what,
                "what fails a probe is never up; the pool is always up",
            );
            return None;
        }
        monitor.port = fields.take_parsed("Port").unwrap_or(monitor.port);
        let (path, host) = (
            fields.take_text("ResourcePath"),
            fields.take_text("FullyQualifiedDomainName"),
        );
        let search = fields.take_text("SearchString");
        if monitor.kind != "tcp" {
            monitor.path = Some(
                path.filter(|path| !path.is_empty())
                    .unwrap_or("/")
                    .to_owned(),
            );
            monitor.host = host.map(|host| host.trim_end_matches('.').to_owned());
            monitor.expect_status = Some("200-399".into());
            monitor.expect_body = search.map(str::to_owned);
        }
        monitor.interval = Some(fields.take_parsed("RequestInterval").unwrap_or(INTERVAL));
        let threshold = fields
            .take_parsed("FailureThreshold")
            .unwrap_or(FAILURE_THRESHOLD);
        monitor.failure_threshold = Some(threshold);
        monitor.success_threshold = Some(threshold);
        if monitor.kind == "https" {
            let why = "Route 53 does not look at the certificate; here it must be valid for `host`";
            notes.missing(&format!("health check {id} over HTTPS"), why);
        }
        note_rest(id, fields, notes);
        Some(monitor)
    }
}

/// Notes what a monitor has not.
fn note_rest(id: &str, fields: Fields<'_>, notes: &mut Notes) {
    for (key, node) in fields.rest() {
        // Probes send SNI, and their times are in the metrics.
        let is_alike = matches!(key, "EnableSNI" | "MeasureLatency");
        let why = match key {
            _ if is_alike => continue,
            "IPAddress" => {
                notes.say(format!(
                    "Health check {id} probes {}; here each endpoint is probed.",
                    node.in_line()
                ));
                continue;
            }
            "Regions" => "probes leave from this machine and its vantages",
            _ => "not known here",
        };
        let what = format!("`{key}: {}` of health check {id}", node.in_line());
        notes.missing(&what, why);
    }
}
