//! Where a walk's decisions come from: a seed, or bytes.

/// A source of decisions.
pub trait Choices {
    /// A number below `bound`, which must not be zero.
    fn below(&mut self, bound: u32) -> u32;

    /// Whether there is nothing left to decide with.
    fn is_over(&self) -> bool;

    /// True in one of `count` cases.
    fn one_in(&mut self, count: u32) -> bool {
        self.below(count) == 0
    }

    /// One of `items`, which must not be empty.
    fn pick<T: Copy>(&mut self, items: &[T]) -> T
    where
        Self: Sized,
    {
        items[self.below(items.len() as u32) as usize]
    }
}

/// Decisions from a seed, without end: SplitMix64, because the walk asks for several numbers an
/// event and nothing here has to be hard to guess.
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// The decisions of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // Neighbouring seeds are to have nothing in common.
        Self(seed.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ 0x5851_F42D_4C95_7F2D)
    }
}

impl Choices for Seeded {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        // Multiply-shift: the bias is below bound / 2^32.
        (((bits >> 32) * u64::from(bound)) >> 32) as u32
    }

    fn is_over(&self) -> bool {
        false
    }
}

/// Decisions from bytes, one byte each: what a fuzzer finds.
#[derive(Clone, Debug)]
pub struct FromBytes<'a>(&'a [u8]);

impl<'a> FromBytes<'a> {
    /// The decisions of these bytes; after the last one it is always the first possibility.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl Choices for FromBytes<'_> {
    fn below(&mut self, bound: u32) -> u32 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        u32::from(*byte) % bound
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_in_every_build() {
        let mut choices = Seeded::new(1);
        let drawn: Vec<u32> = (0..6).map(|_| choices.below(1_000)).collect();
        assert_eq!(drawn, [432, 235, 23, 150, 974, 783]);
    }

    #[test]
    fn draws_stay_below_their_bound_and_reach_all_below_it() {
        let mut choices = Seeded::new(7);
        let drawn: std::collections::BTreeSet<u32> = (0..200).map(|_| choices.below(5)).collect();
        assert!(drawn.into_iter().eq(0..5));
    }

    #[test]
    fn bytes_end() {
        let mut choices = FromBytes::new(&[7, 3]);
        assert_eq!((choices.below(5), choices.below(5)), (2, 3));
        assert!(choices.is_over());
        assert_eq!(choices.below(5), 0);
    }
}
