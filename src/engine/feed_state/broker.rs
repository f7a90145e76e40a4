//! What can be said of a broker's whole feed.

use super::{FeedState, State, Watched};
use crate::topic::BrokerName;

/// What falls silent within this time is told as one feed; within a tenth of the longest silence
/// allowed, if that is less.
const TOGETHER_MS: u64 = 1_000;

/// A silence that has been told is told again when it is one of so many times as many topics: that
/// of a symbol which nobody trades does not stand for that of a whole market a day later.
const GROWN: u64 = 10;

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
    /// None of a broker's topics that should tick has ticked for as long as any may be silent. Told
    /// again if it comes to ten times as many topics.
    Silent {
        /// Whose.
        broker: BrokerName,
        /// How many topics.
        topics: u64,
        /// For how long.
        for_ms: u64,
    },
    /// One of them ticks again, for the first time since that was told.
    Audible {
        /// Whose.
        broker: BrokerName,
    },
}

/// One broker's routes.
#[derive(Debug, Default)]
pub(super) struct Broker {
    pub counts: TopicCounts,
    /// When it is judged next whether its whole feed is silent. It is set while some route is
    /// silent for too long, until it has been said that all are.
    pub judge_at_ms: Option<u64>,
    /// None of its routes ticks that should.
    silent: bool,
    /// Of how many topics that has been told, if no tick has ended it.
    told: u64,
    /// The last tick of those that are no more, or of which one is due anew.
    ticked_ms: Option<u64>,
}

impl Broker {
    /// One of its routes ticks. Says whether that ends a silence that has been told.
    fn ticks(&mut self, now_ms: u64, max_ms: u64) -> bool {
        self.silent = false;
        self.judge_at_ms.get_or_insert(now_ms + max_ms);
        self.forgets_silence();
        std::mem::take(&mut self.told) > 0
    }

    /// Whether what is silent is so much that it is to be told, or told again.
    const fn is_news(&self) -> bool {
        self.counts.stale >= GROWN.saturating_mul(self.told)
    }

    /// Where nothing should have ticked, nothing is silent: its market has closed, its session is
    /// lost, or nobody wants it any more.
    fn forgets_silence(&mut self) {
        if self.counts.stale == 0 {
            (self.judge_at_ms, self.silent) = (None, false);
        }
    }
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
        let together_ms = TOGETHER_MS.min(self.bounds.max_ms / 10);
        let judge_at_ms = self.at.now_ms + together_ms;
        let watched = self.topics[slot].as_ref().expect("a slot in use");
        let broker = self.brokers.get_mut(&watched.broker).expect("its broker is known");
        *broker.counts.of(old) -= 1;
        broker.counts.add(watched.state);
        if watched.state == State::Stale && (!broker.silent || broker.is_news()) {
            broker.judge_at_ms.get_or_insert(judge_at_ms);
        }
        // What ticks says so itself.
        if watched.state != State::Live {
            broker.forgets_silence();
        }
    }

    /// A route of a broker is gone.
    pub(super) fn left_broker(&mut self, gone: &Watched) {
        let Some(broker) = self.brokers.get_mut(&gone.broker) else { return };
        broker.ticked_ms = broker.ticked_ms.max(gone.ticked_ms());
        *broker.counts.of(gone.state) -= 1;
        broker.forgets_silence();
        // What was told has an end, whoever tells it.
        if broker.counts == TopicCounts::default() && broker.told == 0 {
            self.brokers.swap_remove(&gone.broker);
        }
    }

    /// A route of a broker begins anew.
    pub(super) fn remember_tick(&mut self, slot: usize) {
        let watched = self.topics[slot].as_ref().expect("a slot in use");
        let broker = self.brokers.get_mut(&watched.broker).expect("its broker is known");
        broker.ticked_ms = broker.ticked_ms.max(watched.ticked_ms());
    }

    /// A tick has ended a silence that was long, or may have been.
    pub(super) fn heard(&mut self, slot: usize) {
        let (now_ms, max_ms) = (self.at.now_ms, self.bounds.max_ms);
        let watched = self.topics[slot].as_ref().expect("a slot in use");
        let broker = self.brokers.get_mut(&watched.broker).expect("its broker is known");
        if broker.ticks(now_ms, max_ms) {
            self.notes.push(FeedNote::Audible { broker: watched.broker.clone() });
        }
    }

    /// Finds feeds that are silent as a whole: something should have ticked, and nothing has, rare
    /// as it may be. A broker has as many routes as it likes; they are gone through when one of
    /// them is silent for too long, and then no sooner than all may be.
    pub(super) fn judge_brokers(&mut self) {
        let (now_ms, max_ms) = (self.at.now_ms, self.bounds.max_ms);
        if self.wheel.is_due(now_ms) {
            // Of some it is not known yet whether they are silent too.
            return;
        }
        for (name, broker) in &mut self.brokers {
            if broker.judge_at_ms.is_none_or(|at_ms| at_ms > now_ms) {
                continue;
            }
            let own = self.topics.iter().flatten().filter(|topic| topic.broker == *name);
            let last_ms = own.filter_map(Watched::sign_ms).chain(broker.ticked_ms).max();
            broker.judge_at_ms = last_ms.map(|ms| ms + max_ms).filter(|at_ms| *at_ms > now_ms);
            if broker.judge_at_ms.is_none() {
                broker.silent = true;
                if broker.is_news() {
                    broker.told = broker.counts.stale;
                    let (broker, topics) = (name.clone(), broker.counts.stale);
                    self.notes.push(FeedNote::Silent { broker, topics, for_ms: max_ms });
                }
            }
        }
    }
}

impl Watched {
    /// When it last ticked; or, where it should have ticked and has not, from when on. Neither that
    /// somebody wants it nor that a session is up is a sign of life.
    fn sign_ms(&self) -> Option<u64> {
        self.ticked_ms().or(match self.state {
            State::Waiting | State::Closed | State::Recovering => None,
            State::Live | State::Stale => Some(self.wanted_from_ms),
        })
    }

    /// When it last ticked, if it has since that was due.
    fn ticked_ms(&self) -> Option<u64> {
        (self.habit.last_ms > self.due_from_ms).then_some(self.habit.last_ms)
    }
}
