//! The runtime of the simulator: turmoil's sockets, a seeded task order, entropy from the seed.

mod task_order;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tickgate::runtime::{Listener, Runtime, Task, TaskRegistry};
use turmoil::net::{TcpListener, TcpStream};

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
        }
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
    type Stream = TcpStream;
    type Listener = SimListener;

    async fn bind(&self, addr: &str) -> io::Result<SimListener> {
        Ok(SimListener(TcpListener::bind(addr).await?))
    }

    async fn connect(&self, addr: &str) -> io::Result<TcpStream> {
        TcpStream::connect(addr).await
    }

    #[expect(clippy::disallowed_methods, reason = "the simulator's own spawn")]
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Task {
        let guard = self.tasks.enter(name);
        let task = async move {
            let _guard = guard;
            task.await;
        };
        let stream = self.order.next_stream(name);
        Task::new(tokio::spawn(reordered(task, self.order.policy, stream)))
    }

    fn tasks(&self) -> &TaskRegistry {
        &self.tasks
    }

    fn entropy(&self) -> u64 {
        self.entropy.lock().unwrap_or_else(PoisonError::into_inner).bits()
    }

    fn unix_ms(&self) -> u64 {
        let since_start = turmoil::sim_elapsed().unwrap_or_default();
        EPOCH_UNIX_MS + u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX - EPOCH_UNIX_MS)
    }
}

/// A bound socket of the simulated network.
pub struct SimListener(TcpListener);

impl Listener for SimListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        self.0.accept().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[cfg(test)]
mod tests;
