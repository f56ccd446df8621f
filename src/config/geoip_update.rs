//! `[geoip.update]`: where GeoIP databases are fetched from.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::date::Date;
use crate::health::monitor::Headers;

/// `[geoip.update]`.
#[derive(Clone, Debug, PartialEq)]
pub struct GeoIpUpdate {
    /// The location database.
    pub location: Option<Remote>,
    /// The ASN database.
    pub asn: Option<Remote>,
    /// How often they are looked for.
    pub every: Duration,
    /// What the servers want to know.
    pub account: Account,
}

/// A file on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Where it is.
    pub url: UrlTemplate,
    /// Where its SHA-256 is.
    pub checksum_url: Option<UrlTemplate>,
}

/// A URL with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlTemplate(Box<str>);

/// What proves an account, and which authorities prove the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// For Basic authentication, with the password in a file.
    pub basic: Option<(Box<str>, PathBuf)>,
    /// Holds what `{token}` stands for.
    pub token_file: Option<PathBuf>,
    /// Headers.
    pub headers: Headers,
    /// Holds further headers, a line each.
    pub header_file: Option<PathBuf>,
    /// Authorities that are trusted instead of the machine's.
    pub ca_file: Option<PathBuf>,
}

impl Account {
    /// Whether a request tells whose it is.
    pub(super) fn is_secret(&self) -> bool {
        self.basic.is_some()
            || self.token_file.is_some()
            || self.header_file.is_some()
            || !self.headers.is_empty()
    }
}

impl UrlTemplate {
    /// Reads one; `None` if it cannot be a URL.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (_, rest) = split_scheme(text)?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let is_plain = text.bytes().all(|octet| octet.is_ascii_graphic()) && !text.contains('#');
        let sample = Self(text.into()).fill(Date::from_epoch(0), "t");
        let is_url = is_plain
            && !authority.is_empty()
            && !authority.contains(['@', '{', '}'])
            && !sample.contains(['{', '}']);
        is_url.then(|| Self(text.into()))
    }

    /// The URL on a day; `token` is as it goes into one.
    pub fn fill(&self, today: Date, token: &str) -> String {
        let date = today.to_string();
        let mut parts = date.splitn(3, '-');
        let mut url = String::from(&*self.0);
        for name in ["{year}", "{month}", "{day}"] {
            url = url.replace(name, parts.next().unwrap_or_default());
        }
        url.replace("{token}", token)
    }

    /// What can be shown of it: without a query, in which tokens stand.
    pub fn shown(&self) -> &str {
        self.0.split('?').next().unwrap_or_default()
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether who asks is kept from listeners on the way: it is TLS, or does not leave the machine.
    pub(super) fn is_private(&self) -> bool {
        let Some((is_tls, rest)) = split_scheme(&self.0) else {
            return false;
        };
        let local = ["127.", "[::1]", "localhost:", "localhost/"];
        is_tls || local.iter().any(|start| rest.starts_with(start))
    }
}

/// Whether a URL is of HTTPS, and what follows.
fn split_scheme(url: &str) -> Option<(bool, &str)> {
    let of_tls = url.strip_prefix("https://").map(|rest| (true, rest));
    of_tls.or_else(|| Some((false, url.strip_prefix("http://")?)))
}
