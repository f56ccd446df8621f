//! Policy latency from measurement to answer: logs and beacons, `meridian latency import`, the table, reloads.

use std::fs;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;

use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::JAPAN;
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::still_world;
use crate::secondaries::Peer;
use crate::secondaries::free_address;
use crate::secondaries::program;
use crate::secondaries::start;

const APP: &str = "app.example.com.";

/// The usual pools, by latency.
fn by_latency(block: u8) -> String {
    still_world(block).replace(
        "[steer.\"app.example.com\"]\n",
        "[steer.\"app.example.com\"]\npolicy = \"latency\"\n",
    )
}

fn folder(block: u8) -> Folder {
    let folder = Folder::usual(&by_latency(block), "[geoip]\nlatency = \"latency.csv\"\n");
    folder.write("latency.csv", "key,pool,rtt_ms\n");
    folder
}

#[test]
fn clients_go_where_the_table_says_and_a_bad_table_changes_nothing() {
    let server = folder(60).serve();
    server.moves_to(APP, FRANCE, "127.0.60.2");
    server.folder.write(
        "latency.csv",
        "key,pool,rtt_ms,samples\nFR,us,9,20\nFR,eu,80,20\nJP,us,1,9\nIT,gone,1,20\n",
    );
    server.moves_to(APP, FRANCE, "127.0.60.1");
    let (_, status) = http(server.admin, "GET", "/api/v1/status");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let latency = &status["latency"];
    assert_eq!(
        (&latency["rows"], &latency["too_few"]),
        (&4.into(), &1.into()),
        "{latency}"
    );
    let path = format!("/api/v1/explain?name={APP}&client={FRANCE}");
    let (_, explained) = http(server.admin, "GET", &path);
    let explained: serde_json::Value = serde_json::from_str(&explained).expect("JSON");
    let first = &explained["candidates"][0];
    assert_eq!(
        (
            &first["pool"],
            &first["rtt_ms"],
            &first["rtt_from"],
            &first["rtt_samples"]
        ),
        (&"us".into(), &9.0.into(), &"FR".into(), &20.into()),
        "{first}"
    );
    // Not better by 10 ms: France stays, though by the times alone it would go back.
    server.folder.write(
        "latency.csv",
        "key,pool,rtt_ms,samples\nFR,us,9,20\nFR,eu,1,20\nJP,jp,90,20\nJP,eu,1,20\n",
    );
    server.moves_to(APP, JAPAN, "127.0.60.2");
    assert_eq!(server.steer(APP, FRANCE)[0].to_string(), "127.0.60.1");
    server
        .folder
        .write("latency.csv", "key,pool,rtt_ms\nFR,us,fast\n");
    eventually("the fault", || {
        server
            .log()
            .contains("latency.csv:2:7: `fast` is not a time")
            .then_some(())
    });
    assert_eq!(server.steer(APP, FRANCE)[0].to_string(), "127.0.60.1");
}

