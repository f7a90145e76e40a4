//! Which connection is struck by what: the plan's faults, looked up while connections come and go.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::pipe::Pipe;
use crate::fault::{Direction, FaultKind, Notice, Party, Strike};
use crate::plan::{ConnectionFault, FaultPlan, TimedKind};

/// Who is told about strikes.
type Tell = Box<dyn Fn(Notice) + Send + Sync>;

/// The faults of one simulation. Cheap to clone.
#[derive(Clone)]
pub struct FaultBook(Arc<Book>);

struct Book {
    seed: u64,
    is_empty: bool,
    connections: BTreeMap<(Party, u32), Vec<ConnectionFault>>,
    /// Silent directions, in microseconds of the story.
    stalls: BTreeMap<Party, Vec<Stall>>,
    /// When the story began, in microseconds.
    story_began_us: Mutex<Option<u64>>,
    healed: AtomicBool,
    /// Connections so far, tries included.
    numbers: Mutex<BTreeMap<Party, u32>>,
    /// Connections whose other end has not found them yet, by the address that connected.
    opened: Mutex<BTreeMap<SocketAddr, Arc<Pipe>>>,
    /// Connections that faults have struck, as long as they are there.
    pipes: Mutex<Vec<Weak<Pipe>>>,
    clock_offset_ms: AtomicI64,
    tell: Tell,
}

#[derive(Clone, Copy, Debug)]
struct Stall {
    direction: Direction,
    from_us: u64,
    to_us: u64,
}

/// What becomes of a try to connect.
pub(super) enum Opening {
    /// It is refused.
    Refused,
    /// It takes so much longer.
    After(Duration),
}

impl FaultBook {
    /// The faults of a plan; `tell` is told of each that strikes.
    #[must_use]
    pub fn new(seed: u64, plan: &FaultPlan, tell: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        let connections = plan.connections.iter();
        let connections = connections
            .map(|struck| ((struck.of.clone(), struck.number), struck.faults.clone()))
            .collect();
        let mut stalls: BTreeMap<Party, Vec<Stall>> = BTreeMap::new();
        for timed in &plan.timed {
            if let TimedKind::Stall { of, direction } = &timed.what {
                let stall = Stall {
                    direction: *direction,
                    from_us: timed.at_ms * 1_000,
                    to_us: (timed.at_ms + timed.for_ms) * 1_000,
                };
                stalls.entry(of.clone()).or_default().push(stall);
            }
        }
        Self(Arc::new(Book {
            seed,
            is_empty: plan.is_empty(),
            connections,
            stalls,
            story_began_us: Mutex::new(None),
            healed: AtomicBool::new(false),
            numbers: Mutex::default(),
            opened: Mutex::default(),
            pipes: Mutex::default(),
            clock_offset_ms: AtomicI64::new(0),
            tell: Box::new(tell),
        }))
    }

    /// Nothing goes wrong.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(0, &FaultPlan::default(), |_| ())
    }

    /// The story begins.
    pub fn begin(&self, now_us: u64) {
        *lock(&self.0.story_began_us) = Some(now_us);
    }

    /// From now on nothing goes wrong: whoever waits because of a fault goes on, and connections
    /// that were corrupted end.
    pub fn heal(&self) {
        if self.0.healed.swap(true, Ordering::Relaxed) {
            return;
        }
        let pipes = std::mem::take(&mut *lock(&self.0.pipes));
        for pipe in pipes.iter().filter_map(Weak::upgrade) {
            pipe.heal();
        }
    }

    /// Whether faults have ended.
    #[must_use]
    pub fn is_healed(&self) -> bool {
        self.0.healed.load(Ordering::Relaxed)
    }

    /// Moves the gateway's wall clock.
    pub fn step_clock(&self, by_ms: i64) {
        self.0.clock_offset_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// How far the gateway's wall clock is off.
    #[must_use]
    pub fn clock_offset_ms(&self) -> i64 {
        self.0.clock_offset_ms.load(Ordering::Relaxed)
    }

    /// Reports a strike.
    pub fn strikes(&self, fault: FaultKind, party: &Party, lasts_ms: u64) {
        (self.0.tell)(Notice::Struck(Strike { fault, party: party.clone(), lasts_ms }));
    }

    /// Whether nothing at all goes wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty
    }

    /// Whether no connection is struck.
    pub(super) fn spares_connections(&self) -> bool {
        self.0.connections.is_empty() && self.0.stalls.is_empty()
    }

    /// The number of the next connection of a party, and what becomes of the try.
    pub(super) fn opens(&self, party: &Party) -> (u32, Opening) {
        let number = {
            let mut numbers = lock(&self.0.numbers);
            let number = numbers.entry(party.clone()).or_default();
            *number += 1;
            *number
        };
        let mut after = Duration::ZERO;
        if !self.is_healed() {
            for fault in self.faults_of(party, number) {
                match fault {
                    ConnectionFault::RefuseConnect => {
                        self.strikes(FaultKind::RefuseConnect, party, 0);
                        return (number, Opening::Refused);
                    }
                    ConnectionFault::HangConnect { for_ms } => {
                        self.strikes(FaultKind::HangConnect, party, *for_ms);
                        after = Duration::from_millis(*for_ms);
                    }
                    _ => {}
                }
            }
        }
        (number, Opening::After(after))
    }

    /// A connection is open; `local` is its address at the end that connected.
    pub(super) fn opened(
        &self,
        party: &Party,
        number: u32,
        local: SocketAddr,
    ) -> Option<Arc<Pipe>> {
        if matches!(party, Party::Broker(_) | Party::Feed) {
            (self.0.tell)(Notice::Linked(party.clone()));
        }
        let faults = self.faults_of(party, number);
        let stalls = self.0.stalls.contains_key(party);
        if self.is_healed() || (faults.is_empty() && !stalls) {
            return None;
        }
        let pipe = Arc::new(Pipe::new(self.0.seed, party.clone(), number, faults));
        lock(&self.0.opened).insert(local, Arc::clone(&pipe));
        lock(&self.0.pipes).push(Arc::downgrade(&pipe));
        Some(pipe)
    }

    /// The connection that was opened from this address, for the end that accepted it.
    pub(super) fn accepted(&self, from: SocketAddr) -> Option<Arc<Pipe>> {
        lock(&self.0.opened).remove(&from)
    }

    /// How long a direction is silent from now on.
    pub(super) fn silent(&self, party: &Party, direction: Direction, now_us: u64) -> Duration {
        if self.is_healed() {
            return Duration::ZERO;
        }
        let Some(stalls) = self.0.stalls.get(party) else { return Duration::ZERO };
        let Some(began_us) = *lock(&self.0.story_began_us) else { return Duration::ZERO };
        let at_us = now_us.saturating_sub(began_us);
        let active = stalls.iter().find(|stall| {
            stall.direction == direction && (stall.from_us..stall.to_us).contains(&at_us)
        });
        active.map_or(Duration::ZERO, |stall| Duration::from_micros(stall.to_us - at_us))
    }

    fn faults_of(&self, party: &Party, number: u32) -> &[ConnectionFault] {
        self.0.connections.get(&(party.clone(), number)).map_or(&[], Vec::as_slice)
    }
}

impl fmt::Debug for FaultBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultBook").field("healed", &self.is_healed()).finish_non_exhaustive()
    }
}

/// A panic elsewhere ends the simulation anyway.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
