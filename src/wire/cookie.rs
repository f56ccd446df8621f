//! DNS cookies (RFC 7873) in the interoperable form of RFC 9018: proof that a client receives what is
//! sent to its address.
//!
//! A server cookie is a time and a keyed hash over the client's cookie, that time and the client's
//! address. Nothing is remembered of clients: any machine that has the secret knows its own and its
//! neighbours' cookies again. Of several secrets the first makes cookies and all are tried on those
//! that come back, so that a fleet can change secrets one machine at a time (RFC 9018 s5).
//!
//! A cookie that does not hold is no error: the query is answered as if it had none (RFC 7873 s5.2.4)
//! and brings a fresh one home. Who is treated better for a valid one is the engine's matter.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// A whole cookie: the client's 8 octets, then the server's 16.
pub type Cookie = [u8; 24];

/// The length of the client's part, in octets.
const CLIENT_LEN: usize = 8;

/// Version 1 and three reserved octets (RFC 9018 s4.1, s4.2).
const VERSION: [u8; 4] = [1, 0, 0, 0];

/// How old a cookie may be, in seconds (RFC 9018 s4.3).
const MAX_AGE: u32 = 3600;

/// How far ahead of ours the clock that made it may be, in seconds (RFC 9018 s4.3).
const MAX_AHEAD: u32 = 300;

/// A cookie older than that is replaced, so that a client that asks on never has one that ends
/// (RFC 9018 s4.3).
const RENEWAL_AGE: u32 = 1800;

/// One 128-bit server secret.
pub type Secret = [u8; 16];

/// The server's secrets, the one that makes cookies first; at least one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets(Box<[Secret]>);

/// Why a text holds no secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// No line has one.
    #[error("has no secret, expected 32 hexadecimal digits on a line")]
    Empty,
    /// A line that is no secret, counted from 1. What it says is not repeated.
    #[error("is no secret, expected 32 hexadecimal digits")]
    Line(u32),
}

impl SecretsError {
    /// The line at fault, counted from 1.
    pub fn line(self) -> u32 {
        match self {
            Self::Empty => 1,
            Self::Line(line) => line,
        }
    }
}

/// What a query's cookie is worth, and what the response carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Whether the client has shown that it receives what is sent to its address.
    pub is_valid: bool,
    /// The response's cookie.
    pub reply: Cookie,
}

/// What a valid cookie is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    /// It may be used on.
    Good,
    /// It is half through its time, made with a secret that is on its way out, or has reserved octets
    /// that we would not set.
    ToBeReplaced,
}

impl Secrets {
    /// A single secret.
    pub fn one(secret: Secret) -> Self {
        Self([secret].into())
    }

    /// Reads secrets as 32 hexadecimal digits each, one on a line, the one that makes cookies first
    /// (NSD's `cookie-secret-file` has the same form); empty lines and `#` comments are passed over.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse(text: &str) -> Result<Self, SecretsError> {
        let mut secrets = Vec::new();
        for (line, n) in text.lines().zip(1..) {
            let digits = line.split('#').next().unwrap_or_default().trim();
            if !digits.is_empty() {
                secrets.push(secret(digits).ok_or(SecretsError::Line(n))?);
            }
        }
        match secrets.is_empty() {
            true => Err(SecretsError::Empty),
            false => Ok(Self(secrets.into())),
        }
    }

    /// Judges the cookie of a query from `src` and makes the response's; `sent` has 8 octets or 16 to
    /// 40, as the OPT's reader holds, `now` is in seconds since 1970.
    pub fn check(&self, sent: &[u8], src: IpAddr, now: u64) -> Checked {
        // The timestamp wraps around in 2106 (RFC 9018 s4.3).
        let now = (now & u64::from(u32::MAX)) as u32;
        let mut client = [0; CLIENT_LEN];
        if let Some(octets) = sent.first_chunk() {
            client = *octets;
        }
        let judged = self.judge(sent, client, src, now);
        let reply = match (judged, Cookie::try_from(sent)) {
            (Some(Judged::Good), Ok(sent)) => sent,
            _ => self.make(client, src, now),
        };
        Checked {
            is_valid: judged.is_some(),
            reply,
        }
    }

    /// `None` for a cookie that was not made with one of the secrets, or not lately.
    fn judge(
        &self,
        sent: &[u8],
        client: [u8; CLIENT_LEN],
        src: IpAddr,
        now: u32,
    ) -> Option<Judged> {
        let server: &[u8; 16] = sent.get(CLIENT_LEN..)?.try_into().ok()?;
        let (&head, rest) = server.split_first_chunk::<4>()?;
        let (&time, hash) = rest.split_first_chunk::<4>()?;
        if head.first() != VERSION.first() {
            return None;
        }
        let age = now.wrapping_sub(u32::from_be_bytes(time));
        let ahead = age.wrapping_neg();
        if age > MAX_AGE && ahead > MAX_AHEAD {
            return None;
        }
        // A guess takes 2^63 queries; nothing is learned from how long the comparison takes.
        let is_ours = |secret: &Secret| keyed_hash(secret, client, head, time, src) == *hash;
        let at = self.0.iter().position(is_ours)?;
        let is_young = !(RENEWAL_AGE..=MAX_AGE).contains(&age);
        Some(match at == 0 && is_young && head == VERSION {
            true => Judged::Good,
            false => Judged::ToBeReplaced,
        })
    }

    fn make(&self, client: [u8; CLIENT_LEN], src: IpAddr, now: u32) -> Cookie {
        let time = now.to_be_bytes();
        let secret = self.0.first().unwrap_or(&[0; 16]);
        let hash = keyed_hash(secret, client, VERSION, time, src);
        let mut cookie = [0; 24];
        let parts = client.iter().chain(&VERSION).chain(&time).chain(&hash);
        for (octet, part) in cookie.iter_mut().zip(parts) {
            *octet = *part;
        }
        cookie
    }
}

