//! Stories about the shard: who gets which tick, and what waits for whom.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use tickgate::engine::{Change, Epoch, Orders, RouteId, Shard, ShardTotals};
use tickgate::protocol::frame;
use tickgate::topic::{ClientId, Instrument, Mode};

use crate::hub_support::shards::small_shard;

const A: ClientId = ClientId(1);
const B: ClientId = ClientId(2);
const ROUTE: RouteId = RouteId(7);

fn shard() -> Shard {
    let mut shard = small_shard(4, 4_000);
    shard.attach(A);
    shard.attach(B);
    shard.expect(ROUTE, Epoch(0));
    shard
}

fn tick(price: u32) -> Bytes {
    let data = format!("{{\"ltp\":{price}}}");
    frame::tick_frame(&Instrument::new("NSE", "TCS"), Mode::Ltp, "paper", data.as_bytes())
}

fn text(text: &str) -> Bytes {
    frame::text_frame(text.as_bytes())
}

fn join(shard: &mut Shard, client: ClientId) {
    let change = Change { add: vec![ROUTE], ..Change::default() };
    shard.deliver(client, change, Some(text("subscribed")));
}

fn leave(shard: &mut Shard, client: ClientId) {
    let change = Change { remove: vec![ROUTE], ..Change::default() };
    shard.deliver(client, change, Some(text("unsubscribed")));
}

/// What a client would read now, frame by frame: prices, snapshots as `snap N`, texts.
fn read(shard: &mut Shard, client: ClientId) -> Vec<String> {
    shard.check();
    let mut out = Vec::new();
    shard.drain_into(client, &mut out, usize::MAX);
    let mut words = Vec::new();
    let mut at = 0;
    while at < out.len() {
        let (header, len) = match out[at + 1] {
            126 => (4, usize::from(u16::from_be_bytes([out[at + 2], out[at + 3]]))),
            len => (2, usize::from(len)),
        };
        let payload = &out[at + header..at + header + len];
        words.push(if out[at] & 0x0f == 8 {
            format!("close {}", u16::from_be_bytes([payload[0], payload[1]]))
        } else {
            word(std::str::from_utf8(payload).unwrap())
        });
        at += header + len;
    }
    words
}

fn word(payload: &str) -> String {
    let Ok(json) = serde_json::from_str::<serde_json::Value>(payload) else {
        return payload.to_owned();
    };
    let price = &json["data"]["ltp"];
    if json["snapshot"] == true { format!("snap {price}") } else { price.to_string() }
}

#[test]
fn a_tick_reaches_everyone_on_its_route_and_nobody_else() {
    let mut shard = shard();
    join(&mut shard, A);
    shard.tick(ROUTE, &tick(1));
    shard.tick(RouteId(99), &tick(2));
    assert_eq!(read(&mut shard, A), ["subscribed", "1"]);
    assert!(read(&mut shard, B).is_empty());
    assert_eq!(shard.totals().unrouted, 1);
}

#[test]
fn a_newcomer_gets_its_answer_then_the_last_value_once_then_what_follows() {
    let mut shard = shard();
    join(&mut shard, A);
    shard.tick(ROUTE, &tick(1));
    shard.tick(ROUTE, &tick(2));
    join(&mut shard, B);
    shard.tick(ROUTE, &tick(3));
    assert_eq!(read(&mut shard, B), ["subscribed", "snap 2", "3"]);
}

#[test]
fn a_value_that_came_before_anybody_joined_is_kept_for_the_first() {
    let mut shard = shard();
    shard.tick(ROUTE, &tick(1));
    join(&mut shard, A);
    assert_eq!(read(&mut shard, A), ["subscribed", "snap 1"]);
}

#[test]
fn rc_010_no_tick_follows_the_answer_to_an_unsubscribe_even_from_the_queue() {
    let mut shard = shard();
    join(&mut shard, A);
    for price in 1..=9 {
        shard.tick(ROUTE, &tick(price));
    }
    leave(&mut shard, A);
    shard.tick(ROUTE, &tick(10));
    assert_eq!(read(&mut shard, A), ["subscribed", "unsubscribed"]);
}

#[test]
fn a_route_that_was_forgotten_starts_without_a_last_value() {
    let mut shard = shard();
    join(&mut shard, A);
    shard.tick(ROUTE, &tick(1));
    leave(&mut shard, A);
    shard.forget(ROUTE);
    shard.expect(RouteId(8), Epoch(0));
    let change = Change { add: vec![RouteId(8)], ..Change::default() };
    shard.deliver(A, change, None);
    assert_eq!(read(&mut shard, A), ["subscribed", "unsubscribed"]);
}

