//! How long a topic is usually silent.
//!
//! The measure is the longest gap of late, not the mean one: topics tick in bursts, and a mean
//! forgets that. If gaps are exponential with mean m, the longest of 32 is about 4 m, that of a
//! thousand 7.5 m; four times that is exceeded by one gap in millions. What a gap can teach is
//! bounded by what was allowed: an outage of an hour does not make an hour usual, while a topic
//! that really has become slower is told stale two or three times, and then is known.
//!
//! That holds for topics that are rarer than the longest silence allowed, too: who comes out of the
//! second one, without having become quick in between, is rare, and is judged by its own gaps as
//! any other topic, up to a ceiling of its own.

/// How fast a long gap is forgotten: a share of it in this time, or in so many times its length.
const MEMORY_MS: u64 = 600_000;
const MEMORY_GAPS: u64 = 4;

/// Silences longer than any allowed out of which a topic must have come to count as rare.
const LATE_MIN: u32 = 2;

/// Gaps that must have been seen before they mean anything.
const GAPS_MIN: u32 = 32;

/// The rhythm of one topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habit {
    /// The last tick, or what counts as one.
    pub last_ms: u64,
    /// The longest gap since it was looked at.
    peak_ms: u64,
    /// The longest gap of late before that.
    longest_ms: u64,
    gaps: u32,
    /// Silences longer than any allowed that a tick has ended, since it was quick last.
    late: u32,
    /// Enough has been seen for the gaps to mean something.
    known: bool,
    /// The last tick when it was looked at.
    looked_ms: u64,
    first_ms: u64,
}

/// From when to when silence may be too long, and how often the usual gap is.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Silence before which nothing is stale.
    pub min_ms: u64,
    /// Silence after which everything is that is not known to be rare.
    pub max_ms: u64,
    /// Silence after which everything is.
    pub rare_ms: u64,
    /// In between: so many times the longest usual gap.
    pub factor: u64,
}

impl Habit {
    /// That of a topic of which nothing is known.
    pub const fn new(now_ms: u64) -> Self {
        Self {
            last_ms: now_ms,
            peak_ms: 0,
            longest_ms: 0,
            gaps: 0,
            late: 0,
            known: false,
            looked_ms: now_ms,
            first_ms: now_ms,
        }
    }

    /// A tick has come, as the one before it did; gives how long after it, in milliseconds.
    pub fn ticked(&mut self, now_ms: u64) -> u64 {
        let gap_ms = now_ms.saturating_sub(self.last_ms);
        self.last_ms = now_ms;
        if gap_ms > 0 {
            self.peak_ms = self.peak_ms.max(gap_ms);
            self.gaps = self.gaps.saturating_add(1);
        }
        gap_ms
    }

    /// A tick has come after a silence that was too long: of it no more counts than was allowed.
    pub fn ticked_late(&mut self, now_ms: u64, bounds: Bounds) {
        let gap_ms = now_ms.saturating_sub(self.last_ms);
        // Whoever is known to be quick has not become rare by an outage.
        if gap_ms >= bounds.max_ms && self.allowed_ms(bounds) >= bounds.max_ms {
            self.late = self.late.saturating_add(1);
            if self.late == LATE_MIN {
                // As if the silence before this one had been allowed in full.
                self.known = true;
                self.peak_ms = self.peak_ms.max(bounds.max_ms);
            }
        }
        self.peak_ms = self.peak_ms.max(gap_ms.min(self.allowed_ms(bounds)));
        self.last_ms = now_ms;
    }

    /// Takes in the gaps since the last look.
    pub fn look(&mut self, now_ms: u64, bounds: Bounds) {
        // A silence that lasts makes nothing forgotten.
        let memory_ms = MEMORY_MS.max(self.longest_ms.saturating_mul(MEMORY_GAPS));
        let elapsed_ms = self.last_ms.saturating_sub(self.looked_ms).min(memory_ms);
        let forgotten_ms = self.longest_ms.saturating_mul(elapsed_ms) / memory_ms;
        self.longest_ms = (self.longest_ms - forgotten_ms).max(self.peak_ms);
        self.peak_ms = 0;
        self.looked_ms = self.last_ms;
        if self.longest_ms.saturating_mul(bounds.factor) <= bounds.max_ms {
            self.late = 0;
        }
        if !self.known {
            // Whoever has begun with a burst may be in its first pause. Later on, a silence that
            // lasts must not be its own excuse.
            self.longest_ms = self.longest_ms.max(now_ms.saturating_sub(self.last_ms));
            let watched_ms = now_ms.saturating_sub(self.first_ms);
            self.known = self.gaps >= GAPS_MIN && watched_ms >= learning_ms(bounds);
        }
    }

    /// How soon it is to be looked at again although it is not overdue: to learn it early, and to
    /// notice that what was rare is so no more.
    pub const fn look_within_ms(&self, bounds: Bounds) -> Option<u64> {
        if !self.known {
            Some(learning_ms(bounds))
        } else if self.is_rare() {
            Some(bounds.max_ms)
        } else {
            None
        }
    }

    const fn is_rare(&self) -> bool {
        self.late >= LATE_MIN
    }

