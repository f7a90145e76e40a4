//! What load clients count.

use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Clients that could not be.
    pub failed: AtomicU64,
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
    /// Ticks that came twice or after a later one.
    pub misordered: u64,
    /// Messages that are nobody's answer and no tick of ours.
    pub foreign: u64,
    /// Bytes read, frame headers included.
    pub bytes: u64,
    /// From when a tick was due to when a client had read it, in nanoseconds.
    pub latency: Times,
    /// From a subscribe request for a topic that is on to its answer, in nanoseconds.
    pub answers: Times,
    /// Connections that a client has opened in place of one that it closed.
    pub reconnects: u64,
    /// Why connections ended that should not have, the first of them.
    pub trouble: Option<String>,
}

impl Tally {
    pub fn new() -> Self {
        Self {
            delivered: 0,
            skipped: 0,
            misordered: 0,
            foreign: 0,
            bytes: 0,
            latency: Times::new(),
            answers: Times::new(),
            reconnects: 0,
            trouble: None,
        }
    }

    /// Adds what others have counted.
    pub fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.skipped += other.skipped;
        self.misordered += other.misordered;
        self.foreign += other.foreign;
        self.bytes += other.bytes;
        self.latency.add(&other.latency);
        self.answers.add(&other.answers);
        self.reconnects += other.reconnects;
        if self.trouble.is_none() {
            self.trouble.clone_from(&other.trouble);
        }
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
