//! `serve` and `vantage`: everything started in order, supervised, and stopped in reverse.
//!
//! Configuration is judged before any socket is opened, so that a bad file is reported as such also while
//! another server holds the port. Queries are answered from the first moment with the verdicts of the
//! last run; readiness waits for the first round of probes.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::RwLock;
use std::thread;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::runtime;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::admin::auth::Access;
use crate::admin::server;
use crate::admin::site::Site;
use crate::admin::time::Utc;
use crate::base::diag::Report;
use crate::base::transport::Transport;
use crate::config::model::Process;
use crate::config::safety::OnFaultyStart;
use crate::daemon::admin_port;
use crate::daemon::admin_token;
use crate::daemon::announce::announce;
use crate::daemon::answering;
use crate::daemon::control::Control;
use crate::daemon::control::Events;
use crate::daemon::control::event::log_report;
use crate::daemon::control::evidence;
use crate::daemon::control::keeper::Keeper;
use crate::daemon::file_limit;
use crate::daemon::fleet_link;
use crate::daemon::geoip_update;
use crate::daemon::kept::Store;
use crate::daemon::kept::TakenFiles;
use crate::daemon::load::Loaded;
use crate::daemon::load::Loader;
use crate::daemon::load::kept;
use crate::daemon::log;
use crate::daemon::log_format;
use crate::daemon::memory::memory_sys;
use crate::daemon::memory::pages;
use crate::daemon::prober::prober;
use crate::daemon::saved;
use crate::daemon::saved_drills;
use crate::daemon::saved_events;
use crate::daemon::saved_sources;
use crate::fleet::nats::Role;
use crate::live::Addresses;
use crate::live::LastReload;
use crate::live::Live;
use crate::live::Owner;
use crate::live::RolledBack;
use crate::live::Start;
use crate::live::clock::Clock;
use crate::live::clock::unix;
use crate::live::events::event;
use crate::live::meters::Meters;
use crate::live::request::Request;
use crate::live::request::Requests;
use crate::querylog::QueryLog;
use crate::state::counters::Counters;
use crate::state::horizon::Horizons;
use crate::state::plan::Plan;
use crate::state::ramp::Ramps;
use crate::state::snapshot::Snapshot;
use crate::state::spills::Spills;
use crate::transport;
use crate::transport::Bound;
use crate::transport::TransportError;

/// How long answers that clients have not taken may hold up the end; the contract allows 5 s in all.
const STOP_DEADLINE: Duration = Duration::from_millis(2500);

/// How long the control loop, which saves state, and the admin API may hold up the end.
const LOOP_DEADLINE: Duration = Duration::from_millis(1500);

/// Finished probes that may wait for the control loop.
const OBSERVATIONS: usize = 4096;

/// Finished attempts to reach witnesses that may wait for it.
const WITNESS_OBSERVATIONS: usize = 64;

/// Files that are opened before the first query is answered: six by the runtime, four by the admin API's, and its
/// listener.
const FILES_AT_START: usize = 12;

/// Requests that may wait for it.
const REQUESTS: usize = 64;

/// Why the process ended, or never began.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The admin port cannot be opened.
    #[error("cannot listen on tcp {address}: {}", transport::advice(Transport::Tcp, *address, "[admin] listen", cause))]
    Admin {
        /// Which address.
        address: SocketAddr,
        /// The kernel's error.
        cause: io::Error,
    },
    /// The files are at fault.
    #[error("{0}")]
    Config(Report),
    /// The runtime or a signal handler cannot be had.
    #[error("cannot start; raise the limits of the process (`ulimit -a`)")]
    Start(#[from] io::Error),
    /// The DNS port cannot be opened, or a thread not started.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// Runs a server until SIGTERM or SIGINT; `running` is called once it answers.
///
/// # Errors
/// If it cannot start; once it runs, only signals end it.
pub fn run(path: &Path, role: Role, running: impl FnOnce(&Addresses)) -> Result<(), ServeError> {
    file_limit::raise();
    memory_sys::unmap_large_blocks();
    look_for_room()?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        // Before anything slow: SIGHUP would kill the process until then.
        let mut signals = Signals::install()?;
        let path = path.to_owned();
        // The thread that loads and saves from now on. It is never idle for so long that it would end, so
        // that work finds it, however short of threads the machine becomes.
        let starting = tokio::task::spawn_blocking(move || start(&path, role));
        tokio::select! {
            started = starting => serve(started.map_err(io::Error::from)??, signals, running).await,
            // What hangs, such as a dead network disk, is left behind.
            () = signals.end() => {
                info!("stopping before the server has started");
                Ok(())
            }
        }
    });
    // What still runs are probes and reads that nobody waits for.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// A server that is ready to answer.
struct Started {
    loader: Loader,
    /// What it was made from, if these are files to be kept.
    files: Option<TakenFiles>,
    live: Arc<Live>,
    owner: Owner,
    evidence: evidence::Start,
    bound: Bound,
    admin: Option<TcpListener>,
    /// The tokens that were read, if the files named any.
    access: Option<Access>,
}

