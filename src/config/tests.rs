//! The files of the operator's contract, broken files with every fault they must give, and noise.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::any;
use proptest::prop_assert_eq;
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
    };
    let mut report = Report::default();
    let process = process(&source, &machine, &mut report);
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
    let pools = pools(&source, &mut report);
    assert_eq!(pools.is_none(), report.has_errors(), "{report}");
    (pools, report)
}

#[test]
fn the_examples_of_the_contract_are_taken() {
    let (process, report) = read_process(PROCESS);
    assert_eq!(
        report.to_string(),
        "meridian.toml:15:1: warning: [server.rate_limit] is read but not in force in this version\n\
         meridian.toml:46:1: warning: [cluster] is read but not in force in this version\n"
    );
    insta::assert_debug_snapshot!(process);
    let (pools, report) = read_pools(POOLS);
    assert_eq!(
        report.to_string(),
        "pools.toml:33:12: warning: `fallback` is not used, because `all_down` is not \"fallback\"\n"
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
