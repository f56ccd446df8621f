//! Texts with a form of their own: durations, status ranges, proxies, host names, addresses.
//!
//! Each parser returns `None` for what it does not take, and has a phrase beside it that says what
//! was expected.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::name::Name;
use crate::config::check_address::CheckAddress;
use crate::config::model::Egress;
use crate::config::model::Login;
use crate::config::model::NatsServer;
use crate::config::model::Password;

/// What [`duration`] takes.
pub const DURATION: &str =
    "a duration in quotes such as \"250ms\", \"5s\", \"1m30s\", \"2h\" or \"60d\"";

/// The units in milliseconds, in the order in which a sum must name them.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads whole numbers with the units d, h, m, s and ms, each at most once and largest first.
pub fn duration(text: &str) -> Option<Duration> {
    let mut units = UNITS.iter();
    let mut total = 0_u64;
    let mut rest = text;
    loop {
        let (number, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (word, behind) = behind.split_at(
            behind
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(behind.len()),
        );
        let (_, unit) = units.find(|(unit, _)| *unit == word)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*unit)?)?;
        rest = behind;
        if rest.is_empty() {
            return Some(Duration::from_millis(total));
        }
    }
}

/// Prints what [`duration`] reads, to the millisecond.
pub fn duration_text(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (word, unit) in UNITS {
        if rest >= unit {
            text.push_str(&format!("{}{word}", rest / unit));
            rest %= unit;
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// What [`failures`] takes.
pub(super) const FAILURES: &str = "failures and a duration in quotes such as \"3/60s\", from 0 to 100 \
     failures in 1s to 1d";

/// Reads how many failures in how long, `N/DURATION`.
pub(super) fn failures(text: &str) -> Option<(u32, Duration)> {
    let (n, length) = text.split_once('/')?;
    let is_number = !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
    let n = n.parse().ok().filter(|n| is_number && *n <= 100)?;
    let length = duration(length)?;
    let fits = (Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&length);
    fits.then_some((n, length))
}

/// What [`statuses`] takes.
pub(super) const STATUSES: &str =
    "HTTP statuses from 100 to 599 in quotes such as \"200\", \"200-399\" or \"200,204,300-399\"";

/// Reads status codes and ranges of them, with commas between.
pub(super) fn statuses(text: &str) -> Option<Box<[(u16, u16)]>> {
    text.split(',')
        .map(|part| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let (low, high) = (status(low)?, status(high)?);
            (low <= high).then_some((low, high))
        })
        .collect()
}

fn status(text: &str) -> Option<u16> {
    let digits = text.trim();
    let is_status = digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit());
    digits
        .parse()
        .ok()
        .filter(|code| is_status && (100..=599).contains(code))
}

/// What [`proxy`] takes.
pub(super) const PROXY: &str =
    "\"http://HOST:PORT\", \"socks5://HOST:PORT\" or \"socks5h://HOST:PORT\"";

/// Reads a proxy's URL; a name and password in it are for the caller to refuse by [`has_userinfo`].
pub(super) fn proxy(text: &str) -> Option<Egress> {
    let (scheme, authority) = text.split_once("://")?;
    let (host, port) = host_and_port(authority.strip_suffix('/').unwrap_or(authority))?;
    match scheme {
        "http" => Some(Egress::HttpProxy { host, port }),
        "socks5" | "socks5h" => Some(Egress::Socks5Proxy { host, port }),
        _ => None,
    }
}

/// What [`nats_server`] takes.
pub(super) const NATS_SERVER: &str = "\"nats://HOST:PORT\" or \"tls://HOST:PORT\", with or without \
                                      USER:PASSWORD@ before HOST, percent-encoded where needed";

/// Reads the URL of a NATS server.
pub(super) fn nats_server(text: &str) -> Option<NatsServer> {
    let (scheme, authority) = text.split_once("://")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (login, address) = match authority.rsplit_once('@') {
        Some((login, address)) => (Some(self::login(login)?), address),
        None => (None, authority),
    };
    let (host, port) = host_and_port(address)?;
    let is_tls = match scheme {
        "nats" => false,
        "tls" => true,
        _ => return None,
    };
    Some(NatsServer {
        host,
        port,
        is_tls,
        login,
    })
}

fn login(text: &str) -> Option<Login> {
    let (user, password) = text.split_once(':')?;
    let decoded = |text: &str| {
        let decoded = percent_decoded(text)?;
        (!decoded.is_empty()).then(|| decoded.into_boxed_str())
    };
    Some(Login {
        user: decoded(user)?,
        password: Password::new(decoded(password)?),
    })
}

/// Decodes `%` and two hexadecimal digits (RFC 3986 s2.1).
fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut octets = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        octets.push(
            is_hex
                .then(|| u8::from_str_radix(digits, 16).ok())
                .flatten()?,
        );
        octets.extend(rest.as_bytes());
    }
    String::from_utf8(octets).ok()
}

