//! Clients that share what one broker session gives.

use serde_json::{Value, json};
use tickgate::runtime::Runtime;
use tickgate::server::status::{SessionState, TopicState};
use tickgate::topic::Mode::Ltp;

use crate::story::broker::{Deed, Manner};
use crate::story::client::Client;
use crate::story::stage::{count_of, session_of, topic_of};
use crate::story::{Stage, Story};

/// Ten clients of one user subscribe at once: one broker call, ten wants (RC-001).
pub struct TenAtOnce;

impl Story for TenAtOnce {
    async fn play<R: Runtime>(stage: &Stage<R>) {
        // The broker takes its time, so that all ten meet the first one's call in flight.
        stage.broker.when(Deed::Subscribe, "TCS", Manner::Hold);
        let mut clients = Vec::new();
        for _ in 0..10 {
            clients.push(stage.client_of("alice").await);
        }
        let subscribing = clients.into_iter().map(|mut client| async move {
            client.follow(&["TCS"], Ltp).await;
            client
        });
        let observing = async {
            let all_wait = |status: &_| {
                topic_of(status, "alice", "TCS", Ltp) == Some((10, TopicState::TurningOn))
            };
            stage.status_when("ten clients wait for one topic", all_wait).await;
            let held = || stage.broker.holds(Deed::Subscribe, "TCS") == 1;
            stage.until("the broker is asked for the topic", held).await;
            stage.broker.release(Deed::Subscribe, "TCS");
        };
        let (mut clients, ()) = tokio::join!(stage.together(subscribing), observing);
        assert_eq!(stage.broker.count(Deed::Subscribe, "TCS"), 1, "one call for ten clients");

        // A broker that answers at once: who comes first is anybody's guess.
        let subscribing = clients.drain(..).map(|mut client| async move {
            client.follow(&["INFY"], Ltp).await;
            client
        });
        let mut clients = stage.together(subscribing).await;
        assert_eq!(stage.broker.count(Deed::Subscribe, "INFY"), 1, "one call for ten clients");

        let status = stage.is_settled().await;
        assert_eq!(
            (count_of(&status, "alice", "TCS"), count_of(&status, "alice", "INFY")),
            (10, 10)
        );
        assert_eq!((status.subscriptions, status.broker_calls.connect), (20, 1));
        let seq = stage.feed.tick("TCS", Ltp);
        for client in &mut clients {
            client.reads("TCS", Ltp, seq).await;
            assert_eq!(client.ticks("TCS", Ltp), 1, "each client gets its copy");
        }

        // Nine leave, each in its own way: nothing changes for the broker before the tenth.
        let last = clients.pop().expect("ten clients");
        for (n, mut client) in clients.into_iter().enumerate() {
            match n % 3 {
                0 => drop(client),
                1 => client.close().await,
                _ => drop(client.unsubscribe(&["TCS", "INFY"], Ltp).await),
            }
        }
        let one_left = |status: &_| count_of(status, "alice", "TCS") == 1;
        stage.status_when("one client is left", one_left).await;
        assert_eq!(stage.broker.count(Deed::Unsubscribe, "TCS"), 0);
        last.close().await;
    }
}

/// A client subscribes, or authenticates, while what another one left is being cleaned up
/// (RC-005, RC-008): the last wish wins.
pub struct OthersCleanup;

impl Story for OthersCleanup {
    async fn play<R: Runtime>(stage: &Stage<R>) {
        let mut stayer = stage.client_of("alice").await;
        subscribe_during_an_unsubscribe(stage, &mut stayer).await;
        leave_during_a_subscribe(stage, &mut stayer).await;
        let left = stayer.unsubscribe_all().await;
        assert_eq!(left["status"], "success", "{left}");
        stage.is_settled().await;
        let stayer = authenticate_during_a_disconnect(stage, stayer).await;
        take_turns(stage, stayer).await;
    }
}

