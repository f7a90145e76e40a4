//! Stories about paces: who gets the latest value, how often, and what is said of the others.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use proptest::prelude::*;
use tickgate::config::OutboxPolicy;
use tickgate::engine::{
    Change, Content, Epoch, Manner, OutboxLimits, RouteId, Shard, ShardOptions,
};
use tickgate::protocol::frame;
use tickgate::topic::{ClientId, Instrument, Mode};

use crate::hub_support::shards::small_shard;

const A: ClientId = ClientId(1);
const B: ClientId = ClientId(2);
const ROUTE: RouteId = RouteId(7);

fn shard() -> Shard {
    let mut shard = small_shard(4, 40_000);
    shard.attach(A);
    shard.attach(B);
    shard.expect(ROUTE, Epoch(0));
    shard
}

fn tick(price: u64) -> Bytes {
    let data = format!("{{\"ltp\":{price}}}");
    frame::tick_frame(&Instrument::new("NSE", "TCS"), Mode::Ltp, "paper", data.as_bytes())
}

/// Joins at an interval; 0: at none.
fn join(shard: &mut Shard, client: ClientId, interval_ms: u64) {
    let mut change = Change { add: vec![ROUTE], ..Change::default() };
    if interval_ms > 0 {
        change.paces.insert(ROUTE, interval_ms);
    }
    shard.deliver(client, change, None);
}

fn leave(shard: &mut Shard, client: ClientId) {
    let change = Change { remove: vec![ROUTE], ..Change::default() };
    shard.deliver(client, change, None);
}

/// Time goes on; the shard is asked when it said that it wants to be, and not otherwise.
fn at(shard: &mut Shard, now_ms: u64) {
    while let Some(due_ms) = shard.next_deadline_ms().filter(|due_ms| *due_ms <= now_ms) {
        shard.set_now(due_ms);
        shard.fire_paces();
        shard.check();
    }
    shard.set_now(now_ms);
}

/// What a client would read now: prices, `snap` in front of snapshots, `+N` behind if values before
/// were skipped.
fn read(shard: &mut Shard, client: ClientId) -> Vec<String> {
    shard.check();
    let mut out = Vec::new();
    shard.drain_into(client, &mut out, usize::MAX);
    let mut words = Vec::new();
    let mut rest = &out[..];
    while !rest.is_empty() {
        let (header, len) = match rest[1] {
            126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
            len => (2, usize::from(len)),
        };
        let (frame, behind) = rest.split_at(header + len);
        rest = behind;
        if frame[0] & 0x0f == 8 {
            words.push("close".to_owned());
            continue;
        }
        let json: serde_json::Value = serde_json::from_slice(&frame[header..]).unwrap();
        let snapshot = if json["snapshot"] == true { "snap " } else { "" };
        let skipped = json["skipped"].as_u64().map_or_else(String::new, |n| format!(" +{n}"));
        words.push(format!("{snapshot}{}{skipped}", json["data"]["ltp"]));
    }
    words
}

#[test]
fn values_that_the_feed_skipped_count_as_withheld() {
    let mut shard = shard();
    join(&mut shard, A, 1_000);
    shard.tick(ROUTE, &tick(1));
    at(&mut shard, 1_000);
    assert_eq!(read(&mut shard, A), ["1"]);
    shard.tick(ROUTE, &frame::with_skipped(&tick(2), 3));
    shard.tick(ROUTE, &frame::with_skipped(&tick(3), 2));
    at(&mut shard, 2_000);
    assert_eq!(read(&mut shard, A), ["3 +6"]);
}

#[test]
fn the_latest_value_comes_at_the_boundary_and_says_how_many_it_stands_for() {
    let mut shard = shard();
    join(&mut shard, A, 100);
    at(&mut shard, 130);
    for price in 1..=3 {
        shard.tick(ROUTE, &tick(price));
    }
    assert!(shard.next_deadline_ms().is_some_and(|due_ms| (130..=200).contains(&due_ms)));
    at(&mut shard, 199);
    assert!(read(&mut shard, A).is_empty());
    at(&mut shard, 200);
    assert_eq!(read(&mut shard, A), ["3 +2"]);
    shard.tick(ROUTE, &tick(4));
    at(&mut shard, 299);
    assert!(read(&mut shard, A).is_empty());
    at(&mut shard, 300);
    assert_eq!(read(&mut shard, A), ["4"]);
    assert_eq!(shard.totals().withheld, 2);
}

