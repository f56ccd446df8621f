//! `Record`: walks over the records of a message without looking into them.

use crate::base::rr::RrType;
use crate::wire::compress::name_end;

/// One record's fields.
pub(super) struct Record<'a> {
    /// How many octets of the message this record and what follows it take.
    pub(super) n_left: usize,
    /// Whether the owner is the root.
    pub(super) is_at_root: bool,
    /// The type.
    pub(super) rtype: RrType,
    /// The class, which an OPT uses otherwise.
    pub(super) class: u16,
    /// The TTL, which an OPT uses otherwise.
    pub(super) ttl: [u8; 4],
    /// The data; names in it may be compressed.
    pub(super) rdata: &'a [u8],
}

impl<'a> Record<'a> {
    /// Takes the first record off `rest`, the end of `message`; it stays as it was if there is none.
    #[inline(always)] // Hot path: nearly every query has an OPT.
    pub(super) fn split_off(message: &[u8], rest: &mut &'a [u8]) -> Option<Self> {
        let after_name = skip_name(message, rest)?;
        let (&[t0, t1, c0, c1, ttl0, ttl1, ttl2, ttl3, len0, len1], after_fixed) =
            after_name.split_first_chunk::<10>()?;
        let rdata_len = usize::from(u16::from_be_bytes([len0, len1]));
        let (rdata, next) = after_fixed.split_at_checked(rdata_len)?;
        let record = Self {
            n_left: rest.len(),
            is_at_root: rest.first() == Some(&0),
            rtype: RrType(u16::from_be_bytes([t0, t1])),
            class: u16::from_be_bytes([c0, c1]),
            ttl: [ttl0, ttl1, ttl2, ttl3],
            rdata,
        };
        *rest = next;
        Some(record)
    }

    /// The serial of an SOA record, which stands before four more numbers at its end (RFC 1035
    /// s3.3.13).
    pub(super) fn soa_serial(&self) -> Option<u32> {
        let numbers = self.rdata.last_chunk::<20>()?;
        Some(u32::from_be_bytes(*numbers.first_chunk()?))
    }
}

/// What follows the name that `rest`, the end of `message`, starts with; `None` if it is broken.
#[inline(always)] // Hot path: nearly every query has an OPT.
fn skip_name<'a>(message: &[u8], rest: &'a [u8]) -> Option<&'a [u8]> {
    match rest {
        // The root, which owns every OPT.
        [0, after @ ..] => Some(after),
        _ => skip_other_name(message, rest),
    }
}

#[cold]
fn skip_other_name<'a>(message: &[u8], rest: &'a [u8]) -> Option<&'a [u8]> {
    let start = message.len().checked_sub(rest.len())?;
    let end = name_end(message, start)?;
    rest.get(end - start..)
}
