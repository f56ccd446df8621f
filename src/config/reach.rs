//! Where a running server's admin API is, read from a file that may be broken elsewhere.
//!
//! Whoever drains a pool in the midst of an incident must not be stopped by an edit that somebody else
//! has just got wrong, so that only `[admin]` is read here, and only what is needed to reach the server.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use toml::de::DeTable;

use crate::config::defaults;

/// How to reach the admin API.
#[derive(Debug, PartialEq, Eq)]
pub struct Reach {
    /// `[admin] listen`.
    pub listen: SocketAddr,
    /// `[admin] token_file`.
    pub token_file: Option<PathBuf>,
}

impl Reach {
    /// Reads `[admin]`, whose paths start from `dir`; `None` without the table, or if its address cannot be
    /// read.
    pub fn of(text: &str, dir: &Path) -> Option<Self> {
        let (document, errors) = DeTable::parse_recoverable(text);
        match errors.is_empty() {
            true => Self::of_document(document.get_ref(), dir),
            false => Self::of_document(DeTable::parse_recoverable(section(text)?).0.get_ref(), dir),
        }
    }

    fn of_document(document: &DeTable<'_>, dir: &Path) -> Option<Self> {
        let admin = document.get("admin")?.get_ref().as_table()?;
        let text = |key: &str| admin.get(key)?.get_ref().as_str();
        let listen = match admin.contains_key("listen") {
            true => text("listen")?.parse().ok()?,
            false => defaults::ADMIN_LISTEN,
        };
        Some(Self {
            listen,
            token_file: text("token_file").map(|path| dir.join(path)),
        })
    }
}

/// The lines from `[admin]` up to the next table.
fn section(text: &str) -> Option<&str> {
    let mut offset = 0;
    let mut start = None;
    for line in text.split_inclusive('\n') {
        let header = line.trim_start();
        match start {
            None if header.starts_with("[admin]") => start = Some(offset),
            Some(start) if header.starts_with('[') => return Some(&text[start..offset]),
            _ => {}
        }
        offset += line.len();
    }
    start.map(|start| &text[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_admin_is_read_whatever_the_rest_is() {
        let usual = "[admin]\nlisten = \"127.0.0.2:9000\"\ntoken_file = \"t\"\n";
        for (row, text) in [
            ("alone", usual.to_owned()),
            (
                "unknown keys",
                format!("zoness = 1\n{usual}more = 2\n[x]\ny = 1\n"),
            ),
            (
                "a value that is none",
                format!("zones = \n{usual}[server]\nlisten = [\n"),
            ),
            (
                "an open bracket before",
                format!("[server]\nlisten = [\"a\"\n{usual}"),
            ),
            (
                "an open string after",
                format!("{usual}[server]\nnsid = \"x\n"),
            ),
            ("twice", format!("{usual}[server]\n[server]\n")),
            (
                "inline",
                "admin = { listen = \"127.0.0.2:9000\", token_file = \"t\" }".to_owned(),
            ),
            (
                "dotted",
                "admin.listen = \"127.0.0.2:9000\"\nadmin.token_file = \"t\"\n".to_owned(),
            ),
        ] {
            let expected = Reach {
                listen: SocketAddr::from(([127, 0, 0, 2], 9000)),
                token_file: Some("/etc/t".into()),
            };
            assert_eq!(Reach::of(&text, Path::new("/etc")), Some(expected), "{row}");
        }
        let default = Reach::of("[admin]\n", Path::new("")).expect("the default");
        assert_eq!(
            (default.listen, default.token_file),
            (defaults::ADMIN_LISTEN, None)
        );
        for text in [
            "",
            "[server]\n",
            "[admin]\nlisten = 1\n",
            "[admin]\nlisten = \"x\"\n",
            "[admin",
        ] {
            assert_eq!(Reach::of(text, Path::new("")), None, "{text:?}");
        }
    }
}
