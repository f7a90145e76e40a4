//! The publisher: numbered ticks in a planned rhythm for the topics that the broker was asked
//! for, order updates, and declarations that credentials are invalid.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tickgate::runtime::Runtime;
use tickgate::topic::{Mode, UserId};
use tickgate::zmtp::{Message, Options, Pub};
use tokio::time::sleep;
use xxhash_rust::xxh3::xxh3_64;

use super::{BUS_ADDR, Stage};
use crate::broker_host::BrokerHost;
use crate::fault::{Party, Strike};
use crate::history::{Actor, Phase, Seen};
use crate::plan::{FeedPlan, OrderRhythm, Plan, TimedFault, TimedKind};
use crate::runtime::clock::now_us;
use crate::topic_name::TopicName;

/// Messages that may wait for the gateway.
const HIGH_WATER_MARK: usize = 10_000;
/// Pause between two tries to say something while dead.
const DEAD_PAUSE_MS: u64 = 20;

/// Plays the publisher's part until the feed falls silent.
pub async fn play<R: Runtime>(runtime: R, stage: Stage, plan: Plan) {
    let publisher = Some(connect(&runtime));
    stage.reached(Phase::Play).await;
    let brokers = plan.users.iter().map(|user| (user.clone(), plan.host_of(user).clone()));
    let brokers = brokers.collect();
    let faults = plan.faults.timed.into_iter();
    let faults = faults.filter(|timed| timed.what.party() == Party::Feed).collect();
    let (ticks, orders) = (BTreeMap::new(), BTreeMap::new());
    let moments = vec![0; plan.feed.topics.len()];
    let plan = plan.feed;
    let mut feed =
        Feed { runtime, stage, publisher, plan, brokers, faults, moments, ticks, orders };
    feed.publish_until_silence().await;
    // The connection stays until the simulation ends.
    std::future::pending().await
}

fn connect<R: Runtime>(runtime: &R) -> Pub {
    Pub::connect(runtime, Options::default(), HIGH_WATER_MARK, BUS_ADDR)
}

struct Feed<R> {
    runtime: R,
    stage: Stage,
    /// `None` while it is dead.
    publisher: Option<Pub>,
    plan: FeedPlan,
    /// The broker of each user.
    brokers: BTreeMap<UserId, BrokerHost>,
    /// What goes wrong with it, in order.
    faults: Vec<TimedFault>,
    /// Moments of each topic at which a tick was due, published or not.
    moments: Vec<u64>,
    /// Ticks published.
    ticks: BTreeMap<TopicName, u64>,
    /// Order updates published.
    orders: BTreeMap<UserId, u64>,
}

/// What is published at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Fault(usize),
    Back,
    Invalidation(usize),
    Tick(usize),
    Order(usize),
}

impl<R: Runtime> Feed<R> {
    async fn publish_until_silence(&mut self) {
        let began_us = now_us();
        let mut due = self.first_moments();
        while let Some((at_ms, what)) = due.pop_first() {
            let at_us = began_us + at_ms * 1_000;
            let wait = Duration::from_micros(at_us.saturating_sub(now_us()));
            tokio::select! {
                biased;
                () = self.stage.reached(Phase::Silence) => return,
                () = sleep(wait) => {}
            }
            if let Some((again, period_ms)) = self.publish(what) {
                due.insert((at_ms + period_ms, again));
            }
        }
        self.stage.reached(Phase::Silence).await;
    }

    fn first_moments(&self) -> std::collections::BTreeSet<(u64, What)> {
        let invalidations = self.plan.invalidations.iter().map(|planned| planned.at_ms);
        let ticks = self.plan.topics.iter().map(|rhythm| rhythm.first_at_ms);
        let orders = self.plan.orders.iter().map(|rhythm| rhythm.first_at_ms);
        let invalidations = invalidations.enumerate().map(|(n, at)| (at, What::Invalidation(n)));
        let ticks = ticks.enumerate().map(|(n, at)| (at, What::Tick(n)));
        let orders = orders.enumerate().map(|(n, at)| (at, What::Order(n)));
        let faults = self.faults.iter().map(|timed| timed.at_ms);
        let faults = faults.enumerate().map(|(n, at)| (at, What::Fault(n)));
        faults.chain(invalidations).chain(ticks).chain(orders).collect()
    }

