//! In which state an event finds a topic, a session or a client.

use super::Hub;
use super::client::{Auth, Client, CurrentKind};
use super::topic_state::TopicState;
use super::user::{SessionState, User};
use crate::broker::{BrokerError, BrokerErrorCode, Done};
use crate::engine::{Request, Upstream};
use crate::marks::{
    self, ClientAt, ClientEvent, Pair, SessionAt, SessionEvent, TopicAt, TopicEvent, mark,
};
use crate::topic::{ClientId, Topic, UserId};

impl TopicState {
    /// An event is about to change it.
    pub fn meets(&self, event: TopicEvent) {
        if cfg!(debug_assertions) {
            marks::met(Pair::Topic(self.at(), event));
        }
    }

    fn at(&self) -> TopicAt {
        match (self.upstream, self.wants.is_empty()) {
            (Upstream::Off, _) => TopicAt::Off,
            (Upstream::TurningOn(_), false) => TopicAt::TurningOn,
            (Upstream::TurningOn(_), true) => TopicAt::TurningOnUnwanted,
            (Upstream::On, false) => TopicAt::On,
            (Upstream::On, true) => TopicAt::OnUnwanted,
            (Upstream::TurningOff(_), false) => TopicAt::TurningOffWanted,
            (Upstream::TurningOff(_), true) => TopicAt::TurningOff,
            (Upstream::Unsure, false) => TopicAt::Unsure,
            (Upstream::Unsure, true) => TopicAt::UnsureUnwanted,
        }
    }

    /// It is compared with what is wanted.
    pub fn is_compared(&self, wanted: bool) {
        match (self.upstream, wanted) {
            (Upstream::Off, true) => mark!(OffAndWanted),
            (Upstream::On, true) => mark!(OnAndWanted if self.wants.len() > 1),
            (Upstream::On, false) => mark!(OnAndUnwanted),
            (Upstream::TurningOn(_), true) => mark!(TurningOnAndWanted),
            (Upstream::TurningOn(_), false) => mark!(TurningOnAndUnwanted),
            (Upstream::TurningOff(_), true) => mark!(TurningOffAndWanted),
            (Upstream::TurningOff(_), false) => mark!(TurningOffAndUnwanted),
            (Upstream::Unsure, true) => mark!(UnsureAndWanted),
            (Upstream::Unsure, false) => mark!(UnsureAndUnwanted),
            (Upstream::Off, false) => {}
        }
    }
}

impl User {
    /// An event is about to change one of its sessions.
    pub fn meets(&self, at: usize, event: SessionEvent) {
        if cfg!(debug_assertions) {
            marks::met(Pair::Session(self.at(at), event));
        }
    }

    /// An event is about to change a topic, or to make it.
    pub fn topic_meets(&self, topic: &Topic, event: TopicEvent) {
        if cfg!(debug_assertions) {
            let at = self.topics.get(topic).map_or(TopicAt::Absent, TopicState::at);
            marks::met(Pair::Topic(at, event));
        }
    }

    /// Whether a command about one of its topics is in flight.
    pub fn is_in_command(&self) -> bool {
        self.topics.values().any(|state| state.upstream.in_flight().is_some())
    }

    fn at(&self, at: usize) -> SessionAt {
        let session = &self.sessions[at];
        let needed = !self.clients.is_empty();
        match session.state {
            SessionState::Down => SessionAt::Down,
            SessionState::Connecting(_) if !needed => SessionAt::ConnectingUnneeded,
            SessionState::Connecting(_) if session.stale => SessionAt::ConnectingStale,
            SessionState::Connecting(_) => SessionAt::Connecting,
            SessionState::Up if needed => SessionAt::Up,
            SessionState::Up => SessionAt::UpUnneeded,
            SessionState::Emptying(_) => SessionAt::Emptying,
            SessionState::Closing(_) if needed => SessionAt::ClosingNeeded,
            SessionState::Closing(_) => SessionAt::Closing,
            SessionState::Unsure if needed => SessionAt::Unsure,
            SessionState::Unsure => SessionAt::UnsureUnneeded,
        }
    }
}

