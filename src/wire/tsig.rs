//! TSIG (RFC 8945): messages signed with a secret that both sides know.
//!
//! The request's TSIG is taken off and verified over the octets as they came, the response's is put
//! behind the octets as they leave, so that neither reading nor writing a message knows of it. Each
//! signature covers the one before, which ties a response, and every message of a transfer, to its
//! request. HMAC comes from a library; the framing is the RFC's.
//!
//! Invariant: what was not verified with a key of the keyring never gets a [`Signer`] of a good
//! request.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod key;

use std::sync::Arc;

use ring::hmac;
use subtle::ConstantTimeEq;

use crate::base::name::MAX_NAME_LEN;
use crate::base::name::Name;
use crate::base::rr::Class;
use crate::base::rr::RrType;
use crate::wire::compress::Case;
use crate::wire::compress::is_name_at;
use crate::wire::compress::read_name;
use crate::wire::compress::split_name;
use crate::wire::header::HEADER_LEN;
use crate::wire::record::Record;

pub use self::key::Algorithm;
pub use self::key::Key;
pub use self::key::MAX_KEY_NAME_LEN;

/// How far apart the clocks may be in seconds, in what we sign (RFC 8945 s10).
const FUDGE: u16 = 300;

/// All keys of this server; names differ.
#[derive(Clone, Debug, Default)]
pub struct Keyring(Vec<Arc<Key>>);

impl Keyring {
    /// A keyring.
    pub fn new(keys: Vec<Key>) -> Self {
        Self(keys.into_iter().map(Arc::new).collect())
    }

    /// The key of a name.
    pub fn key(&self, name: &Name) -> Option<&Arc<Key>> {
        self.0.iter().find(|key| key.name == *name)
    }

    /// Verifies a request (RFC 8945 s5.2) at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// What is wrong, with what the error response is signed with, if it is.
    pub fn verify(&self, tsig: &Tsig<'_>, now: u64) -> Result<Signer, Refused> {
        let refused = |error, signer| Refused { error, signer };
        let key = self.0.iter().find(|key| tsig.is_of(key));
        let key = key.ok_or_else(|| refused(TsigError::BadKey, None))?;
        let mac_len = key.algorithm.mac_len();
        if !((mac_len / 2).max(10)..=mac_len).contains(&tsig.mac.len()) {
            return Err(refused(TsigError::Length, None));
        }
        // A shortened signature is compared as far as it goes, and refused only after that.
        let mac = tsig.context(key, None).sign();
        let expected = mac.as_ref().get(..tsig.mac.len()).unwrap_or_default();
        if !bool::from(expected.ct_eq(tsig.mac)) {
            return Err(refused(TsigError::BadSig, None));
        }
        let signer = Signer {
            key: Arc::clone(key),
            before: Mac::of(tsig.mac),
            is_first: true,
        };
        if now.abs_diff(tsig.time) > u64::from(tsig.fudge) {
            let (theirs, fudge) = (tsig.time, tsig.fudge);
            return Err(refused(TsigError::BadTime { theirs, fudge }, Some(signer)));
        }
        if tsig.mac.len() < mac_len {
            return Err(refused(TsigError::BadTrunc, Some(signer)));
        }
        Ok(signer)
    }
}

/// What is wrong with a signed request (RFC 8945 s3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TsigError {
    /// The signature is wrong.
    BadSig,
    /// No such key.
    BadKey,
    /// The clocks are too far apart.
    BadTime {
        /// The time in the request, in seconds since 1970.
        theirs: u64,
        /// How far apart the request lets the clocks be, in seconds.
        fudge: u16,
    },
    /// The signature is shortened, which we do not take.
    BadTrunc,
    /// The signature has a length that none has: FORMERR without any TSIG (RFC 8945 s5.2.2.1).
    Length,
}

impl TsigError {
    fn code(self) -> u16 {
        match self {
            Self::BadSig => 16,
            Self::BadKey => 17,
            Self::BadTime { .. } => 18,
            Self::BadTrunc => 22,
            Self::Length => 0,
        }
    }

    /// In words, for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadSig => "wrong TSIG signature",
            Self::BadKey => "unknown TSIG key",
            Self::BadTime { .. } => "TSIG made at another time",
            Self::BadTrunc => "shortened TSIG signature",
            Self::Length => "TSIG signature of a wrong length",
        }
    }
}

/// A request that is answered NOTAUTH.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub error: TsigError,
    /// Signs the error response; `None`: it is not signed (RFC 8945 s5.3.2).
    pub signer: Option<Signer>,
}

/// A TSIG as it stands at the end of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tsig<'a> {
    message: &'a [u8],
    /// Where the record begins.
    start: usize,
    algorithm: &'a [u8],
    /// Seconds since 1970.
    time: u64,
    fudge: u16,
    mac: &'a [u8],
    original_id: [u8; 2],
    error: u16,
    other: &'a [u8],
}

