//! One client's connection, from the first byte to the last: reads requests, hands them on.
//!
//! tungstenite does the handshake's aftermath and the reading; all writing is the shard's. What
//! tungstenite wants to write itself (pongs, close replies) is picked up and sent through the
//! client's outbox, so that the two never write into each other.

use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, ReadHalf};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::hub::HubMessage;
use super::shard::ShardMessage;
use crate::auth::{Denied, Presented, Refusal, Verifier, Way};
use crate::config::Config;
use crate::engine::{Event, Identity, Request, ShardId};
use crate::marks::mark;
use crate::protocol::{self, Answer, Credential, ParseLimits, Reject, RequestId};
use crate::runtime::Runtime;
use crate::topic::{BrokerName, ClientId};

/// Bytes of tungstenite's read buffer: its default of 128 KiB is zeroed before every read.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// Levels of nesting in a request.
const NESTING_MAX: usize = 64;

/// What every client's task needs.
pub(super) struct ClientContext<R: Runtime> {
    pub runtime: R,
    pub config: Config,
    pub verifier: Arc<Verifier<R>>,
    /// Of users whose key names none.
    pub default_broker: BrokerName,
    pub hub: mpsc::Sender<HubMessage>,
    pub shards: Vec<mpsc::Sender<ShardMessage<R::Stream>>>,
}

/// A connection whose upgrade is done.
pub(super) struct Upgraded<S> {
    pub stream: S,
    /// What the client sent right behind its upgrade request.
    pub early: Bytes,
    /// Whether the client is on this machine.
    pub loopback: bool,
}

/// Serves a client until its connection ends. Whatever happens, the hub learns of the end.
pub(super) async fn serve_client<R: Runtime>(
    context: Arc<ClientContext<R>>,
    id: ClientId,
    upgraded: Upgraded<R::Stream>,
) {
    let shard: ShardId = usize::try_from(id.0).unwrap_or(0) % context.shards.len();
    let (reader, writer) = tokio::io::split(upgraded.stream);
    let (ended, mut end) = oneshot::channel();
    let credit = Arc::new(Semaphore::new(context.config.limits.requests_in_flight_max));
    let attach = ShardMessage::Attach { client: id, writer, ended, credit: credit.clone() };
    if context.shards[shard].send(attach).await.is_err() {
        return;
    }
    if context.hub.send(HubMessage::Event(Event::Opened { client: id, shard })).await.is_err() {
        return;
    }
    let socket = open_socket(&context.config, reader, upgraded.early).await;
    let desk = Desk { context: context.clone(), id, shard, loopback: upgraded.loopback };
    let mut session = Session { desk, socket, credit };
    let panicked = AssertUnwindSafe(session.run(&mut end)).catch_unwind().await.is_err();
    if panicked {
        tracing::error!(client = %id, "the task of a client panicked; its connection is closed");
    }
    // The hub ends everything the client had; what is left is to let its last bytes arrive.
    if context.hub.send(HubMessage::Event(Event::Closed { client: id })).await.is_ok() {
        session.linger().await;
    }
}

type Socket<S> = WebSocketStream<ReadSide<S>>;

struct Session<R: Runtime> {
    desk: Desk<R>,
    socket: Socket<R::Stream>,
    /// One permit for each request that may be unanswered; the shard gives them back.
    credit: Arc<Semaphore>,
}

/// Where a client's requests are read and handed on.
struct Desk<R: Runtime> {
    context: Arc<ClientContext<R>>,
    id: ClientId,
    shard: ShardId,
    loopback: bool,
}

/// Why a client's connection is over.
enum Over {
    /// Either side has closed it, or it broke.
    Ended,
    /// The client broke a rule: it gets this close code, and is read no more.
    Broke(u16, &'static str),
}

impl<R: Runtime> Session<R> {
    async fn run(&mut self, end: &mut oneshot::Receiver<()>) {
        let over = tokio::select! {
            biased;
            _ = &mut *end => Over::Ended,
            over = self.read_requests() => over,
        };
        if let Over::Broke(code, reason) = over {
            mark!(ProtocolBroken);
            let close = ShardMessage::Close { client: self.desk.id, code, reason };
            self.desk.to_shard(close).await;
            let reader = self.socket.get_mut();
            // Unread bytes would turn the close into a reset, and the client would never see why.
            tokio::select! {
                biased;
                _ = &mut *end => {}
                () = discard(&mut reader.reader) => {}
            }
        }
    }

    async fn read_requests(&mut self) -> Over {
        loop {
            let credit = self.credit.clone();
            mark!(CreditSpent if credit.available_permits() == 0);
            let Ok(permit) = credit.acquire().await else { return Over::Ended };
            let Some(message) = self.socket.next().await else { return Over::Ended };
            match message {
                Ok(Message::Text(text)) => {
                    permit.forget();
                    self.desk.request(text.as_bytes()).await;
                }
                Ok(Message::Binary(bytes)) => {
                    permit.forget();
                    self.desk.request(&bytes).await;
                }
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                    let client = self.desk.id;
                    self.forward(|frame| ShardMessage::Control { client, frame }).await;
                }
                Ok(Message::Close(_)) => {
                    mark!(SaysGoodbye);
                    let client = self.desk.id;
                    self.forward(|frame| ShardMessage::CloseReply { client, frame }).await;
                    return Over::Ended;
                }
                Err(error) => return over(&error),
            }
        }
    }

