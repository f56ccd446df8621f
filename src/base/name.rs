//! `Name`: a domain name in wire form, with the case it was written in.
//!
//! Comparison, order and hash fold ASCII case (RFC 4343); the order is the canonical one of RFC 4034
//! s6.1, so that sorted names are a zone's tree in depth-first order. A name is always absolute and
//! at most 255 octets long, each label 1 to 63 (RFC 1035 s2.3.4).

use std::cmp::Ordering;
use std::fmt;
use std::fmt::Write as _;
use std::hash::Hash;
use std::hash::Hasher;

/// The longest name in wire form, in octets.
pub const MAX_NAME_LEN: usize = 255;
/// The longest label, in octets.
pub const MAX_LABEL_LEN: usize = 63;
/// The most labels a name can have: 127 of one octet and the root's.
pub const MAX_LABELS: usize = 127;

/// An absolute domain name.
#[derive(Clone)]
pub struct Name {
    wire: Box<[u8]>,
}

/// Why something is not a domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Two dots in a row, or a dot in front.
    #[error("empty label")]
    EmptyLabel,
    /// A backslash without a character or three digits up to 255 behind it.
    #[error("bad escape")]
    Escape,
    /// A label of more than 63 octets.
    #[error("label longer than 63 octets")]
    LabelTooLong,
    /// More than 255 octets in all.
    #[error("name longer than 255 octets")]
    NameTooLong,
    /// The wire form ends inside a label, or holds a compression pointer.
    #[error("truncated or compressed name")]
    Wire,
}

impl Name {
    /// The root.
    pub fn root() -> Self {
        Self {
            wire: Box::new([0]),
        }
    }

