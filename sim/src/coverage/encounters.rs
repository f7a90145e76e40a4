//! Which operations met which faults.
//!
//! An operation meets a fault if a client performs it, being connected, while the fault is in
//! effect on what serves that client, or less than [`NEAR_US`] before it strikes or after it ends.
//! What serves a client: its own connection, the link of its host, the gateway, the broker and the
//! feed. A fault of another client's connection is none of its business.

use std::collections::BTreeMap;

use super::Operation;
use crate::fault::{FaultKind, Party, Strike};
use crate::history::{Actor, ClientName, Event, Phase, Seen};

/// Time in which a request is answered, unless something is wrong: what an operation has begun is
/// still under way.
pub const NEAR_US: u64 = 50_000;

const FAULTS: usize = FaultKind::ALL.len();
const OPERATIONS: usize = Operation::ALL.len();
/// Pairs of operation and fault.
pub const MET: usize = OPERATIONS * FAULTS;

/// The place of a pair.
pub(super) const fn number(operation: Operation, fault: FaultKind) -> usize {
    operation as usize * FAULTS + fault as usize
}

/// Until when each fault is in effect on something; zero: it never was.
struct Scope {
    until_us: [u64; FAULTS],
}

/// A client that has performed something, or was struck.
struct Client {
    scope: Scope,
    host: u32,
    /// When it performed each operation last; zero: never.
    last_us: [u64; OPERATIONS],
}

/// Counts encounters as a simulation goes on.
pub struct Encounters {
    met: Vec<u64>,
    /// The gateway, and what happens to broker and feed themselves.
    common: Scope,
    /// The gateway's connections to broker and feed.
    broker: Scope,
    feed: Scope,
    hosts: BTreeMap<u32, Scope>,
    clients: BTreeMap<ClientName, Client>,
}

impl Default for Scope {
    fn default() -> Self {
        Self { until_us: [0; FAULTS] }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self { scope: Scope::default(), host: u32::MAX, last_us: [0; OPERATIONS] }
    }
}

impl Default for Encounters {
    fn default() -> Self {
        Self {
            met: vec![0; MET],
            common: Scope::default(),
            broker: Scope::default(),
            feed: Scope::default(),
            hosts: BTreeMap::new(),
            clients: BTreeMap::new(),
        }
    }
}

impl Scope {
    fn strike(&mut self, fault: FaultKind, until_us: u64) {
        let until = &mut self.until_us[fault as usize];
        *until = until_us.max(*until);
    }

    fn is_near(&self, fault: FaultKind, at_us: u64) -> bool {
        let until_us = self.until_us[fault as usize];
        until_us > 0 && at_us <= until_us.saturating_add(NEAR_US)
    }

    /// What was in effect ends now at the latest.
    fn end(&mut self, at_us: u64) {
        for until_us in &mut self.until_us {
            *until_us = at_us.min(*until_us);
        }
    }
}

impl Encounters {
    /// How often each pair was met.
    pub fn met(&self) -> &[u64] {
        &self.met
    }

    /// Takes in what somebody saw.
    pub fn observe(&mut self, event: &Event) {
        let at_us = event.at_us;
        match &event.seen {
            Seen::Struck(strike) => self.struck(strike, at_us),
            Seen::Lied(_) => self.happens(FaultKind::BrokerLies, at_us, 0),
            Seen::Forgot(_) => self.happens(FaultKind::BrokerForgets, at_us, 0),
            Seen::SessionLost { .. } => self.happens(FaultKind::SessionLoss, at_us, 0),
            Seen::BrokerDied { back_in_ms } => {
                self.happens(FaultKind::BrokerDeath, at_us, *back_in_ms);
            }
            Seen::Invalidated { .. } => self.happens(FaultKind::Invalidation, at_us, 0),
            Seen::KeyChanges(_) => self.happens(FaultKind::KeyChange, at_us, 0),
            Seen::Lost { .. } | Seen::Leaves { .. } => {
                if let Actor::Client(name) = &event.actor
                    && let Some(client) = self.clients.get_mut(name)
                {
                    client.scope.end(at_us);
                }
            }
            Seen::Linked(Party::Broker(_)) => self.broker.end(at_us),
            Seen::Linked(Party::Feed) => self.feed.end(at_us),
            Seen::Phase(Phase::Settle) => {
                let own = [&mut self.common, &mut self.broker, &mut self.feed];
                let clients = self.clients.values_mut().map(|client| &mut client.scope);
                let all = own.into_iter().chain(self.hosts.values_mut()).chain(clients);
                all.for_each(|scope| scope.end(at_us));
            }
            _ => {}
        }
    }

    /// A client does something.
    pub fn performed(&mut self, at_us: u64, name: &ClientName, host: u32, operation: Operation) {
        let client = self.clients.entry(name.clone()).or_default();
        client.host = host;
        client.last_us[operation as usize] = at_us;
        let nothing = Scope::default();
        let link = self.hosts.get(&host).unwrap_or(&nothing);
        let around = [&self.common, &self.broker, &self.feed, link, &client.scope];
        for fault in FaultKind::ALL {
            if around.iter().any(|scope| scope.is_near(fault, at_us)) {
                self.met[number(operation, fault)] += 1;
            }
        }
    }

    fn happens(&mut self, fault: FaultKind, at_us: u64, lasts_ms: u64) {
        self.common.strike(fault, at_us + lasts_ms * 1_000);
        meet(&mut self.met, self.clients.values(), fault, at_us);
    }

