//! HTTP/2 for probes: one request over a fresh connection.

use std::io;
use std::pin::Pin;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use h2::Reason;
use h2::RecvStream;
use h2::client;
use hyper::Request;
use hyper::Response;
use hyper::body::Body;
use hyper::body::Bytes;
use hyper::body::Frame;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

use crate::health::failure::Phase;
use crate::health::failure::ProbeFailure;
use crate::probe::deadline::Deadline;
use crate::probe::deadline::Missed;
use crate::probe::head_limit::HeadLimit;
use crate::probe::http::MAX_HEAD;

/// The most octets that are read before the response's head is noticed. A server may send as much of the
/// body as its window allows (64 KiB, in many small frames) right behind the head.
const MAX_READ: usize = 4 * MAX_HEAD;

/// Sends a request with this body over a fresh connection, and has `judge` check what comes back.
///
/// The connection is driven here, not by a task of its own, so that it ends with the probe.
pub(super) async fn exchange<S, F, R, T>(
    stream: S,
    request: Request<()>,
    body: Bytes,
    deadline: Deadline,
    judge: F,
) -> Result<T, Missed>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnOnce(Response<Incoming>) -> R,
    R: Future<Output = Result<T, ProbeFailure>>,
{
    let head_failure = |error: h2::Error| failure(&error, Phase::Head);
    let (stream, head) = HeadLimit::new(stream, MAX_READ);
    let handshake = client::Builder::new()
        .enable_push(false)
        .max_header_list_size(MAX_HEAD as u32)
        .handshake::<_, Bytes>(stream);
    let handshake = deadline.within(Phase::Head, handshake).await?;
    let (sender, connection) = handshake.map_err(head_failure)?;
    let asking = async move {
        let mut sender = sender.ready().await.map_err(head_failure)?;
        let is_empty = body.is_empty();
        let sent = sender.send_request(request, is_empty);
        let (response, mut stream) = sent.map_err(head_failure)?;
        if !is_empty {
            stream.send_data(body, true).map_err(head_failure)?;
        }
        let response = deadline.within(Phase::Head, response).await?;
        let response = response.map_err(head_failure)?;
        head.is_in();
        judge(response.map(Incoming)).await
    };
    let mut asking = pin!(asking);
    let ended = tokio::select! {
        checked = &mut asking => return Ok(checked?),
        ended = connection => ended,
    };
    // The end of the connection also reaches the asking side, after all it had to read, but without the reason
    // that the server gave for it.
    match (asking.await, ended) {
        (Err(ProbeFailure::Closed(phase)), Err(error)) => Err(failure(&error, phase).into()),
        (checked, _) => Ok(checked?),
    }
}

/// The body of a response.
pub(super) struct Incoming(RecvStream);

impl Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let stream = &mut self.0;
        if let Some(data) = ready!(stream.poll_data(cx)) {
            let released = |data: Bytes| {
                stream.flow_control().release_capacity(data.len())?;
                Ok(Frame::data(data))
            };
            return Poll::Ready(Some(data.and_then(released)));
        }
        let trailers = ready!(stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|t| t.map(Frame::trailers)).transpose())
    }
}

/// What an error says of the endpoint.
pub(super) fn failure(error: &h2::Error, phase: Phase) -> ProbeFailure {
    if let Some(error) = error.get_io() {
        return match error.kind() {
            io::ErrorKind::FileTooLarge => {
                ProbeFailure::Protocol("response head is larger than 64 KiB".into())
            }
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => {
                ProbeFailure::Reset(phase)
            }
            // Only TLS has its own errors in this form, of which h2 keeps the text.
            io::ErrorKind::InvalidData => ProbeFailure::Tls(error.to_string().into()),
            // A broken pipe is what h2 calls a connection that is closed.
            _ => ProbeFailure::Closed(phase),
        };
    }
    let Some(reason) = error.reason() else {
        return ProbeFailure::Closed(phase);
    };
    let what = reason.description();
    ProbeFailure::Protocol(match error.is_remote() {
        true if error.is_reset() => format!("HTTP/2 stream reset by the server: {what}").into(),
        true => format!("HTTP/2 connection ended by the server: {what}").into(),
        // A head that is too large has no code of its own.
        false if error.is_reset() && reason == Reason::PROTOCOL_ERROR => {
            "response is malformed, or its head is larger than 64 KiB".into()
        }
        // A line of text, read as the head of a frame, has an enormous length.
        false if phase == Phase::Head && reason == Reason::FRAME_SIZE_ERROR => {
            "response is not HTTP/2, but perhaps HTTP/1.1".into()
        }
        false => format!("response is not valid HTTP/2: {what}").into(),
    })
}
