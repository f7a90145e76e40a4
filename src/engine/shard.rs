//! The data half of the engine: who gets which tick, and what waits for whom.

mod check;
mod dirty;
mod fetch;
mod gauges;
mod news;
mod orders;
mod paced;
mod routes;
mod stalls;
mod waiting;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::numbered::{NumberMap, NumberSet};
use super::outbox::{Content, Lost, Outbox, OutboxLimits, Overflow};
use super::pace::{Paces, Place, RoutePaces};
use super::timers::Timers;
use super::{Epoch, RouteId};
use crate::config::OutboxPolicy;
use crate::marks::mark;
use crate::protocol::frame;
use crate::topic::{ClientId, UserId};

use dirty::{Dirty, Turn};
use news::{Standing, Untold};

pub use waiting::{Manner, OVERFLOWED};

/// What a shard needs to know of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct ShardOptions {
    /// How much may wait for one client.
    pub outbox: OutboxLimits,
    /// How long a client being closed may take to read what waits for it.
    pub close_timeout_ms: u64,
    /// How long the socket of a client may take nothing of what waits for it.
    pub stall_timeout_ms: u64,
}

#[cfg(test)]
impl ShardOptions {
    /// Little has room.
    pub(crate) const fn of_tests() -> Self {
        let outbox = OutboxLimits {
            ticks_max: 9,
            tick_bytes_max: 99,
            latest_bytes_max: 99,
            control_bytes_max: 99,
        };
        Self { outbox, close_timeout_ms: 9, stall_timeout_ms: 60_000 }
    }
}

/// What changes for a client along with an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Routes that it leaves, before the answer.
    pub remove: Vec<RouteId>,
    /// Routes that it joins, after the answer. Each begins with its last value, if there is one.
    pub add: Vec<RouteId>,
    /// Those of them of which only the latest value is wanted, every so many milliseconds.
    pub paces: NumberMap<RouteId, u64>,
    /// Those of them that begin with the next tick instead.
    pub without_snapshot: NumberSet<RouteId>,
    /// What happens to its order updates.
    pub orders: Orders,
}

/// What happens to a client's order updates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Orders {
    /// Nothing.
    #[default]
    Keep,
    /// It follows this user's from now on.
    Follow(UserId),
    /// It follows nobody's any more.
    Stop,
}

impl Change {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty() && self.orders == Orders::Keep
    }
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardTotals {
    /// Ticks put into outboxes, one for each client.
    pub ticks: u64,
    /// Ticks that replaced one which a lagging client will never see.
    pub conflated: u64,
    /// Ticks that had to go because they were the oldest.
    pub dropped: u64,
    /// Ticks that arrived for a route nobody wants any more, or did not when they were sent.
    pub unrouted: u64,
    /// Values that paced subscriptions did not get, because later ones came within the interval.
    pub withheld: u64,
    /// States of topics noted, one for each client.
    pub news: u64,
    /// Order updates put into outboxes.
    pub orders: u64,
    /// Clients closed because too much waited for them.
    pub overflows: u64,
    /// Of these, those whose latest values alone were too many bytes.
    pub latest_overflows: u64,
    /// Of these, those for whose ticks no room may be made.
    pub tick_overflows: u64,
    /// Clients cut off because their sockets took nothing for too long.
    pub stalls: u64,
}

