//! Who may change zones: `[[update]]`.

use crate::base::rr::RrType;
use crate::config::keys;
use crate::config::model::Grant;
use crate::config::model::TsigKey;
use crate::config::name_pattern::NamePattern;
use crate::config::resolve_transfer::ZONES;
use crate::config::resolve_transfer::key_of;
use crate::config::resolve_transfer::zone;
use crate::config::written::Item;
use crate::config::written::Table;

/// What `key` looks like.
const KEY: &str = "the name of a [[tsig_key]]";

/// What `names` looks like.
const NAMES: &str = "a list such as [\"_acme-challenge.*\", \"*.apps.example.com\"]";

/// What `types` looks like.
const TYPES: &str = "a list such as [\"A\", \"AAAA\", \"TXT\"]";

/// Every `[[update]]`, without those at fault.
pub(super) fn grants(top: &Table<'_>, keys: &[TsigKey]) -> Vec<Grant> {
    let tables = top.tables("update", &keys::UPDATE, "");
    if top.is_missing("state_dir")
        && let Some(table) = tables.first()
    {
        table.fault("needs `state_dir`, where updates are kept, expected a folder there");
    }
    let grants = tables.iter().map(|table| grant(table, keys));
    grants.collect::<Vec<_>>().into_iter().flatten().collect()
}

fn grant(table: &Table<'_>, keys: &[TsigKey]) -> Option<Grant> {
    let key = table.require("key", KEY, |item| key_of(item, keys));
    let zones = table.require("zones", ZONES, |item| item.list(ZONES, zone));
    let names = table.read("names", |item| item.list(NAMES, pattern));
    let types = table.read("types", |item| item.list(TYPES, rtype));
    Some(Grant {
        key: key?,
        zones: zones?,
        names,
        types,
    })
}

fn pattern(item: &Item<'_>) -> Option<NamePattern> {
    let expected = "a name, with `*` as its first or last label for any others, such as \
                    \"_acme-challenge.*\"";
    item.parse(expected, |text| text.parse().ok())
}

fn rtype(item: &Item<'_>) -> Option<RrType> {
    let of_data = |rtype: &RrType| !rtype.is_meta() && rtype.0 != 0;
    item.parse("a type such as \"TXT\"", |text| {
        text.parse().ok().filter(of_data)
    })
}
