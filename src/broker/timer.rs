//! Waiting for a moment that may never come.

use crate::runtime::Clock;

/// Waits until `clock` reads `at_ms`; for ever if there is no such moment.
pub(super) async fn until(clock: &Clock, at_ms: Option<u64>) {
    match at_ms {
        Some(at_ms) => tokio::time::sleep_until(clock.instant_at_ms(at_ms)).await,
        None => std::future::pending().await,
    }
}
