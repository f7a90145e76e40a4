//! The shell around the [`Index`]: takes ticks from the bus and hands them to the shards.
//!
//! A tick is checked once, encoded once for each mode that somebody wants, and shared from there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::hub::HubMessage;
use super::shard::ShardMessage;
use crate::auth::Keeper;
use crate::engine::{
    ChannelId, Event, Index, Picked, RouteId, Served, ShardId, TickAddress, Wildcards,
};
use crate::marks::mark;
use crate::protocol::{self, BusTopic, TopicRules, frame};
use crate::runtime::Clock;
use crate::topic::{BrokerName, Topic, UserId};
use crate::zmtp::{Message, Sub};

/// Ticks, and KiB of them, that may wait for one shard. Answers go through the same mailbox, so
/// this is what they may have to wait behind; beyond, the bus is not read.
const WAITING_MAX: u32 = 4_096;

/// Users whose invalidation may wait for the hub; beyond, the bus is not read.
const INVALIDATED_MAX: usize = 4_096;

/// Why messages are dropped.
const DROP_REASONS: [&str; 7] = [
    "bad_payload",
    "bad_topic",
    "no_interest",
    "not_two_parts",
    "order_without_user",
    "other_source",
    "private",
];

/// Bytes of a topic that go into the log.
const SHOWN_BYTES_MAX: usize = 64;

/// Something the feed is told or asked.
pub(super) enum FeedMessage {
    Interest { route: RouteId, topic: Topic, broker: BrokerName, shard: ShardId, wanted: bool },
    Audience { channel: ChannelId, route: RouteId, shard: ShardId, wanted: bool },
    Query(oneshot::Sender<FeedCounts>),
}

/// Counters since the start.
#[derive(Clone, Debug, Default)]
pub(super) struct FeedCounts {
    pub messages: u64,
    pub bytes: u64,
    pub routed: u64,
    pub nulled: u64,
    pub dropped: BTreeMap<&'static str, u64>,
    /// Ticks that a broadcast had no place for, by channel.
    pub left_out: Vec<(ChannelId, u64)>,
}

/// Where the feed hands things on.
pub(super) struct FeedOutlets<S> {
    pub shards: Vec<mpsc::Sender<ShardMessage<S>>>,
    pub hub: mpsc::Sender<HubMessage>,
    /// Learns of users whose credentials changed before the hub sends them away.
    pub keeper: Keeper,
}

/// By what the feed knows whom a tick is for.
pub(super) struct FeedTables {
    pub index: Index,
    pub wildcards: Wildcards,
    pub rules: TopicRules,
    /// Whether ticks carry their numbers.
    pub numbers: bool,
}

/// Routes what publishers send until the bus or the mailbox ends.
pub(super) async fn run_feed<S: Send>(
    mut bus: Sub,
    mut mailbox: mpsc::Receiver<FeedMessage>,
    tables: FeedTables,
    clock: Clock,
    outlets: FeedOutlets<S>,
) {
    let batches = outlets.shards.iter().map(|_| Batch::default()).collect();
    let mut feed = Feed {
        tables,
        counts: FeedCounts {
            // From the start, so that the first drop is an increase too.
            dropped: DROP_REASONS.iter().map(|reason| (*reason, 0)).collect(),
            ..FeedCounts::default()
        },
        served: Vec::new(),
        picked: Vec::new(),
        batches,
        orders: Vec::new(),
        invalidated: BTreeSet::new(),
    };
    loop {
        tokio::select! {
            biased;
            message = mailbox.recv() => match message {
                Some(message) => feed.take(message),
                None => return,
            },
            // Without waiting for the hub, which may be waiting for the feed.
            permit = outlets.hub.reserve(), if !feed.invalidated.is_empty() => {
                let Ok(permit) = permit else { return };
                if let Some(user) = feed.invalidated.pop_first() {
                    outlets.keeper.forget(&user);
                    permit.send(HubMessage::Event(Event::Invalidate { user }));
                }
            }
            batch = bus.recv(), if feed.invalidated.len() < INVALIDATED_MAX => {
                let Some(batch) = batch else { return };
                let now_ms = clock.now_ms();
                for message in batch {
                    feed.route(now_ms, &message);
                }
                feed.hand_over(&outlets.shards).await;
            }
        }
    }
}

struct Feed {
    tables: FeedTables,
    counts: FeedCounts,
    served: Vec<Served>,
    picked: Vec<Picked>,
    /// For each shard.
    batches: Vec<Batch>,
    orders: Vec<(UserId, Bytes)>,
    /// Users whose credentials changed; a set, so that a storm of the same stays small.
    invalidated: BTreeSet<UserId>,
}

/// Ticks for one shard.
struct Batch {
    ticks: Vec<(RouteId, Bytes)>,
    bytes: usize,
    /// What is left of [`WAITING_MAX`]; the shard gives it back.
    room: Arc<Semaphore>,
}

impl Default for Batch {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(WAITING_MAX as usize));
        Self { ticks: Vec::new(), bytes: 0, room }
    }
}

impl Batch {
    fn push(&mut self, route: RouteId, tick: Bytes) {
        self.bytes += tick.len();
        self.ticks.push((route, tick));
    }

