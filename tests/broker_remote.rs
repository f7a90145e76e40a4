//! Gateway and adapter host talking over real sockets.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use tickgate::broker::host::{Host, HostOptions, serve};
use tickgate::broker::paper::{Paper, PaperOptions};
use tickgate::broker::remote::{Remote, RemoteOptions, RemoteStats};
use tickgate::broker::{Broker, BrokerErrorCode, BrokerEvent, CommandKind, SessionId};
use tickgate::protocol::control::{FromHost, Hello, ToHost, decode_from_host};
use tickgate::runtime::Clock;
use tickgate::topic::Mode;
use tickgate::zmtp::{Dealer, DealerEvent, Message, Options};
use tokio::time::timeout;

use crate::broker_support::{
    A_WHILE, Bus, Caller, FixedRuntime, PATIENCE, Puppet, Strings, no_task_is_left, puppet,
    subscribe, unsubscribe,
};

/// A gateway with heartbeats fast enough for a test.
fn gateway(runtime: &FixedRuntime, endpoint: &str) -> (Caller, RemoteStats) {
    let options = RemoteOptions {
        heartbeat_interval: Duration::from_millis(100),
        heartbeat_timeout: Duration::from_millis(500),
        welcome_timeout: Duration::from_secs(1),
        ..RemoteOptions::new("remote", endpoint)
    };
    let remote = Remote::new(runtime.clone(), options).unwrap();
    let stats = remote.stats();
    (Caller::of(runtime, remote), stats)
}

async fn host(runtime: &FixedRuntime, listen: &str, broker: impl Broker) -> Host {
    serve(runtime.clone(), HostOptions::new("host"), listen, broker).await.unwrap()
}

/// A host with a puppet behind it, and a gateway that is up.
async fn stage(runtime: &FixedRuntime) -> (Host, Strings, Caller) {
    let (broker, strings): (Puppet, Strings) = puppet();
    let host = host(runtime, "tcp://127.0.0.1:0", broker).await;
    let (mut caller, _) = gateway(runtime, &endpoint(&host));
    caller.is_up().await;
    (host, strings, caller)
}

fn endpoint(host: &Host) -> String {
    format!("tcp://{}", host.bound_addr())
}

#[tokio::test]
async fn a_paper_host_serves_a_gateway_from_connect_to_disconnect() {
    let (ours, theirs) = (FixedRuntime::default(), FixedRuntime::default());
    let mut bus = Bus::start(&ours).await;
    let options =
        PaperOptions { ticks_per_second: 50.0, ..PaperOptions::new("paper", bus.endpoint(), 7) };
    let paper = Paper::new(theirs.clone(), options).unwrap();
    let host = host(&theirs, "tcp://127.0.0.1:0", paper).await;
    let (mut caller, stats) = gateway(&ours, &endpoint(&host));
    caller.is_up().await;

    assert_eq!(
        caller.fails("alice", 1, subscribe("TCS", Mode::Ltp)).await,
        BrokerErrorCode::NotConnected
    );
    caller.done("alice", 1, CommandKind::Connect).await;
    assert_eq!(caller.done("alice", 1, subscribe("TCS", Mode::Depth)).await, Some(5));
    assert_eq!(
        caller.fails("alice", 1, subscribe(&"X".repeat(100), Mode::Ltp)).await,
        BrokerErrorCode::Refused
    );
    let seq = bus.tick_of("NSE_TCS_DEPTH").await["seq"].as_u64().unwrap();
    assert!(bus.tick_of("NSE_TCS_DEPTH").await["seq"].as_u64().unwrap() > seq);
    caller.done("alice", 1, unsubscribe("TCS", Mode::Depth)).await;
    bus.falls_silent().await;
    caller.done("alice", 1, CommandKind::Disconnect).await;

    assert_eq!(stats.read(), Default::default());
    caller.stop().await;
    assert_eq!(host.stats().read(), Default::default());
    timeout(PATIENCE, host.stop()).await.unwrap();
    drop(bus);
    no_task_is_left(&ours).await;
    no_task_is_left(&theirs).await;
}

