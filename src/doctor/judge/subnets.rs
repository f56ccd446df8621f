//! Answers by client network: whether servers agree, and whether their ECS options are right.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::name::Name;
use crate::base::prefix::Prefix;
use crate::base::rr::RrType;
use crate::doctor::finding::Findings;
use crate::doctor::finding::Kind;
use crate::doctor::judge::Evidence;
use crate::doctor::judge::list;
use crate::doctor::message::Reply;
use crate::doctor::message::SubnetEcho;
use crate::doctor::server::Answers;
use crate::doctor::server::SubnetAnswer;

/// What was asked, and whether the answers are by client subnet: of a steered name, those that are not are judged by
/// that alone.
type Asked<'a> = (&'a Name, RrType, Prefix, bool);

/// The answers to one question, and who gives each.
type ByAnswer = BTreeMap<BTreeSet<String>, Vec<String>>;

/// Whether servers give different addresses for the same question.
pub fn differ(servers: &[Answers]) -> bool {
    different(servers, &[]).next().is_some()
}

/// Judges all of it.
pub fn judge(evidence: &Evidence, findings: &mut Findings) {
    let n_servers = evidence.authoritative().count();
    if n_servers == 0 {
        return;
    }
    // While serials differ, so may answers.
    if !findings.has(&[Kind::SerialDiffers]) {
        agreement(evidence, findings);
    }
    options(evidence, findings);
    for server in evidence.authoritative() {
        scopes(server, findings);
    }
    presence(evidence, findings);
    let kinds = [
        Kind::AnswersDiffer,
        Kind::EcsSilent,
        Kind::EcsMissing,
        Kind::EcsEcho,
        Kind::EcsScope,
        Kind::EcsUnused,
    ];
    if !findings.has(&kinds) {
        findings.fine("ecs: client subnets come back, with scopes that fit the answers");
    }
    if n_servers > 1 && !findings.has(&[Kind::AnswersDiffer, Kind::SerialDiffers]) {
        findings.fine("answers: all servers give the same addresses for each client network");
    }
}

fn answers_of(server: &Answers) -> impl Iterator<Item = (&SubnetAnswer, &Reply)> {
    let answers = server.more.iter().flat_map(|more| &more.subnets);
    answers.filter_map(|answer| Some((answer, answer.asked.as_ref().ok()?)))
}

/// The names that are known to be steered, and those whose answers depend on the client's network at some server.
fn steered_names(servers: &[Answers], known: &[Name]) -> BTreeSet<Name> {
    let mut steered: BTreeSet<Name> = known.iter().cloned().collect();
    for server in servers {
        let mut first: BTreeMap<(&Name, RrType), BTreeSet<String>> = BTreeMap::new();
        for (answer, reply) in answers_of(server) {
            let leads_to = reply.leads_to();
            let first = first
                .entry((&answer.name, answer.rtype))
                .or_insert_with(|| leads_to.clone());
            if *first != leads_to {
                steered.insert(answer.name.clone());
            }
        }
    }
    steered
}

