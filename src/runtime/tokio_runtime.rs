//! The runtime of production: real sockets, tokio tasks, the system's entropy and calendar.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the only place that names real sockets, tasks and the system clock"
)]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use rand::rand_core::TryRng;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

use super::tcp_connection::TcpConnection;
use super::{Listener, Runtime, Task, TaskRegistry};

/// Real sockets on the current tokio runtime.
#[derive(Clone, Debug, Default)]
pub struct TokioRuntime {
    tasks: TaskRegistry,
}

impl TokioRuntime {
    /// A runtime with its own task counts. Call it inside a tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// Silence after which the system asks whether the peer is still there, and how often it asks.
/// Finds peers that vanished without a word where no protocol above has a heartbeat.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// Connections that may wait to be accepted; the system may allow fewer. After a restart all
/// clients come at once, and whoever finds no room tries again only after a second.
const BACKLOG: i32 = 4_096;

/// Bytes that the system may hold for a peer beyond what is on its way to it.
///
/// What is on its way is the peer's window and the network's affair. Without a bound on the rest
/// the system takes megabytes for whoever stops reading: ticks that are old when they are read,
/// in memory that no limit of ours counts, and copied at the cost of everybody else. What waits
/// belongs into the outbox, which knows what is still worth sending.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES_MAX: u32 = 65_536;

/// Sets what every connection has: no Nagle, keepalive, and no hoard in the system.
fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX).is_err() {
        // A system that does not know it still has connections.
    }
    Ok(stream)
}

impl Runtime for TokioRuntime {
    type Stream = TcpConnection;
    type Listener = TcpListener;

    async fn bind(&self, addr: &str) -> io::Result<TcpListener> {
        let listener = TcpListener::bind(addr).await?;
        // Asked again, the system takes the new number.
        SockRef::from(&listener).listen(BACKLOG)?;
        Ok(listener)
    }

    async fn connect(&self, addr: &str) -> io::Result<TcpConnection> {
        Ok(prepared(TcpStream::connect(addr).await?)?.into())
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Task {
        let guard = self.tasks.enter(name);
        Task::new(tokio::spawn(task.map(move |()| drop(guard))))
    }

    async fn offload<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process is ending: nobody will ask any more.
                Err(_) => std::future::pending().await,
            },
        }
    }

    fn tasks(&self) -> &TaskRegistry {
        &self.tasks
    }

    fn entropy(&self) -> u64 {
        rand::rngs::SysRng.try_next_u64().expect("the operating system has entropy")
    }

    fn unix_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Listener for TcpListener {
    type Stream = TcpConnection;

    async fn accept(&mut self) -> io::Result<(TcpConnection, SocketAddr)> {
        let (stream, peer) = Self::accept(self).await?;
        Ok((prepared(stream)?.into(), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_work_holds_up_nobody_and_gives_its_result() {
        let runtime = TokioRuntime::new();
        let (done, wait) = std::sync::mpsc::channel();
        let work = runtime.offload(move || wait.recv());
        // On the same thread it would wait for ever.
        let (result, ()) = tokio::join!(work, async { done.send(7).expect("somebody waits") });
        assert_eq!(result, Ok(7));
    }

    /// Bytes that a connection takes whose peer, with this receive buffer, reads nothing.
    #[cfg(target_os = "linux")]
    async fn taken(prepare: impl Fn(TcpStream) -> TcpStream, window: usize) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        SockRef::from(&listener).set_recv_buffer_size(window).expect("a buffer");
        let addr = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(addr).await.expect("it listens");
        let (_peer, _) = listener.accept().await.expect("it has connected");
        let (stream, block, mut taken) = (prepare(stream), [0; 4_096], 0);
        let patience = Duration::from_millis(200);
        while tokio::time::timeout(patience, stream.writable()).await.is_ok() {
            taken += stream.try_write(&block).unwrap_or(0);
        }
        taken
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_system_hoards_nothing_for_whoever_stops_reading() {
        let window = 65_536;
        // The system doubles the window, and takes a write whole that it takes at all.
        let most = 4 * window + UNSENT_BYTES_MAX as usize;
        let bounded = taken(|stream| prepared(stream).expect("a connection"), window).await;
        assert!(bounded <= most, "{bounded} bytes");
        // What it would be otherwise, or this says nothing.
        let unbounded = taken(|stream| stream, window).await;
        assert!(unbounded > most, "{unbounded} bytes");
    }

    #[tokio::test]
    #[should_panic(expected = "on purpose")]
    async fn a_panic_in_long_work_is_not_swallowed() {
        TokioRuntime::new().offload(|| panic!("on purpose")).await
    }
}
