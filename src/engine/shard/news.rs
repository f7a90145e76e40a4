//! What clients are told about the state of their topics.
//!
//! A client is told of a silence behind everything that waits for it, and of its end before
//! everything: so a tick that it reads never follows a silence whose end it was not told, however
//! far it lags. What it has not been told yet is a set of routes and not a queue of messages. So it
//! hears of the latest state alone, of many topics in one message, and what waits is bounded by its
//! routes.

use bytes::Bytes;

use super::{Client, Route, Shard};
use crate::engine::numbered::{NumberMap, NumberSet};
use crate::engine::{RouteId, RouteNews};
use crate::marks::mark;
use crate::protocol::FeedStatus;
use crate::protocol::feed_status::{TOPICS_MAX, status_frame};
use crate::topic::{BrokerName, ClientId};

/// How a route is, as clients are told.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    status: FeedStatus,
    broker: BrokerName,
    entry: Bytes,
}

/// What a client has to be told, and has been.
#[derive(Debug, Default)]
pub(super) struct Untold {
    /// Routes that may have fallen silent.
    silent: NumberSet<RouteId>,
    /// Routes that have ticked again, with what is said of that. They may be silent anew.
    live: NumberMap<RouteId, Standing>,
    /// What it was told of routes that are silent.
    told: NumberMap<RouteId, FeedStatus>,
}

impl Standing {
    /// Whether it is silent.
    pub(super) fn is_silent(&self) -> bool {
        self.status != FeedStatus::Live
    }
}

impl Untold {
    /// A route that it has left is nothing to it.
    pub(super) fn forget(&mut self, route: RouteId) {
        self.silent.swap_remove(&route);
        self.live.swap_remove(&route);
        self.told.swap_remove(&route);
    }

    fn is_empty(&self) -> bool {
        self.silent.is_empty() && self.live.is_empty() && self.told.is_empty()
    }

    /// Notes how a route is. Says whether that is something to tell.
    fn note(&mut self, route: RouteId, standing: Option<&Standing>) -> bool {
        let told = self.told.get(&route).copied();
        self.silent.swap_remove(&route);
        match standing {
            None => false,
            Some(standing) if standing.status == FeedStatus::Live => {
                told.is_some() && self.live.insert(route, standing.clone()).is_none()
            }
            // What ticked in between is told first.
            Some(standing) if told != Some(standing.status) || self.live.contains_key(&route) => {
                self.silent.insert(route)
            }
            Some(_) => false,
        }
    }

    /// Asserts that all this is about routes that the client has.
    pub(super) fn check(&self, has: impl Fn(&RouteId) -> bool) {
        let routes = self.silent.iter().chain(self.live.keys()).chain(self.told.keys());
        routes.for_each(|route| assert!(has(route), "{route:?} is told to whoever has left it"));
        for route in self.live.keys() {
            assert!(self.told.contains_key(route), "{route:?} ends a silence that was not told");
        }
    }
}

impl Shard {
    /// Notes how a route is, for those on it. Clients hear of it when they are written to next.
    pub fn news(&mut self, news: RouteNews) {
        let RouteNews { route, status, broker, entry, .. } = news;
        let heard = self.heard;
        let state = self.routes.get_mut(&route).filter(|at| at.since <= heard);
        let Some(state) = state else { return };
        state.standing = status.map(|status| Box::new(Standing { status, broker, entry }));
        let is_silent = state.standing.as_ref().is_some_and(|standing| standing.is_silent());
        let paced = state.paces.iter().flat_map(|paces| {
            let members = paces.groups().flat_map(|no| self.paces.group(no).members.iter());
            // Whoever has a value to come hears of a silence behind it: at its boundary.
            members.map(|member| (member.slot, !is_silent || member.seen == paces.values))
        });
        for (slot, hears_now) in state.subscribers.iter().map(|&slot| (slot, true)).chain(paced) {
            if !hears_now {
                self.put_off += 1;
                continue;
            }
            self.totals.news += 1;
            let client = self.slots[slot].as_mut().expect("a subscriber exists");
            if client.note(route, state.standing.as_deref()) {
                self.dirty.later(slot, client);
            }
        }
    }

    /// Moves what waits for a client to the end of `out` until it holds `bytes_max` or more. Says
    /// how many frames: ends of silences first, then what its outbox has, then silences. If `out`
    /// holds less, nothing waits any more.
    pub fn drain_into(&mut self, id: ClientId, out: &mut Vec<u8>, bytes_max: usize) -> usize {
        let Some(&slot) = self.by_id.get(&id) else { return 0 };
        let client = self.slots[slot].as_mut().expect("the client exists");
        if client.untold.is_none() {
            return client.outbox.drain_into(out, bytes_max);
        }
        let mut frames = client.tell_live(out, bytes_max);
        frames += client.outbox.drain_into(out, bytes_max);
        if client.outbox.is_empty() {
            frames += client.tell_silent(&self.routes, out, bytes_max);
        }
        client.untold.take_if(|untold| untold.is_empty());
        frames
    }
}

