//! The status page.

use crate::admin::json::Status;

/// Nothing from elsewhere, and no scripts.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page for one status.
pub fn html(status: &Status) -> String {
    format!(
        "<!doctype html><title>Meridian</title><p>Meridian {}\n",
        status.version
    )
}
