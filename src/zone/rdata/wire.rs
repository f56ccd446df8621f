//! RDATA in wire form: whether it agrees with its type's row, and where the names in it are.

use std::ops::Range;

use crate::base::name::Name;
use crate::base::rr::RrType;
use crate::wire::update::UpdateRecord;
use crate::zone::rdata::MAX_RDATA_LEN;
use crate::zone::rdata::items::are_items;
use crate::zone::rdata::layout::Kind;
use crate::zone::rdata::layout::layout;
use crate::zone::rdata::svcb;

/// Checks RDATA against its type's row; the error names the field that does not fit.
///
/// Types without a row hold any octets.
pub(super) fn check(rtype: RrType, rdata: &[u8]) -> Result<(), String> {
    let mut rest = rdata;
    for field in layout(rtype).unwrap_or(&[]) {
        let split = len(field.0, rest).and_then(|len| rest.split_at_checked(len));
        let Some((_, tail)) = split else {
            return Err(format!("bad {}", field.1));
        };
        rest = tail;
    }
    if !rest.is_empty() && layout(rtype).is_some() {
        return Err(format!("{} octets too many", rest.len()));
    }
    Ok(())
}

/// The domain names in RDATA of a known type, by position; the RDATA must be valid.
///
/// Only names in fields of their own count: not the gateway of IPSECKEY, the servers of HIP, and the like.
pub(in crate::zone) fn names(rtype: RrType, rdata: &[u8]) -> Vec<Range<usize>> {
    let mut names = Vec::new();
    let mut at = 0;
    for field in layout(rtype).unwrap_or(&[]) {
        let Some(len) = rdata.get(at..).and_then(|rest| len(field.0, rest)) else {
            break;
        };
        if field.0 == Kind::Name {
            names.push(at..at + len);
        }
        at += len;
    }
    names
}

/// The data of a record of an update, its names uncompressed; `None` if it is not that of its type.
///
/// Names are compressed in the types of RFC 1035 alone (RFC 3597 s4), and read wherever they stand.
pub(in crate::zone) fn of_update(record: &UpdateRecord<'_>) -> Option<Box<[u8]>> {
    let mut rdata = Vec::with_capacity(record.rdata.len());
    let mut at = 0;
    for field in layout(record.rtype).unwrap_or(&[]) {
        if field.0 == Kind::Name {
            let (name, len) = record.name_at(at)?;
            rdata.extend_from_slice(name.wire());
            at += len;
        } else {
            let rest = record.rdata.get(at..)?;
            let octets = rest.get(..len(field.0, rest)?)?;
            rdata.extend_from_slice(octets);
            at += octets.len();
        }
    }
    rdata.extend_from_slice(record.rdata.get(at..)?);
    let is_sound = rdata.len() <= MAX_RDATA_LEN && check(record.rtype, &rdata).is_ok();
    is_sound.then(|| rdata.into())
}

/// RDATA with its names in lower case: equal for records that RFC 2181 s5 calls duplicates.
pub(in crate::zone) fn folded(rtype: RrType, rdata: &[u8]) -> Vec<u8> {
    let mut folded = rdata.to_vec();
    for range in names(rtype, rdata) {
        folded[range].make_ascii_lowercase();
    }
    folded
}

