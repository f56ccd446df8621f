//! The bearer token (RFC 6750) that calls which change something need.
//!
//! There is one right, and who holds the token has it. Without a token those calls are refused: an
//! admin port must not become writable because a line was left out.

use std::fmt;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;
use tracing::warn;

use crate::base::lock::lock;

/// The secret; it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

/// What is needed for calls that change something, at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nobody may make them: no `token_file` is configured.
    NotConfigured,
    /// This token.
    Token(Token),
    /// Nobody may make them while the `token_file` cannot be used.
    Unusable,
}

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing but white space.
    #[error("the file is empty, expected a token on one line")]
    Empty,
    /// Something that no client could send in a header.
    #[error(
        "the token holds white space or unprintable characters, expected one line of printable ASCII"
    )]
    Unprintable,
}

impl Token {
    /// Reads a token file's text; white space around the token is no part of it.
    ///
    /// # Errors
    /// If there is no token, or one that cannot be sent in an HTTP header.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        match text.trim() {
            "" => Err(TokenError::Empty),
            token if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self(token.into())),
            _ => Err(TokenError::Unprintable),
        }
    }

    /// Whether it is so short that it can be guessed.
    pub fn is_short(&self) -> bool {
        self.0.len() < MIN_LEN
    }

    /// Whether this is it. The time taken reveals its length, and nothing else.
    fn is(&self, presented: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(presented).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why a call may not change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It brings no bearer token.
    #[error("this call needs the header `Authorization: Bearer TOKEN`")]
    Missing,
    /// Nobody may.
    #[error("calls that change something are refused: [admin] token_file is not configured")]
    NotConfigured,
    /// Nobody may for now.
    #[error(
        "calls that change something are refused: [admin] token_file cannot be used now, see the log"
    )]
    Unusable,
    /// It brings another token.
    #[error("the bearer token is not the one in [admin] token_file")]
    Wrong,
}

impl Denied {
    /// The label of `admin_refused_total`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing_token",
            Self::NotConfigured | Self::Unusable => "no_token_file",
            Self::Wrong => "wrong_token",
        }
    }
}

/// Judges a call by its headers.
///
/// # Errors
/// If it may not change anything.
pub fn authorize(access: &Access, headers: &HeaderMap) -> Result<(), Denied> {
    let token = match access {
        Access::NotConfigured => return Err(Denied::NotConfigured),
        Access::Token(token) => token,
        Access::Unusable => return Err(Denied::Unusable),
    };
    let value = headers.get(AUTHORIZATION).ok_or(Denied::Missing)?;
    let (scheme, presented) = value
        .as_bytes()
        .split_at_checked(SCHEME.len())
        .ok_or(Denied::Missing)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(Denied::Missing);
    }
    match token.is(presented.trim_ascii()) {
        true => Ok(()),
        false => Err(Denied::Wrong),
    }
}

/// Logs refused calls, a line a minute at most.
#[derive(Default)]
pub struct RefusalLog(Mutex<Unlogged>);

#[derive(Default)]
struct Unlogged {
    calls: u64,
    last_line: Option<Instant>,
}

impl RefusalLog {
    /// Notes a refused call; a line has the number of calls since the line before.
    pub fn refused(&self, client: IpAddr, reason: Denied) {
        let mut unlogged = lock(&self.0);
        unlogged.calls += 1;
        if unlogged
            .last_line
            .is_none_or(|at| at.elapsed() >= LINE_INTERVAL)
        {
            let calls = unlogged.calls;
            warn!(%client, %reason, calls, "admin: call refused");
            *unlogged = Unlogged {
                calls: 0,
                last_line: Some(Instant::now()),
            };
        }
    }
}

/// From one line about refused calls to the next.
const LINE_INTERVAL: Duration = Duration::from_secs(60);

/// Fewer characters than this can be guessed.
const MIN_LEN: usize = 16;

/// The scheme's name is compared without case (RFC 9110 s11.1).
const SCHEME: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_token_opens() {
        let token = Token::parse(" s3cret-token\n").expect("a token");
        assert!(
            token.is_short()
                && !Token::parse("0123456789abcdef")
                    .expect("a token")
                    .is_short()
        );
        let asked = |access: &Access, header: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(AUTHORIZATION, header.parse().expect("a header"));
            }
            authorize(access, &headers)
        };
        let open = Access::Token(token.clone());
        for (header, result) in [
            (Some("Bearer s3cret-token"), Ok(())),
            (Some("bearer  s3cret-token "), Ok(())),
            (None, Err(Denied::Missing)),
            (Some("s3cret-token"), Err(Denied::Missing)),
            (Some("Basic s3cret-token"), Err(Denied::Missing)),
            (Some("Bearer"), Err(Denied::Missing)),
            (Some("Bearer "), Err(Denied::Wrong)),
            (Some("Bearer s3cret-toke"), Err(Denied::Wrong)),
            (Some("Bearer s3cret-token2"), Err(Denied::Wrong)),
            (Some("Bearer S3cret-token"), Err(Denied::Wrong)),
        ] {
            assert_eq!(asked(&open, header), result, "{header:?}");
            for (closed, denied) in [
                (Access::NotConfigured, Denied::NotConfigured),
                (Access::Unusable, Denied::Unusable),
            ] {
                assert_eq!(asked(&closed, header), Err(denied), "{header:?}");
            }
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn tokens_must_fit_a_header() {
        for (text, error) in [
            ("", TokenError::Empty),
            (" \n\t", TokenError::Empty),
            ("two words", TokenError::Unprintable),
            ("two\nlines", TokenError::Unprintable),
            ("gehe\u{fc}m", TokenError::Unprintable),
        ] {
            assert_eq!(Token::parse(text).expect_err(text), error, "{text:?}");
        }
    }
}
