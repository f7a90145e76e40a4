//! What clients learn of what they have missed, over real sockets.

use std::time::Duration;

use serde_json::Value;
use tickgate::config::{ChannelEntry, ChannelKind, OutboxPolicy};

use crate::common::{self, Client, Publisher, TestGateway};

const SUBSCRIBE: &str = r#"{"action":"subscribe","symbol":"TCS","exchange":"NSE","mode":1}"#;

async fn subscribed(gateway: &TestGateway, path: &str, request: &str) -> Client {
    let mut client = Client::connect_to(gateway, path).await;
    client.enter("alice-key").await;
    assert_eq!(client.ask(request).await["status"], "success");
    client
}

fn number(tick: &Value, name: &str) -> u64 {
    tick[name].as_u64().unwrap_or_default()
}

/// Reads as a client that wants to know of every gap, until this price has come. Says how many
/// values it has missed.
async fn read_to(client: &mut Client, price: u64) -> u64 {
    let (mut last, mut missed): (Option<u64>, u64) = (None, 0);
    loop {
        let tick = client.next().await;
        let (seq, skipped) = (number(&tick, "seq"), number(&tick, "skipped"));
        if let Some(last) = last {
            assert_eq!(seq, last + 1 + skipped, "{}", tick["data"]["ltp"]);
        }
        (last, missed) = (Some(seq), missed + skipped);
        if tick["data"]["ltp"] == price {
            return missed;
        }
    }
}

#[tokio::test]
async fn whoever_lags_can_tell_exactly_what_is_missing() {
    for outbox in [OutboxPolicy::Conflate, OutboxPolicy::DropOldest] {
        let entry = ChannelEntry::new("/c", ChannelKind::Interactive);
        let gateway = TestGateway::start_with(|config| {
            common::quiet_market(config);
            config.ticks.seq = true;
            config.outbox.write_bytes_max = 1_024;
            config.channel = vec![ChannelEntry { outbox, ticks_max: 16, ..entry }];
        })
        .await;
        let mut sleeper = subscribed(&gateway, "/c", SUBSCRIBE).await;
        let publisher = Publisher::connect(&gateway).await;
        let filler = "x".repeat(20_000);
        for price in 1_001..=2_000 {
            let payload = format!(r#"{{"ltp":{price},"filler":"{filler}"}}"#);
            publisher.send("NSE_TCS_LTP", &payload).await;
        }
        gateway.wait_until(|it| it["feed"]["messages_total"].as_u64() >= Some(1_000)).await;
        let missed = read_to(&mut sleeper, 2_000).await;
        assert!(missed > 0, "{outbox:?}: it was sent everything");
        let status = gateway.status().await;
        let left_out = &status["outbox"]["ticks_left_out_total"];
        let of = |policy: &str| left_out[policy].as_u64().unwrap();
        assert_eq!(of("conflate") + of("drop_oldest"), missed, "{outbox:?}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn numbers_count_what_is_handed_on_and_a_snapshot_has_that_of_its_value() {
    let gateway = TestGateway::start_with(|config| {
        common::quiet_market(config);
        config.ticks.seq = true;
    })
    .await;
    let mut first = subscribed(&gateway, "/", SUBSCRIBE).await;
    let before = number(&first.next().await, "seq");
    assert_eq!(before, 1, "that of the market itself");
    let publisher = Publisher::connect(&gateway).await;
    for payload in [r#"{"ltp":1}"#, "no json", r#"{"ltp":2}"#] {
        publisher.send("NSE_TCS_LTP", payload).await;
    }
    let seqs = [first.next().await, first.next().await].map(|tick| number(&tick, "seq"));
    assert_eq!(seqs, [2, 3], "what is dropped has no number");

    let mut second = subscribed(&gateway, "/", SUBSCRIBE).await;
    let snapshot = second.next().await;
    assert_eq!((&snapshot["snapshot"], &snapshot["seq"]), (&Value::Bool(true), &3.into()));
    publisher.send("NSE_TCS_LTP", r#"{"ltp":3}"#).await;
    for client in [&mut first, &mut second] {
        let tick = client.next().await;
        assert_eq!((number(&tick, "seq"), tick.get("skipped")), (4, None));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_says_whether_it_wants_a_snapshot_and_the_gateway_for_those_who_do_not() {
    for by_default in [true, false] {
        let gateway = TestGateway::start_with(|config| {
            common::quiet_market(config);
            config.ticks.snapshot = by_default;
        })
        .await;
        let mut first = subscribed(&gateway, "/", SUBSCRIBE).await;
        first.next().await;
        let with = |snapshot: &str| SUBSCRIBE.replace('}', &format!(",\"snapshot\":{snapshot}}}"));
        let entry = |snapshot: &str| {
            let entry = format!(r#"{{"symbol":"TCS","exchange":"NSE","snapshot":{snapshot}}}"#);
            let shared = r#""mode":1,"snapshot":true"#;
            format!(r#"{{"action":"subscribe",{shared},"symbols":[{entry}]}}"#)
        };
        for (request, expected) in [
            (SUBSCRIBE.to_owned(), by_default),
            (with("null"), by_default),
            (with("true"), true),
            (with("false"), false),
            (entry("false"), false),
            (entry("null"), true),
        ] {
            let mut client = subscribed(&gateway, "/", &request).await;
            if expected {
                assert_eq!(client.next().await["snapshot"], true, "{request}");
            }
            assert!(client.is_quiet(Duration::from_millis(20)).await, "{request}");
        }
        let answer = first.ask(&with("1")).await;
        let row = &answer["subscriptions"][0];
        assert_eq!(
            (&row["code"], &row["message"]),
            (&"INVALID_PARAMETERS".into(), &"Snapshot must be true or false".into())
        );
        gateway.stop().await;
    }
}
