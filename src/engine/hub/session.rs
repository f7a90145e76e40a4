//! A user's one broker session, brought in line with whether anybody needs it.
//!
//! The same pattern as for topics: at most one command in flight, each life of a session has a
//! number of its own, and what is said of an older life is ignored (RC-002, RC-005, RC-012).

use indexmap::IndexMap;

use super::reached::session_event;
use super::topics::TopicState;
use super::{Effect, Hub, Note, TimerKey};
use crate::broker::{BrokerError, BrokerErrorCode, CommandId, CommandKind, SessionId};
use crate::engine::Upstream;
use crate::engine::backoff::Backoff;
use crate::engine::numbered::NumberSet;
use crate::marks::{SessionEvent, TopicEvent, mark};
use crate::topic::{BrokerName, ClientId, Topic, UserId};

/// An account with at least one client, or with a session that is still being closed.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub broker: BrokerName,
    pub session: Session,
    /// Clients that are authenticated as this user, or are waiting to be.
    pub clients: NumberSet<ClientId>,
    pub topics: IndexMap<Topic, TopicState>,
}

#[derive(Clone, Debug)]
pub(super) struct Session {
    pub id: SessionId,
    pub state: SessionState,
    /// The broker may have a session that we do not know of.
    pub doubt: bool,
    /// The credentials changed since it was opened: close it and open another.
    pub stale: bool,
    pub backoff: Backoff,
    pub last_error: Option<String>,
    pub since_ms: u64,
    /// Times it was opened successfully.
    pub opened: u64,
}

/// Where a broker session stands, as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// There is none.
    Down,
    /// A connect is in flight.
    Connecting(CommandId),
    /// It is open.
    Up,
    /// A disconnect is in flight.
    Closing(CommandId),
    /// A connect or disconnect failed in a way that leaves open what the broker did.
    Unsure,
}

impl User {
    pub fn new(broker: BrokerName, now_ms: u64) -> Self {
        Self {
            broker,
            session: Session {
                id: SessionId(0),
                state: SessionState::Down,
                doubt: false,
                stale: false,
                backoff: Backoff::default(),
                last_error: None,
                since_ms: now_ms,
                opened: 0,
            },
            clients: NumberSet::default(),
            topics: IndexMap::new(),
        }
    }

    /// Its clients besides our own.
    pub fn clients_of_others(&self) -> usize {
        self.clients.iter().filter(|id| !id.is_own()).count()
    }

    /// Whether a client that authenticates now has a session to work with.
    pub fn is_live(&self) -> bool {
        self.session.state == SessionState::Up
    }

    /// The word for `get_broker_info`.
    pub const fn adapter_status(&self) -> &'static str {
        match self.session.state {
            SessionState::Up => "connected",
            SessionState::Connecting(_) | SessionState::Closing(_) | SessionState::Unsure => {
                "connecting"
            }
            SessionState::Down => "disconnected",
        }
    }
}

impl SessionState {
    /// The command in flight.
    #[must_use]
    pub const fn in_flight(self) -> Option<CommandId> {
        match self {
            Self::Connecting(id) | Self::Closing(id) => Some(id),
            Self::Down | Self::Up | Self::Unsure => None,
        }
    }
}

/// What to do about a session.
enum Step {
    Nothing,
    Open,
    Close,
    WaitUntil(u64),
    Forget,
}

impl Hub {
    /// Sends the command that brings a session in line with whether it is needed.
    pub(super) fn settle_session(&mut self, user_id: &UserId, effects: &mut Vec<Effect>) {
        match self.next_step(user_id) {
            Step::Nothing => {}
            Step::Open => self.open_session(user_id, effects),
            Step::Close => self.close_session(user_id, effects),
            Step::WaitUntil(at_ms) => {
                mark!(SessionPaused);
                self.timers.set(TimerKey::Session(user_id.clone()), at_ms);
            }
            Step::Forget => self.forget_user(user_id),
        }
    }

    fn next_step(&self, user_id: &UserId) -> Step {
        let Some(user) = self.users.get(user_id) else { return Step::Nothing };
        let wanted = !user.clients.is_empty() && !self.draining;
        let reachable = self.brokers.get(&user.broker).is_some_and(|broker| broker.up);
        let session = &user.session;
        let paused = session.backoff.wait_until_ms(self.now_ms);
        match (session.state, wanted) {
            (SessionState::Down, false) if user.clients.is_empty() => Step::Forget,
            // What is in doubt is settled when the broker is back. A gateway that is stopping
            // does not wait for a broker that may never be: only for the clients.
            (SessionState::Unsure, false) if !reachable => {
                mark!(SessionDoubtWithoutBroker);
                mark!(StopGivesUpSession if self.draining && user.clients.is_empty());
                if self.draining && user.clients.is_empty() { Step::Forget } else { Step::Nothing }
            }
            (SessionState::Up, true) if session.stale => Step::Close,
            (SessionState::Down | SessionState::Unsure, true) if !reachable => Step::Nothing,
            (SessionState::Down | SessionState::Unsure, true) => {
                paused.map_or(Step::Open, Step::WaitUntil)
            }
            (SessionState::Unsure, false) => paused.map_or(Step::Close, Step::WaitUntil),
            (SessionState::Up, false) => Step::Close,
            // Settled, or a command is in flight: its answer brings us back here.
            (SessionState::Down, false)
            | (SessionState::Up, true)
            | (SessionState::Connecting(_) | SessionState::Closing(_), _) => Step::Nothing,
        }
    }

