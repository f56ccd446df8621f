//! Reads gdnsd's configuration syntax into a [`Node`].
//!
//! Maps `{ key => value }`, lists `[ a b ]` and texts, with or without quotes; commas are optional, `#` and `;` begin
//! comments, a backslash escapes as in zone files, and `$include{path}` stands for a value or for entries of a
//! map. The file itself is a map without braces. A fault ends the reading at its place: what follows a
//! missing brace means nothing.

use crate::base::diag::LineIndex;
use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::diag::excerpt;
use crate::import::Include;
use crate::import::Input;
use crate::import::tree::Node;
use crate::import::tree::Value;

/// The deepest nesting of maps, lists and files.
const MAX_DEPTH: usize = 64;

/// What ends a text without quotes, beside white space.
const SPECIAL: &[u8] = b"][}{;#,\"=";

/// Reads a file and what it includes; `None` after a fault, which is reported.
pub(super) fn read(input: &Input, include: &mut Include<'_>, report: &mut Report) -> Option<Node> {
    match file(input, include, 0) {
        Ok(node) => Some(node),
        Err((place, fault)) => {
            report.error(place, fault);
            None
        }
    }
}

type Fault = (Place, String);

fn file(input: &Input, include: &mut Include<'_>, depth: usize) -> Result<Node, Fault> {
    let mut reader = Reader {
        input,
        lines: LineIndex::new(&input.file, &input.text),
        octets: input.text.as_bytes(),
        at: 0,
        include,
        depth,
    };
    reader.skip();
    let node = match reader.peek() {
        Some(b'[') => reader.value()?,
        _ => reader.map(None)?,
    };
    reader.skip();
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.fault("expected the end of the file")),
    }
}

struct Reader<'a, 'i> {
    input: &'a Input,
    lines: LineIndex<'a>,
    octets: &'a [u8],
    at: usize,
    include: &'a mut Include<'i>,
    depth: usize,
}

impl Reader<'_, '_> {
    fn peek(&self) -> Option<u8> {
        self.octets.get(self.at).copied()
    }

    fn place(&self) -> Place {
        self.lines.place(self.at)
    }

    /// What is wrong here.
    fn fault(&self, expected: &str) -> Fault {
        let rest = self.input.text.get(self.at..).unwrap_or_default();
        let found = match rest.split_whitespace().next() {
            Some(word) => format!("found `{}`", excerpt(word)),
            None => "the file ends here".into(),
        };
        (self.place(), format!("{found}, {expected}"))
    }

    /// Passes white space and comments.
    fn skip(&mut self) {
        while let Some(octet) = self.peek() {
            match octet {
                b'#' | b';' => {
                    let rest = &self.octets[self.at..];
                    let len = rest.iter().position(|o| *o == b'\n');
                    self.at += len.unwrap_or(rest.len());
                }
                octet if octet.is_ascii_whitespace() => self.at += 1,
                _ => return,
            }
        }
    }

    /// Passes a word, if it is there.
    fn take(&mut self, word: &str) -> bool {
        let is_there = self.octets[self.at..].starts_with(word.as_bytes());
        if is_there {
            self.at += word.len();
        }
        is_there
    }

    fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        match self.depth > MAX_DEPTH {
            true => Err((
                self.place(),
                format!("nested deeper than {MAX_DEPTH} levels"),
            )),
            false => Ok(()),
        }
    }

    /// The entries up to `end`, or to the end of the file.
    fn map(&mut self, end: Option<u8>) -> Result<Node, Fault> {
        self.deeper()?;
        let place = self.place();
        let mut map: Vec<(String, Node)> = Vec::new();
        loop {
            self.skip();
            if self.peek() == end {
                self.at += usize::from(end.is_some());
                break;
            }
            let at = self.place();
            if self.take("$include{") {
                for input in self.included()? {
                    let node = file(&input, self.include, self.depth)?;
                    let Value::Map(entries) = node.value else {
                        return Err((node.place, "a list, expected entries of a map".into()));
                    };
                    for (key, value) in entries {
                        put(&mut map, key, value)?;
                    }
                }
            } else {
                let key = self.text("expected a key")?;
                self.skip();
                if !self.take("=>") && !self.take("=") {
                    return Err(
                        self.fault(&format!("expected `=>` after the key `{}`", excerpt(&key)))
                    );
                }
                let mut value = self.value()?;
                // A repeated key is found at the key.
                value.place = at;
                put(&mut map, key, value)?;
            }
            self.skip();
            self.take(",");
        }
        self.depth -= 1;
        let value = Value::Map(map);
        Ok(Node { place, value })
    }

    fn value(&mut self) -> Result<Node, Fault> {
        self.skip();
        let place = self.place();
        if self.take("$include{") {
            let inputs = self.included()?;
            let [input] = &inputs[..] else {
                return Err((place, "several files, expected one for a value".into()));
            };
            return file(input, self.include, self.depth);
        }
        if self.take("{") {
            return self.map(Some(b'}'));
        }
        if !self.take("[") {
            let text = self.text("expected a value")?;
            return Ok(Node::text(place, text));
        }
        self.deeper()?;
        let mut list = Vec::new();
        loop {
            self.skip();
            if self.take("]") {
                break;
            }
            list.push(self.value()?);
            self.skip();
            self.take(",");
        }
        self.depth -= 1;
        let value = Value::List(list);
        Ok(Node { place, value })
    }

    /// The files that an include names; its opening brace has been passed.
    fn included(&mut self) -> Result<Vec<Input>, Fault> {
        self.deeper()?;
        self.skip();
        let place = self.place();
        let path = self.text("expected a path")?;
        self.skip();
        if !self.take("}") {
            return Err(self.fault("expected `}` after the path"));
        }
        self.depth -= 1;
        (self.include)(&path, &self.input.file).map_err(|why| (place, why))
    }

    /// A text with or without quotes.
    fn text(&mut self, expected: &str) -> Result<String, Fault> {
        let start = self.at;
        let is_quoted = self.take("\"");
        let mut text = Vec::new();
        loop {
            match self.peek() {
                None if is_quoted => {
                    self.at = start;
                    return Err(self.fault("expected a closing quote"));
                }
                Some(b'"') if is_quoted => {
                    self.at += 1;
                    break;
                }
                Some(b'\\') => text.push(self.escaped()?),
                Some(octet)
                    if is_quoted || !(octet.is_ascii_whitespace() || SPECIAL.contains(&octet)) =>
                {
                    text.push(octet);
                    self.at += 1;
                }
                _ => break,
            }
        }
        if text.is_empty() && !is_quoted {
            return Err(self.fault(expected));
        }
        String::from_utf8(text).map_err(|_| {
            self.at = start;
            self.fault("expected UTF-8")
        })
    }

    /// The octet that a backslash and what follows stand for.
    fn escaped(&mut self) -> Result<u8, Fault> {
        let rest = &self.octets[self.at + 1..];
        let (octet, len) = match rest {
            digits if rest.first().is_some_and(u8::is_ascii_digit) => {
                let digits = digits
                    .get(..3)
                    .and_then(|digits| str::from_utf8(digits).ok());
                (digits.and_then(|digits| digits.parse().ok()), 4)
            }
            [octet, ..] => (Some(*octet), 2),
            [] => (None, 1),
        };
        match octet {
            Some(octet) => {
                self.at += len;
                Ok(octet)
            }
            None => {
                Err(self
                    .fault("expected three digits up to 255, or a character, after a backslash"))
            }
        }
    }
}

