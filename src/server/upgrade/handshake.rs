//! What RFC 6455 (4.2.1) asks of an upgrade request, and the answer to a good one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Request, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Page, refusal};

/// The version of the protocol that is spoken.
const VERSION: &str = "13";

/// Bytes of a key behind its base64.
const KEY_BYTES: usize = 16;

/// Whether a request wants to go on as a WebSocket.
pub(super) fn wants_websocket(headers: &HeaderMap) -> bool {
    holds(headers, &UPGRADE, "websocket")
}

/// The answer that makes a WebSocket of the connection.
///
/// # Errors
///
/// Fails with the page that says what is missing.
pub(super) fn accept<B>(request: &Request<B>) -> Result<Page, Box<Page>> {
    let headers = request.headers();
    let bad = |what: &str| {
        refusal(StatusCode::BAD_REQUEST, &format!("bad WebSocket handshake: {what}\n"))
    };
    if request.version() < Version::HTTP_11 {
        return Err(bad("it must be HTTP/1.1"));
    }
    if only(headers, &HOST).is_none() {
        return Err(bad("one Host header is needed"));
    }
    if !holds(headers, &CONNECTION, "upgrade") {
        return Err(bad("`Connection: Upgrade` is missing"));
    }
    let version = only(headers, &SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version != VERSION) {
        let mut page = bad("`Sec-WebSocket-Version` must be 13, once");
        if version.is_some() {
            *page.status_mut() = StatusCode::UPGRADE_REQUIRED;
            page.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        page.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        return Err(page);
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY);
    let is_key = |key: &&HeaderValue| {
        STANDARD.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == KEY_BYTES)
    };
    let Some(key) = key.filter(is_key) else {
        return Err(bad("`Sec-WebSocket-Key` must be 16 bytes in base64, once"));
    };
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
    let accept = accept.map_err(|_| bad("`Sec-WebSocket-Key` has no answer"))?;
    let mut page = Response::new(Full::new(Bytes::new()));
    *page.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    page.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    page.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    page.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(page)
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// Whether a header that is a list, over however many lines, holds this word in any case.
fn holds(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|found| found.trim().eq_ignore_ascii_case(word))
}
