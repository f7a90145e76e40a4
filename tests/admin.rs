//! The admin port over real sockets, asked by hand-written HTTP.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use tickgate::runtime::{Listener, Runtime, Task, TokioRuntime};
use tickgate::server::admin::{CONNECTIONS_MAX, serve_admin};
use tickgate::server::status::{
    AuditStatus, BroadcastStatus, BrokerCalls, BrokerState, BrokerStatus, ChannelStatus,
    ClientsStatus, FeedStatus, GateStatus, GatewayState, GatewayStatus, OutboxStatus, QueueStatus,
    SessionState, SessionStatus, ShardStatus, Status, StatusSource, TopicState, TopicStatus,
    UserStatus,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Answers with a fixed status; cuts the lists as a gateway would.
#[derive(Clone)]
struct Fixed(Option<Status>);

impl StatusSource for Fixed {
    async fn status(&self, rows_max: usize) -> Option<Status> {
        let mut status = self.0.clone()?;
        status.users.truncate(rows_max);
        status.topics.truncate(rows_max);
        Some(status)
    }
}

/// Never answers.
#[derive(Clone)]
struct Stuck;

impl StatusSource for Stuck {
    async fn status(&self, _rows_max: usize) -> Option<Status> {
        std::future::pending().await
    }
}

struct Admin {
    runtime: TokioRuntime,
    address: SocketAddr,
    task: Task,
}

struct Answer {
    code: u16,
    head: String,
    body: String,
}

impl Admin {
    async fn start(source: impl StatusSource) -> Self {
        let runtime = TokioRuntime::new();
        let listener = runtime.bind("127.0.0.1:0").await.unwrap();
        let address = Listener::local_addr(&listener).unwrap();
        let task = runtime.spawn("admin", serve_admin(runtime.clone(), listener, source));
        Self { runtime, address, task }
    }

    async fn send(&self, request: &str) -> Answer {
        let mut stream = self.runtime.connect(&self.address.to_string()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("an HTTP answer");
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { code, head: head.to_ascii_lowercase(), body: body.into() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address)).await
    }

    async fn get_as(&self, host: &str) -> u16 {
        self.send(&format!("GET /status HTTP/1.1\r\n{host}\r\n")).await.code
    }
}

fn topic(symbol: &str, mode: u8, count: u64, state: TopicState) -> TopicStatus {
    TopicStatus {
        user: "alice".into(),
        broker: "zerodha".into(),
        exchange: "NSE".into(),
        symbol: symbol.into(),
        mode,
        count,
        state,
        depth: 5,
        ticks_total: None,
        last_tick_age_ms: (state == TopicState::On).then_some(120),
    }
}

fn example() -> Status {
    Status {
        gateway: GatewayStatus {
            version: "1.2.3".into(),
            state: GatewayState::Ready,
            uptime_ms: 61_500,
            certificate_expires_unix_ms: Some(1_800_000_000_500),
        },
        clients: ClientsStatus {
            total: 3,
            authenticated: 2,
            opened_total: 10,
            closed_total: 7,
            turned_away_total: 1,
        },
        gate: GateStatus {
            connections: 3,
            addresses: 2,
            blocks: 1,
            refused_total: [("full".into(), 0), ("crowded".into(), 4), ("blocked".into(), 5)]
                .into(),
            attempts_refused_total: 6,
            attempts_failed_total: 7,
            strikes_total: 8,
            blocks_total: 2,
        },
        users_total: 1,
        users: vec![UserStatus {
            user: "alice".into(),
            broker: "zerodha".into(),
            session: SessionStatus {
                id: Some(4),
                state: SessionState::Connected,
                since_ms: 5_000,
                reconnects: 1,
                last_error: Some("connection reset".into()),
            },
            connections: 1,
            clients: 2,
            orders_clients: 1,
        }],
        sessions_by_state: [(SessionState::Connected, 1)].into(),
        topics_total: 2,
        topics_by_state: [(TopicState::On, 1), (TopicState::TurningOn, 1)].into(),
        subscriptions: 3,
        topics: vec![
            topic("INFY", 1, 2, TopicState::On),
            topic("M&M", 3, 1, TopicState::TurningOn),
        ],
        broker_calls: BrokerCalls {
            connect: 2,
            subscribe: 2,
            succeeded: 3,
            ..BrokerCalls::default()
        },
        brokers: vec![BrokerStatus {
            name: "zerodha".into(),
            kind: "remote".into(),
            state: BrokerState::Up,
            commands_in_flight: 1,
            calls_waiting: 0,
        }],
        feed: FeedStatus {
            publishers: 1,
            messages_total: 100,
            bytes_total: 20_000,
            routed_total: 90,
            dropped_total: [("bad_topic".into(), 3), ("no_interest".into(), 7)].into(),
            nulled_total: 2,
            shed_total: 5,
            shedding: false,
            topics: [("live".into(), 3), ("stale".into(), 1)].into(),
            silent_brokers: Vec::new(),
            reconnects_total: 1,
            protocol_errors_total: 0,
        },
        audit: AuditStatus { written_total: 31, dropped_total: 2, errors_total: 1, failing: true },
        channels: vec![ChannelStatus {
            path: "/ws/index".into(),
            kind: "broadcast".into(),
            auth: "anonymous".into(),
            clients: 3,
            clients_max: Some(1_000),
            broadcast: Some(BroadcastStatus {
                topics: 2,
                sent_total: 40,
                skipped_total: 5,
                left_out_total: 1,
            }),
        }],
        shards: vec![ShardStatus {
            id: 0,
            clients: 3,
            routes: 3,
            topics: 2,
            mailbox_len: 0,
            ticks_delivered_total: 150,
            ticks_conflated_total: 5,
            ticks_dropped_total: 0,
            paced: 3,
            values_withheld_total: 40,
            overflows_total: 0,
            stalls_total: 0,
            outbox_bytes: 512,
            outbox_ticks_most: 4,
            last_values: 2,
        }],
        outbox: OutboxStatus {
            ticks_left_out_total: [("conflate".into(), 5), ("drop_oldest".into(), 0)].into(),
            clients_closed_total: [("answers".into(), 2), ("disconnect".into(), 1)].into(),
        },
        queues: [("hub_mailbox".into(), QueueStatus { len: 1, max: 4_096 })].into(),
        tasks: [("client".into(), 3), ("hub".into(), 1)].into(),
        timers: 2,
    }
}

#[tokio::test]
async fn the_status_page_shows_the_whole_snapshot() {
    let admin = Admin::start(Fixed(Some(example()))).await;

    let answer = admin.get("/status").await;

    assert_eq!(answer.code, 200);
    assert!(answer.head.contains("content-type: application/json"));
    assert!(answer.head.contains("cache-control: no-store"));
    assert_eq!(serde_json::from_str::<Status>(&answer.body).unwrap(), example());
    insta::assert_snapshot!(answer.body);
}

#[tokio::test]
async fn the_metrics_page_shows_the_snapshot_as_numbers() {
    let admin = Admin::start(Fixed(Some(example()))).await;

    let answer = admin.get("/metrics").await;

    assert_eq!(answer.code, 200);
    assert!(answer.head.contains("content-type: application/openmetrics-text"));
    insta::assert_snapshot!(answer.body);
}

#[tokio::test]
async fn a_label_cannot_break_out_of_its_quotes() {
    let mut status = example();
    status.feed.dropped_total = [("a\"b\\c\nd".into(), 1)].into();
    let admin = Admin::start(Fixed(Some(status))).await;

    let body = admin.get("/metrics").await.body;

    assert!(body.contains(r#"tickgate_feed_dropped_total{reason="a\"b\\c\nd"} 1"#), "{body}");
}

#[tokio::test]
async fn the_index_and_the_live_page_need_no_snapshot() {
    let admin = Admin::start(Stuck).await;

    let index = admin.get("/").await;
    assert_eq!(index.code, 200);
    for path in ["/health/live", "/health/ready", "/status", "/metrics"] {
        assert!(index.body.contains(path), "{path} is not listed");
    }
    let live = admin.get("/health/live").await;
    assert_eq!((live.code, live.body.as_str()), (200, "{\n  \"status\": \"live\"\n}\n"));
}

#[tokio::test]
async fn a_gateway_is_ready_when_it_says_so_and_no_broker_is_down() {
    let admin = Admin::start(Fixed(Some(example()))).await;
    assert_eq!(admin.get("/health/ready").await.code, 200);

    let mut status = example();
    status.brokers[0].state = BrokerState::Down;
    let admin = Admin::start(Fixed(Some(status))).await;
    let answer = admin.get("/health/ready").await;
    assert_eq!(answer.code, 503);
    assert!(answer.body.contains("broker zerodha is down"), "{}", answer.body);

    for (state, reason) in [
        (GatewayState::Starting, "gateway is starting"),
        (GatewayState::Draining, "gateway is draining"),
    ] {
        let mut status = example();
        status.gateway.state = state;
        let admin = Admin::start(Fixed(Some(status))).await;
        let answer = admin.get("/health/ready").await;
        assert_eq!(answer.code, 503);
        assert!(answer.body.contains(reason), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_stopping_gateway_answers_503() {
    let admin = Admin::start(Fixed(None)).await;

    for path in ["/health/ready", "/status", "/metrics"] {
        let answer = admin.get(path).await;
        assert_eq!(answer.code, 503, "{path}");
        assert!(answer.body.contains("gateway is stopping"), "{path}: {}", answer.body);
    }
    assert_eq!(admin.get("/health/live").await.code, 200);
}

#[tokio::test]
async fn the_limit_cuts_the_lists_and_not_the_totals() {
    let admin = Admin::start(Fixed(Some(example()))).await;

    let cut = admin.get("/status?limit=1").await;
    let cut: Status = serde_json::from_str(&cut.body).unwrap();
    assert_eq!((cut.topics.len(), cut.topics_total), (1, 2));

    for query in ["limit=", "limit=-1", "limit=x", "limit=%31", "limit=100001", "limit=1&x=2", "x"]
    {
        assert_eq!(admin.get(&format!("/status?{query}")).await.code, 400, "{query}");
    }
    assert_eq!(admin.get("/status?").await.code, 200);
}

#[tokio::test]
async fn only_get_and_head_of_known_pages_are_served() {
    let admin = Admin::start(Fixed(Some(example()))).await;
    let address = admin.address;

    for path in ["/nothing", "/status/", "//status", "/STATUS", "/%73tatus"] {
        let answer = admin.get(path).await;
        assert_eq!(answer.code, 404, "{path}");
        assert!(serde_json::from_str::<serde_json::Value>(&answer.body).is_ok());
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let request = format!("{method} /status HTTP/1.1\r\nHost: {address}\r\n\r\n");
        let answer = admin.send(&request).await;
        assert_eq!(answer.code, 405, "{method}");
        assert!(answer.head.contains("allow: get, head"), "{method}");
    }
    let head = admin.send(&format!("HEAD /status HTTP/1.1\r\nHost: {address}\r\n\r\n")).await;
    assert_eq!((head.code, head.body.as_str()), (200, ""));
    assert!(head.head.contains("content-length: "));
}

#[tokio::test]
async fn a_host_that_is_not_loopback_is_refused() {
    let admin = Admin::start(Fixed(Some(example()))).await;

    for host in ["localhost", "LocalHost:8766", "127.0.0.1", "127.8.7.6:1", "[::1]:8766", "[::1]"] {
        assert_eq!(admin.get_as(&format!("Host: {host}\r\n")).await, 200, "{host}");
    }
    let refused =
        ["evil.example", "localhost.evil.example", "192.168.0.1:8766", "127.0.0.1.nip.io"];
    for host in refused {
        assert_eq!(admin.get_as(&format!("Host: {host}\r\n")).await, 403, "{host}");
    }
    for header in ["", "Host: \r\n", "Host: localhost\r\nHost: localhost\r\n", "Host: a b\r\n"] {
        assert_eq!(admin.get_as(header).await, 400, "{header:?}");
    }
    let absolute = "GET http://evil.example/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(admin.send(absolute).await.code, 403);
    assert_eq!(admin.send("GET /health/live HTTP/1.0\r\n\r\n").await.code, 200);
}

#[tokio::test]
async fn a_broken_request_ends_its_connection_alone() {
    let admin = Admin::start(Fixed(Some(example()))).await;

    let requests: [&[u8]; 4] = [b"\x16\x03\x01\0\0", b"GET\r\n\r\n", b"", b"GET /status"];
    for request in requests {
        let mut stream = admin.runtime.connect(&admin.address.to_string()).await.unwrap();
        stream.write_all(request).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.unwrap().ok();
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(9_000));
    assert_eq!(admin.send(&long).await.code, 404);
    assert_eq!(admin.get("/status").await.code, 200);
}

#[tokio::test]
async fn connections_are_bounded_and_silent_ones_make_room() {
    let admin = Admin::start(Fixed(Some(example()))).await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX + 4 {
        silent.push(admin.runtime.connect(&admin.address.to_string()).await.unwrap());
    }
    // Silence is cut off after 5 s; the request waits that long and is served.
    let answer = timeout(Duration::from_secs(20), admin.get("/health/live")).await;
    assert_eq!(answer.expect("served in the end").code, 200);
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_gives_503_in_time() {
    let admin = Admin::start(Stuck).await;

    let answer = timeout(Duration::from_secs(10), admin.get("/status")).await;

    let answer = answer.expect("answered in time");
    assert_eq!(answer.code, 503);
    assert!(answer.body.contains("did not answer in time"));
}

#[tokio::test]
async fn dropping_the_server_ends_its_connections() {
    let Admin { runtime, address, task } = Admin::start(Stuck).await;
    let mut open = runtime.connect(&address.to_string()).await.unwrap();
    let request = format!("GET /status HTTP/1.1\r\nHost: {address}\r\n\r\n");
    open.write_all(request.as_bytes()).await.unwrap();
    while runtime.tasks().counts().get("admin_connection") != Some(&1) {
        tokio::task::yield_now().await;
    }

    drop(task);

    let mut rest = Vec::new();
    timeout(Duration::from_secs(5), open.read_to_end(&mut rest)).await.unwrap().ok();
    assert!(rest.is_empty());
    while runtime.tasks().total() > 0 {
        tokio::task::yield_now().await;
    }
}
