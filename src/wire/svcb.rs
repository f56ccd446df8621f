//! SVCB and HTTPS RDATA in wire form (RFC 9460 s2.2), and the place of address hints in it.

use crate::wire::compress::split_name;

/// The key of `ipv4hint`.
pub const IPV4HINT: u16 = 4;

/// The key of `ipv6hint`.
pub const IPV6HINT: u16 = 6;

/// RDATA in the parts between which the hints belong, as SvcParams stand in ascending order of their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HintParts<'a> {
    /// Priority, TargetName and the parameters in front of `ipv4hint`.
    pub before_v4: &'a [u8],
    /// The parameters between the two, of which `ipv4hint` may be the first.
    pub before_v6: &'a [u8],
    /// The other parameters, of which `ipv6hint` may be the first.
    pub rest: &'a [u8],
}

impl<'a> HintParts<'a> {
    /// Takes RDATA apart if its hints would be addresses of `owner`, which is in lower-case wire form: in
    /// ServiceMode, with the owner or "." as TargetName (RFC 9460 s2.5).
    pub fn of(rdata: &'a [u8], owner: &[u8]) -> Option<Self> {
        let (priority, rest) = rdata.split_first_chunk::<2>()?;
        let (target, params) = split_name(rest)?;
        let is_own = target == [0] || target.eq_ignore_ascii_case(owner);
        if *priority == [0, 0] || !is_own {
            return None;
        }
        let front_len = rdata.len().checked_sub(params.len())?;
        let v4_at = front_len.checked_add(len_below(params, IPV4HINT))?;
        let v6_at = front_len.checked_add(len_below(params, IPV6HINT))?;
        let (front, rest) = rdata.split_at_checked(v6_at)?;
        let (before_v4, before_v6) = front.split_at_checked(v4_at)?;
        Some(Self {
            before_v4,
            before_v6,
            rest,
        })
    }

    /// Whether hints are in it.
    pub fn has_hints(&self) -> bool {
        let begins_with = |params: &[u8], key: u16| params.starts_with(&key.to_be_bytes());
        begins_with(self.before_v6, IPV4HINT) || begins_with(self.rest, IPV6HINT)
    }
}

/// The length of the parameters with smaller keys.
fn len_below(params: &[u8], key: u16) -> usize {
    let mut rest = params;
    while let Some(([k0, k1, l0, l1], values)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([*l0, *l1]));
        let Some((_, next)) = values.split_at_checked(len) else {
            break;
        };
        if u16::from_be_bytes([*k0, *k1]) >= key {
            break;
        }
        rest = next;
    }
    params.len() - rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_belong_between_the_parameters_with_lower_and_higher_keys() {
        const ALPN: &[u8] = &[0, 1, 0, 3, 2, b'h', b'2'];
        const V4: &[u8] = &[0, 4, 0, 4, 192, 0, 2, 1];
        const ECH: &[u8] = &[0, 5, 0, 1, 7];
        const V6: &[u8] = &[0, 6, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        const DOHPATH: &[u8] = &[0, 7, 0, 1, b'/'];
        let owner = b"\x03app\x01z\0";
        for (priority, target, params, expected) in [
            (1, &b"\0"[..], &[][..], Some((0, 0, 0, false))),
            (
                1,
                b"\x03APP\x01z\0",
                &[ALPN, ECH, DOHPATH],
                Some((7, 5, 5, false)),
            ),
            (2, b"\0", &[DOHPATH], Some((0, 0, 5, false))),
            (1, b"\0", &[V4], Some((0, 8, 0, true))),
            (1, b"\0", &[ALPN, V6, DOHPATH], Some((7, 0, 25, true))),
            (0, b"\0", &[], None),
            (1, b"\x02cd\x01z\0", &[ALPN], None),
        ] {
            let front = [&[0, priority][..], target].concat();
            let rdata = [&front[..], &params.concat()].concat();
            let parts = HintParts::of(&rdata, owner);
            let lens = parts.map(|parts| {
                let before_v4 = parts.before_v4.len() - front.len();
                let (before_v6, rest) = (parts.before_v6.len(), parts.rest.len());
                (before_v4, before_v6, rest, parts.has_hints())
            });
            assert_eq!(lens, expected, "{priority} {target:?} {params:?}");
        }
        assert_eq!(
            HintParts::of(&[0, 1, 3, b'a'], owner),
            None,
            "no whole name"
        );
        assert_eq!(HintParts::of(&[0], owner), None, "no whole priority");
    }
}
