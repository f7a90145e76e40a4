//! A visitor's way through the HTTP upgrade, or why not.

mod handshake;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE, WWW_AUTHENTICATE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;

use super::client::{ClientContext, Upgraded};
use super::credential::{Found, TurnedDown, Why};
use super::door::Visitor;
use super::forwarded::{came_through_a_proxy, client_of, is_trusted};
use super::tls::{MaybeTls, secure};
use crate::audit::{Record, What};
use crate::auth::{
    BadPresentation, NotMinted, TOKEN_PREFIX, origin_allowed, presented, subprotocol,
};
use crate::config::ChannelAuth;
use crate::engine::{ChannelId, Refusal};
use crate::marks::mark;
use crate::protocol::{Answer, ErrorCode, Reject};
use crate::runtime::Runtime;

/// Bytes of HTTP headers, all together.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Where a page gets a token with which it can connect once.
const TOKEN_PATH: &str = "/api/ws-token";

/// When to try again where nobody can know.
const RETRY_MS: u64 = 1_000;

type Page = Response<Full<Bytes>>;

/// What the upgrade request says of its sender.
#[derive(Debug)]
struct Sender {
    /// Whether it is certainly on this machine.
    loopback: bool,
    /// By which way it comes.
    channel: ChannelId,
    /// Who it is, if it has shown a credential.
    found: Option<Found>,
}

