//! Writes a [`Draft`] as `pools.toml` and zones.

use std::collections::HashMap;
use std::collections::HashSet;
use std::fmt::Display;
use std::fmt::Write as _;

use crate::base::diag::one_line;
use crate::base::name::Name;
use crate::import::draft::AllDown;
use crate::import::draft::Draft;
use crate::import::draft::Endpoint;
use crate::import::draft::Monitor;
use crate::import::draft::Notes;
use crate::import::draft::Pool;
use crate::import::draft::Rule;
use crate::import::draft::Steered;
use crate::import::draft::plain;

/// What a line of a comment begins with if something has no equivalent.
pub(super) const NO_EQUIVALENT: &str = "no equivalent: ";

/// The files of an import.
#[derive(Debug)]
pub struct Files {
    /// `pools.toml`.
    pub pools: String,
    /// The zones by their origins.
    pub zones: Vec<(Name, String)>,
    /// How many things have no equivalent; each has a comment in one of the files.
    pub n_missing: usize,
}

impl Draft {
    /// Writes the files.
    pub fn write(&self) -> Files {
        let mut text = String::new();
        let mut names = MonitorNames::default();
        comment(&mut text, "#", &self.notes);
        let used = self.used_pools();
        for pool in self.pools.iter().filter(|pool| used.contains(&pool.name)) {
            if let Some(monitor) = &pool.monitor {
                names.add(monitor, &mut text);
            }
        }
        for pool in self.pools.iter().filter(|pool| used.contains(&pool.name)) {
            write_pool(&mut text, pool, &names);
        }
        for steered in &self.steered {
            write_steered(&mut text, steered);
        }
        let zones = self.zones.iter();
        Files {
            pools: text.trim_start().to_owned(),
            zones: zones.map(|z| (z.origin.clone(), z.text.clone())).collect(),
            n_missing: self.n_missing(&used),
        }
    }

    /// The names of the pools that a steered name has.
    fn used_pools(&self) -> HashSet<String> {
        let of_all_down = |all_down: &AllDown| match all_down {
            AllDown::Fallback(pool) => Some(pool.clone()),
            AllDown::Nearest => None,
        };
        let of_steered = |steered: &Steered| {
            let rules = steered.rules.iter();
            let of_rules = rules.flat_map(|rule| {
                let all_down = of_all_down(&rule.all_down);
                rule.pools.iter().cloned().chain(all_down)
            });
            let pools = steered.pools.iter().cloned();
            let all = pools.chain(of_all_down(&steered.all_down)).chain(of_rules);
            all.collect::<Vec<_>>()
        };
        self.steered.iter().flat_map(of_steered).collect()
    }

    fn n_missing(&self, used: &HashSet<String>) -> usize {
        let pools = self.pools.iter().filter(|pool| used.contains(&pool.name));
        let steered = self.steered.iter();
        let rules = steered.clone().flat_map(|steered| &steered.rules);
        self.notes.n_missing()
            + self.n_missing_in_zones
            + pools.map(|pool| pool.notes.n_missing()).sum::<usize>()
            + steered.map(|s| s.notes.n_missing()).sum::<usize>()
            + rules.map(|rule| rule.notes.n_missing()).sum::<usize>()
    }
}

/// Writes notes as lines that begin with `mark`.
pub(super) fn comment(text: &mut String, mark: &str, notes: &Notes) {
    for note in &notes.lines {
        let prefix = if note.is_missing { NO_EQUIVALENT } else { "" };
        line(
            text,
            format_args!("{mark} {prefix}{}", one_line(&note.text)),
        );
    }
}

fn line(text: &mut String, line: impl Display) {
    // A String takes whatever is written to it.
    let _ = writeln!(text, "{line}");
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn list<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    let quoted: Vec<_> = texts.into_iter().map(|text| quoted(text)).collect();
    format!("[{}]", quoted.join(", "))
}

/// The names that monitors get, each for what it does and whom it asks for.
#[derive(Default)]
struct MonitorNames<'a> {
    by_monitor: HashMap<&'a Monitor, String>,
}

