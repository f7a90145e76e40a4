//! The paper broker on a real bus.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use tickgate::broker::paper::{Paper, PaperOptions};
use tickgate::broker::{BrokerErrorCode, CommandKind};
use tickgate::runtime::Clock;
use tickgate::topic::Mode;
use tokio::time::timeout;

use crate::broker_support::{
    A_WHILE, Bus, Caller, FixedRuntime, PATIENCE, UNIX_MS, no_task_is_left, subscribe, unsubscribe,
};

fn paper(runtime: &FixedRuntime, bus: &Bus) -> Paper<FixedRuntime> {
    let options =
        PaperOptions { ticks_per_second: 50.0, ..PaperOptions::new("paper", bus.endpoint(), 7) };
    Paper::new(runtime.clone(), options).unwrap()
}

#[tokio::test]
async fn subscribed_topics_tick_on_the_bus_until_they_are_unsubscribed() {
    let runtime = FixedRuntime::default();
    let mut bus = Bus::start(&runtime).await;
    let mut caller = Caller::of(&runtime, paper(&runtime, &bus));
    caller.is_up().await;
    assert_eq!(
        caller.fails("alice", 1, subscribe("TCS", Mode::Ltp)).await,
        BrokerErrorCode::NotConnected
    );
    assert_eq!(caller.done("alice", 1, CommandKind::Connect).await, None);
    assert_eq!(caller.done("alice", 1, subscribe("TCS", Mode::Ltp)).await, None);
    assert_eq!(caller.done("alice", 1, subscribe("TCS", Mode::Quote)).await, None);
    assert_eq!(caller.done("alice", 1, subscribe("M&M", Mode::Depth)).await, Some(5));

    let ltp = bus.tick_of("NSE_TCS_LTP").await;
    assert_eq!(ltp["timestamp"], UNIX_MS);
    assert!(ltp["ltp"].is_f64());
    let quote = bus.tick_of("NSE_TCS_QUOTE").await;
    assert!(quote["volume"].is_u64() && quote["depth"].is_null());
    let depth = bus.tick_of("NSE_M&M_DEPTH").await;
    assert_eq!(depth["depth"]["buy"].as_array().unwrap().len(), 5);

    caller.done("alice", 1, unsubscribe("TCS", Mode::Ltp)).await;
    caller.done("alice", 1, unsubscribe("TCS", Mode::Quote)).await;
    caller.done("alice", 1, unsubscribe("M&M", Mode::Depth)).await;
    bus.falls_silent().await;

    caller.stop().await;
    drop(bus);
    no_task_is_left(&runtime).await;
}

#[tokio::test]
async fn a_topic_is_published_once_while_any_user_wants_it() {
    let runtime = FixedRuntime::default();
    let mut bus = Bus::start(&runtime).await;
    let mut caller = Caller::of(&runtime, paper(&runtime, &bus));
    caller.is_up().await;
    for user in ["alice", "bob"] {
        caller.done(user, 1, CommandKind::Connect).await;
        caller.done(user, 1, subscribe("TCS", Mode::Ltp)).await;
    }
    let mut last = bus.tick_of("NSE_TCS_LTP").await["seq"].as_u64().unwrap();
    for _ in 0..10 {
        let seq = bus.tick_of("NSE_TCS_LTP").await["seq"].as_u64().unwrap();
        assert_eq!(seq, last + 1);
        last = seq;
    }

    caller.done("alice", 1, CommandKind::Disconnect).await;
    bus.tick_of("NSE_TCS_LTP").await;
    caller.done("bob", 1, CommandKind::UnsubscribeAll).await;
    bus.falls_silent().await;
    // A new session begins without the subscriptions of the old one.
    caller.done("bob", 1, subscribe("TCS", Mode::Ltp)).await;
    caller.done("bob", 2, CommandKind::Connect).await;
    bus.falls_silent().await;
    assert_eq!(
        caller.fails("bob", 1, subscribe("TCS", Mode::Ltp)).await,
        BrokerErrorCode::NotConnected
    );
    caller.stop().await;
}

#[tokio::test]
async fn the_first_tick_of_a_slow_topic_comes_soon() {
    let runtime = FixedRuntime::default();
    let mut bus = Bus::start(&runtime).await;
    let options =
        PaperOptions { ticks_per_second: 0.01, ..PaperOptions::new("paper", bus.endpoint(), 7) };
    let mut caller = Caller::of(&runtime, Paper::new(runtime.clone(), options).unwrap());
    caller.is_up().await;
    caller.done("alice", 1, CommandKind::Connect).await;
    tokio::time::sleep(A_WHILE).await;
    caller.done("alice", 1, subscribe("TCS", Mode::Ltp)).await;
    assert_eq!(bus.tick_of("NSE_TCS_LTP").await["seq"], 1);
    caller.stop().await;
}

