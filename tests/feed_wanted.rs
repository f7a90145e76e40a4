//! A gateway that asks publishers for what is wanted alone.

use std::time::Duration;

use serde_json::Value;
use tickgate::config::{ChannelEntry, ChannelKind, Config};
use tickgate::zmtp::{Message, Options, Pub};

use crate::common::{self, Client, TestGateway};

fn wanted(config: &mut Config) {
    common::quiet_market(config);
    config.bus.subscribe = "wanted".into();
    config.bus.prefixes = vec!["MCX_".into()];
}

/// Waits until a publisher is asked for so many prefixes.
async fn asked(publisher: &Pub, prefixes: usize) {
    let waiting = async {
        while publisher.stats().subscriptions != prefixes {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let asked = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert!(asked.is_ok(), "asked for {} prefixes", publisher.stats().subscriptions);
}

fn connect(gateway: &TestGateway) -> Pub {
    let address = gateway.addresses.bus[0].to_string();
    Pub::connect(&gateway.runtime, Options::default(), 10_000, &address)
}

async fn messages(gateway: &TestGateway) -> u64 {
    gateway.status().await["feed"]["messages_total"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn unused_ticks_never_cross_the_wire_and_order_updates_always_do() {
    let gateway = TestGateway::start_with(wanted).await;
    let publisher = connect(&gateway);
    // Order updates of the broker and of the analyzer, credentials, and what is configured.
    asked(&publisher, 4).await;
    let mut client = Client::connect(&gateway).await;
    client.enter("alice-key").await;
    client.ask(r#"{"action":"subscribe_orders"}"#).await;
    let subscribe = |mode: u8| {
        format!(r#"{{"action":"subscribe","symbol":"TCS","exchange":"NSE","mode":{mode}}}"#)
    };
    client.ask(&subscribe(1)).await;
    asked(&publisher, 7).await;
    client.ask(&subscribe(2)).await;
    client.ask(&subscribe(1).replace("subscribe", "unsubscribe")).await;
    let before = messages(&gateway).await;
    for number in 0..500 {
        publisher.publish(Message::pair(format!("NSE_S{number}_LTP"), "{}"));
        publisher.publish(Message::pair(format!("paper_NSE_S{number}_LTP"), "{}"));
    }
    publisher.publish(Message::pair("NSE_TCS_DEPTH", r#"{"ltp":7,"depth":{}}"#));
    let order = r#"{"type":"order_update","user_id":"alice"}"#;
    publisher.publish(Message::pair("PAPER_alice_orders", order));
    let (mut depth, mut orders) = (0, 0);
    while depth + orders < 2 {
        let message: Value = client.next().await;
        depth += usize::from(message["data"]["ltp"] == 7);
        orders += usize::from(message["type"] == "order_update");
    }
    assert!(messages(&gateway).await <= before + 4, "a few of the paper market may be among them");
    client.ask(r#"{"action":"unsubscribe_all"}"#).await;
    asked(&publisher, 4).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_publisher_that_comes_later_and_broadcasts_are_asked_for_too() {
    let channel = |config: &mut Config| {
        wanted(config);
        let topics = vec!["NFO:NIFTY*".into()];
        config
            .channel
            .push(ChannelEntry { topics, ..ChannelEntry::new("/ws/all", ChannelKind::Broadcast) });
    };
    let gateway = TestGateway::start_with(channel).await;
    let mut client = Client::connect(&gateway).await;
    client.enter("alice-key").await;
    client.ask(r#"{"action":"subscribe","symbol":"TCS","exchange":"NSE","mode":1}"#).await;
    let publisher = connect(&gateway);
    asked(&publisher, 4 + 2 + 3).await;
    let before = messages(&gateway).await;
    publisher.publish(Message::pair("NFO_NIFTY24_LTP", "{}"));
    gateway
        .wait_until(|status| status["feed"]["messages_total"].as_u64().unwrap_or(0) > before)
        .await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_the_configuration_asks_for_outlives_a_client_that_wants_it_too() {
    let configured = |config: &mut Config| {
        wanted(config);
        config.bus.prefixes = vec!["NSE_TCS_".into()];
    };
    let gateway = TestGateway::start_with(configured).await;
    let publisher = connect(&gateway);
    asked(&publisher, 4).await;
    let mut client = Client::connect(&gateway).await;
    client.enter("alice-key").await;
    let request = r#"{"symbol":"TCS","exchange":"NSE","mode":1,"action":"#;
    client.ask(&format!(r#"{request}"subscribe"}}"#)).await;
    asked(&publisher, 4 + 2).await;
    client.ask(&format!(r#"{request}"unsubscribe"}}"#)).await;
    asked(&publisher, 4).await;
    let before = messages(&gateway).await;
    publisher.publish(Message::pair("NSE_TCS_LTP", "{}"));
    gateway
        .wait_until(|status| status["feed"]["messages_total"].as_u64().unwrap_or(0) > before)
        .await;
    gateway.stop().await;
}
