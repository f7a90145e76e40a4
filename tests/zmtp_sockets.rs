//! Our sockets with each other, over loopback.

mod zmtp_common;

use bytes::Bytes;
use tickgate::runtime::{Runtime, TokioRuntime};
use tickgate::zmtp::{
    Dealer, DealerEvent, Message, Options, Pub, Router, RouterEvent, SendError, Sub,
};
use zmtp_common::{Eventually, everything, loopback, within};

#[tokio::test]
async fn a_subscriber_receives_from_publishers_that_connect_and_publishers_that_bind() {
    let runtime = TokioRuntime::new();
    let bound = Pub::bind(&runtime, Options::default(), 100, "127.0.0.1:0").await.expect("bind");
    let address = bound.bound_addr().expect("bound").to_string();
    let mut sub = Sub::start(&runtime, Options::default(), &loopback(), &[address], &everything())
        .await
        .expect("start");
    let connecting = Pub::connect(&runtime, Options::default(), 100, &sub.bound()[0].to_string());
    for publisher in [&bound, &connecting] {
        (|| publisher.stats().subscriptions == 1).eventually("subscription").await;
    }
    bound.publish(Message::pair(&b"A"[..], &b"1"[..]));
    assert_eq!(within(sub.recv()).await, Some(vec![Message::pair(&b"A"[..], &b"1"[..])]));
    connecting.publish(Message::pair(&b"B"[..], &b"2"[..]));
    assert_eq!(within(sub.recv()).await, Some(vec![Message::pair(&b"B"[..], &b"2"[..])]));
    assert_eq!((sub.stats().peers, sub.stats().messages, sub.stats().bytes), (2, 2, 4));
}

#[tokio::test]
async fn a_thousand_round_trips_and_the_router_sees_the_dealer_leave() {
    let runtime = TokioRuntime::new();
    let mut router = Router::bind(&runtime, Options::default(), "127.0.0.1:0").await.expect("bind");
    let mut dealer =
        Dealer::connect(&runtime, Options::default(), &router.bound_addr().to_string());
    assert!(dealer.send(Message::single("early")).await.is_err());
    assert_eq!(within(dealer.recv()).await, DealerEvent::Up);
    let RouterEvent::Joined(peer) = within(router.recv()).await else { panic!("joins first") };
    for round in 0..1_000_u32 {
        let ask = Message::single(Bytes::copy_from_slice(&round.to_be_bytes()));
        dealer.send(ask.clone()).await.expect("connected");
        let event = within(router.recv()).await;
        assert_eq!(event, RouterEvent::Message { peer, message: ask.clone() });
        router.send(peer, ask.clone()).expect("joined");
        assert_eq!(within(dealer.recv()).await, DealerEvent::Message(ask));
    }
    drop(dealer);
    assert_eq!(within(router.recv()).await, RouterEvent::Left(peer));
    assert_eq!(router.send(peer, Message::single("late")), Err(SendError::Gone));
    drop(router);
    (|| runtime.tasks().total() == 0).eventually("no task left").await;
}