    /// How long a silence is nothing to speak of.
    pub fn allowed_ms(&self, bounds: Bounds) -> u64 {
        if !self.known {
            return bounds.max_ms;
        }
        let usual_ms = self.longest_ms.max(self.peak_ms);
        let most_ms = if self.is_rare() { bounds.rare_ms } else { bounds.max_ms };
        usual_ms.saturating_mul(bounds.factor).clamp(bounds.min_ms, most_ms)
    }
}

/// For how long a topic is watched before its gaps mean anything.
const fn learning_ms(bounds: Bounds) -> u64 {
    let ms = bounds.min_ms.saturating_mul(bounds.factor);
    if ms < bounds.max_ms { ms } else { bounds.max_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { min_ms: 5_000, max_ms: 120_000, rare_ms: 3_600_000, factor: 4 };

    /// Ticks that often for that long, looked at every 20 seconds.
    fn habit(every_ms: u64, for_ms: u64) -> (Habit, u64) {
        let mut habit = Habit::new(0);
        let mut now_ms = 0;
        while now_ms < for_ms {
            now_ms += every_ms;
            habit.ticked(now_ms);
            if now_ms / 20_000 != (now_ms - every_ms) / 20_000 {
                habit.look(now_ms, BOUNDS);
            }
        }
        (habit, now_ms)
    }

    #[test]
    fn the_faster_a_topic_the_sooner_its_silence_means_something() {
        for (every_ms, allowed_ms) in
            [(10, 5_000), (100, 5_000), (2_000, 8_000), (10_000, 40_000), (60_000, 120_000)]
        {
            let (habit, _) = habit(every_ms, 3_600_000);
            assert_eq!(habit.allowed_ms(BOUNDS), allowed_ms, "{every_ms}");
        }
    }

    #[test]
    fn nothing_is_concluded_from_a_few_ticks_or_a_short_while() {
        let (many, _) = habit(10, 19_000);
        assert_eq!(many.allowed_ms(BOUNDS), 120_000, "a burst at the opening");
        let (few, _) = habit(10_000, 300_000);
        assert_eq!(few.allowed_ms(BOUNDS), 120_000);
    }

    #[test]
    fn bursts_are_known_by_their_pauses() {
        let mut habit = Habit::new(0);
        for burst in 0..60 {
            for tick in 0..50 {
                habit.ticked(burst * 15_000 + tick * 10);
            }
            habit.look(burst * 15_000 + 600, BOUNDS);
        }
        // The mean gap is 300 ms.
        assert_eq!(habit.allowed_ms(BOUNDS), 4 * 14_510);
    }

    #[test]
    fn ticks_of_one_millisecond_are_no_gaps() {
        let mut habit = Habit::new(1);
        (0..40).for_each(|_| assert_eq!(habit.ticked(1), 0));
        habit.look(30_000, BOUNDS);
        assert_eq!(habit.allowed_ms(BOUNDS), BOUNDS.max_ms);
    }

    #[test]
    fn a_burst_is_no_habit() {
        let mut habit = Habit::new(0);
        (1..40).for_each(|at_ms| _ = habit.ticked(at_ms));
        habit.look(19_999, BOUNDS);
        assert_eq!(habit.allowed_ms(BOUNDS), BOUNDS.max_ms);
        habit.look(20_000, BOUNDS);
        assert_eq!(habit.allowed_ms(BOUNDS), 4 * (20_000 - 39));
    }

    #[test]
    fn one_silence_that_was_too_long_teaches_nothing() {
        let bounds = Bounds { factor: 1, ..BOUNDS };
        let mut habit = Habit::new(0);
        habit.ticked(1);
        habit.ticked_late(300_000, bounds);
        for at_ms in (1..20).map(|gap| 300_000 + gap * 50_000) {
            habit.ticked(at_ms);
            habit.look(at_ms, bounds);
        }
        assert_eq!(habit.allowed_ms(bounds), bounds.max_ms);
    }

    #[test]
    fn a_topic_that_slows_down_is_stale_a_few_times_and_an_outage_is_soon_forgotten() {
        let (mut habit, mut now_ms) = habit(100, 60_000);
        let mut told = 0;
        for _ in 0..20 {
            let allowed_ms = habit.allowed_ms(BOUNDS);
            now_ms += 60_000;
            if allowed_ms < 60_000 {
                told += 1;
                habit.ticked_late(now_ms, BOUNDS);
            } else {
                habit.ticked(now_ms);
            }
            habit.look(now_ms, BOUNDS);
        }
        assert_eq!(told, 2, "5 s, 20 s, then 80 s are allowed");

        let (mut habit, mut now_ms) = self::habit(100, 60_000);
        now_ms += 3_600_000;
        habit.ticked_late(now_ms, BOUNDS);
        assert_eq!(habit.allowed_ms(BOUNDS), 20_000);
        for _ in 0..18_000 {
            now_ms += 100;
            habit.ticked(now_ms);
            if now_ms.is_multiple_of(5_000) {
                habit.look(now_ms, BOUNDS);
            }
        }
        assert_eq!(habit.allowed_ms(BOUNDS), 5_000, "after half an hour");
    }
}
