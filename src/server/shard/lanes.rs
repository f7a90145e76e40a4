//! What a shard has been told and has not done yet.

use std::collections::VecDeque;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::ShardMessage;
use crate::engine::RouteId;
use crate::marks::mark;

/// Messages with ticks, news and closes that may wait; while there are so many, the mailbox waits.
const SECOND_MAX: usize = 1_024;

/// Two lanes. What the hub and a client's own task say goes first: where ticks come faster than
/// they can be delivered, an answer would else wait behind thousands of them.
///
/// Who leaves a route early misses nothing that is owed to it, and who joins one early gets ticks
/// that the feed had sent before. A close stays behind the ticks that came before it: they are sent
/// first. What is said of a connection that has ended, the reply to its own close among it, goes
/// first too, and so stays in its order.
pub(super) struct Lanes<S> {
    first: VecDeque<ShardMessage<S>>,
    second: VecDeque<ShardMessage<S>>,
    /// Messages that have left the second lane.
    gone: u64,
    /// Routes that were begun while ticks waited, and how many messages had been in the second
    /// lane by then. What these say of the route is older, and nobody's: between it and what comes
    /// next ticks may be missing that the feed sent to nobody here.
    begun: IndexMap<RouteId, u64, FxBuildHasher>,
}

impl<S> Default for Lanes<S> {
    fn default() -> Self {
        Self {
            first: VecDeque::new(),
            second: VecDeque::new(),
            gone: 0,
            begun: IndexMap::default(),
        }
    }
}

impl<S> Lanes<S> {
    /// Whether more may be taken from the mailbox.
    pub(super) fn have_room(&self) -> bool {
        self.first.is_empty() && self.second.len() < SECOND_MAX
    }

    pub(super) fn are_empty(&self) -> bool {
        self.first.is_empty() && self.second.is_empty()
    }

    pub(super) fn push(&mut self, message: ShardMessage<S>) {
        match message {
            ShardMessage::Ticks { .. } | ShardMessage::News(_) | ShardMessage::Close { .. } => {
                self.second.push_back(message);
            }
            ShardMessage::Expect { route } if !self.second.is_empty() => {
                self.begun.insert(route, self.gone + self.second.len() as u64);
                self.first.push_back(message);
            }
            _ => {
                mark!(GoesFirst if !self.second.is_empty());
                self.first.push_back(message);
            }
        }
    }

    pub(super) fn pop_first(&mut self) -> Option<ShardMessage<S>> {
        self.first.pop_front()
    }

    pub(super) fn pop_second(&mut self) -> Option<ShardMessage<S>> {
        let message = self.second.pop_front()?;
        self.gone += 1;
        Some(message)
    }

    /// The rest of the message that was popped last.
    pub(super) fn put_back(&mut self, message: ShardMessage<S>) {
        self.second.push_front(message);
        self.gone -= 1;
    }

    /// Whether what the message that was popped last says of a route is from before it was begun.
    pub(super) fn is_of_before(&self, route: RouteId) -> bool {
        !self.begun.is_empty() && self.begun.get(&route).is_some_and(|&begun| self.gone <= begun)
    }

    /// Forgets what was begun before all that waits.
    pub(super) fn tidy(&mut self) {
        if self.second.is_empty() {
            self.begun.clear();
        }
    }
}
