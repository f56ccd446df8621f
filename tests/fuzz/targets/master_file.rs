//! Any octets as a master file: no panic, every fault at a place in it, and a zone that compiles finds its
//! own names.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use meridian::base::diag::Report;
use meridian::base::name::Name;
use meridian::zone::Zone;
use meridian::zone::master;

fuzz_target!(|bytes: &[u8]| {
    let file: Arc<str> = "z.test.zone".into();
    let apex = Name::parse("z.test").expect("a name");
    let mut report = Report::default();
    let mut include = |path: &str, _: &Arc<str>| match path {
        "good" => Ok(("good".into(), "included A 192.0.2.1\n".into())),
        // A file that includes itself, one way or another.
        "again" => Ok(("again".into(), "x A 192.0.2.1\n$INCLUDE again\n".into())),
        _ => Err("not found".to_owned()),
    };
    let records = master::read(&file, bytes, &apex, &mut include, &mut report);
    let zone = Zone::compile(&apex, &file, records, &[], &mut report);
    assert_eq!(zone.is_none(), report.has_errors());
    let n_lines = bytes.iter().filter(|octet| **octet == b'\n').count() + 2;
    for fault in report.sorted() {
        let place = &fault.place;
        assert!(
            *place.file != *file || place.line as usize <= n_lines,
            "{fault}"
        );
    }
    for node in zone.iter().flatten() {
        let found = zone.as_ref().and_then(|zone| zone.node(&node.to_qname()));
        assert_eq!(found, Some(node));
    }
});
