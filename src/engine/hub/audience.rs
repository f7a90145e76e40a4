//! Who listens to which broadcast, counted by shard as the wants of topics are.

use std::collections::BTreeMap;

use super::client::Client;
use super::{Effect, Hub, ShardId};
use crate::config::Action;
use crate::engine::{ChannelId, RouteId};
use crate::topic::ClientId;

/// The audiences of all broadcasts that have one.
#[derive(Clone, Debug, Default)]
pub(super) struct Audiences {
    by_channel: BTreeMap<ChannelId, Audience>,
    /// What has ended. It is told last: first the clients leave the route.
    ended: Vec<(ChannelId, RouteId, ShardId)>,
}

#[derive(Clone, Debug)]
struct Audience {
    route: RouteId,
    /// How many clients listen, by shard. Never zero.
    listeners: Vec<(ShardId, usize)>,
}

impl Audiences {
    fn add(
        &mut self,
        channel: ChannelId,
        shard: ShardId,
        fresh: impl FnOnce() -> RouteId,
        effects: &mut Vec<Effect>,
    ) -> RouteId {
        let new = || Audience { route: fresh(), listeners: Vec::new() };
        let audience = self.by_channel.entry(channel).or_insert_with(new);
        let route = audience.route;
        if let Some((_, count)) = audience.listeners.iter_mut().find(|(at, _)| *at == shard) {
            *count += 1;
            return route;
        }
        audience.listeners.push((shard, 1));
        let ended = self.ended.iter().position(|it| *it == (channel, route, shard));
        match ended {
            Some(at) => drop(self.ended.remove(at)),
            None => effects.push(Effect::Audience { channel, route, shard, wanted: true }),
        }
        route
    }

    fn remove(&mut self, channel: ChannelId, shard: ShardId) -> RouteId {
        let audience = self.by_channel.get_mut(&channel).expect("a listener has an audience");
        let route = audience.route;
        let listeners = &mut audience.listeners;
        let at = listeners.iter().position(|(at, _)| *at == shard).expect("a listener is counted");
        listeners[at].1 -= 1;
        if listeners[at].1 == 0 {
            listeners.swap_remove(at);
            self.ended.push((channel, route, shard));
        }
        if self.by_channel[&channel].listeners.is_empty() {
            self.by_channel.remove(&channel);
        }
        route
    }

    /// Tells of the listening that has ended since the last call.
    pub fn flush(&mut self, effects: &mut Vec<Effect>) {
        if self.ended.is_empty() {
            return;
        }
        let ended = self.ended.drain(..).map(|(channel, route, shard)| Effect::Audience {
            channel,
            route,
            shard,
            wanted: false,
        });
        effects.extend(ended);
    }
}

impl Hub {
    /// From now on a client hears what its channel broadcasts, if it may; the route that it is to
    /// join then.
    pub(super) fn listen(&mut self, id: ClientId, effects: &mut Vec<Effect>) -> Option<RouteId> {
        let client = &self.clients[&id];
        let may = self.options.roles.of(client.role).allows(Action::Ticks);
        let is_new = client.listens.is_none() && !client.closing;
        if !(self.rules_there(id).broadcast && may && is_new) {
            return None;
        }
        let (channel, shard) = (client.channel, client.shard);
        let routes = &mut self.routes;
        let route = self.audiences.add(channel, shard, || routes.fresh(), effects);
        self.clients[&id].listens = Some(route);
        Some(route)
    }

    /// A client hears no broadcasts any more; the route that it has to leave.
    pub(super) fn stop_listening(&mut self, id: ClientId) -> Option<RouteId> {
        let client = &mut self.clients[&id];
        client.listens.take()?;
        Some(self.audiences.remove(client.channel, client.shard))
    }

    pub(super) fn check_audiences(&self) {
        let listens = |client: &&Client| client.listens.is_some();
        if self.audiences.by_channel.is_empty() {
            assert!(!self.clients.values().any(|client| listens(&client)), "nobody is heard");
            return;
        }
        let mut counted = BTreeMap::new();
        for client in self.clients.values().filter(listens) {
            *counted.entry((client.channel, client.listens, client.shard)).or_insert(0) += 1;
        }
        let mut kept = BTreeMap::new();
        for (channel, audience) in &self.audiences.by_channel {
            for (shard, count) in &audience.listeners {
                kept.insert((*channel, Some(audience.route), *shard), *count);
            }
        }
        assert_eq!(kept, counted, "audiences and listeners have drifted apart");
    }
}
