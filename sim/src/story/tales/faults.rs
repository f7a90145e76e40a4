//! Brokers that refuse, fall silent, die and come back (RC-003, RC-007).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tickgate::config::Config;
use tickgate::protocol::control::FailureCode;
use tickgate::runtime::Runtime;
use tickgate::server::status::{BrokerState, SessionState, Status};
use tickgate::topic::Mode::{Depth, Ltp};
use tickgate::topic::{Instrument, Mode, Topic};

use crate::story::broker::{Deed, Manner};
use crate::story::client::Client;
use crate::story::feed::EXCHANGE;
use crate::story::stage::{count_of, session_of};
use crate::story::{Stage, Story};

/// A broker that refuses: everybody is told, nothing is left, the next attempt starts clean.
pub struct BrokerRefuses;

impl Story for BrokerRefuses {
    async fn play<R: Runtime>(stage: &Stage<R>) {
        let refused = Manner::Fail(FailureCode::Refused);
        stage.broker.when(Deed::Connect, "alice", Manner::Fail(FailureCode::InitFailed));
        let mut client = stage.client().await;
        let answer = client.authenticate("alice").await;
        is_refused(&answer, "BROKER_INIT_ERROR");
        let gone = |status: &Status| status.users_total == 0 && status.clients.authenticated == 0;
        stage.status_when("the user is forgotten", gone).await;
        stage.broker.when(Deed::Connect, "alice", Manner::Serve);
        client.sign_in("alice").await;

        // One topic of three is refused.
        stage.broker.when(Deed::Subscribe, "TCS", refused);
        let answer = client.subscribe(&["INFY", "TCS", "WIPRO"], Ltp).await;
        assert_eq!(answer["status"], "partial", "{answer}");
        assert_eq!(outcomes(&answer), ["success", "BROKER_ERROR", "success"], "{answer}");
        rolled_back(stage, &mut client).await;
        assert_eq!(stage.broker.count(Deed::Subscribe, "TCS"), 1);
        assert_eq!(stage.broker.count(Deed::Unsubscribe, "TCS"), 0, "there is nothing to undo");

        // Ten wait for the same call, and are told the same.
        stage.broker.when(Deed::Subscribe, "TCS", Manner::Hold);
        let mut crowd = vec![client];
        for _ in 1..10 {
            crowd.push(stage.client_of("alice").await);
        }
        let subscribing = crowd.into_iter().map(|mut client| async move {
            let answer = client.subscribe(&["TCS"], Ltp).await;
            assert_eq!(outcomes(&answer), ["BROKER_ERROR"], "{answer}");
            client
        });
        let refusing = async {
            let all_wait = |status: &_| count_of(status, "alice", "TCS") == 10;
            stage.status_when("ten clients wait", all_wait).await;
            let held = || stage.broker.holds(Deed::Subscribe, "TCS") == 1;
            stage.until("the broker is asked for the topic", held).await;
            stage.broker.release_as(Deed::Subscribe, "TCS", refused);
        };
        let (mut crowd, ()) = tokio::join!(stage.together(subscribing), refusing);
        assert_eq!(stage.broker.count(Deed::Subscribe, "TCS"), 2, "one call for ten clients");
        for client in &mut crowd {
            rolled_back(stage, client).await;
        }
        starts_clean(stage, &mut crowd[0]).await;
    }
}

/// A broker that does not answer in time, whether it did what it was asked or not.
pub struct BrokerTimesOut;

impl Story for BrokerTimesOut {
    fn configure(config: &mut Config) {
        config.broker.connect_timeout_ms = 700;
        config.broker.answer_timeout_ms = 700;
    }

