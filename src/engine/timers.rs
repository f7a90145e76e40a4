//! Deadlines, each with an owner: a key has at most one.

use std::collections::{BTreeMap, BTreeSet};

/// A set of deadlines by key.
#[derive(Clone, Debug)]
pub struct Timers<K> {
    by_time: BTreeSet<(u64, K)>,
    by_key: BTreeMap<K, u64>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Clone + Ord> Timers<K> {
    /// No deadline.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets or moves the deadline of `key`.
    pub fn set(&mut self, key: K, at_ms: u64) {
        if let Some(old_ms) = self.by_key.insert(key.clone(), at_ms) {
            self.by_time.remove(&(old_ms, key.clone()));
        }
        self.by_time.insert((at_ms, key));
    }

    /// Takes the deadline of `key` away, if it has one.
    pub fn cancel(&mut self, key: &K) {
        if let Some((key, at_ms)) = self.by_key.remove_entry(key) {
            self.by_time.remove(&(at_ms, key));
        }
    }

    /// Takes the earliest key whose deadline has come.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<K> {
        let (at_ms, _) = self.by_time.first()?;
        if *at_ms > now_ms {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    /// The earliest deadline.
    pub fn next_ms(&self) -> Option<u64> {
        self.by_time.first().map(|(at_ms, _)| *at_ms)
    }

    /// How many deadlines are set.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether `key` has a deadline.
    pub fn contains(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }

    /// Every key that has a deadline, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.by_key.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_and_only_once() {
        let mut timers = Timers::new();
        timers.set("b", 20);
        timers.set("a", 10);
        timers.set("b", 5);
        assert_eq!(timers.next_ms(), Some(5));
        assert_eq!(timers.pop_due(4), None);
        assert_eq!(timers.pop_due(30), Some("b"));
        assert_eq!(timers.pop_due(30), Some("a"));
        assert_eq!(timers.pop_due(30), None);
    }

    #[test]
    fn a_cancelled_deadline_never_comes() {
        let mut timers = Timers::new();
        timers.set("a", 10);
        timers.cancel(&"a");
        assert_eq!(timers.pop_due(30), None);
        assert_eq!(timers.len(), 0);
    }
}
