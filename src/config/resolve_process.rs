//! `meridian.toml`: ranges, defaults, and what must differ from what.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::location::Point;
use crate::base::prefix::Prefix;
use crate::config::Defaults;
use crate::config::defaults;
use crate::config::keys;
use crate::config::model::Admin;
use crate::config::model::AdminToken;
use crate::config::model::Cookies;
use crate::config::model::Ecs;
use crate::config::model::Egress;
use crate::config::model::GeoIp;
use crate::config::model::LogFormat;
use crate::config::model::Process;
use crate::config::model::RateLimit;
use crate::config::model::Server;
use crate::config::model::Vantage;
use crate::config::resolve_cluster;
use crate::config::resolve_geoip_update;
use crate::config::resolve_kubernetes;
use crate::config::resolve_pools;
use crate::config::resolve_query_log;
use crate::config::resolve_transfer;
use crate::config::resolve_update;
use crate::config::resolve_webhook;
use crate::config::rights::Right;
use crate::config::safety::MaxDown;
use crate::config::safety::MaxMove;
use crate::config::safety::OnFaultyStart;
use crate::config::safety::Safety;
use crate::config::units;
use crate::config::written::Item;
use crate::config::written::Table;

/// The most witnesses: each is asked from each vantage every few seconds.
const MAX_WITNESSES: usize = 8;

/// An entry of `witness`.
const WITNESS: &str = "\"192.0.2.53:443\"";

/// What it looks like.
const WITNESS_FORM: &str =
    "an address of one host with a port such as \"192.0.2.53:443\" or \"[2001:db8::53]:443\"";

/// What a listening address looks like.
const LISTENER: &str = "an address and port such as \"127.0.0.1:5300\" or \"[::1]:5300\"";

/// Where name servers listen.
const DNS_PORT: u16 = 53;

/// Resolves the whole file.
pub(super) fn process(top: &Table<'_>, machine: &Defaults) -> Process {
    let zones = top.read("zones", Item::path);
    if top.is_missing("zones") && machine.serves_dns {
        top.warn("has no `zones`, so that every query is refused");
    }
    let pools = top.read("pools", Item::path);
    let state_dir = top.read("state_dir", Item::path);
    let server = server(&top.table("server", &keys::SERVER));
    let geoip = geoip(top, &top.table("geoip", &keys::GEOIP));
    let ecs = ecs(&top.table("ecs", &keys::ECS));
    let admin = top
        .optional_table("admin", &keys::ADMIN)
        .map(|table| admin(&table, &server.listen, machine));
    let health = top.table("health", &keys::HEALTH);
    let report_max_age = health.read_or("report_max_age", defaults::REPORT_MAX_AGE, |item| {
        item.duration(Duration::from_millis(100)..=seconds(30 * 86_400))
    });
    let blind_max = health.read_or("blind_max", defaults::BLIND_MAX, |item| {
        item.duration(Duration::ZERO..=seconds(3_600))
    });
    let vantage = health.read_or("vantage", machine.host_name.as_str().into(), |item| {
        item.parse(units::PLAIN_NAME, units::plain_name)
    });
    let cluster = resolve_cluster::cluster(top, &health, &vantage);
    let vantage = match &cluster {
        Some(cluster) => cluster.node.clone(),
        None => vantage,
    };
    let (vantages, vantage_locations) = vantages(top, &vantage, cluster.is_some());
    let tsig_keys = resolve_transfer::tsig_keys(top);
    let secondaries = resolve_transfer::secondaries(top, &tsig_keys);
    let grants = resolve_update::grants(top, &tsig_keys);
    Process {
        dnstap: resolve_query_log::dnstap(top, &server, machine),
        zones,
        pools,
        state_dir,
        server,
        geoip,
        ecs,
        admin,
        report_max_age,
        witnesses: health.read_or("witness", Vec::new(), witnesses),
        blind_max,
        vantages,
        vantage_locations,
        cluster,
        log_format: log_format(&top.table("log", &keys::LOG)),
        safety: safety(&top.table("safety", &keys::SAFETY)),
        resolve_servers: top.table("resolve", &keys::RESOLVE).read_or(
            "servers",
            Vec::new(),
            resolvers,
        ),
        tsig_keys,
        secondaries,
        grants,
        webhooks: resolve_webhook::webhooks(top),
        kubernetes: resolve_kubernetes::clusters(top),
        decisions: resolve_query_log::decisions(top),
    }
}

fn log_format(table: &Table<'_>) -> LogFormat {
    table.read_or("format", LogFormat::default(), |item| {
        item.word(&[("text", LogFormat::Text), ("json", LogFormat::Json)])
    })
}

