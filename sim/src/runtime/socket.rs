//! Sockets of either network, and real ones.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tickgate::runtime::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

use super::loopback::{RealListener, RealStream};
use super::network::{Bound, Connection};

/// A connection.
#[derive(Debug)]
pub(super) enum Socket {
    /// Through turmoil's.
    Turmoil(TcpStream),
    /// Through the network of events.
    Events(Box<Connection>),
    /// On loopback.
    Real(RealStream),
}

/// A bound socket.
pub(super) enum BoundSocket {
    /// Of turmoil's.
    Turmoil(TcpListener),
    /// Of the network of events.
    Events(Bound),
    /// On loopback.
    Real(RealListener),
}

impl Socket {
    /// The address of this end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Turmoil(stream) => stream.local_addr(),
            Self::Events(connection) => Ok(connection.local_addr()),
            Self::Real(stream) => stream.get_ref().local_addr(),
        }
    }
}

impl BoundSocket {
    /// Waits for the next connection. Cancel-safe.
    pub async fn accept(&mut self) -> io::Result<(Socket, SocketAddr)> {
        match self {
            Self::Turmoil(listener) => {
                let (stream, from) = listener.accept().await?;
                Ok((Socket::Turmoil(stream), from))
            }
            Self::Events(bound) => {
                let (connection, from) = bound.accept().await;
                Ok((Socket::Events(Box::new(connection)), from))
            }
            Self::Real(listener) => {
                let (stream, from) = Listener::accept(listener).await?;
                Ok((Socket::Real(stream), from))
            }
        }
    }

    /// The address that was bound.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Turmoil(listener) => listener.local_addr(),
            Self::Events(bound) => Ok(bound.local_addr()),
            Self::Real(listener) => listener.local_addr(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Turmoil(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Events(connection) => Pin::new(connection).poll_read(cx, buf),
            Self::Real(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Turmoil(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Events(connection) => Pin::new(connection).poll_write(cx, bytes),
            Self::Real(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Turmoil(stream) => Pin::new(stream).poll_flush(cx),
            Self::Events(connection) => Pin::new(connection).poll_flush(cx),
            Self::Real(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Turmoil(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Events(connection) => Pin::new(connection).poll_shutdown(cx),
            Self::Real(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
