//! Numbers for (topic, broker) pairs, and who wants them on which shard.

use indexmap::{Equivalent, IndexMap};

use super::{Effect, ShardId};
use crate::engine::RouteId;
use crate::engine::numbered::NumberMap;
use crate::topic::{BrokerName, Mode, Topic};

/// Up to so many topics are found sooner by comparing than by hashing.
pub(super) const COMPARED_MAX: usize = 8;

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

    /// Tells of what has changed since the last call: sessions, and interest that has ended.
    pub fn flush(&mut self, effects: &mut Vec<Effect>) {
        for key in self.touched.drain(..) {
            let Some(route) = self.by_key.get_mut(&key) else { continue };
            let up = route.serving > 0;
            if std::mem::replace(&mut route.told_served, up) != up {
                effects.push(Effect::Served { route: route.id, up });
            }
        }
        if self.ended.is_empty() {
            return;
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

    /// What routes say of wants and sessions, to be compared with those.
    pub fn claims(&self) -> Claims<'_> {
        let mut counts = Vec::with_capacity(self.by_key.len() * 2);
        let mut left = Vec::with_capacity(self.by_key.len());
        for route in self.by_key.values() {
            left.push(Left { serving: route.serving, first: counts.len() });
            counts.extend(route.wants.iter().map(|(_, count)| *count));
        }
        Claims { routes: self, left, counts }
    }
}

/// What routes say of wants and sessions, as far as nothing was found that bears it out.
pub(super) struct Claims<'a> {
    routes: &'a Routes,
    left: Vec<Left>,
    /// Wants of all routes, by shard.
    counts: Vec<usize>,
}

struct Left {
    serving: usize,
    /// The place of its first count.
    first: usize,
}

/// What a user's topic bears out.
pub(super) struct Claim<'a, 'b> {
    claims: &'b mut Claims<'a>,
    topic: &'b Topic,
    broker: &'b BrokerName,
    is_live: bool,
    /// The routes of the modes in which it is wanted.
    routes: [Option<usize>; Mode::ALL.len()],
}

impl<'a> Claims<'a> {
    /// A topic of a user, whose session is up or not.
    pub fn on<'b>(
        &'b mut self,
        topic: &'b Topic,
        broker: &'b BrokerName,
        is_live: bool,
    ) -> Claim<'a, 'b> {
        Claim { claims: self, topic, broker, is_live, routes: [None; Mode::ALL.len()] }
    }

    /// Asserts that everything was borne out.
    ///
    /// # Panics
    ///
    /// Panics if something was not.
    pub fn are_met(&self) {
        for (left, (key, route)) in self.left.iter().zip(&self.routes.by_key) {
            let counts = &self.counts[left.first..left.first + route.wants.len()];
            let is_met = left.serving == 0 && counts.iter().all(|count| *count == 0);
            assert!(is_met, "{route:?} of {key:?} and its wants have drifted apart");
        }
    }
}

impl Claim<'_, '_> {
    /// Somebody on this shard wants it in this mode.
    ///
    /// # Panics
    ///
    /// Panics if the route does not know of it.
    pub fn wants(&mut self, mode: Mode, shard: ShardId) {
        let place = match self.routes[mode.index()] {
            Some(place) => place,
            None => self.finds(mode),
        };
        let (route, first) = (&self.claims.routes.by_key[place], self.claims.left[place].first);
        let at = route.wants.iter().position(|(at, _)| *at == shard);
        let left = at.and_then(|at| self.claims.counts[first + at].checked_sub(1).map(|n| (at, n)));
        let Some((at, count)) = left else {
            panic!("{route:?} of {} and its wants have drifted apart", self.topic);
        };
        self.claims.counts[first + at] = count;
    }

    fn finds(&mut self, mode: Mode) -> usize {
        let by_key = &self.claims.routes.by_key;
        let place = match by_key.len() {
            0..=COMPARED_MAX => by_key.keys().position(|(topic, broker)| {
                let is_it = topic.mode == mode && topic.instrument == self.topic.instrument;
                is_it && broker == self.broker
            }),
            _ => by_key.get_index_of(&Key(&self.topic.in_mode(mode), self.broker)),
        };
        let place = place.expect("a want has a route");
        self.routes[mode.index()] = Some(place);
        if self.is_live {
            let serving = &mut self.claims.left[place].serving;
            let left = serving.checked_sub(1);
            *serving = left.unwrap_or_else(|| panic!("{}: a session serves it unseen", self.topic));
        }
        place
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
