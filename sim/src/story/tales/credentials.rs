//! Users who change: their name, or their credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tickgate::runtime::{Clock, Runtime};
use tickgate::server::status::Status;
use tickgate::topic::Mode::Ltp;

use crate::story::broker::{Deed, Manner};
use crate::story::client::Client;
use crate::story::stage::count_of;
use crate::story::{Stage, Story};

/// A client becomes another user while order updates of both flow: it never sees one of whom it
/// is not (RC-010, RC-011).
pub struct AnotherUser;

impl Story for AnotherUser {
    async fn play<R: Runtime>(stage: &Stage<R>) {
        const ROUNDS: usize = 20;
        let mut followers = Vec::new();
        for user in ["alice", "bob"] {
            let mut follower = stage.client_of(user).await;
            follower.follow_orders().await;
            followers.push((user, follower));
        }
        let over = Arc::new(AtomicBool::new(false));
        let publishing = {
            let (stage, over) = (stage.clone(), over.clone());
            async move {
                let clock = Clock::start();
                let mut sent = 0;
                while !over.load(Ordering::Relaxed) {
                    clock.sleep_until_ms(sent).await;
                    for user in ["alice", "bob"] {
                        stage.feed.order(user);
                        stage.feed.tick("TCS", Ltp);
                    }
                    sent += 1;
                }
            }
        };
        let changing = {
            let stage = stage.clone();
            async move {
                let mut client = stage.client_of("alice").await;
                for round in 0..ROUNDS {
                    let (user, other) = [("alice", "bob"), ("bob", "alice")][round % 2];
                    client.follow_orders().await;
                    client.follow(&["TCS"], Ltp).await;
                    client.reads_orders(3).await;
                    // As the same user: harmless, and nothing is lost.
                    client.sign_in(user).await;
                    client.reads_orders(6).await;
                    client.reads_many("TCS", Ltp, 3).await;
                    // From the answer on, nothing of the former user comes: neither orders nor
                    // ticks.
                    client.sign_in(other).await;
                    client.ping().await;
                    client.ping().await;
                    let status = stage.status().await;
                    assert_eq!(count_of(&status, user, "TCS"), 0, "it was released");
                }
                over.store(true, Ordering::Relaxed);
                client
            }
        };
        let (_, client) = tokio::join!(stage.together([publishing]), stage.together([changing]));
        for (user, follower) in &mut followers {
            let last = stage.feed.orders(user);
            follower.reads_order(last).await;
        }
        let status = stage.status().await;
        let following: u64 = status.users.iter().map(|user| user.orders_clients).sum();
        assert_eq!(following, 2, "only those who ask follow orders");
        drop(client);
    }
}

/// A user's credentials change while clients subscribe and authenticate: clients and wants are
/// kept, the session is rebuilt, ticks resume (RC-012).
pub struct Invalidated;

impl Story for Invalidated {
    async fn play<R: Runtime>(stage: &Stage<R>) {
        let mut holder = stage.client_of("alice").await;
        holder.follow(&["INFY"], Ltp).await;
        let mut other = stage.client_of("carol").await;
        other.follow(&["INFY"], Ltp).await;
        stage.is_settled().await;
        stage.broker.forget_calls();

        let mut client = in_mid_subscribe(stage).await;
        let seq = stage.feed.tick("INFY", Ltp);
        holder.reads("INFY", Ltp, seq).await;
        let mut newcomer = in_mid_authenticate(stage).await;
        storm(stage, &mut client).await;

        let status = stage.is_settled().await;
        assert_eq!((status.clients.total, status.subscriptions), (4, 4), "{:?}", status.topics);
        for symbol in ["INFY", "TCS"] {
            let seq = stage.feed.tick(symbol, Ltp);
            let readers = if symbol == "TCS" {
                [&mut client, &mut newcomer]
            } else {
                [&mut holder, &mut other]
            };
            for reader in readers {
                reader.reads(symbol, Ltp, seq).await;
            }
        }
        let carols = stage.broker.count(Deed::Disconnect, "carol");
        assert_eq!(carols, 0, "she has nothing to do with it");
        assert_eq!(stage.broker.replaced(), 0, "each session was closed before the next");
    }
}

async fn in_mid_subscribe<R: Runtime>(stage: &Stage<R>) -> Client<R> {
    let mut client = stage.client_of("alice").await;
    stage.broker.when(Deed::Subscribe, "TCS", Manner::Hold);
    client.start_subscribe(&["TCS"], Ltp).await;
    let held = || stage.broker.holds(Deed::Subscribe, "TCS") == 1;
    stage.until("the broker is asked for the topic", held).await;
    stage.broker.when(Deed::Subscribe, "TCS", Manner::Serve);
    stage.feed.invalidate("alice");
    let answer = client.subscribed(Ltp).await;
    assert_eq!(answer["status"], "success", "the new session serves it: {answer}");
    let rebuilt = || {
        stage.broker.count(Deed::Disconnect, "alice") == 1
            && stage.broker.count(Deed::Connect, "alice") == 1
    };
    stage.until("the session is rebuilt", rebuilt).await;
    // What the old session still says does not matter.
    stage.broker.release(Deed::Subscribe, "TCS");
    let status = stage.is_settled().await;
    assert_eq!((count_of(&status, "alice", "TCS"), count_of(&status, "alice", "INFY")), (1, 1));
    assert_eq!(stage.broker.count(Deed::Subscribe, "INFY"), 1, "it was restored");
    let seq = stage.feed.tick("TCS", Ltp);
    client.reads("TCS", Ltp, seq).await;
    client
}

/// The session that is being opened has the old credentials.
async fn in_mid_authenticate<R: Runtime>(stage: &Stage<R>) -> Client<R> {
    stage.broker.when(Deed::Connect, "bob", Manner::Hold);
    let mut newcomer = stage.client().await;
    newcomer.start_authenticate("bob").await;
    let held = || stage.broker.holds(Deed::Connect, "bob") == 1;
    stage.until("the broker is asked for the session", held).await;
    stage.feed.invalidate("bob");
    is_heard(stage).await;
    stage.broker.release(Deed::Connect, "bob");
    let answer = newcomer.authenticated("bob").await;
    assert_eq!(answer["status"], "success", "{answer}");
    newcomer.follow(&["TCS"], Ltp).await;
    let twice = || stage.broker.count(Deed::Connect, "bob") == 2;
    stage.until("the session is opened again", twice).await;
    stage.is_settled().await;
    let seq = stage.feed.tick("TCS", Ltp);
    newcomer.reads("TCS", Ltp, seq).await;
    newcomer
}

/// Many changes, with requests in between.
async fn storm<R: Runtime>(stage: &Stage<R>, client: &mut Client<R>) {
    for round in 0..20_usize {
        stage.feed.invalidate("alice");
        stage.feed.invalidate(["alice", "bob"][round % 2]);
        let answer = client.subscribe(&["WIPRO"], Ltp).await;
        assert_eq!(answer["status"], "success", "round {round}: {answer}");
        let late = stage.client_of("alice").await;
        let answer = client.unsubscribe(&["WIPRO"], Ltp).await;
        assert_eq!(answer["status"], "success", "round {round}: {answer}");
        late.close().await;
    }
    is_heard(stage).await;
}

/// Waits until the gateway has received all that was published.
async fn is_heard<R: Runtime>(stage: &Stage<R>) {
    let published = stage.feed.messages();
    let all_here = |status: &Status| status.feed.messages_total == published;
    stage.status_when("the gateway has heard everything", all_here).await;
}
