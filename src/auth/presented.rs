//! What an HTTP upgrade request says of its client: the credential, and the page it comes from.

use hyper::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use hyper::http::HeaderValue;
use hyper::{HeaderMap, Uri};

use super::jwt::TOKEN_BYTES_MAX;
use super::verified::{Presented, Way};
use crate::config::Origin;

/// The subprotocol that a server answers with when it is offered, and the only one.
pub const SUBPROTOCOL: &str = "tickgate";

/// What the entry of `Sec-WebSocket-Protocol` begins with that carries a credential.
const BEARER_SUBPROTOCOL: &str = "bearer.";

/// The parameter of the URL that carries one.
const QUERY_NAME: &str = "token";

/// Characters of a path in a log.
const PATH_CHARS_MAX: usize = 200;

/// Why a request's credential cannot be made out. Answer with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPresentation {
    /// It shows two that are not the same.
    #[error("the request shows two different credentials")]
    Ambiguous,
    /// What is there where one should be is none.
    #[error("{0}")]
    Malformed(&'static str),
}

use BadPresentation::Malformed;

/// The credential that an upgrade request shows, if any: as `Authorization: Bearer …`, in the
/// cookie of this name, in `Sec-WebSocket-Protocol: tickgate, bearer.…`, or as `?token=…`.
///
/// Shown several times, it counts as shown in the first of these ways. `Authorization` with
/// another scheme is none of ours.
///
/// # Errors
///
/// Fails if what is shown differs, is empty, is too long, or holds other than visible ASCII.
pub fn presented(
    headers: &HeaderMap,
    uri: &Uri,
    cookie_name: &str,
) -> Result<Option<Presented>, BadPresentation> {
    let mut found: Option<Presented> = None;
    let mut add = |text: &str, way| {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > TOKEN_BYTES_MAX || !visible {
            return Err(Malformed("a credential is empty, too long or no visible ASCII"));
        }
        match &found {
            // Both are the client's own, so that comparing them tells nobody anything.
            Some(first) if first.secret.as_str() != text => Err(BadPresentation::Ambiguous),
            Some(_) => Ok(()),
            None => {
                found = Some(Presented { secret: text.into(), way });
                Ok(())
            }
        }
    };
    for value in headers.get_all(AUTHORIZATION) {
        let value = text(value, "`Authorization` is no text")?;
        let (scheme, credential) = value.split_once(' ').unwrap_or((value, ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            add(credential.trim(), Way::Bearer)?;
        }
    }
    for value in headers.get_all(COOKIE) {
        // Other people's cookies may hold anything.
        for pair in value.as_bytes().split(|byte| *byte == b';') {
            if let Some(value) = cookie(pair.trim_ascii(), cookie_name) {
                let value = std::str::from_utf8(value);
                add(value.map_err(|_| Malformed("the cookie is no text"))?, Way::Cookie)?;
            }
        }
    }
    let offered = offered(headers)?;
    for entry in &offered {
        if let Some(credential) = entry.strip_prefix(BEARER_SUBPROTOCOL) {
            if !offered.contains(&SUBPROTOCOL) {
                return Err(Malformed("`bearer.…` must come with the subprotocol `tickgate`"));
            }
            add(credential, Way::Subprotocol)?;
        }
    }
    for (name, value) in uri.query().into_iter().flat_map(pairs) {
        if unescaped(name).as_deref() == Some(QUERY_NAME.as_bytes()) {
            let value = unescaped(value).and_then(|bytes| String::from_utf8(bytes).ok());
            add(&value.ok_or(Malformed("`token` in the URL is no text"))?, Way::Query)?;
        }
    }
    Ok(found)
}

/// The subprotocol to answer with: [`SUBPROTOCOL`] if it is offered, else none. The entry with the
/// credential is never answered with, so that it does not get into anybody's log.
///
/// # Errors
///
/// Fails if the header is no text.
pub fn subprotocol(headers: &HeaderMap) -> Result<Option<HeaderValue>, BadPresentation> {
    let is_offered = offered(headers)?.contains(&SUBPROTOCOL);
    Ok(is_offered.then(|| HeaderValue::from_static(SUBPROTOCOL)))
}

/// Whether a request may come from the page it comes from.
///
/// Who sends no `Origin` is no browser, or none that a page could misuse: allowed. Else, with
/// `allowed` empty, the page must be on the client's own machine (localhost, 127.0.0.0/8, ::1) or
/// on the host that the request's own `Host` names, whatever its port. With `allowed` given, its
/// origin must be one of them exactly, or `*` be among them. `null`, two origins and what is no
/// origin are refused, except by `*`.
#[must_use]
pub fn origin_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let (first, more) = (origins.next(), origins.next());
    let Some(first) = first else { return true };
    if allowed.iter().any(|one| one == "*") {
        return true;
    }
    let origin = first.to_str().ok().and_then(|text| Origin::parse(text).ok());
    let (Some(origin), None) = (origin, more) else { return false };
    if allowed.is_empty() {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        return origin.is_loopback() || host.is_some_and(|host| origin.is_on(host));
    }
    allowed.iter().any(|one| Origin::parse(one).as_ref() == Ok(&origin))
}

/// A URI as it can stand in a log: its path, and whether there is a query.
#[must_use]
pub fn redact_uri(uri: &Uri) -> String {
    let path = uri.path();
    let mut shown: String = path.chars().take(PATH_CHARS_MAX).collect();
    if shown.len() < path.len() {
        shown.push('…');
    }
    // Not even names: whoever forgets `token=` puts the credential there.
    if uri.query().is_some() {
        shown.push_str("?***");
    }
    shown
}

fn text<'a>(value: &'a HeaderValue, why: &'static str) -> Result<&'a str, BadPresentation> {
    value.to_str().map_err(|_| Malformed(why))
}

/// The value of this cookie, without the quotes it may have.
fn cookie<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some(quoted.unwrap_or(value))
}

fn offered(headers: &HeaderMap) -> Result<Vec<&str>, BadPresentation> {
    let mut all = Vec::new();
    for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        let value = text(value, "`Sec-WebSocket-Protocol` is no text")?;
        all.extend(value.split(',').map(str::trim));
    }
    Ok(all)
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// The bytes behind `%xx`. `None`: they are no hexadecimal digits.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    Some(plain)
}
