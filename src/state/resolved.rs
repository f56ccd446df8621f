//! What resolving a host name gives, and which addresses follow from it.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::config::safety::Refusal;

/// The most addresses that a pool takes from one host name, or of one Kubernetes object.
pub const MAX_ADDRESSES: usize = 64;

/// A name is resolved again after its TTL, but neither sooner …
pub const MIN_TTL: Duration = Duration::from_secs(5);

/// … nor later than this.
pub const MAX_TTL: Duration = Duration::from_secs(300);

/// What resolving one family of a name gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// These, at least one.
    Addresses(Vec<IpAddr>),
    /// No answer, or none that says that there are no addresses: the reason.
    Failed(Box<str>),
    /// The name exists, without addresses of the family.
    NoData,
}

/// The addresses of a name after it was resolved again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct After {
    /// In order; `None`: the answer is no reason to change those of before.
    pub addresses: Option<Vec<IpAddr>>,
    /// Why a family could not be resolved.
    pub fault: Option<Box<str>>,
    /// The addresses that are not taken.
    pub refused: Option<Refused>,
}

/// Addresses of an answer that are not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// How many.
    pub n: usize,
    /// Why, of the first.
    pub reason: Box<str>,
}

/// The addresses that a name has after it was resolved again. A family that fails keeps those of before, and
/// a name loses its last address only if both families say that there is none.
pub(super) fn addresses_after(
    before: &[IpAddr],
    lookups: &PerFamily<Lookup>,
    check: impl Fn(IpAddr) -> Result<(), Refusal>,
) -> After {
    let mut refused = Vec::new();
    let mut faults: Vec<String> = Vec::new();
    let mut families = PerFamily::from_fn(|family| {
        let of_family = before
            .iter()
            .filter(|address| Family::of(**address) == family);
        let kept = || of_family.copied().collect();
        match &lookups[family] {
            Lookup::Addresses(found) => {
                let mut found = found.clone();
                found.sort_unstable();
                found.dedup();
                let n_found = found.len();
                found.retain(|address| match check(*address) {
                    Ok(()) => true,
                    Err(refusal) => {
                        refused.push(format!("{address}, {refusal}"));
                        false
                    }
                });
                if found.is_empty() {
                    faults.push(format!("{family}: all {n_found} addresses are refused"));
                    return kept();
                }
                found
            }
            Lookup::Failed(reason) => {
                faults.push(format!("{family}: {reason}"));
                kept()
            }
            Lookup::NoData => Vec::new(),
        }
    });
    let n_beyond = cut(&mut families);
    if n_beyond > 0 {
        refused.push(format!(
            "a pool takes {MAX_ADDRESSES} addresses of one source"
        ));
    }
    let addresses = [families.v4, families.v6].concat();
    let is_certain = !addresses.is_empty() || faults.is_empty();
    After {
        addresses: is_certain.then_some(addresses),
        fault: (!faults.is_empty()).then(|| faults.join("; ").into()),
        refused: refused.first().map(|reason| Refused {
            n: refused.len() + n_beyond.saturating_sub(1),
            reason: reason.as_str().into(),
        }),
    }
}

