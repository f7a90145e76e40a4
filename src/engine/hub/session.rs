//! A user's broker sessions, brought in line with whether anybody needs them.
//!
//! The same pattern as for topics: at most one command in flight, each life of a session has a
//! number of its own, and what is said of an older life is ignored (RC-002, RC-005, RC-012).

use std::collections::BTreeSet;

use super::calls::Call;
use super::user::{Session, SessionState};
use super::{Effect, Hub, Note, TimerKey};
use crate::broker::{BrokerError, BrokerErrorCode, CommandKind, SessionId};
use crate::engine::Urgency;
use crate::engine::backoff::Backoff;
use crate::marks::{SessionEvent, TopicEvent, mark};
use crate::topic::{Topic, UserId};

/// What to do about a session.
enum Step {
    Nothing,
    Open,
    Empty,
    Close,
    WaitUntil(u64),
    LingerUntil(u64),
    Forget,
}

impl Hub {
    /// Sends the command that brings a session in line with whether it is needed.
    pub(super) fn settle_session(
        &mut self,
        user_id: &UserId,
        at: usize,
        effects: &mut Vec<Effect>,
    ) {
        self.note_idleness(user_id, at);
        let step = self.next_step(user_id, at);
        if matches!(step, Step::Open | Step::Empty | Step::Close) {
            let needed = self.is_needed(user_id, at);
            let urgency = if needed { Urgency::Urgent } else { Urgency::Calm };
            if !self.may_call(user_id, Call::Session(at), urgency, None) {
                return;
            }
        }
        match step {
            Step::Nothing => {}
            Step::Open => self.open_session(user_id, at, effects),
            Step::Empty => self.empty_session(user_id, at, effects),
            Step::Close => self.close_session(user_id, at, effects),
            Step::WaitUntil(at_ms) => {
                mark!(SessionPaused);
                self.timers.set(TimerKey::Session(user_id.clone(), at), at_ms);
            }
            Step::LingerUntil(at_ms) => {
                mark!(SessionLingers);
                self.timers.set(TimerKey::Session(user_id.clone(), at), at_ms);
            }
            Step::Forget => self.forget_user(user_id),
        }
    }

    /// Whether somebody needs a session: the first, all clients of the user; the others, what the
    /// first has no room for.
    fn is_needed(&self, user_id: &UserId, at: usize) -> bool {
        let user = &self.users[user_id];
        let has_use = at == 0 || user.sessions[at].topics > 0 || at < self.sessions_for(user);
        !user.clients.is_empty() && has_use && !self.draining
    }

    /// Notes since when a session is not needed.
    fn note_idleness(&mut self, user_id: &UserId, at: usize) {
        if self.users.get(user_id).is_none_or(|user| at >= user.sessions.len()) {
            return;
        }
        let needed = self.is_needed(user_id, at);
        let now_ms = self.now_ms;
        let session = self.session_mut(user_id, at);
        mark!(SessionWantedInLinger
            if needed && session.idle_since_ms.is_some() && session.state == SessionState::Up);
        session.idle_since_ms =
            if needed { None } else { Some(session.idle_since_ms.unwrap_or(now_ms)) };
    }

    fn next_step(&self, user_id: &UserId, at: usize) -> Step {
        let Some(user) = self.users.get(user_id) else { return Step::Nothing };
        let Some(session) = user.sessions.get(at) else { return Step::Nothing };
        let wanted = self.is_needed(user_id, at);
        let reachable = self.brokers.get(&user.broker).is_some_and(|broker| broker.up);
        let paused = session.backoff.wait_until_ms(self.now_ms);
        match (session.state, wanted) {
            (SessionState::Down, false) if user.is_over() => Step::Forget,
            // What is in doubt is settled when the broker is back. A gateway that is stopping
            // does not wait for a broker that may never be: only for the clients.
            (SessionState::Unsure, false) if !reachable => {
                mark!(SessionDoubtWithoutBroker);
                let gives_up = self.draining && user.clients.is_empty();
                mark!(StopGivesUpSession if gives_up);
                let none_is_up = user.sessions.iter().all(|session| {
                    matches!(session.state, SessionState::Down | SessionState::Unsure)
                });
                if gives_up && none_is_up { Step::Forget } else { Step::Nothing }
            }
            (SessionState::Up, true) if session.stale => Step::Close,
            (SessionState::Down | SessionState::Unsure, true) if !reachable => Step::Nothing,
            (SessionState::Down | SessionState::Unsure, true) => {
                paused.map_or(Step::Open, Step::WaitUntil)
            }
            (SessionState::Unsure, false) => paused.map_or(Step::Close, Step::WaitUntil),
            (SessionState::Up, false) => self.idle_step(user_id, at),
            // Settled, or a command is in flight: its answer brings us back here.
            (SessionState::Down, false)
            | (SessionState::Up, true)
            | (
                SessionState::Connecting(_) | SessionState::Emptying(_) | SessionState::Closing(_),
                _,
            ) => Step::Nothing,
        }
    }

