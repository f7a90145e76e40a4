//! Whether topics tick as they should: judged from data, by each topic's own habit and the hours of
//! its market.
//!
//! A watchdog on any byte never fires, because heartbeats and other topics always come; one on a
//! single time for all fires all night, or too late. Here every topic has its own. A tick costs a
//! look-up and a store; what it means is asked when a deadline comes, and a topic has one at most,
//! on a wheel that all share.
//!
//! A topic that is silent for too long is *closed* if its market is, else *recovering* if the
//! session that serves it is lost, else *stale*. Nothing but a tick makes it *live* again: neither
//! a session that is up nor a market that opens says that data flows.

mod broker;
#[cfg(test)]
mod edge_tests;
mod habit;
mod hours;
mod judge;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::Bytes;
use indexmap::IndexMap;

use super::numbered::NumberMap;
use super::wheel::Wheel;
use super::{RouteId, ShardId};
use crate::config::Config;
use crate::protocol::FeedStatus;
use crate::protocol::feed_status;
use crate::topic::{BrokerName, Topic};

use broker::Broker;
pub use broker::{FeedNote, TopicCounts};
pub use habit::Bounds;
use habit::Habit;
pub use hours::Hours;

/// How long a session may be lost before its topics count as recovering: one that is rebuilt at
/// once is nobody's trouble, and what was under way may still come.
pub const RECOVERY_GRACE_MS: u64 = 1_000;

/// How much later than its time a deadline may be looked at before silence means nothing, because
/// this process has not listened either.
const LATE_MS: u64 = 250;

/// How long it then listens first; and how much later than that it may look.
const LISTEN_MS: u64 = 1_000;

/// Deadlines that are looked at before ticks get their turn again.
const LOOKS_PER_TURN: usize = 1_024;

/// How often the calendar is compared with the clock at least: it may have been set.
const CALENDAR_MS: u64 = 60_000;

/// What a shard is told about a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteNews {
    /// Which.
    pub route: RouteId,
    /// Where it is to be told, one bit for each shard.
    pub shards: u64,
    /// How it is; `None`: there is nothing to tell, and what was told last holds no more.
    pub status: Option<FeedStatus>,
    /// Of the users on it.
    pub broker: BrokerName,
    /// What a client is told, if it is: see [`feed_status::entry`].
    pub entry: Bytes,
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// By the gateway's own clock, which never steps.
    pub now_ms: u64,
    /// Since 1970.
    pub unix_ms: u64,
}

/// The state of every route that somebody wants.
#[derive(Debug)]
pub struct FeedState {
    bounds: Bounds,
    hours: Hours,
    /// Whether each market trades, and until when that holds, since 1970.
    open: Vec<(bool, u64)>,
    /// When the calendar is looked at next, by the gateway's clock.
    calendar_ms: u64,
    at: Moment,
    by_route: NumberMap<RouteId, usize>,
    topics: Vec<Option<Watched>>,
    free: Vec<usize>,
    wheel: Wheel,
    /// Until when nothing is concluded from silence.
    listens_until_ms: u64,
    brokers: IndexMap<BrokerName, Broker>,
    news: VecDeque<RouteNews>,
    notes: Vec<FeedNote>,
}

/// One route.
#[derive(Debug)]
struct Watched {
    route: RouteId,
    topic: Topic,
    broker: BrokerName,
    /// `None`: it trades always.
    market: Option<usize>,
    shards: u64,
    bounds: Bounds,
    habit: Habit,
    state: State,
    /// From when on a tick was due at the earliest: since it is wanted, its market is open, its
    /// session is up.
    due_from_ms: u64,
    /// Why a tick was due from then on.
    due: Due,
    /// The same, whatever its session did since.
    wanted_from_ms: u64,
    /// A session serves it, as far as we know.
    served: bool,
    /// Since when not.
    lost_ms: u64,
    /// Since when it has been recovering, if it is.
    recovers_since_ms: u64,
    /// Clients have been told of a silence that has not ended.
    told: bool,
}

