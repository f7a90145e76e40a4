//! What becomes of a session once the command about it is answered.

use super::reached::session_event;
use super::user::SessionState;
use super::{Effect, Hub, Note};
use crate::broker::{BrokerError, BrokerErrorCode, CommandId};
use crate::engine::backoff::Backoff;
use crate::marks::{TopicEvent, mark};
use crate::topic::{ClientId, Topic, UserId};

impl Hub {
    /// The command in flight of a session was answered.
    pub(super) fn session_answered(
        &mut self,
        (user_id, at): (&UserId, usize),
        id: CommandId,
        result: Result<(), BrokerError>,
        effects: &mut Vec<Effect>,
    ) {
        let state = self.users[user_id].sessions[at].state;
        assert_eq!(state.in_flight(), Some(id), "a session has one command in flight");
        self.session_meets(user_id, at, session_event(&result));
        match (state, result) {
            (SessionState::Connecting(_), Ok(())) => self.session_opened(user_id, at, effects),
            (SessionState::Connecting(_), Err(error)) => {
                self.connect_failed(user_id, at, &error, effects);
            }
            (SessionState::Emptying(_), Ok(())) => self.session_emptied(user_id, at, effects),
            (SessionState::Closing(_), Ok(())) => {
                let session = self.session_mut(user_id, at);
                session.backoff = Backoff::default();
                session.doubt = false;
                self.session_becomes(user_id, at, SessionState::Down);
                self.unbind(user_id, at);
            }
            (SessionState::Closing(_) | SessionState::Emptying(_), Err(error)) => {
                self.close_failed(user_id, at, &error, effects);
            }
            (SessionState::Down | SessionState::Up | SessionState::Unsure, _) => {
                unreachable!("no command is in flight")
            }
        }
        self.work.sessions.insert((user_id.clone(), at));
    }

    fn connect_failed(
        &mut self,
        user_id: &UserId,
        at: usize,
        error: &BrokerError,
        effects: &mut Vec<Effect>,
    ) {
        let user = &self.users[user_id];
        let tries_again =
            self.rules_of_broker(&user.broker).reinitialize && !user.clients.is_empty();
        let session = self.session_mut(user_id, at);
        let timed_out = error.code == BrokerErrorCode::Timeout;
        mark!(SessionTimedOut if timed_out);
        mark!(SessionDoubtOutlivesRefusal if session.doubt && !timed_out);
        // After a timeout the session may exist, or come to exist.
        session.doubt |= timed_out;
        let state = if session.doubt { SessionState::Unsure } else { SessionState::Down };
        let stale_credentials = error.code == BrokerErrorCode::InitFailed;
        if stale_credentials && tries_again && !std::mem::replace(&mut session.retried, true) {
            mark!(SessionReinitialized);
            session.backoff.hurry();
            self.session_becomes(user_id, at, state);
            return;
        }
        session.retried = false;
        self.session_failed(user_id, at, state, error, effects);
        if self.users[user_id].clients.is_empty() {
            mark!(SessionFailedForNobody);
            // Nobody needs it: what may exist is closed at once.
            self.session_mut(user_id, at).backoff.hurry();
        }
    }

    fn session_opened(&mut self, user_id: &UserId, at: usize, effects: &mut Vec<Effect>) {
        let forgives = !self.rules_of_broker(&self.users[user_id].broker).single_session;
        let session = self.session_mut(user_id, at);
        if forgives {
            session.backoff = Backoff::default();
        }
        session.last_error = None;
        session.doubt = false;
        session.retried = false;
        session.opened += 1;
        self.session_becomes(user_id, at, SessionState::Up);
        self.unbind(user_id, at);
        let user = &self.users[user_id];
        let broker = user.broker.clone();
        let off = user.topics.iter().filter(|(_, state)| state.seat.is_none());
        let topics: Vec<Topic> = off.map(|(topic, _)| topic.clone()).collect();
        mark!(SessionUnneeded if user.clients.is_empty());
        mark!(SessionRestoresTopics if !topics.is_empty());
        for topic in &topics {
            user.topics[topic].meets(TopicEvent::SessionBegins);
        }
        Self::note(effects, Note::SessionUp { user: user_id.clone(), broker });
        self.let_all_in(user_id, at, effects);
        self.work.topics.extend(topics.into_iter().map(|topic| (user_id.clone(), topic)));
    }

    fn session_emptied(&mut self, user_id: &UserId, at: usize, effects: &mut Vec<Effect>) {
        mark!(SessionEmptiedWanted if !self.users[user_id].clients.is_empty());
        self.session_becomes(user_id, at, SessionState::Up);
        self.unbind(user_id, at);
        self.let_all_in(user_id, at, effects);
    }

    /// The first session is up: clients that wait for it are in.
    fn let_all_in(&mut self, user_id: &UserId, at: usize, effects: &mut Vec<Effect>) {
        if at > 0 {
            return;
        }
        let clients: Vec<ClientId> = self.users[user_id].clients.iter().copied().collect();
        for client in clients {
            self.authentication_done(client, effects);
        }
    }

    /// A connect failed: those who wait for it are told, the session is tried again later if
    /// others still need it.
    pub(super) fn session_failed(
        &mut self,
        user_id: &UserId,
        at: usize,
        state: SessionState,
        error: &BrokerError,
        effects: &mut Vec<Effect>,
    ) {
        self.pause_session(user_id, at, &error.message);
        self.session_becomes(user_id, at, state);
        let user = &self.users[user_id];
        let (broker, clients) = (user.broker.clone(), user.clients.clone());
        let reason = error.message.clone();
        Self::note(effects, Note::SessionDown { user: user_id.clone(), broker, reason });
        if at > 0 {
            self.fail_homeless(user_id, error, effects);
            return;
        }
        for client in clients {
            self.authentication_failed(client, error, effects);
        }
    }

    /// A session that nobody needs is closed again and again, ever more rarely: a leaked one could
    /// keep its user from the broker for the rest of the day.
    fn close_failed(
        &mut self,
        user_id: &UserId,
        at: usize,
        error: &BrokerError,
        effects: &mut Vec<Effect>,
    ) {
        mark!(SessionNotClosed);
        self.pause_session(user_id, at, &error.message);
        self.session_mut(user_id, at).doubt = true;
        let user = &self.users[user_id];
        let broker = user.broker.clone();
        self.session_becomes(user_id, at, SessionState::Unsure);
        let reason = format!("could not close the session: {}", error.message);
        Self::note(effects, Note::SessionDown { user: user_id.clone(), broker, reason });
    }
}
