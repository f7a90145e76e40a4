use std::collections::{BTreeMap, BTreeSet};

use super::trouble::Trouble;
use super::{Held, Invariant};
use crate::history::{Actor, ClientName, Event, Request, Seen};
use crate::plan::{OrderKind, Plan};

/// Added to what a message takes: moments are compared across hosts.
const TOLERANCE_US: u64 = 100_000;

/// What an administrator was told is done, is done (G-12). When a host is blocked, nobody on it is
/// served any more, and whoever is there is closed, wherever it is on its way in; when the block is
/// lifted, nobody is turned away for it. The clients of a user who is removed are closed. A notice
/// reaches everybody who has authenticated, once, and nobody else.
///
/// Nothing is judged where a fault is: `blocked_are_out` does that for blocks.
pub(super) struct AdministratorsAreObeyed {
    hosts: BTreeMap<ClientName, u32>,
    /// The longest that an exchange with a client takes.
    exchange_us: u64,
    trouble: Trouble,
    is_calm: bool,
    /// Since when each host is blocked, or is not any more.
    blocked: BTreeMap<u32, (u64, bool)>,
    /// Since when each client is connected.
    connected: BTreeMap<ClientName, u64>,
    /// Who must be gone, and by when.
    leaving: BTreeMap<ClientName, u64>,
    /// Who is yet to read which notice, and by when.
    untold: BTreeMap<(ClientName, u64), u64>,
    /// Notices that were read on the present connection.
    told: BTreeSet<(ClientName, u64)>,
}