#[test]
fn logs_become_a_table() {
    let folder = folder(61);
    folder.write(
        "access.log",
        "time=1700000000.5 client=192.0.2.1 rtt_us=12000 server=127.0.61.2\n\
         time=1700000001.5 client=192.0.2.9 rtt_us=14000 server=127.0.61.2\n\
         time=1700000001.5 client=unix: rtt_us=- server=-\n\
         time=1700000001.5 client=192.0.2.9 rtt_us=14000 server=192.0.2.99\n\
         nonsense\n",
    );
    folder.write(
        "beacon.log",
        "{\"time\":1700000002.1,\"client\":\"2001:db8:1:2::3\",\"beacon\":\"{\\\"rtt\\\":{\\\"us\\\":[20.5]}}\"}\n",
    );
    // What is to be replaced, as a shell leaves it, is not looked at.
    folder.write("latency.csv", "");
    let output = folder.meridian(&["latency", "import", "access.log", "beacon.log"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(
        out,
        "key,pool,rtt_ms,samples,measured\n\
         192.0.2.0/24,eu,12,2,2023-11-14T22:13:21Z\n\
         2001:db8:1::/56,us,20.5,1,2023-11-14T22:13:22Z\n"
    );
    assert!(
        err.contains("access.log:4: 192.0.2.99 is the address of no endpoint"),
        "{err}"
    );
    assert!(err.contains("access.log:5: has no client="), "{err}");
    assert!(
        err.contains("3 samples, 1 lines without a time, 2 lines at fault"),
        "{err}"
    );

    let output = folder.meridian(&["latency", "import", "--by", "country", "access.log"]);
    assert!(
        !output.status.success(),
        "documentation addresses are in no country"
    );
    folder.write(
        "fr.log",
        format!(
            "client={} rtt_ms=7 pool=us\n",
            FRANCE.trim_end_matches("0/24").to_owned() + "7"
        ),
    );
    let output = folder.meridian(&["latency", "import", "--by", "country", "fr.log"]);
    assert_eq!(
        text(&output.stdout),
        "key,pool,rtt_ms,samples,measured\nFR,us,7,1,\n"
    );
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file of `deploy/rum`, with the paths of a test's folder.
fn rum(folder: &Folder, name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/rum");
    let text = fs::read_to_string(path.join(name)).expect(name);
    [
        ("/run/nginx-beacon.sock", "sock"),
        ("/var/log/nginx/beacon.log", "beacon.log"),
    ]
    .into_iter()
    .fold(text, |text, (path, name)| {
        text.replace(path, &folder.path(name).to_string_lossy())
    })
}

/// The settings of one nginx that is the site, the collector and both pools.
fn write_site(folder: &Folder, address: SocketAddr) {
    let pools =
        "https://us-west.example.com/rtt\", \"europe-west\": \"https://europe-west.example.com/rtt";
    let page = rum(folder, "beacon.html");
    assert!(page.contains(pools), "{page}");
    let here = format!(
        "http://{address}/rtt\", \"europe-west\": \"http://localhost:{}/rtt",
        address.port()
    );
    folder
        .write("www/beacon.html", page.replace(pools, &here))
        .write("www/beacon.js", rum(folder, "beacon.js"));
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path temporary;\n"))
        .collect();
    folder.write(
        "nginx.conf",
        format!(
            "pid nginx.pid;\nerror_log stderr;\ndaemon off;\nmaster_process off;\nevents {{}}\nhttp {{\n\
             {temporary}access_log off;\ntypes {{ text/html html; text/javascript js; }}\n{}\n\
             server {{\nlisten {address};\nroot www;\n{}\n{}\n}}\n}}\n",
            rum(folder, "collector-http.conf"),
            rum(folder, "pool.conf"),
            rum(folder, "collector.conf"),
        ),
    );
}

/// A browser that opens a page.
fn browse(chromium: &Path, folder: &Folder, page: &str) -> Peer {
    let profile = format!("--user-data-dir={}", folder.path("profile").display());
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--remote-debugging-port=0",
        &profile,
        page,
    ];
    start(chromium, &arguments, &folder.path("."))
}

/// The page of `deploy/rum` in a real browser, collected by a real nginx.
#[test]
fn a_browser_measures_pools_and_its_beacon_is_read() {
    let (Some(nginx), Some(chromium)) = (program("nginx"), program("chromium")) else {
        return;
    };
    let folder = Folder::new();
    let address = free_address();
    write_site(&folder, address);
    let root = folder.path(".").to_string_lossy().into_owned();
    let config = folder.path("nginx.conf").to_string_lossy().into_owned();
    let _server = start(&nginx, &["-p", &root, "-c", &config], &folder.path("."));
    eventually("nginx", || TcpStream::connect(address).ok());
    let _browser = browse(&chromium, &folder, &format!("http://{address}/beacon.html"));
    eventually("a beacon", || {
        let log = fs::read_to_string(folder.path("beacon.log")).ok()?;
        log.ends_with('\n').then_some(())
    });
    let output = folder.meridian(&["latency", "import", "beacon.log"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 3, "{out}{err}");
    for (row, pool) in rows[1..].iter().zip(["europe-west", "us-west"]) {
        assert_eq!((row[0], row[1]), ("127.0.0.0/24", pool), "{out}");
        let rtt: f64 = row[2].parse().expect("a time");
        assert!(rtt > 0.0 && rtt < 5_000.0, "{out}");
        // Browsers round to 0.1 ms, and what comes out as nothing is left out.
        let samples: u32 = row[3].parse().expect("a count");
        assert!((1..=5).contains(&samples), "{out}");
    }
}
