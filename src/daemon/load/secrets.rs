//! Files that hold secrets: of cookies, of TSIG keys and of the admin API. What they say is never
//! repeated.

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::digits;
use crate::config::model::Process;
use crate::config::model::TsigKey;
use crate::daemon::files;
use crate::daemon::load::reader::Moving;
use crate::daemon::load::reader::Reader;
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
    reader: &mut Reader<'_>,
    report: &mut Report,
) -> Option<Secrets> {
    let cookies = &process.server.cookies;
    if !cookies.enabled {
        return None;
    }
    let Some(path) = &cookies.secret_file else {
        return Some(Secrets::one(own));
    };
    let text = match reader.text(path, report) {
        Ok(text) => text?,
        Err(Moving { before }) => return before.cookie_secrets.clone(),
    };
    let fault = |error: SecretsError| {
        let place = Place {
            line: error.line(),
            ..files::place(path)
        };
        report.error(place, error.to_string());
    };
    Secrets::parse(&text).map_err(fault).ok()
}

/// The configured TSIG keys, without those at fault, which are reported.
pub(super) fn keyring(process: &Process, reader: &mut Reader<'_>, report: &mut Report) -> Keyring {
    let mut keys = Vec::new();
    for written in &process.tsig_keys {
        match reader.text(&written.secret_file, report) {
            Ok(text) => keys.extend(text.and_then(|text| key(written, &text, report))),
            Err(Moving { before }) => {
                let before = before.keyring.key(&written.name);
                keys.extend(before.map(|key| Key::clone(key)));
            }
        }
    }
    Keyring::new(keys)
}

/// Reports what is wrong with the files of webhooks, which each delivery reads again.
pub(super) fn webhooks(process: &Process, reader: &mut Reader<'_>, report: &mut Report) {
    for webhook in &process.webhooks {
        if let Some(path) = &webhook.ca_file {
            let _ = reader.text(path, report);
        }
        let Some(path) = &webhook.secret_file else {
            continue;
        };
        if let Ok(Some(text)) = reader.text(path, report)
            && text.trim().len() < MIN_SECRET_LEN
        {
            let message = format!("is no secret, expected at least {MIN_SECRET_LEN} octets");
            report.error(files::place(path), message);
        }
    }
}

fn key(written: &TsigKey, text: &str, report: &mut Report) -> Option<Key> {
    match digits::base64(text.trim()) {
        Some(secret) if secret.len() >= MIN_SECRET_LEN => {
            Some(Key::new(written.name.clone(), written.algorithm, &secret))
        }
        _ => {
            let message =
                format!("is no secret, expected at least {MIN_SECRET_LEN} octets in base64");
            report.error(files::place(&written.secret_file), message);
            None
        }
    }
}
