//! Where actors report what they saw: it is judged at once and becomes a line of the trace.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

use super::{Actor, ClientName, Event, Request, Seen};
use crate::coverage::{Encounters, Operation};
use crate::fault::{FaultKind, Party};
use crate::invariant::holdings::Holdings;
use crate::invariant::{Held, Invariant};

/// Events kept to show what led to a violation.
const RECENT_EVENTS_MAX: usize = 40;

/// What is shown of a violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name.
    pub invariant: &'static str,
    /// When, in microseconds of simulated time.
    pub at_us: u64,
    /// What is wrong, in words that make sense without the source.
    pub message: String,
    /// The last lines of the trace, the newest last.
    pub recent: Vec<String>,
}

/// How much of everything there was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Connections that clients opened.
    pub connections: u64,
    /// Connections that clients ended, with or without goodbye.
    pub departures: u64,
    /// Connections that the gateway or the network ended.
    pub lost: u64,
    /// Requests that clients wrote.
    pub requests: u64,
    /// Of these, no requests at all.
    pub garbage: u64,
    /// Answers that clients read.
    pub answers: u64,
    /// Ticks that the feed published.
    pub published: u64,
    /// Ticks that clients read.
    pub ticks: u64,
    /// Order updates that clients read.
    pub orders: u64,
    /// Commands that the broker got.
    pub broker_calls: u64,
    /// Answers of the broker that were errors, or came too late.
    pub broker_failures: u64,
    /// Sessions that the broker lost, alone or by dying.
    pub sessions_lost: u64,
    /// Credentials that were declared invalid.
    pub invalidations: u64,
    /// Lines of the trace.
    pub events: u64,
    /// How often each fault struck.
    pub faults: BTreeMap<FaultKind, u64>,
}

/// Everything that was seen, as text.
#[derive(Default)]
struct Trace {
    text: String,
    hash: Xxh3,
    /// The latest line. Kept to use its memory again.
    line: String,
}

impl Trace {
    fn push(&mut self, event: &Event) {
        use std::fmt::Write as _;
        self.line.clear();
        // Writing to a string cannot fail.
        let _ = writeln!(self.line, "{event}");
        self.hash.update(self.line.as_bytes());
        self.text.push_str(&self.line);
    }
}

/// Judges and writes down what is seen.
pub struct Recorder {
    invariants: Vec<Box<dyn Invariant>>,
    holdings: Holdings,
    violation: Option<Violation>,
    recent: VecDeque<Event>,
    trace: Option<Trace>,
    counters: Counters,
    stuck: Option<String>,
    ended_us: u64,
    /// Clients on a connection that was corrupted: what they say and hear means nothing until
    /// they are cut off.
    garbled: BTreeSet<ClientName>,
    encounters: Encounters,
}

impl Recorder {
    /// A recorder that asks these invariants, and keeps the whole trace if told so.
    #[must_use]
    pub fn new(invariants: Vec<Box<dyn Invariant>>, keep_trace: bool) -> Self {
        Self {
            invariants,
            holdings: Holdings::default(),
            violation: None,
            recent: VecDeque::new(),
            trace: keep_trace.then(Trace::default),
            counters: Counters::default(),
            stuck: None,
            ended_us: 0,
            garbled: BTreeSet::new(),
            encounters: Encounters::default(),
        }
    }

    /// Takes down what an actor saw. After the first violation nothing more is judged.
    pub fn record(&mut self, at_us: u64, actor: Actor, seen: Seen) {
        let event = Event { at_us, actor, seen };
        self.count(&event.seen);
        self.encounters.observe(&event);
        self.ended_us = at_us;
        if let Seen::Stuck(what) = &event.seen {
            self.stuck.get_or_insert(what.clone());
        }
        if let Some(trace) = &mut self.trace {
            trace.push(&event);
        }
        if self.recent.len() == RECENT_EVENTS_MAX {
            self.recent.pop_front();
        }
        let broken = if self.violation.is_some() { None } else { self.judge(&event) };
        self.recent.push_back(event);
        if let Some((invariant, message)) = broken {
            let recent = self.recent();
            self.violation = Some(Violation { invariant, at_us, message, recent });
        }
    }

    /// Takes down that a client on this host does something of its own accord.
    pub fn performed(&mut self, at_us: u64, client: &ClientName, host: u32, what: Operation) {
        self.encounters.performed(at_us, client, host, what);
    }

    /// How often each operation met each fault.
    #[must_use]
    pub fn met(&self) -> &[u64] {
        self.encounters.met()
    }

    /// Asks every invariant for its last word. Call it once, when the simulation has ended well.
    pub fn finish(&mut self, at_us: u64) {
        if self.violation.is_some() {
            return;
        }
        let broken = self.invariants.iter_mut().find_map(|invariant| {
            invariant.finish().err().map(|message| (invariant.name(), message))
        });
        if let Some((invariant, message)) = broken {
            let recent = self.recent();
            self.violation = Some(Violation { invariant, at_us, message, recent });
        }
    }

