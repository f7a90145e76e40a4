//! What faults excuse in a client, according to the history.

use std::collections::{BTreeMap, BTreeSet};

use crate::fault::{FaultKind, Party, Strike};
use crate::history::{Actor, ClientName, Event, Seen};
use crate::plan::{Plan, TimedKind};
use crate::runtime::WINDOW_BYTES;

/// Added where moments of two hosts are compared.
const TOLERANCE_US: u64 = 20_000;

/// Bytes of a tick on its way to a client, about: most have fewer.
const TICK_BYTES: usize = 250;

/// The faults that have struck clients so far.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    hosts: BTreeMap<ClientName, u32>,
    journey_us: u64,
    /// Whether the ticks of the whole story are more than the sockets of a connection hold.
    fills_sockets: bool,
    /// The longest journeys on slow links, by host of clients.
    slow_us: BTreeMap<u32, u64>,
    /// Delays by whom they concern: from when to when, and by how much.
    delays: Vec<(Party, u64, u64, u64)>,
    /// What has struck the present connection of a client.
    struck: BTreeMap<ClientName, BTreeMap<FaultKind, u64>>,
    connected: BTreeSet<ClientName>,
    /// When the gateway crashed last.
    crashed_us: Option<u64>,
}

impl Trouble {
    pub fn new(plan: &Plan) -> Self {
        let mut slow_us: BTreeMap<u32, u64> = BTreeMap::new();
        for timed in &plan.faults.timed {
            if let TimedKind::Latency { of: Party::ClientHost(host), most_ms } = timed.what {
                let slow = slow_us.entry(host).or_default();
                *slow = (*slow).max(most_ms * 1_000);
            }
        }
        let clients = plan.clients.iter();
        Self {
            hosts: clients.map(|client| (client.name.as_str().into(), client.host)).collect(),
            journey_us: plan.network.latency_ms[1] * 1_000,
            slow_us,
            fills_sockets: tick_bytes(plan) > WINDOW_BYTES,
            ..Self::default()
        }
    }

    /// Takes an event in.
    pub fn observe(&mut self, event: &Event) {
        match (&event.actor, &event.seen) {
            (_, Seen::Struck(strike)) => self.strike(strike, event.at_us),
            (Actor::Client(client), Seen::Connected { .. }) => {
                self.connected.insert(client.clone());
                // The gateway may have crashed behind its answer.
                let crashed = self.crashed_us.is_some_and(|at_us| {
                    let word_us = self.journey_us + TOLERANCE_US;
                    let delay_us = self.delay_us(client, at_us, event.at_us);
                    delay_us.is_none_or(|delay_us| event.at_us <= at_us + word_us + delay_us)
                });
                let struck = self.struck.entry(client.clone()).or_default();
                struck.remove(&FaultKind::GatewayCrash);
                if crashed {
                    struck.insert(FaultKind::GatewayCrash, 0);
                }
            }
            (Actor::Client(client), Seen::Lost { .. } | Seen::Leaves { .. }) => {
                self.connected.remove(client);
                self.struck.remove(client);
            }
            (_, _) => {}
        }
    }

    /// Whether this client's present connection may end without anybody's doing.
    pub fn may_be_cut_off(&self, client: &ClientName) -> bool {
        let ends =
            [FaultKind::Reset, FaultKind::HalfClose, FaultKind::Corrupt, FaultKind::GatewayCrash];
        ends.iter().any(|fault| self.has(client, *fault))
    }

    /// Whether the gateway could not write to this client at some moment.
    pub fn lags(&self, client: &ClientName) -> bool {
        self.has(client, FaultKind::Window)
            || (self.fills_sockets && self.has(client, FaultKind::RateCap))
    }

