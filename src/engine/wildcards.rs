//! Which ticks a broadcast picks by the beginning of their symbol.
//!
//! They are served as subscriptions are: each in its mode, from the lowest mode at or above it that
//! publishers have sent within the source window. Nothing is picked while nobody listens.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use super::{ChannelId, RouteId, ShardId, TickAddress};
use crate::config::TopicPattern;
use crate::topic::{BrokerName, Instrument, Mode, Topic};

impl RouteId {
    const PICKED: u64 = 1 << 63;
    const ERA_SHIFT: u32 = 16;

    /// The n-th route of what is picked for an audience, which has itself a route.
    #[must_use]
    pub const fn picked(era: Self, n: u16) -> Self {
        Self(Self::PICKED | era.0 << Self::ERA_SHIFT | n as u64)
    }

    /// The audience for which this is picked; `None`: it is the route of a subscription.
    #[must_use]
    pub const fn era(self) -> Option<Self> {
        if self.0 & Self::PICKED == 0 {
            return None;
        }
        Some(Self((self.0 & !Self::PICKED) >> Self::ERA_SHIFT))
    }
}

/// One broadcast's patterns.
#[derive(Clone, Debug)]
pub struct Wild {
    channel: ChannelId,
    outlet: ShardId,
    broker: BrokerName,
    patterns: Vec<(String, String, Mode)>,
    /// What it subscribes to by name.
    exact: BTreeSet<Topic>,
    topics_max: usize,
    audience: BTreeSet<(RouteId, ShardId)>,
    era: RouteId,
    known: IndexMap<Instrument, Known>,
    topics: u16,
    left_out: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// When a tick of each mode last came in.
    seen_ms: [Option<u64>; 3],
    routes: [Option<RouteId>; 3],
}

/// A tick that a broadcast picks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picked {
    /// Where it is kept.
    pub outlet: ShardId,
    /// As what.
    pub route: RouteId,
    /// What it is about.
    pub instrument: Instrument,
    /// At most that of the tick.
    pub mode: Mode,
    /// The broadcast's broker.
    pub broker: BrokerName,
}

impl Wild {
    /// The patterns of a broadcast, which keeps `topics_max` values, those of the topics included
    /// that it names.
    #[must_use]
    pub fn new(
        channel: ChannelId,
        outlet: ShardId,
        broker: BrokerName,
        patterns: Vec<TopicPattern>,
        topics_max: usize,
    ) -> Self {
        let (mut wild, mut exact) = (Vec::new(), BTreeSet::new());
        for pattern in patterns {
            match pattern {
                TopicPattern::Exact(topic) => drop(exact.insert(topic)),
                TopicPattern::Wild { exchange, prefix, mode } => {
                    wild.push((exchange, prefix, mode));
                }
            }
        }
        Self {
            channel,
            outlet,
            broker,
            patterns: wild,
            topics_max: topics_max.saturating_sub(exact.len()),
            exact,
            audience: BTreeSet::new(),
            era: RouteId(0),
            known: IndexMap::new(),
            topics: 0,
            left_out: 0,
        }
    }

    fn wants(&self, tick: TickAddress<'_>, mode: Mode) -> bool {
        self.patterns.iter().any(|(exchange, prefix, of)| {
            *of == mode && exchange == tick.exchange && tick.symbol.starts_with(prefix.as_str())
        })
    }

    fn pick(&mut self, now_ms: u64, window_ms: u64, tick: TickAddress<'_>, out: &mut Vec<Picked>) {
        let other_broker = tick.broker.is_some_and(|broker| broker != self.broker.as_str());
        if self.audience.is_empty() || other_broker {
            return;
        }
        let wanted = Mode::ALL.map(|mode| mode <= tick.mode && self.wants(tick, mode));
        if !wanted.contains(&true) {
            return;
        }
        let instrument = Instrument::new(tick.exchange, tick.symbol);
        if !self.known.contains_key(&instrument) && usize::from(self.topics) >= self.topics_max {
            self.left_out += 1;
            return;
        }
        let known = self.known.entry(instrument.clone()).or_default();
        known.seen_ms[tick.mode.index()] = Some(now_ms);
        let is_source = |at: &Known, mode: Mode| {
            at.seen_ms[mode.index()].is_some_and(|seen_ms| now_ms - seen_ms <= window_ms)
        };
        for mode in Mode::ALL.into_iter().rev().filter(|mode| *mode <= tick.mode) {
            if mode < tick.mode && is_source(known, mode) {
                break;
            }
            let is_named = || self.exact.contains(&Topic::new(instrument.clone(), mode));
            if !wanted[mode.index()] || is_named() {
                continue;
            }
            let route = match known.routes[mode.index()] {
                Some(route) => route,
                None if usize::from(self.topics) >= self.topics_max => {
                    self.left_out += 1;
                    continue;
                }
                None => {
                    self.topics += 1;
                    *known.routes[mode.index()].insert(RouteId::picked(self.era, self.topics))
                }
            };
            let (outlet, broker) = (self.outlet, self.broker.clone());
            out.push(Picked { outlet, route, instrument: instrument.clone(), mode, broker });
        }
    }

