//! The status page: `/api/v1/status` for people.
//!
//! The page is whole as it is served and works without scripts; its script only fetches it again and
//! puts the new `main` in the place of the old, so that there is one renderer. It loads nothing from
//! elsewhere. Colours never stand without words, and every text is escaped, wherever it comes from.

use std::fmt;
use std::fmt::Write as _;

use crate::admin::fleet::Fleet;
use crate::admin::json::Database;
use crate::admin::json::Endpoint;
use crate::admin::json::LastReload;
use crate::admin::json::OrphanedOverride;
use crate::admin::json::Override;
use crate::admin::json::Pool;
use crate::admin::json::Status;
use crate::admin::json::Zone;
use crate::admin::json::percent;
use crate::admin::latency;
use crate::admin::markup::Ago;
use crate::admin::markup::Badge;
use crate::admin::markup::Text;
use crate::admin::sources::Membership;
use crate::admin::time::Span;
use crate::admin::vantages::Note;
use crate::admin::vantages::Vantage;
use crate::admin::vantages::VantageState;

/// Nothing from elsewhere, no frames, no forms; style and script stand in the page.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
     script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

const TEMPLATE: &str = include_str!("status.html");

/// The page for one status.
pub fn html(status: &Status) -> String {
    let n_down = status.pools.iter().filter(|pool| is_down(pool)).count();
    let title = match n_down {
        0 => "Meridian".to_owned(),
        n => format!("({n} down) Meridian"),
    };
    let mut main = String::from("<main>");
    // Writing to a string cannot fail.
    let _ = write_main(&mut main, status);
    main.push_str("</main>");
    // The title first: what comes from configuration stands in `main` only.
    TEMPLATE
        .replacen("{{title}}", &title, 1)
        .replacen("{{main}}", &main, 1)
}

fn is_down(pool: &Pool) -> bool {
    [&pool.ipv4, &pool.ipv6].contains(&&Some("down".to_owned()))
}

fn write_main(out: &mut String, status: &Status) -> fmt::Result {
    let ready = match &status.waiting_for {
        None => Badge("up", "ready"),
        Some(_) => Badge("drain", "not ready"),
    };
    write!(out, "<h1>Meridian {ready}</h1>")?;
    if let Some(reason) = &status.waiting_for {
        write!(out, "<p>{}</p>", Text(reason))?;
    }
    let listen: Vec<String> = status.listen.iter().map(ToString::to_string).collect();
    write!(
        out,
        "<p class=soft>version {}, generation {}, up {}, DNS on {}</p>",
        Text(&status.version),
        status.generation,
        Span(status.now.saturating_sub(status.started)),
        Text(&listen.join(" ")),
    )?;
    write_reload(out, &status.last_reload, status.now)?;
    write_orphaned(out, &status.orphaned_overrides, status.now)?;
    write_pools(out, status)?;
    write_vantages(out, &status.vantages, status.now)?;
    if let Some(fleet) = &status.fleet {
        write_fleet(out, fleet, status.now)?;
    }
    write_steered(out, status)?;
    write_databases(out, &status.databases, status.now)?;
    if let Some(latency) = &status.latency {
        latency::write(out, latency, status.now)?;
    }
    write_zones(out, &status.zones)
}

fn write_reload(out: &mut String, reload: &LastReload, now: u64) -> fmt::Result {
    let (class, title, lines) = match reload.refused {
        true => (
            "bad",
            "Reload refused: still serving the previous files",
            &reload.faults,
        ),
        false if reload.warnings.is_empty() => return Ok(()),
        false => ("", "Files loaded with warnings", &reload.warnings),
    };
    let at = Ago(reload.at, now);
    write!(
        out,
        "<div class=\"alert {class}\"><b>{title}</b> <span class=soft>{at}</span><ul>"
    )?;
    for line in lines {
        write!(out, "<li><code>{}</code>", Text(line))?;
    }
    out.push_str("</ul></div>");
    Ok(())
}

