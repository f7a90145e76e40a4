//! PUB against subscribers of all kinds.

use std::time::Duration;

use bytes::Bytes;
use tickgate::runtime::Runtime;
use tickgate::zmtp::codec::encode_subscription;
use tickgate::zmtp::{Message, Options, PREFIXES_MAX, Pub};
use tokio::time::sleep;

use super::memory::{Memory, PIPE_BYTES};
use super::raw::{Raw, message};

const SECOND: Duration = Duration::from_secs(1);

async fn bound(network: &Memory, hwm: usize) -> Pub {
    Pub::bind(network, Options::default(), hwm, "127.0.0.1:0").await.expect("free")
}

async fn subscriber(network: &Memory, publisher: &Pub, minor: u8, prefixes: &[&[u8]]) -> Raw {
    let addr = publisher.bound_addr().expect("bound");
    let mut raw = Raw::connect(network, addr).await.greet("SUB", minor).await;
    for prefix in prefixes {
        raw.send(&[&[&[1], *prefix].concat()]).await;
    }
    settle().await;
    raw
}

/// Lets everything happen that needs no time.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn each_subscriber_gets_what_it_subscribed_and_nothing_from_before() {
    let network = Memory::new();
    let publisher = bound(&network, 100).await;
    publisher.publish(message(&[b"NSE_A", b"early"]));
    let mut nse = subscriber(&network, &publisher, 1, &[b"NSE_"]).await;
    let mut all = subscriber(&network, &publisher, 1, &[b""]).await;
    let mut none = subscriber(&network, &publisher, 1, &[]).await;
    publisher.publish(message(&[b"BSE_B", b"1"]));
    publisher.publish(message(&[b"NSE_A", b"2"]));
    assert!(publisher.flush(SECOND).await);
    assert_eq!(nse.message().await, Some(message(&[b"NSE_A", b"2"])));
    assert_eq!(all.message().await, Some(message(&[b"BSE_B", b"1"])));
    assert_eq!(all.message().await, Some(message(&[b"NSE_A", b"2"])));
    let stats = publisher.stats();
    assert_eq!((stats.peers, stats.subscriptions), (3, 2));
    assert_eq!((stats.published, stats.queued, stats.dropped), (3, 3, 0));
    drop(publisher);
    assert_eq!(none.message().await, None);
}