async fn subscribe_during_an_unsubscribe<R: Runtime>(stage: &Stage<R>, stayer: &mut Client<R>) {
    let mut leaver = stage.client_of("alice").await;
    leaver.follow(&["TCS"], Ltp).await;
    stage.broker.when(Deed::Unsubscribe, "TCS", Manner::Hold);
    drop(leaver);
    let held = || stage.broker.holds(Deed::Unsubscribe, "TCS") == 1;
    stage.until("the broker is asked to turn the topic off", held).await;

    stayer.start_subscribe(&["TCS"], Ltp).await;
    let waits =
        |status: &_| topic_of(status, "alice", "TCS", Ltp) == Some((1, TopicState::TurningOff));
    stage.status_when("a client wants what is being turned off", waits).await;
    assert_eq!(stage.broker.count(Deed::Subscribe, "TCS"), 1, "one command in flight per topic");
    stage.broker.release(Deed::Unsubscribe, "TCS");
    let answer = stayer.subscribed(Ltp).await;
    assert_eq!(answer["status"], "success", "{answer}");
    assert_eq!(stage.broker.count(Deed::Subscribe, "TCS"), 2);
    stage.is_settled().await;
    let seq = stage.feed.tick("TCS", Ltp);
    stayer.reads("TCS", Ltp, seq).await;
}

async fn leave_during_a_subscribe<R: Runtime>(stage: &Stage<R>, stayer: &mut Client<R>) {
    stage.broker.when(Deed::Subscribe, "INFY", Manner::Hold);
    let mut leaver = stage.client_of("alice").await;
    leaver.start_subscribe(&["INFY"], Ltp).await;
    let held = || stage.broker.holds(Deed::Subscribe, "INFY") == 1;
    stage.until("the broker is asked for the topic", held).await;
    drop(leaver);
    let unwanted =
        |status: &_| topic_of(status, "alice", "INFY", Ltp) == Some((0, TopicState::TurningOn));
    stage.status_when("nobody wants what is being turned on", unwanted).await;
    stage.broker.release(Deed::Subscribe, "INFY");
    stage.is_settled().await;
    assert_eq!(stage.broker.count(Deed::Unsubscribe, "INFY"), 1);
    stayer.ping().await;
}

async fn authenticate_during_a_disconnect<R: Runtime>(
    stage: &Stage<R>,
    leaver: Client<R>,
) -> Client<R> {
    stage.broker.when(Deed::Disconnect, "alice", Manner::Hold);
    leaver.close().await;
    let held = || stage.broker.holds(Deed::Disconnect, "alice") == 1;
    stage.until("the broker is asked to close the session", held).await;

    let mut newcomer = stage.client().await;
    newcomer.start_authenticate("alice").await;
    let waits = |status: &_| session_of(status, "alice") == Some(SessionState::Closing);
    stage.status_when("a client waits for a session that is being closed", waits).await;
    stage.broker.release(Deed::Disconnect, "alice");
    let answer = newcomer.authenticated("alice").await;
    assert_eq!(answer["status"], "success", "{answer}");
    assert_eq!(stage.broker.replaced(), 0, "the old session was closed first");
    newcomer.follow(&["TCS"], Ltp).await;
    let seq = stage.feed.tick("TCS", Ltp);
    newcomer.reads("TCS", Ltp, seq).await;
    newcomer
}

/// The only client goes as the next one comes, again and again, with a broker that answers.
async fn take_turns<R: Runtime>(stage: &Stage<R>, mut present: Client<R>) {
    for _ in 0..20 {
        let mut next = stage.client().await;
        let arriving = async move {
            next.start_authenticate("alice").await;
            next.start_subscribe(&["TCS"], Ltp).await;
            next
        };
        let leaving = async move {
            present.ping().await;
            drop(present);
        };
        let (arrived, ()) = tokio::join!(stage.together([arriving]), async {
            stage.together([leaving]).await;
        });
        present = arrived.into_iter().next().expect("one client");
        succeeds(&present.authenticated("alice").await);
        succeeds(&present.subscribed(Ltp).await);
        stage.is_settled().await;
        let seq = stage.feed.tick("TCS", Ltp);
        present.reads("TCS", Ltp, seq).await;
    }
    assert_eq!(stage.broker.replaced(), 0, "no session was opened beside another");
    present.close().await;
}

/// A client changes its mind faster than the broker answers: its last wish wins, whoever else
/// wants the same (RC-004, RC-008).
pub struct ChangesOfMind;

