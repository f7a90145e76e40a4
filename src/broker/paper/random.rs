//! A stream of random numbers that stays the same for ever.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use crate::topic::Instrument;

/// The random numbers of one instrument: a function of seed and name alone.
///
/// The reduction to a range is written here, because that of `rand` may change between versions
/// and with it every recorded market.
#[derive(Clone, Debug)]
pub(super) struct Stream(ChaCha8Rng);

impl Stream {
    pub(super) fn of(seed: u64, instrument: &Instrument) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"tickgate paper market\0");
        hash.update(seed.to_le_bytes());
        hash.update(instrument.exchange.as_bytes());
        hash.update([0]);
        hash.update(instrument.symbol.as_bytes());
        Self(ChaCha8Rng::from_seed(hash.finalize().into()))
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        assert!(low <= high, "an empty range");
        let width = u128::from(high.abs_diff(low)) + 1;
        let scaled = (u128::from(self.0.next_u64()) * width) >> 64;
        let offset = u64::try_from(scaled).expect("less than the width of an i64 range");
        low.wrapping_add_unsigned(offset)
    }

    /// True once in `n`.
    pub(super) fn one_in(&mut self, n: i64) -> bool {
        self.between(1, n) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_function_of_seed_and_name() {
        let draw = |seed, exchange: &str, symbol: &str| {
            let mut stream = Stream::of(seed, &Instrument::new(exchange, symbol));
            (0..4).map(|_| stream.between(0, 999)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, "NSE", "TCS"), draw(1, "NSE", "TCS"));
        assert_ne!(draw(1, "NSE", "TCS"), draw(2, "NSE", "TCS"));
        assert_ne!(draw(1, "NSE", "TCS"), draw(1, "BSE", "TCS"));
        assert_ne!(draw(1, "A", "BC"), draw(1, "AB", "C"), "names do not run together");
        insta::assert_debug_snapshot!(draw(7, "NSE", "RELIANCE"));
    }

    #[test]
    fn ranges_are_reached_to_their_ends_and_never_left() {
        let mut stream = Stream::of(3, &Instrument::new("NSE", "X"));
        let drawn: std::collections::BTreeSet<i64> =
            (0..1_000).map(|_| stream.between(-2, 2)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [-2, -1, 0, 1, 2]);
        assert_eq!(stream.between(5, 5), 5);
        let _ = stream.between(i64::MIN, i64::MAX);
    }
}
