//! The chain of trust: DS at the parent, keys and signatures in the zone.

use ring::digest;
use ring::signature;

use crate::base::name::Name;
use crate::base::rr::RrType;
use crate::base::serial;
use crate::doctor::delegation::Found;
use crate::doctor::finding::Findings;
use crate::doctor::finding::Kind;
use crate::doctor::judge::Evidence;
use crate::doctor::message::Record;
use crate::doctor::message::Reply;

/// A signature that ends within this time, in seconds, is late: signers renew days ahead.
const ENDS_SOON: u32 = 2 * 86_400;

/// The flag of a key that signs the zone (RFC 4034 s2.1.1).
const ZONE_KEY: u16 = 0x0100;

/// Judges all of it.
pub fn judge(evidence: &Evidence, findings: &mut Findings) {
    let ds = match &evidence.found {
        Some(Found::Delegated(delegation)) => Some(&delegation.ds),
        _ => None,
    };
    let mut is_signed = false;
    for server in evidence.authoritative() {
        let label = server.server.label();
        let Some(more) = &server.more else { continue };
        let Ok(dnskey) = &more.dnskey else { continue };
        let keys: Vec<&Record> = dnskey.answers(&evidence.zone, RrType::DNSKEY).collect();
        if let Some(ds) = ds {
            trust(&label, &evidence.zone, ds, &keys, findings);
        }
        if keys.is_empty() {
            continue;
        }
        is_signed = true;
        let now = evidence.now as u32;
        // What is wrong with all signatures is found once, at those that the others rest on.
        let of_keys = fault_of_set(&evidence.zone, (dnskey, RrType::DNSKEY), &keys, now);
        let of_soa = more.signed_soa.as_ref().ok().and_then(|reply| {
            let fault = fault_of_set(&evidence.zone, (reply, RrType::SOA), &keys, now);
            fault.filter(|(kind, _)| of_keys.as_ref().is_none_or(|(same, _)| same != kind))
        });
        for (kind, message) in of_keys.into_iter().chain(of_soa) {
            findings.add_at(kind, &label, message);
        }
    }
    let kinds = [
        Kind::DsMismatch,
        Kind::SignatureMissing,
        Kind::SignatureExpired,
        Kind::SignatureEnds,
        Kind::SignatureEarly,
        Kind::SignatureWrong,
    ];
    if is_signed && !findings.has(&kinds) {
        findings
            .fine("dnssec: SOA and DNSKEY are signed by the zone's keys, for two days at least");
    }
}

/// The parent's DS records against a server's keys.
fn trust(label: &str, zone: &Name, ds: &[Record], keys: &[&Record], findings: &mut Findings) {
    let tags = || {
        let tags = ds.iter().filter_map(Ds::of);
        let tags: Vec<String> = tags.map(|ds| ds.tag.to_string()).collect();
        tags.join(" ")
    };
    match (ds, keys) {
        ([], []) => {}
        ([], _) => findings.add_at(Kind::DnskeyWithoutDs, label, "no DS at the parent"),
        (_, []) => {
            let message = format!("DS of key {} at the parent, no DNSKEY in the zone", tags());
            findings.add_at(Kind::DsWithoutDnskey, label, message);
        }
        _ => {
            let judged = |ds: &Record| Some(Ds::of(ds)?.is_of_one(zone, keys));
            // A digest that nothing here can compute proves nothing, in either direction.
            let is_broken = ds.iter().all(|ds| judged(ds) == Some(Some(false)));
            if is_broken {
                let own: Vec<String> = keys
                    .iter()
                    .map(|key| key_tag(&key.rdata).to_string())
                    .collect();
                let message = format!(
                    "DS of key {} at the parent, the zone has {}",
                    tags(),
                    own.join(" ")
                );
                findings.add_at(Kind::DsMismatch, label, message);
            }
        }
    }
}

/// A DS record's fields (RFC 4034 s5.1).
struct Ds<'a> {
    tag: u16,
    algorithm: u8,
    digest_type: u8,
    digest: &'a [u8],
}

