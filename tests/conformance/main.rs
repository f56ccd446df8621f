//! The same zones and questions to NSD, Knot DNS, BIND 9 and Meridian; each difference is a failure.
//!
//! `zones/` holds zones written for this purpose, `zones/root/` those that are served beside the
//! root, and `random` makes more from a seed. What a part of an answer is and when it is right is in
//! `compare`; where we differ on purpose is in `docs/conformance.md` and in the tables here. A machine
//! without the peers skips these tests and says so; `MERIDIAN_REQUIRE_PEERS=1` makes that a failure.
//!
//! `MERIDIAN_CONFORMANCE_SEED` and `MERIDIAN_CONFORMANCE_ZONES` choose the random zones.

mod compare;
mod divergences;
mod exchange;
mod faulty;
mod odd;
mod peers;
mod questions;
mod random;
mod settings;
#[path = "../support/updates.rs"]
mod table;
mod updates;
mod wire;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use meridian::base::name::Name;
use meridian::zone::Zone;

use crate::peers::Fleet;
use crate::peers::OURS;
use crate::peers::Programs;
use crate::peers::ZoneText;
use crate::peers::say;
use crate::questions::Question;
use crate::random::Random;
use crate::wire::Response;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");

/// Random zones unless the environment says otherwise.
const N_ZONES: usize = 40;

/// Random zones that are served at once.
const BATCH: usize = 100;

/// Differences that are printed in full.
const MAX_SHOWN: usize = 12;

/// How a question travels: over TCP, and with an OPT of this payload size.
const WAYS: [(&str, bool, Option<u16>); 4] = [
    ("UDP", false, None),
    ("UDP with EDNS", false, Some(1232)),
    ("TCP", true, None),
    ("TCP with EDNS", true, Some(1232)),
];

/// The zones of a folder, by file name.
fn written(folder: &str) -> Vec<ZoneText> {
    let mut zones = Vec::new();
    for entry in fs::read_dir(Path::new(FOLDER).join(folder)).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "zone")
        {
            let stem = path.file_stem().expect("a name").to_string_lossy();
            zones.push(ZoneText {
                origin: if stem == "root" {
                    ".".into()
                } else {
                    stem.into()
                },
                text: fs::read_to_string(&path).expect("UTF-8"),
            });
        }
    }
    zones.sort_by(|a, b| a.origin.cmp(&b.origin));
    zones
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

/// Asks all servers all there is to ask about these zones; gives the number of responses compared
/// and what differs, in words.
fn compare(programs: &Programs, zones: &[ZoneText], random: &mut Random) -> (usize, Vec<String>) {
    let compiled: Vec<Zone> = zones
        .iter()
        .map(|zone| questions::compile(zone).expect("a zone that all take"))
        .collect();
    let fleet = Fleet::start(programs, zones);
    let questions: Vec<Question> = compiled
        .iter()
        .enumerate()
        .flat_map(|(at, zone)| questions::questions(at, zone, random))
        .collect();
    let mut found = Vec::new();
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for (way, over_tcp, payload) in WAYS {
        let messages: Vec<_> = questions.iter().map(|q| q.message(payload)).collect();
        let mut answers = fleet.each(|server| {
            let responses = match over_tcp {
                true => exchange::tcp(server, &messages),
                false => exchange::udp(server, &messages),
            };
            let read = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| Response::read(&bytes));
            responses.into_iter().map(read).collect::<Vec<_>>()
        });
        for (at, question) in questions.iter().enumerate() {
            let responses: Vec<Option<Response>> = answers
                .iter_mut()
                .map(|answers| answers[at].take())
                .collect();
            let apex = apex_for(&compiled, &question.qname);
            let is_any = question.qtype == 255;
            let limit = match (over_tcp, payload) {
                (true, _) => 65_535,
                (false, payload) => usize::from(payload.unwrap_or(512)),
            };
            for difference in compare::differences(&responses, &apex, is_any, limit) {
                let n = counts.entry((question.zone, difference)).or_default();
                *n += 1;
                // One of a kind is enough.
                if *n == 1 {
                    found.push(format!(
                        "{}: {question} over {way}: {difference:?}\n{}",
                        zones[question.zone].origin,
                        compare::all_shown(&responses)
                    ));
                }
            }
        }
    }
    (questions.len() * WAYS.len(), found)
}

