//! Our sockets with libzmq's, driven through pyzmq (`tests/interop/zmq/peer.py`), over loopback.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use tickgate::runtime::TokioRuntime;
use tickgate::zmtp::{
    Dealer, DealerEvent, Message, Options, Pub, PubStats, Router, RouterEvent, Sub,
};
use tokio::time::sleep;

use crate::zmtp_common::{Eventually, everything, loopback, within};

const SPELLINGS: [&str; 6] = [
    "NSE_RELIANCE_LTP",
    "NSE_INDEX_NIFTY_QUOTE",
    "CRYPTO_SOL_INR_LTP",
    "zerodha_NSE_M&M_DEPTH",
    "NSE_TCS:50_3",
    "ZERODHA_alice_orders",
];

/// A Python that has pyzmq.
fn python() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let candidates = [
        std::env::var_os("TICKGATE_PYTHON").map(PathBuf::from),
        Some(root.join("target/venv/bin/python")),
    ];
    for python in candidates.into_iter().flatten() {
        let probe = Command::new(&python).args(["-c", "import zmq"]).output();
        if probe.is_ok_and(|probe| probe.status.success()) {
            return python;
        }
    }
    panic!(
        "this test needs a Python with pyzmq: `python3 -m venv target/venv && \
         target/venv/bin/pip install pyzmq`, or name one in TICKGATE_PYTHON"
    );
}

/// A running peer; killed when dropped.
struct Peer(Child);

impl Peer {
    fn start(args: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/zmq/peer.py");
        let mut command = Command::new(python());
        command.arg(script).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().expect("python starts"))
    }

    /// Waits until the peer has ended by itself, content with what it saw.
    async fn done(mut self) {
        (|| self.0.try_wait().expect("our child").is_some()).eventually("the peer ends").await;
        let (mut said, mut complained) = (String::new(), String::new());
        let stdout = self.0.stdout.as_mut().expect("piped");
        stdout.read_to_string(&mut said).expect("text");
        let stderr = self.0.stderr.as_mut().expect("piped");
        stderr.read_to_string(&mut complained).expect("text");
        assert_eq!(said.trim(), "done", "{complained}");
    }

    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ended_already = self.0.wait();
    }
}

/// An address that nobody listens on.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

/// Receives `count` ticks of a publishing peer, checks that they are consecutive and returns
/// the number of the first.
async fn ticks(sub: &mut Sub, count: usize) -> usize {
    let mut first = None;
    let mut seen = 0;
    while seen < count {
        for message in within(sub.recv()).await.expect("open") {
            let [topic, payload] = message.parts() else { panic!("two parts: {message:?}") };
            let text = std::str::from_utf8(payload).expect("text");
            let number = text.split([':', ',']).nth(1).expect("{\"n\":number,…");
            let number: usize = number.parse().expect("a number");
            let start = *first.get_or_insert(number);
            assert_eq!(number, start + seen, "none lost, none twice, in order");
            assert_eq!(topic, SPELLINGS[number % 6]);
            assert_eq!(text.trim_end(), format!("{{\"n\":{number},\"ltp\":2850.50}}"));
            assert_eq!(text.len() == 300_000, number % 50 == 49);
            seen += 1;
        }
    }
    first.expect("at least one")
}

#[tokio::test]
async fn a_libzmq_pub_that_connects_is_heard_and_heard_again_after_a_restart() {
    let runtime = TokioRuntime::new();
    let mut sub = Sub::start(&runtime, Options::default(), &loopback(), &[], &everything())
        .await
        .expect("start");
    let endpoint = format!("tcp://{}", sub.bound()[0]);
    let peer = Peer::start(&["pub", "connect", &endpoint, "1"]);
    ticks(&mut sub, 1_000).await;
    drop(peer);
    (|| sub.stats().peers == 0).eventually("the loss is noticed").await;
    while tokio::time::timeout(Duration::from_millis(100), sub.recv()).await.is_ok() {}

    let _restarted = Peer::start(&["pub", "connect", &endpoint, "1"]);
    assert!(ticks(&mut sub, 1_000).await < 500, "a new life counts from zero");
    assert_eq!((sub.stats().peers, sub.stats().protocol_errors), (1, 0));
}

