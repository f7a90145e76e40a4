//! The audit log: who came, who was turned away, who broke rules, in lines of JSON.
//!
//! Whoever has something to tell puts a [`Record`] in a bounded queue and goes on at once. What
//! does not fit is dropped and counted, and the next record says so. In a gateway with
//! `audit.file` a task of its own writes the queue to that file; [`Audit::channel`] hands the
//! queue to anybody else, as a simulator.

mod file;
mod record;
mod roll;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::mpsc;

pub use file::{Line, LogFile, sibling};
pub use record::{Record, Target, What};
pub use roll::Roll;
pub use writer::{Stop, start};

/// Records that wait for the file; beyond, they are dropped.
pub const QUEUE_MAX: usize = 8_192;

/// Where records are put. Clones lead to the same queue.
#[derive(Clone, Default)]
pub struct Audit(Option<Arc<Outlet>>);

struct Outlet {
    queue: mpsc::Sender<Record>,
    unix_ms: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Dropped since the last record that fitted.
    missing: AtomicU64,
    counts: Arc<Counts>,
}

/// What becomes of records.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    errors: AtomicU64,
    failing: AtomicBool,
}

/// What has become of the records so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// In the file.
    pub written: u64,
    /// Did not fit into the queue.
    pub dropped: u64,
    /// Failed attempts to write; what was to be written is tried again.
    pub errors: u64,
    /// Whether the last attempt failed.
    pub failing: bool,
}

impl Audit {
    /// A log that nobody keeps.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// A log, and the queue of its records, which holds `records_max`. `unix_ms` tells the time.
    ///
    /// Records come as they were put in; a [`Roll`] completes them.
    #[must_use]
    pub fn channel(
        records_max: usize,
        unix_ms: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> (Self, mpsc::Receiver<Record>) {
        let (queue, records) = mpsc::channel(records_max);
        let outlet = Outlet {
            queue,
            unix_ms: Box::new(unix_ms),
            missing: AtomicU64::new(0),
            counts: Arc::default(),
        };
        (Self(Some(Arc::new(outlet))), records)
    }

    /// Puts a record in the queue, with the time of now; or drops and counts it. Never waits.
    pub fn put(&self, mut record: Record) {
        let Some(outlet) = &self.0 else { return };
        match outlet.queue.try_reserve() {
            Ok(room) => {
                record.unix_ms = (outlet.unix_ms)();
                record.dropped = outlet.missing.swap(0, Ordering::Relaxed);
                room.send(record);
            }
            Err(mpsc::error::TrySendError::Full(())) => {
                outlet.missing.fetch_add(1, Ordering::Relaxed);
                outlet.counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
            // The log has ended before the gateway: it is stopping.
            Err(mpsc::error::TrySendError::Closed(())) => {}
        }
    }

    /// What has become of the records so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.0.as_ref().map_or_else(Totals::default, |outlet| outlet.counts.totals())
    }

    fn counts(&self) -> Arc<Counts> {
        self.0.as_ref().map_or_else(Arc::default, |outlet| outlet.counts.clone())
    }
}

impl Counts {
    fn totals(&self) -> Totals {
        Totals {
            written: self.written.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            failing: self.failing.load(Ordering::Relaxed),
        }
    }
}
