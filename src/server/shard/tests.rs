use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, DuplexStream, ReadBuf};

use super::*;
use crate::config::OutboxPolicy;
use crate::engine::{Content, OutboxLimits, ShardOptions};
use crate::runtime::{Runtime, TokioRuntime};

/// Takes everything at once, and passes it on when it is flushed, as TLS does.
struct Hoarder {
    kept: Vec<u8>,
    socket: DuplexStream,
}

impl AsyncRead for Hoarder {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Hoarder {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.kept.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.kept.is_empty() {
            match Pin::new(&mut this.socket).poll_write(cx, &this.kept) {
                Poll::Ready(written) => drop(this.kept.drain(..written?)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn what_a_buffering_stream_still_holds_goes_out_before_the_end() {
    let outbox = OutboxLimits {
        ticks_max: 8,
        tick_bytes_max: 4_096,
        latest_bytes_max: 4_096,
        control_bytes_max: 4_096,
    };
    let options = ShardOptions { outbox, close_timeout_ms: 60_000, stall_timeout_ms: 60_000 };
    let (mailbox, messages) = mpsc::channel(8);
    let shard = run_shard(Shard::new(options), messages, Clock::start(), 4_096);
    let _shard = TokioRuntime::new().spawn("shard", shard);
    // A socket that takes seven bytes at a time.
    let (mut peer, socket) = tokio::io::duplex(7);
    let (_reader, writer) = tokio::io::split(Hoarder { kept: Vec::new(), socket });
    let client = ClientId(1);
    let (ended, _end) = oneshot::channel();
    let credit = Arc::new(Semaphore::new(1));
    let manner =
        Manner { policy: OutboxPolicy::default(), ticks_max: 1_024, content: Content::Ticks };
    let attach = ShardMessage::Attach { client, writer, ended, credit, manner };
    let close = ShardMessage::Close { client, code: 1012, reason: "longer than the socket" };
    for message in [attach, close] {
        assert!(mailbox.send(message).await.is_ok());
    }
    let mut all = Vec::new();
    peer.read_to_end(&mut all).await.expect("it ends");
    assert_eq!(all[..2], [0x88, 24]);
    assert_eq!(&all[4..], b"longer than the socket");
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_socket_takes_nothing_is_cut_off_and_one_that_reads_a_little_is_not() {
    for reads in [false, true] {
        let outbox = OutboxLimits {
            ticks_max: 8,
            tick_bytes_max: 4_096,
            latest_bytes_max: 4_096,
            control_bytes_max: 4_096,
        };
        let options = ShardOptions { outbox, close_timeout_ms: 60_000, stall_timeout_ms: 1_000 };
        let (mailbox, messages) = mpsc::channel(8);
        let shard = run_shard(Shard::new(options), messages, Clock::start(), 4_096);
        let _shard = TokioRuntime::new().spawn("shard", shard);
        let (mut peer, socket) = tokio::io::duplex(7);
        let (_reader, writer) = tokio::io::split(socket);
        let client = ClientId(1);
        let (ended, mut end) = oneshot::channel();
        let credit = Arc::new(Semaphore::new(1));
        let manner =
            Manner { policy: OutboxPolicy::default(), ticks_max: 1_024, content: Content::Ticks };
        let attach = ShardMessage::Attach { client, writer, ended, credit, manner };
        let frame = Bytes::from_static(&[0x8a; 400]);
        for message in [attach, ShardMessage::Control { client, frame }] {
            assert!(mailbox.send(message).await.is_ok());
        }
        for _ in 0..3 {
            tokio::time::sleep(std::time::Duration::from_millis(600)).await;
            if reads {
                let _ = peer.read(&mut [0; 7]).await.expect("there is more");
            }
        }
        match (reads, end.try_recv()) {
            (false, Ok(ejection)) => assert_eq!(ejection.code, 1013),
            (true, Err(oneshot::error::TryRecvError::Empty)) => {}
            (reads, end) => panic!("reads: {reads}, {end:?}"),
        }
    }
}
