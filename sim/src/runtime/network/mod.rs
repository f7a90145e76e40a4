//! A network without ticks: between two events time jumps.
//!
//! All hosts share one tokio runtime whose clock is paused, so that a moment in which nothing
//! happens costs nothing. turmoil steps every host through every millisecond; it stays the
//! reference, this network plays the bulk of the seeds. Bytes arrive in the order in which they
//! were written, each write after a latency drawn from the seed.

mod courier;
mod link;
mod pipe;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tickgate::runtime::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Sleep;

use courier::Courier;
pub use link::Link;
pub use pipe::WINDOW_BYTES;
use pipe::{End, Pipe};

use super::Executor;
use crate::rng;

/// Connections that wait to be accepted. More are refused.
const BACKLOG_MAX: usize = 4_096;
/// The first port that is given to whoever asks for none.
const FIRST_FREE_PORT: u16 = 49_152;

/// The network of one simulation. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Network(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seed: u64,
    latency: [Duration; 2],
    clock: Clock,
    executor: Executor,
    courier: Courier,
    state: Mutex<State>,
    /// A link lets bytes pass again.
    released: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// By where they come from and where they go.
    links: BTreeMap<(String, String), SharedLink>,
    /// The hosts by name, each with its number.
    hosts: BTreeMap<String, u8>,
    listeners: BTreeMap<(String, u16), Arc<Backlog>>,
    connections: u64,
    next_port: u16,
}

type SharedLink = Arc<Mutex<Link>>;

#[derive(Debug, Default)]
struct Backlog {
    waiting: Mutex<VecDeque<(Connection, SocketAddr)>>,
    arrived: Notify,
}

impl Network {
    /// A network whose messages take from `latency[0]` to `latency[1]`. Call it within the
    /// runtime of the simulation: time counts from here.
    #[must_use]
    pub fn new(seed: u64, latency: [Duration; 2]) -> Self {
        let state = State { next_port: FIRST_FREE_PORT, ..State::default() };
        let (clock, state) = (Clock::start(), Mutex::new(state));
        let (executor, courier) = (Executor::default(), Courier::start(clock));
        let released = Notify::new();
        Self(Arc::new(Shared { seed, latency, clock, executor, courier, state, released }))
    }

    /// Runs the tasks of all hosts.
    #[must_use]
    pub fn executor(&self) -> &Executor {
        &self.0.executor
    }

    /// Holds back everything between two hosts, or lets it go.
    pub fn hold(&self, a: &str, b: &str, held: bool) {
        self.change(a, b, |link| link.held = held);
        self.change(b, a, |link| link.held = held);
    }

    /// Cuts the way from one host to another, or repairs it.
    pub fn cut(&self, from: &str, to: &str, cut: bool) {
        self.change(from, to, |link| link.cut = cut);
    }

    /// Bounds the latency between two hosts.
    pub fn slow(&self, a: &str, b: &str, most: Duration) {
        self.change(a, b, |link| link.slowed = Some(most));
        self.change(b, a, |link| link.slowed = Some(most));
    }

    /// Changes the way from one host to another; what may pass then is on its way at once.
    fn change(&self, from: &str, to: &str, change: impl FnOnce(&mut Link)) {
        let link = self.link(from, to);
        let mut link = lock(&link);
        change(&mut link);
        link.release(self.0.clock.now(), self.0.latency[0]);
        drop(link);
        self.0.released.notify_waiters();
    }

    /// Where connections of a host come from.
    pub(super) fn address_of(&self, host: &str) -> Option<Ipv4Addr> {
        self.state().address_of(host).ok()
    }

    /// Binds a port of a host.
    pub(super) fn bind(&self, host: &str, addr: &str) -> io::Result<Bound> {
        let (_, port) = host_and_port(addr)?;
        let mut state = self.state();
        let port = if port == 0 { state.free_port()? } else { port };
        let key = (host.to_owned(), port);
        if state.listeners.contains_key(&key) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let backlog = Arc::new(Backlog::default());
        state.listeners.insert(key.clone(), Arc::clone(&backlog));
        drop(state);
        let addr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Ok(Bound { network: self.clone(), key, backlog, addr })
    }

