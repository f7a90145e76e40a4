//! Our sockets with those of the `zeromq` crate, over loopback.

use bytes::Bytes;
use tickgate::runtime::TokioRuntime;
use tickgate::zmtp::{Dealer, DealerEvent, Message, Options, Pub, Router, RouterEvent, Sub};
use zeromq::{
    DealerSocket, PubSocket, RouterSocket, Socket, SocketRecv, SocketSend, SubSocket, ZmqMessage,
};

use crate::zmtp_common::{Eventually, everything, loopback, within};

fn theirs(parts: &[&[u8]]) -> ZmqMessage {
    let parts: Vec<Bytes> = parts.iter().map(|part| Bytes::copy_from_slice(part)).collect();
    ZmqMessage::try_from(parts).expect("not empty")
}

/// The next message of one of their sockets, as one of ours.
async fn heard(socket: &mut impl SocketRecv) -> Message {
    Message::from(within(socket.recv()).await.expect("a message").into_vec())
}

fn ours(parts: &[&[u8]]) -> Message {
    Message::from_parts(parts.iter().map(|part| Bytes::copy_from_slice(part)))
}

/// Publishes until the first message is received: their PUB does not tell of subscriptions.
async fn until_heard(socket: &mut PubSocket, sub: &mut Sub) {
    loop {
        socket.send(theirs(&[b"hello", b"?"])).await.expect("send");
        let waited = std::time::Duration::from_millis(20);
        if tokio::time::timeout(waited, sub.recv()).await.is_ok() {
            return;
        }
    }
}

/// Receives `count` messages other than greetings.
async fn received(sub: &mut Sub, count: usize) -> Vec<Message> {
    let mut all = Vec::new();
    while all.len() < count {
        let batch = within(sub.recv()).await.expect("open");
        all.extend(batch.into_iter().filter(|message| &message.parts()[0][..] != b"hello"));
    }
    all
}

/// Small, empty, short, long and large frames; the payload comes back digit for digit.
fn payloads() -> Vec<Vec<u8>> {
    let mut payloads: Vec<Vec<u8>> = (0..500).map(|n| format!("{{\"n\":{n}}}").into()).collect();
    payloads.extend([vec![], vec![1; 255], vec![2; 256], vec![3; 300_000]]);
    payloads
}

async fn publish_and_compare(mut socket: PubSocket, mut sub: Sub) {
    within(until_heard(&mut socket, &mut sub)).await;
    for payload in payloads() {
        socket.send(theirs(&[b"NSE_TCS_LTP", &payload])).await.expect("send");
    }
    socket.send(theirs(&[b"one part"])).await.expect("send");
    socket.send(theirs(&[b"a", b"", b"c", b"d"])).await.expect("send");
    let mut expected: Vec<Message> =
        payloads().iter().map(|payload| ours(&[b"NSE_TCS_LTP", payload])).collect();
    expected.extend([ours(&[b"one part"]), ours(&[b"a", b"", b"c", b"d"])]);
    assert_eq!(received(&mut sub, expected.len()).await, expected);
    assert_eq!(sub.stats().protocol_errors, 0);
}

#[tokio::test]
async fn their_pub_connects_to_our_bound_sub() {
    let runtime = TokioRuntime::new();
    let sub = Sub::start(&runtime, Options::default(), &loopback(), &[], &everything())
        .await
        .expect("start");
    let mut socket = PubSocket::new();
    within(socket.connect(&format!("tcp://{}", sub.bound()[0]))).await.expect("connect");
    publish_and_compare(socket, sub).await;
}

#[tokio::test]
async fn our_sub_connects_to_their_bound_pub() {
    let runtime = TokioRuntime::new();
    let mut socket = PubSocket::new();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.expect("bind").to_string();
    let address = tickgate::zmtp::parse_endpoint(&endpoint).expect("an endpoint");
    let sub = Sub::start(&runtime, Options::default(), &[], &[address], &everything())
        .await
        .expect("start");
    publish_and_compare(socket, sub).await;
}

