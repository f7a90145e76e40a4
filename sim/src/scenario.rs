//! Scenarios: one story a file, in YAML.
//!
//! A scenario describes a world and what happens in it: steps at exact times, a storm of random
//! requests, or both. Together with a seed it expands into a plan. Unknown keys are refused, with
//! line, column and the nearest key that exists.

pub(crate) mod bounds;
mod broker;
mod check;
mod check_brokers;
mod check_faults;
mod faults;
mod gateway;
mod load;
mod recording;
mod storm;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;
use tickgate::topic::Role;

pub use broker::{Broker, Manner, SessionRule, TopicRule};
pub use faults::{
    AtByte, Chop, ClockStep, Faults, Flood, Happening, Lasting, Latency, Of, RateCap, Share, Timed,
    Window,
};
pub use gateway::Gateway;
pub use load::{BadScenario, load, parse};
pub(crate) use load::{parse_yaml, read};
pub use recording::{RecordedTick, Recording};
pub use storm::{Incidents, Storm, Weights};

use crate::expect::{Expectation, Forbidden};
use crate::plan::NetworkKind;
use crate::topic_name::TopicName;

/// A range of milliseconds, both ends included: `[1, 20]`.
pub type RangeMs = [u64; 2];

/// A file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The story in one sentence.
    pub about: String,
    /// How it is expected to end, with every seed.
    #[serde(default)]
    pub expect: Expectation,
    /// What must not happen, besides what the invariants say.
    #[serde(default)]
    pub forbid: Vec<Forbidden>,
    /// Who is there and how they behave.
    pub world: World,
    /// What happens at exact times.
    #[serde(default)]
    pub steps: Vec<Spanned<Step>>,
    /// What happens at random.
    #[serde(default)]
    pub storm: Option<Storm>,
    /// What goes wrong at random.
    #[serde(default)]
    pub faults: Option<Faults>,
    /// Whether the seed decides which actions of the storm and which faults there are at all.
    #[serde(default)]
    pub swarm: bool,
}

/// `world`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// How long the story takes. Times of steps count from its beginning.
    pub duration_ms: u64,
    /// Accounts, and how many clients each has.
    pub users: Vec<Spanned<Users>>,
    /// What the storm subscribes to.
    #[serde(default)]
    pub topics: Vec<TopicName>,
    /// Hosts that the clients are dealt to, 1 to 3.
    #[serde(default = "default_client_hosts")]
    pub client_hosts: u32,
    /// The adapter host.
    #[serde(default)]
    pub broker: Option<Broker>,
    /// Several of them in its place, by name. Each is a host of its own, and whose users are there
    /// they say.
    #[serde(default)]
    pub brokers: BTreeMap<String, Broker>,
    /// The publisher.
    #[serde(default)]
    pub feed: Feed,
    /// The network.
    #[serde(default)]
    pub network: Network,
    /// What the configuration of the gateway says instead of this simulator's defaults.
    #[serde(default)]
    pub gateway: Gateway,
    /// Order of ready tasks: `seeded` (default: the seed chooses among the others), `none`,
    /// `jitter: 0.25`, `starve: 0.2` or `priorities: 3`.
    #[serde(default)]
    pub task_order: TaskOrderChoice,
    /// How likely a read or write is to let other tasks go first (0.0 to 1.0); absent: the seed
    /// chooses.
    #[serde(default)]
    pub yield_share: Option<f64>,
    /// When the gateway is told to stop, whatever is going on then; absent: after the story, when
    /// everything is at rest and everybody has left.
    #[serde(default)]
    pub stop_at_ms: Option<u64>,
}

/// One entry of `users`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// Name of the account. Its clients are `NAME-1`, `NAME-2` …
    pub name: String,
    /// How many clients it has.
    #[serde(default = "default_clients")]
    pub clients: u32,
    /// When its clients connect and authenticate; absent: when a step says so.
    #[serde(default)]
    pub arrive_ms: Option<RangeMs>,
    /// What its key lets it do: `viewer`, `trader` (default), `analyst` and so on.
    #[serde(default)]
    pub role: Role,
    /// Whether its clients show their key with the upgrade request when they join, and not in a
    /// message behind it.
    #[serde(default)]
    pub key_at_door: bool,
    /// The path by which its clients connect; absent: `/`.
    #[serde(default)]
    pub channel: Option<String>,
    /// Whether its clients show no credential of their own accord.
    #[serde(default)]
    pub nameless: bool,
    /// The intervals that its clients ask for, each for one of these with all its subscribes; 0:
    /// for none. Empty: all for none.
    #[serde(default)]
    pub paces_ms: Vec<u64>,
    /// Which of several brokers it has.
    #[serde(default)]
    pub broker: Option<String>,
}

