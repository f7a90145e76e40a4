//! One client's connection, from the first byte to the last: reads requests, hands them on.
//!
//! tungstenite does the handshake's aftermath and the reading; all writing is the shard's. What
//! tungstenite wants to write itself (pongs, close replies) is picked up and sent through the
//! client's outbox, so that the two never write into each other.

mod desk;
mod socket;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use ipnet::IpNet;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError, ProtocolError};

use super::credential::Found;
use super::door::GateHandle;
use super::heartbeat::{Beat, Heartbeat, PING_FRAME};
use super::hub::{HubMessage, Parting};
use super::shard::{ShardMailbox, ShardMessage};
use super::tls::{MaybeTls, Tls};
use super::turns::Turns;
use crate::audit::{Audit, Record, What};
use crate::auth::Verifier;
use crate::config::{ChannelKind, Config, OutboxPolicy};
use crate::engine::{
    ChannelId, Conduct, Content, Escalation, Event, Manner, Rates, Reaction, ShardId,
};
use crate::marks::mark;
use crate::runtime::{Clock, Runtime};
use crate::topic::{BrokerName, ClientId};

use desk::Desk;
use socket::{Socket, discard, is_long_length, open_socket};

/// What every client's task needs.
pub(super) struct ClientContext<R: Runtime> {
    pub runtime: R,
    pub config: Config,
    pub verifier: Arc<Verifier<R>>,
    /// Of users whose key names none.
    pub default_broker: BrokerName,
    pub clock: Clock,
    pub gate: GateHandle,
    /// What a client must get through before it can ask for anything.
    pub tls: Option<Arc<Tls>>,
    pub audit: Audit,
    /// Whose word is taken for where a client is.
    pub trusted_proxies: Vec<IpNet>,
    pub hub: mpsc::Sender<HubMessage>,
    pub turns: Turns,
    pub shards: Vec<ShardMailbox<R>>,
}

impl<R: Runtime> ClientContext<R> {
    /// How ticks wait for the clients of a channel.
    fn manner(&self, channel: ChannelId) -> Manner {
        let ticks_max = self.config.outbox.ticks_max;
        let Some(entry) = channel.entry(&self.config.channel) else {
            return Manner { policy: OutboxPolicy::Conflate, ticks_max, content: Content::Ticks };
        };
        let ticks_max = match (entry.kind, entry.outbox) {
            // All of a broadcast is in its latest frame.
            (ChannelKind::Broadcast, OutboxPolicy::Conflate) => 0,
            (ChannelKind::Broadcast | ChannelKind::Interactive, _) if entry.ticks_max == 0 => {
                ticks_max
            }
            (ChannelKind::Broadcast | ChannelKind::Interactive, _) => entry.ticks_max,
        };
        let content = match entry.kind {
            ChannelKind::Broadcast => Content::Broadcasts,
            ChannelKind::Interactive => Content::Ticks,
        };
        Manner { policy: entry.outbox, ticks_max, content }
    }
}

/// A connection whose upgrade is done.
pub(super) struct Upgraded<S> {
    pub stream: S,
    /// What the client sent right behind its upgrade request.
    pub early: Bytes,
    /// Where the client is.
    pub address: IpAddr,
    /// Whether the client is on this machine.
    pub loopback: bool,
    /// By which way it has come.
    pub channel: ChannelId,
    /// Who it is, if it has shown a credential with its upgrade request.
    pub found: Option<Found>,
}

/// How a client is sent away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ejection {
    /// WebSocket close code.
    pub code: u16,
    /// Which rule says so.
    pub reason: &'static str,
}

impl From<Ejection> for Parting {
    fn from(Ejection { code, reason }: Ejection) -> Self {
        Self { code: Some(code), reason: Some(reason) }
    }
}

