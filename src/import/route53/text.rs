//! Names and record data as Route 53 writes them: escapes are octal, and names are absolute without a final dot.

use crate::base::name::Name;

/// A text with the octal escapes of Route 53 (`\052`) as the decimal ones of master files (`\042`).
pub(super) fn decimal(text: &str) -> String {
    let mut decimal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        decimal.push_str(before);
        decimal.push('\\');
        let octal = after
            .get(..3)
            .filter(|digits| digits.bytes().all(|digit| matches!(digit, b'0'..=b'7')));
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(octet) => {
                decimal += &format!("{octet:03}");
                rest = &after[3..];
            }
            None => {
                let len = after.chars().next().map_or(0, char::len_utf8);
                decimal.push_str(&after[..len]);
                rest = &after[len..];
            }
        }
    }
    decimal + rest
}

/// A name.
pub(super) fn name(text: &str) -> Option<Name> {
    Name::parse(&decimal(text)).ok()
}

/// The data of a record in presentation format.
pub(super) fn data(rtype: &str, value: &str) -> String {
    let value = decimal(value);
    let targets: &[usize] = match rtype {
        "CNAME" | "NS" | "PTR" => &[0],
        "HTTPS" | "MX" | "SVCB" => &[1],
        "SOA" => &[0, 1],
        "SRV" => &[3],
        "NAPTR" => &[5],
        _ => return value,
    };
    let words = value.split_whitespace().enumerate();
    let word = |(at, word): (usize, &str)| match Name::parse(word) {
        Ok(name) if targets.contains(&at) => name.to_string(),
        _ => word.to_owned(),
    };
    words.map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_escapes_become_decimal() {
        for (text, expected) in [
            (r"\052.example.com.", r"\042.example.com."),
            (r"a\100b", r"a\064b"),
            (r#""say \"\\\042""#, r#""say \"\\\034""#),
            (r"\9", r"\9"),
            (r"end\", r"end\"),
            ("plain", "plain"),
        ] {
            assert_eq!(decimal(text), expected, "{text}");
        }
        assert!(name(r"\052.example.com").expect("a name").is_wildcard());
    }

    #[test]
    fn names_in_data_are_absolute() {
        for (rtype, value, expected) in [
            ("CNAME", "www.example.com", "www.example.com."),
            ("MX", "10  mail.example.com", "10 mail.example.com."),
            ("SRV", "1 2 3 a.example.com.", "1 2 3 a.example.com."),
            ("TXT", r#""a  b" "\344""#, r#""a  b" "\228""#),
            ("HTTPS", "1 . alpn=h2", "1 . alpn=h2"),
        ] {
            assert_eq!(data(rtype, value), expected, "{rtype}");
        }
    }
}
