//! Whose request is read next.
//!
//! A thousand clients may ask for a hundred topics each at the same moment. If all of them were
//! parsed at once, and then all decided, the ticks of everybody else would wait until the last is
//! done: the cores go round among whoever is ready. So few are ready at a time, in the order in
//! which they came; the others wait, and their sockets with them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::marks::mark;

/// Requests that are being parsed, or wait for the hub. More would not be done sooner.
const TURNS: usize = 16;

/// Where clients wait for their turn to be read.
#[derive(Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(TURNS)))
    }

    /// Waits for a turn, which lasts until what this gives is dropped. `None` never: nobody closes
    /// it.
    pub async fn next(&self) -> Option<OwnedSemaphorePermit> {
        mark!(TurnWaits if self.0.available_permits() == 0);
        self.0.clone().acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn whoever_came_first_is_next_when_a_turn_is_over() {
        let turns = Turns::new();
        let mut taken = Vec::new();
        for _ in 0..TURNS {
            taken.push(turns.next().now_or_never().expect("there is room"));
        }
        let mut waiting = [Box::pin(turns.next()), Box::pin(turns.next())];
        assert!(waiting.iter_mut().all(|next| next.now_or_never().is_none()));
        taken.pop();
        let [first, second] = &mut waiting;
        assert!(second.now_or_never().is_none(), "it came later");
        assert!(first.now_or_never().is_some());
    }
}