fn put(map: &mut Vec<(String, Node)>, key: String, value: Node) -> Result<(), Fault> {
    if map.iter().any(|(known, _)| *known == key) {
        let fault = format!("the key `{}` stands here again", excerpt(&key));
        return Err((value.place, fault));
    }
    map.push((key, value));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn read_text(text: &str) -> Result<String, String> {
        let mut include = |path: &str, _: &Arc<str>| match path {
            "one" => Ok(vec![input("one", "x => 1")]),
            "list" => Ok(vec![input("list", "[ a b ]")]),
            "self" => Ok(vec![input("self", "$include{self}")]),
            _ => Err(format!("cannot read {path}")),
        };
        let mut report = Report::default();
        match read(&input("f", text), &mut include, &mut report) {
            Some(node) => Ok(node.in_line()),
            None => Err(report.to_string()),
        }
    }

    fn input(file: &str, text: &str) -> Input {
        Input {
            file: file.into(),
            text: text.into(),
        }
    }

    #[test]
    fn maps_lists_and_texts_are_read() {
        for (row, text, expected) in [
            ("fat arrows", "a => { b => [1, 2] }", "{a: {b: [1, 2]}}"),
            ("tight", "a={b=[1 2]}c=d", "{a: {b: [1, 2]}, c: d}"),
            ("comments", "# x\na = b ; y\n", "{a: b}"),
            ("quotes", r#""a b" => "c#;\"\\d""#, r#"{a b: c#;"\d}"#),
            ("escapes", r"a => ex\097mpl\e\ x", "{a: example x}"),
            ("trailing commas", "a => [b,], c => d,", "{a: [b], c: d}"),
            (
                "networks",
                "10.0.0.0/8 => x, 2001:DB8::/32 => y",
                "{10.0.0.0/8: x, 2001:DB8::/32: y}",
            ),
            ("included value", "a => $include{list}", "{a: [a, b]}"),
            (
                "included entries",
                "a => { $include{ \"one\" } y => 2 }",
                "{a: {x: 1, y: 2}}",
            ),
            ("empty", "", "{}"),
        ] {
            assert_eq!(read_text(text), Ok(expected.to_owned()), "{row}");
        }
    }

    #[test]
    fn faults_have_their_place() {
        for (row, text, expected) in [
            (
                "no value",
                "a =>",
                "f:1:5: the file ends here, expected a value",
            ),
            (
                "no arrow",
                "a => 1\nb 2",
                "f:2:3: found `2`, expected `=>` after the key `b`",
            ),
            (
                "open map",
                "a => {\n b => 1",
                "f:2:8: the file ends here, expected a key",
            ),
            (
                "open list",
                "a => [ b",
                "f:1:9: the file ends here, expected a value",
            ),
            (
                "closed too often",
                "a => 1 }",
                "f:1:8: found `}`, expected a key",
            ),
            (
                "open quote",
                "a => \"b",
                "f:1:6: found `\"b`, expected a closing quote",
            ),
            ("escape", r"a => \9", "expected three digits"),
            ("large escape", r"a => \999", "expected three digits"),
            (
                "twice",
                "a => 1\na => 2",
                "f:2:1: the key `a` stands here again",
            ),
            ("no file", "a => $include{none}", "f:1:15: cannot read none"),
            ("a circle", "$include{self}", "nested deeper than"),
            ("depth", &"a={".repeat(100), "nested deeper than"),
        ] {
            let fault = read_text(text).expect_err(row);
            assert!(fault.contains(expected), "{row}: {fault}");
        }
    }
}
