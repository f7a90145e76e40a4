//! When a tick of a recording is due.

use std::time::Duration;

/// Slowest and fastest, as the configuration has it.
const SPEED_MIN: f64 = 0.01;
const SPEED_MAX: f64 = 10_000.0;

/// How many times faster than it was a recording is played, 0.01 to 10,000.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    speed: f64,
}

impl Pace {
    /// A pace; a speed that is none becomes the nearest one.
    #[must_use]
    pub fn new(speed: f64) -> Self {
        let speed = if speed.is_nan() { 1.0 } else { speed };
        Self { speed: speed.clamp(SPEED_MIN, SPEED_MAX) }
    }

    /// How long after the beginning a tick is due that was recorded after `at_ns`. Rounded up, so
    /// that none is early.
    #[must_use]
    pub fn after(self, at_ns: u64) -> Duration {
        #[expect(clippy::float_cmp, reason = "the default, as it was written")]
        if self.speed == 1.0 {
            return Duration::from_nanos(at_ns);
        }
        // Exact for 104 days; a nanosecond in 1,000 years matters to nobody.
        let ns = (at_ns as f64 / self.speed).ceil();
        Duration::from_nanos(ns as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_divides_and_rounds_up() {
        assert_eq!(Pace::new(50.0).after(300_000_000_000), Duration::from_secs(6));
        assert_eq!(Pace::new(50.0).after(1), Duration::from_nanos(1));
        assert_eq!(Pace::new(3.0).after(10), Duration::from_nanos(4));
        assert_eq!(Pace::new(0.5).after(10), Duration::from_nanos(20));
        assert_eq!(Pace::new(1.0).after(u64::MAX), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn any_number_is_some_pace() {
        for (speed, after) in [(0.0, 100), (-1.0, 100), (f64::NAN, 1), (f64::INFINITY, 1)] {
            assert_eq!(Pace::new(speed).after(1), Duration::from_nanos(after), "{speed}");
        }
        assert_eq!(Pace::new(0.01).after(u64::MAX), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn order_is_kept() {
        let pace = Pace::new(7.3);
        let mut before = Duration::ZERO;
        for at_ns in (0..1_000_000).step_by(13) {
            let after = pace.after(at_ns);
            assert!(after >= before);
            before = after;
        }
    }
}