/// The questions that servers answer differently, with each answer and who gives it.
fn different<'a>(
    servers: &'a [Answers],
    steered: &[Name],
) -> impl Iterator<Item = (Asked<'a>, ByAnswer)> {
    let steered = steered_names(servers, steered);
    let mut by_question: BTreeMap<Asked<'_>, ByAnswer> = BTreeMap::new();
    for server in servers {
        for (answer, reply) in answers_of(server) {
            let is_blind = echo(reply).is_none() && steered.contains(&answer.name);
            let asked = (&answer.name, answer.rtype, answer.subnet, is_blind);
            let by_answer = by_question.entry(asked).or_default();
            let labels = by_answer.entry(reply.leads_to()).or_default();
            labels.push(server.server.label());
        }
    }
    let is_different = |(_, answers): &(Asked<'_>, ByAnswer)| answers.len() > 1;
    by_question.into_iter().filter(is_different)
}

/// The first question about each name that is answered differently, and how many there are.
fn agreement(evidence: &Evidence, findings: &mut Findings) {
    let mut by_name: BTreeMap<&Name, Vec<_>> = BTreeMap::new();
    for (asked, answers) in different(&evidence.servers, &evidence.steered) {
        by_name.entry(asked.0).or_default().push((asked, answers));
    }
    for (name, mut questions) in by_name {
        let n = questions.len();
        let ((_, rtype, subnet, _), answers) = questions.swap_remove(0);
        let answers: Vec<String> = answers
            .into_iter()
            .map(|(addresses, servers)| format!("{} from {}", list(addresses), servers.join(", ")))
            .collect();
        let more = match n {
            1 => String::new(),
            2 => "; and another question".into(),
            n => format!("; and {} other questions", n - 1),
        };
        findings.add(
            Kind::AnswersDiffer,
            format!(
                "{} {rtype} for {subnet}: {}{more}",
                name.plain(),
                answers.join("; ")
            ),
        );
    }
}

/// Whether the options of questions come back.
fn options(evidence: &Evidence, findings: &mut Findings) {
    let echoes = |server: &Answers| answers_of(server).any(|(_, reply)| echo(reply).is_some());
    let some_echo = evidence.authoritative().any(echoes);
    let steered = steered_names(&evidence.servers, &evidence.steered);
    for server in evidence.authoritative() {
        let label = server.server.label();
        let answers = server.more.iter().flat_map(|more| &more.subnets);
        for (answer, failure) in answers.filter_map(|it| Some((it, it.asked.as_ref().err()?))) {
            let message = format!("{failure} to a question for clients in {}", answer.subnet);
            findings.add_at(Kind::EcsSilent, &label, message);
        }
        for (answer, reply) in answers_of(server) {
            match echo(reply) {
                Some(echo) if echo.subnet == answer.subnet => {}
                Some(echo) => {
                    let message = format!("{} came back as {}", answer.subnet, echo.subnet);
                    findings.add_at(Kind::EcsEcho, &label, message);
                }
                None if steered.contains(&answer.name) => {
                    let message =
                        format!("no client subnet in answers for {}", answer.name.plain());
                    findings.add_at(Kind::EcsMissing, &label, message);
                }
                None => {}
            }
        }
    }
    if !some_echo && !findings.has(&[Kind::EcsMissing]) {
        findings.add(Kind::EcsUnused, "no client subnet in any answer");
    }
}

fn echo(reply: &Reply) -> Option<SubnetEcho> {
    reply.edns.as_ref()?.subnet
}

/// Whether an answer says that it holds for a network whose clients got another one.
fn scopes(server: &Answers, findings: &mut Findings) {
    let answers: Vec<_> = answers_of(server)
        .filter_map(|(answer, reply)| Some((answer, reply, echo(reply)?.scope)))
        .collect();
    for (answer, reply, scope) in &answers {
        // What is shared cannot be narrower than what was asked for.
        let holds = answer.subnet.truncated(*scope);
        let other = answers.iter().find(|(other, other_reply, _)| {
            (&other.name, other.rtype) == (&answer.name, answer.rtype)
                && holds.covers(other.subnet)
                && other_reply.leads_to() != reply.leads_to()
        });
        if let Some((other, other_reply, _)) = other {
            let message = format!(
                "{} {}: {} for {}, with scope /{scope}, but {} for {}",
                answer.name.plain(),
                answer.rtype,
                list(reply.leads_to()),
                answer.subnet,
                list(other_reply.leads_to()),
                other.subnet,
            );
            findings.add_at(Kind::EcsScope, &server.server.label(), message);
            // One is enough to show it.
            return;
        }
    }
}

/// Whether names have an address for every network.
fn presence(evidence: &Evidence, findings: &mut Findings) {
    for server in evidence.authoritative() {
        let mut found: BTreeMap<(&Name, Prefix), (bool, String)> = BTreeMap::new();
        for (answer, reply) in answers_of(server) {
            let entry = found.entry((&answer.name, answer.subnet)).or_default();
            entry.0 |= !reply.leads_to().is_empty();
            entry.1 = reply.rcode_text();
        }
        // An apex without addresses is usual, unless it is steered.
        let is_judged = |name: &Name| *name != evidence.zone || evidence.steered.contains(name);
        let mut without: BTreeMap<&Name, (Vec<Prefix>, String)> = BTreeMap::new();
        for ((name, subnet), (has_address, rcode)) in found {
            if !has_address && is_judged(name) {
                let entry = without.entry(name).or_default();
                entry.0.push(subnet);
                entry.1 = rcode;
            }
        }
        for (name, (subnets, rcode)) in without {
            let message = format!(
                "{}: {rcode} without an address for {}",
                name.plain(),
                list(subnets)
            );
            findings.add_at(Kind::NoAddress, &server.server.label(), message);
        }
    }
}
