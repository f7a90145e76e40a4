//! Limits that are just reached, and what is said of how a topic came to be as it is.

use super::tests::{Desk, NOTHING};
use super::*;

#[test]
fn a_new_topic_is_looked_at_when_it_may_have_been_learnt() {
    let mut desk = Desk::new();
    desk.jump(1_000);
    desk.want(1, "CRYPTO:BTC");
    assert_eq!(desk.counts(), [1, 0, 0, 0, 0]);
    // The wheel may be early.
    let due_ms = desk.state.next_deadline_ms();
    assert!(due_ms.is_some_and(|at_ms| (15_000..=21_000).contains(&at_ms)), "{due_ms:?}");
}

#[test]
fn a_session_that_comes_back_with_a_tick_is_waited_for_as_any_other() {
    let mut desk = Desk::new();
    desk.want(1, "CRYPTO:BTC");
    desk.ticks(1, 100, 60_000);
    let at_ms = desk.now_ms;
    desk.serve(1, false);
    desk.serve(1, true);
    assert_eq!(desk.go(at_ms + 119_999), NOTHING);
    assert_eq!(desk.go(at_ms + 120_000), ["BTC stale: no tick since the session is up"]);
    // It is no new topic: what it was like is known.
    assert_eq!(desk.tick(1), ["BTC live: it ticks"]);
    let at_ms = desk.now_ms;
    let told = desk.go(at_ms + 60_000);
    assert_eq!(told, ["BTC stale: no tick for longer than usual"]);
}

#[test]
fn whoever_comes_while_a_topic_recovers_is_told_what_is_waited_for() {
    let mut desk = Desk::new();
    desk.want(1, "CRYPTO:BTC");
    desk.ticks(1, 1_000, 60_000);
    desk.serve(1, false);
    desk.go(desk.now_ms + 2_000);
    let due_ms = desk.state.next_deadline_ms();
    assert!(due_ms > Some(desk.now_ms + 10_000), "only the calendar: {due_ms:?}");
    assert_eq!(desk.counts(), [0, 0, 0, 1, 0]);
    let told = desk.interest(1, "CRYPTO:BTC", 1, true);
    assert_eq!(told, ["BTC recovering: the broker session is lost"]);
    desk.serve(1, true);
    let told = desk.interest(1, "CRYPTO:BTC", 2, true);
    assert_eq!(told, ["BTC recovering: no tick since the session is up"]);
}

#[test]
fn a_stale_topic_whose_session_is_lost_recovers_a_second_later() {
    let mut desk = Desk::new();
    desk.want(1, "CRYPTO:BTC");
    desk.go(130_000);
    desk.serve(1, false);
    assert_eq!(desk.go(130_999), NOTHING);
    assert_eq!(desk.go(131_000), ["BTC recovering: the broker session is lost"]);
}

#[test]
fn whoever_comes_after_a_quiet_while_is_judged_in_time() {
    let mut config = Config::default();
    (config.feed.stale_after_ms, config.feed.stale_max_ms) = (200, 200);
    let at = Moment { now_ms: 0, unix_ms: Desk::BEGAN_MS };
    let mut desk = Desk { state: FeedState::new(&config, at), now_ms: 0 };
    desk.jump(1_000_000);
    desk.want(1, "CRYPTO:BTC");
    assert_eq!(desk.go(1_000_199), NOTHING);
    assert_eq!(desk.go(1_000_200), ["BTC stale: no tick since subscribe"]);
}

#[test]
fn whoever_ticks_a_second_after_its_session_was_lost_ticks_all_the_same() {
    for (after_ms, still_ticks) in [(1_000, false), (1_001, true)] {
        let mut desk = Desk::new();
        desk.want(1, "CRYPTO:BTC");
        desk.ticks(1, 10_000, 600_000);
        let at_ms = desk.now_ms;
        desk.serve(1, false);
        desk.jump(at_ms + 500);
        desk.tick(1);
        desk.jump(at_ms + after_ms);
        desk.tick(1);
        let told = desk.go(at_ms + after_ms + 30_000);
        assert_eq!(told.is_empty(), still_ticks, "{after_ms}: {told:?}");
    }
}