#[test]
fn a_route_that_began_anew_has_nothing_of_those_who_have_not_heard_of_it() {
    let mut shard = shard();
    shard.set_heard(Epoch(1));
    shard.tick(ROUTE, &tick(1));
    shard.forget(ROUTE);
    shard.expect(ROUTE, Epoch(3));
    let before = shard.totals().unrouted;
    for heard in [1, 2] {
        shard.set_heard(Epoch(heard));
        shard.tick(ROUTE, &tick(2));
    }
    assert_eq!(shard.totals().unrouted - before, 2);
    join(&mut shard, A);
    shard.tick(ROUTE, &tick(3));
    for heard in [3, 4] {
        shard.set_heard(Epoch(heard));
        shard.tick(ROUTE, &tick(heard.try_into().unwrap()));
    }
    assert_eq!(read(&mut shard, A), ["subscribed", "3", "4"]);
}

#[test]
fn who_comes_and_goes_is_work_as_ticks_are() {
    let mut shard = shard();
    let mut worked = || {
        join(&mut shard, A);
        let joined = shard.work();
        leave(&mut shard, A);
        (joined, shard.work())
    };
    let (first, second) = worked();
    assert!(0 < first && first < second, "{first} {second}");
    let (third, fourth) = worked();
    assert_eq!((third - second, fourth - third), (first, second - first));
    join(&mut shard, A);
    join(&mut shard, B);
    let joined = shard.work();
    assert_eq!(joined - fourth, 2 * first);
    shard.tick(ROUTE, &tick(1));
    assert_eq!(shard.work() - joined, 2, "a tick for each of two");
    assert!(first > 2, "who comes is more work than a tick");
}

#[test]
fn whoever_has_an_answer_to_read_is_urgent_and_whoever_has_ticks_is_not() {
    let mut shard = shard();
    join(&mut shard, A);
    assert!(shard.has_urgent());
    assert_eq!((shard.pop_urgent(), shard.has_urgent()), (Some(A), false));
    read(&mut shard, A);
    shard.tick(ROUTE, &tick(1));
    assert_eq!((shard.pop_urgent(), shard.has_dirty()), (None, true));
}

#[test]
fn a_sleeper_gets_the_oldest_few_and_the_latest_and_disturbs_nobody() {
    let mut shard = shard();
    join(&mut shard, A);
    join(&mut shard, B);
    let mut read_by_b = Vec::new();
    for price in 1..=9 {
        shard.tick(ROUTE, &tick(price));
        read_by_b.extend(read(&mut shard, B));
    }
    assert_eq!(read(&mut shard, A), ["subscribed", "1", "2", "3", "4", "9"]);
    assert_eq!(read_by_b.len(), 10);
    assert_eq!(shard.totals().conflated, 4);
}

#[test]
fn order_updates_go_to_the_followers_of_their_user_only() {
    let mut shard = shard();
    let follow = |user: &str| Change { orders: Orders::Follow(user.into()), ..Change::default() };
    shard.deliver(A, follow("alice"), None);
    shard.deliver(B, follow("bob"), None);
    shard.order(&"alice".into(), &text("filled"));
    assert_eq!(read(&mut shard, A), ["filled"]);
    assert!(read(&mut shard, B).is_empty());

    shard.deliver(A, Change { orders: Orders::Stop, ..Change::default() }, None);
    shard.order(&"alice".into(), &text("filled"));
    assert!(read(&mut shard, A).is_empty());
}

#[test]
fn a_socket_that_takes_nothing_for_too_long_is_told() {
    let mut shard = shard();
    shard.stalls(A);
    shard.stalls(ClientId(9));
    assert_eq!(shard.next_deadline_ms(), Some(60_000), "nobody else is here");
    shard.set_now(59_999);
    shard.stalls(A);
    assert_eq!(shard.pop_stalled(), None);
    shard.set_now(60_000);
    assert_eq!(shard.pop_stalled(), Some(A), "it has not moved in between");
    assert_eq!((shard.pop_stalled(), shard.totals().stalls), (None, 1));
}

#[test]
fn a_socket_that_takes_something_or_is_gone_does_not_stall() {
    let mut shard = shard();
    shard.stalls(A);
    shard.stalls(B);
    shard.moves(A);
    shard.detach(B);
    assert_eq!(shard.next_deadline_ms(), None);
}

