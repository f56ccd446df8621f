//! The messages between machines: JSON with a version, written and read here and nowhere else.
//!
//! A report has parts of at most [`MAX_LEN`] octets, each of use alone: a receiver takes over the records that
//! a part holds, and those that are not repeated age. So nothing is put together again, and a lost part costs
//! one interval. Fields that a release adds are ignored by those before; what they would misread needs a new
//! version. Every length is bounded before anything is believed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::per_family::PerFamily;
use crate::fleet::link::Kind;
use crate::health::overrides::Register;
use crate::health::report::EndpointReport;
use crate::health::report::Note;
use crate::health::report::VantageReport;
use crate::health::report::VerdictRecord;
use crate::live::fleet::Digests;
use crate::live::fleet::What;
use crate::state::spills::PoolShares;
use crate::steer::spread::Admission;
use crate::steer::spread::Admitted;

/// The version of the messages; others are dropped.
pub const VERSION: u32 = 1;

/// The longest message, in octets.
pub const MAX_LEN: usize = 256 * 1024;

/// The longest names of nodes and vantages, and the longest release number, in octets.
const MAX_NAME: usize = 64;

/// The longest name of a pool, in octets.
const MAX_POOL: usize = 255;

/// The longest reason, in characters.
const MAX_REASON: usize = 256;

/// The largest number of vantages of one machine.
const MAX_VANTAGES: usize = 64;

/// More than a message has beside its records, and a record beside texts of any length, in octets.
const MESSAGE_LEN: usize = 1024;
const RECORD_LEN: usize = 448;

/// The longest that JSON makes an octet of a text.
const ESCAPED: usize = 6;

/// One life of a process: later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Boot {
    /// When it started, in Unix milliseconds.
    pub started_ms: u64,
    /// A random number, so that two machines of one name are told apart.
    pub random: u32,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The machine's name.
    pub node: Box<str>,
    /// Its process.
    pub boot: Boot,
    /// The number of the message; those of one process increase.
    pub sequence: u64,
    /// When it was sent, in Unix milliseconds.
    pub sent_ms: u64,
    /// Its content.
    pub body: Body,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// What vantages see.
    Report(Report),
    /// Overrides.
    Registers(Vec<Register>),
}

/// What the vantages of a machine see, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The release that it runs.
    pub version: Box<str>,
    /// What it has.
    pub digests: Digests,
    /// Its vantages, named NODE or NODE/NAME.
    pub vantages: Vec<VantageReport>,
    /// The shares of their clients that pools take; empty from a machine that could not lead.
    pub shares: PoolShares,
}

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unreadable {
    /// It is not what this version's messages are, or breaks their bounds.
    Malformed,
    /// It is longer than [`MAX_LEN`].
    Oversized,
    /// It has another version.
    UnknownVersion,
}

#[derive(Serialize, Deserialize)]
struct Wire<T> {
    v: u32,
    node: Box<str>,
    boot: Boot,
    sequence: u64,
    sent_ms: u64,
    body: T,
}

#[derive(Serialize, Deserialize)]
struct WireReport {
    version: Box<str>,
    /// In hexadecimal.
    digests: BTreeMap<Box<str>, Box<str>>,
    vantages: Vec<WireVantage>,
    pools: Vec<WirePool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    shares: Vec<WireShare>,
}

/// The shares of its clients that a pool takes, from 0 to 1.
#[derive(Serialize, Deserialize)]
struct WireShare {
    pool: Box<str>,
    own: f64,
    guests: f64,
}

#[derive(Serialize, Deserialize)]
struct WireVantage {
    /// `None`: the machine's own.
    name: Option<Box<str>>,
    blind_ipv4: bool,
    blind_ipv6: bool,
}

#[derive(Serialize, Deserialize)]
struct WirePool {
    pool: Box<str>,
    endpoints: Vec<WireEndpoint>,
}

#[derive(Serialize, Deserialize)]
struct WireEndpoint {
    address: IpAddr,
    /// The index of the vantage.
    vantage: usize,
    /// In hexadecimal.
    check: Box<str>,
    record: VerdictRecord,
}

