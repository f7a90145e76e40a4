//! The shell around a [`Shard`]: its mailbox, and the sockets of its clients.
//!
//! One task owns the shard and the write half of every client dealt to it. It takes in all that
//! waits in the mailbox, then gives every client that has something new one write: under load the
//! frames of a turn leave together, and no client has a task, a lock or a wake-up of its own.

mod batch;
mod lanes;
mod message;
mod ready;
mod writing;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Waker;
use std::vec::IntoIter;

use bytes::Bytes;
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use tokio::io::{AsyncWrite, WriteHalf};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::client::Ejection;
use super::tls::MaybeTls;
use crate::engine::{Epoch, OVERFLOWED, RouteId, RouteNews, Shard};
use crate::runtime::{Clock, Runtime};
use crate::topic::ClientId;

use batch::Batch;
use lanes::Lanes;
pub(super) use message::{ShardMessage, ShardSnapshot};
use ready::{ClientWaker, Ready};

/// Messages taken from the mailbox before the sockets get their turn.
const MESSAGES_PER_TURN: usize = 256;

/// Ticks put into outboxes, counted for each client, before the sockets get their turn: about a
/// tenth of a millisecond.
const DELIVERIES_PER_TURN: u64 = 4_096;

/// Where a gateway's shard is told something.
pub(super) type ShardMailbox<R> = mpsc::Sender<ShardMessage<MaybeTls<<R as Runtime>::Stream>>>;

type Ticks = IntoIter<(RouteId, Bytes)>;
type News = IntoIter<RouteNews>;

/// How a client is cut off that reads nothing. It cannot be told.
const STALLED: Ejection = Ejection { code: 1013, reason: "nothing is read" };

/// How a shard writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteOptions {
    /// Bytes handed to a socket in one write.
    pub bytes_max: usize,
    /// How long ticks wait for others to leave together with.
    pub batch_window_ms: u64,
}

/// Serves a shard until every sender of its mailbox is gone.
pub(super) async fn run_shard<S>(
    shard: Shard,
    mut mailbox: mpsc::Receiver<ShardMessage<S>>,
    clock: Clock,
    options: WriteOptions,
) where
    S: AsyncWrite + Send + Unpin + 'static,
{
    let WriteOptions { bytes_max: write_bytes_max, batch_window_ms } = options;
    let mut shell = Shell {
        shard,
        clock,
        write_bytes_max,
        writers: Writers::default(),
        ready: Arc::default(),
        scratch: Vec::new(),
        next: Vec::new(),
        waiting: Lanes::default(),
        batch: Batch::new(batch_window_ms),
    };
    let mut messages = Vec::with_capacity(MESSAGES_PER_TURN);
    // Whether somebody is left who could say something.
    let mut told = true;
    while told || !shell.waiting.are_empty() {
        if shell.has_work() {
            // Whatever else is to be done on this core, the sockets' reactor included.
            tokio::task::yield_now().await;
        }
        let deadlines = [shell.shard.next_deadline_ms(), shell.batch.until_ms()];
        let deadline_ms = deadlines.into_iter().flatten().min();
        let ready = shell.ready.clone();
        tokio::select! {
            biased;
            taken = mailbox.recv_many(&mut messages, MESSAGES_PER_TURN),
                if told && shell.waiting.have_room() =>
            {
                told = taken > 0;
                for message in messages.drain(..) {
                    shell.waiting.push(message);
                }
            }
            () = std::future::ready(()), if shell.has_work() => {}
            () = poll_fn(|cx| ready.poll_any(cx)) => {}
            () = clock.sleep_until_ms(deadline_ms.unwrap_or(0)), if deadline_ms.is_some() => {}
        }
        shell.turn();
    }
}

struct Shell<S> {
    shard: Shard,
    clock: Clock,
    write_bytes_max: usize,
    writers: Writers<S>,
    ready: Arc<Ready>,
    scratch: Vec<u8>,
    /// Whose turn it is.
    next: Vec<ClientId>,
    /// Taken from the mailbox and not done yet.
    waiting: Lanes<S>,
    batch: Batch,
}

/// By numbers that nobody can choose: no keyed hash, and nothing asks for their order.
type Writers<S> = IndexMap<ClientId, Writer<S>, FxBuildHasher>;

