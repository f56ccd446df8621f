//! The files of the operator's contract, broken files with every fault they must give, and noise.

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