/// The apex of the zone that a name lies in.
fn apex_for(zones: &[Zone], qname: &[u8]) -> Vec<u8> {
    let qname = Name::from_wire(qname).expect("a name");
    zones
        .iter()
        .map(Zone::apex)
        .filter(|apex| qname.is_at_or_below(apex))
        .max_by_key(|apex| apex.n_labels())
        .map_or_else(Vec::new, |apex| apex.lower_wire().into())
}

/// Fails with the first differences.
fn judge(what: &str, n: usize, found: &[String]) {
    say(&format!(
        "conformance: {what}: {n} compared, {} kinds of differences",
        found.len()
    ));
    let shown = &found[..found.len().min(MAX_SHOWN)];
    assert!(found.is_empty(), "{what}:\n{}", shown.join("\n"));
}

#[test]
fn written_zones_are_answered_as_by_the_peers() {
    let Some(programs) = Programs::find("written zones") else {
        return;
    };
    for folder in ["zones", "zones/root"] {
        let (n, found) = compare(&programs, &written(folder), &mut Random(1));
        judge(&format!("responses for {folder}"), n, &found);
    }
}

#[test]
fn random_zones_are_answered_as_by_the_peers() {
    let Some(programs) = Programs::find("random zones") else {
        return;
    };
    // The same for every run, so that no run needs luck; another seed makes other zones.
    let seed = setting("MERIDIAN_CONFORMANCE_SEED").unwrap_or(1);
    let n_zones = setting("MERIDIAN_CONFORMANCE_ZONES").map_or(N_ZONES, |n| n as usize);
    let mut random = Random(seed);
    let what = format!(
        "random zones, MERIDIAN_CONFORMANCE_SEED={seed} MERIDIAN_CONFORMANCE_ZONES={n_zones}"
    );
    for start in (0..n_zones).step_by(BATCH) {
        let (zones, refused) = taken(&programs, start..n_zones.min(start + BATCH), &mut random);
        judge(&format!("zones taken of {what}"), zones.len(), &refused);
        let (n, mut found) = compare(&programs, &zones, &mut random);
        for found in &mut found {
            let origin = found.split(':').next().unwrap_or("");
            let zone = zones.iter().find(|zone| zone.origin == origin);
            *found += &zone.map_or_else(String::new, |zone| zone.text.clone());
        }
        judge(&format!("responses for {what}"), n, &found);
    }
}

#[test]
fn odd_messages_get_what_the_peers_agree_on() {
    let Some(programs) = Programs::find("odd messages") else {
        return;
    };
    let zone = ZoneText {
        origin: "odd.test".to_owned(),
        text: "$TTL 60\n@ SOA ns h 1 1 1 1 1\n  NS ns\nns A 192.0.2.1\n".to_owned(),
    };
    let fleet = Fleet::start(&programs, &[zone]);
    let (names, messages): (Vec<_>, Vec<_>) = odd::messages().into_iter().unzip();
    let mut found = Vec::new();
    for (way, over_tcp) in [("UDP", false), ("TCP", true)] {
        let answers = fleet.each(|server| exchange::singly(server, &messages, over_tcp));
        for (at, name) in names.iter().enumerate() {
            let read = |answers: &Vec<Option<Vec<u8>>>| Response::read(answers[at].as_ref()?);
            let responses: Vec<Option<Response>> = answers.iter().map(read).collect();
            let is_formerr = matches!(&responses[OURS], Some(ours) if ours.rcode == 1);
            for difference in compare::differences(&responses, odd::APEX, false, 512) {
                let is_said = match difference.part {
                    "rcode" | "silence" => true,
                    // RFC 6891 s7: FORMERR for an OPT comes with an OPT.
                    "edns" if is_formerr => false,
                    _ => difference.is_unanimous,
                };
                if is_said {
                    let shown = compare::all_shown(&responses);
                    found.push(format!("{name}: over {way}: {difference:?}\n{shown}"));
                }
            }
        }
    }
    divergences::say_unneeded(&divergences::MESSAGES, &found);
    found.retain(|found| !divergences::is_known(&divergences::MESSAGES, found));
    judge("odd messages", 2 * messages.len(), &found);
}

