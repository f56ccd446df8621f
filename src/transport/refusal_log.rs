//! Logs refused transfers, updates and signatures, once per reason and network: what strangers send must not fill the log.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Mutex;

use tracing::warn;

use crate::base::lock::lock;
use crate::base::prefix::Prefix;
use crate::engine::Refusal;

/// The most lines that are ever logged.
const MAX_LINES: usize = 256;

/// What has been logged: one line for each reason and client network (/24, /56).
#[derive(Debug, Default)]
pub(super) struct RefusalLog {
    logged: Mutex<HashSet<(Prefix, &'static str)>>,
}

impl RefusalLog {
    /// Logs a refusal unless an equal one has been logged.
    pub(super) fn log(&self, src: IpAddr, refusal: Refusal) {
        let reason = refusal.as_str();
        let src = src.to_canonical();
        let len = match src {
            IpAddr::V4(_) => 24,
            IpAddr::V6(_) => 56,
        };
        let mut logged = lock(&self.logged);
        if logged.len() < MAX_LINES && logged.insert((Prefix::cut(src, len), reason)) {
            warn!(client = %src, reason, "request refused (repeats suppressed)");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_logged_once_per_network_and_the_lines_are_bounded() {
        let refusal_log = RefusalLog::default();
        let n_lines = || lock(&refusal_log.logged).len();
        for (src, n) in [
            ("192.0.2.1", 1),
            ("192.0.2.200", 1),
            ("::ffff:192.0.2.3", 1),
            ("192.0.3.1", 2),
            ("2001:db8::1", 3),
            ("2001:db8::ff:0:0:0:1", 3),
        ] {
            refusal_log.log(src.parse().unwrap(), Refusal::Transfer);
            assert_eq!(n_lines(), n, "{src}");
        }
        for n in 0..100_000_u32 {
            refusal_log.log(IpAddr::from(n.to_be_bytes()), Refusal::Transfer);
        }
        assert_eq!(n_lines(), MAX_LINES);
    }
}