    /// Reads presentation form; a name without a final dot is taken as absolute too.
    ///
    /// # Errors
    /// If the text is no name; the empty text is [`NameError::EmptyLabel`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::parse_under(text.as_bytes(), None)
    }

    /// Reads presentation form; a name without a final dot is continued by `origin`, and `@` alone
    /// is the origin (RFC 1035 s5.1). Octets above 127 stand for themselves, in UTF-8 or not.
    ///
    /// # Errors
    /// If the text is no name.
    pub fn parse_relative(text: impl AsRef<[u8]>, origin: &Self) -> Result<Self, NameError> {
        let text = text.as_ref();
        if text == b"@" {
            return Ok(origin.clone());
        }
        Self::parse_under(text, Some(origin))
    }

    fn parse_under(text: &[u8], origin: Option<&Self>) -> Result<Self, NameError> {
        if text == b"." {
            return Ok(Self::root());
        }
        let mut wire = vec![0];
        let mut label_at = 0;
        let mut bytes = text.iter().copied();
        let mut absolute = false;
        while let Some(byte) = bytes.next() {
            absolute = byte == b'.';
            if absolute {
                if wire.len() == label_at + 1 {
                    return Err(NameError::EmptyLabel);
                }
                label_at = wire.len();
                wire.push(0);
                continue;
            }
            wire.push(if byte == b'\\' {
                unescape(&mut bytes)?
            } else {
                byte
            });
            if wire.len() - label_at > MAX_LABEL_LEN + 1 {
                return Err(NameError::LabelTooLong);
            }
            wire[label_at] += 1;
        }
        if wire.len() == 1 {
            return Err(NameError::EmptyLabel);
        }
        if !absolute {
            match origin {
                Some(origin) => wire.extend_from_slice(&origin.wire),
                None => wire.push(0),
            }
        }
        if wire.len() > MAX_NAME_LEN {
            return Err(NameError::NameTooLong);
        }
        Ok(Self { wire: wire.into() })
    }

    /// Takes an uncompressed wire form, which must end exactly with the root label.
    ///
    /// # Errors
    /// [`NameError::Wire`] or [`NameError::NameTooLong`].
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        if wire.len() > MAX_NAME_LEN {
            return Err(NameError::NameTooLong);
        }
        let mut at = 0;
        loop {
            let len = usize::from(*wire.get(at).ok_or(NameError::Wire)?);
            at += 1 + len;
            match len {
                0 if at == wire.len() => return Ok(Self { wire: wire.into() }),
                1..=MAX_LABEL_LEN => {}
                _ => return Err(NameError::Wire),
            }
        }
    }

    /// The wire form, uncompressed, in the case it was written in.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The wire form in lower case: the key under which a name is looked up.
    pub fn lower_wire(&self) -> Box<[u8]> {
        // Length octets are below 64, so folding the whole cannot touch them.
        self.wire.to_ascii_lowercase().into()
    }

    /// Whether it is the name of this wire form in lower case. Most names are written in lower case, and
    /// octets that are equal are compared fastest.
    pub fn is(&self, lower_wire: &[u8]) -> bool {
        *self.wire == *lower_wire || self.wire.eq_ignore_ascii_case(lower_wire)
    }

    /// The labels from the left, without the root's empty one.
    pub fn labels(&self) -> Labels<'_> {
        Labels { rest: &self.wire }
    }

    /// The number of labels without the root's; 0 for the root.
    pub fn n_labels(&self) -> usize {
        self.labels().count()
    }

    /// Where each label starts, and how many there are without the root's.
    fn label_starts(&self) -> ([u8; MAX_LABELS], usize) {
        let mut starts = [0; MAX_LABELS];
        let (mut at, mut n) = (0, 0);
        while self.wire[at] != 0 {
            starts[n] = at as u8;
            n += 1;
            at += 1 + usize::from(self.wire[at]);
        }
        (starts, n)
    }

    /// Presentation form without the final dot, as operators write names in `pools.toml`.
    pub fn plain(&self) -> String {
        let text = self.to_string();
        match text.strip_suffix('.') {
            Some(plain) if !self.is_root() => plain.to_owned(),
            _ => text,
        }
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.wire.len() == 1
    }

    /// Whether the first label is a lone asterisk (RFC 4592 s2.1.1).
    pub fn is_wildcard(&self) -> bool {
        self.wire.starts_with(&[1, b'*'])
    }

    /// The name without its first label; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let first = usize::from(self.wire[0]);
        (first != 0).then(|| Self {
            wire: self.wire[1 + first..].into(),
        })
    }

    /// Whether this is `other` or lies below it.
    pub fn is_at_or_below(&self, other: &Self) -> bool {
        let Some(start) = self.wire.len().checked_sub(other.wire.len()) else {
            return false;
        };
        let mut at = 0;
        while at < start {
            at += 1 + usize::from(self.wire[at]);
        }
        at == start && self.wire[start..].eq_ignore_ascii_case(&other.wire)
    }

    /// The name with one more label in front.
    ///
    /// # Errors
    /// If the label or the name gets too long, or the label is empty.
    pub fn child(&self, label: &[u8]) -> Result<Self, NameError> {
        match label.len() {
            0 => return Err(NameError::EmptyLabel),
            1..=MAX_LABEL_LEN => {}
            _ => return Err(NameError::LabelTooLong),
        }
        if 1 + label.len() + self.wire.len() > MAX_NAME_LEN {
            return Err(NameError::NameTooLong);
        }
        let mut wire = Vec::with_capacity(1 + label.len() + self.wire.len());
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
        wire.extend_from_slice(&self.wire);
        Ok(Self { wire: wire.into() })
    }
}

/// Reads what follows a backslash: three decimal digits, or one character that stands for itself.
fn unescape(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, NameError> {
    let first = bytes.next().ok_or(NameError::Escape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u32::from(first - b'0');
    for _ in 0..2 {
        match bytes.next() {
            Some(digit @ b'0'..=b'9') => value = value * 10 + u32::from(digit - b'0'),
            _ => return Err(NameError::Escape),
        }
    }
    u8::try_from(value).map_err(|_| NameError::Escape)
}

/// The labels of a name, from the left.
#[derive(Clone, Debug)]
pub struct Labels<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&len, rest) = self.rest.split_first()?;
        let (label, rest) = rest.split_at_checked(usize::from(len))?;
        self.rest = rest;
        (len != 0).then_some(label)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.wire.eq_ignore_ascii_case(&other.wire)
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in &self.wire {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    /// Canonical order (RFC 4034 s6.1): label by label from the root's side; never allocates.
    fn cmp(&self, other: &Self) -> Ordering {
        let ((a, n_a), (b, n_b)) = (self.label_starts(), other.label_starts());
        for (&a, &b) in a[..n_a].iter().rev().zip(b[..n_b].iter().rev()) {
            let label = |wire: &'_ [u8], at: u8| {
                let at = usize::from(at);
                at + 1..at + 1 + usize::from(wire[at])
            };
            let a = self.wire[label(&self.wire, a)].iter();
            let b = other.wire[label(&other.wire, b)].iter();
            let fold = u8::to_ascii_lowercase;
            let order = a.map(fold).cmp(b.map(fold));
            if order.is_ne() {
                return order;
            }
        }
        n_a.cmp(&n_b)
    }
}

