//! Faults of a plan: which connection is struck by what, and what happens when.

use serde::{Deserialize, Serialize};

use crate::fault::{Direction, FaultKind, Party};

/// Everything that goes wrong. All of it ends with the story.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultPlan {
    /// Connections that are struck.
    pub connections: Vec<StruckConnection>,
    /// What happens at exact times, in order.
    pub timed: Vec<TimedFault>,
}

/// What is wrong with one connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StruckConnection {
    /// Whose: a client's, the broker's or the feed's.
    pub of: Party,
    /// Which, counted from 1; tries that fail count too.
    pub number: u32,
    /// What.
    pub faults: Vec<ConnectionFault>,
}

/// What can be wrong with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionFault {
    /// Each read and write passes from one to so many bytes.
    Chop {
        /// Most bytes.
        bytes_max: u64,
    },
    /// Bytes are held back for so long and delivered together.
    Coalesce {
        /// Milliseconds.
        for_ms: u64,
    },
    /// So many bytes pass each second.
    RateCap {
        /// In each direction.
        bytes_per_second: u64,
    },
    /// So many bytes may be under way or unread.
    Window {
        /// In each direction.
        bytes: u64,
    },
    /// It is reset after so many bytes.
    Reset {
        /// Of this direction.
        direction: Direction,
        /// Bytes that still pass.
        after_bytes: u64,
    },
    /// The end that connected writes no more after so many bytes.
    HalfClose {
        /// Bytes that still pass.
        after_bytes: u64,
    },
    /// Its end is noticed later.
    LateEnd {
        /// Milliseconds.
        for_ms: u64,
    },
    /// A bit of this byte flips; then so many bytes pass before it is reset.
    Corrupt {
        /// Of this direction.
        direction: Direction,
        /// Which, from 0.
        at_byte: u64,
        /// Bytes that still pass.
        then_bytes: u64,
    },
    /// It is refused.
    RefuseConnect,
    /// Opening it takes so much longer.
    HangConnect {
        /// Milliseconds.
        for_ms: u64,
    },
}

/// Something that happens at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedFault {
    /// When.
    pub at_ms: u64,
    /// For how long.
    pub for_ms: u64,
    /// What.
    pub what: TimedKind,
}

/// What can happen at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimedKind {
    /// A direction is silent.
    Stall {
        /// Of all connections of this party.
        of: Party,
        /// Which direction.
        direction: Direction,
    },
    /// A link holds everything back.
    Hold {
        /// Between whom and the gateway.
        of: Party,
    },
    /// A link loses everything.
    Partition {
        /// Between whom and the gateway.
        of: Party,
    },
    /// A link loses everything in one direction.
    PartitionOneWay {
        /// Between whom and the gateway.
        of: Party,
        /// Whether it is what the gateway says that is lost.
        from_gateway: bool,
    },
    /// A link is slower.
    Latency {
        /// Between whom and the gateway.
        of: Party,
        /// The longest that a message takes.
        most_ms: u64,
    },
    /// The gateway crashes.
    GatewayCrash,
    /// The gateway's wall clock jumps.
    ClockStep {
        /// By so many milliseconds.
        by_ms: i64,
    },
    /// The publisher dies.
    FeedRestart,
    /// The publisher is silent.
    FeedSilence,
    /// The publisher sends everything twice.
    FeedDuplicates,
    /// The publisher is faster.
    FeedFlood {
        /// So many ticks for each one.
        factor: u64,
    },
}

impl ConnectionFault {
    /// Its name.
    #[must_use]
    pub const fn kind(self) -> FaultKind {
        match self {
            Self::Chop { .. } => FaultKind::Chop,
            Self::Coalesce { .. } => FaultKind::Coalesce,
            Self::RateCap { .. } => FaultKind::RateCap,
            Self::Window { .. } => FaultKind::Window,
            Self::Reset { .. } => FaultKind::Reset,
            Self::HalfClose { .. } => FaultKind::HalfClose,
            Self::LateEnd { .. } => FaultKind::LateEnd,
            Self::Corrupt { .. } => FaultKind::Corrupt,
            Self::RefuseConnect => FaultKind::RefuseConnect,
            Self::HangConnect { .. } => FaultKind::HangConnect,
        }
    }
}

impl TimedKind {
    /// Its name.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::Stall { .. } => FaultKind::Stall,
            Self::Hold { .. } => FaultKind::Hold,
            Self::Partition { .. } => FaultKind::Partition,
            Self::PartitionOneWay { .. } => FaultKind::PartitionOneWay,
            Self::Latency { .. } => FaultKind::Latency,
            Self::GatewayCrash => FaultKind::GatewayCrash,
            Self::ClockStep { .. } => FaultKind::ClockStep,
            Self::FeedRestart => FaultKind::FeedRestart,
            Self::FeedSilence => FaultKind::FeedSilence,
            Self::FeedDuplicates => FaultKind::FeedDuplicates,
            Self::FeedFlood { .. } => FaultKind::FeedFlood,
        }
    }

    /// Who is struck.
    #[must_use]
    pub fn party(&self) -> Party {
        match self {
            Self::Stall { of, .. }
            | Self::Hold { of }
            | Self::Partition { of }
            | Self::PartitionOneWay { of, .. }
            | Self::Latency { of, .. } => of.clone(),
            Self::GatewayCrash | Self::ClockStep { .. } => Party::Gateway,
            Self::FeedRestart
            | Self::FeedSilence
            | Self::FeedDuplicates
            | Self::FeedFlood { .. } => Party::Feed,
        }
    }
}

impl FaultPlan {
    /// Whether nothing goes wrong.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.timed.is_empty()
    }

    /// Whether nothing is wrong with any connection, link or process.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.connections.is_empty() && self.timed.is_empty()
    }

    /// Whether anything is wrong with the connections to some broker, or on its link.
    #[must_use]
    pub fn touches_a_broker(&self) -> bool {
        let struck = self.connections.iter().map(|struck| struck.of.clone());
        let mut all = struck.chain(self.timed.iter().map(|timed| timed.what.party()));
        all.any(|party| matches!(party, Party::Broker(_)))
    }

    /// Whether anything is wrong with the connections, or on the link, of a party.
    #[must_use]
    pub fn touches(&self, party: &Party) -> bool {
        self.connections.iter().any(|struck| struck.of == *party)
            || self.timed.iter().any(|timed| timed.what.party() == *party)
    }
}
