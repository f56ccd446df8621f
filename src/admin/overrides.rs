//! `/api/v1/overrides/POOL`: takes pools out of the answers and back.
//!
//! Calls are judged in a fixed order: path (400), token (401, 403), whether queries are answered here (409), pool
//! (404), body (400, 408, 413, 422); then they go to the control loop, which refuses drains that leave clients without a pool (409), and the answer comes once
//! the change is served and on disk.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use serde::Deserialize;
use serde::Serialize;

use crate::admin::body::pool_name;
use crate::admin::body::read_body;
use crate::admin::failure::Failure;
use crate::admin::json;
use crate::admin::site::Client;
use crate::admin::site::NoParameters;
use crate::admin::site::Shared;
use crate::config::rights::Change;
use crate::config::units::duration;
use crate::health::overrides::Forced;
use crate::health::overrides::Override;
use crate::live::clock::unix;
use crate::live::request::Request;

/// The longest reason of an override, in characters.
const MAX_REASON: usize = 256;

/// The last second of the year 9999, behind which times are hard to print.
const MAX_UNIX: u64 = 253_402_300_799;

/// The body of `PUT /api/v1/overrides/POOL`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OverrideBody {
    pub(super) state: String,
    /// How long until it begins.
    #[serde(rename = "in")]
    pub(super) begins: Option<String>,
    /// Of `shed`.
    pub(super) percent: Option<u8>,
    #[serde(rename = "for")]
    pub(super) lasts: Option<String>,
    pub(super) reason: Option<String>,
    /// Drain also if that leaves clients without a pool.
    #[serde(default)]
    pub(super) force: bool,
}

impl OverrideBody {
    /// The override, and whether it is forced; a drill without a length lasts as long as this.
    fn parse(bytes: &[u8], drill: Duration, now: u64) -> Result<(Override, bool), Failure> {
        let body: Self = serde_json::from_slice(bytes).map_err(|error| {
            Failure::bad(format!(
                "{error}, expected an object such as \
                 {{\"state\":\"drain\",\"for\":\"2h\",\"reason\":\"…\"}}"
            ))
        })?;
        body.check(drill, now)
    }

    /// The same of what has been read.
    fn check(self, drill: Duration, now: u64) -> Result<(Override, bool), Failure> {
        let body = self;
        let state = Forced::parse(&body.state, body.percent)
            .map_err(|error| Failure::bad(error.to_string()))?;
        let is_drill = state == Forced::Drill;
        if is_drill && (body.begins.is_some() || body.force) {
            return Err(Failure::bad(
                "`in` and `force` do not go with `state` \"drill\", which begins at once or not at all",
            ));
        }
        let begins = match body.begins {
            Some(text) => Some(after("in", &text, now)?).filter(|begins| *begins > now),
            None => None,
        };
        let until = match body.lasts {
            Some(text) => Some(end(&text, begins.unwrap_or(now))?),
            None => is_drill.then(|| now + drill.as_secs()),
        };
        let reason = body.reason.unwrap_or_default();
        // It is shown on terminals and in logs as it stands.
        if reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
            return Err(Failure::bad(format!(
                "`reason` is not taken, expected at most {MAX_REASON} characters on one line"
            )));
        }
        let override_ = Override {
            state,
            since: now,
            begins,
            until,
            reason: reason.into(),
        };
        Ok((override_, body.force))
    }
}

/// When something ends that begins then.
fn end(text: &str, begins: u64) -> Result<u64, Failure> {
    let end = after("for", text, begins)?;
    match end > begins {
        true => Ok(end),
        false => Err(unfit("for", text, "a duration above 0s")),
    }
}

/// The time of a key's value after another time, rounded up to a second.
fn after(key: &str, text: &str, time: u64) -> Result<u64, Failure> {
    let length = text.strip_prefix('-');
    let Some(duration) = duration(length.unwrap_or(text)) else {
        let expected = "a duration such as \"30m\", \"2h\" or \"1d12h\"";
        return Err(not_taken(StatusCode::BAD_REQUEST, key, text, expected));
    };
    if length.is_some() {
        let expected = match key {
            "in" => "a duration from 0s on",
            _ => "a duration above 0s",
        };
        return Err(unfit(key, text, expected));
    }
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    let after = time.checked_add(seconds);
    let after = after.filter(|after| *after <= MAX_UNIX);
    after.ok_or_else(|| unfit(key, text, "an end before the year 10000"))
}