    fn forget_user(&mut self, user_id: &UserId) {
        self.timers.cancel(&TimerKey::Session(user_id.clone()));
        let user = self.users.remove(user_id).expect("the user exists");
        for topic in user.topics.into_keys() {
            self.timers.cancel(&TimerKey::Topic(user_id.clone(), topic));
        }
    }

    fn open_session(&mut self, user_id: &UserId, effects: &mut Vec<Effect>) {
        self.next_session += 1;
        let id = SessionId(self.next_session);
        let broker = self.users[user_id].broker.clone();
        let command = self.send_command(user_id, &broker, id, CommandKind::Connect, effects);
        let session = self.session_mut(user_id);
        session.id = id;
        session.stale = false;
        self.session_becomes(user_id, SessionState::Connecting(command));
    }

    fn close_session(&mut self, user_id: &UserId, effects: &mut Vec<Effect>) {
        let user = &self.users[user_id];
        let (broker, id) = (user.broker.clone(), user.session.id);
        mark!(SessionRebuilt if user.session.stale);
        mark!(SessionClosedInCommand if user.is_in_command());
        self.turn_all_off(user_id);
        let command = self.send_command(user_id, &broker, id, CommandKind::Disconnect, effects);
        self.session_becomes(user_id, SessionState::Closing(command));
    }

    /// The connect or disconnect in flight was answered.
    pub(super) fn session_answered(
        &mut self,
        user_id: &UserId,
        id: CommandId,
        result: Result<(), BrokerError>,
        effects: &mut Vec<Effect>,
    ) {
        let state = self.users[user_id].session.state;
        self.session_meets(user_id, session_event(&result));
        match (state, result) {
            (SessionState::Connecting(current), Ok(())) if current == id => {
                self.session_opened(user_id, effects);
            }
            (SessionState::Connecting(current), Err(error)) if current == id => {
                self.connect_failed(user_id, &error, effects);
            }
            (SessionState::Closing(current), Ok(())) if current == id => {
                let session = self.session_mut(user_id);
                session.backoff = Backoff::default();
                session.doubt = false;
                self.session_becomes(user_id, SessionState::Down);
            }
            (SessionState::Closing(current), Err(error)) if current == id => {
                self.close_failed(user_id, &error, effects);
            }
            (_, _) => unreachable!("a session has one command in flight"),
        }
        self.work.sessions.insert(user_id.clone());
    }

    fn connect_failed(&mut self, user_id: &UserId, error: &BrokerError, effects: &mut Vec<Effect>) {
        let session = self.session_mut(user_id);
        let timed_out = error.code == BrokerErrorCode::Timeout;
        mark!(SessionTimedOut if timed_out);
        mark!(SessionDoubtOutlivesRefusal if session.doubt && !timed_out);
        // After a timeout the session may exist, or come to exist.
        session.doubt |= timed_out;
        let state = if session.doubt { SessionState::Unsure } else { SessionState::Down };
        self.session_failed(user_id, state, error, effects);
        if self.users[user_id].clients.is_empty() {
            mark!(SessionFailedForNobody);
            // Nobody needs it: what may exist is closed at once.
            self.session_mut(user_id).backoff.hurry();
        }
    }

    fn session_opened(&mut self, user_id: &UserId, effects: &mut Vec<Effect>) {
        let session = self.session_mut(user_id);
        session.backoff = Backoff::default();
        session.last_error = None;
        session.doubt = false;
        session.opened += 1;
        self.session_becomes(user_id, SessionState::Up);
        let user = &self.users[user_id];
        let broker = user.broker.clone();
        let topics: Vec<Topic> = user.topics.keys().cloned().collect();
        let clients: Vec<ClientId> = user.clients.iter().copied().collect();
        mark!(SessionUnneeded if clients.is_empty());
        mark!(SessionRestoresTopics if !topics.is_empty());
        user.topics.values().for_each(|state| state.meets(TopicEvent::SessionBegins));
        Self::note(effects, Note::SessionUp { user: user_id.clone(), broker });
        for client in clients {
            self.authentication_done(client, effects);
        }
        self.work.topics.extend(topics.into_iter().map(|topic| (user_id.clone(), topic)));
    }

    /// A connect failed: those who wait for it are told, the session is tried again later if
    /// others still need it.
    fn session_failed(
        &mut self,
        user_id: &UserId,
        state: SessionState,
        error: &BrokerError,
        effects: &mut Vec<Effect>,
    ) {
        self.pause_session(user_id, &error.message);
        self.session_becomes(user_id, state);
        let user = &self.users[user_id];
        let (broker, clients) = (user.broker.clone(), user.clients.clone());
        let reason = error.message.clone();
        Self::note(effects, Note::SessionDown { user: user_id.clone(), broker, reason });
        for client in clients {
            self.authentication_failed(client, error, effects);
        }
    }

