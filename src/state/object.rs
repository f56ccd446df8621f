//! What an API server says of a Kubernetes object, and which endpoints follow from it.

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::diag::excerpt;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::config::safety::Refusal;
use crate::config::units;
use crate::state::resolved::Lookup;
use crate::state::resolved::Refused;
use crate::state::resolved::addresses_after;

/// The most host names that a pool takes from one object: each is resolved again and again.
pub const MAX_HOSTS: usize = 16;

/// What an API server says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectReport {
    /// Its status has these addresses and host names, as written.
    Addresses(Vec<Box<str>>),
    /// The server cannot be asked, or refuses: the reason.
    Failed(Box<str>),
    /// There is no such object.
    Missing,
    /// It has not changed.
    Unchanged,
}

/// The addresses and host names of an object after its status was read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AfterStatus {
    /// In order; `None`: the status is no reason to change those of before.
    pub named: Option<(Vec<IpAddr>, Vec<Arc<str>>)>,
    /// Why addresses of before are kept.
    pub fault: Option<Box<str>>,
    /// The entries that are not taken.
    pub refused: Option<Refused>,
}

/// The addresses and host names that an object has after its status was read. Entries that cannot be endpoints
/// are passed over; where nothing else is left, those of before are kept.
pub(super) fn after_status(
    before: &[IpAddr],
    entries: &[Box<str>],
    check: impl Fn(IpAddr) -> Result<(), Refusal>,
) -> AfterStatus {
    let mut addresses = PerFamily::<Vec<IpAddr>>::default();
    let (mut hosts, mut refused) = (Vec::new(), Vec::new());
    for entry in entries {
        if let Ok(address) = entry.parse::<IpAddr>() {
            addresses[Family::of(address)].push(address);
        } else if let Some(host) = units::endpoint_host(entry) {
            hosts.push(host);
        } else {
            refused.push(format!(
                "{:?}, neither an address nor a host name",
                excerpt(entry)
            ));
        }
    }
    hosts.sort_unstable();
    hosts.dedup();
    if hosts.len() > MAX_HOSTS {
        let reason = format!("a pool takes {MAX_HOSTS} host names of an object");
        refused.extend(hosts.drain(MAX_HOSTS..).map(|_| reason.clone()));
    }
    let is_address = |address: &IpAddr| check(*address).is_ok();
    let is_usable = !hosts.is_empty() || addresses.iter().flatten().any(is_address);
    let lookups = addresses.map(|found| match found.is_empty() {
        true => Lookup::NoData,
        false => Lookup::Addresses(found),
    });
    let after = addresses_after(before, &lookups, check);
    let n_refused = refused.len() + after.refused.as_ref().map_or(0, |refused| refused.n);
    let reason = refused.into_iter().next().map(Into::into);
    let reason = reason.or(after.refused.map(|refused| refused.reason));
    let refused = reason.map(|reason| Refused {
        n: n_refused,
        reason,
    });
    if entries.is_empty() || is_usable {
        return AfterStatus {
            named: Some((after.addresses.unwrap_or_default(), hosts)),
            fault: after.fault,
            refused,
        };
    }
    AfterStatus {
        named: None,
        fault: Some(format!("all {n_refused} addresses are refused").into()),
        refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::safety::Safety;

    fn entries(text: &str) -> Vec<Box<str>> {
        text.split(' ')
            .filter(|word| !word.is_empty())
            .map(Into::into)
            .collect()
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table of all cases")]
    fn endpoints_are_what_the_status_has_save_for_nonsense() {
        // (before, status, addresses and host names after, fault, refused entries)
        for (before, status, expected, fault, n_refused) in [
            ("", "192.0.2.1", Some("192.0.2.1"), None, 0),
            (
                "192.0.2.9",
                "192.0.2.2 192.0.2.1 192.0.2.2",
                Some("192.0.2.1 192.0.2.2"),
                None,
                0,
            ),
            (
                "",
                "2001:db8::1 192.0.2.1",
                Some("192.0.2.1 2001:db8::1"),
                None,
                0,
            ),
            (
                "192.0.2.1",
                "LB-1.example.net. lb-1.example.net",
                Some("lb-1.example.net"),
                None,
                0,
            ),
            (
                "",
                "lb.example.net 192.0.2.1",
                Some("192.0.2.1 lb.example.net"),
                None,
                0,
            ),
            ("192.0.2.1", "", Some(""), None, 0),
            // Nonsense changes nothing, wherever it stands.
            (
                "192.0.2.1",
                "0.0.0.0",
                None,
                Some("all 1 addresses are refused"),
                1,
            ),
            (
                "192.0.2.1 2001:db8::1",
                "10.0.0.1 ::1",
                None,
                Some("all 2 addresses are refused"),
                2,
            ),
            (
                "192.0.2.1",
                "a_b! x..y fe80::1%eth0",
                None,
                Some("all 3 addresses are refused"),
                3,
            ),
            (
                "192.0.2.1",
                "127.0.0.1 192.0.2.2 NamedAddress:lb",
                Some("192.0.2.2"),
                None,
                2,
            ),
            (
                "192.0.2.1",
                "0.0.0.0 2001:db8::2",
                Some("192.0.2.1 2001:db8::2"),
                Some("ipv4: all 1 addresses are refused"),
                1,
            ),
            (
                "192.0.2.1",
                "0.0.0.0 lb.example.net",
                Some("192.0.2.1 lb.example.net"),
                Some("ipv4: all 1 addresses are refused"),
                1,
            ),
            (
                "2001:db8::1",
                "0.0.0.0 lb.example.net",
                Some("lb.example.net"),
                Some("ipv4: all 1 addresses are refused"),
                1,
            ),
        ] {
            let row = format!("{before:?} {status:?}");
            let before: Vec<IpAddr> = before
                .split_whitespace()
                .map(|word| word.parse().expect("an address"))
                .collect();
            let check = |address| Safety::default().check_found(address);
            let after = after_status(&before, &entries(status), check);
            let named = after.named.map(|(addresses, hosts)| {
                let addresses = addresses.iter().map(ToString::to_string);
                let hosts = hosts.iter().map(ToString::to_string);
                addresses.chain(hosts).collect::<Vec<_>>().join(" ")
            });
            assert_eq!(named.as_deref(), expected, "{row}");
            assert_eq!(after.fault.as_deref(), fault, "{row}");
            assert_eq!(
                after.refused.map_or(0, |refused| refused.n),
                n_refused,
                "{row}"
            );
        }
    }

    #[test]
    fn of_thousands_of_entries_the_first_are_taken() {
        let addresses = (0..10_000_u32).map(|n| IpAddr::from((0x0900_0001 + n).to_be_bytes()));
        let hosts = (0..10_000).map(|n| format!("lb-{n:05}.example.net"));
        let all: Vec<Box<str>> = addresses
            .map(|address| address.to_string())
            .chain(hosts)
            .map(Into::into)
            .collect();
        let after = after_status(&[], &all, |_| Ok(()));
        let (addresses, hosts) = after.named.expect("some");
        assert_eq!((addresses.len(), hosts.len()), (64, MAX_HOSTS));
        assert_eq!(
            hosts.last().map(|host| &**host),
            Some("lb-00015.example.net")
        );
        assert_eq!(
            after.refused.map(|refused| refused.n),
            Some(20_000 - 64 - MAX_HOSTS)
        );
    }
}
