//! The publisher of a story: numbered ticks and order updates, when the story says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};
use tickgate::runtime::Runtime;
use tickgate::topic::Mode;
use tickgate::zmtp::{Message, Options, Pub};

use super::BROKER_NAME;

/// Messages that may wait for the gateway: more than any story publishes.
const HIGH_WATER_MARK: usize = 1_000_000;

/// The exchange of every symbol in a story.
pub const EXCHANGE: &str = "NSE";

/// A publisher. Clones are the same publisher.
#[derive(Clone, Default)]
pub struct Feed(Arc<Inner>);

#[derive(Default)]
struct Inner {
    socket: OnceLock<Pub>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    messages: u64,
    /// Trades of each symbol.
    trades: BTreeMap<String, u64>,
    /// Order updates of each user.
    orders: BTreeMap<String, u64>,
}

impl Feed {
    /// Connects to the gateway's bus at `host:port`. Never returns.
    pub async fn run<R: Runtime>(&self, runtime: R, address: &str) {
        let socket = Pub::connect(&runtime, Options::default(), HIGH_WATER_MARK, address);
        let _first = self.0.socket.set(socket);
        std::future::pending::<()>().await;
    }

    /// Whether the gateway has subscribed: what is published from now on reaches it.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.0.socket.get().is_some_and(|socket| socket.stats().subscriptions > 0)
    }

    /// Publishes the next trade of a symbol as one tick, and tells its number.
    pub fn tick(&self, symbol: &str, mode: Mode) -> u64 {
        self.trade(symbol, &[mode], 0)
    }

    /// Publishes the next trade of a symbol once in each of these modes, each with `padding`
    /// bytes too many, and tells its number.
    pub fn trade(&self, symbol: &str, modes: &[Mode], padding: usize) -> u64 {
        // Held until all is published: whoever publishes next comes behind.
        let mut counts = self.counts();
        let count = counts.trades.entry(symbol.to_owned()).or_default();
        *count += 1;
        let seq = *count;
        counts.messages += modes.len() as u64;
        for mode in modes {
            let topic = format!("{EXCHANGE}_{symbol}_{}", mode.segment());
            let mut payload =
                json!({"ltp": 100.05, "timestamp": seq, "seq": seq, "source": mode.number()});
            if padding > 0 {
                payload["padding"] = Value::from("x".repeat(padding));
            }
            self.publish(topic, &payload);
        }
        seq
    }

    /// How many trades of a symbol were published.
    #[must_use]
    pub fn trades(&self, symbol: &str) -> u64 {
        self.counts().trades.get(symbol).copied().unwrap_or(0)
    }

    /// Publishes the next order update of a user, and tells its number.
    pub fn order(&self, user: &str) -> u64 {
        let mut counts = self.counts();
        let count = counts.orders.entry(user.to_owned()).or_default();
        *count += 1;
        let seq = *count;
        counts.messages += 1;
        let payload = json!({"type": "order_update", "user_id": user, "seq": seq});
        self.publish(format!("{}_{user}_orders", BROKER_NAME.to_uppercase()), &payload);
        seq
    }

    /// How many order updates of a user were published.
    #[must_use]
    pub fn orders(&self, user: &str) -> u64 {
        self.counts().orders.get(user).copied().unwrap_or(0)
    }

    /// Tells the gateway that a user's credentials have changed.
    pub fn invalidate(&self, user: &str) {
        let payload = json!({"user_id": user, "cache_type": "ALL"});
        self.counts().messages += 1;
        self.publish(format!("CACHE_INVALIDATE_ALL_{user}"), &payload);
    }

    /// How many messages were published in all.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.counts().messages
    }

    fn publish(&self, topic: String, payload: &Value) {
        let socket = self.0.socket.get().expect("the publisher has its entrance before the story");
        socket.publish(Message::pair(topic, Bytes::from(payload.to_string())));
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
