//! Users of several connections to their broker: which of them carries what.

use std::collections::BTreeSet;

use tickgate::broker::{BrokerError, BrokerErrorCode, CommandKind, SessionId};
use tickgate::config::Quirks;
use tickgate::engine::Event;

use crate::hub_support::far::Play;

/// A broker of whose connections a user has so many, with room for so many topics each.
fn small(topics_per_connection: usize, connections_per_user: usize) -> Quirks {
    Quirks { topics_per_connection, connections_per_user, ..Quirks::default() }
}

fn two_connections_and_ten_topics_a_call() -> Quirks {
    Quirks { calls_per_second: Some(2.0), batch_max: 10, ..small(20, 2) }
}

#[test]
fn five_thousand_topics_on_three_connections_survive_the_loss_of_one() {
    let mut play = Play::new(small(2_000, 3));
    play.enter(1, "alice");
    for from in (0..5_000).step_by(500) {
        play.subscribe(1, from..from + 500);
        assert_eq!(play.rows(1), ["success"; 500]);
    }
    let sizes = |play: &Play| play.market.values().map(BTreeSet::len).collect::<Vec<_>>();
    assert_eq!(sizes(&play), [2_000, 2_000, 1_000], "the first is filled before the next");

    for which in 0..3 {
        play.lose(which);
        play.pass(60_000);
        // That none is on twice, the broker has seen to.
        assert_eq!(play.topics(), 5_000, "all are back");
        assert!(sizes(&play).iter().all(|topics| *topics <= 2_000), "{:?}", sizes(&play));
    }
    play.subscribe(1, 5_000..6_001);
    let rows = play.rows(1);
    assert_eq!(rows[..1_000], ["success"; 1_000]);
    assert_eq!(rows[1_000], "LIMIT_EXCEEDED");
    let message = &play.answer(1)["subscriptions"][1_000]["message"];
    assert!(message.as_str().is_some_and(|it| it.contains("2000 on each of 3")), "{message}");

    play.unsubscribe(1, 0..6_000);
    play.pass(1_000);
    assert_eq!(play.market.len(), 1, "empty connections are closed");
    play.leave(1);
    assert!(play.hub.is_idle() && play.market.is_empty());
}

#[test]
fn a_topic_that_lingers_makes_room_for_one_that_is_wanted() {
    let mut play = Play::new(Quirks { linger_ms: 60_000, ..small(3, 1) });
    play.enter(1, "alice");
    play.subscribe(1, 0..3);
    play.unsubscribe(1, 0..3);
    assert_eq!(play.topics(), 3);
    play.subscribe(1, 10..13);
    assert_eq!(play.rows(1), ["success"; 3]);
    assert_eq!(play.topics(), 3);
}

#[test]
fn topics_for_which_no_connection_can_be_had_fail() {
    let mut play = Play::new(small(2, 2));
    play.enter(1, "alice");
    play.subscribe(1, 0..2);
    play.expired.0 = 1;
    play.subscribe(1, 2..4);
    assert_eq!(play.rows(1), ["BROKER_ERROR"; 2]);
    assert_eq!(play.topics(), 2);
    play.pass(60_000);
    play.subscribe(1, 2..4);
    assert_eq!(play.rows(1), ["success"; 2]);
    assert_eq!(play.market.len(), 2);
}

#[test]
fn what_begins_to_linger_while_another_waits_makes_room_at_once() {
    let mut play = Play::new(Quirks { linger_ms: 60_000, ..small(2, 1) });
    play.enter(1, "alice");
    play.enter(2, "alice");
    play.subscribe(1, 0..1);
    play.silent = true;
    play.subscribe(2, 1..2);
    let pending = play.asked();
    play.unsubscribe(1, 0..1);
    play.subscribe(1, 2..3);
    play.leave(2);
    play.silent = false;
    // The first lingered and was told to go; the second is refused and makes room.
    for command in [pending, play.asked()] {
        play.do_now(&command);
    }
    assert_eq!(play.rows(1), ["success"]);
    assert_eq!(play.topics(), 1, "nothing lingers where another waited");
}

#[test]
fn what_cannot_be_part_of_a_call_is_a_call_of_its_own() {
    let mut play = Play::new(two_connections_and_ten_topics_a_call());
    play.enter(1, "alice");
    play.subscribe(1, 0..15);
    play.pass(5_000);
    play.unsubscribe(1, 0..15);
    play.subscribe(1, 20..50);
    play.pass(60_000);
    assert_eq!(play.topics(), 30);
    let calls: Vec<u64> =
        play.sent.iter().filter(|(_, command)| !command.more).map(|(at_ms, _)| *at_ms).collect();
    assert!(calls.windows(3).all(|three| three[2] - three[0] >= 1_000), "{calls:?}");
}

