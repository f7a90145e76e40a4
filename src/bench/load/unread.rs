//! Clients that read nothing while it is measured: what they are sent waits in the system.
//!
//! On loopback the system runs the receiver's side of a write on the sender's core. So whoever
//! does not read needs no core at all, and a gateway can be measured on all that the machine has.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use mio::net::TcpStream;
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use super::{BUFFER_BYTES, Crowd, LOOK_PAUSE};
use crate::bench::client::Client;
use crate::bench::tally::add;

/// How often it is looked how much waits, when all is published.
const LAST_LOOK_PAUSE: Duration = Duration::from_micros(100);
/// Clients that are looked at while ticks are published.
const SAMPLE: usize = 16;
/// How long no client may get anything more before the rest counts as lost, in nanoseconds.
const QUIET_NS: u64 = 500_000_000;

/// What was told of clients that do not read.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Ticks that were said to be settled, though nobody has read them yet.
    ahead: u64,
}

/// What has arrived at clients that do not read.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Arrived {
    /// When that was.
    pub at_ns: u64,
    /// Ticks, of all clients.
    pub delivered: u64,
}

impl Crowd {
    /// From now on nobody reads.
    pub(super) fn leave_unread(&mut self) {
        self.unread = Some(Unread::default());
    }

    /// Says how far those clients are that do not read. `false`: all do read.
    pub(super) fn look(&mut self) -> bool {
        let Some(unread) = &mut self.unread else { return false };
        sleep(LOOK_PAUSE);
        // Odd, since clients may be dealt to shards in turn.
        let step = (self.clients.len() / SAMPLE) | 1;
        let looked_at = self.clients.iter().step_by(step).flatten();
        let (mut looked, mut ticks) = (0, 0);
        for client in looked_at {
            (looked, ticks) = (looked + 1, ticks + waiting(client));
        }
        // As a mean, since the gateway writes to one after the other: what is behind the slowest
        // comes all at once, and until then it would have nothing to do.
        let all = ticks * self.clients.len() as u64 / looked.max(1);
        add(&self.load.live.settled, all.saturating_sub(unread.ahead));
        unread.ahead = unread.ahead.max(all);
        true
    }

    /// What has arrived so far.
    pub(super) fn arrived(&self) -> Arrived {
        let delivered = self.clients.iter().flatten().map(waiting).sum();
        Arrived { at_ns: self.load.watch.ns(), delivered }
    }

    /// Waits until so many ticks wait for each client, or nothing more comes. From then on all read
    /// again.
    pub(super) fn arrive(&mut self, ticks: u64) -> Arrived {
        self.wait_for(ticks);
        let arrived = self.arrived();
        self.read_all();
        arrived
    }

    fn wait_for(&self, ticks: u64) {
        let watch = self.load.watch;
        let mut left: Vec<&Client> = self.clients.iter().flatten().collect();
        let (mut last, mut since_ns) = (0, watch.ns());
        loop {
            // Whoever has all of it keeps it.
            while left.last().is_some_and(|client| waiting(client) >= ticks) {
                left.pop();
            }
            let Some(slow) = left.last() else { return };
            let got = (self.clients.len() - left.len()) as u64 * ticks + waiting(slow);
            let now_ns = watch.ns();
            if got > last {
                (last, since_ns) = (got, now_ns);
            } else if now_ns - since_ns > QUIET_NS {
                return;
            }
            sleep(LAST_LOOK_PAUSE);
        }
    }

    fn read_all(&mut self) {
        let Some(unread) = self.unread.take() else { return };
        let before = self.tally.delivered;
        let mut sink = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let mut ended = Vec::new();
        for (place, client) in self.clients.iter_mut().enumerate() {
            let Some(Client { stream, reader, trimmed: Some(trimmed), .. }) = client else {
                continue;
            };
            if let Err(error) = trimmed.discard(stream, &mut sink, reader, &mut self.tally) {
                ended.push((place, error));
            }
        }
        for (place, error) in ended {
            self.gone(place, &error);
        }
        let read = self.tally.delivered - before;
        add(&self.load.live.delivered, read);
        add(&self.load.live.settled, read.saturating_sub(unread.ahead));
    }
}

/// Whole ticks that wait for a client.
fn waiting(client: &Client) -> u64 {
    let Some(trimmed) = &client.trimmed else { return 0 };
    let bytes = rustix::io::ioctl_fionread(&client.stream).unwrap_or(0);
    (trimmed.begun + bytes) / trimmed.frame
}

/// Begins to connect; the system is to keep so many bytes for whoever does not read.
pub(super) fn connect(address: SocketAddr, receive_bytes: Option<usize>) -> io::Result<TcpStream> {
    let Some(bytes) = receive_bytes else { return TcpStream::connect(address) };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Before it connects: that decides how large a window can be.
    socket.set_recv_buffer_size(bytes)?;
    // Linux keeps twice as much, and says so (socket(7)).
    let kept = socket.recv_buffer_size()? / 2;
    if kept < bytes {
        return Err(io::Error::other(format!(
            "the system keeps {kept} bytes for a client that does not read, of {bytes}: raise \
             net.core.rmem_max, or let a round be shorter"
        )));
    }
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
        other => other?,
    }
    Ok(TcpStream::from_std(socket.into()))
}
