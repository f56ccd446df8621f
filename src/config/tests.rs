//! The files of the operator's contract, broken files with every fault they must give, and noise.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::any;
use proptest::prop_assert;
use proptest::proptest;

use super::*;

const PROCESS: &str = include_str!("testdata/contract-meridian.toml");
const POOLS: &str = include_str!("testdata/contract-pools.toml");

fn read_process(text: &str) -> (Option<Process>, Report) {
    let source = Source {
        file: "meridian.toml".into(),
        dir: Path::new("/etc/meridian"),
        text,
    };
    let machine = Defaults {
        host_name: "ns1".to_owned(),
        serves_dns: true,
    };
    let mut report = Report::default();
    let process = process(&source, &machine, &mut report).ok();
    assert_eq!(process.is_none(), report.has_errors(), "{report}");
    (process, report)
}

fn read_pools(text: &str) -> (Option<Pools>, Report) {
    let source = Source {
        file: "pools.toml".into(),
        dir: Path::new("/etc/meridian"),
        text,
    };
    let mut report = Report::default();
    let pools = pools(&source, &Safety::default(), &mut report).ok();
    assert_eq!(pools.is_none(), report.has_errors(), "{report}");
    (pools, report)
}

#[test]
fn the_examples_of_the_contract_are_taken() {
    let (process, report) = read_process(PROCESS);
    assert_eq!(report.to_string(), "");
    insta::assert_debug_snapshot!(process);
    let (pools, report) = read_pools(POOLS);
    assert_eq!(
        report.to_string(),
        "pools.toml:40:12: warning: `fallback` is not used, because `all_down` is not \"fallback\"\n"
    );
    insta::assert_debug_snapshot!(pools);
}

/// Reads a file by its name: `*.meridian.toml` or `*.pools.toml`.
fn report_of(name: &str, text: &str) -> Report {
    if name.ends_with("meridian.toml") {
        read_process(text).1
    } else {
        read_pools(text).1
    }
}

/// Each file in `testdata/broken` ends with the report that it must give, behind `#: `; `UPDATE=1`
/// writes it anew.
#[test]
fn broken_files_give_every_fault_at_its_place() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/config/testdata/broken");
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .collect();
    names.sort();
    for path in names {
        let name = path.file_name().expect("name").to_string_lossy();
        let whole = fs::read_to_string(&path).expect("text");
        let (text, expected) = whole.split_at(whole.find("#: ").unwrap_or(whole.len()));
        let report = report_of(&name, text).to_string();
        let found: String = report.lines().map(|line| format!("#: {line}\n")).collect();
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, format!("{text}{found}")).expect("written");
        } else {
            assert_eq!(found, expected, "{name}");
        }
        assert!(!report.is_empty(), "{name} is not broken");
    }
}

#[test]
fn the_examples_in_deploy_are_taken_without_a_warning() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/config");
    let mut n_files = 0;
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        let name = path.file_name().expect("name").to_string_lossy();
        if name.ends_with(".toml") {
            let text = fs::read_to_string(&path).expect("text");
            let report = if name.starts_with("meridian.") {
                read_process(&text).1
            } else {
                read_pools(&text).1
            };
            assert_eq!(report.to_string(), "", "{name}");
            n_files += 1;
        }
    }
    assert_eq!(n_files, 4);
}

/// The full examples show every key, so that they cannot fall behind.
#[test]
fn the_full_examples_hold_every_key() {
    let process = include_str!("../../deploy/config/meridian.full.toml");
    let pools = include_str!("../../deploy/config/pools.full.toml");
    for (text, tables) in [(process, keys::PROCESS_FILE), (pools, keys::POOLS_FILE)] {
        for table in tables {
            for key in table.values {
                let given = format!("{key} = ");
                let holds = |line: &str| {
                    let line = line.trim_start_matches("# ");
                    line.starts_with(&given)
                        || line.contains(&format!("{{ {given}"))
                        || line.contains(&format!(", {given}"))
                };
                assert!(text.lines().any(holds), "`{key}` of {}", table.title);
            }
        }
    }
}

/// Headings and "`key` = " lines of docs/config.md against the keys that are read.
#[test]
fn every_key_is_documented_and_every_documented_key_is_read() {
    let text = include_str!("../../docs/config.md");
    let mut documented: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ").or(line.strip_prefix("### ")) {
            documented.push((title, Vec::new()));
        } else if let Some((key, _)) = line.strip_prefix('`').and_then(|l| l.split_once("` = *")) {
            documented.last_mut().expect("a heading first").1.push(key);
        }
    }
    let read: Vec<_> = [keys::PROCESS_FILE, keys::POOLS_FILE]
        .concat()
        .iter()
        .map(|keys| (keys.title, keys.values.to_vec()))
        .collect();
    assert_eq!(documented, read);
}

#[test]
fn empty_files_are_all_defaults() {
    let (process, report) = read_process("");
    assert_eq!(
        report.to_string(),
        "meridian.toml:1:1: warning: meridian.toml has no `zones`, so that every query is refused\n"
    );
    insta::assert_debug_snapshot!(process);
    let (pools, report) = read_pools("");
    assert_eq!((pools, report), (Some(Pools::default()), Report::default()));
    let (pools, report) = read_pools(
        "pool.a = { location = [1, 2.5], endpoints = ['192.0.2.1'], monitor = 'm' }\n\
         monitor.m = { interval = '1s' }\n\
         steer.localhost.pools = ['a']\n\
         [[steer.localhost.rule]]\n\
         asn = [0xfbf0]\n\
         pools = ['a']",
    );
    assert_eq!(report.to_string(), "");
    insta::assert_debug_snapshot!(pools);
}

