//! `demo`: everything on loopback, with four regions to switch off and on.
//!
//! The backends are small HTTP servers on addresses of their own; the server is the one of `serve`, run
//! on files in a folder that goes when the demo ends. Nothing about it is faked: what the demo prints
//! are commands to type.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use anyhow::Context;
use anyhow::Result;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use axum::routing::post;

use crate::cli::out;
use crate::cli::out::Color;
use crate::daemon::log::Log;
use crate::daemon::serve;
use crate::fleet::nats::Role;
use crate::live::Addresses;

/// Where the demo listens.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// DNS over UDP and TCP
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5300")]
    listen: SocketAddr,
    /// HTTP: status page, metrics and API
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9353")]
    admin: SocketAddr,
}

/// One region: its pool's name, its place, its backend's address, and a client that is near it.
struct Region {
    pool: &'static str,
    location: &'static str,
    address: Ipv4Addr,
    client: &'static str,
    client_is_in: &'static str,
}

const REGIONS: [Region; 4] = [
    Region {
        pool: "us-west",
        location: "[45.60, -121.18]",
        address: Ipv4Addr::new(127, 0, 1, 1),
        client: "8.8.8.0/24",
        client_is_in: "the United States",
    },
    Region {
        pool: "europe-west",
        location: "[50.45, 3.82]",
        address: Ipv4Addr::new(127, 0, 1, 2),
        client: "90.63.0.0/24",
        client_is_in: "France",
    },
    Region {
        pool: "asia-northeast",
        location: "[35.69, 139.69]",
        address: Ipv4Addr::new(127, 0, 1, 3),
        client: "126.0.0.0/24",
        client_is_in: "Japan",
    },
    Region {
        pool: "southamerica-east",
        location: "[-23.55, -46.63]",
        address: Ipv4Addr::new(127, 0, 1, 4),
        client: "200.160.0.0/24",
        client_is_in: "Brazil",
    },
];

/// The backends' port, if it is free everywhere; the operator's own things on it are left alone.
const USUAL_PORT: u16 = 8081;

/// How often another port is tried for all backends.
const PORT_ATTEMPTS: usize = 20;