#[test]
fn zones_are_taken_and_refused_as_by_the_peers() {
    let Some(programs) = Programs::find("zones taken") else {
        return;
    };
    let bodies = faulty::BODIES.iter();
    let texts = bodies.map(|body| format!("{}{body}", faulty::HEAD));
    let whole = faulty::WHOLE.iter().map(|text| text.to_string());
    let zones: Vec<ZoneText> = texts
        .chain(whole)
        .enumerate()
        .map(|(at, text)| ZoneText {
            origin: format!("z{at}.test"),
            text,
        })
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("zones")).expect("a folder");
    for zone in &zones {
        fs::write(folder.path().join("zones").join(zone.file()), &zone.text).expect("a file");
    }
    let refused = refused_by_us(folder.path());
    let mut found = Vec::new();
    for zone in &zones {
        let file = folder.path().join("zones").join(zone.file());
        let peers = programs.check(&zone.origin, &file);
        let ours = !refused.contains(&zone.file());
        if !peers.contains(&ours) {
            let verb = if ours { "take" } else { "refuse" };
            let body = zone.text.strip_prefix(faulty::HEAD).unwrap_or(&zone.text);
            found.push(format!("{}: only we {verb} it", body.trim_end()));
        }
    }
    judge("zones taken", zones.len(), &found);
}

/// The zone files in which `meridian check` finds errors.
fn refused_by_us(folder: &Path) -> BTreeSet<String> {
    fs::write(folder.join("meridian.toml"), "zones = \"zones\"\n").expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_meridian"))
        .current_dir(folder)
        .arg("check")
        .output()
        .expect("the program runs");
    let report = String::from_utf8(output.stderr).expect("UTF-8");
    let is_error = |line: &&str| !line.contains(": warning: ");
    let file = |line: &str| {
        let (path, _) = line.split_once(':')?;
        Some(Path::new(path).file_name()?.to_string_lossy().into_owned())
    };
    report.lines().filter(is_error).filter_map(file).collect()
}

/// Makes random zones, and keeps those that all take; also says which ones only we take or refuse.
fn taken(
    programs: &Programs,
    range: Range<usize>,
    random: &mut Random,
) -> (Vec<ZoneText>, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut kept, mut found) = (Vec::<ZoneText>::new(), Vec::new());
    for at in range {
        // Every third zone is a child of the one before it.
        let is_child = at % 3 == 2;
        let parent = format!("z{}.test", at.saturating_sub(1));
        let origin = if is_child {
            format!("a.{parent}")
        } else {
            format!("z{at}.test")
        };
        let zone = random::zone(&origin, &parent, random);
        let file = folder.path().join(zone.file());
        fs::write(&file, &zone.text).expect("a file");
        let peers = programs.check(&origin, &file);
        let ours = questions::compile(&zone).is_some();
        if !peers.contains(&ours) {
            let verb = if ours { "take" } else { "refuse" };
            found.push(format!("{origin}: only we {verb} it\n{}", zone.text));
        }
        let is_clash = kept.last().is_some_and(|last| {
            // NSD sees data below a DNAME across zones.
            is_child
                && last.origin == parent
                && [&last.text, &zone.text]
                    .iter()
                    .any(|text| text.contains("DNAME "))
        });
        if ours && peers == [true; 3] && !is_clash {
            kept.push(zone);
        }
    }
    (kept, found)
}