/// Secrets are not shown.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// SipHash-2-4 of client cookie, version and reserved octets, time and client address (RFC 9018 s4.4).
fn keyed_hash(
    secret: &Secret,
    client: [u8; CLIENT_LEN],
    head: [u8; 4],
    time: [u8; 4],
    src: IpAddr,
) -> [u8; 8] {
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(&client);
    hasher.write(&head);
    hasher.write(&time);
    match src.to_canonical() {
        IpAddr::V4(v4) => hasher.write(&v4.octets()),
        IpAddr::V6(v6) => hasher.write(&v6.octets()),
    }
    hasher.finish().to_le_bytes()
}

/// Reads 32 hexadecimal digits.
fn secret(digits: &str) -> Option<Secret> {
    let is_hex = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u128::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digits: &str) -> Vec<u8> {
        (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect()
    }

    fn secrets(text: &str) -> Secrets {
        Secrets::parse(text).unwrap()
    }

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const V4: &str = "198.51.100.100";

    /// RFC 9018 appendix A: (secrets, client, sent, now, whether it holds, the response's).
    #[test]
    fn the_examples_of_the_rfc_come_out() {
        let old = "dd3bdf9344b678b185a6f5cb60fca715";
        let new = "445536bcd2513298075a5d379663c962";
        let rolled = format!("{new}\n{old}");
        let v6 = "2001:db8:220:1:59de:d0f4:8769:82b8";
        for (text, src, sent, now, is_valid, reply) in [
            (
                SECRET,
                V4,
                "2464c4abcf10c957",
                1_559_731_985,
                false,
                "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
            ),
            (
                SECRET,
                V4,
                "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
                1_559_734_385,
                true,
                "2464c4abcf10c957010000005cf7a871d4a564a1442aca77",
            ),
            // Valid when it was made, its reserved octets being part of the hash, but too old by now.
            (
                SECRET,
                "203.0.113.203",
                "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
                1_559_734_700,
                false,
                "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
            ),
            (
                &rolled,
                v6,
                "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
                1_559_741_961,
                true,
                "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
            ),
        ] {
            let checked = secrets(text).check(&hex(sent), src.parse().unwrap(), now);
            assert_eq!(checked.is_valid, is_valid, "{sent}");
            assert_eq!(checked.reply.as_slice(), hex(reply), "{sent}");
        }
        let reserved = hex("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
        let src = "203.0.113.203".parse().unwrap();
        assert!(
            secrets(SECRET)
                .check(&reserved, src, 1_559_727_985)
                .is_valid
        );
    }

    #[test]
    fn a_cookie_holds_for_its_client_and_its_time() {
        let ours = secrets(SECRET);
        let src: IpAddr = V4.parse().unwrap();
        let now = 1_700_000_000;
        let cookie = ours.check(b"client_1", src, now).reply;
        for (from, later, is_valid, is_kept) in [
            (V4, 0, true, true),
            ("::ffff:198.51.100.100", 0, true, true),
            (V4, 1799, true, true),
            (V4, 1800, true, false),
            (V4, 3600, true, false),
            (V4, 3601, false, false),
            (V4, -300, true, true),
            (V4, -301, false, false),
            ("198.51.100.101", 0, false, false),
            ("2001:db8::1", 0, false, false),
        ] {
            let then = now.checked_add_signed(later).unwrap();
            let checked = ours.check(&cookie, from.parse().unwrap(), then);
            assert_eq!(checked.is_valid, is_valid, "{from} after {later} s");
            assert_eq!(checked.reply == cookie, is_kept, "{from} after {later} s");
            assert_eq!(&checked.reply[..8], b"client_1");
        }
        let other = secrets("00000000000000000000000000000001");
        assert!(!other.check(&cookie, src, now).is_valid);
        for at in 0..cookie.len() {
            let mut forged = cookie;
            forged[at] ^= 1;
            assert!(!ours.check(&forged, src, now).is_valid, "octet {at}");
        }
        for len in [8, 16, 23] {
            assert!(!ours.check(&cookie[..len], src, now).is_valid);
        }
        let longer = [&cookie[..], &[0]].concat();
        assert!(!ours.check(&longer, src, now).is_valid);
    }

    #[test]
    fn the_clock_may_wrap_around() {
        let ours = secrets(SECRET);
        let src: IpAddr = V4.parse().unwrap();
        let before = u64::from(u32::MAX) - 10;
        let cookie = ours.check(b"client_1", src, before).reply;
        assert!(ours.check(&cookie, src, before + 20).is_valid);
        assert!(!ours.check(&cookie, src, before + 4000).is_valid);
    }

    #[test]
    fn secrets_are_read_one_from_a_line() {
        let two = format!(
            "# ours\n\n  {SECRET}  # since May\n{}\n",
            SECRET.to_uppercase()
        );
        assert_eq!(secrets(&two).0.len(), 2);
        assert_eq!(format!("{:?}", secrets(SECRET)), "Secrets(1)");
        for (text, error) in [
            ("", SecretsError::Empty),
            ("# none\n", SecretsError::Empty),
            ("e5e9", SecretsError::Line(1)),
            ("\n+5e973e5a6b2a43f48e7dc849e37bfcf", SecretsError::Line(2)),
            ("e5e973e5a6b2a43f48e7dc849e37bfcg", SecretsError::Line(1)),
            ("e5e973e5a6b2a43f48e7dc849e37bfcf00", SecretsError::Line(1)),
        ] {
            assert_eq!(Secrets::parse(text), Err(error), "{text:?}");
        }
    }
}