/// Whether a URL holds a user name, which may come with a password that no message should repeat.
pub(super) fn has_userinfo(url: &str) -> bool {
    url.split_once("://")
        .is_some_and(|(_, rest)| rest.contains('@'))
}

/// Reads `HOST:PORT`; an IPv6 address stands in brackets and loses them.
fn host_and_port(text: &str) -> Option<(Box<str>, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| port.parse().ok())
        .flatten()
        .filter(|port| *port != 0)?;
    let host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(inner) => inner
            .parse::<std::net::Ipv6Addr>()
            .ok()
            .map(|_| inner.into()),
        None => host_name(host),
    }?;
    Some((host, port))
}

/// What [`host_name`] takes.
pub(super) const HOST_NAME: &str = "a host name such as \"app.example.com\"";

/// Reads a host name or IPv4 address: letters, digits, hyphens and underscores, no port.
///
/// Underscores are not for host names (RFC 952), but names with them are in use.
pub(super) fn host_name(text: &str) -> Option<Box<str>> {
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_name = text.bytes().all(is_host) && !text.ends_with('.') && Name::parse(text).is_ok();
    is_name.then(|| text.into())
}

/// What [`header_name`] takes.
pub(super) const HEADER_NAME: &str = "the name of a header such as \"x-load\"";

/// Reads the name of a header (RFC 9110 s5.1), in lower case.
pub(super) fn header_name(text: &str) -> Option<Box<str>> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(is_token);
    fits.then(|| text.to_ascii_lowercase().into())
}

/// What [`json_pointer`] takes.
pub(super) const JSON_POINTER: &str =
    "a JSON pointer such as \"/load\" or \"/stats/cpu\", with ~1 for / and ~0 for ~ in a name";

/// Reads a JSON pointer (RFC 6901).
pub(super) fn json_pointer(text: &str) -> Option<Box<str>> {
    let begins = text.is_empty() || text.starts_with('/');
    let mut escapes = text.split('~').skip(1);
    let is_escaped = escapes.all(|rest| rest.starts_with(['0', '1']));
    let fits = begins && is_escaped && text.len() <= 256;
    fits.then(|| text.into())
}

/// What [`percentage`] takes.
pub(super) const PERCENTAGE: &str = "a percentage from \"1%\" to \"100%\"";

/// Reads a whole percentage from 1 to 100.
pub(super) fn percentage(text: &str) -> Option<u8> {
    let digits = text.strip_suffix('%')?;
    let is_number = matches!(digits.len(), 1..=3) && digits.bytes().all(|b| b.is_ascii_digit());
    let percent = digits.parse().ok().filter(|_| is_number)?;
    (1..=100).contains(&percent).then_some(percent)
}

/// Reads a percentage with up to two decimals, up to 100 %, in hundredths of a percent.
pub(super) fn hundredths(text: &str) -> Option<u16> {
    let number = text.strip_suffix('%')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "00"));
    let are_digits = |digits: &str, most| {
        (1..=most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    };
    if !are_digits(whole, 3) || !are_digits(fraction, 2) {
        return None;
    }
    let hundredths = format!("{whole}{fraction:0<2}").parse().ok()?;
    (0..=10_000).contains(&hundredths).then_some(hundredths)
}

