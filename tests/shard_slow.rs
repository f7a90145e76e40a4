//! Stories about a shard whose clients are slow: what they learn of what they have missed, and
//! where a subscription begins.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use bytes::Bytes;
use tickgate::config::OutboxPolicy;
use tickgate::engine::{
    Change, Content, Epoch, Manner, OutboxLimits, RouteId, Shard, ShardOptions,
};
use tickgate::protocol::frame;
use tickgate::topic::{ClientId, Instrument, Mode};

const SLOW: ClientId = ClientId(1);
const QUICK: ClientId = ClientId(2);
const LIMITS: OutboxLimits = OutboxLimits {
    ticks_max: 2,
    tick_bytes_max: 4_000,
    latest_bytes_max: 4_000,
    control_bytes_max: 400,
};

fn shard(policy: OutboxPolicy) -> Shard {
    let options =
        ShardOptions { outbox: LIMITS, close_timeout_ms: 1_000, stall_timeout_ms: 60_000 };
    let mut shard = Shard::new(options);
    let manner = Manner { policy, ticks_max: LIMITS.ticks_max, content: Content::Ticks };
    shard.attach_by(SLOW, manner);
    shard.attach_by(QUICK, manner);
    for route in 1..=3 {
        shard.expect(RouteId(route), Epoch(0));
    }
    shard
}

fn tick(seq: u64) -> Bytes {
    let instrument = Instrument::new("NSE", "TCS");
    frame::numbered_tick_frame(&instrument, Mode::Ltp, "paper", Some(seq), b"{}")
}

fn join(shard: &mut Shard, client: ClientId, route: u64) {
    let change = Change { add: vec![RouteId(route)], ..Change::default() };
    shard.deliver(client, change, None);
}

fn leave(shard: &mut Shard, client: ClientId, route: u64) {
    let change = Change { remove: vec![RouteId(route)], ..Change::default() };
    shard.deliver(client, change, None);
}

/// What a client reads now: numbers, those of snapshots marked `s`, what was left out as `+n`.
fn read(shard: &mut Shard, client: ClientId) -> Vec<String> {
    let mut words = Vec::new();
    loop {
        shard.check();
        let mut out = Vec::new();
        if shard.drain_into(client, &mut out, 1) == 0 {
            return words;
        }
        if out[0] & 0x0f == 8 {
            words.push(format!("close {}", u16::from_be_bytes([out[2], out[3]])));
            continue;
        }
        let tick: serde_json::Value =
            serde_json::from_slice(frame::payload(&out).unwrap()).unwrap();
        let mut word = tick["seq"].to_string();
        if tick["snapshot"] == true {
            word.insert(0, 's');
        }
        if let Some(skipped) = tick["skipped"].as_u64() {
            word.push_str(&format!("+{skipped}"));
        }
        words.push(word);
    }
}

#[test]
fn whoever_keeps_up_shares_bytes_and_whoever_does_not_is_told() {
    let mut shard = shard(OutboxPolicy::Conflate);
    for client in [SLOW, QUICK] {
        join(&mut shard, client, 1);
    }
    for seq in 1..=9 {
        shard.tick(RouteId(1), &tick(seq));
        assert_eq!(read(&mut shard, QUICK), [seq.to_string()]);
    }
    assert_eq!(read(&mut shard, SLOW), ["1", "2", "9+6"]);
    shard.tick(RouteId(1), &tick(10));
    assert_eq!(read(&mut shard, SLOW), ["10"]);
}

#[test]
fn topics_are_conflated_apart() {
    let mut shard = shard(OutboxPolicy::Conflate);
    for route in 1..=3 {
        join(&mut shard, SLOW, route);
    }
    for seq in 1..=4 {
        for route in 1..=3 {
            shard.tick(RouteId(route), &tick(100 * route + seq));
        }
    }
    assert_eq!(read(&mut shard, SLOW), ["101", "201", "304+3", "104+2", "204+2"]);
}

