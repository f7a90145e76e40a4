//! A simulated connection, with a seeded fault stream between code and socket.
//!
//! The network delivers every write whole, at once and in one piece, and never loses a byte.
//! Whatever real connections do besides happens here, at both ends.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::clock::now_us;
use super::fault_book::FaultBook;
use super::pipe::{Leave, Pipe};
use super::socket::Socket;
use super::yields::{YieldPoints, Yields};
use crate::fault::{Direction, FaultKind};
use crate::plan::ConnectionFault;

/// Bytes that are taken from the socket at once.
const READ_BYTES: usize = 8 * 1_024;
/// A capped connection passes the bytes of so much time at once.
const CAP_STEP_MS: u64 = 10;

/// One end of a connection.
#[derive(Debug)]
pub struct SimStream {
    /// `None` once the connection was reset here.
    socket: Option<Socket>,
    yields: YieldPoints,
    faults: Faults,
}

#[derive(Debug)]
enum Faults {
    None,
    /// Accepted; the other end says who it is before its first byte.
    Unknown {
        book: FaultBook,
        from: SocketAddr,
    },
    Known(Box<Struck>),
}

#[derive(Debug)]
struct Struck {
    book: FaultBook,
    pipe: Arc<Pipe>,
    /// Of what this end writes.
    writes: Direction,
    /// Taken from the socket and not read yet.
    stash: BytesMut,
    /// Nothing is read before this is over.
    pause: Option<Pin<Box<Sleep>>>,
    /// Whether what is in the stash may be read.
    ripe: bool,
    /// More has to be taken first: everything that came during the pause.
    drain: bool,
    /// The socket has come to its end.
    ended: bool,
    /// This end writes no more.
    shut: bool,
}

impl SimStream {
    /// A connection without faults.
    pub(super) fn plain(socket: Socket, yields: &Yields) -> Self {
        Self { socket: Some(socket), yields: yields.next(), faults: Faults::None }
    }

    /// The end that connected.
    pub(super) fn connected(
        socket: Socket,
        yields: &Yields,
        book: FaultBook,
        pipe: Arc<Pipe>,
    ) -> Self {
        let struck = Struck::new(book, pipe, Direction::Up);
        let faults = Faults::Known(Box::new(struck));
        Self { socket: Some(socket), yields: yields.next(), faults }
    }

    /// The end that accepted.
    pub(super) fn accepted(
        socket: Socket,
        yields: &Yields,
        book: FaultBook,
        from: SocketAddr,
    ) -> Self {
        let faults = Faults::Unknown { book, from };
        Self { socket: Some(socket), yields: yields.next(), faults }
    }

