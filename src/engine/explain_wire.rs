//! The messages of an explanation: its question as a client would send it, and what the response says.

use std::net::IpAddr;

use domain::base::Message;
use domain::base::iana::Rtype;
use domain::base::opt::ClientSubnet;
use domain::rdata::A;
use domain::rdata::Aaaa;
use domain::rdata::Cname;

use crate::base::prefix::Prefix;
use crate::base::rr::Rcode;
use crate::engine::question::Question;
use crate::wire;

/// The question as a message with an OPT, and with the subnet if there is one (RFC 7871 s6).
pub(super) fn message(question: &Question, subnet: Option<Prefix>) -> Vec<u8> {
    let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    message.extend_from_slice(question.name.wire());
    message.extend_from_slice(&question.qtype.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    let option = subnet.map(|prefix| {
        let subnet = wire::ecs::ClientSubnet::of(prefix);
        (subnet.to_wire(0), subnet.option_len())
    });
    let options = option
        .as_ref()
        .and_then(|(wire, len)| wire.get(..*len))
        .unwrap_or_default();
    message.extend_from_slice(&[0, 0, 41, 0xFF, 0xFF, 0, 0, 0, 0, 0, options.len() as u8]);
    message.extend_from_slice(options);
    message
}

/// What a response says.
pub(super) struct Wire {
    pub(super) rcode: Rcode,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) cname: Option<String>,
    pub(super) ttl: Option<u32>,
    pub(super) scope: Option<u8>,
}

/// Reads our own response back.
pub(super) fn read(response: &[u8]) -> Wire {
    let mut wire = Wire {
        rcode: Rcode::ServFail,
        addresses: Vec::new(),
        cname: None,
        ttl: None,
        scope: None,
    };
    let Ok(message) = Message::from_octets(response) else {
        return wire;
    };
    let code = message.opt_rcode().to_int();
    wire.rcode = Rcode::ALL
        .into_iter()
        .find(|rcode| *rcode as u16 == code)
        .unwrap_or(wire.rcode);
    if let Some(subnet) = message
        .opt()
        .and_then(|opt| opt.opt().first::<ClientSubnet>())
    {
        wire.scope = Some(subnet.scope_prefix_len());
    }
    let Ok(answer) = message.answer() else {
        return wire;
    };
    for record in answer.flatten() {
        wire.ttl = wire.ttl.or(Some(record.ttl().as_secs()));
        if let Ok(Some(alias)) = record.to_record::<Cname<_>>() {
            wire.cname = Some(alias.data().cname().to_string());
        }
        let addr = match record.rtype() {
            Rtype::A => record
                .to_record::<A>()
                .map(|r| r.map(|r| IpAddr::V4(r.data().addr()))),
            Rtype::AAAA => record
                .to_record::<Aaaa>()
                .map(|r| r.map(|r| IpAddr::V6(r.data().addr()))),
            _ => Ok(None),
        };
        wire.addresses.extend(addr.ok().flatten());
    }
    wire
}