#[test]
fn an_oldest_that_goes_is_told_with_the_next_of_its_topic() {
    let mut shard = shard(OutboxPolicy::DropOldest);
    for route in 1..=2 {
        join(&mut shard, SLOW, route);
    }
    for (route, seq) in [(1, 1), (2, 1), (1, 2), (1, 3), (1, 4)] {
        shard.tick(RouteId(route), &tick(seq));
    }
    assert_eq!(read(&mut shard, SLOW), ["3+2", "4"], "1 and 2 of the one, 1 of the other are gone");
    shard.tick(RouteId(2), &tick(2));
    assert_eq!(read(&mut shard, SLOW), ["2+1"]);
    assert_eq!(shard.totals().dropped, 3);
}

#[test]
fn a_client_that_comes_back_hears_nothing_of_what_it_missed_before() {
    for policy in [OutboxPolicy::Conflate, OutboxPolicy::DropOldest] {
        let mut shard = shard(policy);
        join(&mut shard, QUICK, 1);
        join(&mut shard, SLOW, 1);
        for seq in 1..=6 {
            shard.tick(RouteId(1), &tick(seq));
        }
        leave(&mut shard, SLOW, 1);
        join(&mut shard, SLOW, 1);
        shard.tick(RouteId(1), &tick(7));
        assert_eq!(read(&mut shard, SLOW), ["s6", "7"], "{policy:?}");
    }
}

#[test]
fn a_snapshot_is_the_last_value_and_the_next_tick_follows_it() {
    let mut shard = shard(OutboxPolicy::Conflate);
    // The feed itself has conflated: 2 to 4 never came.
    shard.tick(RouteId(1), &tick(1));
    shard.tick(RouteId(1), &frame::with_skipped(&tick(5), 3));
    join(&mut shard, SLOW, 1);
    shard.tick(RouteId(1), &frame::with_skipped(&tick(8), 2));
    assert_eq!(read(&mut shard, SLOW), ["s5", "8+2"]);
}

#[test]
fn a_snapshot_that_a_tick_replaces_counts_as_left_out() {
    let mut shard = shard(OutboxPolicy::Conflate);
    join(&mut shard, SLOW, 1);
    for seq in 1..=2 {
        shard.tick(RouteId(1), &tick(seq));
    }
    shard.tick(RouteId(2), &tick(7));
    join(&mut shard, SLOW, 2);
    shard.tick(RouteId(2), &tick(8));
    assert_eq!(read(&mut shard, SLOW), ["1", "2", "8+1"]);
}

#[test]
fn a_subscription_without_a_snapshot_begins_with_the_next_tick() {
    let mut shard = shard(OutboxPolicy::Conflate);
    for route in 1..=2 {
        shard.tick(RouteId(route), &tick(route));
    }
    let without_snapshot = [RouteId(2)].into_iter().collect();
    let add = vec![RouteId(1), RouteId(2)];
    shard.deliver(SLOW, Change { add, without_snapshot, ..Change::default() }, None);
    shard.tick(RouteId(2), &tick(3));
    assert_eq!(read(&mut shard, SLOW), ["s1", "3"]);
}

#[test]
fn latest_values_that_are_too_many_bytes_close_their_client_and_nobody_else() {
    let mut shard = shard(OutboxPolicy::Conflate);
    let large = |route: u64| {
        let data = format!("\"{}\"", "x".repeat(900));
        let instrument = Instrument::new("NSE", "TCS");
        frame::numbered_tick_frame(&instrument, Mode::Ltp, "p", Some(route), data.as_bytes())
    };
    for route in 4..=20 {
        shard.expect(RouteId(route), Epoch(0));
        join(&mut shard, SLOW, route);
        join(&mut shard, QUICK, route);
    }
    for route in 4..=20 {
        shard.tick(RouteId(route), &large(route));
        assert_eq!(read(&mut shard, QUICK), [route.to_string()]);
    }
    // Two in order, and 4,000 bytes of the latest.
    assert_eq!(read(&mut shard, SLOW), ["4", "5", "6", "7", "8", "9", "close 1013"]);
    let totals = shard.totals();
    assert_eq!((totals.overflows, totals.latest_overflows, totals.tick_overflows), (1, 1, 0));
}

