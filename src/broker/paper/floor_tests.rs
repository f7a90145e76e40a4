//! Tests of the trading floor on a clock made of numbers.

use super::super::desk::Change;
use super::floor::{FIRST_TICK_MS, Floor, IDLE_MARKETS_MAX, Now, Tick};
use crate::topic::{Instrument, Mode, Topic};

const PERIOD_MS: u64 = 500;

fn at(clock_ms: u64) -> Now {
    Now { clock_ms, unix_ms: 1_700_000_000_000 + clock_ms }
}

fn topic(symbol: &str, mode: Mode) -> Topic {
    Topic::new(Instrument::new("NSE", symbol), mode)
}

fn start(floor: &mut Floor, symbol: &str, mode: Mode, at_ms: u64) {
    floor.apply(&Change::Started(topic(symbol, mode)), at(at_ms));
}

fn stop(floor: &mut Floor, symbol: &str, mode: Mode, at_ms: u64) {
    floor.apply(&Change::Stopped(topic(symbol, mode)), at(at_ms));
}

/// Every tick until then, with its time.
fn run(floor: &mut Floor, until_ms: u64) -> Vec<(u64, Tick)> {
    let mut seen = Vec::new();
    while let Some(due_ms) = floor.next_due_ms().filter(|due_ms| *due_ms <= until_ms) {
        let mut ticks = Vec::new();
        floor.trade(at(due_ms), usize::MAX, &mut ticks);
        seen.extend(ticks.into_iter().map(|tick| (due_ms, tick)));
    }
    seen
}

fn of<'a>(ticks: &'a [(u64, Tick)], topic: &str) -> Vec<&'a (u64, Tick)> {
    ticks.iter().filter(|(_, tick)| tick.topic == topic.as_bytes()).collect()
}

#[test]
fn a_topic_ticks_soon_and_then_at_its_pace() {
    let mut floor = Floor::new(1, PERIOD_MS);
    start(&mut floor, "TCS", Mode::Ltp, 1_000);
    let ticks = run(&mut floor, 11_000);

    assert_eq!(ticks[0].0, 1_000 + FIRST_TICK_MS);
    assert!((20..=22).contains(&ticks.len()), "two a second for ten seconds: {}", ticks.len());
    assert!(ticks[1].0 - ticks[0].0 <= PERIOD_MS);
    for pair in ticks[1..].windows(2) {
        assert_eq!(pair[1].0 - pair[0].0, PERIOD_MS);
    }
    for (number, (_, tick)) in ticks.iter().enumerate() {
        let payload: serde_json::Value = serde_json::from_slice(&tick.payload).unwrap();
        assert_eq!(payload["seq"], number + 1);
    }
}

#[test]
fn prices_do_not_depend_on_what_else_is_subscribed() {
    let mut alone = Floor::new(1, PERIOD_MS);
    start(&mut alone, "TCS", Mode::Quote, 0);
    let expected = run(&mut alone, 5_000);

    let mut busy = Floor::new(1, PERIOD_MS);
    start(&mut busy, "INFY", Mode::Depth, 0);
    start(&mut busy, "TCS", Mode::Quote, 0);
    start(&mut busy, "TCS", Mode::Ltp, 0);
    start(&mut busy, "RELIANCE", Mode::Ltp, 0);
    let ticks = run(&mut busy, 5_000);

    let seen = of(&ticks, "NSE_TCS_QUOTE");
    assert_eq!(seen, expected.iter().collect::<Vec<_>>());
}

#[test]
fn modes_of_one_instrument_tell_the_same_price_at_the_same_time() {
    let mut floor = Floor::new(1, PERIOD_MS);
    start(&mut floor, "TCS", Mode::Ltp, 0);
    start(&mut floor, "TCS", Mode::Depth, 700);
    let ticks = run(&mut floor, 5_000);
    let price = |tick: &Tick| -> String {
        let payload: serde_json::Value = serde_json::from_slice(&tick.payload).unwrap();
        payload["ltp"].to_string()
    };

    let ltp: Vec<_> = of(&ticks, "NSE_TCS_LTP");
    let mut compared = 0;
    for (at_ms, depth) in of(&ticks, "NSE_TCS_DEPTH").into_iter().skip(1) {
        let same = ltp.iter().find(|(ltp_ms, _)| ltp_ms == at_ms).unwrap();
        assert_eq!(price(&same.1), price(depth));
        compared += 1;
    }
    assert!(compared >= 7);
}

#[test]
fn a_stopped_topic_is_silent_and_a_restarted_one_goes_on_with_its_day() {
    let mut floor = Floor::new(1, PERIOD_MS);
    start(&mut floor, "TCS", Mode::Quote, 0);
    let before = run(&mut floor, 2_000);
    stop(&mut floor, "TCS", Mode::Quote, 2_000);
    assert_eq!(floor.next_due_ms(), None);

    start(&mut floor, "TCS", Mode::Quote, 9_000);
    let after = run(&mut floor, 10_000);
    let read = |tick: &Tick| -> (u64, u64, u64) {
        let payload: serde_json::Value = serde_json::from_slice(&tick.payload).unwrap();
        let number = |name: &str| payload[name].as_u64().unwrap();
        (number("seq"), number("volume"), number("timestamp"))
    };
    let (last, next) = (read(&before.last().unwrap().1), read(&after[0].1));
    assert_eq!(next.0, last.0 + 1);
    assert!(next.1 > last.1 && next.2 > last.2);
}

#[test]
fn a_topic_stopped_before_its_first_tick_never_ticks() {
    let mut floor = Floor::new(1, PERIOD_MS);
    start(&mut floor, "TCS", Mode::Ltp, 0);
    start(&mut floor, "TCS", Mode::Quote, 0);
    stop(&mut floor, "TCS", Mode::Ltp, 10);
    let ticks = run(&mut floor, 5_000);
    assert!(of(&ticks, "NSE_TCS_LTP").is_empty());
    assert!(!of(&ticks, "NSE_TCS_QUOTE").is_empty());
}

#[test]
fn a_floor_that_overslept_does_not_make_up_for_it() {
    let mut floor = Floor::new(1, PERIOD_MS);
    start(&mut floor, "TCS", Mode::Ltp, 0);
    let mut ticks = Vec::new();
    floor.trade(at(60_000), usize::MAX, &mut ticks);
    assert_eq!(ticks.len(), 2, "the first tick and one round");
    assert_eq!(floor.next_due_ms(), Some(60_500));
}

#[test]
fn idle_markets_are_forgotten_beyond_a_limit() {
    let mut floor = Floor::new(1, PERIOD_MS);
    for number in 0..IDLE_MARKETS_MAX + 1 {
        start(&mut floor, &format!("S{number}"), Mode::Ltp, 0);
        run(&mut floor, FIRST_TICK_MS);
        stop(&mut floor, &format!("S{number}"), Mode::Ltp, FIRST_TICK_MS);
    }
    start(&mut floor, "S0", Mode::Ltp, 100);
    start(&mut floor, "S1", Mode::Ltp, 101);
    let ticks = run(&mut floor, 101 + FIRST_TICK_MS);
    let seq = |tick: &Tick| -> u64 {
        let payload: serde_json::Value = serde_json::from_slice(&tick.payload).unwrap();
        payload["seq"].as_u64().unwrap()
    };
    assert_eq!(seq(&of(&ticks, "NSE_S0_LTP")[0].1), 1, "forgotten");
    assert_eq!(seq(&of(&ticks, "NSE_S1_LTP")[0].1), 2, "remembered");
}
