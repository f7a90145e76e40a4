//! What everybody saw, in the order in which it happened.
//!
//! An event names a moment, an actor and what that actor saw. Each becomes one line of the trace.
//! Nothing in a line depends on the machine: no address, no pointer, no wall clock, no bytes of
//! the wire.

mod actor;
mod call;
mod key_change;
mod line;
mod mention;
mod recorder;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tickgate::audit::Record;
use tickgate::protocol::FeedStatus;
use tickgate::server::status::Status;
use tickgate::topic::{Mode, UserId};

pub use crate::client_name::ClientName;
pub use actor::Actor;
pub use call::{Call, Op};
pub use key_change::KeyChange;
pub use mention::Mention;
pub use recorder::{Counters, Recorder, Violation};

use crate::fault::{Party, Strike};
use crate::plan::OrderKind;
use crate::topic_name::TopicName;

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Microseconds since the simulation began.
    pub at_us: u64,
    /// Who saw it.
    pub actor: Actor,
    /// What.
    pub seen: Seen,
}

/// Stages of a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Gateway, broker and feed find each other. Ends when the gateway is ready and idle.
    WarmUp,
    /// The scenario plays.
    Play,
    /// Requests and faults have ended; what is wanted comes to rest.
    Settle,
    /// At rest. The feed publishes for a little while longer.
    Rest,
    /// The feed is silent; everything it published has had time to arrive.
    Silence,
    /// All clients leave.
    Leave,
    /// Nobody is left.
    Empty,
    /// The gateway is told to stop.
    Stop,
    /// It has stopped.
    Done,
}

/// What an actor saw.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Operator: the simulation enters a phase.
    Phase(Phase),
    /// Operator: the status page.
    Status(Box<Status>),
    /// Operator: it cannot go on waiting for this.
    Stuck(String),

    /// Client: it tries to connect, with its key in the upgrade request.
    Knocks,
    /// Client: a connection is open, the upgrade done. `connection` counts from 1.
    Connected {
        /// Which of this client's connections.
        connection: u32,
    },
    /// Client: it asked to come in and was answered with this HTTP status.
    TurnedAway {
        /// Not 101.
        status: u16,
    },
    /// Client: a request was written.
    Sent(Sent),
    /// Client: an answer was read.
    Answered(Answer),
    /// Client: a tick was read.
    Tick(Tick),
    /// Client: what its channel broadcasts was read.
    Broadcast {
        /// The latest of each of its topics.
        ticks: Vec<Tick>,
        /// Whether it is what the others got last, sent on coming.
        snapshot: bool,
    },
    /// Client: an order update was read.
    OrderUpdate {
        /// Whose order, as the update says.
        user: UserId,
        /// The publisher's number of the update.
        seq: u64,
    },
    /// Client: a broadcast of an administrator was read.
    Notice {
        /// Its number.
        number: u64,
    },
    /// Client: it was told how topics are.
    FeedStatus {
        /// How.
        status: FeedStatus,
        /// Which.
        topics: Vec<TopicName>,
    },
    /// Client: a message was read that is none of the above.
    Unexpected(String),
    /// Client: it leaves on its own account, with or without a close frame.
    Leaves {
        /// Whether it says goodbye.
        politely: bool,
    },
    /// Client: the connection is gone and it was not its own doing.
    Lost {
        /// The code of the gateway's close frame, if there was one.
        code: Option<u16>,
        /// Its reason, or what went wrong.
        reason: String,
    },
    /// Client: everything planned has been done.
    Finished,

    /// Broker: a gateway said hello.
    Greeted,
    /// Broker: a command arrived.
    Called(Call),
    /// Broker: a command took effect.
    TookEffect(Call),
    /// Broker: an answer was sent.
    Replied {
        /// To which command.
        call: Call,
        /// `None`: success. Otherwise the code of the error.
        error: Option<&'static str>,
        /// Whether the gateway is certain to read it before the command's deadline.
        in_time: bool,
    },
    /// Broker: it dropped a session on its own account and said so.
    SessionLost {
        /// Whose.
        user: UserId,
        /// Which one.
        session: u64,
    },
    /// Broker: it lost all its sessions; `back_in_ms` later it can be reached again.
    BrokerDied {
        /// How long it stays away.
        back_in_ms: u64,
    },

    /// Feed: a tick was published.
    Published {
        /// On this topic.
        topic: TopicName,
        /// The number of the tick on its topic, from 1.
        seq: u64,
        /// Whether the broker had been asked for it.
        wanted: bool,
    },
    /// Feed: an order update was published.
    PublishedOrder {
        /// Whose.
        user: UserId,
        /// The number of the update of this user, from 1.
        seq: u64,
    },
    /// Feed: a user's credentials were declared invalid.
    Invalidated {
        /// Whose.
        user: UserId,
    },

    /// Broker: it is going to say that it has carried out a command, and has not.
    Lied(Call),
    /// Broker: it undid what this command had turned on, without a word.
    Forgot(Call),

    /// Network, feed or broker: a fault strikes.
    Struck(Strike),
    /// Network: the broker or the feed is connected, perhaps again.
    Linked(Party),

    /// Log: a line of `INFO` or worse.
    Log {
        /// `INFO`, `WARN` or `ERROR`.
        level: tracing::Level,
        /// The module and the text, with all fields.
        text: String,
    },
    /// Gateway: its keys change, and it is told to read them again.
    KeyChanges(KeyChange),
    /// Gateway: it has done so.
    KeyChanged(KeyChange),
    /// Gateway: it has a record for its audit log.
    Audited(Box<Record>),
    /// Gateway: it has told an administrator that this is done.
    Administered(OrderKind),
    /// Gateway: it has stopped.
    Stopped {
        /// Time it took, in milliseconds.
        took_ms: u64,
        /// Tasks that are still alive, by name.
        tasks_left: Vec<(String, u64)>,
    },
}

