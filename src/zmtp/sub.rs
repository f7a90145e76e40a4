//! SUB: receives what publishers send.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::connector::Connector;
use super::counters::{Counters, read};
use super::fault::{Fault, StartError};
use super::filter::Filter;
use super::link::{Link, SocketType};
use super::listener::{accept_all, admit, bind, report, seats};
use super::message::Message;
use super::options::Options;
use super::pump::{Port, pump};
use super::wanted::Wanted;
use crate::runtime::{Runtime, TaskGroup};

/// Batches that wait to be received, each what one read brought: usually up to 64 KiB, at most
/// one message of the greatest size. When all are taken, publishers are no longer read and TCP
/// holds them back.
const BATCHES_MAX: usize = 32;

/// A SUB socket: any number of bound addresses, any number of publishers it connects to.
///
/// Connections that end are made again for ever, with all subscriptions in one write. Dropping
/// the socket closes everything.
#[derive(Debug)]
pub struct Sub {
    batches: mpsc::Receiver<Vec<Message>>,
    bound: Vec<SocketAddr>,
    counters: Arc<Counters>,
    wanted: Wanted,
    /// With no address there is no task that could hold it.
    _open: Option<mpsc::Sender<Vec<Message>>>,
    _tasks: TaskGroup,
}

/// Counts of a [`Sub`] since it was started, over all publishers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubStats {
    /// Publishers that are connected now.
    pub peers: usize,
    /// Messages received.
    pub messages: u64,
    /// Bytes of their parts.
    pub bytes: u64,
    /// Connections made again after one had been lost, to addresses we connect to.
    pub reconnects: u64,
    /// Connections given up because the publisher was silent.
    pub heartbeat_losses: u64,
    /// Connections or attempts given up because the handshake took too long.
    pub handshake_timeouts: u64,
    /// Connections closed because the publisher broke a rule.
    pub protocol_errors: u64,
    /// Publishers turned away because too many were connected.
    pub refused: u64,
}

/// Reads the counts of a [`Sub`] from another task.
#[derive(Clone, Debug)]
pub struct SubStatsHandle(Arc<Counters>);

impl Sub {
    /// Binds every address of `bind`, then starts connecting to every address of `connect`
    /// (all `host:port`). Receives messages whose first part begins with one of `prefixes`; the
    /// empty prefix means all of them.
    ///
    /// # Errors
    ///
    /// Fails if an address cannot be bound; nothing is left bound then. An address that cannot
    /// be connected to is tried for ever.
    pub async fn start<R: Runtime>(
        runtime: &R,
        options: Options,
        bind_to: &[String],
        connect_to: &[String],
        prefixes: &[Bytes],
    ) -> Result<Self, StartError> {
        let (sender, batches) = mpsc::channel(BATCHES_MAX);
        let counters = Arc::<Counters>::default();
        let wanted = Wanted::new(prefixes);
        let inbox = Inbox::new(&sender, &counters, prefixes, &wanted);
        let session = Session { options, wanted: wanted.clone(), inbox };
        let mut listeners = Vec::with_capacity(bind_to.len());
        for address in bind_to {
            listeners.push(bind(runtime, address).await?);
        }
        let tasks = TaskGroup::new();
        let seats = seats();
        let mut bound = Vec::with_capacity(listeners.len());
        for (listener, address) in listeners {
            bound.push(address);
            let session = session.clone();
            let serve = move |stream, from| session.clone().accepted::<R>(stream, from);
            let accepting = accept_all(
                runtime.clone(),
                listener,
                Arc::clone(&seats),
                Arc::clone(&counters),
                serve,
            );
            tasks.spawn(runtime, "zmtp-listen", accepting);
        }
        for address in connect_to {
            let connector =
                Connector::new(runtime, address, SocketType::Sub, &session.options, &counters);
            tasks.spawn(runtime, "zmtp-connect", session.clone().connected(connector));
        }
        let open = tasks.is_empty().then_some(sender);
        Ok(Self { batches, bound, counters, wanted, _open: open, _tasks: tasks })
    }

