//! `Finding`: one thing that was found, and what each kind of them means and asks for.

use std::fmt;

/// How bad a finding is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Some clients get no answer, or a wrong one.
    Fault,
    /// It works, and should be mended all the same.
    Warning,
    /// Worth knowing, or what could not be judged.
    Note,
    /// What was looked at and is as it should be.
    Fine,
}

impl Severity {
    /// The word in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Warning => "warning",
            Self::Note => "note",
            Self::Fine => "fine",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of a kind of finding.
struct Facts {
    code: &'static str,
    severity: Severity,
    meaning: &'static str,
    action: &'static str,
}

/// Declares the kinds once: the enum, the table of facts, and the list of all.
macro_rules! kinds {
    ($($kind:ident $severity:ident $code:literal $meaning:literal $action:literal)+) => {
        /// What can be found. Each kind is explained by its own sentences, which docs/doctor.md repeats.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "`meaning` explains each of them")]
        pub enum Kind {
            $($kind,)+
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            fn facts(self) -> &'static Facts {
                const FACTS: &[Facts] = &[$(Facts {
                    code: $code,
                    severity: Severity::$severity,
                    meaning: $meaning,
                    action: $action,
                },)+];
                &FACTS[self as usize]
            }
        }
    };
}

kinds! {
    // The delegation.
    ParentSilent Fault "parent_silent"
        "No server of the parent zone answers with a delegation or a denial, so that the delegation cannot be compared."
        "Check --parent, and that this machine may ask name servers on port 53."
    NotDelegated Fault "not_delegated"
        "The parent zone has no NS records for the zone, so that no resolver finds its servers."
        "Have the registrar, or whoever runs the parent zone, add the delegation."
    ParentServesZone Note "parent_serves_zone"
        "The parent's server is also a server of the zone and answers from that, so that the delegation is not visible."
        "Compare the NS and glue records in the parent zone's file by hand."
    NotCompared Note "not_compared"
        "Only the named servers were asked: the parent's delegation was not looked at."
        "Leave out --server, or give --parent as well, once the zone is delegated."
    NoServers Fault "no_servers"
        "There is no address of a name server to ask."
        "See the other findings of the delegation, or name servers with --server."
    NsMissingAtParent Warning "ns_missing_at_parent"
        "The zone lists a name server that the parent does not delegate to: most resolvers never ask it."
        "Have the name server added at the registrar, or remove its NS record from the zone."
    NsMissingInZone Warning "ns_missing_in_zone"
        "The parent delegates to a name server that is not in the zone's own NS records."
        "Add the NS record to the zone, or have the name server removed at the registrar."
    NsUnresolvable Fault "ns_unresolvable"
        "The name of a name server has no address, so that nobody can ask it."
        "Add A and AAAA records for the name, or remove the NS record here and at the parent."
    NsCname Fault "ns_cname"
        "The name of a name server is an alias (CNAME), which RFC 2181 s10.3 forbids and resolvers refuse."
        "Give the name A and AAAA records of its own."
    ResolverSilent Note "resolver_silent"
        "The recursive resolvers do not answer, so that names of name servers could not be resolved."
        "Check /etc/resolv.conf, or `[resolve] servers` of the configuration."
    GlueMissing Fault "glue_missing"
        "A name server's name lies in the zone and the parent gives no address for it, so that resolvers cannot start."
        "Have the address added as glue (a host object) at the registrar."
    GlueDiffers Fault "glue_differs"
        "The addresses at the parent are not those that the zone has for the same name."
        "Have the glue changed at the registrar to the addresses of the zone, or the zone to those of the glue."
    DelegationTtl Warning "delegation_ttl"
        "The zone's NS records, or the addresses of its name servers, may be kept for less than five minutes, so that resolvers ask for them all the time and a short outage is felt at once."
        "Raise their TTL to at least an hour; a day is usual."
    OneServer Warning "one_server"
        "The zone has a single name server, so that one failure takes it off the Internet (RFC 1034 s4.1 wants two)."
        "Add a second server, in another network."
    OneNetwork Warning "one_network"
        "All name servers are in the same /24, or /48 for IPv6, so that one cut cable takes away all of them (RFC 2182 s3.1)."
        "Move one of them to another network."
    // Whether servers answer.
    NoAnswer Fault "no_answer"
        "The server does not answer over UDP, after three tries."
        "Check that it runs and listens on this address, and that the firewall lets UDP port 53 through in both directions."
    Unreachable Note "unreachable"
        "This machine cannot reach the address: it has no route, or no server of that address family answers it, so that nothing follows for the server."
        "Run `meridian doctor` on another machine as well, for IPv6 on one that has it."
    TcpBlocked Fault "tcp_blocked"
        "The server answers over UDP and not over TCP: truncated answers are lost (RFC 7766 requires TCP)."
        "Let the server listen on TCP port 53, and open it in the firewall."
    Lame Fault "lame"
        "The server does not serve the zone: it refuses, fails, or answers without authority (AA)."
        "Load the zone on the server, or remove it from the NS records here and at the parent."
    LargeAnswers Fault "large_answers"
        "A large answer does not arrive, neither whole over UDP nor after truncation over TCP."
        "Open TCP port 53, and have the server limit UDP answers to 1232 octets."
    Fragments Warning "fragments"
        "An answer in several IP fragments does not arrive: resolvers that announce 4096 octets wait in vain before they ask again."
        "Limit UDP answers of the server to 1232 octets, or let fragments through the firewall."
    PayloadExceeded Fault "payload_exceeded"
        "The server sends more octets over UDP than the question allows (RFC 6891 s6.2.5)."
        "Upgrade the server, or whatever stands in front of it."
    // How servers answer.
    SerialDiffers Warning "serial_differs"
        "Servers have different versions of the zone, so that clients get old data from some of them."
        "Wait a minute and try again if the zone was just changed; else check NOTIFY, transfers and their TSIG keys."
    AnswersDiffer Fault "answers_differ"
        "Servers with the same serial give one client network different addresses."
        "Compare `meridian status --fleet` of the servers: pools.toml, GeoIP database, overrides and health must agree."
    NsDiffers Warning "ns_differs"
        "Servers give different NS records for the zone."
        "See `serial_differs`; if serials are equal, the servers have different zone files."
    NoEdns Fault "no_edns"
        "The server answers questions without EDNS only: there are no client subnets, no signatures and no large answers."
        "Upgrade the server, or whatever stands in front of it."
    EdnsVersion Warning "edns_version"
        "The server does not answer BADVERS to an EDNS version that it cannot know (RFC 6891 s6.1.3), so that a future version would fail."
        "Upgrade the server, or whatever stands in front of it."
    EdnsOption Fault "edns_option"
        "The server fails on an EDNS option that it does not know, instead of ignoring it (RFC 6891 s6.1.2)."
        "Upgrade the server, or whatever stands in front of it."
    PlainDns Fault "plain_dns"
        "The server answers questions with EDNS and not those without, by which some old resolvers and monitors ask."
        "Upgrade the server, or whatever stands in front of it."
    CaseChanged Warning "case_changed"
        "The name of the question comes back in other case: resolvers that mix cases against forgery (0x20) drop the answer."
        "Upgrade the server, or whatever stands in front of it."
    NoCookies Note "no_cookies"
        "The server has no DNS cookies (RFC 7873), by which resolvers are told from forged senders under attack."
        "Switch cookies on, if the server has them."
    // Client subnets.
    EcsSilent Fault "ecs_silent"
        "The server does not answer questions with a client subnet, so that resolvers that send one get nothing."
        "Upgrade the server, or whatever stands in front of it."
    EcsMissing Fault "ecs_missing"
        "The server ignores client subnets where others of the zone use them, or the name is steered: clients of central resolvers are sent to the wrong region."
        "Switch ECS on (`[ecs] enabled`), and check that nothing in front of the server strips EDNS options."
    EcsUnused Note "ecs_unused"
        "No server answers by client subnet: all clients of a resolver get the same addresses."
        "Nothing, if the name is not meant to be steered."
    EcsEcho Fault "ecs_echo"
        "The client subnet in the answer is not that of the question, so that resolvers drop the answer (RFC 7871 s7.3)."
        "Upgrade the server, or whatever stands in front of it."
    EcsScope Fault "ecs_scope"
        "The scope is too wide: the answer says that it holds for a network in which another client got another answer, so that resolvers give clients each other's answers."
        "Check the GeoIP data and rules of the server; for a server that is not Meridian, its ECS settings."
    NoAddress Fault "no_address"
        "The name has no address for some client networks."
        "See `meridian explain NAME --client SUBNET`: a pool may be down in that family, or no rule matches."
    // Signatures.
    DsWithoutDnskey Fault "ds_without_dnskey"
        "The parent has a DS record and the zone no DNSKEY: validating resolvers answer SERVFAIL for everything in the zone."
        "Have the DS removed at the registrar at once, or sign the zone with the key that it names."
    DsMismatch Fault "ds_mismatch"
        "No DS record at the parent belongs to a key of the zone: validating resolvers answer SERVFAIL for everything in the zone."
        "Have the DS at the registrar replaced by that of the zone's key (`dnssec-dsfromkey`)."
    DnskeyWithoutDs Note "dnskey_without_ds"
        "The zone is signed and the parent has no DS record: nobody validates the signatures."
        "Have the DS added at the registrar, if the zone is meant to be secure."
    SignatureMissing Fault "signature_missing"
        "The zone has keys and the server gives no signature for its SOA or DNSKEY: validating resolvers answer SERVFAIL."
        "Serve the signed zone file on this server; it may have an unsigned or an old copy."
    SignatureExpired Fault "signature_expired"
        "A signature has ended by the clock of this machine: validating resolvers answer SERVFAIL."
        "Sign the zone again, and check that the signer runs and its zone reaches all servers."
    SignatureEnds Warning "signature_ends"
        "A signature ends in less than two days."
        "Check that the signer runs: signatures are usually renewed several days ahead."
    SignatureEarly Fault "signature_early"
        "A signature begins in the future by the clock of this machine: the signer's clock is ahead, or this one is behind."
        "Check the clocks of the signer and of this machine (`chronyc tracking`)."
    SignatureWrong Fault "signature_wrong"
        "A signature does not verify with the zone's keys: validating resolvers answer SERVFAIL."
        "Sign the zone again; a key may have been replaced without it."
    // The rest.
    Clock Warning "clock"
        "The server's clock, by the time in its cookies (RFC 9018), differs from this machine's: cookies, TSIG and signatures depend on it."
        "Run an NTP client on whichever of the two is wrong."
    TransferOpen Warning "transfer_open"
        "The server gives the whole zone to anybody who asks (AXFR)."
        "Restrict transfers to the secondaries, by TSIG or address, unless the zone is meant to be public."
}

