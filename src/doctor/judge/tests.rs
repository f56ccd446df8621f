//! Each row breaks one thing of a zone with two servers on which all is well, and names what must be found.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::prelude::Strategy;
use proptest::prelude::any;
use proptest::prop_oneof;
use proptest::proptest;
use proptest::sample::select;

use crate::base::date::Date;
use crate::base::diag::Report;
use crate::base::name::Name;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Prefix;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::doctor::ask::Asked;
use crate::doctor::ask::Failure;
use crate::doctor::delegation::Delegation;
use crate::doctor::delegation::Found;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Kind;
use crate::doctor::judge::Evidence;
use crate::doctor::judge::judge;
use crate::doctor::message::Edns;
use crate::doctor::message::Question;
use crate::doctor::message::Record;
use crate::doctor::message::Reply;
use crate::doctor::message::ReplyEdns;
use crate::doctor::message::SubnetEcho;
use crate::doctor::resolvers::Problem;
use crate::doctor::resolvers::Resolved;
use crate::doctor::server::Answers;
use crate::doctor::server::LargeAnswer;
use crate::doctor::server::MoreAnswers;
use crate::doctor::server::Server;
use crate::doctor::server::SubnetAnswer;
use crate::zone::master;

const SIGNED: [&str; 5] = [
    include_str!("../testdata/ed25519.zone"),
    include_str!("../testdata/p-256.zone"),
    include_str!("../testdata/p-384.zone"),
    include_str!("../testdata/rsa-sha256.zone"),
    include_str!("../testdata/rsa-sha512.zone"),
];

const SOA: &str = "@ SOA ns1 hostmaster 7 1h 15m 1w 5m";
const FRANCE: &str = "90.63.0.0/24";
const JAPAN: &str = "126.0.0.0/24";

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Records as a zone file of example.com has them.
fn records(text: &str) -> Vec<Record> {
    let mut report = Report::default();
    let mut include = |_: &str, _: &_| Err("none".to_owned());
    let (file, text) = ("zone".into(), format!("$TTL 1h\n{text}\n"));
    let zone = name("example.com");
    let read = master::read(&file, text.as_bytes(), &zone, &mut include, &mut report);
    assert!(!report.has_errors(), "{report}");
    let record = |record: master::Record| Record {
        owner: record.owner,
        rtype: record.rtype,
        ttl: record.ttl,
        rdata: record.rdata.into(),
    };
    read.into_iter().map(record).collect()
}

fn reply(answer: &str) -> Reply {
    Reply {
        len: 100,
        is_authoritative: true,
        keeps_case: true,
        answer: records(answer),
        edns: Some(ReplyEdns::default()),
        ..Reply::default()
    }
}

fn refusal(rcode: Rcode) -> Reply {
    Reply {
        rcode: rcode as u16,
        is_authoritative: false,
        ..reply("")
    }
}

fn subnet_answer(subnet: &str, address: &str, scope: u8) -> SubnetAnswer {
    let subnet: Prefix = subnet.parse().unwrap();
    let mut reply = reply(&format!("www A {address}"));
    reply.edns.as_mut().unwrap().subnet = Some(SubnetEcho { subnet, scope });
    SubnetAnswer {
        name: name("www.example.com"),
        rtype: RrType::A,
        subnet,
        asked: Ok(reply),
    }
}

/// A cookie of version 1 that was made at a time.
fn cookie(made: u32) -> Reply {
    let mut reply = reply(SOA);
    let cookie = [&[1, 0, 0, 0][..], &made.to_be_bytes(), &[0; 8]].concat();
    reply.edns.as_mut().unwrap().cookie = Some(cookie);
    reply
}

fn now() -> u64 {
    Date::from_civil(2026, 11, 15).unwrap().epoch()
}

