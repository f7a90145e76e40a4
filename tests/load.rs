//! A thousand clients and ten thousand ticks a second through ZeroMQ: counted at the clients,
//! nothing lost, nothing twice, nothing out of order.
//!
//! Correctness only; speed belongs to the benches. The full size runs in a release build
//! (`cargo test --release --test load`); a debug build runs a tenth of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tickgate::config::{BrokerEntry, BrokerKind};
use tickgate::runtime::{Clock, TokioRuntime};
use zeromq::{PubSocket, Socket, SocketSend, ZmqMessage};

use crate::common::{self, Client, TestGateway, agreeing};

const TOPICS: u64 = 100;

struct Size {
    clients: u64,
    ticks_per_second: u64,
    seconds: u64,
}

const fn size() -> Size {
    if cfg!(debug_assertions) {
        Size { clients: 200, ticks_per_second: 1_000, seconds: 3 }
    } else {
        Size { clients: 1_000, ticks_per_second: 10_000, seconds: 5 }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tick_reaches_every_client_that_wants_it_once_and_in_order() {
    let Size { clients, ticks_per_second, seconds } = size();
    let (_host, host_address) = agreeing::serve(&TokioRuntime::new()).await;
    let gateway = TestGateway::start_with(|config| {
        config.limits.connections_per_address_max = config.limits.clients_max;
        config.limits.clients_per_user_max = config.limits.clients_max;
        config.limits.subscriptions_per_user_max = 1_000_000;
        let address = Some(format!("tcp://{host_address}"));
        let broker = BrokerEntry::new("agreeing", BrokerKind::Remote);
        config.brokers = vec![BrokerEntry { address, ..broker }];
    })
    .await;
    let ticks_per_topic = ticks_per_second * seconds / TOPICS;

    let received = Arc::new(AtomicU64::new(0));
    let mut readers = Vec::new();
    for at in 0..clients {
        let mut client = Client::connect(&gateway).await;
        client.enter("alice-key").await;
        let topic = at % TOPICS;
        let request = format!(
            r#"{{"action":"subscribe","symbol":"S{topic}","exchange":"NSE","mode":"LTP"}}"#
        );
        let answer = client.ask(&request).await;
        assert_eq!(answer["subscriptions"][0]["status"], "success", "{answer}");
        let received = received.clone();
        readers.push(async move {
            for expected in 1..=ticks_per_topic {
                let tick = client.next().await;
                assert_eq!(tick["symbol"], format!("S{topic}"));
                assert_eq!(tick["data"]["seq"], expected, "client {at} lost or repeated a tick");
                received.fetch_add(1, Ordering::Relaxed);
            }
            client
        });
    }
    let readers: Vec<_> = readers.into_iter().map(common::spawn).collect();

    let mut publisher = PubSocket::new();
    publisher.connect(&format!("tcp://{}", gateway.addresses.bus[0])).await.unwrap();
    gateway.wait_until(|status| status["feed"]["publishers"] == 1).await;
    // One message that nobody wants, counted, shows that the subscription has arrived.
    loop {
        publisher.send(message("NSE_NOBODY_LTP", "{}")).await.unwrap();
        let status = gateway.status().await;
        if status["feed"]["messages_total"].as_u64() > Some(0) {
            break;
        }
    }
    let clock = Clock::start();
    for seq in 1..=ticks_per_topic {
        clock.sleep_until_ms((seq - 1) * TOPICS * 1_000 / ticks_per_second).await;
        for topic in 0..TOPICS {
            let payload = format!(r#"{{"ltp":1424.05,"seq":{seq},"timestamp":1746171226123}}"#);
            publisher.send(message(&format!("NSE_S{topic}_LTP"), &payload)).await.unwrap();
        }
    }
    for reader in readers {
        let mut client = reader.await.unwrap();
        assert!(client.is_quiet(Duration::ZERO).await, "a tick came that was never sent");
    }
    assert_eq!(received.load(Ordering::Relaxed), clients * ticks_per_topic);
    let status = gateway.status().await;
    assert_eq!(status["shards"][0]["ticks_conflated_total"], 0);
    assert_eq!(status["shards"][0]["ticks_delivered_total"], clients * ticks_per_topic);
    println!(
        "{} ticks to {clients} clients at {ticks_per_second} ticks/s: {} deliveries, none lost",
        ticks_per_topic * TOPICS,
        clients * ticks_per_topic
    );
    gateway.stop().await;
}

fn message(topic: &str, payload: &str) -> ZmqMessage {
    let mut message = ZmqMessage::from(topic.to_owned());
    message.push_back(payload.to_owned().into());
    message
}
