//! How one client behaves: how much it says, and which rules it breaks.
//!
//! What a client may say is two token buckets, one of messages and one of bytes: each is full at
//! first, is refilled evenly, and a message takes its share of both or is refused. Broken rules
//! raise a threat level, which falls evenly with time; its height decides what is done.

use crate::config::{Conduct as ConductConfig, Limits};

const MINUTE_MS: u64 = 60_000;

/// Rates of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Messages a minute.
    pub messages_per_minute: u64,
    /// Messages that may come at once after a silence.
    pub message_burst: u64,
    /// Bytes a minute, and at once after a silence.
    pub bytes_per_minute: u64,
}

impl Rates {
    /// The rates that a configuration gives.
    #[must_use]
    pub const fn new(limits: &Limits) -> Self {
        Self {
            messages_per_minute: limits.messages_per_minute_max as u64,
            message_burst: limits.message_burst_max as u64,
            bytes_per_minute: limits.bytes_per_minute_max as u64,
        }
    }
}

/// What is done at which threat level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// From here on the client is warned.
    pub warn_at: u64,
    /// From here on it is not read for [`Escalation::throttle_ms`] after each broken rule.
    pub throttle_at: u64,
    /// From here on it is closed.
    pub close_at: u64,
    /// How far the level falls in a minute.
    pub decay_per_minute: u64,
    /// How long a throttled client is not read.
    pub throttle_ms: u64,
}

impl Escalation {
    /// The escalation that a configuration gives.
    #[must_use]
    pub const fn new(config: &ConductConfig) -> Self {
        Self {
            warn_at: config.warn_at as u64,
            throttle_at: config.throttle_at as u64,
            close_at: config.close_at as u64,
            decay_per_minute: config.decay_per_minute as u64,
            throttle_ms: config.throttle_ms,
        }
    }
}

/// A rule that a client broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Violation {
    /// It says more than it may.
    Rate,
    /// What it says is no request.
    Malformed,
    /// A name holds what no name may: markup, control characters, bidi tricks.
    Name,
    /// A credential was wrong.
    Credential,
}

impl Violation {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Rate, Self::Malformed, Self::Name, Self::Credential];

    /// Its name in logs and on the status page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Malformed => "malformed",
            Self::Name => "name",
            Self::Credential => "credential",
        }
    }

    /// By how much it raises the threat level.
    const fn weight(self) -> u64 {
        match self {
            Self::Rate | Self::Malformed => 1,
            Self::Credential => 2,
            Self::Name => 3,
        }
    }
}

/// What is done about a broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing but the answer.
    None,
    /// The answer says where this leads.
    Warn,
    /// The client is warned and not read for so many milliseconds.
    Throttle(u64),
    /// The client is closed.
    Close,
}

/// One client's account.
#[derive(Clone, Debug)]
pub struct Conduct {
    rates: Rates,
    escalation: Escalation,
    messages: Bucket,
    bytes: Bucket,
    threat: Threat,
}

impl Conduct {
    /// The account of a client that has just connected.
    #[must_use]
    pub const fn new(now_ms: u64, rates: Rates, escalation: Escalation) -> Self {
        Self {
            rates,
            escalation,
            messages: Bucket::full(now_ms),
            bytes: Bucket::full(now_ms),
            threat: Threat { level: 0, at_ms: now_ms },
        }
    }

    /// Other rates hold from now on. What has been used stays used.
    pub const fn set_rates(&mut self, rates: Rates) {
        self.rates = rates;
    }

    /// A message of so many bytes has come.
    ///
    /// # Errors
    ///
    /// Fails if it is too much, with the milliseconds after which it would not be. Answer it and do
    /// not serve it.
    pub fn message(&mut self, now_ms: u64, bytes: usize) -> Result<(), u64> {
        let (rates, bytes) = (self.rates, bytes as u64);
        let messages =
            self.messages.missing_ms(now_ms, 1, rates.messages_per_minute, rates.message_burst);
        // One message must be able to pass, however long it may be.
        let burst = rates.bytes_per_minute.max(bytes);
        let missing = self.bytes.missing_ms(now_ms, bytes, rates.bytes_per_minute, burst);
        match messages.max(missing) {
            0 => {
                self.messages.take(1);
                self.bytes.take(bytes);
                Ok(())
            }
            wait_ms => Err(wait_ms),
        }
    }

    /// The client broke a rule.
    pub fn violation(&mut self, now_ms: u64, violation: Violation) -> Reaction {
        let escalation = self.escalation;
        self.threat.fall(now_ms, escalation.decay_per_minute);
        self.threat.level = self.threat.level.saturating_add(violation.weight() * MINUTE_MS);
        let level = self.threat.level;
        let reached = |points: u64| level >= points.saturating_mul(MINUTE_MS);
        if reached(escalation.close_at) {
            Reaction::Close
        } else if reached(escalation.throttle_at) {
            Reaction::Throttle(escalation.throttle_ms)
        } else if reached(escalation.warn_at) {
            Reaction::Warn
        } else {
            Reaction::None
        }
    }
}

/// A level in points times milliseconds a minute, so that whole numbers hold every fraction of a
/// fall.
#[derive(Clone, Copy, Debug)]
struct Threat {
    level: u64,
    at_ms: u64,
}

impl Threat {
    const fn fall(&mut self, now_ms: u64, per_minute: u64) {
        let fallen = (now_ms - self.at_ms).saturating_mul(per_minute);
        self.level = self.level.saturating_sub(fallen);
        self.at_ms = now_ms;
    }
}

