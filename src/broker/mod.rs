//! Broker adapters: what the gateway asks of a broker, and what a broker tells the gateway.
//!
//! One trait, three implementations so far: `paper` is a market of its own in this process,
//! `replay` a market that was recorded, `remote` speaks the control protocol
//! (`protocol::control`) to an adapter host. `host` is the other end of that protocol: it serves
//! any [`Broker`] as a process of its own.

mod counts;
mod desk;
pub mod host;
mod outlet;
pub mod paper;
pub mod remote;
pub mod replay;
mod timer;
mod wire;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub use counts::Counts;

use crate::topic::{Topic, UserId};

/// Number of a command. Never reused within a gateway's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub u64);

/// Number of one life of a user's broker session. A later session has a higher number; what is
/// said of an older one is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u64);

impl Command {
    /// Which of the user's connections it is about.
    #[must_use]
    pub fn line(&self) -> Line {
        (self.user.clone(), self.connection)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

/// One of a user's connections, from 0. A session has a connection of its own.
pub type Line = (UserId, u32);

/// Something the broker is to do for one user.
///
/// A broker carries out the commands of one (session, topic) in the order in which they arrive;
/// `Connect`, `Disconnect` and `UnsubscribeAll` wait for all earlier commands of the connection
/// and hold back all later ones. Every command is idempotent, and answered exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Names the command in its answer.
    pub id: CommandId,
    /// On whose behalf.
    pub user: UserId,
    /// On which of the user's connections, from 0. A session has a connection of its own.
    pub connection: u32,
    /// In which of the user's sessions. For [`CommandKind::Connect`], the one to open.
    pub session: SessionId,
    /// What to do.
    pub kind: CommandKind,
    /// How long the gateway waits for the answer. After that it ignores it.
    pub deadline: Duration,
    /// For [`CommandKind::Subscribe`]: another of the same session follows at once, which the
    /// broker may be asked for in the same call.
    pub more: bool,
}

/// What a broker can be asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandKind {
    /// Open a session. Replaces (closes) whatever older session the connection has.
    Connect,
    /// Close the connection's session, this one or an older one, and drop its subscriptions.
    /// Succeeds if there is none; leaves a younger one alone.
    Disconnect,
    /// Publish this topic on the bus until told otherwise.
    Subscribe {
        /// What to publish.
        topic: Topic,
        /// Levels of the order book that are wanted.
        depth: u32,
    },
    /// Stop publishing this topic. Succeeds if it was not subscribed.
    Unsubscribe {
        /// What to stop.
        topic: Topic,
    },
    /// Stop publishing everything, keep the session.
    UnsubscribeAll,
}

/// The broker's answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which command.
    pub id: CommandId,
    /// How it went.
    pub result: Result<Done, BrokerError>,
}

/// A command succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// For a subscribe: the levels of the book the broker really sends, if it said so.
    pub depth: Option<u32>,
}

/// Why a broker did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BrokerError {
    /// What kind of failure.
    pub code: BrokerErrorCode,
    /// For people; may be shown to the client. Never holds a credential.
    pub message: String,
}

/// Kinds of broker failure, as far as the gateway treats them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BrokerErrorCode {
    /// The broker refused (unknown symbol, capacity, …).
    Refused,
    /// The session could not be initialized: bad or stale credentials.
    InitFailed,
    /// The session could not be connected, or there is none.
    NotConnected,
    /// No answer within the command's deadline.
    Timeout,
}

/// What a broker tells the gateway, unasked or in answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerEvent {
    /// The broker can be talked to. It holds no session that this gateway opened before.
    Up,
    /// The broker cannot be talked to: every session is lost, no outstanding command will be
    /// answered.
    Down {
        /// For the log.
        reason: String,
    },
    /// A command was answered.
    Answer(Answer),
    /// A session ended without being asked to.
    SessionLost {
        /// Whose.
        user: UserId,
        /// Which one: ignore it if it is not the current one.
        session: SessionId,
        /// For the log.
        reason: String,
    },
}

/// A broker as the gateway sees it.
pub trait Broker: Send + 'static {
    /// Serves commands until the command channel closes, then closes its sessions and returns.
    ///
    /// Sends [`BrokerEvent::Up`] before anything else. A command that arrives while the broker is
    /// down is answered at once with [`BrokerErrorCode::NotConnected`].
    ///
    /// A command that still lay in the channel when the broker went down may be carried out once
    /// it is up again, though the gateway has given it up. So a gateway that hears of
    /// [`BrokerEvent::Down`] while a [`CommandKind::Connect`] is unanswered sends a
    /// [`CommandKind::Disconnect`] for that session, or opens a later one: either way nothing of
    /// it is left.
    fn run(
        self,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<BrokerEvent>,
    ) -> impl Future<Output = ()> + Send;
}
