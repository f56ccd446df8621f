//! The status page in a headless Chromium: `tests/page/flows.js` is the reader.

use std::env;
use std::io::BufRead as _;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use crate::harness::Backends;
use crate::harness::Folder;
use crate::harness::Mood;
use crate::harness::world;

/// Whether there is what it takes.
fn is_browser_there(flows: &Path) -> bool {
    let node = Command::new("node").arg("--version").output();
    let missing = [
        (
            !Path::new("/usr/bin/chromium").is_file(),
            "Debian's chromium",
        ),
        (node.is_err(), "node"),
        (
            !flows.join("node_modules").is_dir(),
            "`npm ci` in tests/page",
        ),
    ];
    let missing = missing.into_iter().find(|(is_missing, _)| *is_missing);
    if let Some((_, what)) = missing {
        assert!(
            env::var_os("MERIDIAN_REQUIRE_CHROMIUM").is_none(),
            "the status page is not tested without {what}"
        );
        eprintln!("skipped: the status page is not tested without {what}");
    }
    missing.is_none()
}

#[test]
fn a_browser_reads_explains_drains_and_follows() {
    let flows = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page");
    if !is_browser_there(&flows) {
        return;
    }
    let backends = Backends::start(98, 4);
    let server = Folder::usual(&world(98, backends.port), "").serve().ready();
    let token = "s3cret-of-16-octets";
    let mut browser = Command::new("node");
    browser.current_dir(&flows).arg("flows.js");
    browser.args([&format!("http://{}", server.admin), token]);
    browser.args(env::var_os("MERIDIAN_SCREENSHOTS"));
    let mut browser = browser.stdout(Stdio::piped()).spawn().expect("node runs");
    let asked = BufReader::new(browser.stdout.take().expect("its output"));
    for line in asked.lines().map_while(Result::ok) {
        let pools = ["us", "eu", "jp", "br"];
        let (what, pool) = line.split_once(' ').expect("what it asks for");
        let at = pools
            .iter()
            .position(|other| *other == pool)
            .expect("a pool");
        let mood = if what == "fail" {
            Mood::Unavailable
        } else {
            Mood::Ready
        };
        backends.set(at + 1, mood);
    }
    let status = browser.wait().expect("node ends");
    assert!(status.success(), "see above");
    let log = server.log();
    assert!(!log.contains(token), "the token is in the log");
    assert!(
        log.contains("by=\"token\"") || log.contains("by=token"),
        "{log}"
    );
}