    /// A session that nobody needs is closed again and again, ever more rarely: a leaked one could
    /// keep its user from the broker for the rest of the day.
    fn close_failed(&mut self, user_id: &UserId, error: &BrokerError, effects: &mut Vec<Effect>) {
        mark!(SessionNotClosed);
        self.pause_session(user_id, &error.message);
        self.session_mut(user_id).doubt = true;
        let user = &self.users[user_id];
        let broker = user.broker.clone();
        self.session_becomes(user_id, SessionState::Unsure);
        let reason = format!("could not close the session: {}", error.message);
        Self::note(effects, Note::SessionDown { user: user_id.clone(), broker, reason });
    }

    /// The session ended without being asked to. Those who wait for a topic are told; what is
    /// held stays wanted and comes back with the next session.
    pub(super) fn session_lost(
        &mut self,
        user_id: &UserId,
        reason: &str,
        effects: &mut Vec<Effect>,
    ) {
        let state = self.users[user_id].session.state;
        let error = BrokerError {
            code: BrokerErrorCode::NotConnected,
            message: format!("broker session lost: {reason}"),
        };
        if let Some(command) = state.in_flight() {
            self.forget_command(command);
        }
        match state {
            SessionState::Down | SessionState::Unsure => return,
            SessionState::Connecting(_) => {
                mark!(SessionLostInConnect);
                // The command may be carried out yet, when the broker is back.
                self.session_mut(user_id).doubt = true;
                self.session_failed(user_id, SessionState::Unsure, &error, effects);
            }
            SessionState::Closing(_) if self.users[user_id].session.doubt => {
                mark!(SessionLostInDoubt);
                self.session_becomes(user_id, SessionState::Unsure);
            }
            SessionState::Closing(_) => {
                mark!(SessionLostInClose);
                self.session_becomes(user_id, SessionState::Down);
            }
            SessionState::Up => {
                mark!(SessionLostInCommand if self.users[user_id].is_in_command());
                self.turn_all_off(user_id);
                self.fail_waiting(user_id, &error, effects);
                self.pause_session(user_id, &error.message);
                self.session_becomes(user_id, SessionState::Down);
                let broker = self.users[user_id].broker.clone();
                let (user, reason) = (user_id.clone(), reason.to_owned());
                Self::note(effects, Note::SessionDown { user, broker, reason });
            }
        }
        self.work.sessions.insert(user_id.clone());
    }

    /// The user's credentials changed: the session is rebuilt, clients and wants are kept.
    pub(super) fn invalidate(&mut self, user_id: &UserId, effects: &mut Vec<Effect>) {
        self.session_meets(user_id, SessionEvent::Invalidated);
        let Some(user) = self.users.get_mut(user_id) else { return };
        let session = &mut user.session;
        mark!(CredentialsChangeInConnect if matches!(session.state, SessionState::Connecting(_)));
        mark!(CredentialsChangeInClose if matches!(session.state, SessionState::Closing(_)));
        let is_news = match session.state {
            // The connect under way may still use the old credentials.
            SessionState::Up | SessionState::Connecting(_) => {
                !std::mem::replace(&mut session.stale, true)
            }
            SessionState::Down | SessionState::Unsure => {
                session.backoff.wait_until_ms(self.now_ms).is_some()
            }
            SessionState::Closing(_) => false,
        };
        session.backoff.hurry();
        self.totals.invalidations += 1;
        if is_news {
            Self::note(effects, Note::Invalidated { user: user_id.clone() });
        }
        self.work.sessions.insert(user_id.clone());
    }

    /// All topics are off, because the session they were on is ending.
    fn turn_all_off(&mut self, user_id: &UserId) {
        let user = self.users.get_mut(user_id).expect("the user exists");
        let mut commands = Vec::new();
        for (topic, state) in &mut user.topics {
            state.meets(TopicEvent::SessionEnds);
            commands.extend(state.upstream.in_flight());
            state.upstream = Upstream::Off;
            state.doubt = false;
            self.work.topics.push_back((user_id.clone(), topic.clone()));
        }
        for command in commands {
            self.forget_command(command);
        }
    }

    fn pause_session(&mut self, user_id: &UserId, error: &str) {
        let (min_ms, max_ms) = (self.options.times.retry_min_ms, self.options.times.retry_max_ms);
        let user = self.users.get_mut(user_id).expect("the user exists");
        user.session.backoff.failed(self.now_ms, min_ms, max_ms, &mut self.rng);
        user.session.last_error = Some(error.to_owned());
    }

    fn session_becomes(&mut self, user_id: &UserId, state: SessionState) {
        let now_ms = self.now_ms;
        let session = self.session_mut(user_id);
        let was = std::mem::replace(&mut session.state, state);
        session.since_ms = now_ms;
        self.session_changes(user_id, was);
    }

    fn session_mut(&mut self, user_id: &UserId) -> &mut Session {
        &mut self.users.get_mut(user_id).expect("the user exists").session
    }
}
