//! How servers treat EDNS, names, cookies and transfers, and what their clocks say.

use crate::base::rr::Rcode;
use crate::doctor::finding::Findings;
use crate::doctor::finding::Kind;
use crate::doctor::judge::Evidence;
use crate::doctor::server::Answers;
use crate::doctor::server::MoreAnswers;

/// How far a server's clock may be from ours, in seconds: the answer's way, and both clocks' error.
const MAX_CLOCK_ERROR: i64 = 10;

/// Judges all of it.
pub fn judge(evidence: &Evidence, findings: &mut Findings) {
    let mut n = 0;
    for server in evidence.authoritative() {
        let label = server.server.label();
        basics(&label, server, findings);
        if let Some(more) = &server.more {
            n += 1;
            edns(&label, more, findings);
            cookie(&label, more, findings);
            transfer(&label, more, findings);
        }
    }
    let kinds = [
        Kind::NoEdns,
        Kind::EdnsVersion,
        Kind::EdnsOption,
        Kind::PlainDns,
        Kind::CaseChanged,
    ];
    if n > 0 && !findings.has(&kinds) {
        findings.fine(
            "edns: unknown versions and options, plain DNS and the case of names are treated well",
        );
    }
}

/// With EDNS and without.
fn basics(label: &str, server: &Answers, findings: &mut Findings) {
    match (&server.soa, &server.plain) {
        (Ok(reply), _) if reply.is_ok() && reply.edns.is_none() => {
            findings.add_at(Kind::NoEdns, label, "answers without OPT");
        }
        (Ok(reply), Ok(plain)) if !reply.is_ok() && plain.is_ok() => {
            let message = format!("answers {} to a question with OPT", reply.rcode_text());
            findings.add_at(Kind::NoEdns, label, message);
        }
        (Err(failure), Ok(_)) => {
            findings.add_at(
                Kind::NoEdns,
                label,
                format!("{failure} to a question with OPT"),
            );
        }
        (Ok(_), Err(failure)) => {
            findings.add_at(
                Kind::PlainDns,
                label,
                format!("{failure} to a question without OPT"),
            );
        }
        (Ok(_), Ok(reply)) if !reply.is_ok() => {
            let message = format!("answers {} to a question without OPT", reply.rcode_text());
            findings.add_at(Kind::PlainDns, label, message);
        }
        _ => {}
    }
    if server.reply().is_some_and(|reply| !reply.keeps_case) {
        findings.add_at(Kind::CaseChanged, label, "the name came back in other case");
    }
}

fn edns(label: &str, more: &MoreAnswers, findings: &mut Findings) {
    let seen = match &more.version {
        Ok(reply) if reply.rcode == Rcode::BadVers as u16 => None,
        Ok(reply) => Some(format!("answers {}", reply.rcode_text())),
        Err(failure) => Some(failure.to_string()),
    };
    if let Some(seen) = seen {
        findings.add_at(Kind::EdnsVersion, label, format!("{seen} to version 100"));
    }
    let seen = match &more.option {
        Ok(reply) if !reply.is_ok() => format!("answers {}", reply.rcode_text()),
        Ok(reply) if reply.edns.as_ref().is_some_and(|edns| edns.has_unknown) => {
            "sends the option back".into()
        }
        Ok(_) => return,
        Err(failure) => failure.to_string(),
    };
    findings.add_at(
        Kind::EdnsOption,
        label,
        format!("{seen}, to a question with an unknown option"),
    );
}

fn cookie(label: &str, more: &MoreAnswers, findings: &mut Findings) {
    let edns = more
        .cookie
        .as_ref()
        .ok()
        .and_then(|reply| reply.edns.as_ref());
    let Some(cookie) = edns.and_then(|edns| edns.cookie.as_ref()) else {
        findings.add_at(Kind::NoCookies, label, "no server cookie in the answer");
        return;
    };
    let Some(made) = made_at(cookie) else { return };
    // Seconds since 1970 modulo 2^32, near to our own.
    let off = i64::from(made.wrapping_sub(more.cookie_at as u32).cast_signed());
    if off.abs() > MAX_CLOCK_ERROR {
        let way = if off > 0 { "ahead of" } else { "behind" };
        let message = format!("its clock is {} s {way} this machine's", off.abs());
        findings.add_at(Kind::Clock, label, message);
    }
}

/// When a server cookie of version 1 was made (RFC 9018 s4).
fn made_at(cookie: &[u8]) -> Option<u32> {
    let cookie: &[u8; 16] = cookie.try_into().ok()?;
    let (head, rest) = cookie.split_first_chunk::<4>()?;
    let time = rest.first_chunk::<4>()?;
    (head[0] == 1).then(|| u32::from_be_bytes(*time))
}

fn transfer(label: &str, more: &MoreAnswers, findings: &mut Findings) {
    if let Ok(reply) = &more.transfer
        && reply.is_ok()
        && !reply.answer.is_empty()
    {
        findings.add_at(Kind::TransferOpen, label, "AXFR is answered with the zone");
    }
}