    /// What to do about a session that is up, and that nobody needs.
    fn idle_step(&self, user_id: &UserId, at: usize) -> Step {
        let user = &self.users[user_id];
        let session = &user.sessions[at];
        let rules = self.rules_of_broker(&user.broker);
        if self.draining || session.stale || self.is_moving(user_id) {
            return Step::Close;
        }
        let until_ms = session.idle_since_ms.map_or(0, |since_ms| since_ms + rules.linger_ms);
        if until_ms > self.now_ms {
            return Step::LingerUntil(until_ms);
        }
        if at > 0 || !rules.keep_session {
            return Step::Close;
        }
        mark!(SessionKept);
        if session.topics > 0 { Step::Empty } else { Step::Nothing }
    }

    fn forget_user(&mut self, user_id: &UserId) {
        let user = self.users.remove(user_id).expect("the user exists");
        for at in 0..user.sessions.len() {
            self.timers.cancel(&TimerKey::Session(user_id.clone(), at));
        }
        for topic in user.topics.into_keys() {
            self.timers.cancel(&TimerKey::Topic(user_id.clone(), topic));
        }
        self.no_calls_of(&user.broker, user_id);
        self.all_move(user_id);
    }

    fn open_session(&mut self, user_id: &UserId, at: usize, effects: &mut Vec<Effect>) {
        self.next_session += 1;
        let id = SessionId(self.next_session);
        let session = self.session_mut(user_id, at);
        session.id = id;
        session.stale = false;
        let command = self.send_command(user_id, at, CommandKind::Connect, effects);
        self.session_becomes(user_id, at, SessionState::Connecting(command));
    }

    /// Its topics are unsubscribed all at once, and it stays open.
    fn empty_session(&mut self, user_id: &UserId, at: usize, effects: &mut Vec<Effect>) {
        self.turn_all_off(user_id, at);
        let command = self.send_command(user_id, at, CommandKind::UnsubscribeAll, effects);
        self.session_becomes(user_id, at, SessionState::Emptying(command));
    }

    fn close_session(&mut self, user_id: &UserId, at: usize, effects: &mut Vec<Effect>) {
        let user = &self.users[user_id];
        mark!(SessionRebuilt if user.sessions[at].stale);
        mark!(SessionClosedInCommand if user.is_in_command());
        self.turn_all_off(user_id, at);
        let command = self.send_command(user_id, at, CommandKind::Disconnect, effects);
        self.session_becomes(user_id, at, SessionState::Closing(command));
    }

    /// The session ended without being asked to. Those who wait for a topic are told; what is
    /// held stays wanted and comes back with the next session.
    pub(super) fn session_lost(
        &mut self,
        user_id: &UserId,
        at: usize,
        reason: &str,
        effects: &mut Vec<Effect>,
    ) {
        let state = self.users[user_id].sessions[at].state;
        let error = BrokerError {
            code: BrokerErrorCode::NotConnected,
            message: format!("broker session lost: {reason}"),
        };
        if let Some(command) = state.in_flight() {
            self.forget_command(command);
        }
        match state {
            SessionState::Down | SessionState::Unsure => {
                self.unbind(user_id, at);
                return;
            }
            SessionState::Connecting(_) => {
                mark!(SessionLostInConnect);
                // The command may be carried out yet, when the broker is back.
                self.session_mut(user_id, at).doubt = true;
                self.session_failed(user_id, at, SessionState::Unsure, &error, effects);
            }
            SessionState::Closing(_) if self.users[user_id].sessions[at].doubt => {
                mark!(SessionLostInDoubt);
                self.session_becomes(user_id, at, SessionState::Unsure);
            }
            SessionState::Closing(_) | SessionState::Emptying(_) => {
                mark!(SessionLostInClose);
                self.session_becomes(user_id, at, SessionState::Down);
            }
            SessionState::Up => self.live_session_lost(user_id, at, (reason, &error), effects),
        }
        self.unbind(user_id, at);
        self.work.sessions.insert((user_id.clone(), at));
    }

