use super::*;
use crate::topic::{Instrument, Mode};

fn broadcast() -> Broadcast {
    Broadcast::new(BroadcastOptions {
        number: (0, 2),
        path: "/ws/index".into(),
        interval_ms: 100,
        subscribes: true,
        retry_min_ms: 1_000,
        retry_max_ms: 5_000,
        linger_ms: 0,
    })
}

fn tick(symbol: &str, data: &str) -> Bytes {
    frame::tick_frame(&Instrument::new("NSE", symbol), Mode::Ltp, "paper", data.as_bytes())
}

/// Does what is due at a moment.
fn due(broadcast: &mut Broadcast, now_ms: u64) -> (bool, Vec<BroadcastEffect>) {
    let mut effects = Vec::new();
    broadcast.set_now(now_ms);
    (broadcast.due(&mut effects), effects)
}

fn audience(broadcast: &mut Broadcast, shard: usize, wanted: bool) -> Vec<BroadcastEffect> {
    let mut effects = Vec::new();
    broadcast.audience(shard, RouteId(7), wanted, &mut effects);
    effects
}

#[test]
fn the_first_listener_opens_and_the_last_closes() {
    use BroadcastEffect::{Ask, Close, Open};
    let mut broadcast = broadcast();
    let first = ClientId::own(0);
    assert_eq!(broadcast.next_deadline_ms(), None);
    assert_eq!(audience(&mut broadcast, 0, true), [Open(first), Ask(first)]);
    assert_eq!(audience(&mut broadcast, 1, true), []);
    assert_eq!(audience(&mut broadcast, 0, false), []);
    assert_eq!(audience(&mut broadcast, 1, false), [Close(first)]);
    assert_eq!(broadcast.next_deadline_ms(), None);
    let second = ClientId::own(2);
    assert_eq!(audience(&mut broadcast, 0, true), [Open(second), Ask(second)]);
}

#[test]
fn what_has_changed_is_sent_once_an_interval_and_nothing_else() {
    let mut broadcast = broadcast();
    audience(&mut broadcast, 0, true);
    broadcast.expect(RouteId(1), Epoch(0));
    assert!(!due(&mut broadcast, 100).0, "there is nothing yet");
    broadcast.tick(RouteId(1), &tick("A", "1"));
    broadcast.tick(RouteId(1), &tick("A", "2"));
    assert!(!due(&mut broadcast, 150).0, "the interval is not over");
    assert!(due(&mut broadcast, 200).0);
    assert!(!due(&mut broadcast, 300).0, "nothing has changed");
    broadcast.tick(RouteId(1), &tick("A", "2"));
    assert!(!due(&mut broadcast, 400).0, "it is the same");
    audience(&mut broadcast, 1, true);
    assert!(due(&mut broadcast, 530).0, "somebody is new");
    assert_eq!(broadcast.next_deadline_ms(), Some(600), "it stays in step");
    let totals = BroadcastTotals { sent: 2, skipped: 3 };
    assert_eq!((broadcast.totals(), broadcast.topics()), (totals, 1));
}

