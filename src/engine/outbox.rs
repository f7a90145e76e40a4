//! What waits for one client.

mod policy;

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::RouteId;
use super::numbered::NumberMap;
use crate::marks::mark;

pub use policy::Lost;

/// How much may wait for one client.
#[derive(Clone, Copy, Debug)]
pub struct OutboxLimits {
    /// Ticks that wait before the topics are conflated to their latest value.
    pub ticks_max: usize,
    /// Bytes of ticks that wait before that; the last one may exceed it.
    pub tick_bytes_max: usize,
    /// Bytes of answers and order updates that may wait.
    pub control_bytes_max: usize,
}

/// Too many answers or order updates wait: the client has to be closed, since none of them may be
/// dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// A bounded queue of complete WebSocket frames.
///
/// Up to `ticks_max` ticks, or `tick_bytes_max` bytes of them, wait in order. Beyond that the
/// client lags: each further tick replaces the one of its topic that waits at the end, so that at
/// most one a topic is added however long the client sleeps, and what it reads last is the latest.
/// Within a topic the order is kept.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Waiting>,
    /// Ticks in `queue`, and their bytes.
    ticks: usize,
    tick_bytes: usize,
    control_bytes: usize,
    /// Latest values behind the queue, in the order in which their topics began to lag.
    lagging: NumberMap<RouteId, Bytes>,
}

#[derive(Debug)]
enum Waiting {
    Control(Bytes),
    Tick(RouteId, Bytes),
}

impl Outbox {
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
    pub fn push_tick(&mut self, limits: &OutboxLimits, route: RouteId, frame: Bytes) -> bool {
        let has_room = self.ticks < limits.ticks_max && self.tick_bytes < limits.tick_bytes_max;
        if self.lagging.is_empty() && has_room {
            self.queue_tick(route, frame);
            return false;
        }
        let replaced = self.lagging.insert(route, frame).is_some();
        mark!(Conflated if replaced);
        replaced
    }