struct Writer<S> {
    half: WriteHalf<S>,
    /// What the socket did not take of the last write. Nothing else is written before it.
    rest: Bytes,
    /// The socket is full; its waker will tell.
    blocked: bool,
    /// The shard has been told that it is full, and not yet that it has taken something.
    stalled: bool,
    /// The stream keeps what its socket did not take, as TLS does.
    flushes: bool,
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
    /// Whether there is something to do without waiting for anything.
    fn has_work(&self) -> bool {
        let open = self.batch.is_over(self.clock.now_ms());
        !self.waiting.are_empty() || self.shard.has_urgent() || open && self.shard.has_dirty()
    }

    /// Does a part of what there is to do, short enough for others to wait for.
    fn turn(&mut self) {
        self.shard.set_now(self.clock.now_ms());
        self.shard.fire_paces();
        // Every turn, so that a full mailbox cannot keep the slow from catching up.
        for client in self.ready.take() {
            self.unblock(client);
        }
        let enough = self.shard.work() + DELIVERIES_PER_TURN;
        while self.shard.work() < enough
            && let Some(message) = self.waiting.pop_first()
        {
            self.take(message, enough);
        }
        // As much again: neither lane keeps the other from having its part.
        let enough = self.shard.work() + DELIVERIES_PER_TURN;
        while self.shard.work() < enough
            && let Some(message) = self.waiting.pop_second()
        {
            self.take(message, enough);
        }
        while let Some((client, reason)) = self.shard.pop_sent_away() {
            if let Some(writer) = self.writers.get_mut(&client) {
                writer.ended.closed_by.get_or_insert(Ejection { code: OVERFLOWED, reason });
            }
        }
        while let Some(client) = self.shard.pop_overdue() {
            self.writers.swap_remove(&client);
        }
        while let Some(client) = self.shard.pop_stalled() {
            if let Some(writer) = self.writers.get_mut(&client) {
                writer.ended.closed_by.get_or_insert(STALLED);
            }
            self.end(client);
        }
        let now_ms = self.clock.now_ms();
        self.batch.begin(now_ms, self.shard.has_dirty());
        let open = self.batch.is_over(now_ms);
        self.write_some(open);
        self.batch.end(self.shard.has_dirty());
        #[cfg(debug_assertions)]
        self.shard.check();
    }

    /// Does what a message says. What would take longer than until `enough` ticks are delivered
    /// waits on.
    fn take(&mut self, message: ShardMessage<S>, enough: u64) {
        match message {
            ShardMessage::Attach { client, writer, flushes, ended, credit, manner } => {
                let waker =
                    Waker::from(Arc::new(ClientWaker { client, ready: self.ready.clone() }));
                let writer = Writer {
                    half: writer,
                    rest: Bytes::new(),
                    blocked: false,
                    stalled: false,
                    flushes,
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
            ShardMessage::Expect { route, since } => self.shard.expect(route, since),
            ShardMessage::Forget { route } => self.shard.forget(route),
            ShardMessage::Ticks { heard, ticks, room } => {
                let ticks = self.take_ticks(heard, ticks, enough);
                if !ticks.as_slice().is_empty() {
                    self.waiting.put_back(ShardMessage::Ticks { heard, ticks, room });
                }
            }
            ShardMessage::News { heard, news } => {
                let news = self.take_news(heard, news, enough);
                if !news.as_slice().is_empty() {
                    self.waiting.put_back(ShardMessage::News { heard, news });
                }
            }
            ShardMessage::Order { user, frame } => self.shard.order(&user, &frame),
            // What is asked of broadcasts is not sent here.
            ShardMessage::Audience { .. } | ShardMessage::QueryBroadcast(_) => {}
            ShardMessage::Query(answer) => {
                let (routes, last_values) = self.shard.routes();
                // Whoever asked may have given up.
                let _ = answer.send(ShardSnapshot {
                    waiting: self.waiting.len(),
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

    /// Gives back those that are left.
    fn take_ticks(&mut self, heard: Epoch, mut ticks: Ticks, enough: u64) -> Ticks {
        self.shard.set_heard(heard);
        while self.shard.work() < enough
            && let Some((route, frame)) = ticks.next()
        {
            self.shard.tick(route, &frame);
        }
        ticks
    }

    fn take_news(&mut self, heard: Epoch, mut news: News, enough: u64) -> News {
        self.shard.set_heard(heard);
        while self.shard.work() < enough
            && let Some(one) = news.next()
        {
            self.shard.news(one);
        }
        news
    }

    /// A client's connection has ended. If it closed politely, its close reply still waits here.
    fn detach(&mut self, client: ClientId) {
        self.write(client);
        self.shard.detach(client);
        self.end(client);
    }
}

#[cfg(test)]
mod tests;
