//! What waits at the feed for a shard that is behind.
//!
//! A feed that outruns the machine is not held up: then publishers would drop what is newest and
//! keep what is old. It is read on, and of each topic the latest value waits (overload is shed by
//! conflating, never by growing).

use std::collections::VecDeque;

use bytes::Bytes;

use super::RouteId;
use super::numbered::NumberMap;
use crate::marks::mark;
use crate::protocol::frame;

/// Ticks for one shard, in order; beyond a bound the latest of each route.
#[derive(Debug, Default)]
pub struct Backlog {
    ticks: VecDeque<Waiting>,
    bytes: usize,
    /// Where the last tick of each route is, counted from the first that ever waited. Kept from
    /// when the bound is reached until all have gone.
    last: NumberMap<RouteId, u64>,
    /// Routes that nobody wants any more, and up to where what waits of them is nobody's.
    dead: NumberMap<RouteId, u64>,
    /// How many have gone.
    gone: u64,
    shed: u64,
}

#[derive(Debug)]
struct Waiting {
    route: RouteId,
    frame: Bytes,
    /// Ticks of the route right before it that are never sent.
    skipped: u64,
}

/// How much may wait before it is conflated.
#[derive(Clone, Copy, Debug)]
pub struct BacklogLimits {
    /// Ticks.
    pub ticks_max: usize,
    /// Bytes of them; the last one may exceed it.
    pub bytes_max: usize,
}

impl Backlog {
    /// Adds a tick. Beyond the bound it replaces the one of its route that waits; with none of each
    /// route more than that, what waits stays bounded by the routes.
    pub fn push(&mut self, limits: BacklogLimits, route: RouteId, frame: Bytes) {
        if self.is_full(limits) && !self.dead.is_empty() {
            self.bury();
        }
        let full = self.is_full(limits);
        if full && self.last.is_empty() {
            self.last = self.places();
        }
        let waiting = self.last.get(&route).copied().filter(|_| full);
        let waiting =
            waiting.and_then(|at| self.ticks.get_mut(usize::try_from(at - self.gone).ok()?));
        if let Some(waiting) = waiting {
            mark!(FeedSheds);
            self.bytes = self.bytes + frame.len() - waiting.frame.len();
            waiting.frame = frame;
            waiting.skipped += 1;
            self.shed += 1;
            return;
        }
        if !self.last.is_empty() {
            self.last.insert(route, self.gone + self.ticks.len() as u64);
        }
        self.bytes += frame.len();
        self.ticks.push_back(Waiting { route, frame, skipped: 0 });
    }

