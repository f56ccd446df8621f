//! Rendezvous hashing: which of several candidates a client prefix belongs to.
//!
//! Every candidate gets a score from a hash of its name and the client prefix; the highest wins. The
//! same client gets the same candidate on every machine, and the loss of one moves only its own
//! clients. Weights follow Schindelhauer and Schomaker, "Weighted distributed hash tables" (2005):
//! with u uniform in (0, 1), -w / ln u is the largest with a probability proportional to w.

use std::net::IpAddr;

use crate::base::fnv::fnv1a;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Prefix;

/// The length of a client prefix: all addresses in one get the same candidate.
pub const CLIENT_LEN: PerFamily<u8> = PerFamily { v4: 24, v6: 56 };

/// A client prefix as the hash sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientKey(u64);

impl ClientKey {
    /// The key of the client prefix around the first address of `prefix`: its /24 or /56.
    pub fn of(prefix: Prefix) -> Self {
        match Prefix::cut(prefix.addr(), CLIENT_LEN[prefix.family()]).addr() {
            IpAddr::V4(v4) => Self(mix(u64::from(v4.to_bits()), 4)),
            // The low half of a /56 is zero.
            IpAddr::V6(v6) => Self(mix((v6.to_bits() >> 64) as u64, 6)),
        }
    }

    /// A number that has nothing to do with the scores, to pick one of equal variants by.
    pub fn spread(self) -> u64 {
        mix(self.0, 0x5EED)
    }

    /// A key that stands for no client: the `n`th of a fixed sequence.
    pub fn nth(n: u64) -> Self {
        Self(mix(n, 0))
    }
}

/// A name's hash, the same on every machine and in every release (FNV-1a, then mixed).
pub fn name_hash(name: &[u8]) -> u64 {
    mix(fnv1a(name), 1)
}

/// A candidate's score for a client; higher is better. Weight 0 gives 0.
pub fn score(client: ClientKey, candidate: u64, weight: u32) -> f64 {
    // 52 random bits, moved off both ends so that the logarithm is finite and not zero.
    let unit = ((mix(client.0, candidate) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    f64::from(weight) / -unit.ln()
}

/// The position of the candidate that wins a client; each is a (name hash, weight).
pub fn pick(client: ClientKey, candidates: impl Iterator<Item = (u64, u32)>) -> usize {
    let mut best = (0, -1.0);
    for (at, (hash, weight)) in candidates.enumerate() {
        let score = score(client, hash, weight);
        if score > best.1 {
            best = (at, score);
        }
    }
    best.0
}

/// Two words into one, each input bit reaching every output bit (the SplitMix64 finalizer, Steele,
/// Lea and Flood 2014, over a multiply of the second word).
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a ^ b.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31);
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> impl Iterator<Item = ClientKey> {
        (0..20_000_u32).map(|n| {
            let addr = std::net::Ipv4Addr::from_bits(0x0A00_0000 + (n << 8));
            ClientKey::of(Prefix::host(IpAddr::V4(addr)))
        })
    }

    fn candidates(weights: &[u32]) -> Vec<(u64, u32)> {
        weights
            .iter()
            .enumerate()
            .map(|(i, w)| (name_hash(&[i as u8]), *w))
            .collect()
    }

    #[test]
    fn shares_follow_the_weights() {
        let list = candidates(&[1, 2, 5, 0]);
        let mut won = [0_u32; 4];
        for client in clients() {
            won[pick(client, list.iter().copied())] += 1;
        }
        // Binomial with n = 20,000: four standard deviations are below 290.
        for (count, expected) in won.into_iter().zip([2_500_u32, 5_000, 12_500, 0]) {
            assert!(count.abs_diff(expected) < 290, "{won:?}");
        }
        assert_eq!(won[3], 0);
    }

    #[test]
    fn a_loss_moves_only_the_lost_ones_clients() {
        let list = candidates(&[3, 1, 4, 1, 5]);
        for client in clients().take(5_000) {
            let before = pick(client, list.iter().copied());
            let lost = 2;
            let rest: Vec<_> = (0..list.len()).filter(|i| *i != lost).collect();
            let after = rest[pick(client, rest.iter().map(|i| list[*i]))];
            assert!(before == lost || after == before);
        }
    }

    #[test]
    fn clients_of_one_prefix_share_a_key() {
        let key = |text: &str| ClientKey::of(text.parse::<Prefix>().expect(text));
        assert_eq!(key("192.0.2.1"), key("192.0.2.254"));
        assert_ne!(key("192.0.2.1"), key("192.0.3.1"));
        assert_eq!(key("2001:db8:0:12ff::1"), key("2001:db8:0:1200::"));
        assert_ne!(key("2001:db8:0:1200::"), key("2001:db8:0:1300::"));
        assert_ne!(key("0.0.0.0"), key("::"));
    }

    #[test]
    fn hashes_never_change() {
        // A fleet on two releases must agree; these numbers are part of the contract between machines.
        assert_eq!(name_hash(b"us-west"), 0xCAF7_8CB3_3B59_1A1E);
        assert_eq!(ClientKey::nth(1).0, 0x910A_2DEC_8902_5CC1);
    }
}