#[test]
fn a_route_on_which_nothing_happens_has_no_timer() {
    let mut shard = shard();
    join(&mut shard, A, 100);
    join(&mut shard, B, 250);
    assert_eq!(shard.next_deadline_ms(), None);
    shard.tick(ROUTE, &tick(1));
    at(&mut shard, 1_000);
    assert_eq!(shard.next_deadline_ms(), None, "both have the latest");
    assert_eq!((read(&mut shard, A), read(&mut shard, B)), (vec!["1".into()], vec!["1".into()]));
}

#[test]
fn whoever_comes_in_the_middle_gets_the_last_value_once_and_a_count_of_its_own() {
    let mut shard = shard();
    join(&mut shard, A, 100);
    for price in 1..=3 {
        shard.tick(ROUTE, &tick(price));
    }
    join(&mut shard, B, 100);
    assert_eq!(read(&mut shard, B), ["snap 3"]);
    at(&mut shard, 100);
    assert!(read(&mut shard, B).is_empty(), "it has that one");
    assert_eq!(read(&mut shard, A), ["3 +2"]);
    shard.tick(ROUTE, &tick(4));
    leave(&mut shard, B);
    join(&mut shard, B, 100);
    for price in 5..=6 {
        shard.tick(ROUTE, &tick(price));
    }
    at(&mut shard, 200);
    assert_eq!(read(&mut shard, A), ["6 +2"]);
    assert_eq!(read(&mut shard, B), ["snap 4", "6 +1"]);
}

#[test]
fn whoever_gets_every_value_is_not_asked_for_patience() {
    let mut shard = shard();
    join(&mut shard, A, 100);
    join(&mut shard, B, 0);
    shard.tick(ROUTE, &tick(1));
    shard.tick(ROUTE, &tick(2));
    assert_eq!(read(&mut shard, B), ["1", "2"]);
    assert!(read(&mut shard, A).is_empty());
    assert_eq!((shard.subscriptions(), shard.paced()), (2, 1));
}

#[test]
fn no_value_follows_the_answer_to_an_unsubscribe_and_no_timer_is_left() {
    let mut shard = shard();
    join(&mut shard, A, 100);
    join(&mut shard, B, 200);
    shard.tick(ROUTE, &tick(1));
    leave(&mut shard, A);
    shard.close(B, 1008, "out");
    shard.check();
    assert_eq!(shard.next_deadline_ms(), Some(1_000), "until when it may read its close");
    shard.set_now(500);
    shard.fire_paces();
    assert!(read(&mut shard, A).is_empty());
    assert_eq!(read(&mut shard, B), ["close"]);
    shard.detach(A);
    shard.detach(B);
    shard.forget(ROUTE);
    shard.check();
    assert_eq!(shard.paced(), 0);
}

#[test]
fn a_paced_client_that_lags_is_served_as_its_channel_says() {
    let mut shard = shard();
    shard.detach(B);
    shard.attach_by(
        B,
        Manner { policy: OutboxPolicy::Disconnect, ticks_max: 2, content: Content::Ticks },
    );
    for client in [A, B] {
        join(&mut shard, client, 10);
    }
    for price in 1..=9 {
        shard.tick(ROUTE, &tick(price));
        at(&mut shard, price * 10);
    }
    let (lagged, closed) = (read(&mut shard, A), read(&mut shard, B));
    assert_eq!(lagged[..4], ["1", "2", "3", "4"]);
    assert!(lagged[4].starts_with('9'), "{lagged:?}");
    assert_eq!(closed, ["1", "2", "close"]);
    assert_eq!(shard.paced(), 1);
}

#[test]
fn whoever_is_closed_at_a_boundary_is_closed_once_and_gets_no_more() {
    let mut shard = shard();
    shard.detach(B);
    shard.attach_by(
        B,
        Manner { policy: OutboxPolicy::Disconnect, ticks_max: 1, content: Content::Ticks },
    );
    let routes = [7, 8, 9].map(RouteId);
    let mut change = Change { add: routes.into(), ..Change::default() };
    for route in routes {
        shard.expect(route, Epoch(0));
        change.paces.insert(route, 10);
    }
    shard.deliver(B, change, None);
    for route in routes {
        shard.tick(route, &tick(1));
    }
    at(&mut shard, 10);
    assert_eq!(read(&mut shard, B), ["1", "close"]);
    let totals = shard.totals();
    assert_eq!((totals.overflows, totals.tick_overflows, shard.paced()), (1, 1, 0));
}

