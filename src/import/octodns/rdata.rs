//! RDATA in presentation format from octoDNS's values.

use crate::base::name::Name;
use crate::import::draft::Notes;
use crate::import::tree::Fields;
use crate::import::tree::Node;
use crate::import::tree::Value;
use crate::import::zone::character_strings;

/// How a field is written.
#[derive(Clone, Copy)]
enum Form {
    /// As it is.
    Plain,
    /// A domain name, with or without its final dot.
    Target,
    /// A character string.
    Quoted,
}

use Form::Plain;
use Form::Quoted;
use Form::Target;

/// A field's names, the present one first, and its default.
type Field = (&'static [&'static str], Option<&'static str>, Form);

/// The types whose values are maps.
const TYPES: &[(&str, &[Field])] = &[
    (
        "CAA",
        &[
            (&["flags"], Some("0"), Plain),
            (&["tag"], None, Plain),
            (&["value"], None, Quoted),
        ],
    ),
    (
        "DS",
        &[
            (&["key_tag"], None, Plain),
            (&["algorithm"], None, Plain),
            (&["digest_type"], None, Plain),
            (&["digest"], None, Plain),
        ],
    ),
    (
        "MX",
        &[
            (&["preference", "priority"], None, Plain),
            (&["exchange", "value"], None, Target),
        ],
    ),
    (
        "NAPTR",
        &[
            (&["order"], None, Plain),
            (&["preference"], None, Plain),
            (&["flags"], Some(""), Quoted),
            (&["service"], Some(""), Quoted),
            (&["regexp"], Some(""), Quoted),
            (&["replacement"], Some("."), Target),
        ],
    ),
    (
        "SRV",
        &[
            (&["priority"], None, Plain),
            (&["weight"], None, Plain),
            (&["port"], None, Plain),
            (&["target"], None, Target),
        ],
    ),
    (
        "SSHFP",
        &[
            (&["algorithm"], None, Plain),
            (&["fingerprint_type"], None, Plain),
            (&["fingerprint"], None, Plain),
        ],
    ),
    (
        "TLSA",
        &[
            (&["certificate_usage"], None, Plain),
            (&["selector"], None, Plain),
            (&["matching_type"], None, Plain),
            (&["certificate_association_data"], None, Plain),
        ],
    ),
    (
        "URI",
        &[
            (&["priority"], None, Plain),
            (&["weight"], None, Plain),
            (&["target"], None, Quoted),
        ],
    ),
    (
        "LOC",
        &[
            (&["lat_degrees"], None, Plain),
            (&["lat_minutes"], Some("0"), Plain),
            (&["lat_seconds"], Some("0"), Plain),
            (&["lat_direction"], None, Plain),
            (&["long_degrees"], None, Plain),
            (&["long_minutes"], Some("0"), Plain),
            (&["long_seconds"], Some("0"), Plain),
            (&["long_direction"], None, Plain),
            (&["altitude"], Some("0"), Plain),
            (&["size"], Some("1"), Plain),
            (&["precision_horz"], Some("10000"), Plain),
            (&["precision_vert"], Some("10"), Plain),
        ],
    ),
];

/// The type's name in a master file: SPF is served as the TXT that replaced it (RFC 7208 s3.1).
pub(super) fn written(rtype: &str) -> &str {
    match rtype {
        "SPF" => "TXT",
        rtype => rtype,
    }
}

/// The data of a value; `None`, with a note, if it cannot be written.
pub(super) fn of(rtype: &str, value: &Node, notes: &mut Notes) -> Option<String> {
    let data = match rtype {
        "A" | "AAAA" => value.as_text().map(str::to_owned),
        "CNAME" | "DNAME" | "NS" | "PTR" => value.as_text().and_then(target),
        "TXT" | "SPF" => value.as_text().map(text),
        "OPENPGPKEY" => value.as_text().map(str::to_owned),
        "HTTPS" | "SVCB" => service(value),
        _ => match TYPES.iter().find(|(name, _)| *name == rtype) {
            Some((_, known)) => fields(known, value, notes),
            None => {
                let what = format!("{rtype} {}", value.in_line());
                notes.missing(&what, "no type of the DNS that is known here");
                return None;
            }
        },
    };
    if data.is_none() {
        let what = format!("{rtype} {}", value.in_line());
        notes.missing(
            &what,
            "the value has not the fields of its type, and is left out",
        );
    }
    data
}

/// A name with its final dot.
fn target(text: &str) -> Option<String> {
    Name::parse(text).ok().map(|name| name.to_string())
}

/// octoDNS escapes semicolons, and takes strings that are split and quoted already.
fn text(text: &str) -> String {
    let text = text.replace("\\;", ";");
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let text = inner.map_or(text.clone(), |inner| inner.replace("\" \"", ""));
    character_strings(text.as_bytes())
}

fn fields(known: &[Field], value: &Node, notes: &mut Notes) -> Option<String> {
    let mut fields = Fields::of(value);
    let mut words = Vec::new();
    for (names, default, form) in known {
        let found = names.iter().find_map(|name| fields.take_text(name));
        let word = found.or(*default)?;
        words.push(match form {
            Plain => word.to_owned(),
            Target => target(word)?,
            Quoted => character_strings(word.as_bytes()),
        });
    }
    for (key, node) in fields.rest() {
        notes.missing(&format!("`{key}: {}`", node.in_line()), "not known here");
    }
    Some(words.join(" "))
}

fn service(value: &Node) -> Option<String> {
    let mut fields = Fields::of(value);
    let priority = fields.take_text("svcpriority")?;
    let mut words = vec![
        priority.to_owned(),
        target(fields.take_text("targetname")?)?,
    ];
    let parameters = fields
        .take("svcparams")
        .and_then(Node::as_map)
        .unwrap_or_default();
    for (key, node) in parameters {
        let value = node.texts().join(",");
        words.push(match &node.value {
            Value::Null => key.clone(),
            _ => format!("{key}={}", character_string_of(&value)),
        });
    }
    fields.rest().is_empty().then(|| words.join(" "))
}

/// A parameter's value; quotes are needed only for what would end it.
fn character_string_of(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"\\;()".contains(c);
    match value.chars().all(is_plain) {
        true => value.to_owned(),
        false => character_strings(value.as_bytes()),
    }
}
