//! How things wait for a client, and what becomes of one for whom too much waits.

use bytes::Bytes;

use super::{Client, Content, Lost, Overflow, RouteId, Shard, ShardTotals};
use crate::config::OutboxPolicy;
use crate::topic::ClientId;

/// The code with which a client is closed for which too much waits.
pub const OVERFLOWED: u16 = 1013;

/// How ticks wait for one client: what its channel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// What becomes of a tick for which there is no room.
    pub policy: OutboxPolicy,
    /// Ticks that may wait.
    pub ticks_max: usize,
    /// What waits besides answers.
    pub content: Content,
}

impl ShardTotals {
    /// Counts what a tick has cost.
    pub(super) const fn add(&mut self, lost: Lost) {
        let Lost { replaced, dropped } = lost;
        self.conflated += replaced;
        self.dropped += dropped;
    }
}

impl Client {
    pub(super) fn push_tick(&mut self, route: RouteId, frame: Bytes) -> Result<Lost, Overflow> {
        self.outbox.push_tick_by(self.policy, &self.limits, route, frame)
    }
}

impl Shard {
    /// Queues a frame that must not be dropped. If there is no room, the client is closed.
    pub(super) fn push_control(&mut self, slot: usize, frame: Bytes) {
        let limits = self.options.outbox;
        let client = self.client_mut(slot);
        match client.outbox.push_control(&limits, frame) {
            Ok(()) => self.mark_urgent(slot),
            Err(Overflow) => {
                let id = client.id;
                client.outbox.clear();
                self.send_away(id, "too many answers and order updates are unread");
            }
        }
    }

    /// Closes those whose ticks found no room. What waits for them, they still get.
    pub(super) fn close_overflowed(&mut self) {
        for id in std::mem::take(&mut self.overflowed) {
            // Closing one takes it from all its routes: it is not here a second time.
            let Some(slot) = self.open_slot(id) else { continue };
            match self.client(slot).policy {
                OutboxPolicy::Conflate => self.totals.latest_overflows += 1,
                OutboxPolicy::Disconnect => self.totals.tick_overflows += 1,
                OutboxPolicy::DropOldest => unreachable!("there is always an oldest to drop"),
            }
            self.send_away(id, "too many ticks are unread");
        }
    }

    fn send_away(&mut self, id: ClientId, reason: &'static str) {
        self.totals.overflows += 1;
        self.sent_away.push((id, reason));
        self.close(id, OVERFLOWED, reason);
    }

    /// The next client that is being closed with [`OVERFLOWED`] for all that waits for it, and why.
    pub fn pop_sent_away(&mut self) -> Option<(ClientId, &'static str)> {
        self.sent_away.pop()
    }
}
