//! The runtime of the simulator: turmoil's sockets, a seeded task order, entropy from the seed.

pub mod clock;
pub mod crash;
mod executor;
mod fault_book;
mod interleavings;
pub mod loopback;
pub mod network;
mod pipe;
mod socket;
mod stream;
mod task_order;
mod yields;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tickgate::runtime::{Listener, Runtime, Task, TaskRegistry};
use tokio::time::sleep;
use turmoil::net::{TcpListener, TcpStream};

pub use crash::Crash;
pub use executor::Executor;
pub use fault_book::FaultBook;
pub use interleavings::Interleavings;
pub use network::{Network, WINDOW_BYTES};
pub use stream::SimStream;
pub use task_order::{HostOrder, TaskOrder};

use self::fault_book::Opening;
use self::loopback::Loopback;
use self::socket::{BoundSocket, Socket};
use self::yields::Yields;
use crate::broker_host::BrokerHost;
use crate::fault::Party;
use crate::rng::Stream;

/// Microseconds for which long work may have waited.
const OFFLOAD_PAUSE_US_MAX: u64 = 50_000;

/// The instant at which every simulation begins: 2026-01-01T00:00:00Z, in milliseconds.
pub const EPOCH_UNIX_MS: u64 = 1_767_225_600_000;

/// One simulated host's view of the world. Use it inside that host alone.
#[derive(Clone, Debug)]
pub struct SimRuntime {
    tasks: TaskRegistry,
    entropy: Arc<Mutex<Stream>>,
    host: Arc<str>,
    order: HostOrder,
    executor: Executor,
    yields: Yields,
    /// `None`: turmoil's.
    network: Option<Network>,
    /// Real sockets instead of any simulated network.
    loopback: Option<Loopback>,
    faults: FaultBook,
    /// As whom it connects; `None`: as somebody who is never struck.
    party: Option<Party>,
}

impl SimRuntime {
    /// A runtime for the host of this name; its entropy and task order follow from the seed.
    #[must_use]
    pub fn new(seed: u64, host: &str, policy: TaskOrder) -> Self {
        Self {
            tasks: TaskRegistry::default(),
            entropy: Arc::new(Mutex::new(Stream::fork(seed, "entropy", host))),
            host: host.into(),
            order: HostOrder::new(seed, host, policy),
            executor: Executor::default(),
            yields: Yields::default(),
            network: None,
            loopback: None,
            faults: FaultBook::empty(),
            party: None,
        }
    }

    /// The same host on this network instead of turmoil's. All hosts on it share one executor.
    #[must_use]
    pub fn on(mut self, network: &Network) -> Self {
        self.executor = network.executor().clone();
        self.network = Some(network.clone());
        self
    }

    /// The same host on real sockets.
    #[must_use]
    pub fn on_loopback(mut self, loopback: &Loopback) -> Self {
        self.loopback = Some(loopback.clone());
        self
    }

    /// The same host; each read or write of a connection lets other tasks go first with this
    /// probability (0.0 to 1.0), even if it could go on at once.
    #[must_use]
    pub fn with_yields(self, seed: u64, host: &str, share: f64) -> Self {
        Self { yields: Yields::new(seed, host, share), ..self }
    }

    /// Kills the host's process: its tasks end at once, and with them their sockets. So does what
    /// was told to stop. Not on turmoil's network, which crashes its hosts itself.
    pub fn kill(&self) {
        self.executor.kill(&self.order);
    }

    /// Which orders of its tasks were seen so far.
    #[must_use]
    pub fn interleavings(&self) -> Interleavings {
        self.order.seen()
    }

    /// The same host, where connections can be struck.
    #[must_use]
    pub fn with_faults(self, faults: FaultBook) -> Self {
        Self { faults, ..self }
    }

    /// The same host; what connects through this value does so as `party`.
    #[must_use]
    pub fn acting_as(&self, party: Party) -> Self {
        Self { party: Some(party), ..self.clone() }
    }

