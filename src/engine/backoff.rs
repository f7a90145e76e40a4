//! Pauses that double, with seeded jitter.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// How often something has failed in a row, and when it may be tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    not_before_ms: u64,
}

impl Backoff {
    /// Books a failure: the pause is `min << failures`, at most `max`, of which a random half is
    /// taken off so that many who failed together do not return together.
    pub fn failed(&mut self, now_ms: u64, min_ms: u64, max_ms: u64, rng: &mut ChaCha8Rng) {
        let doubled = min_ms.saturating_mul(1_u64 << self.failures.min(16)).min(max_ms);
        let pause_ms = doubled - rng.random_range(0..=doubled / 2);
        self.failures = self.failures.saturating_add(1);
        self.not_before_ms = now_ms + pause_ms;
    }

    /// Allows the next try at once, without forgetting the failures.
    pub const fn hurry(&mut self) {
        self.not_before_ms = 0;
    }

    /// When the next try is allowed, if that is still ahead.
    pub fn wait_until_ms(&self, now_ms: u64) -> Option<u64> {
        (self.not_before_ms > now_ms).then_some(self.not_before_ms)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn pauses_double_up_to_the_maximum_and_lose_at_most_half() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut backoff = Backoff::default();
        for expected in [100, 200, 400, 800, 1_000, 1_000] {
            backoff.failed(5_000, 100, 1_000, &mut rng);
            let pause = backoff.wait_until_ms(5_000).map_or(0, |at| at - 5_000);
            assert!(pause >= expected / 2 && pause <= expected, "{pause} of {expected}");
        }
    }

    #[test]
    fn a_hurried_try_is_allowed_at_once() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut backoff = Backoff::default();
        backoff.failed(5_000, 100, 1_000, &mut rng);
        backoff.hurry();
        assert_eq!(backoff.wait_until_ms(5_000), None);
        backoff.failed(5_000, 100, 1_000, &mut rng);
        assert!(backoff.wait_until_ms(5_000) >= Some(5_100), "the failures are not forgotten");
    }
}
