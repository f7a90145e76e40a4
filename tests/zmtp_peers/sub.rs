//! SUB against publishers that break the rules, and with more than it can take.

use std::time::Duration;

use bytes::Bytes;
use tickgate::runtime::Runtime;
use tickgate::zmtp::codec::{Item, encode_message, encode_subscription};
use tickgate::zmtp::{Message, Options, PEERS_MAX, Sub};
use tokio::time::sleep;

use super::memory::{Memory, PIPE_BYTES};
use super::raw::{Raw, message};

const SECOND: Duration = Duration::from_secs(1);

async fn listening(network: &Memory, options: Options) -> Sub {
    Sub::start(network, options, &["127.0.0.1:0".into()], &[], &[Bytes::new()])
        .await
        .expect("starts")
}

async fn publisher(network: &Memory, sub: &Sub) -> Raw {
    Raw::connect(network, sub.bound()[0]).await.greet("PUB", 1).await
}

#[tokio::test(start_paused = true)]
async fn all_subscriptions_travel_in_one_write_after_each_connect() {
    let network = Memory::new();
    let prefixes: Vec<Bytes> = (0..10_000).map(|n| format!("NSE_{n:05}_LTP").into()).collect();
    let mut expected = Vec::new();
    for prefix in &prefixes {
        encode_subscription(true, prefix, &mut expected);
    }
    let mut listener = network.bind("10.0.0.1:5555").await.expect("free");
    let sub = Sub::start(&network, Options::default(), &[], &["10.0.0.1:5555".into()], &prefixes)
        .await
        .expect("starts");
    for _life in 0..3 {
        let mut raw = Raw::accept(&mut listener).await.greet("PUB", 1).await;
        let mut seen = Vec::new();
        for _ in &prefixes {
            let Some(Item::Message(message)) = raw.next().await else { panic!("a subscription") };
            encode_message(&message, &mut seen);
        }
        assert_eq!(seen, expected, "data frames, in order");
        let writes = raw.stream.peer_writes();
        assert_eq!(writes[2..], [expected.len()], "greeting, READY, then everything at once");
    }
    assert_eq!(sub.stats().reconnects, 2);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_sends_garbage_loses_only_its_own_connection() {
    let network = Memory::new();
    let mut sub = listening(&network, Options::default()).await;
    let mut good = publisher(&network, &sub).await;
    let long = |claimed: u64| [&[0x02][..], &claimed.to_be_bytes()].concat();
    let garbage: Vec<Vec<u8>> = vec![
        long(1 << 36),
        long(1 << 63),
        long(u64::MAX),
        long((1 << 20) + 1),
        vec![0x08, 0],
        vec![0x80, 0],
        vec![0x05, 1, 0],
        [0x01, 0].repeat(33),
        [&[0x04, 5, 4][..], b"PING"].concat(),
        [&[0x04, 24, 4][..], b"PING", &[0; 19]].concat(),
        [&[0x04, 6, 5][..], b"READY"].concat(),
        vec![0x04, 0],
        vec![0x04, 2, 9, b'X'],
    ];
    for (count, bytes) in garbage.iter().enumerate() {
        let mut bad = publisher(&network, &sub).await;
        bad.send(&[b"before", b"the garbage"]).await;
        bad.write(bytes).await;
        bad.closed().await;
        assert_eq!(sub.stats().protocol_errors, count as u64 + 1, "{bytes:?}");
        assert_eq!(sub.recv().await, Some(vec![message(&[b"before", b"the garbage"])]));
    }
    good.send(&[b"still", b"here"]).await;
    assert_eq!(sub.recv().await, Some(vec![message(&[b"still", b"here"])]));
    assert_eq!(sub.stats().peers, 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_speak_zmtp_3_with_null_is_turned_away_at_once() {
    let network = Memory::new();
    let sub = listening(&network, Options::default()).await;
    let greeting = tickgate::zmtp::codec::GREETING;
    let mut plain = greeting;
    plain[12..17].copy_from_slice(b"PLAIN");
    let mut old = greeting;
    old[10] = 1;
    let before_ready = [&greeting[..], &[0x01, 1, b'A', 0x00, 0]].concat();
    let strangers: [&[u8]; 6] =
        [b"GET / HTTP/1.1\r\n\r\n", &[0x16; 200], &[0x01, 0x00], &plain, &old, &before_ready];
    for (count, hello) in strangers.iter().enumerate() {
        let mut raw = Raw::connect(&network, sub.bound()[0]).await;
        raw.write(hello).await;
        // The greeting and READY it may still get are no frames.
        let mut rest = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut raw.stream, &mut rest).await;
        assert!(read.is_ok() && rest.starts_with(&greeting));
        assert_eq!(sub.stats().protocol_errors, count as u64 + 1);
    }
    assert_eq!(network.now(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_peer_of_the_wrong_type_is_told_so() {
    let network = Memory::new();
    let sub = listening(&network, Options::default()).await;
    let mut raw = Raw::connect(&network, sub.bound()[0]).await.greet("SUB", 1).await;
    let told = raw.closed().await;
    let reason = "Invalid socket combination".to_owned();
    assert_eq!(told, [tickgate::zmtp::codec::Command::Error(reason)]);
    assert_eq!(sub.stats().protocol_errors, 1);
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_with_its_context_even_between_two_parts() {
    let network = Memory::new();
    let mut sub = listening(&network, Options::default()).await;
    let mut raw = publisher(&network, &sub).await;
    assert_eq!(raw.message().await, Some(message(&[b"\x01"])), "its subscription");
    raw.write(b"\x01\x05topic").await;
    raw.command("PING", b"\x00\x64feed 7").await;
    raw.write(b"\x00\x07payload").await;
    let Some(Item::Command(pong)) = raw.next().await else { panic!("an answer") };
    assert_eq!(&pong[..], b"\x04PONGfeed 7");
    assert_eq!(sub.recv().await, Some(vec![message(&[b"topic", b"payload"])]));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_from_a_peer_that_does_not_read_fills_nothing() {
    let network = Memory::new();
    let mut sub = listening(&network, Options::default()).await;
    let mut raw = publisher(&network, &sub).await;
    for _ in 0..100_000 {
        raw.command("PING", b"\x00\x00sixteen bytes ab").await;
    }
    raw.send(&[b"after", b"the flood"]).await;
    assert_eq!(sub.recv().await, Some(vec![message(&[b"after", b"the flood"])]));
    let answered: usize = raw.stream.peer_writes().iter().sum();
    assert!(answered <= PIPE_BYTES + 100, "what the connection holds, not what was asked");
}

#[tokio::test(start_paused = true)]
async fn unknown_commands_are_passed_over() {
    let network = Memory::new();
    let mut sub = listening(&network, Options::default()).await;
    let mut raw = publisher(&network, &sub).await;
    raw.command("FUTURE", b"whatever").await;
    raw.send(&[b"A", b"1"]).await;
    assert_eq!(sub.recv().await, Some(vec![message(&[b"A", b"1"])]));
}

#[tokio::test(start_paused = true)]
async fn messages_that_were_not_subscribed_are_not_received() {
    let network = Memory::new();
    let prefixes = [Bytes::from("NSE_"), Bytes::from("BSE_TCS")];
    let mut sub = Sub::start(&network, Options::default(), &["127.0.0.1:0".into()], &[], &prefixes)
        .await
        .expect("starts");
    let mut raw = publisher(&network, &sub).await;
    for topic in [&b"NFO_X"[..], b"NSE_X", b"BSE_T", b"", b"BSE_TCS_LTP"] {
        raw.send(&[topic, b"1"]).await;
    }
    let mut seen = sub.recv().await.expect("open");
    seen.extend(if seen.len() < 2 { sub.recv().await.expect("open") } else { Vec::new() });
    assert_eq!(seen, [message(&[b"NSE_X", b"1"]), message(&[b"BSE_TCS_LTP", b"1"])]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_its_publisher_back_for_hours_and_loses_nothing() {
    let network = Memory::new();
    let mut sub = listening(&network, Options::default()).await;
    let mut raw = publisher(&network, &sub).await;
    let flood = tokio::join!(
        async {
            for n in 0..40_000_u32 {
                raw.send(&[b"topic", &n.to_be_bytes(), &[0; 200]]).await;
            }
            raw.stream.peer_writes()
        },
        async {
            sleep(3_600 * SECOND).await;
            assert_eq!(sub.stats().peers, 1, "its own silence is not the publisher's");
            assert!(sub.stats().messages < 20_000, "{:?}", sub.stats());
            let mut next = 0_u32;
            while next < 40_000 {
                for message in sub.recv().await.expect("open") {
                    assert_eq!(&message.parts()[1][..], next.to_be_bytes());
                    next += 1;
                }
            }
        }
    );
    let pings = flood.0[3..].iter().filter(|&&bytes| bytes == 9).count();
    assert!(pings >= 700, "one each 5 s, so that the publisher does not give up: {pings}");
}

#[tokio::test(start_paused = true)]
async fn publishers_beyond_the_limit_are_refused_and_the_others_served() {
    let network = Memory::new();
    let mut sub = listening(&network, Options::default()).await;
    let mut raws = Vec::new();
    for _ in 0..PEERS_MAX {
        raws.push(publisher(&network, &sub).await);
    }
    let mut extra = Raw::connect(&network, sub.bound()[0]).await;
    assert_eq!(extra.closed().await, []);
    assert_eq!((sub.stats().peers, sub.stats().refused), (PEERS_MAX, 1));
    raws[PEERS_MAX - 1].send(&[b"A", b"1"]).await;
    assert_eq!(sub.recv().await, Some(vec![message(&[b"A", b"1"])]));

    raws.clear();
    sleep(SECOND).await;
    let mut raw = publisher(&network, &sub).await;
    raw.send(&[b"B", b"2"]).await;
    assert_eq!(sub.recv().await, Some(vec![message(&[b"B", b"2"])]));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_socket_ends_its_tasks_and_closes_its_connections() {
    let network = Memory::new();
    let mut listener = network.bind("10.0.0.1:5555").await.expect("free");
    let sub = Sub::start(
        &network,
        Options::default(),
        &["127.0.0.1:0".into(), "127.0.0.1:0".into()],
        &["10.0.0.1:5555".into(), "10.0.0.2:5555".into()],
        &[Bytes::new()],
    )
    .await
    .expect("starts");
    let mut raws = vec![
        Raw::accept(&mut listener).await.greet("PUB", 1).await,
        publisher(&network, &sub).await,
        Raw::connect(&network, sub.bound()[1]).await,
    ];
    sleep(SECOND).await;
    assert_eq!(network.tasks().total(), 6);
    let bound = sub.bound().to_vec();
    drop(sub);
    raws.pop();
    for raw in &mut raws {
        raw.closed().await;
    }
    sleep(SECOND).await;
    assert_eq!(network.tasks().total(), 0, "{:?}", network.tasks().counts());
    assert!(network.connect(&bound[0].to_string()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_address_in_use_is_named_and_nothing_is_left_bound() {
    let network = Memory::new();
    let _taken = network.bind("127.0.0.1:5555").await.expect("free");
    let addresses = ["127.0.0.1:5556".to_owned(), "127.0.0.1:5555".to_owned()];
    let started = Sub::start(&network, Options::default(), &addresses, &[], &[]).await;
    let error = started.expect_err("in use");
    assert_eq!(error.address, "127.0.0.1:5555");
    assert_eq!(network.tasks().total(), 0);
    assert!(network.bind("127.0.0.1:5556").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_message_of_many_reads_arrives_whole() {
    let network = Memory::new();
    let mut sub = listening(&network, Options::default()).await;
    let mut raw = publisher(&network, &sub).await;
    let large = vec![7; 1 << 20];
    let parts: [&[u8]; 2] = [b"large", &large];
    let (received, ()) = tokio::join!(sub.recv(), raw.send(&parts));
    assert_eq!(received, Some(vec![Message::pair(&b"large"[..], large)]));
}
