//! Reading files that somebody may be writing, and noticing that they changed.
//!
//! A file is read whole into memory and taken only if it was the same before and after, so that a file
//! replaced or truncated meanwhile cannot be half-loaded, and nothing is ever mapped that could vanish
//! under a running server. Nor can one that is no file at all, or has no end: pipes and devices are
//! refused, and so is what is longer than anything that makes sense. What was read is remembered by its
//! [`Stamp`]; comparing stamps by `stat` is all the watching there is, and works on every file system,
//! through symbolic links and NFS.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use crate::base::diag::LineIndex;
use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::live::clock;

/// The longest database or zone file that is read, in octets: several times the longest MMDB that is in
/// use, and a zone of some 25 million records.
pub const MAX_DATA_LEN: u64 = 1024 * MIB;

/// The longest file of settings, secrets or state that is read, in octets: some 200,000 steered names with a
/// rule each, for which the TOML library takes a gigabyte.
pub const MAX_SETTINGS_LEN: u64 = 32 * MIB;

const MIB: u64 = 1024 * 1024;

/// How often a file that changes while it is read is tried again.
const READ_ATTEMPTS: usize = 5;

/// What `stat` says of a file; equal stamps mean the same content, as far as a file system can tell.
///
/// The time of the last change of the inode is what no program sets: it also changes when a file is
/// unpacked over another of the same length with the same time of modification, and when permissions are
/// mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    device: u64,
    inode: u64,
    /// In octets.
    pub(super) len: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// The same of the inode.
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a path, following links; `None` if there is nothing to be had there.
    pub fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self {
            device: meta.dev(),
            inode: meta.ino(),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// When the file was written, in seconds since 1970; `None`: before.
    pub fn modified(self) -> Option<u64> {
        self.modified.0.try_into().ok()
    }
}

/// The stamps of everything that was looked at in one load; what is not there has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSet {
    files: BTreeMap<PathBuf, Option<Stamp>>,
    /// Folders whose zone files are all looked at.
    folders: BTreeSet<PathBuf>,
    /// When files are to be read again though they have not changed, in seconds since 1970.
    expiries: BTreeMap<PathBuf, u64>,
}

impl FileSet {
    /// Notes what a file was. Of two notes the first stands, so that what changed between them is
    /// still found to be different.
    pub fn note(&mut self, path: &Path, stamp: Option<Stamp>) {
        self.files.entry(path.to_owned()).or_insert(stamp);
    }

    /// Notes that a folder's zone files were looked at, those that will be there as well.
    pub fn note_folder(&mut self, folder: &Path) {
        self.folders.insert(folder.to_owned());
    }

    /// Notes when what a file says is no longer true: from then on it is as good as changed. In seconds since 1970.
    pub fn note_expiry(&mut self, path: &Path, at: u64) {
        self.expiries.insert(path.to_owned(), at);
    }

    /// Whether a file was looked at.
    pub fn has(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    /// Whether a file with this stamp was looked at.
    pub fn has_stamp(&self, stamp: Stamp) -> bool {
        self.files.values().any(|seen| *seen == Some(stamp))
    }

    /// The files that were looked at.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// The same files, to be read again only when they change.
    #[must_use]
    pub fn without_expiries(self) -> Self {
        let expiries = BTreeMap::new();
        Self { expiries, ..self }
    }

    /// The stamp a file had.
    pub fn stamp(&self, path: &Path) -> Option<Stamp> {
        self.files.get(path).copied().flatten()
    }

    /// The same files and folders as they are now.
    #[must_use]
    pub fn now(&self) -> Self {
        let listed = self.folders.iter().filter_map(|folder| list(folder).ok());
        let listed = listed.flat_map(|listing| listing.zones);
        let paths: BTreeSet<PathBuf> = self.files.keys().cloned().chain(listed).collect();
        let now = clock::unix();
        let stamp = |path: PathBuf| {
            let is_expired = self.expiries.get(&path).is_some_and(|at| *at <= now);
            let stamp = Stamp::of(&path).filter(|_| !is_expired);
            (path, stamp)
        };
        Self {
            files: paths.into_iter().map(stamp).collect(),
            folders: self.folders.clone(),
            expiries: self.expiries.clone(),
        }
    }

    /// The files whose stamps differ in another set.
    pub fn changed<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Path> {
        let paths: BTreeSet<&PathBuf> = self.files.keys().chain(other.files.keys()).collect();
        let differs = |path: &&PathBuf| self.stamp(path) != other.stamp(path);
        paths.into_iter().filter(differs).map(PathBuf::as_path)
    }
}

/// A file's content, and what the file was when it was read.
#[derive(Debug)]
pub struct Reading {
    /// `None` if there is no file.
    pub stamp: Option<Stamp>,
    /// What it holds, or why that cannot be told.
    pub content: Result<Vec<u8>, ReadError>,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What the system says.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Somebody is writing it.
    #[error("it changes while it is being read")]
    Moving,
}

impl ReadError {
    /// The fault of a file that should have been a readable `what`.
    pub fn fault(&self, what: &str) -> String {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                format!("not found, expected a {what}")
            }
            _ => format!("cannot be read: {self}, expected a readable {what}"),
        }
    }
}

