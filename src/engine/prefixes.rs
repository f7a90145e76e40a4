//! What publishers are asked for, when that is not everything.
//!
//! ZeroMQ filters by the beginning of a topic, and a higher mode serves the lower ones. So an
//! instrument is one prefix, `NSE_TCS_`, without a mode and with the separator, or `NSE_TCS_LTP`
//! would let `NSE_TCS_LTPX` in; what it lets in beyond, `NSE_TCS_FUT_LTP`, the feed drops.
//! Publishers may put the broker in front, as it is configured or in capitals.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::numbered::NumberMap;
use super::{RouteId, ShardId};
use crate::topic::{BrokerName, Topic};

/// Prefixes beyond which everything is asked for: publishers look every message up in them.
const PREFIXES_MAX: usize = 100_000;

/// A change of what publishers are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixChange {
    /// From now on, or no longer.
    pub wanted: bool,
    /// Of topics.
    pub prefix: Bytes,
}

/// The prefixes of what somebody wants.
#[derive(Debug, Default)]
pub struct Prefixes {
    /// Shards on each route, one bit each.
    routes: NumberMap<RouteId, u64>,
    /// How many routes need each; one that is always asked for counts as one more.
    needed: BTreeMap<Bytes, usize>,
    changes: Vec<PrefixChange>,
}

impl Prefixes {
    /// Those that are asked for from the start are asked for always, whoever wants them as well.
    #[must_use]
    pub fn beyond(always: impl IntoIterator<Item = Bytes>) -> Self {
        let needed = always.into_iter().map(|prefix| (prefix, 1)).collect();
        Self { needed, ..Self::default() }
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
        let bit = 1_u64 << shard;
        let shards = self.routes.get(&route).copied().unwrap_or_default();
        let now = if wanted { shards | bit } else { shards & !bit };
        match now {
            0 => drop(self.routes.swap_remove(&route)),
            now => drop(self.routes.insert(route, now)),
        }
        if (shards == 0) != (now == 0) {
            for prefix in of(topic, broker.as_str()) {
                self.need(prefix, wanted);
            }
        }
    }

    /// What has changed since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<PrefixChange> {
        std::mem::take(&mut self.changes)
    }

    fn need(&mut self, prefix: Bytes, wanted: bool) {
        let before = self.needed.len();
        self.count(prefix, wanted);
        // Everything is a prefix too: the empty one.
        if (before > PREFIXES_MAX) != (self.needed.len() > PREFIXES_MAX) {
            self.count(Bytes::new(), wanted);
        }
    }

    fn count(&mut self, prefix: Bytes, wanted: bool) {
        let count = self.needed.entry(prefix.clone()).or_default();
        if wanted {
            *count += 1;
        } else {
            *count -= 1;
        }
        let (is_first, is_last) = (wanted && *count == 1, *count == 0);
        if is_last {
            self.needed.remove(&prefix);
        }
        if is_first || is_last {
            self.changes.push(PrefixChange { wanted, prefix });
        }
    }
}

/// The beginnings of all bus topics that serve a topic.
fn of(topic: &Topic, broker: &str) -> [Bytes; 3] {
    let instrument = &topic.instrument;
    let plain = format!("{}_{}_", instrument.exchange, instrument.symbol);
    let capitals = broker.to_ascii_uppercase();
    [format!("{broker}_{plain}").into(), format!("{capitals}_{plain}").into(), plain.into()]
}

