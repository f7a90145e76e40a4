//! The shell around a [`Shard`]: its mailbox, and the sockets of its clients.
//!
//! One task owns the shard and the write half of every client dealt to it. It takes in all that
//! waits in the mailbox, then gives every client that has something new one write: under load the
//! frames of a turn leave together, and no client has a task, a lock or a wake-up of its own.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncWrite, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::broadcast::BroadcastSnapshot;
use super::client::Ejection;
use super::tls::MaybeTls;
use crate::engine::{Change, Manner, RouteId, Shard, ShardId, ShardTotals};
use crate::marks::mark;
use crate::runtime::{Clock, Runtime};
use crate::topic::{ClientId, UserId};

/// Messages taken from the mailbox before the sockets get their turn.
const MESSAGES_PER_TURN: usize = 256;

/// Where a gateway's shard is told something.
pub(super) type ShardMailbox<R> = mpsc::Sender<ShardMessage<MaybeTls<<R as Runtime>::Stream>>>;

/// How a client is cut off that reads nothing. It cannot be told.
const STALLED: Ejection = Ejection { code: 1013, reason: "nothing is read" };

/// Something a shard is told. What is said first is done first.
pub(super) enum ShardMessage<S> {
    /// A client finished its handshake.
    Attach {
        client: ClientId,
        writer: WriteHalf<S>,
        /// Dropped when the shard is done with the client, with what it was closed by.
        ended: oneshot::Sender<Ejection>,
        /// Gets a permit back for each answer.
        credit: Arc<Semaphore>,
        /// How its ticks wait.
        manner: Manner,
    },
    Deliver {
        client: ClientId,
        change: Change,
        answer: Option<Bytes>,
    },
    Control {
        client: ClientId,
        frame: Bytes,
    },
    /// The client has closed; this is the reply, and the last frame it gets.
    CloseReply {
        client: ClientId,
        frame: Bytes,
    },
    Close {
        client: ClientId,
        code: u16,
        reason: &'static str,
    },
    Detach {
        client: ClientId,
    },
    Expect {
        route: RouteId,
    },
    Forget {
        route: RouteId,
    },
    Ticks {
        ticks: Vec<(RouteId, Bytes)>,
        /// Held until the ticks are in the outboxes.
        _room: OwnedSemaphorePermit,
    },
    Order {
        user: UserId,
        frame: Bytes,
    },
    Query(oneshot::Sender<ShardSnapshot>),
    /// Broadcast: a shard has somebody who listens, on this route, or no longer.
    Audience {
        shard: ShardId,
        route: RouteId,
        wanted: bool,
    },
    /// Broadcast: how are you?
    QueryBroadcast(oneshot::Sender<BroadcastSnapshot>),
}

/// A shard at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShardSnapshot {
    pub clients: usize,
    pub routes: usize,
    pub subscriptions: usize,
    pub last_values: usize,
    pub paced: usize,
    pub outbox_bytes: usize,
    pub outbox_ticks_most: usize,
    pub totals: ShardTotals,
}

/// Serves a shard until every sender of its mailbox is gone.
pub(super) async fn run_shard<S>(
    shard: Shard,
    mut mailbox: mpsc::Receiver<ShardMessage<S>>,
    clock: Clock,
    write_bytes_max: usize,
) where
    S: AsyncWrite + Send + Unpin + 'static,
{
    let mut shell = Shell {
        shard,
        clock,
        write_bytes_max,
        writers: BTreeMap::new(),
        ready: Arc::default(),
        scratch: Vec::new(),
    };
    let mut messages = Vec::with_capacity(MESSAGES_PER_TURN);
    loop {
        let deadline_ms = shell.shard.next_deadline_ms();
        let ready = shell.ready.clone();
        tokio::select! {
            biased;
            taken = mailbox.recv_many(&mut messages, MESSAGES_PER_TURN) => {
                if taken == 0 {
                    return;
                }
            }
            () = poll_fn(|cx| ready.poll_any(cx)) => {}
            () = clock.sleep_until_ms(deadline_ms.unwrap_or(0)), if deadline_ms.is_some() => {}
        }
        shell.turn(&mut messages);
    }
}