/// Takes a connection through TLS, if it is configured, and the upgrade, or answers why not.
pub(super) async fn upgrade<R: Runtime>(
    context: &ClientContext<R>,
    stream: R::Stream,
    visitor: &Visitor,
    limit: Duration,
) -> Option<Upgraded<MaybeTls<R::Stream>>> {
    if context.tls.is_some() && matches!(visitor.refusal, Some(Refusal::Blocked(_))) {
        // A handshake costs more than whoever is blocked is worth.
        let _ = visitor.why.set("blocked");
        return None;
    }
    let stream = match secure(context.tls.as_deref(), stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(client = %visitor.id, %error, "no TLS handshake");
            let _ = visitor.why.set("tls");
            return None;
        }
    };
    let upgraded: Mutex<Option<(OnUpgrade, Sender)>> = Mutex::new(None);
    let service = service_fn(|mut request: Request<Incoming>| {
        let upgraded = &upgraded;
        async move {
            let page = match receive(context, visitor, &request).await {
                Ok((page, sender)) => {
                    let on_upgrade = hyper::upgrade::on(&mut request);
                    let mut upgraded = upgraded.lock().unwrap_or_else(PoisonError::into_inner);
                    *upgraded = Some((on_upgrade, sender));
                    page
                }
                Err(page) => {
                    // A second request on the connection does not change why the first was refused.
                    let _ = visitor.status.set(page.status().as_u16());
                    *page
                }
            };
            Ok::<_, Infallible>(page)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limit)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    connection.await.ok()?;
    let (on_upgrade, sender) = upgraded.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    let parts = on_upgrade.await.ok()?.downcast::<TokioIo<MaybeTls<R::Stream>>>().ok()?;
    let Sender { loopback, channel, found } = sender;
    let (stream, early) = (parts.io.into_inner(), parts.read_buf);
    Some(Upgraded { stream, early, address: visitor.address(), loopback, channel, found })
}

/// The answer to an upgrade request, and who sent it if it is let in.
async fn receive<R: Runtime>(
    context: &ClientContext<R>,
    visitor: &Visitor,
    request: &Request<Incoming>,
) -> Result<(Page, Sender), Box<Page>> {
    if let Some(refusal) = visitor.refusal {
        return Err(turned_away(visitor, refusal));
    }
    let wants_token = request.uri().path() == TOKEN_PATH;
    let wants_upgrade = handshake::wants_websocket(request.headers());
    match (wants_token, request.method()) {
        (true, &Method::POST) => {}
        (false, &Method::GET) if wants_upgrade => {}
        (true, _) => {
            let mut page = refusal(StatusCode::METHOD_NOT_ALLOWED, "POST it, with a credential\n");
            page.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Err(page);
        }
        (false, _) => {
            let mut page = refusal(
                StatusCode::UPGRADE_REQUIRED,
                "this is a WebSocket server: connect with a WebSocket client\n",
            );
            page.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
            return Err(page);
        }
    }
    let loopback = locate(context, visitor, request).await?;
    let headers = request.headers();
    if !origin_allowed(headers, &context.config.auth.origins) {
        let _ = visitor.why.set("foreign_page");
        let reject = Reject::new(ErrorCode::Forbidden, "This page may not connect to this server");
        return Err(rejected(StatusCode::FORBIDDEN, reject));
    }
    let found = identify(context, visitor, request, loopback).await?;
    if wants_token {
        return Err(mint(context, visitor, found));
    }
    let channel = admit(context, visitor, request, found.as_ref()).await?;
    let subprotocol = subprotocol(headers).map_err(|bad| malformed(&bad))?;
    let mut page = handshake::accept(request)?;
    if let Some(name) = subprotocol {
        page.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
    }
    Ok((page, Sender { loopback, channel, found }))
}

/// Who a request's credential belongs to, if it shows one.
async fn identify<R: Runtime>(
    context: &ClientContext<R>,
    visitor: &Visitor,
    request: &Request<Incoming>,
    loopback: bool,
) -> Result<Option<Found>, Box<Page>> {
    let cookie = &context.config.auth.cookie;
    let shown = presented(request.headers(), request.uri(), cookie);
    let Some(shown) = shown.map_err(|bad| malformed(&bad))? else { return Ok(None) };
    if request.uri().path() == TOKEN_PATH && shown.secret.as_str().starts_with(TOKEN_PREFIX) {
        // Whoever got hold of one would have the next for ever.
        let reject = Reject::new(ErrorCode::Forbidden, "A token cannot get another one");
        return Err(rejected(StatusCode::FORBIDDEN, reject));
    }
    match context.try_credential(visitor.id, &shown, loopback).await {
        Ok(found) => Ok(Some(found)),
        Err(TurnedDown { reject, why }) => {
            let _ = visitor.why.set("credential");
            let what = What::AuthenticationFailed { reason: reject.code.as_str(), count: 1 };
            let address = Some(visitor.address());
            context.audit.put(Record { address, ..what.of(visitor.id) });
            let status = match why {
                Why::Wrong => StatusCode::UNAUTHORIZED,
                Why::TooSoon => StatusCode::TOO_MANY_REQUESTS,
                Why::NoBroker => StatusCode::FORBIDDEN,
                Why::NotNow => StatusCode::SERVICE_UNAVAILABLE,
            };
            if why != Why::Wrong {
                return Err(rejected(status, reject));
            }
            mark!(WrongAtDoor);
            Err(unauthorized(reject))
        }
    }
}

/// The channel that a request is for, in which its sender has a place from now on.
async fn admit<R: Runtime>(
    context: &ClientContext<R>,
    visitor: &Visitor,
    request: &Request<Incoming>,
    found: Option<&Found>,
) -> Result<ChannelId, Box<Page>> {
    let channels = &context.config.channel;
    let Some(channel) = ChannelId::of_path(channels, request.uri().path()) else {
        let _ = visitor.why.set("path");
        return Err(refusal(StatusCode::NOT_FOUND, "there is no channel of this path\n"));
    };
    let Some(entry) = channel.entry(channels) else { return Ok(channel) };
    if entry.auth == ChannelAuth::Door && found.is_none() {
        let _ = visitor.why.set("credential");
        let message = "This channel needs a credential with the upgrade request";
        return Err(unauthorized(Reject::new(ErrorCode::AuthenticationError, message)));
    }
    if found.is_some_and(|found| !entry.admits(found.verified.role)) {
        let _ = visitor.why.set("role");
        return Err(rejected(StatusCode::FORBIDDEN, Reject::forbidden("use this channel")));
    }
    match context.gate.enter(visitor.id, channel).await {
        Some(Ok(())) => Ok(channel),
        Some(Err(refusal)) => Err(turned_away(visitor, refusal)),
        None => Err(stopping()),
    }
}

/// A one-use token for whoever has shown a credential.
fn mint<R: Runtime>(
    context: &ClientContext<R>,
    visitor: &Visitor,
    found: Option<Found>,
) -> Box<Page> {
    let Some(Found { verified, generation }) = found else {
        let reject = Reject::new(ErrorCode::AuthenticationError, "Show a credential");
        return unauthorized(reject);
    };
    match context.verifier.mint(&verified, generation) {
        Ok(minted) => {
            context.audit.put(Record {
                address: Some(visitor.address()),
                user: Some(verified.user),
                role: Some(verified.role),
                ..What::TokenIssued {}.of(visitor.id)
            });
            let body = json!({
                "status": "success",
                "token": minted.token.as_str(),
                "expires_in_ms": minted.ttl_ms,
            });
            let mut page = respond(StatusCode::OK, "application/json", format!("{body}\n"));
            page.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            page
        }
        Err(NotMinted::Outdated) => unauthorized(Reject::credential_revoked()),
        Err(NotMinted::Full(full)) => {
            let message = "There are too many unused tokens; try again later";
            let mut reject = Reject::new(ErrorCode::LimitExceeded, message);
            reject.retry_after_ms = Some(full.retry_after_ms);
            rejected(StatusCode::TOO_MANY_REQUESTS, reject)
        }
    }
}

/// Finds out where a request comes from, and whether somebody from there may come in. Tells whether
/// it is certainly on this machine.
async fn locate<R: Runtime>(
    context: &ClientContext<R>,
    visitor: &Visitor,
    request: &Request<Incoming>,
) -> Result<bool, Box<Page>> {
    let (peer, headers) = (visitor.peer.ip(), request.headers());
    if !is_trusted(&context.trusted_proxies, peer) {
        // A proxy on this machine that nobody told us of stands for the whole world.
        return Ok(is_loopback(peer) && !came_through_a_proxy(headers));
    }
    let Some(address) = client_of(headers, &context.trusted_proxies, peer) else {
        return Err(refusal(StatusCode::BAD_REQUEST, "X-Forwarded-For is no list of addresses\n"));
    };
    let _ = visitor.located.set(address);
    match context.gate.locate(visitor.id, address).await {
        Some(Ok(())) => Ok(false),
        Some(Err(refusal)) => Err(turned_away(visitor, refusal)),
        None => Err(stopping()),
    }
}

fn stopping() -> Box<Page> {
    refusal(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping\n")
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// What somebody is told who may not come in.
fn turned_away(visitor: &Visitor, why: Refusal) -> Box<Page> {
    let _ = visitor.why.set(match why {
        Refusal::Full => "full",
        Refusal::Crowded => "crowded",
        Refusal::ChannelFull => "channel_full",
        Refusal::Blocked(_) => "blocked",
    });
    let (status, code, message, retry_ms) = match why {
        Refusal::Full => (
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::LimitExceeded,
            "The gateway is full; try again later",
            Some(RETRY_MS),
        ),
        Refusal::Crowded => (
            StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::LimitExceeded,
            "Your address has all the connections that it may have",
            Some(RETRY_MS),
        ),
        Refusal::ChannelFull => (
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::LimitExceeded,
            "The channel is full; try again later",
            Some(RETRY_MS),
        ),
        Refusal::Blocked(left_ms) => {
            (StatusCode::FORBIDDEN, ErrorCode::Forbidden, "Your address is blocked", left_ms)
        }
    };
    rejected(status, Reject { retry_after_ms: retry_ms, ..Reject::new(code, message) })
}

fn malformed(bad: &BadPresentation) -> Box<Page> {
    refusal(StatusCode::BAD_REQUEST, &format!("{bad}\n"))
}

/// A refusal whose body is what a client would read as an answer.
fn rejected(status: StatusCode, reject: Reject) -> Box<Page> {
    let retry_ms = reject.retry_after_ms;
    let mut body = Answer::Rejected(reject).to_json(None);
    body.push(b'\n');
    let mut page = respond(status, "application/json", body);
    if let Some(ms) = retry_ms {
        page.headers_mut().insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
    }
    page
}

/// A refusal that a credential would change.
fn unauthorized(reject: Reject) -> Box<Page> {
    let mut page = rejected(StatusCode::UNAUTHORIZED, reject);
    let challenge = HeaderValue::from_static("Bearer realm=\"tickgate\"");
    page.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    page
}

fn refusal(status: StatusCode, text: &str) -> Box<Page> {
    respond(status, "text/plain; charset=utf-8", text.to_owned())
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Box<Page> {
    let mut page = Response::new(Full::new(body.into()));
    *page.status_mut() = status;
    page.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Box::new(page)
}
