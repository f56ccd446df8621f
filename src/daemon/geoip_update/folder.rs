//! The files of a database that is fetched, in `state_dir/geoip`.
//!
//! ```text
//! location.mmdb           the one that is loaded
//! location.before.mmdb    the one before
//! location.refused.mmdb   the latest that was refused
//! location.json           what is known of the server's
//! ```

use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::config::model::Process;

/// Which of the databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// `[geoip] database`.
    Location,
    /// `[geoip] asn_database`.
    Asn,
}

impl Database {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Location, Self::Asn];

    /// As in files, metrics and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Location => "location",
            Self::Asn => "asn",
        }
    }
}

/// Where the files of one database are.
#[derive(Clone, Debug)]
pub struct Folder {
    folder: PathBuf,
    database: Database,
}

impl Folder {
    /// Of a process that fetches this one.
    pub fn of(process: &Process, database: Database) -> Option<Self> {
        let update = process.geoip.update.as_ref()?;
        let remote = match database {
            Database::Location => &update.location,
            Database::Asn => &update.asn,
        };
        remote.as_ref()?;
        let folder = process.state_dir.as_ref()?.join("geoip");
        Some(Self { folder, database })
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder
            .join(format!("{}{ending}", self.database.as_str()))
    }

    /// The database that is loaded, if it is there.
    pub fn loaded(&self) -> PathBuf {
        self.path(".mmdb")
    }

    /// The latest that was refused.
    pub fn refused(&self) -> PathBuf {
        self.path(".refused.mmdb")
    }

    /// A database that has been fetched and not been taken.
    pub fn candidate(&self) -> PathBuf {
        self.path(".new.mmdb")
    }

    /// What is known of the server's.
    pub fn record(&self) -> PathBuf {
        self.path(".json")
    }

    fn before(&self) -> PathBuf {
        self.path(".before.mmdb")
    }

    /// Makes the folder.
    pub fn make(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)
    }

    /// A file without a name, gone with the process.
    pub fn scratch(&self) -> io::Result<File> {
        tempfile::tempfile_in(&self.folder)
    }

    /// Puts the candidate where it is loaded from, and keeps the one before.
    pub fn install(&self) -> io::Result<()> {
        remove(&self.before())?;
        if self.loaded().exists() {
            fs::hard_link(self.loaded(), self.before())?;
        }
        fs::rename(self.candidate(), self.loaded())?;
        self.sync()
    }

    /// Puts the one before back, and sets the other aside.
    pub fn undo(&self) -> io::Result<()> {
        remove(&self.refused())?;
        if self.before().exists() {
            fs::hard_link(self.loaded(), self.refused())?;
            fs::rename(self.before(), self.loaded())?;
        } else {
            fs::rename(self.loaded(), self.refused())?;
        }
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_before_is_kept_and_put_back() {
        let dir = tempfile::tempdir().expect("temp dir");
        let folder = Folder {
            folder: dir.path().join("geoip"),
            database: Database::Location,
        };
        folder.make().expect("a folder");
        let fetch = |content: &str| fs::write(folder.candidate(), content).expect("write");
        let content = |path: PathBuf| fs::read_to_string(path).ok();
        let now = || [folder.loaded(), folder.before(), folder.refused()].map(content);
        let some = |text: &str| Some(text.to_owned());

        fetch("1");
        folder.install().expect("installed");
        folder.undo().expect("undone");
        assert_eq!(now(), [None, None, some("1")], "none was there before");
        fetch("2");
        folder.install().expect("installed");
        fetch("3");
        folder.install().expect("installed");
        assert_eq!(now(), [some("3"), some("2"), some("1")]);
        fetch("4");
        folder.install().expect("installed");
        folder.undo().expect("undone");
        assert_eq!(now(), [some("3"), None, some("4")]);
    }
}
