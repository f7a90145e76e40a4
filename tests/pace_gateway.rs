//! Paces on real sockets: how often values come, what is said of those that do not, and what a
//! channel allows.

use std::time::Duration;

use serde_json::Value;
use tickgate::config::{ChannelEntry, ChannelKind};

use crate::common::{self, Client, Publisher, TestGateway};

const PAIR_MS: u64 = 10;
const PAIRS: u64 = 60;

fn subscribe(more: &str) -> String {
    format!(r#"{{"action":"subscribe","symbol":"TCS","exchange":"NSE","mode":1{more}}}"#)
}

/// Its values, in the order in which they came, each with how many it stands for, up to this one.
async fn values(client: &mut Client, last: u64) -> Vec<(u64, u64)> {
    let mut values = Vec::new();
    while values.last().is_none_or(|(value, _)| *value < last) {
        let tick: Value = client.next().await;
        assert_eq!(tick["type"], "market_data", "{tick}");
        let skipped = tick["skipped"].as_u64().unwrap_or(0);
        values.push((tick["data"]["n"].as_u64().unwrap_or_default(), 1 + skipped));
    }
    values
}

#[tokio::test]
async fn the_latest_comes_at_intervals_the_rest_is_counted_and_others_get_everything() {
    let gateway = TestGateway::start_with(common::quiet_market).await;
    let (mut paced, mut eager) = (Client::connect(&gateway).await, Client::connect(&gateway).await);
    paced.enter("alice-key").await;
    eager.enter("bob-key").await;
    let answer = paced.ask(&subscribe(r#","interval_ms":100"#)).await;
    assert_eq!(answer["subscriptions"][0]["interval_ms"], 100, "{answer}");
    let answer = eager.ask(&subscribe("")).await;
    assert!(answer["subscriptions"][0]["interval_ms"].is_null(), "{answer}");

    let publisher = Publisher::connect(&gateway).await;
    for pair in 0..PAIRS {
        for n in [2 * pair + 1, 2 * pair + 2] {
            publisher.send("NSE_TCS_LTP", &format!(r#"{{"ltp":1,"n":{n}}}"#)).await;
        }
        tokio::time::sleep(Duration::from_millis(PAIR_MS)).await;
    }
    let last = 2 * PAIRS;
    // The broker's own market may put in a value without a number.
    let all = values(&mut eager, last).await;
    assert!(all.iter().all(|(_, stands_for)| *stands_for == 1), "{all:?}");
    let own: Vec<u64> = all.iter().map(|(value, _)| *value).filter(|value| *value > 0).collect();
    assert_eq!(own, (1..=last).collect::<Vec<_>>());
    let few = values(&mut paced, last).await;
    let mut at = 0;
    for (value, stands_for) in &few {
        at += *stands_for as usize;
        assert_eq!(all[at - 1].0, *value, "{few:?} of {all:?}");
    }
    assert_eq!(at, all.len(), "{few:?} of {all:?}");
    // Two of a pair come together on any machine.
    assert!((2..=PAIRS as usize + 1).contains(&few.len()), "{few:?}");

    let status = gateway.status().await;
    let shards = status["shards"].as_array().expect("shards");
    let sum = |name: &str| shards.iter().filter_map(|shard| shard[name].as_u64()).sum::<u64>();
    assert_eq!((sum("paced"), sum("routes")), (1, 2), "{status}");
    assert_eq!(sum("values_withheld_total"), (all.len() - few.len()) as u64, "{status}");

    let answer = paced.ask(&subscribe(r#","interval_ms":500"#)).await;
    assert_eq!(answer["subscriptions"][0]["message"], "Already subscribed");
    let gone = r#"{"action":"unsubscribe","symbol":"TCS","exchange":"NSE"}"#;
    assert_eq!(paced.ask(gone).await["status"], "success");
    publisher.send("NSE_TCS_LTP", r#"{"ltp":1,"n":1000}"#).await;
    assert!(paced.is_quiet(Duration::from_millis(250)).await, "it has unsubscribed");
    gateway.stop().await;
}

#[tokio::test]
async fn a_channel_slows_down_whoever_wants_more_and_whoever_does_not_say() {
    let entry = ChannelEntry { pace_ms: 300, ..ChannelEntry::new("/c", ChannelKind::Interactive) };
    let gateway = TestGateway::start_with(|config| {
        common::quiet_market(config);
        config.channel = vec![entry];
    })
    .await;
    for (path, asked, given) in [
        ("/c", "", Some(300)),
        ("/c", r#","interval_ms":0"#, Some(300)),
        ("/c", r#","interval_ms":299"#, Some(300)),
        ("/c", r#","interval_ms":1000"#, Some(1_000)),
        ("/", "", None),
        ("/", r#","interval_ms":299"#, Some(299)),
    ] {
        let mut client = Client::connect_to(&gateway, path).await;
        client.enter("alice-key").await;
        let answer = client.ask(&subscribe(asked)).await;
        let row = &answer["subscriptions"][0];
        assert_eq!(row["interval_ms"].as_u64(), given, "{path} {asked}: {answer}");
    }
    gateway.stop().await;
}
