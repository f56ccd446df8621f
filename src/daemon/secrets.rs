//! Files that hold secrets: of cookies and of TSIG keys. What they say is never repeated.

use std::sync::Arc;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::digits;
use crate::config::model::Process;
use crate::config::model::TsigKey;
use crate::daemon::files::FileSet;
use crate::daemon::files::MAX_SETTINGS_LEN;
use crate::daemon::load::read_text;
use crate::wire::cookie::Secret;
use crate::wire::cookie::Secrets;
use crate::wire::cookie::SecretsError;
use crate::wire::tsig::Key;
use crate::wire::tsig::Keyring;

/// The least that a key's secret may have, in octets: what no machine can guess.
const MIN_SECRET_LEN: usize = 16;

/// What cookies are made with: the configured file's secrets, else `own`. `None` if cookies are off, or
/// after a fault, which is reported.
pub(super) fn cookies(
    process: &Process,
    own: Secret,
    seen: &mut FileSet,
    report: &mut Report,
) -> Option<Secrets> {
    let cookies = &process.server.cookies;
    if !cookies.enabled {
        return None;
    }
    let Some(path) = &cookies.secret_file else {
        return Some(Secrets::one(own));
    };
    let file: Arc<str> = path.to_string_lossy().into();
    let text = read_text(seen, path, &file, MAX_SETTINGS_LEN, report)?;
    let fault = |error: SecretsError| {
        let place = Place {
            line: error.line(),
            ..Place::file(&file)
        };
        report.error(place, error.to_string());
    };
    Secrets::parse(&text).map_err(fault).ok()
}

/// The configured TSIG keys, without those at fault, which are reported.
pub(super) fn keyring(process: &Process, seen: &mut FileSet, report: &mut Report) -> Keyring {
    let keys = process.tsig_keys.iter();
    Keyring::new(
        keys.filter_map(|written| key(written, seen, report))
            .collect(),
    )
}

fn key(written: &TsigKey, seen: &mut FileSet, report: &mut Report) -> Option<Key> {
    let path = &written.secret_file;
    let file: Arc<str> = path.to_string_lossy().into();
    let text = read_text(seen, path, &file, MAX_SETTINGS_LEN, report)?;
    match digits::base64(text.trim()) {
        Some(secret) if secret.len() >= MIN_SECRET_LEN => {
            Some(Key::new(written.name.clone(), written.algorithm, &secret))
        }
        _ => {
            let message =
                format!("is no secret, expected at least {MIN_SECRET_LEN} octets in base64");
            report.error(Place::file(&file), message);
            None
        }
    }
}
