use std::collections::{BTreeMap, BTreeSet};

use tickgate::topic::{ANONYMOUS, UserId};

use super::holdings::Holding;
use super::misconduct::Misconduct;
use super::trouble::Trouble;
use super::{Held, Invariant};
use crate::history::{Actor, ClientName, Event, Request, Seen, Sent};
use crate::plan::Plan;
use crate::topic_name::TopicName;

/// So long may the end of a connection be under way to its client.
const JOURNEY_US: u64 = 200_000;

/// Neither a host nor a user ever has more connections than it may, and the clients of a user never
/// hold more together; nobody is turned away who has a place left (RC-009).
///
/// A client may learn late that its connection is over. So a limit counts as broken when those who
/// are too many are all still there a journey later; whoever a fault may have cut off, or does not
/// read, is not counted.
pub(super) struct PlacesHold {
    per_host_max: usize,
    per_user_max: usize,
    topics_per_user_max: usize,
    hosts: BTreeMap<ClientName, u32>,
    trouble: Trouble,
    misconduct: Misconduct,
    connected: BTreeSet<ClientName>,
    /// Clients of channels that may be full; `channels_hold` judges those.
    channelled: BTreeSet<ClientName>,
    suspicions: Vec<Suspicion>,
}

/// Too many, unless one of them is gone before this moment.
struct Suspicion {
    at_us: u64,
    clients: BTreeSet<ClientName>,
    what: String,
}

impl PlacesHold {
    pub fn new(plan: &Plan) -> Self {
        let clients = plan.clients.iter();
        Self {
            per_host_max: plan.gateway.connections_per_address_max,
            per_user_max: plan.gateway.clients_per_user_max,
            topics_per_user_max: plan.gateway.subscriptions_per_user_max,
            hosts: clients.map(|client| (client.name.as_str().into(), client.host)).collect(),
            trouble: Trouble::new(plan),
            misconduct: Misconduct::new(plan),
            connected: BTreeSet::new(),
            channelled: channelled(plan),
            suspicions: Vec::new(),
        }
    }

    fn counts(&self, client: &ClientName) -> bool {
        !self.trouble.may_be_cut_off(client) && !self.trouble.lags(client)
    }

    fn suspect(&mut self, at_us: u64, clients: BTreeSet<ClientName>, what: String) {
        self.suspicions.push(Suspicion { at_us: at_us + JOURNEY_US, clients, what });
    }

    fn connected(&mut self, at_us: u64, client: &ClientName) {
        let host = self.hosts.get(client);
        let here = self.connected.iter().filter(|other| self.hosts.get(*other) == host);
        let here: BTreeSet<_> = here.filter(|other| self.counts(other)).cloned().collect();
        let max = self.per_host_max;
        if here.len() > max {
            let count = here.len();
            let what =
                format!("{client} made {count} connections of its host, which may have {max}");
            self.suspect(at_us, here, what);
        }
    }

    fn settled(&mut self, at_us: u64, user: &UserId, held: &Held<'_>) {
        if user.as_str() == ANONYMOUS {
            // Those who do not know of each other are no user with limits.
            return;
        }
        let of_user: Vec<_> = held
            .clients
            .iter()
            .filter(|(name, holding)| stays(holding, user) && self.counts(name))
            .collect();
        let names = || of_user.iter().map(|(name, _)| (*name).clone()).collect();
        let (count, max) = (of_user.len(), self.per_user_max);
        let topics: usize = of_user.iter().map(|(_, holding)| surely_held(holding)).sum();
        let topics_max = self.topics_per_user_max;
        if count > max {
            let what = format!("{user} has {count} clients and may have {max}");
            self.suspect(at_us, names(), what);
        } else if topics > topics_max {
            let what = format!("{user} holds {topics} topics in all and may hold {topics_max}");
            self.suspect(at_us, names(), what);
        }
    }

    /// What a fault has struck since may be over without anybody's knowing.
    fn excuse(&mut self) {
        if self.suspicions.is_empty() {
            return;
        }
        let excused = |it: &&ClientName| !self.counts(it);
        let excused: BTreeSet<_> = self.connected.iter().filter(excused).cloned().collect();
        self.suspicions.retain(|it| it.clients.is_disjoint(&excused));
    }

    fn turned_away(&self, client: &ClientName, status: u16) -> Result<(), String> {
        let host = self.hosts.get(client);
        let others = self.hosts.iter().filter(|(name, at)| *name != client && Some(*at) == host);
        match status {
            403 if self.misconduct.may_be_blocked(client) => Ok(()),
            // A connection that is over may linger, and so may a handshake that died.
            // What a key is worth is `keys_decide`'s.
            401 => Ok(()),
            429 if others.count() >= self.per_host_max => Ok(()),
            503 if self.channelled.contains(client) => Ok(()),
            status => Err(format!("{client} was turned away with {status} for no reason")),
        }
    }
}

