//! RDATA: from presentation form to wire form, for every type that a zone can hold.
//!
//! A type is a row of fields (`layout`), a field is one of some thirty kinds, and each kind has a reader
//! of its text (`kinds`) and a length on the wire (`wire`). LOC and the parameters of SVCB, which are
//! notations of their own, have a file each. Any type can also be written as `\# LENGTH HEX`
//! (RFC 3597 s5); for types with a row the octets must then agree with it.

mod fields;
mod historic;
mod items;
mod kinds;
mod layout;
mod loc;
mod mnemonics;
mod special;
mod svcb;
mod text;
mod wire;

#[cfg(test)]
mod tests;

pub(super) use fields::Fields;
pub(super) use fields::name;
pub(super) use fields::owner;
pub(super) use text::ttl;
pub(super) use wire::folded;
pub(super) use wire::names;
pub(super) use wire::of_update;

use crate::base::diag::did_you_mean;
use crate::base::rr::RrType;
use crate::zone::lex::Fault;
use crate::zone::rdata::layout::layout;

/// The most octets that RDATA can have.
const MAX_RDATA_LEN: usize = 65_535;

/// Reads the RDATA of one record from all fields that are left.
pub(super) fn read(rtype: RrType, fields: &mut Fields<'_>) -> Result<Box<[u8]>, Fault> {
    let start = fields.spot();
    let rdata = if fields.is_next(r"\#") {
        generic(rtype, fields)?
    } else {
        let Some(row) = layout(rtype) else {
            let message = format!(r"type {rtype} has no text form here, expected `\# LENGTH HEX`");
            return Err(Fault::new(start, message));
        };
        let mut rdata = Vec::new();
        for field in row {
            kinds::read(*field, fields, &mut rdata)?;
        }
        fields.finish()?;
        rdata
    };
    if rdata.len() > MAX_RDATA_LEN {
        let message = format!("record data of {} octets, at most 65535 fit", rdata.len());
        return Err(Fault::new(start, message));
    }
    Ok(rdata.into())
}

/// Reads `\# LENGTH HEX` (RFC 3597 s5).
fn generic(rtype: RrType, fields: &mut Fields<'_>) -> Result<Vec<u8>, Fault> {
    let spot = fields.word("`\\#`")?.spot;
    let len = fields.word("the number of octets")?;
    let Ok(expected_len) = len.text().parse::<u16>() else {
        let message = format!(
            "bad length `{}`, expected a number from 0 to 65535",
            len.excerpt()
        );
        return Err(Fault::new(len.spot, message));
    };
    let mut rdata = Vec::new();
    if fields.has_more() {
        fields::hex(fields, "record data", &mut rdata)?;
    }
    if rdata.len() != usize::from(expected_len) {
        let message = format!("{} octets follow, expected {expected_len}", rdata.len());
        return Err(Fault::new(len.spot, message));
    }
    if let Err(field) = wire::check(rtype, &rdata) {
        let message = format!("these octets are no {rtype} record: {field}");
        return Err(Fault::new(spot, message));
    }
    Ok(rdata)
}

/// The RDATA of a TXT record with this text, as many character strings as it takes (RFC 1035 s3.3.14).
pub(super) fn text_of(text: &str) -> Box<[u8]> {
    let mut rdata = Vec::with_capacity(text.len() + 1 + text.len() / 255);
    for part in text.as_bytes().chunks(255) {
        rdata.push(part.len() as u8);
        rdata.extend_from_slice(part);
    }
    rdata.into()
}

/// The type that a misspelt mnemonic is nearest to.
pub(super) fn similar_type(word: &str) -> Option<String> {
    let known: Vec<String> = (0..1024)
        .map(RrType)
        .filter(|rtype| layout(*rtype).is_some())
        .map(|rtype| rtype.to_string())
        .collect();
    did_you_mean(word, known.iter().map(String::as_str)).map(str::to_owned)
}
