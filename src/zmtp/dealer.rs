//! DEALER: talks to one ROUTER, and finds it again.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::connector::Connector;
use super::counters::Counters;
use super::fault::Fault;
use super::link::SocketType;
use super::message::Message;
use super::options::Options;
use super::pump::{Port, pump};
use super::wire::encode_shared;
use crate::runtime::{Runtime, Task};

/// Messages that may wait to be sent to one peer, and batches that may wait to be received.
pub const QUEUE_MESSAGES_MAX: usize = 1_024;

/// Batches that wait to be received. When all are taken, the peer is no longer read.
const BATCHES_MAX: usize = 32;

/// A DEALER socket: one peer, reconnected for ever with doubling, jittered pauses.
///
/// Nothing is queued while there is no connection, and what was queued on a connection is lost
/// with it: whoever talks over it decides what to say again. Dropping the socket closes it.
#[derive(Debug)]
pub struct Dealer {
    events: mpsc::Receiver<Event>,
    received: VecDeque<Message>,
    /// The queue of the connection that [`DealerEvent::Up`] told of.
    outgoing: Option<mpsc::Sender<Bytes>>,
    _task: Task,
}

/// What happens to a [`Dealer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DealerEvent {
    /// There is a connection. Everything sent from now on travels on it.
    Up,
    /// The connection has ended. What was sent on it may have been lost.
    Down {
        /// For the log.
        reason: String,
    },
    /// The peer sent this.
    Message(Message),
}

/// There is no connection, so nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not connected")]
pub struct NotConnected;

impl Dealer {
    /// Starts connecting to `address` (`host:port`).
    #[must_use]
    pub fn connect<R: Runtime>(runtime: &R, options: Options, address: &str) -> Self {
        let counters = Arc::<Counters>::default();
        let connector = Connector::new(runtime, address, SocketType::Dealer, &options, &counters);
        let (sender, events) = mpsc::channel(BATCHES_MAX);
        let task = runtime.spawn("zmtp-connect", run(connector, sender));
        Self { events, received: VecDeque::new(), outgoing: None, _task: task }
    }

    /// Waits for the next event. `Up` and `Down` alternate; messages come between them.
    /// Cancel-safe. Waits for ever once the runtime shuts down.
    pub async fn recv(&mut self) -> DealerEvent {
        loop {
            if let Some(message) = self.received.pop_front() {
                return DealerEvent::Message(message);
            }
            match self.events.recv().await {
                Some(Event::Up(outgoing)) => {
                    self.outgoing = Some(outgoing);
                    return DealerEvent::Up;
                }
                Some(Event::Received(batch)) => self.received = batch.into(),
                Some(Event::Down(reason)) => {
                    self.outgoing = None;
                    return DealerEvent::Down { reason };
                }
                None => std::future::pending().await,
            }
        }
    }

    /// Queues a message on the connection that [`Dealer::recv`] last told of. Waits while
    /// [`QUEUE_MESSAGES_MAX`] messages wait already. Cancel-safe: the message is then not sent.
    ///
    /// # Errors
    ///
    /// Fails if there is no connection; `recv` will tell why.
    pub async fn send(&mut self, message: Message) -> Result<(), NotConnected> {
        let outgoing = self.outgoing.as_ref().ok_or(NotConnected)?;
        let room = outgoing.reserve().await.map_err(|_| NotConnected)?;
        room.send(encode_shared(&message));
        Ok(())
    }
}

#[derive(Debug)]
enum Event {
    Up(mpsc::Sender<Bytes>),
    Received(Vec<Message>),
    Down(String),
}

async fn run<R: Runtime>(mut connector: Connector<R>, events: mpsc::Sender<Event>) {
    let mut inbox = Inbox(events);
    loop {
        let link = connector.next().await;
        let (sender, outgoing) = mpsc::channel(QUEUE_MESSAGES_MAX);
        if inbox.0.send(Event::Up(sender)).await.is_err() {
            return;
        }
        let fault = pump(link, connector.options(), &[], Some(outgoing), &mut inbox).await;
        if inbox.0.send(Event::Down(fault.to_string())).await.is_err() {
            return;
        }
        connector.ended(&fault).await;
    }
}

struct Inbox(mpsc::Sender<Event>);

impl Port for Inbox {
    async fn deliver(&mut self, batch: &mut Vec<Message>) -> Result<(), Fault> {
        let room = self.0.reserve().await.map_err(|_| Fault::Released)?;
        room.send(Event::Received(std::mem::take(batch)));
        Ok(())
    }
}
