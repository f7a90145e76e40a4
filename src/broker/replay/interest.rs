//! Which ticks of a recording somebody has subscribed to.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::broker::desk::Change;
use crate::protocol::bus::{BusTopic, TopicRules, parse_topic};
use crate::topic::{Instrument, Mode, Topic};

/// Topics of the recording that are remembered as they were read; beyond, all are read anew.
const KNOWN_MAX: usize = 65_536;

/// The subscriptions, and what the recording has been seen to have of them.
#[derive(Debug)]
pub(super) struct Interest {
    rules: TopicRules,
    wanted: BTreeMap<Instrument, Modes>,
    known: BTreeMap<Bytes, Option<Topic>>,
}

/// Of one instrument.
#[derive(Debug, Default)]
struct Modes {
    wanted: [bool; 3],
    /// Came since the instrument was wanted.
    seen: [bool; 3],
}

impl Interest {
    /// Nothing is wanted. `rules` say how topics are read.
    pub(super) const fn new(rules: TopicRules) -> Self {
        Self { rules, wanted: BTreeMap::new(), known: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Follows a change of what is subscribed.
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Started(topic) => {
                let modes = self.wanted.entry(topic.instrument.clone()).or_default();
                modes.wanted[topic.mode.index()] = true;
            }
            Change::Stopped(topic) => {
                if let Some(modes) = self.wanted.get_mut(&topic.instrument) {
                    modes.wanted[topic.mode.index()] = false;
                    if modes.wanted == [false; 3] {
                        self.wanted.remove(&topic.instrument);
                    }
                }
            }
        }
    }

    /// Whether the next tick, of this topic, is to be published.
    pub(super) fn takes(&mut self, topic: &Bytes) -> bool {
        if self.wanted.is_empty() {
            return false;
        }
        if !self.known.contains_key(topic) {
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            let read = self.read(topic);
            // A slice would keep its whole block in memory.
            self.known.insert(Bytes::copy_from_slice(topic), read);
        }
        let Some(Topic { instrument, mode }) = self.known.get(topic).and_then(Option::as_ref)
        else {
            return false;
        };
        self.wanted.get_mut(instrument).is_some_and(|modes| modes.take(*mode))
    }

    fn read(&self, topic: &[u8]) -> Option<Topic> {
        match parse_topic(topic, &self.rules).ok()? {
            BusTopic::Tick { exchange, symbol, mode, .. } => {
                Some(Topic::new(Instrument::new(exchange, symbol), mode))
            }
            BusTopic::Orders | BusTopic::Private | BusTopic::Invalidate => None,
        }
    }
}

impl Modes {
    /// A mode serves those that want it, and those that want a lower one of which nothing has come,
    /// nor of any between.
    fn take(&mut self, mode: Mode) -> bool {
        self.seen[mode.index()] = true;
        let lowest_without_own = (0..mode.index()).rev().take_while(|&at| !self.seen[at]);
        self.wanted[mode.index()] || lowest_without_own.into_iter().any(|at| self.wanted[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(symbol: &str, mode: Mode) -> Topic {
        Topic::new(Instrument::new("NSE", symbol), mode)
    }

    fn interest(wanted: &[(&str, Mode)]) -> Interest {
        let mut interest = Interest::new(TopicRules {
            brokers: vec!["zerodha".into()],
            two_segment_exchanges: vec!["NSE_INDEX".into()],
        });
        for (symbol, mode) in wanted {
            interest.apply(&Change::Started(topic(symbol, *mode)));
        }
        interest
    }

    fn taken<'a>(interest: &mut Interest, topics: &[&'a str]) -> Vec<&'a str> {
        let takes = |topic: &&str| interest.takes(&Bytes::copy_from_slice(topic.as_bytes()));
        topics.iter().copied().filter(takes).collect()
    }

    #[test]
    fn what_is_subscribed_is_taken_and_nothing_else() {
        let mut interest = interest(&[("TCS", Mode::Ltp), ("M_M", Mode::Quote)]);
        let all = [
            "NSE_TCS_LTP",
            "NSE_TCS_QUOTE",
            "NSE_M_M_QUOTE",
            "NSE_M_M_LTP",
            "BSE_TCS_LTP",
            "zerodha_NSE_TCS_LTP",
            "NSE_INDEX_TCS_LTP",
            "ZERODHA_alice_orders",
            "nothing",
        ];
        let expected = ["NSE_TCS_LTP", "NSE_M_M_QUOTE", "zerodha_NSE_TCS_LTP"];
        assert_eq!(taken(&mut interest, &all), expected);

        interest.apply(&Change::Stopped(topic("TCS", Mode::Ltp)));
        assert_eq!(taken(&mut interest, &all), ["NSE_M_M_QUOTE"]);
        interest.apply(&Change::Stopped(topic("M_M", Mode::Quote)));
        assert!(interest.is_empty());
        assert_eq!(taken(&mut interest, &all), [""; 0]);
    }

    #[test]
    fn a_mode_that_the_recording_lacks_is_served_from_the_next_one_that_it_has() {
        let mut interest = interest(&[("TCS", Mode::Ltp)]);
        assert_eq!(taken(&mut interest, &["NSE_TCS_DEPTH"]), ["NSE_TCS_DEPTH"]);
        let both = ["NSE_TCS_QUOTE", "NSE_TCS_DEPTH"];
        assert_eq!(taken(&mut interest, &both), ["NSE_TCS_QUOTE"], "it is leaner");
        let all = ["NSE_TCS_LTP", "NSE_TCS_QUOTE", "NSE_TCS_DEPTH"];
        assert_eq!(taken(&mut interest, &all), ["NSE_TCS_LTP"]);
        interest.apply(&Change::Started(topic("TCS", Mode::Depth)));
        assert_eq!(taken(&mut interest, &all), ["NSE_TCS_LTP", "NSE_TCS_DEPTH"]);
    }

    #[test]
    fn more_topics_than_are_remembered_are_read_all_the_same() {
        let mut interest = interest(&[("TCS", Mode::Ltp)]);
        for number in 0..=KNOWN_MAX {
            assert!(!interest.takes(&format!("NSE_S{number}_LTP").into()));
        }
        assert!(interest.known.len() <= KNOWN_MAX);
        assert!(interest.takes(&Bytes::from_static(b"NSE_TCS_LTP")));
    }
}