impl<'a> Tsig<'a> {
    /// Reads the record, which must be the message's last; `None` if it is malformed.
    pub(super) fn read(message: &'a [u8], record: &Record<'a>) -> Option<Self> {
        let (algorithm, rest) = split_name(record.rdata)?;
        if algorithm.len() > MAX_NAME_LEN {
            return None;
        }
        let (&[t0, t1, t2, t3, t4, t5, f0, f1, len0, len1], rest) =
            rest.split_first_chunk::<10>()?;
        let (mac, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([len0, len1])))?;
        let (&[id0, id1, e0, e1, len0, len1], other) = rest.split_first_chunk::<6>()?;
        let is_sound = other.len() == usize::from(u16::from_be_bytes([len0, len1]))
            && record.class == Class::ANY.0
            && record.ttl == [0; 4];
        is_sound.then_some(Self {
            message,
            start: message.len().checked_sub(record.n_left)?,
            algorithm,
            time: u64::from_be_bytes([0, 0, t0, t1, t2, t3, t4, t5]),
            fudge: u16::from_be_bytes([f0, f1]),
            mac,
            original_id: [id0, id1],
            error: u16::from_be_bytes([e0, e1]),
            other,
        })
    }

    /// The TSIG that ends a message of any kind; `None` if it does not end with a well-formed one.
    pub fn of(message: &'a [u8]) -> Option<Self> {
        let (header, mut rest) = message.split_first_chunk::<HEADER_LEN>()?;
        let &[_, _, _, _, qd0, qd1, an0, an1, ns0, ns1, ar0, ar1] = header;
        for _ in 0..u16::from_be_bytes([qd0, qd1]) {
            let (_, after) = split_name(rest)?;
            rest = after.get(4..)?;
        }
        let counts = [[an0, an1], [ns0, ns1], [ar0, ar1]].map(u16::from_be_bytes);
        let mut last = None;
        for _ in counts.iter().flat_map(|count| 0..*count) {
            last = Some(Record::split_off(message, &mut rest)?);
        }
        let last = last.filter(|last| last.rtype == RrType::TSIG && rest.is_empty())?;
        Self::read(message, &last)
    }

    fn is_of(&self, key: &Key) -> bool {
        is_name_at(self.message, self.start, key.name.wire(), Case::Ignored)
            && self.algorithm.eq_ignore_ascii_case(key.algorithm.wire())
    }

    /// What the signature is made of (RFC 8945 s4.3): the one before, the message without its TSIG, and
    /// the TSIG's variables.
    fn context(&self, key: &Key, before: Option<&Mac>) -> hmac::Context {
        let mut context = hmac::Context::with_key(&key.secret);
        if let Some(before) = before {
            before.add_to(&mut context);
        }
        context.update(&self.original_id);
        context.update(self.message.get(2..10).unwrap_or_default());
        let n_additional = self.message.get(10..12).and_then(|n| n.try_into().ok());
        let n_additional = u16::from_be_bytes(n_additional.unwrap_or_default()).saturating_sub(1);
        context.update(&n_additional.to_be_bytes());
        context.update(self.message.get(HEADER_LEN..self.start).unwrap_or_default());
        let variables = Variables {
            time: self.time,
            fudge: self.fudge,
            error: self.error,
            other: self.other,
        };
        variables.add_to(&mut context, key);
        context
    }

    /// Puts a TSIG without signature behind the error response of `len` octets in `out` and returns the
    /// response's new length; `None` if it does not fit.
    pub fn refuse(&self, error: TsigError, out: &mut [u8], len: usize) -> Option<usize> {
        let mut owner = [0; MAX_NAME_LEN];
        let owner = read_name(self.message, self.start, &mut owner)?;
        let variables = Variables {
            time: self.time,
            fudge: self.fudge,
            error: error.code(),
            other: &[],
        };
        variables.write(owner, self.algorithm, &[], out, len)
    }
}

/// A signature.
#[derive(Clone, Copy)]
struct Mac {
    octets: [u8; 64],
    len: usize,
}

impl Mac {
    fn of(octets: &[u8]) -> Self {
        let mut mac = Self {
            octets: [0; 64],
            len: octets.len().min(64),
        };
        for (to, from) in mac.octets.iter_mut().zip(octets) {
            *to = *from;
        }
        mac
    }

    fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }

    fn add_to(&self, context: &mut hmac::Context) {
        context.update(&(self.len as u16).to_be_bytes());
        context.update(self.octets());
    }
}

/// The fields of a TSIG that are signed with the message.
struct Variables<'a> {
    time: u64,
    fudge: u16,
    error: u16,
    other: &'a [u8],
}