struct Shell<S> {
    shard: Shard,
    clock: Clock,
    write_bytes_max: usize,
    writers: BTreeMap<ClientId, Writer<S>>,
    ready: Arc<Ready>,
    scratch: Vec<u8>,
}

struct Writer<S> {
    half: WriteHalf<S>,
    /// What the socket did not take of the last write. Nothing else is written before it.
    rest: Bytes,
    /// The socket is full; its waker will tell.
    blocked: bool,
    waker: Waker,
    credit: Arc<Semaphore>,
    ended: Ended,
}

/// Tells the client's task, when it is dropped, that the shard is done with the client.
struct Ended {
    sender: Option<oneshot::Sender<Ejection>>,
    /// What the client was closed by.
    closed_by: Option<Ejection>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let (Some(sender), Some(ejection)) = (self.sender.take(), self.closed_by) {
            // Its task may be over already.
            let _ = sender.send(ejection);
        }
    }
}

impl<S: AsyncWrite + Send + Unpin + 'static> Shell<S> {
    fn turn(&mut self, messages: &mut Vec<ShardMessage<S>>) {
        self.shard.set_now(self.clock.now_ms());
        self.shard.fire_paces();
        // Every turn, so that a full mailbox cannot keep the slow from catching up.
        for client in self.ready.take() {
            self.unblock(client);
        }
        for message in messages.drain(..) {
            self.take(message);
        }
        while let Some(client) = self.shard.pop_overdue() {
            self.writers.remove(&client);
        }
        while let Some(client) = self.shard.pop_stalled() {
            if let Some(writer) = self.writers.get_mut(&client) {
                writer.ended.closed_by.get_or_insert(STALLED);
            }
            self.end(client);
        }
        while let Some(client) = self.shard.pop_dirty() {
            self.write(client);
        }
        #[cfg(debug_assertions)]
        self.shard.check();
    }

    fn take(&mut self, message: ShardMessage<S>) {
        match message {
            ShardMessage::Attach { client, writer, ended, credit, manner } => {
                let waker =
                    Waker::from(Arc::new(ClientWaker { client, ready: self.ready.clone() }));
                let writer = Writer {
                    half: writer,
                    rest: Bytes::new(),
                    blocked: false,
                    waker,
                    credit,
                    ended: Ended { sender: Some(ended), closed_by: None },
                };
                self.writers.insert(client, writer);
                self.shard.attach_by(client, manner);
            }
            ShardMessage::Deliver { client, change, answer } => {
                if answer.is_some()
                    && let Some(writer) = self.writers.get(&client)
                {
                    writer.credit.add_permits(1);
                }
                self.shard.deliver(client, change, answer);
            }
            ShardMessage::Control { client, frame } => self.shard.control(client, frame),
            ShardMessage::CloseReply { client, frame } => self.shard.close_with(client, frame),
            ShardMessage::Close { client, code, reason } => {
                if let Some(writer) = self.writers.get_mut(&client) {
                    writer.ended.closed_by.get_or_insert(Ejection { code, reason });
                }
                self.shard.close(client, code, reason);
            }
            ShardMessage::Detach { client } => self.detach(client),
            ShardMessage::Expect { route } => self.shard.expect(route),
            ShardMessage::Forget { route } => self.shard.forget(route),
            ShardMessage::Ticks { ticks, _room } => {
                for (route, frame) in &ticks {
                    self.shard.tick(*route, frame);
                }
            }
            ShardMessage::Order { user, frame } => self.shard.order(&user, &frame),
            // What is asked of broadcasts is not sent here.
            ShardMessage::Audience { .. } | ShardMessage::QueryBroadcast(_) => {}
            ShardMessage::Query(answer) => {
                let (routes, last_values) = self.shard.routes();
                // Whoever asked may have given up.
                let _ = answer.send(ShardSnapshot {
                    clients: self.shard.clients(),
                    routes,
                    subscriptions: self.shard.subscriptions(),
                    last_values,
                    paced: self.shard.paced(),
                    outbox_bytes: self.shard.outbox_bytes(),
                    outbox_ticks_most: self.shard.outbox_ticks_most(),
                    totals: self.shard.totals(),
                });
            }
        }
    }

    /// A client's connection has ended. If it closed politely, its close reply still waits here.
    fn detach(&mut self, client: ClientId) {
        self.write(client);
        self.shard.detach(client);
        self.end(client);
    }

    /// A socket has room again.
    fn unblock(&mut self, client: ClientId) {
        if let Some(writer) = self.writers.get_mut(&client) {
            writer.blocked = false;
            self.write(client);
        }
    }

    /// Writes what waits for a client until there is no more or its socket is full.
    fn write(&mut self, client: ClientId) {
        let Some(writer) = self.writers.get_mut(&client).filter(|writer| !writer.blocked) else {
            return;
        };
        let mut cx = Context::from_waker(&writer.waker);
        loop {
            if writer.rest.is_empty() {
                self.scratch.clear();
                let max = self.write_bytes_max;
                if self.shard.drain_into(client, &mut self.scratch, max) == 0 {
                    break;
                }
            }
            let from_rest = !writer.rest.is_empty();
            let bytes: &[u8] = if from_rest { &writer.rest } else { &self.scratch };
            match Pin::new(&mut writer.half).poll_write(&mut cx, bytes) {
                Poll::Ready(Ok(written)) if written > 0 => {
                    mark!(SocketTakesPart if written < bytes.len());
                    self.shard.moves(client);
                    if from_rest {
                        let _ = writer.rest.split_to(written);
                    } else if written < self.scratch.len() {
                        writer.rest = Bytes::copy_from_slice(&self.scratch[written..]);
                    }
                }
                Poll::Ready(_) => {
                    mark!(SocketBroken);
                    // The client reads no more; its task finds the same out and tells the hub.
                    self.writers.remove(&client);
                    return;
                }
                Poll::Pending => {
                    mark!(SocketFull);
                    if !from_rest {
                        writer.rest = Bytes::copy_from_slice(&self.scratch);
                    }
                    writer.blocked = true;
                    self.shard.stalls(client);
                    return;
                }
            }
        }
        // A TLS stream keeps what its socket did not take; a plain one has nothing to do.
        if Pin::new(&mut writer.half).poll_flush(&mut cx).is_pending() {
            writer.blocked = true;
            self.shard.stalls(client);
            return;
        }
        self.shard.moves(client);
        if self.shard.is_finished(client) {
            self.end(client);
        }
    }

    /// Ends the write side: the client sees the end of the stream.
    fn end(&mut self, client: ClientId) {
        if let Some(mut writer) = self.writers.remove(&client) {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut writer.half).poll_shutdown(&mut cx);
        }
    }
}

/// Clients whose sockets have room again.
#[derive(Debug, Default)]
struct Ready {
    clients: Mutex<Vec<ClientId>>,
    shard: AtomicWaker,
}

impl Ready {
    fn poll_any(&self, cx: &Context<'_>) -> Poll<()> {
        self.shard.register(cx.waker());
        if self.lock().is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    fn take(&self) -> Vec<ClientId> {
        std::mem::take(&mut *self.lock())
    }

    /// A panic elsewhere cannot leave the list half-changed.
    fn lock(&self) -> MutexGuard<'_, Vec<ClientId>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct ClientWaker {
    client: ClientId,
    ready: Arc<Ready>,
}

impl Wake for ClientWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.lock().push(self.client);
        self.ready.shard.wake();
    }
}

#[cfg(test)]
mod tests;
