//! One broadcast: the latest value of each of its topics, and when to send them.
//!
//! While somebody listens, the gateway itself is a client of the hub that subscribes to the topics
//! which are named. So sessions, wants and reference counts need no rule of their own.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::numbered::NumberMap;
use super::{Epoch, RouteId, ShardId};
use crate::marks::mark;
use crate::protocol::frame;
use crate::topic::ClientId;

/// What a broadcast needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct BroadcastOptions {
    /// Its number among the broadcasts, from 0, and how many of them there are.
    pub number: (u64, u64),
    /// The path of its channel.
    pub path: String,
    /// How often it is sent.
    pub interval_ms: u64,
    /// Whether topics are to be subscribed at a broker.
    pub subscribes: bool,
    /// The pause before what failed is asked for again, the first time; it doubles each time.
    pub retry_min_ms: u64,
    /// The longest such pause.
    pub retry_max_ms: u64,
    /// How long the client stays when nobody listens any more.
    pub linger_ms: u64,
}

/// Something the hub is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BroadcastEffect {
    /// This client has come.
    Open(ClientId),
    /// This client authenticates and subscribes to all the topics.
    Ask(ClientId),
    /// This client has gone.
    Close(ClientId),
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BroadcastTotals {
    /// Frames serialized.
    pub sent: u64,
    /// Intervals in which nothing had changed.
    pub skipped: u64,
}

/// The state of one broadcast.
#[derive(Debug)]
pub struct Broadcast {
    options: BroadcastOptions,
    now_ms: u64,
    /// Where somebody listens, and on which route.
    audience: BTreeMap<ShardId, RouteId>,
    /// The gateway as a client.
    own: Option<ClientId>,
    opened: u64,
    /// When to open the client, or to ask, once more.
    retry_at_ms: Option<u64>,
    /// The pause until then, or the last one.
    pause_ms: u64,
    /// Something was refused since it was asked last, and something of what was asked before that.
    refused: [bool; 2],
    /// Something was granted since.
    granted: bool,
    /// When the client leaves, if nobody comes by then.
    leave_at_ms: Option<u64>,
    /// The client lacks something, and asks for it when somebody listens again.
    lacks: bool,
    /// Routes that may be ticked, and since when.
    expected: NumberMap<RouteId, Epoch>,
    /// What those had heard of routes who say what follows.
    heard: Epoch,
    values: NumberMap<RouteId, Bytes>,
    changed: bool,
    next_ms: u64,
    totals: BroadcastTotals,
}

impl Broadcast {
    /// A broadcast that nobody hears.
    #[must_use]
    pub fn new(options: BroadcastOptions) -> Self {
        Self {
            options,
            now_ms: 0,
            audience: BTreeMap::new(),
            own: None,
            opened: 0,
            retry_at_ms: None,
            pause_ms: 0,
            refused: [false; 2],
            granted: false,
            leave_at_ms: None,
            lacks: false,
            expected: NumberMap::default(),
            heard: Epoch::default(),
            values: NumberMap::default(),
            changed: false,
            next_ms: 0,
            totals: BroadcastTotals::default(),
        }
    }

    /// Tells the time to what follows.
    pub fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// A shard has somebody who listens, on this route, or no longer.
    pub fn audience(
        &mut self,
        shard: ShardId,
        route: RouteId,
        wanted: bool,
        effects: &mut Vec<BroadcastEffect>,
    ) {
        if wanted {
            if self.audience.is_empty() {
                mark!(AudienceBegins);
                self.next_ms = self.now_ms + self.options.interval_ms;
                self.leave_at_ms = None;
                let lacks = std::mem::take(&mut self.lacks) && self.own.is_some();
                self.retry_at_ms = lacks.then_some(self.now_ms);
                self.open(effects);
            }
            self.audience.insert(shard, route);
            self.values.retain(|it, _| it.era().is_none_or(|era| era == route));
            // Whoever is new there gets what the others have.
            self.changed = true;
            return;
        }
        if self.audience.get(&shard) == Some(&route) {
            self.audience.remove(&shard);
        }
        if self.audience.is_empty() {
            mark!(AudienceEnds);
            self.lacks = self.retry_at_ms.take().is_some();
            self.leave_at_ms = Some(self.now_ms + self.options.linger_ms);
            self.leave_if_due(effects);
        }
    }

    fn leave_if_due(&mut self, effects: &mut Vec<BroadcastEffect>) {
        if self.leave_at_ms.is_some_and(|at_ms| at_ms <= self.now_ms) {
            self.leave_at_ms = None;
            self.values.clear();
            effects.extend(self.own.take().map(BroadcastEffect::Close));
        }
    }

    fn open(&mut self, effects: &mut Vec<BroadcastEffect>) {
        if self.options.subscribes && self.own.is_none() {
            let (number, count) = self.options.number;
            let own = ClientId::own(number + count * self.opened);
            self.opened += 1;
            self.own = Some(own);
            effects.push(BroadcastEffect::Open(own));
            self.ask(own, effects);
        }
    }

