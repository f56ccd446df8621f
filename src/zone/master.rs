//! Master files: the entries of a zone to its records (RFC 1035 s5).
//!
//! Also `$TTL` and times with units (RFC 2308 s4 and common use), and unknown types (RFC 3597 s5). A
//! record without a TTL takes the one of `$TTL`, else the last one stated, else the SOA's MINIMUM.
//! `$GENERATE` is refused, as it is BIND's own. Every fault is reported where it stands, and reading
//! goes on with the next entry. This file knows entries only; `check` knows what makes a zone.

use std::sync::Arc;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::diag::did_you_mean;
use crate::base::name::Name;
use crate::base::rr::RrType;
use crate::zone::lex::Entry;
use crate::zone::lex::Fault;
use crate::zone::lex::Lexer;
use crate::zone::lex::Token;
use crate::zone::rdata;
use crate::zone::rdata::Fields;

/// Deeper `$INCLUDE`s are refused.
const MAX_INCLUDE_DEPTH: usize = 8;

/// The highest TTL (RFC 2181 s8).
const MAX_TTL: u32 = 0x7FFF_FFFF;

const DIRECTIVES: [&str; 3] = ["$INCLUDE", "$ORIGIN", "$TTL"];

/// One record of class IN, as it stood in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The owner name.
    pub owner: Name,
    /// The type.
    pub rtype: RrType,
    /// Seconds, at most 2^31 - 1.
    pub ttl: u32,
    /// Wire form, at most 65,535 octets; names in it are uncompressed and in the case they were
    /// written in.
    pub rdata: Box<[u8]>,
    /// Where the entry starts.
    pub place: Place,
}

/// Reads one included file: the path as written and the file that names it, to the display name and
/// the content, or to the reason why not.
pub type Include<'a> = dyn FnMut(&str, &Arc<str>) -> Result<(Arc<str>, Vec<u8>), String> + 'a;

/// Reads a master file and what it includes; faulty entries are reported and left out.
///
/// `file` is the name that diagnostics use, `origin` the origin that the file starts with.
pub fn read(
    file: &Arc<str>,
    octets: &[u8],
    origin: &Name,
    include: &mut Include<'_>,
    report: &mut Report,
) -> Vec<Record> {
    let mut reader = Reader {
        records: Vec::new(),
        default_ttl: None,
        last_ttl: None,
        soa_minimum: None,
        chain: Vec::new(),
        include,
        report,
    };
    reader.file(file, octets, origin.clone(), None);
    reader.records
}

/// What outlives a file: TTL defaults hold for all that follows (RFC 2308 s4), while the origin
/// and the last owner are of one file alone (RFC 1035 s5.1).
struct Reader<'r, 'i> {
    records: Vec<Record>,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    soa_minimum: Option<u32>,
    /// The files being read, outermost first.
    chain: Vec<Arc<str>>,
    include: &'r mut Include<'i>,
    report: &'r mut Report,
}

/// The state of one file.
struct Scope {
    origin: Name,
    owner: Option<Name>,
}

impl Reader<'_, '_> {
    fn file(&mut self, file: &Arc<str>, octets: &[u8], origin: Name, owner: Option<Name>) {
        self.chain.push(Arc::clone(file));
        let mut scope = Scope { origin, owner };
        for entry in Lexer::new(octets) {
            let outcome = entry.and_then(|entry| self.entry(file, octets, &entry, &mut scope));
            if let Err(fault) = outcome {
                let place = fault.spot.place(file, octets);
                self.report.error(place, fault.message);
            }
        }
        self.chain.pop();
    }

