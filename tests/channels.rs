//! Channels on real sockets: paths, places, anonymous clients, and what becomes of those who lag.

use tickgate::config::{ChannelAuth, ChannelEntry, ChannelKind, Config, OutboxPolicy};

use crate::common::knock::{knock, knock_status};
use crate::common::{self, Client, Publisher, TestGateway};

fn interactive(path: &str) -> ChannelEntry {
    ChannelEntry::new(path, ChannelKind::Interactive)
}

async fn with_channels(channels: Vec<ChannelEntry>) -> TestGateway {
    TestGateway::start_with(|config| config.channel = channels).await
}

#[tokio::test]
async fn without_channels_every_path_is_the_same() {
    let gateway = TestGateway::start().await;
    for path in ["/", "/ws", "/anything/else"] {
        let mut client = Client::connect_to(&gateway, path).await;
        client.enter("alice-key").await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn with_channels_other_paths_are_not_found_and_the_root_stays() {
    let gateway = with_channels(vec![interactive("/ws/market")]).await;
    let (status, _) = knock_status(&gateway, "/ws/other", "").await;
    assert_eq!(status, 404);
    let page = common::http(
        gateway.addresses.websocket,
        "GET /ws/other HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n",
    );
    assert!(page.await.ends_with("there is no channel of this path\n"));
    for path in ["/", "/ws/market", "/ws/market?token=&x=1"] {
        let target = path.split('?').next().unwrap_or_default();
        let mut client = Client::connect_to(&gateway, target).await;
        client.enter("alice-key").await;
    }
    gateway.wait_until(|status| status["channels"][1]["path"] == "/ws/market").await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_full_channel_says_when_to_come_back_and_gets_its_place_back() {
    let entry = ChannelEntry { clients_max: 1, ..interactive("/c") };
    let gateway = with_channels(vec![entry]).await;
    let first = Client::connect_to(&gateway, "/c").await;
    let page = knock(&gateway, "/c", "").await;
    assert_eq!((page.status(), &page.json()["code"]), (503, &"LIMIT_EXCEEDED".into()));
    assert!(page.head.to_lowercase().contains("retry-after: 1"), "{}", page.head);
    Client::connect(&gateway).await;
    drop(first);
    gateway.wait_until(|status| status["gate"]["connections"] == 0).await;
    Client::connect_to(&gateway, "/c").await;
    gateway.wait_until(|status| status["gate"]["refused_total"]["channel_full"] == 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn whoever_shows_nothing_gets_three_symbols_and_may_authenticate_later() {
    let entry = ChannelEntry { auth: ChannelAuth::Anonymous, ..interactive("/c") };
    let gateway = TestGateway::start_with(|config| {
        common::quiet_market(config);
        config.server.auth_timeout_ms = 50;
        config.channel = vec![entry];
    })
    .await;
    let mut client = Client::connect_to(&gateway, "/c").await;
    assert!(client.is_quiet(std::time::Duration::from_millis(200)).await, "nothing unasked");
    let subscribe = |symbols: &[&str]| {
        let entry = |symbol: &&str| format!(r#"{{"symbol":"{symbol}","exchange":"NSE"}}"#);
        let symbols: Vec<_> = symbols.iter().map(entry).collect();
        format!(r#"{{"action":"subscribe","mode":1,"symbols":[{}]}}"#, symbols.join(","))
    };
    let answer = client.ask(&subscribe(&["A", "B", "C", "D"])).await;
    assert_eq!((&answer["type"], &answer["status"]), (&"subscribe".into(), &"partial".into()));
    assert_eq!(answer["subscriptions"][3]["code"], "LIMIT_EXCEEDED");
    let orders = client.ask(r#"{"action":"subscribe_orders"}"#).await;
    assert_eq!(orders["code"], "FORBIDDEN");
    gateway.wait_until(|status| status["users"][0]["user"] == "anonymous").await;
    client.enter("alice-key").await;
    gateway.wait_until(|status| status["topics_total"] == 0 && status["users_total"] == 1).await;
    assert_eq!(client.ask(&subscribe(&["A", "B", "C", "D"])).await["status"], "success");
    gateway.stop().await;
}

/// A client that reads nothing while much is published.
async fn asleep(outbox: OutboxPolicy) -> (TestGateway, Client) {
    let entry = ChannelEntry { outbox, ticks_max: 4, ..interactive("/c") };
    let gateway = TestGateway::start_with(|config| {
        common::quiet_market(config);
        config.outbox.write_bytes_max = 1_024;
        config.channel = vec![entry];
    })
    .await;
    let mut client = Client::connect_to(&gateway, "/c").await;
    client.enter("alice-key").await;
    let request = r#"{"action":"subscribe","symbol":"TCS","exchange":"NSE","mode":2}"#;
    assert_eq!(client.ask(request).await["status"], "success");
    let publisher = Publisher::connect(&gateway).await;
    let filler = "x".repeat(60_000);
    for seq in 0..400 {
        let payload = format!(r#"{{"ltp":1,"own_number":{seq},"filler":"{filler}"}}"#);
        publisher.send("NSE_TCS_QUOTE", &payload).await;
    }
    gateway.wait_until(|status| status["feed"]["messages_total"].as_u64() >= Some(401)).await;
    (gateway, client)
}

#[tokio::test]
async fn dropping_the_oldest_is_counted_and_the_newest_arrives() {
    let (gateway, mut client) = asleep(OutboxPolicy::DropOldest).await;
    gateway.wait_until(|it| it["shards"][0]["ticks_dropped_total"].as_u64() > Some(0)).await;
    let mut last = 0;
    while last < 399 {
        // The market of the broker has no such number.
        let Some(seq) = client.next().await["data"]["own_number"].as_u64() else { continue };
        assert!(seq >= last, "{seq} came after {last}");
        last = seq;
    }
    assert_eq!(client.ask(r#"{"action":"ping"}"#).await["type"], "pong");
    gateway.stop().await;
}

#[tokio::test]
async fn whoever_lags_where_that_is_not_borne_is_closed_with_1013() {
    let (gateway, mut client) = asleep(OutboxPolicy::Disconnect).await;
    gateway.wait_until(|status| status["shards"][0]["overflows_total"] == 1).await;
    assert_eq!(client.closed().await, Some(1013));
    gateway.stop().await;
}

#[test]
fn one_channel_may_have_the_root() {
    let mut config = Config { channel: vec![interactive("/")], ..Config::default() };
    assert_eq!(config.validate(), Ok(()));
    config.channel.push(interactive("/"));
    assert!(config.validate().is_err());
}