/// Reads a file of at most `max_len` octets that holds still meanwhile.
pub fn read_whole(path: &Path, max_len: u64) -> Reading {
    let mut stamp = None;
    for _ in 0..READ_ATTEMPTS {
        stamp = Stamp::of(path);
        match read(path, max_len) {
            Ok(bytes) => {
                let is_whole = stamp.is_some_and(|stamp| stamp.len == bytes.len() as u64);
                if is_whole && Stamp::of(path) == stamp {
                    let content = Ok(bytes);
                    return Reading { stamp, content };
                }
            }
            Err(error) => {
                let content = Err(error.into());
                return Reading { stamp, content };
            }
        }
    }
    let content = Err(ReadError::Moving);
    Reading { stamp, content }
}

/// Reads a regular file of at most `max_len` octets, and never waits for anybody to write one.
///
/// # Errors
/// If it is no regular file, is longer, or cannot be read.
pub fn read(path: &Path, max_len: u64) -> io::Result<Vec<u8>> {
    let (file, len) = open(path, max_len)?;
    let mut bytes = Vec::new();
    // Exactly as much, and an error if there is not so much memory. What is written behind the end
    // meanwhile shows in its stamp.
    bytes.try_reserve_exact(len as usize)?;
    file.take(max_len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file that settings name, such as a secret.
///
/// # Errors
/// As of [`read`].
pub fn read_setting(path: &Path) -> io::Result<Vec<u8>> {
    read(path, MAX_SETTINGS_LEN)
}

/// Opens a regular file of at most `max_len` octets for reading; also gives its length.
///
/// # Errors
/// If it is no regular file, is longer, or cannot be opened.
pub fn open(path: &Path, max_len: u64) -> io::Result<(File, u64)> {
    // Without the flag, a named pipe would not open until somebody writes to it.
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let meta = file.metadata()?;
    if meta.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !meta.is_file() {
        return Err(io::Error::other("it is a pipe or a device, not a file"));
    }
    if meta.len() > max_len {
        let (len, max_len) = (meta.len().div_ceil(MIB), max_len / MIB);
        let message = format!("it has {len} MiB, more than the limit of {max_len} MiB");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok((file, meta.len()))
}

/// The text of a file; the first octet that is none is reported.
pub fn text(bytes: Vec<u8>, path: &Path, report: &mut Report) -> Option<String> {
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
            let place = LineIndex::new(&path.to_string_lossy().into(), &text).place(valid);
            report.error(place, "not UTF-8 text, expected UTF-8");
            None
        }
    }
}

/// The place that stands for a file as a whole.
pub fn place(path: &Path) -> Place {
    Place::file(&path.to_string_lossy().into())
}

/// What zone files end in.
const ZONE_EXTENSION: &str = "zone";

/// How names end that editors and version control leave behind, or that hold notes.
const IGNORED_ENDINGS: [&str; 4] = ["~", ".swp", ".orig", ".md"];

/// What a folder of zone files holds; each sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Its zone files.
    pub zones: Vec<PathBuf>,
    /// Other files; without hidden ones, backups and notes.
    pub others: Vec<PathBuf>,
}

/// Whether a file is one of a zone, by its name.
pub fn is_zone(path: &Path) -> bool {
    path.extension().is_some_and(|ext| ext == ZONE_EXTENSION)
}

/// Lists a folder of zone files.
///
/// # Errors
/// If the folder cannot be listed.
pub fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.as_encoded_bytes();
        if name.starts_with(b".") {
            continue;
        }
        let is_ignored = || {
            IGNORED_ENDINGS
                .iter()
                .any(|end| name.ends_with(end.as_bytes()))
        };
        if is_zone(&path) {
            listing.zones.push(path);
        } else if !is_ignored() && !path.is_dir() {
            listing.others.push(path);
        }
    }
    listing.zones.sort();
    listing.others.sort();
    Ok(listing)
}