    /// Connects a host to an address.
    pub(super) async fn connect(&self, from: &str, addr: &str) -> io::Result<Connection> {
        let (to, port) = host_and_port(addr)?;
        self.may_connect(from, to).await?;
        let (number, local) = self.state().next_connection(from)?;
        let latency = |what: &str| {
            let name = format!("{from}->{to}:{port} {number} {what}");
            rng::Stream::fork(self.0.seed, "latency", &name)
        };
        let (mut there, mut back) = (latency("there"), latency("back"));
        let [way_there, way_back] = [self.link(from, to), self.link(to, from)];
        let takes = lock(&way_there).latency(self.0.latency, &mut there);
        tokio::time::sleep(takes).await;
        let returns = lock(&way_back).latency(self.0.latency, &mut back);
        let backlog = self.state().listeners.get(&(to.to_owned(), port)).cloned();
        let Some(backlog) = backlog.filter(|backlog| backlog.waiting().len() < BACKLOG_MAX) else {
            tokio::time::sleep(returns).await;
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let (out, home) = (Pipe::default(), Pipe::default());
        lock(&way_there).add(out.hose());
        lock(&way_back).add(home.hose());
        let end = |incoming: &Pipe, outgoing: &Pipe, latency, way| Connection {
            network: self.clone(),
            incoming: incoming.clone(),
            outgoing: outgoing.clone(),
            latency,
            way,
            local,
            write_timer: None,
        };
        backlog.waiting().push_back((end(&out, &home, back, way_back), local));
        backlog.arrived.notify_one();
        let mine = end(&home, &out, there, way_there);
        tokio::time::sleep(returns).await;
        Ok(mine)
    }

    /// Waits until a connection can be made.
    async fn may_connect(&self, from: &str, to: &str) -> io::Result<()> {
        let ways = [self.link(from, to), self.link(to, from)];
        loop {
            let released = self.0.released.notified();
            let cut = ways.iter().any(|way| lock(way).cut);
            let passes = ways.iter().all(|way| lock(way).passes());
            match (cut, passes) {
                (true, _) => {
                    tokio::time::sleep(self.0.latency[1]).await;
                    return Err(io::ErrorKind::HostUnreachable.into());
                }
                (false, true) => return Ok(()),
                (false, false) => released.await,
            }
        }
    }

    fn link(&self, from: &str, to: &str) -> SharedLink {
        let mut state = self.state();
        Arc::clone(state.links.entry((from.to_owned(), to.to_owned())).or_default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

impl State {
    fn free_port(&mut self) -> io::Result<u16> {
        let port = self.next_port;
        self.next_port = port.checked_add(1).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(port)
    }

    /// The number of a new connection, and the address it comes from.
    fn next_connection(&mut self, from: &str) -> io::Result<(u64, SocketAddr)> {
        self.connections += 1;
        let address = self.address_of(from)?;
        let port = FIRST_FREE_PORT + (self.connections % 16_384) as u16;
        Ok((self.connections, SocketAddr::from((address, port))))
    }

    fn address_of(&mut self, host: &str) -> io::Result<Ipv4Addr> {
        let hosts = self.hosts.len();
        let number = match self.hosts.get(host) {
            Some(number) => *number,
            None => {
                let number =
                    u8::try_from(hosts + 1).map_err(|_| io::ErrorKind::AddrNotAvailable)?;
                self.hosts.insert(host.to_owned(), number);
                number
            }
        };
        Ok(Ipv4Addr::new(192, 168, 0, number))
    }
}

impl Backlog {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<(Connection, SocketAddr)>> {
        lock(&self.waiting)
    }
}

/// A bound port. Dropping it frees the port and resets the connections that wait.
#[derive(Debug)]
pub struct Bound {
    network: Network,
    key: (String, u16),
    backlog: Arc<Backlog>,
    addr: SocketAddr,
}

impl Bound {
    /// Waits for the next connection. Cancel-safe.
    pub async fn accept(&self) -> (Connection, SocketAddr) {
        loop {
            let next = self.backlog.waiting().pop_front();
            if let Some(next) = next {
                return next;
            }
            self.backlog.arrived.notified().await;
        }
    }

    /// The address that was bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.network.state().listeners.remove(&self.key);
        let waiting = std::mem::take(&mut *self.backlog.waiting());
        drop(waiting);
    }
}

/// One end of a connection. Dropping it ends both directions: with a reset if something was not
/// read, as an operating system does.
#[derive(Debug)]
pub struct Connection {
    network: Network,
    incoming: Pipe,
    outgoing: Pipe,
    latency: rng::Stream,
    /// Of what it sends.
    way: SharedLink,
    /// The address of the end that connected.
    local: SocketAddr,
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    /// The address of the end that connected.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn now(&self) -> Duration {
        self.network.0.clock.now()
    }

    /// How long bytes take now; `None` if they are held back.
    fn passage(&mut self) -> Option<Duration> {
        let link = lock(&self.way);
        let latency = link.latency(self.network.0.latency, &mut self.latency);
        link.passes().then_some(latency)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.incoming.poll_read(cx, self.now(), buf, &self.network.0.courier)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            let latency = this.passage();
            let now = this.now();
            let courier = &this.network.0.courier;
            let step = this.outgoing.write(cx, now, latency, bytes, courier);
            let instant_of = |at| this.network.0.clock.instant_at(at);
            if let Some(done) = ready!(pipe::wait(step, &mut this.write_timer, instant_of, cx)) {
                return Poll::Ready(done);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let latency = this.passage();
        this.outgoing.end(this.now(), latency, End::Fin, &this.network.0.courier);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let now = self.now();
        let latency = self.passage();
        let lost = self.incoming.abandon(now, latency);
        let end = if lost { End::Reset } else { End::Fin };
        self.outgoing.end(now, latency, end, &self.network.0.courier);
    }
}

fn host_and_port(addr: &str) -> io::Result<(&str, u16)> {
    let parts = addr.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{addr}: no address")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
