//! When gateway and broker may not have heard each other in time, according to the history.

use crate::fault::{FaultKind, Party};
use crate::history::{Event, Seen};
use crate::plan::{Plan, TimedKind};

/// Added where moments of two hosts are compared.
const TOLERANCE_US: u64 = 20_000;

/// The link between gateway and broker.
#[derive(Debug, Default)]
pub(super) struct BrokerLink {
    journey_us: u64,
    /// The longest journey while it is slow.
    slow_us: u64,
    /// When messages were, or are, held back.
    held: Vec<(u64, u64)>,
    /// The present connection is slow for as long as it lasts.
    slow: bool,
    /// Messages are lost, and nobody knows until the next greeting.
    cut: bool,
}

impl BrokerLink {
    pub fn new(plan: &Plan) -> Self {
        let slow = plan.faults.timed.iter().filter_map(|timed| match timed.what {
            TimedKind::Latency { of: Party::Broker, most_ms } => Some(most_ms),
            _ => None,
        });
        Self {
            journey_us: plan.network.latency_ms[1] * 1_000 + TOLERANCE_US,
            slow_us: slow.max().unwrap_or_default() * 1_000,
            ..Self::default()
        }
    }

    /// Takes an event in.
    pub fn observe(&mut self, event: &Event) {
        match &event.seen {
            Seen::Struck(strike) if strike.party == Party::Broker => {
                let end_us = event.at_us + strike.lasts_ms * 1_000;
                match strike.fault {
                    FaultKind::Stall | FaultKind::Hold => {
                        self.held.push((event.at_us, end_us + self.journey_us));
                    }
                    FaultKind::Latency => {
                        self.held.push((event.at_us, end_us + self.journey_us + self.slow_us));
                    }
                    FaultKind::Coalesce | FaultKind::RateCap | FaultKind::Window => {
                        self.slow = true;
                    }
                    FaultKind::Partition
                    | FaultKind::PartitionOneWay
                    | FaultKind::Reset
                    | FaultKind::HalfClose => self.cut = true,
                    _ => {}
                }
            }
            Seen::Linked(Party::Broker) => self.slow = false,
            Seen::Greeted => self.cut = false,
            _ => {}
        }
    }

    /// Whether something said between two moments may have been heard late, or never.
    pub fn unsure(&self, from_us: u64, to_us: u64) -> bool {
        self.slow
            || self.cut
            || self.held.iter().any(|(begin, end)| *begin <= to_us && from_us <= *end)
    }

    /// Whether an answer given at a moment may have been heard late, or never.
    pub fn unsure_of_answer(&self, at_us: u64) -> bool {
        self.unsure(at_us, at_us + self.journey_us)
    }

    /// Until when word of something that the broker did at `at_us` may be under way; `None`:
    /// until the next greeting.
    pub fn word_until_us(&self, at_us: u64) -> Option<u64> {
        if self.slow || self.cut {
            return None;
        }
        let held = self.held.iter().filter(|(begin, end)| (*begin..=*end).contains(&at_us));
        held.map(|(_, end)| *end).max().or(Some(0))
    }
}
