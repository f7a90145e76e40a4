//! Numbers for (topic, broker) pairs, and who wants them on which shard.

use indexmap::{Equivalent, IndexMap};

use super::{Effect, ShardId};
use crate::engine::RouteId;
use crate::engine::numbered::NumberMap;
use crate::topic::{BrokerName, Topic};

/// Every route that somebody wants.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes {
    by_key: IndexMap<(Topic, BrokerName), Route>,
    next: u64,
    /// Interest that has ended. It is told last: first the clients leave the route.
    ended: NumberMap<(RouteId, ShardId), (Topic, BrokerName)>,
    /// Routes whose sessions have changed since that was told.
    touched: Vec<(Topic, BrokerName)>,
}

#[derive(Clone, Debug)]
struct Route {
    id: RouteId,
    /// How many clients want it, by shard. Never zero.
    wants: Vec<(ShardId, usize)>,
    /// Users who want it and have a session that is up.
    serving: usize,
    /// The feed has been told that there is one; it takes that for granted.
    told_served: bool,
}

/// Looks a route up without building its key. It hashes as the tuple does.
#[derive(Hash)]
struct Key<'a>(&'a Topic, &'a BrokerName);

impl Equivalent<(Topic, BrokerName)> for Key<'_> {
    fn equivalent(&self, key: &(Topic, BrokerName)) -> bool {
        *self.0 == key.0 && *self.1 == key.1
    }
}

impl Routes {
    /// Counts one more client of `shard` that wants `topic` from `broker`.
    pub fn add(
        &mut self,
        topic: &Topic,
        broker: &BrokerName,
        shard: ShardId,
        effects: &mut Vec<Effect>,
    ) {
        let next = &mut self.next;
        let route = self.by_key.entry((topic.clone(), broker.clone())).or_insert_with(|| {
            *next += 1;
            Route { id: RouteId(*next), wants: Vec::new(), serving: 0, told_served: true }
        });
        if let Some((_, count)) = route.wants.iter_mut().find(|(at, _)| *at == shard) {
            *count += 1;
            return;
        }
        route.wants.push((shard, 1));
        // If it comes back before its end was told, there is nothing to tell: said now, its end
        // would come last and win.
        if self.ended.swap_remove(&(route.id, shard)).is_none() {
            effects.push(interest(route.id, topic, broker, shard, true));
        }
    }

    /// A number that no route has had.
    pub fn fresh(&mut self) -> RouteId {
        self.next += 1;
        RouteId(self.next)
    }

    /// Counts one client less.
    pub fn remove(&mut self, topic: &Topic, broker: &BrokerName, shard: ShardId) {
        let key = (topic.clone(), broker.clone());
        let route = self.by_key.get_mut(&key).expect("a want has a route");
        let at = route.wants.iter().position(|(at, _)| *at == shard).expect("a want has a shard");
        route.wants[at].1 -= 1;
        if route.wants[at].1 > 0 {
            return;
        }
        route.wants.swap_remove(at);
        self.ended.insert((route.id, shard), (topic.clone(), broker.clone()));
        if route.wants.is_empty() {
            self.by_key.swap_remove(&key);
        }
    }

    /// One session more (`up`) serves a route, or one less.
    pub fn serve(&mut self, topic: &Topic, broker: &BrokerName, up: bool) {
        let key = (topic.clone(), broker.clone());
        let route = self.by_key.get_mut(&key).expect("a want has a route");
        route.serving = if up { route.serving + 1 } else { route.serving - 1 };
        self.touched.push(key);
    }

    /// One user more (`wanted`) wants a route, or one less.
    pub fn wanting(&mut self, topic: &Topic, broker: &BrokerName, is_up: bool, wanted: bool) {
        if is_up {
            self.serve(topic, broker, wanted);
        } else {
            self.touched.push((topic.clone(), broker.clone()));
        }
    }

    /// How many sessions serve each route.
    pub fn serving(&self) -> impl Iterator<Item = (&Topic, &BrokerName, usize)> {
        self.by_key.iter().map(|((topic, broker), route)| (topic, broker, route.serving))
    }

    /// Tells of what has changed since the last call: sessions, and interest that has ended.
    pub fn flush(&mut self, effects: &mut Vec<Effect>) {
        for key in self.touched.drain(..) {
            let Some(route) = self.by_key.get_mut(&key) else { continue };
            let up = route.serving > 0;
            if std::mem::replace(&mut route.told_served, up) != up {
                effects.push(Effect::Served { route: route.id, up });
            }
        }
        effects.extend(
            self.ended
                .drain(..)
                .map(|((id, shard), (topic, broker))| interest(id, &topic, &broker, shard, false)),
        );
    }

    /// The number of a route that somebody wants.
    pub fn id(&self, topic: &Topic, broker: &BrokerName) -> RouteId {
        let route = self.by_key.get(&Key(topic, broker));
        route.expect("a want has a route").id
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// How many clients want each route, by shard.
    pub fn counts(&self) -> impl Iterator<Item = (RouteId, ShardId, usize)> {
        self.by_key.values().flat_map(|route| {
            route.wants.iter().map(move |(shard, count)| (route.id, *shard, *count))
        })
    }
}

fn interest(
    route: RouteId,
    topic: &Topic,
    broker: &BrokerName,
    shard: ShardId,
    wanted: bool,
) -> Effect {
    Effect::Interest { route, topic: topic.clone(), broker: broker.clone(), shard, wanted }
}
