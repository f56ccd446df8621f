//! The HTTP/1.1 exchange of a probe: one GET, and whether the response is the expected one.
//!
//! Redirects are statuses like any other and are not followed. Head and body are limited in size,
//! and the probe's deadline limits how long either may trickle.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use http_body_util::BodyExt;
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

use crate::health::failure::Phase;
use crate::health::failure::ProbeFailure;
use crate::health::failure::VantageFault;
use crate::health::monitor::HttpCheck;
use crate::probe::Deadline;
use crate::probe::Missed;
use crate::probe::tls::tls_error;

/// The largest response head; a readiness page needs a fraction of it.
const MAX_HEAD: usize = 16 * 1024;

/// How much of the body is searched for the expected text.
const MAX_BODY: usize = 64 * 1024;

/// Builds the request. The Host header is the monitor's, else the endpoint's address, with the port
/// where it is not the scheme's own (RFC 9110 s7.2).
pub(super) fn request(
    check: &HttpCheck,
    endpoint: SocketAddr,
    default_port: u16,
) -> Result<Request<Empty<Bytes>>, VantageFault> {
    let host = match (&check.host, endpoint) {
        (Some(host), _) => host.to_string(),
        (None, SocketAddr::V6(v6)) if v6.port() == default_port => format!("[{}]", v6.ip()),
        (None, _) if endpoint.port() == default_port => endpoint.ip().to_string(),
        (None, _) => endpoint.to_string(),
    };
    Request::get(&*check.path)
        .header(header::HOST, host)
        .header(
            header::USER_AGENT,
            concat!("meridian/", env!("CARGO_PKG_VERSION")),
        )
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| VantageFault::Local(format!("cannot make the request: {error}").into()))
}

/// Sends the request over a fresh connection and checks what comes back.
pub(super) async fn exchange<S>(
    stream: S,
    request: Request<Empty<Bytes>>,
    check: &HttpCheck,
    deadline: Deadline,
) -> Result<(), Missed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failure(&error, Phase::Head))?;
    let asking = async move {
        let response = deadline.within(Phase::Head, sender.send_request(request));
        let response = response
            .await?
            .map_err(|error| failure(&error, Phase::Head))?;
        let status = response.status().as_u16();
        let ranges = &check.expect_status;
        if !ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&status))
        {
            let expected = ranges.clone();
            return Err(ProbeFailure::Status { status, expected });
        }
        if check.expect_body.is_empty() {
            return Ok(());
        }
        let search = find(response.into_body(), &check.expect_body);
        deadline.within(Phase::Body, search).await?
    };
    let mut asking = pin!(asking);
    tokio::select! {
        checked = &mut asking => return Ok(checked?),
        // Whatever has ended the connection also reaches the asking side, after all it had to read.
        _ = connection => {}
    }
    Ok(asking.await?)
}

/// Reads the body until it holds the text, ends, or is too long.
async fn find(mut body: Incoming, wanted: &str) -> Result<(), ProbeFailure> {
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failure(&error, Phase::Body))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        // The text may begin in the frame before.
        let searched = seen.len().saturating_sub(wanted.len() - 1);
        let room = MAX_BODY - seen.len();
        seen.extend_from_slice(&data[..data.len().min(room)]);
        if seen[searched..]
            .windows(wanted.len())
            .any(|w| w == wanted.as_bytes())
        {
            return Ok(());
        }
        if seen.len() == MAX_BODY {
            break;
        }
    }
    Err(ProbeFailure::Body(wanted.into()))
}

fn failure(error: &hyper::Error, phase: Phase) -> ProbeFailure {
    if error.is_parse_too_large() {
        return ProbeFailure::Protocol("response head is too large");
    }
    if error.is_parse() {
        return ProbeFailure::Protocol("response is not HTTP/1.1");
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
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset => ProbeFailure::Reset(phase),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            ProbeFailure::Protocol("response is not HTTP/1.1")
        }
        _ => ProbeFailure::Closed(phase),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_header_is_the_monitors_or_the_address() {
        for (host, endpoint, default_port, expected) in [
            (
                Some("app.example.com"),
                "192.0.2.1:8081",
                80,
                "app.example.com",
            ),
            (None, "192.0.2.1:80", 80, "192.0.2.1"),
            (None, "192.0.2.1:80", 443, "192.0.2.1:80"),
            (None, "[2001:db8::1]:443", 443, "[2001:db8::1]"),
            (None, "[2001:db8::1]:8081", 80, "[2001:db8::1]:8081"),
        ] {
            let check = HttpCheck {
                path: "/_ready?deep=1".into(),
                host: host.map(Into::into),
                expect_status: Box::default(),
                expect_body: "".into(),
            };
            let endpoint = endpoint.parse().expect("an address");
            let request = request(&check, endpoint, default_port).expect("a request");
            assert_eq!(request.uri(), "/_ready?deep=1");
            assert_eq!(request.headers()[header::HOST], expected);
        }
    }

    #[test]
    fn a_request_that_cannot_be_made_is_our_fault() {
        let check = HttpCheck {
            path: "/a b".into(),
            host: None,
            expect_status: Box::default(),
            expect_body: "".into(),
        };
        let endpoint = "192.0.2.1:80".parse().expect("an address");
        assert_eq!(
            request(&check, endpoint, 80).expect_err("no URI").label(),
            "local"
        );
    }
}