/// The other machines, and in what they differ from this one.
fn write_fleet(out: &mut String, fleet: &Fleet, now: u64) -> fmt::Result {
    write!(out, "<h2>Fleet</h2><p>{}: ", Text(&fleet.node))?;
    let since = Ago(fleet.since, now);
    match (&fleet.connected_to, &fleet.reason) {
        (Some(server), _) => write!(out, "connected to {} {since}", Text(server))?,
        (None, Some(reason)) => write!(
            out,
            "{} {} {since}",
            Badge("down", "not connected"),
            Text(reason)
        )?,
        (None, None) => out.push_str("not connected yet"),
    }
    if fleet.name_taken {
        write!(out, " {}", Badge("down", "another machine uses this name"))?;
    }
    out.push_str(
        "</p><section><table><thead><tr><th>Node<th>Version<th>Latest message<th>State</thead>",
    );
    for node in &fleet.nodes {
        write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>",
            Text(&node.name),
            Text(&node.version),
            Ago(node.last_seen, now)
        )?;
        if node.lost {
            write!(out, "{}", Badge("down", "lost"))?;
        }
        if node.duplicate {
            write!(out, "{}", Badge("down", "two machines use this name"))?;
        }
        for difference in &node.differs {
            let text = format!("differs in {}", difference.what);
            write!(
                out,
                "{} {}",
                Badge("drain", &text),
                Ago(difference.since, now)
            )?;
        }
        if !node.lost && !node.duplicate && node.differs.is_empty() {
            write!(out, "{}", Badge("up", "agrees"))?;
        }
    }
    out.push_str("</table></section>");
    Ok(())
}

/// The vantages themselves.
fn write_vantages(out: &mut String, vantages: &[VantageState], now: u64) -> fmt::Result {
    out.push_str(
        "<h2>Vantages</h2><section><table><thead><tr><th>Vantage<th>Latest report<th>State",
    );
    out.push_str("<th>Witnesses reached<th>Suppressed endpoints</thead>");
    for vantage in vantages {
        write!(out, "<tr><td>{}", Text(&vantage.name))?;
        if !vantage.local {
            out.push_str("<small>of another machine</small>");
        }
        match vantage.report_age_seconds {
            Some(age) => write!(out, "<td>{} ago<td>", Span(age as u64))?,
            None => out.push_str("<td>probes nothing<td>"),
        }
        for (family, since) in vantage.blind() {
            let badge = Badge("down", &format!("blind for {family}")).to_string();
            write!(out, "{badge} {}", Ago(since, now))?;
        }
        if vantage.silent {
            write!(out, "{}", Badge("down", "silent"))?;
        } else if vantage.report_age_seconds.is_some() && vantage.blind().next().is_none() {
            write!(out, "{}", Badge("up", "reports"))?;
        }
        match vantage.witnesses.len() {
            0 => out.push_str("<td class=soft>none"),
            n => write!(out, "<td>{} of {n}", vantage.n_reached())?,
        }
        write!(out, "<td>{}", vantage.suppressed)?;
    }
    out.push_str("</table></section>");
    Ok(())
}

/// Pools and their endpoints down, vantages across.
fn write_pools(out: &mut String, status: &Status) -> fmt::Result {
    out.push_str("<h2>Pools</h2><section><table><thead><tr><th>Endpoint<th>Together");
    for vantage in &status.vantages {
        write!(out, "<th>{}", Text(&vantage.name))?;
    }
    out.push_str("<th>Last failure</thead>");
    let n_columns = status.vantages.len() + 3;
    // Where not all fit, those that somebody should look at lead.
    let mut pools: Vec<&Pool> = status.pools.iter().collect();
    if pools.len() > MAX_ROWS {
        pools.sort_by_key(|pool| !is_down(pool) && pool.r#override.is_none());
    }
    for pool in pools.iter().take(MAX_ROWS) {
        write!(
            out,
            "<tbody><tr class=pool><th colspan={n_columns}>{}",
            Text(&pool.name)
        )?;
        write_health(out, pool)?;
        if let Some(override_) = &pool.r#override {
            write_override(out, override_, status.now)?;
        }
        if let Some(planned) = &pool.planned_override {
            write_planned(out, planned, status.now)?;
        }
        if pool.monitor.is_none() {
            out.push_str("<small>no monitor: always up</small>");
        }
        write_membership(out, &pool.membership, status.now)?;
        for endpoint in &pool.endpoints {
            write_endpoint(out, endpoint, status)?;
        }
    }
    write_more(out, pools.len(), n_columns)?;
    out.push_str("</table></section>");
    Ok(())
}

/// A pool's health, and which clients it takes.
fn write_health(out: &mut String, pool: &Pool) -> fmt::Result {
    for (family, health, admitted) in [
        ("IPv4", &pool.ipv4, pool.ipv4_admitted),
        ("IPv6", &pool.ipv6, pool.ipv6_admitted),
    ] {
        if let Some(health) = health {
            write!(out, "{}", Badge(health, &format!("{family} {health}")))?;
        }
        if let Some(admitted) = admitted.filter(|admitted| *admitted < 1.0) {
            let percent = percent(admitted);
            write!(out, "<small>takes {percent} % of its clients</small>")?;
        }
    }
    if let Some(trickle) = pool.trickle {
        let trickle = trickle * 100.0;
        write!(out, "<small>standby, takes {trickle} % of all</small>")?;
    }
    if pool.full {
        let badge = Badge("down", "full: no other pool takes its clients");
        write!(out, "{badge}")?;
    }
    if let Some(spill) = pool.spill() {
        write!(out, "<small>{}</small>", Text(&spill))?;
    }
    Ok(())
}

