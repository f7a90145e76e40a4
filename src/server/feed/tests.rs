//! What waits where, when the feed is faster than those behind it.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::auth::{KeyTable, Verifier};
use crate::config::{Auth, Config};
use crate::runtime::{Runtime, Task, TokioRuntime};
use crate::topic::{Instrument, Mode};
use crate::zmtp::{Options, Pub};

type Mailbox = mpsc::Receiver<ShardMessage<tokio::io::DuplexStream>>;

/// A feed with one publisher, and shards whose mailboxes nobody empties.
struct Stalled {
    publisher: Pub,
    to_feed: mpsc::Sender<FeedMessage>,
    shard: Mailbox,
    others: Vec<Mailbox>,
    _hub: mpsc::Receiver<HubMessage>,
    _feed: Task,
}

async fn stalled() -> Stalled {
    stalled_of(1).await
}

async fn stalled_of(shards: usize) -> Stalled {
    let runtime = TokioRuntime::new();
    let bind = ["127.0.0.1:0".to_owned()];
    let everything = [Bytes::new()];
    let bus = Sub::start(&runtime, Options::default(), &bind, &[], &everything);
    let bus = bus.await.expect("a free port");
    let address = bus.bound()[0].to_string();
    let (to_feed, mailbox) = mpsc::channel(1_024);
    let (to_shards, mut mailboxes): (_, Vec<_>) = (0..shards).map(|_| mpsc::channel(1_024)).unzip();
    let (to_hub, hub) = mpsc::channel(1_024);
    let clock = Clock::start();
    let verifier = Verifier::new(runtime.clone(), clock, KeyTable::new(), &Auth::default());
    let keeper = Arc::new(verifier).keeper();
    let unix_ms = Box::new(|| 0);
    let audit = Audit::off();
    let outlets = FeedOutlets { shards: to_shards, hub: to_hub, keeper, audit, unix_ms };
    let tables = FeedTables {
        index: Index::new(5_000),
        wildcards: Wildcards::default(),
        rules: TopicRules::default(),
        waiting_max: 4_096,
        numbers: false,
        state: FeedState::new(&Config::default(), Moment { now_ms: 0, unix_ms: 0 }),
        prefixes: None,
        told: 1,
        with_clients: 1,
    };
    let feed = run_feed(bus, mailbox, tables, clock, outlets);
    let feed = runtime.spawn("feed", feed);
    for shard in 0..shards {
        let topic = Topic::new(Instrument::new("NSE", "TCS"), Mode::Ltp);
        let broker = "paper".into();
        let (route, epoch, wanted) = (RouteId(1), Epoch(1), true);
        let interest = FeedMessage::Interest { route, topic, broker, shard, wanted, epoch };
        to_feed.send(interest).await.expect("the feed runs");
    }
    let publisher = Pub::connect(&runtime, Options::default(), 1_000_000, &address);
    while publisher.stats().subscriptions == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let shard = mailboxes.remove(0);
    Stalled { publisher, to_feed, shard, others: mailboxes, _hub: hub, _feed: feed }
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

    /// Messages that the feed has read.
    async fn read(&self) -> u64 {
        let (answer, counts) = oneshot::channel();
        self.to_feed.send(FeedMessage::Query(answer)).await.expect("the feed runs");
        counts.await.expect("it answers").messages
    }

    /// Ticks that wait for the shard, and their bytes.
    fn waiting(&mut self) -> (usize, usize) {
        let (mut count, mut bytes) = (0, 0);
        while let Ok(ShardMessage::Ticks { heard, ticks, .. }) = self.shard.try_recv() {
            assert_eq!(heard, Epoch(1), "it has heard of the interest");
            count += ticks.len();
            bytes += ticks.as_slice().iter().map(|(_, frame)| frame.len()).sum::<usize>();
        }
        (count, bytes)
    }
}

#[tokio::test]
async fn few_ticks_wait_for_a_shard_however_many_are_published() {
    let mut stalled = stalled().await;
    stalled.flood(100_000, 0).await;
    let (ticks, _) = stalled.waiting();
    assert!(ticks <= 8_192, "{ticks} ticks wait for the shard");
}

#[tokio::test]
async fn a_shard_with_room_does_not_wait_for_one_that_has_none() {
    let mut stalled = stalled_of(2).await;
    stalled.flood(20_000, 0).await;
    stalled.publisher.publish(Message::pair("NSE_TCS_LTP", r#"{"ltp":2}"#));
    while stalled.read().await < 20_001 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Nothing more is published: what has been is sent as soon as there is room.
    let is_last = |frame: &Bytes| frame.windows(8).any(|part| part == br#""ltp":2}"#);
    let quick = async {
        loop {
            let message = stalled.others[0].recv().await.expect("the feed runs");
            let ShardMessage::Ticks { mut ticks, .. } = message else { continue };
            if ticks.any(|(_, frame)| is_last(&frame)) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), quick).await.expect("the last comes");
}

#[tokio::test]
async fn a_feed_whose_shard_is_gone_ends_instead_of_asking_for_room_for_ever() {
    let Stalled { publisher, shard, _feed: feed, .. } = &mut stalled().await;
    shard.close();
    publisher.publish(Message::pair("NSE_TCS_LTP", r#"{"ltp":1}"#));
    assert_eq!(feed.await, crate::runtime::TaskEnded::Done);
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
        taken = (stalled.read().await, taken.0);
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