    /// Publishes; tells what is due next, after how many milliseconds.
    fn publish(&mut self, what: What) -> Option<(What, u64)> {
        match what {
            What::Fault(n) => {
                let TimedFault { for_ms, what, .. } = self.faults[n].clone();
                // A stall of its connection is told when it bites.
                if let TimedKind::FeedRestart
                | TimedKind::FeedSilence
                | TimedKind::FeedDuplicates
                | TimedKind::FeedFlood { .. } = what
                {
                    let strike =
                        Strike { fault: what.kind(), party: Party::Feed, lasts_ms: for_ms };
                    self.stage.saw(&Actor::Feed, Seen::Struck(strike));
                }
                if what == TimedKind::FeedRestart {
                    self.publisher = None;
                    return Some((What::Back, for_ms));
                }
                None
            }
            What::Back => {
                self.publisher.get_or_insert_with(|| connect(&self.runtime));
                None
            }
            What::Tick(n) => {
                let rhythm = self.plan.topics[n].clone();
                let (recorded, gap_ms) = rhythm.moment(next(&mut self.moments[n]) - 1);
                let wanted = self.stage.is_on_the_market(&rhythm.topic);
                if (wanted || rhythm.unwanted) && self.speaks() {
                    for _ in 0..self.factor() {
                        self.tick(rhythm.topic.clone(), wanted, recorded);
                    }
                }
                Some((What::Tick(n), gap_ms))
            }
            What::Order(n) => {
                let OrderRhythm { user, period_ms, .. } = self.plan.orders[n].clone();
                if self.speaks() {
                    self.order(user);
                }
                Some((What::Order(n), period_ms))
            }
            What::Invalidation(n) if self.publisher.is_none() => {
                Some((What::Invalidation(n), DEAD_PAUSE_MS))
            }
            What::Invalidation(n) => {
                self.invalidate(self.plan.invalidations[n].user.clone());
                None
            }
        }
    }

    fn tick(&mut self, topic: TopicName, wanted: bool, recorded: Option<&str>) {
        let seq = next(self.ticks.entry(topic.clone()).or_default());
        let payload = Bytes::from(match recorded {
            Some(recorded) => around(recorded, topic.mode(), seq),
            None => payload(topic.mode(), seq),
        });
        let name = topic.on_the_bus();
        for _ in 0..self.copies() {
            let published = Seen::Published { topic: topic.clone(), seq, wanted };
            self.stage.saw(&Actor::Feed, published);
            self.send(name.clone(), payload.clone());
        }
    }

    fn order(&mut self, user: UserId) {
        let seq = next(self.orders.entry(user.clone()).or_default());
        let broker = self.brokers.get(&user).map_or("", BrokerHost::configured);
        let name = format!("{broker}_{user}_orders");
        let payload = json!({"type": "order_update", "user_id": user.as_str(), "seq": seq});
        self.stage.saw(&Actor::Feed, Seen::PublishedOrder { user, seq });
        self.send(name, payload.to_string().into());
    }

    fn invalidate(&self, user: UserId) {
        let name = format!("CACHE_INVALIDATE_ALL_{user}");
        let payload = json!({"user_id": user.as_str(), "cache_type": "ALL"});
        self.stage.saw(&Actor::Feed, Seen::Invalidated { user });
        self.send(name, payload.to_string().into());
    }

    fn send(&self, topic: String, payload: Bytes) {
        if let Some(publisher) = &self.publisher {
            publisher.publish(Message::pair(topic, payload));
        }
    }

    /// Whether it is alive and not silent.
    fn speaks(&self) -> bool {
        let silent = |what: &TimedKind| *what == TimedKind::FeedSilence;
        self.publisher.is_some() && self.now(silent).is_none()
    }

    /// Ticks for each one that is due.
    fn factor(&self) -> u64 {
        match self.now(|what| matches!(what, TimedKind::FeedFlood { .. })) {
            Some(TimedKind::FeedFlood { factor }) => *factor,
            Some(_) | None => 1,
        }
    }

    /// How often each tick is sent.
    fn copies(&self) -> u64 {
        1 + u64::from(self.now(|what| *what == TimedKind::FeedDuplicates).is_some())
    }

    /// What goes wrong at this moment.
    fn now(&self, is: impl Fn(&TimedKind) -> bool) -> Option<&TimedKind> {
        let now_ms = self.stage.story_ms();
        let lasts =
            |timed: &&TimedFault| (timed.at_ms..timed.at_ms + timed.for_ms).contains(&now_ms);
        let mut all = self.faults.iter().filter(lasts).map(|timed| &timed.what);
        all.find(|what| is(what))
    }
}

fn next(seq: &mut u64) -> u64 {
    *seq += 1;
    *seq
}

/// What was recorded, as it was, within what the simulator reads back. Clients compare it with its
/// checksum: a digit that got lost on the way would be a message that nobody understands.
fn around(recorded: &str, mode: Mode, seq: u64) -> String {
    let (src, sum) = (mode.number(), xxh3_64(recorded.as_bytes()));
    format!(r#"{{"seq":{seq},"src":{src},"sum":{sum},"recorded":{recorded}}}"#)
}

/// `seq` and `src` are what the simulator reads back; the rest is what real payloads hold.
fn payload(mode: Mode, seq: u64) -> String {
    let src = mode.number();
    let mut payload = format!(r#"{{"ltp":100.05,"timestamp":{seq},"seq":{seq},"src":{src}"#);
    if mode >= Mode::Quote {
        payload.push_str(&format!(r#","open":99.5,"volume":{}"#, seq * 10));
    }
    if mode >= Mode::Depth {
        let level = r#"{"price":100.0,"quantity":5,"orders":1}"#;
        payload.push_str(&format!(r#","depth":{{"buy":[{level}],"sell":[{level}]}}"#));
    }
    payload.push('}');
    payload
}
