//! The door: accepts connections, asks the [`Gate`] who may come in, and throws out whoever the
//! gate says.
//!
//! One task owns both the listening socket and the gate, so between a decision and the count that
//! it rests on there is nothing. Whoever is inside holds a [`Place`]; dropping it, on whatever
//! path, gives it back, because the room for the message that says so was reserved on arrival.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::sync::oneshot;

use super::administrator::Reply;
use super::client::{ClientContext, Ejection, serve_client};
use super::forwarded::is_trusted;
use super::turned_away::TurnedAway;
use super::upgrade::upgrade;
use crate::audit::{Audit, Record, What};
use crate::engine::{Arrival, Attempt, ChannelId, Gate, GateEffect, GateTotals, Refusal, Tried};
use crate::marks::mark;
use crate::runtime::{Clock, Listener, Runtime, TaskGroup};
use crate::topic::ClientId;

/// Pause after a failed accept (no file descriptors left, say), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections accepted before others on the core have their turn.
const ARRIVALS_PER_TURN: u64 = 4;

/// Connections that are told why they may not come in, at the same time.
pub(super) const TOLD_MAX: u32 = 1_024;

/// Messages to the gate, besides one from each connection that says that it is over.
const MESSAGES_MAX: usize = 1_024;

/// What clients of a blocked address are told.
const BLOCKED: Ejection = Ejection { code: 1008, reason: "address blocked" };

/// Something the gate is told or asked.
pub(super) enum GateMessage {
    /// A connection is over. With what is to be written down of it, if it has not come in.
    Left(ClientId, Option<Box<Record>>),
    /// A trusted proxy stands for this address.
    Locate(ClientId, IpAddr, oneshot::Sender<Result<(), Refusal>>),
    /// A client wants a place in a channel.
    Channel(ClientId, ChannelId, oneshot::Sender<Result<(), Refusal>>),
    /// May this client try a credential?
    Attempt(ClientId, oneshot::Sender<Attempt>),
    /// How that went.
    Tried(ClientId, Tried),
    /// A client is being closed for its conduct.
    Strike(ClientId),
    /// An administrator's order.
    Order(GateOrder),
}

/// Something that is done with the gate, between two of its decisions.
type GateOrder = Box<dyn FnOnce(&mut Gate, u64, &mut Vec<GateEffect>) -> Reply + Send>;

/// Where the gate is asked.
#[derive(Clone)]
pub(super) struct GateHandle(mpsc::Sender<GateMessage>);

impl GateHandle {
    /// A handle, and the mailbox that the door reads; large enough for so many clients.
    pub fn channel(clients_max: usize) -> (Self, mpsc::Receiver<GateMessage>) {
        let (sender, receiver) = mpsc::channel(clients_max + TOLD_MAX as usize + MESSAGES_MAX);
        (Self(sender), receiver)
    }

    /// Asks whether a client may try a credential, and waits for its turn. Say then with
    /// [`GateHandle::tried`] how it went. `None`: the door is closed.
    pub async fn attempt(&self, client: ClientId) -> Option<Attempt> {
        let (sender, answer) = oneshot::channel();
        self.0.send(GateMessage::Attempt(client, sender)).await.ok()?;
        answer.await.ok()
    }

    /// Says how an attempt went.
    pub async fn tried(&self, client: ClientId, outcome: Tried) {
        // If the door is closed, nobody counts any more.
        let _ = self.0.send(GateMessage::Tried(client, outcome)).await;
    }

    /// Says that a client is being closed for its conduct.
    pub async fn strike(&self, client: ClientId) {
        let _ = self.0.send(GateMessage::Strike(client)).await;
    }

    /// Has something done with the gate, and its effects carried out. `None`: the door is closed.
    pub async fn order<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Gate, u64, &mut Vec<GateEffect>) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        let order: GateOrder = Box::new(move |gate, now_ms, effects| {
            let done = order(gate, now_ms, effects);
            Box::new(move || drop(sender.send(done)))
        });
        self.0.send(GateMessage::Order(order)).await.ok()?;
        answer.await.ok()
    }

    /// Says for whom a trusted proxy stands. An error is why that one may not come in; `None`: the
    /// door is closed.
    pub async fn locate(&self, client: ClientId, address: IpAddr) -> Option<Result<(), Refusal>> {
        let (sender, answer) = oneshot::channel();
        self.0.send(GateMessage::Locate(client, address, sender)).await.ok()?;
        answer.await.ok()
    }
}

impl GateHandle {
    /// Takes a place in a channel. An error is why there is none; `None`: the door is closed.
    pub async fn enter(&self, client: ClientId, channel: ChannelId) -> Option<Result<(), Refusal>> {
        let (sender, answer) = oneshot::channel();
        self.0.send(GateMessage::Channel(client, channel, sender)).await.ok()?;
        answer.await.ok()
    }
}