fn server(host: &str, address: &str) -> Answers {
    let hosts = [("ns1", "192.0.2.1"), ("ns2", "198.51.100.1")];
    let hosts = hosts.map(|(host, address)| {
        let answer = reply(&format!("{host} A {address}"));
        let host = name(&format!("{host}.example.com"));
        (host, [Ok(answer), Ok(reply(""))])
    });
    Answers {
        server: Server {
            name: Some(name(host)),
            address: SocketAddr::new(address.parse().unwrap(), 53),
        },
        soa: Ok(reply(SOA)),
        plain: Ok(Reply {
            edns: None,
            ..reply(SOA)
        }),
        tcp: Ok(reply(SOA)),
        more: Some(MoreAnswers {
            ns: Ok(reply("@ NS ns1\n@ NS ns2")),
            signed_soa: Ok(reply(SOA)),
            dnskey: Ok(reply("")),
            long: LargeAnswer {
                rtype: RrType::TXT,
                usual: Ok(reply("")),
                large: Ok(reply("")),
            },
            version: Ok(refusal(Rcode::BadVers)),
            option: Ok(reply(SOA)),
            cookie: Ok(cookie(now() as u32)),
            cookie_at: now(),
            hosts: hosts.into(),
            subnets: vec![
                subnet_answer(FRANCE, "203.0.113.1", 24),
                subnet_answer(JAPAN, "203.0.113.2", 24),
            ],
            transfer: Ok(refusal(Rcode::Refused)),
        }),
    }
}

/// A zone on which all is well.
fn healthy() -> Evidence {
    let address = |text: &str| text.parse().unwrap();
    let (ns1, ns2) = (name("ns1.example.com"), name("ns2.example.com"));
    Evidence {
        zone: name("example.com"),
        found: Some(Found::Delegated(Delegation {
            zone: name("example.com"),
            parent: "203.0.113.53:53".parse().unwrap(),
            servers: vec![ns1.clone(), ns2.clone()],
            glue: vec![(ns1, address("192.0.2.1")), (ns2, address("198.51.100.1"))],
            ds: Vec::new(),
        })),
        resolved: BTreeMap::new(),
        steered: Vec::new(),
        is_cut_off: PerFamily::default(),
        servers: vec![
            server("ns1.example.com", "192.0.2.1"),
            server("ns2.example.com", "198.51.100.1"),
        ],
        now: now(),
    }
}

impl Evidence {
    fn delegation(&mut self) -> &mut Delegation {
        match &mut self.found {
            Some(Found::Delegated(delegation)) => delegation,
            other => panic!("{other:?}"),
        }
    }

    fn more(&mut self, server: usize) -> &mut MoreAnswers {
        self.servers[server].more.as_mut().unwrap()
    }

    fn each(&mut self, change: impl Fn(&mut MoreAnswers)) {
        let servers = self.servers.iter_mut();
        servers
            .filter_map(|server| server.more.as_mut())
            .for_each(change);
    }

    /// The second server answers this to every question for its SOA.
    fn second_answers(&mut self, asked: &Asked) {
        let server = &mut self.servers[1];
        server.soa = asked.clone();
        server.plain = asked.clone();
        server.tcp = asked.clone();
        server.more = None;
    }

    /// All servers have a signed zone, and the parent its DS.
    fn sign(&mut self, zone: &str) {
        let records = records(zone);
        let of = |types: &[RrType]| {
            let records = records
                .iter()
                .filter(|record| types.contains(&record.rtype));
            records.cloned().collect::<Vec<_>>()
        };
        self.delegation().ds = of(&[RrType::DS]);
        let mut signed = reply("");
        self.each(|more| {
            more.dnskey = Ok(Reply {
                answer: of(&[RrType::DNSKEY, RrType::RRSIG]),
                ..reply("")
            });
        });
        signed.answer = of(&[RrType::SOA, RrType::RRSIG]);
        self.each(|more| more.signed_soa = Ok(signed.clone()));
    }
}

fn kinds(evidence: &Evidence) -> Vec<Kind> {
    let kind = |finding: &Finding| match finding {
        Finding::Of { kind, .. } => Some(*kind),
        Finding::Fine(_) => None,
    };
    judge(evidence).iter().filter_map(kind).collect()
}

#[test]
fn nothing_is_found_where_all_is_well() {
    assert_eq!(kinds(&healthy()), []);
    for zone in SIGNED {
        let mut evidence = healthy();
        evidence.sign(zone);
        assert_eq!(kinds(&evidence), [], "{zone}");
        let fine = Finding::Fine(
            "dnssec: SOA and DNSKEY are signed by the zone's keys, for two days at least".into(),
        );
        assert!(judge(&evidence).contains(&fine), "{zone}");
    }
}

type Break = fn(&mut Evidence);