/// The number of octets that a field takes at the start of `rest`; `None` if none can be there. May
/// be more than there are.
fn len(kind: Kind, rest: &[u8]) -> Option<usize> {
    let counted = |extra: usize| rest.first().map(|len| extra + usize::from(*len));
    let all_if = |good: bool| good.then_some(rest.len());
    match kind {
        Kind::U8 | Kind::U8Or(_) => Some(1),
        Kind::KeyFlags | Kind::Type | Kind::U16 | Kind::U16Or(_) => Some(2),
        Kind::Period | Kind::Time | Kind::U32 | Kind::V4 => Some(4),
        Kind::Locator | Kind::U64 => Some(8),
        Kind::V6 => Some(16),
        Kind::Eui(len) => Some(len),
        Kind::Salt | Kind::Text => counted(1),
        Kind::Hash | Kind::Tag => counted(1).filter(|len| *len > 1),
        Kind::Base64 | Kind::Hex | Kind::Nsap => all_if(!rest.is_empty()),
        Kind::Base64OrDash | Kind::Base64OrNone | Kind::TextRest => Some(rest.len()),
        Kind::TextOrNone if rest.is_empty() => Some(0),
        Kind::TextOrNone => counted(1),
        Kind::Name => name_len(rest),
        Kind::Texts => all_if(!rest.is_empty() && are_items(rest, |rest| len(Kind::Text, rest))),
        Kind::Types => all_if(types_are_valid(rest)),
        Kind::Apl => all_if(are_items(rest, apl_item_len)),
        Kind::SvcParams => all_if(params_are_valid(rest)),
        // Version 0 is the only one (RFC 1876 s2).
        Kind::Loc => (rest.first() == Some(&0)).then_some(16),
        Kind::Hip => {
            let [hit_len, _, key_high, key_low, ..] = *rest else {
                return None;
            };
            let key_len = usize::from(u16::from_be_bytes([key_high, key_low]));
            let servers = rest.get(4 + usize::from(hit_len) + key_len..)?;
            all_if(are_items(servers, name_len))
        }
        Kind::A6 => {
            let (prefix_len, rest) = rest.split_first()?;
            let suffix_len = usize::from(128_u8.checked_sub(*prefix_len)?).div_ceil(8);
            let prefix_name = rest.get(suffix_len..)?;
            let name_len = match *prefix_len {
                0 => 0,
                _ => name_len(prefix_name)?,
            };
            Some(1 + suffix_len + name_len)
        }
        Kind::AmtRelay => {
            let (head, relay) = rest.split_at_checked(2)?;
            Some(2 + host_len(head[1] & 0x7F, relay)?)
        }
        Kind::Atma => match rest {
            [0, _, ..] => Some(rest.len()),
            [1, digits @ ..] => all_if(!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)),
            _ => None,
        },
        // A set bit 0 would mark another format (RFC 2535 s5.2).
        Kind::NxtTypes => match rest {
            [] | [(0x80..), ..] => Some(rest.len()),
            _ => all_if(rest.len() <= 16 && rest.last() != Some(&0)),
        },
        Kind::Wks => all_if((5..=5 + 8192).contains(&rest.len())),
        Kind::IpsecKey => {
            let (head, gateway) = rest.split_at_checked(3)?;
            let gateway_len = host_len(head[1], gateway)?;
            all_if(gateway_len <= gateway.len())
        }
    }
}

/// The length of a host in the forms of IPSECKEY and AMTRELAY.
fn host_len(form: u8, rest: &[u8]) -> Option<usize> {
    match form {
        0 => Some(0),
        1 => Some(4),
        2 => Some(16),
        3 => name_len(rest),
        _ => None,
    }
}

fn name_len(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let label_len = usize::from(*rest.get(at)?);
        at += 1 + label_len;
        if label_len == 0 {
            return Name::from_wire(rest.get(..at)?).ok().map(|_| at);
        }
    }
}

/// Windows ascend, and each ends with an octet that is not zero (RFC 4034 s4.1.2).
fn types_are_valid(rest: &[u8]) -> bool {
    let mut next_window = 0;
    are_items(rest, |rest| {
        let [window, len, ..] = *rest else {
            return None;
        };
        let last = *rest.get(1 + usize::from(len))?;
        let valid = u16::from(window) >= next_window && (1..=32).contains(&len) && last != 0;
        next_window = u16::from(window) + 1;
        valid.then_some(2 + usize::from(len))
    })
}

/// Keys ascend (RFC 9460 s2.2).
fn params_are_valid(rest: &[u8]) -> bool {
    let mut next_key = 0;
    are_items(rest, |rest| {
        let [key_high, key_low, len_high, len_low, ..] = *rest else {
            return None;
        };
        let key = u32::from(u16::from_be_bytes([key_high, key_low]));
        let len = 4 + usize::from(u16::from_be_bytes([len_high, len_low]));
        let valid = key >= next_key && svcb::is_valid(key as u16, rest.get(4..len)?);
        next_key = key + 1;
        valid.then_some(len)
    })
}

fn apl_item_len(rest: &[u8]) -> Option<usize> {
    let [high, low, prefix_len, len, ..] = *rest else {
        return None;
    };
    let len = usize::from(len & 0x7F);
    let (max_prefix_len, max_len) = match u16::from_be_bytes([high, low]) {
        1 => (32, 4),
        2 => (128, 16),
        _ => (255, 127),
    };
    (prefix_len <= max_prefix_len && len <= max_len).then_some(4 + len)
}
