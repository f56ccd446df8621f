//! `explain`, as JSON and as a page.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;

use crate::admin::details;
use crate::admin::explanation;
use crate::admin::explanation::Explanation;
use crate::admin::failure::Failure;
use crate::admin::page;
use crate::admin::page::explain::ExplainQuery;
use crate::admin::site::Client;
use crate::admin::site::Shared;
use crate::engine::explain::explain;
use crate::engine::question::Question;

/// `GET /api/v1/explain`.
pub async fn json(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
) -> Result<Json<Explanation>, Failure> {
    let Query(query) = query.map_err(|rejection| Failure::bad(rejection.body_text()))?;
    explained(&shared, &client, &query).map(Json)
}

/// `GET /explain`: the same for people; without a name, the form alone.
pub async fn page(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(query) = query.map_err(|rejection| Failure::bad(rejection.body_text()))?;
    let result = match query.name.is_empty() {
        true => None,
        false => Some(explained(&shared, &client, &query)),
    };
    let status = match &result {
        Some(Err(failure)) => failure.status(),
        _ => StatusCode::OK,
    };
    let names = shared.steered_names();
    let html = page::explain::html(&query, &names, result.as_ref());
    Ok((status, page::HEADERS, html).into_response())
}

fn explained(
    shared: &Shared,
    client: &Client,
    query: &ExplainQuery,
) -> Result<Explanation, Failure> {
    if query.name.is_empty() {
        return Err(Failure::bad(
            "`name` is missing, expected `?name=app.example.com`",
        ));
    }
    let given = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
    let (qtype, asker) = (given(&query.r#type), given(&query.client));
    let (qtype, asker) = (qtype.as_deref(), asker.as_deref());
    let question = Question::parse(&query.name, qtype, asker, client.address)
        .map_err(|error| Failure::bad(error.to_string()))?;
    let live = &shared.site.live;
    let snapshot = live.snapshots.current();
    let details = |pool, family| details::of(live, &snapshot, pool, family);
    let explanation = explain(&snapshot, question, &details);
    let mut explanation = explanation::explanation(&explanation, &snapshot);
    for candidate in &mut explanation.candidates {
        if let Some(planned) = details::planned(live, &candidate.pool) {
            candidate.reason = format!("{}; {planned}", candidate.reason);
        }
    }
    Ok(explanation)
}
