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

use super::{BUS_ADDR, Stage};
use crate::history::{Actor, Phase, Seen};
use crate::plan::{BROKER_NAME, FeedPlan, OrderRhythm, Plan, TopicRhythm};
use crate::runtime::clock::now_us;
use crate::topic_name::TopicName;

/// Messages that may wait for the gateway.
const HIGH_WATER_MARK: usize = 10_000;

/// Plays the publisher's part until the feed falls silent.
pub async fn play<R: Runtime>(runtime: R, stage: Stage, plan: Plan) {
    let publisher = Pub::connect(&runtime, Options::default(), HIGH_WATER_MARK, BUS_ADDR);
    stage.reached(Phase::Play).await;
    let mut feed = Feed { stage, publisher, plan: plan.feed, seqs: BTreeMap::new() };
    feed.publish_until_silence().await;
    // The connection stays until the simulation ends.
    std::future::pending().await
}

struct Feed {
    stage: Stage,
    publisher: Pub,
    plan: FeedPlan,
    /// Ticks published, by topic; order updates, by user.
    seqs: BTreeMap<String, u64>,
}

/// What is published at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Invalidation(usize),
    Tick(usize),
    Order(usize),
}

impl Feed {
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
            if let Some(period_ms) = self.publish(what) {
                due.insert((at_ms + period_ms, what));
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
        invalidations.chain(ticks).chain(orders).collect()
    }

    /// Publishes; tells after how many milliseconds it is due again.
    fn publish(&mut self, what: What) -> Option<u64> {
        match what {
            What::Tick(n) => {
                let TopicRhythm { topic, period_ms, unwanted, .. } = self.plan.topics[n].clone();
                let wanted = self.stage.is_on_the_market(&topic);
                if wanted || unwanted {
                    self.tick(topic, wanted);
                }
                Some(period_ms)
            }
            What::Order(n) => {
                let OrderRhythm { user, period_ms, .. } = self.plan.orders[n].clone();
                self.order(user);
                Some(period_ms)
            }
            What::Invalidation(n) => {
                self.invalidate(self.plan.invalidations[n].user.clone());
                None
            }
        }
    }

    fn tick(&mut self, topic: TopicName, wanted: bool) {
        let seq = self.next_seq(topic.to_string());
        let payload = payload(topic.mode(), seq);
        let name = topic.on_the_bus();
        self.stage.saw(&Actor::Feed, Seen::Published { topic, seq, wanted });
        self.send(name, &payload);
    }

    fn order(&mut self, user: UserId) {
        let seq = self.next_seq(format!("orders of {user}"));
        let name = format!("{BROKER_NAME}_{user}_orders");
        let payload = json!({"type": "order_update", "user_id": user.as_str(), "seq": seq});
        self.stage.saw(&Actor::Feed, Seen::PublishedOrder { user, seq });
        self.send(name, &payload);
    }

    fn invalidate(&self, user: UserId) {
        let name = format!("CACHE_INVALIDATE_ALL_{user}");
        let payload = json!({"user_id": user.as_str(), "cache_type": "ALL"});
        self.stage.saw(&Actor::Feed, Seen::Invalidated { user });
        self.send(name, &payload);
    }

    fn next_seq(&mut self, key: String) -> u64 {
        let seq = self.seqs.entry(key).or_default();
        *seq += 1;
        *seq
    }

    fn send(&self, topic: String, payload: &serde_json::Value) {
        self.publisher.publish(Message::pair(topic, Bytes::from(payload.to_string())));
    }
}

/// `seq` and `src` are what the simulator reads back; the rest is what real payloads hold.
fn payload(mode: Mode, seq: u64) -> serde_json::Value {
    let mut payload = json!({"ltp": 100.05, "timestamp": seq, "seq": seq, "src": mode.number()});
    if mode >= Mode::Quote {
        payload["open"] = json!(99.5);
        payload["volume"] = json!(seq * 10);
    }
    if mode >= Mode::Depth {
        let level = json!({"price": 100.0, "quantity": 5, "orders": 1});
        payload["depth"] = json!({"buy": [level], "sell": [level]});
    }
    payload
}
