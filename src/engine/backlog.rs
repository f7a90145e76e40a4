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
    /// In the order of their numbers. Of what was forgotten some are still there.
    ticks: VecDeque<Waiting>,
    routes: NumberMap<RouteId, OfRoute>,
    /// Ticks that wait, and bytes of them, without what was forgotten.
    count: usize,
    bytes: usize,
    /// Bytes of `ticks`, with what was forgotten.
    held: usize,
    /// The number of the next tick.
    next: u64,
    shed: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    route: RouteId,
    frame: Bytes,
    /// Ticks of the route right before it that are never sent.
    skipped: u64,
}

/// What waits of one route: the numbers of its first and last tick, how many there are, how large.
#[derive(Debug)]
struct OfRoute {
    first: u64,
    last: u64,
    count: usize,
    bytes: usize,
}

/// How much may wait before it is conflated.
#[derive(Clone, Copy, Debug)]
pub struct BacklogLimits {
    /// Ticks.
    pub ticks_max: usize,
    /// Bytes of them; the last one of each route may exceed it.
    pub bytes_max: usize,
}

/// Forgotten ticks, and bytes of them, that may stay besides as many as wait, if any waits.
const FORGOTTEN_MAX: usize = 64;
const FORGOTTEN_BYTES_MAX: usize = 65_536;

impl Backlog {
    /// Adds a tick. Beyond the bound it replaces the one of its route that waits; with none of each
    /// route more than that, what waits stays bounded by the routes.
    pub fn push(&mut self, limits: BacklogLimits, route: RouteId, frame: Bytes) {
        let full = self.count >= limits.ticks_max || self.bytes >= limits.bytes_max;
        if full && let Some(of_route) = self.routes.get_mut(&route) {
            mark!(FeedSheds);
            let place = self.ticks.binary_search_by_key(&of_route.last, |tick| tick.number);
            let waiting = &mut self.ticks[place.expect("the last tick of a route waits")];
            of_route.bytes = of_route.bytes + frame.len() - waiting.frame.len();
            self.bytes = self.bytes + frame.len() - waiting.frame.len();
            self.held = self.held + frame.len() - waiting.frame.len();
            waiting.frame = frame;
            waiting.skipped += 1;
            self.shed += 1;
            return;
        }
        let number = self.next;
        self.next += 1;
        let begins = OfRoute { first: number, last: number, count: 0, bytes: 0 };
        let of_route = self.routes.entry(route).or_insert(begins);
        of_route.last = number;
        of_route.count += 1;
        of_route.bytes += frame.len();
        self.count += 1;
        self.bytes += frame.len();
        self.held += frame.len();
        self.ticks.push_back(Waiting { number, route, frame, skipped: 0 });
    }

