//! The lexer of master files: octets to entries, an entry being a list of tokens with positions.
//!
//! A zone file is octets, not text of some encoding: those above 127 mean themselves, as in all peers.
//! RFC 1035 s5.1: an entry is a line, unless parentheses carry it over several; `;` starts a comment,
//! quotes group, a backslash takes the meaning from what follows. Escapes are left in the token: only
//! its reader knows whether it is a name or a string. Parentheses do not nest and quotes end on their
//! line unless a backslash stands at its end, so a forgotten one is found near where it was opened, every byte is read at most twice, and
//! the next entry is found again.

use std::sync::Arc;

use crate::base::diag::Place;
use crate::base::diag::excerpt;

/// A position in the text of one file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    line: u32,
    line_start: usize,
    offset: usize,
}

impl Spot {
    /// The position as the operator reads it; `octets` are those it was found in.
    pub(super) fn place(self, file: &Arc<str>, octets: &[u8]) -> Place {
        let before = octets.get(self.line_start..self.offset).unwrap_or(b"");
        Place {
            file: Arc::clone(file),
            line: self.line,
            column: String::from_utf8_lossy(before).chars().count() as u32 + 1,
        }
    }
}

/// What is wrong with an entry, and where.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) spot: Spot,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(spot: Spot, message: impl Into<String>) -> Self {
        Self {
            spot,
            message: message.into(),
        }
    }
}

/// A word or a quoted string, escapes untouched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    /// Without the quotes.
    pub(super) octets: &'a [u8],
    /// Whether it stood in quotes.
    pub(super) quoted: bool,
    /// Whether nothing separates it from the token before.
    pub(super) glued: bool,
    /// Its first character.
    pub(super) spot: Spot,
}

impl<'a> Token<'a> {
    /// The token as text. One that is no UTF-8 is a replacement character, which nothing that is read
    /// as text can be.
    pub(super) fn text(&self) -> &'a str {
        str::from_utf8(self.octets).unwrap_or("\u{FFFD}")
    }

    /// The token for a message to quote: its beginning, with octets that are not UTF-8 in escapes.
    pub(super) fn excerpt(&self) -> String {
        let head = self.octets.get(..MAX_QUOTED_LEN).unwrap_or(self.octets);
        let mut text = String::new();
        for chunk in head.utf8_chunks() {
            text += chunk.valid();
            text.extend(chunk.invalid().iter().map(|octet| format!("\\{octet:03}")));
        }
        excerpt(&text).into_owned()
    }
}

/// The octets of a token that are looked at for an excerpt: more than it has.
const MAX_QUOTED_LEN: usize = 1_000;

/// The tokens of one entry; never empty.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// Whether its first line starts with blank space, that is, names no owner.
    pub(super) indented: bool,
    pub(super) tokens: Vec<Token<'a>>,
    /// Behind the last token.
    pub(super) end: Spot,
}

