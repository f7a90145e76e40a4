//! Gateway and adapter host talking over real sockets.

mod broker_support;

use std::time::Duration;

use broker_support::{
    A_WHILE, Bus, Caller, FixedRuntime, PATIENCE, Puppet, Strings, no_task_is_left, puppet,
    subscribe, unsubscribe,
};
use tickgate::broker::host::{Host, HostOptions, serve};
use tickgate::broker::paper::{Paper, PaperOptions};
use tickgate::broker::remote::{Remote, RemoteOptions, RemoteStats};
use tickgate::broker::{Broker, BrokerErrorCode, BrokerEvent, CommandKind, SessionId};
use tickgate::protocol::control::{Answer, FromHost, Op, Request, ToHost, Welcome, decode_to_host};
use tickgate::runtime::Clock;
use tickgate::topic::Mode;
use tickgate::zmtp::{Message, Options, PeerId, Router, RouterEvent};
use tokio::time::timeout;

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

/// A host made of a bare socket, for misbehaviour.
struct Rogue {
    router: Router,
    peer: Option<PeerId>,
}

impl Rogue {
    async fn start(runtime: &FixedRuntime) -> Self {
        let router = Router::bind(runtime, Options::default(), "127.0.0.1:0").await.unwrap();
        Self { router, peer: None }
    }

    fn endpoint(&self) -> String {
        format!("tcp://{}", self.router.bound_addr())
    }

    /// The next message that is not a ping.
    async fn hears(&mut self) -> ToHost {
        timeout(PATIENCE, async {
            loop {
                match self.router.recv().await {
                    RouterEvent::Joined(peer) => self.peer = Some(peer),
                    RouterEvent::Left(_) => {}
                    RouterEvent::Message { peer, message } => {
                        self.peer = Some(peer);
                        match decode_to_host(&message.parts()[0]).unwrap().unwrap() {
                            ToHost::Ping { .. } => {}
                            other => return other,
                        }
                    }
                }
            }
        })
        .await
        .expect("a message")
    }

    async fn welcomes(&mut self, instance: &str) {
        let ToHost::Hello(hello) = self.hears().await else { panic!("a hello comes first") };
        self.says(&FromHost::Welcome(Welcome {
            version: 1,
            name: "rogue".into(),
            instance: instance.into(),
            n: Some(hello.n),
        }));
    }

    async fn is_asked(&mut self) -> Request {
        match self.hears().await {
            ToHost::Request(request) => request,
            other => panic!("{other:?}"),
        }
    }

    fn says(&self, message: &FromHost) {
        self.says_bytes(Message::single(message.encode()));
    }

    fn says_bytes(&self, message: Message) {
        self.router.send(self.peer.unwrap(), message).unwrap();
    }
}

#[tokio::test]
async fn a_host_that_falls_silent_is_down_until_it_welcomes_again() {
    let runtime = FixedRuntime::default();
    let mut rogue = Rogue::start(&runtime).await;
    let (mut caller, stats) = gateway(&runtime, &rogue.endpoint());
    rogue.welcomes("i1").await;
    caller.is_up().await;
    caller.send("alice", 1, CommandKind::Connect).await;
    assert_eq!(rogue.is_asked().await.op, Op::Connect);

    assert!(caller.is_down().await.contains("silent"));
    assert_eq!(stats.read().heartbeats_missed, 1);
    rogue.welcomes("i1").await;
    caller.is_up().await;
    let clock = Clock::start();
    caller.stop().await;
    assert!(clock.now() < Duration::from_secs(2));
    drop(rogue);
    no_task_is_left(&runtime).await;
}

#[tokio::test]
async fn a_silent_host_does_not_hold_up_the_end() {
    let runtime = FixedRuntime::default();
    let mut rogue = Rogue::start(&runtime).await;
    let options = RemoteOptions::new("remote", rogue.endpoint());
    let mut caller = Caller::of(&runtime, Remote::new(runtime.clone(), options).unwrap());
    rogue.welcomes("i1").await;
    caller.is_up().await;
    caller.send("alice", 1, CommandKind::Disconnect).await;
    let clock = Clock::start();
    caller.stop().await;
    let taken = clock.now();
    assert!(taken >= Duration::from_millis(900) && taken < Duration::from_secs(3), "{taken:?}");
    assert_eq!(rogue.is_asked().await.op, Op::Disconnect, "it was sent");
}

#[tokio::test]
async fn a_lying_host_is_believed_as_little_as_possible() {
    let runtime = FixedRuntime::default();
    let mut rogue = Rogue::start(&runtime).await;
    let (mut caller, stats) = gateway(&runtime, &rogue.endpoint());
    rogue.welcomes("i1").await;
    caller.is_up().await;
    let id = caller.send("alice", 1, CommandKind::Connect).await;
    let asked = rogue.is_asked().await;

    for garbage in [&b""[..], b"{", b"\xff", b"{\"type\":\"answer\",\"id\":\"1\"}"] {
        rogue.says_bytes(Message::single(garbage));
    }
    rogue.says_bytes(Message::pair(&b"{\"type\":\"pong\",\"n\":1}"[..], &b""[..]));
    rogue.says(&FromHost::Answer(Answer { id: 4_711, result: Ok(None) }));
    for _ in 0..3 {
        rogue.says(&FromHost::Answer(Answer { id: asked.id, result: Ok(None) }));
    }
    match caller.event().await {
        BrokerEvent::Answer(answer) => assert_eq!(answer.id, id),
        other => panic!("{other:?}"),
    }
    // Another instance on the same connection: everything is lost, and begins anew.
    let welcome = Welcome { version: 1, name: "rogue".into(), instance: "i2".into(), n: None };
    rogue.says(&FromHost::Welcome(welcome));
    caller.is_down().await;
    rogue.welcomes("i2").await;
    caller.is_up().await;

    let counts = stats.read();
    assert_eq!((counts.answers_unknown, counts.messages_malformed), (3, 5));
    caller.stop().await;
}

#[tokio::test]
async fn one_slow_command_delays_no_other() {
    let runtime = FixedRuntime::default();
    let mut rogue = Rogue::start(&runtime).await;
    let (mut caller, _) = gateway(&runtime, &rogue.endpoint());
    rogue.welcomes("i1").await;
    caller.is_up().await;
    caller.send("alice", 1, subscribe("SLOW", Mode::Ltp)).await;
    rogue.is_asked().await;
    for symbol in ["A", "B", "C"] {
        let id = caller.send("alice", 1, subscribe(symbol, Mode::Ltp)).await;
        let asked = rogue.is_asked().await;
        rogue.says(&FromHost::Answer(Answer { id: asked.id, result: Ok(None) }));
        match caller.event().await {
            BrokerEvent::Answer(answer) => assert_eq!(answer.id, id),
            other => panic!("{other:?}"),
        }
    }
    caller.crash();
}

#[test]
fn a_host_address_must_be_an_endpoint() {
    let options = RemoteOptions::new("remote", "127.0.0.1:5600");
    assert!(Remote::new(FixedRuntime::default(), options).is_err());
}