    fn ask(&mut self, own: ClientId, effects: &mut Vec<BroadcastEffect>) {
        (self.refused, self.granted) = ([false, self.refused[0]], false);
        effects.push(BroadcastEffect::Ask(own));
    }

    /// Sets when to ask again for what was refused: later each time that something is.
    fn ask_again_later(&mut self) {
        let [refused, before] = &mut self.refused;
        if !std::mem::replace(refused, true) {
            let Self { options: BroadcastOptions { retry_min_ms, retry_max_ms, .. }, .. } = self;
            let next_ms = if *before { self.pause_ms * 2 } else { *retry_min_ms };
            self.pause_ms = next_ms.min(*retry_max_ms);
        }
        self.retry_at_ms = Some(self.now_ms + self.pause_ms);
    }

    /// Tells what those had heard of routes who sent the ticks that follow.
    pub fn set_heard(&mut self, epoch: Epoch) {
        self.heard = epoch;
    }

    /// From now on ticks of this route may come, from those who have heard of that.
    pub fn expect(&mut self, route: RouteId, since: Epoch) {
        self.expected.insert(route, since);
    }

    /// No more ticks of this route come.
    pub fn forget(&mut self, route: RouteId) {
        self.expected.swap_remove(&route);
        self.values.shift_remove(&route);
    }

    /// Takes in a tick, as it would be sent to a client.
    pub fn tick(&mut self, route: RouteId, tick: &Bytes) {
        let is_picked =
            || route.era().is_some_and(|era| self.audience.values().any(|it| *it == era));
        // While the client lingers, what it reads is kept for whoever comes back.
        let is_expected = || self.expected.get(&route).is_some_and(|since| *since <= self.heard);
        let is_own = self.own.is_some() && is_expected();
        if !(is_own || is_picked()) {
            return;
        }
        // It is sent with others at intervals, and follows none.
        let tick = frame::without_sequence(tick);
        let old = self.values.insert(route, tick.clone());
        self.changed |= old.is_none_or(|old| old != tick);
    }

    /// What the client of this number asked for was granted, or not.
    pub fn answered(&mut self, client: ClientId, granted: bool) {
        self.granted |= granted && self.own == Some(client);
        if self.own == Some(client) && !granted {
            mark!(BroadcastAsksAgain);
            if self.audience.is_empty() {
                self.lacks = true;
            } else {
                self.ask_again_later();
            }
        }
    }

    /// The hub sends the client of this number away; `for_good`: because the gateway stops.
    pub fn closed(&mut self, client: ClientId, for_good: bool, effects: &mut Vec<BroadcastEffect>) {
        if self.own == Some(client) {
            self.own = None;
            self.retry_at_ms = None;
            if !for_good && !self.audience.is_empty() {
                // What was granted in the end is lost for another reason.
                self.refused[1] &= self.refused[0] || !self.granted;
                self.ask_again_later();
            }
            effects.push(BroadcastEffect::Close(client));
        }
    }

    /// Does what is due. Says whether a frame is to be sent.
    pub fn due(&mut self, effects: &mut Vec<BroadcastEffect>) -> bool {
        self.leave_if_due(effects);
        if self.retry_at_ms.is_some_and(|at_ms| at_ms <= self.now_ms) {
            self.retry_at_ms = None;
            match self.own {
                Some(own) => self.ask(own, effects),
                None => self.open(effects),
            }
        }
        if self.audience.is_empty() || self.now_ms < self.next_ms {
            return false;
        }
        let late_ms = (self.now_ms - self.next_ms) % self.options.interval_ms;
        self.next_ms = self.now_ms - late_ms + self.options.interval_ms;
        if !self.changed || self.values.is_empty() {
            self.totals.skipped += 1;
            return false;
        }
        self.changed = false;
        self.totals.sent += 1;
        true
    }

    /// When [`Broadcast::due`] is to be asked next, if ever.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let interval_ms = (!self.audience.is_empty()).then_some(self.next_ms);
        [interval_ms, self.retry_at_ms, self.leave_at_ms].into_iter().flatten().min()
    }

    /// All that there is, as one frame for everybody.
    #[must_use]
    pub fn frame(&self, unix_ms: u64) -> Bytes {
        frame::broadcast_frame(&self.options.path, unix_ms, self.values.values())
    }

    /// Where the frame goes.
    pub fn routes(&self) -> impl Iterator<Item = (ShardId, RouteId)> {
        self.audience.iter().map(|(shard, route)| (*shard, *route))
    }

    /// Topics whose value is known.
    #[must_use]
    pub fn topics(&self) -> usize {
        self.values.len()
    }

    /// Counters since the start.
    #[must_use]
    pub const fn totals(&self) -> BroadcastTotals {
        self.totals
    }
}

#[cfg(test)]
mod tests;
