//! `[[brokers]]`: which brokers there are.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Quirks;
use super::schema::{Key, key};
use super::value::Slot;

/// `[[brokers]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokerEntry {
    /// Its name in answers, ticks and bus topics.
    pub name: String,
    /// What it is.
    pub kind: BrokerKind,
    /// `remote`: address of the adapter host's control socket, `tcp://host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `paper`: seed of the market. Absent: another market each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// `paper`: ticks per second and topic, at least 0.01.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticks_per_second: Option<f64>,
    /// `replay`: the recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// `replay`: how many times faster than it was. Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    /// `replay`: whether it begins anew at its end.
    #[serde(rename = "loop", default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<bool>,
    /// `replay`: what is left out at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<u64>,
    /// `replay`: what starts its clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<ReplayStart>,
    /// `replay`: how long after that it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_delay_ms: Option<u64>,
    /// How it differs from others.
    #[serde(flatten)]
    pub quirks: Quirks,
}

/// Kinds of broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BrokerKind {
    /// A market simulator in this process.
    Paper,
    /// A recorded market in this process.
    Replay,
    /// An adapter host process.
    Remote,
}

/// What starts the clock of a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayStart {
    /// The first subscription: nobody misses the beginning.
    #[default]
    FirstSubscribe,
    /// The gateway's own start: whoever comes later finds the market under way.
    Gateway,
}

impl BrokerEntry {
    /// A broker of this kind that does not differ from others and of which nothing else is said.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: BrokerKind) -> Self {
        Self {
            name: name.into(),
            kind,
            address: None,
            seed: None,
            ticks_per_second: None,
            file: None,
            speed: None,
            repeat: None,
            from_ms: None,
            start: None,
            start_delay_ms: None,
            quirks: Quirks::default(),
        }
    }

    /// What runs if nothing is configured.
    #[must_use]
    pub fn paper() -> Self {
        Self::new("paper", BrokerKind::Paper)
    }
}

impl BrokerKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Paper, Self::Replay, Self::Remote];

    /// As the configuration has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Replay => "replay",
            Self::Remote => "remote",
        }
    }

    /// Whether it runs in the gateway's process and publishes to an address that the bus binds.
    #[must_use]
    pub const fn is_inside(self) -> bool {
        match self {
            Self::Paper | Self::Replay => true,
            Self::Remote => false,
        }
    }
}

impl ReplayStart {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::FirstSubscribe, Self::Gateway];

    /// As the configuration has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::FirstSubscribe => "first_subscribe",
            Self::Gateway => "gateway",
        }
    }
}

/// A `[[brokers]]` entry of which parts may still be missing.
#[derive(Debug, Default)]
pub(super) struct BrokerDraft {
    pub(super) name: Option<String>,
    pub(super) kind: Option<BrokerKind>,
    address: Option<String>,
    seed: Option<u64>,
    ticks_per_second: Option<f64>,
    file: Option<PathBuf>,
    speed: Option<f64>,
    repeat: Option<bool>,
    from_ms: Option<u64>,
    start: Option<ReplayStart>,
    start_delay_ms: Option<u64>,
    linger_ms: Option<u64>,
    reinitialize: Option<bool>,
    quirks: Quirks,
}

impl BrokerDraft {
    /// The entry, or the name of the key that is missing.
    pub(super) fn finish(self) -> Result<BrokerEntry, &'static str> {
        let (name, kind) = (self.name.ok_or("name")?, self.kind.ok_or("kind")?);
        let usual = Quirks::of(kind);
        Ok(BrokerEntry {
            name,
            kind,
            address: self.address,
            seed: self.seed,
            ticks_per_second: self.ticks_per_second,
            file: self.file,
            speed: self.speed,
            repeat: self.repeat,
            from_ms: self.from_ms,
            start: self.start,
            start_delay_ms: self.start_delay_ms,
            quirks: Quirks {
                linger_ms: self.linger_ms.unwrap_or(usual.linger_ms),
                reinitialize: self.reinitialize.unwrap_or(usual.reinitialize),
                ..self.quirks
            },
        })
    }
}

/// The section of brokers.
pub(super) const BROKERS: &str = "brokers";

/// Most connections that one user can have at a broker.
const CONNECTIONS_MAX: usize = 64;

/// Every key of one `[[brokers]]` entry.
pub(super) const BROKER_KEYS: &[Key<BrokerDraft>] = &[
    key(BROKERS, "name", Slot::MaybeText(|b| &mut b.name)),
    key(BROKERS, "kind", Slot::MaybeKind(|b| &mut b.kind)),
    key(BROKERS, "address", Slot::MaybeText(|b| &mut b.address)),
    key(BROKERS, "seed", Slot::MaybeWhole(|b| &mut b.seed)),
    key(BROKERS, "ticks_per_second", Slot::MaybeReal(|b| &mut b.ticks_per_second)),
    key(BROKERS, "file", Slot::MaybePath(|b| &mut b.file)),
    key(BROKERS, "speed", Slot::MaybeReal(|b| &mut b.speed)),
    key(BROKERS, "loop", Slot::MaybeFlag(|b| &mut b.repeat)),
    key(BROKERS, "from_ms", Slot::MaybeWhole(|b| &mut b.from_ms)),
    key(BROKERS, "start", Slot::MaybeStart(|b| &mut b.start)),
    key(BROKERS, "start_delay_ms", Slot::MaybeWhole(|b| &mut b.start_delay_ms)),
    key(BROKERS, "linger_ms", Slot::MaybeWhole(|b| &mut b.linger_ms)),
    key(BROKERS, "keep_session", Slot::Flag(|b| &mut b.quirks.keep_session)),
    key(BROKERS, "single_session", Slot::Flag(|b| &mut b.quirks.single_session)),
    key(
        BROKERS,
        "connections_per_user",
        Slot::Count(|b| &mut b.quirks.connections_per_user, 1..=CONNECTIONS_MAX),
    ),
    key(
        BROKERS,
        "topics_per_connection",
        Slot::Count(|b| &mut b.quirks.topics_per_connection, 0..=1_000_000),
    ),
    key(BROKERS, "calls_per_second", Slot::MaybeReal(|b| &mut b.quirks.calls_per_second)),
    key(BROKERS, "batch_max", Slot::Count(|b| &mut b.quirks.batch_max, 1..=1_000)),
    key(BROKERS, "depth_levels", Slot::List(|b| &mut b.quirks.depth_levels)),
    key(BROKERS, "modes", Slot::List(|b| &mut b.quirks.modes)),
    key(BROKERS, "reinitialize", Slot::MaybeFlag(|b| &mut b.reinitialize)),
];