/// How a route is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has not ticked yet, and need not have.
    Waiting,
    Live,
    Stale,
    Recovering,
    Closed,
}

/// Since when a tick has been due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Subscribed,
    Opened,
    Served,
}

impl FeedState {
    /// Nothing is watched yet.
    #[must_use]
    pub fn new(config: &Config, at: Moment) -> Self {
        let feed = &config.feed;
        let hours = Hours::new(&config.market);
        let mut state = Self {
            bounds: Bounds {
                min_ms: feed.stale_min_ms,
                max_ms: feed.stale_after_ms,
                rare_ms: feed.stale_max_ms.max(feed.stale_after_ms),
                factor: feed.stale_factor as u64,
            },
            open: vec![(true, 0); hours.len()],
            hours,
            calendar_ms: 0,
            at,
            by_route: NumberMap::default(),
            topics: Vec::new(),
            free: Vec::new(),
            wheel: Wheel::default(),
            listens_until_ms: 0,
            brokers: IndexMap::new(),
            news: VecDeque::new(),
            notes: Vec::new(),
        };
        state.consult_calendar();
        state
    }

    /// Tells the time to what follows. Ticks bring their own.
    pub fn set_now(&mut self, at: Moment) {
        self.at = at;
    }

    /// From now on a shard has somebody on this route, or no longer.
    pub fn set_interest(
        &mut self,
        route: RouteId,
        topic: &Topic,
        broker: &BrokerName,
        shard: ShardId,
        wanted: bool,
    ) {
        let bit = 1_u64 << shard;
        if !wanted {
            self.withdraw(route, bit);
        } else if let Some(&slot) = self.by_route.get(&route) {
            let watched = self.watched_mut(slot);
            let is_news = watched.shards & bit == 0;
            watched.shards |= bit;
            if is_news && let Some(status) = self.watched(slot).state.told_as() {
                self.tell(slot, Some(status), bit);
            }
        } else {
            self.begin(route, topic, broker, bit);
        }
    }

