//! Counters that one task writes and others read.

use std::sync::{Arc, Mutex, PoisonError};

/// A clonable handle to a struct of counters.
#[derive(Debug, Default)]
pub struct Counts<T>(Arc<Mutex<T>>);

impl<T> Clone for Counts<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Counts<T> {
    /// The counters as they are now.
    #[must_use]
    pub fn read(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds one to the chosen counter.
    pub(super) fn count(&self, which: impl FnOnce(&mut T) -> &mut u64) {
        *which(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)) += 1;
    }
}
