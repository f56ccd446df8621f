//! Response rate limiting: so many responses of one class to one client prefix in a second.
//!
//! A forged source makes a server answer to a victim. What the victim gets is limited here without
//! keeping state per client: the generic cell rate algorithm (GCRA) on a count-min sketch. Each client
//! prefix and class of response is hashed into one cell of each of four rows, and a cell holds a
//! theoretical arrival time (TAT): when the responses so far would have been due at the configured rate.
//! A response conforms while the earliest of its TATs is at most the burst tolerance, one second, ahead of
//! now. Memory is fixed whatever is sent, nothing is evicted too early, and an innocent client is caught
//! only if it shares a cell with a flooded one in every row at once.
//!
//! The table is shared by all threads without a lock: two that decide about the same client within the same
//! nanoseconds may count two responses as one, which a limit can bear.

use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use siphasher::sip::SipHasher13;

use crate::base::prefix::Prefix;
use crate::config::model::RateLimit;

/// Rows, each with a hash of its own.
const N_ROWS: usize = 4;

/// Cells of a row. With 64 Ki of them, 2 MiB in all, a thousand flooded prefixes catch one innocent
/// client in twenty million.
const ROW_LEN: usize = 1 << 16;

/// GCRA's burst tolerance, in nanoseconds: a second's responses may come at once, as they do when a
/// resolver's cache has been emptied.
const BURST: u64 = 1_000_000_000;

/// The classes of responses that are limited apart: a flood of one does not silence another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseClass {
    /// Records were found.
    Answer,
    /// NXDOMAIN or NODATA.
    Negative,
    /// A zone cut.
    Referral,
    /// Any other RCODE.
    Error,
}

/// What becomes of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateDecision {
    /// It is sent.
    Send,
    /// In its place goes one that asks the client to prove its address.
    Slip,
    /// Nothing is sent.
    Drop,
}

/// The TATs of all client prefixes and classes.
#[derive(Debug)]
pub struct RateLimiter {
    limit: RateLimit,
    /// GCRA's emission interval: the time between two responses at the configured rate, in nanoseconds.
    interval: u64,
    key: [u8; 16],
    /// The TATs, one row after the other, in nanoseconds since 1970.
    cells: Box<[AtomicU64]>,
}

