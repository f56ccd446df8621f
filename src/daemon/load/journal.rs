//! The journals of dynamic updates: a file for each zone below `state_dir`.
//!
//! A journal belongs to the server that runs: `check` and the offline commands read it and write nothing. It is
//! put on top of the zone file at every load. The file stays the operator's: where it no longer leaves room
//! for what an update has added, that is dropped, with a warning.

use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::diag::Report;
use crate::base::fnv::fnv1a;
use crate::base::name::Name;
use crate::base::serial;
use crate::daemon::files;
use crate::daemon::files::MAX_DATA_LEN;
use crate::zone::ComputedOwner;
use crate::zone::Zone;
use crate::zone::difference::Difference;
use crate::zone::difference::Net;
use crate::zone::editor::Editor;
use crate::zone::journal;
use crate::zone::journal::Journal;
use crate::zone::journal::Read;

/// The folder below `state_dir`.
const FOLDER: &str = "journal";

/// The longest file name before its ending; those of longer names are hashed.
const MAX_STEM_LEN: usize = 200;

/// How many octets of differences are kept for secondaries.
const MAX_HISTORY_LEN: usize = 1 << 20;

/// How many differences are kept for secondaries.
const MAX_HISTORY: usize = 1000;

/// How many octets a journal may grow by before it is written anew.
const MAX_GROWTH: u64 = 4 << 20;

/// A zone's journal.
#[derive(Clone, Debug)]
pub(super) struct ZoneJournal {
    apex: Name,
    path: PathBuf,
    journal: Arc<Journal>,
    /// What is on disk; `None`: another journal, or none.
    on_disk: Option<OnDisk>,
    /// Whether there was no journal of use before.
    is_first: bool,
}

/// What follows the name of a journal that cannot be used, once another takes its place.
const DAMAGED: &str = "damaged";

/// A journal as it is on disk, in octets.
#[derive(Clone, Copy, Debug)]
struct OnDisk {
    /// As much of the file as is sound.
    len: u64,
    /// How long it may become.
    max_len: u64,
}

/// Puts the journal of a zone, if it has one, on top of what its file holds; `None` after a fault, which is
/// reported.
pub(super) fn overlay(
    base: Zone,
    owners: &[ComputedOwner],
    state_dir: Option<&Path>,
    report: &mut Report,
) -> Option<(Zone, Option<ZoneJournal>)> {
    let apex = base.apex().clone();
    let Some(path) = state_dir.map(|state_dir| path(state_dir, &apex)) else {
        return Some((base, None));
    };
    let Some((Read { journal, len }, n_octets)) = read(&path, &apex, report) else {
        return Some((base, None));
    };
    let place = files::place(&path);
    let digest = journal::digest(&base);
    let mut editor = Editor::new(&base, &place.file);
    let (net, dropped) = editor.overlay(&journal.net);
    for (record, reason) in &dropped {
        let message = format!(
            "{} record of `{}`, added by a dynamic update, is dropped: {reason}",
            record.rtype, record.owner
        );
        report.warning(place.clone(), message);
    }
    let is_current = digest == journal.digest && dropped.is_empty();
    let (ours, last) = (base.serial(), journal.serial);
    let serial = match is_current {
        true => last,
        false if serial::is_newer(ours, last) => ours,
        false => serial::next(last),
    };
    editor.set_soa(net.soa(), serial);
    let mut found = Report::default();
    let records = editor.into_records();
    let Some(zone) = Zone::compile(&apex, &place.file, records, owners, &mut found) else {
        report.append(found.without_warnings());
        return None;
    };
    let mut history = if is_current {
        journal.history
    } else {
        Vec::new()
    };
    trim(&mut history);
    let journal = Journal {
        digest,
        net,
        serial,
        history,
    };
    let is_whole = is_current && len == n_octets;
    let on_disk = is_whole.then_some(OnDisk {
        len: len as u64,
        max_len: len as u64 + MAX_GROWTH,
    });
    let zone = zone.with_history(journal.history.clone());
    let journal = ZoneJournal {
        apex,
        path,
        journal: Arc::new(journal),
        on_disk,
        is_first: false,
    };
    Some((zone, Some(journal)))
}