#[test]
fn it_is_told_since_when_by_the_calendar() {
    let mut desk = Desk::new();
    desk.want(1, "CRYPTO:BTC");
    desk.go(130_000);
    desk.state.ticked(RouteId(1), 130_500);
    let news = desk.state.pop_news().unwrap();
    let entry: serde_json::Value = serde_json::from_slice(&news.entry).unwrap();
    assert_eq!(entry["since"], Desk::BEGAN_MS + 130_500);
}

fn silent(topics: u64) -> FeedNote {
    FeedNote::Silent { broker: "paper".into(), topics, for_ms: 120_000 }
}

#[test]
fn whoever_subscribes_is_no_tick_of_a_feed_that_is_silent() {
    let mut desk = Desk::new();
    desk.want(1, "CRYPTO:BTC");
    desk.ticks(1, 100, 60_000);
    let at_ms = desk.now_ms;
    for route in 2..10 {
        desk.go(desk.now_ms + 30_000);
        desk.want(route, &format!("CRYPTO:C{route}"));
        let is_silent = desk.now_ms >= at_ms + 120_000;
        assert_eq!(desk.state.silent_brokers().count(), usize::from(is_silent), "{route}");
    }
    assert_eq!(desk.state.take_notes(), [silent(1)]);
}

#[test]
fn a_gateway_that_was_away_listens_before_it_calls_a_feed_silent() {
    let mut desk = Desk::without_markets();
    desk.want(1, "CRYPTO:BTC");
    desk.ticks(1, 100, 60_000);
    desk.go(70_000);
    assert_eq!(desk.counts()[2], 1);
    desk.jump(260_000);
    desk.state.fire();
    assert_eq!(desk.state.take_notes(), []);
    desk.tick(1);
    desk.go(300_000);
    assert_eq!(desk.state.take_notes(), []);
}

#[test]
fn a_feed_of_which_nothing_should_tick_any_more_is_not_silent() {
    let mut desk = Desk::without_markets();
    desk.want(1, "CRYPTO:BTC");
    desk.want(2, "CRYPTO:ETH");
    desk.go(200_000);
    assert_eq!(desk.state.take_notes(), [silent(2)]);
    desk.serve(2, false);
    desk.go(desk.now_ms + 2_000);
    assert_eq!((desk.counts(), desk.state.silent_brokers().count()), ([0, 0, 1, 1, 0], 1));
    desk.interest(1, "CRYPTO:BTC", 0, false);
    assert_eq!(desk.state.silent_brokers().count(), 0, "a session is lost, and that is told");
}

#[test]
fn a_feed_is_silent_again_after_the_only_topic_that_ticked_was_given_up() {
    let mut desk = Desk::without_markets();
    desk.want(1, "CRYPTO:BTC");
    desk.want(2, "CRYPTO:ETH");
    desk.go(200_000);
    desk.tick(2);
    desk.interest(2, "CRYPTO:ETH", 0, false);
    let audible = FeedNote::Audible { broker: "paper".into() };
    assert_eq!(desk.state.take_notes(), [silent(2), audible]);
    desk.go(desk.now_ms + 130_000);
    assert_eq!(desk.state.take_notes(), [silent(1)]);
}

#[test]
fn the_end_of_a_silence_that_was_told_is_told_whatever_happened_in_between() {
    let audible = FeedNote::Audible { broker: "paper".into() };
    let in_between: [fn(&mut Desk); 3] = [
        // The market closes, and opens the next day.
        |desk| _ = desk.go(desk.now_ms + 24 * 3_600_000 - 600_000),
        |desk| {
            desk.serve(1, false);
            desk.go(desk.now_ms + 2_000);
            desk.serve(1, true);
            desk.go(desk.now_ms + 600_000);
        },
        |desk| {
            desk.interest(1, "NSE:TCS", 0, false);
            desk.want(1, "NSE:TCS");
            desk.go(desk.now_ms + 600_000);
        },
    ];
    for happens in in_between {
        let mut desk = Desk::new();
        desk.want(1, "NSE:TCS");
        desk.go(600_000);
        assert_eq!(desk.state.take_notes(), [silent(1)]);
        happens(&mut desk);
        assert_eq!(desk.state.take_notes(), [], "it has been told");
        desk.tick(1);
        assert_eq!(desk.state.take_notes(), std::slice::from_ref(&audible));
    }
}

