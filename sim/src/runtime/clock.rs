//! Simulated time since the simulation began.

use std::cell::Cell;

use tickgate::runtime::Clock;

thread_local! {
    /// Set where no turmoil simulation runs: one thread plays one simulation.
    static CLOCK: Cell<Option<Clock>> = const { Cell::new(None) };
}

/// From now on, simulated time on this thread is the time since now.
pub fn start_on_this_thread() {
    CLOCK.set(Some(Clock::start()));
}

/// Microseconds of simulated time; zero before the simulation.
#[must_use]
pub fn now_us() -> u64 {
    let elapsed = CLOCK.get().map(|clock| clock.now()).or_else(turmoil::sim_elapsed);
    u64::try_from(elapsed.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}
