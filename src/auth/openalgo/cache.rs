//! Answers that are remembered for a while, up to a number of them.

use std::collections::{BTreeMap, VecDeque};

/// Names a key without being of use to anybody: a hash of it under a secret of this process.
pub(super) type Digest = [u8; 32];

/// What was found for a key, by its digest. The oldest make room.
#[derive(Clone, Debug)]
pub(super) struct Cache<V> {
    entries: BTreeMap<Digest, Entry<V>>,
    /// Every entry once, oldest first; and some that are gone, known by their number.
    order: VecDeque<(u64, Digest)>,
    next: u64,
    ttl_ms: u64,
    entries_max: usize,
}

#[derive(Clone, Debug)]
struct Entry<V> {
    number: u64,
    until_ms: u64,
    value: V,
}

impl<V> Cache<V> {
    /// Remembers `entries_max` answers at most, each for `ttl_ms`.
    pub(super) const fn new(ttl_ms: u64, entries_max: usize) -> Self {
        Self { entries: BTreeMap::new(), order: VecDeque::new(), next: 0, ttl_ms, entries_max }
    }

    /// What is known at this time.
    pub(super) fn get(&self, digest: &Digest, now_ms: u64) -> Option<&V> {
        let entry = self.entries.get(digest).filter(|entry| now_ms < entry.until_ms)?;
        Some(&entry.value)
    }

    pub(super) fn insert(&mut self, digest: Digest, value: V, now_ms: u64) {
        let number = self.next;
        self.next += 1;
        let until_ms = now_ms.saturating_add(self.ttl_ms);
        self.entries.insert(digest, Entry { number, until_ms, value });
        self.order.push_back((number, digest));
        while self.entries.len() > self.entries_max || self.order.len() > 2 * self.entries_max {
            let Some((number, digest)) = self.order.pop_front() else { break };
            if self.entries.get(&digest).is_some_and(|entry| entry.number == number) {
                self.entries.remove(&digest);
            }
        }
    }

    /// Forgets all that does not satisfy this.
    pub(super) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.entries.retain(|_, entry| keep(&entry.value));
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    #[cfg(test)]
    fn check(&self) {
        assert!(self.entries.len() <= self.entries_max);
        assert!(self.order.len() <= 2 * self.entries_max);
        for (digest, entry) in &self.entries {
            assert!(self.order.contains(&(entry.number, *digest)), "it can make room");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn digest(number: u8) -> Digest {
        [number; 32]
    }

    #[test]
    fn an_answer_is_known_until_its_time_is_over() {
        let mut cache = Cache::new(100, 2);
        cache.insert(digest(1), "a", 50);
        assert_eq!(cache.get(&digest(1), 149), Some(&"a"));
        assert_eq!(cache.get(&digest(1), 150), None);
        assert_eq!(cache.get(&digest(2), 50), None);
    }

    #[test]
    fn the_oldest_makes_room_and_what_was_renewed_is_not_the_oldest() {
        let mut cache = Cache::new(100, 2);
        for (number, now_ms) in [(1, 0), (2, 1), (1, 2), (3, 3)] {
            cache.insert(digest(number), number, now_ms);
        }
        assert_eq!(cache.get(&digest(2), 3), None);
        assert_eq!((cache.get(&digest(1), 3), cache.get(&digest(3), 3)), (Some(&1), Some(&3)));
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(steps in prop::collection::vec((0_u8..4, 0_u8..9), 0..200)) {
            let mut cache = Cache::new(20, 4);
            for (now_ms, (what, number)) in (0..).zip(steps) {
                match what {
                    0 => cache.retain(|value| *value != number),
                    1 if number == 0 => cache.clear(),
                    _ => {
                        cache.insert(digest(number), number, now_ms);
                        prop_assert_eq!(cache.get(&digest(number), now_ms), Some(&number));
                    }
                }
                cache.check();
            }
        }
    }
}