    /// Where connections of a simulated host come from; `None` with real sockets.
    #[must_use]
    pub fn address_of(&self, host: &str) -> Option<IpAddr> {
        match (&self.loopback, &self.network) {
            (Some(_), _) => None,
            (None, Some(network)) => network.address_of(host).map(IpAddr::V4),
            (None, None) => Some(turmoil::lookup(host)),
        }
    }

    async fn dial(&self, addr: &str) -> io::Result<Socket> {
        if let Some(loopback) = &self.loopback {
            return Ok(Socket::Real(loopback.connect(addr).await?));
        }
        Ok(match &self.network {
            None => Socket::Turmoil(TcpStream::connect(addr).await?),
            Some(network) => Socket::Events(Box::new(network.connect(&self.host, addr).await?)),
        })
    }
}

impl Runtime for SimRuntime {
    type Stream = SimStream;
    type Listener = SimListener;

    async fn bind(&self, addr: &str) -> io::Result<SimListener> {
        let socket = match (&self.loopback, &self.network) {
            (Some(loopback), _) => BoundSocket::Real(loopback.bind(addr).await?),
            (None, None) => BoundSocket::Turmoil(TcpListener::bind(addr).await?),
            (None, Some(network)) => BoundSocket::Events(network.bind(&self.host, addr)?),
        };
        Ok(SimListener { socket, yields: self.yields.clone(), faults: self.faults.clone() })
    }

    async fn connect(&self, addr: &str) -> io::Result<SimStream> {
        let Some(party) = self.party.as_ref().filter(|_| !self.faults.is_empty()) else {
            return Ok(SimStream::plain(self.dial(addr).await?, &self.yields));
        };
        let broker = Party::Broker(BrokerHost::at(addr));
        // It is for the sake of brokers that the gateway connects.
        let party = if *party == Party::Gateway { &broker } else { party };
        let (number, opening) = self.faults.opens(party);
        match opening {
            Opening::Refused => {
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, addr));
            }
            Opening::After(wait) if wait.is_zero() => {}
            Opening::After(wait) => sleep(wait).await,
        }
        let socket = self.dial(addr).await?;
        let pipe = self.faults.opened(party, number, socket.local_addr()?);
        Ok(match pipe {
            Some(pipe) => SimStream::connected(socket, &self.yields, self.faults.clone(), pipe),
            None => SimStream::plain(socket, &self.yields),
        })
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Task {
        let guard = self.tasks.enter(name);
        self.executor.spawn(&self.order, name, task.map(move |()| drop(guard)))
    }

    /// There are no other threads: the work is done here, after a pause for which it may have
    /// waited for one.
    async fn offload<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let pause = Duration::from_micros(self.entropy() % OFFLOAD_PAUSE_US_MAX);
        sleep(pause).await;
        work()
    }

    fn tasks(&self) -> &TaskRegistry {
        &self.tasks
    }

    fn entropy(&self) -> u64 {
        self.entropy.lock().unwrap_or_else(PoisonError::into_inner).bits()
    }

    fn unix_ms(&self) -> u64 {
        let unix_ms = EPOCH_UNIX_MS + clock::now_us() / 1_000;
        match self.party {
            Some(Party::Gateway) => unix_ms.saturating_add_signed(self.faults.clock_offset_ms()),
            _ => unix_ms,
        }
    }
}

/// A bound socket of the simulated network.
pub struct SimListener {
    socket: BoundSocket,
    yields: Yields,
    faults: FaultBook,
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<(SimStream, SocketAddr)> {
        let (socket, from) = self.socket.accept().await?;
        let stream = if self.faults.spares_connections() {
            SimStream::plain(socket, &self.yields)
        } else {
            SimStream::accepted(socket, &self.yields, self.faults.clone(), from)
        };
        Ok((stream, from))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

#[cfg(test)]
mod tests;
