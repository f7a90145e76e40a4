//! What a shard is told and asked.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::WriteHalf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::engine::{Change, Epoch, Manner, RouteId, RouteNews, ShardId, ShardTotals};
use crate::server::broadcast::BroadcastSnapshot;
use crate::server::client::Ejection;
use crate::topic::{ClientId, UserId};

/// Something a shard is told. What is said first is done first, in each of its two lanes.
pub(in crate::server) enum ShardMessage<S> {
    /// A client finished its handshake.
    Attach {
        client: ClientId,
        writer: WriteHalf<S>,
        /// Whether the stream keeps what its socket does not take, until it is flushed.
        flushes: bool,
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
        since: Epoch,
    },
    Forget {
        route: RouteId,
    },
    Ticks {
        /// What their sender had heard of routes.
        heard: Epoch,
        ticks: std::vec::IntoIter<(RouteId, Bytes)>,
        /// Held until the ticks are in the outboxes.
        room: OwnedSemaphorePermit,
    },
    /// How topics are.
    News {
        heard: Epoch,
        news: std::vec::IntoIter<RouteNews>,
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
        epoch: Epoch,
    },
    /// Broadcast: how are you?
    QueryBroadcast(oneshot::Sender<BroadcastSnapshot>),
}

/// A shard at one moment.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct ShardSnapshot {
    /// Messages that were taken from the mailbox and wait.
    pub waiting: usize,
    pub clients: usize,
    pub routes: usize,
    pub subscriptions: usize,
    pub last_values: usize,
    pub paced: usize,
    pub outbox_bytes: usize,
    pub outbox_ticks_most: usize,
    pub totals: ShardTotals,
}
