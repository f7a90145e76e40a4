//! A visitor's way through the HTTP upgrade, or why not.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use super::client::{ClientContext, Upgraded};
use super::door::Visitor;
use super::forwarded::{came_through_a_proxy, client_of, is_trusted};
use crate::engine::Refusal;
use crate::protocol::{Answer, ErrorCode, Reject};
use crate::runtime::Runtime;

/// Bytes of HTTP headers, all together.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// When to try again where nobody can know.
const RETRY_MS: u64 = 1_000;

type Page = Response<Full<Bytes>>;

/// What the upgrade request says of its sender.
#[derive(Clone, Copy, Debug)]
struct Sender {
    /// Whether it is certainly on this machine.
    loopback: bool,
}

/// Takes a connection through the upgrade, or answers why not.
pub(super) async fn upgrade<R: Runtime>(
    context: &ClientContext<R>,
    stream: R::Stream,
    visitor: &Visitor,
    limit: Duration,
) -> Option<Upgraded<R::Stream>> {
    let upgraded: Mutex<Option<(OnUpgrade, Sender)>> = Mutex::new(None);
    let service = service_fn(|mut request: Request<Incoming>| {
        let upgraded = &upgraded;
        async move {
            let (page, sender) = match receive(context, visitor, &request).await {
                Ok((page, sender)) => (page, Some(sender)),
                Err(page) => (page, None),
            };
            if let Some(sender) = sender {
                let on_upgrade = hyper::upgrade::on(&mut request);
                let mut upgraded = upgraded.lock().unwrap_or_else(PoisonError::into_inner);
                *upgraded = Some((on_upgrade, sender));
            }
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
    let parts = on_upgrade.await.ok()?.downcast::<TokioIo<R::Stream>>().ok()?;
    let Sender { loopback } = sender;
    Some(Upgraded { stream: parts.io.into_inner(), early: parts.read_buf, loopback })
}

/// The answer to an upgrade request, and who sent it if it is let in.
async fn receive<R: Runtime>(
    context: &ClientContext<R>,
    visitor: &Visitor,
    request: &Request<Incoming>,
) -> Result<(Page, Sender), Page> {
    if let Some(refusal) = visitor.refusal {
        return Err(turned_away(refusal));
    }
    let wants_upgrade = request.headers().get(UPGRADE).is_some_and(|value| {
        value.to_str().is_ok_and(|value| value.eq_ignore_ascii_case("websocket"))
    });
    if request.method() != Method::GET || !wants_upgrade {
        let mut page = refusal(
            StatusCode::UPGRADE_REQUIRED,
            "this is a WebSocket server: connect with a WebSocket client\n",
        );
        page.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        return Err(page);
    }
    let sender = locate(context, visitor, request).await?;
    match create_response_with_body(request, Full::default) {
        Ok(page) => Ok((page, sender)),
        Err(error) => {
            let text = format!("bad WebSocket handshake: {error}\n");
            Err(refusal(StatusCode::BAD_REQUEST, &text))
        }
    }
}

/// Finds out where a request comes from, and whether somebody from there may come in.
async fn locate<R: Runtime>(
    context: &ClientContext<R>,
    visitor: &Visitor,
    request: &Request<Incoming>,
) -> Result<Sender, Page> {
    let (peer, headers) = (visitor.peer.ip(), request.headers());
    if !is_trusted(&context.trusted_proxies, peer) {
        // A proxy on this machine that nobody told us of stands for the whole world.
        let loopback = is_loopback(peer) && !came_through_a_proxy(headers);
        return Ok(Sender { loopback });
    }
    let Some(address) = client_of(headers, &context.trusted_proxies, peer) else {
        return Err(refusal(StatusCode::BAD_REQUEST, "X-Forwarded-For is no list of addresses\n"));
    };
    match context.gate.locate(visitor.id, address).await {
        Some(Ok(())) => Ok(Sender { loopback: false }),
        Some(Err(refusal)) => Err(turned_away(refusal)),
        None => Err(refusal(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping\n")),
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// What somebody is told who may not come in. The body is what a client would read as an answer.
fn turned_away(why: Refusal) -> Page {
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
        Refusal::Blocked(left_ms) => {
            (StatusCode::FORBIDDEN, ErrorCode::Forbidden, "Your address is blocked", left_ms)
        }
    };
    let reject = Reject { retry_after_ms: retry_ms, ..Reject::new(code, message) };
    let mut body = Answer::Rejected(reject).to_json(None);
    body.push(b'\n');
    let mut page = respond(status, "application/json", body);
    if let Some(ms) = retry_ms {
        page.headers_mut().insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
    }
    page
}

fn refusal(status: StatusCode, text: &str) -> Page {
    respond(status, "text/plain; charset=utf-8", text.to_owned())
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Page {
    let mut page = Response::new(Full::new(body.into()));
    *page.status_mut() = status;
    page.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    page
}
