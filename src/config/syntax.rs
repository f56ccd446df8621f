//! TOML syntax: its errors in plain words, and what can still be read in spite of them.
//!
//! The TOML library recovers from most errors by itself. Two need help: it stops at a key without a
//! value, and an open bracket swallows all that follows, with one error after the other.

use toml::de::DeTable;

use crate::base::diag::excerpt;

/// What checking a text gave.
pub(super) struct Syntax {
    /// The text to read, with everything at its old offset; empty if nothing can be made of it.
    pub(super) readable: String,
    /// The errors, by offset.
    pub(super) faults: Vec<Fault>,
}

/// A syntax error.
pub(super) struct Fault {
    /// Where it is.
    pub(super) offset: usize,
    /// What is wrong and what was expected.
    pub(super) message: String,
    /// Whether the rest of its line means nothing.
    pub(super) breaks_line: bool,
}

/// How much of a text is looked at first, in octets.
const HEAD_LEN: usize = 64 << 10;
/// With more errors in its head, a file is not what it should be, and nothing else of it is read: of what
/// is all errors, the TOML library makes up to 180 times as much memory.
const MAX_HEAD_ERRORS: usize = 100;

/// Checks a text.
pub(super) fn check(text: &str) -> Syntax {
    if text.len() > HEAD_LEN {
        let head = &text[..text.floor_char_boundary(HEAD_LEN)];
        let (_, errors) = DeTable::parse_recoverable(head);
        if errors.len() > MAX_HEAD_ERRORS {
            let mut syntax = check_all(head);
            // Fewer are left of an open bracket, whose errors are all one.
            if let Some(next) = syntax.faults.get_mut(MAX_HEAD_ERRORS) {
                next.message = format!(
                    "more than {MAX_HEAD_ERRORS} syntax errors so far, the rest of the file is not \
                     read, expected TOML"
                );
                next.breaks_line = true;
                syntax.faults.truncate(MAX_HEAD_ERRORS + 1);
                syntax.readable.clear();
            }
            return syntax;
        }
    }
    check_all(text)
}

fn check_all(text: &str) -> Syntax {
    let errors = |text: &str| -> Vec<_> {
        let (_, errors) = DeTable::parse_recoverable(text);
        let error =
            |error: &toml::de::Error| (error.span().unwrap_or(0..0), error.message().to_owned());
        errors.iter().map(error).collect()
    };
    // All keys without a value are known after the first run, what follows them after the second.
    let mut found = errors(text);
    found.retain(|(_, message)| message.starts_with(VALUELESS));
    let mut offsets: Vec<_> = found.iter().map(|(span, _)| span.start).collect();
    offsets.sort_unstable();
    let mut readable = blanked(text, &offsets);
    found.extend(errors(&readable));
    found.sort_by_key(|(span, _)| span.start);
    let swallowed = found.iter().any(|(_, message)| {
        message.starts_with("unclosed array") || message.starts_with("unclosed inline")
    });
    if swallowed {
        // The first error inside the bracket is real, the following ones are its echo.
        let inside = found
            .iter()
            .position(|(_, message)| is_inside_brackets(message));
        found.truncate(inside.map_or(1, |first| first + 1));
        if let Some((_, message)) = found.last_mut() {
            message.push_str(" or what closes the bracket before");
        }
        readable.clear();
    }
    let faults = found
        .into_iter()
        .map(|(span, message)| Fault {
            offset: span.start,
            breaks_line: message != DUPLICATE,
            message: plain(message, text.get(span).unwrap_or_default()),
        })
        .collect();
    Syntax { readable, faults }
}

/// What the TOML library says of a key or table that is given twice; nothing is unread then.
const DUPLICATE: &str = "duplicate key";
/// What it says of a key without a value.
const VALUELESS: &str = "key with no value";
/// What it says of a value that is none.
const UNQUOTED: &str = "string values must be quoted";

/// Whether it says this of an array or inline table.
fn is_inside_brackets(message: &str) -> bool {
    ["array", "inline table", "key-value"]
        .iter()
        .any(|word| message.contains(word))
}

/// The library's sentence, or a plainer one for what happens most; `text` is what it points at.
fn plain(message: String, text: &str) -> String {
    let text = excerpt(text);
    if message == DUPLICATE {
        format!("`{text}` is given twice, expected each key and table once")
    } else if !message.starts_with(UNQUOTED) {
        message
    } else if text.is_empty() {
        "the value is missing, expected one behind `=`".to_owned()
    } else {
        format!("`{text}` is no value, expected quotes around text")
    }
}

/// The text with spaces for each line that one of the offsets, which are sorted, lies on.
fn blanked(text: &str, offsets: &[usize]) -> String {
    let mut blanked = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let at = blanked.len();
        let content = line.trim_end_matches(['\r', '\n']);
        let next = offsets.partition_point(|offset| *offset < at);
        if offsets
            .get(next)
            .is_some_and(|offset| *offset <= at + content.len())
        {
            blanked.extend(std::iter::repeat_n(' ', content.len()));
            blanked.push_str(&line[content.len()..]);
        } else {
            blanked.push_str(line);
        }
    }
    blanked
}
