//! Any text as `meridian.toml` and `pools.toml`: no panic, and either a configuration or faults that
//! have their places.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use meridian::base::diag::Report;
use meridian::config;
use meridian::config::safety::Safety;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let source = || config::Source {
        file: "file.toml".into(),
        dir: Path::new("/etc/meridian"),
        text: &text,
    };
    let defaults = config::Defaults {
        host_name: "ns1".into(),
        serves_dns: true,
    };
    let n_lines = text.lines().count() as u32 + 2;
    let check = |is_taken: bool, report: &Report| {
        assert_eq!(is_taken, !report.has_errors(), "{report}");
        for fault in report.sorted() {
            assert!(
                fault.place.line >= 1 && fault.place.line <= n_lines,
                "{fault}"
            );
        }
    };
    let mut report = Report::default();
    check(
        config::process(&source(), &defaults, &mut report).is_ok(),
        &report,
    );
    let mut report = Report::default();
    check(
        config::pools(&source(), &Safety::default(), &mut report).is_ok(),
        &report,
    );
});
