//! PUB: sends to whoever subscribed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::connector::Connector;
use super::counters::{Counters, read};
use super::fault::{Fault, StartError};
use super::filter::Filter;
use super::link::{Link, SocketType};
use super::listener::{accept_all, admit, bind, report, seats};
use super::message::Message;
use super::options::Options;
use super::pump::{Port, pump};
use super::wire::encode_shared;
use crate::runtime::{Runtime, Task};

/// The highest high-water mark; more is cut down to it.
const HWM_MAX: usize = 10_000_000;

/// A PUB socket that is bound, or connects to one subscriber.
///
/// As in ZeroMQ, a subscriber receives what is published after its subscription has arrived, and
/// loses what it does not read in time. Clones publish through the same socket; dropping the
/// last one closes it, with whatever was not sent yet (see [`Pub::flush`]).
#[derive(Clone, Debug)]
pub struct Pub {
    inner: Arc<Inner>,
}

/// Counts of a [`Pub`] since it was started, over all subscribers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PubStats {
    /// Subscribers that are connected now.
    pub peers: usize,
    /// Different prefixes that they hold now, each peer's counted.
    pub subscriptions: usize,
    /// Calls of [`Pub::publish`].
    pub published: u64,
    /// Messages queued, once for each subscriber.
    pub queued: u64,
    /// Messages dropped because a subscriber's queue was full, once for each subscriber.
    pub dropped: u64,
    /// Connections made again after one had been lost.
    pub reconnects: u64,
    /// Connections given up because the subscriber was silent.
    pub heartbeat_losses: u64,
    /// Connections or attempts given up because the handshake took too long.
    pub handshake_timeouts: u64,
    /// Connections closed because the subscriber broke a rule.
    pub protocol_errors: u64,
    /// Subscribers turned away because too many were connected.
    pub refused: u64,
}

impl Pub {
    /// Binds `address` (`host:port`). Each subscriber's queue holds `hwm` messages.
    ///
    /// # Errors
    ///
    /// Fails if the address cannot be bound.
    pub async fn bind<R: Runtime>(
        runtime: &R,
        options: Options,
        hwm: usize,
        address: &str,
    ) -> Result<Self, StartError> {
        let (listener, bound) = bind(runtime, address).await?;
        let shared = Arc::new(Shared::new(options, hwm));
        let counters = Arc::clone(&shared.counters);
        let serving = Arc::clone(&shared);
        let serve = move |stream, from| Arc::clone(&serving).accepted::<R>(stream, from);
        let accepting = accept_all(runtime.clone(), listener, seats(), counters, serve);
        let task = runtime.spawn("zmtp-listen", accepting);
        Ok(Self { inner: Arc::new(Inner { shared, bound: Some(bound), _task: task }) })
    }

    /// Connects to a subscriber that has bound `address` (`host:port`), and again whenever the
    /// connection ends.
    #[must_use]
    pub fn connect<R: Runtime>(runtime: &R, options: Options, hwm: usize, address: &str) -> Self {
        let shared = Arc::new(Shared::new(options, hwm));
        let connector =
            Connector::new(runtime, address, SocketType::Pub, &shared.options, &shared.counters);
        let task = runtime.spawn("zmtp-connect", Arc::clone(&shared).connected(connector));
        Self { inner: Arc::new(Inner { shared, bound: None, _task: task }) }
    }

    /// Sends a message to every subscriber that wants its first part. Never waits: for a
    /// subscriber whose queue is full the message is dropped and counted.
    pub fn publish(&self, message: Message) {
        let shared = &self.inner.shared;
        shared.published.fetch_add(1, Ordering::Relaxed);
        // Encoded once, and only if somebody wants it.
        let mut encoded = None;
        for subscriber in shared.subscribers().values() {
            if subscriber.filter.matches(&message.parts()[0]) {
                let frames = encoded.get_or_insert_with(|| encode_shared(&message)).clone();
                shared.enqueue(subscriber, frames);
            }
        }
    }

    /// Waits until every queue is with the operating system; false if that took longer.
    pub async fn flush(&self, at_most: Duration) -> bool {
        let shared = &self.inner.shared;
        let flushed = async {
            loop {
                let drained = shared.drained.notified();
                let waiting = |subscriber: &Subscriber| read(&subscriber.waiting) > 0;
                if !shared.subscribers().values().any(waiting) {
                    return;
                }
                drained.await;
            }
        };
        timeout(at_most, flushed).await.is_ok()
    }

