//! A TCP connection that writes without asking tokio first.
//!
//! tokio keeps what it knows of a socket, whether it may be written to for one, in memory of its
//! own. Between two ticks the kernel goes through so much memory for thousands of sockets that this
//! is in no near cache any more: of what a delivery costs outside the kernel, no function took more
//! than that look. A socket that takes what is written needs nobody who knows how to wait.
#![expect(clippy::disallowed_types, reason = "sockets of production are made here")]

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::{io::Errno, net::SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connected TCP stream.
///
/// Writes of one buffer take nothing from tokio's budget of a task: whoever writes in a loop gives
/// way itself. Vectored ones, which TLS and hyper make, go through tokio as ever.
#[derive(Debug)]
pub struct TcpConnection(TcpStream);

impl TcpConnection {
    /// The stream itself.
    #[must_use]
    pub const fn get_ref(&self) -> &TcpStream {
        &self.0
    }

    /// The stream itself, to be read or written by its own means.
    pub const fn get_mut(&mut self) -> &mut TcpStream {
        &mut self.0
    }
}

impl From<TcpStream> for TcpConnection {
    fn from(stream: TcpStream) -> Self {
        Self(stream)
    }
}

impl AsyncRead for TcpConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for TcpConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        match rustix::net::send(&self.0, buf, SendFlags::NOSIGNAL) {
            Ok(written) => return Poll::Ready(Ok(written)),
            // tokio finds the same, unless there is room by now, and knows how to wait.
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Poll::Ready(Err(error.into())),
        }
        // Elsewhere a system has other ways to say that a broken connection is no signal.
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Two ends of a connection.
    async fn pair() -> (TcpConnection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(addr).await.expect("it listens");
        (stream.into(), listener.accept().await.expect("it has connected").0)
    }

    #[tokio::test]
    async fn who_finds_the_socket_full_goes_on_when_there_is_room() {
        let (mut connection, mut peer) = pair().await;
        // More than a socket takes whose peer does not read.
        let sent: Vec<u8> = (0..20_000_000_u32).map(|at| (at % 251) as u8).collect();
        let mut written = 0;
        let full = std::future::poll_fn(|cx| {
            loop {
                match Pin::new(&mut connection).poll_write(cx, &sent[written..]) {
                    Poll::Ready(Ok(more)) => written += more,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Ready(Ok(())),
                }
            }
        });
        full.await.expect("a connection");
        assert!(written < sent.len(), "all of it went into the socket, and this says nothing");
        let writing = async {
            connection.write_all(&sent[written..]).await.expect("a connection");
            connection.shutdown().await.expect("a connection");
        };
        let mut read = Vec::new();
        let ((), all) = tokio::join!(writing, peer.read_to_end(&mut read));
        all.expect("a connection");
        assert!(read == sent, "other bytes came than were sent, or others in between");
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_an_error_and_no_signal() {
        let (mut connection, peer) = pair().await;
        drop(peer);
        let patience = Duration::from_secs(10);
        let fails = async {
            while connection.write_all(b"tick").await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(patience, fails).await.expect("writing to nobody fails");
    }
}