fn server(table: &Table<'_>) -> Server {
    let count = |item: &Item<'_>| item.integer(1..=1_000_000);
    Server {
        listen: table.read_or("listen", vec![defaults::LISTEN], listeners),
        workers: table.read_or("workers", defaults::WORKERS, |item| item.integer(0..=1024))
            as usize,
        xdp: table.read_or("xdp", Vec::new(), interfaces),
        max_udp_payload: table.read_or("max_udp_payload", defaults::MAX_UDP_PAYLOAD, |item| {
            item.integer(512..=4096)?.try_into().ok()
        }),
        tcp_idle_timeout: table.read_or("tcp_idle_timeout", defaults::TCP_IDLE_TIMEOUT, |item| {
            item.duration(Duration::from_millis(10)..=seconds(86_400))
        }),
        max_tcp_connections: table.read_or(
            "max_tcp_connections",
            defaults::MAX_TCP_CONNECTIONS,
            count,
        ) as usize,
        max_tcp_connections_per_client: table.read_or(
            "max_tcp_connections_per_client",
            defaults::MAX_TCP_CONNECTIONS_PER_CLIENT,
            count,
        ) as usize,
        nsid: table.read_or("nsid", "".into(), printable),
        version: table.read_or("version", "".into(), printable),
        why: table.read_or("why", Vec::new(), networks),
        cookies: cookies(&table.table("cookies", &keys::COOKIES)),
        rate_limit: table
            .optional_table("rate_limit", &keys::RATE_LIMIT)
            .map(|table| rate_limit(&table)),
    }
}

fn printable(item: &Item<'_>) -> Option<Box<str>> {
    item.parse(units::PRINTABLE, units::printable)
}

/// Addresses to listen on; no two may be the same, save where the system chooses the port.
fn listeners(item: &Item<'_>) -> Option<Vec<SocketAddr>> {
    let mut seen = Vec::new();
    item.list(
        &format!("a list such as [\"{}\"]", defaults::LISTEN),
        |entry| {
            let address = listener(entry)?;
            if address.port() != 0 && seen.contains(&address) {
                entry.fault(&format!("is {address} again, expected each address once"));
            }
            seen.push(address);
            Some(address)
        },
    )
}

fn listener(item: &Item<'_>) -> Option<SocketAddr> {
    item.parse(LISTENER, |text| {
        let address: SocketAddr = text.parse().ok()?;
        (!address.ip().is_multicast()).then_some(address)
    })
}

fn cookies(table: &Table<'_>) -> Cookies {
    Cookies {
        enabled: table.read_or("enabled", true, Item::boolean),
        secret_file: table.read("secret_file", Item::path),
    }
}

/// Network interfaces, each once.
fn interfaces(item: &Item<'_>) -> Option<Vec<Box<str>>> {
    if item.is_empty_list() {
        return Some(Vec::new());
    }
    let mut seen: Vec<Box<str>> = Vec::new();
    item.list("a list such as [\"eth0\"], or [] for none", |entry| {
        let name = entry.parse(units::INTERFACE, units::interface)?;
        if seen.contains(&name) {
            entry.fault(&format!(
                "is \"{name}\" again, expected each interface once"
            ));
        }
        seen.push(name.clone());
        Some(name)
    })
}

fn rate_limit(table: &Table<'_>) -> RateLimit {
    RateLimit {
        responses_per_second: table.read_or(
            "responses_per_second",
            defaults::RESPONSES_PER_SECOND,
            |item| item.integer(1..=1_000_000),
        ),
        slip: table.read_or("slip", defaults::SLIP, |item| item.integer(0..=100)),
        ipv4_prefix: table.read_or("ipv4_prefix", defaults::RATE_LIMIT_IPV4_PREFIX, |item| {
            prefix_len(item, 32)
        }),
        ipv6_prefix: table.read_or("ipv6_prefix", defaults::RATE_LIMIT_IPV6_PREFIX, |item| {
            prefix_len(item, 128)
        }),
    }
}

fn prefix_len(item: &Item<'_>, longest: u8) -> Option<u8> {
    item.integer(1..=longest.into())?.try_into().ok()
}