#[tokio::test(start_paused = true)]
async fn frames_and_commands_subscribe_alike_in_order_and_are_counted() {
    let network = Memory::new();
    let publisher = bound(&network, 100).await;
    let mut raw = subscriber(&network, &publisher, 1, &[b"A"]).await;
    raw.command("SUBSCRIBE", b"A").await;
    raw.command("SUBSCRIBE", b"B").await;
    raw.send(&[b"\x00B"]).await;
    raw.command("CANCEL", b"A").await;
    raw.command("CANCEL", b"never subscribed").await;
    raw.send(&[b""]).await;
    raw.send(&[b"\x02upstream of an XSUB"]).await;
    settle().await;
    assert_eq!(publisher.stats().subscriptions, 1, "A is subscribed once more");
    publisher.publish(message(&[b"B", b"1"]));
    publisher.publish(message(&[b"A", b"2"]));
    assert_eq!(raw.message().await, Some(message(&[b"A", b"2"])));
    raw.send(&[b"\x00A"]).await;
    settle().await;
    assert_eq!(publisher.stats().subscriptions, 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_written_at_once() {
    let network = Memory::new();
    let publisher = bound(&network, 1_000).await;
    let mut raw = subscriber(&network, &publisher, 1, &[b""]).await;
    for n in 0..300_u32 {
        publisher.publish(Message::pair(&b"T"[..], Bytes::copy_from_slice(&n.to_be_bytes())));
    }
    for n in 0..300_u32 {
        let got = raw.message().await.expect("open");
        assert_eq!(&got.parts()[1][..], n.to_be_bytes());
    }
    assert_eq!(raw.stream.peer_writes()[2..], [300 * 9]);
}

#[tokio::test(start_paused = true)]
async fn above_the_mark_the_newest_are_dropped_for_the_slow_subscriber_alone() {
    let network = Memory::new();
    let publisher = bound(&network, 50).await;
    let mut slow = subscriber(&network, &publisher, 1, &[b""]).await;
    let mut quick = subscriber(&network, &publisher, 1, &[b""]).await;
    let payload = Bytes::from(vec![0; 1_000]);
    for n in 0..1_000_u32 {
        let number = Bytes::copy_from_slice(&n.to_be_bytes());
        publisher.publish(Message::from_parts([number, payload.clone()]));
        let got = quick.message().await.expect("open");
        assert_eq!(&got.parts()[0][..], n.to_be_bytes());
    }
    assert!(!publisher.flush(SECOND).await, "the slow one does not read");
    let dropped = u32::try_from(publisher.stats().dropped).expect("few");
    // The pipe, one write buffer and the queue hold the oldest.
    let held = 1_000 - dropped;
    let floor = u32::try_from(PIPE_BYTES / 1_100).expect("few") + 50;
    assert!((floor..floor + 150).contains(&held), "{held}");
    for n in 0..held {
        let got = slow.message().await.expect("open");
        assert_eq!(&got.parts()[0][..], n.to_be_bytes());
    }
    assert!(publisher.flush(SECOND).await);
    publisher.publish(message(&[b"again"]));
    assert_eq!(slow.message().await, Some(message(&[b"again"])));
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_neither_reads_nor_speaks_is_given_up_even_in_zmtp_3_0() {
    let network = Memory::new();
    let publisher = bound(&network, 1_000).await;
    let _old = subscriber(&network, &publisher, 0, &[b""]).await;
    let _idle = subscriber(&network, &publisher, 0, &[b"Z"]).await;
    for _ in 0..1_000 {
        publisher.publish(Message::pair(&b"T"[..], vec![0; 1_000]));
    }
    sleep(14 * SECOND).await;
    assert_eq!(publisher.stats().peers, 2);
    sleep(20 * SECOND).await;
    assert_eq!((publisher.stats().peers, publisher.stats().heartbeat_losses), (1, 1));
    assert!(publisher.flush(SECOND).await, "nobody is waited for");
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_with_too_many_subscriptions_is_disconnected() {
    let network = Memory::new();
    let publisher = bound(&network, 10).await;
    let mut raw = subscriber(&network, &publisher, 1, &[]).await;
    let mut flood = Vec::new();
    for n in 0..=PREFIXES_MAX {
        encode_subscription(true, &n.to_be_bytes(), &mut flood);
    }
    raw.write(&flood).await;
    raw.closed().await;
    let stats = publisher.stats();
    assert_eq!((stats.peers, stats.subscriptions, stats.protocol_errors), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_connects_comes_back_and_waits_for_new_subscriptions() {
    let network = Memory::new();
    let mut listener = network.bind("10.0.0.1:5555").await.expect("free");
    let publisher = Pub::connect(&network, Options::default(), 10, "10.0.0.1:5555");
    assert_eq!(publisher.bound_addr(), None);
    for life in 0..2_u8 {
        let mut raw = Raw::accept(&mut listener).await.greet("XSUB", 0).await;
        settle().await;
        publisher.publish(Message::single("lost"));
        raw.send(&[b"\x01"]).await;
        settle().await;
        publisher.publish(Message::single(vec![life]));
        assert_eq!(raw.message().await, Some(Message::single(vec![life])));
    }
    assert_eq!(publisher.stats().reconnects, 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_clone_that_is_dropped_closes_the_socket() {
    let network = Memory::new();
    let publisher = bound(&network, 10).await;
    let mut raw = subscriber(&network, &publisher, 1, &[b""]).await;
    let clone = publisher.clone();
    drop(publisher);
    clone.publish(Message::single("still open"));
    assert_eq!(raw.message().await, Some(Message::single("still open")));
    drop(clone);
    assert_eq!(raw.message().await, None);
    settle().await;
    assert_eq!(network.tasks().total(), 0);
}
