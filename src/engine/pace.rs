//! Subscriptions that want the latest value at most so often.
//!
//! Those of a route that share an interval are a group. Its boundaries are the multiples of the
//! interval on the shard's clock, so that all that a client paces alike leaves in one write. A
//! tick costs a group nothing while the group waits for its boundary: the route counts values and
//! has the latest. Only a group for which nothing has come since its last boundary has to hear of
//! the next value, and goes on the wheel then; so a route on which nothing happens has no timers.

use std::collections::BTreeMap;

use super::RouteId;
use super::wheel::Wheel;
use crate::marks::mark;

/// Where a subscription is among those of its route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its group; [`Place::UNPACED`]: it gets every value.
    group: u32,
    at: u32,
}

/// What one route knows of its groups. A route without any has none of these.
#[derive(Debug, Default)]
pub(super) struct RoutePaces {
    /// Values since the first group came.
    pub values: u64,
    by_interval: BTreeMap<u64, usize>,
    /// Groups whose members have the latest value.
    idle: Vec<usize>,
}

/// The groups of all routes of a shard.
#[derive(Debug, Default)]
pub(super) struct Paces {
    groups: Vec<Option<Group>>,
    free: Vec<usize>,
    /// When groups are due.
    wheel: Wheel,
    members: usize,
}

/// Subscriptions to one route at one interval.
#[derive(Debug)]
pub(super) struct Group {
    pub route: RouteId,
    interval_ms: u64,
    pub members: Vec<Member>,
    /// Its place among the idle groups of its route; `None`: it is on the wheel.
    idle_at: Option<usize>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// The client's slot.
    pub slot: usize,
    /// How many values the route had when the last one was sent to it, or when it came.
    pub seen: u64,
}

impl Place {
    const UNPACED: u32 = u32::MAX;

    /// The place of one that gets every value.
    pub fn unpaced(at: usize) -> Self {
        Self { group: Self::UNPACED, at: number(at) }
    }

    fn paced(group: usize, at: usize) -> Self {
        Self { group: number(group), at: number(at) }
    }

    /// The group and the place in it; `None`: it gets every value.
    pub fn group(self) -> Option<(usize, usize)> {
        (self.group != Self::UNPACED).then_some((self.group as usize, self.at as usize))
    }

    /// Its place among those that get every value.
    pub const fn at(self) -> usize {
        self.at as usize
    }
}

/// There are as many places as clients at most, and as many groups as subscriptions.
fn number(at: usize) -> u32 {
    u32::try_from(at).ok().filter(|at| *at != Place::UNPACED).expect("memory ends before")
}

impl RoutePaces {
    /// Whether nobody is paced on the route any more.
    pub fn is_empty(&self) -> bool {
        self.by_interval.is_empty()
    }

    pub fn groups(&self) -> impl Iterator<Item = usize> {
        self.by_interval.values().copied()
    }
}

impl Paces {
    /// A client comes to a route. Whatever it is sent on coming, it has the latest value.
    pub fn join(
        &mut self,
        route: RouteId,
        paces: &mut RoutePaces,
        interval_ms: u64,
        slot: usize,
    ) -> Place {
        assert!(interval_ms > 0, "no pace");
        let no = match paces.by_interval.get(&interval_ms) {
            Some(&no) => no,
            None => {
                let idle_at = Some(paces.idle.len());
                let group = Group { route, interval_ms, members: Vec::new(), idle_at };
                let no = self.free.pop().unwrap_or_else(|| {
                    self.groups.push(None);
                    self.groups.len() - 1
                });
                self.groups[no] = Some(group);
                paces.by_interval.insert(interval_ms, no);
                paces.idle.push(no);
                no
            }
        };
        self.members += 1;
        let group = self.group_mut(no);
        mark!(PacedJoinsArmed if group.idle_at.is_none());
        group.members.push(Member { slot, seen: paces.values });
        Place::paced(no, group.members.len() - 1)
    }

