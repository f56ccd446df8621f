//! `GET /api/v1/events`: what has happened, as JSON, or with `follow=1` as server-sent events.
//!
//! Followers are few, and are not counted among other connections. One that reads too slowly is
//! closed; it goes on by the number of the last event that it got.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Extension;
use axum::Json;
use axum::body::Body;
use axum::body::Bytes;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use http_body_util::channel::Channel;
use http_body_util::channel::Sender;
use serde::Deserialize;
use serde::Serialize;
use serde::Serializer;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::admin::failure::Failure;
use crate::admin::site::Client;
use crate::admin::site::MAX_FOLLOWERS;
use crate::admin::site::Shared;
use crate::base::event_kind::EventKind;
use crate::live::events::EventLog;
use crate::live::events::MAX_EVENTS;
use crate::live::events::Record;
use crate::live::events::Value;

/// A comment is sent after so long without an event, so that proxies keep the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a follower may leave the next part unread.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Parts that wait for a slow follower …
const QUEUE: usize = 4;

/// … each of about so many octets at most.
const MAX_PART: usize = 64 * 1024;

/// What a follower gets first: after how many milliseconds to come back.
const RETRY: &[u8] = b"retry: 3000\n\n";

/// The parameters; an empty one counts as left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventsQuery {
    since: String,
    limit: String,
    kind: String,
    pool: String,
    follow: String,
}

/// Which events are asked for.
#[derive(Debug, Default)]
struct Filter {
    /// Empty: all.
    kinds: Vec<EventKind>,
    pool: Option<String>,
}

#[derive(Debug, Serialize)]
struct Answer {
    /// The number of the latest event of any kind: `since` for whoever comes back.
    latest: u64,
    /// Oldest first.
    #[serde(serialize_with = "each")]
    events: Vec<Arc<Record>>,
}

fn each<S: Serializer>(records: &[Arc<Record>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(records.iter().map(|record| &**record))
}

/// Answers the call.
pub async fn events(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    query: Result<Query<EventsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(query) = query.map_err(|rejection| Failure::bad(rejection.body_text()))?;
    let number = |name: &str, text: &str| match text.parse::<u64>() {
        Ok(number) => Ok(Some(number)),
        Err(_) if text.is_empty() => Ok(None),
        Err(_) => Err(Failure::bad(format!("`{name}` is not a number"))),
    };
    let (since, limit) = (
        number("since", &query.since)?,
        number("limit", &query.limit)?,
    );
    let filter = Filter::read(&query)?;
    let log = &shared.site.live.events;
    let follows = match &*query.follow {
        "" | "0" => false,
        "1" => true,
        _ => return Err(Failure::bad("`follow` is not 0 or 1")),
    };
    if !follows {
        return Ok(Json(answer(log, &filter, since, limit)).into_response());
    }
    if limit.is_some() {
        return Err(Failure::bad("`limit` does not go with `follow`"));
    }
    let last_id = headers.get("last-event-id").map(|id| id.to_str());
    let last_id = match last_id {
        Some(id) => number("Last-Event-ID", id.unwrap_or("?"))?,
        None => None,
    };
    let permit = Arc::clone(&shared.followers).try_acquire_owned();
    let permit = permit.map_err(|_| {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{MAX_FOLLOWERS} clients follow the events already"),
        )
    })?;
    client.is_follower.store(true, Relaxed);
    let (sender, body) = Channel::<Bytes, Infallible>::new(QUEUE);
    let follower = Follower {
        filter,
        // A browser comes back with the address of before, and the number that it got meanwhile.
        seq: last_id.or(since).unwrap_or_else(|| *log.follow().borrow()),
        sender,
        _permit: permit,
    };
    tokio::spawn(async move {
        follower.serve(&shared.site.live.events, client.stop).await;
        // What is left of the connection is one like others.
        client.is_follower.store(false, Relaxed);
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::new(body)).into_response())
}

/// With `since` the first events after it, else the latest ones.
fn answer(log: &EventLog, filter: &Filter, since: Option<u64>, limit: Option<u64>) -> Answer {
    let latest = *log.follow().borrow();
    let mut events = log.since(since.unwrap_or(0));
    events.retain(|record| record.seq <= latest && filter.takes(record));
    let limit = limit.map_or(MAX_EVENTS, |limit| limit.try_into().unwrap_or(usize::MAX));
    match since {
        Some(_) => events.truncate(limit),
        None => drop(events.drain(..events.len().saturating_sub(limit))),
    }
    Answer { latest, events }
}