#[test]
fn a_boundary_of_many_is_divided() {
    let mut shard = shard();
    for client in 3..20_003 {
        shard.attach(ClientId(client));
        join(&mut shard, ClientId(client), 10 + client % 90);
    }
    shard.tick(ROUTE, &tick(1));
    shard.set_now(200);
    shard.fire_paces();
    let first = shard.totals().ticks;
    assert!((16_384..20_000).contains(&first), "{first}");
    assert!(shard.next_deadline_ms() <= Some(200), "the rest is due");
    shard.fire_paces();
    assert_eq!(shard.totals().ticks, 20_000);
    shard.check();
}

/// What a paced subscription is, said without groups, boundaries that are waited for, or counts.
#[derive(Default)]
struct Naive {
    interval_ms: u64,
    /// Values of the topic since it joined which it was not sent, oldest first.
    unsent: Vec<u64>,
    expected: Vec<String>,
}

impl Naive {
    /// The clock has come to this millisecond.
    fn clock(&mut self, ms: u64) {
        if self.interval_ms > 0 && ms.is_multiple_of(self.interval_ms) {
            self.send();
        }
    }

    fn send(&mut self) {
        if let Some(latest) = self.unsent.pop() {
            let skipped = match self.unsent.len() {
                0 => String::new(),
                n => format!(" +{n}"),
            };
            self.expected.push(format!("{latest}{skipped}"));
            self.unsent.clear();
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Tick,
    Join(u64, u64),
    Leave(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let interval = prop::sample::select(vec![0_u64, 10, 15, 64, 100, 1_000]);
    prop_oneof![
        4 => Just(Step::Tick),
        2 => (0..6_u64, interval).prop_map(|(client, ms)| Step::Join(client, ms)),
        1 => (0..6_u64).prop_map(Step::Leave),
        3 => (0..130_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// At most one value in each interval, always the latest, never one older than before, none at
    /// all if there is none, and the last of all.
    #[test]
    fn every_subscription_gets_what_it_would_get_alone(
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let outbox = OutboxLimits {
            ticks_max: 9_999,
            tick_bytes_max: 1 << 20,
            latest_bytes_max: 1 << 20,
            control_bytes_max: 400,
        };
        let options = ShardOptions { outbox, close_timeout_ms: 1_000, stall_timeout_ms: 60_000 };
        let mut shard = Shard::new(options);
        shard.expect(ROUTE, Epoch(0));
        for client in 0..6 {
            shard.attach(ClientId(client));
        }
        let mut naive: [Option<Naive>; 6] = [const { None }; 6];
        let (mut now_ms, mut price) = (0, 0);
        for step in steps.into_iter().chain([Step::Wait(1_000)]) {
            match step {
                Step::Tick => {
                    price += 1;
                    shard.tick(ROUTE, &tick(price));
                    for one in naive.iter_mut().flatten() {
                        one.unsent.push(price);
                        if one.interval_ms == 0 {
                            one.send();
                        }
                    }
                }
                Step::Join(client, interval_ms) if naive[client as usize].is_none() => {
                    join(&mut shard, ClientId(client), interval_ms);
                    let snapshot = (price > 0).then(|| format!("snap {price}"));
                    let expected = snapshot.into_iter().collect();
                    naive[client as usize] =
                        Some(Naive { interval_ms, expected, ..Naive::default() });
                }
                Step::Join(..) => {}
                Step::Leave(client) => {
                    if let Some(one) = naive[client as usize].take() {
                        prop_assert_eq!(read(&mut shard, ClientId(client)), one.expected);
                        leave(&mut shard, ClientId(client));
                    }
                }
                Step::Wait(ms) => {
                    for ms in now_ms + 1..=now_ms + ms {
                        naive.iter_mut().flatten().for_each(|one| one.clock(ms));
                    }
                    now_ms += ms;
                    at(&mut shard, now_ms);
                }
            }
            shard.check();
        }
        for (client, one) in naive.into_iter().enumerate() {
            let expected = one.map(|one| one.expected).unwrap_or_default();
            prop_assert_eq!(read(&mut shard, ClientId(client as u64)), expected);
        }
        prop_assert_eq!(shard.next_deadline_ms(), None);
    }
}
