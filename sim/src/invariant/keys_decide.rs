use std::collections::{BTreeMap, BTreeSet};

use tickgate::config::{Action, RoleTable};
use tickgate::topic::{Role, UserId};

use super::holdings::{Holding, Settled};
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
    /// What the key of each user gave, in turn.
    keys: BTreeMap<UserId, Vec<Key>>,
    clients: BTreeMap<ClientName, Client>,
    /// Since when those who try to connect do so, of those who show their keys at the door.
    knocked: BTreeMap<ClientName, u64>,
}

/// What a key gives, or that there is none.
#[derive(Clone, Copy, Debug)]
struct Key {
    role: Option<Role>,
    /// It may hold since then, and holds since `to_us` of the one before.
    from_us: u64,
    /// It holds no longer for certain.
    to_us: Option<u64>,
}

/// One connection.
#[derive(Debug, Default)]
struct Client {
    since_us: u64,
    /// Whom it has asked to be.
    asked: BTreeSet<UserId>,
    /// As whom it is in, and which roles its key may have given.
    inside: Option<(UserId, BTreeSet<Role>)>,
    /// Since when its key holds no longer.
    out_since_us: Option<u64>,
}

impl KeysDecide {
    pub fn new(plan: &Plan) -> Self {
        let first = |user: &UserId| {
            let role = Some(plan.first_role(user));
            (user.clone(), vec![Key { role, from_us: 0, to_us: None }])
        };
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
            keys: plan.users.iter().map(first).collect(),
            clients: BTreeMap::new(),
            knocked: BTreeMap::new(),
        }
    }

    /// What the key of a user may have given at some moment of this time.
    fn between(&self, user: &UserId, from_us: u64, to_us: u64) -> Vec<Option<Role>> {
        let keys = self.keys.get(user).into_iter().flatten();
        let meets = |key: &&Key| {
            key.from_us <= to_us && key.to_us.is_none_or(|ended_us| from_us <= ended_us)
        };
        keys.filter(meets).map(|key| key.role).collect()
    }

    fn changes(&mut self, at_us: u64, change: &KeyChange) {
        let keys = self.keys.entry(change.user.clone()).or_default();
        if keys.last().is_none_or(|last| last.role != change.role) {
            keys.push(Key { role: change.role, from_us: at_us, to_us: None });
        }
    }

    fn changed(&mut self, at_us: u64, change: &KeyChange) {
        let Some([before, _]) =
            self.keys.get_mut(&change.user).and_then(|keys| keys.last_chunk_mut())
        else {
            return;
        };
        if before.to_us.is_some() {
            // It was no change.
            return;
        }
        before.to_us = Some(at_us);
        for client in self.clients.values_mut() {
            if client.inside.as_ref().is_some_and(|(user, _)| *user == change.user) {
                client.out_since_us.get_or_insert(at_us);
            }
        }
    }

    fn authenticated(&mut self, at_us: u64, settled: &Settled) -> Result<(), String> {
        let Request::Authenticate(Some(asked)) = &settled.request else { return Ok(()) };
        let name = &settled.client;
        let possible = self.between(asked, settled.sent_us, at_us);
        match &settled.reply {
            Reply::Authenticated(user) => {
                let roles: BTreeSet<Role> = possible.iter().copied().flatten().collect();
                if roles.is_empty() {
                    return Err(format!("{name} was let in by a key of {user} that was gone"));
                }
                let is_gone = possible.last() == Some(&None);
                let client = self.clients.entry(name.clone()).or_default();
                if client.inside.as_ref().is_none_or(|(was, _)| was != user) {
                    client.out_since_us = None;
                }
                client.inside = Some((user.clone(), roles));
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

    /// What a role may do, it may; and nothing else.
    fn permitted(&self, settled: &Settled, holding: &Holding) -> Result<(), String> {
        let name = &settled.client;
        let Some((user, roles)) = self.clients.get(name).and_then(|it| it.inside.as_ref()) else {
            return Ok(());
        };
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
        let is = inside.as_ref().map(|(user, _)| user);
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
        client.asked.iter().any(|user| {
            let keys = self.keys.get(user).map_or(&[][..], Vec::as_slice);
            let gone = |key: &Key| key.to_us.is_none_or(|to_us| to_us >= client.since_us);
            keys.split_last().is_some_and(|(_, before)| before.iter().any(gone))
        })
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
            Seen::KeyChanges(change) => self.changes(at_us, change),
            Seen::KeyChanged(change) => self.changed(at_us, change),
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
                if let [Some(_)] = self.between(&user.into(), from_us, at_us)[..] {
                    return Err(format!("{name} was turned away with a key that held"));
                }
            }
            Seen::Lost { .. } | Seen::Leaves { .. } => {
                self.clients.remove(name);
            }
            Seen::Sent(sent) => {
                if let Request::Authenticate(Some(user)) = &sent.request {
                    let client = self.clients.entry(name.clone()).or_default();
                    client.asked.insert(user.clone());
                }
            }
            Seen::Answered(_) => {
                self.served(name, at_us, held)?;
                if let (Some(settled), Some(holding)) = (held.settled, held.client) {
                    self.authenticated(at_us, settled)?;
                    return self.permitted(settled, holding);
                }
            }
            Seen::Tick(_) | Seen::OrderUpdate { .. } => {
                return self.served(name, at_us, held);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, plan};
    use super::*;

    fn story() -> Story<KeysDecide> {
        Story::of(KeysDecide::new(&plan()))
    }

    fn change(story: &mut Story<KeysDecide>, role: Option<Role>) {
        let change = KeyChange { user: "alice".into(), role };
        story.good(&Actor::Gateway, Seen::KeyChanges(change.clone()));
        story.good(&Actor::Gateway, Seen::KeyChanged(change));
    }

    fn refused(code: &str) -> Reply {
        Reply::Refused { code: code.into(), message: String::new() }
    }

    fn closed(code: u16) -> Seen {
        Seen::Lost { code: Some(code), reason: "credential revoked".into() }
    }

    #[test]
    fn a_key_that_is_gone_lets_nobody_in() {
        let mut story = story();
        story.connect("alice-1");
        let early = story.send("alice-1", Request::Authenticate(Some("alice".into())));
        change(&mut story, None);
        let known = Reply::Authenticated("alice".into());
        assert_eq!(story.answer("alice-1", early, known.clone()), Ok(()), "it held when it asked");
        let late = story.send("alice-1", Request::Authenticate(Some("alice".into())));
        assert!(story.answer("alice-1", late, known).is_err());
    }

    #[test]
    fn a_key_that_holds_lets_its_user_in() {
        let wrong = "AUTHENTICATION_ERROR";
        let mut story = story();
        story.connect("alice-1");
        let id = story.send("alice-1", Request::Authenticate(Some("alice".into())));
        assert!(story.answer("alice-1", id, refused(wrong)).is_err());
        let mut other = self::story();
        other.connect("alice-1");
        let id = other.send("alice-1", Request::Authenticate(Some("alice".into())));
        change(&mut other, None);
        assert_eq!(other.answer("alice-1", id, refused(wrong)), Ok(()));
        assert!(other.later(9, &client("bob-1"), Seen::TurnedAway { status: 401 }).is_err());
        assert_eq!(other.later(9, &client("alice-2"), Seen::TurnedAway { status: 401 }), Ok(()));
    }

    #[test]
    fn who_came_in_by_a_key_that_is_gone_is_served_no_longer() {
        for role in [None, Some(Role::Viewer)] {
            let mut story = story();
            story.join("alice-1");
            story.join("bob-1");
            change(&mut story, role);
            assert_eq!(story.tick("alice-1", "NSE:A/LTP", 1), Ok(()), "it was under way");
            story.later(300, &Actor::Network, Seen::Finished).expect("nothing");
            assert_eq!(story.tick("bob-1", "NSE:A/LTP", 1), Ok(()));
            assert!(story.tick("alice-1", "NSE:A/LTP", 2).is_err());
        }
    }

    #[test]
    fn who_stays_without_a_word_is_noticed_when_all_is_at_rest() {
        let mut story = story();
        story.join("alice-1");
        change(&mut story, None);
        let rest = Seen::Phase(Phase::Rest);
        assert!(story.later(300, &Actor::Operator, rest).is_err());
    }

    #[test]
    fn nobody_is_closed_whose_key_holds() {
        let mut story = story();
        story.join("alice-1");
        story.join("bob-1");
        change(&mut story, None);
        assert!(story.see(&client("bob-1"), closed(REVOKED)).is_err());
        assert_eq!(story.see(&client("alice-1"), closed(REVOKED)), Ok(()));
    }

    #[test]
    fn roles_give_what_they_give_and_no_more() {
        for (role, reply, is_good) in [
            (Role::Viewer, Reply::OrdersOn, false),
            (Role::Viewer, refused("FORBIDDEN"), true),
            (Role::Admin, refused("FORBIDDEN"), false),
            (Role::Admin, Reply::OrdersOn, true),
        ] {
            let mut story = story();
            change(&mut story, Some(role));
            story.join("alice-1");
            let id = story.send("alice-1", Request::SubscribeOrders);
            assert_eq!(story.answer("alice-1", id, reply).is_ok(), is_good, "{role}");
        }
    }

    #[test]
    fn a_change_that_changes_nothing_sends_nobody_away() {
        let mut story = story();
        story.join("alice-1");
        change(&mut story, Some(Role::default()));
        story.later(300, &Actor::Network, Seen::Finished).expect("nothing");
        assert_eq!(story.tick("alice-1", "NSE:A/LTP", 2), Ok(()));
    }
}