impl Client {
    fn at(&self) -> ClientAt {
        match (&self.auth, self.current.as_ref().map(|current| &current.kind)) {
            _ if self.closing => ClientAt::Closing,
            (Auth::Nobody, _) => ClientAt::Nobody,
            (Auth::Joining(_), _) => ClientAt::Joining,
            (Auth::Joined(_), None | Some(CurrentKind::Admin(_))) => ClientAt::Joined,
            (
                Auth::Joined(_),
                Some(CurrentKind::Authenticate | CurrentKind::Move(_) | CurrentKind::Enter),
            ) => ClientAt::Rejoining,
            (Auth::Joined(_), Some(CurrentKind::Subscribe { .. })) => ClientAt::Subscribing,
        }
    }
}

impl Hub {
    /// An event is about to change one of a user's sessions.
    pub(super) fn session_meets(&self, user: &UserId, at: usize, event: SessionEvent) {
        if cfg!(debug_assertions) {
            let at = self.users.get(user).map_or(SessionAt::Absent, |user| user.at(at));
            marks::met(Pair::Session(at, event));
        }
    }

    /// An event is about to change a topic.
    pub(super) fn topic_meets(&self, user: &UserId, topic: &Topic, event: TopicEvent) {
        if let Some(user) = self.users.get(user).filter(|_| cfg!(debug_assertions)) {
            user.topic_meets(topic, event);
        }
    }

    /// An event is about to change a client.
    pub(super) fn client_meets(&self, client: ClientId, event: ClientEvent) {
        if cfg!(debug_assertions) {
            let at = self.clients.get(&client).map_or(ClientAt::Absent, Client::at);
            marks::met(Pair::Client(at, event));
            match (event, at) {
                (ClientEvent::AuthenticationOverdue, _) => mark!(ClientOverdue),
                (ClientEvent::RequestOverdue, ClientAt::Subscribing) => mark!(RequestOverdue),
                (ClientEvent::RequestOverdue, _) => mark!(AuthenticationOverdue),
                (ClientEvent::Closed, _) => {
                    let client = &self.clients[&client];
                    mark!(ClientGoneWaiting if client.current.is_some());
                    mark!(ClientGoneQueued if !client.queue.is_empty());
                }
                (_, _) => {}
            }
        }
    }

    /// A request has come.
    pub(super) fn request_meets(&self, client: ClientId, request: &Request) {
        let event = match request {
            Request::Authenticate(_) => ClientEvent::Authenticate,
            Request::Subscribe(_) => ClientEvent::Subscribe,
            Request::Unsubscribe(_) => ClientEvent::Unsubscribe,
            Request::UnsubscribeAll => ClientEvent::UnsubscribeAll,
            Request::SubscribeOrders => ClientEvent::SubscribeOrders,
            Request::UnsubscribeOrders => ClientEvent::UnsubscribeOrders,
            Request::BrokerInfo => ClientEvent::BrokerInfo,
            Request::SupportedBrokers => ClientEvent::SupportedBrokers,
            Request::Ready(_) => ClientEvent::Ready,
            // Ordinary clients ask nothing of the kind.
            Request::Admin(_) => return,
        };
        self.client_meets(client, event);
    }

    /// The gateway begins to stop.
    pub(super) fn all_meet_the_end(&self) {
        if cfg!(debug_assertions) {
            for user in self.users.keys() {
                self.session_meets(user, 0, SessionEvent::Drain);
            }
            for (id, client) in &self.clients {
                self.client_meets(*id, ClientEvent::Drain);
                mark!(StopWaiting if client.current.is_some());
            }
            let connecting = |user: &User| matches!(user.main().state, SessionState::Connecting(_));
            mark!(StopConnecting if self.users.values().any(connecting));
        }
    }
}

/// What an answer is to a topic.
pub(super) fn topic_event(result: &Result<Done, BrokerError>) -> TopicEvent {
    match result.as_ref().map_err(|error| error.code) {
        Ok(_) => TopicEvent::Agreed,
        Err(BrokerErrorCode::Refused | BrokerErrorCode::InitFailed) => TopicEvent::Refused,
        Err(BrokerErrorCode::NotConnected) => TopicEvent::SessionGone,
        Err(BrokerErrorCode::Timeout) => TopicEvent::TimedOut,
    }
}

/// What an answer is to a session.
pub(super) fn session_event(result: &Result<(), BrokerError>) -> SessionEvent {
    match result.as_ref().map_err(|error| error.code) {
        Ok(()) => SessionEvent::Agreed,
        Err(BrokerErrorCode::Timeout) => SessionEvent::TimedOut,
        Err(
            BrokerErrorCode::Refused | BrokerErrorCode::InitFailed | BrokerErrorCode::NotConnected,
        ) => SessionEvent::Refused,
    }
}
