//! Sockets that take nothing.
//!
//! A client that says something now and then and never reads has a bounded outbox, and is alive as
//! far as its heartbeat can tell. It is its socket that gives it away.

use super::Shard;
use crate::marks::mark;
use crate::topic::ClientId;

impl Shard {
    /// The socket of a client takes no more for now.
    pub fn stalls(&mut self, id: ClientId) {
        if self.by_id.contains_key(&id) && !self.stalled.contains(&id) {
            self.stalled.set(id, self.now_ms + self.options.stall_timeout_ms);
        }
    }

    /// The socket of a client has taken something.
    pub fn moves(&mut self, id: ClientId) {
        self.stalled.cancel(&id);
    }

    /// The next client whose socket has taken nothing for too long. Cut it off.
    pub fn pop_stalled(&mut self) -> Option<ClientId> {
        let stalled = self.stalled.pop_due(self.now_ms)?;
        mark!(Stalled);
        self.totals.stalls += 1;
        Some(stalled)
    }

    /// The next client that has taken too long to be closed.
    pub fn pop_overdue(&mut self) -> Option<ClientId> {
        let overdue = self.closing.pop_due(self.now_ms);
        mark!(CloseOverdue if overdue.is_some());
        overdue
    }

    /// When [`Shard::pop_overdue`], [`Shard::pop_stalled`] or [`Shard::fire_paces`] is due next, if
    /// ever.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let deadlines = [self.closing.next_ms(), self.stalled.next_ms(), self.paces.next_ms()];
        deadlines.into_iter().flatten().min()
    }
}
