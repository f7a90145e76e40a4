use super::*;
use crate::config::OutboxPolicy;
use crate::protocol::frame;
use crate::topic::{Instrument, Mode};

const LIMITS: OutboxLimits = OutboxLimits {
    ticks_max: 2,
    tick_bytes_max: 100,
    latest_bytes_max: 1_000,
    control_bytes_max: 10,
};

fn frame(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn drained(outbox: &mut Outbox) -> String {
    let mut out = Vec::new();
    outbox.drain_into(&mut out, usize::MAX);
    outbox.check();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_client_that_keeps_up_gets_everything_in_order() {
    let mut outbox = Outbox::new(Content::Broadcasts);
    outbox.push_tick(&LIMITS, RouteId(1), frame("a")).unwrap();
    outbox.push_control(&LIMITS, frame("X")).unwrap();
    outbox.push_tick(&LIMITS, RouteId(1), frame("b")).unwrap();
    assert_eq!(drained(&mut outbox), "aXb");
    assert!(outbox.is_empty());
}

#[test]
fn a_client_that_lags_gets_the_latest_of_each_topic_in_order_of_first_lag() {
    let mut outbox = Outbox::new(Content::Broadcasts);
    let ticks = [(1, "a"), (2, "b"), (2, "c"), (1, "d"), (2, "e"), (1, "f")];
    let replaced =
        ticks.map(|(route, text)| outbox.push_tick(&LIMITS, RouteId(route), frame(text)).unwrap());
    assert_eq!(replaced, [false, false, false, false, true, true]);
    assert_eq!(drained(&mut outbox), "abef");
}

#[test]
fn a_client_that_sleeps_through_large_ticks_costs_a_bounded_number_of_bytes() {
    let limits = OutboxLimits { ticks_max: 1_000, ..LIMITS };
    let mut outbox = Outbox::new(Content::Broadcasts);
    let tick = Bytes::from(vec![b'x'; 60]);
    for _ in 0..10 {
        outbox.push_tick(&limits, RouteId(1), tick.clone()).unwrap();
    }
    outbox.check();
    assert_eq!(outbox.bytes(), 3 * 60, "two within the limit, and the latest");
    drained(&mut outbox);
    assert!(!outbox.push_tick(&limits, RouteId(1), tick).unwrap(), "it has caught up");
}

#[test]
fn ticks_stay_behind_the_lagging_ones_while_the_queue_drains() {
    let mut outbox = Outbox::new(Content::Broadcasts);
    for text in ["a", "b", "c"] {
        outbox.push_tick(&LIMITS, RouteId(1), frame(text)).unwrap();
    }
    let mut out = Vec::new();
    outbox.drain_into(&mut out, 1);
    outbox.push_tick(&LIMITS, RouteId(1), frame("d")).unwrap();
    outbox.drain_into(&mut out, usize::MAX);
    assert_eq!(out, b"abd", "c was replaced by d, and nothing overtook");
}

#[test]
fn answers_are_refused_rather_than_dropped() {
    let mut outbox = Outbox::new(Content::Broadcasts);
    outbox.push_control(&LIMITS, frame("123456")).unwrap();
    assert_eq!(outbox.push_control(&LIMITS, frame("78901")), Err(Overflow));
    assert_eq!(drained(&mut outbox), "123456");
    outbox.push_control(&LIMITS, frame("larger than the limit")).unwrap();
}

#[test]
fn what_just_reaches_a_limit_is_within_it() {
    let mut outbox = Outbox::new(Content::Broadcasts);
    outbox.push_control(&LIMITS, frame("123456")).unwrap();
    outbox.push_control(&LIMITS, frame("7890")).unwrap();
    assert_eq!(outbox.push_control(&LIMITS, frame("1")), Err(Overflow));
    let full = Bytes::from(vec![b'x'; LIMITS.tick_bytes_max]);
    outbox.push_tick(&LIMITS, RouteId(1), full).unwrap();
    outbox.push_tick(&LIMITS, RouteId(1), frame("a")).unwrap();
    assert!(outbox.push_tick(&LIMITS, RouteId(1), frame("b")).unwrap(), "a waits behind the limit");
    let mut out = Vec::new();
    assert_eq!(outbox.drain_into(&mut out, 6), 1, "the first frame fills the buffer");
}

#[test]
fn what_waits_is_counted_wherever_it_waits() {
    let mut outbox = Outbox::new(Content::Broadcasts);
    assert_eq!((outbox.bytes(), outbox.ticks()), (0, 0));
    outbox.push_control(&LIMITS, frame("123456")).unwrap();
    for (route, text) in [(1, "a"), (2, "bb"), (3, "ccc"), (4, "dddd")] {
        outbox.push_tick(&LIMITS, RouteId(route), frame(text)).unwrap();
    }
    assert_eq!((outbox.bytes(), outbox.ticks()), (16, 4));
    outbox.push_last(frame("e"));
    assert_eq!((outbox.bytes(), outbox.ticks()), (17, 4));
    outbox.clear();
    assert!(outbox.is_empty());
}

#[test]
fn counters_that_have_drifted_are_noticed() {
    let drifted: [fn(&mut Outbox); 3] = [
        |outbox| outbox.ticks += 1,
        |outbox| outbox.tick_bytes += 1,
        |outbox| outbox.control_bytes += 1,
    ];
    for drift in drifted {
        let mut outbox = Outbox::new(Content::Broadcasts);
        outbox.push_control(&LIMITS, frame("X")).unwrap();
        outbox.push_tick(&LIMITS, RouteId(1), frame("a")).unwrap();
        outbox.check();
        drift(&mut outbox);
        assert!(std::panic::catch_unwind(|| outbox.check()).is_err(), "{outbox:?}");
    }
}

#[test]
fn ticks_of_an_ended_subscription_are_gone_wherever_they_wait() {
    let mut outbox = Outbox::new(Content::Broadcasts);
    for (route, text) in [(1, "a"), (2, "b"), (1, "c"), (2, "d")] {
        outbox.push_tick(&LIMITS, RouteId(route), frame(text)).unwrap();
    }
    outbox.forget(&[RouteId(1)]);
    outbox.check();
    assert_eq!(drained(&mut outbox), "bd");
}

#[test]
fn a_drain_stops_at_the_first_frame_that_fills_the_buffer() {
    let mut outbox = Outbox::new(Content::Broadcasts);
    outbox.push_control(&LIMITS, frame("aaaa")).unwrap();
    outbox.push_control(&LIMITS, frame("bbbb")).unwrap();
    let mut out = Vec::new();
    assert_eq!(outbox.drain_into(&mut out, 2), 1);
    assert_eq!(out, b"aaaa");
    assert_eq!(outbox.bytes(), 4);
}

/// A tick as clients get it.
fn tick(value: u32) -> Bytes {
    let instrument = Instrument::new("NSE", "TCS");
    frame::tick_frame(&instrument, Mode::Ltp, "b", value.to_string().as_bytes())
}

/// What a client reads, value by value, and how many it is told were left out before each.
fn told(outbox: &mut Outbox) -> Vec<(u64, u64)> {
    let mut values = Vec::new();
    loop {
        let mut out = Vec::new();
        if outbox.drain_into(&mut out, 1) == 0 {
            return values;
        }
        outbox.check();
        let json: serde_json::Value =
            serde_json::from_slice(frame::payload(&out).unwrap()).unwrap();
        values.push((json["data"].as_u64().unwrap(), json["skipped"].as_u64().unwrap_or(0)));
    }
}

const ROOMY: OutboxLimits = OutboxLimits { tick_bytes_max: 10_000, ..LIMITS };

fn filled(policy: OutboxPolicy, ticks: &[(u64, u32)]) -> Outbox {
    let mut outbox = Outbox::default();
    for &(route, value) in ticks {
        outbox.push_tick_by(policy, &ROOMY, RouteId(route), tick(value)).unwrap();
    }
    outbox
}

#[test]
fn a_client_that_conflates_is_told_how_many_values_it_missed_of_each_topic() {
    let ticks = [(1, 10), (2, 20), (2, 21), (1, 11), (2, 22), (1, 12), (2, 23)];
    let mut outbox = filled(OutboxPolicy::Conflate, &ticks);
    assert_eq!(told(&mut outbox), [(10, 0), (20, 0), (23, 2), (12, 1)]);
    outbox.push_tick(&ROOMY, RouteId(2), tick(24)).unwrap();
    assert_eq!(told(&mut outbox), [(24, 0)], "it has been told once");
}

#[test]
fn what_was_left_out_before_it_came_here_is_added() {
    let mut outbox = filled(OutboxPolicy::Conflate, &[(1, 10), (1, 11)]);
    for (value, before) in [(15, 3), (16, 0), (20, 3)] {
        let tick = lagging::told(tick(value), before);
        outbox.push_tick(&ROOMY, RouteId(1), tick).unwrap();
    }
    assert_eq!(told(&mut outbox), [(10, 0), (11, 0), (20, 8)], "12 to 19");
}

#[test]
fn a_client_whose_oldest_are_dropped_is_told_with_the_next_of_the_topic() {
    let ticks = [(1, 10), (2, 20), (1, 11), (1, 12), (2, 21), (2, 22)];
    let mut outbox = filled(OutboxPolicy::DropOldest, &ticks);
    assert_eq!(told(&mut outbox), [(21, 1), (22, 0)], "of topic 1 nothing waits");
    outbox.push_tick_by(OutboxPolicy::DropOldest, &ROOMY, RouteId(1), tick(13)).unwrap();
    assert_eq!(told(&mut outbox), [(13, 3)], "10, 11 and 12");
}

#[test]
fn what_a_dropped_tick_has_told_is_not_lost_with_it() {
    let mut outbox = Outbox::default();
    for (value, before) in [(5, 4), (6, 0), (7, 0)] {
        let tick = lagging::told(tick(value), before);
        outbox.push_tick_by(OutboxPolicy::DropOldest, &ROOMY, RouteId(1), tick).unwrap();
    }
    assert_eq!(told(&mut outbox), [(6, 5), (7, 0)]);
}

#[test]
fn a_new_subscription_hears_nothing_of_what_the_old_one_missed() {
    for policy in [OutboxPolicy::Conflate, OutboxPolicy::DropOldest] {
        let mut outbox = filled(policy, &[(1, 10), (2, 20), (1, 11), (1, 12), (1, 13)]);
        outbox.forget(&[RouteId(1)]);
        assert_eq!(outbox.untold().find(|route| *route == RouteId(1)), None);
        outbox.push_tick_by(policy, &ROOMY, RouteId(1), tick(14)).unwrap();
        let of_the_new = told(&mut outbox).into_iter().find(|(value, _)| *value == 14);
        assert_eq!(of_the_new, Some((14, 0)), "{policy:?}");
    }
}

#[test]
fn the_latest_of_many_large_topics_have_a_bound_in_bytes() {
    let limits =
        OutboxLimits { ticks_max: 10, tick_bytes_max: 5_000, latest_bytes_max: 20_000, ..LIMITS };
    let mut outbox = Outbox::default();
    let large = |value: u64| {
        let data = format!("{{\"value\":{value},\"filler\":\"{}\"}}", "x".repeat(900));
        frame::tick_frame(&Instrument::new("NSE", "TCS"), Mode::Depth, "b", data.as_bytes())
    };
    let mut push = |value: u64, route: u64| {
        let pushed = outbox.push_tick(&limits, RouteId(route), large(value));
        outbox.check();
        assert!(outbox.bytes() <= 5_000 + 1_100 + 20_000, "{} bytes wait", outbox.bytes());
        pushed
    };
    let overflowed = (0..1_000).find(|value| push(*value, value % 500).is_err());
    assert!(overflowed.is_some_and(|value| value > 20), "{overflowed:?}");
    let few = (0..1_000).find(|value| push(*value, 10 + value % 5).is_err());
    assert_eq!(few, None, "the few that lag already are replaced for ever");
}

#[test]
fn a_single_value_that_is_larger_than_all_may_be_waits_alone() {
    let limits = OutboxLimits { ticks_max: 0, latest_bytes_max: 10, ..LIMITS };
    let mut outbox = Outbox::default();
    for value in [1, 2] {
        outbox.push_tick(&limits, RouteId(1), tick(value)).unwrap();
    }
    assert_eq!(outbox.push_tick(&limits, RouteId(2), tick(3)), Err(Overflow));
    assert_eq!(told(&mut outbox), [(2, 1)]);
}

#[test]
fn a_client_that_reads_a_little_now_and_then_costs_a_bounded_number_of_bytes() {
    let limits =
        OutboxLimits { ticks_max: 10, tick_bytes_max: 5_000, latest_bytes_max: 40_000, ..LIMITS };
    let mut outbox = Outbox::default();
    let (mut most, mut caught_up) = (0, 0);
    for round in 0..2_000_u64 {
        for step in 0..7 {
            let route = (round * 7 + step) % 30;
            let data = format!("\"{}\"", "x".repeat(900 + usize::try_from(route).unwrap()));
            let instrument = Instrument::new("NSE", "TCS");
            let tick = frame::tick_frame(&instrument, Mode::Depth, "b", data.as_bytes());
            outbox.push_tick(&limits, RouteId(route), tick).unwrap();
            most = most.max(outbox.bytes());
        }
        let lagged = outbox.lagging.len();
        outbox.drain_into(&mut Vec::new(), 2_000);
        caught_up += usize::from(outbox.lagging.len() < lagged);
        outbox.check();
    }
    assert!(caught_up > 50, "it has caught up {caught_up} times");
    let telling = 31 * 30;
    assert!(most <= 40_000 + telling + 40_000, "{most} bytes wait");
    assert!(most > 50_000, "what it catches up with and what lags behind: {most} bytes");
}

#[test]
fn the_latest_values_may_be_just_as_many_bytes_as_they_may() {
    let limits = OutboxLimits { ticks_max: 0, latest_bytes_max: 4, ..LIMITS };
    let mut outbox = Outbox::new(Content::Broadcasts);
    assert_eq!(outbox.push_tick(&limits, RouteId(1), frame("aa")), Ok(false));
    assert_eq!(outbox.push_tick(&limits, RouteId(2), frame("bb")), Ok(false));
    assert_eq!(outbox.push_tick(&limits, RouteId(3), frame("c")), Err(Overflow));
    assert_eq!(drained(&mut outbox), "aabb");
}

#[test]
fn whoever_drops_broadcasts_has_nothing_to_tell() {
    let mut outbox = Outbox::new(Content::Broadcasts);
    for text in ["a", "b", "c"] {
        outbox.push_tick_by(OutboxPolicy::DropOldest, &LIMITS, RouteId(1), frame(text)).unwrap();
    }
    assert_eq!(outbox.untold().count(), 0);
    assert_eq!(drained(&mut outbox), "bc");
}
