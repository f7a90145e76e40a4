//! Where a shard's clients get their bytes.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::Shell;
use crate::marks::mark;
use crate::topic::ClientId;

/// Sockets written to before others on the same core get their turn: about a tenth of a
/// millisecond, as a write takes some 5 us. A tick for thousands of clients must not keep a request
/// from being read and answered.
pub(super) const WRITES_PER_TURN: usize = 16;

/// Sockets whose state is fetched at once before they are written to. A write goes through so much
/// of the kernel's memory that ours is in no near cache afterwards; what several need is waited for
/// once if it is asked for together.
const FETCHED_TOGETHER: usize = 16;

impl<S: AsyncWrite + Send + Unpin + 'static> Shell<S> {
    /// A socket has room again.
    pub(super) fn unblock(&mut self, client: ClientId) {
        if let Some(writer) = self.writers.get_mut(&client) {
            writer.blocked = false;
            self.write(client);
        }
    }

    /// Writes to those whose turn it is, as long as others on this core can wait; only to those who
    /// have more than ticks to read, unless the window is `open`.
    pub(super) fn write_some(&mut self, open: bool) {
        for _ in 0..WRITES_PER_TURN / FETCHED_TOGETHER {
            self.write_next(open);
        }
    }

    fn write_next(&mut self, open: bool) {
        let mut next = std::mem::take(&mut self.next);
        let shard = &mut self.shard;
        let pop = || if open { shard.pop_dirty() } else { shard.pop_urgent() };
        next.extend(std::iter::from_fn(pop).take(FETCHED_TOGETHER));
        self.fetch(&next);
        for client in next.drain(..) {
            self.write(client);
        }
        self.next = next;
    }

    /// Looks at what writes to these clients will look at first, one independent of the other: the
    /// processor waits for the memory of all of them at the same time. Short loops, since it looks
    /// only some hundred instructions ahead.
    fn fetch(&self, clients: &[ClientId]) {
        let writers = || clients.iter().filter_map(|client| self.writers.get(client));
        let blocked = writers().filter(|writer| writer.blocked).count();
        let rest: usize = writers().map(|writer| writer.rest.len()).sum();
        let vectored = writers().filter(|writer| writer.half.is_write_vectored()).count();
        let frames: usize = clients
            .iter()
            .map(|client| self.shard.glance(*client))
            .fold(0, |seen, frame| seen ^ frame);
        std::hint::black_box((blocked, rest, vectored, frames));
    }

    /// Writes what waits for a client until there is no more or its socket is full.
    pub(super) fn write(&mut self, client: ClientId) {
        let Some(writer) = self.writers.get_mut(&client).filter(|writer| !writer.blocked) else {
            return;
        };
        let mut cx = Context::from_waker(&writer.waker);
        // Whether something may wait behind what is written.
        let mut more = true;
        while more || !writer.rest.is_empty() {
            if writer.rest.is_empty() {
                self.scratch.clear();
                let max = self.write_bytes_max;
                if self.shard.drain_into(client, &mut self.scratch, max) == 0 {
                    break;
                }
                more = self.scratch.len() >= max;
            }
            let from_rest = !writer.rest.is_empty();
            let bytes: &[u8] = if from_rest { &writer.rest } else { &self.scratch };
            match Pin::new(&mut writer.half).poll_write(&mut cx, bytes) {
                Poll::Ready(Ok(written)) if written > 0 => {
                    mark!(SocketTakesPart if written < bytes.len());
                    if std::mem::take(&mut writer.stalled) {
                        self.shard.moves(client);
                    }
                    if from_rest {
                        let _ = writer.rest.split_to(written);
                    } else if written < self.scratch.len() {
                        writer.rest = Bytes::copy_from_slice(&self.scratch[written..]);
                    }
                }
                Poll::Ready(_) => {
                    mark!(SocketBroken);
                    // The client reads no more; its task finds the same out and tells the hub.
                    self.writers.swap_remove(&client);
                    return;
                }
                Poll::Pending => {
                    mark!(SocketFull);
                    if !from_rest {
                        writer.rest = Bytes::copy_from_slice(&self.scratch);
                    }
                    (writer.blocked, writer.stalled) = (true, true);
                    self.shard.stalls(client);
                    return;
                }
            }
        }
        if writer.flushes && Pin::new(&mut writer.half).poll_flush(&mut cx).is_pending() {
            (writer.blocked, writer.stalled) = (true, true);
            self.shard.stalls(client);
            return;
        }
        if std::mem::take(&mut writer.stalled) {
            self.shard.moves(client);
        }
        if self.shard.is_finished(client) {
            self.end(client);
        }
    }

    /// Ends the write side: the client sees the end of the stream.
    pub(super) fn end(&mut self, client: ClientId) {
        if let Some(mut writer) = self.writers.swap_remove(&client) {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut writer.half).poll_shutdown(&mut cx);
        }
    }
}
