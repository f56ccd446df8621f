//! `.creds` files: a user's JWT and the seed of the user's key, an Ed25519 key in NATS's own text form
//! (base32 of a prefix, the key, and a CRC).

use ring::signature::Ed25519KeyPair;

/// What a `.creds` file holds.
pub(super) struct Credentials {
    jwt: Box<str>,
    key: Ed25519KeyPair,
}

impl Credentials {
    /// Reads a file's content.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let jwt = block(text, "NATS USER JWT")?;
        let seed = seed(block(text, "USER NKEY SEED")?)?;
        Some(Self {
            jwt: jwt.into(),
            key: Ed25519KeyPair::from_seed_unchecked(&seed).ok()?,
        })
    }

    /// The JWT, and the signature of a server's nonce, both as CONNECT takes them.
    pub(super) fn sign(&self, nonce: &str) -> (Box<str>, Box<str>) {
        let signature = self.key.sign(nonce.as_bytes());
        (self.jwt.clone(), base64url(signature.as_ref()).into())
    }
}

/// The line between `-----BEGIN NAME-----` and the end, which has a dash more or less.
fn block<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("BEGIN {name}-"))?;
    let line = rest
        .lines()
        .skip(1)
        .map(str::trim)
        .find(|line| !line.is_empty())?;
    (!line.starts_with('-')).then_some(line)
}

/// The key of a seed: five bits say that it is a seed, five of what kind, then key and CRC.
fn seed(text: &str) -> Option<[u8; 32]> {
    let octets = base32(text)?;
    let (body, crc) = octets.split_last_chunk::<2>()?;
    let (prefix, key) = body.split_first_chunk::<2>()?;
    // `S` and `U`, as base32 writes them.
    let is_users = prefix[0] & 0xf8 == 18 << 3 && (prefix[0] & 7) << 5 | prefix[1] >> 3 == 20 << 3;
    let is_sound = crc16(body) == u16::from_le_bytes(*crc);
    (is_users && is_sound)
        .then(|| key.try_into().ok())
        .flatten()
}

/// Base32 (RFC 4648 s6) without padding.
fn base32(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut n_bits) = (0_u32, 0);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5 | u32::from(digit)) & 0xffff;
        n_bits += 5;
        if n_bits >= 8 {
            n_bits -= 8;
            octets.push((bits >> n_bits & 0xff) as u8);
        }
    }
    Some(octets)
}

/// CRC-16/XMODEM.
fn crc16(octets: &[u8]) -> u16 {
    octets.iter().fold(0, |crc, octet| {
        (0..8).fold(crc ^ u16::from(*octet) << 8, |crc: u16, _| {
            match crc & 0x8000 {
                0 => crc << 1,
                _ => crc << 1 ^ 0x1021,
            }
        })
    })
}

/// Base64 for URLs (RFC 4648 s5) without padding.
fn base64url(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for chunk in octets.chunks(3) {
        let octet = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for n in 0..=chunk.len() {
            let digit = bits >> (18 - 6 * n) & 0x3f;
            text.push(DIGITS[digit as usize].into());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `nsc` writes it; the seed is that of the NATS documentation.
    const CREDS: &str = "-----BEGIN NATS USER JWT-----\neyJ0.eyJq.c2ln\n------END NATS USER JWT------\n\n\
        ************************* IMPORTANT *************************\n\
        NKEY Seed printed below can be used to sign and prove identity.\n\n\
        -----BEGIN USER NKEY SEED-----\nSUAIO3FHUX5PNV2LQIIP7TZ3N4L7TX3W53MQGEIVYFIGA635OZCKEYHFLM\n\
        ------END USER NKEY SEED------\n";

    #[test]
    fn a_key_signs_and_the_server_can_verify_it() {
        let credentials = Credentials::parse(CREDS).expect("sound");
        let (jwt, signature) = credentials.sign("a nonce");
        assert_eq!(&*jwt, "eyJ0.eyJq.c2ln");
        assert_eq!(signature.len(), 86);
        let raw = credentials.key.sign(b"a nonce");
        assert_eq!(*signature, base64url(raw.as_ref()));
        assert_eq!(
            (base64url(b"\xff\xfe"), base64url(b"abc")),
            ("__4".into(), "YWJj".into())
        );
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(base32("MZXW6YTB").as_deref(), Some(&b"fooba"[..]));
    }

    #[test]
    fn faulty_files_are_none() {
        let seed = "SUAIO3FHUX5PNV2LQIIP7TZ3N4L7TX3W53MQGEIVYFIGA635OZCKEYHFLM";
        for (old, new) in [
            ("BEGIN NATS USER JWT", "BEGIN JWT"),
            ("eyJ0.eyJq.c2ln\n", ""),
            ("BEGIN USER NKEY SEED", "BEGIN SEED"),
            (seed, ""),
            (seed, "SUAIO"),
            // One digit differs, another kind of key, no base32.
            (seed, &seed.replace("PNV2", "PNV3")),
            (
                seed,
                "SAAIO3FHUX5PNV2LQIIP7TZ3N4L7TX3W53MQGEIVYFIGA635OZCKEYHFLM",
            ),
            (seed, &seed.replace('3', "1")),
        ] {
            assert!(
                Credentials::parse(&CREDS.replace(old, new)).is_none(),
                "{new}"
            );
        }
        assert!(Credentials::parse("").is_none());
    }
}
