//! `[dnstap]` and `[decisions]` of `meridian.toml`.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

use crate::config::Defaults;
use crate::config::defaults;
use crate::config::keys;
use crate::config::model::Server;
use crate::config::query_log::Decisions;
use crate::config::query_log::Dnstap;
use crate::config::query_log::DnstapReader;
use crate::config::written::Item;
use crate::config::written::Table;

/// What `socket` looks like.
const SOCKET: &str = "the path of a Unix socket, or \"tcp:\" and an address and port such as \
                      \"tcp:127.0.0.1:6000\"";

/// The longest path of a Unix socket in octets (`unix(7)`).
const MAX_SOCKET_PATH: usize = 107;

/// The smallest share that can be sampled.
const MIN_SAMPLE: f64 = 0.000_001;

/// Resolves `[dnstap]`, whose messages carry the NSID, or the host name where there is none.
pub(super) fn dnstap(top: &Table<'_>, server: &Server, machine: &Defaults) -> Option<Dnstap> {
    let table = top.optional_table("dnstap", &keys::DNSTAP)?;
    let identity = match &*server.nsid {
        "" => &*machine.host_name,
        nsid => nsid,
    };
    let reader = table.require("socket", SOCKET, reader);
    Some(Dnstap {
        sample: table.read_or("sample", defaults::DNSTAP_SAMPLE, sample),
        identity: identity.into(),
        reader: reader?,
    })
}

/// Resolves `[decisions]`.
pub(super) fn decisions(top: &Table<'_>) -> Option<Decisions> {
    let table = top.optional_table("decisions", &keys::DECISIONS)?;
    let file = table.require("file", "the path of the file to append to", Item::path);
    Some(Decisions {
        sample: table.read_or("sample", defaults::DECISIONS_SAMPLE, sample),
        file: file?,
    })
}

fn sample(item: &Item<'_>) -> Option<f64> {
    item.number(MIN_SAMPLE..=1.0)
}

fn reader(item: &Item<'_>) -> Option<DnstapReader> {
    let is_tcp = item.text(SOCKET)?.starts_with("tcp:");
    if is_tcp {
        return item.parse(SOCKET, |text| {
            let address: SocketAddr = text.strip_prefix("tcp:")?.parse().ok()?;
            let is_host = address.port() != 0 && !address.ip().is_unspecified();
            is_host.then_some(DnstapReader::Tcp(address))
        });
    }
    let path = item.path()?;
    let len = path.as_os_str().as_bytes().len();
    if len > MAX_SOCKET_PATH {
        item.fault(&format!(
            "is a path of {len} octets, expected at most {MAX_SOCKET_PATH}: no Unix socket has a longer one"
        ));
        return None;
    }
    Some(DnstapReader::Unix(path))
}
