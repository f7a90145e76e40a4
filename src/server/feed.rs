//! The shell around the [`Index`]: takes ticks from the bus and hands them to the shards.
//!
//! A tick is checked once, encoded once for each mode that somebody wants, and shared from there.

mod news;
mod to_shard;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::future::OptionFuture;
use tokio::sync::{mpsc, oneshot};

use super::hub::HubMessage;
use super::shard::ShardMessage;
use crate::audit::Audit;
use crate::auth::Keeper;
use crate::engine::{
    ChannelId, Epoch, Event, FeedState, Index, Moment, Picked, Prefixes, RouteId, Served, ShardId,
    TickAddress, TopicCounts, Wildcards,
};
use crate::marks::mark;
use crate::protocol::{self, BusTopic, TopicRules, frame};
use crate::runtime::Clock;
use crate::topic::{BrokerName, Topic, UserId};
use crate::zmtp::{Message, Sub, Wanted};

use to_shard::ToShard;

/// How long after a tick was shed the feed counts as outrunning this machine, in milliseconds.
const SHEDDING_MS: u64 = 5_000;

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
    Interest {
        route: RouteId,
        topic: Topic,
        broker: BrokerName,
        shard: ShardId,
        wanted: bool,
        epoch: Epoch,
    },
    /// A session serves a route, or none does any more.
    Served {
        route: RouteId,
        up: bool,
    },
    Audience {
        channel: ChannelId,
        route: RouteId,
        shard: ShardId,
        wanted: bool,
    },
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
    /// Ticks that a later one replaced because a shard was behind.
    pub shed: u64,
    /// Whether that was so within the last [`SHEDDING_MS`].
    pub shedding: bool,
    /// Ticks that a broadcast had no place for, by channel.
    pub left_out: Vec<(ChannelId, u64)>,
    /// How many topics are how.
    pub topics: TopicCounts,
    /// Brokers none of whose topics tick.
    pub silent_brokers: Vec<BrokerName>,
}