impl<'a> Ds<'a> {
    fn of(record: &'a Record) -> Option<Self> {
        let (&[tag0, tag1, algorithm, digest_type], digest) =
            record.rdata.split_first_chunk::<4>()?;
        Some(Self {
            tag: u16::from_be_bytes([tag0, tag1]),
            algorithm,
            digest_type,
            digest,
        })
    }

    /// Whether it is the digest of one of the keys; `None` for a digest that is not known here.
    fn is_of_one(&self, zone: &Name, keys: &[&Record]) -> Option<bool> {
        let algorithm = match self.digest_type {
            1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            2 => &digest::SHA256,
            4 => &digest::SHA384,
            _ => return None,
        };
        Some(keys.iter().any(|key| {
            let input = [&zone.lower_wire()[..], &key.rdata].concat();
            key_tag(&key.rdata) == self.tag
                && key.rdata.get(3) == Some(&self.algorithm)
                && digest::digest(algorithm, &input).as_ref() == self.digest
        }))
    }
}

/// The tag of a key (RFC 4034 appendix B).
fn key_tag(rdata: &[u8]) -> u16 {
    let sum: u32 = rdata
        .iter()
        .zip([8, 0].into_iter().cycle())
        .map(|(octet, shift)| u32::from(*octet) << shift)
        .sum();
    (sum.wrapping_add(sum >> 16) & 0xFFFF) as u16
}

/// An RRSIG record's fields (RFC 4034 s3.1).
struct Rrsig<'a> {
    covered: RrType,
    algorithm: u8,
    labels: u8,
    original_ttl: [u8; 4],
    expiration: u32,
    inception: u32,
    tag: u16,
    signer: Name,
    /// Everything in front of the signature.
    head: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Rrsig<'a> {
    fn of(record: &'a Record) -> Option<Self> {
        let (&fields, rest) = record.rdata.split_first_chunk::<18>()?;
        let number = |at: usize| {
            u32::from_be_bytes([fields[at], fields[at + 1], fields[at + 2], fields[at + 3]])
        };
        let mut len = 0;
        while let Some(label) = rest.get(len).filter(|label| **label != 0) {
            len += 1 + usize::from(*label);
        }
        let signer = rest.get(..=len)?;
        Some(Self {
            covered: RrType(u16::from_be_bytes([fields[0], fields[1]])),
            algorithm: fields[2],
            labels: fields[3],
            original_ttl: [fields[4], fields[5], fields[6], fields[7]],
            expiration: number(8),
            inception: number(12),
            tag: u16::from_be_bytes([fields[16], fields[17]]),
            signer: Name::from_wire(signer).ok()?,
            head: &record.rdata[..18 + signer.len()],
            signature: &rest[signer.len()..],
        })
    }

    /// Whether the signature of these records is that of one of the keys; `None` if it is of an algorithm that is
    /// not known here.
    fn is_by_one(&self, set: &[&Record], keys: &[&Record]) -> Option<bool> {
        let mut data = self.head.to_vec();
        let mut set = set.to_vec();
        set.sort_by(|a, b| a.rdata.cmp(&b.rdata));
        for record in set {
            data.extend_from_slice(&record.owner.lower_wire());
            data.extend_from_slice(&record.rtype.0.to_be_bytes());
            data.extend_from_slice(&[0, 1]);
            data.extend_from_slice(&self.original_ttl);
            data.extend_from_slice(&(record.rdata.len() as u16).to_be_bytes());
            data.extend_from_slice(&record.rdata);
        }
        let mut verdict = Some(false);
        for key in keys.iter().filter(|key| key_tag(&key.rdata) == self.tag) {
            let Some((&[flags0, flags1, _, algorithm], key)) = key.rdata.split_first_chunk::<4>()
            else {
                continue;
            };
            if algorithm != self.algorithm || u16::from_be_bytes([flags0, flags1]) & ZONE_KEY == 0 {
                continue;
            }
            match verify(algorithm, key, &data, self.signature) {
                Some(false) => {}
                other => verdict = other,
            }
        }
        verdict
    }
}