/// Counts of the door. Written by the door alone; nothing is decided by them.
#[derive(Debug, Default)]
pub(super) struct DoorCounts {
    /// Connections that never became clients.
    pub turned_away: AtomicU64,
    gate: Mutex<GateCounts>,
}

/// The gate at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GateCounts {
    pub totals: GateTotals,
    pub connections: u32,
    pub networks: usize,
    pub blocks: usize,
}

impl DoorCounts {
    pub fn gate(&self) -> GateCounts {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place. Dropping it says that the connection is over.
pub(super) struct Place {
    client: ClientId,
    leaving: Option<OwnedPermit<GateMessage>>,
    /// What is to be written down of it when it is given back.
    record: Option<Box<Record>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(permit) = self.leaving.take() {
            permit.send(GateMessage::Left(self.client, self.record.take()));
        }
    }
}

/// What the door keeps of each connection.
#[derive(Default)]
struct Guest {
    /// Dropped with the door, which sends those away who have not come in yet.
    throw_out: Option<oneshot::Sender<Ejection>>,
    attempt: Option<oneshot::Sender<Attempt>>,
}

/// The door of one gateway.
pub(super) struct Door<R: Runtime> {
    pub context: Arc<ClientContext<R>>,
    pub clock: Clock,
    pub gate: Gate,
    /// Whoever has come in.
    pub clients: Arc<TaskGroup>,
    pub counts: Arc<DoorCounts>,
    pub turned_away: TurnedAway,
}

/// Somebody at the door.
pub(super) struct Visitor {
    pub id: ClientId,
    pub peer: SocketAddr,
    /// Why it may not come in.
    pub refusal: Option<Refusal>,
    pub place: Place,
    /// Where it is, once a trusted proxy has said so.
    pub located: OnceLock<IpAddr>,
    /// Why its request was refused, if there is a better word than the status.
    pub why: OnceLock<&'static str>,
    /// The status of the page it was answered with, if it was not let in.
    pub status: OnceLock<u16>,
}

impl Visitor {
    /// Where it is, as far as is known.
    pub fn address(&self) -> IpAddr {
        self.located.get().copied().unwrap_or_else(|| self.peer.ip())
    }
}

impl<R: Runtime> Door<R> {
    /// Accepts connections until it is dropped. Who has come in by then stays; who has not is sent
    /// away.
    pub async fn run(
        mut self,
        mut listener: R::Listener,
        mut mailbox: mpsc::Receiver<GateMessage>,
    ) {
        let mut guests: BTreeMap<ClientId, Guest> = BTreeMap::new();
        let mut effects = Vec::new();
        let (mut next_id, mut failures, mut gives_way) = (0_u64, 0_u64, false);
        loop {
            let accepted = tokio::select! {
                biased;
                message = mailbox.recv() => {
                    let Some(message) = message else { return };
                    let reply = self.told(message, &mut guests, &mut effects);
                    carry_out(&mut effects, &mut guests, &self.context.audit);
                    if let Some(reply) = reply {
                        reply();
                    }
                    None
                }
                accepted = listener.accept() => Some(accepted),
            };
            match accepted {
                None => {}
                Some(Ok((stream, peer))) => {
                    next_id += 1;
                    self.arrived(ClientId(next_id), stream, peer, &mut guests);
                    gives_way = next_id.is_multiple_of(ARRIVALS_PER_TURN);
                }
                Some(Err(error)) => {
                    failures += 1;
                    if failures.is_power_of_two() {
                        tracing::warn!(%error, failures, "a connection could not be accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            #[cfg(debug_assertions)]
            self.gate.check();
            self.publish();
            if std::mem::take(&mut gives_way) {
                // However many come at once, ticks do not wait for all their handshakes.
                tokio::task::yield_now().await;
            }
        }
    }

    fn arrived(
        &mut self,
        id: ClientId,
        stream: R::Stream,
        peer: SocketAddr,
        guests: &mut BTreeMap<ClientId, Guest>,
    ) {
        let turned_away = || self.counts.turned_away.fetch_add(1, Ordering::Relaxed);
        let Ok(leaving) = self.context.gate.0.clone().try_reserve_owned() else {
            turned_away();
            return;
        };
        let is_proxy = is_trusted(&self.context.trusted_proxies, peer.ip());
        let address = (!is_proxy).then(|| peer.ip());
        let refusal = match self.gate.arrive(self.clock.now_ms(), id, address) {
            Arrival::Admitted => None,
            Arrival::Told(refusal) => Some(refusal),
            Arrival::Dropped => {
                // Not even an answer: a flood must not cost a task each.
                turned_away();
                return;
            }
        };
        mark!(AddressCrowded if refusal == Some(Refusal::Crowded));
        let (throw_out, thrown_out) = oneshot::channel();
        guests.insert(id, Guest { throw_out: Some(throw_out), attempt: None });
        let place = Place { client: id, leaving: Some(leaving), record: None };
        let (located, why, status) = Default::default();
        let visitor = Visitor { id, peer, refusal, place, located, why, status };
        let (context, counts) = (self.context.clone(), self.counts.clone());
        self.clients.spawn(&self.context.runtime, "client", async move {
            receive(context, stream, visitor, thrown_out, &counts).await;
        });
    }

    fn told(
        &mut self,
        message: GateMessage,
        guests: &mut BTreeMap<ClientId, Guest>,
        effects: &mut Vec<GateEffect>,
    ) -> Option<Reply> {
        let now_ms = self.clock.now_ms();
        match message {
            GateMessage::Left(id, record) => {
                if let Some(record) = record {
                    self.turned_away.write(now_ms, *record, &self.context.audit);
                }
                self.gate.leave(now_ms, id, effects);
                guests.remove(&id);
            }
            GateMessage::Locate(id, address, answer) => {
                // Whoever asked may have given up.
                let _ = answer.send(self.gate.locate(now_ms, id, address));
            }
            GateMessage::Channel(id, channel, answer) => {
                let entered = self.gate.enter_channel(now_ms, id, channel);
                mark!(ChannelCrowded if entered.is_err());
                let _ = answer.send(entered);
            }
            GateMessage::Attempt(id, answer) => {
                if let Some(guest) = guests.get_mut(&id) {
                    guest.attempt = Some(answer);
                    self.gate.attempt(now_ms, id, effects);
                    mark!(AttemptQueues if effects.is_empty());
                }
            }
            GateMessage::Tried(id, outcome) => self.gate.tried(now_ms, id, outcome, effects),
            GateMessage::Strike(id) => self.gate.strike(now_ms, id, effects),
            GateMessage::Order(order) => return Some(order(&mut self.gate, now_ms, effects)),
        }
        None
    }

    fn publish(&self) {
        let counts = GateCounts {
            totals: self.gate.totals(),
            connections: self.gate.admitted(),
            networks: self.gate.networks(),
            blocks: self.gate.blocked(),
        };
        *self.counts.gate.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }
}

fn carry_out(effects: &mut Vec<GateEffect>, guests: &mut BTreeMap<ClientId, Guest>, audit: &Audit) {
    for effect in effects.drain(..) {
        match effect {
            GateEffect::Answer(id, attempt) => {
                mark!(AttemptWaits if matches!(attempt, Attempt::Wait(_)));
                let asked = guests.get_mut(&id).and_then(|guest| guest.attempt.take());
                if let Some(answer) = asked {
                    let _ = answer.send(attempt);
                }
            }
            GateEffect::Close(id) => {
                let thrown = guests.get_mut(&id).and_then(|guest| guest.throw_out.take());
                if let Some(throw_out) = thrown {
                    let _ = throw_out.send(BLOCKED);
                }
            }
            GateEffect::Blocked(network, for_ms) => {
                audit.put(What::AddressBlocked { network, for_ms: Some(for_ms) }.record());
                mark!(AddressBlocked);
                tracing::warn!(%network, for_ms, "an address is blocked for its clients' conduct");
            }
        }
    }
}

async fn receive<R: Runtime>(
    context: Arc<ClientContext<R>>,
    stream: R::Stream,
    mut visitor: Visitor,
    // Errs once the door is closed.
    mut thrown_out: oneshot::Receiver<Ejection>,
    counts: &DoorCounts,
) {
    let limit = Duration::from_millis(context.config.server.handshake_timeout_ms);
    // On the heap, and gone when the client is in: what it needs then is much less.
    let upgrading = Box::pin(upgrade(&context, stream, &visitor, limit));
    let upgraded = tokio::select! {
        biased;
        thrown = &mut thrown_out => {
            mark!(StopAtDoor if thrown.is_err());
            mark!(BlockedAtDoor if thrown.is_ok());
            Err(if thrown.is_ok() { "blocked" } else { "stopping" })
        }
        upgraded = tokio::time::timeout(limit, upgrading) => match upgraded {
            Ok(upgraded) => upgraded.ok_or("broken"),
            Err(_) => Err("timeout"),
        },
    };
    let upgraded = match upgraded {
        Ok(upgraded) => upgraded,
        Err(otherwise) => {
            mark!(HandshakeFailed);
            counts.turned_away.fetch_add(1, Ordering::Relaxed);
            visitor.place.record = visitor.turned_away(otherwise).map(Box::new);
            return;
        }
    };
    Box::pin(serve_client(context, visitor.id, upgraded, thrown_out)).await;
    drop(visitor.place);
}