    /// Sends on what tungstenite wants to write.
    async fn forward(&mut self, wrap: impl FnOnce(Bytes) -> ShardMessage<R::Stream>) {
        // Writing into memory cannot fail; after a close tungstenite says that it is closed.
        let _ = self.socket.flush().await;
        let written = std::mem::take(&mut self.socket.get_mut().written);
        if !written.is_empty() {
            self.desk.to_shard(wrap(Bytes::from(written))).await;
        }
    }

    /// Reads and drops what the client still sends, so that the last frames reach it.
    async fn linger(mut self) {
        let pause = Duration::from_millis(self.desk.context.config.server.close_timeout_ms);
        let reader = &mut self.socket.get_mut().reader;
        let _ = tokio::time::timeout(pause, discard(reader)).await;
    }
}

impl<R: Runtime> Desk<R> {
    /// Parses one request and hands it to the hub. The credential stays here.
    async fn request(&self, bytes: &[u8]) {
        let limits = &self.context.config.limits;
        let limits = ParseLimits {
            symbols_max: limits.symbols_per_request_max,
            name_bytes_max: limits.name_bytes_max,
            nesting_max: NESTING_MAX,
        };
        let incoming = protocol::parse_request(bytes, &limits);
        let request = match incoming.body {
            Ok(request) => self.translate(request).await,
            Err(reject) => Request::Ready(Answer::Rejected(reject)),
        };
        self.to_hub(incoming.request_id, request).await;
    }

    async fn translate(&self, request: protocol::Request) -> Request {
        match request {
            protocol::Request::Authenticate(credential) => {
                Request::Authenticate(self.verify(credential).await)
            }
            protocol::Request::Subscribe(entries) => Request::Subscribe(entries),
            protocol::Request::Unsubscribe(entries) => Request::Unsubscribe(entries),
            protocol::Request::UnsubscribeAll => Request::UnsubscribeAll,
            protocol::Request::SubscribeOrders => Request::SubscribeOrders,
            protocol::Request::UnsubscribeOrders => Request::UnsubscribeOrders,
            protocol::Request::BrokerInfo => Request::BrokerInfo,
            protocol::Request::SupportedBrokers => Request::SupportedBrokers,
            protocol::Request::Ping { timestamp, ping_id } => Request::Ready(Answer::Pong {
                server_timestamp_ms: self.context.runtime.unix_ms(),
                timestamp,
                ping_id,
            }),
        }
    }

    async fn verify(&self, credential: Option<Credential>) -> Result<Identity, Reject> {
        let presented: Presented = credential.ok_or_else(Reject::api_key_required)?.into();
        let unix_ms = self.context.runtime.unix_ms();
        match self.context.verifier.verify(&presented, self.loopback, unix_ms).await {
            Ok(verified) => {
                let broker = verified.broker.unwrap_or_else(|| self.context.default_broker.clone());
                Ok(Identity { user: verified.user, broker })
            }
            Err(Denied::Bad(refusal)) => {
                tracing::debug!(client = %self.id, %refusal, "a credential is refused");
                Err(match (refusal, presented.way) {
                    (Refusal::Unknown, Way::ApiKey) => Reject::invalid_api_key(),
                    _ => Reject::invalid_token(),
                })
            }
            Err(Denied::NoBroker) => Err(Reject::no_broker()),
            Err(Denied::Unavailable(why)) => {
                tracing::warn!(client = %self.id, why, "a credential cannot be checked now");
                Err(Reject::cannot_verify_now())
            }
        }
    }

    async fn to_hub(&self, request_id: Option<RequestId>, request: Request) {
        let event = Event::Request { client: self.id, request_id, request };
        // If the hub is gone the gateway is ending, and this task with it.
        let _ = self.context.hub.send(HubMessage::Event(event)).await;
    }

    async fn to_shard(&self, message: ShardMessage<R::Stream>) {
        let _ = self.context.shards[self.shard].send(message).await;
    }
}

/// What a failed read means for the connection.
fn over(error: &WsError) -> Over {
    match error {
        WsError::Capacity(CapacityError::MessageTooLong { .. }) => {
            Over::Broke(1009, "message too big")
        }
        WsError::Utf8(_) => Over::Broke(1007, "text is not UTF-8"),
        WsError::Protocol(_) | WsError::Capacity(_) | WsError::AttackAttempt => {
            Over::Broke(1002, "protocol error")
        }
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Io(_)
        | WsError::Tls(_)
        | WsError::WriteBufferFull(_)
        | WsError::Url(_)
        | WsError::Http(_)
        | WsError::HttpFormat(_) => Over::Ended,
    }
}

/// Reads until the peer ends the stream or it breaks.
async fn discard<S: AsyncRead + Unpin>(reader: &mut S) {
    // On the heap, since every idle client's task would carry it otherwise.
    let mut scratch = vec![0_u8; 1_024];
    while matches!(reader.read(&mut scratch).await, Ok(read) if read > 0) {}
}

async fn open_socket<S: AsyncRead + AsyncWrite + Unpin>(
    config: &Config,
    reader: ReadHalf<S>,
    early: Bytes,
) -> Socket<S> {
    let bytes_max = Some(config.limits.message_bytes_max);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(bytes_max)
        .max_frame_size(bytes_max)
        .write_buffer_size(0)
        .max_write_buffer_size(READ_BUFFER_BYTES);
    let side = ReadSide { reader, written: Vec::new() };
    WebSocketStream::from_partially_read(side, early.into(), Role::Server, Some(config)).await
}

/// The read half of the connection; what is written to it is only collected.
struct ReadSide<S> {
    reader: ReadHalf<S>,
    written: Vec<u8>,
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadSide<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl<S: Unpin> AsyncWrite for ReadSide<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