    fn entry(
        &mut self,
        file: &Arc<str>,
        octets: &[u8],
        entry: &Entry<'_>,
        scope: &mut Scope,
    ) -> Result<(), Fault> {
        let first = entry.tokens[0];
        if !entry.indented && !first.quoted && first.octets.starts_with(b"$") {
            return self.directive(file, octets, entry, scope);
        }
        let origin = scope.origin.clone();
        let mut fields = Fields::new(&entry.tokens, entry.end, &origin);
        if !entry.indented {
            // A faulty owner must not give its records to the owner before it; the zone is refused
            // anyway, and the origin stands in so that the entries below it are still read.
            scope.owner = Some(origin.clone());
            scope.owner = Some(rdata::owner(&mut fields)?);
        }
        let Some(owner) = scope.owner.clone() else {
            let message = "no owner name yet, expected one in the first column";
            return Err(Fault::new(first.spot, message));
        };
        let (ttl, rtype) = self.prefix(&mut fields, file, octets)?;
        let rdata = rdata::read(rtype, &mut fields)?;
        if rtype == RrType::SOA && self.soa_minimum.is_none() {
            self.soa_minimum = soa_minimum(&rdata).map(effective);
        }
        let inherited = self.default_ttl.or(self.last_ttl).or(self.soa_minimum);
        self.last_ttl = ttl.or(self.last_ttl);
        let Some(ttl) = ttl.or(inherited) else {
            let message = "no TTL, expected one here, or `$TTL` above";
            return Err(Fault::new(first.spot, message));
        };
        self.records.push(Record {
            owner,
            rtype,
            ttl,
            rdata,
            place: first.spot.place(file, octets),
        });
        Ok(())
    }

    fn directive(
        &mut self,
        file: &Arc<str>,
        octets: &[u8],
        entry: &Entry<'_>,
        scope: &mut Scope,
    ) -> Result<(), Fault> {
        let origin = scope.origin.clone();
        let mut fields = Fields::new(&entry.tokens, entry.end, &origin);
        let directive = fields.word("a directive")?;
        match directive.text().to_ascii_uppercase().as_str() {
            "$ORIGIN" => {
                let origin = rdata::name(&mut fields, "origin")?;
                fields.finish()?;
                scope.origin = origin;
                Ok(())
            }
            "$TTL" => {
                let ttl = self.ttl(fields.word("a TTL")?, file, octets)?;
                fields.finish()?;
                self.default_ttl = Some(ttl);
                Ok(())
            }
            "$INCLUDE" => {
                let path = fields.token("a file")?;
                let inner_origin = match fields.has_more() {
                    true => rdata::name(&mut fields, "origin")?,
                    false => origin.clone(),
                };
                fields.finish()?;
                self.include(file, path, inner_origin, scope.owner.clone())
            }
            "$GENERATE" => {
                let message = "`$GENERATE` is not supported, expected its records one by one; \
                               named-compilezone writes them";
                Err(Fault::new(directive.spot, message))
            }
            _ => {
                let hint = match did_you_mean(directive.text(), DIRECTIVES) {
                    Some(known) => format!("; did you mean `{known}`?"),
                    None => String::new(),
                };
                let message = format!(
                    "unknown directive `{}`, expected {}{hint}",
                    directive.excerpt(),
                    DIRECTIVES.join(", ")
                );
                Err(Fault::new(directive.spot, message))
            }
        }
    }

    fn include(
        &mut self,
        file: &Arc<str>,
        path: Token<'_>,
        origin: Name,
        owner: Option<Name>,
    ) -> Result<(), Fault> {
        if self.chain.len() > MAX_INCLUDE_DEPTH {
            let message = format!("more than {MAX_INCLUDE_DEPTH} files include one another");
            return Err(Fault::new(path.spot, message));
        }
        let (name, octets) = (self.include)(path.text(), file).map_err(|why| {
            let message = format!("cannot include `{}`: {why}", path.excerpt());
            Fault::new(path.spot, message)
        })?;
        if self.chain.contains(&name) {
            let message = format!("`{}` includes itself", path.excerpt());
            return Err(Fault::new(path.spot, message));
        }
        self.file(&name, &octets, origin, owner);
        Ok(())
    }

    /// Reads `[TTL] [class] type`, with TTL and class in either order.
    fn prefix(
        &mut self,
        fields: &mut Fields<'_>,
        file: &Arc<str>,
        octets: &[u8],
    ) -> Result<(Option<u32>, RrType), Fault> {
        let mut seen_ttl = None;
        let mut seen_class = false;
        loop {
            let token = fields.word("a type, such as `A`")?;
            if seen_ttl.is_none() && token.octets.first().is_some_and(u8::is_ascii_digit) {
                seen_ttl = Some(self.ttl(token, file, octets)?);
            } else if !seen_class && is_class(token.text()) {
                if !["IN", "CLASS1"]
                    .iter()
                    .any(|in_| in_.eq_ignore_ascii_case(token.text()))
                {
                    let message = format!("class {} is not served, expected IN", token.excerpt());
                    return Err(Fault::new(token.spot, message));
                }
                seen_class = true;
            } else {
                return rtype(token).map(|rtype| (seen_ttl, rtype));
            }
        }
    }

