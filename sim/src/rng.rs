//! Seeded random streams, one for each purpose.
//!
//! A stream depends on (seed, domain, entity) and on nothing else, so that taking one actor out
//! of a scenario leaves the decisions of all others as they were. The draws are written out here
//! so that no release of a random-number crate changes what a seed means.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A stream of random decisions.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of one entity (an actor, a topic, a call) for one purpose.
    #[must_use]
    pub fn fork(seed: u64, domain: &str, entity: &str) -> Self {
        // The length keeps ("ab", "c") apart from ("a", "bc").
        let name = format!("{}:{domain}{entity}", domain.len());
        let mut key = [0_u8; 32];
        for (part, salt) in key.chunks_exact_mut(8).zip(0_u64..) {
            let hash = xxh3_64_with_seed(name.as_bytes(), seed.wrapping_add(salt << 56));
            part.copy_from_slice(&(hash ^ seed.rotate_left(17)).to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Sixty-four random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below zero");
        // Multiply-shift: the bias is below bound / 2^64.
        let wide = u128::from(self.bits()) * u128::from(bound);
        (wide >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "a range from {low} to {high} is empty");
        match (high - low).checked_add(1) {
            Some(width) => low + self.below(width),
            None => self.bits(),
        }
    }

    /// True with `probability` (0.0 never, 1.0 always).
    pub fn chance(&mut self, probability: f64) -> bool {
        // 53 bits fill the mantissa of a double.
        let unit = (self.bits() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < probability
    }

    /// A position in a slice of `len` items, which must not be empty.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// One of `items`, which must not be empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// A position, each with its weight. `None` if all weights are zero.
    pub fn weighted(&mut self, weights: &[u32]) -> Option<usize> {
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        if total == 0 {
            return None;
        }
        let mut left = self.below(total);
        for (position, weight) in weights.iter().enumerate() {
            match left.checked_sub(u64::from(*weight)) {
                Some(rest) => left = rest,
                None => return Some(position),
            }
        }
        None
    }

    /// `count` different positions below `len`, in random order; all of them if there are fewer.
    pub fn sample(&mut self, len: usize, count: usize) -> Vec<usize> {
        let mut positions: Vec<usize> = (0..len).collect();
        for at in 0..count.min(len) {
            let other = at + self.index(len - at);
            positions.swap(at, other);
        }
        positions.truncate(count);
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_different_names_differ_and_the_same_name_repeats() {
        let first = Stream::fork(7, "plan", "alice-1").bits();
        assert_eq!(first, Stream::fork(7, "plan", "alice-1").bits());
        assert_ne!(first, Stream::fork(8, "plan", "alice-1").bits());
        assert_ne!(first, Stream::fork(7, "plan", "alice-2").bits());
        assert_ne!(first, Stream::fork(7, "plana", "lice-1").bits());
    }

    #[test]
    fn a_seed_means_the_same_in_every_build() {
        let mut stream = Stream::fork(1, "plan", "alice-1");
        let drawn: Vec<u64> = (0..4).map(|_| stream.between(0, 999)).collect();
        assert_eq!(drawn, [906, 881, 284, 299]);
    }

    #[test]
    fn draws_stay_in_their_range_and_reach_its_ends() {
        let mut stream = Stream::fork(3, "test", "range");
        let drawn: Vec<u64> = (0..200).map(|_| stream.between(5, 8)).collect();
        assert!(drawn.iter().all(|n| (5..=8).contains(n)));
        assert!(drawn.contains(&5) && drawn.contains(&8));
        assert!(!stream.chance(0.0) && stream.chance(1.0));
        assert_eq!(stream.between(u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn weights_of_zero_are_never_drawn() {
        let mut stream = Stream::fork(3, "test", "weights");
        let drawn: Vec<usize> = (0..200).filter_map(|_| stream.weighted(&[0, 2, 0, 1])).collect();
        assert_eq!(drawn.len(), 200);
        assert!(drawn.iter().all(|at| *at == 1 || *at == 3) && drawn.contains(&3));
        assert_eq!(stream.weighted(&[0, 0]), None);
    }

    #[test]
    fn a_sample_holds_no_position_twice() {
        let mut stream = Stream::fork(3, "test", "sample");
        let mut drawn = stream.sample(10, 6);
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 6);
        assert_eq!(stream.sample(2, 9).len(), 2);
    }
}
