//! `drain` and `undrain`: take a pool out and back, through the running server.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::cli::out;
use crate::cli::remote;

/// Which pool, and for how long.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The pool
    pool: String,
    /// Begins after this time, such as 5m: until then the TTLs of its names fall, where they have a range
    #[arg(long, value_name = "TIME")]
    r#in: Option<String>,
    /// Ends by itself after this time, such as 2h, counted from its begin
    #[arg(long, value_name = "TIME")]
    r#for: Option<String>,
    /// Why, for the status page and the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Drain it even if some clients have no other usable pool
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    server: remote::ServerOptions,
}

/// Which pool.
#[derive(Debug, clap::Args)]
pub struct UndrainOptions {
    /// The pool
    pool: String,
    #[command(flatten)]
    server: remote::ServerOptions,
}

/// Takes a pool out.
pub fn drain(config: &Path, options: &Options) -> Result<ExitCode> {
    let remote = options.server.remote(config)?;
    let mut body = json!({ "state": "drain" });
    for (key, time) in [("in", &options.r#in), ("for", &options.r#for)] {
        if let Some(time) = time {
            body[key] = time.as_str().into();
        }
    }
    if let Some(reason) = &options.reason {
        body["reason"] = reason.as_str().into();
    }
    if options.force {
        body["force"] = true.into();
    }
    let _: Value = remote.change(Method::PUT, &path(&options.pool), Some(&body))?;
    let when = match &options.r#in {
        Some(time) => format!("will be drained in {time}"),
        None => "is drained".into(),
    };
    out::print(&format!("{} {when}\n", options.pool))?;
    Ok(ExitCode::SUCCESS)
}

/// Takes a pool back in.
pub fn undrain(config: &Path, options: &UndrainOptions) -> Result<ExitCode> {
    let remote = options.server.remote(config)?;
    let _: Value = remote.change(Method::DELETE, &path(&options.pool), None)?;
    out::print(&format!("{} is no longer drained\n", options.pool))?;
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
