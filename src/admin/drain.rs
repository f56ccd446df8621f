//! `/drain`: takes a pool out of the answers and back, from the status page.
//!
//! Two steps, which work without scripts: a page that says what a drain would move and asks for a token, and a form
//! that carries it out. The token is needed for each change and is kept nowhere, so that there is nothing that a
//! page of another site could make a browser send; such requests are refused all the same.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Redirect;
use axum::response::Response;
use serde::Deserialize;
use tokio::task::spawn_blocking;

use crate::admin::body::read_body;
use crate::admin::failure::Failure;
use crate::admin::hosts::is_same_origin;
use crate::admin::json;
use crate::admin::overrides;
use crate::admin::overrides::OverrideBody;
use crate::admin::page;
use crate::admin::page::drain::DrainForm;
use crate::admin::page::drain::DrainView;
use crate::admin::preview::preview;
use crate::admin::site::Client;
use crate::admin::site::Shared;
use crate::base::ix::PoolIx;
use crate::config::rights::Change;

/// The pool that the page is about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainQuery {
    pool: String,
}

/// `GET /drain?pool=POOL`: what a drain would move, and the form.
pub async fn show(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<DrainQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(query) = query.map_err(|rejection| Failure::bad(rejection.body_text()))?;
    let form = DrainForm {
        pool: query.pool,
        ..DrainForm::default()
    };
    render(&shared, form, None).await
}

/// `POST /drain`.
pub async fn change(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    if !is_same_origin(&headers) {
        shared.count_refusal("origin");
        let error = "this form was sent by a page of another site; nothing has changed";
        return Err(Failure::new(StatusCode::FORBIDDEN, error));
    }
    let form: DrainForm = serde_urlencoded::from_bytes(&read_body(body).await?)
        .map_err(|error| Failure::bad(format!("the form cannot be read: {error}")))?;
    match carry_out(&shared, &client, &form).await {
        Ok(()) => Ok(Redirect::to("/#overrides").into_response()),
        Err(failure) => render(&shared, form, Some(failure)).await,
    }
}

async fn carry_out(shared: &Shared, client: &Client, form: &DrainForm) -> Result<(), Failure> {
    let pool = &*form.pool;
    let change = Change::Override(pool);
    let by = shared.authorize_token(client, &form.token, change).await?;
    if !shared.is_served(pool) {
        return Err(shared.no_pool(pool));
    }
    match &*form.action {
        "clear" => overrides::clear_as(shared, client, pool, by)
            .await
            .map(drop),
        "drain" => {
            let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
            let body = OverrideBody {
                state: "drain".into(),
                lasts: given(&form.r#for),
                reason: given(&form.reason),
                force: !form.force.is_empty(),
                ..OverrideBody::default()
            };
            overrides::set_by_form(shared, client, pool, body, by).await
        }
        _ => Err(Failure::bad(
            "`action` is not taken, expected `drain` or `clear`",
        )),
    }
}

/// The page, with what was wrong the last time.
async fn render(
    shared: &Arc<Shared>,
    form: DrainForm,
    failure: Option<Failure>,
) -> Result<Response, Failure> {
    // Counting takes a core for a while: one at a time.
    let _one = shared.preview.lock().await;
    let status = failure.as_ref().map_or(StatusCode::OK, Failure::status);
    let shared = Arc::clone(shared);
    let rendering = spawn_blocking(move || {
        let live = &shared.site.live;
        let snapshot = live.snapshots.current();
        let pools = &snapshot.plan.config.pools.pools;
        let ix = pools.iter().position(|pool| *pool.name == *form.pool)?;
        let status = json::status(live);
        Some(page::drain::html(&DrainView {
            pool: status.pools.get(ix)?,
            now: status.now,
            node: &status.node,
            preview: &preview(&snapshot, PoolIx::new(ix)),
            form: &form,
            failure: failure.as_ref(),
        }))
    });
    match rendering.await {
        Ok(Some(html)) => Ok((status, page::HEADERS, html).into_response()),
        Ok(None) => Err(Failure::new(
            StatusCode::NOT_FOUND,
            "this pool is not defined",
        )),
        Err(_) => Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the server is stopping",
        )),
    }
}