    fn find_out(&mut self) {
        if let Faults::Unknown { book, from } = &self.faults
            && let Some(pipe) = book.accepted(*from)
        {
            let struck = Struck::new(book.clone(), pipe, Direction::Down);
            self.faults = Faults::Known(Box::new(struck));
        }
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        // What becomes of a connection that its client has left concerns nobody.
        if let Faults::Known(struck) = &self.faults
            && struck.writes == Direction::Up
        {
            struck.pipe.abandon();
        }
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.yields.give_way(cx) {
            return Poll::Pending;
        }
        if matches!(this.faults, Faults::Unknown { .. }) {
            this.find_out();
        }
        match (&mut this.faults, &mut this.socket) {
            (Faults::Known(struck), socket) => struck.poll_read(socket, cx, buf),
            (Faults::None | Faults::Unknown { .. }, Some(socket)) => {
                let before = buf.filled().len();
                ready!(Pin::new(socket).poll_read(cx, buf))?;
                if buf.filled().len() > before && matches!(this.faults, Faults::Unknown { .. }) {
                    // Who was struck would have said so.
                    this.find_out();
                    if let Faults::Known(struck) = &this.faults {
                        struck.pipe.has_read(Direction::Up, buf.filled().len() - before);
                    } else {
                        this.faults = Faults::None;
                    }
                }
                Poll::Ready(Ok(()))
            }
            (Faults::None | Faults::Unknown { .. }, None) => Poll::Ready(Err(reset())),
        }
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.yields.give_way(cx) {
            return Poll::Pending;
        }
        if matches!(this.faults, Faults::Unknown { .. }) {
            this.find_out();
        }
        match (&mut this.faults, &mut this.socket) {
            (Faults::Known(struck), socket) => struck.poll_write(socket, cx, bytes),
            (_, Some(socket)) => Pin::new(socket).poll_write(cx, bytes),
            (_, None) => Poll::Ready(Err(reset())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Some(socket) => Pin::new(socket).poll_flush(cx),
            None => Poll::Ready(Err(reset())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Faults::Known(struck) = &mut this.faults
            && std::mem::replace(&mut struck.shut, true)
        {
            return Poll::Ready(Ok(()));
        }
        match &mut this.socket {
            Some(socket) => Pin::new(socket).poll_shutdown(cx),
            None => Poll::Ready(Err(reset())),
        }
    }
}

impl Struck {
    fn new(book: FaultBook, pipe: Arc<Pipe>, writes: Direction) -> Self {
        let (stash, pause) = (BytesMut::new(), None);
        Self {
            book,
            pipe,
            writes,
            stash,
            pause,
            ripe: false,
            drain: false,
            ended: false,
            shut: false,
        }
    }

    const fn reads(&self) -> Direction {
        match self.writes {
            Direction::Up => Direction::Down,
            Direction::Down => Direction::Up,
        }
    }

    fn poll_write(
        &mut self,
        slot: &mut Option<Socket>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(socket) = slot else { return Poll::Ready(Err(reset())) };
        let leave = self.pipe.may_write(&self.book, self.writes, bytes.len(), cx.waker());
        let most = match leave {
            Leave::Write(most) => most,
            Leave::Wait => {
                self.pipe.wait(self.writes, true, cx.waker());
                return Poll::Pending;
            }
            Leave::Void => return Poll::Ready(Ok(bytes.len())),
            Leave::Reset => {
                *slot = None;
                self.pipe.break_off();
                return Poll::Ready(Err(reset()));
            }
        };
        let bytes = &bytes[..most.min(bytes.len())];
        let flipped = self.pipe.corrupted(&self.book, self.writes, bytes);
        let count =
            ready!(Pin::new(&mut *socket).poll_write(cx, flipped.as_deref().unwrap_or(bytes)))?;
        if self.pipe.wrote(&self.book, self.writes, count) && !self.shut {
            self.shut = true;
            let _ = Pin::new(socket).poll_shutdown(cx);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_read(
        &mut self,
        slot: &mut Option<Socket>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.pipe.is_broken() {
                // What was under way is lost.
                *slot = None;
            }
            let Some(socket) = slot else { return Poll::Ready(Err(reset())) };
            self.pipe.wait(self.reads(), false, cx.waker());
            if self.book.is_healed() {
                self.pause = None;
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let silent = self.book.silent(&self.pipe.party, self.reads(), now_us());
            if !silent.is_zero() {
                self.pause_for(silent);
                self.pipe.strikes_again(&self.book, FaultKind::Stall, millis(silent));
                continue;
            }
            if std::mem::take(&mut self.drain) {
                while !self.ended && self.take(socket, cx)?.is_ready() {}
            }
            if self.ripe || self.ended {
                return self.serve(buf);
            }
            ready!(self.take(socket, cx)?);
            self.ripen();
        }
    }

    /// Takes bytes from the socket.
    fn take(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        self.stash.reserve(READ_BYTES);
        let taken = pin!(socket.read_buf(&mut self.stash)).poll(cx)?;
        self.ended |= taken == Poll::Ready(0);
        Ok(taken.map(|_| ()))
    }

    /// Decides when what was taken may be read.
    fn ripen(&mut self) {
        self.ripe = true;
        if self.book.is_healed() {
            return;
        }
        let held = self.pipe.fault(|fault| match (fault, self.ended) {
            (ConnectionFault::Coalesce { for_ms }, false) => Some((FaultKind::Coalesce, *for_ms)),
            (ConnectionFault::LateEnd { for_ms }, true) => Some((FaultKind::LateEnd, *for_ms)),
            _ => None,
        });
        if let Some((kind, for_ms)) = held {
            self.pipe.strikes(&self.book, kind, for_ms);
            self.pause_for(Duration::from_millis(for_ms));
            self.drain = kind == FaultKind::Coalesce;
        }
    }

    /// Hands out what was taken.
    fn serve(&mut self, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut most = self.stash.len().min(buf.remaining());
        if most > 0 {
            most = self.pipe.piece(&self.book, self.reads(), most);
            let cap = self.pipe.fault(|fault| match fault {
                ConnectionFault::RateCap { bytes_per_second } => Some(*bytes_per_second),
                _ => None,
            });
            if let Some(bytes_per_second) = cap.filter(|_| !self.book.is_healed()) {
                let step = (bytes_per_second * CAP_STEP_MS / 1_000).max(1);
                self.pipe.strikes(&self.book, FaultKind::RateCap, 0);
                most = most.min(step as usize);
                self.pause_for(Duration::from_micros(most as u64 * 1_000_000 / bytes_per_second));
            }
            buf.put_slice(&self.stash[..most]);
            self.stash.advance(most);
            self.pipe.has_read(self.reads(), most);
        }
        self.ripe = !self.stash.is_empty();
        Poll::Ready(Ok(()))
    }

    fn pause_for(&mut self, duration: Duration) {
        self.pause = Some(Box::pin(sleep(duration)));
    }
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection was reset")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
