//! `Names`: the names of a message that later ones can point at (RFC 1035 s4.1.4).
//!
//! A table of fixed size that is searched from end to end: messages hold few names, and the lengths
//! alone tell most of them apart. It knows offsets, not bytes; the bytes are in the message.
//!
//! Invariant: no entry lies at 0x4000 or beyond, where no pointer reaches.

use crate::base::name::MAX_NAME_LEN;
use crate::wire::header::HEADER_LEN;

/// The two top bits of a compression pointer; the rest is the offset.
pub(super) const POINTER: u16 = 0xC000;

/// How names are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// Upper and lower case are the same (RFC 4343).
    Ignored,
    /// They differ: what is compressed keeps its spelling.
    Kept,
}

/// The names that can be pointed at: each entry is one suffix that stands in the message.
#[derive(Debug)]
pub(super) struct Names {
    n: usize,
    offsets: [u16; Self::MAX],
    /// Uncompressed lengths: most candidates are told apart by these alone.
    lens: [u8; Self::MAX],
}

impl Names {
    /// Enough for a referral to thirteen servers under as many names; later ones are not compressed.
    const MAX: usize = 64;

    /// The qname and its ancestors, from a message that holds a header and a question.
    pub(super) fn of_question(message: Option<&[u8]>) -> Self {
        let mut names = Self {
            n: 0,
            offsets: [0; Self::MAX],
            lens: [0; Self::MAX],
        };
        let question = message.and_then(|message| message.get(HEADER_LEN..));
        let mut suffix = question
            .and_then(split_name)
            .map_or(&[][..], |(qname, _)| qname);
        let mut at = HEADER_LEN;
        while let Some((label, parent)) = split_label(suffix) {
            names.add(at, suffix.len());
            at += label.len();
            suffix = parent;
        }
        names
    }

    /// The number of entries, which grows with the message.
    pub(super) fn len(&self) -> usize {
        self.n
    }

    /// Forgets all entries but the first `n`.
    pub(super) fn truncate(&mut self, n: usize) {
        self.n = self.n.min(n);
    }

    /// Adds a suffix unless the table is full or no pointer reaches it.
    pub(super) fn add(&mut self, at: usize, len: usize) {
        let (Ok(at), Ok(len)) = (u16::try_from(at), u8::try_from(len)) else {
            return;
        };
        if at & POINTER == 0
            && let Some(offset) = self.offsets.get_mut(self.n)
            && let Some(entry_len) = self.lens.get_mut(self.n)
        {
            (*offset, *entry_len) = (at, len);
            self.n += 1;
        }
    }

    /// Where a name stands in the message, spelled alike.
    pub(super) fn find(&self, message: &[u8], name: &[u8], case: Case) -> Option<u16> {
        let entries = self.offsets.iter().zip(&self.lens).take(self.n);
        entries
            .filter(|(_, len)| usize::from(**len) == name.len())
            .map(|(offset, _)| *offset)
            .find(|offset| is_name_at(message, usize::from(*offset), name, case))
    }
}

/// Whether the name at an offset, once its pointers are followed, is this one.
pub(super) fn is_name_at(message: &[u8], mut at: usize, mut name: &[u8], case: Case) -> bool {
    loop {
        let Some(tail) = message.get(at..) else {
            return false;
        };
        if let &[high @ 0xC0..=0xFF, low, ..] = tail {
            let target = usize::from(u16::from_be_bytes([high, low]) & !POINTER);
            // Backwards only, so that this ends whatever the bytes.
            if target >= at {
                return false;
            }
            at = target;
            continue;
        }
        let Some((label, parent)) = split_label(name) else {
            return tail.first() == name.first();
        };
        let is_same = |written: &[u8]| match case {
            Case::Kept => written == label,
            Case::Ignored => written.eq_ignore_ascii_case(label),
        };
        if !tail.get(..label.len()).is_some_and(is_same) {
            return false;
        }
        at += label.len();
        name = parent;
    }
}

/// Copies the name at an offset, its pointers followed, into `buffer`; `None` if it is broken.
pub(super) fn read_name<'b>(
    message: &[u8],
    mut at: usize,
    buffer: &'b mut [u8; MAX_NAME_LEN],
) -> Option<&'b [u8]> {
    let mut len = 0;
    loop {
        let label = next_label(message, &mut at)?;
        buffer
            .get_mut(len..len + label.len())?
            .copy_from_slice(label);
        len += label.len();
        if label.len() == 1 {
            return buffer.get(..len);
        }
    }
}

/// Where the name at an offset ends in the message, its pointers not followed; `None` if it is broken:
/// cut off, with a pointer that does not point backwards, in a loop, or too long.
pub(super) fn name_end(message: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut len) = (start, 0);
    let mut end = None;
    loop {
        let is_pointer = message.get(at)? & 0xC0 == 0xC0;
        end = end.or(is_pointer.then_some(at + 2));
        let label = next_label(message, &mut at)?;
        len += label.len();
        if len > MAX_NAME_LEN {
            return None;
        }
        if label.len() == 1 {
            return end.or(Some(at));
        }
    }
}

/// The label at an offset, pointers in front of it followed, with its length octet; the offset moves
/// behind it. `None` if there is none.
fn next_label<'m>(message: &'m [u8], at: &mut usize) -> Option<&'m [u8]> {
    loop {
        let tail = message.get(*at..)?;
        match *tail {
            [len @ 0..=63, ..] => {
                let label = tail.get(..=usize::from(len))?;
                *at += label.len();
                return Some(label);
            }
            [high @ 0xC0..=0xFF, low, ..] => {
                let target = usize::from(u16::from_be_bytes([high, low]) & !POINTER);
                // Backwards only, so that this ends whatever the bytes.
                *at = Some(target).filter(|target| target < at)?;
            }
            _ => return None,
        }
    }
}

/// The first label with its length octet, and the name after it; `None` for the root, and for what is
/// no name.
pub(super) fn split_label(name: &[u8]) -> Option<(&[u8], &[u8])> {
    match name.first() {
        Some(&len @ 1..=63) => name.split_at_checked(1 + usize::from(len)),
        _ => None,
    }
}

/// The name that the bytes start with, and what follows it.
pub(super) fn split_name(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = bytes;
    while let Some((_, parent)) = split_label(rest) {
        rest = parent;
    }
    let (0, after) = rest.split_first()? else {
        return None;
    };
    bytes.split_at_checked(bytes.len() - after.len())
}
