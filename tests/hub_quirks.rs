//! Brokers that differ from others: what they are asked, and how often.

use std::collections::BTreeSet;

use tickgate::broker::{BrokerError, BrokerErrorCode, BrokerEvent, CommandKind};
use tickgate::config::{BrokerEntry, BrokerKind, Config, Quirks};
use tickgate::engine::{Event, Hub, HubOptions, Request};
use tickgate::protocol::{SubscribeEntry, UnsubscribeEntry};
use tickgate::topic::{Mode, Topic};

use crate::hub_support::far::{BROKER, Play, instrument};

#[test]
fn who_comes_back_at_once_costs_the_broker_nothing() {
    let mut play = Play::new(Quirks { linger_ms: 1_000, ..Quirks::default() });
    for client in 1..=3 {
        play.enter(client, "alice");
        play.subscribe(client, 0..5);
        assert_eq!(play.rows(client), ["success"; 5]);
        play.leave(client);
        play.pass(999);
    }
    assert_eq!(play.counts(), [1, 5, 0, 0, 0]);
    play.pass(2);
    assert_eq!(play.counts()[4], 1, "nobody came back");
    assert!(play.hub.is_idle() && play.market.is_empty());
}

#[test]
fn a_topic_lingers_by_itself_while_its_session_is_needed() {
    let mut play = Play::new(Quirks { linger_ms: 1_000, ..Quirks::default() });
    play.enter(1, "alice");
    play.subscribe(1, 0..2);
    play.unsubscribe(1, 0..2);
    play.pass(500);
    play.subscribe(1, 0..1);
    play.pass(500);
    assert_eq!(play.counts(), [1, 2, 1, 0, 0], "the first was wanted again in time");
    assert_eq!(play.topics(), 1);
    play.pass(10_000);
    assert_eq!(play.topics(), 1);
}

#[test]
fn a_kept_session_loses_its_topics_in_one_call_and_serves_whoever_comes() {
    let mut play = Play::new(Quirks { keep_session: true, ..Quirks::default() });
    play.enter(1, "alice");
    play.subscribe(1, 0..50);
    play.leave(1);
    play.pass(60_000);
    assert_eq!(play.counts(), [1, 50, 0, 1, 0]);
    assert_eq!((play.market.len(), play.topics()), (1, 0));
    play.enter(2, "alice");
    play.subscribe(2, 0..1);
    assert_eq!((play.counts()[0], play.topics()), (1, 1));
    play.leave(2);
    play.tell(Event::Drain);
    assert!(play.hub.is_idle() && play.market.is_empty(), "a gateway that stops keeps nothing");
}

#[test]
fn a_client_that_comes_while_a_kept_session_is_emptied_waits_for_that() {
    let mut play = Play::new(Quirks { keep_session: true, ..Quirks::default() });
    play.enter(1, "alice");
    play.subscribe(1, 0..1);
    play.silent = true;
    play.leave(1);
    let emptying = play.asked();
    assert_eq!(emptying.kind, CommandKind::UnsubscribeAll);
    play.enter(2, "alice");
    assert!(play.answers.iter().all(|(client, _)| *client == 1));
    play.silent = false;
    play.do_now(&emptying);
    assert_eq!(play.answer(2)["status"], "success");
    play.subscribe(2, 0..1);
    assert_eq!(play.rows(2), ["success"]);
    assert_eq!(play.topics(), 1);
}

#[test]
fn expired_credentials_are_tried_once_more_and_no_more_than_once() {
    let quirks = Quirks { reinitialize: true, ..Quirks::default() };
    let mut play = Play::new(quirks.clone());
    play.expired.0 = 1;
    play.enter(1, "alice");
    assert_eq!(play.answer(1)["status"], "success");
    assert_eq!(play.counts()[0], 2);

    let mut play = Play::new(quirks);
    play.expired.0 = 9;
    play.enter(1, "alice");
    assert_eq!(play.answer(1)["code"], "BROKER_INIT_ERROR");
    assert_eq!(play.counts()[0], 2);
}

