//! Stories on loopback sockets, in real time.

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tickgate::runtime::{Clock, Runtime, TokioRuntime};
use tokio::runtime::Builder;

use super::broker::Broker;
use super::feed::Feed;
use super::gateway::House;
use super::{Addresses, Sockets, Stage, Story, config, perform};

/// First port for adapter hosts, below the range from which systems choose ports: while a host
/// is dead, nobody else is given its port.
const PORT_FIRST: u16 = 20_000;

/// Ports from which a process takes those of its adapter hosts.
const PORTS: u16 = 12_000;

/// Ports of one process, roughly.
const PORTS_PER_PROCESS: u16 = 64;

/// Plays a story. Blocks until it has ended well.
///
/// # Panics
///
/// Panics if the story does.
pub fn play<S: Story>() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("threads can be started").block_on(on_stage::<S>());
}

async fn on_stage<S: Story>() {
    let any = || "127.0.0.1:0".to_owned();
    let broker_address = free_port(&TokioRuntime::new()).await;
    let sockets =
        Sockets { websocket: any(), admin: any(), bus: any(), broker: broker_address.clone() };
    let (broker, feed, house) = (Broker::new(), Feed::default(), House::default());
    let host = broker.run(TokioRuntime::new(), &broker_address);
    let gateway = house.run(TokioRuntime::new(), config::<S>(&sockets));
    let story = async {
        let addresses = loop {
            match house.addresses() {
                Some(addresses) => break addresses,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let bus = addresses.bus.first().expect("the gateway has a bus").to_string();
        let admin = addresses.admin.expect("the gateway has an admin port").to_string();
        let stage = Stage {
            runtime: TokioRuntime::new(),
            addresses: Addresses { websocket: addresses.websocket.to_string(), admin },
            broker: broker.clone(),
            feed: feed.clone(),
            clock: Clock::start(),
            resident_bytes,
        };
        tokio::select! {
            biased;
            () = feed.run(TokioRuntime::new(), &bus) => {}
            () = perform::<S, _>(&stage, &house) => {}
        }
    };
    tokio::select! {
        biased;
        () = host => {}
        () = gateway => {}
        () = story => {}
    }
}

/// A loopback address that stays this host's while it is dead.
async fn free_port(runtime: &TokioRuntime) -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let blocks = PORTS / PORTS_PER_PROCESS;
    let block = u16::try_from(std::process::id() % u32::from(blocks)).expect("it is below blocks");
    for _ in 0..PORTS {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORT_FIRST + (block * PORTS_PER_PROCESS).wrapping_add(next) % PORTS;
        let address = format!("127.0.0.1:{port}");
        if runtime.bind(&address).await.is_ok() {
            return address;
        }
    }
    panic!("all ports are taken");
}

/// The memory of this process, where the system tells.
fn resident_bytes() -> Option<u64> {
    const PAGE_BYTES: u64 = 4_096;
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * PAGE_BYTES)
}