#[tokio::test]
async fn latency_delays_answers_and_keeps_their_order() {
    let runtime = FixedRuntime::default();
    let bus = Bus::start(&runtime).await;
    let latency = Duration::from_millis(100);
    let options = PaperOptions { latency, ..PaperOptions::new("paper", bus.endpoint(), 7) };
    let mut caller = Caller::of(&runtime, Paper::new(runtime.clone(), options).unwrap());
    caller.is_up().await;
    let clock = Clock::start();
    let mut sent = Vec::new();
    sent.push(caller.send("alice", 1, CommandKind::Connect).await);
    for symbol in ["A", "B", "C"] {
        sent.push(caller.send("alice", 1, subscribe(symbol, Mode::Ltp)).await);
    }
    for id in sent {
        match caller.event().await {
            tickgate::broker::BrokerEvent::Answer(answer) => {
                assert_eq!(answer.id, id);
                assert!(answer.result.is_ok());
            }
            other => panic!("{other:?}"),
        }
        assert!(clock.now() >= latency);
    }
    assert!(clock.now() < latency * 4, "commands wait side by side");
    caller.stop().await;
}

/// Payloads of the first ticks, by topic and number.
async fn first_ticks(seed: u64) -> BTreeMap<(String, u64), String> {
    let runtime = FixedRuntime::default();
    let mut bus = Bus::start(&runtime).await;
    let options = PaperOptions {
        ticks_per_second: 100.0,
        ..PaperOptions::new("paper", bus.endpoint(), seed)
    };
    let mut caller = Caller::of(&runtime, Paper::new(runtime.clone(), options).unwrap());
    caller.is_up().await;
    caller.done("alice", 1, CommandKind::Connect).await;
    for symbol in ["TCS", "INFY", "RELIANCE"] {
        caller.done("alice", 1, subscribe(symbol, Mode::Depth)).await;
    }
    let mut ticks = BTreeMap::new();
    let mut per_topic: BTreeMap<String, usize> = BTreeMap::new();
    while per_topic.len() < 3 || per_topic.values().any(|count| *count < 20) {
        let (topic, payload) = bus.tick().await;
        let tick: serde_json::Value = serde_json::from_str(&payload).unwrap();
        *per_topic.entry(topic.clone()).or_default() += 1;
        ticks.insert((topic, tick["seq"].as_u64().unwrap()), payload);
    }
    caller.stop().await;
    ticks
}

#[tokio::test]
async fn the_same_seed_and_commands_give_the_same_bytes() {
    let (one, other, third) = tokio::join!(first_ticks(7), first_ticks(7), first_ticks(8));
    let compare = |other: &BTreeMap<(String, u64), String>| {
        let both: Vec<_> = one.iter().filter(|(name, _)| other.contains_key(name)).collect();
        assert!(both.len() >= 45, "{}", both.len());
        both.iter().filter(|(name, payload)| other[*name] == **payload).count() == both.len()
    };
    assert!(compare(&other));
    assert!(!compare(&third));
}

#[tokio::test]
async fn without_a_bus_commands_are_served_all_the_same() {
    let runtime = FixedRuntime::default();
    let options = PaperOptions::new("paper", "tcp://127.0.0.1:1", 7);
    let mut caller = Caller::of(&runtime, Paper::new(runtime.clone(), options).unwrap());
    caller.is_up().await;
    caller.done("alice", 1, CommandKind::Connect).await;
    caller.done("alice", 1, subscribe("TCS", Mode::Ltp)).await;
    timeout(PATIENCE, caller.stop()).await.unwrap();
    no_task_is_left(&runtime).await;
}

#[tokio::test]
async fn a_thousand_topics_all_tick() {
    let runtime = FixedRuntime::default();
    let mut bus = Bus::start(&runtime).await;
    let mut caller = Caller::of(&runtime, paper(&runtime, &bus));
    caller.is_up().await;
    caller.done("alice", 1, CommandKind::Connect).await;
    for number in 0..1_000 {
        caller.done("alice", 1, subscribe(&format!("S{number}"), Mode::Ltp)).await;
    }
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 1_000 {
        seen.insert(bus.tick().await.0);
    }
    caller.done("alice", 1, CommandKind::Disconnect).await;
    bus.falls_silent().await;
    caller.stop().await;
}

#[test]
fn a_bus_address_must_be_an_endpoint() {
    let options = PaperOptions::new("paper", "127.0.0.1:5555", 7);
    assert!(Paper::new(FixedRuntime::default(), options).is_err());
}
