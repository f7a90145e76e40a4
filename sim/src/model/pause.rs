//! Pauses that double, of which only the bounds are known.

use super::Rules;

/// When something that has failed may be tried again: not before `from_ms`, and no later than
/// `until_ms`. Which moment it is was drawn by the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Pause {
    failures: u32,
    from_ms: u64,
    until_ms: u64,
}

impl Pause {
    /// It has failed once more: the pause doubles up to the longest, and up to half is taken off.
    pub fn failed(&mut self, now_ms: u64, rules: &Rules) {
        let mut longest_ms = rules.retry_min_ms;
        for _ in 0..self.failures.min(16) {
            longest_ms = (longest_ms * 2).min(rules.retry_max_ms);
        }
        longest_ms = longest_ms.min(rules.retry_max_ms);
        self.failures += 1;
        self.from_ms = now_ms + longest_ms - longest_ms / 2;
        self.until_ms = now_ms + longest_ms;
    }

    /// It has succeeded.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// There is a reason to try at once.
    pub fn hurry(&mut self) {
        (self.from_ms, self.until_ms) = (0, 0);
    }

    /// Whether only the engine knows if it is over.
    pub fn is_open(&self, now_ms: u64) -> bool {
        (self.from_ms..self.until_ms).contains(&now_ms)
    }

    /// Whether it may be tried again.
    pub fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.until_ms
    }

    /// The engine says whether the pause is over. It is believed within the bounds alone.
    pub fn learn(&mut self, now_ms: u64, is_over: bool) {
        if self.is_open(now_ms) {
            if is_over {
                self.until_ms = now_ms;
            } else {
                self.from_ms = now_ms + 1;
            }
        }
    }

    /// For comparing states: the bounds seen from now.
    pub fn relative(&self, now_ms: u64) -> (u32, u64, u64) {
        let left = |at_ms: u64| at_ms.saturating_sub(now_ms);
        (self.failures.min(16), left(self.from_ms), left(self.until_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        auth_timeout_ms: 1,
        connect_timeout_ms: 1,
        answer_timeout_ms: 1,
        request_timeout_ms: 1,
        retry_min_ms: 100,
        retry_max_ms: 300,
        topics_per_client_max: 1,
        topics_per_user_max: 1,
        clients_per_user_max: 1,
    };

    #[test]
    fn the_bounds_double_up_to_the_longest_pause() {
        let mut pause = Pause::default();
        for longest_ms in [100, 200, 300, 300] {
            pause.failed(1_000, &RULES);
            assert!(!pause.is_open(1_000 + longest_ms / 2 - 1));
            assert!(
                pause.is_open(1_000 + longest_ms / 2) && !pause.is_over(1_000 + longest_ms / 2)
            );
            assert!(pause.is_over(1_000 + longest_ms));
        }
    }

    #[test]
    fn what_the_engine_says_narrows_the_bounds_and_never_widens_them() {
        let mut pause = Pause::default();
        pause.failed(1_000, &RULES);
        pause.learn(1_049, true);
        assert!(!pause.is_over(1_049), "half a pause is the least");
        pause.learn(1_060, false);
        assert!(!pause.is_open(1_060) && !pause.is_over(1_060));
        pause.learn(1_070, true);
        assert!(pause.is_over(1_070));
        pause.learn(1_071, false);
        assert!(pause.is_over(1_071));
    }
}
