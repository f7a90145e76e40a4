//! What goes wrong in a scenario.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Manner, RangeMs, Scenario, StepKind};
use crate::fault::FaultKind;

/// `faults`: what goes wrong between `from_ms` and `to_ms`. All faults end with the story.
///
/// `share`: how likely each connection is to be struck (0.0 to 1.0). `times`: how often it
/// happens, `[least, most]`. `of`: whose connection or link; clients if it is left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// When the first may strike.
    pub from_ms: u64,
    /// When the last may strike; absent: with the end of the story.
    pub to_ms: Option<u64>,
    /// Of several brokers those that faults of brokers strike; empty: all.
    pub brokers: Vec<String>,

    /// Connections pass few bytes at a time.
    pub chop: Option<Spanned<Chop>>,
    /// Connections hold bytes back and deliver them together.
    pub coalesce: Option<Spanned<Lasting>>,
    /// Connections are slow.
    pub rate_cap: Option<Spanned<RateCap>>,
    /// Connections hold few unread bytes.
    pub window: Option<Spanned<Window>>,
    /// One direction is silent for a while.
    pub stall: Option<Spanned<Timed>>,
    /// Connections are reset at a byte.
    pub reset: Option<Spanned<AtByte>>,
    /// The connecting end writes no more after a byte.
    pub half_close: Option<Spanned<AtByte>>,
    /// Ends of connections are noticed late.
    pub late_end: Option<Spanned<Lasting>>,
    /// A bit flips. Clients only.
    pub corrupt: Option<Spanned<AtByte>>,
    /// Connecting fails.
    pub refuse_connect: Option<Spanned<Share>>,
    /// Connecting takes long.
    pub hang_connect: Option<Spanned<Lasting>>,

    /// Links hold everything back.
    pub hold: Option<Spanned<Timed>>,
    /// Links lose everything. Broker and feed only: nothing repairs a client's connection.
    pub partition: Option<Spanned<Timed>>,
    /// Links lose everything in one direction. Broker and feed only.
    pub partition_one_way: Option<Spanned<Timed>>,
    /// Links are slower.
    pub latency: Option<Spanned<Latency>>,

    /// The gateway crashes and is back after `for_ms`.
    pub gateway_crash: Option<Spanned<Happening>>,
    /// The gateway's wall clock jumps.
    pub clock_step: Option<Spanned<ClockStep>>,
    /// The publisher dies and is back after `for_ms`.
    pub feed_restart: Option<Spanned<Happening>>,
    /// The publisher is silent.
    pub feed_silence: Option<Spanned<Happening>>,
    /// The publisher sends everything twice.
    pub feed_duplicates: Option<Spanned<Happening>>,
    /// The publisher is `factor` times faster.
    pub feed_flood: Option<Spanned<Flood>>,
}

/// Whose connection or link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// Between clients and gateway.
    Clients,
    /// Between gateway and broker.
    Broker,
    /// Between publisher and gateway.
    Feed,
}

/// `chop`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chop {
    /// Whose.
    #[serde(default = "clients")]
    pub of: Vec<Of>,
    /// Of the connections.
    pub share: f64,
    /// Most bytes that one read or write passes.
    pub bytes_max: u64,
}

/// `coalesce`, `late_end`, `hang_connect`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lasting {
    /// Whose.
    #[serde(default = "clients")]
    pub of: Vec<Of>,
    /// Of the connections.
    pub share: f64,
    /// For how long.
    pub for_ms: RangeMs,
}

/// `rate_cap`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateCap {
    /// Whose.
    #[serde(default = "clients")]
    pub of: Vec<Of>,
    /// Of the connections.
    pub share: f64,
    /// In each direction.
    pub bytes_per_second: [u64; 2],
}

/// `window`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Whose.
    #[serde(default = "clients")]
    pub of: Vec<Of>,
    /// Of the connections.
    pub share: f64,
    /// Unread bytes that each direction holds.
    pub bytes: [u64; 2],
}

/// `reset`, `half_close`, `corrupt`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtByte {
    /// Whose.
    #[serde(default = "clients")]
    pub of: Vec<Of>,
    /// Of the connections.
    pub share: f64,
    /// After so many bytes of one direction.
    pub after_bytes: [u64; 2],
}

/// `refuse_connect`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Whose.
    #[serde(default = "clients")]
    pub of: Vec<Of>,
    /// Of the connections.
    pub share: f64,
}

/// `stall`, `hold`, `partition`, `partition_one_way`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// Whose.
    #[serde(default = "clients")]
    pub of: Vec<Of>,
    /// How often.
    pub times: [u64; 2],
    /// For how long.
    pub for_ms: RangeMs,
}

/// `latency`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Whose.
    #[serde(default = "clients")]
    pub of: Vec<Of>,
    /// How often.
    pub times: [u64; 2],
    /// For how long.
    pub for_ms: RangeMs,
    /// The longest that a message takes then.
    pub most_ms: RangeMs,
}

/// `gateway_crash`, `feed_restart`, `feed_silence`, `feed_duplicates`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Happening {
    /// How often.
    pub times: [u64; 2],
    /// For how long.
    pub for_ms: RangeMs,
}

