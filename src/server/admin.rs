//! The HTTP port for operators: health, status and metrics.
//!
//! Meant for loopback. It answers `GET` and `HEAD`, one request a connection, and keeps no state.
//! A web page that a local browser has open could reach it under a name that resolves to
//! 127.0.0.1 (DNS rebinding); so a `Host` that is not a loopback name is refused.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::metrics;
use super::status::{ROWS_DEFAULT, ROWS_MAX, Status, StatusSource};
use crate::runtime::{Listener, Runtime, TaskGroup};

/// Connections served at once; further ones wait to be accepted.
pub const CONNECTIONS_MAX: usize = 64;

/// How long a client may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may take in all, from its first byte to its last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the gateway may take to describe itself.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a failed accept: the process is out of file descriptors, or worse.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1_024;

const INDEX: &str = "\
tickgate

/health/live   200 while the process serves
/health/ready  200 if clients may be sent here, else 503 with the reasons
/status        JSON; ?limit=N rows of users and topics (default 1000)
/metrics       OpenMetrics text
";

/// Serves the admin pages until the returned future is dropped, which ends all connections.
pub async fn serve_admin<R: Runtime, S: StatusSource>(
    runtime: R,
    mut listener: R::Listener,
    source: S,
) {
    let connections = TaskGroup::new();
    let mut failures = 0_u64;
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // `acquire_owned` fails only once the semaphore is closed, which nobody does.
    while let Ok(permit) = permits.clone().acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                failures += 1;
                if failures.is_power_of_two() {
                    warn!(%error, failures, "cannot accept an admin connection");
                }
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let source = source.clone();
        connections.spawn(&runtime, "admin_connection", async move {
            let _permit = permit;
            serve_connection(stream, source).await;
        });
    }
}

async fn serve_connection<S: StatusSource>(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    source: S,
) {
    let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
        let source = source.clone();
        async move { Ok::<_, Infallible>(answer(&request, &source).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        // The date would be the one thing in an answer that does not follow from the seed.
        .auto_date_header(false)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    match timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "an admin connection broke"),
        Err(_) => debug!("an admin connection took too long"),
    }
}

/// The answer to a request, whatever it is.
async fn answer<B, S: StatusSource>(request: &Request<B>, source: &S) -> Response<Full<Bytes>> {
    match addressee(request) {
        Addressee::Loopback => {}
        Addressee::Other => {
            return refuse(
                StatusCode::FORBIDDEN,
                "this port is for loopback names, e.g. localhost",
            );
        }
        Addressee::Unclear => return refuse(StatusCode::BAD_REQUEST, "one Host header, please"),
    }
    let page: Page = match request.uri().path() {
        "/" => Page::Index,
        "/health/live" => Page::Live,
        "/health/ready" => Page::Ready,
        "/status" => Page::Status,
        "/metrics" => Page::Metrics,
        _ => return refuse(StatusCode::NOT_FOUND, "no such page; / lists them"),
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
        refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match page {
        Page::Index => text("text/plain; charset=utf-8", INDEX),
        Page::Live => json(StatusCode::OK, &json!({ "status": "live" })),
        Page::Ready => ready(source).await,
        Page::Status => match rows_max(request.uri()) {
            Some(rows_max) => match snapshot(source, rows_max).await {
                Ok(status) => json(StatusCode::OK, &status),
                Err(reason) => refuse(StatusCode::SERVICE_UNAVAILABLE, reason),
            },
            None => refuse(
                StatusCode::BAD_REQUEST,
                &format!("limit must be a whole number from 0 to {ROWS_MAX}"),
            ),
        },
        Page::Metrics => match snapshot(source, 0).await.map(metrics::render) {
            Ok(Ok(page)) => text(metrics::CONTENT_TYPE, page),
            Ok(Err(_)) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the encoder failed"),
            Err(reason) => refuse(StatusCode::SERVICE_UNAVAILABLE, reason),
        },
    }
}

enum Page {
    Index,
    Live,
    Ready,
    Status,
    Metrics,
}

async fn ready<S: StatusSource>(source: &S) -> Response<Full<Bytes>> {
    let (reasons, warnings) = match snapshot(source, 0).await {
        Ok(status) => (status.not_ready(), status.warnings()),
        Err(reason) => (vec![reason.to_owned()], Vec::new()),
    };
    if !reasons.is_empty() {
        let body = json!({ "status": "not_ready", "reasons": reasons });
        json(StatusCode::SERVICE_UNAVAILABLE, &body)
    } else if warnings.is_empty() {
        json(StatusCode::OK, &json!({ "status": "ready" }))
    } else {
        json(StatusCode::OK, &json!({ "status": "ready", "warnings": warnings }))
    }
}

async fn snapshot<S: StatusSource>(source: &S, rows_max: usize) -> Result<Status, &'static str> {
    match timeout(STATUS_TIMEOUT, source.status(rows_max)).await {
        Ok(Some(status)) => Ok(status),
        Ok(None) => Err("gateway is stopping"),
        Err(_) => Err("gateway did not answer in time"),
    }
}

/// The `limit` of the query, or the default; `None` if it is not one, or not the only parameter.
fn rows_max(uri: &Uri) -> Option<usize> {
    match uri.query() {
        None | Some("") => Some(ROWS_DEFAULT),
        Some(query) => {
            let digits = query.strip_prefix("limit=")?;
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let rows = if plain { digits.parse().ok()? } else { return None };
            (rows <= ROWS_MAX).then_some(rows)
        }
    }
}

/// Whom a request was meant for, as its sender named it.
enum Addressee {
    Loopback,
    Other,
    Unclear,
}

fn addressee<B>(request: &Request<B>) -> Addressee {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
        // HTTP/1.0 had no such header, and no browser speaks it.
        (None, None) if request.version() == Version::HTTP_10 => return Addressee::Loopback,
        (None, _) | (Some(_), Some(_)) => None,
    };
    let Some(host) = host else { return Addressee::Unclear };
    let mut named = std::iter::once(&host).chain(request.uri().authority());
    if named.all(|authority| is_loopback(authority.host())) {
        Addressee::Loopback
    } else {
        Addressee::Other
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn refuse(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    json(status, &json!({ "status": "error", "message": message }))
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec_pretty(body) {
        Ok(mut body) => {
            body.push(b'\n');
            respond(status, "application/json", body)
        }
        Err(error) => {
            warn!(%error, "cannot write an admin page");
            respond(StatusCode::INTERNAL_SERVER_ERROR, "application/json", "{}\n")
        }
    }
}

fn text(content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    respond(StatusCode::OK, content_type, body)
}

fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
