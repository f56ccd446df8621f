//! Why a cluster cannot be asked, in one line. It is shown to whoever may read the status, so that nothing that may
//! hold a secret is repeated: neither what a kubeconfig has nor what a plugin prints on stdout.

use std::error::Error;

use kube::client::AuthError;
use kube::config::KubeconfigError;

use crate::base::diag::one_line;

/// The most characters of a reason.
const MAX_LEN: usize = 300;

/// Why a request failed, or no connection can be made.
pub(super) fn reason(error: &kube::Error) -> Box<str> {
    let text = match error {
        kube::Error::Api(status) => {
            let reason = match status.code {
                401 => "Unauthorized",
                403 => "Forbidden",
                404 => "Not Found",
                _ => &*status.reason,
            };
            let text = format!("{} {reason}: {}", status.code, status.message);
            text.trim_end_matches(": ").to_owned()
        }
        kube::Error::Auth(AuthError::AuthExecRun { out, .. }) => {
            let stderr = String::from_utf8_lossy(&out.stderr);
            let last = stderr.lines().rfind(|line| !line.trim().is_empty());
            format!(
                "exec plugin: {}: {}",
                out.status,
                last.unwrap_or("no message")
            )
        }
        kube::Error::Auth(AuthError::AuthExecParse(_)) => {
            "exec plugin: its output is no ExecCredential".to_owned()
        }
        kube::Error::InferKubeconfig(error) => return reason_of_kubeconfig(error),
        error => chain(error),
    };
    short(&text)
}

/// Why a kubeconfig cannot be used.
pub(super) fn reason_of_kubeconfig(error: &KubeconfigError) -> Box<str> {
    match error {
        KubeconfigError::ReadConfig(error, _) => short(&error.to_string()),
        KubeconfigError::Parse(_) => "is no kubeconfig in YAML".into(),
        KubeconfigError::LoadContext(context) => short(&format!("has no context {context:?}")),
        error => short(&error.to_string()),
    }
}

/// Whether the server no longer knows the version that a watch was to go on from.
pub(super) fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}

/// An error and what has caused it. Most repeat their cause, which is then left out.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

fn short(text: &str) -> Box<str> {
    let cut: String = text.chars().take(MAX_LEN).collect();
    one_line(cut.trim()).into()
}
