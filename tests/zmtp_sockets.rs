//! Our sockets with each other, over loopback.

use bytes::Bytes;
use tickgate::runtime::{Runtime, TokioRuntime};
use tickgate::zmtp::{
    Dealer, DealerEvent, Message, Options, Pub, Router, RouterEvent, SendError, Sub,
};

use crate::zmtp_common::{Eventually, everything, loopback, within};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_publishers_are_heard_at_once_each_in_its_order() {
    const PUBLISHERS: usize = 50;
    const EACH: u32 = 400;
    let runtime = TokioRuntime::new();
    let mut sub = Sub::start(&runtime, Options::default(), &loopback(), &[], &everything())
        .await
        .expect("start");
    let address = sub.bound()[0].to_string();
    let publishers: Vec<Pub> = (0..PUBLISHERS)
        .map(|_| Pub::connect(&runtime, Options::default(), 1_000, &address))
        .collect();
    let heard = |publisher: &Pub| publisher.stats().subscriptions == 1;
    (|| publishers.iter().all(heard)).eventually("subscriptions").await;
    for number in 0..EACH {
        for (name, publisher) in publishers.iter().enumerate() {
            let name = Bytes::copy_from_slice(&name.to_be_bytes());
            publisher.publish(Message::pair(name, number.to_be_bytes().to_vec()));
        }
    }
    let mut next = [0; PUBLISHERS];
    while next.iter().any(|&number| number < EACH) {
        for message in within(sub.recv()).await.expect("open") {
            let [name, number] = message.parts() else { panic!("two parts") };
            let name = usize::from_be_bytes(name[..].try_into().expect("eight bytes"));
            assert_eq!(&number[..], next[name].to_be_bytes());
            next[name] += 1;
        }
    }
    assert_eq!(sub.stats().peers, PUBLISHERS);
    drop(publishers);
    (|| sub.stats().peers == 0).eventually("all have left").await;
    drop(sub);
    (|| runtime.tasks().total() == 0).eventually("no task left").await;
}

#[tokio::test]
async fn an_address_can_be_bound_again_as_soon_as_its_socket_is_dropped() {
    let runtime = TokioRuntime::new();
    let sub = Sub::start(&runtime, Options::default(), &loopback(), &[], &everything())
        .await
        .expect("start");
    let address = [sub.bound()[0].to_string()];
    let publisher = Pub::connect(&runtime, Options::default(), 10, &address[0]);
    (|| publisher.stats().subscriptions == 1).eventually("subscription").await;
    let taken = Sub::start(&runtime, Options::default(), &address, &[], &everything()).await;
    let error = taken.expect_err("in use").to_string();
    assert!(error.starts_with(&format!("cannot listen on {}: ", address[0])), "{error}");

    drop(sub);
    (|| runtime.tasks().total() == 1).eventually("its tasks have ended").await;
    let again = Sub::start(&runtime, Options::default(), &address, &[], &everything()).await;
    let mut again = again.expect("free");
    (|| publisher.stats().reconnects == 1).eventually("found again").await;
    (|| publisher.stats().subscriptions == 1).eventually("subscribed again").await;
    publisher.publish(Message::pair(&b"A"[..], &b"1"[..]));
    assert_eq!(within(again.recv()).await, Some(vec![Message::pair(&b"A"[..], &b"1"[..])]));
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
