//! Scenario plus seed: every random decision, drawn up front and printable.
//!
//! Each actor has a stream of its own, so that a client more or less leaves the decisions of all
//! others as they were.

mod administration;
mod brokers;
mod check;
mod check_brokers;
mod check_faults;
mod draw;
mod draw_brokers;
mod draw_faults;
mod draw_keys;
mod draw_steps;
mod faults;
mod rhythm;
mod storm;
mod swarm;
pub mod tree;
mod yaml;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tickgate::topic::{Role, UserId};

pub use administration::{Order, OrderKind};
pub use brokers::{Account, BrokerPlan, Incident, IncidentKind, SessionPlan, TopicPlan};
pub use check::check;
pub use draw::draw;
pub use faults::{ConnectionFault, FaultPlan, StruckConnection, TimedFault, TimedKind};
pub use rhythm::{Recorded, TopicRhythm};
pub use yaml::to_yaml;

use crate::expect::{Expectation, Forbidden};
use crate::history::{ClientName, KeyChange, Request};
use crate::runtime::TaskOrder;
use crate::scenario::{Gateway, RangeMs};

/// Begins every key, good or wrong: a secret, which nobody may tell.
pub const KEY_PREFIX: &str = "key-of-";

/// What everybody will do. Times count from the beginning of the story.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The story in one sentence.
    pub about: String,
    /// How it is expected to end.
    #[serde(default, skip_serializing_if = "Expectation::is_pass")]
    pub expect: Expectation,
    /// What must not happen, besides what the invariants say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbid: Vec<Forbidden>,
    /// What the rest was drawn from. Latencies and entropy follow from it too.
    pub seed: u64,
    /// Length of the story.
    pub duration_ms: u64,
    /// Order of ready tasks.
    pub task_order: TaskOrder,
    /// How likely a read or write is to let other tasks go first (0.0 to 1.0).
    #[serde(default)]
    pub yield_share: f64,
    /// When the gateway is told to stop; absent: after the story.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_at_ms: Option<u64>,
    /// The network.
    pub network: NetworkPlan,
    /// Configuration of the gateway.
    pub gateway: Gateway,
    /// All accounts.
    pub users: Vec<UserId>,
    /// Those whose keys do not make them traders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<UserRole>,
    /// What becomes of keys, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<TimedKeyChange>,
    /// The adapter host, or the first of several.
    pub broker: BrokerPlan,
    /// The others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_brokers: Vec<BrokerPlan>,
    /// Users who are at one of those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Account>,
    /// The publisher.
    pub feed: FeedPlan,
    /// What an administrator does, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub administration: Vec<Order>,
    /// The clients.
    pub clients: Vec<ClientPlan>,
    /// What goes wrong.
    #[serde(default)]
    pub faults: FaultPlan,
}

/// Which network carries the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum NetworkKind {
    /// From event to event: faster
    #[default]
    Events,
    /// turmoil's, step by step: the reference
    Turmoil,
}

/// The network.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkPlan {
    /// What carries the bytes.
    #[serde(default)]
    pub kind: NetworkKind,
    /// Time a message takes from host to host.
    pub latency_ms: RangeMs,
    /// Step of simulated time.
    pub tick_ms: u64,
    /// Whether the seed decides in which order the hosts run.
    pub random_host_order: bool,
    /// Hosts that the clients are dealt to.
    pub client_hosts: u32,
}

/// What one client does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientPlan {
    /// Its name.
    pub name: String,
    /// Its account.
    pub user: UserId,
    /// Whether it shows the key of its account with each upgrade request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub key_at_door: bool,
    /// Its host, from 0.
    pub host: u32,
    /// What it does, in order. An action waits until the one before it is done.
    pub actions: Vec<TimedAction>,
    /// How long after the end of the story it leaves.
    pub leaves_after_ms: u64,
    /// Whether it says goodbye then.
    pub leaves_politely: bool,
    /// How long it stays away each time it is cut off, in turn; after the last it stays away for
    /// good.
    #[serde(default)]
    pub returns_after_ms: Vec<u64>,
    /// The path by which it connects; absent: `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Whether it shows no credential when it comes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nameless: bool,
    /// The interval that its subscribes ask for; 0: none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub interval_ms: u64,
}

/// One action of a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedAction {
    /// When.
    pub at_ms: u64,
    /// What.
    pub action: Action,
}

/// What a client can do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Connects, trying again until it succeeds.
    Connect,
    /// Writes a request and does not wait for the answer. Skipped while not connected.
    Send(Request),
    /// Reads nothing for so many milliseconds.
    StopReading {
        /// Milliseconds.
        for_ms: u64,
    },
    /// Leaves.
    Leave {
        /// With a close frame.
        politely: bool,
    },
}

/// What the publisher does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedPlan {
    /// Rhythm of each topic.
    pub topics: Vec<TopicRhythm>,
    /// Order updates.
    pub orders: Vec<OrderRhythm>,
    /// Whose credentials are declared invalid, and when; in order.
    pub invalidations: Vec<Invalidation>,
}

/// When order updates of a user are published.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderRhythm {
    /// Whose.
    pub user: UserId,
    /// Time between two updates.
    pub period_ms: u64,
    /// Time of the first.
    pub first_at_ms: u64,
}

/// A user's credentials are declared invalid.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invalidation {
    /// When.
    pub at_ms: u64,
    /// Whose.
    pub user: UserId,
}

/// What a user's key gives at the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRole {
    /// Whose.
    pub user: UserId,
    /// What.
    pub role: Role,
}

/// A key is taken away, given back, or gives another role.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedKeyChange {
    /// When.
    pub at_ms: u64,
    /// What.
    pub change: KeyChange,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Plan {
    /// The interval between the values that a client gets of a topic, in milliseconds: its own, or
    /// that of its channel. 0: it gets every value.
    #[must_use]
    pub fn interval_ms(&self, client: &ClientPlan) -> u64 {
        let path = client.channel.as_deref().unwrap_or("/");
        let channel = self.gateway.channels.iter().find(|channel| channel.path == path);
        client.interval_ms.max(channel.map_or(0, |channel| channel.pace_ms))
    }

    /// The clients that do not get every value, with their intervals in microseconds.
    #[must_use]
    pub fn intervals_us(&self) -> BTreeMap<ClientName, u64> {
        let intervals = self.clients.iter().map(|client| (client, self.interval_ms(client)));
        let paced = intervals.filter(|(_, ms)| *ms > 0);
        paced.map(|(client, ms)| (client.name.as_str().into(), ms * 1_000)).collect()
    }

    /// What the key of a user gives at the start.
    #[must_use]
    pub fn first_role(&self, user: &UserId) -> Role {
        self.roles.iter().find(|had| had.user == *user).map_or_else(Role::default, |had| had.role)
    }

    /// What the key of a user gives after so many of the changes; `None`: it is gone.
    #[must_use]
    pub fn role_after(&self, user: &UserId, changes: usize) -> Option<Role> {
        let changes = self.keys.iter().take(changes).rev();
        let last = changes.map(|timed| &timed.change).find(|change| change.user == *user);
        last.map_or_else(|| Some(self.first_role(user)), |change| change.role)
    }

    /// The API key of a user.
    #[must_use]
    pub fn key_of(user: &UserId) -> String {
        format!("{KEY_PREFIX}{user}")
    }
}
