//! The shell around the [`Index`]: takes ticks from the bus and hands them to the shards.
//!
//! A tick is checked once, encoded once for each mode that somebody wants, and shared from there.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::hub::HubMessage;
use super::shard::ShardMessage;
use crate::engine::{Event, Index, RouteId, Served, ShardId, TickAddress};
use crate::protocol::{self, BusTopic, TopicRules, frame};
use crate::runtime::Clock;
use crate::topic::{BrokerName, Topic, UserId};
use crate::zmtp::{Message, Sub};

/// Something the feed is told or asked.
pub(super) enum FeedMessage {
    Interest { route: RouteId, topic: Topic, broker: BrokerName, shard: ShardId, wanted: bool },
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
}

/// Where the feed hands things on.
pub(super) struct FeedOutlets<S> {
    pub shards: Vec<mpsc::Sender<ShardMessage<S>>>,
    pub hub: mpsc::Sender<HubMessage>,
}

/// Routes what publishers send until the bus or the mailbox ends.
pub(super) async fn run_feed<S: Send>(
    mut bus: Sub,
    mut mailbox: mpsc::Receiver<FeedMessage>,
    index: Index,
    rules: TopicRules,
    clock: Clock,
    outlets: FeedOutlets<S>,
) {
    let batches = outlets.shards.iter().map(|_| Vec::new()).collect();
    let mut feed = Feed {
        index,
        rules,
        counts: FeedCounts::default(),
        served: Vec::new(),
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
                    permit.send(HubMessage::Event(Event::Invalidate { user }));
                }
            }
            batch = bus.recv() => {
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
    index: Index,
    rules: TopicRules,
    counts: FeedCounts,
    served: Vec<Served>,
    /// Ticks for each shard.
    batches: Vec<Vec<(RouteId, Bytes)>>,
    orders: Vec<(UserId, Bytes)>,
    /// Users whose credentials changed; a set, so that a storm of the same stays small.
    invalidated: BTreeSet<UserId>,
}

impl Feed {
    fn take(&mut self, message: FeedMessage) {
        match message {
            FeedMessage::Interest { route, topic, broker, shard, wanted } => {
                self.index.set_interest(route, &topic, &broker, shard, wanted);
            }
            FeedMessage::Query(answer) => {
                // Whoever asked may have given up.
                let _ = answer.send(self.counts.clone());
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
            Err(reason) => self.drop_one(reason),
        }
    }

    /// Queues what a message leads to, or says why it is dropped.
    fn route_parts(
        &mut self,
        now_ms: u64,
        topic: &[u8],
        payload: &[u8],
    ) -> Result<(), &'static str> {
        match protocol::parse_topic(topic, &self.rules).map_err(|_| "bad_topic")? {
            BusTopic::Tick { broker, exchange, symbol, mode } => {
                self.served.clear();
                let address = TickAddress { broker, exchange, symbol, mode };
                if !self.index.serve(now_ms, address, &mut self.served) {
                    return Err("no_interest");
                }
                if self.served.is_empty() {
                    return Err("other_source");
                }
                let checked = protocol::check_payload(payload).map_err(|_| "bad_payload")?;
                self.counts.nulled += u64::from(checked.nulled);
                for served in &self.served {
                    let Served { instrument, mode, broker, .. } = served;
                    let broker = broker.as_str();
                    let tick = frame::tick_frame(instrument, *mode, broker, &checked.json);
                    push(&mut self.batches, served, &tick);
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
            if !batch.is_empty() {
                // A closed mailbox means that the gateway is ending.
                let _ = shard.send(ShardMessage::Ticks(std::mem::take(batch))).await;
            }
        }
        for (user, frame) in self.orders.drain(..) {
            for shard in shards {
                let message = ShardMessage::Order { user: user.clone(), frame: frame.clone() };
                let _ = shard.send(message).await;
            }
        }
    }

    fn drop_one(&mut self, reason: &'static str) {
        let count = self.counts.dropped.entry(reason).or_default();
        *count += 1;
        // The first, and then ever more rarely: a publisher gone wrong must not fill the disk.
        let expected = matches!(reason, "no_interest" | "other_source" | "private");
        if !expected && count.is_power_of_two() {
            tracing::warn!(reason, count = *count, "messages from the bus are dropped");
        }
    }
}

fn push(batches: &mut [Vec<(RouteId, Bytes)>], served: &Served, tick: &Bytes) {
    let mut shards = served.shards;
    while shards != 0 {
        let shard = shards.trailing_zeros() as usize;
        batches[shard].push((served.route, tick.clone()));
        shards &= shards - 1;
    }
}
