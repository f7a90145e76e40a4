//! Who listens to which broadcast, and what the gateway has to subscribe to for them.

use std::collections::{BTreeMap, BTreeSet};

use tickgate::config::{ChannelAuth, ChannelEntry, ChannelKind, TopicPattern};
use tickgate::topic::UserId;

use super::holdings::Holdings;
use crate::history::{Actor, ClientName, Event, Seen};
use crate::plan::Plan;
use crate::topic_name::TopicName;

/// The broadcast channels of a world, with their listeners.
#[derive(Clone, Debug, Default)]
pub(super) struct Listeners {
    channels: Vec<ChannelEntry>,
    /// The channel of each client that has one.
    of: BTreeMap<ClientName, usize>,
    connected: BTreeSet<ClientName>,
}

impl Listeners {
    pub fn new(plan: &Plan) -> Self {
        let channels = plan.gateway.channels.clone();
        let place = |path: &String| channels.iter().position(|channel| channel.path == *path);
        let clients = plan.clients.iter();
        let of = clients.filter_map(|client| {
            Some((client.name.as_str().into(), client.channel.as_ref().and_then(place)?))
        });
        Self { of: of.collect(), channels, connected: BTreeSet::new() }
    }

    pub fn observe(&mut self, event: &Event) {
        let Actor::Client(client) = &event.actor else { return };
        match &event.seen {
            Seen::Connected { .. } => drop(self.connected.insert(client.clone())),
            Seen::Leaves { .. } | Seen::Lost { .. } => drop(self.connected.remove(client)),
            _ => {}
        }
    }

    /// The channel that a client hears, if that is a broadcast.
    pub fn broadcast_of(&self, client: &ClientName) -> Option<&ChannelEntry> {
        let channel = &self.channels[*self.of.get(client)?];
        (channel.kind == ChannelKind::Broadcast).then_some(channel)
    }

    /// Those who are connected to a channel.
    pub fn connected<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a ClientName> {
        let inside = move |client: &&ClientName| {
            self.of.get(*client).is_some_and(|at| self.channels[*at].path == path)
        };
        self.connected.iter().filter(inside)
    }

    /// Broadcast channels that somebody hears.
    pub fn heard(&self, clients: &Holdings) -> impl Iterator<Item = &ChannelEntry> {
        let broadcasts = self.channels.iter().filter(|it| it.kind == ChannelKind::Broadcast);
        broadcasts.filter(|channel| {
            let somebody = |client: &ClientName| {
                clients.get(client).is_some_and(|holding| holding.user.is_some())
            };
            let anybody = channel.auth == ChannelAuth::Anonymous;
            self.connected(&channel.path).any(|client| anybody || somebody(client))
        })
    }

    /// What the gateway itself wants for them, each once, and as whom.
    pub fn wants(&self, clients: &Holdings) -> BTreeSet<(UserId, TopicName)> {
        self.heard(clients).flat_map(wants_of).collect()
    }
}

/// What a channel subscribes to while it is heard.
pub(super) fn wants_of(channel: &ChannelEntry) -> Vec<(UserId, TopicName)> {
    let Some(user) = &channel.user else { return Vec::new() };
    let exact = channel.patterns().into_iter().filter_map(|pattern| match pattern {
        TopicPattern::Exact(topic) => {
            let instrument = topic.instrument;
            Some(TopicName::new(&instrument.exchange, &instrument.symbol, topic.mode))
        }
        TopicPattern::Wild { .. } => None,
    });
    exact.map(|topic| (user.as_str().into(), topic)).collect()
}
