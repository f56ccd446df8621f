//! `pools.toml`: which types of a steered name are chosen, and what its pools need for them.

use crate::base::name::Name;
use crate::base::rank::Policy;
use crate::config::model::Pool;
use crate::config::model::PoolSource;
use crate::config::written::Item;
use crate::config::written::Table;
use crate::zone::SteeredTypes;

/// What `txt` of a pool looks like.
const TEXTS: &str = "a list of texts such as [\"region=us-west\"]";

/// The most octets of one character-string (RFC 1035 s3.3).
const MAX_TEXT_LEN: usize = 255;

/// Reads the TXT records of a pool, each of one text, as RDATA.
pub(super) fn texts(item: &Item<'_>) -> Option<Vec<Box<[u8]>>> {
    let texts = item.list(TEXTS, |item| {
        let text = item.text("a text of at most 255 octets")?;
        if text.len() > MAX_TEXT_LEN {
            item.fault(&format!("has {} octets, expected at most 255", text.len()));
        }
        let len = u8::try_from(text.len()).ok()?;
        Some([&[len], text.as_bytes()].concat().into())
    })?;
    if texts.is_empty() {
        item.expected(TEXTS);
    }
    Some(texts)
}

/// What a steered name is answered from.
pub(super) struct Answered<'a> {
    pub(super) owner: Option<&'a Name>,
    /// Its pools, with those of its rules and the fallbacks; without those that are faulty.
    pub(super) pools: Vec<&'a Pool>,
    /// Its policy and those of its rules.
    pub(super) policies: Vec<Policy>,
}

/// Reads the types of a steered name.
pub(super) fn types(table: &Table<'_>, of: &Answered<'_>) -> SteeredTypes {
    let hints = table.read_or("hints", false, Item::boolean);
    let txt = table.read_or("txt", false, Item::boolean);
    let words = [("addresses", false), ("cname", true)];
    let is_cname = table.read_or("answer", false, |item| item.word(&words));
    let is_multivalue = of.policies.contains(&Policy::Multivalue);
    if let Some(item) = table.get("txt").filter(|_| txt) {
        if is_multivalue {
            item.fault("stands beside policy \"multivalue\", which chooses no single pool");
        }
        if let Some(pool) = of.pools.iter().find(|pool| pool.txt.is_empty()) {
            item.fault(&format!("is true, but pool `{}` has no `txt`", pool.name));
        }
    }
    let Some(item) = table.get("answer").filter(|_| is_cname) else {
        return SteeredTypes::Addresses { hints, txt };
    };
    for (key, is_set) in [("hints", hints), ("txt", txt)] {
        if let Some(item) = table.get(key).filter(|_| is_set) {
            item.fault("stands beside answer = \"cname\", which leaves a name no other data");
        }
    }
    for key in ["order", "answers"] {
        if let Some(item) = table.get(key) {
            item.warn("has no effect beside answer = \"cname\"");
        }
    }
    if is_multivalue {
        item.fault("stands beside policy \"multivalue\", but a name has one CNAME");
    }
    for pool in &of.pools {
        let name = &pool.name;
        let is_named = pool.source == PoolSource::File && pool.endpoints.is_empty();
        match &*pool.hosts {
            [host] if is_named && Some(&host.domain) != of.owner => {}
            [host] if is_named => item.fault(&format!(
                "is \"cname\", but the host of pool `{name}` is `{}`, the steered name itself",
                host.name
            )),
            _ => item.fault(&format!(
                "is \"cname\", expected of pool `{name}` one endpoint, a host name such as \
                 [{{ host = \"lb-1.example.net\" }}]"
            )),
        }
    }
    SteeredTypes::Cname
}
