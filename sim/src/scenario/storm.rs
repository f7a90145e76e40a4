//! What happens at random in a scenario.

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::RangeMs;

/// `storm`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storm {
    /// When it begins.
    #[serde(default)]
    pub from_ms: u64,
    /// When it ends; absent: with the story.
    #[serde(default)]
    pub to_ms: Option<u64>,
    /// Whose clients take part; empty: everybody's.
    #[serde(default)]
    pub users: Vec<String>,
    /// Pause between two actions of one client.
    #[serde(default = "default_pause_ms")]
    pub pause_ms: RangeMs,
    /// How long a client that left stays away.
    #[serde(default = "default_away_ms")]
    pub away_ms: RangeMs,
    /// How long a client that stops reading reads nothing.
    #[serde(default = "default_stopped_ms")]
    pub stopped_ms: RangeMs,
    /// How many topics one request names.
    #[serde(default = "default_symbols_per_request")]
    pub symbols_per_request: [u64; 2],
    /// How likely each action is, relative to the others.
    pub weights: Spanned<Weights>,
    /// Of several brokers those that die and lose sessions; empty: all.
    #[serde(default)]
    pub brokers: Vec<String>,
    /// Things that happen to the broker and the feed, each at a random moment.
    #[serde(default)]
    pub incidents: Incidents,
}

/// `storm.weights`
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// Subscribes to random topics.
    pub subscribe: u32,
    /// Unsubscribes from random topics, held or not.
    pub unsubscribe: u32,
    /// Unsubscribes without saying which mode.
    pub unsubscribe_every_mode: u32,
    /// Unsubscribes from everything.
    pub unsubscribe_all: u32,
    /// Subscribes and unsubscribes at once, without waiting.
    pub flip: u32,
    /// Leaves with a close frame, comes back later.
    pub disconnect: u32,
    /// Leaves without a word, comes back later.
    pub vanish: u32,
    /// Leaves without a word and comes back at once.
    pub reconnect: u32,
    /// Authenticates again as the same user.
    pub authenticate_again: u32,
    /// Authenticates as another user.
    pub switch_user: u32,
    /// Authenticates with a key that nobody has.
    pub wrong_key: u32,
    /// Sends a ping.
    pub ping: u32,
    /// Asks about its broker.
    pub broker_info: u32,
    /// Wants order updates.
    pub subscribe_orders: u32,
    /// Wants no more order updates.
    pub unsubscribe_orders: u32,
    /// Sends what is no request.
    pub garbage: u32,
    /// Reads nothing for a while.
    pub stop_reading: u32,
}

impl Weights {
    /// From the order of the fields.
    #[must_use]
    pub const fn of(all: [u32; 17]) -> Self {
        let [
            subscribe,
            unsubscribe,
            unsubscribe_every_mode,
            unsubscribe_all,
            flip,
            disconnect,
            vanish,
            reconnect,
            authenticate_again,
            switch_user,
            wrong_key,
            ping,
            broker_info,
            subscribe_orders,
            unsubscribe_orders,
            garbage,
            stop_reading,
        ] = all;
        Self {
            subscribe,
            unsubscribe,
            unsubscribe_every_mode,
            unsubscribe_all,
            flip,
            disconnect,
            vanish,
            reconnect,
            authenticate_again,
            switch_user,
            wrong_key,
            ping,
            broker_info,
            subscribe_orders,
            unsubscribe_orders,
            garbage,
            stop_reading,
        }
    }

    /// In the order of the fields.
    #[must_use]
    pub const fn all(&self) -> [u32; 17] {
        [
            self.subscribe,
            self.unsubscribe,
            self.unsubscribe_every_mode,
            self.unsubscribe_all,
            self.flip,
            self.disconnect,
            self.vanish,
            self.reconnect,
            self.authenticate_again,
            self.switch_user,
            self.wrong_key,
            self.ping,
            self.broker_info,
            self.subscribe_orders,
            self.unsubscribe_orders,
            self.garbage,
            self.stop_reading,
        ]
    }
}

/// `storm.incidents`: how many of each there are.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Incidents {
    /// Credentials of a random user are declared invalid.
    pub invalidations: [u64; 2],
    /// The key of a random user is taken away for a while.
    pub keys_revoked: [u64; 2],
    /// The key of a random user gives another role from then on.
    pub roles_changed: [u64; 2],
    /// The session of a random user is lost.
    pub sessions_lost: [u64; 2],
    /// The broker says once more that it lost a session, of a random user.
    pub losses_repeated: [u64; 2],
    /// The broker dies and comes back.
    pub broker_deaths: [u64; 2],
    /// An administrator blocks a random host of clients, and lifts that.
    pub blocks: [u64; 2],
    /// An administrator removes a random user.
    pub removals: [u64; 2],
    /// An administrator tells everybody something.
    pub broadcasts: [u64; 2],
}

const fn default_pause_ms() -> RangeMs {
    [0, 60]
}

const fn default_away_ms() -> RangeMs {
    [0, 150]
}

const fn default_stopped_ms() -> RangeMs {
    [20, 300]
}

const fn default_symbols_per_request() -> [u64; 2] {
    [1, 3]
}