#[test]
fn a_topic_that_is_refused_for_credentials_has_its_session_opened_anew() {
    let mut play = Play::new(Quirks { reinitialize: true, ..Quirks::default() });
    play.enter(1, "alice");
    play.subscribe(1, 0..3);
    play.expired.1 = 1;
    play.subscribe(1, 3..4);
    assert_eq!(play.rows(1), ["success"], "it waited for the new session");
    assert_eq!((play.counts()[0], play.counts()[4], play.topics()), (2, 1, 4));
    // Whatever is wrong is not the credentials: nothing is torn down a second time.
    play.expired.1 = 99;
    play.subscribe(1, 4..5);
    let again = play.counts()[0];
    assert_eq!(play.rows(1), ["BROKER_ERROR"]);
    assert!(again <= 3, "{again} connects");
}

#[test]
fn a_session_that_is_ended_by_others_is_reopened_ever_more_rarely() {
    let mut play = Play::new(Quirks { single_session: true, ..Quirks::default() });
    play.pass(10_000_000);
    play.enter(1, "alice");
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let session = play.asked().session;
        let lost_ms = play.now_ms;
        play.lose(0);
        while play.asked().session == session {
            play.pass(1);
        }
        pauses.push(play.now_ms - lost_ms);
    }
    assert!(pauses[5] > 4 * pauses[0], "{pauses:?}");
}

#[test]
fn what_the_levels_allow_is_asked_for() {
    let depth_levels = vec!["5 20 50".to_owned(), "BSE: 5".to_owned()];
    let mut play = Play::new(Quirks { depth_levels, ..Quirks::default() });
    play.enter(1, "alice");
    play.subscribe(1, 0..1);
    let topic = Topic::new(instrument(0), Mode::Depth);
    assert_eq!(play.asked().kind, CommandKind::Subscribe { topic, depth: 20 });
    assert_eq!(play.answer(1)["subscriptions"][0]["depth"], 20, "and that is what is told");
}

#[test]
fn calls_are_spread_and_users_take_turns() {
    let mut play = Play::new(Quirks { calls_per_second: Some(10.0), ..Quirks::default() });
    play.enter(1, "alice");
    play.enter(2, "bob");
    play.pass(5_000);
    let begun_ms = play.now_ms;
    play.subscribe(1, 0..100);
    play.subscribe(2, 200..202);
    play.pass(1_000);
    assert_eq!(play.rows(2), ["success"; 2], "bob does not wait for all of alice's");
    play.pass(9_100);
    assert_eq!(play.rows(1), ["success"; 100]);
    let times: Vec<u64> = play.sent.iter().map(|(at_ms, _)| *at_ms).collect();
    assert!(times.windows(11).all(|calls| calls[10] - calls[0] >= 1_000), "{times:?}");
    assert_eq!(play.now_ms - begun_ms, 10_100);
}

#[test]
fn what_nobody_wants_any_more_costs_no_call() {
    let mut play = Play::new(Quirks { calls_per_second: Some(1.0), ..Quirks::default() });
    play.enter(1, "alice");
    play.subscribe(1, 0..50);
    play.leave(1);
    play.pass(60_000);
    let [connects, subscribes, unsubscribes, _, disconnects] = play.counts();
    assert_eq!((connects, disconnects), (1, 1));
    assert!(subscribes + unsubscribes <= 2, "{:?}", play.counts());
    assert!(play.hub.is_idle());
}

#[test]
fn who_waits_for_its_turn_for_too_long_is_told_so() {
    let mut play = Play::new(Quirks { calls_per_second: Some(1.0), ..Quirks::default() });
    play.enter(1, "alice");
    play.subscribe(1, 0..50);
    play.pass(25_000);
    let rows = play.rows(1);
    // One call was for the session; the request is overdue after twenty seconds.
    assert_eq!(rows.iter().filter(|row| **row == "success").count(), 19, "{rows:?}");
    assert_eq!(rows[49], "BROKER_TIMEOUT");
    let message = &play.answer(1)["subscriptions"][49]["message"];
    assert_eq!(message, "broker far takes no more calls at present");
}