    fn struck(&mut self, strike: &Strike, at_us: u64) {
        let Strike { fault, party, lasts_ms } = strike;
        let until_us =
            if is_for_good(*fault) { u64::MAX } else { at_us + lasts_ms.saturating_mul(1_000) };
        let met = &mut self.met;
        match party {
            Party::Client(name) => {
                let client = self.clients.entry(name.as_str().into()).or_default();
                client.scope.strike(*fault, until_us);
                meet(met, [&*client], *fault, at_us);
            }
            Party::ClientHost(host) => {
                self.hosts.entry(*host).or_default().strike(*fault, until_us);
                let there = self.clients.values().filter(|client| client.host == *host);
                meet(met, there, *fault, at_us);
            }
            Party::Broker(_) | Party::Feed | Party::Gateway => {
                let scope = match party {
                    _ if !is_for_good(*fault) => &mut self.common,
                    Party::Broker(_) => &mut self.broker,
                    _ => &mut self.feed,
                };
                scope.strike(*fault, until_us);
                meet(met, self.clients.values(), *fault, at_us);
            }
        }
    }
}

/// A fault meets what these clients have just done.
fn meet<'a>(
    met: &mut [u64],
    clients: impl IntoIterator<Item = &'a Client>,
    fault: FaultKind,
    at_us: u64,
) {
    for client in clients {
        for (operation, last_us) in Operation::ALL.into_iter().zip(client.last_us) {
            if last_us > 0 && at_us <= last_us + NEAR_US {
                met[number(operation, fault)] += 1;
            }
        }
    }
}

/// Whether the fault lasts as long as the connection it has struck.
const fn is_for_good(fault: FaultKind) -> bool {
    matches!(
        fault,
        FaultKind::Chop
            | FaultKind::Coalesce
            | FaultKind::RateCap
            | FaultKind::Window
            | FaultKind::HalfClose
            | FaultKind::Corrupt
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: Operation = Operation::Ping;

    fn see(encounters: &mut Encounters, at_ms: u64, actor: Actor, seen: Seen) {
        encounters.observe(&Event { at_us: at_ms * 1_000, actor, seen });
    }

    fn strike(encounters: &mut Encounters, at_ms: u64, fault: FaultKind, of: Party, for_ms: u64) {
        let strike = Strike { fault, party: of, lasts_ms: for_ms };
        see(encounters, at_ms, Actor::Network, Seen::Struck(strike));
    }

    fn met(encounters: &Encounters, fault: FaultKind) -> u64 {
        encounters.met[number(PING, fault)]
    }

    fn ping(encounters: &mut Encounters, at_ms: u64, name: &str, host: u32) {
        encounters.performed(at_ms * 1_000, &name.into(), host, PING);
    }

    #[test]
    fn what_is_near_in_time_meets_and_what_is_far_does_not() {
        for (at_ms, expected) in [(9, 0), (10, 0), (51, 1), (100, 1), (149, 1), (200, 1), (251, 0)]
        {
            let mut encounters = Encounters::default();
            if at_ms < 100 {
                ping(&mut encounters, at_ms, "a", 0);
            }
            strike(&mut encounters, 100, FaultKind::Hold, Party::BROKER, 100);
            if at_ms >= 100 {
                ping(&mut encounters, at_ms, "a", 0);
            }
            assert_eq!(met(&encounters, FaultKind::Hold), expected, "{at_ms} ms");
            assert_eq!(met(&encounters, FaultKind::Stall), 0);
        }
    }

    #[test]
    fn the_trouble_of_another_client_or_host_is_not_met() {
        let mut encounters = Encounters::default();
        ping(&mut encounters, 90, "a", 0);
        ping(&mut encounters, 90, "b", 1);
        strike(&mut encounters, 100, FaultKind::Reset, Party::Client("b".into()), 0);
        strike(&mut encounters, 100, FaultKind::Hold, Party::ClientHost(1), 10);
        assert_eq!(met(&encounters, FaultKind::Reset), 1, "b's own");
        assert_eq!(met(&encounters, FaultKind::Hold), 1, "b's own");
        ping(&mut encounters, 110, "a", 0);
        assert_eq!((met(&encounters, FaultKind::Reset), met(&encounters, FaultKind::Hold)), (1, 1));
    }

    #[test]
    fn what_lasts_as_long_as_a_connection_ends_with_it() {
        let mut encounters = Encounters::default();
        strike(&mut encounters, 100, FaultKind::Chop, Party::Client("a".into()), 0);
        ping(&mut encounters, 900, "a", 0);
        assert_eq!(met(&encounters, FaultKind::Chop), 1);
        let lost = Seen::Lost { code: None, reason: String::new() };
        see(&mut encounters, 1_000, Actor::Client("a".into()), lost);
        ping(&mut encounters, 1_051, "a", 0);
        assert_eq!(met(&encounters, FaultKind::Chop), 1);
        strike(&mut encounters, 2_000, FaultKind::Chop, Party::Feed, 0);
        ping(&mut encounters, 3_000, "a", 0);
        assert_eq!(met(&encounters, FaultKind::Chop), 2);
        see(&mut encounters, 3_000, Actor::Network, Seen::Linked(Party::Feed));
        ping(&mut encounters, 3_051, "a", 0);
        assert_eq!(met(&encounters, FaultKind::Chop), 2);
    }
}
