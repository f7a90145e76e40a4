//! What must be true of the shard after every event. Our own mistakes, found where they are made.

use super::Shard;

impl Shard {
    /// Asserts every private rule of the shard. Costs time in proportion to all that it holds.
    ///
    /// # Panics
    ///
    /// Panics if a rule is broken.
    pub fn check(&self) {
        assert_eq!(self.by_id.len() + self.free.len(), self.slots.len(), "a slot is lost");
        assert!(self.overflowed.is_empty(), "an overflow has no consequence");
        for (id, &slot) in &self.by_id {
            let client = self.client(slot);
            assert_eq!(client.id, *id, "a slot holds somebody else");
            client.outbox.check();
            for route in client.outbox.untold().filter(|_| !client.closing) {
                assert!(client.routes.contains_key(&route), "{id} has left {route:?}");
            }
            if let Some(untold) = &client.untold {
                untold.check(|route| client.routes.contains_key(route));
            }
            self.dirty.check(slot, client);
            assert!(
                client.closing || !self.closing.contains(id),
                "{id} has a deadline and is not being closed"
            );
            let on_nothing = client.routes.is_empty() && client.orders.is_none();
            assert!(on_nothing || !client.closing, "{id} is being closed and gets more");
            for (route, &place) in &client.routes {
                let there = match place.group() {
                    Some((group, at)) => self.paces.group(group).members[at].slot,
                    None => self.routes[route].subscribers[place.at()],
                };
                assert_eq!(there, slot, "{id} on {route:?}");
            }
            if let Some(user) = &client.orders {
                assert!(self.orders[user].contains(&slot), "{id} follows {user} in vain");
            }
        }
        // Each route of a client has its own place among the subscribers of that route. If there
        // are no more places, each of them is somebody's.
        let routes: usize = self.slots.iter().flatten().map(|client| client.routes.len()).sum();
        assert_eq!(self.subscriptions(), routes, "a lost subscriber");
        self.check_paces();
        for (user, followers) in &self.orders {
            assert!(!followers.is_empty(), "{user} is followed by nobody");
            for slot in followers {
                assert_eq!(self.client(*slot).orders.as_ref(), Some(user), "a lost follower");
            }
        }
    }

    fn check_paces(&self) {
        let (mut groups, mut members) = (0, 0);
        for (route, state) in &self.routes {
            let Some(paces) = &state.paces else { continue };
            assert!(paces.groups().next().is_some(), "{route:?} counts for nobody");
            self.paces.check(*route, paces);
            groups += paces.groups().count();
            members += paces.groups().map(|no| self.paces.group(no).members.len()).sum::<usize>();
        }
        self.paces.check_all(groups, members);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use bytes::Bytes;

    use super::*;
    use crate::config::OutboxPolicy;
    use crate::engine::{Change, Epoch, RouteId, ShardOptions};
    use crate::topic::ClientId;

    #[test]
    fn a_shard_that_has_drifted_is_noticed() {
        let drifts: [fn(&mut Shard); 5] = [
            |shard| shard.free.push(0),
            |shard| shard.slots[0].as_mut().unwrap().queued = true,
            |shard| shard.closing.set(ClientId(1), 9),
            |shard| shard.routes.entry(RouteId(1)).or_default().subscribers.push(0),
            |shard| {
                let client = shard.slots[0].as_mut().unwrap();
                let (oldest, limits) = (OutboxPolicy::DropOldest, client.limits);
                for _ in 0..=limits.ticks_max {
                    let tick = Bytes::from_static(b"x");
                    client.outbox.push_tick_by(oldest, &limits, RouteId(7), tick).unwrap();
                }
            },
        ];
        for drift in drifts {
            let mut shard = Shard::new(ShardOptions::of_tests());
            shard.attach(ClientId(1));
            shard.check();
            drift(&mut shard);
            assert!(catch_unwind(AssertUnwindSafe(|| shard.check())).is_err(), "{shard:?}");
        }
    }

    #[test]
    fn paces_that_have_drifted_are_noticed() {
        let drifts: [fn(&mut Shard); 6] = [
            |shard| shard.routes[&RouteId(1)].paces = None,
            |shard| assert!(shard.paces.pop_due(10).is_some()),
            |shard| shard.paces.group_mut(0).members.clear(),
            |shard| shard.paces.group_mut(0).members[0].seen = 9,
            |shard| shard.paces.group_mut(1).members[0].seen = 9,
            |shard| shard.paces.group_mut(1).route = RouteId(1),
        ];
        for drift in drifts {
            let mut shard = Shard::new(ShardOptions::of_tests());
            shard.attach(ClientId(1));
            for route in [1, 2] {
                shard.expect(RouteId(route), Epoch(0));
                let mut change = Change { add: vec![RouteId(route)], ..Change::default() };
                change.paces.insert(RouteId(route), 10);
                shard.deliver(ClientId(1), change, None);
            }
            shard.tick(RouteId(1), &Bytes::from_static(b"x"));
            shard.check();
            drift(&mut shard);
            assert!(catch_unwind(AssertUnwindSafe(|| shard.check())).is_err(), "{shard:?}");
        }
    }
}
