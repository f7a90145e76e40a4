//! Stories about the hub, told as events and effects. After every event the hub checks itself.

use tickgate::broker::{
    Answer as BrokerAnswer, BrokerError, BrokerErrorCode, BrokerEvent, CommandKind,
};
use tickgate::engine::{Event, Identity, Request, SessionState, Upstream};
use tickgate::protocol::{Answer, Reject};
use tickgate::topic::BrokerName;

use crate::hub_support::told::{TCS, Told};

#[test]
fn requests_of_one_client_are_answered_in_their_order() {
    let mut story = Told::new();
    story.open(1);
    story.authenticate(1, "alice");
    story.subscribe(1, &[TCS]);
    story.ask(1, Request::SupportedBrokers);
    assert_eq!(story.answered(1), 0);
    story.agree();
    assert_eq!(story.answered(1), 1);
    story.agree();
    assert!(matches!(story.answers[&1][1], Answer::Subscribed { .. }));
    assert!(matches!(story.answers[&1][2], Answer::SupportedBrokers { .. }));
}

#[test]
fn repeated_entries_are_warnings_or_share_the_failure() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS, "NSE:INFY", TCS]);
    assert_eq!(story.commands.len(), 2);
    story.agree_to_all();
    assert_eq!(story.rows(1), ["ok", "ok", "already"]);
    story.subscribe(1, &[TCS]);
    assert_eq!(story.rows(1), ["already"]);

    story.subscribe(1, &["NSE:X", "NSE:X"]);
    story.refuse(BrokerErrorCode::Refused);
    assert_eq!(story.rows(1), ["BROKER_ERROR", "BROKER_ERROR"]);
}

#[test]
fn an_unauthenticated_client_is_closed_at_its_deadline_and_refused_until_then() {
    let mut story = Told::new();
    story.open(1);
    story.subscribe(1, &[TCS]);
    assert_eq!(story.error(1), "NOT_AUTHENTICATED");
    story.pass(14_999);
    assert!(story.closed.is_empty());
    story.pass(1);
    assert_eq!(story.closed, [(1, 4401)]);
}

#[test]
fn a_failed_connect_tells_the_client_and_leaves_no_session() {
    for (code, expected) in [
        (BrokerErrorCode::InitFailed, "BROKER_INIT_ERROR"),
        (BrokerErrorCode::NotConnected, "BROKER_CONNECTION_ERROR"),
    ] {
        let mut story = Told::new();
        story.open(1);
        story.authenticate(1, "alice");
        story.refuse(code);
        assert_eq!(story.error(1), expected);
        assert!(story.hub.snapshot(0, usize::MAX).sessions.is_empty());
        story.subscribe(1, &[TCS]);
        assert_eq!(story.error(1), "NOT_AUTHENTICATED");
        story.authenticate(1, "alice");
        story.agree();
        assert!(matches!(story.last_answer(1), Answer::Authenticated { .. }));
    }
}

#[test]
fn a_connect_that_times_out_is_closed_at_the_broker_when_nobody_is_left() {
    let mut story = Told::new();
    story.open(1);
    story.authenticate(1, "alice");
    story.pass(15_000);
    assert_eq!(story.error(1), "BROKER_CONNECTION_ERROR");
    assert_eq!(story.sent, ["connect alice", "disconnect alice"]);
    story.commands.remove(0);
    story.agree();
    assert!(story.hub.snapshot(0, usize::MAX).sessions.is_empty());
}

#[test]
fn clients_wait_for_a_broker_that_is_not_there_yet() {
    let mut story = Told::with_broker_down();
    story.open(1);
    story.authenticate(1, "alice");
    story.pass(3_000);
    assert!(story.sent.is_empty());
    story.broker_says(BrokerEvent::Up);
    story.agree();
    assert!(matches!(story.last_answer(1), Answer::Authenticated { .. }));
}

#[test]
fn a_broker_that_stays_away_is_named_when_the_request_times_out() {
    let mut story = Told::with_broker_down();
    story.open(1);
    story.authenticate(1, "alice");
    story.pass(20_000);
    assert_eq!(story.error(1), "BROKER_CONNECTION_ERROR");
    assert!(story.hub.snapshot(story.now_ms, usize::MAX).sessions.is_empty());
    for (reason, expected) in [
        ("", "broker paper cannot be reached"),
        ("it moved", "broker paper cannot be reached: it moved"),
    ] {
        story.broker_says(BrokerEvent::Down { reason: reason.to_owned() });
        story.authenticate(1, "alice");
        story.pass(20_000);
        let said = story.last_answer(1);
        let is_right = |reject: &Reject| &*reject.message == expected;
        assert!(matches!(said, Answer::Rejected(reject) if is_right(reject)), "{said:?}");
    }
}

