//! What silence means.

use super::{CALENDAR_MS, Due, FeedState, Habit, RECOVERY_GRACE_MS, State, Watched};
use crate::marks::mark;
use crate::protocol::FeedStatus;

impl State {
    /// What clients are told of it, if anything.
    pub(super) const fn told_as(self) -> Option<FeedStatus> {
        match self {
            Self::Waiting | Self::Live => None,
            Self::Stale => Some(FeedStatus::Stale),
            Self::Recovering => Some(FeedStatus::Recovering),
            Self::Closed => Some(FeedStatus::Closed),
        }
    }
}

impl Watched {
    /// Whether it was silent before its session was lost for less than a second, and is so still: a
    /// session that is lost and back over and over is no excuse.
    pub(super) fn is_silent_all_along(&self, now_ms: u64) -> bool {
        let is_due = self.due == Due::Served && self.habit.last_ms <= self.due_from_ms;
        match self.state {
            State::Stale => true,
            // One that was lost for longer is to be recovered from, anew if it has been.
            State::Waiting | State::Live | State::Recovering => {
                is_due && now_ms < self.lost_ms + RECOVERY_GRACE_MS
            }
            State::Closed => false,
        }
    }

    /// Since when its state holds, and why.
    pub(super) fn story(&self, now_ms: u64) -> (u64, &'static str) {
        let has_ticked = self.habit.last_ms > self.due_from_ms;
        match self.state {
            State::Live => (now_ms, "it ticks"),
            State::Waiting => (self.due_from_ms, "no tick yet"),
            State::Closed => (now_ms, "the market is closed"),
            State::Recovering => {
                let reason = match self.served {
                    true => "no tick since the session is up",
                    false => "the broker session is lost",
                };
                (self.recovers_since_ms, reason)
            }
            State::Stale if has_ticked => (self.habit.last_ms, "no tick for longer than usual"),
            State::Stale => {
                let reason = match self.due {
                    Due::Subscribed => "no tick since subscribe",
                    Due::Opened => "no tick since the market is open",
                    Due::Served => "no tick since the session is up",
                };
                (self.due_from_ms, reason)
            }
        }
    }
}

impl FeedState {
    /// Whether the market of a route is closed.
    pub(super) fn is_closed(&self, slot: usize) -> bool {
        self.watched(slot).market.is_some_and(|market| !self.open[market].0)
    }

    /// From when on a route that goes on being silent is silent for too long; `None`: it is that
    /// already, and only a tick or another event can change it.
    fn overdue_ms(&self, slot: usize) -> Option<u64> {
        let watched = self.watched(slot);
        let Watched { habit, bounds, due_from_ms, served, lost_ms, .. } = watched;
        let overdue_ms = if habit.last_ms > *due_from_ms {
            habit.last_ms + habit.allowed_ms(*bounds)
        } else {
            due_from_ms + habit.allowed_ms(*bounds).max(bounds.max_ms)
        };
        let is_quiet = match watched.state {
            State::Live | State::Waiting => false,
            State::Recovering if *served => false,
            State::Stale => *served,
            State::Recovering | State::Closed => true,
        };
        if is_quiet {
            return None;
        }
        if *served {
            return Some(overdue_ms);
        }
        // Whoever has lost its session is waited for as long as that takes to show and no longer,
        // unless ticks come all the same.
        let shows_ms = lost_ms + RECOVERY_GRACE_MS;
        if watched.state == State::Stale {
            return Some(shows_ms);
        }
        let still_ticks = habit.last_ms > shows_ms;
        let last_ms = habit.last_ms + RECOVERY_GRACE_MS;
        Some(if still_ticks { overdue_ms } else { overdue_ms.min(last_ms).max(shows_ms) })
    }

    /// Sets when a route is to be looked at.
    pub(super) fn set_deadline(&mut self, slot: usize) {
        self.wheel.cancel(slot);
        let Some(overdue_ms) = self.overdue_ms(slot) else { return };
        let now_ms = self.at.now_ms;
        let Watched { habit, bounds, .. } = self.watched(slot);
        let look_ms = habit.look_within_ms(*bounds).map(|within_ms| now_ms + within_ms);
        let at_ms = look_ms.map_or(overdue_ms, |look_ms| overdue_ms.min(look_ms));
        self.wheel.set(slot, at_ms.max(now_ms + 1));
    }

    /// A route's deadline has come: it has ticked since, or is silent for too long.
    pub(super) fn look(&mut self, slot: usize) {
        let now_ms = self.at.now_ms;
        match self.overdue_ms(slot) {
            None => {}
            Some(overdue_ms) if overdue_ms > now_ms => {
                let watched = self.watched_mut(slot);
                if watched.state == State::Live {
                    watched.habit.look(now_ms, watched.bounds);
                }
                self.set_deadline(slot);
            }
            Some(_) => {
                let state = self.silence_means(slot);
                self.becomes(slot, state);
                self.set_deadline(slot);
            }
        }
    }

