//! Monitors of `pools.toml`.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::defaults;
use crate::config::keys;
use crate::config::names::Name;
use crate::config::units;
use crate::config::written::Item;
use crate::config::written::Table;
use crate::config::written::one_of;
use crate::config::written::quoted;
use crate::health::load::LoadSource;
use crate::health::monitor::Damping;
use crate::health::monitor::FailureWindow;
use crate::health::monitor::GrpcCheck;
use crate::health::monitor::Headers;
use crate::health::monitor::HttpCheck;
use crate::health::monitor::HttpVersion;
use crate::health::monitor::Method;
use crate::health::monitor::Monitor;
use crate::health::monitor::MonitorKind;
use crate::health::monitor::Quorum;
use crate::health::monitor::QuorumScope;
use crate::health::monitor::TlsCheck;
use crate::health::monitor::Unproven;

/// What `damping` looks like.
const DAMPING: &str = "a table such as { half_life = \"5m\", suppress = 3, reuse = 1 }";

/// What `load` looks like.
const LOAD: &str = "a table such as { header = \"x-load\" } or { json = \"/load\" }";

/// One `[monitor.NAME]`.
pub(super) fn monitor(name: &Name<'_>, table: &Table<'_>) -> Option<Monitor> {
    let name = name.plain();
    let kind = kind(table);
    let port = port(table, kind.as_ref());
    let interval = table.read_or("interval", defaults::INTERVAL, |item| {
        item.duration(Duration::from_millis(10)..=Duration::from_secs(86_400))
    });
    let timeout = table.read_or("timeout", defaults::timeout(interval), |item| {
        let timeout = item.duration(Duration::from_millis(1)..=Duration::from_secs(300))?;
        if timeout > interval {
            item.warn(&format!(
                "is longer than the interval of {}: an endpoint that does not answer is probed \
                 every {} instead",
                units::duration_text(interval),
                units::duration_text(timeout)
            ));
        }
        Some(timeout)
    });
    let threshold = |item: &Item<'_>| NonZeroU32::new(item.integer(1..=1000)?);
    let failure_threshold =
        table.read_or("failure_threshold", defaults::FAILURE_THRESHOLD, threshold);
    let success_threshold =
        table.read_or("success_threshold", defaults::SUCCESS_THRESHOLD, threshold);
    let failures_in_window = table.read_or("failures_in_window", None, |item| {
        failures_in_window(item, interval)
    });
    let damping = table.read_or("damping", None, damping);
    let quorum = table.read_or("quorum", defaults::QUORUM, quorum);
    let quorum_scope = table.read_or("quorum_scope", defaults::QUORUM_SCOPE, |item| {
        item.word(&[
            ("global", QuorumScope::Global),
            ("region", QuorumScope::Region),
        ])
    });
    let unproven = table.read_or("unproven", defaults::UNPROVEN, |item| {
        item.word(&[
            ("behind", Unproven::Behind),
            ("up", Unproven::Up),
            ("down", Unproven::Down),
        ])
    });
    Some(Monitor {
        name: name?,
        kind: kind?,
        port: port?,
        interval,
        timeout,
        failure_threshold,
        success_threshold,
        failures_in_window,
        damping,
        quorum,
        quorum_scope,
        unproven,
    })
}

fn failures_in_window(item: &Item<'_>, interval: Duration) -> Option<Option<FailureWindow>> {
    let (failures, length) = item.parse(units::FAILURES, units::failures)?;
    let Some(failures) = NonZeroU32::new(failures) else {
        return Some(None);
    };
    if interval * (failures.get() - 1) > length {
        item.warn(&format!(
            "is never reached, since an endpoint is probed only every {}",
            units::duration_text(interval)
        ));
    }
    Some(Some(FailureWindow { failures, length }))
}

fn damping(item: &Item<'_>) -> Option<Option<Damping>> {
    if !item.is_table() {
        return item.word_or(&[("off", None)], Some(DAMPING));
    }
    let table = item.table(&keys::DAMPING, "")?;
    let half_life = table.read_or("half_life", defaults::HALF_LIFE, |item| {
        item.duration(Duration::from_secs(1)..=Duration::from_secs(86_400))
    });
    let penalty = |item: &Item<'_>| item.number(0.1..=1_000.0);
    let damping = Damping {
        half_life,
        suppress: table.read_or("suppress", defaults::SUPPRESS, penalty),
        reuse: table.read_or("reuse", defaults::REUSE, penalty),
    };
    let (suppress, reuse) = (damping.suppress, damping.reuse);
    if reuse >= suppress {
        item.fault(&format!(
            "has `reuse` {reuse} and `suppress` {suppress}, expected `reuse` below `suppress`"
        ));
    } else if suppress >= damping.ceiling() {
        item.fault(&format!(
            "has `suppress` {suppress}, which is never exceeded: the penalty grows to at most 16 times `reuse`, \
             {}",
            damping.ceiling()
        ));
    }
    Some(Some(damping))
}