impl fmt::Display for Name {
    /// Presentation form with the final dot; what is not printable or has a meaning is escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                        f.write_char('\\')?;
                        f.write_char(char::from(byte))?;
                    }
                    b'!'..=b'~' => f.write_char(char::from(byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_char('.')?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Name {
        Name::parse(text).expect(text)
    }

    #[test]
    fn text_and_wire_agree() {
        let cases: &[(&str, &[u8], &str)] = &[
            (".", b"\0", "."),
            ("com", b"\x03com\0", "com."),
            (
                "www.Example.com.",
                b"\x03www\x07Example\x03com\0",
                "www.Example.com.",
            ),
            (r"a\.b.c.", b"\x03a.b\x01c\0", r"a\.b.c."),
            (r"\000\255.c.", b"\x02\x00\xff\x01c\0", r"\000\255.c."),
            (r"\065.", b"\x01A\0", "A."),
            ("*.example.", b"\x01*\x07example\0", "*.example."),
        ];
        for (text, wire, printed) in cases {
            assert_eq!(n(text).wire(), *wire, "{text}");
            assert_eq!(n(text).to_string(), *printed, "{text}");
            assert_eq!(n(&n(text).plain()), n(text), "{text}");
            assert_eq!(Name::from_wire(wire).expect("wire"), n(text), "{text}");
        }
    }

    #[test]
    fn faults_are_told_apart() {
        let long = format!("{}.com", "a".repeat(64));
        let huge = "abcdefg.".repeat(32);
        for (text, error) in [
            ("", NameError::EmptyLabel),
            ("a..b", NameError::EmptyLabel),
            (".a", NameError::EmptyLabel),
            ("..", NameError::EmptyLabel),
            (r"a\", NameError::Escape),
            (r"a\25", NameError::Escape),
            (r"a\256", NameError::Escape),
            (&long, NameError::LabelTooLong),
            (&huge, NameError::NameTooLong),
        ] {
            assert_eq!(Name::parse(text), Err(error), "{text}");
        }
        assert!(Name::parse(&"abcdefg.".repeat(31)).is_ok());
        for wire in [&b""[..], b"\x03ww", b"\xc0\x0c", b"\0\0", b"\x01a"] {
            assert_eq!(Name::from_wire(wire), Err(NameError::Wire), "{wire:?}");
        }
    }

    #[test]
    fn relative_names_take_the_origin() {
        let origin = n("example.com.");
        assert_eq!(
            Name::parse_relative("www", &origin),
            Ok(n("www.example.com."))
        );
        assert_eq!(Name::parse_relative("www.", &origin), Ok(n("www.")));
        assert_eq!(Name::parse_relative("@", &origin), Ok(origin.clone()));
    }

    #[test]
    fn case_is_kept_and_ignored() {
        use std::collections::HashSet;
        assert_eq!(n("WWW.example."), n("www.EXAMPLE."));
        let set: HashSet<_> = [n("WWW.example."), n("www.EXAMPLE.")].into();
        assert_eq!(set.len(), 1);
        assert_eq!(n("wWw.").to_string(), "wWw.");
    }

    #[test]
    fn order_is_canonical() {
        // RFC 4034 s6.1, the section's own example.
        let sorted = [
            "example.",
            "a.example.",
            "yljkjljk.a.example.",
            "Z.a.example.",
            "zABC.a.EXAMPLE.",
            "z.example.",
            r"\001.z.example.",
            "*.z.example.",
            r"\200.z.example.",
        ];
        for pair in sorted.windows(2) {
            assert!(n(pair[0]) < n(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn ancestry_follows_labels_not_bytes() {
        assert!(n("a.example.com").is_at_or_below(&n("EXAMPLE.com")));
        assert!(n("example.com").is_at_or_below(&n("example.com")));
        assert!(n("example.com").is_at_or_below(&Name::root()));
        assert!(!n("badexample.com").is_at_or_below(&n("example.com")));
        assert!(!n("com").is_at_or_below(&n("example.com")));
        // A label whose content looks like the wire form of the ancestor.
        assert!(!n(r"a\003com.").is_at_or_below(&n("com.")));
        assert_eq!(n("a.b.").parent(), Some(n("b.")));
        assert_eq!(Name::root().parent(), None);
        assert_eq!(n("b.").child(b"*").map(|c| c.is_wildcard()), Ok(true));
    }
}
