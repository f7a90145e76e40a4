//! The order in which ready tasks run, decided by the seed.
//!
//! tokio's single-threaded scheduler runs ready tasks first in, first out, on every seed. A task
//! that now and then steps back to the end of the queue lets the others overtake it, which is
//! what another thread, or another moment of arrival, would have done in production.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::{Deserialize, Serialize};

use crate::rng::Stream;

/// A task that was told to wait this often in a row is run.
const STEPS_BACK_MAX: u32 = 3;

/// How ready tasks are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskOrder {
    /// First in, first out.
    #[default]
    None,
    /// Before each poll, a task steps back with this probability (0.0 to 1.0).
    Jitter(f64),
}

/// Wraps a task so that it runs in the order that the policy and the stream decide.
pub fn reordered<F: Future<Output = ()>>(
    task: F,
    order: TaskOrder,
    stream: Stream,
) -> impl Future<Output = ()> {
    let probability = match order {
        TaskOrder::None => 0.0,
        TaskOrder::Jitter(probability) => probability,
    };
    Reordered { task: Box::pin(task), stream, probability, steps_back: 0 }
}

struct Reordered<F> {
    task: Pin<Box<F>>,
    stream: Stream,
    probability: f64,
    steps_back: u32,
}

impl<F: Future<Output = ()>> Future for Reordered<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let may_step_back = this.probability > 0.0 && this.steps_back < STEPS_BACK_MAX;
        if may_step_back && this.stream.chance(this.probability) {
            this.steps_back += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.steps_back = 0;
        this.task.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// The order in which five tasks that are ready at once run.
    fn order_of_five(order: TaskOrder, seed: u64) -> Vec<usize> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be built");
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for number in 0..5 {
                let seen = Arc::clone(&seen);
                let task = async move { seen.lock().expect("not poisoned").push(number) };
                let stream = Stream::fork(seed, "test", &number.to_string());
                tasks.spawn(reordered(task, order, stream));
            }
            tasks.join_all().await;
        });
        let seen = seen.lock().expect("not poisoned");
        seen.clone()
    }

    #[test]
    fn without_a_policy_tasks_run_first_in_first_out() {
        for seed in 0..5 {
            assert_eq!(order_of_five(TaskOrder::None, seed), [0, 1, 2, 3, 4]);
        }
    }

    #[test]
    fn jitter_reaches_many_orders_and_repeats_each_for_its_seed() {
        let mut orders = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let order = order_of_five(TaskOrder::Jitter(0.5), seed);
            assert_eq!(order, order_of_five(TaskOrder::Jitter(0.5), seed));
            orders.insert(order);
        }
        assert!(orders.len() > 20, "only {} orders", orders.len());
    }

    #[test]
    fn a_task_that_always_steps_back_still_runs() {
        assert_eq!(order_of_five(TaskOrder::Jitter(1.0), 1).len(), 5);
    }
}
