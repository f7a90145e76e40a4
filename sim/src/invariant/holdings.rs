//! What each client holds, according to the answers it has read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tickgate::topic::{ANONYMOUS, UserId};

use crate::history::{Actor, ClientName, Event, Reply, Request, RowOutcome, Seen, Sent};
use crate::topic_name::TopicName;

/// What clients hold when an event has happened.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Each of them.
    pub(super) clients: &'a Holdings,
    /// The one that saw the event, if it is a client and connected.
    pub(super) client: Option<&'a Holding>,
    /// The request that the event has settled, if it did.
    pub(super) settled: Option<&'a Settled>,
}

/// All clients that are connected.
#[derive(Debug, Default)]
pub struct Holdings {
    clients: BTreeMap<ClientName, Holding>,
    /// When those who are on their way in showed their keys at the door.
    knocked: BTreeMap<ClientName, u64>,
}

/// One connection of a client.
#[derive(Debug, Default)]
pub struct Holding {
    /// As whom it is authenticated.
    pub user: Option<UserId>,
    /// What it is subscribed to.
    pub topics: BTreeSet<TopicName>,
    /// Whether it gets order updates.
    pub orders: bool,
    /// Requests that were not answered yet, with the moment they were written.
    pub pending: VecDeque<(u64, Sent)>,
    /// When its first request was made, if that was to come in at all.
    knocked_us: Option<u64>,
}

/// A request that has just been answered.
#[derive(Debug)]
pub struct Settled {
    pub client: ClientName,
    pub sent_us: u64,
    pub request: Request,
    pub reply: Reply,
    /// As whom the client was authenticated before.
    pub was: Option<UserId>,
}

impl<'a> Held<'a> {
    /// What is held after an event, which has settled this.
    pub fn after(event: &Event, clients: &'a Holdings, settled: Option<&'a Settled>) -> Self {
        let client = match &event.actor {
            Actor::Client(client) => clients.get(client),
            Actor::Broker(_)
            | Actor::Feed
            | Actor::Operator
            | Actor::Gateway
            | Actor::Network
            | Actor::Log => None,
        };
        Self { clients, client, settled }
    }
}

impl Holdings {
    /// Takes an event in; tells if it settled a request.
    pub fn observe(&mut self, event: &Event) -> Option<Settled> {
        let Actor::Client(client) = &event.actor else { return None };
        match &event.seen {
            Seen::Knocks => {
                self.knocked.insert(client.clone(), event.at_us);
                None
            }
            Seen::Connected { .. } => {
                let knocked_us = self.knocked.remove(client);
                self.clients.insert(client.clone(), Holding { knocked_us, ..Holding::default() });
                None
            }
            Seen::Leaves { .. } | Seen::Lost { .. } => {
                self.clients.remove(client);
                None
            }
            Seen::Sent(sent) => {
                let holding = self.clients.get_mut(client)?;
                let sent_us = holding.knocked_us.take().unwrap_or(event.at_us);
                holding.pending.push_back((sent_us, sent.clone()));
                None
            }
            Seen::Answered(answer) => {
                let holding = self.clients.get_mut(client)?;
                let (sent_us, sent) = holding.pending.pop_front()?;
                let was = holding.user.clone();
                holding.settle(&sent.request, &answer.reply);
                let (request, reply) = (sent.request, answer.reply.clone());
                Some(Settled { client: client.clone(), sent_us, request, reply, was })
            }
            _ => None,
        }
    }

    pub fn get(&self, client: &ClientName) -> Option<&Holding> {
        self.clients.get(client)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ClientName, &Holding)> {
        self.clients.iter()
    }

    /// How many clients of each user hold each topic.
    pub fn counts(&self) -> BTreeMap<(UserId, TopicName), u64> {
        let mut counts = BTreeMap::new();
        for holding in self.clients.values() {
            let Some(user) = &holding.user else { continue };
            for topic in &holding.topics {
                *counts.entry((user.clone(), topic.clone())).or_default() += 1;
            }
        }
        counts
    }
}

/// Whether only somebody can be answered so: whoever has not said who it is, is anonymous.
const fn tells_of_a_user(reply: &Reply) -> bool {
    matches!(reply, Reply::Subscribed(_) | Reply::Unsubscribed { .. } | Reply::BrokerInfo { .. })
}

impl Holding {
    /// Whether a tick of this topic may be read now: it is held, or an answer is awaited that may
    /// say so.
    pub fn may_get(&self, topic: &TopicName) -> bool {
        self.topics.contains(topic) || self.awaits(topic)
    }

    /// Whether a subscribe to this topic was not answered yet.
    pub fn awaits(&self, topic: &TopicName) -> bool {
        self.pending.iter().any(|(_, sent)| {
            matches!(&sent.request, Request::Subscribe(topics) if topics.contains(topic))
        })
    }

    fn settle(&mut self, request: &Request, reply: &Reply) {
        if self.user.is_none() && tells_of_a_user(reply) {
            self.user = Some(ANONYMOUS.into());
        }
        match (request, reply) {
            (Request::Authenticate(_), Reply::Authenticated(user)) => {
                if self.user.as_ref() != Some(user) {
                    self.release();
                }
                self.user = Some(user.clone());
            }
            // A good key of another user: what was held is released before the broker is asked.
            (Request::Authenticate(Some(user)), Reply::Refused { code, .. })
                if code.starts_with("BROKER_") && self.user.as_ref() != Some(user) =>
            {
                self.release();
                self.user = None;
            }
            (Request::Subscribe(topics), Reply::Subscribed(rows)) => {
                for (topic, row) in topics.iter().zip(rows) {
                    match row.outcome {
                        RowOutcome::Success | RowOutcome::Already => {
                            self.topics.insert(topic.clone());
                        }
                        RowOutcome::Failed { .. } => {}
                    }
                }
            }
            (Request::Unsubscribe(entries), Reply::Unsubscribed { successful, .. }) => {
                for entry in entries {
                    let instrument = entry.topic.instrument();
                    if !successful.contains(&instrument.to_string()) {
                        continue;
                    }
                    match entry.every_mode {
                        true => self.topics.retain(|held| held.instrument() != instrument),
                        false => {
                            self.topics.remove(&entry.topic);
                        }
                    }
                }
            }
            (Request::UnsubscribeAll, Reply::Unsubscribed { .. }) => self.topics.clear(),
            (_, Reply::OrdersOn) => self.orders = true,
            (_, Reply::OrdersOff) => self.orders = false,
            (_, _) => {}
        }
    }

    fn release(&mut self) {
        self.topics.clear();
        self.orders = false;
    }
}
