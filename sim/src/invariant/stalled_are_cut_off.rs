use std::collections::{BTreeMap, BTreeSet};

use super::trouble::Trouble;
use super::{Held, Invariant};
use crate::fault::{FaultKind, Party};
use crate::history::{Actor, ClientName, Event, Seen};
use crate::plan::Plan;

/// Ticks that fill a narrow window, whatever else is in the way.
const FILLING_TICKS: u32 = 10;

/// What the last tick and the end of the connection may take.
const SLACK_US: u64 = 300_000;

/// A client whose socket takes nothing for too long is cut off, although it says something now and
/// then (WS-007).
///
/// Only those behind a narrow window are judged, because what other sockets hold nobody knows; and
/// when they read again, because before they cannot know.
pub(super) struct StalledAreCutOff {
    stall_timeout_us: u64,
    trouble: Trouble,
    narrow: BTreeSet<ClientName>,
    deaf: BTreeMap<ClientName, Deaf>,
}

/// A client that reads nothing.
struct Deaf {
    until_us: u64,
    /// Ticks published for it since.
    ticks: u32,
    /// When its window was full for certain.
    full_us: Option<u64>,
}

impl StalledAreCutOff {
    pub fn new(plan: &Plan) -> Self {
        Self {
            stall_timeout_us: plan.gateway.outbox_stall_timeout_ms * 1_000,
            trouble: Trouble::new(plan),
            narrow: BTreeSet::new(),
            deaf: BTreeMap::new(),
        }
    }
}

impl Invariant for StalledAreCutOff {
    fn name(&self) -> &'static str {
        "stalled_are_cut_off"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        self.trouble.observe(event);
        let at_us = event.at_us;
        match (&event.actor, &event.seen) {
            (Actor::Client(client), Seen::Lost { .. } | Seen::Leaves { .. }) => {
                self.narrow.remove(client);
                self.deaf.remove(client);
            }
            (_, Seen::Struck(strike)) => {
                let Party::Client(name) = &strike.party else { return Ok(()) };
                let name: ClientName = name.as_str().into();
                match strike.fault {
                    FaultKind::Window => drop(self.narrow.insert(name)),
                    FaultKind::StoppedReader if held.clients.get(&name).is_some() => {
                        let until_us = at_us + strike.lasts_ms * 1_000;
                        self.deaf.insert(name, Deaf { until_us, ticks: 0, full_us: None });
                    }
                    _ => {}
                }
            }
            (_, Seen::Published { topic, .. }) => {
                for (client, deaf) in &mut self.deaf {
                    let holding = held.clients.get(client);
                    if holding.is_some_and(|holding| holding.topics.contains(topic)) {
                        deaf.ticks += 1;
                        if deaf.ticks == FILLING_TICKS {
                            deaf.full_us = Some(at_us);
                        }
                    }
                }
            }
            (_, _) => {}
        }
        let (trouble, narrow) = (&self.trouble, &self.narrow);
        self.deaf.retain(|client, deaf| {
            let is_over = at_us > deaf.until_us + 2 * SLACK_US;
            !is_over && narrow.contains(client) && !trouble.may_be_cut_off(client)
        });
        let late = self.deaf.iter().find(|(_, deaf)| {
            let stalls = |full_us| full_us + self.stall_timeout_us + SLACK_US <= deaf.until_us;
            deaf.full_us.is_some_and(stalls) && at_us > deaf.until_us + SLACK_US
        });
        match late {
            Some((client, _)) => Err(format!(
                "{client} is still connected, although its socket has taken nothing for more than \
                 {} ms",
                self.stall_timeout_us / 1_000
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, plan};
    use super::*;
    use crate::fault::Strike;

    /// Whether it is fine that alice-1 is connected when it reads again, having missed these ticks.
    fn reads_again(fault: FaultKind, ticks: u64, deaf_ms: u64, lost: bool) -> bool {
        let mut plan = plan();
        plan.gateway.outbox_stall_timeout_ms = 400;
        let mut story = Story::of(StalledAreCutOff::new(&plan));
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:A/LTP");
        let party = Party::Client("alice-1".into());
        for (fault, lasts_ms) in [(fault, 0), (FaultKind::StoppedReader, deaf_ms)] {
            let strike = Strike { fault, party: party.clone(), lasts_ms };
            story.good(&Actor::Network, Seen::Struck(strike));
        }
        for seq in 1..=ticks {
            story.publish("NSE:A/LTP", seq);
        }
        if lost {
            let seen = Seen::Lost { code: None, reason: "reset".into() };
            assert_eq!(story.later(deaf_ms, &client("alice-1"), seen), Ok(()));
        }
        story.later(deaf_ms + 310, &client("bob-1"), Seen::Finished).is_ok()
    }

    #[test]
    fn who_is_still_there_after_a_stall_is_noticed_and_who_is_cut_off_is_not() {
        assert!(!reads_again(FaultKind::Window, 10, 1_000, false));
        assert!(reads_again(FaultKind::Window, 10, 1_000, true));
    }

    #[test]
    fn who_only_pauses_or_need_not_be_full_may_stay() {
        assert!(reads_again(FaultKind::Window, 10, 500, false));
        assert!(reads_again(FaultKind::Window, 9, 1_000, false));
        assert!(reads_again(FaultKind::Chop, 10, 1_000, false));
    }
}
