//! The bearer token (RFC 6750) that calls which change something need.
//!
//! There is one right, and who holds the token has it. Without a token those calls are refused: an
//! admin port must not become writable because a line was left out.

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use subtle::ConstantTimeEq as _;

/// The secret; it is never printed.
pub struct Token(Box<str>);

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

    /// Whether this is it. The time taken tells the length, and nothing else of the secret.
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
    /// It brings another token.
    #[error("the bearer token is not the one in [admin] token_file")]
    Wrong,
}

/// Judges a call by its headers.
///
/// # Errors
/// If it may not change anything.
pub fn authorize(token: Option<&Token>, headers: &HeaderMap) -> Result<(), Denied> {
    let token = token.ok_or(Denied::NotConfigured)?;
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

/// The scheme's name is compared without case (RFC 9110 s11.1).
const SCHEME: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_token_opens() {
        let token = Token::parse(" s3cret-token\n").expect("a token");
        let asked = |token: Option<&Token>, header: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(AUTHORIZATION, header.parse().expect("a header"));
            }
            authorize(token, &headers)
        };
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
            assert_eq!(asked(Some(&token), header), result, "{header:?}");
            assert_eq!(
                asked(None, header),
                Err(Denied::NotConfigured),
                "{header:?}"
            );
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
