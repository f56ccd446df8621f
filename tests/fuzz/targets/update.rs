//! Any bytes behind the header of an update to its reader and to an editor: no panic, what is refused leaves
//! the zone as it was, and what is done leads from one zone to the next.

#![no_main]

use std::sync::Arc;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use meridian::base::diag::Report;
use meridian::base::name::Name;
use meridian::base::qname::QName;
use meridian::wire::update;
use meridian::zone::Zone;
use meridian::zone::difference::Net;
use meridian::zone::editor::Editor;
use meridian::zone::journal;
use meridian::zone::journal::Journal;
use meridian::zone::master;
use meridian::zone::update::Update;
use meridian_fuzz::ZONE;

static FILE: LazyLock<Arc<str>> = LazyLock::new(|| "z".into());
static APEX: LazyLock<Name> = LazyLock::new(|| Name::parse("example.com").expect("a name"));
static BASE: LazyLock<Zone> = LazyLock::new(|| {
    let mut report = Report::default();
    let mut include = |_: &str, _: &Arc<str>| Err(String::new());
    let records = master::read(&FILE, ZONE.as_bytes(), &APEX, &mut include, &mut report);
    Zone::compile(&APEX, &FILE, records, &[], &mut report).expect("a sound zone")
});

fuzz_target!(|bytes: &[u8]| {
    // As a journal, of whatever zone.
    if let Ok(read) = Journal::read(bytes, &APEX, &FILE) {
        assert!(read.len <= bytes.len());
    }
    // As the counts and the sections of an update of the zone.
    let Some((counts, sections)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let [n_prerequisites, n_changes] = counts.map(|n| n % 8);
    let mut message = vec![0, 1, 0x28, 0, 0, 1, 0, n_prerequisites, 0, n_changes, 0, 0];
    message.extend_from_slice(APEX.wire());
    message.extend([0, 6, 0, 1]);
    message.extend_from_slice(sections);
    let mut zone = QName::root();
    let Ok(read) = update::Update::parse(&message, &mut zone) else {
        return;
    };
    let Ok(update) = Update::read(&read, &APEX, &FILE) else {
        return;
    };
    let mut editor = Editor::new(&BASE, &FILE);
    let result = editor.apply(&update, &|_, _| true);
    let Some(difference) = editor.difference() else {
        return;
    };
    assert!(result.is_ok(), "refused, and changed all the same");
    let mut report = Report::default();
    let Some(next) = Zone::compile(&APEX, &FILE, editor.into_records(), &[], &mut report) else {
        return;
    };
    assert_eq!(next.serial(), difference.to_serial());
    // The same by way of a journal.
    let mut journal = Journal {
        digest: journal::digest(&BASE),
        net: Net::default(),
        serial: BASE.serial(),
        history: Vec::new(),
    };
    let mut octets = journal.to_octets(&APEX);
    octets.extend(journal::next_frame(&difference));
    journal.add(Arc::new(difference));
    let read = Journal::read(&octets, &APEX, &FILE).expect("a journal");
    assert_eq!((&read.journal, read.len), (&journal, octets.len()));
    let mut editor = Editor::new(&BASE, &FILE);
    let (net, dropped) = editor.overlay(&journal.net);
    assert!(dropped.is_empty() && net == journal.net);
    editor.set_soa(net.soa(), journal.serial);
    let again = Zone::compile(&APEX, &FILE, editor.into_records(), &[], &mut report);
    assert_eq!(again.expect("the same zone").n_records(), next.n_records());
});
