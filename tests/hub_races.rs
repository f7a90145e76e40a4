//! The races of the requirements, told to the hub as events, by their numbers. After every event
//! the hub checks itself.

use tickgate::broker::{BrokerErrorCode, BrokerEvent};
use tickgate::engine::{Event, Orders, Request, Upstream};
use tickgate::protocol::Answer;

use crate::hub_support::told::{TCS, Told};

#[test]
fn rc_001_ten_clients_that_subscribe_at_once_cost_one_broker_call() {
    let mut story = Told::new();
    for client in 1..=10 {
        story.enter(client, "alice");
    }
    for client in 1..=10 {
        story.subscribe(client, &[TCS]);
    }
    assert_eq!(story.sent("subscribe NSE:TCS/LTP"), 1);
    assert!((1..=10).all(|client| story.answered(client) == 1), "nobody is told before the broker");

    story.agree_to_all();
    assert!((1..=10).all(|client| story.rows(client) == ["ok"]));
    assert_eq!(story.count(TCS), 10);
}

#[test]
fn rc_002_clients_that_authenticate_at_once_share_one_session() {
    let mut story = Told::new();
    for client in 1..=3 {
        story.open(client);
        story.authenticate(client, "alice");
    }
    assert_eq!(story.sent, ["connect alice"]);
    story.agree();
    assert!(
        (1..=3).all(|client| matches!(story.last_answer(client), Answer::Authenticated { .. }))
    );
}

#[test]
fn rc_005_who_authenticates_while_the_session_closes_gets_a_new_one() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.close(1);
    story.open(2);
    story.authenticate(2, "alice");
    assert_eq!(story.sent, ["connect alice", "disconnect alice"]);
    assert_eq!(story.answered(2), 0, "the dying session is not taken for a live one");

    story.agree();
    story.agree();
    assert_eq!(story.sent.last().unwrap(), "connect alice");
    assert!(matches!(story.last_answer(2), Answer::Authenticated { .. }));
}

#[test]
fn rc_006_unsubscribing_what_was_never_subscribed_reaches_no_broker() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.enter(2, "alice");
    story.subscribe(1, &[TCS]);
    story.agree_to_all();
    story.unsubscribe(2, TCS);
    let Answer::Unsubscribed { successful, failed, .. } = story.last_answer(2) else { panic!() };
    assert_eq!((successful.len(), failed.len()), (0, 1));
    assert_eq!(story.count(TCS), 1);
    assert_eq!(story.sent("unsubscribe NSE:TCS/LTP"), 0);
}

#[test]
fn rc_007_a_refused_topic_fails_everyone_who_waits_and_the_next_try_starts_clean() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.enter(2, "alice");
    story.subscribe(1, &[TCS]);
    story.subscribe(2, &[TCS]);
    story.refuse(BrokerErrorCode::Refused);
    assert_eq!(
        (story.rows(1), story.rows(2)),
        (vec!["BROKER_ERROR".into()], vec!["BROKER_ERROR".into()])
    );
    assert_eq!(story.state(TCS), None, "nothing is left");

    story.subscribe(2, &[TCS]);
    story.agree();
    assert_eq!(story.rows(2), ["ok"]);
    assert_eq!(story.count(TCS), 1);
}

#[test]
fn rc_007_a_subscribe_that_times_out_is_undone_at_the_broker() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.pass(8_000);
    assert_eq!(story.rows(1), ["BROKER_TIMEOUT"]);
    assert_eq!(story.sent.last().unwrap(), "unsubscribe NSE:TCS/LTP");

    // The late answer to the subscribe changes nothing; the unsubscribe ends it.
    story.agree();
    assert!(matches!(story.state(TCS), Some(Upstream::TurningOff(_))));
    story.agree();
    assert_eq!(story.state(TCS), None);
}

