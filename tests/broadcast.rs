//! A broadcast channel on real sockets.

use std::time::Duration;

use serde_json::Value;
use tickgate::config::{ChannelAuth, ChannelEntry, ChannelKind};

use crate::common::{self, Client, Publisher, TestGateway};

fn broadcast(topics: &[&str]) -> ChannelEntry {
    ChannelEntry {
        auth: ChannelAuth::Anonymous,
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        user: Some("indices".into()),
        interval_ms: 20,
        linger_ms: 0,
        ..ChannelEntry::new("/ws/index", ChannelKind::Broadcast)
    }
}

async fn gateway(entry: ChannelEntry) -> TestGateway {
    TestGateway::start_with(|config| {
        common::quiet_market(config);
        config.server.shards = 3;
        config.channel = vec![entry];
    })
    .await
}

/// The value of a topic in a broadcast.
fn value<'a>(frame: &'a Value, symbol: &str) -> &'a Value {
    let ticks = frame["ticks"].as_array().expect("ticks");
    let tick = ticks.iter().find(|tick| tick["symbol"] == symbol);
    tick.map_or(&Value::Null, |tick| &tick["data"]["ltp"])
}

/// Reads until a broadcast holds this value.
async fn read_until(client: &mut Client, symbol: &str, ltp: u64) -> Value {
    loop {
        let frame = client.next().await;
        assert_eq!((&frame["type"], &frame["channel"]), (&"broadcast".into(), &"/ws/index".into()));
        if value(&frame, symbol) == ltp {
            return frame;
        }
    }
}

#[tokio::test]
async fn all_listeners_get_the_latest_of_each_topic_and_newcomers_at_once() {
    let gateway = gateway(broadcast(&["NSE_INDEX:NIFTY", "BSE_INDEX:*"])).await;
    let mut first = Client::connect_to(&gateway, "/ws/index").await;
    // The broker's own market says one value, and then as good as nothing.
    gateway.wait_until(|status| status["channels"][1]["broadcast"]["topics"] == 1).await;
    let publisher = Publisher::connect(&gateway).await;
    publisher.send("NSE_INDEX_NIFTY_LTP", r#"{"ltp":7}"#).await;
    publisher.send("BSE_INDEX_SENSEX_QUOTE", r#"{"ltp":1.50,"volume":12345678901234567890}"#).await;
    publisher.send("BSE_INDEX_SENSEX_LTP", r#"{"ltp":9}"#).await;
    let frame = read_until(&mut first, "SENSEX", 9).await;
    assert_eq!(value(&frame, "NIFTY"), 7);
    assert_eq!(frame["ticks"].as_array().expect("ticks").len(), 2);
    let mut others = Vec::new();
    for _ in 0..5 {
        let mut other = Client::connect_to(&gateway, "/ws/index").await;
        let frame = read_until(&mut other, "NIFTY", 7).await;
        assert_eq!(value(&frame, "SENSEX"), 9);
        others.push(other);
    }
    publisher.send("NSE_INDEX_NIFTY_LTP", r#"{"ltp":8}"#).await;
    for client in others.iter_mut().chain([&mut first]) {
        read_until(client, "NIFTY", 8).await;
    }
    let status = gateway.status().await;
    assert_eq!((&status["clients"]["total"], &status["topics_total"]), (&6.into(), &1.into()));
    assert_eq!(status["topics"][0]["count"], 1, "the gateway subscribes once for all");
    gateway.stop().await;
}

#[tokio::test]
async fn nobody_listening_means_nothing_subscribed_and_nothing_sent() {
    let gateway = gateway(broadcast(&["NSE_INDEX:NIFTY"])).await;
    assert_eq!(gateway.status().await["broker_calls"]["connect"], 0);
    for round in 1..=2 {
        let client = Client::connect_to(&gateway, "/ws/index").await;
        let second = Client::connect_to(&gateway, "/ws/index").await;
        gateway.wait_until(|status| status["topics"][0]["state"] == "on").await;
        drop(client);
        gateway.wait_until(|status| status["channels"][1]["clients"] == 1).await;
        assert_eq!(gateway.status().await["topics_total"], 1, "one listens still");
        drop(second);
        gateway
            .wait_until(|status| {
                let calls = &status["broker_calls"];
                status["topics_total"] == 0
                    && status["users_total"] == 0
                    && calls["disconnect"] == round
                    && status["channels"][1]["broadcast"]["topics"] == 0
            })
            .await;
    }
    let sent = |status: &Value| status["channels"][1]["broadcast"]["sent_total"].clone();
    let before = sent(&gateway.status().await);
    let publisher = Publisher::connect(&gateway).await;
    publisher.send("NSE_INDEX_NIFTY_LTP", r#"{"ltp":7}"#).await;
    assert_eq!(sent(&gateway.status().await), before);
    gateway.stop().await;
}

#[tokio::test]
async fn listeners_cannot_subscribe_but_ping_and_authenticate() {
    let gateway = gateway(broadcast(&["BSE_INDEX:*"])).await;
    let mut client = Client::connect_to(&gateway, "/ws/index").await;
    let request = r#"{"action":"subscribe","symbol":"TCS","exchange":"NSE","request_id":4}"#;
    let refused = client.ask(request).await;
    assert_eq!((&refused["code"], &refused["request_id"]), (&"FORBIDDEN".into(), &4.into()));
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("broadcasts")));
    let request = r#"{"action":"unsubscribe","symbol":"TCS","exchange":"NSE"}"#;
    assert_eq!(client.ask(request).await["code"], "FORBIDDEN");
    assert_eq!(client.ask(r#"{"action":"ping"}"#).await["type"], "pong");
    client.enter("alice-key").await;
    let publisher = Publisher::connect(&gateway).await;
    publisher.send("BSE_INDEX_SENSEX_LTP", r#"{"ltp":9}"#).await;
    read_until(&mut client, "SENSEX", 9).await;
    gateway.stop().await;
}

#[tokio::test]
async fn where_a_credential_is_needed_nothing_is_heard_before_it() {
    let entry = ChannelEntry { auth: ChannelAuth::Message, ..broadcast(&["BSE_INDEX:*"]) };
    let gateway = gateway(entry).await;
    let publisher = Publisher::connect(&gateway).await;
    let mut listener = Client::connect_to(&gateway, "/ws/index").await;
    let mut nobody = Client::connect_to(&gateway, "/ws/index").await;
    listener.enter("alice-key").await;
    publisher.send("BSE_INDEX_SENSEX_LTP", r#"{"ltp":9}"#).await;
    read_until(&mut listener, "SENSEX", 9).await;
    assert!(nobody.is_quiet(Duration::from_millis(100)).await);
    nobody.enter("bob-key").await;
    let frame = read_until(&mut nobody, "SENSEX", 9).await;
    assert_eq!(value(&frame, "SENSEX"), 9);
    gateway.stop().await;
}

#[tokio::test]
async fn a_gateway_with_listeners_stops_politely() {
    let gateway = gateway(broadcast(&["NSE_INDEX:NIFTY"])).await;
    let mut client = Client::connect_to(&gateway, "/ws/index").await;
    gateway.wait_until(|status| status["topics"][0]["state"] == "on").await;
    let runtime = gateway.runtime.clone();
    gateway.stop().await;
    assert_eq!(client.closed().await, Some(1012));
    let left = tickgate::runtime::Runtime::tasks(&runtime).counts();
    assert!(!left.contains_key("client"), "{left:?}");
}