#[tokio::test]
async fn a_libzmq_pub_that_binds_is_heard_and_heard_again_after_a_restart() {
    let runtime = TokioRuntime::new();
    let address = free_address();
    let endpoint = format!("tcp://{address}");
    let mut sub = Sub::start(&runtime, Options::default(), &[], &[address], &everything())
        .await
        .expect("start");
    let peer = Peer::start(&["pub", "bind", &endpoint, "1"]);
    ticks(&mut sub, 1_000).await;
    drop(peer);
    (|| sub.stats().peers == 0).eventually("the loss is noticed").await;
    while tokio::time::timeout(Duration::from_millis(100), sub.recv()).await.is_ok() {}

    let _restarted = Peer::start(&["pub", "bind", &endpoint, "1"]);
    ticks(&mut sub, 1_000).await;
    assert_eq!((sub.stats().reconnects, sub.stats().protocol_errors), (1, 0));
}

#[tokio::test]
async fn libzmq_and_we_keep_a_quiet_link_alive_with_each_others_heartbeats() {
    let runtime = TokioRuntime::new();
    let options = Options {
        heartbeat_interval: Duration::from_millis(50),
        heartbeat_timeout: Duration::from_secs(2),
        ..Options::default()
    };
    let mut sub =
        Sub::start(&runtime, options, &loopback(), &[], &everything()).await.expect("start");
    let endpoint = format!("tcp://{}", sub.bound()[0]);
    let _peer = Peer::start(&["pub", "connect", &endpoint, "1500"]);
    ticks(&mut sub, 3).await;
    let stats = sub.stats();
    assert_eq!((stats.peers, stats.protocol_errors, stats.heartbeat_losses), (1, 0, 0));
}

#[tokio::test]
async fn a_libzmq_pub_that_freezes_is_given_up_and_found_again_when_it_thaws() {
    let runtime = TokioRuntime::new();
    let options = Options {
        heartbeat_interval: Duration::from_millis(100),
        heartbeat_timeout: Duration::from_millis(1_000),
        ..Options::default()
    };
    let mut sub =
        Sub::start(&runtime, options, &loopback(), &[], &everything()).await.expect("start");
    let endpoint = format!("tcp://{}", sub.bound()[0]);
    let peer = Peer::start(&["pub", "connect", &endpoint, "1"]);
    ticks(&mut sub, 100).await;
    peer.signal("-STOP");
    (|| sub.stats().heartbeat_losses == 1).eventually("the silence is noticed").await;
    while tokio::time::timeout(Duration::from_millis(100), sub.recv()).await.is_ok() {}
    peer.signal("-CONT");
    ticks(&mut sub, 100).await;
    assert_eq!(sub.stats().peers, 1);
}

#[tokio::test]
async fn a_libzmq_publisher_is_asked_for_what_is_wanted_and_sends_nothing_else() {
    let runtime = TokioRuntime::new();
    let mut sub =
        Sub::start(&runtime, Options::default(), &loopback(), &[], &[]).await.expect("start");
    let endpoint = format!("tcp://{}", sub.bound()[0]);
    let prefix = |number: usize| Bytes::from(format!("NSE_{number:05}_"));
    // Some are there when the publisher comes, the others follow one by one.
    sub.wanted().set((0..5_000).map(|number| (true, prefix(number))));
    let peer = Peer::start(&["xpub", "connect", &endpoint, "20000"]);
    (|| sub.stats().peers == 1).eventually("the publisher comes").await;
    for number in 5_000..20_000 {
        sub.wanted().set([(true, prefix(number))]);
    }
    sub.wanted().set((10_000..20_000).map(|number| (false, prefix(number))));
    let mut received = 0;
    loop {
        let batch = within(sub.recv()).await.expect("open");
        received += batch.len();
        let is_last = |message: &Message| message.parts()[1] == "last";
        if batch.iter().any(is_last) {
            break;
        }
    }
    assert_eq!(received, 10_001, "one of each that is wanted, and the last");
    peer.done().await;
}