    async fn play<R: Runtime>(stage: &Stage<R>) {
        // The session is opened, and the answer gets lost.
        stage.broker.when(Deed::Connect, "alice", Manner::Mute);
        let mut client = stage.client().await;
        let answer = client.authenticate("alice").await;
        is_refused(&answer, "BROKER_CONNECTION_ERROR");
        let gone = |status: &Status| status.users_total == 0;
        stage.status_when("the doubtful session is closed", gone).await;
        assert_eq!(stage.broker.sessions(), BTreeMap::new());
        stage.broker.when(Deed::Connect, "alice", Manner::Serve);
        client.sign_in("alice").await;

        for silence in [Manner::Mute, Manner::Lose] {
            stage.broker.forget_calls();
            stage.broker.when(Deed::Subscribe, "TCS", silence);
            let answer = client.subscribe(&["INFY", "TCS"], Ltp).await;
            assert_eq!(outcomes(&answer), ["success", "BROKER_TIMEOUT"], "{answer}");
            rolled_back(stage, &mut client).await;
            assert_eq!(stage.broker.count(Deed::Unsubscribe, "TCS"), 1, "the doubt is cleared");
            let before = stage.status().await;
            stage.broker.answer_late();
            client.ping().await;
            let after = stage.is_settled().await;
            assert_eq!(after.topics, before.topics, "an answer that comes too late is ignored");

            stage.broker.when(Deed::Subscribe, "TCS", Manner::Serve);
            client.follow(&["TCS"], Ltp).await;
            assert_eq!(stage.broker.count(Deed::Subscribe, "TCS"), 2);
            stage.broker.when(Deed::Unsubscribe, "TCS", silence);
            let answer = client.unsubscribe(&["TCS", "INFY"], Ltp).await;
            assert_eq!(answer["status"], "success", "nobody waits for the broker: {answer}");
            let asked_again = || stage.broker.count(Deed::Unsubscribe, "TCS") == 3;
            stage.until("the broker is asked again to turn the topic off", asked_again).await;
            stage.broker.when(Deed::Unsubscribe, "TCS", Manner::Serve);
            stage.broker.answer_late();
            stage.is_settled().await;
        }
        starts_clean(stage, &mut client).await;
    }
}

/// A broker that dies while it is asked for something.
pub struct BrokerDies;

impl Story for BrokerDies {
    async fn play<R: Runtime>(stage: &Stage<R>) {
        let mut client = stage.client_of("alice").await;
        client.follow(&["INFY", "WIPRO"], Ltp).await;
        stage.broker.when(Deed::Subscribe, "TCS", Manner::Hold);
        stage.broker.when(Deed::Unsubscribe, "WIPRO", Manner::Hold);
        stage.broker.when(Deed::Connect, "bob", Manner::Hold);
        let left = client.unsubscribe(&["WIPRO"], Ltp).await;
        assert_eq!(left["status"], "success", "{left}");
        client.start_subscribe(&["TCS"], Ltp).await;
        let mut newcomer = stage.client().await;
        newcomer.start_authenticate("bob").await;
        let all_held = || {
            stage.broker.holds(Deed::Subscribe, "TCS") == 1
                && stage.broker.holds(Deed::Unsubscribe, "WIPRO") == 1
                && stage.broker.holds(Deed::Connect, "bob") == 1
        };
        stage.until("the broker is asked for three things", all_held).await;
        stage.broker.die();

        let answer = client.subscribed(Ltp).await;
        assert_eq!(outcomes(&answer), ["BROKER_CONNECTION_ERROR"], "{answer}");
        let answer = newcomer.authenticated("bob").await;
        is_refused(&answer, "BROKER_CONNECTION_ERROR");
        assert_eq!(client.adapter_status().await, "disconnected");
        let status = stage.status().await;
        assert_eq!((status.subscriptions, status.topics_total), (1, 1), "{status:?}");
        assert_eq!(status.clients.total, 2, "nobody is thrown out");
        assert_ne!(session_of(&status, "bob"), Some(SessionState::Connected));

        for (deed, name) in
            [(Deed::Subscribe, "TCS"), (Deed::Unsubscribe, "WIPRO"), (Deed::Connect, "bob")]
        {
            stage.broker.when(deed, name, Manner::Serve);
        }
        stage.broker.forget_calls();
        stage.broker.revive();
        stage.until("the broker has a session", || !stage.broker.sessions().is_empty()).await;
        rolled_back(stage, &mut client).await;
        assert_eq!(stage.broker.sessions(), book(&[("alice", &[("INFY", Ltp)])]));
        for symbol in ["TCS", "WIPRO"] {
            assert_eq!(stage.broker.count(Deed::Subscribe, symbol), 0, "{symbol} is not wanted");
        }
        newcomer.sign_in("bob").await;
        newcomer.follow(&["TCS"], Ltp).await;
        starts_clean(stage, &mut client).await;
    }
}

/// A broker that goes away and comes back gets all wants back, and nothing else.
pub struct BrokerReconnects;