#[test]
fn a_refused_password_is_not_repeated() {
    for text in [
        "[[vantage]]\nname = 'a'\nproxy = 'http://me:secret@127.0.0.1:1'",
        "[cluster]\nnats = ['nats://me:secret@127.0.0.1']",
        "[cluster]\nnats = ['nats://secret@127.0.0.1:1']",
        "[cluster]\nnats = ['nats://me:secret@a:1', 'tls://you:secret@a:1', 'nats://you:secret@a:1']",
    ] {
        let (process, report) = read_process(text);
        assert!(
            process.is_none() && !report.to_string().contains("secret"),
            "{report}"
        );
    }
}

#[test]
fn a_password_is_not_shown() {
    let text = "[cluster]\nnode = 'a'\nnats = ['nats://me:%73ecret@127.0.0.1:1']";
    let (process, report) = read_process(text);
    let cluster = process.and_then(|process| process.cluster).expect("sound");
    let login = cluster.nats[0].login.as_ref().expect("a login");
    assert_eq!((&*login.user, login.password.reveal()), ("me", "secret"));
    for shown in [
        format!("{cluster:?}"),
        cluster.nats[0].to_string(),
        report.to_string(),
    ] {
        assert!(!shown.contains("secret"), "{shown}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(text in any::<String>()) {
        read_process(&text);
        read_pools(&text);
    }

    /// Text that looks like TOML reaches deeper than any text does.
    #[test]
    fn no_toml_makes_the_readers_panic(
        text in "([a-e\\[\\]{}.,=\"'#0-9\n -]|\\[pool\\.|\\[\\[steer\\.|\\[monitor|\
                 endpoints = |true|\"a\"){0,60}"
    ) {
        read_process(&text);
        read_pools(&text);
    }

    /// A character or line of an example replaced, doubled or lost.
    #[test]
    fn no_slip_of_the_pen_makes_the_readers_panic(
        slips in proptest::collection::vec(
            (any::<usize>(), any::<usize>(), 0..5, any::<char>()),
            1..6,
        )
    ) {
        for (original, is_process) in [(PROCESS, true), (POOLS, false)] {
            let mut text: Vec<char> = original.chars().collect();
            for &(at, other, kind, character) in &slips {
                let (at, other) = (at % text.len(), other % text.len());
                match kind {
                    0 => text[at] = character,
                    1 => text[at] = text[other],
                    2 => { text.remove(at); }
                    3 => text.insert(at, text[other]),
                    _ => text.swap(at, other),
                }
            }
            let text: String = text.into_iter().collect();
            let report = if is_process { read_process(&text).1 } else { read_pools(&text).1 };
            let n_lines = text.matches('\n').count() + 1;
            for diagnostic in report.sorted() {
                prop_assert!(!diagnostic.message.contains(char::is_control));
                prop_assert!((1..=n_lines).contains(&(diagnostic.place.line as usize)));
            }
        }
    }
}

/// Megabytes of what is no TOML: 100 faults at most, and what they say is short.
#[test]
fn of_junk_only_the_head_is_read() {
    let noise = (0..1 << 20)
        .map(|n: u32| b"=[]{}\"'\n#. ,a1"[(n.wrapping_mul(2_654_435_761) >> 16) as usize % 14]);
    let noise = String::from_utf8(noise.collect()).expect("ASCII");
    for junk in ["a\n", "[[\n", "\"\\q\"=\n", "é = ü\n", &noise] {
        let text = junk.repeat((1 << 20) / junk.len());
        for report in [read_process(&text).1, read_pools(&text).1] {
            assert!(
                (1..=101).contains(&report.n_errors()),
                "{junk:.9}: {report:.300}"
            );
            assert!(report.to_string().len() < 1 << 15, "{junk:.9}");
        }
    }
    let one_key = format!("{} = 1", "x".repeat(1 << 20));
    let (_, report) = read_pools(&one_key);
    assert!(report.to_string().len() < 300, "{report}");
    // Where a bracket stands open, all that follows is no fault of its own.
    let open = format!("[pool.b]\nlocation = [1,\n{}", still_pools(5_000));
    assert_eq!(read_pools(&open).1.n_errors(), 2);
}

fn still_pools(n: usize) -> String {
    let pool = |n| format!("[pool.p{n}]\nlocation = [1, 2]\nendpoints = ['192.0.2.1']\n");
    (0..n).map(pool).collect()
}

#[test]
fn thousands_of_unknown_names_are_all_reported_and_some_with_a_suggestion() {
    let unknown = vec!["\"us-wast\""; 2000];
    let text = format!(
        "[pool.us-west]\nlocation = [0, 0]\nendpoints = [\"192.0.2.1\"]\n\
         [steer.\"app.example.com\"]\npools = [{}]\n",
        unknown.join(", ")
    );
    let (_, report) = read_pools(&text);
    assert_eq!(report.n_errors(), 2000);
    let text = report.to_string();
    assert_eq!(text.matches("did you mean `us-west`?").count(), 100);
}