#[derive(Serialize, Deserialize)]
struct WireRegisters {
    registers: Vec<Register>,
}

/// Who writes messages.
#[derive(Clone, Debug)]
pub struct Writer {
    node: Box<str>,
    boot: Boot,
    sequence: u64,
}

impl Writer {
    /// For one life of a process.
    pub fn new(node: &str, boot: Boot) -> Self {
        Self {
            node: node.into(),
            boot,
            sequence: 0,
        }
    }

    /// A report in as many parts as it takes. Its vantages have the names that they have on this machine.
    pub fn report(&mut self, report: &Report, sent_ms: u64) -> Vec<Vec<u8>> {
        let vantages = &report.vantages[..report.vantages.len().min(MAX_VANTAGES)];
        let records = vantages.iter().enumerate().flat_map(|(index, vantage)| {
            let endpoints = vantage.endpoints.iter();
            endpoints.map(move |endpoint| (index, endpoint))
        });
        let mut parts = Vec::new();
        let (mut part, mut len) = (Part::default(), MESSAGE_LEN);
        for (vantage, endpoint) in records {
            let reason = endpoint.record.last_failure.as_ref();
            let texts = reason.map_or(0, |note| note.reason.len()) + endpoint.pool.len();
            let record_len = RECORD_LEN + texts * ESCAPED;
            if len + record_len > MAX_LEN {
                parts.push(std::mem::take(&mut part));
                len = MESSAGE_LEN;
            }
            len += record_len;
            let records = part.pools.entry(&endpoint.pool).or_default();
            records.push(WireEndpoint::of(vantage, endpoint, sent_ms));
        }
        for (pool, shares) in &report.shares {
            let record_len = RECORD_LEN + pool.len() * ESCAPED;
            if len + record_len > MAX_LEN {
                parts.push(std::mem::take(&mut part));
                len = MESSAGE_LEN;
            }
            len += record_len;
            part.shares.push(WireShare::of(pool, *shares));
        }
        if parts.is_empty() || !part.is_empty() {
            parts.push(part);
        }
        let digest = |what: What| {
            let digest = report.digests.of(what)?;
            Some((what.as_str().into(), hex(digest)))
        };
        let mut messages = Vec::new();
        for part in parts {
            let pools = part.pools.into_iter().map(|(pool, endpoints)| WirePool {
                pool: (&**pool).into(),
                endpoints,
            });
            let wire = WireReport {
                version: report.version.clone(),
                digests: What::ALL.into_iter().filter_map(digest).collect(),
                vantages: vantages
                    .iter()
                    .map(|v| WireVantage::of(v, &self.node))
                    .collect(),
                pools: pools.collect(),
                shares: part.shares,
            };
            messages.extend(self.write(wire, sent_ms));
        }
        messages
    }

    /// Registers in as many messages as they take; one without any if there are none.
    pub fn registers<'a>(
        &mut self,
        registers: impl Iterator<Item = &'a Register>,
        sent_ms: u64,
    ) -> Vec<Vec<u8>> {
        let (mut parts, mut len) = (vec![Vec::new()], MESSAGE_LEN);
        for register in registers {
            let reason = register
                .value
                .as_ref()
                .map_or(0, |value| value.reason.len());
            let register_len = RECORD_LEN + (register.pool.len() + reason) * ESCAPED;
            if len + register_len > MAX_LEN {
                parts.push(Vec::new());
                len = MESSAGE_LEN;
            }
            len += register_len;
            if let Some(part) = parts.last_mut() {
                part.push(register.clone());
            }
        }
        let messages = parts
            .into_iter()
            .filter_map(|registers| self.write(WireRegisters { registers }, sent_ms));
        messages.collect()
    }

    fn write(&mut self, body: impl Serialize, sent_ms: u64) -> Option<Vec<u8>> {
        self.sequence += 1;
        let wire = Wire {
            v: VERSION,
            node: self.node.clone(),
            boot: self.boot,
            sequence: self.sequence,
            sent_ms,
            body,
        };
        // Nothing that is written here can fail to become JSON.
        serde_json::to_vec(&wire).ok()
    }
}

