//! The vocabulary of model and walk: small numbers instead of names.

use std::fmt;

use super::list::List;

/// A connection. Never used twice.
pub type ClientNo = u64;
/// A user, from 0.
pub type UserNo = u8;
/// A broker, from 0.
pub type BrokerNo = u8;

/// How many users there can be.
pub const USERS: usize = 3;
/// How many brokers the gateway has. The number behind the last one is a broker it does not have.
pub const BROKERS: usize = 2;
/// How many shards there are.
pub const SHARDS: usize = 3;
/// How many symbols there can be. The number behind the last one cannot be carried by the bus.
pub const SYMBOLS: usize = 4;
/// Topics of one client, at most.
pub const TOPICS: usize = SYMBOLS * 3;

/// The broker that the gateway does not have.
pub const NO_BROKER: BrokerNo = BROKERS as BrokerNo;
/// The symbol whose topics the bus cannot carry.
pub const NO_SYMBOL: u8 = SYMBOLS as u8;
/// The symbol of an entry that could not be read.
pub const BAD_SYMBOL: u8 = 255;

/// A symbol in a mode: `symbol * 3 + mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(pub u8);

impl Topic {
    /// Names a topic; `mode` is 0, 1 or 2.
    #[must_use]
    pub const fn new(symbol: u8, mode: u8) -> Self {
        Self(symbol * 3 + mode)
    }

    /// What is traded.
    #[must_use]
    pub const fn symbol(self) -> u8 {
        self.0 / 3
    }

    /// How much of it: 0 LTP, 1 Quote, 2 Depth.
    #[must_use]
    pub const fn mode(self) -> u8 {
        self.0 % 3
    }

    /// Its place in a set of topics.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = ["LTP", "Quote", "Depth"][self.mode() as usize];
        write!(f, "{}/{mode}", symbol(self.symbol()))
    }
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// A client connects.
    Open {
        /// Its number.
        client: ClientNo,
        /// Where its outbox lives.
        shard: u8,
    },
    /// A client asks for something.
    Ask {
        /// Who.
        client: ClientNo,
        /// To be echoed.
        id: Option<u32>,
        /// What.
        ask: Ask,
    },
    /// A client's connection ends.
    Close {
        /// Whose.
        client: ClientNo,
    },
    /// A broker can be talked to.
    BrokerUp(BrokerNo),
    /// A broker cannot be talked to.
    BrokerDown(BrokerNo),
    /// A broker answers.
    Answered {
        /// Which command.
        command: u64,
        /// How it went.
        result: Outcome,
    },
    /// A session ends unasked.
    SessionLost {
        /// Whose.
        user: UserNo,
        /// At which broker.
        broker: BrokerNo,
        /// Which life of it.
        session: u64,
    },
    /// A user's credentials change.
    Invalidate(UserNo),
    /// Time has passed.
    Timer,
    /// The gateway is to stop.
    Drain,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ask {
    /// With a good credential of this user at this broker.
    Authenticate(UserNo, BrokerNo),
    /// With a wrong credential.
    AuthenticateWrongly,
    /// Some topics.
    Subscribe(List<SubscribeEntry, 3>),
    /// Some topics no longer.
    Unsubscribe(List<UnsubscribeEntry, 3>),
    /// Nothing any longer.
    UnsubscribeAll,
    /// Order updates.
    SubscribeOrders,
    /// No order updates.
    UnsubscribeOrders,
    /// About the broker.
    BrokerInfo,
    /// All brokers.
    SupportedBrokers,
    /// A sign of life.
    Ping,
}

/// An entry of a subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeEntry {
    /// A readable one; `topic` may be of [`NO_SYMBOL`].
    Good {
        /// What.
        topic: Topic,
        /// Levels of the book.
        depth: u32,
        /// Milliseconds between two values; 0: every one.
        pace_ms: u64,
    },
    /// One that could not be read.
    Bad,
}

/// An entry of an unsubscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsubscribeEntry {
    /// A readable one.
    Good {
        /// What is traded.
        symbol: u8,
        /// 0, 1 or 2; `None`: every mode.
        mode: Option<u8>,
    },
    /// One that could not be read.
    Bad,
}

/// How a command went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Done; with the levels of the book, if the broker said so.
    Done(Option<u32>),
    /// The broker refused.
    Refused,
    /// The credentials are no good.
    InitFailed,
    /// There is no session.
    NotConnected,
    /// No answer in time.
    Timeout,
}

/// Kinds of command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Open a session.
    Connect,
    /// Close it.
    Disconnect,
    /// Send a topic.
    Subscribe,
    /// Send it no longer.
    Unsubscribe,
}

