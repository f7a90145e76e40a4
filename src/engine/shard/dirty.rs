//! Whose turn it is to be written to.
//!
//! A tick for thousands makes thousands wait for their turn. An answer does not wait behind them:
//! its client is written to first, with all that waits for it, in its order.

use std::collections::VecDeque;

use super::{Client, Shard};
use crate::topic::ClientId;

/// What a client waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing.
    #[default]
    None,
    /// Its turn.
    Later,
    /// To be written to before everybody else.
    First,
}

/// The slots that have something new to write, in their order.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    first: VecDeque<usize>,
    /// May hold a slot that has been written to meanwhile, each at most once.
    later: VecDeque<usize>,
}

impl Dirty {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.later.is_empty()
    }

    /// Puts a client at the end of the queue, unless it is in one.
    pub(super) fn later(&mut self, slot: usize, client: &mut Client) {
        if client.turn != Turn::None {
            return;
        }
        client.turn = Turn::Later;
        if !client.queued {
            client.queued = true;
            self.later.push_back(slot);
        }
    }

    /// Puts a client before all who have only ticks to read.
    pub(super) fn first(&mut self, slot: usize, client: &mut Client) {
        if client.turn != Turn::First {
            client.turn = Turn::First;
            self.first.push_back(slot);
        }
    }

    /// Forgets a slot.
    pub(super) fn forget(&mut self, slot: usize, client: &Client) {
        if client.turn == Turn::First {
            self.first.retain(|waiting| *waiting != slot);
        }
        if client.queued {
            self.later.retain(|waiting| *waiting != slot);
        }
    }

    /// Asserts that a client is where it says.
    ///
    /// # Panics
    ///
    /// Panics if it is not.
    pub(super) fn check(&self, slot: usize, client: &Client) {
        let id = client.id;
        let places = |queue: &VecDeque<usize>| queue.iter().filter(|at| **at == slot).count();
        assert_eq!(places(&self.first), usize::from(client.turn == Turn::First), "{id}: dirty");
        assert_eq!(places(&self.later), usize::from(client.queued), "{id}: dirty later");
        assert!(client.queued || client.turn != Turn::Later, "{id} waits in vain");
    }
}

impl Shard {
    /// Whether there may be somebody with something to write.
    #[must_use]
    pub fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether there is somebody with more than ticks to write.
    #[must_use]
    pub fn has_urgent(&self) -> bool {
        !self.dirty.first.is_empty()
    }

    /// The next client that has more than ticks to write. It counts as clean from now on.
    pub fn pop_urgent(&mut self) -> Option<ClientId> {
        let slot = self.dirty.first.pop_front()?;
        let client = self.client_mut(slot);
        client.turn = Turn::None;
        Some(client.id)
    }

    /// The next client that has something to write. It counts as clean from now on.
    pub fn pop_dirty(&mut self) -> Option<ClientId> {
        if let Some(urgent) = self.pop_urgent() {
            return Some(urgent);
        }
        while let Some(slot) = self.dirty.later.pop_front() {
            let client = self.client_mut(slot);
            client.queued = false;
            if client.turn == Turn::Later {
                client.turn = Turn::None;
                return Some(client.id);
            }
        }
        None
    }

    /// A client has ticks to read.
    pub(super) fn mark_dirty(&mut self, slot: usize) {
        let client = self.slots[slot].as_mut().expect("the client exists");
        self.dirty.later(slot, client);
    }

    /// A client has something to read for which it, or we, are waiting.
    pub(super) fn mark_urgent(&mut self, slot: usize) {
        let client = self.slots[slot].as_mut().expect("the client exists");
        self.dirty.first(slot, client);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::engine::{Epoch, RouteId, Shard, ShardOptions};
    use crate::topic::ClientId;

    /// Three clients on one route, none of them dirty.
    fn shard() -> Shard {
        let mut shard = Shard::new(ShardOptions::of_tests());
        shard.expect(RouteId(1), Epoch(0));
        for client in 1..=3 {
            shard.attach(ClientId(client));
            let change = super::super::Change { add: vec![RouteId(1)], ..Default::default() };
            shard.deliver(ClientId(client), change, None);
        }
        shard
    }

    fn turns(shard: &mut Shard) -> Vec<u64> {
        shard.check();
        let mut out = Vec::new();
        let mut write = |shard: &mut Shard, id| shard.drain_into(id, &mut out, usize::MAX);
        let mut turns = Vec::new();
        while let Some(id) = shard.pop_dirty() {
            assert!(write(shard, id) > 0, "{id} has nothing to write");
            shard.check();
            turns.push(id.0);
        }
        turns
    }

    #[test]
    fn an_answer_does_not_wait_behind_the_ticks_of_others() {
        let mut shard = shard();
        shard.tick(RouteId(1), &Bytes::from_static(b"tick"));
        shard.control(ClientId(3), Bytes::from_static(b"answer"));
        shard.control(ClientId(2), Bytes::from_static(b"answer"));
        assert_eq!(turns(&mut shard), [3, 2, 1], "each once, the answered ones first");
        assert!(!shard.has_dirty());
    }

    #[test]
    fn who_was_served_first_keeps_its_place_among_the_others() {
        let mut shard = shard();
        shard.tick(RouteId(1), &Bytes::from_static(b"tick"));
        shard.control(ClientId(1), Bytes::from_static(b"answer"));
        let mut out = Vec::new();
        assert_eq!(shard.pop_dirty(), Some(ClientId(1)));
        assert_eq!(shard.drain_into(ClientId(1), &mut out, usize::MAX), 2);
        shard.tick(RouteId(1), &Bytes::from_static(b"next"));
        assert_eq!(turns(&mut shard), [1, 2, 3]);
    }

    #[test]
    fn who_leaves_is_in_no_queue() {
        let mut shard = shard();
        shard.tick(RouteId(1), &Bytes::from_static(b"tick"));
        shard.control(ClientId(2), Bytes::from_static(b"answer"));
        shard.detach(ClientId(2));
        shard.check();
        shard.attach(ClientId(4));
        assert_eq!(turns(&mut shard), [1, 3], "its slot is somebody else's now");
    }
}
