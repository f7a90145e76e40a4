//! A client's WebSocket as the gateway reads it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, ReadHalf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::config::Config;
use crate::protocol::{Lengths, LongLength};

/// Bytes of tungstenite's read buffer, which every client has, idle or not. Most requests fit; a
/// longer one takes a few reads more. Its default of 128 KiB is zeroed before every read.
const READ_BUFFER_BYTES: usize = 512;

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
    // A copy, since a few bytes would keep hyper's whole buffer otherwise, and even none would.
    let early = Bytes::copy_from_slice(&early);
    let (lengths, wrong) = Default::default();
    let side = ReadSide { reader, early, lengths, wrong, written: Vec::new() };
    WebSocketStream::from_raw_socket(side, Role::Server, Some(config)).await
}

/// The read half of the connection; what is written to it is only collected.
pub(super) struct ReadSide<S> {
    pub reader: ReadHalf<S>,
    /// What is read before anything else.
    early: Bytes,
    lengths: Lengths,
    /// Behind what was read there is a frame that may not be.
    wrong: Option<LongLength>,
    pub written: Vec<u8>,
}

/// Whether reading failed because a client's frame may not be.
pub(super) fn is_long_length(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<LongLength>())
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadSide<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(wrong) = this.wrong {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, wrong)));
        }
        let before = buf.filled().len();
        if this.early.is_empty() {
            ready!(Pin::new(&mut this.reader).poll_read(cx, buf))?;
        } else {
            let taken = this.early.split_to(this.early.len().min(buf.remaining()));
            buf.put_slice(&taken);
        }
        if let Err(wrong) = this.lengths.follow(&buf.filled()[before..]) {
            // What came before it is served first.
            this.wrong = Some(wrong);
            buf.set_filled(before + wrong.good);
            if wrong.good == 0 {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, wrong)));
            }
        }
        Poll::Ready(Ok(()))
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
