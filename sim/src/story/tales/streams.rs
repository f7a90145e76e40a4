//! Ticks that flow while things change, or while somebody does not move.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tickgate::config::Config;
use tickgate::runtime::{Clock, Runtime};
use tickgate::server::status::{Status, TopicState};
use tickgate::topic::Mode::{self, Depth, Ltp, Quote};

use crate::story::broker::{Call, Deed, Manner};
use crate::story::client::Client;
use crate::story::stage::{count_of, topic_of};
use crate::story::{Stage, Story};

const SYMBOLS: [&str; 10] = ["S0", "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9"];

/// A thousand messages a second while subscriptions change: nothing after the answer to an
/// unsubscribe, everything wanted, in order, without a gap (RC-004, RC-010, RC-014).
pub struct ChangesUnderLoad;

impl Story for ChangesUnderLoad {
    fn configure(config: &mut Config) {
        // Whoever is slow today must still get everything.
        config.outbox.ticks_max = 1_000_000;
    }

    async fn play<R: Runtime>(stage: &Stage<R>) {
        const CHANGERS: usize = 8;
        const ROUNDS: u64 = 30;
        const MESSAGES: u64 = 2_000;
        let mut steady = stage.client_of("alice").await;
        steady.follow(&SYMBOLS, Ltp).await;
        let over = Arc::new(AtomicBool::new(false));
        let publishing = {
            let (stage, over) = (stage.clone(), over.clone());
            async move {
                let clock = Clock::start();
                let mut sent = 0;
                while sent < MESSAGES || !over.load(Ordering::Relaxed) {
                    clock.sleep_until_ms(sent).await;
                    stage.feed.tick(SYMBOLS[(sent % 10) as usize], Ltp);
                    sent += 1;
                }
            }
        };
        let changing = {
            let changers = (0..CHANGERS).map(|n| change_often(stage.clone(), n, ROUNDS));
            let changers: Vec<_> = changers.collect();
            let over = over.clone();
            async move {
                stage.together(changers).await;
                over.store(true, Ordering::Relaxed);
            }
        };
        tokio::join!(stage.together([publishing]), changing);

        for symbol in SYMBOLS {
            let last = stage.feed.trades(symbol);
            steady.reads(symbol, Ltp, last).await;
            assert_eq!(steady.ticks(symbol, Ltp), last, "who stays gets every tick once");
        }
        let gone = |status: &Status| status.clients.total == 1 && status.topics_total == 10;
        let status = stage.status_when("only the one who stays is left", gone).await;
        assert!(status.topics.iter().all(|topic| topic.count == 1), "{:?}", status.topics);
        let calls = stage.broker.calls();
        let of_alice = |call: &Call| call.deed == Deed::Unsubscribe && call.user == "alice";
        assert!(!calls.iter().any(of_alice), "she wanted each of her topics all along");
    }
}

/// Subscribes to something else, reads some, unsubscribes, and listens whether more comes.
async fn change_often<R: Runtime>(stage: Stage<R>, n: usize, rounds: u64) {
    let mut client = stage.client_of(["alice", "bob"][n % 2]).await;
    for _ in 0..rounds {
        let first = usize::try_from(stage.runtime.entropy() % 10).expect("it is below ten");
        let symbols = [SYMBOLS[first], SYMBOLS[(first + 3) % 10], SYMBOLS[(first + 7) % 10]];
        client.follow(&symbols, Ltp).await;
        client.reads_many(symbols[0], Ltp, 2).await;
        let answer = client.unsubscribe(&symbols[..2], Ltp).await;
        assert_eq!(answer["status"], "success", "{answer}");
        client.reads_many(symbols[2], Ltp, 3).await;
        let answer = client.unsubscribe(&symbols[2..], Ltp).await;
        assert_eq!(answer["status"], "success", "{answer}");
        client.ping().await;
    }
    client.close().await;
}

/// One topic that the broker does not answer for, and one client that stops reading, delay
/// nobody else (RC-013, WS-007).
pub struct SlowAndStuck;

impl Story for SlowAndStuck {
    const TCP_CAPACITY: usize = 64;

    fn configure(config: &mut Config) {
        config.outbox.ticks_max = 64;
    }

