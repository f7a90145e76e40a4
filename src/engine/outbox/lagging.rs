//! What waits of each topic for a client that lags, and what it is told of the rest.

use bytes::Bytes;

use super::Overflow;
use crate::engine::RouteId;
use crate::engine::numbered::{NumberMap, NumberSet};
use crate::marks::mark;
use crate::protocol::frame;

/// What an outbox holds besides answers and order updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Ticks. Each follows the one before it of its topic, and says how many were left out between.
    #[default]
    Ticks,
    /// Broadcasts. Each holds all its topics and follows nothing.
    Broadcasts,
}

impl Content {
    /// How many values its client never gets with this frame.
    pub(super) fn values(self, frame: &Bytes) -> u64 {
        match self {
            Self::Ticks => 1 + frame::skipped(frame),
            Self::Broadcasts => 0,
        }
    }
}

/// The latest value of each topic that has begun to lag, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Lagging {
    latest: NumberMap<RouteId, Latest>,
    /// Bytes of all of them.
    bytes: usize,
}

#[derive(Debug)]
struct Latest {
    frame: Bytes,
    /// Values right before it that it has replaced.
    skipped: u64,
}

impl Lagging {
    /// Keeps the latest value of a topic. Says whether it replaced one.
    ///
    /// # Errors
    ///
    /// Fails if that would be more than `bytes_max` bytes in all; a single value always finds room.
    pub fn keep(
        &mut self,
        content: Content,
        bytes_max: usize,
        route: RouteId,
        frame: Bytes,
    ) -> Result<bool, Overflow> {
        let old = self.latest.get(&route).map(|old| old.frame.len());
        let others = self.bytes - old.unwrap_or_default();
        if others > 0 && others + frame.len() > bytes_max {
            return Err(Overflow);
        }
        self.bytes = others + frame.len();
        let Some(latest) = self.latest.get_mut(&route) else {
            self.latest.insert(route, Latest { frame, skipped: 0 });
            return Ok(false);
        };
        mark!(Conflated);
        let old = std::mem::replace(&mut latest.frame, frame);
        latest.skipped = latest.skipped.saturating_add(content.values(&old));
        Ok(true)
    }

    /// Takes everything out, each value with what it has to tell.
    pub fn take(&mut self) -> impl Iterator<Item = (RouteId, Bytes)> + use<> {
        self.bytes = 0;
        let latest = std::mem::take(&mut self.latest);
        latest.into_iter().map(|(route, Latest { frame, skipped })| (route, told(frame, skipped)))
    }

    /// Drops the values of these routes.
    pub fn forget(&mut self, routes: &NumberSet<RouteId>) {
        let bytes = &mut self.bytes;
        self.latest.retain(|route, latest| {
            let is_kept = !routes.contains(route);
            mark!(TicksForgotten if !is_kept);
            *bytes -= if is_kept { 0 } else { latest.frame.len() };
            is_kept
        });
    }

    pub fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    pub fn len(&self) -> usize {
        self.latest.len()
    }

    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Asserts that the counter agrees with the contents.
    pub fn check(&self) {
        let bytes: usize = self.latest.values().map(|latest| latest.frame.len()).sum();
        assert_eq!(self.bytes, bytes, "bytes that lag");
    }
}

/// The tick that follows so many which are never sent. Whoever has missed nothing shares its bytes
/// with everybody.
pub(super) fn told(frame: Bytes, skipped: u64) -> Bytes {
    if skipped == 0 {
        return frame;
    }
    mark!(SkippedTold);
    frame::with_skipped(&frame, skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "bytes that lag")]
    fn bytes_that_were_counted_wrong_are_noticed() {
        Lagging { bytes: 1, ..Lagging::default() }.check();
    }
}
