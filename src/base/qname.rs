//! `QName`: a lower-cased name on the stack, made for looking up.
//!
//! A query's name is folded once while it is read; every search then compares plain bytes. The label
//! starts are kept, so that each ancestor is a slice and never a copy. It never allocates.

use std::fmt;

use crate::base::name::MAX_LABELS;
use crate::base::name::MAX_NAME_LEN;
use crate::base::name::Name;
use crate::base::name::NameError;

/// Room for the longest name in whole words of eight octets.
const ROOM: usize = MAX_NAME_LEN.next_multiple_of(8);

/// A name in lower-case wire form with the start of each label.
#[derive(Clone)]
pub struct QName {
    /// What stands behind the name means nothing.
    wire: [u8; ROOM],
    len: u8,
    starts: [u8; MAX_LABELS + 1],
    n_labels: u8,
}

impl QName {
    /// The root.
    pub fn root() -> Self {
        Self {
            wire: [0; ROOM],
            len: 1,
            starts: [0; MAX_LABELS + 1],
            n_labels: 0,
        }
    }

    /// Folds a name.
    pub fn from_name(name: &Name) -> Self {
        let mut qname = Self::root();
        // A `Name` keeps the limits, so this cannot fail.
        let _ = qname.set_wire(name.wire());
        qname
    }

    /// Replaces the content by an uncompressed wire form, which may be followed by other bytes;
    /// returns the number of octets that the name takes. The content is the root after an error.
    ///
    /// # Errors
    /// [`NameError::Wire`] for a truncated or compressed name, [`NameError::NameTooLong`].
    pub fn set_wire(&mut self, bytes: &[u8]) -> Result<usize, NameError> {
        self.clear();
        let (mut at, mut n_labels) = (0, 0);
        loop {
            let label_len = *bytes.get(at).ok_or(NameError::Wire)?;
            match label_len {
                0 => break,
                1..=63 => {}
                _ => return Err(NameError::Wire),
            }
            self.starts[n_labels] = at as u8;
            n_labels += 1;
            at += 1 + usize::from(label_len);
            if at >= MAX_NAME_LEN {
                return Err(NameError::NameTooLong);
            }
        }
        // What is behind the name is of no account, and there is room for it.
        let (words, rest) = bytes.as_chunks::<8>();
        let (room, _) = self.wire.as_chunks_mut::<8>();
        let n_words = at.div_ceil(8);
        for (room, word) in room.iter_mut().zip(words).take(n_words) {
            *room = to_lower(u64::from_le_bytes(*word)).to_le_bytes();
        }
        if words.len() < n_words {
            for (room, octet) in self.wire[words.len() * 8..].iter_mut().zip(rest) {
                *room = octet.to_ascii_lowercase();
            }
        }
        self.wire[at] = 0;
        self.len = at as u8 + 1;
        self.starts[n_labels] = at as u8;
        self.n_labels = n_labels as u8;
        Ok(at + 1)
    }

    fn clear(&mut self) {
        self.wire[0] = 0;
        self.starts[0] = 0;
        self.len = 1;
        self.n_labels = 0;
    }

    /// The number of labels without the root's.
    pub fn n_labels(&self) -> usize {
        usize::from(self.n_labels)
    }

    /// The whole name in lower-case wire form, with the root label.
    pub fn wire(&self) -> &[u8] {
        &self.wire[..usize::from(self.len)]
    }

    /// The name without its first `n` labels; the root where there are no more.
    pub fn suffix(&self, n: usize) -> &[u8] {
        let start = usize::from(self.starts[n.min(self.n_labels())]);
        &self.wire[start..usize::from(self.len)]
    }

    /// Whether this is `ancestor` or lies below it.
    pub fn is_at_or_below(&self, ancestor: &Self) -> bool {
        match self.n_labels().checked_sub(ancestor.n_labels()) {
            Some(n) => self.suffix(n) == ancestor.wire(),
            None => false,
        }
    }
}

/// Eight octets in lower case, all at once.
///
/// Adding to the low seven bits of each octet carries into its top bit where they are at least `A`, or
/// more than `Z`; one without the other is a capital letter, unless the octet is not ASCII. Length
/// octets are below 64 and stay as they are.
fn to_lower(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low_bits = word & (EACH * 0x7F);
    let from_a = low_bits + EACH * (0x80 - u64::from(b'A'));
    let beyond_z = low_bits + EACH * (0x7F - u64::from(b'Z'));
    let is_capital = (from_a ^ beyond_z) & !word & (EACH * 0x80);
    word | is_capital >> 2
}

impl PartialEq for QName {
    fn eq(&self, other: &Self) -> bool {
        self.wire() == other.wire()
    }
}

impl Eq for QName {}

impl fmt::Debug for QName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Name::from_wire(self.wire()) {
            Ok(name) => fmt::Display::fmt(&name, f),
            Err(error) => fmt::Display::fmt(&error, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_the_ancestors() {
        let mut qname = QName::root();
        assert_eq!(
            qname.set_wire(b"\x03WWW\x07Example\x03com\0trailing"),
            Ok(17)
        );
        assert_eq!(qname.n_labels(), 3);
        assert_eq!(qname.wire(), b"\x03www\x07example\x03com\0");
        assert_eq!(qname.suffix(1), b"\x07example\x03com\0");
        assert_eq!(qname.suffix(3), b"\0");
        assert_eq!(qname.suffix(9), b"\0");
        assert_eq!(QName::from_name(&Name::root()), QName::root());
        let name = |text| QName::from_name(&Name::parse(text).expect("a name"));
        assert!(qname.is_at_or_below(&name("Example.com.")));
        assert!(qname.is_at_or_below(&qname) && qname.is_at_or_below(&QName::root()));
        assert!(!qname.is_at_or_below(&name("w.example.com.")));
        assert!(!qname.is_at_or_below(&name(r"\007example.com.")));
    }

    #[test]
    fn eight_octets_are_folded_as_each_is() {
        for octet in 0..=u8::MAX {
            let octets = [octet, b'A', 0x40, octet, b'Z', 0xDA, 0x5B, octet];
            let folded = to_lower(u64::from_le_bytes(octets)).to_le_bytes();
            assert_eq!(folded, octets.map(|octet| octet.to_ascii_lowercase()));
        }
    }

    #[test]
    fn the_longest_names_fit_and_longer_ones_do_not() {
        let most_labels = [b"\x01a".repeat(127), vec![0]].concat();
        let mut qname = QName::root();
        assert_eq!(qname.set_wire(&most_labels), Ok(255));
        assert_eq!(
            (qname.n_labels(), qname.suffix(126)),
            (127, &b"\x01a\0"[..])
        );
        let too_long = [b"\x01a".repeat(128), vec![0]].concat();
        assert_eq!(qname.set_wire(&too_long), Err(NameError::NameTooLong));
        assert_eq!(qname, QName::root());
        assert_eq!(qname.set_wire(b"\x03ab"), Err(NameError::Wire));
        assert_eq!(qname.set_wire(b"\xc0\x0c"), Err(NameError::Wire));
        assert_eq!(qname.set_wire(b""), Err(NameError::Wire));
    }
}
