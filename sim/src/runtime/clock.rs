//! Simulated time since the simulation began.

use std::cell::Cell;
use std::time::Duration;

use tickgate::runtime::Clock;

thread_local! {
    /// Set where no turmoil simulation runs: one thread plays one simulation.
    static CLOCK: Cell<Option<Clock>> = const { Cell::new(None) };
    /// What time it is between two steps of a turmoil simulation, where no host is asked.
    static BETWEEN_STEPS: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// From now on, simulated time on this thread is the time since now.
pub fn start_on_this_thread() {
    CLOCK.set(Some(Clock::start()));
}

/// A turmoil simulation has come so far. Its own clock shows nothing outside of its hosts.
pub fn between_steps(elapsed: Duration) {
    BETWEEN_STEPS.set(elapsed);
}

/// Microseconds of simulated time; zero before the simulation.
#[must_use]
pub fn now_us() -> u64 {
    let elapsed = CLOCK.get().map(|clock| clock.now()).or_else(turmoil::sim_elapsed);
    let elapsed = elapsed.unwrap_or_else(|| BETWEEN_STEPS.get());
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}
