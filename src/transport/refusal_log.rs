//! What operators should hear of refused secondaries, said once each: nothing that a stranger sends may
//! fill the log.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Mutex;

use tracing::warn;

use crate::base::lock::lock;
use crate::base::prefix::Prefix;
use crate::engine::Complaint;

/// The most lines that are ever logged. Who sees so many has read enough.
const MAX_LINES: usize = 256;

/// What has been said: one line for each reason and client network (/24, /56).
#[derive(Debug, Default)]
pub(super) struct Complaints {
    said: Mutex<HashSet<(Prefix, &'static str)>>,
}

impl Complaints {
    /// Says it unless it has been said.
    pub(super) fn say(&self, src: IpAddr, complaint: Complaint) {
        let reason = complaint.as_str();
        let src = src.to_canonical();
        let len = match src {
            IpAddr::V4(_) => 24,
            IpAddr::V6(_) => 56,
        };
        let mut said = lock(&self.said);
        if said.len() < MAX_LINES && said.insert((Prefix::cut(src, len), reason)) {
            warn!(client = %src, reason, "secondary refused; said once");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_said_once_for_each_network_and_all_in_all_not_too_often() {
        let complaints = Complaints::default();
        let said = || lock(&complaints.said).len();
        for (src, n) in [
            ("192.0.2.1", 1),
            ("192.0.2.200", 1),
            ("::ffff:192.0.2.3", 1),
            ("192.0.3.1", 2),
            ("2001:db8::1", 3),
            ("2001:db8::ff:0:0:0:1", 3),
        ] {
            complaints.say(src.parse().unwrap(), Complaint::Transfer);
            assert_eq!(said(), n, "{src}");
        }
        for n in 0..100_000_u32 {
            complaints.say(IpAddr::from(n.to_be_bytes()), Complaint::Transfer);
        }
        assert_eq!(said(), MAX_LINES);
    }
}
