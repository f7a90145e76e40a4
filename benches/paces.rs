//! What subscriptions with intervals cost.
//!
//! `cargo bench --bench paces`. Compare ratios within one run; machines differ and are noisy.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use tickgate::engine::{Change, Epoch, OutboxLimits, RouteId, Shard, ShardOptions};
use tickgate::protocol::frame;
use tickgate::topic::{ClientId, Instrument, Mode};

fn tick() -> Bytes {
    let data = r#"{"ltp":1424.05,"open":1410.0,"high":1431.2,"low":1402.55,"close":1418.9,"volume":18273645,"timestamp":1746171226123}"#;
    frame::tick_frame(&Instrument::new("NSE", "RELIANCE"), Mode::Quote, "paper", data.as_bytes())
}

/// A tick a millisecond on one topic to 1,000 clients that drain at once: at full rate, at 1,000
/// paces from 10 ms to 1,009 ms, and all at the pace of 100 ms. What one tick costs.
fn paces(c: &mut Criterion) {
    const CLIENTS: u64 = 1_000;
    let mut group = c.benchmark_group("paces");
    let intervals_ms =
        |first_ms: u64, step_ms: u64| (0..CLIENTS).map(move |n| first_ms + n * step_ms);
    for (name, intervals_ms) in [
        ("full_rate", intervals_ms(0, 0)),
        ("1000_paces", intervals_ms(10, 1)),
        ("one_pace", intervals_ms(100, 0)),
    ] {
        let outbox = OutboxLimits {
            ticks_max: 1_024,
            tick_bytes_max: 4 << 20,
            latest_bytes_max: 16 << 20,
            control_bytes_max: 1 << 20,
        };
        let mut shard =
            Shard::new(ShardOptions { outbox, close_timeout_ms: 1_000, stall_timeout_ms: 60_000 });
        shard.expect(RouteId(1), Epoch(0));
        for (client, interval_ms) in (1..).zip(intervals_ms) {
            shard.attach(ClientId(client));
            let mut change = Change { add: vec![RouteId(1)], ..Change::default() };
            if interval_ms > 0 {
                change.paces.insert(RouteId(1), interval_ms);
            }
            shard.deliver(ClientId(client), change, None);
        }
        let tick = tick();
        let mut out = Vec::with_capacity(64 * 1024);
        let mut now_ms = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                now_ms += 1;
                shard.set_now(now_ms);
                shard.fire_paces();
                shard.tick(RouteId(1), &tick);
                while let Some(client) = shard.pop_dirty() {
                    out.clear();
                    shard.drain_into(client, &mut out, 65_536);
                    black_box(&out);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, paces);
criterion_main!(benches);