/// A value of `type`.
#[derive(Clone, Copy, PartialEq)]
enum Type {
    Grpc,
    Http,
    Https,
    Tcp,
}

/// The keys that say what is asked, with the types that look at them.
const OF_TYPES: [(&str, &[Type]); 12] = [
    ("path", &[Type::Http, Type::Https]),
    ("host", &[Type::Http, Type::Https, Type::Grpc]),
    ("headers", &[Type::Http, Type::Https, Type::Grpc]),
    ("method", &[Type::Http, Type::Https]),
    ("http", &[Type::Http, Type::Https]),
    ("expect_status", &[Type::Http, Type::Https]),
    ("expect_body", &[Type::Http, Type::Https]),
    ("load", &[Type::Http, Type::Https]),
    ("service", &[Type::Grpc]),
    ("tls", &[Type::Grpc]),
    ("sni", &[Type::Https, Type::Grpc]),
    ("verify", &[Type::Https, Type::Grpc]),
];

impl Type {
    const WORDS: [(&str, Self); 4] = [
        ("http", Self::Http),
        ("https", Self::Https),
        ("tcp", Self::Tcp),
        ("grpc", Self::Grpc),
    ];

    fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(_, kind)| *kind == self);
        found.map_or("", |(word, _)| word)
    }
}

fn kind(table: &Table<'_>) -> Option<MonitorKind> {
    let kind = match table.get("type") {
        Some(item) => item.word(&Type::WORDS),
        None => Some(Type::Http),
    };
    if let Some(kind) = kind {
        refuse_keys_of_other_types(table, kind);
    }
    // A type that is misspelt hides no faults of other keys.
    let kind = kind.unwrap_or(Type::Http);
    let host = table.read("host", |item| {
        item.parse(units::HOST_NAME, units::host_name)
    });
    let headers = table.read_or("headers", Box::default(), |item| {
        headers(item, kind == Type::Grpc)
    });
    let has_tls = match kind {
        Type::Grpc => table.read_or("tls", false, Item::boolean),
        Type::Http | Type::Tcp => false,
        Type::Https => true,
    };
    let tls = has_tls.then(|| tls(table, host.as_deref()));
    match kind {
        Type::Grpc => {
            if !has_tls {
                for item in ["sni", "verify"].iter().filter_map(|key| table.get(key)) {
                    item.fault("stands without `tls = true`, which it belongs to");
                }
            }
            let service = table.read_or("service", "".into(), |item| {
                item.parse(units::PRINTABLE, units::printable)
            });
            Some(MonitorKind::Grpc(GrpcCheck {
                service,
                host,
                headers,
                tls,
            }))
        }
        Type::Http | Type::Https => http_check(table, host, headers, tls).map(MonitorKind::Http),
        Type::Tcp => Some(MonitorKind::Tcp),
    }
}

fn refuse_keys_of_other_types(table: &Table<'_>, kind: Type) {
    for (key, types) in OF_TYPES {
        if let (Some(item), false) = (table.get(key), types.contains(&kind)) {
            let kind = kind.word();
            let types = one_of(types.iter().map(|kind| quoted(kind.word())));
            item.fault(&format!(
                "is not looked at by type \"{kind}\", expected only with {types}"
            ));
        }
    }
}

fn http_check(
    table: &Table<'_>,
    host: Option<Box<str>>,
    headers: Headers,
    tls: Option<TlsCheck>,
) -> Option<HttpCheck> {
    let load = table.read("load", load);
    let expect_body: Box<str> = table.read_or("expect_body", "".into(), |item| {
        item.text("a text in quotes").map(Into::into)
    });
    let method = table.read_or("method", Method::Get, |item| {
        let method = item.word(&[("GET", Method::Get), ("HEAD", Method::Head)])?;
        let of_body = match &load {
            _ if !expect_body.is_empty() => Some("expect_body"),
            Some(LoadSource::Json(_)) => Some("load"),
            _ => None,
        };
        if let (Method::Head, Some(key)) = (method, of_body) {
            item.fault(&format!(
                "is \"HEAD\", whose responses have no body, expected \"GET\" for `{key}`"
            ));
        }
        Some(method)
    });
    let check = HttpCheck {
        method,
        path: table.read_or("path", defaults::MONITOR_PATH.into(), |item| {
            item.parse(units::REQUEST_PATH, units::request_path)
        }),
        host,
        headers,
        version: table.read_or("http", HttpVersion::Http1, |item| {
            item.word(&[("1.1", HttpVersion::Http1), ("2", HttpVersion::Http2)])
        }),
        tls,
        expect_status: table.read_or("expect_status", [defaults::EXPECT_STATUS].into(), |item| {
            item.parse(units::STATUSES, units::statuses)
        }),
        expect_body,
        load,
    };
    // Whoever goes by the load is not to be blamed for a fault in it.
    (check.load.is_some() || table.get("load").is_none()).then_some(check)
}

