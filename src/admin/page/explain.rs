//! Why a client gets its answer: the form, and the answer's page.

use maud::Markup;
use maud::html;
use serde::Deserialize;

use crate::admin::explanation::Candidate;
use crate::admin::explanation::Explanation;
use crate::admin::failure::Failure;
use crate::admin::page::layout::layout;
use crate::admin::page::parts::MAX_ROWS;
use crate::admin::page::parts::table;
use crate::admin::page::words::badge;

/// The parameters; an empty one counts as left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExplainQuery {
    /// The name.
    pub name: String,
    /// The type.
    pub r#type: String,
    /// The client.
    pub client: String,
}

/// The form.
pub(super) fn form<'a>(query: &ExplainQuery, names: impl IntoIterator<Item = &'a str>) -> Markup {
    html! {
        form .row.card action="/explain" method="get" {
            div .field {
                label for="explain-name" { "Name" }
                input #explain-name name="name" list="names-list" required value=(query.name)
                    placeholder="app.example.com" autocapitalize="none" spellcheck="false";
            }
            datalist #names-list { @for name in names.into_iter().take(MAX_ROWS) { option value=(name) {} } }
            div .field {
                label for="explain-type" { "Type" }
                input #explain-type .short name="type" value=(query.r#type) placeholder="A" autocapitalize="characters";
            }
            div .field {
                label for="explain-client" { "Client: address or subnet; empty: yours" }
                input #explain-client name="client" value=(query.client) placeholder="192.0.2.0/24"
                    autocapitalize="none";
            }
            button { "Explain" }
        }
    }
}

/// The page of a question and its answer.
pub fn html(
    query: &ExplainQuery,
    names: &[String],
    result: Option<&Result<Explanation, Failure>>,
) -> String {
    let main = html! {
        main {
            p { a href="/" { "← Status" } }
            h1 { "Explain" }
            (form(query, names.iter().map(|name| &**name)))
            @match result {
                None => {},
                Some(Err(failure)) => p .verdict.bad role="alert" { (failure.reason()) },
                Some(Ok(explanation)) => (answer(explanation)),
            }
        }
    };
    layout("Explain – Meridian", &main).into_string()
}

fn answer(explanation: &Explanation) -> Markup {
    let answered = explanation.answered();
    let head = ["Pool", "Health", "Distance", "Round trip", "Why"];
    let body = html! {
        tbody { @for candidate in &explanation.candidates { (self::candidate(candidate)) } }
    };
    html! {
        h2 { (explanation.name) " " (explanation.r#type) " for " (explanation.client) }
        dl .facts {
            dt { "Answer" }
            dd {
                @if answered.is_empty() { (explanation.rcode) } @else { (answered.join(", ")) }
                @if let Some(pool) = &explanation.pool { " from pool " b { (pool) } }
            }
            dt { "Client by" }
            dd {
                @match &*explanation.client_source {
                    "ecs" => "its subnet (ECS)",
                    _ => "the resolver's address",
                }
            }
            dt { "Location" }
            dd { (location(explanation)) }
            @if let Some(rule) = &explanation.rule { dt { "Rule" } dd { code { (rule) } } }
            @if let Some(vote) = explanation.vote {
                dt { "Vote" }
                dd { (format!("{:.1} % of the subnet's located addresses are for this answer", vote * 100.0)) }
            }
            @if let Some(ttl) = explanation.ttl {
                dt { "TTL" }
                dd { (ttl) " s" @if let Some(reason) = &explanation.ttl_reason { ": " (reason) } }
            }
            @if let Some(scope) = explanation.scope { dt { "ECS scope" } dd { "/" (scope) } }
        }
        @if !explanation.candidates.is_empty() { (table("candidates", "Candidates, best first", &head, &body)) }
    }
}

fn location(explanation: &Explanation) -> String {
    let place = &explanation.location;
    let parts = [
        &place.city,
        &place.subdivision,
        &place.country,
        &place.continent,
    ];
    let mut parts: Vec<String> = parts.into_iter().flatten().cloned().collect();
    parts.extend(place.asn.map(|asn| format!("AS{asn}")));
    parts.extend(
        place
            .network
            .as_ref()
            .map(|network| format!("network {network}")),
    );
    match parts.is_empty() {
        true => "not known".into(),
        false => parts.join(", "),
    }
}

fn candidate(candidate: &Candidate) -> Markup {
    html! {
        tr {
            th scope="row" { (candidate.pool) @if candidate.chosen { " " (badge("up", "answered")) } }
            td {
                @if candidate.drained { (badge("drained", "drained")) }
                @else { (badge(&candidate.health, &candidate.health)) }
            }
            td .number { @if let Some(km) = candidate.distance_km { (format!("{km:.0} km")) } }
            td .number {
                @if let Some(ms) = candidate.rtt_ms { (format!("{ms:.1} ms")) }
                @if let Some(from) = &candidate.rtt_from { small { "by " (from) } }
            }
            td { (candidate.reason_and_checks()) }
        }
    }
}