/// Whether a signature holds; `None` for an algorithm that is not known here (RFC 8624 has those that matter).
fn verify(algorithm: u8, key: &[u8], data: &[u8], signature: &[u8]) -> Option<bool> {
    let point = |method| {
        let key = [&[4], key].concat();
        signature::UnparsedPublicKey::new(method, key)
            .verify(data, signature)
            .is_ok()
    };
    let rsa = |method| {
        let (n_exponent, rest) = match key {
            [0, len0, len1, rest @ ..] => (usize::from(u16::from_be_bytes([*len0, *len1])), rest),
            [len, rest @ ..] => (usize::from(*len), rest),
            [] => return false,
        };
        rest.split_at_checked(n_exponent).is_some_and(|(e, n)| {
            let is_leading = |octet: &u8| *octet == 0;
            let trim = |octets: &[u8]| {
                octets
                    .iter()
                    .copied()
                    .skip_while(is_leading)
                    .collect::<Vec<u8>>()
            };
            let key = signature::RsaPublicKeyComponents {
                n: trim(n),
                e: trim(e),
            };
            key.verify(method, data, signature).is_ok()
        })
    };
    Some(match algorithm {
        5 | 7 => rsa(&signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
        8 => rsa(&signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
        10 => rsa(&signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
        13 => point(&signature::ECDSA_P256_SHA256_FIXED),
        14 => point(&signature::ECDSA_P384_SHA384_FIXED),
        15 => signature::UnparsedPublicKey::new(&signature::ED25519, key)
            .verify(data, signature)
            .is_ok(),
        _ => return None,
    })
}

/// What is wrong with the signatures of one RRset of the apex.
fn fault_of_set(
    zone: &Name,
    (reply, rtype): (&Reply, RrType),
    keys: &[&Record],
    now: u32,
) -> Option<(Kind, String)> {
    let set: Vec<&Record> = reply.answers(zone, rtype).collect();
    let of_set = |signature: &Rrsig<'_>| {
        signature.covered == rtype
            && signature.signer == *zone
            && usize::from(signature.labels) == zone.n_labels()
    };
    let rrsigs: Vec<Rrsig<'_>> = reply
        .answers(zone, RrType::RRSIG)
        .filter_map(Rrsig::of)
        .filter(of_set)
        .collect();
    let mut worst = Some((Kind::SignatureMissing, format!("no RRSIG of {rtype}")));
    for rrsig in &rrsigs {
        let fault = fault(rrsig, rtype, &set, keys, now);
        // One that holds is enough: while keys are rolled there may be others.
        let is_better = match (&fault, &worst) {
            (None, _) => true,
            (Some((kind, _)), Some((worst, _))) => {
                *worst == Kind::SignatureMissing || kind.severity() > worst.severity()
            }
            (Some(_), None) => false,
        };
        if is_better {
            worst = fault;
        }
    }
    worst
}

/// What is wrong with one signature.
fn fault(
    rrsig: &Rrsig<'_>,
    rtype: RrType,
    set: &[&Record],
    keys: &[&Record],
    now: u32,
) -> Option<(Kind, String)> {
    let of = format!("RRSIG of {rtype} by key {}", rrsig.tag);
    // Times are serial numbers (RFC 4034 s3.1.5).
    let span = |later: u32, earlier: u32| match later.wrapping_sub(earlier) / 3600 {
        hours @ 0..=72 => format!("{hours} h"),
        hours => format!("{} d", hours / 24),
    };
    if serial::is_newer(rrsig.inception, now) {
        let message = format!("{of} begins in {}", span(rrsig.inception, now));
        return Some((Kind::SignatureEarly, message));
    }
    if serial::is_newer(now, rrsig.expiration) {
        let message = format!("{of} ended {} ago", span(now, rrsig.expiration));
        return Some((Kind::SignatureExpired, message));
    }
    if rrsig.is_by_one(set, keys) == Some(false) {
        return Some((Kind::SignatureWrong, of));
    }
    let ends_soon = rrsig.expiration.wrapping_sub(now) < ENDS_SOON;
    let message = || format!("{of} ends in {}", span(rrsig.expiration, now));
    ends_soon.then(|| (Kind::SignatureEnds, message()))
}