/// Reads the files, opens the sockets and builds the first snapshot.
fn start(path: &Path, role: Role) -> Result<Started, ServeError> {
    let mut loader = Loader::new(path, n_shards)
        .with_role(role)
        .keeping_journals();
    let started = loader.start();
    let mut report = match &started {
        Ok(kept::Start::Sound(loaded)) => loaded.report.clone(),
        Ok(kept::Start::LastGood { faults, .. }) | Err(faults) => faults.clone(),
    };
    let process = loader.process();
    let access = process.map(|process| admin_token::read(process, &mut report));
    let Some(loaded) = startable(started, &report) else {
        return Err(ServeError::Config(report));
    };
    log_format::set(loaded.plan.config.process.log_format);
    log_report(&report);
    if let Some(rolled_back) = &loaded.rolled_back {
        log_rolled_back(rolled_back);
    }
    let process = &loaded.plan.config.process;
    let server = &process.server;
    let bound = transport::bind(&server.listen, server.workers)?.with_xdp(&server.xdp);
    let admin = match &process.admin {
        Some(admin) => {
            let address = admin.listen;
            let listener = admin_port::listen(address);
            Some(listener.map_err(|cause| ServeError::Admin { address, cause })?)
        }
        None => None,
    };
    let addresses = Addresses {
        dns: bound.addresses(),
        admin: admin
            .as_ref()
            .and_then(|listener| listener.local_addr().ok()),
    };
    let last_reload = LastReload {
        at: unix(),
        refused: report.has_errors(),
        report,
        rolled_back: loaded.rolled_back,
    };
    let (live, owner, evidence) = live(loaded.plan, last_reload, loaded.n_shards, addresses);
    memory_sys::return_free_pages();
    Ok(Started {
        loader,
        files: loaded.files,
        live,
        owner,
        evidence,
        bound,
        admin,
        access,
    })
}

/// What to start with; `None`: the faults of `report` keep the server from it.
fn startable(started: Result<kept::Start, Report>, report: &Report) -> Option<Loaded> {
    match started {
        Ok(kept::Start::Sound(loaded)) if !report.has_errors() => Some(loaded),
        // A faulty token only keeps changes out.
        Ok(kept::Start::Sound(loaded)) if has_copy(&loaded.plan.config.process) => Some(loaded),
        Ok(kept::Start::LastGood { loaded, copy, .. }) => {
            error!(
                copy = %copy.path.display(),
                accepted = %Utc(copy.accepted),
                "files are faulty: started from the last good copy; they are taken as soon as they \
                 are mended"
            );
            Some(loaded)
        }
        _ => None,
    }
}

fn log_rolled_back(rolled_back: &RolledBack) {
    let RolledBack {
        digest,
        accepted,
        by,
        ..
    } = rolled_back;
    warn!(
        %digest, accepted = %Utc(*accepted), %by,
        "rolled back: a kept configuration is served until the files on disk change or a reload is asked \
         for"
    );
}

/// Whether a server with these settings starts in spite of a fault.
fn has_copy(process: &Process) -> bool {
    process.safety.on_faulty_start == OnFaultyStart::LastGood
        && process
            .state_dir
            .as_deref()
            .is_some_and(|dir| Store::of(dir).current().is_some())
}

fn n_shards(process: &Process) -> usize {
    let server = &process.server;
    transport::n_shards(server.listen.len(), server.workers, &server.xdp)
}

async fn serve(
    started: Started,
    mut signals: Signals,
    running: impl FnOnce(&Addresses),
) -> Result<(), ServeError> {
    let Started { live, bound, .. } = started;
    let config = Arc::clone(&live.snapshots.current().plan.config);
    let (stop, stopping) = watch::channel(false);
    let (requests, requested) = mpsc::channel(REQUESTS);
    let query_log = answering::query_log(&live)?;
    let serving = bound.serve(
        &live.snapshots,
        &live.counters,
        answering::settings(&live, &requests, &query_log),
        &runtime::Handle::current(),
    )?;
    // Large tables are joined to huge pages while queries are answered.
    drop(tokio::task::spawn_blocking(pages::join));
    let (observed, observations) = mpsc::channel(OBSERVATIONS);
    let (witness_observed, witnessed) = mpsc::channel(WITNESS_OBSERVATIONS);
    let prober = prober(&live, observed, witness_observed);
    let (incoming, outbox) = fleet_link::start(&live, started.loader.role());
    let events = Events {
        observations,
        witnessed,
        requests: requested,
        incoming,
        outbox,
        stop: stopping.clone(),
    };
    let events_kept = tokio::spawn(saved_events::keep(Arc::clone(&live), stopping.clone()));
    let keeper = Keeper::start()?;
    if started.files.is_some() {
        keeper.keep(&config.process, started.files, || {});
    }
    let (mut owner, loader) = (started.owner, started.loader);
    let downloads = std::mem::take(&mut owner.downloads);
    geoip_update::start(&live, downloads, &requests, &stopping);
    let control = Control::start(
        Arc::clone(&live),
        owner,
        &started.evidence,
        prober,
        loader,
        keeper,
        events,
    );
    let admin = match started.admin {
        Some(listener) => start_admin(listener, started.access, &live, &requests, stopping)?,
        None => None,
    };
    announce(&live);
    running(&live.addresses);
    supervise(&mut signals, &requests, &query_log).await;
    live.events.push(event!(info, Stopping, [], [], "stopping"));
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    serving.stop(STOP_DEADLINE).await;
    stop.send_replace(true);
    let log_ended = tokio::task::spawn_blocking(|| query_log.stop(LOOP_DEADLINE));
    let _ = timeout(LOOP_DEADLINE, ended(control, events_kept, admin)).await;
    let _ = log_ended.await;
    Ok(())
}

