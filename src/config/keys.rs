//! Every key of both files, listed once.
//!
//! The reader refuses what is not here, suggestions are drawn from here, and a test holds
//! docs/config.md against it. A key added to a `resolve` file must be added here too: reading an
//! unlisted key fails a debug assertion.

/// The keys that one kind of table may hold.
pub(super) struct Keys {
    /// How diagnostics and the headings of docs/config.md name the table.
    pub(super) title: &'static str,
    /// Keys with a value.
    pub(super) values: &'static [&'static str],
    /// Keys that are tables, or arrays of tables, with `Keys` of their own.
    pub(super) tables: &'static [&'static str],
}

impl Keys {
    /// Both kinds of keys.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static str> {
        self.values.iter().chain(self.tables).copied()
    }
}

/// `meridian.toml`, top level first.
pub(super) const PROCESS_FILE: &[&Keys] = &[
    &PROCESS,
    &SERVER,
    &COOKIES,
    &RATE_LIMIT,
    &GEOIP,
    &GEOIP_UPDATE,
    &ECS,
    &ADMIN,
    &ADMIN_TOKEN,
    &HEALTH,
    &VANTAGE,
    &CLUSTER,
    &LOG,
    &SAFETY,
    &RESOLVE,
    &TSIG_KEY,
    &SECONDARY,
    &UPDATE,
    &WEBHOOK,
    &KUBERNETES,
    &DNSTAP,
    &DECISIONS,
];

/// `pools.toml`, top level first.
pub(super) const POOLS_FILE: &[&Keys] = &[
    &POOLS, &MONITOR, &DAMPING, &LOAD, &POOL, &DRILL, &ENDPOINT, &SOURCE, &REGION, &STEER,
    &TTL_RANGE, &RULE, &ALIAS,
];

pub(super) const PROCESS: Keys = Keys {
    title: "meridian.toml",
    values: &["zones", "pools", "state_dir"],
    tables: &[
        "server",
        "geoip",
        "ecs",
        "admin",
        "health",
        "vantage",
        "cluster",
        "log",
        "safety",
        "resolve",
        "tsig_key",
        "secondary",
        "update",
        "webhook",
        "kubernetes",
        "dnstap",
        "decisions",
    ],
};

pub(super) const SERVER: Keys = Keys {
    title: "[server]",
    values: &[
        "listen",
        "workers",
        "xdp",
        "max_udp_payload",
        "tcp_idle_timeout",
        "max_tcp_connections",
        "max_tcp_connections_per_client",
        "nsid",
        "version",
        "why",
    ],
    tables: &["cookies", "rate_limit"],
};

pub(super) const COOKIES: Keys = Keys {
    title: "[server.cookies]",
    values: &["enabled", "secret_file"],
    tables: &[],
};

pub(super) const RATE_LIMIT: Keys = Keys {
    title: "[server.rate_limit]",
    values: &["responses_per_second", "slip", "ipv4_prefix", "ipv6_prefix"],
    tables: &[],
};

pub(super) const GEOIP: Keys = Keys {
    title: "[geoip]",
    values: &[
        "database",
        "asn_database",
        "max_age",
        "latency",
        "latency_min_samples",
        "latency_max_age",
    ],
    tables: &["update"],
};

pub(super) const GEOIP_UPDATE: Keys = Keys {
    title: "[geoip.update]",
    values: &[
        "url",
        "checksum_url",
        "asn_url",
        "asn_checksum_url",
        "every",
        "user",
        "password_file",
        "token_file",
        "header",
        "header_file",
        "ca_file",
    ],
    tables: &[],
};

pub(super) const ECS: Keys = Keys {
    title: "[ecs]",
    values: &["enabled", "max_scope_ipv4", "max_scope_ipv6"],
    tables: &[],
};

pub(super) const ADMIN: Keys = Keys {
    title: "[admin]",
    values: &["listen", "token_file", "hosts"],
    tables: &["token"],
};

pub(super) const ADMIN_TOKEN: Keys = Keys {
    title: "[[admin.token]]",
    values: &["file", "can"],
    tables: &[],
};

pub(super) const HEALTH: Keys = Keys {
    title: "[health]",
    values: &["vantage", "report_max_age", "witness", "blind_max"],
    tables: &[],
};

pub(super) const VANTAGE: Keys = Keys {
    title: "[[vantage]]",
    values: &["name", "proxy", "source", "location"],
    tables: &[],
};

pub(super) const CLUSTER: Keys = Keys {
    title: "[cluster]",
    values: &[
        "nats",
        "prefix",
        "node",
        "reporters",
        "credentials_file",
        "ca_file",
        "cert_file",
        "key_file",
    ],
    tables: &[],
};

