//! What the engine costs: hub events, and fan-out by number of clients.
//!
//! `cargo bench --bench engine`. Compare ratios within one run; machines differ and are noisy.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickgate::broker::{Answer, BrokerEvent, Done};
use tickgate::config::Config;
use tickgate::engine::{
    Change, ChannelId, Effect, Event, Hub, HubOptions, Identity, Index, OutboxLimits, Request,
    RouteId, Shard, ShardOptions, TickAddress,
};
use tickgate::protocol::{SubscribeEntry, UnsubscribeEntry, frame};
use tickgate::topic::{ClientId, Instrument, Mode, Topic};

const USERS: u64 = 10;

/// Takes in an event and has the broker agree to every command at once.
fn step(hub: &mut Hub, effects: &mut Vec<Effect>, event: Event) -> u64 {
    let mut events = 1;
    hub.handle(0, event, effects);
    while let Some(effect) = effects.pop() {
        if let Effect::Command { broker, command } = effect {
            let answer = Answer { id: command.id, result: Ok(Done::default()) };
            let event = Event::Broker { broker, event: BrokerEvent::Answer(answer) };
            hub.handle(0, event, effects);
            events += 1;
        }
    }
    events
}

fn hub_with_clients(clients: u64) -> Hub {
    let mut hub = Hub::new(HubOptions::new(&Config::default(), vec!["paper".into()], 1));
    let mut effects = Vec::new();
    let up = Event::Broker { broker: "paper".into(), event: BrokerEvent::Up };
    step(&mut hub, &mut effects, up);
    for client in 1..=clients {
        step(
            &mut hub,
            &mut effects,
            Event::Opened { client: ClientId(client), shard: 0, channel: ChannelId::BUILT_IN },
        );
        let user = format!("user{}", client % USERS).into();
        let identity = Identity::trader(user, "paper".into());
        let request = Request::Authenticate(Ok(identity));
        let event = Event::Request { client: ClientId(client), request_id: None, request };
        step(&mut hub, &mut effects, event);
    }
    hub
}

fn hub_events(c: &mut Criterion) {
    let mut group = c.benchmark_group("hub");
    for clients in [10_u64, 1_000] {
        let instruments: Vec<Instrument> =
            (0..100).map(|at| Instrument::new("NSE", format!("S{at}"))).collect();
        let round = |hub: &mut Hub| {
            let mut effects = Vec::new();
            let mut events = 0;
            for at in 0..200_u64 {
                let client = ClientId(1 + at % clients);
                let instrument = instruments[at as usize % 100].clone();
                let entry = SubscribeEntry {
                    instrument,
                    mode: Mode::Ltp,
                    depth: 5,
                    snapshot: None,
                    interval_ms: 0,
                };
                let request = Request::Subscribe(vec![Ok(entry)]);
                let event = Event::Request { client, request_id: None, request };
                events += step(hub, &mut effects, event);
            }
            for at in 0..200_u64 {
                let client = ClientId(1 + at % clients);
                let instrument = instruments[at as usize % 100].clone();
                let entry = UnsubscribeEntry { instrument, mode: Some(Mode::Ltp) };
                let request = Request::Unsubscribe(vec![Ok(entry)]);
                let event = Event::Request { client, request_id: None, request };
                events += step(hub, &mut effects, event);
            }
            events
        };
        let mut hub = hub_with_clients(clients);
        group.throughput(Throughput::Elements(round(&mut hub)));
        let name = BenchmarkId::new("subscribe_unsubscribe", clients);
        group.bench_function(name, |b| b.iter(|| black_box(round(&mut hub))));
    }
    group.finish();
}

fn tick() -> Bytes {
    let data = r#"{"ltp":1424.05,"open":1410.0,"high":1431.2,"low":1402.55,"close":1418.9,"volume":18273645,"timestamp":1746171226123}"#;
    frame::tick_frame(&Instrument::new("NSE", "RELIANCE"), Mode::Quote, "paper", data.as_bytes())
}

/// One tick to every client, and every outbox drained into a buffer: all but the socket.
fn fan_out(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan_out");
    for clients in [1_u64, 10, 100, 1_000, 10_000] {
        let outbox = OutboxLimits {
            ticks_max: 1_024,
            tick_bytes_max: 4 << 20,
            latest_bytes_max: 16 << 20,
            control_bytes_max: 1 << 20,
        };
        let mut shard =
            Shard::new(ShardOptions { outbox, close_timeout_ms: 1_000, stall_timeout_ms: 60_000 });
        shard.expect(RouteId(1));
        for client in 1..=clients {
            shard.attach(ClientId(client));
            let change = Change { add: vec![RouteId(1)], ..Change::default() };
            shard.deliver(ClientId(client), change, None);
        }
        let tick = tick();
        let mut out = Vec::with_capacity(64 * 1024);
        group.throughput(Throughput::Elements(clients));
        group.bench_function(BenchmarkId::new("one_tick", clients), |b| {
            b.iter(|| {
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
        shard.expect(RouteId(1));
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

fn index(c: &mut Criterion) {
    let mut index = Index::new(5_000);
    for at in 0..1_000 {
        let topic = Topic::new(Instrument::new("NSE", format!("S{at}")), Mode::Ltp);
        index.set_interest(RouteId(at), &topic, &"paper".into(), 0, true);
    }
    let mut served = Vec::new();
    c.bench_function("index/serve_one_of_1000", |b| {
        b.iter(|| {
            served.clear();
            let tick =
                TickAddress { broker: None, exchange: "NSE", symbol: "S500", mode: Mode::Ltp };
            black_box(index.serve(0, black_box(tick), &mut served))
        });
    });
    c.bench_function("index/turn_away", |b| {
        b.iter_batched_ref(
            || (),
            |()| {
                let tick =
                    TickAddress { broker: None, exchange: "NSE", symbol: "NONE", mode: Mode::Ltp };
                black_box(index.serve(0, black_box(tick), &mut served))
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, hub_events, fan_out, paces, index);
criterion_main!(benches);