/// What [`endpoint_host`] takes.
pub(super) const ENDPOINT_HOST: &str = "a host name such as \"lb-1.example.net\", no address";

/// Reads the name of a host whose addresses are endpoints; in lower case, without a final dot.
pub fn endpoint_host(text: &str) -> Option<Arc<str>> {
    let name = host_name(text.strip_suffix('.').unwrap_or(text))?;
    let top = name.rsplit('.').next()?;
    let is_address = top.bytes().all(|byte| byte.is_ascii_digit());
    (!is_address).then(|| name.to_ascii_lowercase().into())
}

/// What [`plain_name`] takes.
pub(super) const PLAIN_NAME: &str =
    "a name of up to 128 letters, digits and any of \"-_.\", a letter or digit first";

/// Reads a name that is safe as it stands in URLs, metric labels and log lines.
pub fn plain_name(text: &str) -> Option<Box<str>> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let fits = (1..=128).contains(&text.len())
        && text.bytes().all(is_plain)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric());
    fits.then(|| text.into())
}

/// What [`kubernetes_name`] takes.
pub(super) const KUBERNETES_NAME: &str = "a namespace and a name such as \"prod/app\"";

/// Reads the namespace and the name of a Kubernetes object: a label and a subdomain of RFC 1123.
pub(super) fn kubernetes_name(text: &str) -> Option<(Box<str>, Box<str>)> {
    let is_label = |label: &str| {
        let is_of_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| is_of_label(byte) || byte == b'-')
            && label.bytes().next().is_some_and(is_of_label)
            && label.bytes().last().is_some_and(is_of_label)
    };
    let (namespace, name) = text.split_once('/')?;
    let fits = is_label(namespace) && name.len() <= 253 && name.split('.').all(is_label);
    fits.then(|| (namespace.into(), name.into()))
}

/// What [`vantage_name`] takes.
pub(super) const VANTAGE_NAME: &str = "the name of a vantage such as \"second-uplink\", of another machine \"ns2\" or \"ns2/second-uplink\"";

/// Reads the name of a vantage, also of another machine's.
pub(super) fn vantage_name(text: &str) -> Option<Box<str>> {
    let mut parts = text.splitn(2, '/');
    parts
        .all(|part| plain_name(part).is_some())
        .then(|| text.into())
}

/// What [`interface`] takes.
pub(super) const INTERFACE: &str = "the name of a network interface such as \"eth0\"";

/// Reads the name of a network interface: up to 15 visible ASCII characters, of which Linux takes all
/// but slashes and colons. `.` and `..` are no names.
pub(super) fn interface(text: &str) -> Option<Box<str>> {
    let is_taken = |byte: u8| byte.is_ascii_graphic() && !b"/:".contains(&byte);
    let fits =
        (1..=15).contains(&text.len()) && text.bytes().all(is_taken) && !matches!(text, "." | "..");
    fits.then(|| text.into())
}

/// What [`subject_token`] takes.
pub(super) const SUBJECT_TOKEN: &str = "a name of at most 64 letters, digits, \"-\" and \"_\"";

/// Reads a name that is one token of a NATS subject, and so has no dots.
pub(super) fn subject_token(text: &str) -> Option<Box<str>> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(is_token);
    fits.then(|| text.into())
}

/// What [`printable`] takes.
pub(super) const PRINTABLE: &str = "a text of at most 255 printable ASCII characters";

/// Reads text that fits a character string of a TXT record and a terminal; it may be empty.
pub(super) fn printable(text: &str) -> Option<Box<str>> {
    let fits = text.len() <= 255 && text.bytes().all(|b| matches!(b, b' '..=b'~'));
    fits.then(|| text.into())
}

/// What [`request_path`] takes.
pub(super) const REQUEST_PATH: &str = "a path such as \"/_ready\", percent-encoded where needed";

/// Reads path and query of an HTTP request.
pub(super) fn request_path(text: &str) -> Option<Box<str>> {
    let fits = text.starts_with('/') && text.bytes().all(|b| matches!(b, b'!'..=b'~') && b != b'#');
    fits.then(|| text.into())
}