impl AdministratorsAreObeyed {
    pub fn new(plan: &Plan) -> Self {
        let clients = plan.clients.iter();
        Self {
            hosts: clients.map(|client| (client.name.as_str().into(), client.host)).collect(),
            exchange_us: plan.network.latency_ms[1] * 1_000 * 4 + TOLERANCE_US,
            trouble: Trouble::new(plan),
            is_calm: plan.faults.is_empty(),
            blocked: BTreeMap::new(),
            connected: BTreeMap::new(),
            leaving: BTreeMap::new(),
            untold: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    fn obeyed(&mut self, what: &OrderKind, at_us: u64, held: &Held<'_>) {
        let by_us = at_us + self.exchange_us;
        match what {
            OrderKind::Block(host) => {
                self.blocked.insert(*host, (at_us, true));
                let there =
                    self.connected.keys().filter(|name| self.hosts.get(*name) == Some(host));
                let there: Vec<_> = there.cloned().collect();
                self.leaving.extend(there.into_iter().map(|name| (name, by_us)));
            }
            OrderKind::Unblock(host) => {
                self.blocked.insert(*host, (at_us, false));
            }
            OrderKind::RemoveUser(user) => {
                for (name, holding) in held.clients.iter() {
                    if holding.user.as_ref() == Some(user) && !authenticates(holding) {
                        self.leaving.entry(name.clone()).or_insert(by_us);
                    }
                }
            }
            OrderKind::Broadcast(number) => {
                for (name, holding) in held.clients.iter() {
                    let is_leaving = self.leaving.contains_key(name);
                    if holding.user.is_some() && !authenticates(holding) && !is_leaving {
                        self.untold.insert((name.clone(), *number), by_us);
                    }
                }
            }
        }
    }

    /// A client has read something that it gets only if it is served.
    fn served(&self, client: &ClientName, at_us: u64) -> Result<(), String> {
        let host = self.hosts.get(client).and_then(|host| self.blocked.get(host));
        match host {
            Some((since_us, true)) if at_us > since_us + self.exchange_us => {
                Err(format!("{client} is served although an administrator has blocked its host"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn turned_away(&self, client: &ClientName, at_us: u64) -> Result<(), String> {
        let host = self.hosts.get(client).and_then(|host| self.blocked.get(host));
        match host {
            Some((since_us, false)) if at_us > since_us + self.exchange_us => {
                Err(format!("{client} is turned away although its host was unblocked"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn notice(&mut self, client: &ClientName, number: u64, held: &Held<'_>) -> Result<(), String> {
        self.untold.remove(&(client.clone(), number));
        if !self.told.insert((client.clone(), number)) {
            return Err(format!("{client} was told #{number} twice"));
        }
        match held.client {
            Some(holding) if holding.user.is_none() => {
                Err(format!("{client} was told #{number} and has not authenticated"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn overdue(&self, at_us: u64) -> Result<(), String> {
        let patient = |client: &ClientName| self.trouble.delay_us(client, 0, at_us) == Some(0);
        let mut leaving = self.leaving.iter();
        if let Some((client, _)) = leaving.find(|(name, by_us)| at_us > **by_us && patient(name)) {
            return Err(format!("{client} was to be closed by an administrator and is still here"));
        }
        let mut untold = self.untold.iter();
        match untold.find(|((name, _), by_us)| at_us > **by_us && patient(name)) {
            Some(((client, number), _)) => Err(format!("{client} was not told #{number}")),
            None => Ok(()),
        }
    }

    fn gone(&mut self, client: &ClientName) {
        self.connected.remove(client);
        self.leaving.remove(client);
        self.untold.retain(|(name, _), _| name != client);
        self.told.retain(|(name, _)| name != client);
    }
}

/// Whether it is about to become somebody else, or nobody.
fn authenticates(holding: &super::holdings::Holding) -> bool {
    holding.pending.iter().any(|(_, sent)| matches!(sent.request, Request::Authenticate(_)))
}

impl Invariant for AdministratorsAreObeyed {
    fn name(&self) -> &'static str {
        "administrators_are_obeyed"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        let at_us = event.at_us;
        self.trouble.observe(event);
        if let Seen::Administered(what) = &event.seen {
            self.obeyed(what, at_us, held);
        }
        if !self.is_calm {
            return Ok(());
        }
        if let Actor::Client(client) = &event.actor {
            match &event.seen {
                Seen::Connected { .. } => {
                    self.connected.insert(client.clone(), at_us);
                    let host = self.hosts.get(client).and_then(|host| self.blocked.get(host));
                    if let Some((_, true)) = host {
                        self.leaving.insert(client.clone(), at_us + self.exchange_us);
                    }
                    self.served(client, at_us)?;
                }
                Seen::Lost { .. } | Seen::Leaves { .. } => self.gone(client),
                Seen::TurnedAway { status: 403 } => self.turned_away(client, at_us)?,
                Seen::Answered(_) | Seen::Tick(_) | Seen::OrderUpdate { .. } => {
                    self.served(client, at_us)?;
                }
                Seen::Notice { number } => {
                    self.served(client, at_us)?;
                    self.notice(client, *number, held)?;
                }
                _ => {}
            }
        }
        self.overdue(at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, plan};
    use super::*;

    const CLOSED: Seen = Seen::Lost { code: Some(1008), reason: String::new() };

    fn story() -> Story<AdministratorsAreObeyed> {
        let mut plan = plan();
        plan.clients.iter_mut().for_each(|client| client.host = 0);
        Story::of(AdministratorsAreObeyed::new(&plan))
    }

    fn obeyed(what: OrderKind) -> Seen {
        Seen::Administered(what)
    }

    #[test]
    fn whoever_stays_behind_a_block_is_noticed() {
        let mut story = story();
        story.join("alice-1");
        story.join("alice-2");
        story.good(&Actor::Gateway, obeyed(OrderKind::Block(0)));
        story.good(&client("alice-1"), CLOSED);
        assert!(story.later(500, &Actor::Gateway, Seen::Greeted).is_err(), "alice-2 is here");
    }

    #[test]
    fn whoever_comes_in_behind_a_block_is_noticed_until_it_is_lifted() {
        let mut story = story();
        story.good(&Actor::Gateway, obeyed(OrderKind::Block(0)));
        let connected = || Seen::Connected { connection: 1 };
        assert!(story.later(500, &client("alice-1"), connected()).is_err());
        let mut story = self::story();
        story.good(&Actor::Gateway, obeyed(OrderKind::Block(0)));
        story.good(&Actor::Gateway, obeyed(OrderKind::Unblock(0)));
        assert_eq!(story.later(500, &client("alice-1"), connected()), Ok(()));
        let turned_away = Seen::TurnedAway { status: 403 };
        assert!(story.later(500, &client("alice-2"), turned_away).is_err());
    }

    #[test]
    fn a_removed_user_who_stays_is_noticed() {
        let mut story = story();
        story.join("alice-1");
        story.good(&Actor::Gateway, obeyed(OrderKind::RemoveUser("alice".into())));
        assert!(story.later(500, &Actor::Gateway, Seen::Greeted).is_err());
    }

    #[test]
    fn a_notice_is_read_once_by_whoever_has_authenticated() {
        let notice = || Seen::Notice { number: 1 };
        let mut story = story();
        story.join("alice-1");
        story.connect("alice-2");
        story.good(&Actor::Gateway, obeyed(OrderKind::Broadcast(1)));
        assert!(story.see(&client("alice-2"), notice()).is_err());
        story.good(&client("alice-1"), notice());
        assert!(story.see(&client("alice-1"), notice()).is_err());
        let mut story = self::story();
        story.join("alice-1");
        story.good(&Actor::Gateway, obeyed(OrderKind::Broadcast(1)));
        assert!(story.later(500, &Actor::Gateway, Seen::Greeted).is_err(), "alice-1 knows nothing");
    }
}
