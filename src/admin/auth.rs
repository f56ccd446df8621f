//! The bearer tokens (RFC 6750) that calls which change something need.
//!
//! Each token permits what its configuration says. Without any those calls are refused: an admin port must
//! not become writable because a line was left out.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;
use tracing::warn;

use crate::base::digits;
use crate::base::lock::lock;
use crate::config::rights::Change;
use crate::config::rights::Right;

/// The secret; it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

/// The tokens that are taken at the moment; none: nobody may change anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access(pub Vec<Grant>);

/// A token and what it permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What logs call it.
    pub name: Arc<str>,
    /// What it permits.
    pub can: Arc<[Right]>,
    /// `None`: its file cannot be used now.
    pub token: Option<Token>,
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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It brings no bearer token.
    #[error("this call needs the header `Authorization: Bearer TOKEN`")]
    Missing,
    /// Nobody may.
    #[error(
        "calls that change something are refused: neither [admin] token_file nor [[admin.token]] is \
         configured"
    )]
    NotConfigured,
    /// Its token does not permit this.
    #[error("the token `{token}` does not permit this, which needs {needed} in its `can`")]
    NotPermitted {
        /// The token's name.
        token: Arc<str>,
        /// The rights of which one would do.
        needed: String,
    },
    /// Nobody may for now.
    #[error(
        "calls that change something are refused: no token file of [admin] can be used now, see the log"
    )]
    Unusable,
    /// It brings another token.
    #[error("the bearer token is none of those in [admin]")]
    Wrong,
}

impl Denied {
    /// The label of `admin_refused_total`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Missing => "missing_token",
            Self::NotConfigured | Self::Unusable => "no_token_file",
            Self::NotPermitted { .. } => "not_permitted",
            Self::Wrong => "wrong_token",
        }
    }
}

/// Judges a call by its headers, and returns the name of its token.
///
/// # Errors
/// If it may not change this.
pub fn authorize(
    access: &Access,
    headers: &HeaderMap,
    change: Change<'_>,
) -> Result<Arc<str>, Denied> {
    authenticate(access, headers, Schemes::Bearer)?.permit(change)
}

/// How a call may bring its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schemes {
    /// As a bearer token.
    Bearer,
    /// So, or as the password of Basic credentials (RFC 7617): all that a client can send which has nothing but
    /// a URL for them. Browsers send these by themselves, so calls that take them must not be ones that a web page
    /// can make.
    BearerOrBasic,
}

/// Who brings a token: what is configured with it, which may be more than one grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder(Vec<Grant>);

impl Holder {
    /// What logs call the token.
    pub fn name(&self) -> Arc<str> {
        let Self(grants) = self;
        grants
            .first()
            .map_or_else(|| "".into(), |grant| Arc::clone(&grant.name))
    }

    /// The name of the token that permits a change.
    ///
    /// # Errors
    /// If none does.
    pub fn permit(&self, change: Change<'_>) -> Result<Arc<str>, Denied> {
        let Self(grants) = self;
        let rights = change.rights();
        let permits = |grant: &&Grant| grant.can.iter().any(|right| rights.contains(right));
        match (grants.iter().find(permits), grants.first()) {
            (Some(grant), _) => Ok(Arc::clone(&grant.name)),
            (None, Some(grant)) => {
                let rights = rights.iter().map(|right| format!("\"{right}\""));
                Err(Denied::NotPermitted {
                    token: Arc::clone(&grant.name),
                    needed: rights.collect::<Vec<_>>().join(" or "),
                })
            }
            (None, None) => Err(Denied::Wrong),
        }
    }
}

/// Finds out who makes a call.
///
/// # Errors
/// If it brings no token that is taken.
pub fn authenticate(
    access: &Access,
    headers: &HeaderMap,
    schemes: Schemes,
) -> Result<Holder, Denied> {
    holder(access, presented(headers, schemes).as_deref())
}

/// Finds out who brings a token.
///
/// # Errors
/// If there is none, or none that is taken.
pub fn holder(access: &Access, presented: Option<&[u8]>) -> Result<Holder, Denied> {
    let Access(grants) = access;
    if grants.is_empty() {
        return Err(Denied::NotConfigured);
    }
    if grants.iter().all(|grant| grant.token.is_none()) {
        return Err(Denied::Unusable);
    }
    let presented = presented.ok_or(Denied::Missing)?;
    // All are compared, so that the time taken does not reveal which one it is like.
    let mut matching = Vec::new();
    for grant in grants {
        let token = grant.token.as_ref();
        if token.is_some_and(|token| token.is(presented)) {
            matching.push(grant.clone());
        }
    }
    match matching.is_empty() {
        true => Err(Denied::Wrong),
        false => Ok(Holder(matching)),
    }
}

