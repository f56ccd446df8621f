//! `HeadLimit`: bounds what is read before a response's head is in.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;
use std::task::Poll;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::io::Take;

/// A stream that fails once too many octets have been read and the response's head is not
/// in: HTTP libraries pass over any number of interim responses.
pub(super) struct HeadLimit<S> {
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

/// Lifts the limit.
pub(super) struct Head(Arc<AtomicBool>);

impl Head {
    /// Notes that the response's head has been read.
    pub(super) fn is_in(&self) {
        self.0.store(true, Relaxed);
    }
}

impl<S: AsyncRead> HeadLimit<S> {
    /// A stream of which no head has been read, and at most so many octets may be before it is.
    pub(super) fn new(stream: S, limit: usize) -> (Self, Head) {
        let has_head = Arc::new(AtomicBool::new(false));
        let head = Head(Arc::clone(&has_head));
        let stream = stream.take(limit as u64);
        (Self { stream, has_head }, head)
    }
}
