//! HTTP/1.1 for probes: one request over a fresh connection.
//!
//! Heads are read leniently (folded lines, odd header names): whether an endpoint serves is the question
//! here, not whether its headers are well formed.

use std::error::Error;
use std::io;
use std::pin::pin;

use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

use crate::health::failure::Phase;
use crate::health::failure::ProbeFailure;
use crate::health::monitor::HttpCheck;
use crate::health::observation::LoadReading;
use crate::probe::deadline::Deadline;
use crate::probe::deadline::Missed;
use crate::probe::head_limit::HeadLimit;
use crate::probe::http::MAX_HEAD;
use crate::probe::http::judge;
use crate::probe::tls::tls_error;

/// The most header lines. The parser makes room for so many beforehand.
const MAX_HEADERS: usize = 1024;

/// Sends the request over a fresh connection and checks what comes back; returns the load that it has.
pub(super) async fn exchange<S>(
    stream: S,
    request: Request<()>,
    check: &HttpCheck,
    deadline: Deadline,
) -> Result<LoadReading, Missed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (stream, head) = HeadLimit::new(stream, MAX_HEAD);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failure(&error, Phase::Head))?;
    let asking = async move {
        let request = request.map(|()| Empty::<Bytes>::new());
        let response = deadline.within(Phase::Head, sender.send_request(request));
        let response = response
            .await?
            .map_err(|error| failure(&error, Phase::Head))?;
        head.is_in();
        judge(response, check, deadline, failure).await
    };
    let mut asking = pin!(asking);
    tokio::select! {
        checked = &mut asking => return Ok(checked?),
        // Whatever has ended the connection also reaches the asking side, after all it had to read.
        _ = connection => {}
    }
    Ok(asking.await?)
}

fn failure(error: &hyper::Error, phase: Phase) -> ProbeFailure {
    if error.is_parse_too_large() {
        return ProbeFailure::Protocol(HEAD_TOO_LARGE.into());
    }
    if error.is_parse() {
        return ProbeFailure::Protocol(NOT_HTTP1.into());
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return io_failure(error, phase);
        }
        source = cause.source();
    }
    ProbeFailure::Closed(phase)
}

fn io_failure(error: &io::Error, phase: Phase) -> ProbeFailure {
    if let Some(error) = tls_error(error) {
        return ProbeFailure::Tls(error.to_string().into());
    }
    match error.kind() {
        io::ErrorKind::FileTooLarge => ProbeFailure::Protocol(HEAD_TOO_LARGE.into()),
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset => ProbeFailure::Reset(phase),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            ProbeFailure::Protocol(NOT_HTTP1.into())
        }
        _ => ProbeFailure::Closed(phase),
    }
}

const NOT_HTTP1: &str = "response is not HTTP/1.1";
const HEAD_TOO_LARGE: &str = "response head is larger than 64 KiB or 1024 lines";