/// `feed`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Feed {
    /// Mean rate of each topic that is on.
    pub ticks_per_second: f64,
    /// The fastest topic is this much faster than the slowest.
    pub skew: f64,
    /// Topics that are published although nobody asked for them.
    pub unwanted_topics: Vec<TopicName>,
    /// Order updates of each user; 0.0: none.
    pub orders_per_second: f64,
    /// Ticks that were recorded, for the topics that it has.
    pub recording: Option<Spanned<Recording>>,
}

/// `network`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// What carries the bytes.
    pub kind: NetworkKind,
    /// Time a message takes from host to host.
    pub latency_ms: RangeMs,
    /// Step of simulated time; not longer than the least latency.
    pub tick_ms: u64,
    /// Whether the seed decides in which order the hosts run.
    pub random_host_order: bool,
}

/// `task_order`
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskOrderChoice {
    /// The seed chooses.
    #[default]
    Seeded,
    /// First in, first out.
    None,
    /// Tasks step back with this probability.
    Jitter(f64),
    /// This share of the tasks is overtaken by all others.
    Starve(f64),
    /// The ready task with the highest random priority runs; so many times it becomes the least.
    Priorities(u32),
}

/// One entry of `steps`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When, from the beginning of the story.
    pub at_ms: u64,
    /// What.
    pub r#do: StepKind,
    /// Who: a client (`alice-1`), all clients of a user (`alice`) or everybody (`all`).
    #[serde(default)]
    pub client: Option<String>,
    /// Of what.
    #[serde(default)]
    pub topics: Vec<TopicName>,
    /// As whom, or whose.
    #[serde(default)]
    pub user: Option<String>,
    /// For how long.
    #[serde(default)]
    pub for_ms: Option<u64>,
    /// What a key gives.
    #[serde(default)]
    pub role: Option<Role>,
    /// Which host of clients, from 0.
    #[serde(default)]
    pub host: Option<u32>,
    /// Which of several brokers.
    #[serde(default)]
    pub broker: Option<String>,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Client: connects, retrying, and authenticates.
    Join,
    /// Client: connects, retrying.
    Connect,
    /// Client: authenticates, as its own user or as `user`.
    Authenticate,
    /// Client: authenticates with a key that nobody has.
    WrongKey,
    /// Client: subscribes to `topics`.
    Subscribe,
    /// Client: unsubscribes from `topics`.
    Unsubscribe,
    /// Client: unsubscribes from the instruments of `topics` without saying which mode.
    UnsubscribeEveryMode,
    /// Client: unsubscribes from everything.
    UnsubscribeAll,
    /// Client: wants order updates.
    SubscribeOrders,
    /// Client: wants no more order updates.
    UnsubscribeOrders,
    /// Client: sends a ping.
    Ping,
    /// Client: asks about its broker.
    BrokerInfo,
    /// Client: asks about all brokers.
    SupportedBrokers,
    /// Client: sends what is no request.
    Garbage,
    /// Client: reads nothing for `for_ms`.
    StopReading,
    /// Client: leaves with a close frame.
    Disconnect,
    /// Client: leaves without a word.
    Vanish,
    /// Feed: declares the credentials of `user` invalid.
    Invalidate,
    /// Gateway: the key of `user` is taken away; who came in by it has to leave.
    RevokeKey,
    /// Gateway: `user` has a key again, or one that gives another role: `role`, or its first one.
    GrantKey,
    /// Broker: loses the session of `user` and says so.
    LoseSession,
    /// Broker: dies, is back after `for_ms`.
    KillBroker,
    /// Administrator: blocks the address of `host`.
    Block,
    /// Administrator: lifts that.
    Unblock,
    /// Administrator: closes all clients of `user`.
    RemoveUser,
    /// Administrator: tells everybody something.
    Broadcast,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            ticks_per_second: 20.0,
            skew: 4.0,
            unwanted_topics: Vec::new(),
            orders_per_second: 0.0,
            recording: None,
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self { kind: NetworkKind::Events, latency_ms: [1, 8], tick_ms: 1, random_host_order: true }
    }
}

const fn default_client_hosts() -> u32 {
    2
}

const fn default_clients() -> u32 {
    1
}
