//! Users whose credential names another broker than before.

use tickgate::broker::{BrokerEvent, CommandKind};
use tickgate::config::Quirks;
use tickgate::engine::{ChannelId, Event, Request};
use tickgate::topic::ClientId;

use crate::hub_support::far::{BROKER, NEAR, Play};

fn play(quirks: Quirks) -> Play {
    let mut play = Play::new(quirks);
    play.enter(1, "alice");
    play.subscribe(1, 0..2);
    play
}

/// A client that has not said yet who it is.
fn opens(play: &mut Play, client: u64) {
    let channel = ChannelId(0);
    play.tell(Event::Opened { client: ClientId(client), shard: 0, channel });
}

fn is_in(play: &Play, client: u64, broker: &str) -> bool {
    let answer = play.answer(client);
    answer["type"] == "auth" && answer["status"] == "success" && answer["broker"] == broker
}

#[test]
fn a_user_that_has_nobody_at_its_old_broker_comes_in_at_the_new_one() {
    let kept = Quirks { keep_session: true, ..Quirks::default() };
    let lingering = Quirks { linger_ms: 60_000, ..Quirks::default() };
    let several = Quirks {
        connections_per_user: 2,
        topics_per_connection: 1,
        linger_ms: 60_000,
        ..Quirks::default()
    };
    for quirks in [Quirks::default(), kept, lingering, several] {
        let mut play = play(quirks.clone());
        play.leave(1);
        opens(&mut play, 2);
        play.authenticate(2, "alice", NEAR);
        assert!(is_in(&play, 2, NEAR), "{quirks:?}: {}", play.answer(2));
        assert_eq!(play.market.len(), 1, "{quirks:?}: the old sessions are gone");
        play.subscribe(2, 0..1);
        assert_eq!(play.rows(2), ["success"]);
    }
}

#[test]
fn as_long_as_others_are_at_the_old_broker_a_newcomer_is_told_so() {
    let mut play = play(Quirks::default());
    opens(&mut play, 2);
    play.authenticate(2, "alice", NEAR);
    let said = play.answer(2)["message"].to_string();
    assert!(said.contains("the user's other clients are on broker far"), "{said}");
    play.leave(1);
    play.authenticate(2, "alice", NEAR);
    assert!(is_in(&play, 2, NEAR), "{}", play.answer(2));
}

#[test]
fn a_client_that_is_alone_there_takes_its_user_along() {
    let mut play = play(Quirks { keep_session: true, ..Quirks::default() });
    play.authenticate(1, "alice", NEAR);
    assert!(is_in(&play, 1, NEAR), "{}", play.answer(1));
    assert_eq!((play.market.len(), play.topics()), (1, 0), "what it held was of the old broker");
}

#[test]
fn all_who_wait_for_the_old_session_to_end_come_in_one_after_the_other() {
    let mut play = play(Quirks { linger_ms: 60_000, ..Quirks::default() });
    play.leave(1);
    play.silent = true;
    for client in 2..=4 {
        opens(&mut play, client);
        play.authenticate(client, "alice", NEAR);
    }
    let command = play.asked();
    assert_eq!(command.kind, CommandKind::Disconnect);
    play.leave(3);
    play.silent = false;
    play.do_now(&command);
    assert!(is_in(&play, 2, NEAR) && is_in(&play, 4, NEAR));
    assert_eq!(play.counts(), [2, 2, 0, 0, 1]);
}

#[test]
fn what_was_asked_meanwhile_is_served_by_the_new_broker() {
    let mut play = play(Quirks { linger_ms: 60_000, ..Quirks::default() });
    play.leave(1);
    play.silent = true;
    opens(&mut play, 2);
    play.authenticate(2, "alice", NEAR);
    play.subscribe(2, 0..2);
    play.ask(2, Request::BrokerInfo);
    let command = play.asked();
    play.silent = false;
    play.do_now(&command);
    assert_eq!(play.answer(2)["broker"], NEAR);
    assert_eq!(play.topics(), 2);
}

#[test]
fn who_waits_in_vain_is_told_so() {
    let mut play = play(Quirks { linger_ms: 60_000, ..Quirks::default() });
    play.leave(1);
    play.silent = true;
    opens(&mut play, 2);
    play.authenticate(2, "alice", NEAR);
    play.pass(60_000);
    let said = play.answer(2)["message"].to_string();
    assert!(said.contains("the user's session at broker far has not ended yet"), "{said}");
    play.silent = false;
    opens(&mut play, 3);
    play.authenticate(3, "alice", NEAR);
    play.pass(20_000);
    assert!(is_in(&play, 3, NEAR), "{}", play.answer(3));
}

#[test]
fn a_session_in_doubt_is_settled_before_its_user_moves() {
    let mut play = Play::new(Quirks::default());
    play.silent = true;
    play.enter(1, "alice");
    play.broker(BrokerEvent::Down { reason: "cut".into() });
    play.leave(1);
    opens(&mut play, 2);
    play.authenticate(2, "alice", NEAR);
    play.pass(60_000);
    let said = play.answer(2)["message"].to_string();
    assert!(said.contains("the user's session at broker far has not ended yet"), "{said}");
    opens(&mut play, 3);
    play.authenticate(3, "alice", NEAR);
    play.silent = false;
    play.broker(BrokerEvent::Up);
    assert!(is_in(&play, 3, NEAR), "{}", play.answer(3));
    assert_eq!(play.sent.iter().filter(|(_, it)| it.kind == CommandKind::Disconnect).count(), 1);
}

#[test]
fn somebody_who_comes_to_the_old_broker_meanwhile_is_served_there() {
    let mut play = play(Quirks { linger_ms: 60_000, ..Quirks::default() });
    play.leave(1);
    play.silent = true;
    opens(&mut play, 2);
    play.authenticate(2, "alice", NEAR);
    let command = play.asked();
    play.enter(3, "alice");
    play.silent = false;
    play.do_now(&command);
    assert!(is_in(&play, 3, BROKER), "{}", play.answer(3));
    play.pass(60_000);
    let said = play.answer(2)["message"].to_string();
    assert!(said.contains("the user's other clients are on broker far"), "{said}");
}