#[test]
fn snapshots_for_which_there_is_no_room_are_left_out_and_nobody_is_closed() {
    for policy in [OutboxPolicy::Conflate, OutboxPolicy::Disconnect] {
        let mut shard = shard(policy);
        let data = format!("\"{}\"", "x".repeat(1_500));
        let instrument = Instrument::new("NSE", "TCS");
        for route in 1..=9 {
            shard.expect(RouteId(route), Epoch(0));
            let data = data.as_bytes();
            let tick = frame::numbered_tick_frame(&instrument, Mode::Ltp, "p", Some(route), data);
            shard.tick(RouteId(route), &tick);
        }
        let add = (1..=9).map(RouteId).collect();
        shard.deliver(SLOW, Change { add, ..Change::default() }, None);
        let expected: &[&str] = match policy {
            OutboxPolicy::Conflate => &["s1", "s2", "s3", "s4"],
            OutboxPolicy::Disconnect | OutboxPolicy::DropOldest => &["s1", "s2"],
        };
        assert_eq!(read(&mut shard, SLOW), expected, "two in order, 4,000 bytes of the latest");
        assert_eq!(shard.totals().ticks, expected.len() as u64);
        shard.tick(RouteId(9), &tick(10));
        assert_eq!(read(&mut shard, SLOW), ["10"], "it is subscribed");
    }
}

/// However ticks, reads and subscriptions fall together: whoever adds up what it reads and what it
/// is told to have missed knows which tick is next.
#[test]
fn whatever_happens_the_numbers_add_up() {
    for policy in [OutboxPolicy::Conflate, OutboxPolicy::DropOldest] {
        let mut random = 7_u64;
        let mut below = move |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % n
        };
        let mut shard = shard(policy);
        let (mut seqs, mut told) = ([0_u64; 4], 0);
        let mut next: BTreeMap<u64, Option<u64>> = BTreeMap::new();
        for _ in 0..20_000 {
            let route = 1 + below(3);
            match below(12) {
                0 => match next.remove(&route) {
                    Some(_) => leave(&mut shard, SLOW, route),
                    None => {
                        join(&mut shard, SLOW, route);
                        next.insert(route, None);
                    }
                },
                1..3 => {
                    let mut out = Vec::new();
                    shard.drain_into(SLOW, &mut out, 1);
                    let Some(json) = frame::payload(&out) else { continue };
                    let tick: serde_json::Value = serde_json::from_slice(json).unwrap();
                    let (seq, route) = (tick["seq"].as_u64().unwrap(), tick["data"].as_u64());
                    let skipped = tick["skipped"].as_u64().unwrap_or_default();
                    told += u64::from(skipped > 0);
                    let expected = next.get_mut(&route.unwrap()).expect("it holds the topic");
                    if let Some(expected) = *expected {
                        assert_eq!(seq, expected + skipped, "{policy:?}: {tick}");
                    }
                    *expected = Some(seq + 1);
                }
                _ => {
                    let seq = &mut seqs[usize::try_from(route).unwrap()];
                    *seq += 1;
                    let instrument = Instrument::new("NSE", "TCS");
                    let data = route.to_string();
                    let tick = frame::numbered_tick_frame(
                        &instrument,
                        Mode::Ltp,
                        "paper",
                        Some(*seq),
                        data.as_bytes(),
                    );
                    shard.tick(RouteId(route), &tick);
                }
            }
            shard.check();
        }
        assert!(told > 100, "{policy:?}: {told} were told of a gap");
    }
}

#[test]
fn whoever_is_closed_for_an_answer_is_on_no_route_behind_it() {
    for pace_ms in [0, 100] {
        let mut shard = shard(OutboxPolicy::Conflate);
        shard.tick(RouteId(1), &tick(1));
        let answer = |bytes: usize| Some(frame::text_frame(&vec![b'x'; bytes]));
        shard.deliver(SLOW, Change::default(), answer(300));
        let mut change = Change { add: vec![RouteId(1)], ..Change::default() };
        change.paces.extend((pace_ms > 0).then_some((RouteId(1), pace_ms)));
        shard.deliver(SLOW, change, answer(200));
        shard.check();
        assert_eq!(shard.subscriptions(), 0, "it is being closed");
        shard.tick(RouteId(1), &tick(2));
        assert_eq!(read(&mut shard, SLOW), ["close 1013"], "nothing follows a close");
        assert!(shard.is_finished(SLOW));

        // The hub knows nothing of that: it goes on as if the client had the route.
        leave(&mut shard, SLOW, 1);
        shard.forget(RouteId(1));
        shard.detach(SLOW);
        shard.check();
    }
}
