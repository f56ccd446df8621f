//! What came, turned into a database: as it is, out of gzip, out of a tar archive.
//!
//! What it is, its first octets say: many URLs end in no file's name. Of an archive, the one file that ends in
//! `.mmdb` is taken and no path is used. What unpacks to more than the limit is refused while it does.

use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;

use flate2::bufread::MultiGzDecoder;
use tar::Archive;
use tar::EntryType;

use crate::fetch::FetchError;

const GZIP: &[u8] = &[0x1f, 0x8b];

/// How other archives begin that vendors have.
const ZIP: &[u8] = b"PK\x03\x04";

/// The length of a header of a tar archive, and where its mark stands (POSIX.1-1988).
const TAR_HEADER_LEN: u64 = 512;
const TAR_MARK: std::ops::Range<usize> = 257..262;

/// Writes the database in `from` to `to`, at most `max_len` octets.
///
/// # Errors
/// If there is none, or it is longer.
pub fn unpack(from: File, to: &File, max_len: u64) -> Result<(), FetchError> {
    let mut packed = BufReader::new(from);
    let start = packed.fill_buf().map_err(FetchError::Disk)?;
    if start.starts_with(ZIP) {
        let message = "a ZIP archive, expected .mmdb, .gz or .tar.gz";
        return Err(FetchError::Archive(message.into()));
    }
    let is_gzip = start.starts_with(GZIP);
    let plain: Box<dyn Read> = match is_gzip {
        true => Box::new(MultiGzDecoder::new(packed)),
        false => Box::new(packed),
    };
    let mut bounded = Bounded {
        inner: plain,
        left: max_len,
    };
    let fault = |error: io::Error| fault(&error, max_len);
    let mut head = Vec::new();
    (&mut bounded)
        .take(TAR_HEADER_LEN)
        .read_to_end(&mut head)
        .map_err(fault)?;
    let is_tar = head.get(TAR_MARK) == Some(b"ustar");
    let mut whole = head.as_slice().chain(bounded);
    match is_tar {
        true => from_tar(whole, to, max_len),
        false => copy(&mut whole, to, max_len),
    }
}

fn from_tar(archive: impl Read, to: &File, max_len: u64) -> Result<(), FetchError> {
    let fault = |error: io::Error| fault(&error, max_len);
    let mut archive = Archive::new(archive);
    // As they are: extensions of the format could make a reader keep headers of any length.
    for entry in archive.entries().map_err(fault)?.raw(true) {
        let mut entry = entry.map_err(fault)?;
        let is_file = matches!(
            entry.header().entry_type(),
            EntryType::Regular | EntryType::Continuous
        );
        if is_file && entry.path_bytes().ends_with(b".mmdb") {
            return copy(&mut entry, to, max_len);
        }
    }
    let message = "an archive without a file that ends in .mmdb";
    Err(FetchError::Archive(message.into()))
}

fn copy(from: &mut impl Read, mut to: &File, max_len: u64) -> Result<(), FetchError> {
    let mut part = vec![0; 64 * 1024];
    loop {
        let len = from
            .read(&mut part)
            .map_err(|error| fault(&error, max_len))?;
        if len == 0 {
            return Ok(());
        }
        to.write_all(&part[..len]).map_err(FetchError::Disk)?;
    }
}

fn fault(error: &io::Error, max_len: u64) -> FetchError {
    match error.kind() {
        io::ErrorKind::FileTooLarge => FetchError::TooLong(max_len),
        _ => FetchError::Archive(format!("cannot be unpacked: {error}").into()),
    }
}

/// A reader that fails where there is more than the limit.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        let left = self.left.checked_sub(len as u64);
        self.left = left.ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(len)
    }
}
