//! What clients read, said a second time: which subscriptions a tick serves, and what waits for
//! whom. Written from wire-protocol.md, section 2, and the promises of the outbox.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::words::{BROKERS, BrokerNo, ClientNo, SYMBOLS, Topic};

/// Number of a route, as the engine gives it.
pub type RouteNo = u64;

/// The feed: who is interested in what, and what publishers have sent.
#[derive(Clone, Debug)]
pub struct Feed {
    window_ms: u64,
    /// By route: what is wanted, by users of which broker, on which shards (a set).
    routes: BTreeMap<RouteNo, (BrokerNo, Topic, u64)>,
    /// Ticks that each route was served with.
    served: BTreeMap<RouteNo, u64>,
    /// When a tick of each mode last came in.
    seen_ms: [[[Option<u64>; 3]; SYMBOLS]; BROKERS],
}

impl Feed {
    /// Nobody is interested in anything.
    #[must_use]
    pub fn new(window_ms: u64) -> Self {
        let seen_ms = [[[None; 3]; SYMBOLS]; BROKERS];
        Self { window_ms, routes: BTreeMap::new(), served: BTreeMap::new(), seen_ms }
    }

    /// A shard is (or no longer) interested.
    pub fn interest(
        &mut self,
        route: RouteNo,
        broker: BrokerNo,
        topic: Topic,
        shard: usize,
        wanted: bool,
    ) {
        if wanted {
            // A new number for the same thing: whoever was on the older one has left it, though
            // its end may be told later.
            self.routes.retain(|no, at| *no >= route || (at.0, at.1) != (broker, topic));
        }
        let entry = self.routes.entry(route).or_insert((broker, topic, 0));
        if wanted {
            entry.2 |= 1 << shard;
        } else {
            entry.2 &= !(1 << shard);
        }
        if entry.2 == 0 {
            self.routes.remove(&route);
        }
        self.served.retain(|route, _| self.routes.contains_key(route));
        let of_symbol =
            |at: &(BrokerNo, Topic, u64)| at.0 == broker && at.1.symbol() == topic.symbol();
        if !self.routes.values().any(of_symbol) {
            // Of what nobody wants nothing is remembered.
            self.seen_ms[broker as usize][topic.symbol() as usize] = [None; 3];
        }
    }

    /// The routes that a tick serves, each with its shards and the tick's number there: a
    /// subscription gets the tick if nothing between its own mode and that of the tick has been
    /// seen lately.
    pub fn tick(
        &mut self,
        now_ms: u64,
        from: Option<BrokerNo>,
        tick: Topic,
    ) -> Vec<(RouteNo, u64, u64)> {
        let mut served = Vec::new();
        for broker in 0..BROKERS as BrokerNo {
            let of_symbol =
                |at: &(BrokerNo, Topic, u64)| at.0 == broker && at.1.symbol() == tick.symbol();
            let is_wanted = self.routes.values().any(of_symbol);
            if !is_wanted || from.is_some_and(|from| from != broker) {
                continue;
            }
            let seen_ms = &mut self.seen_ms[broker as usize][tick.symbol() as usize];
            seen_ms[tick.mode() as usize] = Some(now_ms);
            for (route, at) in self.routes.iter().filter(|(_, at)| of_symbol(at)) {
                let mut lower = at.1.mode()..tick.mode();
                let is_source = |mode: u8| {
                    seen_ms[mode as usize].is_some_and(|at_ms| now_ms - at_ms <= self.window_ms)
                };
                if at.1.mode() <= tick.mode() && !lower.any(is_source) {
                    let seq = self.served.entry(*route).or_default();
                    *seq += 1;
                    served.push((*route, at.2, *seq));
                }
            }
        }
        served
    }
}

/// Something that a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// An answer, by number.
    Answer(u64),
    /// The close frame.
    Close,
    /// A tick, by number.
    Tick {
        /// On which route.
        route: RouteNo,
        /// Which.
        number: u64,
        /// Which one of its route.
        seq: u64,
        /// How many before it were left out, as it says.
        skipped: u64,
        /// It is the last value of before the subscription.
        snapshot: bool,
    },
}

/// One shard: who is on which route, and what waits for whom.
#[derive(Clone, Debug)]
pub struct Desk {
    ticks_max: usize,
    readers: BTreeMap<ClientNo, Reader>,
    /// Each route that may be ticked: since which epoch, and its last value.
    routes: BTreeMap<RouteNo, (u64, Option<(u64, u64)>)>,
    /// Clients to whom something has happened since they were last looked after.
    dirty: BTreeSet<ClientNo>,
}

#[derive(Clone, Debug, Default)]
struct Reader {
    routes: BTreeSet<RouteNo>,
    /// In order.
    waiting: VecDeque<Frame>,
    /// Behind all that: the latest of each route, in the order in which they began to lag.
    lagging: Vec<Frame>,
    /// Whether the oldest tick goes instead, and how many have gone of each route.
    drops: bool,
    dropped: BTreeMap<RouteNo, u64>,
    closing: bool,
}

impl Desk {
    /// A shard without clients; `ticks_max` wait in order, more only as the latest of each route.
    #[must_use]
    pub fn new(ticks_max: usize) -> Self {
        let (readers, routes) = (BTreeMap::new(), BTreeMap::new());
        Self { ticks_max, readers, routes, dirty: BTreeSet::new() }
    }

