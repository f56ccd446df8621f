//! The names of numbers in RDATA, as the registries of IANA and the RFCs have them.

/// Numbers and their names, which are read in any case.
pub(super) type Mnemonics = &'static [(u16, &'static str)];

/// DNSSEC algorithms by the mnemonics of the IANA registry.
pub(super) const ALGORITHMS: Mnemonics = &[
    (1, "RSAMD5"),
    (2, "DH"),
    (3, "DSA"),
    (5, "RSASHA1"),
    (6, "DSA-NSEC3-SHA1"),
    (7, "RSASHA1-NSEC3-SHA1"),
    (8, "RSASHA256"),
    (10, "RSASHA512"),
    (12, "ECC-GOST"),
    (13, "ECDSAP256SHA256"),
    (14, "ECDSAP384SHA384"),
    (15, "ED25519"),
    (16, "ED448"),
    (252, "INDIRECT"),
    (253, "PRIVATEDNS"),
    (254, "PRIVATEOID"),
];

/// Certificate types (RFC 4398 s2.1).
pub(super) const CERT_TYPES: Mnemonics = &[
    (1, "PKIX"),
    (2, "SPKI"),
    (3, "PGP"),
    (4, "IPKIX"),
    (5, "ISPKI"),
    (6, "IPGP"),
    (7, "ACPKIX"),
    (8, "IACPKIX"),
    (253, "URI"),
    (254, "OID"),
];

/// Digest types of DS records, spelt as in the registry and as BIND also reads them.
pub(super) const DIGESTS: Mnemonics = &[
    (1, "SHA-1"),
    (1, "SHA1"),
    (2, "SHA-256"),
    (2, "SHA256"),
    (3, "GOST"),
    (4, "SHA-384"),
    (4, "SHA384"),
];

/// Hash algorithms of NSEC3 (RFC 5155 s11).
pub(super) const HASHES: Mnemonics = &[(1, "SHA-1")];

/// Protocols of KEY records (RFC 2535 s7.1).
pub(super) const KEY_PROTOCOLS: Mnemonics = &[
    (0, "NONE"),
    (1, "TLS"),
    (2, "EMAIL"),
    (3, "DNSSEC"),
    (4, "IPSEC"),
    (255, "ALL"),
];

/// Flags of KEY records (RFC 2535 s7.1).
pub(super) const KEY_FLAGS: Mnemonics = &[
    (0x4000, "NOCONF"),
    (0x8000, "NOAUTH"),
    (0xC000, "NOKEY"),
    (0x2000, "FLAG2"),
    (0x1000, "EXTEND"),
    (0x0800, "FLAG4"),
    (0x0400, "FLAG5"),
    (0x0000, "USER"),
    (0x0100, "ZONE"),
    (0x0200, "HOST"),
    (0x0300, "NTYP3"),
    (0x0080, "FLAG8"),
    (0x0040, "FLAG9"),
    (0x0020, "FLAG10"),
    (0x0010, "FLAG11"),
    (0x0000, "SIG0"),
    (0x0001, "SIG1"),
    (0x0002, "SIG2"),
    (0x0003, "SIG3"),
    (0x0004, "SIG4"),
    (0x0005, "SIG5"),
    (0x0006, "SIG6"),
    (0x0007, "SIG7"),
    (0x0008, "SIG8"),
    (0x0009, "SIG9"),
    (0x000A, "SIG10"),
    (0x000B, "SIG11"),
    (0x000C, "SIG12"),
    (0x000D, "SIG13"),
    (0x000E, "SIG14"),
    (0x000F, "SIG15"),
];

/// Schemes of DSYNC (RFC 9859 s6.2).
pub(super) const SCHEMES: Mnemonics = &[(1, "NOTIFY")];

/// Protocols of WKS: those of RFC 1010 that had well-known services, and their neighbours.
pub(super) const PROTOCOLS: Mnemonics = &[
    (0, "IP"),
    (1, "ICMP"),
    (2, "IGMP"),
    (3, "GGP"),
    (5, "ST"),
    (6, "TCP"),
    (8, "EGP"),
    (9, "IGP"),
    (12, "PUP"),
    (17, "UDP"),
    (20, "HMP"),
    (22, "XNS-IDP"),
    (27, "RDP"),
    (29, "ISO-TP4"),
    (132, "SCTP"),
];

/// Services of WKS: well-known ports, as the services file of most systems names them.
pub(super) const SERVICES: Mnemonics = &[
    (1, "tcpmux"),
    (7, "echo"),
    (9, "discard"),
    (11, "systat"),
    (13, "daytime"),
    (15, "netstat"),
    (17, "qotd"),
    (19, "chargen"),
    (20, "ftp-data"),
    (21, "ftp"),
    (22, "ssh"),
    (23, "telnet"),
    (25, "smtp"),
    (37, "time"),
    (39, "rlp"),
    (42, "nameserver"),
    (43, "whois"),
    (43, "nicname"),
    (49, "tacacs"),
    (53, "domain"),
    (67, "bootps"),
    (68, "bootpc"),
    (69, "tftp"),
    (70, "gopher"),
    (79, "finger"),
    (80, "http"),
    (80, "www"),
    (88, "kerberos"),
    (101, "hostname"),
    (101, "hostnames"),
    (102, "iso-tsap"),
    (109, "pop2"),
    (109, "pop-2"),
    (110, "pop3"),
    (110, "pop-3"),
    (111, "sunrpc"),
    (113, "auth"),
    (113, "ident"),
    (115, "sftp"),
    (117, "uucp-path"),
    (119, "nntp"),
    (123, "ntp"),
    (137, "netbios-ns"),
    (138, "netbios-dgm"),
    (139, "netbios-ssn"),
    (143, "imap"),
    (143, "imap2"),
    (161, "snmp"),
    (162, "snmptrap"),
    (179, "bgp"),
    (194, "irc"),
    (389, "ldap"),
    (443, "https"),
    (465, "submissions"),
    (587, "submission"),
    (636, "ldaps"),
    (853, "domain-s"),
    (990, "ftps"),
    (992, "telnets"),
    (993, "imaps"),
    (995, "pop3s"),
];
