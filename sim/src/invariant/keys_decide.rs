use std::collections::{BTreeMap, BTreeSet};

use tickgate::audit::{Record, What};
use tickgate::config::{Action, RoleTable};
use tickgate::topic::{Role, UserId};

use super::holdings::{Holding, Settled};
use super::keys_of_users::KeysOfUsers;
use super::trouble::Trouble;
use super::{Held, Invariant};
use crate::history::{Actor, ClientName, Event, KeyChange, Phase, Reply, Request, Seen};
use crate::plan::Plan;
use crate::world;

/// Added where moments of two hosts are compared.
const TOLERANCE_US: u64 = 40_000;

/// The close code of clients whose key is gone or gives another role; and of those whom an
/// administrator has removed, who are not judged here.
const REVOKED: u16 = 4403;

/// A key lets its user in while it holds and gives what its role may do; whoever came in by one
/// that is gone since, or gives another role, has to leave at once (G-08, G-10).
///
/// Nobody can say when exactly a change takes effect: between the order to read the keys again and
/// the word that this is done, either may hold.
pub(super) struct KeysDecide {
    roles: RoleTable,
    /// So long may the word of a change, or what was served before it, be under way to a client.
    journey_us: u64,
    trouble: Trouble,
    /// Who comes in by a channel, which has rules of its own.
    channelled: BTreeSet<ClientName>,
    keys: KeysOfUsers,
    clients: BTreeMap<ClientName, Client>,
    /// Since when those who try to connect do so, of those who show their keys at the door.
    knocked: BTreeMap<ClientName, u64>,
}

/// One connection.
#[derive(Debug, Default)]
struct Client {
    since_us: u64,
    /// Whom it has asked to be.
    asked: BTreeSet<UserId>,
    /// As whom it is in.
    inside: Option<Inside>,
    /// Since when its key holds no longer.
    out_since_us: Option<u64>,
}

/// By which key somebody is in: one that may have held at some moment between these.
#[derive(Clone, Debug)]
struct Inside {
    user: UserId,
    sent_us: u64,
    answered_us: u64,
}

impl KeysDecide {
    pub fn new(plan: &Plan) -> Self {
        Self {
            roles: world::config(plan).roles.table(),
            journey_us: 2 * plan.network.latency_ms[1] * 1_000 + TOLERANCE_US,
            trouble: Trouble::new(plan),
            channelled: plan
                .clients
                .iter()
                .filter(|client| client.channel.is_some())
                .map(|client| client.name.as_str().into())
                .collect(),
            keys: KeysOfUsers::new(plan),
            clients: BTreeMap::new(),
            knocked: BTreeMap::new(),
        }
    }

    /// The roles that whoever is in by such a key may have at this moment: one that came in by a
    /// key that is over has been sent away since.
    fn roles(&self, name: &ClientName, inside: &Inside, at_us: u64) -> BTreeSet<Role> {
        let Inside { user, sent_us, answered_us } = inside;
        let lags = self.trouble.lags(name);
        let is_over = |ended_us: u64| {
            let delay_us = self.trouble.delay_us(name, ended_us, at_us);
            !lags && delay_us.is_some_and(|delay| at_us > ended_us + self.journey_us + delay)
        };
        let keys = self.keys.between(user, *sent_us, *answered_us);
        keys.filter(|key| !key.to_us.is_some_and(is_over)).filter_map(|key| key.role).collect()
    }

    fn changed(&mut self, at_us: u64, change: &KeyChange) {
        if !self.keys.changed(at_us, change) {
            return;
        }
        for client in self.clients.values_mut() {
            if client.inside.as_ref().is_some_and(|inside| inside.user == change.user) {
                client.out_since_us.get_or_insert(at_us);
            }
        }
    }