#[test]
fn a_broker_that_goes_and_returns_gets_its_sessions_and_topics_back() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.enter(2, "bob");
    story.subscribe(1, &[TCS]);
    story.subscribe(2, &[TCS]);
    story.agree_to_all();
    story.broker_says(BrokerEvent::Down { reason: "host died".into() });
    story.pass(60_000);
    assert!(story.commands.is_empty(), "a broker that is down is left alone");

    story.sent.clear();
    story.broker_says(BrokerEvent::Up);
    story.agree_to_all();
    assert_eq!(story.sent.len(), 4, "{:?}", story.sent);
    let snapshot = story.hub.snapshot(story.now_ms, usize::MAX);
    assert!(snapshot.sessions.iter().all(|session| session.state == SessionState::Up));
    assert!(snapshot.topics.iter().all(|topic| topic.state == Upstream::On));
}

#[test]
fn a_topic_that_cannot_be_restored_is_tried_again_at_growing_pauses() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.agree();
    story.event(Event::Invalidate { user: "alice".into() });
    story.agree();
    story.agree();
    for _ in 0..3 {
        story.refuse(BrokerErrorCode::Refused);
        assert!(story.commands.is_empty(), "not at once");
        story.pass(2_000);
    }
    story.agree();
    assert_eq!((story.count(TCS), story.state(TCS)), (1, Some(Upstream::On)));
}

#[test]
fn an_unsubscribe_that_fails_is_said_again_until_it_is_done() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.agree();
    story.unsubscribe(1, TCS);
    story.refuse(BrokerErrorCode::Refused);
    assert_eq!(story.state(TCS), Some(Upstream::Unsure));
    story.pass(500);
    story.agree();
    assert_eq!(story.sent("unsubscribe NSE:TCS/LTP"), 2);
    assert_eq!(story.state(TCS), None);
}

#[test]
fn a_refusal_after_a_try_that_was_not_answered_still_leaves_a_doubt() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.pass(8_000);
    let (_lost, undo) = (story.commands.remove(0), story.commands.remove(0));
    assert!(matches!(undo.kind, CommandKind::Unsubscribe { .. }));
    story.subscribe(1, &[TCS]);
    story.pass(8_000);
    assert_eq!(story.sent.last().unwrap(), "subscribe NSE:TCS/LTP");
    story.refuse(BrokerErrorCode::Refused);
    assert_eq!(story.rows(1), ["BROKER_ERROR"]);
    assert_eq!(story.sent.last().unwrap(), "unsubscribe NSE:TCS/LTP");
}

#[test]
fn limits_are_named_in_the_row() {
    let mut story = Told::new();
    story.enter(1, "alice");
    let names: Vec<String> = (0..101).map(|at| format!("NSE:S{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    story.subscribe(1, &names);
    story.agree_to_all();
    let rows = story.rows(1);
    assert_eq!(rows.iter().filter(|row| *row == "ok").count(), 100);
    assert_eq!(rows[100], "LIMIT_EXCEEDED");
}

#[test]
fn a_user_is_on_one_broker() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.open(2);
    let broker: BrokerName = "other".into();
    story.ask(2, Request::Authenticate(Ok(Identity::trader("alice".into(), broker))));
    assert_eq!(story.error(2), "BROKER_ERROR");
}

#[test]
fn a_drain_closes_the_clients_then_the_sessions() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.event(Event::Drain);
    assert_eq!(story.closed, [(1, 1012)]);
    story.close(1);
    story.agree_to_all();
    assert!(story.hub.is_idle());
    story.open(2);
    assert_eq!(story.closed.last(), Some(&(2, 1012)));
}

#[test]
fn a_drain_with_a_session_in_doubt_and_its_broker_gone_waits_for_the_clients() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.event(Event::Invalidate { user: "alice".into() });
    story.refuse(BrokerErrorCode::Timeout);
    story.broker_says(BrokerEvent::Down { reason: "it has crashed".into() });
    story.event(Event::Drain);
    story.close(1);
    assert!(story.hub.is_idle());
}

#[test]
fn answers_said_twice_or_too_late_are_counted_and_change_nothing() {
    let mut story = Told::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    let command = story.agree();
    let again = BrokerAnswer {
        id: command.id,
        result: Err(BrokerError { code: BrokerErrorCode::Refused, message: "no".into() }),
    };
    story.broker_says(BrokerEvent::Answer(again));
    assert_eq!(story.state(TCS), Some(Upstream::On));
    assert_eq!(story.hub.snapshot(0, usize::MAX).totals.stale_events, 1);
}