    async fn play<R: Runtime>(stage: &Stage<R>) {
        stage.broker.when(Deed::Subscribe, "SLOW", Manner::Hold);
        let mut waiter = stage.client_of("alice").await;
        waiter.start_subscribe(&["SLOW", "TCS"], Ltp).await;
        let held = || stage.broker.holds(Deed::Subscribe, "SLOW") == 1;
        stage.until("the broker is asked for the slow topic", held).await;

        let (mut stuck, mut leaver) =
            (stage.client_of("alice").await, stage.client_of("alice").await);
        for client in [&mut stuck, &mut leaver] {
            client.may_miss_some();
            client.follow(&["NOISE"], Ltp).await;
        }
        let mut others = Vec::new();
        for user in ["alice", "bob", "carol"] {
            let mut other = stage.client_of(user).await;
            other.follow(&["INFY"], Ltp).await;
            others.push(other);
        }

        let status = fill_the_sockets(stage, &mut others).await;
        let waiting: u64 = status.shards.iter().map(|shard| shard.outbox_bytes).sum();
        assert!(waiting <= 4_000_000, "{waiting} bytes wait for a client that does not read");

        // Everything else works, and at once, with both still where they are.
        let began = stage.clock.now();
        for other in &mut others {
            other.follow(&["WIPRO"], Ltp).await;
            other.ping().await;
            let seq = stage.feed.tick("WIPRO", Ltp);
            other.reads("WIPRO", Ltp, seq).await;
            let answer = other.unsubscribe(&["WIPRO"], Ltp).await;
            assert_eq!(answer["status"], "success", "{answer}");
        }
        let newcomer = stage.client_of("dave").await;
        newcomer.close().await;
        let took = stage.clock.now() - began;
        assert!(took < Duration::from_secs(5), "others were delayed: {took:?}");
        let status = stage.status().await;
        let slow = topic_of(&status, "alice", "SLOW", Ltp);
        assert_eq!(slow, Some((1, TopicState::TurningOn)), "it still waits");
        assert_eq!(count_of(&status, "alice", "NOISE"), 2, "nobody was thrown out");
        leaver.start_unsubscribe(&["NOISE"], Ltp).await;
        let left = |status: &Status| count_of(status, "alice", "NOISE") == 1;
        stage.status_when("who does not read has left the topic", left).await;

        stage.broker.release(Deed::Subscribe, "SLOW");
        let answer = waiter.subscribed(Ltp).await;
        assert_eq!(answer["status"], "success", "{answer}");
        // What waited for a client is not sent behind the answer to its unsubscribe.
        let answer = leaver.unsubscribed(Ltp).await;
        assert_eq!(answer["status"], "success", "{answer}");
        leaver.ping().await;
        // The client that reads again gets the latest there is.
        let last = stage.feed.trades("NOISE");
        stuck.reads("NOISE", Ltp, last).await;
        assert!(stuck.ticks("NOISE", Ltp) < last, "some were replaced by later ones");
        stuck.ping().await;
    }
}

/// Publishes noise until it is replaced by later noise in an outbox of each shard, while the
/// others read on.
async fn fill_the_sockets<R: Runtime>(stage: &Stage<R>, others: &mut [Client<R>]) -> Status {
    let conflated =
        |status: &Status| status.shards.iter().all(|shard| shard.ticks_conflated_total > 0);
    let mut status = stage.status().await;
    while !conflated(&status) {
        for _ in 0..64 {
            stage.feed.trade("NOISE", &[Ltp], 16_384);
        }
        let all_here = |status: &Status| status.feed.messages_total == stage.feed.messages();
        status = stage.status_when("the noise has arrived", all_here).await;
        let seq = stage.feed.tick("INFY", Ltp);
        for other in others.iter_mut() {
            other.reads("INFY", Ltp, seq).await;
        }
    }
    status
}

/// Whoever asks for a mode gets each trade once, though publishers send it in three (section 2
/// of the wire protocol).
pub struct EachTradeOnce;

impl Story for EachTradeOnce {
    async fn play<R: Runtime>(stage: &Stage<R>) {
        const TRADES: u64 = 50;
        let mut clients = Vec::new();
        for modes in [&[Ltp][..], &[Quote], &[Depth], &[Depth, Ltp], &[Ltp, Quote, Depth]] {
            let mut client = stage.client_of("alice").await;
            for mode in modes {
                client.follow(&["TCS"], *mode).await;
            }
            clients.push((client, modes));
        }
        let status = stage.is_settled().await;
        let counts = [Ltp, Quote, Depth].map(|mode| topic_of(&status, "alice", "TCS", mode));
        let on = |count| Some((count, TopicState::On));
        assert_eq!(counts, [on(3), on(2), on(3)], "each mode is a topic of its own");

        for _ in 0..TRADES {
            stage.feed.trade("TCS", &Mode::ALL, 0);
        }
        for (client, modes) in &mut clients {
            for mode in *modes {
                client.reads("TCS", *mode, TRADES).await;
            }
            client.ping().await;
            for mode in *modes {
                assert_eq!(client.ticks("TCS", *mode), TRADES, "{modes:?}: each trade once");
            }
        }

        // One mode less, one client more: the others go on.
        let (mut all, _) = clients.pop().expect("the one with all modes");
        let answer = all.unsubscribe(&["TCS"], Ltp).await;
        assert_eq!(answer["status"], "success", "{answer}");
        let mut late = stage.client_of("bob").await;
        late.follow(&["TCS"], Ltp).await;
        let seq = stage.feed.trade("TCS", &Mode::ALL, 0);
        all.reads("TCS", Quote, seq).await;
        all.reads("TCS", Depth, seq).await;
        late.reads("TCS", Ltp, seq).await;
        late.ping().await;
        assert_eq!(late.ticks("TCS", Ltp), 1, "once for a newcomer, too");

        // A publisher that knows only depth serves everybody.
        for (client, modes) in &mut clients {
            for mode in *modes {
                client.reads("TCS", *mode, seq).await;
                client.follow(&["DEEP"], *mode).await;
            }
        }
        for _ in 0..TRADES {
            stage.feed.tick("DEEP", Depth);
        }
        for (client, modes) in &mut clients {
            for mode in *modes {
                client.reads("DEEP", *mode, TRADES).await;
                assert_eq!(client.ticks("DEEP", *mode), TRADES, "{modes:?}");
            }
        }
    }
}
