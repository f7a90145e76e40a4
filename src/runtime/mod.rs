//! The one seam between the server and the world: sockets, tasks, long work, entropy and the
//! calendar.
//!
//! `server/`, `zmtp/` and `broker/` are generic over [`Runtime`]; the engine has never heard of it.
//! Timers and channels are absent on purpose: `tokio::time` and `tokio::sync` already run on
//! virtual time in the simulator.

pub mod calendar;
#[cfg(unix)]
pub mod local_socket;
mod task;
mod tcp_connection;
mod tokio_runtime;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

pub use task::{Task, TaskEnded, TaskGroup, TaskHandle, TaskRegistry};
pub use tcp_connection::TcpConnection;
pub use tokio_runtime::TokioRuntime;

/// Sockets, tasks, entropy and the wall clock of one process.
///
/// One value belongs to one gateway (or one broker host, or one group of simulated clients): its
/// [`TaskRegistry`] counts the tasks of that gateway alone.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A connected byte stream. Latency matters more than throughput: Nagle is off.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// A bound socket.
    type Listener: Listener<Stream = Self::Stream>;

    /// Binds `addr` (`host:port`; port 0 chooses a free one).
    fn bind(&self, addr: &str) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Connects to `addr` (`host:port`). Has no deadline of its own.
    fn connect(&self, addr: &str) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Starts a task that ends when it is done or when the returned [`Task`] is dropped.
    ///
    /// `name` appears in the task counts of the status page and the metrics.
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Task;

    /// Does long work (a slow hash, a file, a database) without holding up other tasks.
    ///
    /// There is no bound on how much is done at once: whoever calls this has one. Work that has
    /// begun goes on if the future is dropped. A panic in it is a panic here.
    fn offload<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send;

    /// Counts of the tasks started through this runtime that are still alive.
    fn tasks(&self) -> &TaskRegistry;

    /// Random bits: from the operating system in production, from the seed in simulation.
    fn entropy(&self) -> u64;

    /// Milliseconds since 1970-01-01 UTC. May step; never use it to measure a duration.
    fn unix_ms(&self) -> u64;
}

/// A bound socket that hands out connections.
pub trait Listener: Send + 'static {
    /// What it hands out.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Waits for the next connection. Cancel-safe.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// The address that was bound, with the port that was chosen.
    ///
    /// # Errors
    ///
    /// Fails if the operating system cannot tell.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Time since this clock was made, on tokio's (in simulation: virtual) clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    /// Starts a clock at zero.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads tokio's clock")]
    pub fn start() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }

    /// Time since [`Clock::start`].
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads tokio's clock")]
    pub fn now(&self) -> Duration {
        tokio::time::Instant::now() - self.origin
    }

    /// Milliseconds since [`Clock::start`].
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX)
    }

    /// The instant at which [`Clock::now`] will read `at`, for a timer that is reset.
    #[must_use]
    pub fn instant_at(&self, at: Duration) -> tokio::time::Instant {
        self.origin + at
    }

    /// The instant at which [`Clock::now_ms`] will read `at_ms`, for a timer that is reset.
    #[must_use]
    pub fn instant_at_ms(&self, at_ms: u64) -> tokio::time::Instant {
        self.instant_at(Duration::from_millis(at_ms))
    }

    /// Waits until [`Clock::now_ms`] reads `at_ms`.
    pub fn sleep_until_ms(&self, at_ms: u64) -> tokio::time::Sleep {
        tokio::time::sleep_until(self.instant_at_ms(at_ms))
    }
}