    fn ttl(&mut self, token: Token<'_>, file: &Arc<str>, octets: &[u8]) -> Result<u32, Fault> {
        let Some(ttl) = rdata::ttl(token.text()) else {
            let message = format!(
                "bad TTL `{}`, expected seconds or a time such as `1h30m`, below 2^31 s",
                token.excerpt()
            );
            return Err(Fault::new(token.spot, message));
        };
        if ttl > MAX_TTL {
            let message = format!(
                "TTL `{}` is 2^31 s or more, which counts as 0 (RFC 2181 s8)",
                token.excerpt()
            );
            self.report.warning(token.spot.place(file, octets), message);
        }
        Ok(effective(ttl))
    }
}

fn is_class(word: &str) -> bool {
    let upper = word.to_ascii_uppercase();
    let generic = upper.strip_prefix("CLASS");
    matches!(upper.as_str(), "IN" | "CH" | "CS" | "HS")
        || generic.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn rtype(token: Token<'_>) -> Result<RrType, Fault> {
    let Ok(rtype) = token.text().parse::<RrType>() else {
        let hint = match rdata::similar_type(token.text()) {
            Some(known) => format!("; did you mean `{known}`?"),
            None => String::new(),
        };
        let message = format!(
            "unknown type `{}`, expected one such as `A`{hint}",
            token.excerpt()
        );
        return Err(Fault::new(token.spot, message));
    };
    // RFC 6895 s3.1: 0 is reserved, and questions and messages have types of their own.
    if rtype.is_meta() || rtype.0 == 0 {
        let message = format!("type {rtype} cannot stand in a zone");
        return Err(Fault::new(token.spot, message));
    }
    Ok(rtype)
}

/// The TTL that a stated one means: those with the highest bit set mean 0 (RFC 2181 s8).
fn effective(ttl: u32) -> u32 {
    if ttl <= MAX_TTL { ttl } else { 0 }
}

/// The MINIMUM field: the last four octets of an SOA's RDATA.
fn soa_minimum(rdata: &[u8]) -> Option<u32> {
    rdata.last_chunk().copied().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records as `OWNER TTL TYPE` and diagnostics, of a file `z.zone` with origin `z.`; the only file
    /// to include is `i`.
    fn shown(text: &str, included: &str) -> Vec<String> {
        let file: Arc<str> = "z.zone".into();
        let origin = Name::parse("z.").expect("name");
        let mut include = |path: &str, from: &Arc<str>| match path {
            "i" => Ok((path.into(), included.into())),
            deeper if deeper.starts_with('d') => {
                Ok((deeper.into(), format!("$INCLUDE {deeper}d\n").into()))
            }
            _ => Err(format!("not found beside {from}")),
        };
        let mut report = Report::default();
        let records = read(&file, text.as_bytes(), &origin, &mut include, &mut report);
        let records = records
            .iter()
            .map(|r| format!("{} {} {}", r.owner, r.ttl, r.rtype));
        let diagnostics = report.sorted().into_iter().map(ToString::to_string);
        records.chain(diagnostics).collect()
    }

    #[test]
    fn owners_origins_and_ttls_are_inherited() {
        let cases: &[(&str, &[&str])] = &[
            ("a 1 A 1.1.1.1\n A 1.1.1.1\n", &["a.z. 1 A", "a.z. 1 A"]),
            (
                "a 1m IN A 1.1.1.1\nB in 2 a 1.1.1.1",
                &["a.z. 60 A", "B.z. 2 A"],
            ),
            (
                "$TTL 9\na A 1.1.1.1\nb 1 A 1.1.1.1\nc A 1.1.1.1",
                &["a.z. 9 A", "b.z. 1 A", "c.z. 9 A"],
            ),
            ("@ SOA . . 1 2 3 4 5\n. 6 A 1.1.1.1", &["z. 5 SOA", ". 6 A"]),
            (
                "@ 7 SOA . . 1 2 3 4 5\na A 1.1.1.1",
                &["z. 7 SOA", "a.z. 7 A"],
            ),
            (
                "$TTL 1\n$ORIGIN a\n$origin b\nc A 1.1.1.1",
                &["c.b.a.z. 1 A"],
            ),
            (
                "$TTL 1\nIN A 1.1.1.1\nA A 1.1.1.1",
                &["IN.z. 1 A", "A.z. 1 A"],
            ),
            (
                "$TTL 1\n\"b\" A 1.1.1.1\n\"@\" A 1.1.1.1",
                &["b.z. 1 A", "z. 1 A"],
            ),
            (
                "$TTL 1\n\\@ A 1.1.1.1\n\\$TTL A 1.1.1.1",
                &["\\@.z. 1 A", "\\$TTL.z. 1 A"],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text, ""), *expected, "{text}");
            assert_eq!(shown(&text.replace('\n', "\r\n"), ""), *expected, "{text}");
        }
    }

    #[test]
    fn a_ttl_of_2_to_the_31_or_more_is_0() {
        let warning = |at: &str, ttl: &str| {
            format!(
                "z.zone:{at}: warning: TTL `{ttl}` is 2^31 s or more, which counts as 0 (RFC 2181 s8)"
            )
        };
        for ttl in ["2147483648", "4294967295", "3551w"] {
            assert_eq!(
                shown(&format!("a {ttl} A 1.1.1.1\nb A 1.1.1.1"), ""),
                ["a.z. 0 A", "b.z. 0 A", &warning("1:3", ttl)]
            );
            assert_eq!(
                shown(&format!("$TTL {ttl}\na A 1.1.1.1\nb 1 A 1.1.1.1"), ""),
                ["a.z. 0 A", "b.z. 1 A", &warning("1:6", ttl)]
            );
        }
        assert_eq!(
            shown("@ SOA . . 1 2 3 4 2147483648\na A 1.1.1.1", ""),
            ["z. 0 SOA", "a.z. 0 A"]
        );
        assert_eq!(shown("a 2147483647 A 1.1.1.1", ""), ["a.z. 2147483647 A"]);
        for ttl in ["4294967296", "99999999999", "7102w"] {
            assert_eq!(
                shown(&format!("a {ttl} A 1.1.1.1"), ""),
                [format!(
                    "z.zone:1:3: bad TTL `{ttl}`, expected seconds or a time such as `1h30m`, below 2^31 s"
                )]
            );
        }
    }

    #[test]
    fn octets_above_127_stand_for_themselves() {
        let octets = b"; \xFF\n\xE9 1 TXT \xE9 \"\\\xE9\" ; \xE9\n$INCLUDE \xE9\n";
        let file: Arc<str> = "z.zone".into();
        let mut include = |_: &str, _: &Arc<str>| Err("not found".to_owned());
        let mut report = Report::default();
        let records = read(&file, octets, &Name::root(), &mut include, &mut report);
        let [record] = &*records else {
            panic!("{records:?}");
        };
        assert_eq!(record.owner.wire(), b"\x01\xE9\0");
        assert_eq!(*record.rdata, *b"\x01\xE9\x01\xE9");
        assert_eq!(
            report.to_string(),
            "z.zone:3:10: cannot include `\\233`: not found\n"
        );
    }

    #[test]
    fn an_include_keeps_its_origin_and_owner_to_itself() {
        let included = " A 1.1.1.1\nx A 1.1.1.1\n$ORIGIN o.\n$TTL 2\ny A 1.1.1.1\n";
        let text = "$TTL 1\na A 1.1.1.1\n$INCLUDE i\n A 1.1.1.1\n$INCLUDE \"i\" sub\nb A 1.1.1.1";
        let expected = [
            "a.z. 1 A",
            "a.z. 1 A",
            "x.z. 1 A",
            "y.o. 2 A",
            "a.z. 2 A",
            "a.z. 2 A",
            "x.sub.z. 2 A",
            "y.o. 2 A",
            "b.z. 2 A",
        ];
        assert_eq!(shown(text, included), expected);
    }

    #[test]
    fn faults_of_included_files_point_into_them() {
        assert_eq!(
            shown("$TTL 1\n$INCLUDE i\n$INCLUDE x", "\na A x\n"),
            [
                "i:2:5: bad address `x`, expected an IPv4 address such as 192.0.2.1",
                "z.zone:3:10: cannot include `x`: not found beside z.zone",
            ]
        );
        assert_eq!(
            shown("$INCLUDE i", "$INCLUDE i"),
            ["i:1:10: `i` includes itself"]
        );
        assert_eq!(
            shown("$INCLUDE d", ""),
            ["dddddddd:1:10: more than 8 files include one another"]
        );
    }
}