/// What one message of a report holds.
#[derive(Default)]
struct Part<'a> {
    pools: BTreeMap<&'a Arc<str>, Vec<WireEndpoint>>,
    shares: Vec<WireShare>,
}

impl Part<'_> {
    fn is_empty(&self) -> bool {
        self.pools.is_empty() && self.shares.is_empty()
    }
}

impl WireShare {
    fn of(pool: &str, shares: Admission) -> Self {
        Self {
            pool: pool.into(),
            own: shares.own.ratio(),
            guests: shares.guests.ratio(),
        }
    }

    fn read(self) -> Option<(Box<str>, Admission)> {
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        let is_sound = is_text(&self.pool, MAX_POOL) && is_share(self.own) && is_share(self.guests);
        let shares = Admission {
            own: Admitted::from_ratio(self.own),
            guests: Admitted::from_ratio(self.guests),
        };
        is_sound.then_some((self.pool, shares))
    }
}

impl WireVantage {
    fn of(report: &VantageReport, node: &str) -> Self {
        Self {
            name: (*report.vantage != *node).then(|| (&*report.vantage).into()),
            blind_ipv4: report.is_blind.v4,
            blind_ipv6: report.is_blind.v6,
        }
    }

    fn read(self, node: &str) -> Option<VantageReport> {
        let vantage = match self.name {
            Some(name) if is_text(&name, MAX_NAME) => format!("{node}/{name}").into(),
            Some(_) => return None,
            None => node.into(),
        };
        Some(VantageReport {
            vantage,
            is_blind: PerFamily {
                v4: self.blind_ipv4,
                v6: self.blind_ipv6,
            },
            endpoints: Vec::new(),
        })
    }
}

impl WireEndpoint {
    fn of(vantage: usize, report: &EndpointReport, sent_ms: u64) -> Self {
        let mut record = report.record.clone();
        if let Some(Note { reason, .. }) = &mut record.last_failure
            && !is_text(reason, MAX_REASON)
        {
            let chars = reason.chars().filter(|c| !c.is_control());
            *reason = chars.take(MAX_REASON).collect::<String>().into();
        }
        // The clock may have been set back since.
        record.probed_ms = record.probed_ms.map(|probed| probed.min(sent_ms));
        Self {
            address: report.address,
            vantage,
            check: hex(report.check),
            record,
        }
    }
}

/// Reads a message of a kind.
///
/// # Errors
/// If it is not one.
pub fn read(kind: Kind, payload: &[u8]) -> Result<Message, Unreadable> {
    if payload.len() > MAX_LEN {
        return Err(Unreadable::Oversized);
    }
    match kind {
        Kind::Report => parse::<WireReport>(payload)?.read(WireReport::read),
        Kind::Override | Kind::Sync => {
            parse::<WireRegisters>(payload)?.read(|wire, _, _| wire.read())
        }
    }
    .ok_or(Unreadable::Malformed)
}

fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<Wire<T>, Unreadable> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let of_version = |v| match v {
        VERSION => Unreadable::Malformed,
        _ => Unreadable::UnknownVersion,
    };
    match serde_json::from_slice::<Wire<T>>(payload) {
        Ok(wire) if wire.v == VERSION => Ok(wire),
        Ok(wire) => Err(of_version(wire.v)),
        // Another version may have other fields.
        Err(_) => Err(serde_json::from_slice::<Version>(payload)
            .map_or(Unreadable::Malformed, |found| of_version(found.v))),
    }
}

impl<T> Wire<T> {
    fn read(self, body: impl FnOnce(T, &str, u64) -> Option<Body>) -> Option<Message> {
        if !is_node(&self.node) {
            return None;
        }
        Some(Message {
            body: body(self.body, &self.node, self.sent_ms)?,
            node: self.node,
            boot: self.boot,
            sequence: self.sequence,
            sent_ms: self.sent_ms,
        })
    }
}