#[test]
fn a_topic_that_ticked_and_was_given_up_has_ticked() {
    let mut desk = Desk::without_markets();
    desk.want(1, "CRYPTO:MUTE");
    desk.want(2, "CRYPTO:BTC");
    desk.ticks(2, 100, 239_900);
    desk.interest(2, "CRYPTO:BTC", 0, false);
    desk.go(359_899);
    assert_eq!(desk.state.take_notes(), []);
    desk.go(359_900);
    assert_eq!(desk.state.take_notes(), [silent(1)]);
}

#[test]
fn a_topic_that_ticked_before_its_session_was_lost_and_back_has_ticked() {
    let mut desk = Desk::without_markets();
    desk.want(1, "CRYPTO:MUTE");
    desk.want(2, "CRYPTO:BTC");
    desk.ticks(2, 100, 239_900);
    desk.serve(2, false);
    desk.go(desk.now_ms + 400);
    desk.serve(2, true);
    desk.interest(2, "CRYPTO:BTC", 0, false);
    desk.go(359_899);
    assert_eq!(desk.state.take_notes(), []);
    desk.go(359_900);
    assert_eq!(desk.state.take_notes(), [silent(1)]);
}

#[test]
fn a_topic_whose_session_comes_and_goes_is_no_sign_of_a_feed_that_ticks() {
    let desks = [(Desk::without_markets(), 1), (Desk::around_the_clock(10_000), 2)];
    for (mut desk, stale) in desks {
        desk.want(1, "MCX:MUTE");
        desk.want(2, "MCX:GOLD");
        while desk.now_ms < 600_000 {
            desk.serve(2, false);
            desk.go(desk.now_ms + 2_000);
            desk.serve(2, true);
            desk.go(desk.now_ms + 30_000);
        }
        assert_eq!(desk.state.take_notes(), [silent(stale)]);
    }
}

#[test]
fn a_silence_of_ten_times_as_many_topics_is_told_again() {
    let mut desk = Desk::without_markets();
    let mut wanted = 0;
    // Nobody wants what was silent any more, and the next day all want something.
    for more in [1, 9, 1, 88] {
        desk.interest(1, "CRYPTO:C1", 0, false);
        for route in wanted + 1..=wanted + more {
            desk.want(route, &format!("CRYPTO:C{route}"));
        }
        wanted += more;
        desk.go(desk.now_ms + 200_000);
    }
    assert_eq!(desk.state.take_notes(), [silent(1), silent(10)]);
    desk.want(1, "CRYPTO:C1");
    desk.go(desk.now_ms + 200_000);
    assert_eq!(desk.state.take_notes(), []);
    desk.tick(1);
    desk.interest(1, "CRYPTO:C1", 0, false);
    desk.go(desk.now_ms + 200_000);
    let audible = FeedNote::Audible { broker: "paper".into() };
    assert_eq!(desk.state.take_notes(), [audible, silent(98)]);
}

#[test]
fn what_an_operator_should_know_is_news_though_no_client_is_told_of_it() {
    let mut desk = Desk::without_markets();
    desk.want(1, "CRYPTO:BTC");
    desk.go(200_000);
    desk.state.take_notes();
    desk.want(2, "CRYPTO:ETH");
    desk.state.ticked(RouteId(2), desk.now_ms);
    assert!(desk.state.has_news());
    assert_eq!(desk.state.pop_news(), None);
    assert_eq!(desk.state.take_notes(), [FeedNote::Audible { broker: "paper".into() }]);
    assert!(!desk.state.has_news());
}

#[test]
fn of_a_feed_that_dies_all_topics_are_counted() {
    let mut desk = Desk::without_markets();
    for route in 1..=3_000 {
        desk.go(route / 10);
        desk.want(route, &format!("CRYPTO:C{route}"));
    }
    desk.go(200_000);
    assert_eq!(desk.state.take_notes(), [silent(3_000)]);
}
