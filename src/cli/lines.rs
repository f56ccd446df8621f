//! A file's lines, of bounded length; `-` is stdin.

use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

/// The longest line, and the longest document, in octets.
const MAX_LINE: u64 = 256 << 20;

/// How many faults are shown.
pub(super) const MAX_SHOWN: u64 = 10;

/// The lines that are yet to be read.
pub(super) struct Lines {
    input: BufReader<Box<dyn Read>>,
    number: u64,
    /// When the file was written, if it is one.
    pub(super) written: Option<SystemTime>,
}

impl Lines {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let (input, written): (Box<dyn Read>, _) = match path == Path::new("-") {
            true => (Box::new(io::stdin().lock()), None),
            false => {
                let file = File::open(path)?;
                let written = file.metadata().ok().and_then(|meta| meta.modified().ok());
                (Box::new(file), written)
            }
        };
        Ok(Self {
            input: BufReader::new(input),
            number: 0,
            written,
        })
    }

    /// The number of the line that was read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line that is not empty, without its end.
    pub(super) fn next_full(&mut self) -> io::Result<Option<String>> {
        loop {
            let mut line = Vec::new();
            let n = (&mut self.input)
                .take(MAX_LINE)
                .read_until(b'\n', &mut line)?;
            if n as u64 == MAX_LINE {
                return Err(io::Error::other("a line is longer than 256 MiB"));
            }
            if n == 0 {
                return Ok(None);
            }
            self.number += 1;
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if !line.trim().is_empty() {
                return Ok(Some(line.to_owned()));
            }
        }
    }

    /// The first line and all that follow it.
    pub(super) fn rest(self, first: String) -> io::Result<String> {
        let mut text = first.into_bytes();
        text.push(b'\n');
        self.input.take(MAX_LINE).read_to_end(&mut text)?;
        if text.len() as u64 > MAX_LINE {
            return Err(io::Error::other("is longer than 256 MiB"));
        }
        String::from_utf8(text).map_err(io::Error::other)
    }
}