    /// A client comes; `drops`: where there is no room, its oldest tick goes.
    pub fn attach(&mut self, client: ClientNo, drops: bool) {
        self.readers.insert(client, Reader { drops, ..Reader::default() });
    }

    /// A client goes.
    pub fn detach(&mut self, client: ClientNo) {
        self.readers.remove(&client);
        self.dirty.remove(&client);
    }

    /// A route may be ticked, by a feed that has heard of that.
    pub fn expect(&mut self, route: RouteNo, since: u64) {
        self.routes.insert(route, (since, None));
    }

    /// A route will not be ticked any more.
    pub fn forget(&mut self, route: RouteNo) {
        self.routes.remove(&route);
    }

    /// A client leaves routes, is answered, and joins routes.
    pub fn deliver(
        &mut self,
        client: ClientNo,
        remove: &[RouteNo],
        answer: Option<u64>,
        add: &[RouteNo],
    ) {
        let Some(reader) = self.readers.get_mut(&client).filter(|reader| !reader.closing) else {
            return;
        };
        reader.routes.retain(|route| !remove.contains(route));
        // After the answer to an unsubscribe there is no tick, not even one that waited.
        let is_kept = |frame: &Frame| match frame {
            Frame::Tick { route, .. } => !remove.contains(route),
            Frame::Answer(_) | Frame::Close => true,
        };
        reader.waiting.retain(is_kept);
        reader.lagging.retain(is_kept);
        reader.dropped.retain(|route, _| !remove.contains(route));
        if let Some(answer) = answer {
            reader.waiting.push_back(Frame::Answer(answer));
            self.dirty.insert(client);
        }
        for route in add {
            reader.routes.insert(*route);
            if let Some((_, Some((number, seq)))) = self.routes.get(route).copied() {
                let (route, snapshot) = (*route, true);
                let frame = Frame::Tick { route, number, seq, skipped: 0, snapshot };
                reader.tick(self.ticks_max, frame);
                self.dirty.insert(client);
            }
        }
    }

    /// A tick comes for a route, from a feed that has heard so much.
    pub fn tick(&mut self, heard: u64, route: RouteNo, number: u64, seq: u64) {
        let Some((_, last)) = self.routes.get_mut(&route).filter(|at| at.0 <= heard) else {
            return;
        };
        *last = Some((number, seq));
        for (client, reader) in &mut self.readers {
            if reader.routes.contains(&route) {
                let frame = Frame::Tick { route, number, seq, skipped: 0, snapshot: false };
                reader.tick(self.ticks_max, frame);
                self.dirty.insert(*client);
            }
        }
    }

    /// A client is to be closed: it may read what waits, then the close frame.
    pub fn close(&mut self, client: ClientNo) {
        let Some(reader) = self.readers.get_mut(&client).filter(|reader| !reader.closing) else {
            return;
        };
        reader.closing = true;
        reader.routes.clear();
        reader.catch_up();
        reader.waiting.push_back(Frame::Close);
        self.dirty.insert(client);
    }

    /// A client reads the next frame.
    pub fn read(&mut self, client: ClientNo) -> Option<Frame> {
        let reader = self.readers.get_mut(&client)?;
        if reader.waiting.is_empty() {
            reader.catch_up();
        }
        let mut frame = reader.waiting.pop_front()?;
        if let Frame::Tick { route, skipped, .. } = &mut frame {
            *skipped += reader.dropped.remove(route).unwrap_or_default();
        }
        Some(frame)
    }

    /// Whether a client has read all that it will ever get.
    #[must_use]
    pub fn is_finished(&self, client: ClientNo) -> bool {
        self.readers.get(&client).is_some_and(|reader| {
            reader.closing && reader.waiting.is_empty() && reader.lagging.is_empty()
        })
    }

    /// Somebody is looked after: whether there was a reason to.
    pub fn clean(&mut self, client: ClientNo) -> bool {
        self.dirty.remove(&client)
    }

    /// Whether somebody has to be looked after.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Clients, routes that may be ticked, pairs of the two.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize, usize) {
        let pairs = self.readers.values().map(|reader| reader.routes.len()).sum();
        (self.readers.len(), self.routes.len(), pairs)
    }
}

impl Reader {
    fn tick(&mut self, ticks_max: usize, mut frame: Frame) {
        let Frame::Tick { route, skipped, .. } = &mut frame else { return };
        if self.drops {
            while self.ticks() >= ticks_max {
                self.drop_oldest();
            }
        }
        if self.lagging.is_empty() && self.ticks() < ticks_max {
            self.waiting.push_back(frame);
            return;
        }
        for lagging in &mut self.lagging {
            if let Frame::Tick { route: lags, skipped: before, .. } = lagging
                && lags == route
            {
                *skipped = *before + 1;
                *lagging = frame;
                return;
            }
        }
        self.lagging.push(frame);
    }

    fn ticks(&self) -> usize {
        self.waiting.iter().filter(|frame| matches!(frame, Frame::Tick { .. })).count()
    }

    fn drop_oldest(&mut self) {
        let oldest = self.waiting.iter().position(|frame| matches!(frame, Frame::Tick { .. }));
        if let Some(Frame::Tick { route, skipped, .. }) =
            oldest.and_then(|at| self.waiting.remove(at))
        {
            *self.dropped.entry(route).or_default() += 1 + skipped;
        }
    }

    fn catch_up(&mut self) {
        self.waiting.extend(self.lagging.drain(..));
    }
}
