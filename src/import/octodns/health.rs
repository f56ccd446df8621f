//! `octodns:` of a record: its health check, and what is about providers.

use crate::base::name::Name;
use crate::import::draft::Monitor;
use crate::import::draft::Notes;
use crate::import::tree::Fields;
use crate::import::tree::Node;

/// What octoDNS has providers ask for unless a record says otherwise.
const DEFAULT_PATH: &str = "/_dns";
const DEFAULT_PORT: u16 = 443;

/// The monitor that `octodns.healthcheck` asks for, or octoDNS's default; `None` for a protocol that is not
/// probed here.
pub(super) fn monitor(owner: &Name, options: Option<&Node>, notes: &mut Notes) -> Option<Monitor> {
    let nothing = Node::text(crate::base::diag::Place::file(&"".into()), "");
    let check = options.and_then(|options| options.get("healthcheck"));
    let mut fields = Fields::of(check.unwrap_or(&nothing));
    let protocol = fields
        .take_text("protocol")
        .unwrap_or("HTTPS")
        .to_ascii_uppercase();
    let kind = match &*protocol {
        "HTTPS" => "https",
        "HTTP" => "http",
        "TCP" => "tcp",
        _ => {
            let what = format!("health check by {protocol}");
            notes.missing(
                &what,
                "only http, https and tcp are probed; the pools are always up",
            );
            return None;
        }
    };
    let mut monitor = Monitor::new(kind, fields.take_parsed("port").unwrap_or(DEFAULT_PORT));
    let path = fields.take_text("path").unwrap_or(DEFAULT_PATH);
    let host = fields
        .take_text("host")
        .map(|host| host.trim_end_matches('.').to_owned());
    // Without a certificate's name there is nothing to be told apart by a wildcard.
    let host = host.or_else(|| (!owner.is_wildcard()).then(|| owner.plain()));
    if kind != "tcp" {
        let slash = if path.starts_with('/') { "" } else { "/" };
        monitor.path = Some(format!("{slash}{path}"));
        monitor.host = host;
        monitor.expect_status = Some("200".into());
    }
    for (key, node) in fields.rest() {
        let what = format!("`healthcheck.{key}: {}`", node.in_line());
        notes.missing(&what, "not known here");
    }
    Some(monitor)
}

/// Notes the options that mean nothing here.
pub(super) fn note_options(options: Option<&Node>, is_monitored: bool, notes: &mut Notes) {
    for (key, node) in options.map(Fields::of).into_iter().flat_map(Fields::rest) {
        let what = format!("`octodns.{key}: {}`", node.in_line());
        match key {
            "healthcheck" if is_monitored => {}
            "healthcheck" => notes.missing(&what, "a static record is not probed"),
            "lenient" | "ignored" => notes.say(format!("{what} is about octoDNS's own checks")),
            "excluded" | "included" => {
                notes.missing(
                    &what,
                    "there are no providers to choose among; the record is served",
                );
            }
            _ => notes.missing(&what, "it is about another provider"),
        }
    }
}