/// Writes a file so that a reader, or a crash, finds the old content or the new and nothing between; once
/// this has returned, also a power cut finds the new.
///
/// # Errors
/// If the folder cannot be written to.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let file = File::create(&beside)?;
    io::Write::write_all(&mut &file, content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The name is the folder's.
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn changes_are_noticed_whatever_they_are() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = |name: &str| dir.path().join(name);
        let set_of = |names: &[&str]| {
            let mut set = FileSet::default();
            set.note_folder(dir.path());
            for name in names {
                set.note(&path(name), Stamp::of(&path(name)));
            }
            set
        };
        fs::write(path("a.zone"), "1").expect("write");
        fs::write(path(".hidden.zone"), "1").expect("write");
        let set = set_of(&["a.zone", "missing"]);
        let changed = |set: &FileSet| -> Vec<PathBuf> {
            let now = set.now();
            set.changed(&now).map(Path::to_owned).collect()
        };
        assert!(changed(&set).is_empty());
        fs::write(path("b.zone"), "1").expect("write");
        assert_eq!(changed(&set), [path("b.zone")], "a new file");
        fs::remove_file(path("b.zone")).expect("remove");
        assert!(changed(&set).is_empty());
        replace(&path("a.zone"), b"2").expect("replace");
        assert_eq!(changed(&set), [path("a.zone")], "another inode");
        let set = set_of(&["a.zone", "missing"]);
        fs::write(path("missing"), "").expect("write");
        assert_eq!(changed(&set), [path("missing")], "a file that was missed");
        fs::remove_file(path("missing")).expect("remove");
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(path("a.zone"), mode).expect("permissions");
        assert_eq!(changed(&set), [path("a.zone")], "other permissions");
        fs::remove_file(path("a.zone")).expect("remove");
        assert_eq!(changed(&set), [path("a.zone")], "a file that went");
    }

    #[test]
    fn the_same_length_and_time_are_no_disguise() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("a.zone");
        let write = |text: &str| {
            fs::write(&path, text).expect("write");
            let file = File::options().write(true).open(&path).expect("open");
            file.set_modified(std::time::UNIX_EPOCH).expect("a time");
            Stamp::of(&path)
        };
        let before = write("one");
        // The clock of a file system ticks a few hundred times a second.
        let after = loop {
            let after = write("two");
            if after != before {
                break after.expect("a stamp");
            }
        };
        let before = before.expect("a stamp");
        assert_eq!(after.modified, before.modified);
        assert_eq!((after.inode, after.len), (before.inode, before.len));
    }

    #[test]
    fn what_has_expired_is_as_good_as_changed() {
        let path = Path::new("/dev/null");
        for (at, is_changed) in [(clock::unix(), true), (clock::unix() + 86_400, false)] {
            let mut set = FileSet::default();
            set.note(path, Stamp::of(path));
            set.note_expiry(path, at);
            let now = set.now();
            assert_eq!(set.changed(&now).count() > 0, is_changed, "{at}");
            assert_eq!(now.changed(&now.now()).count(), 0, "two looks are alike");
        }
    }

    #[test]
    fn of_two_notes_the_first_stands() {
        let mut set = FileSet::default();
        let path = Path::new("/dev/null");
        set.note(path, None);
        set.note(path, Stamp::of(path));
        assert_eq!(set.stamp(path), None);
    }

    #[test]
    fn zone_folders_are_listed_without_what_editors_leave() {
        let dir = tempfile::tempdir().expect("temp dir");
        for name in [
            ".a.zone.swp",
            "a.zone",
            "a.zone~",
            "b.zone.swp",
            "c.zone.orig",
            "db.example.com",
            "mail.inc",
            "README.md",
        ] {
            fs::write(dir.path().join(name), "").expect("write");
        }
        fs::create_dir(dir.path().join("common")).expect("a folder");
        let listing = list(dir.path()).expect("a listing");
        let path = |name: &str| dir.path().join(name);
        assert_eq!(listing.zones, [path("a.zone")]);
        assert_eq!(listing.others, [path("db.example.com"), path("mail.inc")]);
    }

    #[test]
    fn what_is_no_file_or_too_long_is_refused_at_once() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = |name: &str| dir.path().join(name);
        let fault = |path: &Path| read(path, 2 * MIB).expect_err("a fault").to_string();
        let device = Path::new("/dev/zero");
        assert_eq!(fault(device), "it is a pipe or a device, not a file");
        assert_eq!(fault(dir.path()), "is a directory");

        // Neither takes room on the disk, and the longer one would not fit into memory.
        let with_len = |len| {
            let file = File::create(path("long")).expect("a file");
            file.set_len(len).expect("a length");
            read(&path("long"), 2 * MIB)
        };
        assert_eq!(with_len(2 * MIB).expect("read").len() as u64, 2 * MIB);
        for (len, told) in [(2 * MIB + 1, "3 MiB"), (1 << 42, "4194304 MiB")] {
            let fault = with_len(len).expect_err("a fault").to_string();
            assert_eq!(
                fault,
                format!("it has {told}, more than the limit of 2 MiB")
            );
        }
    }
}