/// Serves a client until its connection ends or it is thrown out. Whatever happens, the hub learns
/// of the end.
pub(super) async fn serve_client<R: Runtime>(
    context: Arc<ClientContext<R>>,
    id: ClientId,
    upgraded: Upgraded<MaybeTls<R::Stream>>,
    thrown_out: oneshot::Receiver<Ejection>,
) {
    // Boxes, so that what an idle client keeps is not as large as all that it once needed.
    let entered = Box::pin(enter(&context, id, upgraded)).await;
    let Some((mut session, mut end)) = entered else { return };
    let run = Box::pin(session.run(&mut end, thrown_out));
    let parting = AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(client = %id, "the task of a client panicked; its connection is closed");
        Parting::default()
    });
    // The hub ends everything the client had; what is left is to let its last bytes arrive.
    if context.hub.send(HubMessage::Left(id, parting)).await.is_ok() {
        session.linger().await;
    }
}

/// Has a client's shard and the hub take it in. `None`: the gateway is ending.
async fn enter<R: Runtime>(
    context: &Arc<ClientContext<R>>,
    id: ClientId,
    upgraded: Upgraded<MaybeTls<R::Stream>>,
) -> Option<(Box<Session<R>>, oneshot::Receiver<Ejection>)> {
    let shard: ShardId = usize::try_from(id.0).unwrap_or(0) % context.shards.len();
    let flushes = matches!(upgraded.stream, MaybeTls::Tls(_));
    let (reader, writer) = tokio::io::split(upgraded.stream);
    let (ended, end) = oneshot::channel();
    let credit = Arc::new(Semaphore::new(context.config.limits.requests_in_flight_max));
    let attach = ShardMessage::Attach {
        client: id,
        writer,
        flushes,
        ended,
        credit: credit.clone(),
        manner: context.manner(upgraded.channel),
    };
    context.shards[shard].send(attach).await.ok()?;
    let address = Some(upgraded.address);
    let channel = upgraded.channel;
    let path = channel.path(&context.config.channel).into();
    context.audit.put(Record { address, ..What::Opened { channel: path }.of(id) });
    let opened = Event::Opened { client: id, shard, channel };
    context.hub.send(HubMessage::Event(opened)).await.ok()?;
    let socket = open_socket(&context.config, reader, upgraded.early).await;
    let now_ms = context.clock.now_ms();
    let limits = &context.config.limits;
    let escalation = Escalation::new(&context.config.conduct);
    let conduct = Conduct::new(now_ms, Rates::new(limits), escalation);
    let loopback = upgraded.loopback;
    let violations = BTreeMap::new();
    let desk = Desk { context: context.clone(), id, shard, loopback, conduct, violations };
    if let Some(found) = upgraded.found {
        desk.welcome(found).await;
    }
    let heartbeat = Heartbeat::new(&context.config.server, context.clock);
    Some((Box::new(Session { desk, socket, credit, heartbeat }), end))
}

struct Session<R: Runtime> {
    desk: Desk<R>,
    socket: Socket<MaybeTls<R::Stream>>,
    /// One permit for each request that may be unanswered; the shard gives them back.
    credit: Arc<Semaphore>,
    heartbeat: Heartbeat,
}

/// Why a client's connection is over.
enum Over {
    /// Either side has closed it, or it broke.
    Ended(Parting),
    /// The client broke a rule: it gets this close code, and is read no more.
    Broke(u16, &'static str),
}

impl<R: Runtime> Session<R> {
    async fn run(
        &mut self,
        end: &mut oneshot::Receiver<Ejection>,
        thrown_out: oneshot::Receiver<Ejection>,
    ) -> Parting {
        let over = tokio::select! {
            biased;
            closed_by = &mut *end => Over::Ended(closed_by.map(Parting::from).unwrap_or_default()),
            ejection = ejected(thrown_out) => Over::Broke(ejection.code, ejection.reason),
            over = self.read_requests() => over,
        };
        let (code, reason) = match over {
            Over::Ended(parting) => return parting,
            Over::Broke(code, reason) => (code, reason),
        };
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
        Ejection { code, reason }.into()
    }

