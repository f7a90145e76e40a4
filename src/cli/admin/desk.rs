//! The gateway's end of the socket: one request a line, one answer a line.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::place;
use crate::cli::Failure;
use crate::config::{Admin, SOCKET_AUTO};
use crate::protocol::{Answer, ParseLimits, Reject, Request, parse_request};
use crate::runtime::local_socket::{LocalListener, LocalSocketError, LocalStream};
use crate::runtime::{Runtime, Task, TaskGroup, TokioRuntime};
use crate::server::{Addresses, Administrator};

/// Connections served at once; further ones wait.
const CONNECTIONS_MAX: usize = 8;

/// Bytes of a request.
const LINE_BYTES_MAX: u64 = 16 * 1_024;

/// How long a request may take to come, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pause after a failed accept: the process is out of file descriptors, or worse.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the socket that the configuration names; it is there as long as the task is kept.
///
/// A gateway whose socket is found by itself serves without one if it cannot be had.
///
/// # Errors
///
/// Fails if the configuration names a path and there can be no socket.
pub(in crate::cli) fn open(
    admin: &Admin,
    reached: &Addresses,
    administrator: Administrator,
) -> Result<Option<Task>, Failure> {
    let by_itself = admin.socket == SOCKET_AUTO;
    let path = match (by_itself, reached.admin) {
        (true, Some(address)) => place::of_port(address.port()),
        (true, None) => return Ok(None),
        (false, _) if admin.socket.is_empty() => return Ok(None),
        (false, _) => admin.socket.clone().into(),
    };
    let runtime = TokioRuntime::new();
    match LocalListener::bind(&path) {
        Ok(listener) => {
            tracing::info!(path = %path.display(), "administrators of this machine are heard");
            Ok(Some(runtime.clone().spawn("admin_socket", serve(runtime, listener, administrator))))
        }
        Err(error) if by_itself => {
            tracing::warn!(%error, "`tickgate admin` cannot be heard; set admin.socket");
            Ok(None)
        }
        Err(error @ (LocalSocketError::Unsafe { .. } | LocalSocketError::InUse(_))) => {
            Err(Failure::Usage(format!("{error} (admin.socket)")))
        }
        Err(error @ LocalSocketError::Io { .. }) => {
            Err(Failure::Usage(format!("{error} (admin.socket)")))
        }
    }
}

async fn serve(runtime: TokioRuntime, listener: LocalListener, administrator: Administrator) {
    let connections = TaskGroup::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // `acquire_owned` fails only once the semaphore is closed, which nobody does.
    while let Ok(permit) = permits.clone().acquire_owned().await {
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "cannot accept an administrator's connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let administrator = administrator.clone();
        connections.spawn(&runtime, "admin_socket_connection", async move {
            let _permit = permit;
            serve_connection(stream, &administrator).await;
        });
    }
}

async fn serve_connection(stream: LocalStream, administrator: &Administrator) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut stream).take(LINE_BYTES_MAX);
        match timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await {
            Ok(Ok(read)) if read > 0 => {}
            Ok(Ok(_) | Err(_)) | Err(_) => return,
        }
        let whole = line.ends_with(b"\n");
        let mut answer = if whole {
            answer(&line, administrator).await
        } else {
            let limit = usize::try_from(LINE_BYTES_MAX).unwrap_or(usize::MAX);
            Answer::Rejected(Reject::too_long("request", limit)).to_json(None)
        };
        answer.push(b'\n');
        let written = timeout(PATIENCE, stream.get_mut().write_all(&answer)).await;
        if !whole || !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

async fn answer(line: &[u8], administrator: &Administrator) -> Vec<u8> {
    let incoming = parse_request(line, &ParseLimits::default());
    let answer = match incoming.body {
        Ok(Request::Admin(command)) => administrator.administer(command).await,
        Ok(
            Request::Authenticate(_)
            | Request::Subscribe(_)
            | Request::Unsubscribe(_)
            | Request::UnsubscribeAll
            | Request::SubscribeOrders
            | Request::UnsubscribeOrders
            | Request::BrokerInfo
            | Request::SupportedBrokers
            | Request::Ping { .. },
        ) => Err(Reject::not_administered("only `admin` is served here")),
        Err(reject) => Err(reject),
    };
    let answer = answer.map_or_else(Answer::Rejected, Answer::Admin);
    answer.to_json(incoming.request_id.as_deref())
}
