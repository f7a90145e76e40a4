//! A client's WebSocket as the gateway reads it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, ReadHalf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::config::Config;

/// Bytes of tungstenite's read buffer: its default of 128 KiB is zeroed before every read.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// Reads what a client sends; what tungstenite would write is kept in its [`ReadSide`].
pub(super) type Socket<S> = WebSocketStream<ReadSide<S>>;

/// Reads until the peer ends the stream or it breaks.
pub(super) async fn discard<S: AsyncRead + Unpin>(reader: &mut S) {
    // On the heap, since every idle client's task would carry it otherwise.
    let mut scratch = vec![0_u8; 1_024];
    while matches!(reader.read(&mut scratch).await, Ok(read) if read > 0) {}
}

/// Opens the reading side of a connection whose upgrade is done; `early` came right behind it.
pub(super) async fn open_socket<S: AsyncRead + AsyncWrite + Unpin>(
    config: &Config,
    reader: ReadHalf<S>,
    early: Bytes,
) -> Socket<S> {
    let bytes_max = Some(config.limits.message_bytes_max);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(bytes_max)
        .max_frame_size(bytes_max)
        .write_buffer_size(0)
        .max_write_buffer_size(READ_BUFFER_BYTES);
    let side = ReadSide { reader, written: Vec::new() };
    WebSocketStream::from_partially_read(side, early.into(), Role::Server, Some(config)).await
}

/// The read half of the connection; what is written to it is only collected.
pub(super) struct ReadSide<S> {
    pub reader: ReadHalf<S>,
    pub written: Vec<u8>,
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadSide<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl<S: Unpin> AsyncWrite for ReadSide<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