/// What [`header_value`] takes.
pub(super) const HEADER_VALUE: &str =
    "a text of at most 4096 printable ASCII characters, without spaces around it";

/// Reads the value of an HTTP header; it may be empty.
pub(super) fn header_value(text: &str) -> Option<Box<str>> {
    let fits = text.len() <= 4096 && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    (fits && text.trim_matches(' ') == text).then(|| text.into())
}

/// What [`unicast`] takes.
pub const UNICAST: &str = "an address of one host such as \"192.0.2.10\" or \"2001:db8::10\"";

/// Reads an address that packets can be sent to from anywhere it is reachable: not unspecified,
/// multicast or broadcast, nor link-local IPv6, which means nothing without an interface.
pub fn unicast(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    let fits = match address {
        IpAddr::V4(v4) => v4 != Ipv4Addr::BROADCAST,
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && v6.to_ipv4_mapped().is_none(),
    };
    (fits && !address.is_unspecified() && !address.is_multicast()).then_some(address)
}

/// What [`check_address`] takes.
pub const CHECK_ADDRESS: &str = "an address of one host, alone or with a port, such as \"10.0.0.10\", \
                                 \"10.0.0.10:8081\" or \"[2001:db8::10]:8081\"";

/// Reads where an endpoint is probed: an address as [`unicast`] takes it, with a port or without.
pub fn check_address(text: &str) -> Option<CheckAddress> {
    if let Some(ip) = unicast(text) {
        return Some(CheckAddress { ip, port: None });
    }
    let address: SocketAddr = text.parse().ok()?;
    let check = CheckAddress {
        ip: unicast(&address.ip().to_string())?,
        port: Some(address.port()),
    };
    // They differ by a scope identifier, as in `[2001:db8::1%2]:80`.
    (address.port() != 0 && check.at(0) == address).then_some(check)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::proptest;

    use super::*;

    #[test]
    fn durations_are_sums_of_whole_units_largest_first() {
        for (text, millis) in [
            ("250ms", 250),
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("60d", 5_184_000_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("0s", 0),
            ("90m", 5_400_000),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "1.5s",
            "-1s",
            "+1s",
            "5S",
            "5sec",
            "30s1m",
            "1s1s",
            "1m30",
            "5s ",
            "99999999999999999999s",
            "999999999999999999d",
            "٣s",
            "1w",
            "5µs",
        ] {
            assert_eq!(duration(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn durations_read_what_they_print(millis in any::<u64>()) {
            let value = Duration::from_millis(millis);
            assert_eq!(duration(&duration_text(value)), Some(value));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in any::<String>()) {
            duration(&text);
            failures(&text);
            statuses(&text);
            proxy(&text);
            proxy(&format!("http://{text}"));
            nats_server(&format!("nats://{text}"));
            nats_server(&format!("nats://{text}@a:1"));
            subject_token(&text);
            host_name(&text);
            endpoint_host(&text);
            plain_name(&text);
            printable(&text);
            request_path(&text);
            header_name(&text);
            header_value(&text);
            unicast(&text);
        }
    }

    #[test]
    fn hosts_of_endpoints_are_names() {
        for (text, expected) in [
            ("lb-1.example.net", Some("lb-1.example.net")),
            ("LB.Example.NET.", Some("lb.example.net")),
            ("localhost", Some("localhost")),
            ("", None),
            (".", None),
            ("192.0.2.1", None),
            ("lb..example.net", None),
            ("lb.example.net:80", None),
            ("2001:db8::1", None),
        ] {
            assert_eq!(endpoint_host(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn failures_are_a_number_and_a_duration() {
        let seconds = Duration::from_secs;
        assert_eq!(failures("0/60s"), Some((0, seconds(60))));
        assert_eq!(failures("100/1d"), Some((100, seconds(86_400))));
        for text in [
            "", "3", "3/", "/60s", "3/60", "-1/60s", "+3/60s", "3.0/60s", "101/60s", "3/999ms",
            "3/25h", "3/60s/1", "3 / 60s",
        ] {
            assert_eq!(failures(text), None, "{text:?}");
        }
    }

    #[test]
    fn statuses_are_codes_and_ranges() {
        assert_eq!(statuses("200").as_deref(), Some(&[(200, 200)][..]));
        assert_eq!(
            statuses("200,204, 300-399").as_deref(),
            Some(&[(200, 200), (204, 204), (300, 399)][..])
        );
        for text in [
            "", "2xx", "399-200", "99", "600", "200-", "-200", "200,", "+200", "0200",
        ] {
            assert_eq!(statuses(text), None, "{text:?}");
        }
    }

    #[test]
    fn proxies_have_a_scheme_a_host_and_a_port() {
        let socks = |host: &str| {
            let host = host.into();
            Some(Egress::Socks5Proxy { host, port: 1080 })
        };
        assert_eq!(proxy("socks5h://127.0.0.1:1080"), socks("127.0.0.1"));
        assert_eq!(proxy("socks5://[::1]:1080"), socks("::1"));
        assert_eq!(
            proxy("http://proxy.example:3128/"),
            Some(Egress::HttpProxy {
                host: "proxy.example".into(),
                port: 3128
            })
        );
        for text in [
            "",
            "127.0.0.1:1080",
            "https://h:1",
            "http://h",
            "http://h:0",
            "http://h:65536",
            "http://:80",
            "http://h:+80",
            "http://h:80/x",
            "http://[::1:80",
            "http://::1:80",
            "http://u:p@h:80",
            "socks4://h:1",
        ] {
            assert_eq!(proxy(text), None, "{text:?}");
        }
        assert!(has_userinfo("http://u:p@h:80"));
    }

    #[test]
    fn names_addresses_and_paths_are_strict() {
        assert!(host_name("app.example.com").is_some());
        for text in [
            "",
            "a b",
            "app.example.com:80",
            "app..com",
            "app.com.",
            "ü.de",
            "http://a",
        ] {
            assert_eq!(host_name(text), None, "{text:?}");
        }
        assert!(plain_name("us-west_1.b").is_some());
        for text in ["", "-a", "a/b", "a b", "ü"] {
            assert_eq!(plain_name(text), None, "{text:?}");
        }
        for text in ["192.0.2.1", "127.0.0.1", "2001:db8::1", "::1", "10.0.0.1"] {
            assert!(unicast(text).is_some(), "{text}");
        }
        for text in [
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "fe80::1",
            "::ffff:192.0.2.1",
            "192.0.2.1:80",
            "192.0.2.01",
            "192.0.2.1/32",
            "example.com",
        ] {
            assert_eq!(unicast(text), None, "{text}");
        }
        assert!(request_path("/_ready?full=1").is_some());
        for text in ["", "ready", "/a b", "/#x", "/ü", "/\r\nX: y"] {
            assert_eq!(request_path(text), None, "{text:?}");
        }
        assert!(printable("").is_some());
        assert_eq!(printable("ns1\n"), None);
        assert_eq!(printable(&"x".repeat(256)), None);
    }

    #[test]
    fn check_addresses_have_a_port_or_none() {
        for (text, expected) in [
            ("10.0.0.10", Some("10.0.0.10:80")),
            ("10.0.0.10:8081", Some("10.0.0.10:8081")),
            ("2001:db8::1", Some("[2001:db8::1]:80")),
            ("[2001:db8::1]:8081", Some("[2001:db8::1]:8081")),
            ("[2001:db8::1]", None),
            ("10.0.0.10:0", None),
            ("10.0.0.10:", None),
            ("10.0.0.10:65536", None),
            ("0.0.0.0:80", None),
            ("[::ffff:10.0.0.10]:80", None),
            ("[2001:db8::1%2]:80", None),
            ("[fe80::1]:80", None),
            ("224.0.0.1:80", None),
            ("app.example.com:80", None),
            ("", None),
        ] {
            let found = check_address(text);
            let at = found.map(|check| check.at(80).to_string());
            assert_eq!(at.as_deref(), expected, "{text}");
            if let Some(found) = found {
                assert_eq!(found.to_string(), text);
            }
        }
    }
}
