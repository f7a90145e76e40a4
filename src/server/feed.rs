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
use crate::engine::{Event, Index, RouteId, Served, ShardId, TickAddress};
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
    /// Learns of users whose credentials changed before the hub sends them away.
    pub keeper: Keeper,
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
    let batches = outlets.shards.iter().map(|_| Batch::default()).collect();
    let mut feed = Feed {
        index,
        rules,
        counts: FeedCounts {
            // From the start, so that the first drop is an increase too.
            dropped: DROP_REASONS.iter().map(|reason| (*reason, 0)).collect(),
            ..FeedCounts::default()
        },
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
    index: Index,
    rules: TopicRules,
    counts: FeedCounts,
    served: Vec<Served>,
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
        match protocol::parse_topic(topic, &self.rules).map_err(|_| "bad_topic")? {
            BusTopic::Tick { broker, exchange, symbol, mode } => {
                self.served.clear();
                let address = TickAddress { broker, exchange, symbol, mode };
                if !self.index.serve(now_ms, address, &mut self.served) {
                    mark!(NoInterest);
                    return Err("no_interest");
                }
                if self.served.is_empty() {
                    mark!(OtherSource);
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
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::{KeyTable, Verifier};
    use crate::config::Auth;
    use crate::runtime::{Runtime, Task, TokioRuntime};
    use crate::topic::{Instrument, Mode};
    use crate::zmtp::{Options, Pub};

    /// A feed with one publisher, and a shard whose mailbox nobody empties.
    struct Stalled {
        publisher: Pub,
        to_feed: mpsc::Sender<FeedMessage>,
        shard: mpsc::Receiver<ShardMessage<tokio::io::DuplexStream>>,
        _hub: mpsc::Receiver<HubMessage>,
        _feed: Task,
    }

    async fn stalled() -> Stalled {
        let runtime = TokioRuntime::new();
        let bind = ["127.0.0.1:0".to_owned()];
        let everything = [Bytes::new()];
        let bus = Sub::start(&runtime, Options::default(), &bind, &[], &everything);
        let bus = bus.await.expect("a free port");
        let address = bus.bound()[0].to_string();
        let (to_feed, mailbox) = mpsc::channel(1_024);
        let (to_shard, shard) = mpsc::channel(1_024);
        let (to_hub, hub) = mpsc::channel(1_024);
        let clock = Clock::start();
        let verifier = Verifier::new(runtime.clone(), clock, KeyTable::new(), &Auth::default());
        let keeper = Arc::new(verifier).keeper();
        let outlets = FeedOutlets { shards: vec![to_shard], hub: to_hub, keeper };
        let (index, rules) = (Index::new(5_000), TopicRules::default());
        let feed = run_feed(bus, mailbox, index, rules, clock, outlets);
        let feed = runtime.spawn("feed", feed);
        let topic = Topic::new(Instrument::new("NSE", "TCS"), Mode::Ltp);
        let broker = "paper".into();
        let interest =
            FeedMessage::Interest { route: RouteId(1), topic, broker, shard: 0, wanted: true };
        to_feed.send(interest).await.expect("the feed runs");
        let publisher = Pub::connect(&runtime, Options::default(), 1_000_000, &address);
        while publisher.stats().subscriptions == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Stalled { publisher, to_feed, shard, _hub: hub, _feed: feed }
    }

    impl Stalled {
        /// Publishes more than can wait anywhere, and waits until the feed takes no more.
        async fn flood(&self, messages: usize, filler: usize) {
            let payload = format!(r#"{{"ltp":1,"filler":"{}"}}"#, "x".repeat(filler));
            let message = Message::pair("NSE_TCS_LTP", payload);
            for _ in 0..messages {
                self.publisher.publish(message.clone());
            }
            let mut before = 0;
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let waiting = self.shard.len();
                if waiting > 0 && waiting == before {
                    return;
                }
                before = waiting;
            }
        }

        /// Ticks that wait for the shard, and their bytes.
        fn waiting(&mut self) -> (usize, usize) {
            let (mut count, mut bytes) = (0, 0);
            while let Ok(ShardMessage::Ticks { ticks, .. }) = self.shard.try_recv() {
                count += ticks.len();
                bytes += ticks.iter().map(|(_, frame)| frame.len()).sum::<usize>();
            }
            (count, bytes)
        }
    }

    #[tokio::test]
    async fn answers_wait_behind_few_ticks_however_many_are_published() {
        let mut stalled = stalled().await;
        stalled.flood(100_000, 0).await;
        let (ticks, _) = stalled.waiting();
        assert!(ticks <= 8_192, "{ticks} ticks wait for the shard");
    }

    #[tokio::test]
    async fn invalidations_that_the_hub_has_no_time_for_wait_on_the_bus() {
        let stalled = stalled().await;
        for number in 0..100_000 {
            let payload = format!(r#"{{"user_id":"user-{number}","cache_type":"ALL"}}"#);
            stalled.publisher.publish(Message::pair("CACHE_INVALIDATE_ALL_x", payload));
        }
        let mut taken = (0, u64::MAX);
        while taken.0 != taken.1 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let (answer, counts) = oneshot::channel();
            stalled.to_feed.send(FeedMessage::Query(answer)).await.expect("the feed runs");
            taken = (counts.await.expect("it answers").messages, taken.0);
        }
        assert!(taken.0 <= 8_192, "{} invalidations wait for the hub", taken.0);
    }

    #[tokio::test]
    async fn large_ticks_that_wait_for_a_shard_take_little_memory() {
        let mut stalled = stalled().await;
        stalled.flood(400, 500_000).await;
        let (_, bytes) = stalled.waiting();
        assert!(bytes <= 8 << 20, "{bytes} bytes wait for the shard");
        drop(stalled.to_feed);
    }
}