impl Client {
    /// It has come to a route: if that is silent, it has to be told.
    pub(super) fn learns(&mut self, route: RouteId, standing: Option<&Standing>) -> bool {
        let is_news = self.note(route, standing);
        mark!(JoinsSilent if is_news);
        is_news
    }

    pub(super) fn note(&mut self, route: RouteId, standing: Option<&Standing>) -> bool {
        let is_silent = standing.is_some_and(Standing::is_silent);
        if self.untold.is_none() && !is_silent {
            return false;
        }
        self.untold.get_or_insert_default().note(route, standing)
    }

    fn tell_live(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> usize {
        let Some(untold) = &mut self.untold else { return 0 };
        let mut frames = 0;
        while !untold.live.is_empty() && out.len() < bytes_max {
            let keep = untold.live.len().saturating_sub(TOPICS_MAX);
            let due: Vec<(RouteId, Standing)> = untold.live.drain(keep..).collect();
            for (route, _) in &due {
                untold.told.swap_remove(route);
            }
            frames += write(due.iter().map(|(_, standing)| standing), out);
        }
        frames
    }

    fn tell_silent(
        &mut self,
        routes: &NumberMap<RouteId, Route>,
        out: &mut Vec<u8>,
        bytes_max: usize,
    ) -> usize {
        let Some(untold) = &mut self.untold else { return 0 };
        let mut frames = 0;
        for status in [FeedStatus::Closed, FeedStatus::Recovering, FeedStatus::Stale] {
            let is = |route: &&RouteId| status_of(routes, **route) == Some(status);
            while out.len() < bytes_max {
                let due = untold.silent.iter().filter(is).take(TOPICS_MAX).copied();
                let due: Vec<RouteId> = due.collect();
                if due.is_empty() {
                    break;
                }
                mark!(SilencesTogether if due.len() > 1);
                for route in &due {
                    untold.silent.swap_remove(route);
                    untold.told.insert(*route, status);
                }
                let standings =
                    due.iter().filter_map(|route| routes.get(route)?.standing.as_deref());
                frames += write(standings, out);
            }
        }
        frames
    }
}

fn status_of(routes: &NumberMap<RouteId, Route>, route: RouteId) -> Option<FeedStatus> {
    Some(routes.get(&route)?.standing.as_ref()?.status)
}

/// Writes one message about topics that are in the same state. All are of the client's broker.
fn write<'a>(standings: impl Iterator<Item = &'a Standing> + Clone, out: &mut Vec<u8>) -> usize {
    let Some(Standing { status, broker, .. }) = standings.clone().next() else { return 0 };
    let entries = standings.map(|standing| &standing.entry);
    out.extend_from_slice(&status_frame(*status, broker.as_str(), entries));
    1
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::engine::{Change, Epoch, ShardOptions};

    const CLIENT: ClientId = ClientId(1);
    const ROUTE: RouteId = RouteId(1);

    /// A shard with a client on one route.
    fn shard() -> Shard {
        let mut shard = Shard::new(ShardOptions::of_tests());
        shard.attach(CLIENT);
        shard.expect(ROUTE, Epoch(0));
        shard.deliver(CLIENT, Change { add: vec![ROUTE], ..Change::default() }, None);
        shard
    }

    fn standing(status: FeedStatus) -> Standing {
        Standing { status, broker: "paper".into(), entry: Bytes::from_static(b"{}") }
    }

    #[test]
    fn nothing_is_kept_of_a_silence_that_is_over() {
        let mut shard = shard();
        for (status, knows) in [(FeedStatus::Stale, true), (FeedStatus::Live, false)] {
            let Standing { status, broker, entry } = standing(status);
            let status = Some(status);
            shard.news(RouteNews { route: ROUTE, shards: 1, status, broker, entry });
            assert_eq!(shard.drain_into(CLIENT, &mut Vec::new(), usize::MAX), 1);
            let client = shard.slots[0].as_ref().expect("a client");
            assert_eq!(client.untold.is_some(), knows);
        }
    }

    #[test]
    fn what_is_told_of_routes_that_are_left_is_noticed() {
        const OTHER: RouteId = RouteId(2);
        let drifts: [fn(&mut Untold); 4] = [
            |untold| _ = untold.silent.insert(OTHER),
            |untold| _ = untold.told.insert(OTHER, FeedStatus::Stale),
            |untold| {
                untold.live.insert(OTHER, standing(FeedStatus::Live));
                untold.told.insert(OTHER, FeedStatus::Stale);
            },
            // Of a silence that it was not told it need not hear the end.
            |untold| _ = untold.live.insert(ROUTE, standing(FeedStatus::Live)),
        ];
        for drift in drifts {
            let mut shard = shard();
            shard.check();
            let client = shard.slots[0].as_mut().expect("a client");
            drift(client.untold.get_or_insert_default());
            assert!(catch_unwind(AssertUnwindSafe(|| shard.check())).is_err(), "{shard:?}");
        }
    }
}
