//! What can be said of a broker's whole feed.

use super::{FeedState, State};
use crate::topic::BrokerName;

/// Routes by how they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicCounts {
    /// They have not ticked yet, and need not have.
    pub waiting: u64,
    /// They tick.
    pub live: u64,
    /// They are silent for longer than they should be.
    pub stale: u64,
    /// The session that serves them is lost.
    pub recovering: u64,
    /// They are silent because their market is closed.
    pub closed: u64,
}

/// Something about a whole broker that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedNote {
    /// None of a broker's topics that should tick has ticked for as long as any may be silent.
    Silent {
        /// Whose.
        broker: BrokerName,
        /// How many topics.
        topics: u64,
        /// For how long.
        for_ms: u64,
    },
    /// One of them ticks again.
    Audible {
        /// Whose.
        broker: BrokerName,
    },
}

/// One broker's routes.
#[derive(Debug, Default)]
pub(super) struct Broker {
    pub counts: TopicCounts,
    /// When its whole feed counts as silent, if nothing ticks before.
    pub silent_at_ms: Option<u64>,
    /// That it is silent has been said.
    silent: bool,
    /// Something of `counts` has changed since it was judged.
    touched: bool,
}

impl TopicCounts {
    fn of(&mut self, state: State) -> &mut u64 {
        match state {
            State::Waiting => &mut self.waiting,
            State::Live => &mut self.live,
            State::Stale => &mut self.stale,
            State::Recovering => &mut self.recovering,
            State::Closed => &mut self.closed,
        }
    }

    pub(super) fn add(&mut self, state: State) {
        *self.of(state) += 1;
    }

    /// Counts of all routes together.
    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            waiting: self.waiting + other.waiting,
            live: self.live + other.live,
            stale: self.stale + other.stale,
            recovering: self.recovering + other.recovering,
            closed: self.closed + other.closed,
        }
    }
}

impl FeedState {
    /// All routes, by how they are.
    #[must_use]
    pub fn counts(&self) -> TopicCounts {
        self.brokers.values().fold(TopicCounts::default(), |sum, broker| sum.plus(broker.counts))
    }

    /// Brokers whose whole feed is silent.
    pub fn silent_brokers(&self) -> impl Iterator<Item = &BrokerName> {
        self.brokers.iter().filter(|(_, broker)| broker.silent).map(|(name, _)| name)
    }

    /// A route of a broker was `old` before.
    pub(super) fn count(&mut self, slot: usize, old: State) {
        let watched = self.topics[slot].as_ref().expect("a slot in use");
        let broker = self.brokers.get_mut(&watched.broker).expect("its broker is known");
        *broker.counts.of(old) -= 1;
        broker.counts.add(watched.state);
        broker.touched = true;
        if watched.state == State::Live {
            broker.silent_at_ms = None;
            if std::mem::take(&mut broker.silent) {
                self.notes.push(FeedNote::Audible { broker: watched.broker.clone() });
            }
        }
    }

    /// A route of a broker is gone.
    pub(super) fn left_broker(&mut self, name: &BrokerName, state: State) {
        let Some(broker) = self.brokers.get_mut(name) else { return };
        *broker.counts.of(state) -= 1;
        broker.touched = true;
        if broker.counts == TopicCounts::default() {
            self.brokers.swap_remove(name);
        }
    }

    /// A tick has ended a silence that was long, though no longer than is usual of its route.
    pub(super) fn heard(&mut self, slot: usize) {
        let watched = self.topics[slot].as_ref().expect("a slot in use");
        let broker = self.brokers.get_mut(&watched.broker).expect("its broker is known");
        if std::mem::take(&mut broker.silent) {
            self.notes.push(FeedNote::Audible { broker: watched.broker.clone() });
        }
        broker.touched = true;
    }

    /// Finds feeds that are silent as a whole: something should have ticked, and nothing has, rare
    /// as it may be. A broker has as many routes as it likes; they are gone through when something
    /// has changed or time is up, and while one of them is silent for too long.
    pub(super) fn judge_brokers(&mut self) {
        let (now_ms, max_ms) = (self.at.now_ms, self.bounds.max_ms);
        for (name, broker) in &mut self.brokers {
            let stale = broker.counts.stale;
            if stale == 0 {
                broker.silent_at_ms = None;
                // Nothing has ticked, but nothing should: its market has closed, or it has gone.
                broker.silent = false;
            }
            let is_due = match broker.silent_at_ms {
                None => std::mem::take(&mut broker.touched),
                Some(at_ms) => at_ms <= now_ms,
            };
            if stale == 0 || broker.silent || !is_due {
                continue;
            }
            let own = self.topics.iter().flatten().filter(|topic| topic.broker == *name);
            let last_ms = own.map(|topic| topic.habit.last_ms.max(topic.due_from_ms)).max();
            broker.silent_at_ms = last_ms.map(|last_ms| last_ms + max_ms);
            if broker.silent_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                broker.silent_at_ms = None;
                broker.silent = true;
                let note = FeedNote::Silent { broker: name.clone(), topics: stale, for_ms: max_ms };
                self.notes.push(note);
            }
        }
    }
}
