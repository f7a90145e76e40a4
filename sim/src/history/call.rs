//! Commands of the gateway to its broker.

use tickgate::broker::Line;
use tickgate::topic::UserId;

use crate::topic_name::TopicName;

/// A command that the broker got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The gateway's number of it.
    pub id: u64,
    /// On whose behalf.
    pub user: UserId,
    /// On which of the user's connections.
    pub connection: u32,
    /// In which session.
    pub session: u64,
    /// What to do.
    pub op: Op,
    /// Whether the next command belongs to the same call.
    pub more: bool,
}

impl Call {
    /// The connection that it is about.
    #[must_use]
    pub fn line(&self) -> Line {
        (self.user.clone(), self.connection)
    }
}

/// What a broker can be asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Open the session.
    Connect,
    /// Close the session.
    Disconnect,
    /// Publish this topic.
    Subscribe(TopicName),
    /// Stop publishing this topic.
    Unsubscribe(TopicName),
    /// Stop publishing everything.
    UnsubscribeAll,
}

impl Op {
    /// The topic it is about, if it is about one.
    #[must_use]
    pub const fn topic(&self) -> Option<&TopicName> {
        match self {
            Self::Subscribe(topic) | Self::Unsubscribe(topic) => Some(topic),
            Self::Connect | Self::Disconnect | Self::UnsubscribeAll => None,
        }
    }
}
