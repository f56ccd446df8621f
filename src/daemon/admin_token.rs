//! The files of the admin API's tokens: read at start, and watched from then on.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::thread::sleep;
use std::time::Duration;

use tokio::sync::watch;
use tracing::info;
use tracing::warn;

use crate::admin::auth::Access;
use crate::admin::auth::Grant;
use crate::admin::auth::Token;
use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::config::model::AdminToken;
use crate::config::model::Process;
use crate::daemon::files;
use crate::daemon::files::MAX_SETTINGS_LEN;

/// How often the files are looked at: a new token is in force within a second.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// Reads the tokens; what is wrong with their files is reported.
pub fn read(process: &Process, report: &mut Report) -> Access {
    let grant = |token: &AdminToken| {
        let file: Arc<str> = token.file.to_string_lossy().into();
        let found = look(&token.file);
        match &found {
            Ok(found) => {
                for weakness in weaknesses(&token.file, found) {
                    report.warning(Place::file(&file), weakness);
                }
            }
            Err(fault) => report.error(Place::file(&file), fault.clone()),
        }
        grant(token, found.ok())
    };
    Access(tokens(process).iter().map(grant).collect())
}

/// Follows the files of the tokens for as long as somebody holds the result; `access` is what was read from
/// them, `None` if nothing was.
///
/// # Errors
/// If there is no thread to be had.
pub fn follow(process: &Process, access: Option<Access>) -> io::Result<watch::Receiver<Access>> {
    let tokens = tokens(process).to_vec();
    let access = access.unwrap_or_else(|| {
        let grants = tokens.iter().map(|token| grant(token, None));
        Access(grants.collect())
    });
    let (sender, receiver) = watch::channel(access);
    if !tokens.is_empty() {
        let watch = move || {
            let mut last = vec![None; tokens.len()];
            while !sender.is_closed() {
                sleep(WATCH_INTERVAL);
                for (at, token) in tokens.iter().enumerate() {
                    let found = look(&token.file);
                    // A file that is being written is as good as gone for a moment.
                    if found.is_ok() || last[at].as_ref() == Some(&found) {
                        adopt(&sender, at, &token.file, &found);
                    }
                    last[at] = Some(found);
                }
            }
        };
        thread::Builder::new()
            .name("admin tokens".into())
            .spawn(watch)?;
    }
    Ok(receiver)
}

/// Takes what was found in the file of the token at this position.
fn adopt(sender: &watch::Sender<Access>, at: usize, path: &Path, found: &Result<Token, String>) {
    let token = found.as_ref().ok();
    let is_changed = sender.send_if_modified(|Access(grants)| {
        let is_changed = grants[at].token.as_ref() != token;
        grants[at].token = token.cloned();
        is_changed
    });
    if !is_changed {
        return;
    }
    let file = path.display();
    match found {
        Ok(token) => {
            info!(%file, "admin token changed; the old one is no longer accepted");
            for weakness in weaknesses(path, token) {
                warn!(%file, weakness, "admin token");
            }
        }
        Err(fault) => {
            warn!(%file, fault, "admin token cannot be used: calls that bring it are refused");
        }
    }
}

fn tokens(process: &Process) -> &[AdminToken] {
    process.admin.as_ref().map_or(&[], |admin| &admin.tokens)
}

fn grant(token: &AdminToken, found: Option<Token>) -> Grant {
    Grant {
        name: token.name(),
        can: Arc::clone(&token.can),
        token: found,
    }
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
    use crate::config::rights::Right;

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
        let access = |found: [Option<&str>; 2]| {
            let grant = |found: Option<&str>| Grant {
                name: "token".into(),
                can: [Right::All].into(),
                token: found.map(token),
            };
            Access(found.map(grant).into())
        };
        let (sender, mut receiver) = watch::channel(access([Some("old"), Some("other")]));
        for (found, expected) in [
            (Ok(token("old")), None),
            (Ok(token("new")), Some(Some("new"))),
            (Err("is gone".to_owned()), Some(None)),
            (Err("is empty".to_owned()), None),
            (Ok(token("new")), Some(Some("new"))),
        ] {
            adopt(&sender, 0, path, &found);
            let changed = receiver.has_changed().expect("a sender");
            let now = receiver.borrow_and_update().clone();
            let expected = expected.map(|first| access([first, Some("other")]));
            assert_eq!(changed.then_some(now), expected, "{found:?}");
        }
    }
}