    fn live_session_lost(
        &mut self,
        user_id: &UserId,
        at: usize,
        (reason, error): (&str, &BrokerError),
        effects: &mut Vec<Effect>,
    ) {
        mark!(SessionLostInCommand if self.users[user_id].is_in_command());
        mark!(SessionOfSeveralLost if self.users[user_id].sessions.len() > 1);
        let lost = self.turn_all_off(user_id, at);
        self.fail_waiting(user_id, &lost, error, effects);
        let settled_ms = self.options.times.retry_max_ms;
        let lasted_ms = self.now_ms - self.users[user_id].sessions[at].since_ms;
        if lasted_ms >= settled_ms {
            self.session_mut(user_id, at).backoff = Backoff::default();
        }
        self.pause_session(user_id, at, &error.message);
        self.session_becomes(user_id, at, SessionState::Down);
        let broker = self.users[user_id].broker.clone();
        let (user, reason) = (user_id.clone(), reason.to_owned());
        Self::note(effects, Note::SessionDown { user, broker, reason });
    }

    /// The user's credentials changed: its sessions are rebuilt, clients and wants are kept.
    pub(super) fn invalidate(&mut self, user_id: &UserId, effects: &mut Vec<Effect>) {
        self.session_meets(user_id, 0, SessionEvent::Invalidated);
        let Some(user) = self.users.get_mut(user_id) else { return };
        user.note_new_credentials();
        let mut is_news = false;
        for session in &mut user.sessions {
            is_news |= session.invalidate(self.now_ms);
        }
        let sessions = user.sessions.len();
        self.totals.invalidations += 1;
        if is_news {
            Self::note(effects, Note::Invalidated { user: user_id.clone() });
        }
        self.work.sessions.extend((0..sessions).map(|at| (user_id.clone(), at)));
    }

    /// The topics that a session carries are off, because it is ending. Says which.
    fn turn_all_off(&mut self, user_id: &UserId, at: usize) -> BTreeSet<Topic> {
        let several = self.rules_of_broker(&self.users[user_id].broker).sessions_max > 1;
        let user = self.users.get_mut(user_id).expect("the user exists");
        let (mut commands, mut topics) = (Vec::new(), BTreeSet::new());
        for (topic, state) in &mut user.topics {
            // What is off already waits for the first session.
            if state.seat.unwrap_or(0) != at {
                continue;
            }
            state.meets(TopicEvent::SessionEnds);
            commands.extend(state.upstream.in_flight());
            if several && state.seat.is_some() {
                state.bound = Some(at);
            }
            state.turn_off();
            topics.insert(topic.clone());
            self.work.topics.push_back((user_id.clone(), topic.clone()));
        }
        user.sessions[at].topics = 0;
        for command in commands {
            self.forget_command(command);
        }
        topics
    }

    pub(super) fn pause_session(&mut self, user_id: &UserId, at: usize, error: &str) {
        let (min_ms, max_ms) = (self.options.times.retry_min_ms, self.options.times.retry_max_ms);
        let user = self.users.get_mut(user_id).expect("the user exists");
        let session = &mut user.sessions[at];
        session.backoff.failed(self.now_ms, min_ms, max_ms, &mut self.rng);
        session.last_error = Some(error.to_owned());
    }

    pub(super) fn session_becomes(&mut self, user_id: &UserId, at: usize, state: SessionState) {
        let now_ms = self.now_ms;
        let session = self.session_mut(user_id, at);
        let was = std::mem::replace(&mut session.state, state);
        session.since_ms = now_ms;
        if at == 0 {
            self.session_changes(user_id, was);
        }
    }

    pub(super) fn session_mut(&mut self, user_id: &UserId, at: usize) -> &mut Session {
        &mut self.users.get_mut(user_id).expect("the user exists").sessions[at]
    }
}

impl Session {
    /// The credentials changed. Whether that is news.
    fn invalidate(&mut self, now_ms: u64) -> bool {
        mark!(CredentialsChangeInLinger
            if self.state == SessionState::Up && self.idle_since_ms.is_some());
        mark!(CredentialsChangeInConnect if matches!(self.state, SessionState::Connecting(_)));
        mark!(CredentialsChangeInClose if matches!(self.state, SessionState::Closing(_)));
        let is_news = match self.state {
            // The connect under way may still use the old credentials.
            SessionState::Up | SessionState::Emptying(_) | SessionState::Connecting(_) => {
                !std::mem::replace(&mut self.stale, true)
            }
            SessionState::Down | SessionState::Unsure => {
                self.backoff.wait_until_ms(now_ms).is_some()
            }
            SessionState::Closing(_) => false,
        };
        self.backoff.hurry();
        is_news
    }
}