/// Routes, last values and outboxes of the clients dealt to one shard.
#[derive(Debug)]
pub struct Shard {
    options: ShardOptions,
    now_ms: u64,
    slots: Vec<Option<Client>>,
    free: Vec<usize>,
    by_id: NumberMap<ClientId, usize>,
    routes: NumberMap<RouteId, Route>,
    /// Of whoever says what follows.
    heard: Epoch,
    orders: BTreeMap<UserId, NumberSet<usize>>,
    /// Slots with something new to write.
    dirty: Dirty,
    /// Until when clients being closed have time.
    closing: Timers<ClientId>,
    /// Until when sockets that take nothing have time.
    stalled: Timers<ClientId>,
    /// Clients to be closed before the present step is over.
    overflowed: Vec<ClientId>,
    /// Who is being closed for all that waits for it, and why: nobody else knows yet.
    sent_away: Vec<(ClientId, &'static str)>,
    paces: Paces,
    /// Routes joined and left since the start.
    moves: u64,
    /// States of topics that were left for later since the start, one for each client.
    put_off: u64,
    totals: ShardTotals,
}

#[derive(Debug)]
struct Client {
    id: ClientId,
    outbox: Outbox,
    limits: OutboxLimits,
    policy: OutboxPolicy,
    /// Its routes, with its place among their subscribers.
    routes: NumberMap<RouteId, Place>,
    orders: Option<UserId>,
    /// What it has to be told of its topics, if anything.
    untold: Option<Box<Untold>>,
    turn: Turn,
    /// Whether it is in the queue of those who wait for their turn.
    queued: bool,
    closing: bool,
}

#[derive(Debug, Default)]
struct Route {
    since: Epoch,
    subscribers: Vec<usize>,
    last: Option<Bytes>,
    /// How it is, if there is something to tell.
    standing: Option<Box<Standing>>,
    /// Of those who do not get every value, if there are any.
    paces: Option<Box<RoutePaces>>,
}

impl Shard {
    /// A shard with no clients.
    #[must_use]
    pub fn new(options: ShardOptions) -> Self {
        Self {
            options,
            now_ms: 0,
            slots: Vec::new(),
            free: Vec::new(),
            by_id: NumberMap::default(),
            routes: NumberMap::default(),
            heard: Epoch::default(),
            orders: BTreeMap::new(),
            dirty: Dirty::default(),
            closing: Timers::new(),
            stalled: Timers::new(),
            overflowed: Vec::new(),
            sent_away: Vec::new(),
            paces: Paces::default(),
            moves: 0,
            put_off: 0,
            totals: ShardTotals::default(),
        }
    }

    /// Tells the time to what follows.
    pub fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Takes in a client whose ticks are conflated.
    pub fn attach(&mut self, id: ClientId) {
        let ticks_max = self.options.outbox.ticks_max;
        let (policy, content) = (OutboxPolicy::Conflate, Content::Ticks);
        self.attach_by(id, Manner { policy, ticks_max, content });
    }

    /// Takes in a client.
    pub fn attach_by(&mut self, id: ClientId, manner: Manner) {
        let Manner { policy, ticks_max, content } = manner;
        let client = Client {
            id,
            outbox: Outbox::new(content),
            limits: OutboxLimits { ticks_max, ..self.options.outbox },
            policy,
            routes: NumberMap::default(),
            orders: None,
            untold: None,
            turn: Turn::None,
            queued: false,
            closing: false,
        };
        mark!(SlotReused if !self.free.is_empty());
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(client);
        let old = self.by_id.insert(id, slot);
        assert!(old.is_none(), "{id} was attached twice");
    }

    /// Forgets a client and everything that waits for it.
    pub fn detach(&mut self, id: ClientId) {
        let Some(slot) = self.by_id.swap_remove(&id) else { return };
        let routes: Vec<RouteId> = self.client(slot).routes.keys().copied().collect();
        for route in routes {
            self.leave(slot, route);
        }
        self.stop_orders(slot);
        self.closing.cancel(&id);
        self.stalled.cancel(&id);
        if let Some(client) = self.slots[slot].take() {
            self.dirty.forget(slot, &client);
        }
        self.free.push(slot);
    }

    /// Changes a client's routes and gives it an answer, as one step. A client that is closed
    /// because its answer has no room joins nothing.
    pub fn deliver(&mut self, id: ClientId, change: Change, answer: Option<Bytes>) {
        let Some(slot) = self.open_slot(id) else { return };
        for route in &change.remove {
            self.leave(slot, *route);
        }
        self.client_mut(slot).outbox.forget(&change.remove);
        match change.orders {
            Orders::Keep => {}
            Orders::Stop => self.stop_orders(slot),
            Orders::Follow(user) => self.follow_orders(slot, user),
        }
        if let Some(answer) = answer {
            self.push_control(slot, answer);
            if self.client(slot).closing {
                mark!(ClosedForItsAnswer if !change.add.is_empty());
                return;
            }
        }
        for route in change.add {
            let interval_ms = change.paces.get(&route).copied();
            self.join(slot, route, interval_ms, !change.without_snapshot.contains(&route));
        }
        self.close_overflowed();
    }