/// What names a pool's endpoints, and how that goes.
fn write_membership(out: &mut String, membership: &Membership, now: u64) -> fmt::Result {
    if let Some(reason) = &membership.reason {
        write!(out, "<small>{}</small>", Text(reason))?;
    }
    for source in &membership.sources {
        write!(out, "<small>{}", Text(&source.name))?;
        if let Some(since) = source.since {
            write!(
                out,
                ": {} endpoints, changed {}",
                source.endpoints,
                Ago(since, now)
            )?;
        }
        if let Some(token) = &source.by {
            write!(out, " by {}", Text(token))?;
        }
        if let Some(error) = &source.error {
            write!(out, "; fails: {}", Text(error))?;
        }
        if let Some(reason) = &source.refused_reason {
            write!(
                out,
                "; {} addresses refused: {}",
                source.refused,
                Text(reason)
            )?;
        }
        out.push_str("</small>");
    }
    Ok(())
}

/// An override that begins later.
fn write_planned(out: &mut String, planned: &Override, now: u64) -> fmt::Result {
    let (state, left) = (Text(&planned.state), Span(planned.begins_in(now)));
    write!(out, "<small>{state} in {left}")?;
    if !planned.reason.is_empty() {
        write!(out, ": {}", Text(&planned.reason))?;
    }
    out.push_str("</small>");
    Ok(())
}

fn write_override(out: &mut String, override_: &Override, now: u64) -> fmt::Result {
    let (class, text) = match &*override_.state {
        "drain" => ("drain", "drained"),
        "up" => ("up", "forced up"),
        "shed" => ("drain", "shed"),
        _ => ("down", "forced down"),
    };
    let badge = Badge(class, text);
    let since = override_.begins.unwrap_or(override_.since);
    write!(out, "{badge}<small>{text} {}", Ago(since, now))?;
    if let Some(percent) = override_.percent {
        write!(out, ", {percent} % of its clients")?;
    }
    match override_.until {
        Some(until) => write!(out, ", for another {}", Span(until.saturating_sub(now)))?,
        None => out.push_str(", until it is cleared"),
    }
    if !override_.reason.is_empty() {
        write!(out, ": {}", Text(&override_.reason))?;
    }
    out.push_str("</small>");
    Ok(())
}

