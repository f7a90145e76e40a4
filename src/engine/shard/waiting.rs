//! How things wait for a client, and what becomes of one for whom too much waits.

use bytes::Bytes;

use super::{Client, Content, Lost, Overflow, RouteId, Shard, ShardTotals};
use crate::config::OutboxPolicy;

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
                self.totals.overflows += 1;
                self.close(id, 1013, "too many answers and order updates are unread");
            }
        }
    }

    /// Closes those whose ticks found no room. What waits for them, they still get.
    pub(super) fn close_overflowed(&mut self) {
        for id in std::mem::take(&mut self.overflowed) {
            // Closing one takes it from all its routes: it is not here a second time.
            let Some(slot) = self.open_slot(id) else { continue };
            self.totals.overflows += 1;
            match self.client(slot).policy {
                OutboxPolicy::Conflate => self.totals.latest_overflows += 1,
                OutboxPolicy::Disconnect => self.totals.tick_overflows += 1,
                OutboxPolicy::DropOldest => unreachable!("there is always an oldest to drop"),
            }
            self.close(id, 1013, "too many ticks are unread");
        }
    }
}