/// Where responses have a load.
fn load(item: &Item<'_>) -> Option<LoadSource> {
    if !item.is_table() {
        item.expected(LOAD);
        return None;
    }
    let table = item.table(&keys::LOAD, "")?;
    table.require_one_of(&["header", "json"], LOAD);
    let header = table.read("header", |item| {
        item.parse(units::HEADER_NAME, units::header_name)
    });
    let pointer = table.read("json", |item| {
        if table.get("header").is_some() {
            item.fault("stands beside `header`, expected only one of them");
        }
        item.parse(units::JSON_POINTER, units::json_pointer)
    });
    let pointer = pointer.map(LoadSource::Json);
    pointer.or_else(|| Some(LoadSource::Header(header?)))
}

/// `sni` and `verify`; the server's name is otherwise the `host`.
fn tls(table: &Table<'_>, host: Option<&str>) -> TlsCheck {
    let sni = table.read("sni", |item| {
        if item.value.as_str() == Some("") {
            return None;
        }
        item.parse(units::HOST_NAME, units::host_name)
    });
    let is_verified = table.read_or("verify", true, |item| {
        let is_verified = item.boolean()?;
        if !is_verified {
            item.warn(
                "is false: any certificate is taken, an expired one or another server's as well",
            );
        }
        Some(is_verified)
    });
    let server_name = sni.or_else(|| host.map(Into::into));
    if is_verified && server_name.is_none() && table.is_missing("host") {
        table
            .warn("has no `host`, so that certificates must be valid for the endpoints' addresses");
    }
    TlsCheck {
        server_name,
        is_verified,
    }
}

/// What `headers` looks like.
const HEADERS: &str = "a table of at most 32 headers such as { \"x-probe\" = \"meridian\" }";

/// How many headers a request may have beside its own.
const MOST_HEADERS: usize = 32;

/// The headers that are about the connection or the body, and not the monitor's (RFC 9110 s7.6.1).
const RESERVED_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers for requests.
pub(super) fn headers(item: &Item<'_>, is_grpc: bool) -> Option<Headers> {
    let entries = item.entries("header", HEADERS)?;
    if entries.len() > MOST_HEADERS {
        item.fault(&format!(
            "has {} headers, expected {HEADERS}",
            entries.len()
        ));
        return None;
    }
    let mut headers: Vec<(Box<str>, Box<str>)> = Vec::new();
    for (name, key, value) in &entries {
        let text = value.parse(units::HEADER_VALUE, units::header_value);
        let (Some(header), Some(text)) = (header_name(name, key, is_grpc), text) else {
            continue;
        };
        match headers.iter().any(|(known, _)| *known == header) {
            true => key.fault("is there again, expected each header once"),
            false => headers.push((header, text)),
        }
    }
    headers.sort_unstable();
    (headers.len() == entries.len()).then(|| headers.into())
}

/// The name of a header in lower case; `key` is where it stands.
fn header_name(name: &str, key: &Item<'_>, is_grpc: bool) -> Option<Box<str>> {
    let Some(name) = units::header_name(name) else {
        key.fault(&format!("is none, expected {}", units::HEADER_NAME));
        return None;
    };
    let is_of_grpc = name.starts_with("grpc-") || &*name == "content-type";
    if &*name == "host" {
        key.fault("is not set here, expected the monitor's key `host`");
    } else if RESERVED_HEADERS.contains(&&*name) {
        key.fault("is about the connection or the body, expected no such header");
    } else if is_grpc && is_of_grpc {
        key.fault("belongs to gRPC itself, expected no such header");
    } else {
        return Some(name);
    }
    None
}

fn port(table: &Table<'_>, kind: Option<&MonitorKind>) -> Option<u16> {
    let port = |item: &Item<'_>| item.integer(1..=65_535)?.try_into().ok();
    match kind {
        Some(MonitorKind::Grpc(_) | MonitorKind::Tcp) => {
            table.require("port", "the TCP port to connect to", port)
        }
        Some(MonitorKind::Http(HttpCheck { tls: Some(_), .. })) => {
            Some(table.read_or("port", defaults::HTTPS_PORT, port))
        }
        Some(MonitorKind::Http(_)) | None => Some(table.read_or("port", defaults::HTTP_PORT, port)),
    }
}

fn quorum(item: &Item<'_>) -> Option<Quorum> {
    if item.is_integer() {
        return item
            .integer(1..=1000)
            .and_then(NonZeroU32::new)
            .map(Quorum::Count);
    }
    item.word_or(
        &[
            ("any", Quorum::Any),
            ("majority", Quorum::Majority),
            ("all", Quorum::All),
        ],
        Some("a number of vantages"),
    )
}