/// Overrides that change nothing now, and would if a pool of their name came.
fn write_orphaned(out: &mut String, orphaned: &[OrphanedOverride], now: u64) -> fmt::Result {
    if orphaned.is_empty() {
        return Ok(());
    }
    out.push_str("<div class=alert><b>Overrides of pools that do not exist</b><ul>");
    for OrphanedOverride { pool, r#override } in orphaned {
        write!(out, "<li>{} ", Text(pool))?;
        write_override(out, r#override, now)?;
    }
    out.push_str("</ul></div>");
    Ok(())
}

fn write_endpoint(out: &mut String, endpoint: &Endpoint, status: &Status) -> fmt::Result {
    let badge = Badge(&endpoint.health, &endpoint.health);
    write!(out, "<tr><td><code>{}</code><td>{badge}", endpoint.address)?;
    if let Some(since) = endpoint.since {
        write!(out, "<small>changed {}</small>", Ago(since, status.now))?;
    }
    for note in endpoint.checked_at().into_iter().chain(endpoint.dissent()) {
        write!(out, "<small>{}</small>", Text(&note))?;
    }
    write_cells(out, &endpoint.vantages, status)?;
    for check in &endpoint.checks {
        let badge = Badge(&check.health, &check.health);
        let what = if check.votes {
            "monitor"
        } else {
            "watched only:"
        };
        let name = Text(&check.monitor);
        write!(out, "<tr><td><small>{what} {name}</small><td>{badge}")?;
        if let Some(since) = check.since {
            write!(out, "<small>changed {}</small>", Ago(since, status.now))?;
        }
        write_cells(out, &check.vantages, status)?;
    }
    Ok(())
}

/// What each vantage says, and the latest failure.
fn write_cells(out: &mut String, vantages: &[Vantage], status: &Status) -> fmt::Result {
    for VantageState { name, .. } in &status.vantages {
        out.push_str("<td>");
        match vantages.iter().find(|v| v.name == *name) {
            Some(vantage) => write_vantage(out, vantage, status.now)?,
            None => out.push_str("<span class=soft>not probed</span>"),
        }
    }
    let failures = vantages.iter().filter_map(|vantage| {
        let failure = vantage.last_failure.as_ref()?;
        Some((failure, &vantage.name))
    });
    out.push_str("<td>");
    if let Some((Note { reason, at }, vantage)) = failures.max_by_key(|(failure, _)| failure.at) {
        let (vantage, ago) = (Text(vantage), Ago(*at, status.now));
        write!(out, "{}<small>{vantage}, {ago}</small>", Text(reason))?;
    }
    Ok(())
}

fn write_vantage(out: &mut String, vantage: &Vantage, now: u64) -> fmt::Result {
    write!(out, "{}", Badge(&vantage.verdict, &vantage.verdict))?;
    if let Some(since) = vantage.since {
        write!(out, "<small>changed {}</small>", Ago(since, now))?;
    }
    if vantage.blind {
        out.push_str("<small>lost contact with all pools: not counted</small>");
    } else if !vantage.fresh {
        out.push_str("<small>report expired: not counted</small>");
    }
    if let Some(load) = vantage.load {
        write!(out, "<small>load {:.0} %</small>", load * 100.0)?;
    }
    if let Some(until) = vantage.suppressed_until {
        let left = Span(until.saturating_sub(now));
        write!(out, "<small>flaps: suppressed for about {left}</small>")?;
    }
    if let Some(note) = &vantage.no_evidence {
        write!(out, "<small>no evidence: {}</small>", Text(&note.reason))?;
    }
    Ok(())
}

fn write_steered(out: &mut String, status: &Status) -> fmt::Result {
    out.push_str("<h2>Steered names</h2><section><table>");
    out.push_str("<thead><tr><th>Name<th>Policy<th>Pools<th>TTL<th>Queries by country</thead>");
    for steered in status.steered.iter().take(MAX_ROWS) {
        let (name, policy) = (Text(&steered.name), Text(&steered.policy));
        write!(out, "<tr><td>{name}")?;
        if !steered.max_down_exceeded.is_empty() {
            let families = steered.max_down_exceeded.join(" and ");
            let text =
                format!("probes ignored for {families}: more pools are down than max_down allows");
            write!(out, " {}", Badge("down", &text))?;
        }
        write!(out, "<td>{policy}<td>")?;
        let n_pools = steered.pools.len();
        let pools = &steered.pools[..n_pools.min(MAX_ROWS)];
        write!(out, "{}", Text(&pools.join(", ")))?;
        if let Some(more @ 1..) = n_pools.checked_sub(MAX_ROWS) {
            write!(out, " <span class=soft>and {more} more</span>")?;
        }
        write!(out, "<td>{} s", steered.ttl_now)?;
        if let Some(reason) = &steered.ttl_reason {
            let (min, max) = (steered.ttl_min, steered.ttl);
            write!(
                out,
                " <span class=soft>of {min} to {max}: {}</span>",
                Text(reason)
            )?;
        }
        let shares = steered.clients.shares();
        write!(out, "<td><small>{}</small>", Text(&shares))?;
    }
    write_more(out, status.steered.len(), 5)?;
    out.push_str("</table></section>");
    Ok(())
}

fn write_databases(out: &mut String, databases: &[Database], now: u64) -> fmt::Result {
    out.push_str("<h2>GeoIP databases</h2><section><table>");
    out.push_str("<thead><tr><th>Type<th>Built<th>Networks</thead>");
    for database in databases {
        let age = Span(now.saturating_sub(database.built));
        write!(
            out,
            "<tr><td>{}<td>{} <span class=soft>{age} ago</span>",
            Text(&database.r#type),
            Text(&database.build_date),
        )?;
        if database.is_old {
            write!(out, " {}", Badge("drain", "older than max_age"))?;
        }
        write!(out, "<td>{}", database.networks)?;
    }
    out.push_str("</table></section>");
    Ok(())
}

fn write_zones(out: &mut String, zones: &[Zone]) -> fmt::Result {
    out.push_str("<h2>Zones</h2><section><table><thead><tr><th>Apex<th>Serial<th>Names</thead>");
    for zone in zones.iter().take(MAX_ROWS) {
        let apex = Text(&zone.apex);
        write!(out, "<tr><td>{apex}<td>{}<td>{}", zone.serial, zone.names)?;
    }
    write_more(out, zones.len(), 3)?;
    out.push_str("</table></section>");
    Ok(())
}

/// The most pools, names and zones that are shown: a page that is fetched every other second should
/// not hold a million.
const MAX_ROWS: usize = 100;

/// The row that says how many of `n` are not shown.
fn write_more(out: &mut String, n: usize, n_columns: usize) -> fmt::Result {
    match n.checked_sub(MAX_ROWS) {
        Some(more @ 1..) => write!(
            out,
            "<tr><td colspan={n_columns} class=soft>and {more} more"
        ),
        _ => Ok(()),
    }
}