fn geoip(top: &Table<'_>, table: &Table<'_>) -> GeoIp {
    GeoIp {
        update: resolve_geoip_update::geoip_update(top, table),
        database: table.read("database", Item::path),
        asn_database: table.read("asn_database", Item::path),
        max_age: table.read_or("max_age", defaults::GEOIP_MAX_AGE, |item| {
            item.duration(seconds(1)..=seconds(3_650 * 86_400))
        }),
        latency: table.read("latency", Item::path),
        latency_min_samples: table.read_or(
            "latency_min_samples",
            defaults::LATENCY_MIN_SAMPLES,
            |item| item.integer(1..=1_000_000),
        ),
        latency_max_age: table.read_or("latency_max_age", defaults::LATENCY_MAX_AGE, |item| {
            item.duration(seconds(3_600)..=seconds(3_650 * 86_400))
        }),
        latency_place: table.get("latency").map(|item| item.place()),
        database_place: table.get("database").map(|item| item.place()),
        asn_database_place: table.get("asn_database").map(|item| item.place()),
    }
}

fn ecs(table: &Table<'_>) -> Ecs {
    Ecs {
        enabled: table.read_or("enabled", true, Item::boolean),
        max_scope_ipv4: table.read_or("max_scope_ipv4", defaults::MAX_SCOPE_IPV4, |item| {
            prefix_len(item, 32)
        }),
        max_scope_ipv6: table.read_or("max_scope_ipv6", defaults::MAX_SCOPE_IPV6, |item| {
            prefix_len(item, 128)
        }),
    }
}

fn admin(table: &Table<'_>, dns: &[SocketAddr], machine: &Defaults) -> Admin {
    let listen = table.read_or("listen", defaults::ADMIN_LISTEN, |item| {
        let address = listener(item)?;
        if address.port() != 0 && dns.contains(&address) {
            item.fault(&format!(
                "is {address}, which [server] listens on for DNS, expected another port"
            ));
        }
        Some(address)
    });
    let expected = "a list of host names such as [\"ns1.example.com\"]";
    let mut hosts = table.read_or("hosts", Vec::new(), |item| {
        item.list(expected, |entry| {
            let expected = "a host name without a port, such as \"ns1.example.com\"";
            entry.parse(expected, units::host_name)
        })
    });
    hosts.push(machine.host_name.as_str().into());
    Admin {
        listen,
        tokens: admin_tokens(table),
        hosts,
    }
}

/// What [`right`] takes.
const RIGHT: &str = "\"read\", \"drain\", \"reload\", \"pool:NAME\" or \"all\"";

/// Reads what a token permits.
fn right(text: &str) -> Option<Right> {
    match text {
        "all" => Some(Right::All),
        "drain" => Some(Right::Drain),
        "read" => Some(Right::Read),
        "reload" => Some(Right::Reload),
        _ => {
            let pool = text.strip_prefix("pool:")?;
            units::plain_name(pool).map(Right::Pool)
        }
    }
}

/// `token_file`, which permits everything, and each `[[admin.token]]`; their files' names, which the log
/// calls them by, differ.
fn admin_tokens(table: &Table<'_>) -> Vec<AdminToken> {
    let mut tokens: Vec<AdminToken> = Vec::new();
    let mut token = |item: &Item<'_>, can: Vec<Right>| {
        let token = AdminToken {
            file: item.path()?,
            can: can.into(),
        };
        if tokens.iter().any(|other| other.name() == token.name()) {
            item.fault(&format!(
                "has the file name \"{}\" of another token, expected names that differ: the log calls \
                 tokens by them",
                token.name()
            ));
        }
        tokens.push(token);
        Some(())
    };
    table.read("token_file", |item| token(item, vec![Right::All]));
    for table in table.tables("token", &keys::ADMIN_TOKEN, "") {
        let rights = "a list such as [\"drain\", \"pool:us-west\"]";
        let can = table.require("can", rights, |item| {
            item.list(rights, |entry| entry.parse(RIGHT, right))
        });
        table.require(
            "file",
            "the path of the file that holds the token",
            |item| token(item, can.unwrap_or_default()),
        );
    }
    tokens
}

/// Places that are up when the network is; no two may be the same.
fn witnesses(item: &Item<'_>) -> Option<Vec<SocketAddr>> {
    let mut seen = Vec::new();
    let witnesses = item.list(&format!("a list such as [{WITNESS}]"), |entry| {
        let witness = entry.parse(WITNESS_FORM, |text| {
            let witness: SocketAddr = text.parse().ok()?;
            let is_host = units::unicast(&witness.ip().to_string()).is_some();
            (is_host && witness.port() != 0).then_some(witness)
        })?;
        if seen.contains(&witness) {
            entry.fault(&format!("is {witness} again, expected each witness once"));
        }
        seen.push(witness);
        Some(witness)
    })?;
    if witnesses.len() > MAX_WITNESSES {
        item.fault(&format!(
            "has {} entries, expected at most {MAX_WITNESSES}",
            witnesses.len()
        ));
    }
    Some(witnesses)
}