fn unfit(key: &str, text: &str, expected: &str) -> Failure {
    not_taken(StatusCode::UNPROCESSABLE_ENTITY, key, text, expected)
}

fn not_taken(status: StatusCode, key: &str, text: &str, expected: &str) -> Failure {
    Failure::new(
        status,
        format!("`{key}`: `{text}` is not taken, expected {expected}"),
    )
}

/// `PUT /api/v1/overrides/POOL`.
pub async fn set(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    pool: Result<Path<String>, PathRejection>,
    _: NoParameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PoolOverride>, Failure> {
    let pool = pool_name(pool)?;
    let change = Change::Override(&pool);
    let by = shared.authorize(&client, &headers, change).await?;
    check_role(&shared)?;
    if !shared.is_served(&pool) {
        return Err(shared.no_pool(&pool));
    }
    let drill = shared.drill_length(&pool);
    let asked = OverrideBody::parse(&read_body(body).await?, drill, unix())?;
    let answer = json::override_(&asked.0);
    set_as(&shared, &client, &pool, asked, by).await?;
    Ok(Json(PoolOverride {
        pool,
        r#override: Some(answer),
    }))
}

/// Sets what a form asks for.
pub(super) async fn set_by_form(
    shared: &Shared,
    client: &Client,
    pool: &str,
    body: OverrideBody,
    by: Arc<str>,
) -> Result<(), Failure> {
    check_role(shared)?;
    let asked = body.check(shared.drill_length(pool), unix())?;
    set_as(shared, client, pool, asked, by).await
}

/// Has the control loop set an override, which may be forced.
async fn set_as(
    shared: &Shared,
    client: &Client,
    pool: &str,
    (override_, is_forced): (Override, bool),
    by: Arc<str>,
) -> Result<(), Failure> {
    let pool = pool.into();
    shared
        .ask(client, |reply| Request::SetOverride {
            pool,
            override_,
            is_forced,
            by,
            reply,
        })
        .await??;
    Ok(())
}

/// `DELETE /api/v1/overrides/POOL`.
pub async fn clear(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    pool: Result<Path<String>, PathRejection>,
    _: NoParameters,
    headers: HeaderMap,
) -> Result<Json<PoolOverride>, Failure> {
    let pool = pool_name(pool)?;
    let change = Change::Override(&pool);
    let by = shared.authorize(&client, &headers, change).await?;
    let was_there = clear_as(&shared, &client, &pool, by).await?;
    // The override of a pool that a reload took away can still be cleared.
    if !was_there && !shared.is_served(&pool) {
        return Err(shared.no_pool(&pool));
    }
    Ok(Json(PoolOverride {
        pool,
        r#override: None,
    }))
}

/// Has the control loop clear an override; whether there was one.
pub(super) async fn clear_as(
    shared: &Shared,
    client: &Client,
    pool: &str,
    by: Arc<str>,
) -> Result<bool, Failure> {
    check_role(shared)?;
    let pool = pool.into();
    let cleared = shared.ask(client, |reply| Request::ClearOverride { pool, by, reply });
    Ok(cleared.await??)
}

/// Refuses overrides on a vantage, where they would have no effect: it has no answers, and sends none on.
fn check_role(shared: &Shared) -> Result<(), Failure> {
    match shared.site.live.addresses.serve_dns() {
        true => Ok(()),
        false => Err(Failure::new(
            StatusCode::CONFLICT,
            "a vantage answers no queries and takes no overrides; set them on a name server of the fleet",
        )),
    }
}

/// What a call about overrides answers.
#[derive(Debug, Serialize)]
pub struct PoolOverride {
    pool: String,
    /// Its override now; null: none.
    r#override: Option<json::Override>,
}