#[tokio::test]
async fn a_libzmq_sub_with_20_000_subscriptions_gets_exactly_those_from_our_pub() {
    let runtime = TokioRuntime::new();
    let publisher =
        Pub::bind(&runtime, Options::default(), 100_000, "127.0.0.1:0").await.expect("bind");
    let endpoint = format!("tcp://{}", publisher.bound_addr().expect("bound"));
    let peer = Peer::start(&["sub", "connect", &endpoint, "20000"]);
    serve_subscriber(&publisher, peer).await;
}

#[tokio::test]
async fn a_libzmq_sub_that_binds_gets_its_subscriptions_from_our_connecting_pub() {
    let runtime = TokioRuntime::new();
    let address = free_address();
    let peer = Peer::start(&["sub", "bind", &format!("tcp://{address}"), "20000"]);
    let publisher = Pub::connect(&runtime, Options::default(), 100_000, &address);
    serve_subscriber(&publisher, peer).await;
}

/// The other half of `subscribe` in `peer.py`.
async fn serve_subscriber(publisher: &Pub, peer: Peer) {
    let subscriptions = |stats: PubStats| stats.subscriptions;
    (|| subscriptions(publisher.stats()) == 20_000).eventually("all subscriptions").await;
    // Longer than the peer's heartbeat timeout.
    sleep(Duration::from_millis(1_500)).await;
    for number in 0..20_000 {
        let topic = format!("NSE_{number:05}_LTP");
        if number % 7 == 0 {
            publisher.publish(Message::pair(topic.clone(), format!("payload of {topic}")));
        } else {
            publisher.publish(Message::pair(format!("NSE_{number:05}_QUOTE"), "unwanted"));
        }
    }
    publisher.publish(Message::pair("NSE_00000_LTP", vec![b'x'; 300_000]));
    (|| subscriptions(publisher.stats()) == 10_000).eventually("half unsubscribed").await;
    publisher.publish(Message::pair("NSE_19999_LTP", "unsubscribed"));
    publisher.publish(Message::pair("NSE_00001_LTP", "last"));
    peer.done().await;
    let stats = publisher.stats();
    assert_eq!((stats.dropped, stats.protocol_errors, stats.reconnects), (0, 0, 0));
}

#[tokio::test]
async fn a_libzmq_dealer_and_our_router_talk() {
    let runtime = TokioRuntime::new();
    let mut router = Router::bind(&runtime, Options::default(), "127.0.0.1:0").await.expect("bind");
    let endpoint = format!("tcp://{}", router.bound_addr());
    let peer = Peer::start(&["dealer", "connect", &endpoint, "300"]);
    let RouterEvent::Joined(dealer) = within(router.recv()).await else { panic!("joins") };
    let mut rounds = 0;
    loop {
        match within(router.recv()).await {
            RouterEvent::Message { peer, message } => {
                assert_eq!(peer, dealer);
                router.send(peer, message).expect("here");
                rounds += 1;
            }
            RouterEvent::Left(peer) => {
                assert_eq!((peer, rounds), (dealer, 300));
                break;
            }
            RouterEvent::Joined(peer) => panic!("{peer} came besides {dealer}"),
        }
    }
    peer.done().await;
}

#[tokio::test]
async fn our_dealer_and_a_libzmq_router_talk_and_talk_again_after_a_restart() {
    let runtime = TokioRuntime::new();
    let address = free_address();
    let endpoint = format!("tcp://{address}");
    let mut dealer = Dealer::connect(&runtime, Options::default(), &address);
    for _life in 0..2 {
        let peer = Peer::start(&["router", "bind", &endpoint]);
        assert_eq!(within(dealer.recv()).await, DealerEvent::Up);
        for round in 0..300_u32 {
            let ask = Message::from_parts([
                Bytes::copy_from_slice(&round.to_be_bytes()),
                Bytes::new(),
                Bytes::from(vec![7; 200 * round as usize]),
            ]);
            dealer.send(ask.clone()).await.expect("up");
            assert_eq!(within(dealer.recv()).await, DealerEvent::Message(ask));
        }
        // Longer than the peer's heartbeat timeout.
        sleep(Duration::from_millis(1_500)).await;
        drop(peer);
        let down = within(dealer.recv()).await;
        assert!(matches!(down, DealerEvent::Down { .. }), "{down:?}");
    }
}
