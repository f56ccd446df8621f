//! Monitors of `pools.toml`.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::defaults;
use crate::config::keys;
use crate::config::names::Name;
use crate::config::units;
use crate::config::written::Item;
use crate::config::written::Table;
use crate::health::load::LoadSource;
use crate::health::monitor::Damping;
use crate::health::monitor::FailureWindow;
use crate::health::monitor::HttpCheck;
use crate::health::monitor::Monitor;
use crate::health::monitor::MonitorKind;
use crate::health::monitor::Quorum;
use crate::health::monitor::QuorumScope;
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

fn kind(table: &Table<'_>) -> Option<MonitorKind> {
    type MakeKind = fn(HttpCheck) -> MonitorKind;
    let words: [(_, MakeKind); 3] = [
        ("http", MonitorKind::Http),
        ("https", MonitorKind::Https),
        ("tcp", |_| MonitorKind::Tcp),
    ];
    let make = match table.get("type") {
        Some(item) => item.word(&words),
        None => Some(words[0].1),
    };
    let check = HttpCheck {
        path: table.read_or("path", defaults::MONITOR_PATH.into(), |item| {
            item.parse(units::REQUEST_PATH, units::request_path)
        }),
        host: table.read("host", |item| {
            item.parse(units::HOST_NAME, units::host_name)
        }),
        expect_status: table.read_or("expect_status", [defaults::EXPECT_STATUS].into(), |item| {
            item.parse(units::STATUSES, units::statuses)
        }),
        expect_body: table.read_or("expect_body", "".into(), |item| {
            item.text("a text in quotes").map(Into::into)
        }),
        load: table.read("load", load),
    };
    // Whoever goes by the load is not to be blamed for a fault in it.
    let is_load_sound = check.load.is_some() || table.get("load").is_none();
    let kind = make?(check);
    if matches!(kind, MonitorKind::Https(_)) && table.is_missing("host") {
        table
            .warn("has no `host`, so that certificates must be valid for the endpoints' addresses");
    }
    if kind == MonitorKind::Tcp {
        for key in ["path", "host", "expect_status", "expect_body", "load"] {
            if let Some(item) = table.get(key) {
                item.fault("is not looked at by type \"tcp\", expected only with http or https");
            }
        }
    }
    is_load_sound.then_some(kind)
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

fn port(table: &Table<'_>, kind: Option<&MonitorKind>) -> Option<u16> {
    let port = |item: &Item<'_>| item.integer(1..=65_535)?.try_into().ok();
    match kind {
        Some(MonitorKind::Tcp) => table.require("port", "the TCP port to connect to", port),
        Some(MonitorKind::Https(_)) => Some(table.read_or("port", defaults::HTTPS_PORT, port)),
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