#[test]
fn a_frame_holds_the_latest_of_each_topic_digit_for_digit() {
    let mut broadcast = broadcast();
    audience(&mut broadcast, 0, true);
    for route in [1, 2] {
        broadcast.expect(RouteId(route), Epoch(0));
    }
    broadcast.tick(RouteId(1), &tick("A", r#"{"ltp":1.50}"#));
    broadcast.tick(RouteId(2), &tick("B", r#"{"ltp":1e999}"#));
    broadcast.tick(RouteId(1), &tick("A", r#"{"ltp":2.00}"#));
    broadcast.tick(RouteId(9), &tick("C", "{}"));
    let text = String::from_utf8_lossy(&broadcast.frame(5)).into_owned();
    assert!(text.ends_with(concat!(
        r#"{"type":"broadcast","channel":"/ws/index","timestamp":5,"ticks":["#,
        r#"{"type":"market_data","symbol":"A","exchange":"NSE","mode":1,"broker":"paper","#,
        r#""data":{"ltp":2.00}},"#,
        r#"{"type":"market_data","symbol":"B","exchange":"NSE","mode":1,"broker":"paper","#,
        r#""data":{"ltp":1e999}}]}"#,
    )));
}

#[test]
fn what_is_picked_for_an_earlier_audience_is_not_for_this_one() {
    let mut broadcast = broadcast();
    broadcast.audience(0, RouteId(7), true, &mut Vec::new());
    broadcast.tick(RouteId::picked(RouteId(7), 0), &tick("A", "1"));
    assert_eq!(broadcast.topics(), 1);
    broadcast.audience(0, RouteId(7), false, &mut Vec::new());
    broadcast.tick(RouteId::picked(RouteId(7), 0), &tick("A", "2"));
    broadcast.audience(0, RouteId(8), true, &mut Vec::new());
    broadcast.tick(RouteId::picked(RouteId(7), 0), &tick("A", "3"));
    assert_eq!(broadcast.topics(), 0);
}

#[test]
fn what_was_refused_is_asked_for_again_and_a_closed_client_is_replaced() {
    use BroadcastEffect::{Ask, Close, Open};
    let mut broadcast = broadcast();
    audience(&mut broadcast, 0, true);
    broadcast.answered(ClientId::own(0), true);
    assert_eq!(due(&mut broadcast, 1_000).1, []);
    broadcast.answered(ClientId::own(0), false);
    assert_eq!(due(&mut broadcast, 2_000).1, [Ask(ClientId::own(0))]);
    let mut effects = Vec::new();
    broadcast.closed(ClientId::own(0), false, &mut effects);
    assert_eq!(effects, [Close(ClientId::own(0))]);
    assert_eq!(due(&mut broadcast, 3_999).1, [], "it is the second time");
    assert_eq!(due(&mut broadcast, 4_000).1, [Open(ClientId::own(2)), Ask(ClientId::own(2))]);
    broadcast.closed(ClientId::own(2), true, &mut effects);
    assert_eq!(due(&mut broadcast, 9_000).1, [], "the gateway stops");
}

#[test]
fn whoever_was_late_is_back_in_step() {
    let mut broadcast = broadcast();
    broadcast.set_now(30);
    audience(&mut broadcast, 0, true);
    due(&mut broadcast, 575);
    assert_eq!(broadcast.next_deadline_ms(), Some(630));
}

#[test]
fn a_route_that_began_anew_takes_nothing_of_those_who_have_not_heard_of_it() {
    let mut broadcast = broadcast();
    audience(&mut broadcast, 0, true);
    broadcast.expect(RouteId(1), Epoch(3));
    for (heard, topics) in [(2, 0), (3, 1)] {
        broadcast.set_heard(Epoch(heard));
        broadcast.tick(RouteId(1), &tick("A", "1"));
        assert_eq!(broadcast.topics(), topics, "{heard}");
    }
}

#[test]
fn a_route_that_is_forgotten_leaves_no_value_and_takes_none() {
    let mut broadcast = broadcast();
    audience(&mut broadcast, 0, true);
    broadcast.expect(RouteId(1), Epoch(0));
    broadcast.tick(RouteId(1), &tick("A", "1"));
    broadcast.forget(RouteId(1));
    assert_eq!(broadcast.topics(), 0);
    broadcast.tick(RouteId(1), &tick("A", "2"));
    assert_eq!(broadcast.topics(), 0);
}

#[test]
fn a_client_that_lingers_and_lacks_nothing_asks_for_nothing() {
    let options = BroadcastOptions { linger_ms: 500, ..broadcast().options };
    let mut broadcast = Broadcast::new(options);
    audience(&mut broadcast, 0, true);
    broadcast.answered(ClientId::own(0), true);
    assert_eq!(audience(&mut broadcast, 0, false), [], "it lingers");
    assert_eq!(audience(&mut broadcast, 0, true), []);
    assert_eq!(due(&mut broadcast, 10).1, []);
}

#[test]
fn a_client_that_lingers_asks_for_what_it_lacks_when_somebody_listens_again() {
    let options = BroadcastOptions { linger_ms: 500, ..broadcast().options };
    let (mut broadcast, mut effects) = (Broadcast::new(options), Vec::new());
    broadcast.audience(0, RouteId(1), true, &mut effects);
    let Some(BroadcastEffect::Open(own)) = effects.first().copied() else {
        panic!("it opens: {effects:?}")
    };
    broadcast.answered(own, false);
    broadcast.expect(RouteId(5), Epoch(0));
    effects.clear();
    broadcast.audience(0, RouteId(1), false, &mut effects);
    assert_eq!(effects, [], "it lingers");
    broadcast.tick(RouteId(5), &tick("A", "1"));
    broadcast.set_now(400);
    broadcast.audience(0, RouteId(2), true, &mut effects);
    assert_eq!(broadcast.topics(), 1, "it has gone on reading");
    broadcast.due(&mut effects);
    assert_eq!(effects, [BroadcastEffect::Ask(own)]);
    effects.clear();
    broadcast.audience(0, RouteId(2), false, &mut effects);
    broadcast.answered(own, false);
    broadcast.set_now(899);
    broadcast.due(&mut effects);
    assert_eq!(broadcast.next_deadline_ms(), Some(900));
    broadcast.set_now(900);
    broadcast.due(&mut effects);
    assert_eq!(effects, [BroadcastEffect::Close(own)]);
    assert_eq!(broadcast.next_deadline_ms(), None);
}

#[test]
fn a_tick_in_a_broadcast_says_nothing_of_its_place_among_others() {
    let mut broadcast = broadcast();
    audience(&mut broadcast, 0, true);
    broadcast.expect(RouteId(1), Epoch(0));
    let numbered = |seq| {
        let instrument = Instrument::new("NSE", "A");
        let tick = frame::numbered_tick_frame(&instrument, Mode::Ltp, "paper", Some(seq), b"1");
        frame::with_skipped(&tick, 2)
    };
    broadcast.tick(RouteId(1), &numbered(3));
    assert!(due(&mut broadcast, 100).0);
    let sent = broadcast.frame(7);
    let text = std::str::from_utf8(frame::payload(&sent).unwrap()).unwrap();
    assert!(!text.contains("seq") && !text.contains("skipped"), "{text}");
    broadcast.tick(RouteId(1), &numbered(6));
    assert!(!due(&mut broadcast, 200).0, "the value is the same");
}

#[test]
fn what_is_refused_again_and_again_is_asked_for_ever_more_rarely() {
    let mut broadcast = broadcast();
    let own = ClientId::own(0);
    audience(&mut broadcast, 0, true);
    // The log-in is good each time, one topic of the subscribe is not.
    let refuse = |broadcast: &mut Broadcast, now_ms| {
        broadcast.set_now(now_ms);
        broadcast.answered(own, true);
        broadcast.answered(own, false);
        broadcast.retry_at_ms.expect("it asks again") - now_ms
    };
    let mut now_ms = 10;
    for pause_ms in [1_000, 2_000, 4_000, 5_000, 5_000] {
        assert_eq!(refuse(&mut broadcast, now_ms), pause_ms);
        now_ms += pause_ms;
        assert_eq!(due(&mut broadcast, now_ms).1, [BroadcastEffect::Ask(own)]);
    }
    // All was granted; what is lost later is asked for soon.
    broadcast.answered(own, true);
    broadcast.answered(own, true);
    let mut effects = Vec::new();
    broadcast.closed(own, false, &mut effects);
    assert_eq!(broadcast.retry_at_ms, Some(now_ms + 1_000));
}

#[test]
fn one_request_is_refused_once_whatever_of_it_is() {
    let mut broadcast = broadcast();
    let own = ClientId::own(0);
    audience(&mut broadcast, 0, true);
    broadcast.answered(own, false);
    broadcast.answered(own, false);
    assert_eq!(broadcast.retry_at_ms, Some(1_000));
}
