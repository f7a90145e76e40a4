//! ZMTP: what decoding, encoding and matching cost, and what the SUB driver takes from a flood.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tickgate::runtime::{Clock, Runtime, Task, TokioRuntime};
use tickgate::zmtp::codec::{Decoder, GREETING, Item, Limits, encode_message, encode_ready};
use tickgate::zmtp::{Message, Options, Pub, Sub};
use tokio::io::AsyncWriteExt;

/// Messages in one round of each bench.
const MESSAGES: u64 = 10_000;

/// 20 bytes of topic, 180 of payload.
fn tick() -> Message {
    Message::pair(&b"NSE_RELIANCE500_LTP_"[..], vec![b'x'; 180])
}

fn encoded() -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..MESSAGES {
        encode_message(&tick(), &mut bytes);
    }
    bytes
}

fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("zmtp");
    group.throughput(Throughput::Elements(MESSAGES));
    let bytes = encoded();
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            let mut decoder = Decoder::new(Limits::from(&Options::default()));
            let mut found = 0;
            for read in bytes.chunks(32 << 10) {
                decoder.read_buffer().extend_from_slice(read);
                decoder.filled(read.len());
                while let Ok(Some(Item::Message(message))) = decoder.next_item() {
                    found += message.parts().len();
                }
            }
            assert_eq!(found as u64, 2 * MESSAGES);
        });
    });
    let message = tick();
    let mut out = Vec::with_capacity(bytes.len());
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            out.clear();
            for _ in 0..MESSAGES {
                encode_message(black_box(&message), &mut out);
            }
        });
    });
    group.finish();
}

/// A publisher that does nothing but write.
fn flood(runtime: &TokioRuntime, address: String) -> Task {
    let bytes = encoded();
    let network = runtime.clone();
    runtime.spawn("flood", async move {
        let mut stream = network.connect(&address).await.expect("listens");
        let mut hello = GREETING.to_vec();
        encode_ready("PUB", &mut hello);
        stream.write_all(&hello).await.expect("connected");
        while stream.write_all(&bytes).await.is_ok() {}
    })
}

fn drivers(c: &mut Criterion) {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut group = c.benchmark_group("zmtp");
    group.throughput(Throughput::Elements(MESSAGES)).sample_size(20);
    group.bench_function("sub_driver", |bencher| {
        bencher.iter_custom(|rounds| tokio.block_on(receive(rounds * MESSAGES)));
    });
    group.bench_function("publish_to_8", |bencher| {
        bencher.iter_custom(|rounds| tokio.block_on(publish(rounds * MESSAGES)));
    });
    group.finish();
}

/// Time in which the driver hands out so many messages of a flood.
async fn receive(messages: u64) -> Duration {
    let runtime = TokioRuntime::new();
    let bind = ["127.0.0.1:0".into()];
    let mut sub = Sub::start(&runtime, Options::default(), &bind, &[], &[Bytes::new()])
        .await
        .expect("a free port");
    let _flood = flood(&runtime, sub.bound()[0].to_string());
    sub.recv().await;
    let clock = Clock::start();
    let mut received = 0;
    while received < messages {
        received += black_box(sub.recv().await.expect("open")).len() as u64;
    }
    clock.now()
}

/// Time in which so many messages are queued for eight subscribers and handed to the system.
async fn publish(messages: u64) -> Duration {
    let runtime = TokioRuntime::new();
    let publisher =
        Pub::bind(&runtime, Options::default(), 100_000, "127.0.0.1:0").await.expect("a free port");
    let address = [publisher.bound_addr().expect("bound").to_string()];
    let mut readers = Vec::new();
    for _ in 0..8 {
        let mut sub = Sub::start(&runtime, Options::default(), &[], &address, &[Bytes::new()])
            .await
            .expect("nothing to bind");
        readers.push(runtime.spawn("reader", async move { while sub.recv().await.is_some() {} }));
    }
    while publisher.stats().subscriptions < 8 {
        tokio::task::yield_now().await;
    }
    let message = tick();
    let clock = Clock::start();
    for number in 1..=messages {
        publisher.publish(message.clone());
        if number % 1_000 == 0 {
            publisher.flush(Duration::from_secs(60)).await;
        }
    }
    clock.now()
}

criterion_group!(benches, codec, drivers);
criterion_main!(benches);
