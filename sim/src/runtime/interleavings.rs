//! Which orders of tasks a simulation has seen.

use xxhash_rust::xxh3::xxh3_64;

/// Bits of the map; a sweep that fills it has seen thousands of different runs.
const MAP_BITS: usize = 1 << 16;
/// Polls of one run.
const RUN_POLLS: u32 = 4;

/// The order of task polls of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interleavings {
    /// A hash of the order of all polls.
    order: u64,
    /// The last polls, by kinds of tasks.
    run: [u64; RUN_POLLS as usize],
    /// Which runs of four polls were there, by their hash.
    map: Vec<u64>,
}

impl Default for Interleavings {
    fn default() -> Self {
        Self { order: 0, run: [0; RUN_POLLS as usize], map: vec![0; MAP_BITS / 64] }
    }
}

impl Interleavings {
    /// A kind of task, as a number.
    #[must_use]
    pub(super) fn label(name: &str) -> u64 {
        xxh3_64(name.as_bytes())
    }

    /// The next poll is of this task.
    pub(super) fn add(&mut self, label: u64, number: u64) {
        self.order = mix(self.order ^ label.wrapping_add(number));
        self.run.rotate_left(1);
        self.run[RUN_POLLS as usize - 1] = label;
        let hash = self.run.iter().fold(0, |hash, label| mix(hash ^ label));
        let bit = (hash >> 32) as usize % MAP_BITS;
        self.map[bit / 64] |= 1 << (bit % 64);
    }

    /// Stands for the order of all polls, from the first to the last.
    #[must_use]
    pub const fn order(&self) -> u64 {
        self.order
    }

    /// Adds the runs of another simulation.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.map.iter_mut().zip(&other.map) {
            *own |= other;
        }
    }

    /// How many different runs of four polls, by kinds of tasks, were there.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.map.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

/// Spreads bits: one step of splitmix64.
const fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(polls: &[(&str, u64)]) -> Interleavings {
        let mut seen = Interleavings::default();
        for (name, number) in polls {
            seen.add(Interleavings::label(name), *number);
        }
        seen
    }

    #[test]
    fn another_order_is_another_interleaving_and_the_same_order_the_same() {
        let one = seen(&[("hub", 1), ("client", 2), ("client", 3)]);
        assert_eq!(one, seen(&[("hub", 1), ("client", 2), ("client", 3)]));
        let other = seen(&[("hub", 1), ("client", 3), ("client", 2)]);
        assert_ne!(one.order(), other.order());
        assert_eq!(one.runs(), 3);
        let mut both = one.clone();
        both.merge(&other);
        assert_eq!(both.runs(), 3, "by kinds of tasks they are the same");
    }
}
