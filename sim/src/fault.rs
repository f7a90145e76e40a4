//! What can go wrong around the gateway, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::broker_host::BrokerHost;

/// A kind of fault. Each has a counter of hits; one that never struck was not tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A connection passes few bytes at a time.
    Chop,
    /// A connection holds bytes back and delivers them together.
    Coalesce,
    /// A connection passes so many bytes a second.
    RateCap,
    /// A connection holds so many unread bytes; then its writer has to wait.
    Window,
    /// One direction of a connection is silent for a while.
    Stall,
    /// A connection is reset, in the middle of whatever is being written.
    Reset,
    /// The end that connected writes no more and goes on reading.
    HalfClose,
    /// The end of a connection is noticed late.
    LateEnd,
    /// A bit flips; the connection is reset soon after.
    Corrupt,
    /// A client reads nothing for a while.
    StoppedReader,
    /// Connecting fails at once.
    RefuseConnect,
    /// Connecting takes long.
    HangConnect,
    /// A link holds everything back for a while, in both directions.
    Hold,
    /// A link loses everything for a while.
    Partition,
    /// A link loses everything for a while, in one direction.
    PartitionOneWay,
    /// A link is slower for a while.
    Latency,
    /// The gateway crashes and is started again.
    GatewayCrash,
    /// The gateway's wall clock jumps.
    ClockStep,
    /// The publisher restarts.
    FeedRestart,
    /// The publisher falls silent for a while.
    FeedSilence,
    /// The publisher sends every tick twice for a while.
    FeedDuplicates,
    /// The publisher is many times faster for a while.
    FeedFlood,
    /// Credentials are declared invalid.
    Invalidation,
    /// A key is taken away, given back, or gives another role.
    KeyChange,
    /// The broker dies and comes back.
    BrokerDeath,
    /// The broker loses a session and says so.
    SessionLoss,
    /// The broker takes long for a command.
    BrokerSlow,
    /// The broker says no.
    BrokerRefuses,
    /// The broker neither does a command nor answers.
    BrokerIgnores,
    /// The broker does a command and does not answer.
    BrokerMute,
    /// The broker does a command and answers after the deadline.
    BrokerLate,
    /// The broker answers twice.
    BrokerTwice,
    /// The broker says that it has turned a topic on and has not.
    BrokerLies,
    /// The broker turns a topic on, or opens a session, and forgets it without a word.
    BrokerForgets,
}

/// Who is struck.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Spelled", into = "Spelled")]
pub enum Party {
    /// The connections of one client.
    Client(String),
    /// All clients of one host, from 0.
    ClientHost(u32),
    /// A broker, or the gateway's connection to it.
    Broker(BrokerHost),
    /// The publisher, or its connection to the gateway.
    Feed,
    /// The gateway itself.
    Gateway,
}

/// A party as plans spell it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Spelled {
    Client(String),
    ClientHost(u32),
    Broker,
    BrokerHost(String),
    Feed,
    Gateway,
}

impl Party {
    /// The only broker of its world.
    pub const BROKER: Self = Self::Broker(BrokerHost::ONLY);
}

impl From<Spelled> for Party {
    fn from(spelled: Spelled) -> Self {
        match spelled {
            Spelled::Client(name) => Self::Client(name),
            Spelled::ClientHost(number) => Self::ClientHost(number),
            Spelled::Broker => Self::BROKER,
            Spelled::BrokerHost(name) => Self::Broker(BrokerHost::named(&name)),
            Spelled::Feed => Self::Feed,
            Spelled::Gateway => Self::Gateway,
        }
    }
}

impl From<Party> for Spelled {
    fn from(party: Party) -> Self {
        match party {
            Party::Client(name) => Self::Client(name),
            Party::ClientHost(number) => Self::ClientHost(number),
            Party::Broker(host) => {
                Option::<String>::from(host).map_or(Self::Broker, Self::BrokerHost)
            }
            Party::Feed => Self::Feed,
            Party::Gateway => Self::Gateway,
        }
    }
}

/// Direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the end that connected.
    Up,
    /// To the end that connected.
    Down,
}

/// A fault that has struck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strike {
    /// What.
    pub fault: FaultKind,
    /// Whom.
    pub party: Party,
    /// For how long at most, in milliseconds; zero where it has no duration, or ends with the
    /// connection.
    pub lasts_ms: u64,
}

/// What the network has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A fault has struck.
    Struck(Strike),
    /// A party has a connection to, or from, the gateway.
    Linked(Party),
}

impl FaultKind {
    /// All, in order.
    pub const ALL: [Self; 34] = [
        Self::Chop,
        Self::Coalesce,
        Self::RateCap,
        Self::Window,
        Self::Stall,
        Self::Reset,
        Self::HalfClose,
        Self::LateEnd,
        Self::Corrupt,
        Self::StoppedReader,
        Self::RefuseConnect,
        Self::HangConnect,
        Self::Hold,
        Self::Partition,
        Self::PartitionOneWay,
        Self::Latency,
        Self::GatewayCrash,
        Self::ClockStep,
        Self::FeedRestart,
        Self::FeedSilence,
        Self::FeedDuplicates,
        Self::FeedFlood,
        Self::Invalidation,
        Self::KeyChange,
        Self::BrokerDeath,
        Self::SessionLoss,
        Self::BrokerSlow,
        Self::BrokerRefuses,
        Self::BrokerIgnores,
        Self::BrokerMute,
        Self::BrokerLate,
        Self::BrokerTwice,
        Self::BrokerLies,
        Self::BrokerForgets,
    ];

    /// As scenarios and summaries call it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Chop => "chop",
            Self::Coalesce => "coalesce",
            Self::RateCap => "rate_cap",
            Self::Window => "window",
            Self::Stall => "stall",
            Self::Reset => "reset",
            Self::HalfClose => "half_close",
            Self::LateEnd => "late_end",
            Self::Corrupt => "corrupt",
            Self::StoppedReader => "stopped_reader",
            Self::RefuseConnect => "refuse_connect",
            Self::HangConnect => "hang_connect",
            Self::Hold => "hold",
            Self::Partition => "partition",
            Self::PartitionOneWay => "partition_one_way",
            Self::Latency => "latency",
            Self::GatewayCrash => "gateway_crash",
            Self::ClockStep => "clock_step",
            Self::FeedRestart => "feed_restart",
            Self::FeedSilence => "feed_silence",
            Self::FeedDuplicates => "feed_duplicates",
            Self::FeedFlood => "feed_flood",
            Self::Invalidation => "invalidation",
            Self::KeyChange => "key_change",
            Self::BrokerDeath => "broker_death",
            Self::SessionLoss => "session_loss",
            Self::BrokerSlow => "broker_slow",
            Self::BrokerRefuses => "broker_refuses",
            Self::BrokerIgnores => "broker_ignores",
            Self::BrokerMute => "broker_mute",
            Self::BrokerLate => "broker_late",
            Self::BrokerTwice => "broker_twice",
            Self::BrokerLies => "broker_lies",
            Self::BrokerForgets => "broker_forgets",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(name) => f.write_str(name),
            Self::ClientHost(number) => write!(f, "clients-{number}"),
            Self::Broker(host) => host.fmt(f),
            Self::Feed => f.write_str("feed"),
            Self::Gateway => f.write_str("gateway"),
        }
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, party, lasts_ms } = self;
        write!(f, "{fault} strikes {party}")?;
        if *lasts_ms > 0 { write!(f, " for {lasts_ms} ms") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_are_listed_in_their_order() {
        assert!(FaultKind::ALL.iter().enumerate().all(|(at, fault)| *fault as usize == at));
        assert_eq!(FaultKind::ALL.last(), Some(&FaultKind::BrokerForgets));
    }
}