impl<'a> MonitorNames<'a> {
    /// Writes a monitor, unless one that does the same was written.
    fn add(&mut self, monitor: &'a Monitor, text: &mut String) {
        if self.by_monitor.contains_key(monitor) {
            return;
        }
        let wanted = match &monitor.host {
            Some(host) => plain(&format!("{}-{host}", monitor.kind)),
            None => plain(&format!("{}-{}", monitor.kind, monitor.port)),
        };
        let is_taken = |name: &String| self.by_monitor.values().any(|taken| taken == name);
        let numbered = (2..).map(|n| format!("{wanted}-{n}"));
        let name = std::iter::once(wanted.clone())
            .chain(numbered)
            .find(|name| !is_taken(name))
            .unwrap_or(wanted);
        write_monitor(text, &name, monitor);
        self.by_monitor.insert(monitor, name);
    }
}

fn write_monitor(text: &mut String, name: &str, monitor: &Monitor) {
    line(text, format_args!("\n[monitor.{}]", quoted(name)));
    line(text, format_args!("type = {}", quoted(monitor.kind)));
    line(text, format_args!("port = {}", monitor.port));
    for (key, value) in [
        ("path", &monitor.path),
        ("host", &monitor.host),
        ("expect_status", &monitor.expect_status),
        ("expect_body", &monitor.expect_body),
    ] {
        if let Some(value) = value {
            line(text, format_args!("{key} = {}", quoted(value)));
        }
    }
    for (key, seconds) in [("interval", monitor.interval), ("timeout", monitor.timeout)] {
        if let Some(seconds) = seconds {
            line(text, format_args!("{key} = \"{seconds}s\""));
        }
    }
    for (key, count) in [
        ("failure_threshold", monitor.failure_threshold),
        ("success_threshold", monitor.success_threshold),
    ] {
        if let Some(count) = count {
            line(text, format_args!("{key} = {count}"));
        }
    }
}

fn write_pool(text: &mut String, pool: &Pool, names: &MonitorNames<'_>) {
    line(text, "");
    comment(text, "#", &pool.notes);
    line(text, format_args!("[pool.{}]", quoted(&pool.name)));
    match pool.location {
        Some((latitude, longitude)) => {
            line(
                text,
                format_args!("location = [{latitude:?}, {longitude:?}]"),
            );
        }
        None => line(
            text,
            "location = [0.0, 0.0] # not known; only the policy nearest looks at it",
        ),
    }
    let is_weighted = pool.endpoints.iter().any(|e| e.weight != 1);
    let endpoint = |endpoint: &Endpoint| match is_weighted {
        true => {
            let Endpoint { address, weight } = endpoint;
            format!("{{ address = \"{address}\", weight = {weight} }}")
        }
        false => format!("\"{}\"", endpoint.address),
    };
    let endpoints: Vec<_> = pool.endpoints.iter().map(endpoint).collect();
    line(text, format_args!("endpoints = [{}]", endpoints.join(", ")));
    if let Some(name) = pool.monitor.as_ref().and_then(|m| names.by_monitor.get(m)) {
        line(text, format_args!("monitor = {}", quoted(name)));
    }
    if pool.min_healthy != 1 {
        line(text, format_args!("min_healthy = {}", pool.min_healthy));
    }
    if pool.weight != 1 {
        line(text, format_args!("weight = {}", pool.weight));
    }
}

fn write_steered(text: &mut String, steered: &Steered) {
    let name = quoted(&steered.owner.plain());
    line(text, "");
    comment(text, "#", &steered.notes);
    line(text, format_args!("[steer.{name}]"));
    line(text, format_args!("policy = {}", quoted(steered.policy)));
    line(text, format_args!("pools = {}", list(&steered.pools)));
    line(text, format_args!("ttl = \"{}s\"", steered.ttl));
    if let Some(answers) = steered.answers {
        line(text, format_args!("answers = {answers}"));
    }
    write_all_down(text, &steered.all_down);
    for rule in &steered.rules {
        write_rule(text, &name, rule);
    }
}

fn write_rule(text: &mut String, name: &str, rule: &Rule) {
    line(text, "");
    comment(text, "#", &rule.notes);
    line(text, format_args!("[[steer.{name}.rule]]"));
    line(text, format_args!("{} = {}", rule.key, list(&rule.values)));
    line(text, format_args!("policy = {}", quoted(rule.policy)));
    line(text, format_args!("pools = {}", list(&rule.pools)));
    if rule.fence {
        line(text, "fence = true");
    }
    write_all_down(text, &rule.all_down);
}

fn write_all_down(text: &mut String, all_down: &AllDown) {
    match all_down {
        AllDown::Nearest => line(text, "all_down = \"nearest\""),
        AllDown::Fallback(pool) => {
            line(text, "all_down = \"fallback\"");
            line(text, format_args!("fallback = {}", quoted(pool)));
        }
    }
}
