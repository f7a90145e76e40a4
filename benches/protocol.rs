//! What one message costs: a request, a topic, a payload, a tick's frame.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tickgate::protocol::{
    ParseLimits, TopicRules, check_payload, parse_request, parse_topic, tick_frame, with_snapshot,
};
use tickgate::topic::{BrokerName, Instrument, Mode};

/// A quote as the Python publishers write it: 200 bytes.
const QUOTE: &str = concat!(
    r#"{"ltp": 1424.05, "open": 1410.0, "high": 1431.2, "low": 1402.55, "close": 1409.9, "#,
    r#""volume": 4821933, "last_trade_quantity": 25, "avg_trade_price": 1419.87, "#,
    r#""change": 14.15, "timestamp": 1746171226123}"#,
);

fn requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse_request");
    let limits = ParseLimits::default();
    let entries = |count: usize| {
        (0..count)
            .map(|n| format!(r#"{{"symbol": "SYMBOL{n}", "exchange": "NSE"}}"#))
            .collect::<Vec<_>>()
            .join(", ")
    };
    for (name, text) in [
        ("ping", r#"{"action": "ping", "timestamp": 1746171226123}"#.to_owned()),
        (
            "subscribe_1",
            r#"{"action": "subscribe", "symbol": "RELIANCE", "exchange": "NSE", "mode": 1, "depth": 5}"#
                .to_owned(),
        ),
        (
            "subscribe_500",
            format!(r#"{{"action": "subscribe", "symbols": [{}], "mode": 2}}"#, entries(500)),
        ),
        ("deep", "[".repeat(60_000)),
    ] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| parse_request(black_box(text.as_bytes()), &limits));
        });
    }
    group.finish();
}

fn topics(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse_topic");
    let rules = TopicRules {
        brokers: ["zerodha", "angel", "dhan", "dhan_sandbox", "upstox"]
            .map(BrokerName::from)
            .to_vec(),
        two_segment_exchanges: ["NSE_INDEX", "BSE_INDEX", "MCX_INDEX", "GLOBAL_INDEX"]
            .map(String::from)
            .to_vec(),
    };
    for (name, topic) in [
        ("plain", "NSE_RELIANCE_LTP"),
        ("index", "NSE_INDEX_NIFTY_QUOTE"),
        ("broker", "zerodha_NSE_RELIANCE_DEPTH"),
    ] {
        group.bench_function(name, |b| b.iter(|| parse_topic(black_box(topic.as_bytes()), &rules)));
    }
    group.finish();
}

fn payloads(c: &mut Criterion) {
    let mut group = c.benchmark_group("check_payload");
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

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("tick_frame");
    let instrument = Instrument::new("NSE", "RELIANCE");
    let tick = tick_frame(&instrument, Mode::Quote, "zerodha", QUOTE.as_bytes());
    group.throughput(Throughput::Bytes(tick.len() as u64));
    group.bench_function("quote", |b| {
        b.iter(|| tick_frame(black_box(&instrument), Mode::Quote, "zerodha", QUOTE.as_bytes()));
    });
    group.bench_function("snapshot", |b| b.iter(|| with_snapshot(black_box(&tick))));
    group.finish();
}

criterion_group!(benches, requests, topics, payloads, frames);
criterion_main!(benches);
