//! Any text as a latency table, and as what one is made of: faults with a place in the file, or a table; and what is
//! imported makes a table that is read without a fault.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use meridian::base::diag::Report;
use meridian::base::prefix::Prefix;
use meridian::latency::aggregate::Aggregate;
use meridian::latency::import::From;
use meridian::latency::import::Sample;
use meridian::latency::import::json;
use meridian::latency::import::log;
use meridian::latency::key::Key;
use meridian::latency::read::Context;
use meridian::latency::read::rows;
use meridian::latency::table::Limits;
use meridian::latency::table::Row;
use meridian::latency::table::Table;

fn read(text: &str) -> Result<(Vec<Row>, Vec<Box<str>>), Report> {
    let file: Arc<str> = "latency.csv".into();
    let context = Context {
        file: &file,
        written: 1_700_000_000,
        is_country: &|_| true,
    };
    let mut report = Report::default();
    rows(text, &context, &mut report).ok_or(report)
}

fuzz_target!(|text: &str| {
    let limits = Limits {
        min_samples: 2,
        max_age: 86_400,
        now: 1_700_000_000,
    };
    match read(text) {
        Ok((rows, pools)) => {
            let n_rows = rows.len();
            let table = Table::new(rows, pools, &limits);
            assert!(table.n_entries() <= n_rows);
            assert!(table.keys().is_sorted_by(|a, b| a < b));
        }
        Err(report) => assert!(report.has_errors()),
    }
    let mut imported = Aggregate::default();
    let mut take = |sample: Sample| {
        let keys = match sample.from {
            From::Address(address) => vec![Key::Network(Prefix::host(address))],
            From::Keys(keys) => keys,
        };
        for key in keys {
            imported.add(key, "pool", sample.rtt_ms, sample.n, sample.measured);
        }
    };
    for line in text.lines() {
        if let Ok(Some(sample)) = log::line(line) {
            take(sample);
        }
        let _ = json::text(line, &mut take);
    }
    let n_faults = read(&imported.into_csv()).map_err(|report| report.n_errors());
    assert!(n_faults.is_ok(), "{n_faults:?}");
});
