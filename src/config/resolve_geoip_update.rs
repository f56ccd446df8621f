//! Resolves `[geoip.update]`.

use std::time::Duration;

use crate::config::defaults;
use crate::config::geoip_update::Account;
use crate::config::geoip_update::GeoIpUpdate;
use crate::config::geoip_update::Remote;
use crate::config::geoip_update::UrlTemplate;
use crate::config::keys;
use crate::config::resolve_monitors;
use crate::config::units;
use crate::config::written::Item;
use crate::config::written::Table;

/// What a URL looks like.
const URL: &str = "a URL such as \"https://example.com/{year}-{month}.mmdb.gz\", of whose placeholders there are \
                   {year}, {month}, {day} and {token}";

/// What a checksum's URL looks like.
const CHECKSUM: &str = "a URL, or what follows the database's, such as \".sha256\"";

/// Resolves the table below `[geoip]`, if it is there.
pub(super) fn geoip_update(top: &Table<'_>, geoip: &Table<'_>) -> Option<GeoIpUpdate> {
    let table = &geoip.optional_table("update", &keys::GEOIP_UPDATE)?;
    if top.is_missing("state_dir") {
        table.fault("needs `state_dir`, where databases are kept, expected a folder there");
    }
    table.require_one_of(&["url", "asn_url"], URL);
    let account = account(table);
    let update = GeoIpUpdate {
        location: remote(table, ["url", "checksum_url"], &account),
        asn: remote(table, ["asn_url", "asn_checksum_url"], &account),
        every: table.read_or("every", defaults::GEOIP_UPDATE_EVERY, |item| {
            item.duration(Duration::from_secs(3_600)..=Duration::from_secs(90 * 86_400))
        }),
        account,
    };
    let has_placeholder = |key| {
        let url = table.get(key).and_then(|item| item.value.as_str());
        url.is_some_and(|url| url.contains("{token}"))
    };
    let keys = ["url", "asn_url", "checksum_url", "asn_checksum_url"];
    match (
        keys.into_iter().any(has_placeholder),
        table.get("token_file"),
    ) {
        (true, None) if table.is_missing("token_file") => {
            table.fault("has no `token_file`, expected the file that {token} stands for");
        }
        (false, Some(item)) => item.fault("is used by no URL, expected {token} in one"),
        _ => {}
    }
    Some(update)
}

fn remote(table: &Table<'_>, keys: [&'static str; 2], account: &Account) -> Option<Remote> {
    let url = |item: &Item<'_>| {
        let url = item.parse(URL, UrlTemplate::parse)?;
        if account.is_secret() && !url.is_private() {
            item.fault("sends an account in the clear, expected https");
            return None;
        }
        Some(url)
    };
    let url_read = table.read(keys[0], url);
    let checksum_url = table.read(keys[1], |item| {
        let suffix = item.value.as_str().filter(|text| text.starts_with('.'));
        match (suffix, &url_read) {
            (Some(suffix), Some(url)) => item.parse(CHECKSUM, |_| {
                UrlTemplate::parse(&format!("{}{suffix}", url.as_str()))
            }),
            (Some(_), None) => None,
            (None, _) => item.text(CHECKSUM).and_then(|_| url(item)),
        }
    });
    if let (None, Some(item)) = (table.get(keys[0]), table.get(keys[1])) {
        item.fault(&format!("is of no database, expected `{}`", keys[0]));
    }
    Some(Remote {
        url: url_read?,
        checksum_url,
    })
}

fn account(table: &Table<'_>) -> Account {
    let user = table.read("user", |item| {
        item.parse(units::PRINTABLE, units::printable)
    });
    let password_file = table.read("password_file", Item::path);
    match (table.get("user"), table.get("password_file")) {
        (Some(_), None) => table.fault("has a `user`, expected a `password_file` beside it"),
        (None, Some(_)) => table.fault("has a `password_file`, expected a `user` beside it"),
        _ => {}
    }
    Account {
        basic: user.zip(password_file),
        token_file: table.read("token_file", Item::path),
        headers: table.read_or("header", Box::default(), |item| {
            resolve_monitors::headers(item, false)
        }),
        header_file: table.read("header_file", Item::path),
        ca_file: table.read("ca_file", Item::path),
    }
}
