//! How full a shard is.

use super::Shard;

/// A client joins or leaves a route in the time that so many ticks take: several tables change,
/// and a snapshot may be made.
const MOVE_WORK: u64 = 32;

impl Shard {
    /// How many clients there are.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.by_id.len()
    }

    /// How many routes may be ticked, and how many of them have a last value.
    #[must_use]
    pub fn routes(&self) -> (usize, usize) {
        let with_last = self.routes.values().filter(|route| route.last.is_some()).count();
        (self.routes.len(), with_last)
    }

    /// Pairs of client and route.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        let unpaced: usize = self.routes.values().map(|route| route.subscribers.len()).sum();
        unpaced + self.paces.len()
    }

    /// What has been done for clients since the start, in ticks handed to one: they, the states of
    /// topics, and routes joined and left.
    #[must_use]
    pub const fn work(&self) -> u64 {
        self.totals.ticks + self.totals.news + self.put_off + self.moves * MOVE_WORK
    }

    /// Bytes that wait in all outboxes. Costs time in proportion to what waits.
    #[must_use]
    pub fn outbox_bytes(&self) -> usize {
        self.slots.iter().flatten().map(|client| client.outbox.bytes()).sum()
    }

    /// Ticks that wait for the client for whom most wait; 0 without clients.
    #[must_use]
    pub fn outbox_ticks_most(&self) -> usize {
        self.slots.iter().flatten().map(|client| client.outbox.ticks()).max().unwrap_or(0)
    }
}