/// `feed_flood`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flood {
    /// How often.
    pub times: [u64; 2],
    /// For how long.
    pub for_ms: RangeMs,
    /// So many ticks for each one.
    pub factor: u64,
}

/// `clock_step`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockStep {
    /// How often.
    pub times: [u64; 2],
    /// By how much, forwards or backwards.
    pub by_ms: [i64; 2],
}

impl Faults {
    /// The kinds that the file asks for.
    #[must_use]
    pub fn kinds(&self) -> Vec<FaultKind> {
        let asked = [
            (self.chop.is_some(), FaultKind::Chop),
            (self.coalesce.is_some(), FaultKind::Coalesce),
            (self.rate_cap.is_some(), FaultKind::RateCap),
            (self.window.is_some(), FaultKind::Window),
            (self.stall.is_some(), FaultKind::Stall),
            (self.reset.is_some(), FaultKind::Reset),
            (self.half_close.is_some(), FaultKind::HalfClose),
            (self.late_end.is_some(), FaultKind::LateEnd),
            (self.corrupt.is_some(), FaultKind::Corrupt),
            (self.refuse_connect.is_some(), FaultKind::RefuseConnect),
            (self.hang_connect.is_some(), FaultKind::HangConnect),
            (self.hold.is_some(), FaultKind::Hold),
            (self.partition.is_some(), FaultKind::Partition),
            (self.partition_one_way.is_some(), FaultKind::PartitionOneWay),
            (self.latency.is_some(), FaultKind::Latency),
            (self.gateway_crash.is_some(), FaultKind::GatewayCrash),
            (self.clock_step.is_some(), FaultKind::ClockStep),
            (self.feed_restart.is_some(), FaultKind::FeedRestart),
            (self.feed_silence.is_some(), FaultKind::FeedSilence),
            (self.feed_duplicates.is_some(), FaultKind::FeedDuplicates),
            (self.feed_flood.is_some(), FaultKind::FeedFlood),
        ];
        asked.into_iter().filter(|(asked, _)| *asked).map(|(_, kind)| kind).collect()
    }
}

impl Scenario {
    /// The faults that the file asks for, wherever it does.
    #[must_use]
    pub fn asks_for(&self) -> BTreeSet<FaultKind> {
        let mut asked: BTreeSet<FaultKind> = self.faults.iter().flat_map(Faults::kinds).collect();
        let brokers = self.world.broker_hosts();
        let topics = brokers.iter().flat_map(|(_, broker)| &broker.topics).flat_map(|rule| {
            [rule.value.subscribe, rule.value.unsubscribe].into_iter().filter_map(Manner::fault)
        });
        asked.extend(topics);
        let sessions = brokers.iter().flat_map(|(_, broker)| &broker.sessions).flat_map(|rule| {
            [rule.value.connect, rule.value.disconnect].into_iter().filter_map(Manner::fault)
        });
        asked.extend(sessions);
        if let Some(storm) = &self.storm {
            let incidents = [
                (storm.incidents.invalidations, FaultKind::Invalidation),
                (storm.incidents.keys_revoked, FaultKind::KeyChange),
                (storm.incidents.roles_changed, FaultKind::KeyChange),
                (storm.incidents.sessions_lost, FaultKind::SessionLoss),
                (storm.incidents.losses_repeated, FaultKind::BrokerTwice),
                (storm.incidents.broker_deaths, FaultKind::BrokerDeath),
            ];
            asked.extend(incidents.iter().filter(|([_, most], _)| *most > 0).map(|(_, kind)| kind));
        }
        if self.storm.as_ref().is_some_and(|storm| storm.weights.value.stop_reading > 0) {
            asked.insert(FaultKind::StoppedReader);
        }
        for step in &self.steps {
            asked.extend(match step.value.r#do {
                StepKind::StopReading => Some(FaultKind::StoppedReader),
                StepKind::Invalidate => Some(FaultKind::Invalidation),
                StepKind::RevokeKey | StepKind::GrantKey => Some(FaultKind::KeyChange),
                StepKind::LoseSession => Some(FaultKind::SessionLoss),
                StepKind::KillBroker => Some(FaultKind::BrokerDeath),
                _ => None,
            });
        }
        asked
    }
}

impl Manner {
    /// Whether nothing is different.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        *self == Self::Normal
    }

    /// The fault that it is.
    #[must_use]
    pub const fn fault(self) -> Option<FaultKind> {
        match self {
            Self::Normal => None,
            Self::Slow(_) => Some(FaultKind::BrokerSlow),
            Self::Refuse | Self::Expired | Self::Flaky(_) => Some(FaultKind::BrokerRefuses),
            Self::Ignore => Some(FaultKind::BrokerIgnores),
            Self::Mute => Some(FaultKind::BrokerMute),
            Self::Late => Some(FaultKind::BrokerLate),
            Self::Twice => Some(FaultKind::BrokerTwice),
            Self::Lie => Some(FaultKind::BrokerLies),
            Self::Forget(_) => Some(FaultKind::BrokerForgets),
            Self::Die(_) => Some(FaultKind::BrokerDeath),
        }
    }
}

fn clients() -> Vec<Of> {
    vec![Of::Clients]
}
