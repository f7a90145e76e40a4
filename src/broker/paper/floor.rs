//! The trading floor: which markets trade, and when each topic has its next tick.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::market::Market;
use super::payload::payload;
use crate::broker::desk::Change;
use crate::topic::{Instrument, Mode, Topic};

/// Milliseconds from a subscription to its first tick: time for the answer to arrive first.
pub const FIRST_TICK_MS: u64 = 50;
/// Markets that are remembered while nobody wants them; beyond, the one that has been idle
/// longest is forgotten and starts its day anew when somebody wants it again.
pub const IDLE_MARKETS_MAX: usize = 10_000;

/// One tick, ready for the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    /// `EXCHANGE_SYMBOL_MODE`.
    pub topic: Bytes,
    /// A JSON object.
    pub payload: Bytes,
}

/// The two clocks, read once for all that happens at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Milliseconds since the floor opened; decides what is due.
    pub clock_ms: u64,
    /// Milliseconds since 1970; written into ticks.
    pub unix_ms: u64,
}

/// All markets. Each trades by itself: what is wanted of one has no influence on another.
#[derive(Debug)]
pub(super) struct Floor {
    seed: u64,
    period_ms: u64,
    listings: BTreeMap<Instrument, Listing>,
    due: BTreeSet<(u64, Instrument, Event)>,
    /// Unwanted markets, the one idle longest first.
    idle: BTreeMap<u64, Instrument>,
    idle_next: u64,
}

#[derive(Debug)]
struct Listing {
    market: Market,
    topics: [TopicState; 3],
    state: State,
}

#[derive(Debug)]
struct TopicState {
    name: Bytes,
    wanted: Wanted,
    seq: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    No,
    /// Wanted; its first tick is due then, and until then it takes no part in rounds.
    From(u64),
    Yes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Trades next at this time.
    Trading(u64),
    /// Its key in [`Floor::idle`].
    Idle(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The market trades; all its wanted topics have a tick.
    Round,
    /// A new topic has its first tick.
    First(Mode),
}

impl Floor {
    /// An empty floor on which each wanted topic has a tick every `period_ms`, at least 1.
    pub(super) fn new(seed: u64, period_ms: u64) -> Self {
        Self {
            seed,
            period_ms: period_ms.max(1),
            listings: BTreeMap::new(),
            due: BTreeSet::new(),
            idle: BTreeMap::new(),
            idle_next: 0,
        }
    }

    /// Follows a change of what is wanted.
    pub(super) fn apply(&mut self, change: &Change, now: Now) {
        match change {
            Change::Started(topic) => self.start(topic, now),
            Change::Stopped(topic) => self.stop(topic),
        }
    }

    /// When [`Floor::trade`] has something to do, on the floor's clock.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.due.first().map(|(due_ms, _, _)| *due_ms)
    }

    /// Does what is due, at most `events_max` events of it.
    pub(super) fn trade(&mut self, now: Now, events_max: usize, ticks: &mut Vec<Tick>) {
        for _ in 0..events_max {
            if self.next_due_ms().is_none_or(|due_ms| due_ms > now.clock_ms) {
                return;
            }
            let Some((due_ms, instrument, event)) = self.due.pop_first() else { return };
            let listing = self.listings.get_mut(&instrument).expect("what is due is listed");
            match event {
                Event::First(mode) => {
                    listing.topics[mode.index()].wanted = Wanted::Yes;
                    ticks.push(listing.tick(mode));
                }
                Event::Round => {
                    listing.market.trade(now.unix_ms);
                    for mode in Mode::ALL {
                        match listing.topics[mode.index()].wanted {
                            Wanted::Yes => ticks.push(listing.tick(mode)),
                            Wanted::No | Wanted::From(_) => {}
                        }
                    }
                    // A process that was asleep goes on at its pace; it does not make up for it.
                    let next_ms = match due_ms + self.period_ms {
                        next_ms if next_ms > now.clock_ms => next_ms,
                        _ => now.clock_ms + self.period_ms,
                    };
                    listing.state = State::Trading(next_ms);
                    self.due.insert((next_ms, instrument, Event::Round));
                }
            }
        }
    }

    fn start(&mut self, topic: &Topic, now: Now) {
        let instrument = &topic.instrument;
        let first_ms = now.clock_ms + FIRST_TICK_MS;
        if !self.listings.contains_key(instrument) {
            let mut listing = Listing::open(self.seed, instrument, now.unix_ms);
            // Spread over the period, so that a thousand topics subscribed at once do not tick
            // at once.
            let next_ms = first_ms + 1 + listing.market.draw(self.period_ms);
            listing.state = State::Trading(next_ms);
            self.due.insert((next_ms, instrument.clone(), Event::Round));
            self.listings.insert(instrument.clone(), listing);
        }
        let listing = self.listings.get_mut(instrument).expect("listed above");
        if let State::Idle(key) = listing.state {
            self.idle.remove(&key);
            listing.market.trade(now.unix_ms);
            let next_ms = first_ms + self.period_ms;
            listing.state = State::Trading(next_ms);
            self.due.insert((next_ms, instrument.clone(), Event::Round));
        }
        listing.topics[topic.mode.index()].wanted = Wanted::From(first_ms);
        self.due.insert((first_ms, instrument.clone(), Event::First(topic.mode)));
    }

    fn stop(&mut self, topic: &Topic) {
        let instrument = &topic.instrument;
        let Some(listing) = self.listings.get_mut(instrument) else { return };
        let state = &mut listing.topics[topic.mode.index()];
        if let Wanted::From(first_ms) = state.wanted {
            self.due.remove(&(first_ms, instrument.clone(), Event::First(topic.mode)));
        }
        state.wanted = Wanted::No;
        if listing.topics.iter().any(|state| state.wanted != Wanted::No) {
            return;
        }
        if let State::Trading(next_ms) = listing.state {
            self.due.remove(&(next_ms, instrument.clone(), Event::Round));
        }
        listing.state = State::Idle(self.idle_next);
        self.idle.insert(self.idle_next, instrument.clone());
        self.idle_next += 1;
        if self.idle.len() > IDLE_MARKETS_MAX
            && let Some((_, oldest)) = self.idle.pop_first()
        {
            self.listings.remove(&oldest);
        }
    }
}

impl Listing {
    fn open(seed: u64, instrument: &Instrument, now_ms: u64) -> Self {
        let state = |mode: Mode| TopicState {
            name: format!("{}_{}_{}", instrument.exchange, instrument.symbol, mode.segment())
                .into(),
            wanted: Wanted::No,
            seq: 0,
        };
        Self {
            market: Market::open(seed, instrument, now_ms),
            topics: Mode::ALL.map(state),
            state: State::Trading(0),
        }
    }

    fn tick(&mut self, mode: Mode) -> Tick {
        let state = &mut self.topics[mode.index()];
        state.seq += 1;
        Tick { topic: state.name.clone(), payload: payload(&self.market, mode, state.seq).into() }
    }
}
