//! ROUTER: talks to any number of peers, each by its number.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::counters::Counters;
use super::dealer::QUEUE_MESSAGES_MAX;
use super::fault::{Fault, StartError};
use super::link::SocketType;
use super::listener::{accept_all, admit, bind, report, seats};
use super::message::Message;
use super::options::Options;
use super::pump::{Port, pump};
use super::wire::encode_shared;
use crate::runtime::{Runtime, Task};

/// Events that wait to be received. When all are taken, peers are no longer read.
const EVENTS_MAX: usize = 64;

/// A ROUTER socket, bound to one address. Dropping it closes all connections; [`Router::close`]
/// waits until they are, and the address is free.
#[derive(Debug)]
pub struct Router {
    events: mpsc::Receiver<Event>,
    received: VecDeque<Message>,
    /// Who sent what is in `received`.
    sender: PeerId,
    bound: SocketAddr,
    shared: Arc<Shared>,
    task: Task,
}

/// One connection of a [`Router`]. Numbers are never reused, so a peer that reconnects is a new
/// one, whatever it calls itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

/// What happens to a [`Router`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterEvent {
    /// A peer has connected.
    Joined(PeerId),
    /// A peer has gone. Told exactly once for each that joined, after its last message.
    Left(PeerId),
    /// A peer sent this.
    Message {
        /// Who.
        peer: PeerId,
        /// What.
        message: Message,
    },
}

/// A message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The peer has left, or never was.
    #[error("the peer is gone")]
    Gone,
    /// The peer does not read: [`QUEUE_MESSAGES_MAX`] messages wait for it.
    #[error("the peer's queue is full")]
    Full,
}

impl Router {
    /// Binds `address` (`host:port`).
    ///
    /// # Errors
    ///
    /// Fails if the address cannot be bound.
    pub async fn bind<R: Runtime>(
        runtime: &R,
        options: Options,
        address: &str,
    ) -> Result<Self, StartError> {
        let (listener, bound) = bind(runtime, address).await?;
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let shared = Arc::new(Shared {
            options,
            counters: Arc::default(),
            joined: AtomicU64::new(0),
            queues: Mutex::default(),
        });
        let counters = Arc::clone(&shared.counters);
        let serving = Arc::clone(&shared);
        let serve =
            move |stream, from| Arc::clone(&serving).accepted::<R>(stream, from, sender.clone());
        let accepting = accept_all(runtime.clone(), listener, seats(), counters, serve);
        let task = runtime.spawn("zmtp-listen", accepting);
        let received = VecDeque::new();
        Ok(Self { events, received, sender: PeerId(0), bound, shared, task })
    }

    /// Waits for the next event. Cancel-safe. Waits for ever once the runtime shuts down.
    pub async fn recv(&mut self) -> RouterEvent {
        loop {
            if let Some(message) = self.received.pop_front() {
                return RouterEvent::Message { peer: self.sender, message };
            }
            match self.events.recv().await {
                Some(Event::Joined(peer)) => return RouterEvent::Joined(peer),
                Some(Event::Left(peer)) => return RouterEvent::Left(peer),
                Some(Event::Received(peer, batch)) => {
                    self.sender = peer;
                    self.received = batch.into();
                }
                None => std::future::pending().await,
            }
        }
    }

    /// Queues a message for a peer. Never waits.
    ///
    /// # Errors
    ///
    /// Fails if the peer is gone or its queue is full; the message was not queued.
    pub fn send(&self, peer: PeerId, message: Message) -> Result<(), SendError> {
        let queues = self.shared.queues();
        let queue = queues.get(&peer).ok_or(SendError::Gone)?;
        queue.try_send(encode_shared(&message)).map_err(|error| match error {
            TrySendError::Full(_) => SendError::Full,
            TrySendError::Closed(_) => SendError::Gone,
        })
    }

    /// The address that was bound, with the port that was chosen.
    #[must_use]
    pub const fn bound_addr(&self) -> SocketAddr {
        self.bound
    }

    /// Stops listening and closes all connections. The address is free when this returns.
    pub async fn close(self) {
        self.task.stop().await;
    }
}

#[derive(Debug)]
enum Event {
    Joined(PeerId),
    Received(PeerId, Vec<Message>),
    Left(PeerId),
}

#[derive(Debug)]
struct Shared {
    options: Options,
    counters: Arc<Counters>,
    joined: AtomicU64,
    queues: Mutex<BTreeMap<PeerId, mpsc::Sender<Bytes>>>,
}

impl Shared {
    fn queues(&self) -> MutexGuard<'_, BTreeMap<PeerId, mpsc::Sender<Bytes>>> {
        // A panic elsewhere cannot leave the table half-changed.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn accepted<R: Runtime>(
        self: Arc<Self>,
        stream: R::Stream,
        from: SocketAddr,
        events: mpsc::Sender<Event>,
    ) {
        let counters = &self.counters;
        let admitted = admit::<R>(stream, from, SocketType::Router, &self.options, counters).await;
        let Some(link) = admitted else { return };
        let _connected = counters.connected();
        let peer = PeerId(self.joined.fetch_add(1, Ordering::Relaxed) + 1);
        let (sender, outgoing) = mpsc::channel(QUEUE_MESSAGES_MAX);
        self.queues().insert(peer, sender);
        let mut inbox = Inbox { peer, events };
        // Without anyone who listens, there is nothing to leave.
        if inbox.events.send(Event::Joined(peer)).await.is_ok() {
            let fault = pump(link, &self.options, &[], Some(outgoing), &mut inbox).await;
            report(from, &fault, counters);
        }
        self.queues().remove(&peer);
        let _nobody_listens = inbox.events.send(Event::Left(peer)).await;
    }
}

struct Inbox {
    peer: PeerId,
    events: mpsc::Sender<Event>,
}

impl Port for Inbox {
    async fn deliver(&mut self, batch: &mut Vec<Message>) -> Result<(), Fault> {
        let room = self.events.reserve().await.map_err(|_| Fault::Released)?;
        room.send(Event::Received(self.peer, std::mem::take(batch)));
        Ok(())
    }
}