#[test]
fn too_many_unread_answers_close_the_client_with_1013() {
    let mut shard = shard();
    join(&mut shard, A);
    for _ in 0..50 {
        shard.control(A, text("an answer of some length"));
    }
    assert_eq!(read(&mut shard, A), ["close 1013"]);
    assert!(shard.is_finished(A));
    assert_eq!(shard.totals().overflows, 1);
    shard.tick(ROUTE, &tick(1));
    assert!(read(&mut shard, A).is_empty(), "a client being closed gets nothing more");
}

#[test]
fn a_close_comes_after_what_waits_and_has_a_deadline() {
    let mut shard = shard();
    shard.set_now(500);
    shard.control(A, text("answer"));
    shard.close(A, 4401, "auth timeout");
    assert!(!shard.is_finished(A));
    assert_eq!(shard.next_deadline_ms(), Some(1_500));
    assert_eq!(read(&mut shard, A), ["answer", "close 4401"]);
    assert!(shard.is_finished(A));
    shard.set_now(1_499);
    assert_eq!(shard.pop_overdue(), None);
    shard.set_now(1_500);
    assert_eq!(shard.pop_overdue(), Some(A));
}

#[test]
fn a_close_is_the_last_word_even_to_a_client_that_lags() {
    let mut shard = shard();
    join(&mut shard, A);
    for price in 1..=9 {
        shard.tick(ROUTE, &tick(price));
    }
    shard.close(A, 1012, "restarting");
    assert_eq!(read(&mut shard, A), ["subscribed", "1", "2", "3", "4", "9", "close 1012"]);
}

#[test]
fn nothing_follows_the_reply_to_a_close_that_the_client_sent() {
    let mut shard = shard();
    join(&mut shard, A);
    shard.tick(ROUTE, &tick(1));
    shard.close_with(A, frame::close_frame(1000, ""));
    shard.tick(ROUTE, &tick(2));
    shard.deliver(A, Change::default(), Some(text("an answer")));
    shard.control(A, text("a pong"));
    assert_eq!(read(&mut shard, A), ["subscribed", "1", "close 1000"]);
    assert!(shard.is_finished(A));
}

#[test]
fn a_client_that_left_leaves_nothing_behind() {
    let mut shard = shard();
    join(&mut shard, A);
    shard.deliver(A, Change { orders: Orders::Follow("a".into()), ..Change::default() }, None);
    join(&mut shard, B);
    shard.tick(ROUTE, &tick(1));
    shard.detach(A);
    shard.check();
    shard.tick(ROUTE, &tick(2));
    assert_eq!(read(&mut shard, B).last().unwrap(), "2");
    shard.detach(B);
    shard.forget(ROUTE);
    shard.check();
    assert_eq!((shard.clients(), shard.routes(), shard.outbox_bytes()), (0, (0, 0), 0));
    assert_eq!(shard.pop_dirty(), None);
}

#[test]
fn every_client_with_news_is_named_once() {
    let mut shard = shard();
    join(&mut shard, A);
    join(&mut shard, B);
    shard.tick(ROUTE, &tick(1));
    assert_eq!(shard.pop_dirty(), Some(A));
    assert_eq!(shard.pop_dirty(), Some(B));
    assert_eq!(shard.pop_dirty(), None);
}

#[test]
fn every_counter_of_a_shard_counts_what_it_says() {
    let mut shard = shard();
    for (ticks, client) in [(1, A), (2, B)] {
        join(&mut shard, client);
        for price in 0..ticks {
            shard.tick(ROUTE, &tick(price));
        }
    }
    shard.expect(RouteId(8), Epoch(0));
    // A has three ticks, B a snapshot and two.
    let ticks = 3 * tick(0).len() + 3 * tick(0).len() + r#""snapshot":true,"#.len();
    let bytes = ticks + 2 * text("subscribed").len();
    assert_eq!((shard.clients(), shard.routes(), shard.subscriptions()), (2, (2, 1), 2));
    assert_eq!((shard.outbox_bytes(), shard.outbox_ticks_most()), (bytes, 3));
    for price in 0..3 {
        shard.tick(ROUTE, &tick(price));
        shard.tick(RouteId(9), &tick(price));
    }
    let follow = Change { orders: Orders::Follow("alice".into()), ..Change::default() };
    shard.deliver(A, follow, None);
    for _ in 0..2 {
        shard.order(&"alice".into(), &text("filled"));
    }
    for client in [A, B] {
        shard.control(client, Bytes::from(vec![0; 401]));
    }
    let expected = ShardTotals {
        ticks: 12,
        conflated: 2,
        unrouted: 3,
        orders: 2,
        overflows: 2,
        stalls: 0,
        ..ShardTotals::default()
    };
    assert_eq!(shard.totals(), expected);
    assert_eq!(shard.outbox_ticks_most(), 0, "whoever is closed for it is rid of them");
}