/// Yields the entries of a file.
pub(super) struct Lexer<'a> {
    octets: &'a [u8],
    at: Spot,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        // Editors on Windows put a byte order mark in front.
        let start = if octets.starts_with("\u{feff}".as_bytes()) {
            3
        } else {
            0
        };
        let at = Spot {
            line: 1,
            line_start: start,
            offset: start,
        };
        Self { octets, at }
    }

    fn peek(&self) -> Option<u8> {
        self.octets.get(self.at.offset).copied()
    }

    /// Moves over bytes as long as they are neither a line feed nor wanted.
    fn skip_until(&mut self, wanted: impl Fn(u8) -> bool) {
        while let Some(byte) = self.peek()
            && byte != b'\n'
            && !wanted(byte)
        {
            self.at.offset += 1;
        }
    }

    fn pass_line_feed(&mut self) {
        self.at.offset += 1;
        self.at.line += 1;
        self.at.line_start = self.at.offset;
    }

    /// Goes to the next line after a fault; if a parenthesis is open, to the next that is not
    /// indented, as its other lines would only give faults that are none.
    fn recover(&mut self, open: Option<Spot>) {
        self.at = open.unwrap_or(self.at);
        loop {
            self.skip_until(|_| false);
            if self.peek().is_none() {
                return;
            }
            self.pass_line_feed();
            if open.is_none() || !matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n' | b')')) {
                return;
            }
        }
    }

    /// Reads one line, or as many as a parenthesis holds; the tokens may turn out to be none.
    fn entry(&mut self) -> Result<Entry<'a>, Fault> {
        let mut tokens: Vec<Token<'a>> = Vec::new();
        let indented = matches!(self.peek(), Some(b' ' | b'\t'));
        let mut open = None;
        let mut end = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => {
                    self.pass_line_feed();
                    if open.is_none() {
                        break;
                    }
                }
                b' ' | b'\t' | b'\r' => self.at.offset += 1,
                b';' => self.skip_until(|_| false),
                b'(' => match open.replace(self.at) {
                    None => self.at.offset += 1,
                    Some(spot) => {
                        self.recover(Some(spot));
                        let message = "this `(` is still open where the next one opens";
                        return Err(Fault::new(spot, message));
                    }
                },
                b')' => {
                    if open.take().is_none() {
                        let fault = Fault::new(self.at, "this `)` closes nothing");
                        self.recover(None);
                        return Err(fault);
                    }
                    self.at.offset += 1;
                }
                _ => {
                    let glued = !tokens.is_empty() && end.offset == self.at.offset;
                    let token = if byte == b'"' {
                        self.quoted(glued, open)?
                    } else {
                        self.word(glued, open)?
                    };
                    tokens.push(token);
                    end = self.at;
                }
            }
        }
        match open {
            None => Ok(Entry {
                indented,
                tokens,
                end,
            }),
            Some(spot) => {
                self.recover(open);
                Err(Fault::new(spot, "this `(` is never closed"))
            }
        }
    }

    fn word(&mut self, glued: bool, open: Option<Spot>) -> Result<Token<'a>, Fault> {
        let spot = self.at;
        loop {
            self.skip_until(|b| b" \t\r;()\"\\".contains(&b));
            if self.peek() != Some(b'\\') {
                break;
            }
            self.pass_escape();
        }
        let octets = self.octets.get(spot.offset..self.at.offset).unwrap_or(b"");
        if octets.contains(&0) {
            self.recover(open);
            let message = "octets that are zero, expected text: a file that was not written to its end, or UTF-16";
            return Err(Fault::new(spot, message));
        }
        Ok(Token {
            octets,
            quoted: false,
            glued,
            spot,
        })
    }

    fn quoted(&mut self, glued: bool, open: Option<Spot>) -> Result<Token<'a>, Fault> {
        let spot = self.at;
        self.at.offset += 1;
        loop {
            self.skip_until(|b| b == b'"' || b == b'\\');
            match self.peek() {
                Some(b'\\') => {
                    let escaped = self.octets.get(self.at.offset + 1);
                    self.pass_escape();
                    if escaped == Some(&b'\n') {
                        self.pass_line_feed();
                    }
                }
                Some(b'"') => break,
                _ => {
                    self.recover(open);
                    let message = "this quoted string is not closed on its line";
                    return Err(Fault::new(spot, message));
                }
            }
        }
        let octets = self
            .octets
            .get(spot.offset + 1..self.at.offset)
            .unwrap_or(b"");
        self.at.offset += 1;
        Ok(Token {
            octets,
            quoted: true,
            glued,
            spot,
        })
    }

    /// Passes a backslash and the byte that it takes the meaning from; never a line's end.
    fn pass_escape(&mut self) {
        self.at.offset += 1;
        if !matches!(self.peek(), None | Some(b'\n' | b'\r')) {
            self.at.offset += 1;
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Result<Entry<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.peek().is_some() {
            match self.entry() {
                Ok(entry) if entry.tokens.is_empty() => {}
                entry_or_fault => return Some(entry_or_fault),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries as `LINE:COLUMN word word`, indented ones with `_` for the owner, faults with `!`.
    fn shown(text: impl AsRef<[u8]>) -> Vec<String> {
        let text = text.as_ref();
        let file: Arc<str> = "f".into();
        Lexer::new(text)
            .map(|entry| match entry {
                Ok(entry) => {
                    let words = entry.tokens.iter().map(|t| match (t.quoted, t.glued) {
                        (true, true) => format!("+\"{}\"", t.text()),
                        (true, false) => format!("\"{}\"", t.text()),
                        (false, true) => format!("+{}", t.text()),
                        (false, false) => t.text().to_owned(),
                    });
                    let owner = entry.indented.then(|| "_".to_owned());
                    let words: Vec<_> = owner.into_iter().chain(words).collect();
                    let place = entry.tokens[0].spot.place(&file, text);
                    format!("{}:{} {}", place.line, place.column, words.join(" "))
                }
                Err(fault) => {
                    let place = fault.spot.place(&file, text);
                    format!("{}:{} !{}", place.line, place.column, fault.message)
                }
            })
            .collect()
    }

    #[test]
    fn entries_are_lines_or_parentheses() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("\u{feff}a b\r\n", &["1:1 a b"]),
            ("  \n; c\n\t\n a b;c\n", &["4:2 _ a b"]),
            ("a ( b\n;)\n c ) d\ne", &["1:1 a b c d", "4:1 e"]),
            ("a (b)c", &["1:1 a b c"]),
            (r#"a "b ; (c\"" d"e""#, &[r#"1:1 a "b ; (c\"" d +"e""#]),
            (r"a\ b\;c\\ d", &[r"1:1 a\ b\;c\\ d"]),
            ("a\\\nb", &["1:1 a\\", "2:1 b"]),
            ("a \"b\\\nc\"\nd", &["1:1 a \"b\\\nc\"", "3:1 d"]),
            ("a \"b\\c\"\nd", &["1:1 a \"b\\c\"", "2:1 d"]),
            ("ä \"ü\" ö", &["1:1 ä \"ü\" ö"]),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), *expected, "{text}");
        }
        // Octets that are no UTF-8 count as one column each.
        assert_eq!(shown(b"; \xE9\n(\xE9\xFF) b"), ["2:2 \u{FFFD} b"]);
        assert_eq!(
            shown(b"a\xE9 )\xE9\nb"),
            ["1:4 !this `)` closes nothing", "2:1 b"]
        );
    }

    #[test]
    fn excerpts_are_short_and_show_octets_that_are_no_text() {
        let cases: &[(&[u8], &str)] = &[
            (b"a\\256", r"a\256"),
            (b"\xE9t\xE9\xC3", r"\233t\233\195"),
            ("é".as_bytes(), "é"),
            (&[b'x'; 5_000], &("x".repeat(60) + "…")),
            (
                &"\u{10000}".repeat(5_000).into_bytes(),
                &("\u{10000}".repeat(60) + "…"),
            ),
        ];
        for (octets, expected) in cases {
            let entry = Lexer::new(octets)
                .next()
                .expect("not empty")
                .expect("no fault");
            assert_eq!(entry.tokens[0].excerpt(), *expected);
        }
    }

    #[test]
    fn faults_point_at_what_is_open_and_the_next_entry_is_found() {
        let cases: &[(&str, &[&str])] = &[
            (
                "a (b\n c\n\nd\n",
                &["1:3 !this `(` is never closed", "4:1 d"],
            ),
            (
                "a (b\n c\nd (e)\n",
                &[
                    "1:3 !this `(` is still open where the next one opens",
                    "3:1 d e",
                ],
            ),
            (
                "a \0\0 \0\nc",
                &[
                    "1:3 !octets that are zero, expected text: a file that was not written to its end, or UTF-16",
                    "2:1 c",
                ],
            ),
            (
                "a \"b\\c\nd",
                &["1:3 !this quoted string is not closed on its line", "2:1 d"],
            ),
            ("a b)\nc", &["1:4 !this `)` closes nothing", "2:1 c"]),
            (
                "a \"b\nc",
                &["1:3 !this quoted string is not closed on its line", "2:1 c"],
            ),
            (
                "a ( \"b\n d )\nc",
                &["1:5 !this quoted string is not closed on its line", "3:1 c"],
            ),
            (
                "a \"b\\",
                &["1:3 !this quoted string is not closed on its line"],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), *expected, "{text}");
        }
    }
}
