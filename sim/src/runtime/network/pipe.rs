//! One direction of a connection: bytes on their way, in order.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::ReadBuf;

use super::courier::Courier;
use super::lock;

/// Bytes that are on their way or wait to be read. A writer waits when there are so many: the
/// buffers of two sockets.
pub const WINDOW_BYTES: usize = 128 * 1024;

/// When something arrives that the link holds back.
const HELD: Duration = Duration::MAX;

/// One direction of a connection, shared by its two ends. All times count from the beginning of
/// the simulation.
#[derive(Clone, Debug, Default)]
pub(super) struct Pipe(Arc<Mutex<State>>);

/// A reader that is to be woken when something arrives.
#[derive(Debug)]
pub(super) struct Arrival(Weak<Mutex<State>>);

impl Arrival {
    pub fn arrives(self) {
        let Some(state) = self.0.upgrade() else { return };
        let mut state = lock(&state);
        state.announced = false;
        wake(&mut state.reader);
    }
}

/// A pipe as its link knows it.
#[derive(Debug)]
pub(super) struct Hose(Weak<Mutex<State>>);

impl Hose {
    /// Lets go what was held back.
    pub fn release(&self, now: Duration, latency: Duration) {
        let Some(state) = self.0.upgrade() else { return };
        let mut state = lock(&state);
        let arrives = state.latest.max(now + latency);
        for segment in state.segments.iter_mut().filter(|segment| segment.arrives == HELD) {
            segment.arrives = arrives;
        }
        if let Some((at, _)) = state.end.as_mut().filter(|(at, _)| *at == HELD) {
            *at = arrives;
        }
        state.latest = arrives;
        wake(&mut state.reader);
    }

    /// Whether anybody still uses the pipe.
    pub fn is_open(&self) -> bool {
        self.0.strong_count() > 0
    }
}

#[derive(Debug, Default)]
struct State {
    segments: VecDeque<Segment>,
    bytes: usize,
    /// The last thing that the writer says.
    end: Option<(Duration, End)>,
    /// From this moment on the writer knows that nobody reads.
    unread_from: Option<Duration>,
    /// When the latest segment arrives: nothing overtakes it.
    latest: Duration,
    reader: Option<Waker>,
    /// The courier will wake the reader at the next arrival.
    announced: bool,
    writer: Option<Waker>,
}

#[derive(Debug)]
struct Segment {
    arrives: Duration,
    bytes: Bytes,
}

/// How a direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// After the last byte.
    Fin,
    /// At once; what was not read is lost.
    Reset,
}

/// What an end of the connection has to do next.
#[derive(Debug)]
pub(super) enum Step<T> {
    /// It is done.
    Done(T),
    /// Nothing before this moment.
    At(Duration),
    /// Nothing before the other end does something.
    Wait,
}

impl Pipe {
    /// Reads what has arrived.
    pub fn poll_read(
        &self,
        cx: &Context<'_>,
        now: Duration,
        buf: &mut ReadBuf<'_>,
        courier: &Courier,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if let Some((at, End::Reset)) = state.end
            && at <= now
        {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let mut taken = 0;
        while let Some(segment) = state.segments.front_mut() {
            if segment.arrives > now || buf.remaining() == 0 {
                break;
            }
            let count = segment.bytes.len().min(buf.remaining());
            buf.put_slice(&segment.bytes[..count]);
            segment.bytes.advance(count);
            taken += count;
            if segment.bytes.is_empty() {
                state.segments.pop_front();
            }
        }
        if taken > 0 {
            state.bytes -= taken;
            wake(&mut state.writer);
            return Poll::Ready(Ok(()));
        }
        if state.next_arrival().is_some_and(|at| at <= now) {
            return Poll::Ready(Ok(()));
        }
        match &mut state.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        self.announce(&mut state, courier);
        Poll::Pending
    }

    /// Has the reader woken at the next arrival, if somebody reads.
    fn announce(&self, state: &mut State, courier: &Courier) {
        if !state.announced
            && state.reader.is_some()
            && let Some(at) = state.next_arrival()
        {
            state.announced = true;
            courier.note(at, Arrival(Arc::downgrade(&self.0)));
        }
    }

    /// Sends bytes that take `latency`, or that the link holds back; tells how many were taken.
    pub fn write(
        &self,
        cx: &Context<'_>,
        now: Duration,
        latency: Option<Duration>,
        bytes: &[u8],
        courier: &Courier,
    ) -> Step<io::Result<usize>> {
        let mut state = self.state();
        match state.unread_from {
            _ if state.end.is_some() => return Step::Done(Err(io::ErrorKind::BrokenPipe.into())),
            Some(at) if at <= now => return Step::Done(Err(io::ErrorKind::BrokenPipe.into())),
            _ => {}
        }
        let count = bytes.len().min(WINDOW_BYTES.saturating_sub(state.bytes));
        if count == 0 && !bytes.is_empty() {
            state.writer = Some(cx.waker().clone());
            return state.unread_from.map_or(Step::Wait, Step::At);
        }
        let arrives = state.arrival(now, latency);
        state
            .segments
            .push_back(Segment { arrives, bytes: Bytes::copy_from_slice(&bytes[..count]) });
        state.bytes += count;
        self.announce(&mut state, courier);
        Step::Done(Ok(count))
    }

    /// Says the last word, unless one was said.
    pub fn end(&self, now: Duration, latency: Option<Duration>, end: End, courier: &Courier) {
        let mut state = self.state();
        let at = state.arrival(now, latency);
        if state.end.is_none() || end == End::Reset {
            state.end = Some((at, end));
            self.announce(&mut state, courier);
        }
    }

    /// Nobody reads any more. Tells whether something is lost by that.
    pub fn abandon(&self, now: Duration, latency: Option<Duration>) -> bool {
        let mut state = self.state();
        state.unread_from = Some(now + latency.unwrap_or_default());
        wake(&mut state.writer);
        !state.segments.is_empty()
    }

    /// The pipe for its link, which does not keep it.
    pub fn hose(&self) -> Hose {
        Hose(Arc::downgrade(&self.0))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl State {
    /// When the next thing is there to be read; `None` if nothing is on its way.
    fn next_arrival(&self) -> Option<Duration> {
        let next = self.segments.front().map(|segment| segment.arrives);
        next.or(self.end.map(|(at, _)| at)).filter(|at| *at != HELD)
    }

    fn arrival(&mut self, now: Duration, latency: Option<Duration>) -> Duration {
        let Some(latency) = latency else { return HELD };
        self.latest = self.latest.max(now + latency);
        self.latest
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// Waits for what comes first: the moment, or a wake by the other end.
pub(super) fn wait<T>(
    step: Step<T>,
    timer: &mut Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
    instant_of: impl Fn(Duration) -> tokio::time::Instant,
    cx: &mut Context<'_>,
) -> Poll<Option<T>> {
    let at = match step {
        Step::Done(done) => return Poll::Ready(Some(done)),
        Step::Wait => return Poll::Pending,
        Step::At(at) => instant_of(at),
    };
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
    if timer.deadline() != at {
        timer.as_mut().reset(at);
    }
    timer.as_mut().poll(cx).map(|()| None)
}
