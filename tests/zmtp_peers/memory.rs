//! A runtime whose network is memory: every write is seen, nothing takes time.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use tickgate::runtime::{Clock, Listener, Runtime, Task, TaskRegistry};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::sync::mpsc;

/// Bytes that a connection holds before the writer must wait.
pub const PIPE_BYTES: usize = 256 << 10;

type Door = mpsc::Sender<(Stream, SocketAddr)>;

#[derive(Clone)]
pub struct Memory {
    network: Arc<Mutex<Network>>,
    tasks: TaskRegistry,
    clock: Clock,
}

#[derive(Default)]
struct Network {
    doors: BTreeMap<String, Door>,
    black_holes: Vec<String>,
    attempts: Vec<Duration>,
    connections: u16,
    ports: u16,
    entropy: u64,
}

impl Memory {
    pub fn new() -> Self {
        let network = Arc::<Mutex<Network>>::default();
        Self { network, tasks: TaskRegistry::default(), clock: Clock::start() }
    }

    /// Connecting there never ends.
    pub fn black_hole(&self, addr: &str) {
        lock(&self.network).black_holes.push(addr.into());
    }

    /// When somebody tried to connect to anything.
    pub fn attempts(&self) -> Vec<Duration> {
        lock(&self.network).attempts.clone()
    }

    /// Who listens at `addr`, and where the caller comes from; none for a black hole.
    fn knock(&self, addr: &str) -> io::Result<Option<(Door, SocketAddr)>> {
        let mut network = lock(&self.network);
        network.attempts.push(self.clock.now());
        if network.black_holes.iter().any(|hole| hole == addr) {
            return Ok(None);
        }
        network.connections += 1;
        let from = SocketAddr::from(([127, 0, 0, 1], network.connections));
        let door = network.doors.get(addr).cloned().ok_or(io::ErrorKind::ConnectionRefused)?;
        Ok(Some((door, from)))
    }

    /// Time since the network was made.
    pub fn now(&self) -> Duration {
        self.clock.now()
    }
}

impl Runtime for Memory {
    type Stream = Stream;
    type Listener = Bound;

    async fn bind(&self, addr: &str) -> io::Result<Bound> {
        let mut network = lock(&self.network);
        let mut local: SocketAddr = addr.parse().map_err(io::Error::other)?;
        if local.port() == 0 {
            network.ports += 1;
            local.set_port(40_000 + network.ports);
        }
        let (door, arrivals) = mpsc::channel(2_000);
        let taken = network.doors.insert(local.to_string(), door);
        if taken.is_some_and(|door| !door.is_closed()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(Bound { arrivals, local })
    }

    async fn connect(&self, addr: &str) -> io::Result<Stream> {
        let Some((door, from)) = self.knock(addr)? else { return std::future::pending().await };
        let (ours, theirs) = pair();
        let refused = |_| io::ErrorKind::ConnectionRefused;
        door.send((theirs, from)).await.map_err(refused)?;
        Ok(ours)
    }

    #[expect(clippy::disallowed_methods, reason = "a runtime is what may start tasks")]
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Task {
        let guard = self.tasks.enter(name);
        Task::new(tokio::spawn(async move {
            let _guard = guard;
            task.await;
        }))
    }

    async fn offload<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        work()
    }

    fn tasks(&self) -> &TaskRegistry {
        &self.tasks
    }

    /// SplitMix64 from zero.
    fn entropy(&self) -> u64 {
        let mut network = lock(&self.network);
        network.entropy = network.entropy.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = network.entropy;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unix_ms(&self) -> u64 {
        0
    }
}

pub struct Bound {
    arrivals: mpsc::Receiver<(Stream, SocketAddr)>,
    local: SocketAddr,
}

impl Listener for Bound {
    type Stream = Stream;

    async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        self.arrivals.recv().await.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while it was held")
}

/// Sizes of the writes of one end, first to last.
type Writes = Arc<Mutex<Vec<usize>>>;

/// One end of a connection.
pub struct Stream {
    pipe: DuplexStream,
    own: Writes,
    other: Writes,
}

fn pair() -> (Stream, Stream) {
    let (left, right) = duplex(PIPE_BYTES);
    let (of_left, of_right) = (Writes::default(), Writes::default());
    (
        Stream { pipe: left, own: Arc::clone(&of_left), other: Arc::clone(&of_right) },
        Stream { pipe: right, own: of_right, other: of_left },
    )
}

impl Stream {
    /// Sizes of the writes of the other end, first to last.
    pub fn peer_writes(&self) -> Vec<usize> {
        lock(&self.other).clone()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.pipe).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = wrote {
            lock(&self.own).push(count);
        }
        wrote
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}