/// What is broken about the delegation.
const DELEGATIONS: &[(&str, Break, &[Kind])] = &[
    (
        "the parent is silent",
        |zone| zone.found = Some(Found::Unknown("no answer".into())),
        &[Kind::ParentSilent],
    ),
    (
        "not delegated",
        |zone| {
            zone.found = Some(Found::Undelegated(
                name("com"),
                "203.0.113.53:53".parse().unwrap(),
            ));
        },
        &[Kind::NotDelegated],
    ),
    (
        "the parent's server has the zone as well",
        |zone| {
            zone.found = Some(Found::Hidden(
                name("example.com"),
                "203.0.113.53:53".parse().unwrap(),
            ));
        },
        &[Kind::ParentServesZone],
    ),
    (
        "servers named",
        |zone| zone.found = None,
        &[Kind::NotCompared],
    ),
    (
        "no address of any server",
        |zone| {
            zone.servers.clear();
            zone.delegation().servers = vec![name("ns.example.net")];
        },
        &[Kind::NoServers],
    ),
    (
        "a server that the parent lacks",
        |zone| zone.each(|more| more.ns = Ok(reply("@ NS ns1\n@ NS ns2\n@ NS ns.example.net."))),
        &[Kind::NsMissingAtParent],
    ),
    (
        "a server that the zone lacks",
        |zone| zone.each(|more| more.ns = Ok(reply("@ NS ns1"))),
        &[Kind::NsMissingInZone],
    ),
    (
        "a server elsewhere without address",
        |zone| {
            let resolved = Resolved {
                problem: Some(Problem::None("NXDOMAIN".into())),
                ..Resolved::default()
            };
            zone.resolved.insert(name("ns.example.net"), resolved);
        },
        &[Kind::NsUnresolvable],
    ),
    (
        "a server in the zone without address",
        |zone| {
            zone.each(|more| {
                let nothing = [Ok(reply("")), Ok(reply(""))];
                more.hosts.push((name("ns3.example.com"), nothing));
            });
        },
        &[Kind::NsUnresolvable],
    ),
    (
        "no resolver",
        |zone| {
            let resolved = Resolved {
                problem: Some(Problem::Silent),
                ..Resolved::default()
            };
            zone.resolved.insert(name("ns.example.net"), resolved);
        },
        &[Kind::ResolverSilent],
    ),
    (
        "an alias elsewhere",
        |zone| {
            let resolved = Resolved {
                addresses: vec!["192.0.2.1".parse().unwrap()],
                alias: Some(name("host.example.net")),
                problem: None,
            };
            zone.resolved.insert(name("ns.example.net"), resolved);
        },
        &[Kind::NsCname],
    ),
    (
        "an alias in the zone",
        |zone| {
            zone.each(|more| {
                let alias = || Ok(reply("ns3 CNAME ns1"));
                more.hosts
                    .push((name("ns3.example.com"), [alias(), alias()]));
            });
        },
        &[Kind::NsCname],
    ),
    (
        "no glue",
        |zone| {
            zone.delegation().glue.pop();
        },
        &[Kind::GlueMissing],
    ),
    (
        "other glue",
        |zone| zone.delegation().glue[1].1 = "198.51.100.2".parse().unwrap(),
        &[Kind::GlueDiffers],
    ),
    (
        "short TTLs",
        |zone| zone.each(|more| more.ns = Ok(reply("@ 60 NS ns1\n@ 60 NS ns2"))),
        &[Kind::DelegationTtl],
    ),
    (
        "one server",
        |zone| {
            zone.servers.pop();
            zone.delegation().servers.pop();
            zone.delegation().glue.pop();
            zone.each(|more| more.ns = Ok(reply("@ NS ns1")));
        },
        &[Kind::OneServer],
    ),
    (
        "one network",
        |zone| zone.servers[1].server.address = "192.0.2.2:53".parse().unwrap(),
        &[Kind::OneNetwork],
    ),
];