#[test]
fn subscribes_of_each_connection_are_calls_of_its_own() {
    let mut play = Play::new(two_connections_and_ten_topics_a_call());
    play.enter(1, "alice");
    play.subscribe(1, 0..40);
    play.pass(60_000);
    assert_eq!(play.rows(1), ["success"; 40]);
    let calls = play.sent.iter().filter(|(_, command)| !command.more).count();
    assert_eq!(calls, 2 + 4, "two connections, and ten topics a call");
    let connections = |play: &Play| play.hub.snapshot(play.now_ms, 9).sessions[0].connections;
    assert_eq!(connections(&play), 2);
}

#[test]
fn a_connection_that_is_just_full_takes_no_more() {
    let mut play = Play::new(small(2, 1));
    play.enter(1, "alice");
    play.subscribe(1, 0..2);
    assert_eq!(play.rows(1), ["success"; 2]);
    play.subscribe(1, 2..3);
    assert_eq!(play.rows(1), ["LIMIT_EXCEEDED"]);
    play.subscribe(1, 0..1);
    assert_eq!(play.rows(1), ["success"], "that it has already");
}

#[test]
fn a_connection_that_runs_empty_is_closed_and_one_that_does_not_is_kept() {
    let mut play = Play::new(small(2, 3));
    play.enter(1, "alice");
    play.subscribe(1, 0..6);
    for (gone, connections) in [(1, 3), (2, 2), (3, 2), (4, 1), (5, 1), (6, 1)] {
        // From the last to the first.
        play.unsubscribe(1, 6 - gone..7 - gone);
        assert_eq!(play.market.len(), connections, "{gone}");
    }
}

#[test]
fn a_connection_that_carries_something_is_kept_though_another_has_room() {
    let mut play = Play::new(small(2, 2));
    play.enter(1, "alice");
    play.subscribe(1, 0..4);
    play.unsubscribe(1, 0..2);
    play.pass(60_000);
    // Who comes has every connection looked at again.
    play.enter(2, "alice");
    play.leave(2);
    assert_eq!((play.market.len(), play.topics(), play.counts()), (2, 2, [2, 4, 2, 0, 0]));
}

#[test]
fn of_several_connections_one_is_kept() {
    let mut play = Play::new(Quirks { keep_session: true, ..small(2, 2) });
    play.enter(1, "alice");
    play.subscribe(1, 0..4);
    play.leave(1);
    play.pass(60_000);
    assert_eq!((play.market.len(), play.topics()), (1, 0));
}

#[test]
fn what_a_connection_may_still_carry_waits_for_its_end_though_another_has_room() {
    let mut play = Play::new(small(2, 2));
    play.enter(1, "alice");
    play.subscribe(1, 0..3);
    play.silent = true;
    play.tell(Event::Invalidate { user: "alice".into() });
    let mut ends: Vec<_> = play.sent.iter().rev().take(2).map(|(_, it)| it.clone()).collect();
    assert!(ends.iter().all(|command| command.kind == CommandKind::Disconnect));
    ends.sort_by_key(|command| command.session);
    play.silent = false;
    // The second is opened anew and has room. That nothing is on twice, the broker sees to.
    play.do_now(&ends[1]);
    assert_eq!(play.topics(), 3);
    play.do_now(&ends[0]);
    assert_eq!((play.market.len(), play.topics()), (2, 3));
    assert!(play.market.keys().all(|session| *session > SessionId(2)), "both are new");
}

#[test]
fn what_waits_for_the_end_of_its_connection_takes_nobody_elses_place() {
    let quirks = Quirks { linger_ms: 60_000, reinitialize: true, ..small(3, 2) };
    let mut play = Play::new(quirks);
    play.enter(1, "alice");
    play.subscribe(1, 0..5);
    play.unsubscribe(1, 0..1);
    let fails = |code| Err(BrokerError { code, message: "busy".into() });
    // It is in doubt whether the second connection carries one more.
    play.silent = true;
    play.subscribe(1, 9..10);
    play.reply(&play.asked(), fails(BrokerErrorCode::Timeout));
    play.reply(&play.asked(), fails(BrokerErrorCode::Timeout));
    // So what waits for the end of that connection waits for no place on the first.
    play.subscribe(1, 9..10);
    play.reply(&play.asked(), fails(BrokerErrorCode::InitFailed));
    assert_eq!(play.asked().kind, CommandKind::Disconnect);
    play.silent = false;
    play.do_now(&play.asked());
    assert_eq!((play.rows(1), play.topics()), (vec!["success"], 5));
}

