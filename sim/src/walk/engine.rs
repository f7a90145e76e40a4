//! What a walk drives.

use tickgate::engine::{Effect, Event, Hub, HubSnapshot};

/// The hub, or something that only looks like it: each thing that the walk compares is shown to
/// be able to fail by an engine that is broken on purpose.
pub trait Engine {
    /// As [`Hub::handle`].
    fn handle(&mut self, now_ms: u64, event: Event, effects: &mut Vec<Effect>);
    /// As [`Hub::check`].
    fn check(&self);
    /// As [`Hub::next_deadline_ms`].
    fn next_deadline_ms(&self) -> Option<u64>;
    /// As [`Hub::is_idle`].
    fn is_idle(&self) -> bool;
    /// As [`Hub::snapshot`], with everything.
    fn snapshot(&self, now_ms: u64) -> HubSnapshot;
}

impl Engine for Hub {
    fn handle(&mut self, now_ms: u64, event: Event, effects: &mut Vec<Effect>) {
        Self::handle(self, now_ms, event, effects);
    }

    fn check(&self) {
        Self::check(self);
    }

    fn next_deadline_ms(&self) -> Option<u64> {
        Self::next_deadline_ms(self)
    }

    fn is_idle(&self) -> bool {
        Self::is_idle(self)
    }

    fn snapshot(&self, now_ms: u64) -> HubSnapshot {
        Self::snapshot(self, now_ms, usize::MAX)
    }
}