/// What is broken about servers.
const SERVERS: &[(&str, Break, &[Kind])] = &[
    (
        "silent",
        |zone| zone.second_answers(&Err(Failure::Silent)),
        &[Kind::NoAnswer],
    ),
    (
        "IPv6 without a route",
        |zone| {
            zone.servers[1].server.address = "[2001:db8::1]:53".parse().unwrap();
            zone.second_answers(&Err(Failure::NoRoute));
        },
        &[Kind::Unreachable],
    ),
    (
        "IPv6 that leads nowhere",
        |zone| {
            zone.servers[1].server.address = "[2001:db8::1]:53".parse().unwrap();
            zone.second_answers(&Err(Failure::Silent));
            zone.is_cut_off.v6 = true;
        },
        &[Kind::Unreachable],
    ),
    (
        "one IPv6 server silent",
        |zone| {
            zone.servers[1].server.address = "[2001:db8::1]:53".parse().unwrap();
            zone.second_answers(&Err(Failure::Silent));
        },
        &[Kind::NoAnswer],
    ),
    (
        "no TCP",
        |zone| zone.servers[1].tcp = Err(Failure::Silent),
        &[Kind::TcpBlocked],
    ),
    (
        "REFUSED",
        |zone| zone.second_answers(&Ok(refusal(Rcode::Refused))),
        &[Kind::Lame],
    ),
    (
        "SERVFAIL",
        |zone| zone.second_answers(&Ok(refusal(Rcode::ServFail))),
        &[Kind::Lame],
    ),
    (
        "no AA",
        |zone| {
            let mut recursive = reply(SOA);
            recursive.is_authoritative = false;
            zone.second_answers(&Ok(recursive));
        },
        &[Kind::Lame],
    ),
    (
        "a large answer that does not arrive",
        |zone| zone.more(1).long.usual = Err(Failure::Silent),
        &[Kind::LargeAnswers],
    ),
    (
        "a large answer that stays truncated",
        |zone| {
            let mut truncated = reply("");
            truncated.is_truncated = true;
            zone.more(1).long.usual = Ok(truncated);
        },
        &[Kind::LargeAnswers],
    ),
    (
        "fragments that do not arrive",
        |zone| zone.more(1).long.large = Err(Failure::Silent),
        &[Kind::Fragments],
    ),
    (
        "more octets than asked for",
        |zone| zone.more(1).long.large.as_mut().unwrap().len = 5000,
        &[Kind::PayloadExceeded],
    ),
    (
        "an old serial",
        |zone| zone.servers[1].soa = Ok(reply("@ SOA ns1 hostmaster 6 1h 15m 1w 5m")),
        &[Kind::SerialDiffers],
    ),
    (
        "other NS records",
        |zone| zone.more(1).ns = Ok(reply("@ NS ns1")),
        &[Kind::NsDiffers, Kind::NsDiffers],
    ),
    (
        "no OPT",
        |zone| zone.servers[1].soa.as_mut().unwrap().edns = None,
        &[Kind::NoEdns],
    ),
    (
        "silence to an OPT",
        |zone| zone.servers[1].soa = Err(Failure::Silent),
        &[Kind::NoEdns],
    ),
    (
        "FORMERR to an OPT",
        |zone| zone.servers[1].soa = Ok(refusal(Rcode::FormErr)),
        &[Kind::NoEdns],
    ),
    (
        "silence without an OPT",
        |zone| zone.servers[1].plain = Err(Failure::Silent),
        &[Kind::PlainDns],
    ),
    (
        "an unknown version answered",
        |zone| zone.more(1).version = Ok(reply(SOA)),
        &[Kind::EdnsVersion],
    ),
    (
        "FORMERR to an unknown option",
        |zone| zone.more(1).option = Ok(refusal(Rcode::FormErr)),
        &[Kind::EdnsOption],
    ),
    (
        "an unknown option sent back",
        |zone| {
            let reply = zone.more(1).option.as_mut().unwrap();
            reply.edns.as_mut().unwrap().has_unknown = true;
        },
        &[Kind::EdnsOption],
    ),
    (
        "lower case",
        |zone| zone.servers[1].soa.as_mut().unwrap().keeps_case = false,
        &[Kind::CaseChanged],
    ),
    (
        "no cookie",
        |zone| zone.more(1).cookie = Ok(reply(SOA)),
        &[Kind::NoCookies],
    ),
    (
        "a clock ahead",
        |zone| zone.more(1).cookie = Ok(cookie(now() as u32 + 11)),
        &[Kind::Clock],
    ),
    (
        "a clock a little behind",
        |zone| zone.more(1).cookie = Ok(cookie(now() as u32 - 9)),
        &[],
    ),
    (
        "a transfer",
        |zone| zone.more(1).transfer = Ok(reply(SOA)),
        &[Kind::TransferOpen],
    ),
];

