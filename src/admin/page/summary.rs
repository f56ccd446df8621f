//! Which machine this is, and what is wrong.

use maud::Markup;
use maud::html;

use crate::admin::json::Pool;
use crate::admin::json::Status;
use crate::admin::page::fleet;
use crate::admin::page::pools::is_down;
use crate::admin::page::words::ago;
use crate::admin::page::words::badge;
use crate::admin::reloads::LastReload;
use crate::admin::time::Span;

/// The most names in a line of what is wrong.
const MAX_NAMES: usize = 5;

/// The head of the page.
pub(super) fn section(status: &Status) -> Markup {
    let listen: Vec<String> = status.listen.iter().map(ToString::to_string).collect();
    let problems = problems(status);
    html! {
        h1 {
            "Meridian " span .node { (status.node) } " "
            @match status.waiting_for {
                None => (badge("up", "ready")),
                Some(_) => (badge("drained", "not ready")),
            }
        }
        p .soft {
            "version " (status.version)
            ", up " (Span(status.now.saturating_sub(status.started)).to_string())
            ", generation " (status.generation)
            @if listen.is_empty() { ", answers no queries" } @else { ", DNS on " (listen.join(" ")) }
        }
        div #problems role="status" {
            @if problems.is_empty() {
                p .verdict.good { "Nothing is wrong" }
            } @else {
                p .verdict.bad { (problems.join("; ")) }
            }
        }
        (reload(&status.last_reload, status.now))
    }
}

/// All that is wrong, the worst first.
fn problems(status: &Status) -> Vec<String> {
    let mut problems: Vec<String> = status.waiting_for.iter().cloned().collect();
    if status.last_reload.rolled_back.is_some() {
        problems.push("rolled back: the files on disk are not served".into());
    }
    if status.last_reload.refused {
        problems.push("the latest reload was refused".into());
    }
    let n_pools = status.pools.len();
    let pools = |is: &dyn Fn(&Pool) -> bool| -> Vec<&str> {
        let found = status.pools.iter().filter(|pool| is(pool));
        found.map(|pool| &*pool.name).collect()
    };
    let down = pools(&is_down);
    if !down.is_empty() {
        problems.push(format!(
            "{} of {n_pools} pools down: {}",
            down.len(),
            names(&down)
        ));
    }
    let guarded = status
        .steered
        .iter()
        .filter(|name| !name.max_down_exceeded.is_empty());
    let guarded: Vec<&str> = guarded.map(|name| &*name.name).collect();
    if !guarded.is_empty() {
        let names = names(&guarded);
        problems.push(format!(
            "more pools down than max_down allows, probes are ignored: {names}"
        ));
    }
    let full = pools(&|pool| pool.full);
    if !full.is_empty() {
        problems.push(format!(
            "full, and no other pool takes their clients: {}",
            names(&full)
        ));
    }
    let empty = pools(&|pool| pool.endpoints.is_empty());
    if !empty.is_empty() {
        problems.push(format!("pools without endpoints: {}", names(&empty)));
    }
    let failing = pools(&|pool| {
        pool.membership
            .sources
            .iter()
            .any(|source| source.error.is_some())
    });
    if !failing.is_empty() {
        problems.push(format!("sources of endpoints fail: {}", names(&failing)));
    }
    problems.extend(of_vantages(status));
    problems.extend(status.fleet.iter().flat_map(fleet::problems));
    let old = status.databases.iter().filter(|database| database.is_old);
    problems.extend(old.map(|database| format!("{} is older than max_age", database.r#type)));
    problems
}

fn of_vantages(status: &Status) -> impl Iterator<Item = String> {
    let vantages = status.vantages.iter();
    vantages.filter_map(|vantage| {
        let blind: Vec<_> = vantage.blind().map(|(family, _)| family).collect();
        match blind.is_empty() {
            false => Some(format!(
                "vantage {} is blind for {}",
                vantage.name,
                blind.join(" and ")
            )),
            true if vantage.silent => Some(format!("vantage {} is silent", vantage.name)),
            true => None,
        }
    })
}

/// Some names, and how many more.
pub(super) fn names(names: &[&str]) -> String {
    let n_more = names.len().saturating_sub(MAX_NAMES);
    let mut text = names[..names.len() - n_more].join(", ");
    if n_more > 0 {
        text += &format!(" and {n_more} more");
    }
    text
}

fn reload(reload: &LastReload, now: u64) -> Markup {
    let (class, title, lines) = match reload.refused {
        true => (
            "alert bad",
            "Reload refused: still serving the previous files",
            &reload.faults,
        ),
        false => ("alert", "Files loaded with warnings", &reload.warnings),
    };
    html! {
        @if let Some(rolled_back) = &reload.rolled_back {
            div .alert .bad { (rolled_back.to_string()) }
        }
        @if !lines.is_empty() {
            div class=(class) {
                b { (title) } " " span .soft { (ago(reload.at, now)) }
                ul { @for line in lines { li { code { (line) } } } }
            }
        }
    }
}
