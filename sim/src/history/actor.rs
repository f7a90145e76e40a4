//! Who sees what happens.

use std::fmt;

use super::ClientName;
use crate::broker_host::BrokerHost;

/// Who saw something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// A WebSocket client.
    Client(ClientName),
    /// An adapter host.
    Broker(BrokerHost),
    /// The publisher.
    Feed,
    /// Whoever reads the status page and leads the simulation from phase to phase.
    Operator,
    /// The server under test.
    Gateway,
    /// Whatever lies between them.
    Network,
    /// Whoever wrote a line to the log: mostly the server under test.
    Log,
}

impl Actor {
    /// The only broker of its world.
    pub const BROKER: Self = Self::Broker(BrokerHost::ONLY);

    /// Which broker it is, if it is one.
    #[must_use]
    pub const fn broker(&self) -> Option<&BrokerHost> {
        match self {
            Self::Broker(host) => Some(host),
            _ => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Client(name) => name,
            Self::Broker(host) => host.host(),
            Self::Feed => "feed",
            Self::Operator => "operator",
            Self::Gateway => "gateway",
            Self::Network => "network",
            Self::Log => "log",
        })
    }
}
