//! A gateway against an adapter host that misbehaves.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use tickgate::broker::remote::{Remote, RemoteOptions, RemoteStats};
use tickgate::broker::{BrokerEvent, CommandKind};
use tickgate::protocol::control::{Answer, FromHost, Op, Request, ToHost, Welcome, decode_to_host};
use tickgate::runtime::Clock;
use tickgate::topic::Mode;
use tickgate::zmtp::{Message, Options, PeerId, Router, RouterEvent};
use tokio::time::timeout;

use crate::broker_support::{Caller, FixedRuntime, PATIENCE, no_task_is_left, subscribe};

/// A gateway with heartbeats fast enough for a test.
fn gateway(runtime: &FixedRuntime, rogue: &Rogue) -> (Caller, RemoteStats) {
    let options = RemoteOptions {
        heartbeat_interval: Duration::from_millis(100),
        heartbeat_timeout: Duration::from_millis(500),
        welcome_timeout: Duration::from_secs(1),
        ..RemoteOptions::new("remote", rogue.endpoint())
    };
    let remote = Remote::new(runtime.clone(), options).unwrap();
    let stats = remote.stats();
    (Caller::of(runtime, remote), stats)
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
    let (mut caller, stats) = gateway(&runtime, &rogue);
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
    let (mut caller, stats) = gateway(&runtime, &rogue);
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
    let (mut caller, _) = gateway(&runtime, &rogue);
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

#[tokio::test]
async fn a_host_that_does_not_read_is_given_up_and_connected_to_anew() {
    let runtime = FixedRuntime::default();
    let mut rogue = Rogue::start(&runtime).await;
    let options = RemoteOptions {
        heartbeat_timeout: Duration::from_secs(60),
        ..RemoteOptions::new("remote", rogue.endpoint())
    };
    let remote = Remote::new(runtime.clone(), options).unwrap();
    let stats = remote.stats();
    let mut caller = Caller::of(&runtime, remote);
    rogue.welcomes("i1").await;
    caller.is_up().await;

    let symbol = "S".repeat(250);
    let user = "u".repeat(250);
    // Until the buffers of both ends are full, and then some: all answered or forgotten.
    let mut sent = 0;
    while stats.read().sends_stuck == 0 {
        caller.send(&user, 1, subscribe(&symbol, Mode::Ltp)).await;
        sent += 1;
        assert!(sent < 60_000, "the host does not read");
    }
    assert!(caller.is_down().await.contains("read"));

    // It wakes up: what lies in the old connection is of no interest to anybody.
    let clock = Clock::start();
    while !matches!(timeout(PATIENCE, rogue.hears()).await, Ok(ToHost::Hello(_))) {
        assert!(clock.now() < PATIENCE);
    }
    drop(rogue);
    caller.stop().await;
    no_task_is_left(&runtime).await;
}
