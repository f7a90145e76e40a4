//! A tick's way through the gateway, stage by stage, without sockets.
//!
//! `cargo bench --bench tick`. Its beginning, ZeroMQ, is in `zmtp.rs`; its end, the system's
//! `send`, is in `tickgate bench`. README.md here says how to read it.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickgate::config::{Config, OutboxPolicy};
use tickgate::engine::{
    Backlog, BacklogLimits, Change, Content, Epoch, FeedState, Index, Manner, Moment, OutboxLimits,
    RouteId, Shard, ShardOptions, TickAddress,
};
use tickgate::protocol::{
    BusTopic, TopicRules, check_payload, parse_topic, tick_frame, with_snapshot,
};
use tickgate::topic::{BrokerName, ClientId, Instrument, Mode, Topic};

/// A quote as the Python publishers write it: 200 bytes.
const QUOTE: &str = concat!(
    r#"{"ltp": 1424.05, "open": 1410.0, "high": 1431.2, "low": 1402.55, "close": 1409.9, "#,
    r#""volume": 4821933, "last_trade_quantity": 25, "avg_trade_price": 1419.87, "#,
    r#""change": 14.15, "timestamp": 1746171226123}"#,
);
/// Bytes that a shard hands to one write.
const WRITE_BYTES: usize = 64 * 1_024;

fn rules() -> TopicRules {
    TopicRules {
        brokers: ["zerodha", "angel", "dhan", "dhan_sandbox", "upstox"]
            .map(BrokerName::from)
            .to_vec(),
        two_segment_exchanges: ["NSE_INDEX", "BSE_INDEX", "MCX_INDEX", "GLOBAL_INDEX"]
            .map(String::from)
            .to_vec(),
    }
}

/// Interest in a thousand instruments of users of one broker.
fn index() -> Index {
    let mut index = Index::new(5_000);
    for at in 0..1_000 {
        let topic = Topic::new(Instrument::new("NSE", format!("S{at}")), Mode::Ltp);
        index.set_interest(RouteId(at), &topic, &"paper".into(), 0, true);
    }
    index
}

fn topic(c: &mut Criterion) {
    let mut group = c.benchmark_group("tick/1_topic");
    let rules = rules();
    for (name, topic) in [
        ("plain", "NSE_RELIANCE_LTP"),
        ("index", "NSE_INDEX_NIFTY_QUOTE"),
        ("broker", "zerodha_NSE_RELIANCE_DEPTH"),
    ] {
        group.bench_function(name, |b| b.iter(|| parse_topic(black_box(topic.as_bytes()), &rules)));
    }
    group.finish();
}

fn interest(c: &mut Criterion) {
    let mut group = c.benchmark_group("tick/2_interest");
    let (rules, mut index, mut served) = (rules(), index(), Vec::new());
    for (name, topic, wanted) in
        [("parse_and_serve", "NSE_S500_LTP", true), ("parse_and_turn_away", "NSE_NONE_LTP", false)]
    {
        group.bench_function(name, |b| {
            b.iter(|| {
                served.clear();
                let parsed = parse_topic(black_box(topic.as_bytes()), &rules);
                let Ok(BusTopic::Tick { broker, exchange, symbol, mode }) = parsed else {
                    panic!("no tick")
                };
                let tick = TickAddress { broker, exchange, symbol, mode };
                assert_eq!(index.serve(0, tick, &mut served), wanted);
            });
        });
    }
    group.finish();
}

/// What it costs to note that a topic has ticked, among a thousand.
fn feed_state(c: &mut Criterion) {
    let at = Moment { now_ms: 0, unix_ms: 0 };
    let mut state = FeedState::new(&Config::default(), at);
    for number in 0..1_000 {
        let topic = Topic::new(Instrument::new("NSE", format!("S{number}")), Mode::Ltp);
        state.set_interest(RouteId(number), &topic, &"paper".into(), 0, true);
    }
    let mut ticks = 0;
    c.bench_function("tick/2_interest/feed_state", |b| {
        b.iter(|| {
            ticks += 1;
            state.ticked(RouteId(black_box(ticks * 7 % 1_000)), ticks / 1_000);
        });
    });
}