    /// Messages that are not with the operating system yet, of the subscriber that is furthest
    /// behind.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let subscribers = self.inner.shared.subscribers();
        let waiting = subscribers.values().map(|subscriber| read(&subscriber.waiting)).max();
        waiting.map_or(0, |most| usize::try_from(most).unwrap_or(usize::MAX))
    }

    /// The address that was bound; none if this socket connects.
    #[must_use]
    pub fn bound_addr(&self) -> Option<SocketAddr> {
        self.inner.bound
    }

    /// The counts so far.
    #[must_use]
    pub fn stats(&self) -> PubStats {
        let shared = &self.inner.shared;
        let counters = &shared.counters;
        PubStats {
            peers: counters.peers(),
            subscriptions: shared.subscribers().values().map(|peer| peer.filter.len()).sum(),
            published: read(&shared.published),
            queued: read(&shared.queued),
            dropped: read(&shared.dropped),
            reconnects: read(&counters.reconnects),
            heartbeat_losses: read(&counters.heartbeat_losses),
            handshake_timeouts: read(&counters.handshake_timeouts),
            protocol_errors: read(&counters.protocol_errors),
            refused: read(&counters.refused),
        }
    }
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    bound: Option<SocketAddr>,
    _task: Task,
}

/// What publishers and connections have in common.
#[derive(Debug)]
struct Shared {
    options: Options,
    hwm: usize,
    counters: Arc<Counters>,
    published: AtomicU64,
    queued: AtomicU64,
    dropped: AtomicU64,
    joined: AtomicU64,
    subscribers: Mutex<BTreeMap<u64, Subscriber>>,
    /// Told whenever a queue has become empty or has gone.
    drained: Notify,
}

#[derive(Debug)]
struct Subscriber {
    filter: Filter,
    queue: mpsc::Sender<Bytes>,
    /// Messages that are not with the operating system yet.
    waiting: Arc<AtomicU64>,
}

impl Shared {
    fn new(options: Options, hwm: usize) -> Self {
        Self {
            options,
            hwm: hwm.clamp(1, HWM_MAX),
            counters: Arc::default(),
            published: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            joined: AtomicU64::new(0),
            subscribers: Mutex::default(),
            drained: Notify::new(),
        }
    }

    fn subscribers(&self) -> MutexGuard<'_, BTreeMap<u64, Subscriber>> {
        // A panic elsewhere cannot leave the table half-changed.
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, subscriber: &Subscriber, frames: Bytes) {
        subscriber.waiting.fetch_add(1, Ordering::Relaxed);
        match subscriber.queue.try_send(frames) {
            Ok(()) => {
                self.queued.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            // Its connection has just ended.
            Err(TrySendError::Closed(_)) => {}
        }
        subscriber.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    async fn accepted<R: Runtime>(self: Arc<Self>, stream: R::Stream, from: SocketAddr) {
        let counters = &self.counters;
        let admitted = admit::<R>(stream, from, SocketType::Pub, &self.options, counters).await;
        if let Some(link) = admitted {
            let fault = self.serve(link).await;
            report(from, &fault, counters);
        }
    }

    async fn connected<R: Runtime>(self: Arc<Self>, mut connector: Connector<R>) {
        loop {
            let link = connector.next().await;
            let fault = self.serve(link).await;
            connector.ended(&fault).await;
        }
    }

    async fn serve<S>(self: &Arc<Self>, link: Link<S>) -> Fault
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin,
    {
        let _connected = self.counters.connected();
        let (queue, outgoing) = mpsc::channel(self.hwm);
        let waiting = Arc::<AtomicU64>::default();
        let id = self.joined.fetch_add(1, Ordering::Relaxed);
        let mut outlet = Outlet { shared: Arc::clone(self), id, waiting: Arc::clone(&waiting) };
        self.subscribers().insert(id, Subscriber { filter: Filter::default(), queue, waiting });
        pump(link, &self.options, &[], Some(outgoing), &mut outlet).await
    }
}

/// One subscriber's end of the socket. Its place in the table ends with it.
struct Outlet {
    shared: Arc<Shared>,
    id: u64,
    waiting: Arc<AtomicU64>,
}

impl Port for Outlet {
    const SUBSCRIPTIONS: bool = true;

    async fn deliver(&mut self, batch: &mut Vec<Message>) -> Result<(), Fault> {
        let mut subscribers = self.shared.subscribers();
        let Some(subscriber) = subscribers.get_mut(&self.id) else { return Err(Fault::Released) };
        for message in batch.drain(..) {
            match message.parts()[0].split_first() {
                Some((1, prefix)) => subscriber.filter.subscribe(prefix)?,
                Some((0, prefix)) => subscriber.filter.cancel(prefix),
                // An XSUB may talk to an XPUB; this is none.
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    fn sent(&mut self, messages: usize) {
        let sent = messages as u64;
        if self.waiting.fetch_sub(sent, Ordering::Relaxed) == sent {
            self.shared.drained.notify_waiters();
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let left = self.shared.subscribers().remove(&self.id);
        self.shared.drained.notify_waiters();
        drop(left);
    }
}