/// What is broken about answers by client network.
const SUBNETS: &[(&str, Break, &[Kind])] = &[
    (
        "another address",
        |zone| zone.more(1).subnets[0] = subnet_answer(FRANCE, "203.0.113.3", 24),
        &[Kind::AnswersDiffer],
    ),
    (
        "silence to a client subnet",
        |zone| zone.more(1).subnets[0].asked = Err(Failure::Silent),
        &[Kind::EcsSilent],
    ),
    (
        "one server without ECS",
        |zone| {
            for answer in &mut zone.more(1).subnets {
                answer.asked = Ok(reply("www A 203.0.113.1"));
            }
        },
        &[Kind::EcsMissing],
    ),
    (
        "one server without ECS, of a name that is not steered",
        |zone| {
            let answer = |subnet| subnet_answer(subnet, "203.0.113.1", 0);
            zone.more(0).subnets = vec![answer(FRANCE), answer(JAPAN)];
            zone.more(1).subnets = vec![answer(FRANCE), answer(JAPAN)];
            for answer in &mut zone.more(1).subnets {
                answer.asked = Ok(reply("www A 203.0.113.1"));
            }
        },
        &[],
    ),
    (
        "no ECS at all",
        |zone| {
            zone.each(|more| {
                for answer in &mut more.subnets {
                    answer.asked = Ok(reply("www A 203.0.113.1"));
                }
            });
        },
        &[Kind::EcsUnused],
    ),
    (
        "no ECS, of a name that is known to be steered",
        |zone| {
            zone.steered = vec![name("www.example.com")];
            zone.each(|more| {
                for answer in &mut more.subnets {
                    answer.asked = Ok(reply("www A 203.0.113.1"));
                }
            });
        },
        &[Kind::EcsMissing],
    ),
    (
        "another subnet back",
        |zone| {
            let reply = zone.more(1).subnets[0].asked.as_mut().unwrap();
            let echo = reply.edns.as_mut().unwrap().subnet.as_mut().unwrap();
            echo.subnet = "90.63.0.0/16".parse().unwrap();
        },
        &[Kind::EcsEcho],
    ),
    (
        "scope 0 with two answers",
        |zone| zone.each(|more| more.subnets[0] = subnet_answer(FRANCE, "203.0.113.1", 0)),
        &[Kind::EcsScope],
    ),
    (
        "no address for a network",
        |zone| {
            zone.each(|more| {
                let answer = more.subnets[1].asked.as_mut().unwrap();
                answer.answer.clear();
            });
        },
        &[Kind::NoAddress],
    ),
    (
        "an alias instead of addresses",
        |zone| {
            zone.each(|more| {
                let answer = more.subnets[1].asked.as_mut().unwrap();
                answer.answer = records("www CNAME host.example.net.");
            });
        },
        &[],
    ),
];

/// What is broken about signatures.
const SIGNATURES: &[(&str, Break, &[Kind])] = &[
    (
        "DS and no keys",
        |zone| {
            zone.sign(SIGNED[0]);
            zone.each(|more| more.dnskey = Ok(reply("")));
        },
        &[Kind::DsWithoutDnskey],
    ),
    (
        "DS of another key",
        |zone| {
            zone.sign(SIGNED[1]);
            let ds = zone.delegation().ds.clone();
            zone.sign(SIGNED[0]);
            zone.delegation().ds = ds;
        },
        &[Kind::DsMismatch],
    ),
    (
        "DS with a digest that is unknown, of another key",
        |zone| {
            zone.sign(SIGNED[0]);
            zone.delegation().ds[0].rdata[3] = 3;
        },
        &[],
    ),
    (
        "no DS",
        |zone| {
            zone.sign(SIGNED[0]);
            zone.delegation().ds.clear();
        },
        &[Kind::DnskeyWithoutDs],
    ),
    (
        "no signature",
        |zone| {
            zone.sign(SIGNED[0]);
            zone.more(1).signed_soa = Ok(reply(SOA));
        },
        &[Kind::SignatureMissing],
    ),
    (
        "ended",
        |zone| {
            zone.sign(SIGNED[0]);
            zone.now += 20 * 86_400;
        },
        &[Kind::SignatureExpired],
    ),
    (
        "ends tomorrow",
        |zone| {
            zone.sign(SIGNED[0]);
            zone.now += 15 * 86_400;
        },
        &[Kind::SignatureEnds],
    ),
    (
        "not begun",
        |zone| {
            zone.sign(SIGNED[0]);
            zone.now -= 20 * 86_400;
        },
        &[Kind::SignatureEarly],
    ),
    (
        "of another content",
        |zone| {
            zone.sign(SIGNED[0]);
            zone.each(|more| {
                let soa = &mut more.signed_soa.as_mut().unwrap().answer[0];
                soa.rdata[20] ^= 1;
            });
        },
        &[Kind::SignatureWrong],
    ),
];