impl RateLimiter {
    /// An empty table. `key` must be random, so that nobody can aim at another's cells.
    pub fn new(limit: RateLimit, key: [u8; 16]) -> Self {
        Self {
            interval: BURST / u64::from(limit.responses_per_second.max(1)),
            limit,
            key,
            cells: (0..N_ROWS * ROW_LEN).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Decides about one response to `src`; `n_suppressed` counts those that this thread did not send.
    pub fn decide(
        &self,
        src: IpAddr,
        class: ResponseClass,
        now_ms: u64,
        n_suppressed: &mut u32,
    ) -> RateDecision {
        if self.conforms(self.hash(src, class), now_ms.saturating_mul(1_000_000)) {
            return RateDecision::Send;
        }
        *n_suppressed = n_suppressed.wrapping_add(1);
        match n_suppressed.checked_rem(self.limit.slip) {
            Some(0) => RateDecision::Slip,
            _ => RateDecision::Drop,
        }
    }

    /// Whether one more response conforms, which is then counted.
    fn conforms(&self, hash: u64, now: u64) -> bool {
        let horizon = now.saturating_add(BURST);
        let cells = || {
            self.cells
                .chunks_exact(ROW_LEN)
                .enumerate()
                .filter_map(|(row, cells)| cells.get((hash >> (16 * row)) as usize % ROW_LEN))
        };
        // A TAT beyond the horizon means that the clock stepped back: the cell counts as empty.
        let tat = |cell: &AtomicU64| Some(cell.load(Relaxed)).filter(|tat| *tat <= horizon);
        let earliest = cells().map(|cell| tat(cell).unwrap_or(0)).min();
        let next_tat = earliest.unwrap_or(0).max(now).saturating_add(self.interval);
        if next_tat > horizon {
            return false;
        }
        for cell in cells() {
            match tat(cell) {
                Some(_) => _ = cell.fetch_max(next_tat, Relaxed),
                None => cell.store(next_tat, Relaxed),
            }
        }
        true
    }

    fn hash(&self, src: IpAddr, class: ResponseClass) -> u64 {
        let src = src.to_canonical();
        let len = match src {
            IpAddr::V4(_) => self.limit.ipv4_prefix,
            IpAddr::V6(_) => self.limit.ipv6_prefix,
        };
        let mut hasher = SipHasher13::new_with_key(&self.key);
        match Prefix::cut(src, len).addr() {
            IpAddr::V4(v4) => hasher.write(&v4.octets()),
            IpAddr::V6(v6) => hasher.write(&v6.octets()),
        }
        hasher.write_u8(class as u8);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit {
        responses_per_second: 50,
        slip: 2,
        ipv4_prefix: 24,
        ipv6_prefix: 56,
    };

    const START: u64 = 1_700_000_000_000;

    fn limiter(limit: RateLimit) -> RateLimiter {
        RateLimiter::new(limit, *b"not very random!")
    }

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of `n` responses at one moment are sent, slipped and dropped.
    fn flood(
        limiter: &RateLimiter,
        src: &str,
        class: ResponseClass,
        now_ms: u64,
        n: usize,
    ) -> [usize; 3] {
        let mut counts = [0; 3];
        let mut n_suppressed = 0;
        for _ in 0..n {
            let decision = limiter.decide(addr(src), class, now_ms, &mut n_suppressed);
            counts[decision as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_seconds_responses_pass_at_once_and_then_the_rate() {
        let limiter = limiter(LIMIT);
        let from = |now| flood(&limiter, "192.0.2.1", ResponseClass::Answer, now, 100)[0];
        assert_eq!(from(START), 50);
        assert_eq!(from(START), 0);
        assert_eq!(from(START + 19), 0, "the next is due after 20 ms");
        assert_eq!(from(START + 20), 1);
        assert_eq!(from(START + 1020), 50);
        assert_eq!(from(START + 60_000), 50, "no more for having been quiet");
        for rate in [1, 3, 1000, 1_000_000] {
            let limit = RateLimit {
                responses_per_second: rate,
                ..LIMIT
            };
            let sent = flood(
                &self::limiter(limit),
                "192.0.2.1",
                ResponseClass::Answer,
                START,
                1_100_000,
            );
            assert_eq!(sent[0], rate as usize);
        }
    }

    #[test]
    fn a_long_flood_gets_the_rate_and_no_more() {
        let limiter = limiter(LIMIT);
        let sent: usize = (0..10_000)
            .map(|ms| flood(&limiter, "192.0.2.1", ResponseClass::Answer, START + ms, 3)[0])
            .sum();
        assert!((545..=550).contains(&sent), "{sent} in ten seconds");
    }

    #[test]
    fn prefixes_and_classes_are_limited_apart() {
        let limiter = limiter(LIMIT);
        assert_eq!(
            flood(&limiter, "192.0.2.1", ResponseClass::Answer, START, 60)[0],
            50
        );
        for (src, class, n) in [
            ("192.0.2.200", ResponseClass::Answer, 0),
            ("::ffff:192.0.2.7", ResponseClass::Answer, 0),
            ("192.0.3.1", ResponseClass::Answer, 50),
            ("192.0.2.1", ResponseClass::Negative, 50),
            ("192.0.2.1", ResponseClass::Referral, 50),
            ("192.0.2.1", ResponseClass::Error, 50),
            ("2001:db8:0:100::1", ResponseClass::Answer, 50),
            ("2001:db8:0:1ff::1", ResponseClass::Answer, 0),
            ("2001:db8:0:200::1", ResponseClass::Answer, 50),
        ] {
            let sent = flood(&limiter, src, class, START, 60)[0];
            assert_eq!(sent, n, "{src} {class:?}");
        }
    }

    #[test]
    fn every_so_many_th_suppressed_response_slips() {
        for (slip, expected) in [
            (0, [50, 0, 100]),
            (1, [50, 100, 0]),
            (2, [50, 50, 50]),
            (3, [50, 33, 67]),
        ] {
            let limiter = limiter(RateLimit { slip, ..LIMIT });
            let counts = flood(&limiter, "192.0.2.1", ResponseClass::Answer, START, 150);
            assert_eq!(counts, expected, "slip {slip}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nobody() {
        let limiter = limiter(LIMIT);
        assert_eq!(
            flood(&limiter, "192.0.2.1", ResponseClass::Answer, START, 60)[0],
            50
        );
        let before = START - 86_400_000;
        assert_eq!(
            flood(&limiter, "192.0.2.1", ResponseClass::Answer, before, 60)[0],
            50
        );
        assert_eq!(
            flood(&limiter, "192.0.2.1", ResponseClass::Answer, before, 60)[0],
            0
        );
        assert_eq!(
            flood(&limiter, "192.0.2.1", ResponseClass::Answer, 0, 60)[0],
            50
        );
    }

    #[test]
    fn the_innocent_pass_while_thousands_of_prefixes_flood() {
        let limiter = limiter(LIMIT);
        for n in 0..2000_u32 {
            let victim = IpAddr::from((0x0A00_0000 + (n << 8)).to_be_bytes()).to_string();
            assert!(flood(&limiter, &victim, ResponseClass::Answer, START, 60)[0] >= 49);
        }
        let n_caught = (0..10_000_u32)
            .map(|n| IpAddr::from((0xC000_0000 + (n << 8)).to_be_bytes()).to_string())
            .filter(|src| flood(&limiter, src, ResponseClass::Answer, START, 1)[0] == 0)
            .count();
        assert_eq!(n_caught, 0);
    }

    #[test]
    fn threads_share_one_limit() {
        let limiter = limiter(LIMIT);
        let sent: usize = std::thread::scope(|scope| {
            let thread = || flood(&limiter, "192.0.2.1", ResponseClass::Answer, START, 1000)[0];
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(thread)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert!((50..=200).contains(&sent), "{sent} at once");
    }
}