#[tokio::test]
async fn their_subs_receive_what_they_subscribed_from_our_pub() {
    let runtime = TokioRuntime::new();
    let publisher =
        Pub::bind(&runtime, Options::default(), 10_000, "127.0.0.1:0").await.expect("bind");
    let endpoint = format!("tcp://{}", publisher.bound_addr().expect("bound"));
    let mut nse = SubSocket::new();
    within(nse.connect(&endpoint)).await.expect("connect");
    nse.subscribe("NSE_").await.expect("subscribe");
    let mut all = SubSocket::new();
    within(all.connect(&endpoint)).await.expect("connect");
    all.subscribe("").await.expect("subscribe");
    (|| publisher.stats().subscriptions == 2).eventually("subscriptions").await;

    for payload in payloads() {
        publisher.publish(ours(&[b"BSE_TCS_LTP", &payload]));
        publisher.publish(ours(&[b"NSE_TCS_LTP", &payload]));
    }
    for payload in payloads() {
        assert_eq!(heard(&mut nse).await, ours(&[b"NSE_TCS_LTP", &payload]));
        assert_eq!(heard(&mut all).await, ours(&[b"BSE_TCS_LTP", &payload]));
        assert_eq!(heard(&mut all).await, ours(&[b"NSE_TCS_LTP", &payload]));
    }
    nse.unsubscribe("NSE_").await.expect("unsubscribe");
    (|| publisher.stats().subscriptions == 1).eventually("unsubscription").await;
    assert_eq!(publisher.stats().dropped, 0);
}

#[tokio::test]
async fn their_bound_sub_receives_from_our_connecting_pub() {
    let runtime = TokioRuntime::new();
    let mut sub = SubSocket::new();
    let endpoint = sub.bind("tcp://127.0.0.1:0").await.expect("bind").to_string();
    sub.subscribe("A").await.expect("subscribe");
    let address = tickgate::zmtp::parse_endpoint(&endpoint).expect("an endpoint");
    let publisher = Pub::connect(&runtime, Options::default(), 10, &address);
    (|| publisher.stats().subscriptions == 1).eventually("subscription").await;
    publisher.publish(ours(&[b"B", b"1"]));
    publisher.publish(ours(&[b"A", b"2"]));
    assert_eq!(heard(&mut sub).await, ours(&[b"A", b"2"]));
}

#[tokio::test]
async fn their_dealer_and_our_router_talk() {
    let runtime = TokioRuntime::new();
    let mut router = Router::bind(&runtime, Options::default(), "127.0.0.1:0").await.expect("bind");
    let mut dealer = DealerSocket::new();
    within(dealer.connect(&format!("tcp://{}", router.bound_addr()))).await.expect("connect");
    let RouterEvent::Joined(peer) = within(router.recv()).await else { panic!("joins") };
    for round in 0..200_u32 {
        let number = round.to_be_bytes();
        dealer.send(theirs(&[b"ask", &number])).await.expect("send");
        let asked = RouterEvent::Message { peer, message: ours(&[b"ask", &number]) };
        assert_eq!(within(router.recv()).await, asked);
        router.send(peer, ours(&[b"answer", &number])).expect("here");
        assert_eq!(heard(&mut dealer).await, ours(&[b"answer", &number]));
    }
    dealer.close().await;
    assert_eq!(within(router.recv()).await, RouterEvent::Left(peer));
}

#[tokio::test]
async fn our_dealer_and_their_router_talk() {
    let runtime = TokioRuntime::new();
    let mut router = RouterSocket::new();
    let endpoint = router.bind("tcp://127.0.0.1:0").await.expect("bind").to_string();
    let address = tickgate::zmtp::parse_endpoint(&endpoint).expect("an endpoint");
    let mut dealer = Dealer::connect(&runtime, Options::default(), &address);
    assert_eq!(within(dealer.recv()).await, DealerEvent::Up);
    for round in 0..200_u32 {
        let number = round.to_be_bytes();
        dealer.send(ours(&[b"ask", &number])).await.expect("up");
        let mut asked = within(router.recv()).await.expect("message").into_vec();
        assert_eq!(asked[1..], [&b"ask"[..], &number]);
        asked[1] = Bytes::from("answer");
        router.send(ZmqMessage::try_from(asked).expect("parts")).await.expect("send");
        let answer = DealerEvent::Message(ours(&[b"answer", &number]));
        assert_eq!(within(dealer.recv()).await, answer);
    }
    drop(router);
    let down = within(dealer.recv()).await;
    assert!(matches!(down, DealerEvent::Down { .. }), "{down:?}");
}