impl Filter {
    fn read(query: &EventsQuery) -> Result<Self, Failure> {
        let kinds = query.kind.split(',').filter(|word| !word.is_empty());
        let kinds = kinds.map(|word| {
            EventKind::parse(word)
                .map_err(|_| Failure::bad(format!("there is no kind of event `{word}`")))
        });
        Ok(Self {
            kinds: kinds.collect::<Result<_, _>>()?,
            pool: (!query.pool.is_empty()).then(|| query.pool.clone()),
        })
    }

    fn takes(&self, record: &Record) -> bool {
        let mut kinds = self.kinds.iter();
        let is_of_kind = self.kinds.is_empty() || kinds.any(|kind| kind.as_str() == record.kind);
        is_of_kind
            && self.pool.as_ref().is_none_or(|pool| {
                let mut fields = record.fields.iter();
                fields.any(|(name, value)| names_pool(name, value, pool))
            })
    }
}

/// Whether a field names a pool: `pool`, or one of `pools_added` and the like.
fn names_pool(name: &str, value: &Value, pool: &str) -> bool {
    match value {
        Value::Text(text) if name == "pool" => **text == *pool,
        Value::List(pools) if name.starts_with("pools_") => {
            pools.iter().any(|other| **other == *pool)
        }
        _ => false,
    }
}

struct Follower {
    filter: Filter,
    /// The number of the last event that was considered.
    seq: u64,
    sender: Sender<Bytes>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// Sends events until the client has left, reads too slowly, or the server stops.
    async fn serve(mut self, log: &EventLog, mut stop: watch::Receiver<bool>) {
        let mut latest = log.follow();
        let mut part = RETRY.to_vec();
        loop {
            // Marked as read before it is: what comes meanwhile wakes this again.
            latest.borrow_and_update();
            for record in log.since(self.seq) {
                self.seq = record.seq;
                if self.filter.takes(&record) {
                    write(&mut part, &record);
                }
                if part.len() >= MAX_PART && !self.send(&mut part).await {
                    return;
                }
            }
            if !self.send(&mut part).await {
                return;
            }
            tokio::select! {
                changed = timeout(HEARTBEAT, latest.changed()) => {
                    if changed.is_err() {
                        part.extend_from_slice(b":\n\n");
                    }
                }
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Sends what there is; false if the client does not take it.
    async fn send(&mut self, part: &mut Vec<u8>) -> bool {
        if part.is_empty() {
            return true;
        }
        let sending = self.sender.send_data(std::mem::take(part).into());
        matches!(timeout(READ_TIMEOUT, sending).await, Ok(Ok(())))
    }
}

/// One server-sent event.
fn write(part: &mut Vec<u8>, record: &Record) {
    part.extend_from_slice(format!("id: {}\ndata: ", record.seq).as_bytes());
    // JSON has no line breaks. Writing to memory does not fail.
    let _ = serde_json::to_writer(&mut *part, record);
    part.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::live::events::event;
    use crate::live::meters::Meters;

    #[tokio::test(start_paused = true)]
    async fn a_follower_that_does_not_read_is_let_go_and_has_got_the_first_events() {
        let log = EventLog::resume(Vec::new(), Meters::new().events);
        let reason = "x".repeat(MAX_PART);
        for _ in 0..10 {
            log.push(event!(warn, PoolDown, [reason], [], "pool is down"));
        }
        let room = Arc::new(Semaphore::new(1));
        let (sender, body) = Channel::<Bytes, Infallible>::new(QUEUE);
        let follower = Follower {
            filter: Filter::default(),
            seq: 0,
            sender,
            _permit: Arc::clone(&room).try_acquire_owned().expect("room"),
        };
        let (_stop, stopping) = watch::channel(false);
        follower.serve(&log, stopping).await;
        assert_eq!(room.available_permits(), 1);
        let got = body.collect().await.expect("its parts").to_bytes();
        let got = String::from_utf8_lossy(&got).into_owned();
        let ids: Vec<&str> = got.lines().filter(|line| line.starts_with("id")).collect();
        assert_eq!(ids, ["id: 1", "id: 2", "id: 3", "id: 4"]);
    }
}
