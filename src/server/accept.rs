//! The door: accepts connections and takes them through the HTTP upgrade.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use super::client::{ClientContext, Upgraded, serve_client};
use crate::marks::mark;
use crate::runtime::{Listener, Runtime, TaskGroup};
use crate::topic::ClientId;

/// Pause after a failed accept (no file descriptors left, say), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that are told that the house is full, at the same time.
const VISITORS_MAX: usize = 1_024;

/// Bytes of HTTP headers, all together.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Counts of the door.
#[derive(Debug, Default)]
pub(super) struct DoorCounts {
    /// Connections that never became clients.
    pub turned_away: AtomicU64,
}

/// Accepts connections until it is dropped. Who has come in by then stays, owned by `clients`; who
/// has not is sent away.
pub(super) async fn accept_clients<R: Runtime>(
    context: Arc<ClientContext<R>>,
    mut listener: R::Listener,
    clients: Arc<TaskGroup>,
    counts: Arc<DoorCounts>,
) {
    let places = Arc::new(Semaphore::new(context.config.limits.clients_max));
    let (_open, door) = watch::channel(());
    let (mut next_id, mut failures) = (0, 0_u64);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                failures += 1;
                if failures.is_power_of_two() {
                    tracing::warn!(%error, failures, "a connection could not be accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if clients.len() >= context.config.limits.clients_max + VISITORS_MAX {
            // Not even an answer: a flood must not cost a task each.
            counts.turned_away.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let place = places.clone().try_acquire_owned().ok();
        next_id += 1;
        let visitor = Visitor { id: ClientId(next_id), peer, place, door: door.clone() };
        let (task_context, task_counts) = (context.clone(), counts.clone());
        clients.spawn(&context.runtime, "client", async move {
            receive(task_context, stream, visitor, &task_counts).await;
        });
    }
}

/// Somebody at the door.
struct Visitor {
    id: ClientId,
    peer: SocketAddr,
    /// `None`: the house is full.
    place: Option<OwnedSemaphorePermit>,
    /// Errs once the door is closed.
    door: watch::Receiver<()>,
}

async fn receive<R: Runtime>(
    context: Arc<ClientContext<R>>,
    stream: R::Stream,
    mut visitor: Visitor,
    counts: &DoorCounts,
) {
    let limit = Duration::from_millis(context.config.server.handshake_timeout_ms);
    let upgrading = upgrade::<R>(stream, visitor.place.is_some(), limit);
    let upgraded = tokio::select! {
        biased;
        _ = visitor.door.changed() => {
            mark!(StopAtDoor);
            None
        }
        upgraded = tokio::time::timeout(limit, upgrading) => upgraded.ok().flatten(),
    };
    let Some((stream, early)) = upgraded else {
        mark!(HandshakeFailed);
        counts.turned_away.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let loopback = visitor.peer.ip().is_loopback();
    serve_client(context, visitor.id, Upgraded { stream, early, loopback }).await;
    drop(visitor.place);
}

/// Takes a connection through the upgrade, or answers why not.
async fn upgrade<R: Runtime>(
    stream: R::Stream,
    admitted: bool,
    limit: Duration,
) -> Option<(R::Stream, Bytes)> {
    let upgraded: Mutex<Option<OnUpgrade>> = Mutex::new(None);
    let service = service_fn(|mut request: Request<Incoming>| {
        let response = answer(&request, admitted);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let on_upgrade = hyper::upgrade::on(&mut request);
            *upgraded.lock().unwrap_or_else(PoisonError::into_inner) = Some(on_upgrade);
        }
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limit)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    connection.await.ok()?;
    let on_upgrade = upgraded.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    let parts = on_upgrade.await.ok()?.downcast::<TokioIo<R::Stream>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf))
}

type Page = Response<Full<Bytes>>;

fn answer(request: &Request<Incoming>, admitted: bool) -> Page {
    if !admitted {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "the gateway is full; try again later\n");
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
        return page;
    }
    create_response_with_body(request, Full::default).unwrap_or_else(|error| {
        refusal(StatusCode::BAD_REQUEST, &format!("bad WebSocket handshake: {error}\n"))
    })
}

fn refusal(status: StatusCode, text: &str) -> Page {
    let mut page = Response::new(Full::from(text.to_owned()));
    *page.status_mut() = status;
    page.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    page
}