/// Where the feed hands things on.
pub(super) struct FeedOutlets<S> {
    pub shards: Vec<mpsc::Sender<ShardMessage<S>>>,
    pub hub: mpsc::Sender<HubMessage>,
    /// Learns of users whose credentials changed before the hub sends them away.
    pub keeper: Keeper,
    pub audit: Audit,
    /// Milliseconds since 1970.
    pub unix_ms: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// By what the feed knows whom a tick is for.
pub(super) struct FeedTables {
    pub index: Index,
    pub wildcards: Wildcards,
    pub rules: TopicRules,
    /// Ticks, and KiB of them, that may wait for one shard, and as many before it.
    pub waiting_max: usize,
    /// Whether ticks carry their numbers.
    pub numbers: bool,
    pub state: FeedState,
    /// What publishers are asked for; `None`: everything.
    pub prefixes: Option<Prefixes>,
    /// How many of the shards have clients who are told of it: all but those of broadcasts; 0:
    /// nobody is told.
    pub told: usize,
    /// How many of the shards have clients at all: all but those of broadcasts.
    pub with_clients: usize,
}

/// Routes what publishers send until the bus or the mailbox ends.
pub(super) async fn run_feed<S: Send + 'static>(
    mut bus: Sub,
    mut mailbox: mpsc::Receiver<FeedMessage>,
    tables: FeedTables,
    clock: Clock,
    outlets: FeedOutlets<S>,
) {
    let waiting_max = tables.waiting_max;
    let shard = |mailbox: &mpsc::Sender<_>| ToShard::new(mailbox.clone(), waiting_max);
    let mut feed = Feed {
        tables,
        counts: FeedCounts {
            // From the start, so that the first drop is an increase too.
            dropped: DROP_REASONS.iter().map(|reason| (*reason, 0)).collect(),
            ..FeedCounts::default()
        },
        served: Vec::new(),
        picked: Vec::new(),
        shards: outlets.shards.iter().map(shard).collect(),
        audit: outlets.audit,
        shed_ms: None,
        orders: Vec::new(),
        invalidated: BTreeSet::new(),
    };
    let moment = || Moment { now_ms: clock.now_ms(), unix_ms: (outlets.unix_ms)() };
    loop {
        let room = to_shard::room_of_any(&feed.shards);
        let is_behind = room.is_some();
        let look_ms = feed.tables.state.next_deadline_ms();
        tokio::select! {
            biased;
            message = mailbox.recv() => match message {
                Some(message) => {
                    feed.take(message, moment());
                    feed.ask(bus.wanted());
                }
                None => return,
            },
            () = clock.sleep_until_ms(look_ms.unwrap_or(0)), if look_ms.is_some() => {
                feed.look(moment());
            }
            // Without waiting for the hub, which may be waiting for the feed.
            permit = outlets.hub.reserve(), if !feed.invalidated.is_empty() => {
                let Ok(permit) = permit else { return };
                if let Some(user) = feed.invalidated.pop_first() {
                    outlets.keeper.forget(&user);
                    permit.send(HubMessage::Event(Event::Invalidate { user }));
                }
            }
            room = OptionFuture::from(room), if is_behind => {
                // Without a shard the gateway is ending; there will never be room.
                let Some((shard, Some(room))) = room else { return };
                feed.shards[shard].send(room);
            }
            batch = bus.recv(), if feed.invalidated.len() < INVALIDATED_MAX => {
                let Some(batch) = batch else { return };
                let now_ms = clock.now_ms();
                for message in batch {
                    feed.route(now_ms, &message);
                }
                feed.hand_over(now_ms).await;
                if is_behind {
                    // Whoever is behind needs this core more.
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

struct Feed<S> {
    tables: FeedTables,
    counts: FeedCounts,
    served: Vec<Served>,
    picked: Vec<Picked>,
    shards: Vec<ToShard<S>>,
    /// Learns of feeds that fall silent.
    audit: Audit,
    /// When a tick was shed last.
    shed_ms: Option<u64>,
    orders: Vec<(UserId, Bytes)>,
    /// Users whose credentials changed; a set, so that a storm of the same stays small.
    invalidated: BTreeSet<UserId>,
}

impl<S> Feed<S> {
    fn take(&mut self, message: FeedMessage, at: Moment) {
        let state = &mut self.tables.state;
        match message {
            FeedMessage::Interest { route, topic, broker, shard, wanted, epoch } => {
                self.shards[shard].heard(epoch);
                self.tables.index.set_interest(route, &topic, &broker, shard, wanted);
                state.set_now(at);
                state.set_interest(route, &topic, &broker, shard, wanted);
                if let Some(prefixes) = &mut self.tables.prefixes {
                    prefixes.set_interest(route, &topic, &broker, shard, wanted);
                }
                if !wanted {
                    self.shards[shard].forget(route);
                }
                self.spread_news();
            }
            FeedMessage::Served { route, up } => {
                state.set_now(at);
                state.set_served(route, up);
            }
            FeedMessage::Audience { channel, route, shard, wanted } => {
                self.tables.wildcards.audience(channel, route, shard, wanted);
            }
            FeedMessage::Query(answer) => {
                // Whoever asked may have given up.
                let _ = answer.send(self.counted(at.now_ms));
            }
        }
    }

    /// Asks publishers for what is wanted now.
    fn ask(&mut self, wanted: &Wanted) {
        let Some(prefixes) = &mut self.tables.prefixes else { return };
        let changes = prefixes.take_changes();
        if !changes.is_empty() {
            mark!(PrefixesChange);
            wanted.set(changes.into_iter().map(|change| (change.wanted, change.prefix)));
        }
    }

    fn counted(&self, now_ms: u64) -> FeedCounts {
        let recent = |shed_ms| now_ms.saturating_sub(shed_ms) <= SHEDDING_MS;
        FeedCounts {
            left_out: self.tables.wildcards.left_out(),
            shed: self.shed(),
            shedding: self.shed_ms.is_some_and(recent),
            topics: self.tables.state.counts(),
            silent_brokers: self.tables.state.silent_brokers().cloned().collect(),
            ..self.counts.clone()
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
                let Ok(checked) = protocol::check_payload(payload) else {
                    self.tables.index.take_back(address);
                    self.tables.wildcards.take_back(address);
                    return Err("bad_payload");
                };
                self.counts.nulled += u64::from(checked.nulled);
                for served in &self.served {
                    self.tables.state.ticked(served.route, now_ms);
                    let Served { instrument, mode, broker, .. } = served;
                    let seq = self.tables.numbers.then(|| self.tables.index.number(served));
                    let (broker, data) = (broker.as_str(), &checked.json);
                    let tick = frame::numbered_tick_frame(instrument, *mode, broker, seq, data);
                    push(&mut self.shards, served, &tick);
                }
                for picked in &self.picked {
                    let Picked { outlet, route, instrument, mode, broker } = picked;
                    let broker = broker.as_str();
                    let tick = frame::tick_frame(instrument, *mode, broker, &checked.json);
                    self.shards[*outlet].push(*route, tick);
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

    async fn hand_over(&mut self, now_ms: u64) {
        if self.tables.state.has_news() {
            self.spread_news();
        }
        for shard in &mut self.shards {
            shard.try_send();
        }
        let shed = self.shed();
        if shed > self.counts.shed {
            self.counts.shed = shed;
            if self.shed_ms.is_none_or(|shed_ms| now_ms.saturating_sub(shed_ms) > SHEDDING_MS) {
                tracing::warn!(
                    shed,
                    "more ticks come than can be delivered: topics are conflated to their latest"
                );
            }
            self.shed_ms = Some(now_ms);
        }
        for (user, frame) in self.orders.drain(..) {
            for shard in self.shards.iter().take(self.tables.with_clients) {
                let message = ShardMessage::Order { user: user.clone(), frame: frame.clone() };
                // A closed mailbox means that the gateway is ending.
                let _ = shard.mailbox.send(message).await;
            }
        }
    }

    /// Ticks that were shed so far.
    fn shed(&self) -> u64 {
        self.shards.iter().map(ToShard::shed).sum()
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

fn push<S>(to: &mut [ToShard<S>], served: &Served, tick: &Bytes) {
    let mut shards = served.shards;
    while shards != 0 {
        to[shards.trailing_zeros() as usize].push(served.route, tick.clone());
        shards &= shards - 1;
    }
}

#[cfg(test)]
mod tests;
