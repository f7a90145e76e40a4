//! The configuration: every key, its default and its limits.
//!
//! Each key is documented in `tickgate.example.toml` and can be overridden by an environment
//! variable `TICKGATE_<SECTION>_<KEY>`, those of `[[brokers]]` by `TICKGATE_BROKERS_<N>_<KEY>`
//! with N counted from zero, those of `[[channel]]` and `[[market]]` alike.

mod address;
mod admin;
mod audit;
mod broker;
mod bus;
mod channel;
mod dotenv;
mod draft;
mod environment;
mod feed;
mod file;
mod limits;
mod load;
mod market;
mod openalgo;
mod origin;
mod problem;
mod quirks;
mod roles;
mod schema;
mod ticks;
mod validate;
mod value;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::topic::Role;

pub use address::{Address, BadAddress};
pub use admin::{Admin, SOCKET_AUTO};
pub use audit::Audit;
pub use broker::{BrokerEntry, BrokerKind, ReplayStart};
pub use bus::{BUS_SUBSCRIBES, Bus};
pub use channel::{
    CHANNELS_MAX, ChannelAuth, ChannelEntry, ChannelKind, OutboxPolicy, TopicPattern,
};
pub use feed::Feed;
pub use limits::{Conduct, Limits, PROFILES};
pub use load::{DEFAULT_FILE, Loaded, load, parse, parse_in};
pub use market::{DAYS, MARKETS_MAX, MarketEntry, MarketHours};
pub use openalgo::{Became, Installation, Setting};
pub use origin::{BadOrigin, Origin};
pub use problem::{BadConfig, Place, Problem};
pub use quirks::{BrokerTimes, DepthLevels, Quirks};
pub use roles::{Action, RoleRules, RoleTable, Roles};
pub use ticks::Ticks;
pub use validate::bad_log_filter;

/// Most shards one gateway can have: the feed notes each in one bit.
pub const SHARDS_MAX: usize = 64;

/// Everything a gateway can be told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The WebSocket side.
    pub server: Server,
    /// Limits of what clients may ask.
    pub limits: Limits,
    /// What is done with clients that break rules.
    pub conduct: Conduct,
    /// Queues towards clients.
    pub outbox: Outbox,
    /// What ticks tell, and where subscriptions begin.
    pub ticks: Ticks,
    /// The ZeroMQ bus on which ticks arrive.
    pub bus: Bus,
    /// When a silent topic is stale.
    pub feed: Feed,
    /// The HTTP port for operators.
    pub admin: Admin,
    /// Who may come in.
    pub auth: Auth,
    /// What each role may do.
    pub roles: Roles,
    /// How brokers are treated.
    pub broker: BrokerTimes,
    /// The brokers, in the order in which `get_supported_brokers` lists them, unless
    /// `broker.supported` does. None configured means one paper broker.
    pub brokers: Vec<BrokerEntry>,
    /// Paths under which clients connect. None configured means that every path is one and the
    /// same interactive channel.
    pub channel: Vec<ChannelEntry>,
    /// When exchanges trade. Those of which nothing is said always do.
    pub market: Vec<MarketEntry>,
    /// The audit log.
    pub audit: Audit,
    /// Logging.
    pub log: Log,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where clients connect, `host:port`; port 0 chooses a free one.
    pub listen: String,
    /// PEM file of the certificate that clients are shown, and of what stands between it and its
    /// root. Absent, as the key: no TLS.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file of its private key, readable by its owner alone.
    pub tls_key: Option<PathBuf>,
    /// How long a client may take for TLS and the HTTP upgrade.
    pub handshake_timeout_ms: u64,
    /// How long a client may stay unauthenticated before it is closed with 4401.
    pub auth_timeout_ms: u64,
    /// How long a client being closed may take to read what is left and to answer the close.
    pub close_timeout_ms: u64,
    /// How long a shutdown may take in all.
    pub drain_timeout_ms: u64,
    /// Silence of a client after which it is pinged.
    pub ping_interval_ms: u64,
    /// Silence of a client after which it is closed with 4408.
    pub silence_timeout_ms: u64,
    /// Number of shards that clients are dealt to. 0: one for each core.
    pub shards: usize,
}

