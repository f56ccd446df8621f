//! `drain` and `undrain`: take a pool out and back, through the running server.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::cli::EXIT_CONFIG;
use crate::cli::out;
use crate::cli::remote::Remote;

/// Which pool, and for how long.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The pool
    pool: String,
    /// Ends by itself after this time, such as 2h
    #[arg(long, value_name = "TIME")]
    r#for: Option<String>,
    /// Why, for the status page and the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Takes a pool out.
pub fn drain(config: &Path, options: &Options) -> Result<ExitCode> {
    let Some(remote) = Remote::of(config)? else {
        return Ok(ExitCode::from(EXIT_CONFIG));
    };
    let mut body = json!({ "state": "drain" });
    if let Some(time) = &options.r#for {
        body["for"] = time.as_str().into();
    }
    if let Some(reason) = &options.reason {
        body["reason"] = reason.as_str().into();
    }
    let _: Value = remote.change(Method::PUT, &path(&options.pool), Some(&body))?;
    out::print(&format!("{} is drained\n", options.pool))?;
    Ok(ExitCode::SUCCESS)
}

/// Takes a pool back in.
pub fn undrain(config: &Path, pool: &str) -> Result<ExitCode> {
    let Some(remote) = Remote::of(config)? else {
        return Ok(ExitCode::from(EXIT_CONFIG));
    };
    let _: Value = remote.change(Method::DELETE, &path(pool), None)?;
    out::print(&format!("{pool} is back\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Pool names are letters, digits, `.`, `_` and `-`; what else is typed is sent as such and not found.
fn path(pool: &str) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let encoded: String = pool
        .bytes()
        .map(|byte| match is_plain(&byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect();
    format!("/api/v1/overrides/{encoded}")
}
