//! What a shard has been told and has not done yet.

use std::collections::VecDeque;

use super::ShardMessage;
use crate::engine::RESTARTING;
use crate::marks::mark;
use crate::topic::ClientId;

/// Messages of news that may wait; while there are so many, the mailbox waits. Ticks are bounded by
/// the room that they hold.
const NEWS_MAX: usize = 256;

/// Two lanes. What the hub and a client's own task say goes first: where ticks come faster than
/// they can be delivered, an answer would else wait behind thousands of them. The second lane never
/// goes before what was said earlier.
///
/// Who leaves a route early misses nothing that is owed to it, and who joins one early gets ticks
/// that the feed had sent before. If a route ends and begins anew, what waits of it is nobody's:
/// its epoch says so. When the gateway ends, its closes stay behind the ticks that came before
/// them.
pub(super) struct Lanes<S> {
    first: VecDeque<Said<S>>,
    second: VecDeque<Said<S>>,
    /// Messages so far.
    count: u64,
    /// The number of the message of the second lane that was popped last.
    current: u64,
    /// In the second lane.
    news: usize,
    closes: usize,
}

/// A message and its number.
type Said<S> = (u64, ShardMessage<S>);

impl<S> Default for Lanes<S> {
    fn default() -> Self {
        Self {
            first: VecDeque::new(),
            second: VecDeque::new(),
            count: 0,
            current: 0,
            news: 0,
            closes: 0,
        }
    }
}

impl<S> Lanes<S> {
    /// Whether more may be taken from the mailbox.
    pub(super) fn have_room(&self) -> bool {
        self.first.is_empty() && self.news < NEWS_MAX
    }

    /// Messages that wait.
    pub(super) fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }

    pub(super) fn are_empty(&self) -> bool {
        self.first.is_empty() && self.second.is_empty()
    }

    pub(super) fn push(&mut self, message: ShardMessage<S>) {
        self.count += 1;
        match &message {
            ShardMessage::Ticks { .. } => {}
            ShardMessage::News { .. } => self.news += 1,
            ShardMessage::Close { code: RESTARTING, .. } => self.closes += 1,
            _ => {
                mark!(GoesFirst if !self.second.is_empty());
                if let ShardMessage::Detach { client } = message {
                    self.hurry_close(client);
                }
                self.first.push_back((self.count, message));
                return;
            }
        }
        self.second.push_back((self.count, message));
    }

    /// A client that is gone is told why before it is forgotten: it may have ended its own side
    /// alone.
    fn hurry_close(&mut self, gone: ClientId) {
        if self.closes == 0 {
            return;
        }
        let is_its = |(_, message): &Said<S>| match message {
            ShardMessage::Close { client, .. } => *client == gone,
            _ => false,
        };
        let at = self.second.iter().position(is_its);
        if let Some(close) = at.and_then(|at| self.second.remove(at)) {
            self.closes -= 1;
            self.first.push_back(close);
        }
    }

    pub(super) fn pop_first(&mut self) -> Option<ShardMessage<S>> {
        self.first.pop_front().map(|(_, message)| message)
    }

    pub(super) fn pop_second(&mut self) -> Option<ShardMessage<S>> {
        let earliest = self.first.front().map_or(u64::MAX, |(number, _)| *number);
        let (number, message) = self.second.pop_front_if(|(number, _)| *number < earliest)?;
        match message {
            ShardMessage::News { .. } => self.news -= 1,
            ShardMessage::Close { .. } => self.closes -= 1,
            _ => {}
        }
        self.current = number;
        Some(message)
    }

    /// The rest of the message of the second lane that was popped last.
    pub(super) fn put_back(&mut self, message: ShardMessage<S>) {
        self.news += usize::from(matches!(message, ShardMessage::News { .. }));
        self.second.push_front((self.current, message));
    }
}
