//! The HTTP listener: one request per connection, and a bound on everything that a stranger can hold.
//!
//! A connection costs a seat, and there are `MAX_CONNECTIONS`; who comes later waits in the kernel's
//! queue. Each has to be done with its head and with its body within seconds, and with everything
//! within `CONNECTION_DEADLINE`, so that seats come free however slow or silent their holders are.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio::time::timeout;
use tower_service::Service as _;
use tracing::debug;

use crate::admin::api;
use crate::admin::auth::Token;
use crate::live::Live;
use crate::live::request::Requests;

/// Connections at a time: some scrapers, some probers and some people.
const MAX_CONNECTIONS: usize = 64;

/// From the connection to the last octet of a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// For a whole connection; a reload of large databases has to fit in.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(60);

/// How long requests in progress may hold up the end.
const STOP_DEADLINE: Duration = Duration::from_secs(1);

/// The largest request head in octets; also what a connection may make us buffer.
const MAX_HEAD: usize = 16 * 1024;

/// Answers HTTP until `stop` becomes true (or its sender is gone), and a second longer where a request
/// is in progress.
pub async fn serve(
    listener: TcpListener,
    live: Arc<Live>,
    requests: Requests,
    token: Option<Token>,
    mut stop: watch::Receiver<bool>,
) {
    let router = api::router(live, requests, token);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(converse(stream, peer, router.clone(), stop.clone()));
                }
                Err(error) => {
                    debug!(%error, "accept on the admin port");
                    // Out of file descriptors, most likely: trying at once would only burn a core.
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    let _ = timeout(STOP_DEADLINE, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Answers one connection's one request.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(api::Peer(peer.ip()));
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(timeout(CONNECTION_DEADLINE, connection));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stopped(&mut stop) => {}
    }
    // Its request is still answered, unless it takes longer than the server may take to stop.
    let _ = connection.await;
}
