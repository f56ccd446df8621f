//! Whether servers have the same zone.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::rr::RrType;
use crate::base::serial;
use crate::doctor::finding::Findings;
use crate::doctor::finding::Kind;
use crate::doctor::judge::Evidence;
use crate::doctor::judge::list;

/// Judges all of it.
pub fn judge(evidence: &Evidence, findings: &mut Findings) {
    serials(evidence, findings);
    name_servers(evidence, findings);
    if evidence.authoritative().count() > 1
        && !findings.has(&[Kind::SerialDiffers, Kind::NsDiffers])
    {
        findings.fine("agreement: all servers have the same serial and NS records");
    }
}

fn serials(evidence: &Evidence, findings: &mut Findings) {
    let serials: Vec<(String, u32)> = evidence
        .authoritative()
        .filter_map(|server| Some((server.server.label(), server.serial(&evidence.zone)?)))
        .collect();
    // The newest: no other is newer.
    let newest = serials
        .iter()
        .map(|(_, serial)| *serial)
        .reduce(|a, b| if serial::is_newer(b, a) { b } else { a });
    let Some(newest) = newest else { return };
    for (label, serial) in serials.iter().filter(|(_, serial)| *serial != newest) {
        let message = format!("serial {serial}, others have {newest}");
        findings.add_at(Kind::SerialDiffers, label, message);
    }
}

fn name_servers(evidence: &Evidence, findings: &mut Findings) {
    let mut sets: BTreeMap<BTreeSet<String>, Vec<String>> = BTreeMap::new();
    for server in evidence.authoritative() {
        let Some(Ok(reply)) = server.more.as_ref().map(|more| &more.ns) else {
            continue;
        };
        let records = reply.answers(&evidence.zone, RrType::NS);
        let names = records.filter_map(|record| Some(record.target()?.plain()));
        sets.entry(names.collect())
            .or_default()
            .push(server.server.label());
    }
    if sets.len() < 2 {
        return;
    }
    for (names, servers) in sets {
        for server in servers {
            findings.add_at(Kind::NsDiffers, &server, format!("NS {}", list(&names)));
        }
    }
}