/// Runs the demo until Ctrl-C.
pub fn run(options: &Options, color: Color) -> Result<ExitCode> {
    let _log = Log::start(color.on_stderr()).context("cannot start the logger")?;
    let (backends, port) = backends()?;
    let folder = tempfile::tempdir().context("cannot make a folder for the demo's files")?;
    let config = folder.path().join("meridian.toml");
    fs::create_dir(folder.path().join("zones"))?;
    fs::write(folder.path().join("zones/example.com.zone"), ZONE)?;
    fs::write(folder.path().join("pools.toml"), pools(port))?;
    fs::write(&config, process(options))?;
    thread::Builder::new()
        .name("backends".into())
        .spawn(move || serve_backends(backends))?;
    serve::run(&config, Role::NameServer, |addresses| {
        // The log has started on stderr; a closed stdout is no reason to stop.
        let _ = out::print(&what_to_try(addresses, port, &config.display().to_string()));
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A listener for each region, all on one port, since a monitor has one.
fn backends() -> Result<(Vec<TcpListener>, u16)> {
    let mut last_error = None;
    for attempt in 0..PORT_ATTEMPTS {
        let mut port = if attempt == 0 { USUAL_PORT } else { 0 };
        let mut listeners = Vec::new();
        for region in &REGIONS {
            match TcpListener::bind((region.address, port)) {
                Ok(listener) => {
                    port = listener.local_addr()?.port();
                    listeners.push(listener);
                }
                Err(error) => {
                    last_error = Some(error);
                    break;
                }
            }
        }
        if listeners.len() == REGIONS.len() {
            return Ok((listeners, port));
        }
    }
    let error = last_error.unwrap_or_else(|| std::io::Error::other("no port"));
    Err(error).context("cannot listen on 127.0.1.1 to 127.0.1.4 for the backends")
}

/// Serves all backends on this thread.
fn serve_backends(listeners: Vec<TcpListener>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        out::complain("the backends cannot start");
        return;
    };
    runtime.block_on(async {
        let mut running = Vec::new();
        for (listener, region) in listeners.into_iter().zip(&REGIONS) {
            let listener = listener
                .set_nonblocking(true)
                .and_then(|()| tokio::net::TcpListener::from_std(listener));
            match listener {
                Ok(listener) => running.push(tokio::spawn(async move {
                    axum::serve(listener, backend(region.pool)).await
                })),
                Err(error) => out::complain(&format!("backend {}: {error}", region.pool)),
            }
        }
        for backend in running {
            let _ = backend.await;
        }
    });
}

/// One region's application: ready until it is switched off.
fn backend(pool: &'static str) -> Router {
    let fails = Arc::new(AtomicBool::new(false));
    let (failing, recovering) = (Arc::clone(&fails), Arc::clone(&fails));
    let ready = move || async move {
        match fails.load(Relaxed) {
            true => (StatusCode::SERVICE_UNAVAILABLE, "failing\n"),
            false => (StatusCode::OK, "ready\n"),
        }
    };
    let fail = move || async move {
        failing.store(true, Relaxed);
        format!("{pool} fails from now on\n")
    };
    let recover = move || async move {
        recovering.store(false, Relaxed);
        format!("{pool} is ready again\n")
    };
    Router::new()
        .route("/", get(move || async move { format!("this is {pool}\n") }))
        .route("/_ready", get(ready))
        .route("/_fail", post(fail))
        .route("/_recover", post(recover))
}

const ZONE: &str = "\
$TTL 1h
@     SOA  ns1 hostmaster 1 1h 15m 1w 5m
      NS   ns1
ns1   A    127.0.0.1
www   CNAME app
";

fn process(options: &Options) -> String {
    let Options { listen, admin } = options;
    format!(
        "zones = \"zones\"\npools = \"pools.toml\"\n\
         [server]\nlisten = [\"{listen}\"]\n[admin]\nlisten = \"{admin}\"\n\
         [geoip]\nmax_age = \"3650d\"\n[health]\nvantage = \"demo\"\n"
    )
}

fn pools(port: u16) -> String {
    let mut text = format!(
        "[monitor.ready]\ntype = \"http\"\nport = {port}\npath = \"/_ready\"\n\
         interval = \"1s\"\ntimeout = \"800ms\"\n"
    );
    for Region {
        pool,
        location,
        address,
        ..
    } in &REGIONS
    {
        let _ = write!(
            text,
            "[pool.{pool}]\nlocation = {location}\nendpoints = [\"{address}\"]\n\
             monitor = \"ready\"\n"
        );
    }
    let names: Vec<String> = REGIONS
        .iter()
        .map(|region| format!("\"{}\"", region.pool))
        .collect();
    let _ = write!(
        text,
        "[steer.\"app.example.com\"]\npools = [{}]\n",
        names.join(", ")
    );
    text
}

fn what_to_try(addresses: &Addresses, port: u16, config: &str) -> String {
    let dns = addresses.dns.first().map_or_else(String::new, |dns| {
        format!("@{} -p {}", dns.ip(), dns.port())
    });
    let mut text = String::from("\nMeridian answers app.example.com for four regions:\n\n");
    for Region { pool, address, .. } in &REGIONS {
        let _ = writeln!(text, "  {pool:<18} http://{address}:{port}/_ready");
    }
    text.push_str("\nAsk as a client in …\n\n");
    for Region {
        client,
        client_is_in,
        ..
    } in &REGIONS
    {
        let _ = writeln!(
            text,
            "  dig {dns} app.example.com +short +subnet={client:<15} # {client_is_in}"
        );
    }
    let europe = format!("http://{}:{port}", REGIONS[1].address);
    let program =
        std::env::current_exe().map_or("meridian".into(), |path| path.display().to_string());
    let (client, subnet) = (REGIONS[1].client_is_in, REGIONS[1].client);
    let _ = write!(
        text,
        "\nSwitch Europe off, ask again three seconds later, and switch it on:\n\n  \
         curl -X POST {europe}/_fail\n  \
         dig {dns} app.example.com +short +subnet={subnet}\n  \
         curl -X POST {europe}/_recover\n\n\
         Why does {client} get that answer?\n\n  \
         {program} -c {config} explain app.example.com --client {subnet} --live\n"
    );
    if let Some(admin) = addresses.admin {
        let _ = write!(
            text,
            "\nWatch: http://{admin}/ (status), http://{admin}/metrics\n\nCtrl-C ends it.\n\n"
        );
    }
    text
}
