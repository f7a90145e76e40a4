//! What becomes of a tick for which there is no room.

use bytes::Bytes;

use super::{Outbox, OutboxLimits, Overflow, Waiting};
use crate::config::OutboxPolicy;
use crate::engine::RouteId;
use crate::marks::mark;

/// What queueing a tick has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Ticks of the same topic that it has replaced.
    pub replaced: u64,
    /// The oldest ticks, which had to go.
    pub dropped: u64,
}

impl Outbox {
    /// Queues a tick, and makes room for it in the way of its channel. Answers and order updates
    /// are never touched.
    ///
    /// # Errors
    ///
    /// Fails if there is no room and none may be made: the client has to be closed.
    pub fn push_tick_by(
        &mut self,
        policy: OutboxPolicy,
        limits: &OutboxLimits,
        route: RouteId,
        frame: Bytes,
    ) -> Result<Lost, Overflow> {
        match policy {
            OutboxPolicy::Conflate => {
                let replaced = self.push_tick(limits, route, frame)?.into();
                Ok(Lost { replaced, dropped: 0 })
            }
            OutboxPolicy::DropOldest => {
                let mut dropped = 0;
                while !self.has_room(limits) && self.drop_oldest() {
                    dropped += 1;
                }
                mark!(OldestDropped if dropped > 0);
                self.queue_tick(route, frame);
                Ok(Lost { replaced: 0, dropped })
            }
            OutboxPolicy::Disconnect if self.has_room(limits) => {
                self.queue_tick(route, frame);
                Ok(Lost::default())
            }
            OutboxPolicy::Disconnect => {
                mark!(TicksOverflowed);
                Err(Overflow)
            }
        }
    }

    pub(super) fn has_room(&self, limits: &OutboxLimits) -> bool {
        self.ticks < limits.ticks_max && self.tick_bytes < limits.tick_bytes_max
    }

    /// Drops the tick that has waited longest. `false`: none waits.
    fn drop_oldest(&mut self) -> bool {
        let is_tick = |waiting: &Waiting| matches!(waiting, Waiting::Tick(..));
        let Some(at) = self.queue.iter().position(is_tick) else { return false };
        if let Some(Waiting::Tick(route, frame)) = self.queue.remove(at) {
            self.ticks -= 1;
            self.tick_bytes -= frame.len();
            let values = self.content.values(&frame);
            if values > 0 {
                *self.dropped.entry(route).or_default() += values;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Content;

    const LIMITS: OutboxLimits = OutboxLimits {
        ticks_max: 2,
        tick_bytes_max: 100,
        latest_bytes_max: 100,
        control_bytes_max: 100,
    };

    fn pushed(policy: OutboxPolicy) -> (Outbox, Vec<Result<Lost, Overflow>>) {
        let mut outbox = Outbox::new(Content::Broadcasts);
        outbox.push_control(&LIMITS, Bytes::from_static(b"X")).unwrap();
        let mut results = Vec::new();
        for (route, text) in [(1, "a"), (2, "b"), (1, "c"), (1, "d")] {
            let frame = Bytes::from_static(text.as_bytes());
            results.push(outbox.push_tick_by(policy, &LIMITS, RouteId(route), frame));
            outbox.check();
        }
        outbox.push_control(&LIMITS, Bytes::from_static(b"Y")).unwrap();
        (outbox, results)
    }

    fn drained(outbox: &mut Outbox) -> String {
        let mut out = Vec::new();
        outbox.drain_into(&mut out, usize::MAX);
        outbox.check();
        String::from_utf8(out).unwrap()
    }

    const fn lost(replaced: u64, dropped: u64) -> Result<Lost, Overflow> {
        Ok(Lost { replaced, dropped })
    }

    #[test]
    fn conflating_keeps_the_latest_of_each_topic() {
        let (mut outbox, results) = pushed(OutboxPolicy::Conflate);
        assert_eq!(results, [lost(0, 0), lost(0, 0), lost(0, 0), lost(1, 0)]);
        assert_eq!(drained(&mut outbox), "XabYd");
    }

    #[test]
    fn dropping_the_oldest_keeps_the_newest_in_order_and_every_answer() {
        let (mut outbox, results) = pushed(OutboxPolicy::DropOldest);
        assert_eq!(results, [lost(0, 0), lost(0, 0), lost(0, 1), lost(0, 1)]);
        assert_eq!(drained(&mut outbox), "XcdY");
    }

    #[test]
    fn disconnecting_refuses_the_tick_and_keeps_what_waits() {
        let (mut outbox, results) = pushed(OutboxPolicy::Disconnect);
        assert_eq!(results, [lost(0, 0), lost(0, 0), Err(Overflow), Err(Overflow)]);
        assert_eq!(drained(&mut outbox), "XabY");
    }

    #[test]
    fn bytes_are_a_limit_of_every_policy() {
        let limits = OutboxLimits { ticks_max: 1_000, ..LIMITS };
        let tick = Bytes::from(vec![b'x'; 60]);
        let mut outbox = Outbox::new(Content::Broadcasts);
        let mut push = |policy| outbox.push_tick_by(policy, &limits, RouteId(1), tick.clone());
        for expected in [lost(0, 0), lost(0, 0), lost(0, 1)] {
            assert_eq!(push(OutboxPolicy::DropOldest), expected, "the last may exceed it");
        }
        assert_eq!(push(OutboxPolicy::Disconnect), Err(Overflow));
    }
}