/// The local vantage and each `[[vantage]]` of this machine, and where vantages are; names differ. An entry
/// with a location alone is about the local vantage, or about one of another machine.
fn vantages(
    top: &Table<'_>,
    local: &str,
    has_cluster: bool,
) -> (Vec<Vantage>, Vec<(Box<str>, Point)>) {
    let mut names: Vec<Box<str>> = Vec::new();
    let mut locations = Vec::new();
    let mut vantages = vec![Vantage {
        name: local.into(),
        egress: Egress::Direct,
    }];
    for table in top.tables("vantage", &keys::VANTAGE, "") {
        let is_place = ["proxy", "source"].iter().all(|key| table.is_missing(key))
            && !table.is_missing("location");
        let name = table.require("name", units::PLAIN_NAME, |item| {
            let name = match is_place {
                true => item.parse(units::VANTAGE_NAME, units::vantage_name)?,
                false => item.parse(units::PLAIN_NAME, units::plain_name)?,
            };
            if names.contains(&name) || (!is_place && *name == *local) {
                item.fault(&format!(
                    "is \"{name}\" again, expected a name that no other vantage has \
                     (the local one is \"{local}\")"
                ));
            }
            if is_place && !has_cluster && *name != *local {
                item.warn(&format!(
                    "is \"{name}\", which has no effect: without [cluster], only \"{local}\" needs an entry \
                     for its location alone"
                ));
            }
            names.push(name.clone());
            Some(name)
        });
        let location = table.read("location", resolve_pools::location);
        if let (Some(name), Some(location)) = (&name, location) {
            locations.push((name.clone(), location));
        }
        if is_place {
            continue;
        }
        let egress = egress(&table);
        if let (Some(name), Some(egress)) = (name, egress) {
            vantages.push(Vantage { name, egress });
        }
    }
    (vantages, locations)
}

fn egress(table: &Table<'_>) -> Option<Egress> {
    let proxy = table.read("proxy", |item| {
        if units::has_userinfo(item.text(units::PROXY)?) {
            // The value is not repeated: it may hold a password.
            item.fault("holds a user name, which is not supported, expected only HOST:PORT");
            return None;
        }
        item.parse(units::PROXY, units::proxy)
    });
    let source = table.read("source", |item| item.parse(units::UNICAST, units::unicast));
    match (table.get("proxy"), table.get("source")) {
        (Some(_), Some(source)) => {
            source.fault("stands beside `proxy`, expected only one of them");
            None
        }
        (None, None) => {
            table.require_one_of(&["proxy", "source"], "exactly one of them");
            None
        }
        _ => proxy.or(source.map(Egress::Source)),
    }
}

fn safety(table: &Table<'_>) -> Safety {
    let default = Safety::default();
    Safety {
        deny: table.read_or("deny", default.deny, networks),
        allow: table.read_or("allow", default.allow, networks),
        isolate_zones: table.read_or("isolate_zones", default.isolate_zones, Item::boolean),
        on_faulty_start: table.read_or("on_faulty_start", default.on_faulty_start, |item| {
            item.word(&[
                ("last_good", OnFaultyStart::LastGood),
                ("refuse", OnFaultyStart::Refuse),
            ])
        }),
        max_down: table.read_or("max_down", default.max_down, |item| {
            item.parse(
                "\"off\" or a share such as \"50%\", below 100%",
                MaxDown::parse,
            )
        }),
        max_move: table.read_or("max_move", default.max_move, |item| {
            item.parse(
                "\"off\" or a share such as \"30%\", below 100%",
                MaxMove::parse,
            )
        }),
    }
}

/// Name servers that resolve for others.
fn resolvers(item: &Item<'_>) -> Option<Vec<SocketAddr>> {
    let expected = "an address such as \"127.0.0.53\" or \"127.0.0.53:53\"";
    item.list("a list such as [\"127.0.0.53:53\"]", |entry| {
        entry.parse(expected, |text| {
            let plain = || Some(SocketAddr::new(text.parse().ok()?, DNS_PORT));
            let server: SocketAddr = text.parse().ok().or_else(plain)?;
            (server.port() != 0 && !server.ip().is_unspecified()).then_some(server)
        })
    })
}

/// Addresses or networks; none is a list too.
fn networks(item: &Item<'_>) -> Option<Vec<Prefix>> {
    if item.is_empty_list() {
        return Some(Vec::new());
    }
    item.list(
        "a list such as [\"169.254.0.0/16\"], or [] for none",
        |entry| {
            let expected = "an address or network such as \"192.0.2.1\" or \"2001:db8::/32\"";
            entry.parse(expected, |text| text.parse().ok())
        },
    )
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
