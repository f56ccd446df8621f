//! Which zone a file holds. Its name is the origin: `example.com.zone`, in any case, and `root.zone` for
//! the root. `%2F` stands for a slash, which no file name can hold, and `%25` for a percent sign. A name
//! that is too long for the file system stands inside: the file's name begins with `@`, and its first
//! line is `$ORIGIN NAME.`.

use std::borrow::Cow;
use std::path::Path;

use crate::base::name::Name;

/// Where the origin of a file stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// In the file's first line.
    Inside,
    /// In the file's name.
    Named(Name),
}

/// The origin that a zone file's name gives.
///
/// # Errors
/// Why it gives none.
pub(super) fn of_file_name(path: &Path) -> Result<Origin, String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let stem =
        stem.ok_or("file name is not UTF-8 text, expected a name such as `example.com.zone`")?;
    if stem.starts_with('@') {
        return Ok(Origin::Inside);
    }
    if stem.eq_ignore_ascii_case("root") {
        return Ok(Origin::Named(Name::root()));
    }
    let name = Name::parse(&unescape(stem)?).map_err(|error| {
        format!("file name is no origin: {error}, expected a name such as `example.com.zone`")
    })?;
    Ok(Origin::Named(name))
}

/// Puts in what percent escapes stand for.
fn unescape(stem: &str) -> Result<String, String> {
    let (first, rest) = stem
        .split_once('%')
        .map_or((stem, None), |(a, b)| (a, Some(b)));
    let mut name = first.to_owned();
    for part in rest.into_iter().flat_map(|rest| rest.split('%')) {
        let (code, text) = part.split_at_checked(2).unwrap_or((part, ""));
        name.push(match code {
            "2F" | "2f" => '/',
            "25" => '%',
            _ => {
                return Err(format!(
                    "file name has `%{code}`, expected `%2F` for a slash or `%25` for a percent sign"
                ));
            }
        });
        name.push_str(text);
    }
    Ok(name)
}

/// The origin that a zone file's first line gives: blank lines and comments do not count.
///
/// # Errors
/// Why it gives none.
pub(super) fn of_first_line(octets: &[u8]) -> Result<Name, String> {
    let lines = octets
        .split(|octet| *octet == b'\n')
        .map(String::from_utf8_lossy);
    let without_comment = |line: Cow<'_, str>| {
        let entry = line.split(';').next().unwrap_or_default();
        entry.trim().to_owned()
    };
    let first = lines.map(without_comment).find(|entry| !entry.is_empty());
    let first = first.unwrap_or_default();
    let mut words = first.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(word), Some(name), None)
            if word.eq_ignore_ascii_case("$ORIGIN") && name.ends_with('.') =>
        {
            Name::parse(name).map_err(|error| format!("first line names no origin: {error}"))
        }
        _ => Err(
            "does not begin with its origin, expected `$ORIGIN NAME.` as the first line of a file \
             whose name begins with `@`"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_origins() {
        let named = |name: &str| Ok(Origin::Named(Name::parse(name).expect("a name")));
        let fault = |text: &str| Err(text.to_owned());
        let percent = |code| {
            fault(&format!(
                "file name has `%{code}`, expected `%2F` for a slash or `%25` for a percent sign"
            ))
        };
        for (file, expected) in [
            ("example.com.zone", named("example.com.")),
            ("Example.COM.zone", named("example.com.")),
            ("example.com..zone", named("example.com.")),
            ("root.zone", Ok(Origin::Named(Name::root()))),
            ("ROOT.zone", Ok(Origin::Named(Name::root()))),
            ("root..zone", named("root.")),
            (
                "0%2F25.2.0.192.in-addr.arpa.zone",
                named("0/25.2.0.192.in-addr.arpa."),
            ),
            (
                "0%2f25.2.0.192.in-addr.arpa.zone",
                named("0/25.2.0.192.in-addr.arpa."),
            ),
            ("%252F.example.zone", named("%2F.example.")),
            ("a\\.b.example.zone", named("a\\.b.example.")),
            ("a\\046b.example.zone", named("a\\.b.example.")),
            ("@long.zone", Ok(Origin::Inside)),
            ("\\064long.zone", named("\\064long.")),
            ("100%.example.zone", percent(".e")),
            ("a%41.example.zone", percent("41")),
            ("a%2.zone", percent("2")),
            ("a%.zone", percent("")),
        ] {
            let path = Path::new("/zones").join(file);
            assert_eq!(of_file_name(&path), expected, "{file}");
        }
        let found = of_file_name(Path::new("a..b.zone")).expect_err("no origin");
        assert!(found.starts_with("file name is no origin: "), "{found}");
    }

    #[test]
    fn first_lines_are_origins() {
        let name = Name::parse("long.example.").expect("a name");
        for text in [
            "$ORIGIN long.example.\n@ SOA",
            "\n; a comment\n  \n$origin\tLong.Example. ; and one more\r\n",
        ] {
            assert_eq!(of_first_line(text.as_bytes()), Ok(name.clone()), "{text}");
        }
        for text in [
            "",
            "; only a comment",
            "$ORIGIN long.example\n",
            "$ORIGIN\n",
            "$ORIGIN long.example. more\n",
            "$TTL 1h\n$ORIGIN long.example.\n",
            "$ORIGIN ..\n",
        ] {
            assert!(of_first_line(text.as_bytes()).is_err(), "{text}");
        }
    }
}