    /// Waits for the next messages: at least one, each publisher's in the order in which it sent
    /// them. Cancel-safe. `None` only when the runtime shuts down.
    pub async fn recv(&mut self) -> Option<Vec<Message>> {
        self.batches.recv().await
    }

    /// The addresses that were bound, in the order in which they were given.
    #[must_use]
    pub fn bound(&self) -> &[SocketAddr] {
        &self.bound
    }

    /// Changes what is wanted from now on. Whoever changes it has to reckon with messages that are
    /// wanted no longer, and filter for himself.
    #[must_use]
    pub const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The counts so far.
    #[must_use]
    pub fn stats(&self) -> SubStats {
        self.stats_handle().stats()
    }

    /// Reads the counts from elsewhere, also after the socket is gone.
    #[must_use]
    pub fn stats_handle(&self) -> SubStatsHandle {
        SubStatsHandle(Arc::clone(&self.counters))
    }
}

impl SubStatsHandle {
    /// The counts so far.
    #[must_use]
    pub fn stats(&self) -> SubStats {
        let counters = &*self.0;
        SubStats {
            peers: counters.peers(),
            messages: read(&counters.messages),
            bytes: read(&counters.bytes),
            reconnects: read(&counters.reconnects),
            heartbeat_losses: read(&counters.heartbeat_losses),
            handshake_timeouts: read(&counters.handshake_timeouts),
            protocol_errors: read(&counters.protocol_errors),
            refused: read(&counters.refused),
        }
    }
}

/// What every connection of the socket needs.
#[derive(Clone)]
struct Session {
    options: Options,
    wanted: Wanted,
    inbox: Inbox,
}

impl Session {
    async fn accepted<R: Runtime>(mut self, stream: R::Stream, from: SocketAddr) {
        let counters = Arc::clone(&self.inbox.counters);
        let admitted = admit::<R>(stream, from, SocketType::Sub, &self.options, &counters).await;
        if let Some(link) = admitted {
            let fault = self.serve(link).await;
            report(from, &fault, &counters);
        }
    }

    async fn connected<R: Runtime>(mut self, mut connector: Connector<R>) {
        loop {
            let link = connector.next().await;
            let fault = self.serve(link).await;
            connector.ended(&fault).await;
        }
    }

    async fn serve<S>(&mut self, link: Link<S>) -> Fault
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin,
    {
        let _connected = self.inbox.counters.connected();
        let mut follower = self.wanted.follow();
        let opening = follower.opening();
        let (to, changes) = mpsc::channel(1);
        tokio::select! {
            biased;
            fault = follower.forward(to) => fault,
            fault = pump(link, &self.options, &opening, Some(changes), &mut self.inbox) => fault,
        }
    }
}

#[derive(Clone)]
struct Inbox {
    batches: mpsc::Sender<Vec<Message>>,
    counters: Arc<Counters>,
    /// Publishers filter too, but not all of them, and not before they know our subscriptions.
    filter: Arc<Filter>,
    wanted: Wanted,
}

impl Inbox {
    fn new(
        batches: &mpsc::Sender<Vec<Message>>,
        counters: &Arc<Counters>,
        prefixes: &[Bytes],
        wanted: &Wanted,
    ) -> Self {
        let filter = Arc::new(Filter::own(prefixes.iter().map(|prefix| &prefix[..])));
        let (batches, counters) = (batches.clone(), Arc::clone(counters));
        Self { batches, counters, filter, wanted: wanted.clone() }
    }
}

impl Port for Inbox {
    async fn deliver(&mut self, batch: &mut Vec<Message>) -> Result<(), Fault> {
        if self.wanted.is_as_it_was() {
            batch.retain(|message| self.filter.matches(&message.parts()[0]));
        }
        if batch.is_empty() {
            return Ok(());
        }
        let room = self.batches.reserve().await.map_err(|_| Fault::Released)?;
        let batch = std::mem::take(batch);
        let bytes = batch.iter().map(Message::bytes_len).sum::<usize>() as u64;
        self.counters.messages.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        room.send(batch);
        Ok(())
    }
}