    async fn read_requests(&mut self) -> Over {
        loop {
            let credit = self.credit.clone();
            mark!(CreditSpent if credit.available_permits() == 0);
            let Ok(permit) = credit.acquire().await else {
                return Over::Ended(Parting::default());
            };
            let message = tokio::select! {
                biased;
                message = self.socket.next() => message,
                beat = self.heartbeat.next() => match beat {
                    Beat::Ping => {
                        let (client, frame) = (self.desk.id, Bytes::from_static(PING_FRAME));
                        self.desk.to_shard(ShardMessage::Control { client, frame }).await;
                        continue;
                    }
                    Beat::Silent => {
                        mark!(Silent);
                        return Over::Broke(4408, "heartbeat missed");
                    }
                }
            };
            self.heartbeat.heard();
            let Some(message) = message else { return Over::Ended(Parting::default()) };
            let served = match message {
                // Boxed, as it is large and gone most of the time.
                Ok(Message::Text(text)) => {
                    permit.forget();
                    Box::pin(self.desk.request(text.as_bytes())).await
                }
                Ok(Message::Binary(bytes)) => {
                    permit.forget();
                    Box::pin(self.desk.request(&bytes)).await
                }
                // tungstenite hands on whole messages alone, and no frame.
                Ok(Message::Ping(bytes) | Message::Pong(bytes)) => {
                    let client = self.desk.id;
                    self.forward(|frame| ShardMessage::Control { client, frame }).await;
                    self.desk.control_frame(bytes.len())
                }
                Ok(Message::Frame(_)) => Reaction::None,
                Ok(Message::Close(said)) => {
                    mark!(SaysGoodbye);
                    let client = self.desk.id;
                    self.forward(|frame| ShardMessage::CloseReply { client, frame }).await;
                    let code = said.map(|frame| frame.code.into());
                    return Over::Ended(Parting { code, reason: Some("closed by the client") });
                }
                Err(error) => return over(&error),
            };
            match served {
                Reaction::None | Reaction::Warn => {}
                Reaction::Throttle(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                Reaction::Close => {
                    mark!(ConductClosed);
                    self.desk.context.audit.put(What::ConductClosed {}.of(self.desk.id));
                    self.desk.context.gate.strike(self.desk.id).await;
                    return Over::Broke(4429, "rules broken repeatedly");
                }
            }
        }
    }

    /// Sends on what tungstenite wants to write.
    async fn forward(&mut self, wrap: impl FnOnce(Bytes) -> ShardMessage<MaybeTls<R::Stream>>) {
        // Writing into memory cannot fail; after a close tungstenite says that it is closed.
        let _ = self.socket.flush().await;
        let written = std::mem::take(&mut self.socket.get_mut().written);
        if !written.is_empty() {
            self.desk.to_shard(wrap(Bytes::from(written))).await;
        }
    }

    /// Reads and drops what the client still sends, so that the last frames reach it.
    async fn linger(mut self: Box<Self>) {
        let pause = Duration::from_millis(self.desk.context.config.server.close_timeout_ms);
        let reader = &mut self.socket.get_mut().reader;
        let _ = tokio::time::timeout(pause, discard(reader)).await;
    }
}

/// Resolves if the client is thrown out; never once the door is closed.
async fn ejected(thrown_out: oneshot::Receiver<Ejection>) -> Ejection {
    match thrown_out.await {
        Ok(ejection) => ejection,
        Err(_) => std::future::pending().await,
    }
}

/// What a failed read means for the connection.
fn over(error: &WsError) -> Over {
    match error {
        WsError::Capacity(CapacityError::MessageTooLong { .. }) => {
            Over::Broke(1009, "message too big")
        }
        WsError::Utf8(_) => Over::Broke(1007, "text is not UTF-8"),
        // It has gone without a word, which is no offence.
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Over::Ended(Parting::default())
        }
        WsError::Protocol(_) | WsError::Capacity(_) | WsError::AttackAttempt => {
            Over::Broke(1002, "protocol error")
        }
        WsError::Io(error) if is_long_length(error) => Over::Broke(1002, "protocol error"),
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Io(_)
        | WsError::Tls(_)
        | WsError::WriteBufferFull(_)
        | WsError::Url(_)
        | WsError::Http(_)
        | WsError::HttpFormat(_) => Over::Ended(Parting::default()),
    }
}
