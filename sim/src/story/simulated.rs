//! Stories on a seeded network, in virtual time.

use std::time::{Duration, UNIX_EPOCH};

use tickgate::runtime::Clock;

use super::broker::Broker;
use super::feed::Feed;
use super::gateway::House;
use super::{Addresses, Sockets, Stage, Story, config, perform};
use crate::fence;
use crate::runtime::{EPOCH_UNIX_MS, SimRuntime, TaskOrder};

/// How often a task steps back to let others overtake it.
const TASK_ORDER: TaskOrder = TaskOrder::Jitter(0.25);

/// Virtual time after which a story counts as hanging.
const DURATION_MAX: Duration = Duration::from_secs(600);

/// Plays a story with each of its seeds. Blocks until it has ended well.
///
/// # Panics
///
/// Panics if the story does, and names the seed.
pub fn play<S: Story>() {
    for seed in 1..=S::SEEDS {
        let _named = SeedOnPanic(seed);
        play_with::<S>(seed);
    }
}

fn play_with<S: Story>(seed: u64) {
    let _fence = fence::raise(seed, 0, std::any::type_name::<S>());
    let mut sim = turmoil::Builder::new()
        .epoch(UNIX_EPOCH + Duration::from_millis(EPOCH_UNIX_MS))
        .rng_seed(seed)
        .simulation_duration(DURATION_MAX)
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(6))
        .tcp_capacity(S::TCP_CAPACITY)
        .enable_random_order()
        .build();
    let (broker, feed, house) = (Broker::new(), Feed::default(), House::default());
    let runtime_of = move |host: &str| SimRuntime::new(seed, host, TASK_ORDER);

    let gateway = house.clone();
    sim.host("gateway", move || {
        let gateway = gateway.clone();
        async move {
            let sockets = Sockets {
                websocket: "0.0.0.0:8765".into(),
                admin: "0.0.0.0:8766".into(),
                bus: "0.0.0.0:5555".into(),
                broker: "broker:5560".into(),
            };
            gateway.run(runtime_of("gateway"), config::<S>(&sockets)).await;
            Ok(())
        }
    });
    let host = broker.clone();
    sim.host("broker", move || {
        let host = host.clone();
        async move {
            host.run(runtime_of("broker"), "0.0.0.0:5560").await;
            Ok(())
        }
    });
    let publisher = feed.clone();
    sim.host("feed", move || {
        let publisher = publisher.clone();
        async move {
            publisher.run(runtime_of("feed"), "gateway:5555").await;
            Ok(())
        }
    });
    sim.client("clients", async move {
        let stage = Stage {
            runtime: runtime_of("clients"),
            addresses: Addresses { websocket: "gateway:8765".into(), admin: "gateway:8766".into() },
            broker,
            feed,
            clock: Clock::start(),
            resident_bytes: || None,
        };
        perform::<S, _>(&stage, &house).await;
        Ok(())
    });
    if let Err(error) = sim.run() {
        panic!("{error}");
    }
}

/// Names the seed of a story that failed.
struct SeedOnPanic(u64);

impl Drop for SeedOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the story failed with seed {}", self.0);
        }
    }
}
