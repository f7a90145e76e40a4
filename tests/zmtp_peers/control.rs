//! DEALER and ROUTER when peers come, go and do not read.

use std::time::Duration;

use tickgate::runtime::Runtime;
use tickgate::zmtp::{
    Dealer, DealerEvent, Message, NotConnected, Options, QUEUE_MESSAGES_MAX, Router, RouterEvent,
    SendError,
};
use tokio::time::sleep;

use super::memory::Memory;
use super::raw::{Raw, message};

const HOST: &str = "10.0.0.1:5560";

#[tokio::test(start_paused = true)]
async fn a_dealer_tells_of_every_connection_and_sends_only_on_the_one_it_told_of() {
    let network = Memory::new();
    let mut listener = network.bind(HOST).await.expect("free");
    let mut dealer = Dealer::connect(&network, Options::default(), HOST);
    for _life in 0..3 {
        assert_eq!(dealer.send(Message::single("lost")).await, Err(NotConnected));
        let mut raw = Raw::accept(&mut listener).await.greet("ROUTER", 1).await;
        assert_eq!(dealer.recv().await, DealerEvent::Up);
        dealer.send(message(&[b"", b"ask"])).await.expect("up");
        assert_eq!(raw.message().await, Some(message(&[b"", b"ask"])));
        raw.send(&[b"one"]).await;
        raw.send(&[b"two"]).await;
        drop(raw);
        assert_eq!(dealer.recv().await, DealerEvent::Message(Message::single("one")));
        assert_eq!(dealer.recv().await, DealerEvent::Message(Message::single("two")));
        let reason = "closed by the peer".into();
        assert_eq!(dealer.recv().await, DealerEvent::Down { reason });
    }
    drop(dealer);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(network.tasks().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dealer_notices_a_host_that_hangs() {
    let network = Memory::new();
    let mut listener = network.bind(HOST).await.expect("free");
    let mut dealer = Dealer::connect(&network, Options::default(), HOST);
    let _hangs = Raw::accept(&mut listener).await.greet("ROUTER", 1).await;
    assert_eq!(dealer.recv().await, DealerEvent::Up);
    let flood = async { while dealer.send(Message::single(vec![0; 1_000])).await.is_ok() {} };
    flood.await;
    let reason = "heartbeat lost".into();
    assert_eq!(dealer.recv().await, DealerEvent::Down { reason });
    assert_eq!(network.now().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn recv_and_send_of_a_dealer_can_be_cancelled_without_loss() {
    let network = Memory::new();
    let mut listener = network.bind(HOST).await.expect("free");
    let mut dealer = Dealer::connect(&network, Options::default(), HOST);
    let mut raw = Raw::accept(&mut listener).await.greet("ROUTER", 1).await;
    let writer = async {
        for n in 0..500_u16 {
            raw.send(&[&n.to_be_bytes()]).await;
            sleep(Duration::from_micros(700)).await;
        }
        raw
    };
    let reader = async {
        let mut next = 0_u16;
        while next < 500 {
            tokio::select! {
                biased;
                event = dealer.recv() => match event {
                    DealerEvent::Up => {}
                    DealerEvent::Down { reason } => panic!("{reason}"),
                    DealerEvent::Message(message) => {
                        assert_eq!(&message.parts()[0][..], next.to_be_bytes());
                        next += 1;
                    }
                },
                () = sleep(Duration::from_millis(1)) => {}
            }
        }
    };
    tokio::join!(writer, reader);
}

#[tokio::test(start_paused = true)]
async fn a_router_tells_who_came_who_said_what_and_who_left() {
    let network = Memory::new();
    let mut router = Router::bind(&network, Options::default(), "127.0.0.1:0").await.expect("free");
    let addr = router.bound_addr();
    let mut first = Raw::connect(&network, addr).await.greet("DEALER", 1).await;
    let RouterEvent::Joined(one) = router.recv().await else { panic!("joins") };
    let mut second = Raw::connect(&network, addr).await.greet("REQ", 1).await;
    let RouterEvent::Joined(two) = router.recv().await else { panic!("joins") };
    assert!(one < two);

    second.send(&[b"", b"ask"]).await;
    let said = RouterEvent::Message { peer: two, message: message(&[b"", b"ask"]) };
    assert_eq!(router.recv().await, said);
    router.send(two, message(&[b"", b"answer"])).expect("here");
    router.send(one, message(&[b"news"])).expect("here");
    assert_eq!(second.message().await, Some(message(&[b"", b"answer"])));
    assert_eq!(first.message().await, Some(message(&[b"news"])));

    first.send(&[b"bye"]).await;
    drop(first);
    let said = RouterEvent::Message { peer: one, message: message(&[b"bye"]) };
    assert_eq!(router.recv().await, said);
    assert_eq!(router.recv().await, RouterEvent::Left(one));
    assert_eq!(router.send(one, message(&[b"late"])), Err(SendError::Gone));

    drop(router);
    assert_eq!(second.message().await, None);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(network.tasks().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_fills_its_own_queue_only() {
    let network = Memory::new();
    let options = Options { frame_bytes_max: 4 << 20, ..Options::default() };
    let mut router = Router::bind(&network, options, "127.0.0.1:0").await.expect("free");
    let addr = router.bound_addr();
    let _stuck = Raw::connect(&network, addr).await.greet("DEALER", 1).await;
    let RouterEvent::Joined(stuck) = router.recv().await else { panic!("joins") };
    let mut reads = Raw::connect(&network, addr).await.greet("DEALER", 1).await;
    let RouterEvent::Joined(other) = router.recv().await else { panic!("joins") };
    let mut queued = 0;
    while router.send(stuck, Message::single(vec![0; 1_000])).is_ok() {
        queued += 1;
        tokio::task::yield_now().await;
    }
    assert!((QUEUE_MESSAGES_MAX..2 * QUEUE_MESSAGES_MAX).contains(&queued), "{queued}");
    assert_eq!(router.send(stuck, Message::single("more")), Err(SendError::Full));
    router.send(other, Message::single("fine")).expect("room");
    assert_eq!(reads.message().await, Some(Message::single("fine")));
    assert_eq!(router.recv().await, RouterEvent::Left(stuck), "once it is silent for too long");
    assert_eq!(network.now().as_secs(), 15);
}
