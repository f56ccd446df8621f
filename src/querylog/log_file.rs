//! A file that lines are appended to, and that others rotate: it is opened anew when it was moved away or removed.
//! Without them it rotates itself, so that it takes a bounded room on disk.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

/// Readable for its owner and a group: prefixes of clients are not for everybody.
const MODE: u32 = 0o640;

/// The file, open while it can be written to.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    /// Where the file goes when it is full, in place of what is there.
    rotated: PathBuf,
    max_len: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Octets of whole lines.
    len: u64,
    /// Device and inode.
    identity: (u64, u64),
}

impl LogFile {
    /// Nothing is opened before something is written.
    pub(super) fn new(path: &Path, max_len: u64) -> Self {
        let mut rotated = path.as_os_str().to_owned();
        rotated.push(".1");
        Self {
            path: path.to_owned(),
            rotated: rotated.into(),
            max_len,
            open: None,
        }
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// If they cannot be written; then none of them is in the file.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let len = lines.len() as u64;
        if let Some(open) = &self.open
            && open.len > 0
            && open.len + len > self.max_len
        {
            fs::rename(&self.path, &self.rotated)?;
            self.close();
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open::file(&self.path)?,
        };
        if let Err(error) = open.file.write_all(lines) {
            // What was written of a line would be continued by the next. Opened anew, if there is room again.
            let _ = open.file.set_len(open.len);
            return Err(error);
        }
        open.len += len;
        self.open = Some(open);
        Ok(())
    }

    /// Has the next lines go to a file of this name, whatever became of the one that is open.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// The same if the open file has been moved away or removed.
    pub(super) fn close_if_moved(&mut self) {
        let identity = fs::metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        self.open
            .take_if(|open| identity.ok() != Some(open.identity));
    }
}

impl Open {
    fn file(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(MODE);
        // A pipe without a reader would be waited for.
        options.custom_flags(libc::O_NONBLOCK);
        let file = options.open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "is no regular file",
            ));
        }
        Ok(Self {
            file,
            len: metadata.len(),
            identity: (metadata.dev(), metadata.ino()),
        })
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn file(max_len: u64) -> (TempDir, LogFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = LogFile::new(&folder.path().join("log"), max_len);
        (folder, file)
    }

    fn text(folder: &TempDir, name: &str) -> String {
        fs::read_to_string(folder.path().join(name)).unwrap()
    }

    #[test]
    fn a_file_that_was_moved_away_or_removed_is_made_anew() {
        let (folder, mut file) = file(1000);
        file.append(b"one\n").unwrap();
        file.close_if_moved();
        file.append(b"two\n").unwrap();
        fs::rename(folder.path().join("log"), folder.path().join("old")).unwrap();
        file.append(b"three\n").unwrap();
        file.close_if_moved();
        file.append(b"four\n").unwrap();
        assert_eq!(text(&folder, "old"), "one\ntwo\nthree\n");
        assert_eq!(text(&folder, "log"), "four\n");
        fs::remove_file(folder.path().join("log")).unwrap();
        file.close_if_moved();
        file.append(b"five\n").unwrap();
        assert_eq!(text(&folder, "log"), "five\n");
        let mode = fs::metadata(folder.path().join("log")).unwrap().mode();
        assert_eq!(mode & 0o007, 0);
    }

    #[test]
    fn a_full_file_takes_the_place_of_the_one_before() {
        let (folder, mut file) = file(10);
        for line in ["1234\n", "5678\n", "9\n", "a long line of its own\n", "x\n"] {
            file.append(line.as_bytes()).unwrap();
        }
        assert_eq!(text(&folder, "log"), "x\n");
        assert_eq!(text(&folder, "log.1"), "a long line of its own\n");
        let mut again = LogFile::new(&folder.path().join("log"), 10);
        again.append(b"1234567\n").unwrap();
        again.append(b"8\n").unwrap();
        assert_eq!(text(&folder, "log"), "8\n", "what was there counts");
    }

    #[test]
    fn what_cannot_be_written_leaves_no_part_of_a_line() {
        // A device that is always full, and no regular file.
        let mut file = LogFile::new(Path::new("/dev/full"), 1000);
        assert!(file.append(b"one\n").is_err());
        let (folder, _) = self::file(0);
        let mut in_nothing = LogFile::new(&folder.path().join("nothing/log"), 1000);
        assert!(in_nothing.append(b"one\n").is_err());
        fs::create_dir(folder.path().join("nothing")).unwrap();
        in_nothing.append(b"two\n").unwrap();
        assert_eq!(text(&folder, "nothing/log"), "two\n");
    }
}