#[test]
fn rc_007_a_session_lost_in_mid_subscribe_fails_the_request_and_comes_back_for_what_is_held() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.subscribe(1, &["NSE:INFY"]);
    story.agree();
    story.subscribe(1, &[TCS]);
    let session = story.commands[0].session;
    story.broker_says(BrokerEvent::SessionLost {
        user: "alice".into(),
        session,
        reason: "kicked".into(),
    });
    assert_eq!(story.rows(1), ["BROKER_CONNECTION_ERROR"]);
    assert_eq!((story.count(TCS), story.count("NSE:INFY")), (0, 1));

    story.commands.clear();
    story.pass(500);
    story.agree_to_all();
    assert_eq!(story.sent.last().unwrap(), "subscribe NSE:INFY/LTP");
    assert_eq!(story.state("NSE:INFY"), Some(Upstream::On));
    assert_eq!(story.state(TCS), None);
}

#[test]
fn rc_008_the_last_wish_wins_whatever_is_in_flight() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.agree();
    story.unsubscribe(1, TCS);
    story.subscribe(1, &[TCS]);
    assert_eq!(story.sent.last().unwrap(), "unsubscribe NSE:TCS/LTP", "one command in flight");
    story.agree();
    assert_eq!(story.sent.last().unwrap(), "subscribe NSE:TCS/LTP");
    story.agree();
    assert_eq!(story.rows(1), ["ok"]);
    assert_eq!(story.state(TCS), Some(Upstream::On));
}

#[test]
fn rc_008_a_client_that_vanishes_while_its_topic_turns_on_leaves_it_off() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.enter(2, "alice");
    story.subscribe(1, &[TCS]);
    story.close(1);
    assert_eq!(story.sent("unsubscribe NSE:TCS/LTP"), 0);
    story.agree();
    assert_eq!(story.sent("unsubscribe NSE:TCS/LTP"), 1);
    story.agree();
    assert_eq!(story.state(TCS), None);
}

#[test]
fn rc_011_authenticating_as_another_user_first_releases_everything() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.agree();
    story.ask(1, Request::SubscribeOrders);
    assert_eq!(story.orders[&1], Orders::Follow("alice".into()));

    story.authenticate(1, "bob");
    assert_eq!(story.orders[&1], Orders::Stop);
    assert_eq!(story.count(TCS), 0);
    story.agree_to_all();
    let Answer::Authenticated { user, .. } = story.last_answer(1) else { panic!() };
    assert_eq!(user.as_str(), "bob");
    let sessions = story.hub.snapshot(story.now_ms, usize::MAX).sessions;
    assert_eq!(sessions.len(), 1, "alice's session is closed: {sessions:?}");
}

#[test]
fn rc_012_invalidation_rebuilds_the_session_and_keeps_the_wants() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.agree();
    story.event(Event::Invalidate { user: "alice".into() });
    story.agree_to_all();
    assert_eq!(
        story.sent,
        [
            "connect alice",
            "subscribe NSE:TCS/LTP",
            "disconnect alice",
            "connect alice",
            "subscribe NSE:TCS/LTP"
        ]
    );
    assert_eq!((story.count(TCS), story.answered(1)), (1, 2), "the client noticed nothing");
}

#[test]
fn rc_012_invalidation_while_connecting_and_while_subscribing_loses_nothing() {
    let mut story = Told::new();
    story.open(1);
    story.authenticate(1, "alice");
    story.event(Event::Invalidate { user: "alice".into() });
    story.agree_to_all();
    assert_eq!(story.sent, ["connect alice", "disconnect alice", "connect alice"]);

    story.subscribe(1, &[TCS]);
    story.event(Event::Invalidate { user: "alice".into() });
    story.agree_to_all();
    assert_eq!(story.rows(1), ["ok"], "the request waits for the new session");
    assert_eq!(story.state(TCS), Some(Upstream::On));
}

#[test]
fn rc_013_a_slow_topic_delays_no_other_topic_client_or_user() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.enter(2, "alice");
    story.enter(3, "bob");
    story.subscribe(1, &[TCS]);
    story.subscribe(2, &["NSE:INFY"]);
    story.subscribe(3, &["NSE:SBIN"]);
    let slow = story.commands.remove(0);
    story.agree_to_all();
    assert_eq!((story.rows(2), story.rows(3)), (vec!["ok".to_owned()], vec!["ok".to_owned()]));
    assert_eq!(story.answered(1), 1);
    story.commands.push(slow);
    story.agree();
    assert_eq!(story.rows(1), ["ok"]);
}