    /// The first violation, if there was one.
    #[must_use]
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Why the simulation cannot go on, if an actor said so.
    #[must_use]
    pub fn stuck(&self) -> Option<String> {
        self.stuck.clone()
    }

    /// Whether an actor said that the simulation cannot go on.
    #[must_use]
    pub const fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// The moment of the last event.
    #[must_use]
    pub const fn ended_us(&self) -> u64 {
        self.ended_us
    }

    /// How much of everything there was so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The hash of the trace, if it is kept.
    #[must_use]
    pub fn hash(&self) -> Option<u64> {
        self.trace.as_ref().map(|trace| trace.hash.digest())
    }

    /// The last lines, the newest last.
    #[must_use]
    pub fn recent(&self) -> Vec<String> {
        self.recent.iter().map(ToString::to_string).collect()
    }

    /// The whole trace, if it was kept.
    pub fn take_trace(&mut self) -> Option<String> {
        self.trace.take().map(|trace| trace.text)
    }

    /// The name of the first invariant that an event breaks, and what it says.
    fn judge(&mut self, event: &Event) -> Option<(&'static str, String)> {
        if self.is_garbled(event) {
            self.invariants.iter_mut().for_each(|invariant| invariant.overhear(event));
            return None;
        }
        let settled = self.holdings.observe(event);
        let held = Held::after(event, &self.holdings, settled.as_ref());
        self.invariants.iter_mut().find_map(|invariant| {
            invariant.observe(event, &held).err().map(|message| (invariant.name(), message))
        })
    }

    fn is_garbled(&mut self, event: &Event) -> bool {
        if let Seen::Struck(strike) = &event.seen
            && strike.fault == FaultKind::Corrupt
            && let Party::Client(name) = &strike.party
        {
            self.garbled.insert(name.as_str().into());
        }
        let Actor::Client(client) = &event.actor else { return false };
        match &event.seen {
            Seen::Lost { .. } | Seen::Leaves { .. } | Seen::Connected { .. } => {
                self.garbled.remove(client);
                false
            }
            _ => self.garbled.contains(client),
        }
    }

    fn count(&mut self, seen: &Seen) {
        let counters = &mut self.counters;
        let fault = match seen {
            Seen::Struck(strike) => Some(strike.fault),
            Seen::Lied(_) => Some(FaultKind::BrokerLies),
            Seen::Forgot(_) => Some(FaultKind::BrokerForgets),
            Seen::SessionLost { .. } => Some(FaultKind::SessionLoss),
            Seen::BrokerDied { .. } => Some(FaultKind::BrokerDeath),
            Seen::Invalidated { .. } => Some(FaultKind::Invalidation),
            Seen::KeyChanges(_) => Some(FaultKind::KeyChange),
            _ => None,
        };
        if let Some(fault) = fault {
            *counters.faults.entry(fault).or_default() += 1;
        }
        counters.events += 1;
        match seen {
            Seen::Connected { .. } => counters.connections += 1,
            Seen::Leaves { .. } => counters.departures += 1,
            Seen::Lost { .. } => counters.lost += 1,
            Seen::Sent(sent) => {
                counters.requests += 1;
                counters.garbage += u64::from(matches!(sent.request, Request::Garbage(_)));
            }
            Seen::Answered(_) => counters.answers += 1,
            Seen::Tick(_) | Seen::Broadcast { .. } => counters.ticks += 1,
            Seen::OrderUpdate { .. } => counters.orders += 1,
            Seen::Called(_) => counters.broker_calls += 1,
            Seen::Replied { error, in_time, .. } => {
                counters.broker_failures += u64::from(error.is_some() || !in_time);
            }
            Seen::SessionLost { .. } | Seen::BrokerDied { .. } => counters.sessions_lost += 1,
            Seen::Published { .. } => counters.published += 1,
            Seen::Invalidated { .. } => counters.invalidations += 1,
            Seen::Phase(_)
            | Seen::Status(_)
            | Seen::Stuck(_)
            | Seen::Notice { .. }
            | Seen::FeedStatus { .. }
            | Seen::Administered(_)
            | Seen::Unexpected(_)
            | Seen::Finished
            | Seen::Greeted
            | Seen::Knocks
            | Seen::TurnedAway { .. }
            | Seen::TookEffect(_)
            | Seen::Lied(_)
            | Seen::Forgot(_)
            | Seen::Struck(_)
            | Seen::Linked(_)
            | Seen::PublishedOrder { .. }
            | Seen::Log { .. }
            | Seen::KeyChanges(_)
            | Seen::KeyChanged(_)
            | Seen::Audited(_)
            | Seen::Stopped { .. } => {}
        }
    }
}
