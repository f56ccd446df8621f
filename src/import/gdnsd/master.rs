//! gdnsd's zone files, rewritten as standard master files.
//!
//! Entries stay as they are, with their comments, but for what only gdnsd knows: DYNA and DYNC go to
//! `pools.toml`, `@Z` and `@F` become the names they stand for, included files are put in, and long
//! texts are split.

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::name::Name;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::import::Include;
use crate::import::Input;
use crate::import::draft::Notes;
use crate::import::write;

/// The deepest chain of included files.
const MAX_DEPTH: usize = 16;

/// The most octets of a character string (RFC 1035 s3.3).
const MAX_STRING_LEN: usize = 255;

/// A name whose addresses a plugin finds.
#[derive(Debug)]
pub(super) struct Dynamic {
    pub(super) owner: Name,
    /// The most and the least, in seconds.
    pub(super) ttl: (u32, u32),
    /// `PLUGIN!RESOURCE`.
    pub(super) reference: String,
    /// The most addresses of an answer, for IPv4 and IPv6 (`$ADDR_LIMIT_V4`, gdnsd 2).
    pub(super) limits: PerFamily<Option<u32>>,
    /// As it was written.
    pub(super) entry: String,
}

/// A zone that is being rewritten.
pub(super) struct Rewriter<'a, 'i> {
    pub(super) zone: Name,
    pub(super) include: &'a mut Include<'i>,
    pub(super) report: &'a mut Report,
    pub(super) default_ttl: u32,
    pub(super) text: String,
    pub(super) dynamic: Vec<Dynamic>,
    pub(super) n_missing: usize,
}

/// Where a file stands.
struct State {
    /// The origin that the file began with: `@F`.
    first: Name,
    origin: Name,
    ttl: u32,
    limits: PerFamily<Option<u32>>,
    /// The last owner as written, and whether the entry with it was taken out.
    owner: Option<(String, bool)>,
}

impl Rewriter<'_, '_> {
    /// Rewrites a file.
    pub(super) fn file(&mut self, input: &Input, origin: &Name, depth: usize) {
        let mut state = State {
            first: origin.clone(),
            origin: origin.clone(),
            ttl: self.default_ttl,
            limits: PerFamily::from_fn(|_| None),
            owner: None,
        };
        let mut lines = (1..).zip(input.text.lines());
        while let Some((n, line)) = lines.next() {
            let mut entry = line.to_owned();
            let mut scan = Scan::default();
            scan.line(line);
            while scan.n_open > 0 {
                let Some((_, line)) = lines.next() else {
                    break;
                };
                entry.push('\n');
                entry.push_str(line);
                scan.line(line);
            }
            let place = Place {
                file: input.file.clone(),
                line: n,
                column: 1,
            };
            if let Err(fault) = self.entry(&entry, &scan.words, &mut state, input, depth) {
                self.report.error(place, fault);
            }
        }
    }

    fn entry(
        &mut self,
        entry: &str,
        words: &[String],
        state: &mut State,
        input: &Input,
        depth: usize,
    ) -> Result<(), String> {
        let Some(first) = words.first() else {
            self.put(entry);
            return Ok(());
        };
        if first.starts_with('$') {
            return self.directive(entry, words, state, input, depth);
        }
        let has_owner = !entry.starts_with([' ', '\t']);
        if has_owner {
            state.owner = Some((first.clone(), false));
        }
        let rest = if has_owner { &words[1..] } else { words };
        let is_dynamic =
            |word: &String| word.eq_ignore_ascii_case("DYNA") || word.eq_ignore_ascii_case("DYNC");
        if let Some(at) = rest.iter().take(3).position(is_dynamic) {
            return self.dynamic(entry, &rest[..at], rest.get(at + 1), state);
        }
        // The owner of an entry without one may have been taken out.
        match &mut state.owner {
            Some((owner, is_out @ true)) if !has_owner => {
                *is_out = false;
                let text = format!("{owner}{entry}");
                self.put(&self.standard(&text, words, state));
            }
            _ => self.put(&self.standard(entry, words, state)),
        }
        Ok(())
    }

