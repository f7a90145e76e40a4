//! When gateway and brokers may not have heard each other in time, according to the history.

use std::collections::BTreeMap;

use tickgate::topic::UserId;

use crate::broker_host::BrokerHost;
use crate::fault::{FaultKind, Party};
use crate::history::{Event, Seen};
use crate::plan::{Plan, TimedKind};

/// Added where moments of two hosts are compared.
const TOLERANCE_US: u64 = 20_000;

/// The links between gateway and brokers, and whose users depend on which.
#[derive(Debug)]
pub(super) struct BrokerLinks {
    first: BrokerLink,
    others: Vec<BrokerLink>,
    /// Users of others, with their places.
    users: BTreeMap<UserId, usize>,
}

impl BrokerLinks {
    pub fn new(plan: &Plan) -> Self {
        let link = |host: &BrokerHost| BrokerLink::new(plan, host);
        let users = plan.accounts.iter().filter_map(|account| {
            let mut others = plan.more_brokers.iter();
            let at = others.position(|broker| broker.host == account.broker)?;
            Some((account.user.clone(), at))
        });
        Self {
            first: link(&plan.broker.host),
            others: plan.more_brokers.iter().map(|broker| link(&broker.host)).collect(),
            users: users.collect(),
        }
    }

    /// Takes an event in.
    pub fn observe(&mut self, event: &Event) {
        self.first.observe(event);
        self.others.iter_mut().for_each(|link| link.observe(event));
    }

    /// The link to a broker.
    pub fn at(&self, host: &BrokerHost) -> &BrokerLink {
        self.others.iter().find(|link| link.host == *host).unwrap_or(&self.first)
    }

    /// The link to the broker of a user.
    pub fn of(&self, user: &UserId) -> &BrokerLink {
        self.users.get(user).map_or(&self.first, |at| &self.others[*at])
    }
}

/// The link between gateway and one broker.
#[derive(Debug, Default)]
pub(super) struct BrokerLink {
    host: BrokerHost,
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
    fn new(plan: &Plan, host: &BrokerHost) -> Self {
        let slow = plan.faults.timed.iter().filter_map(|timed| match &timed.what {
            TimedKind::Latency { of: Party::Broker(struck), most_ms } if struck == host => {
                Some(*most_ms)
            }
            _ => None,
        });
        Self {
            host: host.clone(),
            journey_us: plan.network.latency_ms[1] * 1_000 + TOLERANCE_US,
            slow_us: slow.max().unwrap_or_default() * 1_000,
            ..Self::default()
        }
    }

    fn observe(&mut self, event: &Event) {
        match &event.seen {
            Seen::Struck(strike) if self.is(&strike.party) => {
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
            Seen::Linked(party) if self.is(party) => self.slow = false,
            Seen::Greeted if event.actor.broker() == Some(&self.host) => self.cut = false,
            _ => {}
        }
    }

    fn is(&self, party: &Party) -> bool {
        matches!(party, Party::Broker(host) if *host == self.host)
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