fn payload(c: &mut Criterion) {
    let mut group = c.benchmark_group("tick/3_payload");
    let level = r#"{"price": 1424.05, "quantity": 250, "orders": 3}"#;
    let side = [level; 20].join(", ");
    for (name, payload) in [
        ("quote", QUOTE.to_owned()),
        ("quote_with_nan", QUOTE.replace("14.15", "NaN")),
        ("depth_20", format!(r#"{{"depth": {{"buy": [{side}], "sell": [{side}]}}}}"#)),
    ] {
        group.throughput(Throughput::Bytes(payload.len() as u64));
        group.bench_function(name, |b| b.iter(|| check_payload(black_box(payload.as_bytes()))));
    }
    group.finish();
}

fn quote(symbol: &str) -> Bytes {
    tick_frame(&Instrument::new("NSE", symbol), Mode::Quote, "paper", QUOTE.as_bytes())
}

fn frame(c: &mut Criterion) {
    let mut group = c.benchmark_group("tick/4_frame");
    let instrument = Instrument::new("NSE", "RELIANCE");
    let tick = quote("RELIANCE");
    group.throughput(Throughput::Bytes(tick.len() as u64));
    group.bench_function("quote", |b| {
        b.iter(|| tick_frame(black_box(&instrument), Mode::Quote, "zerodha", QUOTE.as_bytes()));
    });
    group.bench_function("snapshot", |b| b.iter(|| with_snapshot(black_box(&tick))));
    group.finish();
}

/// 1,024 ticks of 100 topics come, then all that waits goes.
fn backlog(c: &mut Criterion) {
    const TICKS: u64 = 1_024;
    let mut group = c.benchmark_group("tick/5_backlog");
    group.throughput(Throughput::Elements(TICKS));
    let tick = quote("RELIANCE");
    let all = BacklogLimits { ticks_max: usize::MAX, bytes_max: usize::MAX };
    for (name, ticks_max) in [("below_its_bound", 2_048), ("beyond_its_bound", 128)] {
        let limits = BacklogLimits { ticks_max, bytes_max: 4 << 20 };
        group.bench_function(name, |b| {
            let mut backlog = Backlog::default();
            b.iter(|| {
                for number in 0..TICKS {
                    backlog.push(limits, RouteId(number % 100), tick.clone());
                }
                black_box(backlog.take(all))
            });
        });
    }
    group.finish();
}

/// A shard whose clients all have route 1.
fn shard(clients: u64, policy: OutboxPolicy, ticks_max: usize) -> Shard {
    let outbox = OutboxLimits {
        ticks_max,
        tick_bytes_max: 4 << 20,
        latest_bytes_max: 16 << 20,
        control_bytes_max: 1 << 20,
    };
    let options = ShardOptions { outbox, close_timeout_ms: 1_000, stall_timeout_ms: 60_000 };
    let mut shard = Shard::new(options);
    shard.expect(RouteId(1), Epoch(0));
    for client in 1..=clients {
        shard.attach_by(ClientId(client), Manner { policy, ticks_max, content: Content::Ticks });
        let change = Change { add: vec![RouteId(1)], ..Change::default() };
        shard.deliver(ClientId(client), change, None);
    }
    shard
}

/// One tick into a thousand outboxes that nobody empties: with room, and as each policy has it
/// where there is none. Those with room have been empty, so that each has to get memory first.
fn fan_out(c: &mut Criterion) {
    const CLIENTS: u64 = 1_000;
    let mut group = c.benchmark_group("tick/6_fan_out");
    group.throughput(Throughput::Elements(CLIENTS)).sample_size(20);
    let tick = quote("RELIANCE");
    group.bench_function("with_room", |b| {
        b.iter_batched_ref(
            || shard(CLIENTS, OutboxPolicy::Conflate, 1_024),
            |shard| shard.tick(RouteId(1), black_box(&tick)),
            BatchSize::LargeInput,
        );
    });
    for (name, policy) in
        [("drop_oldest", OutboxPolicy::DropOldest), ("conflating", OutboxPolicy::Conflate)]
    {
        group.bench_function(name, |b| {
            let mut shard = shard(CLIENTS, policy, 8);
            for _ in 0..16 {
                shard.tick(RouteId(1), &tick);
            }
            b.iter(|| shard.tick(RouteId(1), black_box(&tick)));
            let totals = shard.totals();
            assert!(totals.conflated + totals.dropped > 0, "nobody lags");
        });
    }
    group.finish();
}

/// A thousand clients become dirty and have their turns; what waits for them stays.
fn turns(c: &mut Criterion) {
    const CLIENTS: u64 = 1_000;
    let mut group = c.benchmark_group("tick/7_turns");
    group.throughput(Throughput::Elements(CLIENTS));
    let tick = quote("RELIANCE");
    group.bench_function("tick_and_pop_dirty", |b| {
        let mut shard = shard(CLIENTS, OutboxPolicy::Conflate, 1);
        b.iter(|| {
            shard.tick(RouteId(1), black_box(&tick));
            let mut popped = 0;
            while shard.pop_dirty().is_some() {
                popped += 1;
            }
            black_box(popped)
        });
    });
    group.finish();
}

/// What waits for one client goes into the buffer of one write.
fn drain(c: &mut Criterion) {
    let mut group = c.benchmark_group("tick/8_drain");
    let tick = quote("RELIANCE");
    let mut out = Vec::with_capacity(WRITE_BYTES + tick.len());
    for frames in [1_u64, 32, 200] {
        group.throughput(Throughput::Elements(frames));
        group.bench_function(BenchmarkId::new("frames", frames), |b| {
            b.iter_batched_ref(
                || {
                    let mut shard = shard(1, OutboxPolicy::Conflate, 1_024);
                    (0..frames).for_each(|_| shard.tick(RouteId(1), &tick));
                    shard
                },
                |shard| {
                    out.clear();
                    let drained = shard.drain_into(ClientId(1), &mut out, WRITE_BYTES);
                    assert_eq!(drained as u64, frames);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// Stages 6 to 8 together: one tick to every client, and every outbox drained.
fn all_but_the_socket(c: &mut Criterion) {
    let mut group = c.benchmark_group("tick/9_all_but_the_socket");
    let tick = quote("RELIANCE");
    let mut out = Vec::with_capacity(WRITE_BYTES);
    for clients in [1_u64, 10, 100, 1_000, 10_000] {
        let mut shard = shard(clients, OutboxPolicy::Conflate, 1_024);
        group.throughput(Throughput::Elements(clients));
        group.bench_function(BenchmarkId::new("clients", clients), |b| {
            b.iter(|| {
                shard.tick(RouteId(1), &tick);
                while let Some(client) = shard.pop_dirty() {
                    out.clear();
                    shard.drain_into(client, &mut out, WRITE_BYTES);
                    black_box(&out);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(
    benches,
    topic,
    interest,
    feed_state,
    payload,
    frame,
    backlog,
    fan_out,
    turns,
    drain,
    all_but_the_socket
);
criterion_main!(benches);
