//! Who comes in at the door and who does not, on real sockets.
#![expect(clippy::disallowed_types, reason = "a client on real sockets")]

use std::time::Duration;

use tickgate::config::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::knock::{Page, UPGRADE, knock};
use crate::common::{Client, TestGateway, http};

#[tokio::test]
async fn a_good_key_at_the_door_lets_its_user_in_whichever_way_it_comes() {
    let gateway = TestGateway::start().await;
    for headers in [
        "Authorization: Bearer alice-key\r\n",
        "authorization: bearer alice-key\r\n",
        "Cookie: other=1; tickgate_token=alice-key\r\n",
        "Sec-WebSocket-Protocol: tickgate, bearer.alice-key\r\n",
    ] {
        let page = knock(&gateway, "/", headers).await;
        assert_eq!(page.status(), 101, "{headers}: {}", page.head);
        let first = page.first();
        assert_eq!((&first["type"], &first["user_id"]), (&"auth".into(), &"alice".into()));
        let echoed = page.head.to_lowercase().contains("sec-websocket-protocol: tickgate\r\n");
        assert_eq!(echoed, headers.starts_with("Sec"), "{}", page.head);
        assert!(!page.head.contains("alice-key"), "{}", page.head);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_wrong_credential_is_refused_before_the_upgrade() {
    let gateway = TestGateway::start().await;
    for (target, headers) in [
        ("/", "Authorization: Bearer wrong\r\n"),
        ("/", "Cookie: tickgate_token=wrong\r\n"),
        ("/", "Sec-WebSocket-Protocol: tickgate, bearer.wrong\r\n"),
        ("/?token=wrong", ""),
        // Long-lived keys do not belong into URLs, where proxies and histories keep them.
        ("/?token=alice-key", ""),
    ] {
        let page = knock(&gateway, target, headers).await;
        assert_eq!(page.status(), 401, "{target} {headers}: {}", page.head);
        assert_eq!(page.json()["code"], "AUTHENTICATION_ERROR");
        assert!(page.head.to_lowercase().contains("www-authenticate: bearer"), "{}", page.head);
    }
    let two = "Authorization: Bearer alice-key\r\nCookie: tickgate_token=bob-key\r\n";
    assert_eq!(knock(&gateway, "/", two).await.status(), 400);
    gateway.wait_until(|status| status["gate"]["attempts_failed_total"] == 5).await;
    gateway.wait_until(|status| status["gate"]["connections"] == 0).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_page_of_elsewhere_may_not_connect() {
    let gateway = TestGateway::start().await;
    let evil = "Origin: https://evil.example\r\nAuthorization: Bearer alice-key\r\n";
    let page = knock(&gateway, "/", evil).await;
    assert_eq!((page.status(), &page.json()["code"]), (403, &"FORBIDDEN".into()));
    let own = "Origin: http://localhost:5000\r\nAuthorization: Bearer alice-key\r\n";
    assert_eq!(knock(&gateway, "/", own).await.status(), 101);
    gateway.stop().await;
}

async fn post_token(gateway: &TestGateway, headers: &str) -> Page {
    let request = format!(
        "POST /api/ws-token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n{headers}\r\n"
    );
    Page::of(gateway.addresses.websocket, &request).await
}

#[tokio::test]
async fn a_browser_gets_a_token_that_lets_it_in_once() {
    let gateway = TestGateway::start().await;
    let page = post_token(&gateway, "Authorization: Bearer alice-key\r\n").await;
    assert_eq!(page.status(), 200, "{}", page.head);
    assert!(page.head.to_lowercase().contains("cache-control: no-store"), "{}", page.head);
    assert_eq!(page.json()["expires_in_ms"], 30_000);
    let token = page.json()["token"].as_str().unwrap().to_owned();
    let again = post_token(&gateway, &format!("Authorization: Bearer {token}\r\n")).await;
    assert_eq!(again.status(), 403, "a token gets no other token");
    let target = format!("/?token={token}");
    let first = knock(&gateway, &target, "").await;
    assert_eq!((first.status(), &first.first()["user_id"]), (101, &"alice".into()));
    assert_eq!(knock(&gateway, &target, "").await.status(), 401, "once");
    assert_eq!(post_token(&gateway, "").await.status(), 401);
    assert_eq!(post_token(&gateway, "Authorization: Bearer no\r\n").await.status(), 401);
    let get =
        http(gateway.addresses.websocket, "GET /api/ws-token HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(get.await.starts_with("HTTP/1.1 405 "));
    gateway.stop().await;
}

#[tokio::test]
async fn an_address_has_its_limit_and_gets_a_place_back() {
    let gateway = limited(|config| config.limits.connections_per_address_max = 1).await;
    let first = Client::connect(&gateway).await;
    let page = knock(&gateway, "/", "").await;
    assert_eq!((page.status(), &page.json()["code"]), (429, &"LIMIT_EXCEEDED".into()));
    assert!(page.head.to_lowercase().contains("retry-after: 1"), "{}", page.head);
    drop(first);
    gateway.wait_until(|status| status["gate"]["connections"] == 0).await;
    Client::connect(&gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_told_apart() {
    let gateway = limited(|config| {
        config.limits.connections_per_address_max = 1;
        config.limits.trusted_proxies = vec!["127.0.0.0/8".into()];
    })
    .await;
    let hello = |from: &str| format!("X-Forwarded-For: {from}\r\n");
    let mut held = Vec::new();
    for (from, status) in [("1.1.1.1", 101), ("2.2.2.2", 101), ("9.9.9.9, 1.1.1.1", 429)] {
        let address = gateway.addresses.websocket;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}{}\r\n", hello(from));
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, format!("HTTP/1.1 {status}").as_bytes(), "{from}");
        held.push(stream);
    }
    assert_eq!(knock(&gateway, "/", &hello("nonsense")).await.status(), 400);
    gateway.stop().await;
}

#[tokio::test]
async fn a_proxy_that_nobody_told_us_of_does_not_make_the_world_local() {
    let gateway = TestGateway::start().await;
    let demo = "Authorization: Bearer demo-key-for-local-use-only\r\n";
    let mut client = Client::connect(&gateway).await;
    let request = r#"{"action":"authenticate","api_key":"demo-key-for-local-use-only"}"#;
    let local = client.ask(request).await;
    let page = knock(&gateway, "/", &format!("X-Forwarded-For: 1.2.3.4\r\n{demo}")).await;
    assert_eq!(page.status(), 401, "whatever a local client gets: {local}");
    gateway.stop().await;
}

#[tokio::test]
async fn whoever_says_too_much_is_slowed_down_and_then_closed() {
    let gateway = limited(|config| {
        config.limits.messages_per_minute_max = 60;
        config.limits.message_burst_max = 3;
        (config.conduct.warn_at, config.conduct.throttle_at, config.conduct.close_at) = (1, 4, 4);
        config.conduct.throttle_ms = 1;
    })
    .await;
    let mut client = Client::connect(&gateway).await;
    for _ in 0..3 {
        assert_eq!(client.ask(r#"{"action":"ping"}"#).await["type"], "pong");
    }
    let refused = client.ask(r#"{"action":"ping","request_id":7}"#).await;
    assert_eq!((&refused["code"], &refused["request_id"]), (&"RATE_LIMITED".into(), &7.into()));
    let wait_ms = refused["retry_after_ms"].as_u64().unwrap();
    assert!((1..=1_000).contains(&wait_ms), "{refused}");
    let warned = client.ask(r#"{"action":"ping"}"#).await;
    assert!(warned["message"].as_str().unwrap().contains("will be closed"), "{warned}");
    for _ in 0..4 {
        let _ = client.try_send(r#"{"action":"ping"}"#).await;
    }
    assert_eq!(client.closed().await, Some(4429));
    gateway.wait_until(|status| status["gate"]["strikes_total"] == 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_flood_of_pings_is_too_much_said() {
    let gateway = limited(|config| {
        config.limits.messages_per_minute_max = 60;
        config.limits.message_burst_max = 3;
        (config.conduct.warn_at, config.conduct.throttle_at, config.conduct.close_at) = (4, 4, 4);
    })
    .await;
    let address = gateway.addresses.websocket;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    // Masked with zeros, without a payload.
    let ping = [0x89, 0x80, 0, 0, 0, 0];
    stream.write_all(&ping.repeat(20)).await.unwrap();
    let mut all = Vec::new();
    let reading = stream.read_to_end(&mut all);
    tokio::time::timeout(Duration::from_secs(5), reading).await.expect("it is closed").unwrap();
    assert!(all.windows(2).any(|frame| frame == [0x8a, 0]), "the first are answered");
    let code = 4429_u16.to_be_bytes();
    assert!(all.windows(2).any(|two| two == code), "closed with 4429: {all:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn names_with_markup_in_them_are_no_mistake() {
    let gateway = limited(|config| {
        (config.conduct.warn_at, config.conduct.throttle_at, config.conduct.close_at) = (5, 5, 5);
    })
    .await;
    let mut client = Client::connect(&gateway).await;
    client.enter("alice-key").await;
    let request = r#"{"action":"subscribe","symbol":"<script>","exchange":"NSE","mode":1}"#;
    assert_eq!(client.ask(request).await["subscriptions"][0]["code"], "INVALID_PARAMETERS");
    let _ = client.try_send(request).await;
    assert_eq!(client.closed().await, Some(4429));
    gateway.stop().await;
}

#[tokio::test]
async fn wrong_keys_cost_their_address_time() {
    let gateway = limited(|config| {
        config.limits.auth_failures_per_address_max = 2;
        config.conduct.auth_delay_ms = 60_000;
    })
    .await;
    let mut client = Client::connect(&gateway).await;
    let wrong = r#"{"action":"authenticate","api_key":"wrong"}"#;
    for _ in 0..2 {
        assert_eq!(client.ask(wrong).await["code"], "AUTHENTICATION_ERROR");
    }
    let refused = client.ask(wrong).await;
    assert_eq!(refused["code"], "RATE_LIMITED", "{refused}");
    assert!(refused["retry_after_ms"].as_u64().unwrap() > 50_000, "{refused}");
    let page = knock(&gateway, "/", "Authorization: Bearer alice-key\r\n").await;
    assert_eq!(page.status(), 429, "other connections of the address wait as well");
    gateway.stop().await;
}

#[tokio::test]
async fn a_user_has_a_limit_of_clients() {
    let gateway = limited(|config| config.limits.clients_per_user_max = 1).await;
    let mut first = Client::connect(&gateway).await;
    first.enter("alice-key").await;
    let mut second = Client::connect(&gateway).await;
    let refused = second.ask(r#"{"action":"authenticate","api_key":"alice-key"}"#).await;
    assert_eq!(refused["code"], "LIMIT_EXCEEDED", "{refused}");
    second.enter("bob-key").await;
    first.enter("alice-key").await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_falls_silent_is_pinged_and_then_closed() {
    let gateway = limited(|config| {
        config.server.ping_interval_ms = 50;
        config.server.silence_timeout_ms = 300;
    })
    .await;
    // A client that reads and answers pings stays.
    let mut awake = Client::connect(&gateway).await;
    let asleep = knock(&gateway, "/", "Authorization: Bearer alice-key\r\n");
    let stays = awake.is_quiet(Duration::from_millis(900));
    let (_, page) = tokio::join!(stays, asleep);
    assert_eq!(page.status(), 101);
    assert_eq!(awake.ask(r#"{"action":"ping"}"#).await["type"], "pong");
    let mut stream = TcpStream::connect(gateway.addresses.websocket).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let reading = stream.read_to_end(&mut all);
    tokio::time::timeout(Duration::from_secs(5), reading).await.expect("it is closed").unwrap();
    let close = [0x88, 18, 0x11, 0x38];
    assert!(all.windows(2).any(|frame| frame == [0x89, 0]), "it was pinged");
    assert!(all.windows(4).any(|frame| frame == close), "closed with 4408: {all:?}");
    gateway.stop().await;
}

/// A gateway with other limits.
async fn limited(change: impl FnOnce(&mut Config)) -> TestGateway {
    TestGateway::start_with(change).await
}
