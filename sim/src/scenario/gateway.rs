//! `gateway`: keys of the configuration of the server under test.

use serde::{Deserialize, Serialize};
use tickgate::config::{
    ChannelEntry, Conduct, Config, Feed, Limits, MarketEntry, Quirks, Roles, Server,
};

/// `[broker]`, `[server]`, `[limits]`, `[conduct]`, `[roles]`, `[outbox]`, `[ticks]`, `[bus]` and
/// `[feed]` keys of its configuration. A gateway does not number ticks unless told so; here it
/// does, because that shows more.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// How long a broker may take to open or close a session.
    pub connect_timeout_ms: u64,
    /// How long a broker may take to answer a subscribe or unsubscribe.
    pub answer_timeout_ms: u64,
    /// How long a client's request may wait for its broker in all.
    pub request_timeout_ms: u64,
    /// First pause before a failed command is tried again.
    pub retry_min_ms: u64,
    /// Longest pause before a failed command is tried again.
    pub retry_max_ms: u64,
    /// How long a client may stay unauthenticated.
    pub auth_timeout_ms: u64,
    /// How long a shutdown may take.
    pub drain_timeout_ms: u64,
    /// How long a mode that was seen for an instrument keeps serving its own subscriptions.
    pub source_window_ms: u64,
    /// Shards that clients are dealt to.
    pub shards: usize,
    /// Topics that one client may hold.
    pub subscriptions_per_client_max: usize,
    /// Ticks that wait for one client before its topics are conflated to the latest value.
    pub outbox_ticks_max: usize,
    /// Bytes of answers and order updates that wait for one client before it is closed.
    pub outbox_control_bytes_max: usize,
    /// Bytes of latest values that wait for one client before it is closed.
    pub outbox_latest_bytes_max: usize,
    /// Whether ticks are numbered.
    pub seq: bool,
    /// Whether subscriptions begin with the last value.
    pub snapshot: bool,
    /// How long a client's socket may take nothing of what waits for it.
    pub outbox_stall_timeout_ms: u64,
    /// How long ticks wait for others to leave with.
    pub batch_window_ms: u64,
    /// Ticks that may wait for one shard before they are conflated.
    pub waiting_ticks_max: usize,
    /// Connections of one host of clients.
    pub connections_per_address_max: usize,
    /// Authenticated clients of one user.
    pub clients_per_user_max: usize,
    /// Topics that the clients of one user may hold together.
    pub subscriptions_per_user_max: usize,
    /// Messages of one client a minute.
    pub messages_per_minute_max: usize,
    /// Messages that one client may send at once after a silence.
    pub message_burst_max: usize,
    /// Wrong keys from one host of clients before further ones have to wait.
    pub auth_failures_per_address_max: usize,
    /// Threat level from which on refusals are warnings.
    pub warn_at: usize,
    /// Threat level from which on a client is not read for a while.
    pub throttle_at: usize,
    /// Threat level at which a client is closed.
    pub close_at: usize,
    /// How far a threat level falls in a minute.
    pub decay_per_minute: usize,
    /// How long a throttled client is not read.
    pub throttle_ms: u64,
    /// Clients of one host closed for their conduct before it is blocked.
    pub strikes_max: usize,
    /// How long a host that breaks rules is blocked.
    pub block_ms: u64,
    /// How long a host with too many wrong keys waits for its next try.
    pub auth_delay_ms: u64,
    /// Silence of a client after which it is pinged.
    pub ping_interval_ms: u64,
    /// Silence of a client after which it is closed.
    pub silence_timeout_ms: u64,
    /// How long a client may take for the HTTP upgrade.
    pub handshake_timeout_ms: u64,
    /// Topics that one client of a viewer may hold; 0: as many as anybody's.
    pub viewer_subscriptions_max: usize,
    /// How its broker differs from others.
    #[serde(skip_serializing_if = "is_usual")]
    pub quirks: Quirks,
    /// Whether publishers are asked for what is wanted alone.
    pub wanted_prefixes: bool,
    /// Silence after which a topic is stale that is not known to be rare.
    pub stale_after_ms: u64,
    /// Silence after which any is.
    pub stale_max_ms: u64,
    /// Silence before which no topic is stale.
    pub stale_min_ms: u64,
    /// In between: so many times the longest gap that the topic usually has.
    pub stale_factor: usize,
    /// Its `[[market]]`s. The simulation begins on Thursday, 2026-01-01, at 00:00 UTC.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub markets: Vec<MarketEntry>,
    /// Its `[[channel]]`s.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<ChannelEntry>,
}

/// Whether a broker does not differ from others.
fn is_usual(quirks: &Quirks) -> bool {
    *quirks == Quirks::default()
}