impl Story for BrokerReconnects {
    async fn play<R: Runtime>(stage: &Stage<R>) {
        let mut alice = stage.client_of("alice").await;
        let mut second = stage.client_of("alice").await;
        let mut bob = stage.client_of("bob").await;
        alice.follow(&["TCS", "INFY"], Ltp).await;
        second.follow(&["TCS"], Ltp).await;
        bob.follow(&["TCS"], Depth).await;
        stage.is_settled().await;

        for round in 0..3 {
            stage.broker.die();
            let down = |status: &Status| {
                status.brokers.iter().all(|broker| broker.state == BrokerState::Down)
                    && status.users.iter().all(|user| user.session.state == SessionState::Down)
            };
            let status = stage.status_when("the broker is down", down).await;
            assert_eq!((status.clients.total, status.subscriptions), (3, 4), "all is kept");
            // Publishers are others: ticks go on. What is asked meanwhile is served later.
            let seq = stage.feed.trade("TCS", &[Ltp, Depth], 0);
            alice.reads("TCS", Ltp, seq).await;
            bob.reads("TCS", Depth, seq).await;
            let left = alice.unsubscribe(&["INFY"], Ltp).await;
            assert_eq!(left["status"], "success", "{left}");
            bob.start_subscribe(&["WIPRO"], Ltp).await;
            let waits = |status: &_| count_of(status, "bob", "WIPRO") == 1;
            stage.status_when("a client waits for the broker", waits).await;

            stage.broker.forget_calls();
            stage.broker.revive();
            let answer = bob.subscribed(Ltp).await;
            assert_eq!(outcomes(&answer), ["success"], "round {round}: {answer}");
            stage.is_settled().await;
            let wanted =
                book(&[("alice", &[("TCS", Ltp)]), ("bob", &[("TCS", Depth), ("WIPRO", Ltp)])]);
            assert_eq!(stage.broker.sessions(), wanted);
            assert_eq!(stage.broker.count(Deed::Subscribe, "TCS"), 2, "once for each user");
            assert_eq!(stage.broker.count(Deed::Subscribe, "INFY"), 0, "it was given up");
            let seq = stage.feed.trade("TCS", &[Ltp, Depth], 0);
            second.reads("TCS", Ltp, seq).await;
            bob.reads("TCS", Depth, seq).await;
            alice.follow(&["INFY"], Ltp).await;
            bob.unsubscribe(&["WIPRO"], Ltp).await;
        }

        // One session is lost, and only that one.
        stage.is_settled().await;
        stage.broker.forget_calls();
        stage.broker.lose_session("alice");
        let restored = || stage.broker.sessions().get("alice").is_some_and(|on| on.len() == 2);
        stage.until("alice's topics are back", restored).await;
        let status = stage.is_settled().await;
        assert_eq!((count_of(&status, "alice", "TCS"), count_of(&status, "alice", "INFY")), (2, 1));
        assert_eq!(stage.broker.count(Deed::Connect, "bob"), 0);
        let seq = stage.feed.trade("TCS", &[Ltp, Depth], 0);
        alice.reads("TCS", Ltp, seq).await;
        bob.reads("TCS", Depth, seq).await;
    }
}

/// The row of a failed attempt is gone: it cannot be unsubscribed, nothing counts it, the broker
/// does not publish it.
async fn rolled_back<R: Runtime>(stage: &Stage<R>, client: &mut Client<R>) {
    let answer = client.unsubscribe(&["TCS"], Ltp).await;
    assert_eq!(answer["status"], "error", "it was rolled back: {answer}");
    let status = stage.is_settled().await;
    assert_eq!(count_of(&status, "alice", "TCS"), 0);
}

/// The next attempt succeeds, with ticks.
async fn starts_clean<R: Runtime>(stage: &Stage<R>, client: &mut Client<R>) {
    stage.broker.forget_calls();
    stage.broker.when(Deed::Subscribe, "TCS", Manner::Serve);
    client.follow(&["TCS"], Ltp).await;
    assert_eq!(stage.broker.count(Deed::Subscribe, "TCS"), 1);
    let status = stage.is_settled().await;
    assert_eq!(count_of(&status, "alice", "TCS"), 1);
    let seq = stage.feed.tick("TCS", Ltp);
    client.reads("TCS", Ltp, seq).await;
}

/// The outcome of each row: its status, or the code of its error.
fn outcomes<'a>(answer: &'a Value) -> Vec<&'a str> {
    let rows = answer["subscriptions"].as_array().expect("rows");
    let outcome = |row: &'a Value| row["code"].as_str().or_else(|| row["status"].as_str());
    rows.iter().map(|row| outcome(row).expect("an outcome")).collect()
}

fn is_refused(answer: &Value, code: &str) {
    assert_eq!((&answer["status"], &answer["code"]), (&"error".into(), &code.into()), "{answer}");
}

/// Topics by user, in the form of [`Broker::sessions`](crate::story::broker::Broker::sessions).
fn book(sessions: &[(&str, &[(&str, Mode)])]) -> BTreeMap<String, BTreeSet<Topic>> {
    let topic =
        |(symbol, mode): &(&str, Mode)| Topic::new(Instrument::new(EXCHANGE, *symbol), *mode);
    let of_user = |(user, topics): &(&str, &[(&str, Mode)])| {
        ((*user).to_owned(), topics.iter().map(topic).collect())
    };
    sessions.iter().map(of_user).collect()
}