    fn directive(
        &mut self,
        entry: &str,
        words: &[String],
        state: &mut State,
        input: &Input,
        depth: usize,
    ) -> Result<(), String> {
        let argument = words.get(1).map(String::as_str).unwrap_or_default();
        match &*words[0].to_ascii_uppercase() {
            "$TTL" => {
                state.ttl = seconds(argument).ok_or_else(|| format!("`{argument}` is no TTL"))?;
                self.put(entry);
            }
            "$ORIGIN" => {
                state.origin = self.name(argument, state)?;
                self.put(&format!("$ORIGIN {}", state.origin));
            }
            "$INCLUDE" => {
                if depth == MAX_DEPTH {
                    return Err(format!("files include one another {MAX_DEPTH} deep"));
                }
                let origin = match words.get(2) {
                    Some(origin) => self.name(origin, state)?,
                    None => state.origin.clone(),
                };
                let files = (self.include)(argument, &input.file)?;
                for file in &files {
                    self.put(&format!("; included: {argument}\n$ORIGIN {origin}"));
                    self.file(file, &origin, depth + 1);
                    self.put(&format!(
                        "; end of {argument}\n$ORIGIN {}\n$TTL {}",
                        state.origin, state.ttl
                    ));
                }
            }
            word @ ("$ADDR_LIMIT_V4" | "$ADDR_LIMIT_V6") => {
                let family = if word.ends_with('4') {
                    Family::V4
                } else {
                    Family::V6
                };
                let limit: u32 = argument
                    .parse()
                    .map_err(|_| format!("`{argument}` is no number"))?;
                // 0 is no limit.
                state.limits[family] = (limit > 0).then_some(limit);
            }
            _ => self.missing(entry, "not known here"),
        }
        Ok(())
    }

    /// Takes an entry of type DYNA or DYNC out.
    fn dynamic(
        &mut self,
        entry: &str,
        before: &[String],
        reference: Option<&String>,
        state: &mut State,
    ) -> Result<(), String> {
        let reference = reference.ok_or("no plugin behind DYNA")?;
        let Some((owner, is_out)) = &mut state.owner else {
            return Err("an entry without an owner".into());
        };
        *is_out = true;
        let owner = owner.clone();
        let given = before.iter().find(|word| !word.eq_ignore_ascii_case("IN"));
        let ttl = match given {
            Some(word) => ttl_range(word).ok_or_else(|| format!("`{word}` is no TTL"))?,
            None => (state.ttl, state.ttl / 2),
        };
        let owner = self.name(&owner, state)?;
        self.dynamic.push(Dynamic {
            owner,
            ttl,
            reference: reference.clone(),
            limits: state.limits,
            entry: entry.trim().to_owned(),
        });
        Ok(())
    }

    /// A name as gdnsd reads it.
    fn name(&self, word: &str, state: &State) -> Result<Name, String> {
        let text = self
            .expanded(word, state)
            .unwrap_or_else(|| word.to_owned());
        Name::parse_relative(&text, &state.origin)
            .map_err(|error| format!("`{word}` is no name: {error}"))
    }

    /// The absolute name that a word with `@Z` or `@F` stands for.
    fn expanded(&self, word: &str, state: &State) -> Option<String> {
        let (stem, base) = match word.strip_suffix("@Z") {
            Some(stem) => (stem, &self.zone),
            None => (word.strip_suffix("@F")?, &state.first),
        };
        (stem.is_empty() || stem.ends_with('.')).then(|| format!("{stem}{base}"))
    }