/// The journal of a zone, and the length of its file; `None` if there is none, or none of use, which is
/// reported.
fn read(path: &Path, apex: &Name, report: &mut Report) -> Option<(Read, usize)> {
    let octets = match files::read(path, MAX_DATA_LEN) {
        Ok(octets) => octets,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            let message =
                format!("cannot be read: {error}; the zone is served without its updates");
            report.warning(files::place(path), message);
            return None;
        }
    };
    match Journal::read(&octets, apex, &path.to_string_lossy().into()) {
        Ok(read) => {
            if read.len < octets.len() {
                let n = octets.len() - read.len;
                let message = format!(
                    "the last {n} octets are part of an update that was not finished, as a crash leaves \
                     it: they are cut off"
                );
                report.warning(files::place(path), message);
            }
            Some((read, octets.len()))
        }
        Err(error) => {
            let message = format!(
                "{error}: the zone is served without its updates, expected the file as the server wrote it"
            );
            report.warning(files::place(path), message);
            None
        }
    }
}

/// The file of a zone's journal.
fn path(state_dir: &Path, apex: &Name) -> PathBuf {
    let stem = match apex.is_root() {
        true => "root".to_owned(),
        false => {
            let plain = apex.plain().to_ascii_lowercase();
            plain.replace('%', "%25").replace('/', "%2F")
        }
    };
    let stem = match stem.len() > MAX_STEM_LEN {
        true => format!("@{:016x}", fnv1a(&apex.lower_wire())),
        false => stem,
    };
    state_dir.join(FOLDER).join(format!("{stem}.journal"))
}

impl ZoneJournal {
    /// A journal of a zone that has none yet.
    pub(super) fn begin(zone: &Zone, state_dir: &Path) -> Self {
        Self {
            apex: zone.apex().clone(),
            path: path(state_dir, zone.apex()),
            journal: Arc::new(Journal {
                digest: journal::digest(zone),
                net: Net::default(),
                serial: zone.serial(),
                history: Vec::new(),
            }),
            on_disk: None,
            is_first: true,
        }
    }

    /// The journal with one more difference, which is on disk when this returns.
    pub(super) fn with(&self, difference: Difference) -> io::Result<Self> {
        let frame = journal::next_frame(&difference);
        let mut journal = Journal::clone(&self.journal);
        journal.add(Arc::new(difference));
        trim(&mut journal.history);
        let mut next = Self {
            apex: self.apex.clone(),
            path: self.path.clone(),
            journal: Arc::new(journal),
            on_disk: None,
            is_first: self.is_first && self.on_disk.is_none(),
        };
        match self.on_disk {
            Some(OnDisk { len, max_len }) if len + frame.len() as u64 <= max_len => {
                append(&self.path, len, &frame)?;
                let len = len + frame.len() as u64;
                next.on_disk = Some(OnDisk { len, max_len });
            }
            _ => next.write()?,
        }
        Ok(next)
    }

    /// Its file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The newest differences, oldest first.
    pub(super) fn history(&self) -> Vec<Arc<Difference>> {
        self.journal.history.clone()
    }

    /// Writes the whole journal, unless it is on disk.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if self.on_disk.is_some() {
            return Ok(());
        }
        let octets = self.journal.to_octets(&self.apex);
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        if self.is_first && self.path.exists() {
            fs::rename(&self.path, self.path.with_added_extension(DAMAGED))?;
        }
        files::replace(&self.path, &octets)?;
        let len = octets.len() as u64;
        self.on_disk = Some(OnDisk {
            len,
            max_len: len + MAX_GROWTH,
        });
        Ok(())
    }
}

/// Forgets the oldest differences that are too many, or too much.
fn trim(history: &mut Vec<Arc<Difference>>) {
    let mut room = MAX_HISTORY_LEN;
    let kept = history
        .iter()
        .rev()
        .take(MAX_HISTORY)
        .take_while(|difference| {
            let is_room = difference.n_octets() <= room;
            room = room.saturating_sub(difference.n_octets());
            is_room
        });
    let n_kept = kept.count();
    history.drain(..history.len() - n_kept);
}

/// Appends behind the sound part of a journal.
fn append(path: &Path, len: u64, frame: &[u8]) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    file.set_len(len)?;
    file.write_all_at(frame, len)?;
    file.sync_all()
}
