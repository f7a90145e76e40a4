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
}
