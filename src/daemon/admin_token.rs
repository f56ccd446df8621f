//! The admin API's token file: read at start, and watched from then on.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::thread::sleep;
use std::time::Duration;

use tokio::sync::watch;
use tracing::info;
use tracing::warn;

use crate::admin::auth::Access;
use crate::admin::auth::Token;
use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::config::model::Process;
use crate::daemon::files;
use crate::daemon::files::MAX_SETTINGS_LEN;

/// How often the file is looked at: a new token is in force within a second.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// Reads the token; what is wrong with the file is reported.
pub fn read(process: &Process, report: &mut Report) -> Access {
    let Some(path) = token_file(process) else {
        return Access::NotConfigured;
    };
    let file: Arc<str> = path.to_string_lossy().into();
    match look(path) {
        Ok(token) => {
            for weakness in weaknesses(path, &token) {
                report.warning(Place::file(&file), weakness);
            }
            Access::Token(token)
        }
        Err(fault) => {
            report.error(Place::file(&file), fault);
            Access::Unusable
        }
    }
}

/// Follows the file that `access` was read from, for as long as somebody holds the result.
///
/// # Errors
/// If there is no thread to be had.
pub fn follow(process: &Process, access: Access) -> io::Result<watch::Receiver<Access>> {
    let (sender, receiver) = watch::channel(access);
    if let Some(path) = token_file(process).cloned() {
        let watch = move || {
            let mut last = None;
            while !sender.is_closed() {
                sleep(WATCH_INTERVAL);
                let found = look(&path);
                // A file that is being written is as good as gone for a moment.
                if found.is_ok() || last.as_ref() == Some(&found) {
                    adopt(&sender, &path, &found);
                }
                last = Some(found);
            }
        };
        thread::Builder::new()
            .name("admin token".into())
            .spawn(watch)?;
    }
    Ok(receiver)
}

fn adopt(sender: &watch::Sender<Access>, path: &Path, found: &Result<Token, String>) {
    let access = match found {
        Ok(token) => Access::Token(token.clone()),
        Err(_) => Access::Unusable,
    };
    if *sender.borrow() == access {
        return;
    }
    sender.send_replace(access);
    let file = path.display();
    match found {
        Ok(token) => {
            info!(%file, "admin token changed; the old one is no longer accepted");
            for weakness in weaknesses(path, token) {
                warn!(%file, weakness, "admin token");
            }
        }
        Err(fault) => {
            warn!(%file, fault, "admin token cannot be used: calls that change something are refused");
        }
    }
}

fn token_file(process: &Process) -> Option<&PathBuf> {
    process.admin.as_ref()?.token_file.as_ref()
}

fn look(path: &Path) -> Result<Token, String> {
    let octets =
        files::read(path, MAX_SETTINGS_LEN).map_err(|error| format!("cannot be read: {error}"))?;
    let text = String::from_utf8(octets).map_err(|_| "is not UTF-8".to_owned())?;
    Token::parse(&text).map_err(|error| error.to_string())
}

/// What makes a token easy to come by.
fn weaknesses(path: &Path, token: &Token) -> Vec<String> {
    let mode = fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
    let is_open = mode & 0o007 != 0;
    let open = is_open.then(|| {
        let mode = mode & 0o777;
        format!("every user of this machine may open it (mode {mode:o}), expected mode 640 or 600")
    });
    let short = token.is_short().then(|| {
        "the token is short and can be guessed, expected 16 characters or more, such as from \
         `openssl rand -hex 16`"
            .to_owned()
    });
    open.into_iter().chain(short).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_tokens_are_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("token");
        for (text, mode, expected) in [
            ("0123456789abcdef\n", 0o600, 0),
            ("0123456789abcdef\n", 0o640, 0),
            ("0123456789abcdef\n", 0o644, 1),
            ("0123456789abcde\n", 0o600, 1),
            ("x", 0o606, 2),
        ] {
            fs::write(&path, text).expect("write");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            let token = look(&path).expect("a token");
            assert_eq!(
                weaknesses(&path, &token).len(),
                expected,
                "{text:?} {mode:o}"
            );
        }
    }

    #[test]
    fn a_change_is_adopted_and_what_cannot_be_used_opens_nothing() {
        let path = Path::new("token");
        let token = |text: &str| Token::parse(text).expect("a token");
        let (sender, mut receiver) = watch::channel(Access::Token(token("old")));
        for (found, expected) in [
            (Ok(token("old")), None),
            (Ok(token("new")), Some(Access::Token(token("new")))),
            (Err("is gone".to_owned()), Some(Access::Unusable)),
            (Err("is empty".to_owned()), None),
            (Ok(token("new")), Some(Access::Token(token("new")))),
        ] {
            adopt(&sender, path, &found);
            let changed = receiver.has_changed().expect("a sender");
            let access = receiver.borrow_and_update().clone();
            assert_eq!(changed.then_some(access), expected, "{found:?}");
        }
    }
}