/// Starts the admin API; the result comes to its end.
fn start_admin(
    listener: TcpListener,
    access: Option<Access>,
    live: &Arc<Live>,
    requests: &Requests,
    stop: watch::Receiver<bool>,
) -> io::Result<Option<oneshot::Receiver<()>>> {
    let config = Arc::clone(&live.snapshots.current().plan.config);
    let Some(admin) = &config.process.admin else {
        return Ok(None);
    };
    let site = Site {
        live: Arc::clone(live),
        requests: requests.clone(),
        access: admin_token::follow(&config.process, access)?,
        hosts: admin.hosts.clone(),
    };
    server::start(listener, site, stop).map(Some)
}

/// Waits for the control loop, the file of events and the admin API, which have been stopped.
async fn ended(
    control: JoinHandle<()>,
    events_kept: JoinHandle<()>,
    admin: Option<oneshot::Receiver<()>>,
) {
    // An error is an end as well.
    let _ = (control.await, events_kept.await);
    if let Some(admin) = admin {
        let _ = admin.await;
    }
}

/// The first snapshot, with the verdicts and overrides of the last run, for readers and for the owner.
fn live(
    plan: Arc<Plan>,
    last_reload: LastReload,
    n_shards: usize,
    addresses: Addresses,
) -> (Arc<Live>, Owner, evidence::Start) {
    let clock = Clock::start();
    let state_dir = plan.config.process.state_dir.as_deref();
    let state = state_dir.map(saved::read).unwrap_or_default();
    let mut sources = state_dir.map(saved_sources::read).unwrap_or_default();
    let events_before = state_dir.map(saved_events::read).unwrap_or_default();
    sources.follow(&plan.config.pools);
    let members = sources.membership(&plan.config.pools, &plan.config.process.safety);
    let mut health_table = evidence::health_table(&plan, &members);
    health_table.restore(&state.verdicts, clock.now());
    let mut start = evidence::Start {
        is_fresh: state.verdicts.endpoints.is_empty(),
        last_up: Arc::new(state.last_up),
        ramps: Ramps::resume(&state.ramps),
        horizons: Horizons::start(clock.now()),
        spills: Spills::resume(state.shares.clone()),
        members,
    };
    let evidence = evidence::of(&plan, &health_table, &state.overrides, &mut start);
    start.last_up = Arc::clone(&evidence.last_up);
    let drills = state_dir.map(saved_drills::read).unwrap_or_default();
    let first = Snapshot::build(plan, &evidence, 1, None);
    let (live, owner) = Live::start(Start {
        first: first.with_merged_tables(),
        counters: Arc::new(Counters::new(n_shards)),
        health_table,
        overrides: state.overrides,
        drills,
        sources,
        last_reload,
        events: events_before,
        meters: Meters {
            log_lines_dropped: log::dropped_lines(),
            ..Meters::new()
        },
        clock,
        addresses,
    });
    (live, owner, start)
}

/// The signals a server takes.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when the process is to end.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Returns when the process is to end; SIGHUP reloads, and opens the decision log anew.
async fn supervise(signals: &mut Signals, requests: &Requests, query_log: &QueryLog) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hang_up.recv() => {
                query_log.reopen();
                // The loop logs the result; nobody waits for the reply. Nor for a loop that hangs: SIGTERM
                // must still end the process.
                let (reply, _) = oneshot::channel();
                if requests.try_send(Request::Reload {
                    is_forced: false,
                    reply,
                }).is_err() {
                    warn!("SIGHUP ignored: too many requests wait for the control loop");
                }
            }
        }
    }
}

/// Fails where the runtime would panic: for want of the threads and files that it begins with.
fn look_for_room() -> io::Result<()> {
    let files = (0..FILES_AT_START).map(|_| File::open("/dev/null"));
    let _files: Vec<File> = files.collect::<io::Result<_>>()?;
    let n_threads = available_parallelism().map_or(1, usize::from) + 1;
    let gate = RwLock::new(());
    thread::scope(|scope| {
        // All must be there at once, so none ends before the last has begun.
        let closed = gate.write();
        let pass = || drop(gate.read());
        let threads = (0..n_threads).map(|_| thread::Builder::new().spawn_scoped(scope, pass));
        let started = threads.collect::<io::Result<Vec<_>>>().map(drop);
        drop(closed);
        started
    })
}
