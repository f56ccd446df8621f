//! The routes, and what each call answers.
//!
//! Every error is `{"error": "…"}`, also where no route or method fits.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::Router;
use axum::extract::Query;
use axum::extract::Request;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware::Next;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use axum::routing::post;
use axum::routing::put;
use serde::Deserialize;

use crate::admin::difference;
use crate::admin::drain;
use crate::admin::endpoints;
use crate::admin::events;
use crate::admin::explain;
use crate::admin::failure::Failure;
use crate::admin::hosts;
use crate::admin::json::status;
use crate::admin::metrics;
use crate::admin::overrides;
use crate::admin::page;
use crate::admin::page::assets;
use crate::admin::page::events::MAX_EVENTS;
use crate::admin::page::view::Choice;
use crate::admin::page::view::View;
use crate::admin::readiness::waiting_for;
use crate::admin::reloads;
use crate::admin::reloads::Reloaded;
use crate::admin::site::Client;
use crate::admin::site::NoParameters;
use crate::admin::site::Shared;
use crate::admin::site::Site;
use crate::admin::webhook;
use crate::base::diag::Severity;
use crate::config::rights::Change;
use crate::live::request;

/// All routes; requests must carry a [`Client`].
pub fn router(site: Site) -> Router {
    let shared = Arc::new(Shared::new(site));
    Router::new()
        .route("/", get(front))
        .route("/assets/{name}", get(assets::get))
        .route("/drain", get(drain::show).post(drain::change))
        .route("/explain", get(explain::page))
        .route("/healthz", get(healthz))
        .route("/_ready", get(ready))
        .route("/metrics", get(scrape))
        .route("/api/v1/status", get(show_status))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/explain", get(explain::json))
        .route(
            "/api/v1/overrides/{pool}",
            put(overrides::set).delete(overrides::clear),
        )
        .route(
            "/api/v1/pools/{pool}/endpoints",
            get(endpoints::get).put(endpoints::set),
        )
        .route("/api/v1/reload", post(reload))
        .route("/api/v1/diff", get(difference::show))
        .route("/api/v1/rollback", post(roll_back))
        .route("/webhook", get(webhook::negotiate))
        .route("/webhook/", get(webhook::negotiate))
        .route(
            "/webhook/records",
            get(webhook::records).post(webhook::apply),
        )
        .route("/webhook/adjustendpoints", post(webhook::adjust))
        .route("/webhook/healthz", get(webhook::healthz))
        .fallback(async || Failure::new(StatusCode::NOT_FOUND, "no such path"))
        .method_not_allowed_fallback(async || {
            Failure::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take that method",
            )
        })
        .layer(from_fn_with_state(Arc::clone(&shared), check_host))
        .with_state(shared)
}

/// Refuses what is meant for another server.
async fn check_host(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if hosts::is_ours(request.uri(), request.headers(), &shared.site.hosts) {
        return next.run(request).await;
    }
    shared.count_refusal("host");
    Failure::new(
        StatusCode::MISDIRECTED_REQUEST,
        "the Host header is not a name of this server, expected an IP address, localhost, this \
         machine's host name, or one of [admin] hosts",
    )
    .into_response()
}

async fn front(
    State(shared): State<Arc<Shared>>,
    choice: Result<Query<Choice>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(choice) = choice.map_err(|rejection| Failure::bad(rejection.body_text()))?;
    let page = if choice == Choice::default() {
        &shared.front
    } else {
        &shared.chosen_front
    };
    let key = format!("{choice:?}");
    let viewed = Arc::clone(&shared);
    let text = page.get(&key, move || page::html(&view(&viewed, choice)));
    match text.await {
        text if text.is_empty() => Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many readers of this page are slow, or the server is stopping",
        )),
        text => Ok((page::HEADERS, text).into_response()),
    }
}

/// What the page shows now.
fn view(shared: &Shared, choice: Choice) -> View {
    let live = &shared.site.live;
    let snapshot = live.snapshots.current();
    let mut events = live.events.since(0);
    events.drain(..events.len().saturating_sub(MAX_EVENTS));
    View {
        coverage: shared.coverage_of(&snapshot, &choice.name),
        events,
        status: status(live),
        rates: shared.rate_meter.rates(live),
        choice,
    }
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    match waiting_for(&shared.site.live) {
        None => (StatusCode::OK, "ready\n".into()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn scrape(State(shared): State<Arc<Shared>>) -> Response {
    let headers = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
    let live = Arc::clone(&shared.site.live);
    let text = shared.metrics.get("", move || metrics::text(&live));
    (headers, text.await).into_response()
}

async fn show_status(State(shared): State<Arc<Shared>>, _: NoParameters) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    let live = Arc::clone(&shared.site.live);
    let text = shared.status.get("", move || {
        serde_json::to_vec(&status(&live)).unwrap_or_default()
    });
    (headers, text.await).into_response()
}

/// The parameters of `/api/v1/reload`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReloadQuery {
    force: bool,
}

async fn reload(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    query: Result<Query<ReloadQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<Reloaded>, Failure> {
    let Query(query) = query.map_err(|rejection| Failure::bad(rejection.body_text()))?;
    shared.authorize(&client, &headers, Change::Reload).await?;
    let reload = |reply| request::Request::Reload {
        is_forced: query.force,
        reply,
    };
    match shared.ask(&client, reload).await? {
        Ok(reloaded) => Ok(Json(reloads::reloaded(&reloaded))),
        Err(report) => {
            let faults = reloads::lines(&report, Severity::Error);
            Err(Failure::refused_files(faults))
        }
    }
}

async fn roll_back(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    _: NoParameters,
    headers: HeaderMap,
) -> Result<Json<Reloaded>, Failure> {
    let by = shared.authorize(&client, &headers, Change::Reload).await?;
    let roll_back = |reply| request::Request::RollBack { by, reply };
    match shared.ask(&client, roll_back).await? {
        Ok(reloaded) => Ok(Json(reloads::reloaded(&reloaded))),
        Err(report) => {
            let faults = reloads::lines(&report, Severity::Error);
            Err(Failure::refused_rollback(faults))
        }
    }
}
