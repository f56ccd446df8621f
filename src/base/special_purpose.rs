//! Special-purpose address blocks: those that no client on the Internet has.
//!
//! The blocks of the IANA special-purpose address registries (RFC 6890, RFC 8190) that are not globally
//! reachable: private, shared, loopback, link-local, unique local, documentation, benchmarking, reserved.
//! An address in one says nothing of where its client is, unless the operator or the database knows it
//! (RFC 7871 s10). So do 6to4 and NAT64, which are here too: what counts is the IPv4 address inside
//! ([`Prefix::embedded_v4`]).

use std::sync::LazyLock;

use crate::base::prefix::Prefix;

/// The blocks, none inside another.
pub fn blocks() -> &'static [Prefix] {
    &BLOCKS
}

/// Whether it is one of the blocks for documentation, which nobody routes, inside or outside.
pub fn is_documentation(block: Prefix) -> bool {
    DOCUMENTATION.iter().any(|text| text.parse() == Ok(block))
}

const DOCUMENTATION: &[&str] = &[
    "192.0.2.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "2001:db8::/32",
    "3fff::/20",
];

static BLOCKS: LazyLock<Vec<Prefix>> = LazyLock::new(|| {
    let block = |text: &&str| text.parse().expect("every block is a prefix");
    TEXTS.iter().map(block).collect()
});

const TEXTS: &[&str] = &[
    "0.0.0.0/8",       // this network, RFC 791
    "10.0.0.0/8",      // private, RFC 1918
    "100.64.0.0/10",   // shared, RFC 6598
    "127.0.0.0/8",     // loopback, RFC 1122
    "169.254.0.0/16",  // link-local, RFC 3927
    "172.16.0.0/12",   // private, RFC 1918
    "192.0.0.0/24",    // IETF protocol assignments, RFC 6890
    "192.0.2.0/24",    // documentation, RFC 5737
    "192.168.0.0/16",  // private, RFC 1918
    "198.18.0.0/15",   // benchmarking, RFC 2544
    "198.51.100.0/24", // documentation, RFC 5737
    "203.0.113.0/24",  // documentation, RFC 5737
    "240.0.0.0/4",     // reserved, RFC 1112
    "::/128",          // unspecified, RFC 4291
    "::1/128",         // loopback, RFC 4291
    "64:ff9b::/96",    // NAT64, RFC 6052
    "64:ff9b:1::/48",  // local-use translation, RFC 8215
    "100::/64",        // discard-only, RFC 6666
    "2001::/23",       // IETF protocol assignments with Teredo, RFC 2928
    "2001:db8::/32",   // documentation, RFC 3849
    "2002::/16",       // 6to4, RFC 3056
    "3fff::/20",       // documentation, RFC 9637
    "5f00::/16",       // segment routing, RFC 9602
    "fc00::/7",        // unique local, RFC 4193
    "fe80::/10",       // link-local, RFC 4291
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_prefixes_apart_from_one_another() {
        for (at, block) in blocks().iter().enumerate() {
            let others = blocks()
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != at);
            for (_, other) in others {
                assert!(!block.covers(*other), "{block} {other}");
            }
        }
        let documentation = blocks().iter().filter(|block| is_documentation(**block));
        assert_eq!(documentation.count(), DOCUMENTATION.len());
    }
}