/// A broker command as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its number.
    pub command: u64,
    /// On whose behalf.
    pub user: UserNo,
    /// To which broker.
    pub broker: BrokerNo,
    /// In which session.
    pub session: u64,
    /// What to do.
    pub kind: Kind,
    /// With which topic.
    pub topic: Option<Topic>,
    /// Levels of the book.
    pub depth: u32,
    /// How long it is waited for.
    pub deadline_ms: u64,
}

impl Sent {
    /// Stands for a command that should have been sent.
    pub(super) fn placeholder(
        user: UserNo,
        kind: Kind,
        topic: Option<Topic>,
        command: u64,
    ) -> Self {
        Self { command, user, broker: 0, session: 0, kind, topic, depth: 0, deadline_ms: 0 }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, session, .. } = self;
        write!(
            f,
            "#{command} ({}, session {session})",
            self::command(self.user, self.kind, self.topic)
        )
    }
}

/// Words for a command.
#[must_use]
pub fn command(by: UserNo, kind: Kind, topic: Option<Topic>) -> String {
    let topic = topic.map_or(String::new(), |topic| format!(" {topic}"));
    let verb = match kind {
        Kind::Connect => "connect",
        Kind::Disconnect => "disconnect",
        Kind::Subscribe => "subscribe",
        Kind::Unsubscribe => "unsubscribe",
    };
    format!("{verb}{topic} for {}", user(by))
}

/// What happens to a client in one go.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Whose.
    pub client: ClientNo,
    /// What it is told, with the id to echo.
    pub answer: Option<(Say, Option<u32>)>,
    /// Topics it is routed from now on, as a set.
    pub add: u32,
    /// Milliseconds between two values of those of them that have a pace, by topic.
    pub paces: Vec<(Topic, u64)>,
    /// Topics it is routed no longer, as a set.
    pub remove: u32,
    /// What happens to its order updates.
    pub orders: OrdersChange,
}

/// What happens to a client's order updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrdersChange {
    /// Nothing.
    #[default]
    Keep,
    /// It gets this user's.
    Follow(UserNo),
    /// It gets none.
    Stop,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Say {
    /// The client is this user at this broker.
    Authenticated(UserNo, BrokerNo),
    /// Row by row.
    Subscribed(List<Row, 3>, BrokerNo),
    /// What is no longer held; what could not be done, and why.
    Unsubscribed(List<u8, TOPICS>, List<Failed, 3>, BrokerNo),
    /// Order updates will come.
    SubscribedOrders,
    /// They will not.
    UnsubscribedOrders,
    /// The broker, the state of the session, the user.
    BrokerInfo(BrokerNo, &'static str, UserNo),
    /// All brokers.
    SupportedBrokers,
    /// A sign of life.
    Pong,
    /// The request is refused.
    Refused(Refusal),
}

/// Why something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code of the wire protocol.
    pub code: &'static str,
    /// What the message has to contain: a broker's own words, or whose fault it is.
    pub words: &'static str,
}

/// A row of a subscribe's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What is traded, or [`BAD_SYMBOL`].
    pub symbol: u8,
    /// How it went.
    pub outcome: RowOutcome,
}

/// How a row went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOutcome {
    /// Subscribed in this mode, with a book of so many levels, and so many milliseconds between two
    /// values.
    Success(u8, u32, u64),
    /// It was already.
    Already(u8, u32),
    /// It is not.
    Failed(Refusal),
}

/// A row of an unsubscribe's answer that could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What is traded, or [`BAD_SYMBOL`].
    pub symbol: u8,
    /// Why not.
    pub refusal: Refusal,
}

/// A line for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// A client is in.
    Authenticated(ClientNo, UserNo),
    /// It is not, for the so manyth time.
    AuthenticationFailed(ClientNo, &'static str, u64),
    /// A subscription is in place.
    Subscribed(ClientNo, Topic),
    /// It has ended.
    Unsubscribed(ClientNo, Topic),
    /// A session is up.
    SessionUp(UserNo),
    /// It is down.
    SessionDown(UserNo),
    /// A broker refused a topic that nobody held.
    TopicRefused(UserNo, Topic),
    /// A broker did not do what it was asked.
    TopicFailed(UserNo, Topic),
    /// Credentials have changed.
    Invalidated(UserNo),
}

/// A user's name.
#[must_use]
pub fn user(no: UserNo) -> &'static str {
    ["alice", "bob", "carol"][no as usize]
}

/// A broker's name.
#[must_use]
pub fn broker(no: BrokerNo) -> &'static str {
    ["paper", "zerodha", "nowhere"][no as usize]
}

/// A symbol's name.
#[must_use]
pub fn symbol(no: u8) -> &'static str {
    // The last one would share its topics with NIFTY of NSE_INDEX.
    ["TCS", "INFY", "SBIN", "ITC", "INDEX_NIFTY"].get(no as usize).copied().unwrap_or("?")
}
