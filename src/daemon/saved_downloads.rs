//! What is known of a database that is fetched: a file beside it, so that a restart does not fetch it again.

use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;

use crate::daemon::files;

/// The layout of the file.
const VERSION: u32 = 1;

/// What is known. All times are Unix seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The layout.
    pub version: u32,
    /// Where it comes from, as configured.
    pub url: Box<str>,
    /// What the server said of the file that was fetched last, in force or refused.
    pub etag: Option<String>,
    /// The same.
    pub last_modified: Option<String>,
    /// Of that file, in hexadecimal.
    pub sha256: Option<String>,
    /// Why that file is not in force.
    pub refused: Option<Box<str>>,
    /// When the server was asked last.
    pub checked: Option<u64>,
    /// When that was last of use.
    pub succeeded: Option<u64>,
    /// When it is asked next.
    pub next: u64,
    /// How often in a row it was asked in vain.
    pub failures: u32,
    /// Why, the last time.
    pub fault: Option<Box<str>>,
}

impl Record {
    /// Nothing is known any longer of the file that was fetched last.
    pub fn forget_file(&mut self) {
        (self.etag, self.last_modified, self.sha256) = (None, None, None);
        self.refused = None;
    }
}

/// Writes it; a crash leaves the old file or the new one.
///
/// # Errors
/// If the folder cannot be written to.
pub fn write(path: &Path, record: &Record) -> io::Result<()> {
    let record = Record {
        version: VERSION,
        ..record.clone()
    };
    let mut text = serde_json::to_vec_pretty(&record)?;
    text.push(b'\n');
    files::replace(path, &text)
}

/// Reads it back; nothing is known without a file of this layout.
pub fn read(path: &Path) -> Record {
    let octets = files::read(path, files::MAX_SETTINGS_LEN).ok();
    let record: Option<Record> = octets.and_then(|octets| serde_json::from_slice(&octets).ok());
    record
        .filter(|record| record.version == VERSION)
        .unwrap_or_default()
}
