//! The HTTP/1.1 exchange of a probe: one GET, whether the response is the expected one, and the load in it.
//!
//! Redirects are statuses like any other and are not followed. What is read is bounded, interim
//! responses and head in all, and the body as well; the probe's deadline limits how long either may
//! trickle. Heads are read leniently (folded lines, odd header names): whether an endpoint serves is
//! the question here, not whether its headers are well formed.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;
use std::task::Poll;

use http_body_util::BodyExt;
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header;
use hyper::header::HeaderMap;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::io::Take;

use crate::health::failure::Phase;
use crate::health::failure::ProbeFailure;
use crate::health::failure::VantageFault;
use crate::health::load::Load;
use crate::health::load::LoadSource;
use crate::health::load::NoLoad;
use crate::health::monitor::HttpCheck;
use crate::health::observation::LoadReading;
use crate::probe::deadline::Deadline;
use crate::probe::deadline::Missed;
use crate::probe::tls::tls_error;

/// The most octets that are read up to the end of the response's head; a readiness page needs a fraction
/// of it, and one behind a gateway with policies and cookies in its headers still fits.
const MAX_HEAD: usize = 64 * 1024;

/// The most header lines. The parser makes room for so many beforehand.
const MAX_HEADERS: usize = 1024;

/// How much of the body is searched for the expected text.
const MAX_BODY: usize = 64 * 1024;

/// How much of a content coding is repeated in a failure's reason.
const MAX_CODING: usize = 32;

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
        // A compressed body would not hold the expected text.
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| VantageFault::Local(format!("cannot make the request: {error}").into()))
}

/// Sends the request over a fresh connection and checks what comes back; returns the load that it has.
pub(super) async fn exchange<S>(
    stream: S,
    request: Request<Empty<Bytes>>,
    check: &HttpCheck,
    deadline: Deadline,
) -> Result<LoadReading, Missed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let has_head = Arc::new(AtomicBool::new(false));
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .handshake(TokioIo::new(HeadLimit {
            stream: stream.take(MAX_HEAD as u64),
            has_head: Arc::clone(&has_head),
        }))
        .await
        .map_err(|error| failure(&error, Phase::Head))?;
    let asking = async move {
        let response = deadline.within(Phase::Head, sender.send_request(request));
        let response = response
            .await?
            .map_err(|error| failure(&error, Phase::Head))?;
        has_head.store(true, Relaxed);
        let status = response.status().as_u16();
        let ranges = &check.expect_status;
        if !ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&status))
        {
            let expected = ranges.clone();
            return Err(ProbeFailure::Status { status, expected });
        }
        let (head, mut body) = response.into_parts();
        let (load, pointer) = match &check.load {
            Some(LoadSource::Header(name)) => (Some(of_header(&head.headers, name)), None),
            Some(LoadSource::Json(pointer)) => (None, Some(pointer)),
            None => (None, None),
        };
        let mut seen = Vec::new();
        if !check.expect_body.is_empty() {
            let search = find(&mut body, &mut seen, &check.expect_body);
            if let Search::Absent { is_cut } = deadline.within(Phase::Body, search).await?? {
                return Err(ProbeFailure::Body {
                    expected: check.expect_body.clone(),
                    coding: coding(&head.headers),
                    searched: is_cut.then_some(MAX_BODY),
                });
            }
        }
        if pointer.is_some() {
            // An endpoint that serves is up, whatever becomes of the load in its body.
            let reading = read_on(&mut body, &mut seen);
            let _ = deadline.within(Phase::Body, reading).await;
        }
        Ok(load.or_else(|| pointer.map(|pointer| Load::of_json(&seen, pointer))))
    };
    let mut asking = pin!(asking);
    tokio::select! {
        checked = &mut asking => return Ok(checked?),
        // Whatever has ended the connection also reaches the asking side, after all it had to read.
        _ = connection => {}
    }
    Ok(asking.await?)
}

/// Whether a body holds a text.
enum Search {
    Found,
    /// Not as far as it was read.
    Absent {
        /// Whether there was more to read.
        is_cut: bool,
    },
}

/// The load in a header.
fn of_header(headers: &HeaderMap, name: &str) -> Result<Load, NoLoad> {
    let value = headers.get(name).ok_or(NoLoad::Missing)?;
    let text = value.to_str().map_err(|_| NoLoad::Unreadable)?;
    Load::parse(text)
}

/// Reads the body to its end, or until it is too long.
async fn read_on(body: &mut Incoming, seen: &mut Vec<u8>) {
    while seen.len() < MAX_BODY
        && let Some(Ok(frame)) = body.frame().await
    {
        let data = frame.data_ref().map_or(&[][..], |data| data);
        let room = MAX_BODY - seen.len();
        seen.extend_from_slice(&data[..data.len().min(room)]);
    }
}

/// Reads the body until it holds the text, ends, or is too long.
async fn find(
    body: &mut Incoming,
    seen: &mut Vec<u8>,
    wanted: &str,
) -> Result<Search, ProbeFailure> {
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
            return Ok(Search::Found);
        }
        if seen.len() == MAX_BODY {
            return Ok(Search::Absent { is_cut: true });
        }
    }
    Ok(Search::Absent { is_cut: false })
}

/// The content coding of a body that is compressed all the same.
fn coding(headers: &HeaderMap) -> Option<Box<str>> {
    let value = headers.get(header::CONTENT_ENCODING)?.to_str().ok()?.trim();
    let is_coded = !value.is_empty() && !value.eq_ignore_ascii_case("identity");
    is_coded.then(|| value.chars().take(MAX_CODING).collect::<String>().into())
}

/// A stream that fails once more than [`MAX_HEAD`] octets have been read and the response's head is not
/// in: hyper passes over any number of interim responses.
struct HeadLimit<S> {
    stream: Take<S>,
    has_head: Arc<AtomicBool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadLimit<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_head.load(Relaxed) {
            self.stream.set_limit(u64::MAX);
        } else if self.stream.limit() == 0 {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HeadLimit<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_shutdown(cx)
    }
}

fn failure(error: &hyper::Error, phase: Phase) -> ProbeFailure {
    if error.is_parse_too_large() {
        return ProbeFailure::Protocol(HEAD_TOO_LARGE);
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
        io::ErrorKind::FileTooLarge => ProbeFailure::Protocol(HEAD_TOO_LARGE),
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset => ProbeFailure::Reset(phase),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            ProbeFailure::Protocol("response is not HTTP/1.1")
        }
        _ => ProbeFailure::Closed(phase),
    }
}

const HEAD_TOO_LARGE: &str = "response head is larger than 64 KiB or 1024 lines";

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
                load: None,
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
            load: None,
        };
        let endpoint = "192.0.2.1:80".parse().expect("an address");
        assert_eq!(
            request(&check, endpoint, 80).expect_err("no URI").label(),
            "local"
        );
    }
}