    fn authenticated(&mut self, at_us: u64, settled: &Settled) -> Result<(), String> {
        let Request::Authenticate(Some(asked)) = &settled.request else { return Ok(()) };
        let name = &settled.client;
        let possible = self.keys.roles_between(asked, settled.sent_us, at_us);
        match &settled.reply {
            Reply::Authenticated(user) => {
                let inside =
                    Inside { user: user.clone(), sent_us: settled.sent_us, answered_us: at_us };
                if self.roles(name, &inside, at_us).is_empty() {
                    return Err(format!("{name} was let in by a key of {user} that was gone"));
                }
                let is_gone = possible.last() == Some(&None);
                let client = self.clients.entry(name.clone()).or_default();
                if client.inside.as_ref().is_none_or(|was| was.user != *user) {
                    client.out_since_us = None;
                }
                client.inside = Some(inside);
                if is_gone {
                    client.out_since_us.get_or_insert(at_us);
                }
                Ok(())
            }
            Reply::Refused { code, .. } if code == "AUTHENTICATION_ERROR" => match possible[..] {
                [Some(_)] => Err(format!("{name} was refused a key of {asked} that held")),
                _ => Ok(()),
            },
            Reply::Refused { .. } if settled.was.as_ref() != Some(asked) => {
                // It may be nobody now.
                if let Some(client) = self.clients.get_mut(name) {
                    (client.inside, client.out_since_us) = (None, None);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What the gateway itself says of whom it lets in.
    fn audited(&self, at_us: u64, record: &Record) -> Result<(), String> {
        let (What::Authenticated {}, Some(user), Some(role)) =
            (&record.what, &record.user, record.role)
        else {
            return Ok(());
        };
        let since_us = at_us.saturating_sub(TOLERANCE_US);
        let possible = self.keys.roles_between(user, since_us, at_us);
        if possible.is_empty() || possible.contains(&Some(role)) {
            return Ok(());
        }
        Err(format!("{user} was let in as a {role}, by a key that gave that once"))
    }

    /// What a role may do, it may; and nothing else.
    fn permitted(&self, settled: &Settled, holding: &Holding) -> Result<(), String> {
        let name = &settled.client;
        let Some(inside) = self.clients.get(name).and_then(|it| it.inside.as_ref()) else {
            return Ok(());
        };
        let (user, roles) = (&inside.user, self.roles(name, inside, settled.sent_us));
        if roles.is_empty() {
            // It has to leave, and is judged for that.
            return Ok(());
        }
        let most = |role: &Role| self.roles.of(*role).subscriptions_max.unwrap_or(usize::MAX);
        let most = roles.iter().map(most).max().unwrap_or(usize::MAX);
        if holding.topics.len() > most {
            let held = holding.topics.len();
            return Err(format!("{name} holds {held} topics, and its role may hold {most}"));
        }
        let action = match &settled.request {
            Request::Subscribe(_) => Action::Ticks,
            Request::SubscribeOrders => Action::Orders,
            _ => return Ok(()),
        };
        let mut allows = roles.iter().map(|role| self.roles.of(*role).allows(action));
        let is_done = matches!(settled.reply, Reply::Subscribed(_) | Reply::OrdersOn);
        let is_forbidden =
            matches!(&settled.reply, Reply::Refused { code, .. } if code == "FORBIDDEN");
        if is_done && !allows.any(|allowed| allowed) {
            return Err(format!("{name} was given what the role of {user} may not have"));
        }
        if is_forbidden && !self.channelled.contains(name) && allows.all(|allowed| allowed) {
            return Err(format!("{name} was forbidden what the role of {user} may have"));
        }
        Ok(())
    }

    /// Whoever has to leave is served no more. Who has asked to be somebody else may be that.
    fn served(&self, name: &ClientName, at_us: u64, held: &Held<'_>) -> Result<(), String> {
        let Some(Client { out_since_us: Some(since_us), inside, .. }) = self.clients.get(name)
        else {
            return Ok(());
        };
        if self.trouble.lags(name) {
            return Ok(());
        }
        let is = inside.as_ref().map(|inside| &inside.user);
        let asks = |request: &Request| match request {
            Request::Authenticate(Some(user)) => Some(user) != is,
            _ => false,
        };
        let pending = held.clients.get(name).into_iter().flat_map(|holding| &holding.pending);
        if pending.map(|(_, sent)| &sent.request).any(asks)
            || held.settled.is_some_and(|settled| asks(&settled.request))
        {
            return Ok(());
        }
        match self.trouble.delay_us(name, *since_us, at_us) {
            Some(delay_us) if at_us > since_us + self.journey_us + delay_us => {
                let ms = (at_us - since_us) / 1_000;
                Err(format!("{name} is still in {ms} ms after its key was gone or changed"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a client may be closed because its key is gone or changed.
    fn may_be_revoked(&self, name: &ClientName) -> bool {
        let Some(client) = self.clients.get(name) else { return false };
        client.asked.iter().any(|user| self.keys.have_changed_since(user, client.since_us))
    }
}

impl Invariant for KeysDecide {
    fn name(&self) -> &'static str {
        "keys_decide"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        let at_us = event.at_us;
        if let (Actor::Client(name), Seen::Lost { code: Some(REVOKED), reason }) =
            (&event.actor, &event.seen)
            && reason.starts_with("credential")
            && !self.may_be_revoked(name)
            && !self.trouble.may_be_cut_off(name)
        {
            return Err(format!("{name} was closed with {REVOKED} ({reason}) and its key holds"));
        }
        self.trouble.observe(event);
        match &event.seen {
            Seen::KeyChanges(change) => self.keys.changes(at_us, change),
            Seen::KeyChanged(change) => self.changed(at_us, change),
            Seen::Audited(record) => return self.audited(at_us, record),
            Seen::Phase(Phase::Rest) => {
                let names: Vec<_> = self.clients.keys().cloned().collect();
                return names.iter().try_for_each(|name| self.served(name, at_us, held));
            }
            _ => {}
        }
        let Actor::Client(name) = &event.actor else { return Ok(()) };
        match &event.seen {
            Seen::Knocks => {
                self.knocked.insert(name.clone(), at_us);
            }
            Seen::Connected { .. } => {
                let since_us = self.knocked.remove(name).unwrap_or(at_us);
                let client = Client { since_us, ..Client::default() };
                self.clients.insert(name.clone(), client);
            }
            Seen::TurnedAway { status: 401 } => {
                let (user, _) = name.split_once('-').unwrap_or((name, ""));
                let from_us = self.knocked.remove(name).unwrap_or(at_us);
                if let [Some(_)] = self.keys.roles_between(&user.into(), from_us, at_us)[..] {
                    return Err(format!("{name} was turned away with a key that held"));
                }
            }
            Seen::Lost { .. } | Seen::Leaves { .. } => {
                self.clients.remove(name);
            }
            Seen::Sent(sent) => {
                if let Request::Authenticate(Some(user)) = &sent.request {
                    self.clients.entry(name.clone()).or_default().asked.insert(user.clone());
                }
            }
            Seen::Answered(_) => {
                self.served(name, at_us, held)?;
                if let (Some(settled), Some(holding)) = (held.settled, held.client) {
                    self.authenticated(at_us, settled)?;
                    return self.permitted(settled, holding);
                }
            }
            Seen::Tick(_) | Seen::OrderUpdate { .. } => return self.served(name, at_us, held),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
