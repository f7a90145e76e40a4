//! An account: its clients, its topics, and its sessions at the broker.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use super::topic_state::TopicState;
use crate::broker::{CommandId, SessionId};
use crate::engine::Upstream;
use crate::engine::backoff::Backoff;
use crate::engine::numbered::NumberSet;
use crate::marks::mark;
use crate::topic::{BrokerName, ClientId, Topic};

/// An account with at least one client, or with a session that is still being closed.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub broker: BrokerName,
    /// Its sessions, each on a connection of its own. The first is there as long as the user is;
    /// the others carry what it has no room for.
    pub sessions: Vec<Session>,
    /// Clients that are authenticated as this user, or are waiting to be.
    pub clients: NumberSet<ClientId>,
    pub topics: IndexMap<Topic, TopicState>,
    /// Topics that are wanted, and for which no session has room.
    pub homeless: BTreeSet<Topic>,
}

#[derive(Clone, Debug)]
pub(super) struct Session {
    pub id: SessionId,
    pub state: SessionState,
    /// The broker may have a session that we do not know of.
    pub doubt: bool,
    /// The credentials changed since it was opened: close it and open another.
    pub stale: bool,
    /// It could not be opened with the credentials that there are, and was tried once more.
    pub retried: bool,
    /// It was rebuilt because a topic was refused for its credentials, and no topic came on since.
    pub rebuilt: bool,
    pub backoff: Backoff,
    pub last_error: Option<String>,
    pub since_ms: u64,
    /// Since when nobody needs it.
    pub idle_since_ms: Option<u64>,
    /// Times it was opened successfully.
    pub opened: u64,
    /// Topics that it carries.
    pub topics: usize,
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
    /// It is open; the command that unsubscribes all its topics is in flight.
    Emptying(CommandId),
    /// A disconnect is in flight.
    Closing(CommandId),
    /// A connect or disconnect failed in a way that leaves open what the broker did.
    Unsure,
}

impl User {
    pub fn new(broker: BrokerName, now_ms: u64) -> Self {
        Self {
            broker,
            sessions: vec![Session::new(now_ms)],
            clients: NumberSet::default(),
            topics: IndexMap::new(),
            homeless: BTreeSet::new(),
        }
    }

    /// The session without which no client is let in.
    pub fn main(&self) -> &Session {
        &self.sessions[0]
    }

    /// Its clients besides our own.
    pub fn clients_of_others(&self) -> usize {
        self.clients.iter().filter(|id| !id.is_own()).count()
    }

    /// Whether it has clients besides this one.
    pub fn is_shared_with(&self, id: ClientId) -> bool {
        self.clients.iter().any(|other| *other != id)
    }

    /// Whether a client that authenticates now has a session to work with.
    pub fn is_live(&self) -> bool {
        self.main().state == SessionState::Up
    }

    /// Whether nothing of it is left.
    pub fn is_over(&self) -> bool {
        let is_down = |session: &Session| session.state == SessionState::Down;
        self.clients.is_empty() && self.sessions.iter().all(is_down)
    }

    /// Its credentials change, whatever its topics are doing.
    pub fn note_new_credentials(&self) {
        let any = |is: fn(&Upstream) -> bool| self.topics.values().any(|topic| is(&topic.upstream));
        mark!(CredentialsChangeInSubscribe if any(|it| matches!(it, Upstream::TurningOn(_))));
        mark!(CredentialsChangeInUnsubscribe if any(|it| matches!(it, Upstream::TurningOff(_))));
    }

    /// The word for `get_broker_info`.
    pub fn adapter_status(&self) -> &'static str {
        match self.main().state {
            SessionState::Up | SessionState::Emptying(_) => "connected",
            SessionState::Connecting(_) | SessionState::Closing(_) | SessionState::Unsure => {
                "connecting"
            }
            SessionState::Down => "disconnected",
        }
    }
}

impl Session {
    pub fn new(now_ms: u64) -> Self {
        Self {
            id: SessionId(0),
            state: SessionState::Down,
            doubt: false,
            stale: false,
            retried: false,
            rebuilt: false,
            backoff: Backoff::default(),
            last_error: None,
            since_ms: now_ms,
            idle_since_ms: None,
            opened: 0,
            topics: 0,
        }
    }
}

impl Session {
    /// Whether topics can be subscribed in it: it is up, and not about to be replaced.
    pub fn is_usable(&self) -> bool {
        self.state == SessionState::Up && !self.stale
    }
}

impl SessionState {
    /// The command in flight.
    #[must_use]
    pub const fn in_flight(self) -> Option<CommandId> {
        match self {
            Self::Connecting(id) | Self::Emptying(id) | Self::Closing(id) => Some(id),
            Self::Down | Self::Up | Self::Unsure => None,
        }
    }
}
