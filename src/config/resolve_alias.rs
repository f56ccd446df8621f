//! `pools.toml`: aliases, whose addresses are those of another name.

use crate::base::name::Name;
use crate::config::defaults;
use crate::config::keys;
use crate::config::model::Alias;
use crate::config::names::Names;
use crate::config::owners::Owners;
use crate::config::resolve_steer::seconds;
use crate::config::units;
use crate::config::written::Item;
use crate::config::written::Table;

/// Resolves each `[alias."NAME"]`; `owners` are those of the file so far.
pub(super) fn aliases(top: &Table<'_>, owners: &mut Owners) -> Vec<Alias> {
    let (names, tables) = Names::with_tables(top, "alias", &keys::ALIAS);
    let read = |(written, table): (_, &Option<Table<'_>>)| {
        let owner = owners.read(written);
        let table = table.as_ref()?;
        let target = table.require("target", units::ENDPOINT_HOST, |item: &Item<'_>| {
            let target = item.parse(units::ENDPOINT_HOST, units::endpoint_host)?;
            let domain = Name::parse(&target).ok()?;
            if Some(&domain) == owner.as_ref() {
                item.fault("is the alias itself, expected another name");
            }
            Some((target, domain))
        });
        let ttl = table.read_or("ttl", defaults::TTL, |item| seconds(item, false));
        let (host, target) = target?;
        Some(Alias {
            owner: owner?,
            place: written.place(),
            target,
            host,
            ttl,
        })
    };
    names.iter().zip(&tables).filter_map(read).collect()
}