impl WireReport {
    fn read(self, node: &str, sent_ms: u64) -> Option<Body> {
        if !is_text(&self.version, MAX_NAME) || self.vantages.len() > MAX_VANTAGES {
            return None;
        }
        let mut digests = [None; What::ALL.len()];
        for (digest, what) in digests.iter_mut().zip(What::ALL) {
            if let Some(text) = self.digests.get(what.as_str()) {
                *digest = Some(from_hex(text)?);
            }
        }
        let vantages = self.vantages.into_iter().map(|vantage| vantage.read(node));
        let mut vantages: Vec<VantageReport> = vantages.collect::<Option<_>>()?;
        for WirePool { pool, endpoints } in self.pools {
            if !is_text(&pool, MAX_POOL) {
                return None;
            }
            let pool: Arc<str> = pool.into();
            for endpoint in endpoints {
                let reason = endpoint.record.last_failure.as_ref();
                if reason.is_some_and(|note| !is_text(&note.reason, MAX_REASON)) {
                    return None;
                }
                let mut record = endpoint.record;
                record.probed_ms = record.probed_ms.map(|probed| probed.min(sent_ms));
                let vantage = vantages.get_mut(endpoint.vantage)?;
                vantage.endpoints.push(EndpointReport {
                    pool: Arc::clone(&pool),
                    address: endpoint.address,
                    check: from_hex(&endpoint.check)?,
                    record,
                });
            }
        }
        Some(Body::Report(Report {
            version: self.version,
            digests: Digests::from_fn(|what| digests[what as usize]),
            vantages,
            shares: self
                .shares
                .into_iter()
                .map(WireShare::read)
                .collect::<Option<_>>()?,
        }))
    }
}

impl WireRegisters {
    fn read(self) -> Option<Body> {
        let is_sound = |register: &Register| {
            let Register { pool, stamp, value } = register;
            let is_node = stamp.node.is_empty() || is_node(&stamp.node);
            let reason = value.as_ref().map_or("", |value| &value.reason);
            is_text(pool, MAX_POOL) && is_node && is_text(reason, MAX_REASON)
        };
        let is_sound = self.registers.iter().all(is_sound);
        is_sound.then_some(Body::Registers(self.registers))
    }
}

/// Whether a name is one token of a subject.
fn is_node(name: &str) -> bool {
    let is_token = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(is_token)
}

/// Whether a text is short enough, and safe to show on terminals and in logs.
fn is_text(text: &str, max: usize) -> bool {
    text.chars().count() <= max && !text.chars().any(char::is_control)
}

fn hex(value: u64) -> Box<str> {
    format!("{value:016x}").into()
}

