//! `service_types`: what gdnsd probes, and how.

use std::collections::HashMap;

use crate::import::draft::Monitor;
use crate::import::draft::Notes;
use crate::import::tree::Fields;
use crate::import::tree::Node;

/// gdnsd's defaults.
const UP_THRESH: u32 = 20;
const DOWN_THRESH: u32 = 10;
const INTERVAL: u32 = 10;

/// The largest threshold of a monitor here.
const MAX_THRESHOLD: u32 = 1000;

/// What a service type makes of an address.
#[derive(Clone, Debug)]
pub(super) enum Service {
    /// Always up.
    Up,
    /// Never up.
    Down,
    /// As a monitor sees it, with what has no equivalent in that.
    Probed(Monitor, Notes),
    /// Probed in a way that is unknown here.
    Unknown(String),
}

/// All service types by name.
pub(super) fn read(node: Option<&Node>) -> HashMap<String, Service> {
    let entries = node.and_then(Node::as_map).unwrap_or_default();
    let mut services: HashMap<_, _> = entries
        .iter()
        .map(|(name, node)| (name.clone(), service(name, node)))
        .collect();
    for (name, service) in [("up", Service::Up), ("down", Service::Down)] {
        services.insert(name.into(), service);
    }
    services
}

fn service(name: &str, node: &Node) -> Service {
    let mut fields = Fields::of(node);
    let plugin = fields.take_text("plugin").unwrap_or_default();
    let kind = match plugin {
        "http_status" => "http",
        "tcp_connect" => "tcp",
        "null" => return Service::Down,
        "static" => {
            let is_down = fields
                .take_text("state")
                .is_some_and(|state| state.eq_ignore_ascii_case("down"));
            return if is_down { Service::Down } else { Service::Up };
        }
        _ => {
            return Service::Unknown(format!(
                "`{name}` with the plugin `{plugin}`: {}",
                node.in_line()
            ));
        }
    };
    let mut notes = Notes::default();
    let port = fields.take_parsed("port").unwrap_or(80);
    let mut monitor = Monitor::new(kind, port);
    if kind == "http" {
        monitor.path = Some(fields.take_text("url_path").unwrap_or("/").to_owned());
        monitor.host = fields.take_text("vhost").map(str::to_owned);
        let codes = fields.take("ok_codes").map(Node::texts).unwrap_or_default();
        monitor.expect_status = Some(if codes.is_empty() {
            "200".into()
        } else {
            codes.join(",")
        });
    }
    let interval = fields.take_parsed("interval").unwrap_or(INTERVAL);
    monitor.interval = Some(interval);
    monitor.timeout = Some(
        fields
            .take_parsed("timeout")
            .unwrap_or((interval / 2).max(1)),
    );
    for (key, default, threshold) in [
        ("up_thresh", UP_THRESH, &mut monitor.success_threshold),
        ("down_thresh", DOWN_THRESH, &mut monitor.failure_threshold),
    ] {
        let given: u32 = fields.take_parsed(key).unwrap_or(default);
        if given > MAX_THRESHOLD {
            let what = format!("`{key} => {given}` of `{name}`");
            notes.missing(&what, "a threshold is at most 1000");
        }
        *threshold = Some(given.clamp(1, MAX_THRESHOLD));
    }
    for (key, node) in fields.rest() {
        let what = format!("`{key} => {}` of `{name}`", node.in_line());
        let why = match key {
            "ok_thresh" => "consecutive failures count here, and a success ends them",
            _ => "not known here",
        };
        notes.missing(&what, why);
    }
    Service::Probed(monitor, notes)
}
