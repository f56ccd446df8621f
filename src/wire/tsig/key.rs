//! Keys that messages are signed with, and their algorithms (RFC 8945 s6).

use ring::hmac;

use crate::base::name::Name;

/// The longest name of a key in octets, so that a question, an OPT and a TSIG always fit 512 octets.
pub const MAX_KEY_NAME_LEN: usize = 120;

/// The HMAC of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC-SHA-1, which RFC 8945 s6 still requires servers to know.
    Sha1,
    /// HMAC-SHA-256, what everybody uses.
    Sha256,
    /// HMAC-SHA-384.
    Sha384,
    /// HMAC-SHA-512.
    Sha512,
}

impl Algorithm {
    /// All that are known.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Its name as in configuration files (RFC 8945 s6).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "hmac-sha1",
            Self::Sha256 => "hmac-sha256",
            Self::Sha384 => "hmac-sha384",
            Self::Sha512 => "hmac-sha512",
        }
    }

    /// Its name as in a TSIG.
    pub(super) fn wire(self) -> &'static [u8] {
        match self {
            Self::Sha1 => b"\x09hmac-sha1\0",
            Self::Sha256 => b"\x0bhmac-sha256\0",
            Self::Sha384 => b"\x0bhmac-sha384\0",
            Self::Sha512 => b"\x0bhmac-sha512\0",
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    /// Length of a signature in octets.
    pub(super) fn mac_len(self) -> usize {
        self.hmac().digest_algorithm().output_len()
    }
}

/// A secret and the name that both sides call it by.
#[derive(Clone, Debug)]
pub struct Key {
    pub(super) name: Name,
    pub(super) algorithm: Algorithm,
    pub(super) secret: hmac::Key,
}

impl Key {
    /// A key; its name should have at most [`MAX_KEY_NAME_LEN`] octets.
    pub fn new(name: Name, algorithm: Algorithm, secret: &[u8]) -> Self {
        Self {
            name,
            algorithm,
            secret: hmac::Key::new(algorithm.hmac(), secret),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// How many octets its TSIG takes in a response.
    pub fn record_len(&self) -> usize {
        // TYPE, CLASS, TTL and RDLENGTH; then time, fudge, MAC size, id, error and other length.
        let fixed_len = 10 + 16;
        [
            self.name.wire().len(),
            self.algorithm.wire().len(),
            self.algorithm.mac_len(),
        ]
        .iter()
        .fold(fixed_len, |sum: usize, len| sum.saturating_add(*len))
    }
}
