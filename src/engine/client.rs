//! Whom an answer is for: the client subnet if there is a usable one, else the resolver.

use std::net::IpAddr;

use crate::config::model::Ecs;
use crate::state::answers::Client;
use crate::wire::ecs::ClientSubnet;

/// Decides whom to steer for (RFC 7871 s7.2.1). A subnet is first cut to the configured longest
/// scope; one of source length 0 asks for no tailoring, and the resolver's address decides. A subnet of which
/// nothing is known is passed over when the answer is looked up (`state/answers.rs`).
pub fn of_query(ecs: &Ecs, subnet: Option<&ClientSubnet>, src: IpAddr) -> Client {
    match subnet
        .and_then(|subnet| subnet.prefix())
        .filter(|_| ecs.enabled)
    {
        Some(prefix) => {
            let max_scope = ecs.max_scope();
            Client {
                prefix: prefix.truncated(max_scope[prefix.family()]),
                max_scope: Some(max_scope),
            }
        }
        None => Client::source(src),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subnet_counts_where_it_is_usable() {
        let on = Ecs {
            enabled: true,
            max_scope_ipv4: 24,
            max_scope_ipv6: 56,
        };
        let off = Ecs {
            enabled: false,
            ..on
        };
        let src: IpAddr = "192.0.2.7".parse().expect("address");
        let subnet =
            |data: &[u8]| ClientSubnet::parse(&[&[0, 8, 0, data.len() as u8][..], data].concat());
        let (v4_32, v4_20) = (
            subnet(&[0, 1, 32, 0, 198, 51, 100, 9]),
            subnet(&[0, 1, 20, 0, 198, 51, 96]),
        );
        let v6_64 = subnet(&[0, 2, 64, 0, 0x20, 1, 0x0d, 0xb8, 0, 1, 2, 3]);
        for (ecs, subnet, prefix, by_subnet) in [
            (on, v4_32, "198.51.100.0/24", true),
            (on, v4_20, "198.51.96.0/20", true),
            (on, v6_64, "2001:db8:1:200::/56", true),
            (on, zero(), "192.0.2.7/32", false),
            (on, None, "192.0.2.7/32", false),
            (off, v4_32, "192.0.2.7/32", false),
        ] {
            let client = of_query(&ecs, subnet.as_ref(), src);
            assert_eq!(
                (
                    client.prefix.to_string().as_str(),
                    client.max_scope.is_some()
                ),
                (prefix, by_subnet)
            );
        }
    }

    fn zero() -> Option<ClientSubnet> {
        ClientSubnet::parse(&[0, 8, 0, 4, 0, 1, 0, 0])
    }
}