fn from_hex(text: &str) -> Option<u64> {
    let is_hex = text.len() == 16 && text.bytes().all(|c| c.is_ascii_hexdigit());
    is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::base::health::Health;
    use crate::health::load::Load;
    use crate::health::overrides::Forced;
    use crate::health::overrides::Override;
    use crate::health::overrides::Stamp;

    const BOOT: Boot = Boot {
        started_ms: 1_700_000_000_000,
        random: 7,
    };

    fn text(max: usize) -> impl Strategy<Value = Box<str>> {
        vec(proptest::char::any(), 0..=max).prop_map(|chars| {
            let chars = chars.into_iter().filter(|c| !c.is_control());
            chars.collect::<String>().into()
        })
    }

    fn health() -> impl Strategy<Value = Health> {
        proptest::sample::select(Health::ALL.to_vec())
    }

    prop_compose! {
        fn endpoint()(
            pool in proptest::sample::select(vec!["us", "eu-west", "\"ünusual\""]),
            address in any::<IpAddr>(),
            check in any::<u64>(),
            (verdict, latest) in (health(), health()),
            since in option::of(any::<u64>()),
            run in any::<u32>(),
            failure in option::of((text(60), any::<u64>())),
            latency_us in option::of(any::<u64>()),
            probed_ms in option::of(0..1_000_u64),
            load in option::of(0..=100_000_u32),
        ) -> EndpointReport {
            EndpointReport {
                pool: pool.into(),
                address,
                check,
                record: VerdictRecord {
                    verdict,
                    since,
                    latest,
                    run,
                    last_failure: failure.map(|(reason, at)| Note { reason, at }),
                    latency_us,
                    probed_ms,
                    load: load.map(Load::from),
                },
            }
        }
    }

    fn sorted(report: &VantageReport) -> VantageReport {
        let mut report = report.clone();
        report.endpoints.sort_by(|a, b| a.pool.cmp(&b.pool));
        report
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read(
            endpoints in vec(endpoint(), 0..600),
            further in vec(endpoint(), 0..5),
            digests in any::<[Option<u64>; 4]>(),
            (v4, v6) in any::<(bool, bool)>(),
            shares in vec((text(40), 0..=100_u8, 0..=100_u8), 0..40),
        ) {
            let shares: PoolShares = shares.into_iter().map(|(pool, own, guests)| {
                let (own, guests) = (Admitted::percent(own), Admitted::percent(guests));
                (pool, Admission { own, guests })
            }).collect();
            let mut heard_shares = PoolShares::new();
            let vantage = |name: &str, endpoints: &Vec<_>| VantageReport {
                vantage: name.into(),
                is_blind: PerFamily { v4, v6 },
                endpoints: endpoints.clone(),
            };
            let report = Report {
                version: "0.1.0".into(),
                digests: Digests::from_fn(|what| digests[what as usize]),
                vantages: vec![vantage("ns1", &endpoints), vantage("uplink", &further)],
                shares: shares.clone(),
            };
            let mut writer = Writer::new("ns1", BOOT);
            let mut heard = [vantage("ns1", &Vec::new()), vantage("ns1/uplink", &Vec::new())];
            for (n, part) in writer.report(&report, 1_000).into_iter().enumerate() {
                prop_assert!(part.len() <= MAX_LEN);
                let message = read(Kind::Report, &part).expect("readable");
                prop_assert_eq!((&*message.node, message.boot), ("ns1", BOOT));
                prop_assert_eq!((message.sequence, message.sent_ms), (n as u64 + 1, 1_000));
                let Body::Report(part) = message.body else {
                    panic!("not a report");
                };
                prop_assert_eq!(part.digests, report.digests);
                heard_shares.extend(part.shares);
                for (heard, part) in heard.iter_mut().zip(part.vantages) {
                    prop_assert_eq!(&heard.vantage, &part.vantage);
                    prop_assert_eq!(heard.is_blind, part.is_blind);
                    heard.endpoints.extend(part.endpoints);
                }
            }
            prop_assert_eq!(heard_shares, shares);
            for (heard, sent) in heard.iter().zip(&report.vantages) {
                prop_assert_eq!(sorted(heard).endpoints, sorted(sent).endpoints);
            }
        }

        #[test]
        fn anything_at_all_is_refused_or_read(octets in vec(any::<u8>(), 0..200)) {
            for kind in Kind::ALL {
                let _ = read(kind, &octets);
            }
        }
    }

    fn register(pool: &str, reason: &str) -> Register {
        Register {
            pool: pool.into(),
            stamp: Stamp {
                ms: 1,
                node: "ns1".into(),
            },
            value: Some(Override {
                state: Forced::Drain,
                since: 1,
                begins: None,
                until: None,
                reason: reason.into(),
            }),
        }
    }

    #[test]
    fn registers_are_split_over_messages() {
        let registers: Vec<_> = (0..2_000)
            .map(|n| register(&format!("pool-{n}"), "maintenance"))
            .collect();
        let mut writer = Writer::new("ns1", BOOT);
        let messages = writer.registers(registers.iter(), 1_000);
        assert!(messages.len() > 1);
        let mut heard = Vec::new();
        for message in messages {
            match read(Kind::Sync, &message).expect("readable").body {
                Body::Registers(registers) => heard.extend(registers),
                Body::Report(_) => panic!("not registers"),
            }
        }
        assert_eq!(heard, registers);
        assert_eq!(writer.registers([].into_iter(), 1_000).len(), 1);
    }

    #[test]
    fn the_format_is_this() {
        let mut writer = Writer::new("ns1", BOOT);
        let message = writer
            .registers([register("us", "")].iter(), 1_000)
            .remove(0);
        assert_eq!(
            String::from_utf8(message).expect("text"),
            r#"{"v":1,"node":"ns1","boot":{"started_ms":1700000000000,"random":7},"sequence":1,"#
                .to_owned()
                + r#""sent_ms":1000,"body":{"registers":[{"pool":"us","stamp":{"ms":1,"node":"ns1"},"#
                + r#""value":{"state":"drain","since":1,"until":null,"reason":""}}]}}"#
        );
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a row per rule")]
    fn what_breaks_a_rule_is_refused_by_name() {
        let head = r#""node":"ns1","boot":{"started_ms":1,"random":7},"sequence":1,"sent_ms":1000"#;
        let message = |body: &str| format!(r#"{{"v":1,{head},"body":{body}}}"#);
        let registers = |pool: &str, reason: &str| {
            let register = serde_json::to_string(&register(pool, reason)).expect("JSON");
            message(&format!(r#"{{"registers":[{register}]}}"#))
        };
        let report = |vantage: usize, check: &str| {
            message(&format!(
                r#"{{"version":"1","digests":{{}},"vantages":[{{"name":null,"blind_ipv4":false,
                "blind_ipv6":false}}],"pools":[{{"pool":"us","endpoints":[{{"address":"10.0.0.1",
                "vantage":{vantage},"check":"{check}","record":{{"verdict":"up","since":null,
                "more":1}}}}]}}]}}"#
            ))
        };
        let check = "0123456789abcdef";
        let long = "x".repeat(MAX_REASON + 1);
        for (kind, text, expected) in [
            (Kind::Report, report(0, check), Ok(())),
            (Kind::Report, report(1, check), Err(Unreadable::Malformed)),
            (
                Kind::Report,
                report(0, "+123456789abcdef"),
                Err(Unreadable::Malformed),
            ),
            (Kind::Override, report(0, check), Err(Unreadable::Malformed)),
            (Kind::Sync, registers("us", ""), Ok(())),
            (
                Kind::Sync,
                registers("us", "\u{1b}[2J"),
                Err(Unreadable::Malformed),
            ),
            (
                Kind::Sync,
                registers("us", &long),
                Err(Unreadable::Malformed),
            ),
            (Kind::Sync, registers(&long, ""), Err(Unreadable::Malformed)),
            (
                Kind::Sync,
                registers("us", "").replace("ns1", "ns.1"),
                Err(Unreadable::Malformed),
            ),
            (
                Kind::Sync,
                registers("us", "").replace("drain", "gone"),
                Err(Unreadable::Malformed),
            ),
            (
                Kind::Sync,
                r#"{"v":2,"anything":[]}"#.into(),
                Err(Unreadable::UnknownVersion),
            ),
            (
                Kind::Sync,
                registers("us", "").replace("\"v\":1", "\"v\":0"),
                Err(Unreadable::UnknownVersion),
            ),
            (Kind::Sync, r#"{"v":1}"#.into(), Err(Unreadable::Malformed)),
            (Kind::Sync, String::new(), Err(Unreadable::Malformed)),
            (Kind::Sync, "[".repeat(100_000), Err(Unreadable::Malformed)),
            (
                Kind::Sync,
                " ".repeat(MAX_LEN + 1),
                Err(Unreadable::Oversized),
            ),
        ] {
            let result = read(kind, text.as_bytes()).map(|_| ());
            assert_eq!(result, expected, "{}", &text[..text.len().min(300)]);
        }
    }
}
