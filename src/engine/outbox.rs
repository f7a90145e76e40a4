//! What waits for one client.

mod lagging;
mod policy;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::Bytes;

use super::RouteId;
use super::numbered::{NumberMap, NumberSet};
use crate::marks::mark;
use lagging::{Lagging, told};

pub use lagging::Content;
pub use policy::Lost;

/// How much may wait for one client.
#[derive(Clone, Copy, Debug)]
pub struct OutboxLimits {
    /// Ticks that wait before the topics are conflated to their latest value.
    pub ticks_max: usize,
    /// Bytes of ticks that wait before that; the last one may exceed it.
    pub tick_bytes_max: usize,
    /// Bytes of the latest values that wait behind them; a single one may exceed it.
    pub latest_bytes_max: usize,
    /// Bytes of answers and order updates that may wait.
    pub control_bytes_max: usize,
}

/// Too much waits: the client has to be closed, since none of it may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// A bounded queue of complete WebSocket frames.
///
/// Up to `ticks_max` ticks, or `tick_bytes_max` bytes of them, wait in order. Beyond that the
/// client lags: each further tick replaces the one of its topic that waits at the end, so that at
/// most one a topic is added however long the client sleeps, and what it reads last is the latest.
/// Within a topic the order is kept, and a tick says how many right before it were left out.
///
/// Waiting ticks have at most `tick_bytes_max` and one tick, or what was `latest_bytes_max` before
/// the client caught up; and `latest_bytes_max` behind that. A tick that tells of others is up to
/// 31 bytes longer than it came.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Waiting>,
    /// Ticks in `queue`, and their bytes.
    ticks: usize,
    tick_bytes: usize,
    control_bytes: usize,
    /// Latest values behind the queue.
    lagging: Lagging,
    content: Content,
    /// Ticks that were dropped, by route, until the next one of the route tells.
    dropped: NumberMap<RouteId, u64>,
}

#[derive(Debug)]
enum Waiting {
    Control(Bytes),
    Tick(RouteId, Bytes),
}

impl Outbox {
    /// An outbox with nothing in it.
    #[must_use]
    pub fn new(content: Content) -> Self {
        Self { content, ..Self::default() }
    }

    /// Queues an answer, an order update, a pong or a close.
    ///
    /// # Errors
    ///
    /// Fails if too much waits already; the frame is not queued.
    pub fn push_control(&mut self, limits: &OutboxLimits, frame: Bytes) -> Result<(), Overflow> {
        let control_bytes = self.control_bytes + frame.len();
        if control_bytes > limits.control_bytes_max && self.control_bytes > 0 {
            mark!(Overflowed);
            return Err(Overflow);
        }
        self.control_bytes = control_bytes;
        self.queue.push_back(Waiting::Control(frame));
        Ok(())
    }

    /// Queues the last frame of all, whatever the limits say: behind everything that waits.
    pub fn push_last(&mut self, frame: Bytes) {
        self.catch_up();
        self.control_bytes += frame.len();
        self.queue.push_back(Waiting::Control(frame));
    }

    /// Queues a tick. Says whether it replaced one, which the client will never see.
    ///
    /// # Errors
    ///
    /// Fails if the latest values alone are too many bytes; the tick is not queued.
    pub fn push_tick(
        &mut self,
        limits: &OutboxLimits,
        route: RouteId,
        frame: Bytes,
    ) -> Result<bool, Overflow> {
        if self.lagging.is_empty() && self.has_room(limits) {
            self.queue_tick(route, frame);
            return Ok(false);
        }
        let kept = self.lagging.keep(self.content, limits.latest_bytes_max, route, frame);
        mark!(LatestOverflowed if kept.is_err());
        kept
    }

    /// Drops the ticks of these routes: their subscriptions have ended.
    pub fn forget(&mut self, routes: &[RouteId]) {
        let nothing = self.ticks == 0 && self.lagging.is_empty() && self.dropped.is_empty();
        if routes.is_empty() || nothing {
            return;
        }
        let routes: NumberSet<RouteId> = routes.iter().copied().collect();
        self.queue.retain(|waiting| match waiting {
            Waiting::Tick(route, frame) if routes.contains(route) => {
                mark!(TicksForgotten);
                self.ticks -= 1;
                self.tick_bytes -= frame.len();
                false
            }
            Waiting::Tick(..) | Waiting::Control(_) => true,
        });
        self.lagging.forget(&routes);
        self.dropped.retain(|route, _| !routes.contains(route));
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.content);
    }

    /// Moves frames to the end of `out` until it holds `bytes_max` or more. Says how many.
    pub fn drain_into(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> usize {
        let mut frames = 0;
        while out.len() < bytes_max {
            let Some(waiting) = self.pop() else { break };
            out.extend_from_slice(&waiting);
            frames += 1;
        }
        frames
    }

    fn pop(&mut self) -> Option<Bytes> {
        if self.queue.is_empty() {
            self.catch_up();
        }
        match self.queue.pop_front()? {
            Waiting::Control(frame) => {
                self.control_bytes -= frame.len();
                Some(frame)
            }
            Waiting::Tick(route, frame) => {
                self.ticks -= 1;
                self.tick_bytes -= frame.len();
                let skipped = match self.dropped.is_empty() {
                    true => None,
                    false => self.dropped.swap_remove(&route),
                };
                Some(told(frame, skipped.unwrap_or_default()))
            }
        }
    }

    /// Queues the latest values of the lagging topics behind what waits.
    fn catch_up(&mut self) {
        for (route, frame) in self.lagging.take() {
            self.queue_tick(route, frame);
        }
    }

    fn queue_tick(&mut self, route: RouteId, frame: Bytes) {
        self.ticks += 1;
        self.tick_bytes += frame.len();
        self.queue.push_back(Waiting::Tick(route, frame));
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.lagging.is_empty()
    }

    /// Frames in the queue.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Looks at what is taken out next and at what then changes. Says nothing that matters.
    pub(super) fn glance(&self) -> usize {
        let next = match self.queue.front() {
            Some(Waiting::Control(frame) | Waiting::Tick(_, frame)) => frame.len(),
            None => 0,
        };
        next ^ self.tick_bytes
    }

    /// How many bytes wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.control_bytes + self.tick_bytes + self.lagging.bytes()
    }

    /// Ticks that wait.
    #[must_use]
    pub fn ticks(&self) -> usize {
        self.ticks + self.lagging.len()
    }

    /// Routes of which something was dropped that no tick has told yet.
    pub(super) fn untold(&self) -> impl Iterator<Item = RouteId> {
        self.dropped.keys().copied()
    }

    /// Asserts that the counters agree with the contents.
    ///
    /// # Panics
    ///
    /// Panics if they do not.
    pub fn check(&self) {
        let (mut ticks, mut tick_bytes, mut control_bytes) = (0, 0, 0);
        for waiting in &self.queue {
            match waiting {
                Waiting::Control(frame) => control_bytes += frame.len(),
                Waiting::Tick(_, frame) => {
                    ticks += 1;
                    tick_bytes += frame.len();
                }
            }
        }
        assert_eq!((self.ticks, self.tick_bytes), (ticks, tick_bytes));
        assert_eq!(self.control_bytes, control_bytes);
        self.lagging.check();
    }
}