pub(super) const LOG: Keys = Keys {
    title: "[log]",
    values: &["format"],
    tables: &[],
};

pub(super) const SAFETY: Keys = Keys {
    title: "[safety]",
    values: &[
        "deny",
        "allow",
        "isolate_zones",
        "on_faulty_start",
        "max_down",
        "max_move",
    ],
    tables: &[],
};

pub(super) const RESOLVE: Keys = Keys {
    title: "[resolve]",
    values: &["servers"],
    tables: &[],
};

pub(super) const TSIG_KEY: Keys = Keys {
    title: "[[tsig_key]]",
    values: &["name", "algorithm", "secret_file"],
    tables: &[],
};

pub(super) const SECONDARY: Keys = Keys {
    title: "[[secondary]]",
    values: &["addresses", "key", "notify", "zones"],
    tables: &[],
};

pub(super) const UPDATE: Keys = Keys {
    title: "[[update]]",
    values: &["key", "zones", "names", "types"],
    tables: &[],
};

pub(super) const WEBHOOK: Keys = Keys {
    title: "[[webhook]]",
    values: &["url", "name", "events", "secret_file", "ca_file", "timeout"],
    tables: &[],
};

pub(super) const KUBERNETES: Keys = Keys {
    title: "[kubernetes.NAME]",
    values: &["kubeconfig", "context"],
    tables: &[],
};

pub(super) const DNSTAP: Keys = Keys {
    title: "[dnstap]",
    values: &["socket", "sample"],
    tables: &[],
};

pub(super) const DECISIONS: Keys = Keys {
    title: "[decisions]",
    values: &["file", "sample"],
    tables: &[],
};

pub(super) const POOLS: Keys = Keys {
    title: "pools.toml",
    values: &[],
    tables: &["monitor", "pool", "region", "steer", "alias"],
};

pub(super) const MONITOR: Keys = Keys {
    title: "[monitor.NAME]",
    values: &[
        "type",
        "port",
        "path",
        "host",
        "headers",
        "method",
        "http",
        "sni",
        "verify",
        "service",
        "tls",
        "expect_status",
        "expect_body",
        "interval",
        "timeout",
        "failure_threshold",
        "success_threshold",
        "failures_in_window",
        "damping",
        "quorum",
        "quorum_scope",
        "unproven",
        "load",
    ],
    tables: &[],
};

pub(super) const POOL: Keys = Keys {
    title: "[pool.NAME]",
    values: &[
        "location",
        "endpoints",
        "source",
        "monitor",
        "watch",
        "min_healthy",
        "standby",
        "trickle",
        "weight",
        "bias_km",
        "ramp",
        "drill",
        "spill_at",
        "txt",
    ],
    tables: &[],
};

pub(super) const DRILL: Keys = Keys {
    title: "a table `drill`",
    values: &["every", "window", "for"],
    tables: &[],
};

pub(super) const DAMPING: Keys = Keys {
    title: "a table `damping`",
    values: &["half_life", "suppress", "reuse"],
    tables: &[],
};

pub(super) const LOAD: Keys = Keys {
    title: "a table `load`",
    values: &["header", "json"],
    tables: &[],
};

pub(super) const ENDPOINT: Keys = Keys {
    title: "an entry of `endpoints`",
    values: &["address", "check", "host", "weight"],
    tables: &[],
};

pub(super) const SOURCE: Keys = Keys {
    title: "a table `source`",
    values: &["kubernetes", "service", "gateway", "ingress"],
    tables: &[],
};

pub(super) const REGION: Keys = Keys {
    title: "[region.NAME]",
    values: &[
        "continent",
        "country",
        "subdivision",
        "city",
        "asn",
        "network",
    ],
    tables: &[],
};

pub(super) const STEER: Keys = Keys {
    title: "[steer.\"NAME\"]",
    values: &[
        "policy", "pools", "ttl", "order", "ecs", "answers", "all_down", "fallback", "hints",
        "txt", "answer",
    ],
    tables: &["rule"],
};

pub(super) const TTL_RANGE: Keys = Keys {
    title: "a table `ttl`",
    values: &["min", "max"],
    tables: &[],
};

pub(super) const ALIAS: Keys = Keys {
    title: "[alias.\"NAME\"]",
    values: &["target", "ttl"],
    tables: &[],
};

pub(super) const RULE: Keys = Keys {
    title: "[[steer.\"NAME\".rule]]",
    values: &[
        "continent",
        "country",
        "subdivision",
        "city",
        "asn",
        "network",
        "region",
        "pools",
        "policy",
        "fence",
        "all_down",
        "fallback",
    ],
    tables: &[],
};
