//! Who may copy zones: `[[tsig_key]]` and `[[secondary]]`.

use std::net::IpAddr;
use std::net::SocketAddr;

use crate::base::diag::did_you_mean;
use crate::base::name::Name;
use crate::base::prefix::Prefix;
use crate::config::defaults;
use crate::config::keys;
use crate::config::model::Secondary;
use crate::config::model::TsigKey;
use crate::config::model::ZoneRef;
use crate::config::units;
use crate::config::written::Item;
use crate::config::written::Table;
use crate::config::written::hint;
use crate::config::written::one_of;
use crate::wire::tsig::Algorithm;
use crate::wire::tsig::MAX_KEY_NAME_LEN;

/// What `addresses` looks like.
const ADDRESSES: &str = "a list such as [\"192.0.2.53\", \"2001:db8:53::/64\"]";

/// What `notify` looks like.
const NOTIFY: &str = "a list such as [\"192.0.2.53\", \"[2001:db8::53]:5353\"]";

/// What `zones` looks like.
pub(super) const ZONES: &str = "a list such as [\"example.com\"]";

/// Every `[[tsig_key]]`; their names differ.
pub(super) fn tsig_keys(top: &Table<'_>) -> Vec<TsigKey> {
    let mut keys: Vec<TsigKey> = Vec::new();
    for table in top.tables("tsig_key", &keys::TSIG_KEY, "") {
        let name = table.require("name", KEY_NAME, |item| {
            let name = key_name(item)?;
            if keys.iter().any(|key| key.name == name) {
                item.fault(&format!(
                    "is \"{name}\" again, expected a name that no other key has"
                ));
            }
            Some(name)
        });
        let algorithm = table.read_or("algorithm", defaults::TSIG_ALGORITHM, |item| {
            item.word(&Algorithm::ALL.map(|algorithm| (algorithm.as_str(), algorithm)))
        });
        let secret_file = table.require("secret_file", "the path of a file", Item::path);
        if let (Some(name), Some(secret_file)) = (name, secret_file) {
            keys.push(TsigKey {
                name,
                algorithm,
                secret_file,
            });
        }
    }
    keys
}

/// What a key's name looks like.
const KEY_NAME: &str = "the key's name at both ends, such as \"transfer.example.com\"";

fn key_name(item: &Item<'_>) -> Option<Name> {
    let short = |name: &Name| name.wire().len() <= MAX_KEY_NAME_LEN && !name.is_root();
    item.parse(KEY_NAME, |text| Name::parse(text).ok().filter(short))
}

/// Every `[[secondary]]`.
pub(super) fn secondaries(top: &Table<'_>, keys: &[TsigKey]) -> Vec<Secondary> {
    top.tables("secondary", &keys::SECONDARY, "")
        .iter()
        .map(|table| secondary(table, keys))
        .collect()
}

fn secondary(table: &Table<'_>, keys: &[TsigKey]) -> Secondary {
    table.require_one_of(&["addresses", "notify"], "at least one of them");
    Secondary {
        addresses: table.read_or("addresses", Vec::new(), |item| item.list(ADDRESSES, prefix)),
        key: table.read("key", |item| key_of(item, keys)),
        notify: table.read_or("notify", Vec::new(), |item| item.list(NOTIFY, target)),
        zones: table.read("zones", |item| item.list(ZONES, zone)),
    }
}

/// The name of a configured key.
pub(super) fn key_of(item: &Item<'_>, keys: &[TsigKey]) -> Option<Name> {
    let name = key_name(item)?;
    if keys.iter().any(|key| key.name == name) {
        return Some(name);
    }
    let known: Vec<String> = keys.iter().map(|key| key.name.plain()).collect();
    let expected = match known.as_slice() {
        [] => "a [[tsig_key]] of that name, and there is none at all".to_owned(),
        _ => one_of(known.iter().map(|name| format!("`{name}`"))),
    };
    let near = did_you_mean(&name.plain(), known.iter().map(String::as_str));
    item.fault(&format!("is \"{name}\", expected {expected}{}", hint(near)));
    None
}

/// An address or network.
fn prefix(item: &Item<'_>) -> Option<Prefix> {
    let expected = "an address or network such as \"192.0.2.53\" or \"2001:db8:53::/64\"";
    item.parse(expected, |text| text.parse().ok())
}

/// An address with or without a port.
fn target(item: &Item<'_>) -> Option<SocketAddr> {
    let expected = "an address such as \"192.0.2.53\" or \"[2001:db8::53]:5353\"";
    item.parse(expected, |text| {
        let target = match text.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, defaults::DNS_PORT),
            Err(_) => text.parse().ok()?,
        };
        let is_usable = units::unicast(&target.ip().to_string()).is_some() && target.port() != 0;
        is_usable.then_some(target)
    })
}

/// A zone by its name.
pub(super) fn zone(item: &Item<'_>) -> Option<ZoneRef> {
    let apex = item.parse("a zone such as \"example.com\"", |text| {
        Name::parse(text).ok()
    })?;
    Some(ZoneRef {
        apex,
        place: item.place(),
    })
}
