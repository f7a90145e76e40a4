//! Ticks that wait a moment for others, so that they leave in one write.
//!
//! Whoever has more than ticks to read, an answer say, does not wait.

/// A window in which ticks gather.
#[derive(Debug)]
pub(super) struct Batch {
    /// Zero: nothing waits.
    window_ms: u64,
    until_ms: Option<u64>,
}

impl Batch {
    pub(super) const fn new(window_ms: u64) -> Self {
        Self { window_ms, until_ms: None }
    }

    /// Opens a window if somebody has something to read and none is open.
    pub(super) fn begin(&mut self, now_ms: u64, has_dirty: bool) {
        if self.window_ms > 0 && has_dirty {
            self.until_ms.get_or_insert(now_ms + self.window_ms);
        }
    }

    /// Whether all may be written to. So it stays until [`Batch::end`].
    pub(super) fn is_over(&self, now_ms: u64) -> bool {
        match self.until_ms {
            Some(until_ms) => now_ms >= until_ms,
            None => self.window_ms == 0,
        }
    }

    /// Closes the window if all has been written.
    pub(super) fn end(&mut self, has_dirty: bool) {
        if !has_dirty {
            self.until_ms = None;
        }
    }

    /// When [`Batch::is_over`] becomes true, if anybody waits for that.
    pub(super) const fn until_ms(&self) -> Option<u64> {
        self.until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_window_nothing_waits() {
        let mut batch = Batch::new(0);
        batch.begin(7, true);
        assert!(batch.is_over(7));
        assert_eq!(batch.until_ms(), None);
    }

    #[test]
    fn a_window_opens_with_the_first_tick_and_stays_over_until_all_is_written() {
        let mut batch = Batch::new(5);
        batch.begin(100, false);
        assert_eq!(batch.until_ms(), None, "an idle shard has no timer");
        batch.begin(100, true);
        batch.begin(103, true);
        assert_eq!(batch.until_ms(), Some(105), "later ticks do not move it");
        assert!(!batch.is_over(104) && batch.is_over(105));
        batch.end(true);
        assert!(batch.is_over(106), "half is written");
        batch.end(false);
        assert!(!batch.is_over(107));
        assert_eq!(batch.until_ms(), None);
    }
}