    /// Takes ticks out, the first first, until there are none or there are so many or so many bytes
    /// of them; at least one. Each says how many before it were shed.
    pub fn take(&mut self, limits: BacklogLimits) -> Vec<(RouteId, Bytes)> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < limits.ticks_max.max(1)
            && (taken.is_empty() || bytes < limits.bytes_max)
            && let Some(Waiting { route, frame, skipped }) = self.ticks.pop_front()
        {
            self.gone += 1;
            self.bytes -= frame.len();
            if self.dead.get(&route).is_some_and(|until| self.gone <= *until) {
                continue;
            }
            bytes += frame.len();
            let told = if skipped > 0 { frame::with_skipped(&frame, skipped) } else { frame };
            taken.push((route, told));
        }
        if self.ticks.is_empty() {
            self.last.clear();
            self.dead.clear();
        } else {
            let gone = self.gone;
            self.last.retain(|_, at| *at >= gone);
            self.dead.retain(|_, until| *until > gone);
        }
        taken
    }

    /// Nobody wants this route any more: what waits of it is nobody's, and must not be taken for
    /// the beginning should somebody come back. It goes when its turn comes or its room is needed:
    /// a lost session ends thousands of routes at once.
    pub fn forget(&mut self, route: RouteId) {
        if !self.ticks.is_empty() {
            self.last.swap_remove(&route);
            self.dead.insert(route, self.gone + self.ticks.len() as u64);
        }
    }

    /// Takes out what is nobody's, because it needs the room.
    fn bury(&mut self) {
        let mut at = self.gone;
        self.ticks.retain(|tick| {
            let is_wanted = self.dead.get(&tick.route).is_none_or(|until| at >= *until);
            at += 1;
            is_wanted
        });
        self.bytes = self.ticks.iter().map(|tick| tick.frame.len()).sum();
        self.dead.clear();
        if !self.last.is_empty() {
            self.last = self.places();
        }
    }

    fn is_full(&self, limits: BacklogLimits) -> bool {
        self.ticks.len() >= limits.ticks_max || self.bytes >= limits.bytes_max
    }

    /// Where the last tick of each route is.
    fn places(&self) -> NumberMap<RouteId, u64> {
        self.ticks.iter().zip(self.gone..).map(|(tick, at)| (tick.route, at)).collect()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ticks.is_empty()
    }

    /// Ticks that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ticks.len()
    }

    /// Bytes that wait.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Ticks that were replaced since the start.
    #[must_use]
    pub const fn shed(&self) -> u64 {
        self.shed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::topic::{Instrument, Mode};

    const ALL: BacklogLimits = BacklogLimits { ticks_max: usize::MAX, bytes_max: usize::MAX };

    fn tick(route: u64, number: u64) -> Bytes {
        let instrument = Instrument::new("NSE", format!("S{route}"));
        frame::tick_frame(&instrument, Mode::Ltp, "paper", number.to_string().as_bytes())
    }

    /// `route:number`, with `+skipped` where something was.
    fn shown(ticks: &[(RouteId, Bytes)]) -> Vec<String> {
        let show = |(RouteId(route), tick): &(RouteId, Bytes)| {
            let json: serde_json::Value =
                serde_json::from_slice(frame::payload(tick).unwrap()).unwrap();
            let skipped =
                json.get("skipped").map_or(String::new(), |skipped| format!("+{skipped}"));
            format!("{route}:{}{skipped}", json["data"])
        };
        ticks.iter().map(show).collect()
    }

    #[test]
    fn below_the_bound_everything_waits_in_order() {
        let mut backlog = Backlog::default();
        let limits = BacklogLimits { ticks_max: 4, bytes_max: 10_000 };
        for (route, number) in [(1, 0), (1, 1), (2, 0), (1, 2)] {
            backlog.push(limits, RouteId(route), tick(route, number));
        }
        assert_eq!(shown(&backlog.take(ALL)), ["1:0", "1:1", "2:0", "1:2"]);
        assert_eq!((backlog.len(), backlog.bytes(), backlog.shed()), (0, 0, 0));
    }

    #[test]
    fn beyond_it_the_latest_of_each_topic_waits_and_says_what_it_replaced() {
        let mut backlog = Backlog::default();
        let limits = BacklogLimits { ticks_max: 3, bytes_max: 10_000 };
        for (route, number) in [(1, 0), (1, 1), (2, 0), (1, 2), (3, 0), (1, 3), (2, 1), (3, 1)] {
            backlog.push(limits, RouteId(route), tick(route, number));
        }
        assert_eq!(shown(&backlog.take(ALL)), ["1:0", "1:3+2", "2:1+1", "3:1+1"]);
        assert_eq!(backlog.shed(), 4);
    }

    #[test]
    fn a_route_that_nobody_wants_any_more_begins_anew() {
        for ticks_max in [100, 3] {
            let limits = BacklogLimits { ticks_max, bytes_max: 10_000 };
            let mut backlog = Backlog::default();
            for (route, number) in [(1, 0), (2, 0), (2, 1), (1, 1), (2, 2)] {
                backlog.push(limits, RouteId(route), tick(route, number));
            }
            backlog.forget(RouteId(1));
            backlog.forget(RouteId(3));
            for (route, number) in [(1, 5), (1, 6), (2, 3)] {
                backlog.push(limits, RouteId(route), tick(route, number));
            }
            let expected: &[&str] = match ticks_max {
                100 => &["2:0", "2:1", "2:2", "1:5", "1:6", "2:3"],
                _ => &["2:0", "2:3+2", "1:6+1"],
            };
            let one = tick(1, 0).len();
            if ticks_max == 3 {
                assert_eq!(backlog.bytes(), expected.len() * one, "without what is told");
            }
            let first = backlog.take(BacklogLimits { ticks_max: 1, ..ALL });
            let rest = backlog.take(ALL);
            assert_eq!(shown(&[first, rest].concat()), expected);
            assert_eq!((backlog.len(), backlog.bytes()), (0, 0));
        }
    }

    #[test]
    fn a_part_has_no_more_ticks_and_bytes_than_it_may_but_at_least_one() {
        let limits = |ticks_max, ticks_of_bytes| {
            let bytes_max = tick(1, 0).len() * ticks_of_bytes;
            BacklogLimits { ticks_max, bytes_max }
        };
        let parts =
            [(limits(2, 100), 2), (limits(100, 3), 3), (limits(0, 100), 1), (limits(9, 0), 1)];
        for (limits, expected) in parts {
            let mut backlog = Backlog::default();
            (0..5).for_each(|number| backlog.push(ALL, RouteId(1), tick(1, number)));
            assert_eq!(backlog.take(limits).len(), expected, "{limits:?}");
            assert_eq!(backlog.len(), 5 - expected);
            assert_eq!(backlog.bytes(), (5 - expected) * tick(1, 0).len());
        }
    }

    #[test]
    fn bytes_are_a_bound_too() {
        let mut backlog = Backlog::default();
        let limits = BacklogLimits { ticks_max: 100, bytes_max: tick(1, 0).len() };
        for number in 0..5 {
            backlog.push(limits, RouteId(1), tick(1, number));
        }
        assert_eq!(shown(&backlog.take(ALL)), ["1:4+4"]);
    }

    proptest! {
        /// Whatever comes and goes in whatever pieces: each route's numbers ascend, every gap is
        /// told, the last arrives, and no more waits than may. Of what was forgotten nothing comes.
        #[test]
        fn nothing_is_lost_without_a_word(
            steps in prop::collection::vec((1_u64..5, 0_usize..6), 1..200),
            ticks_max in 1_usize..8,
        ) {
            let limits = BacklogLimits { ticks_max, bytes_max: 1_000_000 };
            let mut backlog = Backlog::default();
            let mut published = [0_u64; 5];
            let mut next = [0_u64; 5];
            let read = |next: &mut [u64; 5], taken: Vec<(RouteId, Bytes)>| {
                for (RouteId(route), frame) in taken {
                    let json: serde_json::Value =
                        serde_json::from_slice(frame::payload(&frame).unwrap()).unwrap();
                    let skipped = json.get("skipped").map_or(0, |told| told.as_u64().unwrap());
                    let number = json["data"].as_u64().unwrap();
                    let at = usize::try_from(route).unwrap();
                    assert_eq!(next[at] + skipped, number, "route {route}");
                    next[at] = number + 1;
                }
            };
            for (route, taken) in steps {
                let at = usize::try_from(route).unwrap();
                backlog.push(limits, RouteId(route), tick(route, published[at]));
                published[at] += 1;
                prop_assert!(backlog.len() <= ticks_max + 4);
                if taken < 3 {
                    read(&mut next, backlog.take(BacklogLimits { ticks_max: taken, ..ALL }));
                }
                if taken == 5 {
                    backlog.forget(RouteId(route));
                    next[at] = published[at];
                }
            }
            read(&mut next, backlog.take(ALL));
            prop_assert_eq!(next, published);
            prop_assert!(backlog.is_empty() && backlog.bytes() == 0);
        }
    }
}
