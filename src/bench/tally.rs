//! What load clients count.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

/// The longest time that is told apart from longer ones, in nanoseconds.
const LONGEST_NS: u64 = 600_000_000_000;
/// Digits of a time that are kept.
const DIGITS: u8 = 3;

/// What is known while the load runs.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Ticks that clients have read, or have seen that they never will.
    pub settled: AtomicU64,
    /// Ticks that clients have read.
    pub delivered: AtomicU64,
    /// Clients that are connected, authenticated and subscribed.
    pub ready: AtomicU64,
    /// Clients whose connections could not be had or ended before their time.
    pub failed: AtomicU64,
    ended: Mutex<Ended>,
}

/// What is known of clients whose connections have ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Why the first did.
    pub reason: Option<String>,
    /// What each of them was to read.
    pub readers: Vec<Reader>,
}

impl Live {
    /// What is known of clients whose connections have ended.
    pub fn ended(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one client reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    /// Its topics, in ascending order.
    pub topics: Vec<u32>,
    /// The number that is to come next, for each of `topics`. `None`: any.
    pub next: Vec<Option<u32>>,
}

impl Reader {
    /// What it has not read of all that was published, by topic.
    pub fn missing(&self, published: &[u32]) -> u64 {
        let missing = |(topic, next): (&u32, &Option<u32>)| {
            let published = published[*topic as usize];
            u64::from(published.saturating_sub(next.unwrap_or(published)))
        };
        self.topics.iter().zip(&self.next).map(missing).sum()
    }
}

/// Adds to a counter that one thread writes and others read.
pub(super) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// Reads such a counter.
pub(super) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// What clients have counted between two moments.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Ticks read.
    pub delivered: u64,
    /// Ticks that came before one that was read, and never themselves.
    pub skipped: u64,
    /// Times that ticks were left out and the next one did not say how many.
    pub untold: u64,
    /// Ticks that came twice or after a later one.
    pub misordered: u64,
    /// Messages that are nobody's answer and no tick of ours.
    pub foreign: u64,
    /// Bytes read, frame headers included.
    pub bytes: u64,
    /// From when a tick was due to when a client had read it, in nanoseconds, of those that were
    /// due in [`Self::due`].
    pub latency: Times,
    /// When ticks are due whose lateness is of interest.
    pub due: Range<u64>,
    /// From a subscribe request for a topic that is on to its answer, in nanoseconds.
    pub answers: Times,
    /// Connections that a client has opened in place of one that it closed.
    pub reconnects: u64,
}

impl Tally {
    /// One that knows how late ticks are that are due in this time.
    pub fn of(due: Range<u64>) -> Self {
        Self {
            due,
            delivered: 0,
            skipped: 0,
            untold: 0,
            misordered: 0,
            foreign: 0,
            bytes: 0,
            latency: Times::new(),
            answers: Times::new(),
            reconnects: 0,
        }
    }

    /// Adds what others have counted.
    pub fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.skipped += other.skipped;
        self.untold += other.untold;
        self.misordered += other.misordered;
        self.foreign += other.foreign;
        self.bytes += other.bytes;
        self.latency.add(&other.latency);
        self.answers.add(&other.answers);
        self.reconnects += other.reconnects;
    }
}

/// A distribution of times, to three digits.
#[derive(Clone, Debug)]
pub(super) struct Times(Histogram<u64>);

impl Times {
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS);
        Self(histogram.expect("the bounds are in order"))
    }

    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns.max(1));
    }

    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the bounds are the same");
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time that this part of all, 0 to 1, does not exceed, in nanoseconds.
    pub fn quantile(&self, part: f64) -> u64 {
        self.0.value_at_quantile(part)
    }

    pub fn max(&self) -> u64 {
        self.0.max()
    }
}