#[tokio::test]
async fn a_host_that_is_restarted_is_down_and_up_again() {
    let runtime = FixedRuntime::default();
    let (first, _strings, mut caller) = stage(&runtime).await;
    let endpoint = endpoint(&first);
    first.stop().await;
    caller.is_down().await;
    assert_eq!(
        caller.fails("alice", 1, CommandKind::Connect).await,
        BrokerErrorCode::NotConnected,
        "at once, not after a deadline"
    );

    let (broker, mut strings) = puppet();
    let second = host(&runtime, &endpoint, broker).await;
    caller.is_up().await;
    let id = caller.send("alice", 2, CommandKind::Connect).await;
    let command = strings.asked().await;
    strings.answer(command.id).await;
    match caller.event().await {
        BrokerEvent::Answer(answer) => assert_eq!(answer.id, id),
        other => panic!("{other:?}"),
    }
    caller.stop().await;
    second.stop().await;
    no_task_is_left(&runtime).await;
}

#[tokio::test]
async fn sessions_of_a_gateway_that_crashed_are_closed() {
    let runtime = FixedRuntime::default();
    let (host, mut strings, mut caller) = stage(&runtime).await;
    caller.send("alice", 4, CommandKind::Connect).await;
    let connect = strings.asked().await;
    strings.answer(connect.id).await;
    caller.event().await;

    caller.crash();
    let close = strings.asked().await;
    assert_eq!((close.kind, close.session), (CommandKind::Disconnect, connect.session));
    assert_eq!(close.user, connect.user);
    strings.is_asked_nothing().await;
    host.stop().await;
    no_task_is_left(&runtime).await;
}

#[tokio::test]
async fn a_session_taken_over_by_another_gateway_survives_the_crash_of_the_first() {
    let runtime = FixedRuntime::default();
    let (host, mut strings, mut first) = stage(&runtime).await;
    let (mut second, _) = gateway(&runtime, &endpoint(&host));
    second.is_up().await;
    first.send("alice", 4, CommandKind::Connect).await;
    let old = strings.asked().await;
    strings.answer(old.id).await;
    first.event().await;

    second.send("alice", 9, CommandKind::Connect).await;
    let new = strings.asked().await;
    strings.answer(new.id).await;
    second.event().await;
    assert!(new.session > old.session);
    match first.event().await {
        BrokerEvent::SessionLost { user, session, .. } => {
            assert_eq!((user.as_str(), session), ("alice", SessionId(4)));
        }
        other => panic!("{other:?}"),
    }
    first.crash();
    strings.is_asked_nothing().await;
    second.stop().await;
    host.stop().await;
}

#[tokio::test]
async fn answers_out_of_order_twice_and_late_reach_their_commands_once() {
    let runtime = FixedRuntime::default();
    let (host, mut strings, mut caller) = stage(&runtime).await;
    let first = caller.send("alice", 1, CommandKind::Connect).await;
    let second = caller.send("bob", 1, CommandKind::Connect).await;
    let third = caller.send("carol", 1, CommandKind::Connect).await;
    let asked = [strings.asked().await, strings.asked().await, strings.asked().await];

    strings.answer(asked[2].id).await;
    strings.answer(asked[2].id).await;
    strings.answer(asked[0].id).await;
    tokio::time::sleep(A_WHILE).await;
    strings.answer(asked[1].id).await;
    strings.answer(asked[0].id).await;

    for expected in [third, first, second] {
        match caller.event().await {
            BrokerEvent::Answer(answer) => assert_eq!(answer.id, expected),
            other => panic!("{other:?}"),
        }
    }
    caller.hears_nothing().await;
    assert_eq!(host.stats().read().answers_unknown, 2);
    caller.stop().await;
    host.stop().await;
}

