//! Best-effort ECS peek, used as a prefetch hint.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::base::rr::RrType;
use crate::wire::compress::split_name;
use crate::wire::ecs::ClientSubnet;
use crate::wire::ecs::SUBNET;
use crate::wire::edns::split_option;
use crate::wire::header::HEADER_LEN;
use crate::wire::record::Record;

/// The client subnet of a message that is a question and an OPT with the subnet as its first option, as
/// most resolvers that send one send it. The message is not validated, and `None` says nothing about it:
/// whoever answers it parses it.
pub fn subnet(message: &[u8]) -> Option<ClientSubnet> {
    let (_, rest) = message.get(HEADER_LEN..).and_then(split_name)?;
    // Of the question 4 octets are left.
    let mut rest = rest.get(4..)?;
    let opt = Record::split_off(message, &mut rest).filter(|record| record.rtype == RrType::OPT)?;
    let (code, option, _) = split_option(opt.rdata)?;
    if code == SUBNET {
        ClientSubnet::parse(option)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question for `a.example` with these additional octets.
    fn message(additional: &[u8]) -> Vec<u8> {
        let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x01a\x07example\0\0\x01\0\x01";
        [question, additional].concat()
    }

    #[test]
    fn the_subnet_of_usual_messages_is_found() {
        let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 198, 51, 100];
        let opt = |options: &[&[u8]]| {
            let options = options.concat();
            let fixed = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, options.len() as u8];
            message(&[&fixed[..], &options].concat())
        };
        let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
        let found = |message: &[u8]| self::subnet(message).and_then(ClientSubnet::addr);
        let addr = "198.51.100.0".parse().ok();
        assert_eq!(found(&opt(&[&subnet])), addr);
        assert_eq!(found(&opt(&[&subnet, &cookie])), addr);
        for other in [opt(&[&cookie, &subnet]), opt(&[]), message(&[]), vec![]] {
            assert_eq!(found(&other), None, "{other:?}");
        }
        let whole = opt(&[&subnet]);
        for len in 0..whole.len() {
            assert_eq!(found(&whole[..len]), None, "{len}");
        }
    }
}