    /// Drops the ticks of these routes: their subscriptions have ended.
    pub fn forget(&mut self, routes: &[RouteId]) {
        if routes.is_empty() || self.ticks == 0 && self.lagging.is_empty() {
            return;
        }
        let routes: BTreeSet<RouteId> = routes.iter().copied().collect();
        mark!(TicksForgotten if self.lagging.keys().any(|route| routes.contains(route)));
        self.queue.retain(|waiting| match waiting {
            Waiting::Tick(route, frame) if routes.contains(route) => {
                mark!(TicksForgotten);
                self.ticks -= 1;
                self.tick_bytes -= frame.len();
                false
            }
            Waiting::Tick(..) | Waiting::Control(_) => true,
        });
        self.lagging.retain(|route, _| !routes.contains(route));
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        *self = Self::default();
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
            Waiting::Tick(_, frame) => {
                self.ticks -= 1;
                self.tick_bytes -= frame.len();
                Some(frame)
            }
        }
    }

    /// Queues the latest values of the lagging topics behind what waits.
    fn catch_up(&mut self) {
        for (route, frame) in std::mem::take(&mut self.lagging) {
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

    /// How many bytes wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let lagging = self.lagging.values().map(Bytes::len).sum::<usize>();
        self.control_bytes + self.tick_bytes + lagging
    }

    /// Ticks that wait.
    #[must_use]
    pub fn ticks(&self) -> usize {
        self.ticks + self.lagging.len()
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: OutboxLimits =
        OutboxLimits { ticks_max: 2, tick_bytes_max: 100, control_bytes_max: 10 };

    fn frame(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn drained(outbox: &mut Outbox) -> String {
        let mut out = Vec::new();
        outbox.drain_into(&mut out, usize::MAX);
        outbox.check();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_client_that_keeps_up_gets_everything_in_order() {
        let mut outbox = Outbox::default();
        outbox.push_tick(&LIMITS, RouteId(1), frame("a"));
        outbox.push_control(&LIMITS, frame("X")).unwrap();
        outbox.push_tick(&LIMITS, RouteId(1), frame("b"));
        assert_eq!(drained(&mut outbox), "aXb");
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_client_that_lags_gets_the_latest_of_each_topic_in_order_of_first_lag() {
        let mut outbox = Outbox::default();
        let ticks = [(1, "a"), (2, "b"), (2, "c"), (1, "d"), (2, "e"), (1, "f")];
        let replaced =
            ticks.map(|(route, text)| outbox.push_tick(&LIMITS, RouteId(route), frame(text)));
        assert_eq!(replaced, [false, false, false, false, true, true]);
        assert_eq!(drained(&mut outbox), "abef");
    }

    #[test]
    fn a_client_that_sleeps_through_large_ticks_costs_a_bounded_number_of_bytes() {
        let limits = OutboxLimits { ticks_max: 1_000, tick_bytes_max: 100, control_bytes_max: 10 };
        let mut outbox = Outbox::default();
        let tick = Bytes::from(vec![b'x'; 60]);
        for _ in 0..10 {
            outbox.push_tick(&limits, RouteId(1), tick.clone());
        }
        outbox.check();
        assert_eq!(outbox.bytes(), 3 * 60, "two within the limit, and the latest");
        drained(&mut outbox);
        assert!(!outbox.push_tick(&limits, RouteId(1), tick), "it has caught up");
    }

    #[test]
    fn ticks_stay_behind_the_lagging_ones_while_the_queue_drains() {
        let mut outbox = Outbox::default();
        for text in ["a", "b", "c"] {
            outbox.push_tick(&LIMITS, RouteId(1), frame(text));
        }
        let mut out = Vec::new();
        outbox.drain_into(&mut out, 1);
        outbox.push_tick(&LIMITS, RouteId(1), frame("d"));
        outbox.drain_into(&mut out, usize::MAX);
        assert_eq!(out, b"abd", "c was replaced by d, and nothing overtook");
    }

    #[test]
    fn answers_are_refused_rather_than_dropped() {
        let mut outbox = Outbox::default();
        outbox.push_control(&LIMITS, frame("123456")).unwrap();
        assert_eq!(outbox.push_control(&LIMITS, frame("78901")), Err(Overflow));
        assert_eq!(drained(&mut outbox), "123456");
        outbox.push_control(&LIMITS, frame("larger than the limit")).unwrap();
    }

    #[test]
    fn what_just_reaches_a_limit_is_within_it() {
        let mut outbox = Outbox::default();
        outbox.push_control(&LIMITS, frame("123456")).unwrap();
        outbox.push_control(&LIMITS, frame("7890")).unwrap();
        assert_eq!(outbox.push_control(&LIMITS, frame("1")), Err(Overflow));
        let full = Bytes::from(vec![b'x'; LIMITS.tick_bytes_max]);
        outbox.push_tick(&LIMITS, RouteId(1), full);
        outbox.push_tick(&LIMITS, RouteId(1), frame("a"));
        assert!(outbox.push_tick(&LIMITS, RouteId(1), frame("b")), "a waits behind the limit");
        let mut out = Vec::new();
        assert_eq!(outbox.drain_into(&mut out, 6), 1, "the first frame fills the buffer");
    }

    #[test]
    fn what_waits_is_counted_wherever_it_waits() {
        let mut outbox = Outbox::default();
        assert_eq!((outbox.bytes(), outbox.ticks()), (0, 0));
        outbox.push_control(&LIMITS, frame("123456")).unwrap();
        for (route, text) in [(1, "a"), (2, "bb"), (3, "ccc"), (4, "dddd")] {
            outbox.push_tick(&LIMITS, RouteId(route), frame(text));
        }
        assert_eq!((outbox.bytes(), outbox.ticks()), (16, 4));
        outbox.push_last(frame("e"));
        assert_eq!((outbox.bytes(), outbox.ticks()), (17, 4));
        outbox.clear();
        assert!(outbox.is_empty());
    }

    #[test]
    fn counters_that_have_drifted_are_noticed() {
        let drifted: [fn(&mut Outbox); 3] = [
            |outbox| outbox.ticks += 1,
            |outbox| outbox.tick_bytes += 1,
            |outbox| outbox.control_bytes += 1,
        ];
        for drift in drifted {
            let mut outbox = Outbox::default();
            outbox.push_control(&LIMITS, frame("X")).unwrap();
            outbox.push_tick(&LIMITS, RouteId(1), frame("a"));
            outbox.check();
            drift(&mut outbox);
            assert!(std::panic::catch_unwind(|| outbox.check()).is_err(), "{outbox:?}");
        }
    }

    #[test]
    fn ticks_of_an_ended_subscription_are_gone_wherever_they_wait() {
        let mut outbox = Outbox::default();
        for (route, text) in [(1, "a"), (2, "b"), (1, "c"), (2, "d")] {
            outbox.push_tick(&LIMITS, RouteId(route), frame(text));
        }
        outbox.forget(&[RouteId(1)]);
        outbox.check();
        assert_eq!(drained(&mut outbox), "bd");
    }

    #[test]
    fn a_drain_stops_at_the_first_frame_that_fills_the_buffer() {
        let mut outbox = Outbox::default();
        outbox.push_control(&LIMITS, frame("aaaa")).unwrap();
        outbox.push_control(&LIMITS, frame("bbbb")).unwrap();
        let mut out = Vec::new();
        assert_eq!(outbox.drain_into(&mut out, 2), 1);
        assert_eq!(out, b"aaaa");
        assert_eq!(outbox.bytes(), 4);
    }
}