#[tokio::test]
async fn what_happens_behind_the_host_reaches_the_gateway() {
    let runtime = FixedRuntime::default();
    let (mut host, mut strings, mut caller) = stage(&runtime).await;
    caller.send("alice", 4, CommandKind::Connect).await;
    let connect = strings.asked().await;
    strings.answer(connect.id).await;
    caller.event().await;
    let waiting = caller.send("alice", 4, subscribe("TCS", Mode::Ltp)).await;
    strings.asked().await;

    strings.say(BrokerEvent::Down { reason: "no route".into() }).await;
    match caller.event().await {
        BrokerEvent::Answer(answer) => {
            assert_eq!(answer.id, waiting);
            assert_eq!(answer.result.unwrap_err().code, BrokerErrorCode::NotConnected);
        }
        other => panic!("{other:?}"),
    }
    match caller.event().await {
        BrokerEvent::SessionLost { session, reason, .. } => {
            assert_eq!((session, reason.as_str()), (SessionId(4), "no route"));
        }
        other => panic!("{other:?}"),
    }

    // A broker that ends takes its host with it, and the gateway notices.
    drop(strings);
    timeout(PATIENCE, host.ended()).await.unwrap();
    caller.is_down().await;
    caller.stop().await;
}

#[tokio::test]
async fn commands_are_answered_at_once_while_nobody_listens() {
    let runtime = FixedRuntime::default();
    let (mut caller, _) = gateway(&runtime, "tcp://127.0.0.1:1");
    assert_eq!(caller.fails("alice", 1, CommandKind::Connect).await, BrokerErrorCode::NotConnected);
    let clock = Clock::start();
    caller.stop().await;
    assert!(clock.now() < Duration::from_millis(500));
    no_task_is_left(&runtime).await;
}

#[tokio::test]
async fn a_burst_of_thousands_of_commands_is_answered_command_by_command() {
    let runtime = FixedRuntime::default();
    let paper = Paper::new(runtime.clone(), PaperOptions::new("paper", "tcp://127.0.0.1:1", 7));
    let host = host(&runtime, "tcp://127.0.0.1:0", paper.unwrap()).await;
    let (mut caller, _) = gateway(&runtime, &endpoint(&host));
    caller.is_up().await;
    caller.done("alice", 1, CommandKind::Connect).await;
    // Nobody takes an answer before the last command is sent.
    let mut sent = Vec::new();
    for number in 0..3_000 {
        sent.push(caller.send("alice", 1, subscribe(&format!("S{number}"), Mode::Ltp)).await);
    }
    for id in sent {
        match caller.event().await {
            BrokerEvent::Answer(answer) => {
                assert_eq!(answer.id, id);
                assert!(answer.result.is_ok());
            }
            other => panic!("{other:?}"),
        }
    }
    caller.stop().await;
    host.stop().await;
    no_task_is_left(&runtime).await;
}

#[tokio::test]
async fn a_gateway_that_reads_late_misses_no_answer() {
    const REQUESTS: u64 = 12_000;
    let runtime = FixedRuntime::default();
    let (broker, _strings) = puppet();
    let host = host(&runtime, "tcp://127.0.0.1:0", broker).await;
    let address = host.bound_addr().to_string();
    let mut dealer = Dealer::connect(&runtime, Options::default(), &address);
    assert_eq!(timeout(PATIENCE, dealer.recv()).await, Ok(DealerEvent::Up));
    let hello = ToHost::Hello(Hello { version: 1, gateway: "late".into(), n: 1 });
    dealer.send(Message::single(hello.encode())).await.unwrap();

    // The complaint about each quotes it, so that answers take as much room as requests.
    let junk = "x".repeat(900);
    for id in 0..REQUESTS {
        let request = format!(r#"{{"type":"request","id":{id},"session":"{junk}"}}"#);
        dealer.send(Message::single(request)).await.unwrap();
    }
    let mut answered = 0;
    while answered < REQUESTS {
        let DealerEvent::Message(message) = timeout(PATIENCE, dealer.recv()).await.unwrap() else {
            panic!("the connection lasts");
        };
        match decode_from_host(&message.parts()[0]) {
            Ok(Some(FromHost::Answer(answer))) => {
                assert_eq!(answer.id, answered);
                answered += 1;
            }
            Ok(Some(FromHost::Welcome(_))) => assert_eq!(answered, 0),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(host.stats().read().gateways_stuck, 0);
    host.stop().await;
}

#[test]
fn a_host_address_must_be_an_endpoint() {
    let options = RemoteOptions::new("remote", "127.0.0.1:5600");
    assert!(Remote::new(FixedRuntime::default(), options).is_err());
}