    /// Takes the ticks out once there is room for them. One batch always finds room.
    async fn take(&mut self) -> Option<(Vec<(RouteId, Bytes)>, OwnedSemaphorePermit)> {
        let size = self.ticks.len() + std::mem::take(&mut self.bytes) / 1_024;
        let size = u32::try_from(size).unwrap_or(WAITING_MAX).min(WAITING_MAX);
        // An error means that the semaphore is closed, which nobody does.
        let room = self.room.clone().acquire_many_owned(size).await.ok()?;
        Some((std::mem::take(&mut self.ticks), room))
    }
}

impl Feed {
    fn take(&mut self, message: FeedMessage) {
        match message {
            FeedMessage::Interest { route, topic, broker, shard, wanted } => {
                self.tables.index.set_interest(route, &topic, &broker, shard, wanted);
            }
            FeedMessage::Audience { channel, route, shard, wanted } => {
                self.tables.wildcards.audience(channel, route, shard, wanted);
            }
            FeedMessage::Query(answer) => {
                // Whoever asked may have given up.
                let left_out = self.tables.wildcards.left_out();
                let _ = answer.send(FeedCounts { left_out, ..self.counts.clone() });
            }
        }
    }

    fn route(&mut self, now_ms: u64, message: &Message) {
        self.counts.messages += 1;
        self.counts.bytes += message.parts().iter().map(|part| part.len() as u64).sum::<u64>();
        let result = match message.parts() {
            [topic, payload] => self.route_parts(now_ms, topic, payload),
            _ => Err("not_two_parts"),
        };
        match result {
            Ok(()) => self.counts.routed += 1,
            Err(reason) => self.drop_one(reason, message.parts().first().map_or(b"", |at| at)),
        }
    }

    /// Queues what a message leads to, or says why it is dropped.
    fn route_parts(
        &mut self,
        now_ms: u64,
        topic: &[u8],
        payload: &[u8],
    ) -> Result<(), &'static str> {
        match protocol::parse_topic(topic, &self.tables.rules).map_err(|_| "bad_topic")? {
            BusTopic::Tick { broker, exchange, symbol, mode } => {
                self.served.clear();
                self.picked.clear();
                let address = TickAddress { broker, exchange, symbol, mode };
                let wanted = self.tables.index.serve(now_ms, address, &mut self.served);
                self.tables.wildcards.pick(now_ms, address, &mut self.picked);
                if !wanted && self.picked.is_empty() {
                    mark!(NoInterest);
                    return Err("no_interest");
                }
                if self.served.is_empty() && self.picked.is_empty() {
                    mark!(OtherSource);
                    return Err("other_source");
                }
                let checked = protocol::check_payload(payload).map_err(|_| "bad_payload")?;
                self.counts.nulled += u64::from(checked.nulled);
                for served in &self.served {
                    let Served { instrument, mode, broker, .. } = served;
                    let seq = self.tables.numbers.then(|| self.tables.index.number(served));
                    let (broker, data) = (broker.as_str(), &checked.json);
                    let tick = frame::numbered_tick_frame(instrument, *mode, broker, seq, data);
                    push(&mut self.batches, served, &tick);
                }
                for picked in &self.picked {
                    let Picked { outlet, route, instrument, mode, broker } = picked;
                    let broker = broker.as_str();
                    let tick = frame::tick_frame(instrument, *mode, broker, &checked.json);
                    self.batches[*outlet].push(*route, tick);
                }
                Ok(())
            }
            BusTopic::Orders => {
                let checked = protocol::check_payload(payload).map_err(|_| "bad_payload")?;
                let user = protocol::parse_order_user(&checked.json);
                let user = user.map_err(|_| "order_without_user")?;
                self.counts.nulled += u64::from(checked.nulled);
                self.orders.push((user, frame::text_frame(&checked.json)));
                Ok(())
            }
            BusTopic::Invalidate => {
                let invalidation = protocol::parse_invalidation(payload);
                self.invalidated.insert(invalidation.map_err(|_| "bad_payload")?.user);
                Ok(())
            }
            BusTopic::Private => Err("private"),
        }
    }

    async fn hand_over<S>(&mut self, shards: &[mpsc::Sender<ShardMessage<S>>]) {
        for (batch, shard) in self.batches.iter_mut().zip(shards) {
            if !batch.ticks.is_empty()
                && let Some((ticks, room)) = batch.take().await
            {
                // A closed mailbox means that the gateway is ending.
                let _ = shard.send(ShardMessage::Ticks { ticks, _room: room }).await;
            }
        }
        for (user, frame) in self.orders.drain(..) {
            for shard in shards {
                let message = ShardMessage::Order { user: user.clone(), frame: frame.clone() };
                let _ = shard.send(message).await;
            }
        }
    }

    fn drop_one(&mut self, reason: &'static str, topic: &[u8]) {
        let count = self.counts.dropped.entry(reason).or_default();
        *count += 1;
        // The first, and then ever more rarely: a publisher gone wrong must not fill the disk.
        let expected = matches!(reason, "no_interest" | "other_source" | "private");
        if !expected && count.is_power_of_two() {
            let topic = topic[..topic.len().min(SHOWN_BYTES_MAX)].escape_ascii();
            tracing::warn!(reason, count = *count, %topic, "messages from the bus are dropped");
        }
    }
}

fn push(batches: &mut [Batch], served: &Served, tick: &Bytes) {
    let mut shards = served.shards;
    while shards != 0 {
        let shard = shards.trailing_zeros() as usize;
        batches[shard].push(served.route, tick.clone());
        shards &= shards - 1;
    }
}

#[cfg(test)]
mod tests;
