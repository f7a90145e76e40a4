//! TLS towards clients: the stream, and the handshake in front of it.
//!
//! Behind the handshake a client's task and its shard know one type of stream, [`MaybeTls`]. Where
//! no certificate is configured it costs a match.

mod certificate;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{PoisonError, RwLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsStream};

pub use certificate::{BadCertificate, Certificate};

use crate::config::Server;

/// A byte stream, encrypted or not.
#[derive(Debug)]
pub enum MaybeTls<S> {
    /// As it came.
    Plain(S),
    /// Encrypted. On the heap, since every plain stream would be as large otherwise.
    Tls(Box<TlsStream<S>>),
}

/// The certificate that new clients are shown, and where it is read.
#[derive(Debug)]
pub(super) struct Tls {
    files: Server,
    current: RwLock<Certificate>,
}

impl Tls {
    /// Reads what a configuration names; `None` if it names nothing.
    ///
    /// # Errors
    ///
    /// As [`Certificate::read`].
    pub fn read(server: &Server) -> Result<Option<Self>, BadCertificate> {
        let certificate = Certificate::read(server)?;
        Ok(certificate.map(|first| Self { files: server.clone(), current: RwLock::new(first) }))
    }

    /// The one that is in force.
    pub fn certificate(&self) -> Certificate {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again, which can block. Handshakes that begin from now on see what they
    /// hold; clients that
    /// are connected notice nothing.
    ///
    /// # Errors
    ///
    /// As [`Certificate::read`]; what was in force stays then.
    pub fn reload(&self) -> Result<Certificate, BadCertificate> {
        let Some(new) = Certificate::read(&self.files)? else { return Ok(self.certificate()) };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new.clone();
        Ok(new)
    }
}

/// Takes a connection through the TLS handshake, if there is to be one. Has no deadline of its own.
///
/// # Errors
///
/// Fails if the client does not speak TLS 1.2 or 1.3, or breaks off.
pub(super) async fn secure<S>(tls: Option<&Tls>, stream: S) -> io::Result<MaybeTls<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(tls) = tls else { return Ok(MaybeTls::Plain(stream)) };
    let acceptor = TlsAcceptor::from(tls.certificate().server());
    Ok(MaybeTls::Tls(Box::new(acceptor.accept(stream).await?.into())))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for MaybeTls<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for MaybeTls<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
