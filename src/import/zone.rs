//! Writes a zone from records: for the systems that keep no master files.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::base::name::Name;
use crate::import::draft::Draft;
use crate::import::draft::Notes;
use crate::import::draft::Zone;
use crate::import::write;

/// What an operator says of the zone to be made.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The zone's name; left out, the files say it.
    pub origin: Option<Name>,
    /// Its name servers; left out, the files say them.
    pub name_servers: Vec<Name>,
    /// The serial where the files have none.
    pub serial: u32,
}

/// The server that stands for those that nobody named; a name that never exists (RFC 6761 s6.4).
const UNKNOWN_SERVER: &str = "ns.invalid.";

/// A zone that is being collected.
pub(super) struct ZoneDraft {
    origin: Name,
    records: Vec<Record>,
    /// For what comes next.
    notes: Notes,
}

/// A record and what is to be said above it.
struct Record {
    notes: Notes,
    /// Its owner, TTL, type and data; `None` if the notes stand alone.
    record: Option<(Name, u32, String, String)>,
}

impl ZoneDraft {
    pub(super) fn new(origin: Name) -> Self {
        Self {
            origin,
            records: Vec::new(),
            notes: Notes::default(),
        }
    }

    /// The notes for the record that comes next.
    pub(super) fn notes(&mut self) -> &mut Notes {
        &mut self.notes
    }

    /// Adds a record.
    pub(super) fn add(&mut self, owner: &Name, ttl: u32, rtype: &str, data: &str) {
        let notes = std::mem::take(&mut self.notes);
        let record = Some((owner.clone(), ttl, rtype.to_owned(), data.to_owned()));
        self.records.push(Record { notes, record });
    }

    /// Ends notes that no record follows.
    pub(super) fn end_notes(&mut self) {
        let notes = std::mem::take(&mut self.notes);
        if !notes.lines.is_empty() {
            let record = None;
            self.records.push(Record { notes, record });
        }
    }

    /// Puts the zone into the draft. The addresses of `steered` names are left to `pools.toml`.
    pub(super) fn finish(
        mut self,
        steered: &HashSet<Name>,
        settings: &Settings,
        draft: &mut Draft,
    ) {
        self.end_notes();
        let head = self.head(settings);
        let mut text = format!("$ORIGIN {}\n", self.origin);
        for Record { notes, record } in head.iter().chain(&self.records) {
            draft.n_missing_in_zones += notes.n_missing();
            write::comment(&mut text, ";", notes);
            if let Some((owner, ttl, rtype, data)) = record
                && !(matches!(&**rtype, "A" | "AAAA") && steered.contains(owner))
            {
                // A String takes whatever is written to it.
                let _ = writeln!(text, "{owner} {ttl} {rtype} {data}");
            }
        }
        let origin = self.origin;
        draft.zones.push(Zone { origin, text });
    }

    /// Takes the records of a type out of the apex.
    fn take_apex(&mut self, rtype: &str) -> Vec<Record> {
        let is_wanted = |record: &mut Record| {
            let (owner, _, found, _) = record.record.as_ref()?;
            (found == rtype && *owner == self.origin).then_some(())
        };
        self.records
            .extract_if(.., |record| is_wanted(record).is_some())
            .collect()
    }

    /// SOA and NS: those of the records, or new ones.
    fn head(&mut self, settings: &Settings) -> Vec<Record> {
        let (mut soa, mut ns) = (self.take_apex("SOA"), self.take_apex("NS"));
        let new = |notes, rtype: &str, data: String| Record {
            notes,
            record: Some((self.origin.clone(), 3600, rtype.to_owned(), data)),
        };
        if !settings.name_servers.is_empty() {
            let mut notes = Notes::default();
            for (_, _, rtype, data) in soa.iter().chain(&ns).filter_map(|r| r.record.as_ref()) {
                notes.say(format!("replaced by --ns: {rtype} {data}"));
            }
            soa.clear();
            ns = settings
                .name_servers
                .iter()
                .map(|server| new(std::mem::take(&mut notes), "NS", server.to_string()))
                .collect();
        } else if ns.is_empty() {
            let mut notes = Notes::default();
            let why = "the file has none; put yours in, or name them with --ns";
            notes.missing("name servers", why);
            ns.push(new(notes, "NS", UNKNOWN_SERVER.to_owned()));
        }
        if soa.is_empty() {
            let first = ns.iter().find_map(|record| record.record.as_ref());
            let server = first.map_or(UNKNOWN_SERVER, |(_, _, _, data)| data);
            let data = format!(
                "{server} hostmaster.{} {} 3600 600 1209600 300",
                if self.origin.is_root() {
                    String::new()
                } else {
                    self.origin.to_string()
                },
                settings.serial
            );
            soa.push(new(Notes::default(), "SOA", data));
        }
        soa.into_iter().chain(ns).collect()
    }
}

/// The most octets of a character string (RFC 1035 s3.3).
const MAX_STRING_LEN: usize = 255;

/// A text as character strings in quotes.
pub(super) fn character_strings(octets: &[u8]) -> String {
    let mut strings: Vec<_> = octets
        .chunks(MAX_STRING_LEN)
        .map(character_string)
        .collect();
    if strings.is_empty() {
        strings.push(character_string(&[]));
    }
    strings.join(" ")
}

fn character_string(octets: &[u8]) -> String {
    let mut text = String::from("\"");
    for &octet in octets {
        match octet {
            b'"' | b'\\' => text.extend(['\\', char::from(octet)]),
            b' '..=b'~' => text.push(char::from(octet)),
            _ => {
                let _ = write!(text, "\\{octet:03}");
            }
        }
    }
    text.push('"');
    text
}