impl Variables<'_> {
    /// All of them (RFC 8945 s4.3.3).
    fn add_to(&self, context: &mut hmac::Context, key: &Key) {
        context.update(&key.name.lower_wire());
        context.update(&Class::ANY.0.to_be_bytes());
        context.update(&[0; 4]);
        context.update(key.algorithm.wire());
        self.add_timers_to(context);
        context.update(&self.error.to_be_bytes());
        context.update(&(self.other.len() as u16).to_be_bytes());
        context.update(self.other);
    }

    /// Those that later messages of a transfer are signed with (RFC 8945 s5.3.1).
    fn add_timers_to(&self, context: &mut hmac::Context) {
        let [_, _, time @ ..] = self.time.to_be_bytes();
        context.update(&time);
        context.update(&self.fudge.to_be_bytes());
    }

    /// Appends the record to the message of `len` octets in `out` and counts it.
    fn write(
        &self,
        owner: &[u8],
        algorithm: &[u8],
        mac: &[u8],
        out: &mut [u8],
        len: usize,
    ) -> Option<usize> {
        let rdata_len = [algorithm.len(), mac.len(), self.other.len()]
            .iter()
            .try_fold(16_usize, |sum, len| sum.checked_add(*len))?;
        let [_, _, time @ ..] = self.time.to_be_bytes();
        let original_id: [u8; 2] = *out.first_chunk()?;
        let parts: [&[u8]; 13] = [
            owner,
            &RrType::TSIG.0.to_be_bytes(),
            &Class::ANY.0.to_be_bytes(),
            &[0; 4],
            &u16::try_from(rdata_len).ok()?.to_be_bytes(),
            algorithm,
            &time,
            &self.fudge.to_be_bytes(),
            &u16::try_from(mac.len()).ok()?.to_be_bytes(),
            mac,
            &original_id,
            &self.error.to_be_bytes(),
            &u16::try_from(self.other.len()).ok()?.to_be_bytes(),
        ];
        let mut end = len;
        for part in parts.into_iter().chain([self.other]) {
            let next = end.checked_add(part.len())?;
            out.get_mut(end..next)?.copy_from_slice(part);
            end = next;
        }
        let count = out.get_mut(10..12)?.first_chunk_mut::<2>()?;
        *count = u16::from_be_bytes(*count).checked_add(1)?.to_be_bytes();
        Some(end)
    }
}

/// Signs what answers a verified request, one message after the other, or a request of our own.
#[derive(Clone)]
pub struct Signer {
    key: Arc<Key>,
    /// The signature that the next one covers: the request's, then that of each message.
    before: Mac,
    is_first: bool,
}

impl Signer {
    /// For a request of our own.
    pub fn of_request(key: &Arc<Key>) -> Self {
        Self {
            key: Arc::clone(key),
            before: Mac::of(&[]),
            is_first: true,
        }
    }

    /// The key that the request was signed with.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Signs the message of `len` octets in `out`, which must have room for [`Key::record_len`] more,
    /// and returns its new length; `None` if it does not fit.
    pub fn sign(&mut self, out: &mut [u8], len: usize, now: u64) -> Option<usize> {
        let variables = Variables {
            time: now,
            fudge: FUDGE,
            error: 0,
            other: &[],
        };
        self.sign_with(&variables, out, len)
    }

    /// The same for an error response; `out` must have room for 6 octets more.
    pub fn refuse(
        &mut self,
        error: TsigError,
        out: &mut [u8],
        len: usize,
        now: u64,
    ) -> Option<usize> {
        let [_, _, ours @ ..] = now.to_be_bytes();
        let (time, fudge, other) = match error {
            // RFC 8945 s5.2.3: their time and fudge, and our time beside them.
            TsigError::BadTime { theirs, fudge } => (theirs, fudge, &ours[..]),
            _ => (now, FUDGE, &[][..]),
        };
        let variables = Variables {
            time,
            fudge,
            error: error.code(),
            other,
        };
        self.sign_with(&variables, out, len)
    }

    fn sign_with(
        &mut self,
        variables: &Variables<'_>,
        out: &mut [u8],
        len: usize,
    ) -> Option<usize> {
        let mut context = hmac::Context::with_key(&self.key.secret);
        if self.before.len > 0 {
            self.before.add_to(&mut context);
        }
        context.update(out.get(..len)?);
        match self.is_first {
            true => variables.add_to(&mut context, &self.key),
            false => variables.add_timers_to(&mut context),
        }
        let mac = context.sign();
        let (owner, algorithm) = (self.key.name.wire(), self.key.algorithm.wire());
        let end = variables.write(owner, algorithm, mac.as_ref(), out, len)?;
        self.before = Mac::of(mac.as_ref());
        self.is_first = false;
        Some(end)
    }

    /// Whether a message is signed as the response to the request that this signed last.
    pub fn is_answered_by(&self, response: &[u8], now: u64) -> bool {
        let Some(tsig) = Tsig::of(response).filter(|tsig| tsig.is_of(&self.key)) else {
            return false;
        };
        let mac = tsig.context(&self.key, Some(&self.before)).sign();
        bool::from(mac.as_ref().ct_eq(tsig.mac)) && now.abs_diff(tsig.time) <= u64::from(tsig.fudge)
    }
}

/// The signature is not shown.
impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.key.name)
    }
}

#[cfg(test)]
mod tests;
