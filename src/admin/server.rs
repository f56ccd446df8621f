//! The HTTP listener: one request per connection, and a bound on everything that a stranger can hold.
//!
//! It has a thread and a runtime of its own, so that scrapes take nothing from TCP queries and probes.
//! When `MAX_CONNECTIONS` are open, the oldest one makes room for the next, and first those whose change is
//! not being carried out: health checks and scrapes are done in milliseconds, and clients that are slow or silent
//! are the oldest. Clients that follow the events have a bound of their own, and no deadline.

use std::collections::VecDeque;
use std::io;
use std::net;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio::time::timeout;
use tower_service::Service as _;
use tracing::debug;

use crate::admin::api;
use crate::admin::site::Client;
use crate::admin::site::Site;

/// Connections at a time: some scrapers, some probers and some people.
const MAX_CONNECTIONS: usize = 64;

/// From the connection to the last octet of a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// For a whole connection; a reload of large databases has to fit in.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(60);

/// How long a client may leave an answer unread, in milliseconds.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// What the kernel may hold of an answer for a client, in octets.
const SEND_BUFFER: usize = 128 * 1024;

/// How long requests in progress may hold up the end.
const STOP_DEADLINE: Duration = Duration::from_secs(1);

/// The largest request head in octets; also what a connection may make us buffer.
const MAX_HEAD: usize = 16 * 1024;

/// Threads that render pages, of which there are four kinds, and count clients, for map and previews.
const MAX_RENDERERS: usize = 6;

/// Serves on a thread of its own until `stop` becomes true; the result comes to its end.
///
/// # Errors
/// If there is no thread or file descriptor to be had.
pub fn start(
    listener: net::TcpListener,
    site: Site,
    stop: watch::Receiver<bool>,
) -> io::Result<oneshot::Receiver<()>> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_RENDERERS)
        .thread_name("admin pages")
        .build()?;
    let listener = {
        let _entered = runtime.enter();
        TcpListener::from_std(listener)?
    };
    let (ended, end) = oneshot::channel();
    thread::Builder::new().name("admin".into()).spawn(move || {
        runtime.block_on(serve(listener, site, stop));
        runtime.shutdown_background();
        drop(ended);
    })?;
    Ok(end)
}

/// Answers HTTP until `stop` becomes true (or its sender is gone), and a second longer where a request
/// is in progress.
pub async fn serve(listener: TcpListener, site: Site, mut stop: watch::Receiver<bool>) {
    let router = api::router(site);
    let mut connections = Connections::default();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(_) = connections.tasks.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => connections.open(stream, address, &router, &stop),
                Err(error) => {
                    debug!(%error, "admin port: accept failed; retrying");
                    // Out of file descriptors, most likely: trying at once would only burn a core.
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    let _ = timeout(STOP_DEADLINE, async {
        while connections.tasks.join_next().await.is_some() {}
    })
    .await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The open connections.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    /// The oldest first.
    by_age: VecDeque<(AbortHandle, Client)>,
}

impl Connections {
    /// Serves one more; without room for it, the oldest is closed.
    fn open(
        &mut self,
        stream: TcpStream,
        address: SocketAddr,
        router: &Router,
        stop: &watch::Receiver<bool>,
    ) {
        self.by_age.retain(|(task, _)| !task.is_finished());
        let mut others: Vec<usize> = (0..self.by_age.len())
            .filter(|at| !self.by_age[*at].1.is_follower.load(Relaxed))
            .collect();
        if others.len() >= MAX_CONNECTIONS {
            // Changes may all wait for a disk that hangs: what is cut off then is the answer, not the change.
            let is_served = |at: &usize| self.by_age[*at].1.is_served.load(Relaxed);
            let oldest = others.iter().position(|at| !is_served(at)).unwrap_or(0);
            if let Some((task, _)) = self.by_age.remove(others.swap_remove(oldest)) {
                task.abort();
            }
        }
        let client = Client {
            address: address.ip(),
            is_served: Arc::default(),
            is_follower: Arc::default(),
            stop: stop.clone(),
        };
        let conversation = converse(stream, client.clone(), router.clone());
        let task = self.tasks.spawn(conversation);
        self.by_age.push_back((task, client));
    }
}

/// Answers one connection's one request.
async fn converse(stream: TcpStream, client: Client, router: Router) {
    if limit_unread(&stream).is_err() {
        return;
    }
    let (is_follower, mut stop) = (Arc::clone(&client.is_follower), client.stop.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(client.clone());
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        // Who has sent a request may close this direction and still gets an answer.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let deadline = async {
        sleep(CONNECTION_DEADLINE).await;
        while is_follower.load(Relaxed) {
            sleep(CONNECTION_DEADLINE).await;
        }
    };
    tokio::select! {
        _ = connection.as_mut() => return,
        () = deadline => return,
        () = stopped(&mut stop) => {}
    }
    // Its request is still answered, unless it takes longer than the server may take to stop.
    let _ = connection.await;
}

/// Has the kernel hold little for a client that does not read, and give up on it.
fn limit_unread(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_user_timeout(Some(READ_TIMEOUT))
}