/// A request that a client wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Number of the request, unique for this client. Goes out as `request_id`.
    pub id: u64,
    /// What was asked.
    pub request: Request,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// With the key of this user; `None`: with a wrong key.
    Authenticate(Option<UserId>),
    /// For these topics.
    Subscribe(Vec<TopicName>),
    /// For these entries; without a mode: every mode of the instrument.
    Unsubscribe(Vec<UnsubscribeEntry>),
    /// For everything.
    UnsubscribeAll,
    /// For order updates.
    SubscribeOrders,
    /// For no more order updates.
    UnsubscribeOrders,
    /// For a pong.
    Ping,
    /// About the user's broker.
    BrokerInfo,
    /// About all brokers.
    SupportedBrokers,
    /// For something that is no request.
    Garbage(String),
}

/// One entry of an unsubscribe. A request names an instrument once at most, because answers do
/// not repeat the mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsubscribeEntry {
    /// Of this instrument (the mode is ignored if `every_mode`).
    pub topic: TopicName,
    /// Whether the request leaves the mode out.
    pub every_mode: bool,
}

/// An answer that a client read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The `request_id` in it, if there was one.
    pub id: Option<u64>,
    /// What it says.
    pub reply: Reply,
    /// The broker that it names as the user's, if it names one.
    pub broker: Option<String>,
}

/// What an answer can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Authenticated as this user.
    Authenticated(UserId),
    /// Row by row, how a subscribe went.
    Subscribed(Vec<SubscribeRow>),
    /// What an unsubscribe ended, and what it could not, as `EXCHANGE:SYMBOL`.
    Unsubscribed {
        /// No longer subscribed.
        successful: Vec<String>,
        /// Never was.
        failed: Vec<String>,
    },
    /// Order updates come now.
    OrdersOn,
    /// Order updates end here.
    OrdersOff,
    /// A pong.
    Pong,
    /// About the user's broker.
    BrokerInfo {
        /// Its name.
        broker: String,
        /// Whether the user's session is open: `connected`, `connecting` or `disconnected`.
        session: String,
    },
    /// About all brokers: their names.
    SupportedBrokers(Vec<String>),
    /// Refused as a whole.
    Refused {
        /// The documented code.
        code: String,
        /// The text.
        message: String,
    },
}

/// How the subscription of one topic went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeRow {
    /// `EXCHANGE:SYMBOL`.
    pub instrument: String,
    /// Present unless it failed.
    pub mode: Option<Mode>,
    /// How.
    pub outcome: RowOutcome,
    /// The interval that it says, in milliseconds; 0: none.
    pub interval_ms: u64,
}

/// Outcomes of one topic's subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowOutcome {
    /// Ticks come now.
    Success,
    /// Ticks came already.
    Already,
    /// No ticks come.
    Failed {
        /// The documented code.
        code: String,
    },
}

/// A tick that a client read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The subscription it serves.
    pub topic: TopicName,
    /// The mode in which it was published.
    pub source: Mode,
    /// Its number on the topic it was published on.
    pub seq: u64,
    /// Whether it is the last known value, sent on subscribing.
    pub snapshot: bool,
    /// The number that the gateway has given it, if it numbers ticks.
    pub number: Option<u64>,
    /// How many before it were left out, as it says.
    pub skipped: u64,
    /// The broker that it names; looked at where there are several.
    pub broker: Option<Arc<str>>,
}

impl Seen {
    /// The session that the broker says is gone, by itself or when it is asked something of it.
    #[must_use]
    pub fn loss(&self) -> Option<(&UserId, u64)> {
        match self {
            Self::SessionLost { user, session } => Some((user, *session)),
            Self::Replied { call, error: Some("NOT_CONNECTED"), .. } => {
                Some((&call.user, call.session))
            }
            _ => None,
        }
    }
}

impl Tick {
    /// A tick that tells nothing of others.
    #[must_use]
    pub const fn new(topic: TopicName, source: Mode, seq: u64) -> Self {
        Self { topic, source, seq, snapshot: false, number: None, skipped: 0, broker: None }
    }
}
