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
    spans: Vec<Span>,
    /// Until when messages may be held back.
    held_until_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    from_us: u64,
    /// Before this, word of a connection may be older than what has ended it.
    sure_from_us: u64,
    /// `None`: there is no connection since.
    to_us: Option<u64>,
    /// The connection that ended it was made later than what began it.
    sure: bool,
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
                    if let Some(Span { to_us: Some(end_us), .. }) = self.spans.last_mut()
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
                    self.spans.push(Span {
                        from_us: at_us.saturating_sub(self.under_way_us),
                        sure_from_us: at_us + self.under_way_us,
                        to_us: None,
                        sure: false,
                    });
                }
                (_, _) => {}
            },
            Seen::Linked(Party::Feed) => {
                let from_us = at_us.max(self.held_until_us);
                // A connection that was made while the gateway crashed is none: another follows.
                for span in self.spans.iter_mut().filter(|span| !span.sure) {
                    // A cut that goes on may break this connection as well.
                    span.to_us = Some(from_us + self.subscribe_us);
                    span.sure = at_us >= span.sure_from_us;
                }
            }
            _ => {}
        }
    }

    /// Whether what was published at a moment may be lost.
    pub fn may_have_lost(&self, at_us: u64) -> bool {
        let ended = |span: &Span| span.to_us.is_some_and(|to_us| to_us < at_us);
        self.spans.iter().any(|span| span.from_us <= at_us && !ended(span))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::plan;
    use super::*;
    use crate::fault::Strike;
    use crate::history::Actor;

    fn loss() -> FeedLoss {
        FeedLoss::new(&plan())
    }

    fn see(loss: &mut FeedLoss, at_ms: u64, seen: Seen) {
        loss.observe(&Event { at_us: at_ms * 1_000, actor: Actor::Network, seen });
    }

    fn crash(loss: &mut FeedLoss, at_ms: u64) {
        let fault = FaultKind::GatewayCrash;
        see(loss, at_ms, Seen::Struck(Strike { fault, party: Party::Gateway, lasts_ms: 0 }));
    }

    #[test]
    fn what_is_published_between_a_crash_and_the_next_connection_may_be_lost() {
        let mut loss = loss();
        assert!(!loss.may_have_lost(1_000_000));
        crash(&mut loss, 1_000);
        assert!(loss.may_have_lost(1_000_000) && loss.may_have_lost(60_000_000));
        see(&mut loss, 2_000, Seen::Linked(Party::Feed));
        assert!(loss.may_have_lost(2_000_000) && !loss.may_have_lost(4_000_000));
        assert!(!loss.may_have_lost(500_000), "long before it");
    }

    #[test]
    fn a_connection_to_a_gateway_that_has_crashed_ends_nothing_if_another_follows() {
        let mut loss = loss();
        crash(&mut loss, 1_000);
        see(&mut loss, 1_001, Seen::Linked(Party::Feed));
        assert!(!loss.may_have_lost(4_000_000), "it may be the last one");
        see(&mut loss, 5_000, Seen::Linked(Party::Feed));
        assert!(loss.may_have_lost(4_000_000) && !loss.may_have_lost(8_000_000));
        see(&mut loss, 9_000, Seen::Linked(Party::Feed));
        assert!(!loss.may_have_lost(8_000_000), "that one was sure");
    }

    #[test]
    fn faults_of_others_lose_nothing_of_the_feed() {
        let mut loss = loss();
        let fault = FaultKind::Reset;
        see(&mut loss, 1_000, Seen::Struck(Strike { fault, party: Party::BROKER, lasts_ms: 0 }));
        assert!(!loss.may_have_lost(1_000_000));
    }
}
