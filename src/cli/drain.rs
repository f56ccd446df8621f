//! `drain`, `shed`, `drill`, `up`, `down` and `undrain`: take a pool, or a share of its clients, out and back, through the running
//! server.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::cli::out;
use crate::cli::remote;
use crate::config::units::duration_text;
use crate::health::overrides::Forced;

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

/// Which pool, how much, and for how long.
#[derive(Debug, clap::Args)]
pub struct ShedOptions {
    /// The pool
    pool: String,
    /// The share of its clients that go to their next pools, from 1% to 99%
    #[arg(value_parser = percent)]
    percent: u8,
    /// Ends by itself after this time, such as 2h
    #[arg(long, value_name = "TIME")]
    r#for: Option<String>,
    /// Why, for the status page and the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    server: remote::ServerOptions,
}

/// Which pool, and for how long.
#[derive(Debug, clap::Args)]
pub struct DrillOptions {
    /// The pool
    pool: String,
    /// Ends after this time, such as 10m [default: that of its `drill`, else 10m]
    #[arg(long, value_name = "TIME")]
    r#for: Option<String>,
    /// Why, for the status page and the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    server: remote::ServerOptions,
}

/// Which pool, and for how long.
#[derive(Debug, clap::Args)]
pub struct HoldOptions {
    /// The pool
    pool: String,
    /// Ends by itself after this time, such as 2h
    #[arg(long, value_name = "TIME")]
    r#for: Option<String>,
    /// Why, for the status page and the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    server: remote::ServerOptions,
}

/// Reads `20%` or `20`.
fn percent(text: &str) -> Result<u8, String> {
    let digits = text.strip_suffix('%').unwrap_or(text);
    let percent = digits
        .parse()
        .ok()
        .filter(|percent| (1..=99).contains(percent));
    percent
        .ok_or_else(|| "expected a percentage from 1% to 99%; `drain` takes a pool out".to_owned())
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
    if let Some(time) = &options.r#in {
        body["in"] = time.as_str().into();
    }
    describe(
        &mut body,
        options.r#for.as_deref(),
        options.reason.as_deref(),
    );
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

/// Has a share of a pool's clients go to their next pools.
pub fn shed(config: &Path, options: &ShedOptions) -> Result<ExitCode> {
    let remote = options.server.remote(config)?;
    let mut body = json!({ "state": "shed", "percent": options.percent });
    describe(
        &mut body,
        options.r#for.as_deref(),
        options.reason.as_deref(),
    );
    let _: Value = remote.change(Method::PUT, &path(&options.pool), Some(&body))?;
    let (pool, percent) = (&options.pool, options.percent);
    out::print(&format!(
        "{pool} sheds {percent} % of its clients; `meridian undrain {pool}` ends it\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Takes a pool out for practice.
pub fn drill(config: &Path, options: &DrillOptions) -> Result<ExitCode> {
    let remote = options.server.remote(config)?;
    let mut body = json!({ "state": "drill" });
    describe(
        &mut body,
        options.r#for.as_deref(),
        options.reason.as_deref(),
    );
    let set: Value = remote.change(Method::PUT, &path(&options.pool), Some(&body))?;
    let time = |key: &str| set["override"][key].as_u64().unwrap_or_default();
    let length = Duration::from_secs(time("until").saturating_sub(time("since")));
    let (pool, length) = (&options.pool, duration_text(length));
    out::print(&format!(
        "{pool} is drilled for {length}, and comes back earlier if anything is wrong; `meridian undrain {pool}` ends it\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Has a pool count as up or down, whatever probes say.
pub fn hold(config: &Path, options: &HoldOptions, state: Forced) -> Result<ExitCode> {
    let remote = options.server.remote(config)?;
    let state = state.as_str();
    let mut body = json!({ "state": state });
    describe(
        &mut body,
        options.r#for.as_deref(),
        options.reason.as_deref(),
    );
    let _: Value = remote.change(Method::PUT, &path(&options.pool), Some(&body))?;
    let pool = &options.pool;
    out::print(&format!(
        "{pool} counts as {state}, whatever probes say; `meridian undrain {pool}` ends it\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Adds for how long and why.
fn describe(body: &mut Value, time: Option<&str>, reason: Option<&str>) {
    for (key, value) in [("for", time), ("reason", reason)] {
        if let Some(value) = value {
            body[key] = value.into();
        }
    }
}

/// Takes a pool back in, also one that sheds.
pub fn undrain(config: &Path, options: &UndrainOptions) -> Result<ExitCode> {
    let remote = options.server.remote(config)?;
    let _: Value = remote.change(Method::DELETE, &path(&options.pool), None)?;
    out::print(&format!("the override of {} is cleared\n", options.pool))?;
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
