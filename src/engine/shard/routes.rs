//! What ticks: routes that somebody here wants, and what comes on them.

use bytes::Bytes;

use super::{Shard, fetch};
use crate::engine::outbox::Overflow;
use crate::engine::{Epoch, RouteId};
use crate::marks::mark;
use crate::protocol::frame;

impl Shard {
    /// Tells what those had heard of routes who sent the ticks and news that follow.
    pub fn set_heard(&mut self, epoch: Epoch) {
        self.heard = epoch;
    }

    /// From now on ticks of this route may come; the latest is kept. What was sent of it by those
    /// who have not heard of that yet is of a time when it was not wanted here: between it and what
    /// comes next some may be missing that were not sent here.
    pub fn expect(&mut self, route: RouteId, since: Epoch) {
        self.routes.entry(route).or_default().since = since;
    }

    /// Nobody wants this route any more.
    pub fn forget(&mut self, route: RouteId) {
        let gone = self.routes.swap_remove(&route);
        debug_assert!(gone.is_none_or(|route| route.subscribers.is_empty()));
    }

    /// Gives a tick to everyone on a route.
    pub fn tick(&mut self, route: RouteId, frame: &Bytes) {
        let heard = self.heard;
        let Some(route_state) = self.routes.get_mut(&route).filter(|at| at.since <= heard) else {
            mark!(OfBefore if self.routes.contains_key(&route));
            self.totals.unrouted += 1;
            return;
        };
        route_state.last = Some(frame.clone());
        if let Some(paces) = &mut route_state.paces {
            self.paces.ticked(paces, 1 + frame::skipped(frame), self.now_ms);
        }
        for slots in route_state.subscribers.chunks(fetch::TOGETHER) {
            fetch::fetch(&self.slots, slots);
            for &slot in slots {
                let client = self.slots[slot].as_mut().expect("a subscriber exists");
                self.totals.ticks += 1;
                match client.push_tick(route, frame.clone()) {
                    Ok(lost) => self.totals.add(lost),
                    Err(Overflow) => self.overflowed.push(client.id),
                }
                self.dirty.later(slot, client);
            }
        }
        self.close_overflowed();
    }
}
