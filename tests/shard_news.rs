//! Stories about a shard and the state of topics: when which client is told of what.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use tickgate::engine::{Change, Epoch, RouteId, RouteNews, Shard};
use tickgate::protocol::{FeedStatus, feed_status, frame};
use tickgate::topic::{ClientId, Instrument, Mode, Topic};

use crate::hub_support::shards::small_shard;

const A: ClientId = ClientId(1);
const B: ClientId = ClientId(2);

/// Routes 1 to 3, with A on 1 and 2.
fn shard() -> Shard {
    let mut shard = small_shard(2, 4_000);
    shard.attach(A);
    shard.attach(B);
    (1..4).for_each(|route| shard.expect(RouteId(route), Epoch(0)));
    join(&mut shard, A, &[1, 2]);
    read(&mut shard, A);
    shard
}

fn join(shard: &mut Shard, client: ClientId, routes: &[u64]) {
    let add = routes.iter().map(|route| RouteId(*route)).collect();
    let change = Change { add, ..Change::default() };
    shard.deliver(client, change, Some(frame::text_frame(br#"{"status":"success"}"#)));
}

fn tick(shard: &mut Shard, route: u64) {
    let instrument = Instrument::new("NSE", format!("S{route}"));
    let tick = frame::tick_frame(&instrument, Mode::Ltp, "paper", b"{}");
    shard.tick(RouteId(route), &tick);
}

fn news(shard: &mut Shard, route: u64, status: Option<FeedStatus>) {
    let topic = Topic::new(Instrument::new("NSE", format!("S{route}")), Mode::Ltp);
    let entry = feed_status::entry(&topic, 7, "because");
    let broker = "paper".into();
    shard.news(RouteNews { route: RouteId(route), shards: 1, status, broker, entry });
}

fn stale(shard: &mut Shard, route: u64) {
    news(shard, route, Some(FeedStatus::Stale));
}

fn live(shard: &mut Shard, route: u64) {
    news(shard, route, Some(FeedStatus::Live));
}

/// What a client would read now: `tick S1`, `stale S1 S2`, `answer`.
fn read(shard: &mut Shard, client: ClientId) -> Vec<String> {
    shard.check();
    let mut out = Vec::new();
    while shard.drain_into(client, &mut out, usize::MAX) > 0 {}
    shard.check();
    words(&out)
}

fn words(mut out: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    while !out.is_empty() {
        let payload = frame::payload(out).unwrap();
        let len = match out[1] {
            126 => usize::from(u16::from_be_bytes([out[2], out[3]])),
            len => usize::from(len),
        };
        words.push(word(&payload[..len]));
        out = &payload[len..];
    }
    words
}

fn word(payload: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(payload).unwrap();
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    match text("type").as_str() {
        "market_data" => format!("tick {}", text("symbol")),
        "feed_status" => {
            let topics = json["topics"].as_array().unwrap().iter();
            let symbols: Vec<_> = topics.map(|it| it["symbol"].as_str().unwrap()).collect();
            assert_eq!(json["broker"], "paper");
            format!("{} {}", text("status"), symbols.join(" "))
        }
        _ => "answer".into(),
    }
}

const NOTHING: [String; 0] = [];

#[test]
fn those_on_a_topic_are_told_that_it_is_silent_and_that_it_ticks_again() {
    let mut shard = shard();
    stale(&mut shard, 1);
    stale(&mut shard, 3);
    assert_eq!(shard.pop_dirty(), Some(A));
    assert_eq!(shard.pop_dirty(), None, "nobody else has something to read");
    assert_eq!(read(&mut shard, A), ["stale S1"]);
    assert_eq!(read(&mut shard, B), NOTHING);
    live(&mut shard, 1);
    tick(&mut shard, 1);
    assert_eq!(read(&mut shard, A), ["live S1", "tick S1"]);
}

#[test]
fn many_topics_are_told_in_one_message() {
    let mut shard = shard();
    stale(&mut shard, 1);
    stale(&mut shard, 2);
    assert_eq!(read(&mut shard, A), ["stale S1 S2"]);
    let routes: Vec<u64> = (10..460).collect();
    for route in &routes {
        shard.expect(RouteId(*route), Epoch(0));
        news(&mut shard, *route, Some(FeedStatus::Recovering));
    }
    join(&mut shard, B, &routes);
    let told = read(&mut shard, B);
    let topics: Vec<_> = told[1..].iter().map(|told| told.split(' ').count() - 1).collect();
    assert_eq!(topics, [200, 200, 50]);
}

#[test]
fn each_state_is_told_apart_and_the_same_state_once() {
    let mut shard = shard();
    stale(&mut shard, 1);
    news(&mut shard, 2, Some(FeedStatus::Recovering));
    assert_eq!(read(&mut shard, A), ["recovering S2", "stale S1"]);
    stale(&mut shard, 1);
    news(&mut shard, 2, Some(FeedStatus::Recovering));
    assert_eq!(read(&mut shard, A), NOTHING);
    stale(&mut shard, 2);
    assert_eq!(read(&mut shard, A), ["stale S2"]);
}

#[test]
fn a_newcomer_is_told_behind_its_answer() {
    let mut shard = shard();
    tick(&mut shard, 3);
    stale(&mut shard, 3);
    join(&mut shard, B, &[3]);
    assert_eq!(read(&mut shard, B), ["answer", "tick S3", "stale S3"], "a snapshot is no news");
}

#[test]
fn whoever_lags_reads_no_tick_behind_a_silence_whose_end_it_was_not_told() {
    let mut shard = shard();
    (0..3).for_each(|_| tick(&mut shard, 1));
    stale(&mut shard, 1);
    assert_eq!(read(&mut shard, A), ["tick S1", "tick S1", "tick S1", "stale S1"]);
    live(&mut shard, 1);
    (0..3).for_each(|_| tick(&mut shard, 1));
    stale(&mut shard, 1);
    let told = read(&mut shard, A);
    assert_eq!(told, ["live S1", "tick S1", "tick S1", "tick S1", "stale S1"]);
}

#[test]
fn what_ends_before_it_was_read_is_not_told() {
    let mut shard = shard();
    stale(&mut shard, 1);
    live(&mut shard, 1);
    assert_eq!(read(&mut shard, A), NOTHING);
    news(&mut shard, 1, Some(FeedStatus::Closed));
    news(&mut shard, 1, None);
    assert_eq!(read(&mut shard, A), NOTHING, "the market has opened");
    news(&mut shard, 1, Some(FeedStatus::Closed));
    assert_eq!(read(&mut shard, A), ["closed S1"]);
    news(&mut shard, 1, None);
    join(&mut shard, B, &[1]);
    assert_eq!(read(&mut shard, B), ["answer"], "it may tick any moment");
    live(&mut shard, 1);
    assert_eq!(read(&mut shard, A), ["live S1"], "it was told of a silence");
    assert_eq!(read(&mut shard, B), NOTHING, "it was not");
}

#[test]
fn whoever_leaves_a_topic_hears_no_more_of_it() {
    let mut shard = shard();
    stale(&mut shard, 1);
    read(&mut shard, A);
    stale(&mut shard, 2);
    live(&mut shard, 1);
    let change = Change { remove: vec![RouteId(1), RouteId(2)], ..Change::default() };
    shard.deliver(A, change, None);
    assert_eq!(read(&mut shard, A), NOTHING);
    join(&mut shard, A, &[1]);
    live(&mut shard, 1);
    assert_eq!(read(&mut shard, A), ["answer"], "of that silence it knows nothing");
}

#[test]
fn paced_clients_are_told_too() {
    let mut shard = shard();
    let mut change = Change { add: vec![RouteId(1)], ..Change::default() };
    change.paces.insert(RouteId(1), 1_000);
    shard.deliver(B, change, None);
    stale(&mut shard, 1);
    assert_eq!(read(&mut shard, B), ["stale S1"]);
}

#[test]
fn paced_clients_are_told_of_a_silence_behind_the_last_value() {
    let mut shard = shard();
    let mut change = Change { add: vec![RouteId(1)], ..Change::default() };
    change.paces.insert(RouteId(1), 1_000);
    shard.deliver(B, change, None);
    tick(&mut shard, 1);
    stale(&mut shard, 1);
    assert_eq!(read(&mut shard, B), NOTHING);
    shard.set_now(1_000);
    shard.fire_paces();
    assert_eq!(read(&mut shard, B), ["tick S1", "stale S1"]);
    live(&mut shard, 1);
    tick(&mut shard, 1);
    assert_eq!(read(&mut shard, B), ["live S1"]);
    stale(&mut shard, 1);
    live(&mut shard, 1);
    shard.set_now(2_000);
    shard.fire_paces();
    assert_eq!(read(&mut shard, B), ["tick S1"], "it was over before it was told");
}

#[test]
fn little_is_written_at_a_time() {
    let mut shard = shard();
    stale(&mut shard, 1);
    tick(&mut shard, 2);
    let mut out = Vec::new();
    assert_eq!(shard.drain_into(A, &mut out, 1), 1);
    assert_eq!(words(&out), ["tick S2"]);
    assert_eq!(read(&mut shard, A), ["stale S1"]);
}

#[test]
fn nothing_is_written_where_nothing_more_has_room() {
    let mut shard = shard();
    let full = |shard: &mut Shard| shard.drain_into(A, &mut Vec::new(), 0);
    let one = |shard: &mut Shard| shard.drain_into(A, &mut Vec::new(), 1);
    stale(&mut shard, 1);
    assert_eq!((full(&mut shard), one(&mut shard)), (0, 1));
    live(&mut shard, 1);
    assert_eq!((full(&mut shard), one(&mut shard)), (0, 1));
    assert_eq!(read(&mut shard, A), NOTHING);
}

#[test]
fn of_a_route_that_began_anew_old_news_is_nobodys() {
    let mut shard = shard();
    shard.expect(RouteId(1), Epoch(2));
    stale(&mut shard, 1);
    shard.set_heard(Epoch(1));
    stale(&mut shard, 1);
    assert!(read(&mut shard, A).is_empty());
    shard.set_heard(Epoch(2));
    stale(&mut shard, 1);
    assert_eq!(read(&mut shard, A), ["stale S1"]);
}

#[test]
fn how_a_topic_is_is_work_for_each_client_on_it() {
    let mut shard = shard();
    join(&mut shard, B, &[1]);
    let before = shard.work();
    stale(&mut shard, 1);
    assert_eq!(shard.work() - before, 2);
    tick(&mut shard, 1);
    assert_eq!(shard.work() - before, 4);
}

#[test]
fn a_client_that_is_to_hear_of_it_later_is_work_too() {
    let mut shard = shard();
    let mut change = Change { add: vec![RouteId(1)], ..Change::default() };
    change.paces.insert(RouteId(1), 1_000);
    shard.deliver(B, change, None);
    tick(&mut shard, 1);
    let before = shard.work();
    stale(&mut shard, 1);
    assert_eq!(shard.work() - before, 2);
    assert_eq!(shard.totals().news, 1, "it has not been told");
}