#[test]
fn subscribes_are_sent_as_one_call() {
    let quirks = Quirks { calls_per_second: Some(2.0), batch_max: 25, ..Quirks::default() };
    let mut play = Play::new(quirks);
    play.enter(1, "alice");
    play.subscribe(1, 0..60);
    play.pass(2_000);
    assert_eq!(play.rows(1), ["success"; 60]);
    let subscribes: Vec<_> = play
        .sent
        .iter()
        .filter(|(_, command)| matches!(command.kind, CommandKind::Subscribe { .. }))
        .map(|(_, command)| command.more)
        .collect();
    let ends: Vec<usize> =
        subscribes.iter().enumerate().filter(|(_, more)| !**more).map(|(at, _)| at).collect();
    assert_eq!(ends, [24, 49, 59], "each call ends with one that says so");
}

#[test]
fn a_mode_that_the_broker_lacks_is_served_from_the_next_higher_one() {
    let modes = vec!["Quote".to_owned(), "Depth".to_owned()];
    let mut play = Play::new(Quirks { modes, ..Quirks::default() });
    play.enter(1, "alice");
    let entry = |mode| {
        let (instrument, depth) = (instrument(0), 5);
        Ok(SubscribeEntry { instrument, mode, depth, snapshot: None, interval_ms: 0 })
    };
    play.ask(1, Request::Subscribe(vec![entry(Mode::Ltp), entry(Mode::Quote)]));
    let answer = play.answer(1)["subscriptions"].clone();
    assert_eq!([&answer[0]["mode"], &answer[1]["mode"]], ["LTP", "Quote"], "as it was asked");
    let on = |play: &Play| play.market.values().next().expect("a session").clone();
    let quote = Topic::new(instrument(0), Mode::Quote);
    assert_eq!(on(&play), BTreeSet::from([quote.clone()]), "one subscription serves both");
    let give_up = |mode| UnsubscribeEntry { instrument: instrument(0), mode: Some(mode) };
    play.ask(1, Request::Unsubscribe(vec![Ok(give_up(Mode::Quote))]));
    assert_eq!(on(&play), BTreeSet::from([quote]), "the other is still wanted");
    play.ask(1, Request::Unsubscribe(vec![Ok(give_up(Mode::Ltp))]));
    assert_eq!(on(&play), BTreeSet::new());
}

#[test]
fn a_call_that_nobody_needs_any_more_keeps_nobody_waiting() {
    let mut play = Play::new(Quirks { calls_per_second: Some(1.0), ..Quirks::default() });
    play.enter(1, "alice");
    play.enter(2, "alice");
    play.subscribe(1, 0..3);
    play.enter(3, "bob");
    play.leave(1);
    play.pass(3_000);
    let connects = play.sent.iter().filter(|(_, command)| command.kind == CommandKind::Connect);
    let at_ms: Vec<u64> = connects.map(|(at_ms, _)| *at_ms).collect();
    assert_eq!(at_ms, [0, 1_000]);
}

#[test]
fn a_broker_that_takes_one_topic_a_call_is_not_told_of_more_because_another_takes_them() {
    let mut config = Config::default();
    let of = |name: &str, batch_max| {
        let quirks = Quirks { batch_max, ..Quirks::default() };
        let (name, kind) = (name.to_owned(), BrokerKind::Remote);
        BrokerEntry { name, kind, quirks, ..BrokerEntry::paper() }
    };
    config.brokers = vec![of(BROKER, 1), of("near", 25)];
    let hub = HubOptions::new(&config, vec![BROKER.into(), "near".into()], 1);
    let mut play = Play { hub: Hub::new(hub), ..Play::new(Quirks::default()) };
    play.broker(BrokerEvent::Up);
    play.enter(1, "alice");
    play.subscribe(1, 0..3);
    assert_eq!(play.rows(1), ["success"; 3]);
    assert!(play.sent.iter().all(|(_, command)| !command.more));
}

#[test]
fn what_is_in_doubt_does_not_linger() {
    let mut play = Play::new(Quirks { linger_ms: 60_000, ..Quirks::default() });
    play.enter(1, "alice");
    play.silent = true;
    play.subscribe(1, 0..1);
    let (code, message) = (BrokerErrorCode::Timeout, "busy".into());
    play.reply(&play.asked(), Err(BrokerError { code, message }));
    assert_eq!(play.rows(1), ["BROKER_TIMEOUT"]);
    let topic = Topic::new(instrument(0), Mode::Depth);
    assert_eq!(play.asked().kind, CommandKind::Unsubscribe { topic }, "it may be on");
}
