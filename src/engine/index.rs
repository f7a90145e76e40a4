//! Which routes a tick serves.

use std::hash::{Hash, Hasher};

use indexmap::{Equivalent, IndexMap};

use super::{RouteId, ShardId};
use crate::config::SHARDS_MAX;
use crate::topic::{BrokerName, Instrument, Mode, Topic};

/// One bit for each shard.
const _: () = assert!(SHARDS_MAX <= u64::BITS as usize);

/// Where a tick came from: its bus topic, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct TickAddress<'a> {
    /// The broker in front of the topic: only users of that broker get the tick.
    pub broker: Option<&'a str>,
    /// E.g. `NSE`.
    pub exchange: &'a str,
    /// E.g. `RELIANCE`.
    pub symbol: &'a str,
    /// How much the tick holds.
    pub mode: Mode,
}

/// One route that a tick serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Which.
    pub route: RouteId,
    /// What it is about.
    pub instrument: Instrument,
    /// The mode of the subscriptions on it; at most that of the tick.
    pub mode: Mode,
    /// The broker of the users on it.
    pub broker: BrokerName,
    /// Shards with somebody on it, one bit each.
    pub shards: u64,
    /// Places of instrument and group, good until interest changes.
    at: (usize, usize),
}

/// The feed's table of interest.
///
/// A subscription is served from exactly one source: the lowest mode at or above its own that
/// publishers have sent for the instrument within the source window (wire-protocol.md, section 2).
#[derive(Debug)]
pub struct Index {
    source_window_ms: u64,
    instruments: IndexMap<Instrument, Vec<Group>>,
}

/// The interest of one broker's users in an instrument.
#[derive(Debug)]
struct Group {
    broker: BrokerName,
    /// When a tick of each mode last came in.
    seen_ms: [Option<u64>; 3],
    routes: [Option<Route>; 3],
}

#[derive(Clone, Copy, Debug)]
struct Route {
    id: RouteId,
    shards: u64,
    /// The number of the tick that was handed to it last.
    seq: u64,
}

/// Looks an instrument up without building one.
struct Key<'a>(&'a str, &'a str);

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
        self.1.hash(state);
    }
}

impl Equivalent<Instrument> for Key<'_> {
    fn equivalent(&self, key: &Instrument) -> bool {
        self.0 == &*key.exchange && self.1 == &*key.symbol
    }
}

impl Index {
    /// An empty table. `source_window_ms`: how long a mode that was seen keeps serving.
    #[must_use]
    pub fn new(source_window_ms: u64) -> Self {
        Self { source_window_ms, instruments: IndexMap::new() }
    }

    /// Notes that `shard` has (`wanted`) or no longer has somebody on `route`.
    pub fn set_interest(
        &mut self,
        route: RouteId,
        topic: &Topic,
        broker: &BrokerName,
        shard: ShardId,
        wanted: bool,
    ) {
        assert!(shard < SHARDS_MAX, "shard {shard} has no bit");
        let bit = 1_u64 << shard;
        if wanted {
            let groups = self.instruments.entry(topic.instrument.clone()).or_default();
            let at = groups.iter().position(|group| group.broker == *broker).unwrap_or_else(|| {
                groups.push(Group {
                    broker: broker.clone(),
                    seen_ms: [None; 3],
                    routes: [None; 3],
                });
                groups.len() - 1
            });
            let slot = &mut groups[at].routes[topic.mode.index()];
            let new = Route { id: route, shards: 0, seq: 0 };
            slot.take_if(|old| old.id != route);
            slot.get_or_insert(new).shards |= bit;
        } else {
            self.withdraw(route, topic, broker, bit);
        }
    }

    fn withdraw(&mut self, route: RouteId, topic: &Topic, broker: &BrokerName, bit: u64) {
        let Some(groups) = self.instruments.get_mut(&topic.instrument) else { return };
        let Some(at) = groups.iter().position(|group| group.broker == *broker) else { return };
        let slot = &mut groups[at].routes[topic.mode.index()];
        if let Some(found) = slot.as_mut().filter(|found| found.id == route) {
            found.shards &= !bit;
            if found.shards == 0 {
                *slot = None;
            }
        }
        if groups[at].routes.iter().all(Option::is_none) {
            groups.swap_remove(at);
        }
        if groups.is_empty() {
            self.instruments.swap_remove(&topic.instrument);
        }
    }