fn channelled(plan: &Plan) -> BTreeSet<ClientName> {
    let inside = plan.clients.iter().filter(|client| client.channel.is_some());
    inside.map(|client| client.name.as_str().into()).collect()
}

/// Whether a client is this user, and has not asked to be another one, which it may be by now.
fn stays(holding: &Holding, user: &UserId) -> bool {
    let switches =
        |sent: &Sent| matches!(&sent.request, Request::Authenticate(Some(other)) if other != user);
    holding.user.as_ref() == Some(user) && !holding.pending.iter().any(|(_, sent)| switches(sent))
}

/// How many topics a client holds, without those that it has asked to be rid of.
fn surely_held(holding: &Holding) -> usize {
    let gone = |topic: &TopicName| {
        holding.pending.iter().any(|(_, sent)| match &sent.request {
            Request::UnsubscribeAll => true,
            Request::Unsubscribe(entries) => {
                entries.iter().any(|entry| entry.topic.instrument() == topic.instrument())
            }
            _ => false,
        })
    };
    holding.topics.iter().filter(|topic| !gone(topic)).count()
}

impl Invariant for PlacesHold {
    fn name(&self) -> &'static str {
        "places_hold"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        self.trouble.observe(event);
        self.misconduct.observe(event);
        if let Some(broken) = self.suspicions.iter().find(|it| it.at_us <= event.at_us) {
            return Err(broken.what.clone());
        }
        let Actor::Client(client) = &event.actor else { return Ok(()) };
        match &event.seen {
            Seen::Connected { .. } => {
                self.connected.insert(client.clone());
                self.connected(event.at_us, client);
            }
            Seen::Leaves { .. } | Seen::Lost { .. } => {
                self.connected.remove(client);
                self.suspicions.retain(|it| !it.clients.contains(client));
            }
            Seen::TurnedAway { status } => return self.turned_away(client, *status),
            Seen::Answered(_) => {
                let user = held.settled.and(held.client).and_then(|holding| holding.user.clone());
                if let Some(user) = user {
                    self.settled(event.at_us, &user, held);
                }
            }
            _ => {}
        }
        self.excuse();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, plan};
    use super::*;
    use crate::fault::{FaultKind, Party, Strike};

    fn story(change: impl FnOnce(&mut Plan)) -> Story<PlacesHold> {
        let mut plan = plan();
        plan.clients.iter_mut().for_each(|client| client.host = 0);
        change(&mut plan);
        Story::of(PlacesHold::new(&plan))
    }

    fn passes(story: &mut Story<PlacesHold>) -> Result<(), String> {
        story.later(300, &Actor::Operator, Seen::Finished)
    }

    #[test]
    fn a_connection_too_many_is_noticed_unless_one_was_over() {
        for (lost, is_good) in [(false, false), (true, true)] {
            let mut story = story(|plan| plan.gateway.connections_per_address_max = 1);
            story.connect("alice-1");
            story.connect("alice-2");
            if lost {
                let lost = Seen::Lost { code: Some(4401), reason: String::new() };
                story.good(&client("alice-1"), lost);
            }
            assert_eq!(passes(&mut story).is_ok(), is_good);
        }
    }

    #[test]
    fn whoever_a_fault_may_have_cut_off_is_not_counted() {
        let mut story = story(|plan| plan.gateway.connections_per_address_max = 1);
        story.connect("alice-1");
        let party = Party::Client("alice-1".into());
        let strike = Strike { fault: FaultKind::Reset, party, lasts_ms: 0 };
        story.good(&Actor::Network, Seen::Struck(strike));
        story.connect("alice-2");
        assert_eq!(passes(&mut story), Ok(()));
    }

    #[test]
    fn a_client_of_a_user_too_many_is_noticed() {
        let mut story = story(|plan| plan.gateway.clients_per_user_max = 1);
        story.join("alice-1");
        story.join("alice-2");
        let problem = passes(&mut story).expect_err("too many");
        assert_eq!(problem, "alice has 2 clients and may have 1");
    }

    #[test]
    fn a_topic_of_a_user_too_many_is_noticed() {
        let mut story = story(|plan| plan.gateway.subscriptions_per_user_max = 1);
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:A/LTP");
        story.join("alice-2");
        story.subscribe("alice-2", "NSE:A/LTP");
        assert!(passes(&mut story).is_err());
    }

    #[test]
    fn whoever_is_turned_away_must_have_been_too_many_or_rude() {
        let turned_away = |story: &mut Story<PlacesHold>, status| {
            story.see(&client("alice-1"), Seen::TurnedAway { status })
        };
        let mut polite = story(|plan| plan.gateway.connections_per_address_max = 10);
        for status in [429, 403, 503, 500] {
            assert!(turned_away(&mut polite, status).is_err(), "{status}");
        }
        let mut rude = story(|plan| (plan.gateway.close_at, plan.gateway.strikes_max) = (2, 1));
        rude.connect("alice-1");
        rude.send("alice-1", Request::Garbage("{".into()));
        assert_eq!(turned_away(&mut rude, 403), Ok(()));
    }
}