impl Kind {
    /// The name in JSON and the documentation.
    pub fn code(self) -> &'static str {
        self.facts().code
    }

    /// How bad it is.
    pub fn severity(self) -> Severity {
        self.facts().severity
    }

    /// What it means, in a sentence.
    pub fn meaning(self) -> &'static str {
        self.facts().meaning
    }

    /// What to do about it, in a sentence.
    pub fn action(self) -> &'static str {
        self.facts().action
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Something is not as it should be, or cannot be judged.
    Of {
        /// What.
        kind: Kind,
        /// At which servers; empty: it is about none of them in particular.
        servers: Vec<String>,
        /// What was seen.
        message: String,
    },
    /// All that was looked at is as it should be.
    Fine(String),
}

impl Finding {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Of { kind, .. } => kind.severity(),
            Self::Fine(_) => Severity::Fine,
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Adds what is about no server in particular.
    pub fn add(&mut self, kind: Kind, message: impl Into<String>) {
        self.0.push(Finding::Of {
            kind,
            servers: Vec::new(),
            message: message.into(),
        });
    }

    /// Adds what was seen at a server; the same at several servers is one finding.
    pub fn add_at(&mut self, kind: Kind, server: &str, message: impl Into<String>) {
        let message = message.into();
        for finding in &mut self.0 {
            if let Finding::Of {
                kind: other,
                servers,
                message: same,
            } = finding
                && (*other, &*same) == (kind, &message)
                && !servers.is_empty()
            {
                if servers.iter().all(|other| other != server) {
                    servers.push(server.to_owned());
                }
                return;
            }
        }
        self.0.push(Finding::Of {
            kind,
            servers: vec![server.to_owned()],
            message,
        });
    }

    /// Adds that something is fine.
    pub fn fine(&mut self, text: impl Into<String>) {
        self.0.push(Finding::Fine(text.into()));
    }

    /// Whether there is one of these kinds.
    pub fn has(&self, kinds: &[Kind]) -> bool {
        self.0
            .iter()
            .any(|finding| matches!(finding, Finding::Of { kind, .. } if kinds.contains(kind)))
    }

    /// All of them, the worst first.
    pub fn sorted(mut self) -> Vec<Finding> {
        self.0.sort_by_key(Finding::severity);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_kind() {
        let text = include_str!("../../docs/doctor.md");
        for kind in Kind::ALL {
            let (severity, meaning, action) = (kind.severity(), kind.meaning(), kind.action());
            let row = format!(
                "| `{}` | {severity} | {meaning} | {action} |\n",
                kind.code()
            );
            assert!(text.contains(&row), "docs/doctor.md lacks: {row}");
        }
    }
}