    /// Adds the routes that a tick serves to `served`. Says whether anybody has interest in the
    /// instrument at all.
    pub fn serve(&mut self, now_ms: u64, tick: TickAddress<'_>, served: &mut Vec<Served>) -> bool {
        let key = Key(tick.exchange, tick.symbol);
        let Some((at, instrument, groups)) = self.instruments.get_full_mut(&key) else {
            return false;
        };
        for (place, group) in groups.iter_mut().enumerate() {
            if tick.broker.is_some_and(|broker| broker != group.broker.as_str()) {
                continue;
            }
            group.seen_ms[tick.mode.index()] = Some(now_ms);
            let is_source = |mode: Mode| {
                group.seen_ms[mode.index()]
                    .is_some_and(|seen_ms| now_ms - seen_ms <= self.source_window_ms)
            };
            for mode in Mode::ALL.into_iter().rev().filter(|mode| *mode <= tick.mode) {
                // A lower source of this mode's own would serve it instead, and all below it.
                if mode < tick.mode && is_source(mode) {
                    break;
                }
                if let Some(route) = group.routes[mode.index()] {
                    served.push(Served {
                        route: route.id,
                        instrument: instrument.clone(),
                        mode,
                        broker: group.broker.clone(),
                        shards: route.shards,
                        at: (at, place),
                    });
                }
            }
        }
        true
    }

    /// A tick that was looked up cannot be read: a source of its mode keeps nobody from another
    /// until it is heard again.
    pub fn take_back(&mut self, tick: TickAddress<'_>) {
        let key = Key(tick.exchange, tick.symbol);
        for group in self.instruments.get_mut(&key).into_iter().flatten() {
            if tick.broker.is_none_or(|broker| broker == group.broker.as_str()) {
                group.seen_ms[tick.mode.index()] = None;
            }
        }
    }

    /// The number of a tick that is handed to a route, the same for all its shards: from 1, and one
    /// more for each. To be asked for what [`Index::serve`] has just said, before interest changes.
    /// A route that nobody wanted in between begins anew.
    pub fn number(&mut self, served: &Served) -> u64 {
        let group = self.instruments.get_index_mut(served.at.0);
        let group = group.and_then(|(_, groups)| groups.get_mut(served.at.1));
        let route = group.and_then(|group| group.routes[served.mode.index()].as_mut());
        let route = route.filter(|route| route.id == served.route);
        let Some(route) = route else { unreachable!("interest does not change in between") };
        route.seq += 1;
        route.seq
    }

