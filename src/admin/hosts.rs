//! Whether a request means this server: the check against DNS rebinding.
//!
//! A web page may have its own name point to this machine, and its scripts may then read what we answer.
//! Their requests carry that name, which is none of ours. Addresses cannot be pointed elsewhere.

use std::net::IpAddr;
use std::net::Ipv6Addr;

use axum::http::HeaderMap;
use axum::http::Uri;
use axum::http::header::HOST;
use axum::http::header::ORIGIN;

/// Whether a request calls the server by an address, `localhost` or one of these names. One without a
/// host is of no browser, and goes through.
pub fn is_ours(uri: &Uri, headers: &HeaderMap, names: &[Box<str>]) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    let host = host.map(|host| host.to_str().unwrap_or(""));
    let is_ours = |host: &str| is_host_of(host, names);
    another.is_none() && host.is_none_or(is_ours) && uri.host().is_none_or(is_ours)
}

/// Whether a request that changes something is not one that another site's page makes a browser send. Browsers say
/// where the page is from; what says nothing is none, and needs a token all the same.
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let origin = text(ORIGIN.as_str()).map(|origin| origin.split_once("://").unwrap_or_default().1);
    let is_ours = |origin: &str| {
        text(HOST.as_str())
            .is_some_and(|host| !host.is_empty() && host.eq_ignore_ascii_case(origin))
    };
    let is_site_ours = |site: &str| matches!(site, "same-origin" | "none");
    origin.is_none_or(is_ours) && text("sec-fetch-site").is_none_or(is_site_ours)
}

/// Whether `HOST` or `HOST:PORT` is an address, `localhost` or one of these names.
fn is_host_of(host: &str, names: &[Box<str>]) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let (address, port) = rest.split_once(']').unwrap_or_default();
        return address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.starts_with(':'));
    }
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    let host = host.strip_suffix('.').unwrap_or(host);
    host.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_and_addresses_are_ours() {
        let names = ["ns1".into(), "dns.example.com".into()];
        for (host, expected) in [
            ("127.0.0.1", true),
            ("192.0.2.1:9353", true),
            ("[::1]", true),
            ("[2001:db8::1]:9353", true),
            ("localhost:9353", true),
            ("LocalHost.", true),
            ("NS1:9353", true),
            ("dns.example.com.", true),
            ("evil.example", false),
            ("dns.example.com.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example:9353", false),
            ("[::1].evil.example", false),
            ("[::1", false),
            ("[evil.example]", false),
            ("", false),
        ] {
            assert_eq!(is_host_of(host, &names), expected, "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        for (origin, site, expected) in [
            (None, None, true),
            (Some("http://localhost:9353"), None, true),
            (Some("https://LOCALHOST:9353"), Some("same-origin"), true),
            (Some("http://localhost:9354"), None, false),
            (Some("http://localhost"), None, false),
            (Some("http://evil.example"), None, false),
            (Some("null"), None, false),
            (Some(""), None, false),
            (None, Some("cross-site"), false),
            (None, Some("same-site"), false),
            (Some("http://localhost:9353"), Some("cross-site"), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "localhost:9353".parse().expect("a value"));
            for (name, value) in [("origin", origin), ("sec-fetch-site", site)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().expect("a value"));
                }
            }
            assert_eq!(is_same_origin(&headers), expected, "{origin:?} {site:?}");
        }
    }

    #[test]
    fn every_host_of_a_request_counts() {
        let uri = |text: &str| text.parse::<Uri>().expect("a URI");
        let headers = |hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, host.parse().expect("a value"));
            }
            headers
        };
        for (path, hosts, expected) in [
            ("/", &["localhost"][..], true),
            ("/", &[], true),
            ("/", &["localhost", "localhost"], false),
            ("/", &["evil.example"], false),
            ("http://localhost/", &["localhost"], true),
            ("http://evil.example/", &["localhost"], false),
            ("http://localhost/", &["evil.example"], false),
        ] {
            let found = is_ours(&uri(path), &headers(hosts), &[]);
            assert_eq!(found, expected, "{path} {hosts:?}");
        }
    }
}
