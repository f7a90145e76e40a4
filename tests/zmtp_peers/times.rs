//! When a socket gives up, and when it tries again.

use std::time::Duration;

use bytes::Bytes;
use tickgate::runtime::{Listener, Runtime};
use tickgate::zmtp::codec::Item;
use tickgate::zmtp::{Options, Sub};
use tokio::time::sleep;

use super::memory::Memory;
use super::raw::{Raw, message};

const SECOND: Duration = Duration::from_secs(1);
const FEED: &str = "10.0.0.1:5555";

async fn connecting(network: &Memory, options: Options) -> Sub {
    Sub::start(network, options, &[], &[FEED.into()], &[Bytes::new()]).await.expect("starts")
}

/// Whole seconds since the network was made.
fn seconds(network: &Memory) -> u64 {
    network.now().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_accepts_and_stays_mute_is_given_up_and_tried_again() {
    let network = Memory::new();
    let mut listener = network.bind(FEED).await.expect("free");
    let mut sub = connecting(&network, Options::default()).await;
    let mute = Raw::accept(&mut listener).await;
    let mut raw = Raw::accept(&mut listener).await.greet("PUB", 1).await;
    assert_eq!(seconds(&network), 5);
    assert_eq!(sub.stats().handshake_timeouts, 1);
    raw.send(&[b"A", b"1"]).await;
    assert_eq!(sub.recv().await, Some(vec![message(&[b"A", b"1"])]));
    drop(mute);
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_never_ends_is_given_up_with_the_handshake() {
    let network = Memory::new();
    network.black_hole(FEED);
    let sub = connecting(&network, Options::default()).await;
    sleep(21 * SECOND).await;
    assert_eq!(sub.stats().handshake_timeouts, 4);
}

#[tokio::test(start_paused = true)]
async fn a_greeting_that_drips_in_slowly_does_not_stretch_the_handshake() {
    let network = Memory::new();
    let sub = Sub::start(&network, Options::default(), &[FEED.into()], &[], &[Bytes::new()])
        .await
        .expect("starts");
    let mut raw = Raw::connect(&network, FEED).await;
    for byte in &tickgate::zmtp::codec::GREETING[..9] {
        raw.write(&[*byte]).await;
        sleep(SECOND / 2).await;
    }
    sleep(SECOND).await;
    assert_eq!(sub.stats().handshake_timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_falls_silent_is_pinged_then_given_up() {
    let network = Memory::new();
    let mut listener = network.bind(FEED).await.expect("free");
    let sub = connecting(&network, Options::default()).await;
    let mut raw = Raw::accept(&mut listener).await.greet("PUB", 1).await;
    let subscription = raw.next().await;
    assert_eq!(subscription, Some(Item::Message(message(&[b"\x01"]))));
    for at in [5, 10] {
        let Some(Item::Command(ping)) = raw.next().await else { panic!("a PING") };
        assert_eq!((&ping[..], seconds(&network)), (&b"\x04PING\x00\x00"[..], at));
    }
    assert_eq!(raw.next().await, None);
    assert_eq!((seconds(&network), sub.stats().heartbeat_losses), (15, 1));
    Raw::accept(&mut listener).await.greet("PUB", 1).await;
}

#[tokio::test(start_paused = true)]
async fn any_byte_is_a_sign_of_life() {
    let network = Memory::new();
    let mut listener = network.bind(FEED).await.expect("free");
    let sub = connecting(&network, Options::default()).await;
    let mut raw = Raw::accept(&mut listener).await.greet("PUB", 1).await;
    // One frame of 100 bytes, one byte every 14 seconds.
    raw.write(&[0x00, 100]).await;
    for _ in 0..99 {
        sleep(14 * SECOND).await;
        raw.write(b"x").await;
    }
    assert_eq!((sub.stats().peers, sub.stats().heartbeat_losses), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_publisher_of_zmtp_3_0_is_never_pinged_and_may_be_silent() {
    let network = Memory::new();
    let mut listener = network.bind(FEED).await.expect("free");
    let mut sub = connecting(&network, Options::default()).await;
    let mut raw = Raw::accept(&mut listener).await.greet("PUB", 0).await;
    sleep(86_400 * SECOND).await;
    assert_eq!(raw.stream.peer_writes().len(), 3, "greeting, READY, subscriptions");
    raw.send(&[b"A", b"1"]).await;
    assert_eq!(sub.recv().await, Some(vec![message(&[b"A", b"1"])]));
}

#[tokio::test(start_paused = true)]
async fn no_interval_means_no_heartbeat() {
    let network = Memory::new();
    let mut listener = network.bind(FEED).await.expect("free");
    let options = Options { heartbeat_interval: Duration::ZERO, ..Options::default() };
    let sub = connecting(&network, options).await;
    let raw = Raw::accept(&mut listener).await.greet("PUB", 1).await;
    sleep(86_400 * SECOND).await;
    assert_eq!((sub.stats().peers, raw.stream.peer_writes().len()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn pauses_between_attempts_double_up_to_the_maximum_with_jitter() {
    let network = Memory::new();
    let _sub = connecting(&network, Options::default()).await;
    sleep(60 * SECOND).await;
    let attempts = network.attempts();
    let mut limit_ms = 100;
    let mut jitters = std::collections::BTreeSet::new();
    for pair in attempts.windows(2) {
        let pause_ms = (pair[1] - pair[0]).as_millis();
        assert!((limit_ms / 2..=limit_ms + 1).contains(&pause_ms), "{pause_ms} of {limit_ms}");
        jitters.insert(pause_ms * 100 / limit_ms);
        limit_ms = (limit_ms * 2).min(5_000);
    }
    assert!(attempts.len() >= 15 && jitters.len() >= 5, "{jitters:?}");
}

#[tokio::test(start_paused = true)]
async fn only_a_session_that_lasted_resets_the_pause() {
    let network = Memory::new();
    let mut listener = network.bind(FEED).await.expect("free");
    let _sub = connecting(&network, Options::default()).await;
    for _short in 0..10 {
        Raw::accept(&mut listener).await.greet("PUB", 1).await;
    }
    let ended = network.now();
    let raw = Raw::accept(&mut listener).await.greet("PUB", 1).await;
    assert!(network.now() - ended >= Duration::from_millis(2_500), "the longest pause");
    sleep(6 * SECOND).await;
    drop(raw);
    let ended = network.now();
    Raw::accept(&mut listener).await.greet("PUB", 1).await;
    assert!(network.now() - ended <= Duration::from_millis(101), "the shortest pause");
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_starts_later_is_found() {
    let network = Memory::new();
    let mut sub = connecting(&network, Options::default()).await;
    sleep(100 * SECOND).await;
    let mut listener = network.bind(FEED).await.expect("free");
    let (stream, _) = listener.accept().await.expect("tried again");
    let mut raw = Raw::new(stream).greet("XPUB", 1).await;
    assert!(seconds(&network) <= 106);
    raw.send(&[b"A", b"1"]).await;
    assert_eq!(sub.recv().await, Some(vec![message(&[b"A", b"1"])]));
}