/// Cuts both families to the most addresses that are taken, neither to less than half of it for the other's
/// sake, and returns how many are lost.
fn cut(families: &mut PerFamily<Vec<IpAddr>>) -> usize {
    let n_before = families.v4.len() + families.v6.len();
    let room = MAX_ADDRESSES - families.v6.len().min(MAX_ADDRESSES / 2);
    families.v4.truncate(room);
    families.v6.truncate(MAX_ADDRESSES - families.v4.len());
    n_before - families.v4.len() - families.v6.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::safety::Safety;

    use Lookup::NoData;

    fn addresses(text: &str) -> Vec<IpAddr> {
        let words = text.split_whitespace();
        words
            .map(|word| word.parse().expect("an address"))
            .collect()
    }

    fn found(text: &str) -> Lookup {
        Lookup::Addresses(addresses(text))
    }

    fn failed() -> Lookup {
        Lookup::Failed("SERVFAIL".into())
    }

    #[test]
    fn addresses_follow_the_name_and_stay_when_it_fails() {
        let both = "192.0.2.1 2001:db8::1";
        for (before, v4, v6, expected, fault) in [
            (
                "",
                found("192.0.2.2 192.0.2.1"),
                NoData,
                Some("192.0.2.1 192.0.2.2"),
                None,
            ),
            (
                "192.0.2.9",
                found("192.0.2.1 192.0.2.1"),
                NoData,
                Some("192.0.2.1"),
                None,
            ),
            (
                both,
                found("192.0.2.2"),
                failed(),
                Some("192.0.2.2 2001:db8::1"),
                Some("ipv6: SERVFAIL"),
            ),
            (
                both,
                NoData,
                found("2001:db8::2"),
                Some("2001:db8::2"),
                None,
            ),
            (
                both,
                NoData,
                failed(),
                Some("2001:db8::1"),
                Some("ipv6: SERVFAIL"),
            ),
            (
                both,
                failed(),
                failed(),
                Some(both),
                Some("ipv4: SERVFAIL; ipv6: SERVFAIL"),
            ),
            // The failing family may be all that is left.
            ("192.0.2.1", NoData, failed(), None, Some("ipv6: SERVFAIL")),
            ("", failed(), NoData, None, Some("ipv4: SERVFAIL")),
            ("192.0.2.1", NoData, NoData, Some(""), None),
        ] {
            let row = format!("{before:?} {v4:?} {v6:?}");
            let after = addresses_after(&addresses(before), &PerFamily { v4, v6 }, |_| Ok(()));
            assert_eq!(after.addresses, expected.map(addresses), "{row}");
            assert_eq!(after.fault.as_deref(), fault, "{row}");
            assert_eq!(after.refused, None, "{row}");
        }
    }

    #[test]
    fn lies_change_nothing_and_are_counted() {
        let check = |address| Safety::default().check_found(address);
        for lie in [
            "127.0.0.1",
            "0.0.0.0",
            "10.0.0.1",
            "169.254.169.254",
            "224.0.0.1",
        ] {
            let v4 = found(&format!("{lie} 192.0.2.2"));
            let after = addresses_after(
                &addresses("192.0.2.1"),
                &PerFamily { v4, v6: NoData },
                check,
            );
            assert_eq!(after.addresses, Some(addresses("192.0.2.2")), "{lie}");
            let refused = after.refused.expect("a lie");
            assert_eq!(refused.n, 1, "{lie}");
            assert!(refused.reason.starts_with(lie), "{}", refused.reason);

            let lookups = PerFamily {
                v4: found(lie),
                v6: NoData,
            };
            let after = addresses_after(&addresses("192.0.2.1"), &lookups, check);
            assert_eq!(after.addresses, Some(addresses("192.0.2.1")), "{lie}");
            assert!(after.fault.is_some_and(|fault| fault.contains("refused")));
        }
        let lookups = PerFamily {
            v4: NoData,
            v6: found("::ffff:127.0.0.1 fe80::1 ::1 64:ff9b::a00:1"),
        };
        let after = addresses_after(&[], &lookups, check);
        assert_eq!(after.addresses, None);
        assert_eq!(after.refused.map(|refused| refused.n), Some(4));
    }

    #[test]
    fn of_thousands_of_addresses_the_first_are_taken() {
        let v4 = |n: u32| {
            (0..n)
                .rev()
                .map(|n| IpAddr::from((0xC612_0000 + n).to_be_bytes()))
                .collect()
        };
        let v6 = |n: u128| {
            (0..n)
                .map(|n| IpAddr::from(((0x2001_0db8 << 96) + n).to_be_bytes()))
                .collect()
        };
        for (n4, n6, taken) in [
            (10_000, 0, (64, 0)),
            (10_000, 3, (61, 3)),
            (100, 100, (32, 32)),
            (3, 100, (3, 61)),
        ] {
            let lookup = |found: Vec<IpAddr>| match found.is_empty() {
                true => NoData,
                false => Lookup::Addresses(found),
            };
            let lookups = PerFamily {
                v4: lookup(v4(n4)),
                v6: lookup(v6(n6)),
            };
            let after = addresses_after(&[], &lookups, |_| Ok(()));
            let addresses = after.addresses.expect("addresses");
            let n_v4 = addresses.iter().filter(|address| address.is_ipv4()).count();
            assert_eq!((n_v4, addresses.len() - n_v4), taken);
            assert_eq!(addresses.first(), Some(&IpAddr::from([198, 18, 0, 0])));
            let n_refused = n4 as usize + n6 as usize - MAX_ADDRESSES;
            assert_eq!(after.refused.map(|refused| refused.n), Some(n_refused));
        }
    }
}
