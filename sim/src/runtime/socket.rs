//! Sockets of either network.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tickgate::runtime::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

use super::network::{Bound, Connection};

/// A connection through the simulated network.
#[derive(Debug)]
pub enum SimStream {
    /// Through turmoil's.
    Turmoil(TcpStream),
    /// Through the network of events.
    Events(Box<Connection>),
}

/// A bound socket of the simulated network.
pub enum SimListener {
    /// Of turmoil's.
    Turmoil(TcpListener),
    /// Of the network of events.
    Events(Bound),
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<(SimStream, SocketAddr)> {
        match self {
            Self::Turmoil(listener) => {
                let (stream, from) = listener.accept().await?;
                Ok((SimStream::Turmoil(stream), from))
            }
            Self::Events(bound) => {
                let (connection, from) = bound.accept().await;
                Ok((SimStream::Events(Box::new(connection)), from))
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Turmoil(listener) => listener.local_addr(),
            Self::Events(bound) => Ok(bound.local_addr()),
        }
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Turmoil(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Events(connection) => Pin::new(connection).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Turmoil(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Events(connection) => Pin::new(connection).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Turmoil(stream) => Pin::new(stream).poll_flush(cx),
            Self::Events(connection) => Pin::new(connection).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Turmoil(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Events(connection) => Pin::new(connection).poll_shutdown(cx),
        }
    }
}