    /// An entry as other servers read it.
    fn standard(&self, entry: &str, words: &[String], state: &State) -> String {
        let mut entry = entry.to_owned();
        for word in words {
            if let Some(name) = self.expanded(word, state) {
                entry = entry.replacen(word, &name, 1);
            } else if word.starts_with('"') && word.len() > MAX_STRING_LEN {
                entry = entry.replacen(word, &split(word), 1);
            }
        }
        entry
    }

    /// Notes an entry that has no equivalent, in its place.
    pub(super) fn missing(&mut self, entry: &str, why: &str) {
        let mut notes = Notes::default();
        notes.missing(entry.trim(), why);
        write::comment(&mut self.text, ";", &notes);
        self.n_missing += 1;
    }

    pub(super) fn put(&mut self, entry: &str) {
        self.text.push_str(entry);
        self.text.push('\n');
    }
}

/// The words of an entry, whatever lines it takes.
#[derive(Default)]
struct Scan {
    /// Strings keep their quotes.
    words: Vec<String>,
    n_open: usize,
}

impl Scan {
    fn line(&mut self, line: &str) {
        let mut word = String::new();
        let mut is_quoted = false;
        let mut characters = line.chars();
        while let Some(c) = characters.next() {
            match c {
                '\\' => {
                    word.push(c);
                    word.extend(characters.next());
                }
                '"' => {
                    is_quoted = !is_quoted;
                    word.push(c);
                }
                c if is_quoted => word.push(c),
                ';' => break,
                '(' => self.n_open += 1,
                ')' => self.n_open = self.n_open.saturating_sub(1),
                c if c.is_whitespace() => self.end(&mut word),
                c => word.push(c),
            }
        }
        self.end(&mut word);
    }

    fn end(&mut self, word: &mut String) {
        if !word.is_empty() {
            self.words.push(std::mem::take(word));
        }
    }
}

/// A string in quotes as strings of a length that fits; an escape is not torn.
fn split(word: &str) -> String {
    let inner = word.trim_matches('"');
    let (mut strings, mut string, mut len) = (Vec::new(), String::new(), 0);
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        let mut piece = String::from(c);
        if c == '\\' {
            let next = characters.next();
            piece.extend(next);
            if next.is_some_and(|c| c.is_ascii_digit()) {
                piece.extend(characters.by_ref().take(2));
            }
        }
        let piece_len = if c == '\\' { 1 } else { c.len_utf8() };
        if len + piece_len > MAX_STRING_LEN {
            strings.push(format!("\"{}\"", std::mem::take(&mut string)));
            len = 0;
        }
        string.push_str(&piece);
        len += piece_len;
    }
    strings.push(format!("\"{string}\""));
    strings.join(" ")
}

/// `MAX` or `MAX/MIN`; half of the most is the least unless it is given.
fn ttl_range(word: &str) -> Option<(u32, u32)> {
    match word.split_once('/') {
        Some((max, min)) => Some((seconds(max)?, seconds(min)?)),
        None => seconds(word).map(|max| (max, max / 2)),
    }
}