    /// A client leaves. Says whose place has changed, which is now the one that was left.
    pub fn leave(&mut self, paces: &mut RoutePaces, no: usize, at: usize) -> Option<usize> {
        self.members -= 1;
        let group = self.group_mut(no);
        group.members.swap_remove(at);
        if let Some(moved) = group.members.get(at) {
            return Some(moved.slot);
        }
        if group.members.is_empty() {
            mark!(PacedLastLeavesArmed if group.idle_at.is_none());
            self.end(paces, no);
        }
        None
    }

    fn end(&mut self, paces: &mut RoutePaces, no: usize) {
        let group = self.groups[no].take().expect("the group exists");
        self.free.push(no);
        paces.by_interval.remove(&group.interval_ms);
        match group.idle_at {
            None => self.wheel.cancel(no),
            Some(at) => {
                paces.idle.swap_remove(at);
                if let Some(&moved) = paces.idle.get(at) {
                    self.group_mut(moved).idle_at = Some(at);
                }
            }
        }
    }

    /// A value has come, the last of so many: groups that were idle are due at their next
    /// boundaries.
    pub fn ticked(&mut self, paces: &mut RoutePaces, values: u64, now_ms: u64) {
        paces.values += values;
        for no in paces.idle.drain(..) {
            let group = self.groups[no].as_mut().expect("the group exists");
            group.idle_at = None;
            self.wheel.set(no, (now_ms / group.interval_ms + 1) * group.interval_ms);
            mark!(PaceArmed);
        }
    }

    /// The next group whose boundary has come.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<usize> {
        self.wheel.pop_due(now_ms)
    }

    /// When [`Paces::pop_due`] is to be asked next, if ever.
    pub fn next_ms(&self) -> Option<u64> {
        self.wheel.next_ms()
    }

    /// A group is idle again: its members have the latest value.
    pub fn rest(&mut self, paces: &mut RoutePaces, no: usize) {
        self.group_mut(no).idle_at = Some(paces.idle.len());
        paces.idle.push(no);
    }

    /// How many subscriptions are paced.
    pub const fn len(&self) -> usize {
        self.members
    }

    pub fn group(&self, no: usize) -> &Group {
        self.groups[no].as_ref().expect("the group exists")
    }

    pub fn group_mut(&mut self, no: usize) -> &mut Group {
        self.groups[no].as_mut().expect("the group exists")
    }

    /// Asserts what must be true of the groups of a route.
    pub fn check(&self, route: RouteId, paces: &RoutePaces) {
        for (interval_ms, &no) in &paces.by_interval {
            let group = self.group(no);
            assert_eq!((group.route, group.interval_ms), (route, *interval_ms), "another's group");
            assert!(!group.members.is_empty(), "an empty group of {route:?}");
            let due_ms = self.wheel.deadline_ms(no);
            match group.idle_at {
                Some(at) => {
                    assert_eq!(paces.idle.get(at), Some(&no), "a lost idle group of {route:?}");
                    assert_eq!(due_ms, None, "an idle group of {route:?} has a timer");
                    let behind = group.members.iter().find(|it| it.seen != paces.values);
                    assert!(behind.is_none(), "{behind:?} of {route:?} waits for nothing");
                }
                None => {
                    let due_ms = due_ms.expect("a group that is not idle has a timer");
                    assert_eq!(due_ms % interval_ms, 0, "no boundary of {interval_ms} ms");
                }
            }
            assert!(group.members.iter().all(|it| it.seen <= paces.values), "seen too early");
        }
        let idle = paces.groups().filter(|no| self.group(*no).idle_at.is_some()).count();
        assert_eq!(paces.idle.len(), idle, "a group of {route:?} is idle twice");
    }

    /// Asserts what must be true of all groups together, of which there are so many.
    pub fn check_all(&self, groups: usize, members: usize) {
        let living = self.groups.iter().flatten();
        assert_eq!(living.clone().count(), groups, "a group without a route");
        assert_eq!(self.free.len() + groups, self.groups.len(), "the number of a group is lost");
        assert_eq!(living.map(|group| group.members.len()).sum::<usize>(), members, "members");
        assert_eq!(self.members, members, "a lost member");
        let armed = self.groups.iter().flatten().filter(|group| group.idle_at.is_none()).count();
        assert_eq!(self.wheel.len(), armed, "a timer of a group that is gone");
    }
}
