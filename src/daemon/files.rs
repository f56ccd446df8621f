//! Reading files that somebody may be writing, and noticing that they changed.
//!
//! A file is read whole into memory and taken only if it was the same before and after, so that a file
//! replaced or truncated meanwhile cannot be half-loaded, and nothing is ever mapped that could vanish
//! under a running server. Nor can one that is no file at all, or has no end: pipes and devices are
//! refused, and so is what is longer than anything that makes sense. What was read is remembered by its
//! [`Stamp`]; comparing stamps by `stat` is all the watching there is, and works on every file system,
//! through symbolic links and NFS.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

/// The longest database or zone file that is read, in octets: several times the longest MMDB that is in
/// use, and a zone of some 25 million records.
pub const MAX_DATA_LEN: u64 = 1024 * MIB;

/// The longest file of settings, secrets or state that is read, in octets: a million steered names.
pub const MAX_SETTINGS_LEN: u64 = 64 * MIB;

const MIB: u64 = 1024 * 1024;

/// How often a file that changes while it is read is tried again.
const READ_ATTEMPTS: usize = 5;

/// What `stat` says of a file; equal stamps mean the same content, as far as a file system can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
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
        })
    }
}

/// The stamps of everything that was looked at in one load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSet {
    files: BTreeMap<PathBuf, Option<Stamp>>,
    /// The zone folder with the names of its zone files.
    folders: BTreeMap<PathBuf, Vec<PathBuf>>,
}

impl FileSet {
    /// Reads a file of at most `max_len` octets and remembers what it was.
    ///
    /// # Errors
    /// If it cannot be read, as by [`read`], or does not hold still.
    pub fn read(&mut self, path: &Path, max_len: u64) -> io::Result<Vec<u8>> {
        for _ in 0..READ_ATTEMPTS {
            let before = Stamp::of(path);
            self.files.insert(path.to_owned(), before);
            let bytes = read(path, max_len)?;
            let whole = before.is_some_and(|stamp| stamp.len == bytes.len() as u64);
            if whole && Stamp::of(path) == before {
                return Ok(bytes);
            }
        }
        Err(io::Error::other("it changes while it is being read"))
    }

    /// Remembers a file that need not be read again because its stamp is still this one.
    pub fn keep(&mut self, path: &Path, stamp: Option<Stamp>) {
        self.files.insert(path.to_owned(), stamp);
    }

    /// The files of a folder with this extension, sorted; hidden ones, as editors leave, are passed
    /// over.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn list(&mut self, folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
        // Remembered even if it cannot be read now: it may come.
        self.folders.insert(folder.to_owned(), Vec::new());
        let files = list(folder, extension)?;
        self.folders.insert(folder.to_owned(), files.clone());
        Ok(files)
    }

    /// The stamp a file had.
    pub fn stamp(&self, path: &Path) -> Option<Stamp> {
        self.files.get(path).copied().flatten()
    }

    /// The same files and folders as they are now.
    #[must_use]
    pub fn now(&self) -> Self {
        let stamp = |(path, _): (&PathBuf, _)| (path.clone(), Stamp::of(path));
        let listing = |(folder, _): (&PathBuf, _)| {
            (
                folder.clone(),
                list(folder, ZONE_EXTENSION).unwrap_or_default(),
            )
        };
        Self {
            files: self.files.iter().map(stamp).collect(),
            folders: self.folders.iter().map(listing).collect(),
        }
    }
}

/// Reads a regular file of at most `max_len` octets, and never waits for anybody to write one.
///
/// # Errors
/// If it is no regular file, is longer, or cannot be read.
pub fn read(path: &Path, max_len: u64) -> io::Result<Vec<u8>> {
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
    let mut bytes = Vec::new();
    // Exactly as much, and an error if there is not so much memory. What is written behind the end
    // meanwhile shows in its stamp.
    bytes.try_reserve_exact(meta.len() as usize)?;
    file.take(max_len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What zone files end in.
pub const ZONE_EXTENSION: &str = "zone";

fn list(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.extension().is_some_and(|ext| ext == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Writes a file so that a reader, or a crash, finds the old content or the new and nothing between.
///
/// # Errors
/// If the folder cannot be written to.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let file = fs::File::create(&beside)?;
    io::Write::write_all(&mut &file, content)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_noticed_whatever_they_are() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("a.zone"), "1").expect("write");
        fs::write(path(".hidden.zone"), "1").expect("write");
        let mut seen = FileSet::default();
        assert_eq!(
            seen.list(dir.path(), ZONE_EXTENSION).expect("list"),
            [path("a.zone")]
        );
        assert_eq!(seen.read(&path("a.zone"), 1).expect("read"), b"1");
        assert!(seen.read(&path("missing"), 1).is_err());
        assert_eq!(seen.now(), seen);

        fs::write(path("b.zone"), "1").expect("write");
        assert_ne!(seen.now(), seen, "a new file");
        fs::remove_file(path("b.zone")).expect("remove");
        assert_eq!(seen.now(), seen);
        replace(&path("a.zone"), b"2").expect("replace");
        assert_ne!(seen.now(), seen, "the same length, another inode");
        let mut seen = seen.now();
        fs::write(path("missing"), "").expect("write");
        assert_ne!(seen.now(), seen, "a file that was missed");
        seen = seen.now();
        fs::remove_file(path("a.zone")).expect("remove");
        assert_ne!(seen.now(), seen, "a file that went");
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
            let file = fs::File::create(path("long")).expect("a file");
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

        let mut seen = FileSet::default();
        assert!(seen.read(&path("long"), MIB).is_err());
        assert_eq!(seen.now(), seen, "the watcher waits for its next change");
    }
}
