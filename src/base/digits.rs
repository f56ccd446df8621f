//! Octets written in digits: hexadecimal, Base32hex and Base64 (RFC 4648).
//!
//! Decoding is strict, as in BIND and NSD: nothing but digits and the padding of Base64, and no bits that
//! are set beyond the last octet.

/// No digit.
const NONE: u8 = 0xFF;

const HEX: [u8; 256] = values(b"0123456789ABCDEF", true);
const BASE32HEX: [u8; 256] = values(b"0123456789ABCDEFGHIJKLMNOPQRSTUV", true);
const BASE64: [u8; 256] = values(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    false,
);

/// The value of each character as a digit.
const fn values(alphabet: &[u8], folds_case: bool) -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < alphabet.len() {
        let digit = alphabet[value];
        values[digit as usize] = value as u8;
        if folds_case {
            values[digit.to_ascii_lowercase() as usize] = value as u8;
        }
        value += 1;
    }
    values
}

/// Decodes hexadecimal digits in either case, an even number of them.
pub fn hex(text: &str) -> Option<Vec<u8>> {
    decode(&HEX, 4, text)
}

/// Decodes Base32hex in either case, without padding (RFC 5155 s3.3).
pub fn base32hex(text: &str) -> Option<Vec<u8>> {
    decode(&BASE32HEX, 5, text)
}

/// Decodes Base64 with its padding.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    let unpadded = text.trim_end_matches('=');
    let padded = text.len().is_multiple_of(4) && text.len() - unpadded.len() <= 2;
    padded.then(|| decode(&BASE64, 6, unpadded)).flatten()
}

/// Decodes digits of so many bits, most significant first.
fn decode(values: &[u8; 256], bits: u32, text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() * bits as usize / 8);
    let (mut buffer, mut filled) = (0_u32, 0);
    for byte in text.bytes() {
        let value = values[usize::from(byte)];
        if value == NONE {
            return None;
        }
        buffer = buffer << bits | u32::from(value);
        filled += bits;
        if filled >= 8 {
            filled -= 8;
            octets.push((buffer >> filled) as u8);
            buffer &= (1 << filled) - 1;
        }
    }
    (buffer == 0 && filled < bits).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_become_octets() {
        // RFC 4648 s10, the padding of Base32hex taken off.
        for (octets, hex_, base32, base64_) in [
            ("", "", "", ""),
            ("f", "66", "CO", "Zg=="),
            ("fo", "666F", "CPNG", "Zm8="),
            ("foo", "666F6F", "CPNMU", "Zm9v"),
            ("foob", "666F6F62", "CPNMUOG", "Zm9vYg=="),
            ("fooba", "666F6F6261", "CPNMUOJ1", "Zm9vYmE="),
            ("foobar", "666F6F626172", "CPNMUOJ1E8", "Zm9vYmFy"),
        ] {
            let octets = Some(octets.as_bytes().to_vec());
            assert_eq!(hex(hex_), octets);
            assert_eq!(hex(&hex_.to_lowercase()), octets);
            assert_eq!(base32hex(base32), octets);
            assert_eq!(base32hex(&base32.to_lowercase()), octets);
            assert_eq!(base64(base64_), octets);
        }
        assert_eq!(base64("+/+/"), Some(vec![0xFB, 0xFF, 0xBF]));
    }

    #[test]
    fn what_is_no_whole_octet_is_refused() {
        for text in ["6", "6g", "66 ", "0x66", "６６"] {
            assert_eq!(hex(text), None, "{text}");
        }
        for text in ["C", "CP", "CO==", "CW", "CPNMUO", "é"] {
            assert_eq!(base32hex(text), None, "{text}");
        }
        for text in [
            "Zg", "Zg=", "Zh==", "Z===", "====", "Zm9=", "Zg==Zg==", "Zm-_", "é=",
        ] {
            assert_eq!(base64(text), None, "{text}");
        }
    }
}
