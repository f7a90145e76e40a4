//! What a gateway tells its operator about itself: the page `/status`.
//!
//! Tests and the simulator judge a gateway by the same page. Every list has a fixed order
//! (users, topics, brokers and tasks by name, shards by number) and a bound; every count is
//! exact even where its list is cut.

mod audit;
mod channels;
mod feed;
mod outbox;
mod queue;
mod ready;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::topic::{BrokerName, UserId};

pub use audit::AuditStatus;
pub use channels::{BroadcastStatus, ChannelStatus};
pub use feed::FeedStatus;
pub use outbox::OutboxStatus;
pub use queue::QueueStatus;

/// Rows of each list that `/status` shows unless asked otherwise.
pub const ROWS_DEFAULT: usize = 1_000;

/// Rows of each list that `/status` shows at most.
pub const ROWS_MAX: usize = 100_000;

/// Whoever can tell how the gateway is doing.
pub trait StatusSource: Clone + Send + Sync + 'static {
    /// Takes a snapshot; `None` if the gateway is stopping and cannot tell any more.
    ///
    /// `users` and `topics` hold at most `rows_max` rows each, the first in their order; the
    /// totals beside them count all.
    fn status(&self, rows_max: usize) -> impl Future<Output = Option<Status>> + Send;
}

/// A snapshot of one gateway.
///
/// Names ending in `_total` count since the start and never fall; the other numbers are what is
/// true now. Milliseconds are measured on a clock that does not step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The process.
    pub gateway: GatewayStatus,
    /// WebSocket connections.
    pub clients: ClientsStatus,
    /// Where they come from, and what is held against whom.
    pub gate: GateStatus,
    /// Users with at least one client or a broker session.
    pub users_total: u64,
    /// The first of them, by (user, broker).
    pub users: Vec<UserStatus>,
    /// How many broker sessions are in each state.
    pub sessions_by_state: BTreeMap<SessionState, u64>,
    /// Topics that somebody wants or that a broker has not let go of yet.
    pub topics_total: u64,
    /// How many topics are in each state.
    pub topics_by_state: BTreeMap<TopicState, u64>,
    /// Subscriptions held by clients: the sum of `count` over all topics.
    pub subscriptions: u64,
    /// The first topics, by (user, exchange, symbol, mode).
    pub topics: Vec<TopicStatus>,
    /// Commands given to brokers, all brokers together.
    pub broker_calls: BrokerCalls,
    /// The configured brokers, in the order of the configuration.
    pub brokers: Vec<BrokerStatus>,
    /// The ZeroMQ bus.
    pub feed: FeedStatus,
    /// The channels, the built-in one first unless another has its path.
    #[serde(default)]
    pub channels: Vec<ChannelStatus>,
    /// The audit log.
    #[serde(default)]
    pub audit: AuditStatus,
    /// What clients that lag have missed, all shards together.
    #[serde(default)]
    pub outbox: OutboxStatus,
    /// The shards, by number.
    pub shards: Vec<ShardStatus>,
    /// Bounded queues between tasks, by name.
    pub queues: BTreeMap<String, QueueStatus>,
    /// Living tasks, by name.
    pub tasks: BTreeMap<String, u64>,
    /// Deadlines the hub waits for: unauthenticated clients, broker commands, retries.
    pub timers: u64,
}

/// The process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// Of the package.
    pub version: String,
    /// What it is doing.
    pub state: GatewayState,
    /// Time since the start, in milliseconds.
    pub uptime_ms: u64,
    /// When the certificate for clients ends to be good, in milliseconds since 1970; absent without
    /// TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires_unix_ms: Option<u64>,
}

/// What a gateway is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayState {
    /// Not all of its sockets are bound yet.
    #[default]
    Starting,
    /// Clients and publishers can connect.
    Ready,
    /// It takes no new clients and ends soon.
    Draining,
}

/// WebSocket connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientsStatus {
    /// Connected now, the HTTP upgrade done.
    pub total: u64,
    /// Of these, authenticated.
    pub authenticated: u64,
    /// Connected since the start.
    pub opened_total: u64,
    /// Gone since the start. `opened_total` is `closed_total` plus `total`.
    pub closed_total: u64,
    /// Turned away before they became clients: over the limit, or no WebSocket upgrade.
    pub turned_away_total: u64,
}

/// Connections by where they come from. An IPv4 address and an IPv6 /64 count as one each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateStatus {
    /// Connections that were let in, those included that are still in their handshake.
    pub connections: u64,
    /// Addresses that have a connection, or are remembered for what they did.
    pub addresses: u64,
    /// Addresses and networks that are blocked.
    pub blocks: u64,
    /// Connections turned away since the start, by reason: `full`, `crowded`, `channel_full`,
    /// `blocked`.
    pub refused_total: BTreeMap<String, u64>,
    /// Authentications since the start that had to wait because there were too many failures.
    pub attempts_refused_total: u64,
    /// Authentications since the start whose credential was wrong.
    pub attempts_failed_total: u64,
    /// Clients closed since the start for their conduct.
    pub strikes_total: u64,
    /// Blocks begun since the start.
    pub blocks_total: u64,
}

/// One user at one broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserStatus {
    /// The account.
    pub user: UserId,
    /// Its broker.
    pub broker: BrokerName,
    /// Its session at that broker; of several, the first.
    pub session: SessionStatus,
    /// Its connections to that broker that are up.
    #[serde(default)]
    pub connections: u64,
    /// Its authenticated clients.
    pub clients: u64,
    /// Of these, subscribed to order updates.
    pub orders_clients: u64,
}