    fn take_back(&mut self, tick: TickAddress<'_>) {
        let is_ours = tick.broker.is_none_or(|broker| broker == self.broker.as_str());
        let known = self.known.get_mut(&Instrument::new(tick.exchange, tick.symbol));
        if let Some(known) = known.filter(|_| is_ours) {
            known.seen_ms[tick.mode.index()] = None;
        }
    }
}

/// The patterns of all broadcasts that have any.
#[derive(Clone, Debug, Default)]
pub struct Wildcards {
    window_ms: u64,
    wilds: Vec<Wild>,
}

impl Wildcards {
    /// `window_ms`: how long a mode that was seen keeps serving.
    #[must_use]
    pub fn new(window_ms: u64, wilds: impl IntoIterator<Item = Wild>) -> Self {
        let wilds = wilds.into_iter().filter(|wild| !wild.patterns.is_empty()).collect();
        Self { window_ms, wilds }
    }

    /// A shard has somebody who hears a channel's broadcast, on this route, or no longer.
    pub fn audience(&mut self, channel: ChannelId, route: RouteId, shard: ShardId, wanted: bool) {
        let Some(wild) = self.wilds.iter_mut().find(|wild| wild.channel == channel) else { return };
        if !wanted {
            wild.audience.remove(&(route, shard));
            return;
        }
        wild.audience.insert((route, shard));
        if wild.era != route {
            wild.era = route;
            wild.known.clear();
            wild.topics = 0;
        }
    }

    /// Adds to `out` what is picked of a tick.
    pub fn pick(&mut self, now_ms: u64, tick: TickAddress<'_>, out: &mut Vec<Picked>) {
        for wild in &mut self.wilds {
            wild.pick(now_ms, self.window_ms, tick, out);
        }
    }

    /// A tick that was looked up cannot be read: a source of its mode keeps nobody from another
    /// until it is heard again.
    pub fn take_back(&mut self, tick: TickAddress<'_>) {
        self.wilds.iter_mut().for_each(|wild| wild.take_back(tick));
    }

