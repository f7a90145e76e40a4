//! What a request costs on its way: parsed, decided by the hub, carried out by the shard.
//!
//! `cargo bench --bench control`. README.md here says how to read it.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickgate::broker::{Answer, BrokerEvent, Done};
use tickgate::config::Config;
use tickgate::engine::{
    ChannelId, Effect, Epoch, Event, Hub, HubOptions, Identity, OutboxLimits, Request, Shard,
    ShardOptions,
};
use tickgate::protocol::{ParseLimits, SubscribeEntry, UnsubscribeEntry, frame, parse_request};
use tickgate::topic::{ClientId, Instrument, Mode};

const USERS: u64 = 10;
/// Instruments that are asked for in turn.
const INSTRUMENTS: usize = 100;
/// Subscriptions, and as many unsubscriptions, of one round.
const REQUESTS: u64 = 200;

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("request/1_parse");
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

/// The hub and, if there is one, the shard that carries out what it decides.
struct Gateway {
    hub: Hub,
    shard: Option<Shard>,
    effects: Vec<Effect>,
}

impl Gateway {
    fn new(clients: u64, with_shard: bool) -> Self {
        let outbox = OutboxLimits {
            ticks_max: 1_024,
            tick_bytes_max: 4 << 20,
            latest_bytes_max: 16 << 20,
            control_bytes_max: 1 << 20,
        };
        let options = ShardOptions { outbox, close_timeout_ms: 1_000, stall_timeout_ms: 60_000 };
        let mut gateway = Self {
            hub: Hub::new(HubOptions::new(&Config::default(), vec!["paper".into()], 1)),
            shard: with_shard.then(|| Shard::new(options)),
            effects: Vec::new(),
        };
        gateway.step(Event::Broker { broker: "paper".into(), event: BrokerEvent::Up });
        for client in (1..=clients).map(ClientId) {
            if let Some(shard) = &mut gateway.shard {
                shard.attach(client);
            }
            gateway.step(Event::Opened { client, shard: 0, channel: ChannelId::BUILT_IN });
            let user = format!("user{}", client.0 % USERS).into();
            let identity = Identity::trader(user, "paper".into());
            gateway.ask(client, Request::Authenticate(Ok(identity)));
        }
        gateway
    }

    fn ask(&mut self, client: ClientId, request: Request) -> u64 {
        self.step(Event::Request { client, request_id: None, request })
    }

    /// Takes in an event, has the broker agree to every command at once, and carries out the rest.
    /// Says how many events that were for the hub.
    fn step(&mut self, event: Event) -> u64 {
        let (mut events, mut waiting) = (0, vec![event]);
        while let Some(event) = waiting.pop() {
            events += 1;
            self.hub.handle(0, event, &mut self.effects);
            for effect in self.effects.drain(..) {
                match (effect, &mut self.shard) {
                    (Effect::Command { broker, command }, _) => {
                        let answer = Answer { id: command.id, result: Ok(Done::default()) };
                        let event = BrokerEvent::Answer(answer);
                        waiting.push(Event::Broker { broker, event });
                    }
                    (Effect::Interest { route, wanted, .. }, Some(shard)) => {
                        if wanted {
                            shard.expect(route, Epoch(0))
                        } else {
                            shard.forget(route)
                        }
                    }
                    (Effect::Deliver { client, change, answer, .. }, Some(shard)) => {
                        let encode = |(answer, _): (tickgate::protocol::Answer, _)| {
                            frame::text_frame(&answer.to_json(None))
                        };
                        shard.deliver(client, change, answer.map(encode));
                    }
                    _ => {}
                }
            }
        }
        events
    }

    /// Everybody in turn subscribes, then unsubscribes. Says how many events that were.
    fn round(&mut self, clients: u64, instruments: &[Instrument], out: &mut Vec<u8>) -> u64 {
        let mut events = 0;
        for at in 0..2 * REQUESTS {
            let instrument = instruments[at as usize % INSTRUMENTS].clone();
            let request = if at < REQUESTS {
                let entry = SubscribeEntry {
                    instrument,
                    mode: Mode::Ltp,
                    depth: 5,
                    snapshot: None,
                    interval_ms: 0,
                };
                Request::Subscribe(vec![Ok(entry)])
            } else {
                let entry = UnsubscribeEntry { instrument, mode: Some(Mode::Ltp) };
                Request::Unsubscribe(vec![Ok(entry)])
            };
            events += self.ask(ClientId(1 + at % REQUESTS % clients), request);
            if let Some(shard) = &mut self.shard {
                while let Some(client) = shard.pop_dirty() {
                    out.clear();
                    black_box(shard.drain_into(client, out, 65_536));
                }
            }
        }
        events
    }
}

fn decide(c: &mut Criterion) {
    for (stage, with_shard) in [("request/2_hub", false), ("request/3_hub_and_shard", true)] {
        let mut group = c.benchmark_group(stage);
        for clients in [10, 1_000] {
            let instruments: Vec<Instrument> =
                (0..INSTRUMENTS).map(|at| Instrument::new("NSE", format!("S{at}"))).collect();
            let (mut gateway, mut out) = (Gateway::new(clients, with_shard), Vec::new());
            let events = gateway.round(clients, &instruments, &mut out);
            assert!(events > 2 * REQUESTS, "the broker is not asked");
            group.throughput(Throughput::Elements(2 * REQUESTS));
            group.bench_function(BenchmarkId::new("subscribe_unsubscribe", clients), |b| {
                b.iter(|| black_box(gateway.round(clients, &instruments, &mut out)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, parse, decide);
criterion_main!(benches);
