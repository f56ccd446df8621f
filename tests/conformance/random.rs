//! Random zones: few labels, so that names meet, and all that makes an answer hard: wildcards, cuts,
//! DNAMEs, aliases, empty non-terminals, data that nobody can reach.

use std::collections::BTreeMap;

use crate::peers::ZoneText;

/// SplitMix64: a few lines, and the same numbers on every machine for a seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }

    pub fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

/// The types that are drawn; those that shape a zone more often.
const TYPES: [&str; 22] = [
    "A",
    "A",
    "A",
    "AAAA",
    "TXT",
    "MX",
    "SRV",
    "CNAME",
    "CNAME",
    "CNAME",
    "NS",
    "NS",
    "DNAME",
    "DNAME",
    "DS",
    "PTR",
    "HTTPS",
    "SVCB",
    "CAA",
    "NAPTR",
    "TYPE65280",
    "AFSDB",
];

const LABELS: [&str; 7] = ["a", "b", "c", "A", "d", "*", "ent"];

/// Between one and four labels below the apex.
fn name(random: &mut Random) -> String {
    let depth = 1 + random.below(4);
    let labels: Vec<&str> = (0..depth)
        .map(|nth| match (nth, random.pick(&LABELS)) {
            // A wildcard inside a name is none, but allowed.
            (1.., "*") if !random.percent(15) => "b",
            (_, label) => label,
        })
        .collect();
    labels.join(".")
}

/// A name for RDATA: mostly in the zone, sometimes in that of a neighbour.
fn target(random: &mut Random, neighbour: &str) -> String {
    match random.below(10) {
        0 => "x.elsewhere.example.".to_owned(),
        1 => format!("{}.{neighbour}.", name(random)),
        2 => "@".to_owned(),
        _ => name(random),
    }
}

/// A zone; about one in ten breaks a rule, which the peers may refuse or not.
pub fn zone(origin: &str, neighbour: &str, random: &mut Random) -> ZoneText {
    let minimum = random.pick(&["300", "7200"]);
    let mut text = format!(
        "$TTL 3600\n@ SOA ns1 host 1 7200 3600 604800 {minimum}\n@ NS ns1\n\
         @ NS ns.elsewhere.example.\nns1 A 192.0.2.1\nns1 AAAA 2001:db8::1\n"
    );
    let is_lawless = random.percent(10);
    let mut types: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for _ in 0..6 + random.below(25) {
        let owner = match random.percent(4) {
            true => "@".to_owned(),
            false => name(random),
        };
        let rtype = random.pick(&TYPES);
        let there = types.entry(owner.to_lowercase()).or_default();
        if !is_lawless && !may_stand(&owner, rtype, there) {
            continue;
        }
        there.push(rtype);
        for _ in 0..1 + random.below(3) / 2 {
            text += &record(&owner, rtype, random, neighbour);
            if matches!(rtype, "CNAME" | "DNAME") {
                break;
            }
        }
    }
    if !is_lawless {
        text = visible(&text);
    }
    ZoneText {
        origin: origin.to_owned(),
        text,
    }
}

/// The lines whose owners are not below a DNAME, where nothing may be (RFC 6672 s2.4).
fn visible(text: &str) -> String {
    let owner = |line: &str| line.split(' ').next().unwrap_or("").to_lowercase();
    let dnames: Vec<String> = text
        .lines()
        .filter(|line| line.contains(" DNAME "))
        .map(|line| format!(".{}", owner(line)))
        .collect();
    let is_seen = |line: &&str| {
        let owner = owner(line);
        !dnames.iter().any(|dname| owner.ends_with(dname.as_str()))
    };
    text.lines()
        .filter(is_seen)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The rules that the peers would refuse a zone for.
fn may_stand(owner: &str, rtype: &str, there: &[&str]) -> bool {
    let alone = |alone: &str| there.contains(&alone) || rtype == alone && !there.is_empty();
    let is_special = owner == "@" || owner.starts_with('*');
    match rtype {
        "CNAME" if owner == "@" => false,
        "NS" if is_special || there.contains(&"DNAME") => false,
        "DNAME" if owner.starts_with('*') || there.contains(&"DNAME") => false,
        "DNAME" if there.contains(&"NS") => false,
        "DS" => there.contains(&"NS"),
        _ => !alone("CNAME"),
    }
}

/// A line of the zone, with glue where it is an NS below the cut.
fn record(owner: &str, rtype: &str, random: &mut Random, neighbour: &str) -> String {
    let n = random.below(250);
    let target = target(random, neighbour);
    // One TTL for each RRset: with several, each server answers another (RFC 2181 s5.2).
    let ttl = ["", "60 ", "86400 "][(owner.len() + rtype.len()) % 3];
    let data = match rtype {
        "A" => format!("192.0.2.{n}"),
        "AAAA" => format!("2001:db8::{n:x}"),
        "TXT" => format!("\"text {n}\" more"),
        "MX" | "AFSDB" => format!("{n} {target}"),
        "SRV" => format!("1 2 {n} {target}"),
        "DS" => format!("{n} 13 2 {}", "ab".repeat(32)),
        "HTTPS" | "SVCB" => format!("{} {target}", n % 3),
        "CAA" => "0 issue \"ca.example\"".to_owned(),
        "NAPTR" => format!("1 {n} \"u\" \"s\" \"\" {target}"),
        "TYPE65280" => format!("\\# 2 ab{n:02x}"),
        "NS" if random.percent(50) => "ns1".to_owned(),
        "NS" if random.percent(80) => {
            let glue = format!("ns.{owner}");
            return format!("{owner} {ttl}NS {glue}\n{glue} A 192.0.2.{n}\n");
        }
        _ => target,
    };
    format!("{owner} {ttl}{rtype} {data}\n")
}
