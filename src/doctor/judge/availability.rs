//! Whether each server answers for the zone: over UDP, over TCP, and answers of every size.

use crate::base::prefix::Family;
use crate::doctor::ask::Failure;
use crate::doctor::finding::Findings;
use crate::doctor::finding::Kind;
use crate::doctor::judge::Evidence;
use crate::doctor::message::LARGE_PAYLOAD;
use crate::doctor::message::PAYLOAD;
use crate::doctor::message::Reply;
use crate::doctor::server::Answers;
use crate::doctor::server::LargeAnswer;

/// The longest UDP payload that an Ethernet frame carries in one piece, over IPv4.
const MAX_UNFRAGMENTED: usize = 1472;

/// Judges all of it.
pub fn judge(evidence: &Evidence, findings: &mut Findings) {
    let (unreachable, others): (Vec<_>, Vec<_>) = evidence
        .servers
        .iter()
        .partition(|server| evidence.is_unreachable(server));
    for server in others {
        one(evidence, server, findings);
    }
    for server in &unreachable {
        let (address, label) = (server.server.address.ip(), server.server.label());
        let why = match server.soa == Err(Failure::NoRoute) {
            true => "it has no route there".into(),
            false => format!("no {} server answers it", Family::of(address)),
        };
        let message = format!("cannot judge from this machine: {why}");
        findings.add_at(Kind::Unreachable, &label, message);
    }
    let n = evidence.authoritative().count();
    let n_unreachable = unreachable.len();
    if n > 0 && n + n_unreachable == evidence.servers.len() {
        let servers = match n {
            1 => "1 server".into(),
            n => format!("{n} servers"),
        };
        findings.fine(format!("authority: {servers} with authority over UDP"));
        let kinds = [
            Kind::TcpBlocked,
            Kind::LargeAnswers,
            Kind::Fragments,
            Kind::PayloadExceeded,
        ];
        if !findings.has(&kinds) {
            findings.fine(format!("transport: {servers} over TCP, and large answers"));
        }
    }
}

fn one(evidence: &Evidence, server: &Answers, findings: &mut Findings) {
    let label = server.server.label();
    let Some(reply) = server.reply() else {
        let failure = server.soa.as_ref().err();
        let why = failure.map_or_else(String::new, ToString::to_string);
        let tcp = match server.tcp.is_ok() {
            true => "; it answers over TCP",
            false => "",
        };
        findings.add_at(Kind::NoAnswer, &label, format!("{why} over UDP{tcp}"));
        return;
    };
    if let Err(failure) = &server.tcp {
        findings.add_at(Kind::TcpBlocked, &label, format!("{failure} over TCP"));
    }
    if !server.is_authoritative(&evidence.zone) {
        findings.add_at(Kind::Lame, &label, lameness(reply));
    }
    if let Some(more) = &server.more {
        large(&label, &more.long, findings);
    }
}

/// Why an answer shows that its server does not serve the zone.
fn lameness(reply: &Reply) -> String {
    if !reply.is_ok() {
        return format!("answers {}", reply.rcode_text());
    }
    match reply.is_authoritative {
        false => "answers without authority (no AA)".into(),
        true => "answers without the zone's SOA".into(),
    }
}

fn large(label: &str, answer: &LargeAnswer, findings: &mut Findings) {
    let LargeAnswer {
        rtype,
        usual,
        large,
    } = answer;
    match usual {
        Err(failure) => {
            findings.add_at(
                Kind::LargeAnswers,
                label,
                format!("{failure} to a question for {rtype} of {PAYLOAD} octets"),
            );
            return;
        }
        // Truncated still: TCP did not bring the rest.
        Ok(reply) if reply.is_truncated => {
            findings.add_at(
                Kind::LargeAnswers,
                label,
                format!("the answer for {rtype} is truncated over UDP, and does not come over TCP"),
            );
        }
        Ok(_) => {}
    }
    match large {
        Err(failure) => findings.add_at(
            Kind::Fragments,
            label,
            format!("{failure} to a question for {rtype} of {LARGE_PAYLOAD} octets"),
        ),
        Ok(reply) if reply.len > usize::from(LARGE_PAYLOAD) => {
            let message = format!("{} octets for {LARGE_PAYLOAD}", reply.len);
            findings.add_at(Kind::PayloadExceeded, label, message);
        }
        Ok(reply) if reply.len > MAX_UNFRAGMENTED => {
            findings.fine(format!(
                "fragments: an answer of {} octets arrives from {label}",
                reply.len
            ));
        }
        Ok(_) => {}
    }
}