    /// What faults add to the time between a question of this client and its answer; `None` if
    /// that cannot be said.
    pub fn delay_us(&self, client: &ClientName, from_us: u64, to_us: u64) -> Option<u64> {
        if self.has(client, FaultKind::RateCap) || self.lags(client) {
            return None;
        }
        let concerns = |party: &Party| match party {
            Party::Client(name) => **client == **name,
            Party::ClientHost(host) => self.hosts.get(client) == Some(host),
            Party::Broker(_) | Party::Feed | Party::Gateway => false,
        };
        let delays = self.delays.iter().filter(|(party, begin_us, end_us, _)| {
            concerns(party) && *begin_us <= to_us && from_us <= *end_us
        });
        let delay_us: u64 = delays.map(|(_, _, _, extra_us)| *extra_us).sum();
        let held_us = self.struck.get(client).and_then(|struck| struck.get(&FaultKind::Coalesce));
        match held_us {
            // Each piece may be held back anew.
            Some(_) if self.has(client, FaultKind::Chop) => None,
            // There and back.
            Some(held_us) => Some(delay_us + 2 * held_us),
            None => Some(delay_us),
        }
    }

    fn has(&self, client: &ClientName, fault: FaultKind) -> bool {
        self.struck.get(client).is_some_and(|struck| struck.contains_key(&fault))
    }

    fn strike(&mut self, strike: &Strike, at_us: u64) {
        let lasts_us = strike.lasts_ms * 1_000;
        let party = strike.party.clone();
        match (strike.fault, &strike.party) {
            (FaultKind::Stall | FaultKind::Hold | FaultKind::StoppedReader, _) => {
                let end_us = at_us + lasts_us + TOLERANCE_US;
                self.delays.push((party, at_us, end_us, lasts_us + TOLERANCE_US));
            }
            (FaultKind::Latency, Party::ClientHost(host)) => {
                let slow_us = self.slow_us.get(host).copied().unwrap_or_default();
                self.delays.push((party, at_us, at_us + lasts_us + slow_us, 2 * slow_us));
            }
            (FaultKind::GatewayCrash, _) => {
                self.crashed_us = Some(at_us);
                for client in &self.connected {
                    self.struck.entry(client.clone()).or_default().insert(strike.fault, 0);
                }
            }
            (fault, Party::Client(name)) => {
                let struck = self.struck.entry(name.as_str().into()).or_default();
                struck.insert(fault, lasts_us);
            }
            (_, Party::ClientHost(_) | Party::Broker(_) | Party::Feed | Party::Gateway) => {}
        }
    }
}

/// Bytes that a client gets at most which reads everything.
fn tick_bytes(plan: &Plan) -> usize {
    let flood = plan.faults.timed.iter().map(|timed| match timed.what {
        TimedKind::FeedFlood { factor } => factor,
        _ => 1,
    });
    let bytes = plan.feed.topics.iter().map(|rhythm| {
        let each = (TICK_BYTES + rhythm.recorded_bytes()) as u64;
        rhythm.ticks_within(plan.duration_ms).saturating_mul(each)
    });
    let bytes = bytes.fold(0, u64::saturating_add).saturating_mul(flood.max().unwrap_or(1));
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::testing::plan;
    use super::*;
    use crate::plan::TopicRhythm;

    fn trouble(period_ms: u64, fault: FaultKind) -> Trouble {
        let mut plan = plan();
        plan.duration_ms = 2_000;
        let topic = "NSE:A/LTP".parse().expect("it is a topic");
        let (first_at_ms, unwanted, recorded) = (0, false, Vec::new());
        plan.feed.topics = vec![TopicRhythm { topic, period_ms, first_at_ms, unwanted, recorded }];
        let mut trouble = Trouble::new(&plan);
        let actor = Actor::Client("alice-1".into());
        let connected = Seen::Connected { connection: 1 };
        trouble.observe(&Event { at_us: 0, actor, seen: connected });
        let party = Party::Client("alice-1".into());
        let seen = Seen::Struck(Strike { fault, party, lasts_ms: 0 });
        trouble.observe(&Event { at_us: 0, actor: Actor::Network, seen });
        trouble
    }

    #[test]
    fn who_reads_slowly_lags_only_if_its_sockets_can_fill() {
        let lags = |period_ms, fault| trouble(period_ms, fault).lags(&"alice-1".into());
        assert!(lags(2, FaultKind::RateCap) && !lags(20, FaultKind::RateCap));
        assert!(lags(20, FaultKind::Window) && !lags(2, FaultKind::Chop));
    }
}