    /// Gives a client a frame outside the order of requests: a pong.
    pub fn control(&mut self, id: ClientId, frame: Bytes) {
        if let Some(slot) = self.open_slot(id) {
            self.push_control(slot, frame);
        }
    }

    /// Lets a client have what waits for it, then a close frame, and nothing more.
    pub fn close(&mut self, id: ClientId, code: u16, reason: &str) {
        self.close_with(id, frame::close_frame(code, reason));
    }

    /// The same with a close frame that is there already: the reply to the client's own.
    pub fn close_with(&mut self, id: ClientId, close: Bytes) {
        let Some(slot) = self.open_slot(id) else { return };
        let client = self.client_mut(slot);
        client.outbox.push_last(close);
        client.closing = true;
        let routes: Vec<RouteId> = client.routes.keys().copied().collect();
        for route in routes {
            self.leave(slot, route);
        }
        self.stop_orders(slot);
        self.closing.set(id, self.now_ms + self.options.close_timeout_ms);
        self.mark_urgent(slot);
    }

    /// Whether a client being closed has been given everything.
    #[must_use]
    pub fn is_finished(&self, id: ClientId) -> bool {
        // It is asked after every write; hardly ever is anybody being closed.
        self.closing.next_ms().is_some()
            && self.by_id.get(&id).is_some_and(|&slot| {
                let client = self.client(slot);
                client.closing && client.outbox.is_empty()
            })
    }

    /// Counters since the start.
    #[must_use]
    pub const fn totals(&self) -> ShardTotals {
        self.totals
    }

    fn join(&mut self, slot: usize, route: RouteId, interval_ms: Option<u64>, snapshot: bool) {
        self.moves += 1;
        let Some(state) = self.routes.get_mut(&route) else {
            unreachable!("a route is expected before anybody joins it");
        };
        let client = self.slots[slot].as_mut().expect("the client exists");
        let place = if let Some(interval_ms) = interval_ms {
            let paces = state.paces.get_or_insert_default();
            self.paces.join(route, paces, interval_ms, slot)
        } else {
            state.subscribers.push(slot);
            Place::unpaced(state.subscribers.len() - 1)
        };
        let old = client.routes.insert(route, place);
        assert!(old.is_none(), "{} joined {route:?} twice", client.id);
        let is_silent = client.learns(route, state.standing.as_deref());
        if let Some(last) = state.last.as_ref().filter(|_| snapshot) {
            mark!(Snapshot);
            let snapshot = frame::with_snapshot(last);
            // A client is not closed for what it subscribes to: without room it does without.
            if let Ok(lost) = client.push_tick(route, snapshot) {
                self.totals.add(lost);
                self.totals.ticks += 1;
                self.mark_dirty(slot);
            }
        }
        if is_silent {
            self.mark_dirty(slot);
        }
    }

    fn leave(&mut self, slot: usize, route: RouteId) {
        self.moves += 1;
        let client = self.client_mut(slot);
        let Some(place) = client.routes.swap_remove(&route) else { return };
        if let Some(untold) = &mut client.untold {
            untold.forget(route);
        }
        let state = self.routes.get_mut(&route).expect("a joined route");
        let moved = if let Some((group, at)) = place.group() {
            let paces = state.paces.as_mut().expect("a paced route");
            let moved = self.paces.leave(paces, group, at);
            state.paces.take_if(|paces| paces.is_empty());
            moved
        } else {
            state.subscribers.swap_remove(place.at());
            state.subscribers.get(place.at()).copied()
        };
        if let Some(moved) = moved {
            self.client_mut(moved).routes.insert(route, place);
        }
    }

    fn open_slot(&self, id: ClientId) -> Option<usize> {
        let open = self.by_id.get(&id).copied().filter(|slot| !self.client(*slot).closing);
        mark!(ClosingDelivery if open.is_none());
        open
    }

    fn client(&self, slot: usize) -> &Client {
        self.slots[slot].as_ref().expect("the client exists")
    }

    fn client_mut(&mut self, slot: usize) -> &mut Client {
        self.slots[slot].as_mut().expect("the client exists")
    }
}