/// A user's broker session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Number of its present or latest life; absent if there has been none.
    pub id: Option<u64>,
    /// Where it stands.
    pub state: SessionState,
    /// Time in this state, in milliseconds.
    pub since_ms: u64,
    /// How often it was opened again after a loss or an invalidation.
    pub reconnects: u64,
    /// Why it failed or was lost last; absent if that never happened. Holds no credential.
    pub last_error: Option<String>,
}

/// Where a broker session stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// There is none.
    #[default]
    Down,
    /// The broker was asked to open it.
    Connecting,
    /// It is open.
    Connected,
    /// The broker was asked to close it.
    Closing,
}

impl SessionState {
    /// Every state, in the order of the metrics.
    pub const ALL: [Self; 4] = [Self::Down, Self::Connecting, Self::Connected, Self::Closing];

    /// As in `/status` and the metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Closing => "closing",
        }
    }
}

/// One topic of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicStatus {
    /// On whose session.
    pub user: UserId,
    /// At which broker.
    pub broker: BrokerName,
    /// E.g. `NSE_INDEX`.
    pub exchange: Arc<str>,
    /// E.g. `NIFTY`.
    pub symbol: Arc<str>,
    /// 1 LTP, 2 Quote, 3 Depth.
    pub mode: u8,
    /// How many clients want it: the reference count.
    pub count: u64,
    /// What the broker is doing about it.
    pub state: TopicState,
    /// Levels of the order book the broker sends, or is asked for.
    pub depth: u32,
    /// Ticks of this topic routed to its clients' shards, if counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticks_total: Option<u64>,
    /// Time since the last of them, in milliseconds; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_tick_age_ms: Option<u64>,
}

/// What the broker is doing about a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicState {
    /// Not subscribed, and nothing asked: there is no session, or nobody wants it.
    Off,
    /// A subscribe is in flight.
    TurningOn,
    /// Subscribed.
    On,
    /// An unsubscribe is in flight.
    TurningOff,
    /// A command failed or timed out: the broker may or may not be subscribed.
    Unsure,
    /// Waiting for the pause before the next attempt.
    Retrying,
}

impl TopicState {
    /// Every state, in the order of the metrics.
    pub const ALL: [Self; 6] =
        [Self::Off, Self::TurningOn, Self::On, Self::TurningOff, Self::Unsure, Self::Retrying];

    /// As in `/status` and the metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::TurningOn => "turning_on",
            Self::On => "on",
            Self::TurningOff => "turning_off",
            Self::Unsure => "unsure",
            Self::Retrying => "retrying",
        }
    }
}

/// Commands given to brokers since the start, and how they ended.
///
/// Commands still in flight are in the first five numbers and not in the last three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerCalls {
    /// Sessions to open.
    pub connect: u64,
    /// Sessions to close.
    pub disconnect: u64,
    /// Topics to turn on.
    pub subscribe: u64,
    /// Topics to turn off.
    pub unsubscribe: u64,
    /// Users whose topics were to be turned off together.
    pub unsubscribe_all: u64,
    /// Answered with success.
    pub succeeded: u64,
    /// Answered with an error, or lost with the broker.
    pub failed: u64,
    /// Not answered within their deadline.
    pub timed_out: u64,
}

/// One configured broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerStatus {
    /// As configured.
    pub name: BrokerName,
    /// `paper`, `replay` or `remote`.
    pub kind: String,
    /// Whether it can be talked to.
    pub state: BrokerState,
    /// Commands that wait for their answer.
    pub commands_in_flight: u64,
    /// Commands that wait until the broker takes another call.
    #[serde(default)]
    pub calls_waiting: u64,
}

/// Whether a broker can be talked to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerState {
    /// Not now; a `remote` broker is being connected to.
    #[default]
    Down,
    /// Yes.
    Up,
}

/// One shard: the routes and queues of some of the clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardStatus {
    /// Its number, from 0.
    pub id: u64,
    /// Clients it serves.
    pub clients: u64,
    /// Pairs of (client, topic) it delivers to.
    pub routes: u64,
    /// Topics with at least one route.
    pub topics: u64,
    /// Messages waiting in its mailbox.
    pub mailbox_len: u64,
    /// Ticks put into an outbox; one tick for ten clients counts ten times.
    pub ticks_delivered_total: u64,
    /// Ticks that a later one of the same topic replaced in the outbox of a lagging client.
    pub ticks_conflated_total: u64,
    /// Ticks that had to go because they were the oldest of a client that lags.
    #[serde(default)]
    pub ticks_dropped_total: u64,
    /// Clients closed because too much waited for them.
    #[serde(default)]
    pub overflows_total: u64,
    /// Clients cut off because their sockets took nothing for too long.
    #[serde(default)]
    pub stalls_total: u64,
    /// Bytes that wait in all outboxes together.
    pub outbox_bytes: u64,
    /// Ticks that wait for the client for whom most wait.
    #[serde(default)]
    pub outbox_ticks_most: u64,
    /// Topics whose last value is kept for snapshots.
    pub last_values: u64,
    /// Of `routes`, those that get the latest value at intervals.
    #[serde(default)]
    pub paced: u64,
    /// Values that these did not get, because later ones came within the interval.
    #[serde(default)]
    pub values_withheld_total: u64,
}
