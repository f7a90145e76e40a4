//! The gateway on real sockets, as its clients see it.

use serde_json::json;

use crate::common::{self, Client, Publisher, TestGateway};

#[tokio::test]
async fn a_client_authenticates_subscribes_and_sees_prices() {
    let gateway = TestGateway::start().await;
    let mut client = Client::connect(&gateway).await;
    let answer = client.ask(r#"{"action":"authenticate","api_key":"alice-key"}"#).await;
    assert_eq!((&answer["type"], &answer["status"]), (&"auth".into(), &"success".into()));

    let answer = client
        .ask(r#"{"action":"subscribe","symbols":[{"symbol":"TCS","exchange":"NSE"}],"mode":"LTP","request_id":7}"#)
        .await;
    assert_eq!(answer["subscriptions"][0]["status"], "success", "{answer}");
    assert_eq!(answer["request_id"], 7);

    let tick = client.next().await;
    assert_eq!((&tick["type"], &tick["mode"]), (&"market_data".into(), &1.into()), "{tick}");
    assert!(tick["data"]["ltp"].is_number(), "{tick}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_stopped_gateway_leaves_no_task_behind() {
    let gateway = TestGateway::start().await;
    let mut client = Client::connect(&gateway).await;
    client.ask(r#"{"action":"authenticate","api_key":"alice-key"}"#).await;
    let runtime = gateway.runtime.clone();
    let stop = gateway.stop();
    let (close, ()) = tokio::join!(client.closed(), stop);
    assert_eq!(close, Some(1012));
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        if runtime_tasks(&runtime) == 0 {
            return;
        }
    }
    panic!("tasks are left: {:?}", tickgate::runtime::Runtime::tasks(&runtime).counts());
}

fn runtime_tasks(runtime: &tickgate::runtime::TokioRuntime) -> usize {
    tickgate::runtime::Runtime::tasks(runtime).total()
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_the_socket_stays_open_until_its_deadline() {
    let gateway = TestGateway::start_with(|config| config.server.auth_timeout_ms = 300).await;
    let mut client = Client::connect(&gateway).await;
    let answer = client.ask(r#"{"action":"authenticate","api_key":"wrong"}"#).await;
    assert_eq!(answer["code"], "AUTHENTICATION_ERROR");
    let pong = client.ask(r#"{"action":"ping"}"#).await;
    assert_eq!(pong["type"], "pong");
    assert_eq!(client.closed().await, Some(4401));
    gateway.wait_until(|status| status["clients"]["total"] == 0).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_browser_that_asks_for_a_page_learns_what_this_is() {
    let gateway = TestGateway::start().await;
    let page = common::http(gateway.addresses.websocket, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(page.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{page}");
    assert!(page.contains("upgrade: websocket"), "{page}");
    let bad = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let page = common::http(gateway.addresses.websocket, bad).await;
    assert!(page.starts_with("HTTP/1.1 400 "), "{page}");
    gateway.wait_until(|status| status["clients"]["turned_away_total"] == 2).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_full_gateway_turns_the_next_client_away_and_has_room_again() {
    let gateway = TestGateway::start_with(|config| config.limits.clients_max = 1).await;
    let first = Client::connect(&gateway).await;
    let hello = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let page = common::http(gateway.addresses.websocket, hello).await;
    assert!(page.starts_with("HTTP/1.1 503 "), "{page}");
    drop(first);
    gateway.wait_until(|status| status["tasks"].get("client").is_none()).await;
    Client::connect(&gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn order_updates_reach_their_user_and_nobody_else() {
    let gateway = TestGateway::start().await;
    let mut alice = Client::connect(&gateway).await;
    let mut bob = Client::connect(&gateway).await;
    alice.enter("alice-key").await;
    bob.enter("bob-key").await;
    for client in [&mut alice, &mut bob] {
        let answer = client.ask(r#"{"action":"subscribe_orders"}"#).await;
        assert_eq!(answer["type"], "subscribe_orders");
    }
    let publisher = Publisher::connect(&gateway).await;
    let update = r#"{"type":"order_update","user_id":"alice","mode":"live","price":1424.10}"#;
    publisher.send("ZERODHA_alice_orders", update).await;
    assert_eq!(alice.next_text().await, update, "as it is");

    alice.ask(r#"{"action":"unsubscribe_orders"}"#).await;
    publisher.send("ZERODHA_alice_orders", update).await;
    publisher.send("ZERODHA_bob_orders", r#"{"user_id":"bob"}"#).await;
    assert_eq!(bob.next_text().await, r#"{"user_id":"bob"}"#);
    let pong = alice.next_after(r#"{"action":"ping"}"#).await;
    assert_eq!(pong["type"], "pong", "nothing came before it");
    gateway.stop().await;
}

#[tokio::test]
async fn a_payload_arrives_digit_for_digit_and_what_is_no_json_is_counted() {
    let gateway = TestGateway::start_with(common::quiet_market).await;
    let mut client = Client::connect(&gateway).await;
    client.enter("alice-key").await;
    client.ask(r#"{"action":"subscribe","symbol":"SOL_INR","exchange":"CRYPTO","mode":1}"#).await;
    client.next().await;
    let publisher = Publisher::connect(&gateway).await;
    publisher.send("CRYPTO_SOL_INR_LTP", "no json").await;
    publisher.send("nonsense", "{}").await;
    let payload = r#"{"ltp":1424.10,"big":12345678901234567890,"e":1e5,"nan":NaN}"#;
    publisher.send("CRYPTO_SOL_INR_ltp", payload).await;
    let expected = concat!(
        r#"{"type":"market_data","symbol":"SOL_INR","exchange":"CRYPTO","mode":1,"broker":"paper","#,
        r#""data":{"ltp":1424.10,"big":12345678901234567890,"e":1e5,"nan":null}}"#
    );
    assert_eq!(client.next_text().await, expected);
    let feed = gateway.status().await["feed"].clone();
    assert_eq!(
        (&feed["dropped_total"]["bad_payload"], &feed["nulled_total"]),
        (&1.into(), &1.into())
    );
    assert_eq!(feed["dropped_total"]["bad_topic"], 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_publisher_one_of_whose_modes_is_broken_serves_by_the_others() {
    let gateway = TestGateway::start_with(common::quiet_market).await;
    let mut client = Client::connect(&gateway).await;
    client.enter("alice-key").await;
    client.ask(r#"{"action":"subscribe","symbol":"TCS","exchange":"NSE","mode":1}"#).await;
    client.next().await;
    let publisher = Publisher::connect(&gateway).await;
    for price in 1..=3 {
        publisher.send("NSE_TCS_LTP", "no json").await;
        publisher.send("NSE_TCS_QUOTE", &format!(r#"{{"ltp":{price}}}"#)).await;
        assert_eq!(client.next().await["data"]["ltp"], price);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_conflated_and_disturbs_nobody() {
    let gateway = TestGateway::start_with(|config| {
        common::quiet_market(config);
        config.outbox.ticks_max = 16;
    })
    .await;
    let (mut sleeper, mut reader) =
        (Client::connect(&gateway).await, Client::connect(&gateway).await);
    for client in [&mut sleeper, &mut reader] {
        client.enter("alice-key").await;
        client.ask(r#"{"action":"subscribe","symbol":"TCS","exchange":"NSE","mode":1}"#).await;
        client.next().await;
    }
    let publisher = Publisher::connect(&gateway).await;
    let filler = "x".repeat(8_000);
    for seq in 1..=2_000 {
        let payload = format!(r#"{{"ltp":1,"seq":{seq},"filler":"{filler}"}}"#);
        publisher.send("NSE_TCS_LTP", &payload).await;
        assert_eq!(reader.next().await["data"]["seq"], seq, "the reader loses nothing");
    }
    let mut last = 0;
    let mut seen = 0;
    while last < 2_000 {
        let seq = sleeper.next().await["data"]["seq"].as_u64().unwrap();
        assert!(seq > last, "{seq} came after {last}");
        (last, seen) = (seq, seen + 1);
    }
    assert!(seen < 2_000, "the sleeper was sent everything");
    let status = gateway.status().await;
    assert_eq!(status["shards"][0]["ticks_conflated_total"], 2_000 - seen);
    gateway.stop().await;
}

#[tokio::test]
async fn unread_answers_close_the_client_with_1013_rather_than_grow() {
    let gateway = TestGateway::start_with(|config| {
        config.outbox.control_bytes_max = 4_096;
        config.server.close_timeout_ms = 200;
    })
    .await;
    let mut client = Client::connect(&gateway).await;
    let ping = format!(r#"{{"action":"ping","timestamp":"{}"}}"#, "x".repeat(1_000));
    for _ in 0..50_000 {
        if client.try_send(&ping).await.is_err() {
            break;
        }
    }
    gateway.wait_until(|status| status["clients"]["total"] == 0).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_does_not_hold_up_the_end() {
    let gateway = TestGateway::start().await;
    let silent = gateway.silent().await;
    let ended = tokio::time::timeout(std::time::Duration::from_secs(2), gateway.stop()).await;
    assert!(ended.is_ok(), "it waits for somebody who never came in");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flooded_gateway_whose_clients_do_not_read_still_ends_in_time() {
    let gateway = TestGateway::start_with(|config| {
        common::quiet_market(config);
        config.server.close_timeout_ms = 500;
    })
    .await;
    let mut sleepers = Vec::new();
    for _ in 0..5 {
        let mut client = Client::connect(&gateway).await;
        client.enter("alice-key").await;
        client.ask(r#"{"action":"subscribe","symbol":"TCS","exchange":"NSE","mode":1}"#).await;
        sleepers.push(client);
    }
    let publisher = Publisher::connect(&gateway).await;
    let flood = common::spawn(async move {
        let payload = format!(r#"{{"ltp":1,"filler":"{}"}}"#, "x".repeat(8_000));
        loop {
            publisher.send("NSE_TCS_LTP", &payload).await;
            tokio::task::yield_now().await;
        }
    });
    gateway
        .wait_until(|status| {
            status["shards"][0]["ticks_conflated_total"].as_u64().is_some_and(|count| count > 100)
        })
        .await;
    let ended = tokio::time::timeout(std::time::Duration::from_secs(3), gateway.stop()).await;
    assert!(ended.is_ok(), "five sleepers and a flood hold it up");
    flood.abort();
}

#[tokio::test]
async fn the_brokers_that_are_told_as_supported_can_be_chosen() {
    for (chosen, told) in [(vec![], json!(["paper"])), (vec!["a", "b"], json!(["a", "b"]))] {
        let gateway = TestGateway::start_with(|config| {
            config.broker.supported = chosen.into_iter().map(String::from).collect();
        })
        .await;
        let mut client = Client::connect(&gateway).await;
        let answer = client.ask(r#"{"action":"get_supported_brokers"}"#).await;
        assert_eq!(answer["brokers"], told, "{answer}");
        assert_eq!(answer["count"], told.as_array().map(Vec::len).unwrap_or_default(), "{answer}");
        gateway.stop().await;
    }
}
