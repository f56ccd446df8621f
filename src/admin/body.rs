//! The parts of a call that changes something: the pool in its path, and its body.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::admin::failure::Failure;

/// The largest body that is read, in octets.
const MAX_BODY: usize = 64 * 1024;

/// How much more of a larger body is read and thrown away, so that the client comes to read the answer.
const MAX_DISCARDED: usize = 16 * MAX_BODY;

/// For a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The pool that a path names.
pub(super) fn pool_name(pool: Result<Path<String>, PathRejection>) -> Result<String, Failure> {
    match pool {
        Ok(Path(pool)) => Ok(pool),
        Err(rejection) => Err(Failure::bad(rejection.body_text())),
    }
}

/// Reads a whole body within its limits of time and size.
pub(super) async fn read_body(body: Body) -> Result<Vec<u8>, Failure> {
    read_body_of(body, MAX_BODY).await
}

/// The same for a body of at most so many octets.
pub(super) async fn read_body_of(mut body: Body, max_len: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let reading = async {
        let mut len = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Failure::bad("the body ends too early"))?;
            let data = frame.into_data().unwrap_or_default();
            len += data.len();
            if len <= max_len {
                bytes.extend_from_slice(&data);
            } else if len > max_len + MAX_DISCARDED {
                break;
            }
        }
        match len <= max_len {
            true => Ok(()),
            false => Err(Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is too large, expected at most {max_len} octets"),
            )),
        }
    };
    match timeout(BODY_TIMEOUT, reading).await {
        Ok(result) => result.map(|()| bytes),
        Err(_) => Err(Failure::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )),
    }
}
