//! Any zone and any names: answers are sound, the same over UDP and TCP unless cut, and the same in any
//! case.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use meridian::base::name::Name;
use meridian::base::rr::RrType;
use meridian::base::transport::Transport;
use meridian_fuzz::ask;
use meridian_fuzz::check;
use meridian_fuzz::snapshot;
use meridian_fuzz::support;

/// A few labels, so that names meet.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Label {
    A,
    B,
    Wildcard,
    Long,
}

impl Label {
    fn text(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::Wildcard => "*",
            Self::Long => "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij123",
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    A,
    Aaaa,
    Cname,
    Dname,
    Ds,
    Mx,
    Ns,
    Srv,
    Txt,
}

impl Kind {
    fn text(self, target: &str) -> String {
        match self {
            Self::A => "A 192.0.2.1".into(),
            Self::Aaaa => "AAAA 2001:db8::1".into(),
            Self::Cname => format!("CNAME {target}"),
            Self::Dname => format!("DNAME {target}"),
            Self::Ds => "DS 1 8 2 00".into(),
            Self::Mx => format!("MX 1 {target}"),
            Self::Ns => format!("NS {target}"),
            Self::Srv => format!("SRV 1 2 3 {target}"),
            Self::Txt => "TXT \"some text\"".into(),
        }
    }

    fn rtype(self) -> RrType {
        match self {
            Self::A => RrType::A,
            Self::Aaaa => RrType::AAAA,
            Self::Cname => RrType::CNAME,
            Self::Dname => RrType(39),
            Self::Ds => RrType::DS,
            Self::Mx => RrType::MX,
            Self::Ns => RrType::NS,
            Self::Srv => RrType(33),
            Self::Txt => RrType::TXT,
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Input {
    records: Vec<(Vec<Label>, Kind, Vec<Label>)>,
    questions: Vec<(Vec<Label>, Kind)>,
}

fn name(labels: &[Label]) -> String {
    let labels: Vec<_> = labels.iter().take(5).map(|label| label.text()).collect();
    match labels.is_empty() {
        true => "@".into(),
        false => labels.join("."),
    }
}

fuzz_target!(|input: Input| {
    let mut text = "$TTL 60\n@ SOA a b 1 1 1 1 1\n@ NS a\na A 192.0.2.9\n".to_owned();
    for (owner, kind, target) in input.records.iter().take(32) {
        text += &format!("{} {}\n", name(owner), kind.text(&name(target)));
    }
    let Some(snapshot) = snapshot(&[("z.test", &text)], "") else {
        return;
    };
    for (qname, kind) in input.questions.iter().take(16) {
        let qname = match &*name(qname) {
            "@" => "z.test".to_owned(),
            labels => format!("{labels}.z.test"),
        };
        if Name::parse(&qname).is_err() {
            continue;
        }
        let ask_as = |qname: &str, transport| {
            let qname = Name::parse(qname).expect("a name");
            let query = support::query(&qname, kind.rtype(), Some(1232), None);
            let response = ask(&snapshot, transport, &query);
            check(transport, &query, &response);
            assert!(matches!(response[3] & 15, 0 | 3 | 6), "{qname} RCODE");
            response
        };
        let [udp, tcp] = [Transport::Udp, Transport::Tcp].map(|over| ask_as(&qname, over));
        if udp[2] & 2 == 0 && udp.len() < 1100 {
            assert_eq!(udp, tcp, "{qname} over UDP and TCP");
        }
        let shouted = ask_as(&qname.to_uppercase(), Transport::Tcp);
        assert!(shouted.eq_ignore_ascii_case(&tcp), "{qname} in capitals");
    }
});
