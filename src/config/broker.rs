//! `[[brokers]]`: which brokers there are.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Quirks;

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