    /// What too long a silence means for a route.
    fn silence_means(&self, slot: usize) -> State {
        if self.is_closed(slot) {
            State::Closed
        } else if self.watched(slot).served {
            State::Stale
        } else {
            State::Recovering
        }
    }

    /// A route ticks that was not live, or of which a tick was due anew.
    pub(super) fn revives(&mut self, slot: usize, now_ms: u64) {
        self.at.unix_ms += now_ms.saturating_sub(self.at.now_ms);
        self.at.now_ms = self.at.now_ms.max(now_ms);
        let watched = self.watched_mut(slot);
        match watched.state {
            State::Stale if watched.habit.last_ms > watched.due_from_ms => {
                watched.habit.ticked_late(now_ms, watched.bounds);
            }
            // A pause that somebody else made says nothing of the topic.
            State::Recovering => watched.habit.last_ms = now_ms,
            State::Stale if watched.due == Due::Served => watched.habit.last_ms = now_ms,
            State::Live => {
                mark!(TicksOnWithSession);
                watched.habit.last_ms = now_ms;
            }
            State::Waiting | State::Stale | State::Closed => {
                watched.habit = Habit::new(now_ms);
            }
        }
        // Two ticks of one millisecond, or one in that of the subscribe, are ticks all the same.
        watched.due_from_ms = watched.due_from_ms.min(now_ms.saturating_sub(1));
        self.becomes(slot, State::Live);
        self.heard(slot);
        self.set_deadline(slot);
    }

    /// Notes how a route is now, and whom to tell.
    pub(super) fn becomes(&mut self, slot: usize, state: State) {
        let watched = self.watched_mut(slot);
        let old = std::mem::replace(&mut watched.state, state);
        if old == state {
            return;
        }
        if state == State::Recovering {
            watched.recovers_since_ms = watched.lost_ms;
        }
        mark!(TopicStale if state == State::Stale);
        mark!(TopicClosed if state == State::Closed);
        mark!(TopicRecovering if state == State::Recovering);
        mark!(TopicAliveAgain if state == State::Live && watched.told);
        let (shards, told) = (watched.shards, watched.told);
        self.count(slot, old);
        let status = match state {
            State::Live if told => Some(Some(FeedStatus::Live)),
            State::Live => None,
            // It was closed, and that was told.
            State::Waiting => Some(None),
            State::Stale | State::Recovering | State::Closed => Some(state.told_as()),
        };
        self.watched_mut(slot).told = match state {
            State::Live => false,
            State::Waiting => told,
            State::Stale | State::Recovering | State::Closed => true,
        };
        if let Some(status) = status {
            self.tell(slot, status, shards);
        }
    }

    /// Compares the hours of markets with the clock.
    pub(super) fn consult_calendar(&mut self) {
        let unix_ms = self.at.unix_ms;
        let mut next_ms = CALENDAR_MS;
        for market in 0..self.open.len() {
            let until_ms = self.hours.next_change_ms(market, unix_ms);
            next_ms = next_ms.min(until_ms.saturating_sub(unix_ms).max(1));
            let is_open = self.hours.is_open(market, unix_ms);
            let was_open = std::mem::replace(&mut self.open[market], (is_open, until_ms)).0;
            if was_open != is_open {
                self.market_changes(market, is_open);
            }
        }
        self.calendar_ms = self.at.now_ms + next_ms;
    }

    fn market_changes(&mut self, market: usize, is_open: bool) {
        let now_ms = self.at.now_ms;
        for slot in 0..self.topics.len() {
            let Some(watched) = &mut self.topics[slot] else { continue };
            if watched.market != Some(market) {
                continue;
            }
            if is_open {
                self.remember_tick(slot);
            }
            let watched = self.watched_mut(slot);
            match (watched.state, is_open) {
                // The habit of yesterday is not that of an opening.
                (State::Closed, true) => {
                    (watched.due_from_ms, watched.due) = (now_ms, Due::Opened);
                    watched.wanted_from_ms = now_ms;
                    watched.habit = Habit::new(now_ms);
                    if !watched.served {
                        watched.lost_ms = now_ms;
                    }
                    self.becomes(slot, State::Waiting);
                }
                (State::Waiting | State::Stale | State::Recovering, false) => {
                    self.becomes(slot, State::Closed);
                }
                // What ticks is not closed. When it falls silent, it is.
                (State::Live | State::Closed, false) => {}
                (State::Live | State::Waiting | State::Stale | State::Recovering, true) => {}
            }
            self.set_deadline(slot);
        }
    }
}