    /// Ticks that found no place among the values of their broadcast, by channel.
    #[must_use]
    pub fn left_out(&self) -> Vec<(ChannelId, u64)> {
        self.wilds.iter().map(|wild| (wild.channel, wild.left_out)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wildcards(topics: &[&str], topics_max: usize) -> Wildcards {
        let patterns = topics.iter().filter_map(|text| TopicPattern::parse(text)).collect();
        let wild = Wild::new(ChannelId(1), 4, "paper".into(), patterns, topics_max);
        let mut wildcards = Wildcards::new(5_000, [wild]);
        wildcards.audience(ChannelId(1), RouteId(7), 0, true);
        wildcards
    }

    fn picked(wildcards: &mut Wildcards, now_ms: u64, topic: &str, mode: Mode) -> Vec<u8> {
        let (exchange, symbol) = topic.split_once(':').expect("a topic");
        let mut out = Vec::new();
        let tick = TickAddress { broker: None, exchange, symbol, mode };
        wildcards.pick(now_ms, tick, &mut out);
        out.into_iter().map(|picked| picked.mode.number()).collect()
    }

    const NONE: [u8; 0] = [];

    #[test]
    fn a_pattern_picks_the_symbols_that_begin_like_it() {
        let mut wildcards = wildcards(&["NFO:NIFTY*"], 10);
        assert_eq!(picked(&mut wildcards, 0, "NFO:NIFTY24", Mode::Ltp), [1]);
        assert_eq!(picked(&mut wildcards, 0, "NFO:NIFTY", Mode::Ltp), [1]);
        assert_eq!(picked(&mut wildcards, 0, "NFO:BANKNIFTY", Mode::Ltp), NONE);
        assert_eq!(picked(&mut wildcards, 0, "NSE:NIFTY", Mode::Ltp), NONE);
    }

    #[test]
    fn each_topic_has_one_source() {
        let mut wildcards = wildcards(&["NSE:*", "NSE:A*:Quote"], 10);
        assert_eq!(picked(&mut wildcards, 90_000, "NSE:A", Mode::Depth), [2, 1]);
        assert_eq!(picked(&mut wildcards, 90_001, "NSE:A", Mode::Ltp), [1]);
        assert_eq!(picked(&mut wildcards, 90_002, "NSE:A", Mode::Depth), [2]);
        assert_eq!(picked(&mut wildcards, 95_002, "NSE:A", Mode::Depth), [2, 1], "LTP is silent");
        assert_eq!(picked(&mut wildcards, 95_002, "NSE:B", Mode::Quote), [1]);
    }

    #[test]
    fn a_source_that_cannot_be_read_keeps_nobody_from_another() {
        let mut wildcards = wildcards(&["NSE:NIFTY*:LTP"], 9);
        assert_eq!(picked(&mut wildcards, 0, "NSE:NIFTY", Mode::Ltp), [1]);
        assert!(picked(&mut wildcards, 1, "NSE:NIFTY", Mode::Quote).is_empty());
        let (exchange, symbol, mode) = ("NSE", "NIFTY", Mode::Ltp);
        wildcards.take_back(TickAddress { broker: Some("other"), exchange, symbol, mode });
        assert!(picked(&mut wildcards, 2, "NSE:NIFTY", Mode::Quote).is_empty());
        wildcards.take_back(TickAddress { broker: None, exchange, symbol, mode });
        assert_eq!(picked(&mut wildcards, 3, "NSE:NIFTY", Mode::Quote), [1]);
    }

    #[test]
    fn what_is_subscribed_by_name_is_not_picked_as_well() {
        let mut wildcards = wildcards(&["NSE:*", "NSE:A"], 10);
        assert_eq!(picked(&mut wildcards, 0, "NSE:A", Mode::Ltp), NONE);
        assert_eq!(picked(&mut wildcards, 0, "NSE:B", Mode::Ltp), [1]);
    }

    #[test]
    fn no_more_is_picked_than_is_kept_and_nothing_for_nobody() {
        let mut wildcards = wildcards(&["NSE:*", "NSE:X"], 2);
        assert_eq!(picked(&mut wildcards, 0, "NSE:A", Mode::Ltp), [1]);
        assert_eq!(picked(&mut wildcards, 0, "NSE:B", Mode::Ltp), NONE);
        assert_eq!(picked(&mut wildcards, 0, "NSE:A", Mode::Ltp), [1]);
        assert_eq!(wildcards.left_out(), [(ChannelId(1), 1)]);
        wildcards.audience(ChannelId(1), RouteId(7), 0, false);
        assert_eq!(picked(&mut wildcards, 0, "NSE:A", Mode::Ltp), NONE);
        wildcards.audience(ChannelId(1), RouteId(8), 1, true);
        assert_eq!(picked(&mut wildcards, 0, "NSE:B", Mode::Ltp), [1], "it begins anew");
    }

    #[test]
    fn an_instrument_may_have_room_for_some_of_its_modes() {
        let mut wildcards = wildcards(&["NSE:*", "NSE:*:Quote"], 1);
        for left_out in 1..3 {
            assert_eq!(picked(&mut wildcards, 0, "NSE:A", Mode::Quote), [2]);
            assert_eq!(wildcards.left_out(), [(ChannelId(1), left_out)]);
        }
    }

    #[test]
    fn a_tick_of_another_broker_is_not_picked() {
        let mut wildcards = wildcards(&["NSE:*"], 2);
        let mut out = Vec::new();
        for broker in [Some("zerodha"), Some("paper"), Some("paper"), None] {
            let tick = TickAddress { broker, exchange: "NSE", symbol: "A", mode: Mode::Ltp };
            wildcards.pick(0, tick, &mut out);
        }
        assert_eq!(out.len(), 3);
        assert_eq!((out[0].outlet, out[0].route.era()), (4, Some(RouteId(7))));
        assert_eq!(RouteId(5).era(), None);
    }
}
