//! What clients and operators of a real gateway learn of topics that fall silent.

use std::time::Duration;

use serde_json::Value;
use tickgate::config::{Config, MarketEntry};

use crate::common::{self, Client, Publisher, TestGateway};

const SUBSCRIBE: &str = r#"{"action":"subscribe","symbol":"TCS","exchange":"NSE","mode":1}"#;

/// Silence of 300 ms is too long, whatever the habit.
fn impatient(config: &mut Config) {
    common::quiet_market(config);
    config.feed.stale_after_ms = 300;
    config.feed.stale_min_ms = 300;
}

/// The next message about the state of topics, and how many ticks came before it.
async fn status(client: &mut Client) -> (Value, usize) {
    let mut ticks = 0;
    loop {
        let message = client.next().await;
        if message["type"] == "feed_status" {
            return (message, ticks);
        }
        assert_eq!(message["type"], "market_data", "{message}");
        ticks += 1;
    }
}

#[tokio::test]
async fn a_silence_is_told_and_a_tick_ends_it() {
    let gateway = TestGateway::start_with(impatient).await;
    let publisher = Publisher::connect(&gateway).await;
    let mut client = Client::connect(&gateway).await;
    client.enter("alice-key").await;
    client.ask(SUBSCRIBE).await;
    let (told, ticks) = status(&mut client).await;
    assert_eq!((&told["status"], &told["broker"]), (&"stale".into(), &"paper".into()), "{told}");
    assert_eq!(ticks, 1, "the first tick of the paper market");
    let topic = &told["topics"][0];
    let named = (&topic["exchange"], &topic["symbol"], &topic["mode"]);
    assert_eq!(named, (&"NSE".into(), &"TCS".into(), &1.into()), "{told}");
    assert_eq!(topic["reason"], "no tick for longer than usual");
    assert!(topic["since"].as_u64().is_some_and(|since| since > 1_700_000_000_000), "{told}");
    gateway.wait_until(|status| status["feed"]["topics"]["stale"] == 1).await;
    gateway.wait_until(|status| status["feed"]["silent_brokers"][0] == "paper").await;

    let mut late = Client::connect(&gateway).await;
    late.enter("bob-key").await;
    late.ask(SUBSCRIBE).await;
    assert_eq!(late.next().await["snapshot"], true);
    assert_eq!(late.next().await["status"], "stale", "a snapshot is no fresh data");

    publisher.send("NSE_TCS_LTP", r#"{"ltp":2}"#).await;
    for client in [&mut client, &mut late] {
        assert_eq!(client.next().await["status"], "live");
        assert_eq!(client.next().await["data"]["ltp"], 2);
    }
    gateway
        .wait_until(|status| status["feed"]["silent_brokers"].as_array().unwrap().is_empty())
        .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_market_that_is_closed_is_told_right_behind_the_answer() {
    let closed = |config: &mut Config| {
        impatient(config);
        config.market.push(MarketEntry {
            exchanges: vec!["NSE".into()],
            utc_offset: "+05:30".into(),
            days: Vec::new(),
            open: "09:15".into(),
            close: "15:30".into(),
            holidays: Vec::new(),
            stale_after_ms: None,
        });
    };
    let gateway = TestGateway::start_with(closed).await;
    let mut client = Client::connect(&gateway).await;
    client.enter("alice-key").await;
    client.ask(SUBSCRIBE).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let (message, ticks) = status(&mut client).await;
        told.push((message["status"].as_str().unwrap_or_default().to_owned(), ticks));
    }
    // The paper market trades around the clock.
    let expected = [("closed".to_owned(), 0), ("live".to_owned(), 0), ("closed".to_owned(), 1)];
    assert_eq!(told, expected);
    gateway.stop().await;
}

#[tokio::test]
async fn whoever_wants_no_states_gets_none_and_the_operator_sees_them_still() {
    let quiet = |config: &mut Config| {
        impatient(config);
        config.feed.status = false;
    };
    let gateway = TestGateway::start_with(quiet).await;
    let mut client = Client::connect(&gateway).await;
    client.enter("alice-key").await;
    client.ask(SUBSCRIBE).await;
    assert_eq!(client.next().await["type"], "market_data");
    gateway.wait_until(|status| status["feed"]["topics"]["stale"] == 1).await;
    assert!(client.is_quiet(Duration::from_millis(200)).await);
    let page = common::http(
        gateway.addresses.admin.unwrap(),
        "GET /health/ready HTTP/1.0\r\nHost: localhost\r\n\r\n",
    );
    let page = page.await;
    assert!(page.contains("silent although markets are open"), "{page}");
    gateway.stop().await;
}
