//! What an account that the gateway keeps of a client can have reached at most.

/// A minute, in microseconds; levels are counted in units times this.
pub(super) const MINUTE_US: u64 = 60_000_000;

/// Rises with what a client says, at a moment between the request and its answer; falls as time
/// passes, but never below nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    level: u64,
    /// By when it had risen to that.
    by_us: u64,
}

impl Account {
    /// What is left of it when a message is read that was sent then, or later.
    pub const fn left(self, sent_us: u64, per_minute: u64) -> u64 {
        self.level.saturating_sub(sent_us.saturating_sub(self.by_us).saturating_mul(per_minute))
    }

    /// It has risen to this level, by this moment.
    pub const fn reached(level: u64, by_us: u64) -> Self {
        Self { level, by_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_falls_from_the_last_moment_at_which_it_can_have_risen() {
        let account = Account::reached(3 * MINUTE_US, 1_000_000);
        assert_eq!(account.left(500_000, 60), 3 * MINUTE_US);
        assert_eq!(account.left(2_000_000, 60), 2 * MINUTE_US);
        assert_eq!(account.left(60_000_000, 60), 0);
    }
}