    fn begin(&mut self, route: RouteId, topic: &Topic, broker: &BrokerName, shards: u64) {
        let now_ms = self.at.now_ms;
        let market = self.hours.market(&topic.instrument.exchange);
        let own_ms = market.and_then(|market| self.hours.stale_after_ms(market));
        let max_ms = own_ms.unwrap_or(self.bounds.max_ms);
        let bounds = Bounds { max_ms, rare_ms: self.bounds.rare_ms.max(max_ms), ..self.bounds };
        let watched = Watched {
            route,
            topic: topic.clone(),
            broker: broker.clone(),
            market,
            shards,
            bounds,
            habit: Habit::new(now_ms),
            state: State::Waiting,
            due_from_ms: now_ms,
            due: Due::Subscribed,
            wanted_from_ms: now_ms,
            served: true,
            lost_ms: 0,
            recovers_since_ms: 0,
            told: false,
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.topics.push(None);
            self.topics.len() - 1
        });
        self.topics[slot] = Some(watched);
        self.by_route.insert(route, slot);
        self.brokers.entry(broker.clone()).or_default().counts.add(State::Waiting);
        if self.is_closed(slot) {
            self.becomes(slot, State::Closed);
        }
        self.set_deadline(slot);
    }

    fn withdraw(&mut self, route: RouteId, bit: u64) {
        let Some(&slot) = self.by_route.get(&route) else { return };
        let watched = self.watched_mut(slot);
        watched.shards &= !bit;
        if watched.shards != 0 {
            return;
        }
        self.wheel.cancel(slot);
        self.by_route.swap_remove(&route);
        self.free.push(slot);
        if let Some(gone) = self.topics[slot].take() {
            self.left_broker(&gone);
        }
    }

    /// A route has been given a tick. What it says of it is in [`FeedState::pop_news`] before the
    /// tick is handed on.
    pub fn ticked(&mut self, route: RouteId, now_ms: u64) {
        let Some(&slot) = self.by_route.get(&route) else { return };
        let watched = self.topics[slot].as_mut().expect("a route that is watched");
        if watched.state == State::Live && watched.habit.last_ms > watched.due_from_ms {
            let gap_ms = watched.habit.ticked(now_ms);
            if gap_ms >= self.bounds.max_ms {
                self.heard(slot);
            }
        } else {
            self.revives(slot, now_ms);
        }
    }

    /// A session serves a route (`up`), or none does any more.
    pub fn set_served(&mut self, route: RouteId, up: bool) {
        let Some(&slot) = self.by_route.get(&route) else { return };
        let now_ms = self.at.now_ms;
        let watched = self.watched_mut(slot);
        if watched.served == up {
            return;
        }
        watched.served = up;
        if !up {
            watched.lost_ms = now_ms;
        } else if !watched.is_silent_all_along(now_ms) {
            self.remember_tick(slot);
            let watched = self.watched_mut(slot);
            (watched.due_from_ms, watched.due) = (now_ms, Due::Served);
        }
        self.set_deadline(slot);
    }

    /// Looks at what is due. Call it when [`FeedState::next_deadline_ms`] has come.
    pub fn fire(&mut self) {
        let now_ms = self.at.now_ms;
        let has_listened = now_ms <= self.listens_until_ms + LISTEN_MS;
        if !has_listened && self.is_late() {
            self.listens_until_ms = now_ms + LISTEN_MS;
        }
        if self.listens_until_ms > now_ms {
            return;
        }
        if self.calendar_ms <= now_ms {
            self.consult_calendar();
        }
        for _ in 0..LOOKS_PER_TURN {
            let Some(slot) = self.wheel.pop_due(now_ms) else { break };
            self.look(slot);
        }
        self.judge_brokers();
    }

    /// Whether something should have been judged a while ago.
    fn is_late(&mut self) -> bool {
        let Some(before_ms) = self.at.now_ms.checked_sub(LATE_MS + 1) else { return false };
        let mut brokers = self.brokers.values();
        self.wheel.is_due(before_ms)
            || brokers.any(|broker| broker.judge_at_ms.is_some_and(|at_ms| at_ms <= before_ms))
    }

    /// When [`FeedState::fire`] has something to do.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let calendar_ms = (!self.open.is_empty()).then_some(self.calendar_ms);
        let brokers_ms = self.brokers.values().filter_map(|broker| broker.judge_at_ms).min();
        let first = [self.wheel.next_ms(), calendar_ms, brokers_ms].into_iter().flatten().min();
        first.map(|at_ms| at_ms.max(self.listens_until_ms))
    }

    /// What shards have to be told, the oldest first.
    pub fn pop_news(&mut self) -> Option<RouteNews> {
        self.news.pop_front()
    }

    /// Whether there is something to tell, to shards or to an operator.
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.news.is_empty() || !self.notes.is_empty()
    }

    /// What an operator should know since the last call.
    pub fn take_notes(&mut self) -> Vec<FeedNote> {
        std::mem::take(&mut self.notes)
    }

    fn tell(&mut self, slot: usize, status: Option<FeedStatus>, shards: u64) {
        let watched = self.watched(slot);
        let (since_ms, reason) = watched.story(self.at.now_ms);
        let since_unix_ms = self.at.unix_ms.saturating_sub(self.at.now_ms.saturating_sub(since_ms));
        let news = RouteNews {
            route: watched.route,
            shards,
            status,
            broker: watched.broker.clone(),
            entry: feed_status::entry(&watched.topic, since_unix_ms, reason),
        };
        self.news.push_back(news);
    }

    fn watched(&self, slot: usize) -> &Watched {
        self.topics[slot].as_ref().expect("a slot in use")
    }

    fn watched_mut(&mut self, slot: usize) -> &mut Watched {
        self.topics[slot].as_mut().expect("a slot in use")
    }
}
