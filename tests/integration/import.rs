//! `meridian import`: what is made of other systems' files, that it loads, and what it answers.
//!
//! The examples in `tests/import` have every feature that is known; the snapshots beside this file are what
//! they become.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Output;

use crate::harness::BRAZIL;
use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::JAPAN;
use crate::harness::SOUTH_AFRICA;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs the program among the examples of a system.
fn import(system: &str, arguments: &[&str]) -> Output {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
    Command::new(env!("CARGO_BIN_EXE_meridian"))
        .current_dir(examples.join(system))
        .args(["import", system])
        .args(arguments)
        .output()
        .expect("the program runs")
}

/// A folder with the result of an import, which loads.
fn imported(system: &str, arguments: &[&str]) -> Folder {
    let folder = Folder::new();
    let out = folder.path("");
    let out = out.to_str().expect("UTF-8");
    let output = import(system, &[arguments, &["--out", out]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    folder.write(
        "meridian.toml",
        "zones = \"zones\"\npools = \"pools.toml\"\n",
    );
    let output = folder.meridian(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    folder
}

/// All files, without the serials that the clock made.
fn files(folder: &Folder) -> String {
    let read = |path: &Path| fs::read_to_string(path).expect("a file");
    let mut text = read(&folder.path("pools.toml"));
    let zones = fs::read_dir(folder.path("zones")).expect("zones");
    let mut zones: Vec<_> = zones.map(|entry| entry.expect("an entry").path()).collect();
    zones.sort();
    for zone in zones {
        let name = zone
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        text += &format!("; {name}\n{}", read(&zone));
    }
    let is_serial = |word: &str| word.len() == 10 && word.starts_with("17");
    let line = |line: &str| {
        let words = line.split(' ');
        let words: Vec<_> = words
            .map(|word| if is_serial(word) { "SERIAL" } else { word })
            .collect();
        words.join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The addresses that a client gets while some pools are down.
fn answer(folder: &Folder, name: &str, rtype: &str, client: &str, down: &[&str]) -> Vec<String> {
    let mut arguments = vec![
        "explain", name, "--type", rtype, "--client", client, "--json",
    ];
    for pool in down {
        arguments.extend(["--down", pool]);
    }
    let output = folder.meridian(&arguments);
    let json = serde_json::from_slice::<serde_json::Value>(&output.stdout);
    let json = json.expect("JSON");
    let answer = json["answer"].as_array().cloned().unwrap_or_default();
    let address = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let mut addresses: Vec<_> = answer.iter().filter_map(address).collect();
    addresses.sort();
    addresses
}

/// What a client is to be answered: the name, the type, the client, the pools that are down, the addresses.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

fn check_answers(folder: &Folder, rows: &[Row]) {
    for (name, rtype, client, down, expected) in rows {
        let answer = answer(folder, name, rtype, client, down);
        assert_eq!(answer, *expected, "{name} {rtype} {client} {down:?}");
    }
}

#[test]
fn octodns_zones_become_pools_and_zones() {
    let folder = imported("octodns", &["example.com.yaml"]);
    insta::assert_snapshot!("octodns", files(&folder));
    let www = "www.example.com";
    check_answers(
        &folder,
        &[
            (www, "A", BRAZIL, &[], &["192.0.2.21"]),
            (www, "AAAA", BRAZIL, &[], &["2001:db8::21"]),
            (www, "AAAA", FRANCE, &[], &["2001:db8::11"]),
            (www, "A", FRANCE, &["www-eu"], &["192.0.2.21"]),
            (www, "AAAA", JAPAN, &[], &["2001:db8::1"]),
            (www, "AAAA", SOUTH_AFRICA, &[], &["2001:db8::1"]),
            (
                www,
                "AAAA",
                JAPAN,
                &["www-apac", "www-na"],
                &["2001:db8::21"],
            ),
            ("example.com", "AAAA", JAPAN, &[], &["2001:db8::1"]),
            (www, "AAAA", "198.51.100.0/24", &[], &["2001:db8::11"]),
            ("tcp.example.com", "A", FRANCE, &[], &["192.0.2.31"]),
            ("tcp.example.com", "AAAA", FRANCE, &[], &["2001:db8::31"]),
            ("geo.example.com", "A", FRANCE, &[], &["192.0.2.41"]),
            ("geo.example.com", "A", BRAZIL, &[], &["192.0.2.44"]),
            ("old.example.com", "A", BRAZIL, &[], &["192.0.2.51"]),
        ],
    );
}

/// A file that is imported with some options: the exit code, and what stderr has.
type Fault = (
    &'static str,
    &'static str,
    &'static [&'static str],
    i32,
    &'static str,
);

fn check_faults(system: &str, rows: &[Fault]) {
    let folder = Folder::new();
    for (name, content, more, code, expected) in rows {
        folder.write(name, content);
        let output = folder.meridian(&[&["import", system, name], *more].concat());
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{content}: {stderr}");
        assert!(stderr.contains(expected), "{content}: {stderr}");
    }
}

#[test]
fn what_cannot_be_imported_says_why() {
    const ODD: &str = "www: {type: X, value: 1}\n";
    check_faults(
        "octodns",
        &[
            ("a.yaml", "www: [\n", &[], 1, "a.yaml:2:1: is no YAML"),
            ("a.yaml", "- 1\n", &[], 1, "a.yaml:1:1: is no octoDNS zone"),
            (
                "a.yaml",
                "www:\n  ttl: 5\n",
                &[],
                1,
                "a.yaml:2:3: a record of `www` has no `type`",
            ),
            ("a..b.yaml", "", &[], 1, "expected FILE as octoDNS names it"),
            (
                "a.yaml",
                ODD,
                &["--strict"],
                1,
                "2 things have no equivalent",
            ),
            ("a.yaml", ODD, &[], 0, "2 things have no equivalent"),
            (
                "a.yaml",
                "www: {type: A, value: 1.2}\n",
                &[],
                1,
                "zones/a.zone:5:",
            ),
        ],
    );
    check_faults("bind", &[("a.yaml", "", &[], 2, "octodns")]);
    let output = import("octodns", &["missing.yaml"]);
    assert!(text(&output.stderr).contains("cannot read missing.yaml"));
}

#[test]
fn parts_can_be_cut_out_of_what_is_printed() {
    let output = import(
        "octodns",
        &[
            "example.com.yaml",
            "--ns",
            "a.example.org",
            "--ns",
            "b.example.org",
        ],
    );
    let stdout = text(&output.stdout);
    let (pools, zone) = stdout
        .split_once("; file: zones/example.com.zone\n")
        .expect("two parts");
    assert!(pools.starts_with("# file: pools.toml\n"));
    assert!(zone.contains("; replaced by --ns: NS ns1.example.net."));
    assert!(zone.contains("example.com. 3600 NS a.example.org.\n"));
    assert!(zone.contains(" SOA a.example.org. hostmaster.example.com. "));
}