    /// Takes ticks out, the first first, until there are none or there are so many or so many bytes
    /// of them; at least one, if any waits. Each says how many before it were shed.
    pub fn take(&mut self, limits: BacklogLimits) -> Vec<(RouteId, Bytes)> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < limits.ticks_max.max(1)
            && (taken.is_empty() || bytes < limits.bytes_max)
            && let Some(Waiting { route, frame, skipped, .. }) = self.pop()
        {
            bytes += frame.len();
            let told = if skipped > 0 { frame::with_skipped(&frame, skipped) } else { frame };
            taken.push((route, told));
        }
        taken
    }

    fn pop(&mut self) -> Option<Waiting> {
        loop {
            let tick = self.ticks.pop_front()?;
            self.held -= tick.frame.len();
            let of_route = self.routes.get_mut(&tick.route);
            let Some(of_route) = of_route.filter(|it| it.first <= tick.number) else { continue };
            of_route.count -= 1;
            of_route.bytes -= tick.frame.len();
            if of_route.count == 0 {
                self.routes.swap_remove(&tick.route);
            }
            self.count -= 1;
            self.bytes -= tick.frame.len();
            self.drop_forgotten();
            return Some(tick);
        }
    }

    /// Nobody wants this route any more: what waits of it is nobody's, and must not be taken for
    /// the beginning should somebody come back. A lost session ends thousands of routes at once, so
    /// what waits is not looked through for each.
    pub fn forget(&mut self, route: RouteId) {
        let Some(forgotten) = self.routes.swap_remove(&route) else { return };
        self.count -= forgotten.count;
        self.bytes -= forgotten.bytes;
        self.drop_forgotten();
    }

    /// Keeps no more of what was forgotten than may stay.
    fn drop_forgotten(&mut self) {
        if self.count == 0
            || self.ticks.len() > 2 * self.count + FORGOTTEN_MAX
            || self.held > 2 * self.bytes + FORGOTTEN_BYTES_MAX
        {
            let routes = &self.routes;
            self.ticks
                .retain(|tick| routes.get(&tick.route).is_some_and(|it| it.first <= tick.number));
            self.held = self.bytes;
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Ticks that wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
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
            assert_eq!(backlog.bytes(), expected.len() * tick(1, 0).len(), "without what is told");
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
    fn what_was_forgotten_takes_no_room_and_little_memory() {
        let mut backlog = Backlog::default();
        let limits = BacklogLimits { ticks_max: 100, bytes_max: usize::MAX };
        for route in 0..10_000 {
            backlog.push(limits, RouteId(route), tick(1, 0));
            backlog.forget(RouteId(route));
            assert_eq!((backlog.len(), backlog.bytes(), backlog.is_empty()), (0, 0, true));
            assert!(backlog.ticks.is_empty() && backlog.routes.is_empty());
        }
        backlog.push(limits, RouteId(1), tick(1, 1));
        assert_eq!(shown(&backlog.take(ALL)), ["1:1"]);
        assert_eq!((backlog.shed(), backlog.ticks.len(), backlog.routes.len()), (0, 0, 0));
    }

    #[test]
    fn what_waits_outlives_what_was_forgotten_around_it() {
        let mut backlog = Backlog::default();
        for route in 1..=100 {
            backlog.push(ALL, RouteId(route), tick(route, 0));
            backlog.push(ALL, RouteId(500), tick(500, route));
            backlog.push(ALL, RouteId(route), tick(route, 1));
        }
        let mut most = 0;
        for route in 1..=100 {
            backlog.forget(RouteId(route));
            assert!(backlog.ticks.len() <= 2 * backlog.len() + FORGOTTEN_MAX);
            most = most.max(backlog.ticks.len() - backlog.len());
        }
        assert_eq!((backlog.len(), most), (100, 182), "not looked through for each");
        let expected: Vec<String> = (1..=100).map(|number| format!("500:{number}")).collect();
        assert_eq!(shown(&backlog.take(ALL)), expected);
    }

    #[test]
    fn large_ticks_that_were_forgotten_are_dropped_sooner() {
        let large = Bytes::from(vec![0; FORGOTTEN_BYTES_MAX / 4]);
        let mut backlog = Backlog::default();
        for route in 0..20 {
            backlog.push(ALL, RouteId(route), large.clone());
        }
        for route in 0..19 {
            backlog.forget(RouteId(route));
            let held: usize = backlog.ticks.iter().map(|tick| tick.frame.len()).sum();
            assert_eq!(held, backlog.held);
            assert!(held <= 2 * backlog.bytes() + FORGOTTEN_BYTES_MAX);
        }
        assert!(backlog.ticks.len() <= 6);
        assert_eq!(backlog.take(ALL).len(), 1);
        assert!(backlog.ticks.is_empty());
    }

    #[test]
    fn where_nothing_waits_any_more_nothing_forgotten_is_left() {
        let mut backlog = Backlog::default();
        (0..10).for_each(|route| backlog.push(ALL, RouteId(route), tick(route, 0)));
        (1..10).for_each(|route| backlog.forget(RouteId(route)));
        assert_eq!(backlog.take(BacklogLimits { ticks_max: 1, ..ALL }).len(), 1);
        assert!(backlog.is_empty() && backlog.ticks.is_empty());
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
