//! `[[webhook]]`: where events are sent to.

use std::time::Duration;

use crate::base::diag::did_you_mean;
use crate::base::event_kind::EventKind;
use crate::config::defaults;
use crate::config::keys;
use crate::config::model::Password;
use crate::config::model::Webhook;
use crate::config::units;
use crate::config::written::Item;
use crate::config::written::Table;
use crate::config::written::hint;

/// What `url` looks like.
const URL: &str = "a URL such as \"https://hooks.example.com/meridian\", without user and password";

/// What `events` looks like.
const EVENTS: &str = "a list such as [\"pool_down\", \"pool_up\", \"reload_refused\"]";

/// What an entry of it looks like.
const KIND: &str = "a kind of docs/events.md such as \"pool_down\"";

/// Every `[[webhook]]`; their names differ.
pub(super) fn webhooks(top: &Table<'_>) -> Vec<Webhook> {
    let mut webhooks: Vec<Webhook> = Vec::new();
    for table in top.tables("webhook", &keys::WEBHOOK, "") {
        let url = table.require("url", URL, url);
        let host = url.as_ref().map(|(host, _)| host.clone());
        let name = match table.is_missing("name") {
            true => host,
            false => table.read("name", |item| {
                item.parse(units::PLAIN_NAME, units::plain_name)
            }),
        };
        if let Some(name) = &name
            && webhooks.iter().any(|other| other.name == *name)
        {
            table.fault(&format!(
                "is another one of the name \"{name}\", expected a `name` that no other has"
            ));
        }
        let events = table.read_or("events", Vec::new(), |item| item.list(EVENTS, kind));
        let secret_file = table.read("secret_file", Item::path);
        let ca_file = table.read("ca_file", Item::path);
        let timeout = table.read_or("timeout", defaults::WEBHOOK_TIMEOUT, |item| {
            item.duration(Duration::from_millis(100)..=Duration::from_secs(60))
        });
        if let (Some(name), Some((_, url))) = (name, url) {
            webhooks.push(Webhook {
                name,
                url,
                events,
                secret_file,
                ca_file,
                timeout,
            });
        }
    }
    webhooks
}

fn kind(item: &Item<'_>) -> Option<EventKind> {
    let text = item.text(KIND)?;
    let kind = EventKind::parse(text).ok();
    if kind.is_none() {
        let kinds = EventKind::ALL.iter().map(|kind| kind.as_str());
        item.expected(&format!("{KIND}{}", hint(did_you_mean(text, kinds))));
    }
    kind
}

/// The host, with its port if it has one, and the whole.
fn url(item: &Item<'_>) -> Option<(Box<str>, Password)> {
    let text = item.text(URL)?;
    let host = host(text);
    if host.is_none() {
        // The value is not repeated: it may hold a secret.
        item.fault(&format!("is no URL, expected {URL}"));
    }
    Some((host?.into(), Password::new(text.into())))
}

fn host(url: &str) -> Option<&str> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse::<u16>().ok()),
        _ => (authority, Some(0)),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_name),
    };
    let is_sound = is_host && port.is_some() && url.bytes().all(|byte| byte.is_ascii_graphic());
    is_sound.then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host() {
        for (url, expected) in [
            ("https://hooks.example.com/a?b=c", Some("hooks.example.com")),
            ("http://127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("https://[2001:db8::1]/x", Some("[2001:db8::1]")),
            ("https://[2001:db8::1]:8443/x", Some("[2001:db8::1]:8443")),
            ("https://a?token=x", Some("a")),
            ("hooks.example.com", None),
            ("ftp://hooks.example.com", None),
            ("https://", None),
            ("https:///x", None),
            ("https://:80/x", None),
            ("https://a:b/x", None),
            ("https://a:65536/x", None),
            ("https://user:secret@a/x", None),
            ("https://a b/x", None),
            ("https://a/x y", None),
            ("https://[nonsense]/x", None),
            ("https://2001:db8::1/x", None),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }
}
