//! The runtime of the simulator: simulated sockets, a seeded task order, entropy from the seed.

pub mod clock;
pub mod crash;
pub mod network;
mod socket;
mod task_order;

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tickgate::runtime::{Runtime, Task, TaskRegistry};
use turmoil::net::{TcpListener, TcpStream};

pub use crash::Crash;
pub use network::Network;
pub use socket::{SimListener, SimStream};
pub use task_order::{TaskOrder, reordered};

use crate::rng::Stream;

/// The instant at which every simulation begins: 2026-01-01T00:00:00Z, in milliseconds.
pub const EPOCH_UNIX_MS: u64 = 1_767_225_600_000;

/// One simulated host's view of the world. Use it inside that host alone.
#[derive(Clone, Debug)]
pub struct SimRuntime {
    tasks: TaskRegistry,
    entropy: Arc<Mutex<Stream>>,
    order: Arc<TaskOrderState>,
    /// `None`: turmoil's.
    network: Option<Network>,
}

#[derive(Debug)]
struct TaskOrderState {
    policy: TaskOrder,
    seed: u64,
    host: String,
    spawned: Mutex<u64>,
}

impl SimRuntime {
    /// A runtime for the host of this name; its entropy and task order follow from the seed.
    #[must_use]
    pub fn new(seed: u64, host: &str, policy: TaskOrder) -> Self {
        Self {
            tasks: TaskRegistry::default(),
            entropy: Arc::new(Mutex::new(Stream::fork(seed, "entropy", host))),
            order: Arc::new(TaskOrderState {
                policy,
                seed,
                host: host.to_owned(),
                spawned: Mutex::new(0),
            }),
            network: None,
        }
    }

    /// The same host on this network instead of turmoil's.
    #[must_use]
    pub fn on(mut self, network: &Network) -> Self {
        self.network = Some(network.clone());
        self
    }
}

impl TaskOrderState {
    /// Each task has a stream of its own, so that a task more or less reshuffles no other.
    fn next_stream(&self, name: &str) -> Stream {
        let mut spawned = self.spawned.lock().unwrap_or_else(PoisonError::into_inner);
        *spawned += 1;
        Stream::fork(self.seed, "task order", &format!("{}/{name}/{spawned}", self.host))
    }
}

impl Runtime for SimRuntime {
    type Stream = SimStream;
    type Listener = SimListener;

    async fn bind(&self, addr: &str) -> io::Result<SimListener> {
        Ok(match &self.network {
            None => SimListener::Turmoil(TcpListener::bind(addr).await?),
            Some(network) => SimListener::Events(network.bind(&self.order.host, addr)?),
        })
    }

    async fn connect(&self, addr: &str) -> io::Result<SimStream> {
        Ok(match &self.network {
            None => SimStream::Turmoil(TcpStream::connect(addr).await?),
            Some(network) => {
                SimStream::Events(Box::new(network.connect(&self.order.host, addr).await?))
            }
        })
    }

    #[expect(clippy::disallowed_methods, reason = "the simulator's own spawn")]
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Task {
        let guard = self.tasks.enter(name);
        let task = async move {
            let _guard = guard;
            task.await;
        };
        let stream = self.order.next_stream(name);
        let task = reordered(crash::caught(task), self.order.policy, stream);
        Task::new(tokio::spawn(task))
    }

    fn tasks(&self) -> &TaskRegistry {
        &self.tasks
    }

    fn entropy(&self) -> u64 {
        self.entropy.lock().unwrap_or_else(PoisonError::into_inner).bits()
    }

    fn unix_ms(&self) -> u64 {
        EPOCH_UNIX_MS + clock::now_us() / 1_000
    }
}

#[cfg(test)]
mod tests;
