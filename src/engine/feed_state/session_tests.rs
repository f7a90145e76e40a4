//! Sessions that come and go, and what that says of topics.

use super::tests::{Desk, NOTHING};
use super::*;

/// A topic that ticked ten times a second for a minute.
fn quick() -> Desk {
    let mut desk = Desk::new();
    desk.want(1, "CRYPTO:BTC");
    desk.ticks(1, 100, 60_000);
    desk
}

/// Its session is lost, and back at once.
fn flap(desk: &mut Desk, for_ms: u64) {
    desk.serve(1, false);
    assert_eq!(desk.go(desk.now_ms + for_ms), NOTHING);
    desk.serve(1, true);
}

#[test]
fn a_topic_that_ticks_on_when_its_session_is_back_is_judged_by_its_habit_as_before() {
    let mut desk = quick();
    flap(&mut desk, 500);
    desk.ticks(1, 100, desk.now_ms + 1_000);
    let at_ms = desk.now_ms;
    assert_eq!(desk.go(at_ms + 4_999), NOTHING);
    assert_eq!(desk.go(at_ms + 5_000), ["BTC stale: no tick for longer than usual"]);
}

#[test]
fn a_tick_in_the_millisecond_in_which_the_session_is_back_is_one() {
    let mut desk = quick();
    flap(&mut desk, 500);
    desk.tick(1);
    let at_ms = desk.now_ms;
    assert_eq!(desk.go(at_ms + 5_000), ["BTC stale: no tick for longer than usual"]);
}

#[test]
fn the_pause_of_a_session_that_is_back_at_once_does_not_become_a_habit() {
    let mut desk = quick();
    flap(&mut desk, 500);
    // Its topics are turned on again one after the other.
    assert_eq!(desk.go(desk.now_ms + 30_000), NOTHING);
    desk.ticks(1, 100, desk.now_ms + 60_000);
    let at_ms = desk.now_ms;
    assert_eq!(desk.go(at_ms + 5_000), ["BTC stale: no tick for longer than usual"]);
}

#[test]
fn a_session_that_is_lost_shortly_before_a_topic_is_overdue_has_its_second_too() {
    let mut desk = quick();
    let at_ms = desk.now_ms;
    assert_eq!(desk.go(at_ms + 4_900), NOTHING);
    desk.serve(1, false);
    assert_eq!(desk.go(at_ms + 5_899), NOTHING);
    let told = desk.go(at_ms + 5_900);
    assert_eq!(told, ["BTC recovering: the broker session is lost"]);
}

#[test]
fn what_is_said_of_a_stale_topic_holds_when_its_session_is_lost_and_back_at_once() {
    let mut desk = quick();
    let at_ms = desk.now_ms;
    assert_eq!(desk.go(at_ms + 600_000), ["BTC stale: no tick for longer than usual"]);
    flap(&mut desk, 300);
    let entry = desk.told_to_another("CRYPTO:BTC");
    assert_eq!(entry["reason"], "no tick for longer than usual");
    assert_eq!(entry["since"], Desk::BEGAN_MS + at_ms);
    assert_eq!(desk.go(desk.now_ms + 600_000), NOTHING);
}

#[test]
fn a_session_that_is_lost_and_back_over_and_over_hides_no_silence() {
    for ticks_before in [true, false] {
        let mut desk = Desk::new();
        desk.want(1, "CRYPTO:BTC");
        if ticks_before {
            desk.ticks(1, 100, 60_000);
        }
        let mut told = Vec::new();
        let at_ms = desk.now_ms;
        while desk.now_ms < at_ms + 300_000 {
            desk.serve(1, false);
            told.extend(desk.go(desk.now_ms + 400));
            desk.serve(1, true);
            told.extend(desk.go(desk.now_ms + 30_000));
        }
        assert_eq!(told, ["BTC stale: no tick since the session is up"], "{ticks_before}");
        let silent = FeedNote::Silent { broker: "paper".into(), topics: 1, for_ms: 120_000 };
        assert_eq!(desk.state.take_notes(), [silent]);
    }
}

#[test]
fn a_recovery_is_not_put_off_by_a_session_that_is_lost_and_back_over_and_over() {
    let mut desk = quick();
    let lost_ms = desk.now_ms;
    desk.serve(1, false);
    let mut told = desk.go(lost_ms + 2_000);
    desk.serve(1, true);
    let up_ms = desk.now_ms;
    while desk.now_ms < up_ms + 300_000 {
        told.extend(desk.go(desk.now_ms + 30_000));
        desk.serve(1, false);
        told.extend(desk.go(desk.now_ms + 400));
        desk.serve(1, true);
        if desk.now_ms < up_ms + 120_000 {
            let entry = desk.told_to_another("CRYPTO:BTC");
            assert_eq!(entry["since"], Desk::BEGAN_MS + lost_ms, "whoever asks, and when");
        }
    }
    let stale = "BTC stale: no tick since the session is up";
    assert_eq!(told, ["BTC recovering: the broker session is lost", stale]);
    assert_eq!(desk.state.take_notes().len(), 1);
}

#[test]
fn a_recovery_begins_anew_with_a_session_that_was_lost_for_long_again() {
    let mut desk = quick();
    desk.serve(1, false);
    assert_eq!(desk.go(desk.now_ms + 2_000), ["BTC recovering: the broker session is lost"]);
    desk.serve(1, true);
    assert_eq!(desk.go(desk.now_ms + 60_000), NOTHING);
    desk.serve(1, false);
    assert_eq!(desk.go(desk.now_ms + 1_000), NOTHING);
    desk.serve(1, true);
    let up_ms = desk.now_ms;
    assert_eq!(desk.go(up_ms + 119_999), NOTHING);
    assert_eq!(desk.go(up_ms + 120_000), ["BTC stale: no tick since the session is up"]);
}

#[test]
fn a_session_that_was_lost_while_nobody_looked_was_lost() {
    let mut desk = quick();
    flap(&mut desk, 400);
    assert_eq!(desk.go(desk.now_ms + 60_000), NOTHING);
    desk.serve(1, false);
    // The process was stopped.
    desk.jump(desk.now_ms + 4_000);
    desk.serve(1, true);
    let up_ms = desk.now_ms;
    assert_eq!(desk.go(up_ms + 119_999), NOTHING);
    assert_eq!(desk.go(up_ms + 121_000), ["BTC stale: no tick since the session is up"]);
}
