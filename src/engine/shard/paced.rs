//! Those who get the latest value at intervals.

use bytes::Bytes;

use super::{Overflow, RouteId, Shard};
use crate::marks::mark;
use crate::protocol::frame;

/// Ticks that one call of [`Shard::fire_paces`] puts into outboxes, about: a boundary that many
/// subscriptions share must not keep everybody else waiting.
const TICKS_PER_CALL: usize = 16_384;

impl Shard {
    /// Gives the latest value to those whose interval is over, and who do not have it yet. What is
    /// too much for one call is due at once again.
    pub fn fire_paces(&mut self) {
        let mut ticks = 0;
        while ticks < TICKS_PER_CALL
            && let Some(group) = self.paces.pop_due(self.now_ms)
        {
            ticks += self.fire(group);
            self.close_overflowed();
        }
    }

    /// One encoding for all that have missed as many values.
    fn fire(&mut self, no: usize) -> usize {
        let group = self.paces.group_mut(no);
        let route = group.route;
        let mut members = std::mem::take(&mut group.members);
        let state = self.routes.get_mut(&route).expect("a group has a route");
        let paces = state.paces.as_deref_mut().expect("a group has its route's count");
        let values = paces.values;
        let last = state.last.clone().expect("a value has come");
        let silence = state.standing.as_deref().filter(|it| it.is_silent()).cloned();
        self.paces.rest(paces, no);
        let mut told = (frame::skipped(&last), last.clone());
        let mut ticks = 0;
        for member in &mut members {
            let Some(skipped) = (values - member.seen).checked_sub(1) else {
                mark!(PacedHasLatest);
                continue;
            };
            member.seen = values;
            if told.0 != skipped {
                // What the frame tells itself is counted already.
                let frame = match skipped - frame::skipped(&last).min(skipped) {
                    0 => last.clone(),
                    more => frame::with_skipped(&last, more),
                };
                told = (skipped, frame);
            }
            mark!(PaceWithheld if skipped > 0);
            self.totals.withheld += skipped;
            self.give(member.slot, route, told.1.clone());
            if let Some(silence) = &silence {
                mark!(PacedLearnsLater);
                self.totals.news += 1;
                self.client_mut(member.slot).note(route, Some(silence));
            }
            ticks += 1;
        }
        self.paces.group_mut(no).members = members;
        ticks
    }

    fn give(&mut self, slot: usize, route: RouteId, frame: Bytes) {
        self.totals.ticks += 1;
        let client = self.client_mut(slot);
        mark!(PacedLags if client.outbox.ticks() >= client.limits.ticks_max);
        match client.push_tick(route, frame) {
            Ok(lost) => self.totals.add(lost),
            Err(Overflow) => {
                let id = client.id;
                self.overflowed.push(id);
            }
        }
        self.mark_dirty(slot);
    }

    /// Subscriptions that are paced.
    #[must_use]
    pub const fn paced(&self) -> usize {
        self.paces.len()
    }
}
