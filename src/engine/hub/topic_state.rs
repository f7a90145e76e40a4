//! One topic of one user: who wants it, and where it stands at the broker.

use crate::engine::Upstream;
use crate::engine::backoff::Backoff;
use crate::engine::numbered::NumberMap;
use crate::topic::{ClientId, Mode};

/// One topic of one user. The reference count is `wants.len()`.
#[derive(Clone, Debug)]
pub(super) struct TopicState {
    pub upstream: Upstream,
    /// The broker may be subscribed although the last command did not succeed.
    pub doubt: bool,
    /// By client, and by the mode that it asked for: the topic is in the mode that the broker has.
    pub wants: NumberMap<(ClientId, Mode), Want>,
    pub backoff: Backoff,
    /// Levels of the book to ask for: the most that anybody asked.
    pub depth: u32,
    pub levels: Levels,
    /// Which of the user's sessions carries it: some unless it is off.
    pub seat: Option<usize>,
    /// The session that may still carry it at the broker, though we have given it up: until that
    /// is settled, no other may.
    pub bound: Option<usize>,
    /// Until when it stays on though nobody wants it.
    pub lingers_until_ms: Option<u64>,
}

/// How much of the book the broker sends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Levels {
    /// Levels that it was asked for last.
    pub requested: u32,
    /// Levels that it sends, if it said so.
    pub actual: Option<u32>,
}

impl Levels {
    /// What a client that asked for so many gets. Whoever comes later and asks for more gets them
    /// when the topic is subscribed next.
    pub fn of(self, asked: u32) -> u32 {
        self.actual.unwrap_or(asked.min(self.requested))
    }
}

/// How far a client's want has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Its request waits for the broker. Failure withdraws it.
    Waiting,
    /// The broker has agreed. It lasts until the client ends it, whatever happens to the session.
    Held,
}

impl TopicState {
    pub fn new(depth: u32) -> Self {
        Self {
            upstream: Upstream::Off,
            doubt: false,
            wants: NumberMap::default(),
            backoff: Backoff::default(),
            depth,
            levels: Levels::default(),
            seat: None,
            bound: None,
            lingers_until_ms: None,
        }
    }

    /// The session that carried it is ending.
    pub fn turn_off(&mut self) {
        (self.upstream, self.doubt) = (Upstream::Off, false);
        (self.seat, self.lingers_until_ms) = (None, None);
    }

    pub fn waiting(&self) -> Vec<(ClientId, Mode)> {
        let waiting = self.wants.iter().filter(|(_, want)| **want == Want::Waiting);
        waiting.map(|(who, _)| *who).collect()
    }
}