    /// How many instruments somebody wants.
    #[must_use]
    pub fn instruments(&self) -> usize {
        self.instruments.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(mode: Mode) -> Topic {
        Topic::new(Instrument::new("NSE", "TCS"), mode)
    }

    fn index_with(modes: &[Mode]) -> Index {
        let mut index = Index::new(5_000);
        for mode in modes {
            let route = RouteId(u64::from(mode.number()));
            index.set_interest(route, &topic(*mode), &"paper".into(), 0, true);
        }
        index
    }

    fn served(index: &mut Index, now_ms: u64, mode: Mode) -> Vec<u8> {
        let mut served = Vec::new();
        let tick = TickAddress { broker: None, exchange: "NSE", symbol: "TCS", mode };
        assert!(index.serve(now_ms, tick, &mut served));
        served.into_iter().map(|served| served.mode.number()).collect()
    }

    #[test]
    fn a_depth_tick_serves_every_mode_when_nothing_lower_is_published() {
        let mut index = index_with(&Mode::ALL);
        assert_eq!(served(&mut index, 0, Mode::Depth), [3, 2, 1]);
    }

    #[test]
    fn a_source_that_cannot_be_read_keeps_nobody_from_another() {
        let mut index = index_with(&[Mode::Ltp]);
        assert_eq!(served(&mut index, 0, Mode::Ltp), [1]);
        assert!(served(&mut index, 1, Mode::Quote).is_empty());
        let tick =
            TickAddress { broker: Some("paper"), exchange: "NSE", symbol: "TCS", mode: Mode::Ltp };
        index.take_back(TickAddress { broker: Some("other"), ..tick });
        assert!(served(&mut index, 2, Mode::Quote).is_empty());
        index.take_back(TickAddress { symbol: "INFY", ..tick });
        index.take_back(tick);
        assert_eq!(served(&mut index, 3, Mode::Quote), [1]);
    }

    #[test]
    fn each_mode_is_served_by_the_lowest_source_at_or_above_it() {
        let mut index = index_with(&Mode::ALL);
        assert_eq!(served(&mut index, 0, Mode::Ltp), [1]);
        assert_eq!(served(&mut index, 1, Mode::Depth), [3, 2], "LTP has a source of its own");
        assert_eq!(served(&mut index, 2, Mode::Quote), [2]);
        assert_eq!(served(&mut index, 3, Mode::Depth), [3]);
    }

    #[test]
    fn an_ltp_client_gets_one_copy_of_a_trade_that_is_sent_in_three_modes() {
        let mut index = index_with(&[Mode::Ltp]);
        assert_eq!(served(&mut index, 0, Mode::Ltp), [1]);
        assert_eq!(served(&mut index, 0, Mode::Quote), [0_u8; 0]);
        assert_eq!(served(&mut index, 0, Mode::Depth), [0_u8; 0]);
    }

    #[test]
    fn a_quote_source_shields_ltp_from_depth() {
        let mut index = index_with(&[Mode::Ltp]);
        assert_eq!(served(&mut index, 0, Mode::Quote), [1]);
        assert_eq!(served(&mut index, 1, Mode::Depth), [0_u8; 0]);
    }

    #[test]
    fn a_source_that_falls_silent_is_replaced_after_the_window() {
        let mut index = index_with(&[Mode::Ltp]);
        assert_eq!(served(&mut index, 0, Mode::Ltp), [1]);
        assert_eq!(served(&mut index, 5_000, Mode::Quote), [0_u8; 0]);
        assert_eq!(served(&mut index, 5_001, Mode::Quote), [1]);
    }

    #[test]
    fn a_tick_with_a_broker_in_front_reaches_only_that_brokers_users() {
        let mut index = Index::new(5_000);
        index.set_interest(RouteId(1), &topic(Mode::Ltp), &"paper".into(), 0, true);
        index.set_interest(RouteId(2), &topic(Mode::Ltp), &"zerodha".into(), 1, true);
        let mut served = Vec::new();
        let tick = TickAddress {
            broker: Some("zerodha"),
            exchange: "NSE",
            symbol: "TCS",
            mode: Mode::Ltp,
        };
        index.serve(0, tick, &mut served);
        assert_eq!(served.len(), 1);
        assert_eq!((served[0].route, served[0].shards), (RouteId(2), 2));
    }

    #[test]
    fn every_route_counts_its_own_ticks_whatever_becomes_of_its_shards() {
        let mut index = index_with(&[Mode::Ltp, Mode::Quote]);
        let numbers = |index: &mut Index, mode| {
            let mut served = Vec::new();
            let tick = TickAddress { broker: None, exchange: "NSE", symbol: "TCS", mode };
            index.serve(0, tick, &mut served);
            served.iter().map(|it| (it.mode.number(), index.number(it))).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&mut index, Mode::Quote), [(2, 1), (1, 1)]);
        assert_eq!(numbers(&mut index, Mode::Quote), [(2, 2), (1, 2)]);
        let want = |index: &mut Index, route, shard, wanted| {
            let topic = topic(Mode::Ltp);
            index.set_interest(RouteId(route), &topic, &"paper".into(), shard, wanted);
        };
        want(&mut index, 1, 3, true);
        want(&mut index, 1, 0, false);
        assert_eq!(numbers(&mut index, Mode::Ltp), [(1, 3)], "another shard is on it now");
        want(&mut index, 1, 3, false);
        want(&mut index, 1, 0, true);
        assert_eq!(numbers(&mut index, Mode::Ltp), [(1, 1)], "nobody was in between");
        assert_eq!(numbers(&mut index, Mode::Quote), [(2, 3)]);
        want(&mut index, 9, 0, true);
        assert_eq!(numbers(&mut index, Mode::Ltp), [(1, 1)], "it is another route");
    }

    #[test]
    fn interest_that_is_told_twice_is_interest_once() {
        let mut index = index_with(&[Mode::Ltp, Mode::Ltp]);
        let tick = TickAddress { broker: None, exchange: "NSE", symbol: "TCS", mode: Mode::Ltp };
        let mut served = Vec::new();
        index.serve(0, tick, &mut served);
        assert_eq!(served.iter().map(|served| served.shards).collect::<Vec<_>>(), [1]);
        index.set_interest(RouteId(1), &topic(Mode::Ltp), &"paper".into(), 0, false);
        assert_eq!(index.instruments(), 0);
    }

    #[test]
    fn withdrawn_interest_leaves_nothing_behind() {
        let mut index = index_with(&Mode::ALL);
        index.set_interest(RouteId(1), &topic(Mode::Ltp), &"paper".into(), 3, true);
        for mode in Mode::ALL {
            let route = RouteId(u64::from(mode.number()));
            index.set_interest(route, &topic(mode), &"paper".into(), 0, false);
        }
        assert_eq!(index.instruments(), 1);
        index.set_interest(RouteId(1), &topic(Mode::Ltp), &"paper".into(), 3, false);
        assert_eq!(index.instruments(), 0);
    }
}
