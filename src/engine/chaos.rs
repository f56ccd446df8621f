//! The CHAOS names that identify the server and its version (RFC 4892), as configured.

use crate::base::rr::Class;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::engine::composer::Composer;
use crate::wire::encode::Owner;

/// Answers a query in class CH: TXT for the server's identity or version where the operator
/// discloses it, REFUSED for all else.
pub(super) fn chaos(composer: &mut Composer<'_, '_>) -> Rcode {
    let server = &composer.snapshot.plan.config.process.server;
    let text = match composer.scratch.qname.wire() {
        b"\x02id\x06server\0" | b"\x08hostname\x04bind\0" => &server.nsid,
        b"\x07version\x04bind\0" | b"\x07version\x06server\0" => &server.version,
        _ => return composer.refused("no such name in class CH"),
    };
    let (true, Ok(len)) = (!text.is_empty(), u8::try_from(text.len())) else {
        return composer.refused("server identity is not disclosed");
    };
    composer.encoder.set_authoritative();
    if !matches!(composer.query.qtype, RrType::TXT | RrType::ANY) {
        return Rcode::NoError;
    }
    // One character-string; the longest has 255 octets.
    let mut rdata = [len; 256];
    let Some(rdata) = rdata.get_mut(..=usize::from(len)) else {
        return Rcode::Refused;
    };
    if let Some((_, string)) = rdata.split_first_mut() {
        string.copy_from_slice(text.as_bytes());
    }
    if composer
        .encoder
        .record(Owner::Qname, RrType::TXT, Class::CH, 0, rdata)
        .is_err()
    {
        composer.encoder.set_truncated();
    }
    Rcode::NoError
}