/// `[outbox]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outbox {
    /// Ticks that wait for one client before its topics are conflated to the latest value.
    pub ticks_max: usize,
    /// Bytes of ticks that wait for one client before that; the last one may exceed it.
    pub tick_bytes_max: usize,
    /// Bytes of the latest values that wait behind them for one client; beyond, it is closed with
    /// 1013.
    pub latest_bytes_max: usize,
    /// Bytes of answers and order updates that wait for one client; beyond, it is closed with
    /// 1013.
    pub control_bytes_max: usize,
    /// Bytes handed to the socket in one write.
    pub write_bytes_max: usize,
    /// How long a client's socket may take nothing of what waits for it; then it is cut off.
    pub stall_timeout_ms: u64,
    /// How long ticks wait for others, to leave in one write; 0: not at all.
    pub batch_window_ms: u64,
}

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// File of hashed API keys, written by `tickgate keys new`. Absent: no file.
    pub keys_file: Option<PathBuf>,
    /// Accept the well-known demo key. Only clients on loopback may use it.
    pub demo_key: bool,
    /// JWK set by which JWTs are judged. Absent: no JWTs.
    pub jwt_keys_file: Option<PathBuf>,
    /// What a JWT's `iss` must be. Absent: anything.
    pub jwt_issuer: Option<String>,
    /// What a JWT's `aud` must be or hold. Absent: JWTs that name an audience are refused.
    pub jwt_audience: Option<String>,
    /// How far the clock of a JWT's issuer may be off.
    pub jwt_leeway_ms: u64,
    /// The claim of a JWT that names the user.
    pub jwt_user_claim: String,
    /// The highest role that a JWT may give.
    pub jwt_role_max: Role,
    /// OpenAlgo's database, a path or `sqlite:///…`. Absent: its keys are not taken.
    pub openalgo_database: Option<PathBuf>,
    /// The environment variable that holds OpenAlgo's pepper.
    pub openalgo_pepper_variable: String,
    /// Keys that are checked there at the same time.
    pub openalgo_checks_max: usize,
    /// How long a one-use token can be used.
    pub ws_token_ttl_ms: u64,
    /// The cookie that may hold a credential.
    pub cookie: String,
    /// Pages that may connect, `scheme://host:port` or `*`. Empty: those of the same host and of
    /// loopback.
    pub origins: Vec<String>,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter like `info,tickgate::server=debug`.
    pub level: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}

impl Config {
    /// Checks everything that a gateway relies on.
    ///
    /// [`load`] has done so, and has judged as well whether the keys suit the address.
    ///
    /// # Errors
    ///
    /// Fails with everything that is wrong.
    pub fn validate(&self) -> Result<(), BadConfig> {
        let findings = validate::findings(self);
        BadConfig::unless_empty(
            findings.into_iter().map(|finding| Problem::nowhere(finding.message)).collect(),
        )
    }

    /// The brokers to run: those configured, or one paper broker named `paper`.
    #[must_use]
    pub fn effective_brokers(&self) -> Vec<BrokerEntry> {
        if self.brokers.is_empty() { vec![BrokerEntry::paper()] } else { self.brokers.clone() }
    }

    /// Broadcast channels.
    #[must_use]
    pub fn broadcasts(&self) -> usize {
        self.channel.iter().filter(|it| it.kind == ChannelKind::Broadcast).count()
    }

    /// The first of the brokers that publish to an address that the bus binds.
    fn broker_inside(&self) -> Option<BrokerEntry> {
        self.effective_brokers().into_iter().find(|broker| broker.kind.is_inside())
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8765".into(),
            tls_certificate: None,
            tls_key: None,
            handshake_timeout_ms: 10_000,
            auth_timeout_ms: 15_000,
            close_timeout_ms: 2_000,
            drain_timeout_ms: 5_000,
            ping_interval_ms: 30_000,
            silence_timeout_ms: 90_000,
            shards: 1,
        }
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            ticks_max: 1_024,
            tick_bytes_max: 4_194_304,
            latest_bytes_max: 16_777_216,
            control_bytes_max: 1_048_576,
            write_bytes_max: 65_536,
            stall_timeout_ms: 60_000,
            batch_window_ms: 0,
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            keys_file: None,
            demo_key: true,
            jwt_keys_file: None,
            jwt_issuer: None,
            jwt_audience: None,
            jwt_leeway_ms: 30_000,
            jwt_user_claim: "sub".into(),
            jwt_role_max: Role::Trader,
            openalgo_database: None,
            openalgo_pepper_variable: "API_KEY_PEPPER".into(),
            openalgo_checks_max: 2,
            ws_token_ttl_ms: 30_000,
            cookie: "tickgate_token".into(),
            origins: Vec::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), json: false }
    }
}
