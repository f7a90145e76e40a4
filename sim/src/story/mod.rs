//! Short stories about the gateway: clients, an adapter host that does as it is told, a
//! publisher of numbered ticks, and an operator who reads the status page.
//!
//! Each [`Story`] is one text for two worlds: [`real`] plays it on loopback sockets in real time,
//! [`simulated`] on a seeded network in virtual time. It waits for conditions, never for time to
//! pass. The clients judge every message they read ([`client`]); before the first word of a story
//! the gateway is idle, and after its last one it must be so again ([`perform`]).

pub mod broker;
pub mod client;
pub mod feed;
pub mod gateway;
pub mod real;
pub mod simulated;
mod stage;
pub mod tales;

use std::future::Future;

use tickgate::auth::KeyTable;
use tickgate::config::{BrokerEntry, BrokerKind, Config};
use tickgate::runtime::Runtime;

pub use stage::{Addresses, Stage};

use gateway::House;

/// Everyone who has a key: that of `alice` is `key-of-alice`.
pub const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// The name of the one broker.
pub const BROKER_NAME: &str = "zerodha";

/// One story.
pub trait Story {
    /// Seeds that the simulation plays it with, from 1.
    const SEEDS: u64 = 5;

    /// Connections that wait to be accepted, and writes that wait to be read on one connection,
    /// on the simulated network.
    const TCP_CAPACITY: usize = 4_096;

    /// Whether it looks at the memory of its process, which must then play nothing else.
    const MEASURES_PROCESS: bool = false;

    /// Changes the configuration.
    fn configure(_config: &mut Config) {}

    /// Plays it.
    ///
    /// # Panics
    ///
    /// Panics if the gateway does something that it must not, or does not do what it must.
    fn play<R: Runtime>(stage: &Stage<R>) -> impl Future<Output = ()> + Send;
}

/// Plays a story on a stage on which everybody is about to appear, then clears the stage.
///
/// # Panics
///
/// Panics if the story does, or if the gateway keeps anything of it: a client, a user, a topic, a
/// deadline, a task, a session at the broker.
pub async fn perform<S: Story, R: Runtime>(stage: &Stage<R>, house: &House) {
    let idle = stage.is_ready().await;
    S::play(stage).await;
    stage.is_idle_again(&idle).await;
    house.close();
    stage.until("the gateway ends all of its tasks", || house.is_dark()).await;
}

/// What every story's gateway is told, before the story changes it.
fn config<S: Story>(addresses: &Sockets) -> Config {
    let mut config = Config::default();
    config.server.listen.clone_from(&addresses.websocket);
    config.server.close_timeout_ms = 1_000;
    // More than one, so that clients of a topic are spread.
    config.server.shards = 2;
    config.admin.listen.clone_from(&addresses.admin);
    config.bus.bind = vec![format!("tcp://{}", addresses.bus)];
    config.broker.retry_min_ms = 20;
    config.broker.retry_max_ms = 200;
    config.auth.demo_key = false;
    config.brokers = vec![BrokerEntry {
        address: Some(format!("tcp://{}", addresses.broker)),
        ..BrokerEntry::new(BROKER_NAME, BrokerKind::Remote)
    }];
    S::configure(&mut config);
    config
}

/// What a gateway binds, and where its adapter host is; all `host:port`.
struct Sockets {
    websocket: String,
    admin: String,
    bus: String,
    broker: String,
}

fn keys() -> KeyTable {
    USERS.iter().fold(KeyTable::new(), |keys, user| {
        keys.with_key(&key_of(user), (*user).into(), Some(BROKER_NAME.into()))
    })
}

fn key_of(user: &str) -> String {
    format!("key-of-{user}")
}