#[test]
fn what_is_wanted_no_more_lingers_though_somebody_has_waited_for_room() {
    let mut play = Play::new(Quirks { linger_ms: 60_000, ..small(2, 1) });
    play.enter(1, "alice");
    play.enter(2, "alice");
    play.subscribe(1, 0..1);
    play.silent = true;
    play.subscribe(2, 1..2);
    let pending = play.asked();
    play.unsubscribe(1, 0..1);
    play.leave(2);
    play.subscribe(1, 2..3);
    // What lingered makes room. Then nobody waits for any.
    play.silent = false;
    play.do_now(&play.asked());
    assert_eq!(play.rows(1), ["success"]);
    play.do_now(&pending);
    assert_eq!(play.topics(), 2, "it came on for nobody, and lingers");
    play.pass(60_000);
    assert_eq!(play.topics(), 1);
}

#[test]
fn a_connection_that_is_left_with_what_was_refused_is_closed() {
    let mut play = Play::new(small(2, 2));
    play.enter(1, "alice");
    play.subscribe(1, 0..3);
    play.silent = true;
    play.lose(1);
    play.pass(1_000);
    let connect = play.asked();
    assert_eq!(connect.kind, CommandKind::Connect);
    play.do_now(&connect);
    let restored = play.asked();
    // Meanwhile the first has room again.
    play.unsubscribe(1, 0..1);
    play.do_now(&play.asked());
    play.silent = false;
    play.expired.1 = 1;
    play.do_now(&restored);
    play.pass(60_000);
    assert_eq!((play.market.len(), play.topics()), (1, 2));
}

#[test]
fn a_place_that_was_meant_for_a_topic_that_is_given_up_goes_to_the_next() {
    let mut play = Play::new(Quirks { calls_per_second: Some(1.0), ..small(2, 2) });
    play.enter(1, "alice");
    play.subscribe(1, 0..4);
    play.pass(60_000);
    assert_eq!(play.topics(), 4);
    play.expired.0 = usize::MAX;
    play.lose(1);
    play.pass(60_000);
    // The third has the place of the first, and waits for its turn to call.
    play.unsubscribe(1, 0..1);
    play.unsubscribe(1, 2..3);
    play.pass(60_000);
    assert_eq!((play.market.len(), play.topics()), (1, 2));
}

#[test]
fn places_that_are_given_up_one_after_the_other_go_to_one_each() {
    let mut play = Play::new(Quirks { calls_per_second: Some(1.0), ..small(4, 2) });
    play.enter(1, "alice");
    play.subscribe(1, 0..8);
    play.pass(60_000);
    assert_eq!(play.topics(), 8);
    play.expired.0 = usize::MAX;
    play.lose(1);
    // By then its next attempt is far away.
    play.pass(600_000);
    let connects = play.counts()[0];
    while play.counts()[0] == connects {
        play.pass(100);
    }
    play.pass(1_000);
    // Two of those that wait have the places of these two, and wait for their turn to call.
    play.unsubscribe(1, 0..2);
    while play.topics() > 2 {
        play.pass(100);
    }
    play.unsubscribe(1, 4..6);
    play.pass(60_000);
    assert_eq!((play.market.len(), play.topics()), (1, 4));
}

#[test]
fn a_topic_that_is_not_tried_yet_keeps_no_place_from_one_that_is_waited_for() {
    let mut play = Play::new(Quirks { linger_ms: 600_000, ..small(2, 1) });
    play.enter(1, "alice");
    play.enter(2, "alice");
    play.subscribe(1, 0..1);
    play.subscribe(2, 0..1);
    // It is refused when it is to be restored, and its next attempt is far away.
    play.expired.1 = usize::MAX;
    play.lose(0);
    play.pass(300_000);
    let attempts = play.counts()[1];
    while play.counts()[1] == attempts {
        play.pass(100);
    }
    play.expired.1 = 0;
    for lingers in [1..2, 2..3] {
        play.subscribe(1, lingers.clone());
        play.unsubscribe(1, lingers);
    }
    assert_eq!(play.topics(), 2);
    play.silent = true;
    // One that holds it leaves it, and what lingers makes room for the other.
    play.unsubscribe(2, 0..1);
    let turned_off = play.sent.len();
    play.subscribe(1, 3..4);
    let (_, first) = play.sent[turned_off - 2].clone();
    assert!(matches!(first.kind, CommandKind::Unsubscribe { .. }), "{first:?}");
    play.do_now(&first);
    let next = play.asked();
    assert!(matches!(next.kind, CommandKind::Subscribe { .. }), "{next:?}");
}