impl Story for ChangesOfMind {
    async fn play<R: Runtime>(stage: &Stage<R>) {
        // Dealt to different shards, of which each is told what its clients want.
        let mut fickle = stage.client_of("alice").await;
        let mut other = stage.client_of("alice").await;
        for client in [&mut fickle, &mut other] {
            client.follow(&["TCS", "INFY"], Ltp).await;
        }
        let seq = stage.feed.tick("TCS", Ltp);
        fickle.reads("TCS", Ltp, seq).await;
        other.reads("TCS", Ltp, seq).await;
        for round in 1..=3 {
            stage.broker.when(Deed::Subscribe, "SLOW", Manner::Hold);
            fickle.start_subscribe(&["SLOW"], Ltp).await;
            for _ in 0..round {
                fickle.start_unsubscribe(&["TCS", "INFY"], Ltp).await;
                fickle.start_subscribe(&["TCS"], Ltp).await;
                fickle.start_subscribe(&["INFY"], Ltp).await;
            }
            fickle.start_unsubscribe(&["SLOW", "INFY"], Ltp).await;
            let held = || stage.broker.holds(Deed::Subscribe, "SLOW") == 1;
            stage.until("the broker is asked for the slow topic", held).await;
            stage.broker.release(Deed::Subscribe, "SLOW");
            succeeds(&fickle.subscribed(Ltp).await);
            for _ in 0..round {
                succeeds(&fickle.unsubscribed(Ltp).await);
                succeeds(&fickle.subscribed(Ltp).await);
                succeeds(&fickle.subscribed(Ltp).await);
            }
            succeeds(&fickle.unsubscribed(Ltp).await);
            let status = stage.is_settled().await;
            assert_eq!(count_of(&status, "alice", "TCS"), 2, "round {round}");
            assert_eq!(count_of(&status, "alice", "INFY"), 1, "round {round}");
            for symbol in ["TCS", "INFY"] {
                let seq = stage.feed.tick(symbol, Ltp);
                other.reads(symbol, Ltp, seq).await;
            }
            let seq = stage.feed.trades("TCS");
            fickle.reads("TCS", Ltp, seq).await;
            fickle.follow(&["INFY"], Ltp).await;
        }
        assert_eq!(stage.broker.count(Deed::Unsubscribe, "TCS"), 0, "the other held it all along");
    }
}

fn succeeds(answer: &Value) {
    assert_eq!(answer["status"], "success", "{answer}");
}

/// Unsubscribing what was never subscribed is a `failed` row and no broker call (RC-006).
pub struct NeverSubscribed;

impl Story for NeverSubscribed {
    async fn play<R: Runtime>(stage: &Stage<R>) {
        let mut holder = stage.client_of("alice").await;
        holder.follow(&["TCS"], Ltp).await;
        let mut client = stage.client_of("alice").await;
        let before = stage.is_settled().await;

        // Somebody else holds the first; nobody holds the second.
        let answer = client.unsubscribe(&["TCS", "INFY"], Ltp).await;
        assert_eq!((&answer["type"], &answer["status"]), (&json!("unsubscribe"), &json!("error")));
        assert_eq!(answer["successful"], json!([]), "{answer}");
        let failed = answer["failed"].as_array().expect("rows");
        for (row, symbol) in failed.iter().zip(["TCS", "INFY"]) {
            assert_eq!((&row["symbol"], &row["status"]), (&json!(symbol), &json!("error")));
        }
        assert_eq!(failed.len(), 2, "{answer}");

        // What is unsubscribed twice counts once.
        client.follow(&["TCS"], Ltp).await;
        let first = client.unsubscribe(&["TCS", "INFY"], Ltp).await;
        assert_eq!(first["status"], "partial", "{first}");
        let second = client.unsubscribe(&["TCS"], Ltp).await;
        assert_eq!(second["status"], "error", "{second}");
        let all = client.unsubscribe_all().await;
        assert_eq!(all["status"], "success", "{all}");

        let after = stage.is_settled().await;
        assert_eq!(after.topics, before.topics, "the count of the holder is untouched");
        assert_eq!(after.broker_calls, before.broker_calls, "the broker hears of none of it");
        let seq = stage.feed.tick("TCS", Ltp);
        holder.reads("TCS", Ltp, seq).await;
        client.ping().await;
        holder.close().await;
        client.close().await;
    }
}