/// A TTL with or without units.
fn seconds(text: &str) -> Option<u32> {
    let (mut total, mut number) = (0_u32, None::<u32>);
    for c in text.chars() {
        let unit = match c.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            c => {
                let digit = c.to_digit(10)?;
                number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
                continue;
            }
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    match number {
        Some(number) => total.checked_add(number),
        None => (!text.is_empty()).then_some(total),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// What becomes of a zone, and its dynamic names.
    fn rewrite(text: &str) -> (String, Vec<String>) {
        let mut include = |path: &str, _: &Arc<str>| match path {
            "inner" => Ok(vec![input("a A 192.0.2.1\n$ORIGIN b.@F\nc A 192.0.2.2\n")]),
            _ => Err(format!("cannot read {path}")),
        };
        let mut report = Report::default();
        let zone = Name::parse("example.com").expect("a name");
        let mut rewriter = Rewriter {
            zone: zone.clone(),
            include: &mut include,
            report: &mut report,
            default_ttl: 600,
            text: String::new(),
            dynamic: Vec::new(),
            n_missing: 0,
        };
        rewriter.file(&input(text), &zone, 0);
        let dynamic = rewriter.dynamic.iter().map(|dynamic| {
            let Dynamic {
                owner,
                ttl,
                reference,
                limits,
                ..
            } = dynamic;
            format!(
                "{owner} {ttl:?} {reference} {:?} {:?}",
                limits.v4, limits.v6
            )
        });
        let dynamic = dynamic.collect();
        let text = rewriter.text;
        assert_eq!(report.to_string(), "");
        (text, dynamic)
    }

    fn input(text: &str) -> Input {
        Input {
            file: "zone".into(),
            text: text.into(),
        }
    }

    #[test]
    fn entries_stay_but_for_what_only_gdnsd_knows() {
        for (row, text, expected) in [
            (
                "comments",
                "; x\n\na A 192.0.2.1 ; y\n",
                "; x\n\na A 192.0.2.1 ; y\n",
            ),
            (
                "parentheses",
                "a TXT ( \"b\" ; )\n \"c\" )\n",
                "a TXT ( \"b\" ; )\n \"c\" )\n",
            ),
            (
                "zone",
                "a MX 1 b.@Z\n@Z NS @Z\n",
                "a MX 1 b.example.com.\nexample.com. NS example.com.\n",
            ),
            (
                "owner of an entry that went",
                "a DYNA x!y\n MX 1 b\n TXT c\n",
                "a MX 1 b\n TXT c\n",
            ),
            (
                "a text that looks like one",
                "a TXT DYNA!x\n",
                "a TXT DYNA!x\n",
            ),
        ] {
            assert_eq!(rewrite(text).0, expected, "{row}");
        }
        let (text, _) = rewrite("$INCLUDE inner sub\n");
        assert!(
            text.contains("$ORIGIN sub.example.com.\na A 192.0.2.1\n"),
            "{text}"
        );
        assert!(text.contains("$ORIGIN b.sub.example.com.\nc A"), "{text}");
        assert!(text.ends_with("$ORIGIN example.com.\n$TTL 600\n"), "{text}");
    }

    #[test]
    fn dynamic_entries_are_taken_out() {
        for (row, text, expected) in [
            (
                "the default",
                "a DYNA x!y\n",
                "a.example.com. (600, 300) x!y None None",
            ),
            (
                "a range",
                "a 1h/30 IN DYNA x!y\n",
                "a.example.com. (3600, 30) x!y None None",
            ),
            (
                "half",
                "@ IN 300 dync x!y/z\n",
                "example.com. (300, 150) x!y/z None None",
            ),
            (
                "no owner",
                "a A 192.0.2.1\n\tDYNA x!y\n",
                "a.example.com. (600, 300) x!y None None",
            ),
            (
                "limits",
                "$ADDR_LIMIT_V4 2\na DYNA x!y\n",
                "a.example.com. (600, 300) x!y Some(2) None",
            ),
        ] {
            assert_eq!(rewrite(text).1, [expected], "{row}");
        }
    }

    #[test]
    fn long_texts_are_split_between_octets() {
        let split = split(&format!(
            "\"{}\\\"\\065{}\"",
            "x".repeat(254),
            "y".repeat(9)
        ));
        let strings: Vec<&str> = split.split("\" \"").collect();
        assert_eq!(strings.len(), 2, "{split}");
        assert!(strings[0].ends_with("x\\\""), "{split}");
        assert!(strings[1].starts_with("\\065y"), "{split}");
    }

    #[test]
    fn ttls_have_units() {
        for (text, expected) in [
            ("300", Some(300)),
            ("1h30m", Some(5400)),
            ("1W", Some(604_800)),
            ("2d1", Some(172_801)),
            ("", None),
            ("h", None),
            ("99999999999", None),
            ("x", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