/// What has been taken and not been refilled, in units times milliseconds a minute.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    taken: u64,
    at_ms: u64,
}

impl Bucket {
    const fn full(now_ms: u64) -> Self {
        Self { taken: 0, at_ms: now_ms }
    }

    /// Refills the bucket, and says after how many milliseconds `amount` could be taken; 0: now.
    fn missing_ms(&mut self, now_ms: u64, amount: u64, per_minute: u64, burst: u64) -> u64 {
        let refilled = (now_ms - self.at_ms).saturating_mul(per_minute);
        self.taken = self.taken.saturating_sub(refilled);
        self.at_ms = now_ms;
        let full = burst.saturating_mul(MINUTE_MS);
        let wanted = self.taken.saturating_add(amount.saturating_mul(MINUTE_MS));
        wanted.saturating_sub(full).div_ceil(per_minute.max(1))
    }

    const fn take(&mut self, amount: u64) {
        self.taken = self.taken.saturating_add(amount.saturating_mul(MINUTE_MS));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATES: Rates = Rates { messages_per_minute: 60, message_burst: 3, bytes_per_minute: 600 };
    const ESCALATION: Escalation = Escalation {
        warn_at: 2,
        throttle_at: 4,
        close_at: 6,
        decay_per_minute: 60,
        throttle_ms: 500,
    };

    fn conduct() -> Conduct {
        Conduct::new(0, RATES, ESCALATION)
    }

    #[test]
    fn a_burst_passes_and_then_one_message_for_each_interval() {
        let mut conduct = conduct();
        for _ in 0..3 {
            assert_eq!(conduct.message(0, 1), Ok(()));
        }
        assert_eq!(conduct.message(0, 1), Err(1_000));
        assert_eq!(conduct.message(400, 1), Err(600), "a refused message costs nothing");
        assert_eq!(conduct.message(1_000, 1), Ok(()));
        assert_eq!(conduct.message(1_000, 1), Err(1_000));
        for _ in 0..3 {
            assert_eq!(conduct.message(60_000, 1), Ok(()), "silence fills the bucket, not more");
        }
        assert_eq!(conduct.message(60_000, 1), Err(1_000));
    }

    #[test]
    fn other_rates_hold_at_once() {
        let mut conduct = conduct();
        conduct.set_rates(Rates { message_burst: 1, ..RATES });
        assert_eq!(conduct.message(0, 1), Ok(()));
        assert_eq!(conduct.message(0, 1), Err(1_000));
    }

    #[test]
    fn each_rule_has_a_name_of_its_own() {
        let words = Violation::ALL.map(Violation::word);
        assert_eq!(words, ["rate", "malformed", "name", "credential"]);
    }

    #[test]
    fn bytes_are_counted_too_and_no_message_is_too_long_for_ever() {
        let mut conduct = conduct();
        assert_eq!(conduct.message(0, 500), Ok(()));
        assert_eq!(conduct.message(0, 200), Err(10_000));
        assert_eq!(conduct.message(10_000, 200), Ok(()));
        assert_eq!(conduct.message(70_000, 10_000), Ok(()), "longer than a minute's bytes");
        assert_eq!(conduct.message(70_000, 1), Err(940_100));
    }

    #[test]
    fn broken_rules_add_up_and_are_forgotten_with_time() {
        let mut conduct = conduct();
        let react = |conduct: &mut Conduct, now_ms| conduct.violation(now_ms, Violation::Rate);
        assert_eq!(react(&mut conduct, 0), Reaction::None);
        assert_eq!(react(&mut conduct, 0), Reaction::Warn);
        assert_eq!(react(&mut conduct, 1_000), Reaction::Warn, "one point a second is forgotten");
        assert_eq!(react(&mut conduct, 1_000), Reaction::Warn);
        assert_eq!(react(&mut conduct, 1_000), Reaction::Throttle(500));
        assert_eq!(react(&mut conduct, 1_000), Reaction::Throttle(500));
        assert_eq!(react(&mut conduct, 1_000), Reaction::Close);
        assert_eq!(react(&mut conduct, 60_000), Reaction::None);
        assert_eq!(conduct.violation(60_000, Violation::Name), Reaction::Throttle(500));
    }

    proptest! {
        /// In no window of time does more pass than the burst and what that time refills.
        #[test]
        fn no_window_holds_more_than_it_may(
            steps in prop::collection::vec((0..3_000_u64, 1..400_usize), 1..100),
        ) {
            let mut conduct = conduct();
            let mut now_ms = 0;
            let mut passed: Vec<(u64, u64)> = Vec::new();
            for (pause_ms, bytes) in steps {
                now_ms += pause_ms;
                if conduct.message(now_ms, bytes).is_ok() {
                    passed.push((now_ms, bytes as u64));
                }
                for (at, (from_ms, _)) in passed.iter().enumerate() {
                    let window_ms = now_ms - from_ms;
                    let count = (passed.len() - at) as u64;
                    let sum: u64 = passed[at..].iter().map(|(_, bytes)| bytes).sum();
                    prop_assert!(count * MINUTE_MS <= 3 * MINUTE_MS + window_ms * 60);
                    prop_assert!(sum * MINUTE_MS <= 600 * MINUTE_MS + window_ms * 600);
                }
            }
        }
    }
}