/// What publishers are always asked for: credentials that change, and the order updates of these
/// brokers and of OpenAlgo's analyzer, which have the broker in front in capitals.
#[must_use]
pub fn always<'a>(brokers: impl Iterator<Item = &'a str>) -> Vec<Bytes> {
    let fixed =
        ["CACHE_INVALIDATE", "ANALYZE_"].map(|prefix| Bytes::from_static(prefix.as_bytes()));
    let orders = brokers.map(|broker| format!("{}_", broker.to_ascii_uppercase()).into());
    fixed.into_iter().chain(orders).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{Instrument, Mode};

    fn set(prefixes: &mut Prefixes, route: u64, mode: Mode, shard: ShardId, wanted: bool) {
        let topic = Topic::new(Instrument::new("NSE", "TCS"), mode);
        prefixes.set_interest(RouteId(route), &topic, &"dhan".into(), shard, wanted);
    }

    fn changes(prefixes: &mut Prefixes) -> Vec<String> {
        let shown = prefixes.take_changes().into_iter().map(|change| {
            let sign = if change.wanted { '+' } else { '-' };
            format!("{sign}{}", String::from_utf8_lossy(&change.prefix))
        });
        shown.collect()
    }

    #[test]
    fn an_instrument_is_asked_for_once_and_as_long_as_any_mode_of_it_is_wanted() {
        let mut prefixes = Prefixes::default();
        set(&mut prefixes, 1, Mode::Ltp, 0, true);
        let all = ["+dhan_NSE_TCS_", "+DHAN_NSE_TCS_", "+NSE_TCS_"];
        assert_eq!(changes(&mut prefixes), all);
        set(&mut prefixes, 1, Mode::Ltp, 1, true);
        set(&mut prefixes, 2, Mode::Quote, 1, true);
        set(&mut prefixes, 1, Mode::Ltp, 0, false);
        set(&mut prefixes, 1, Mode::Ltp, 1, false);
        assert!(changes(&mut prefixes).is_empty());
        set(&mut prefixes, 2, Mode::Quote, 1, false);
        let none = ["-dhan_NSE_TCS_", "-DHAN_NSE_TCS_", "-NSE_TCS_"];
        assert_eq!(changes(&mut prefixes), none);
        assert!(prefixes.routes.is_empty() && prefixes.needed.is_empty());
    }

    #[test]
    fn interest_that_is_told_twice_is_interest_once() {
        let mut prefixes = Prefixes::default();
        set(&mut prefixes, 1, Mode::Ltp, 0, true);
        set(&mut prefixes, 1, Mode::Ltp, 0, true);
        set(&mut prefixes, 1, Mode::Ltp, 0, false);
        set(&mut prefixes, 1, Mode::Ltp, 0, false);
        assert_eq!(changes(&mut prefixes).len(), 6);
    }

    #[test]
    fn what_is_always_asked_for_outlives_who_wants_it_too() {
        let mut prefixes = Prefixes::beyond(["NSE_TCS_".into(), Bytes::new()]);
        set(&mut prefixes, 1, Mode::Ltp, 0, true);
        assert_eq!(changes(&mut prefixes), ["+dhan_NSE_TCS_", "+DHAN_NSE_TCS_"]);
        set(&mut prefixes, 1, Mode::Ltp, 0, false);
        assert_eq!(changes(&mut prefixes), ["-dhan_NSE_TCS_", "-DHAN_NSE_TCS_"]);
    }

    #[test]
    fn too_many_prefixes_are_everything() {
        let mut prefixes = Prefixes::default();
        let mut all = |wanted| {
            for route in 0..40_000 {
                let topic = Topic::new(Instrument::new("NSE", format!("S{route}")), Mode::Ltp);
                prefixes.set_interest(RouteId(route), &topic, &"dhan".into(), 0, wanted);
            }
            changes(&mut prefixes)
                .into_iter()
                .filter(|change| change.len() == 1)
                .collect::<Vec<_>>()
        };
        assert_eq!(all(true), ["+"]);
        assert_eq!(all(false), ["-"]);
    }

    #[test]
    fn order_updates_and_credentials_are_always_asked_for() {
        let always = always(["dhan"].into_iter());
        let is_in = |topic: &str| always.iter().any(|it| topic.as_bytes().starts_with(it));
        for topic in ["CACHE_INVALIDATE_ALL_alice", "DHAN_alice_orders", "ANALYZE_alice_orders"] {
            assert!(is_in(topic), "{topic}");
        }
        assert!(!is_in("NSE_TCS_LTP") && !is_in("dhan_NSE_TCS_LTP"));
    }
}