impl Gateway {
    /// Whether a gateway would take what is said of limits and conduct.
    ///
    /// # Errors
    ///
    /// Fails with what the gateway would say.
    pub fn check(&self) -> Result<(), String> {
        let (feed, market) = (self.feed(), self.markets.clone());
        let mut config = Config { roles: self.roles(), feed, market, ..Config::default() };
        self.restrict(&mut config.server, &mut config.limits, &mut config.conduct);
        config.channel.clone_from(&self.channels);
        config.validate().map_err(|problems| format!("`gateway`: {problems}"))
    }

    /// What its roles may do.
    #[must_use]
    pub fn roles(&self) -> Roles {
        let viewer_subscriptions_max = self.viewer_subscriptions_max;
        Roles { viewer_subscriptions_max, ..Roles::default() }
    }

    /// When its topics are stale.
    #[must_use]
    pub fn feed(&self) -> Feed {
        Feed {
            stale_after_ms: self.stale_after_ms,
            stale_max_ms: self.stale_max_ms,
            stale_min_ms: self.stale_min_ms,
            stale_factor: self.stale_factor,
            ..Feed::default()
        }
    }

    /// Puts what is said of limits and conduct into a configuration.
    pub fn restrict(&self, server: &mut Server, limits: &mut Limits, conduct: &mut Conduct) {
        limits.subscriptions_per_client_max = self.subscriptions_per_client_max;
        limits.connections_per_address_max = self.connections_per_address_max;
        limits.clients_per_user_max = self.clients_per_user_max;
        limits.subscriptions_per_user_max = self.subscriptions_per_user_max;
        limits.messages_per_minute_max = self.messages_per_minute_max;
        limits.message_burst_max = self.message_burst_max;
        limits.auth_failures_per_address_max = self.auth_failures_per_address_max;
        conduct.warn_at = self.warn_at;
        conduct.throttle_at = self.throttle_at;
        conduct.close_at = self.close_at;
        conduct.decay_per_minute = self.decay_per_minute;
        conduct.throttle_ms = self.throttle_ms;
        conduct.strikes_max = self.strikes_max;
        conduct.block_ms = self.block_ms;
        conduct.auth_delay_ms = self.auth_delay_ms;
        server.ping_interval_ms = self.ping_interval_ms;
        server.silence_timeout_ms = self.silence_timeout_ms;
        server.handshake_timeout_ms = self.handshake_timeout_ms;
    }
}

impl Default for Gateway {
    fn default() -> Self {
        let (server, limits, conduct) = (Server::default(), Limits::local(), Conduct::default());
        let feed = Feed::default();
        Self {
            connect_timeout_ms: 1_000,
            answer_timeout_ms: 500,
            request_timeout_ms: 2_500,
            retry_min_ms: 50,
            retry_max_ms: 500,
            auth_timeout_ms: 15_000,
            drain_timeout_ms: 3_000,
            source_window_ms: 5_000,
            shards: 1,
            subscriptions_per_client_max: 1_000,
            outbox_ticks_max: 1_024,
            outbox_control_bytes_max: 1_048_576,
            outbox_latest_bytes_max: 16_777_216,
            seq: true,
            snapshot: true,
            outbox_stall_timeout_ms: 60_000,
            batch_window_ms: 0,
            waiting_ticks_max: 4_096,
            connections_per_address_max: limits.connections_per_address_max,
            clients_per_user_max: limits.clients_per_user_max,
            subscriptions_per_user_max: limits.subscriptions_per_user_max,
            messages_per_minute_max: limits.messages_per_minute_max,
            message_burst_max: limits.message_burst_max,
            auth_failures_per_address_max: limits.auth_failures_per_address_max,
            warn_at: conduct.warn_at,
            throttle_at: conduct.throttle_at,
            close_at: conduct.close_at,
            decay_per_minute: conduct.decay_per_minute,
            throttle_ms: conduct.throttle_ms,
            strikes_max: conduct.strikes_max,
            block_ms: conduct.block_ms,
            auth_delay_ms: conduct.auth_delay_ms,
            ping_interval_ms: server.ping_interval_ms,
            silence_timeout_ms: server.silence_timeout_ms,
            handshake_timeout_ms: server.handshake_timeout_ms,
            viewer_subscriptions_max: Roles::default().viewer_subscriptions_max,
            quirks: Quirks::default(),
            wanted_prefixes: false,
            stale_after_ms: feed.stale_after_ms,
            stale_max_ms: feed.stale_max_ms,
            stale_min_ms: feed.stale_min_ms,
            stale_factor: feed.stale_factor,
            markets: Vec::new(),
            channels: Vec::new(),
        }
    }
}