/// The token that a call brings.
fn presented(headers: &HeaderMap, schemes: Schemes) -> Option<Vec<u8>> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let at = value.iter().position(|octet| *octet == b' ')?;
    let (scheme, credentials) = value.split_at(at);
    let credentials = credentials.trim_ascii();
    // A scheme's name is compared without case (RFC 9110 s11.1).
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return Some(credentials.to_vec());
    }
    let is_basic = schemes == Schemes::BearerOrBasic && scheme.eq_ignore_ascii_case(b"Basic");
    let credentials = str::from_utf8(credentials).ok().filter(|_| is_basic)?;
    let login = digits::base64(credentials)?;
    let colon = login.iter().position(|octet| *octet == b':')?;
    Some(login[colon + 1..].to_vec())
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
    pub fn refused(&self, client: IpAddr, reason: &Denied) {
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
            authorize(access, &headers, Change::Reload).map(drop)
        };
        let open = access([("t", &[Right::All], Some("s3cret-token"))]);
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
                (Access::default(), Denied::NotConfigured),
                (access([("t", &[Right::All], None)]), Denied::Unusable),
            ] {
                assert_eq!(asked(&closed, header), Err(denied), "{header:?}");
            }
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn basic_credentials_open_where_they_are_taken() {
        let access = access([("t", &[Right::All], Some("s3cret-token"))]);
        for (header, result) in [
            // `x:s3cret-token`, `:s3cret-token`, `s3cret-token:x` and `s3cret-token`.
            ("Basic eDpzM2NyZXQtdG9rZW4=", Ok(())),
            ("basic OnMzY3JldC10b2tlbg==", Ok(())),
            ("Basic czNjcmV0LXRva2VuOng=", Err(Denied::Wrong)),
            ("Basic czNjcmV0LXRva2Vu", Err(Denied::Missing)),
            ("Basic ?", Err(Denied::Missing)),
            ("Basic", Err(Denied::Missing)),
            ("Bearer s3cret-token", Ok(())),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, header.parse().expect("a header"));
            let found = authenticate(&access, &headers, Schemes::BearerOrBasic).map(drop);
            assert_eq!(found, result, "{header}");
            let found = authenticate(&access, &headers, Schemes::Bearer).map(drop);
            let is_bearer = header.starts_with("Bearer");
            assert_eq!(
                found,
                if is_bearer {
                    result
                } else {
                    Err(Denied::Missing)
                },
                "{header}"
            );
        }
    }

    fn access<const N: usize>(grants: [(&str, &[Right], Option<&str>); N]) -> Access {
        let grant = |(name, can, token): (&str, &[Right], Option<&str>)| Grant {
            name: name.into(),
            can: can.into(),
            token: token.map(|text| Token::parse(text).expect("a token")),
        };
        Access(grants.map(grant).into())
    }

    #[test]
    fn a_token_opens_what_it_permits() {
        let pool = |name: &str| Right::Pool(name.into());
        let access = access([
            ("gone", &[Right::All], None),
            ("ci", &[Right::Read, pool("eu")], Some("ci-token")),
            ("ops", &[Right::Drain], Some("ops-token")),
            ("twin", &[Right::Reload], Some("ops-token")),
        ]);
        for (bearer, change, expected) in [
            ("ci-token", Change::Endpoints("eu"), Ok("ci")),
            ("ci-token", Change::Override("eu"), Ok("ci")),
            (
                "ci-token",
                Change::Override("us"),
                Err(("ci", "\"drain\" or \"pool:us\" or \"all\"")),
            ),
            (
                "ci-token",
                Change::Endpoints("us"),
                Err(("ci", "\"pool:us\" or \"all\"")),
            ),
            ("ops-token", Change::Override("us"), Ok("ops")),
            ("ops-token", Change::Reload, Ok("twin")),
            (
                "ops-token",
                Change::Endpoints("us"),
                Err(("ops", "\"pool:us\" or \"all\"")),
            ),
        ] {
            let mut headers = HeaderMap::new();
            let value = format!("Bearer {bearer}").parse().expect("a header");
            headers.insert(AUTHORIZATION, value);
            let expected = expected.map(Arc::from).map_err(|(token, needed)| {
                let (token, needed) = (token.into(), needed.into());
                Denied::NotPermitted { token, needed }
            });
            assert_eq!(
                authorize(&access, &headers, change),
                expected,
                "{bearer} {change:?}"
            );
        }
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
