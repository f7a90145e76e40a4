//! Which messages of the feed may never have reached the gateway, according to the history.

use crate::fault::{FaultKind, Party};
use crate::history::{Event, Seen};
use crate::plan::{ConnectionFault, Plan, TimedKind};

/// Journeys of a message until a new connection carries what is subscribed, handshake included.
const JOURNEYS_TO_SUBSCRIBE: u64 = 8;
/// Added where moments of two hosts are compared.
const TOLERANCE_US: u64 = 30_000;

/// Spans of time in which the feed may have spoken to nobody.
#[derive(Debug)]
pub(super) struct FeedLoss {
    /// What is under way when a connection ends may be lost.
    under_way_us: u64,
    /// Until a new connection carries what is subscribed.
    subscribe_us: u64,
    /// From when to when; the last may be open.
    spans: Vec<(u64, Option<u64>)>,
    /// Until when messages may be held back.
    held_until_us: u64,
}

impl FeedLoss {
    pub fn new(plan: &Plan) -> Self {
        let faults = &plan.faults;
        let slow = faults.timed.iter().filter_map(|timed| match timed.what {
            TimedKind::Latency { of: Party::Feed, most_ms } => Some(most_ms),
            TimedKind::Stall { of: Party::Feed, .. } | TimedKind::Hold { of: Party::Feed } => {
                Some(timed.for_ms)
            }
            _ => None,
        });
        let ours = faults.connections.iter().filter(|struck| struck.of == Party::Feed);
        let held = ours.flat_map(|struck| &struck.faults).filter_map(|fault| match fault {
            ConnectionFault::Coalesce { for_ms } => Some(*for_ms),
            _ => None,
        });
        let extra_ms = slow.max().unwrap_or_default() + held.max().unwrap_or_default();
        let journey_us = (plan.network.latency_ms[1] + extra_ms) * 1_000;
        Self {
            under_way_us: journey_us + TOLERANCE_US,
            subscribe_us: JOURNEYS_TO_SUBSCRIBE * journey_us + TOLERANCE_US,
            spans: Vec::new(),
            held_until_us: 0,
        }
    }

    /// Takes an event in.
    pub fn observe(&mut self, event: &Event) {
        let at_us = event.at_us;
        match &event.seen {
            Seen::Struck(strike) => match (strike.fault, &strike.party) {
                (FaultKind::Stall | FaultKind::Hold | FaultKind::Latency, Party::Feed) => {
                    self.held_until_us = self.held_until_us.max(at_us + strike.lasts_ms * 1_000);
                    let held_us = self.held_until_us + self.subscribe_us;
                    if let Some((_, Some(end_us))) = self.spans.last_mut()
                        && *end_us >= at_us
                    {
                        *end_us = (*end_us).max(held_us);
                    }
                }
                (
                    FaultKind::Reset
                    | FaultKind::HalfClose
                    | FaultKind::FeedRestart
                    | FaultKind::Partition
                    | FaultKind::PartitionOneWay,
                    Party::Feed,
                )
                | (FaultKind::GatewayCrash, _) => {
                    self.spans.push((at_us.saturating_sub(self.under_way_us), None));
                }
                (_, _) => {}
            },
            Seen::Linked(Party::Feed) => {
                let from_us = at_us.max(self.held_until_us);
                for (_, end_us) in &mut self.spans {
                    // A cut that goes on may break this connection as well.
                    end_us.get_or_insert(from_us + self.subscribe_us);
                }
            }
            _ => {}
        }
    }

    /// Whether what was published at a moment may be lost.
    pub fn may_have_lost(&self, at_us: u64) -> bool {
        let mut spans = self.spans.iter();
        spans.any(|(from_us, to_us)| *from_us <= at_us && to_us.is_none_or(|to_us| at_us <= to_us))
    }
}