#[test]
fn each_fault_is_found_once_and_nothing_else() {
    let mut found: BTreeSet<Kind> = BTreeSet::new();
    for (row, change, expected) in [DELEGATIONS, SERVERS, SUBNETS, SIGNATURES].concat() {
        let mut evidence = healthy();
        change(&mut evidence);
        assert_eq!(kinds(&evidence), expected, "{row}");
        found.extend(expected.iter());
    }
    let missing: Vec<_> = Kind::ALL
        .iter()
        .filter(|kind| !found.contains(kind))
        .collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}

#[test]
fn the_same_at_several_servers_is_one_finding() {
    let mut evidence = healthy();
    evidence.each(|more| more.transfer = Ok(reply(SOA)));
    let expected = Finding::Of {
        kind: Kind::TransferOpen,
        servers: vec![
            "ns1.example.com (192.0.2.1)".into(),
            "ns2.example.com (198.51.100.1)".into(),
        ],
        message: "AXFR is answered with the zone".into(),
    };
    assert_eq!(judge(&evidence)[0], expected);
}

/// A response for the SOA of example.com with these records at its name: types, and data that may be broken.
fn message(asked: &[u8], records: &[(RrType, Vec<u8>)]) -> Vec<u8> {
    let mut message = asked[..2].to_vec();
    message.extend([0x84, 0, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    message.extend(&asked[12..asked.len() - 11]);
    for (rtype, rdata) in records {
        message.extend([0xC0, 12]);
        message.extend(rtype.0.to_be_bytes());
        message.extend([0, 1, 0, 0, 14, 16]);
        message.extend((rdata.len() as u16).to_be_bytes());
        message.extend(rdata);
    }
    message
}

fn some_record() -> impl Strategy<Value = (RrType, Vec<u8>)> {
    let types = vec![
        RrType::SOA,
        RrType::NS,
        RrType::A,
        RrType::CNAME,
        RrType::DS,
        RrType::DNSKEY,
        RrType::RRSIG,
    ];
    // Signatures whose signer is the root get further than others.
    let rrsig = vec(any::<u8>(), 18..60).prop_map(|mut rdata| {
        rdata[..4].copy_from_slice(&[0, 48, 8, 2]);
        rdata.insert(18, 0);
        (RrType::RRSIG, rdata)
    });
    let other = (select(types), vec(any::<u8>(), 0..80));
    prop_oneof![1 => rrsig, 3 => other]
}

proptest! {
    #[test]
    fn no_response_makes_it_panic(records in vec(some_record(), 0..6), cut in 29..600_usize) {
        let question = Question::new(&name("example.com"), RrType::SOA, Edns::default());
        let asked = question.to_wire(7);
        let mut message = message(&asked, &records);
        message.truncate(cut);
        let Some(reply) = Reply::read(&message, &asked) else {
            return Ok(());
        };
        let mut evidence = healthy();
        evidence.delegation().ds.clone_from(&reply.answer);
        evidence.second_answers(&Ok(reply.clone()));
        evidence.each(|more| {
            more.ns = Ok(reply.clone());
            more.signed_soa = Ok(reply.clone());
            more.dnskey = Ok(reply.clone());
            more.cookie = Ok(reply.clone());
            more.subnets[0].asked = Ok(reply.clone());
            more.hosts[0].1 = [Ok(reply.clone()), Ok(reply.clone())];
        });
        let _ = judge(&evidence);
    }
}
