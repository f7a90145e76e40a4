use std::collections::BTreeSet;
use std::task::Poll;

use tickgate::runtime::TaskEnded;

use super::super::Executor;
use super::*;

const ALL: [TaskOrder; 4] =
    [TaskOrder::None, TaskOrder::Jitter(0.5), TaskOrder::Starve(0.3), TaskOrder::Priorities(3)];

/// Runs tasks that are all ready at once; gives their steps in the order in which they happened.
fn run(order: TaskOrder, seed: u64, tasks: usize, steps: usize) -> Vec<usize> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be built");
    let host = HostOrder::new(seed, "test", order);
    let executor = Executor::default();
    let spawn = |number| {
        let seen = Arc::clone(&seen);
        executor.spawn(&host, "task", async move {
            for _ in 0..steps {
                seen.lock().expect("not poisoned").push(number);
                once_more().await;
            }
        })
    };
    runtime.block_on(async {
        let all: Vec<_> = (0..tasks).map(spawn).collect();
        for task in all {
            assert_eq!(task.await, TaskEnded::Done);
        }
    });
    let seen = seen.lock().expect("not poisoned");
    seen.clone()
}

/// Is ready again at once, behind all who are ready now.
async fn once_more() {
    let mut first = true;
    std::future::poll_fn(|cx| {
        if std::mem::take(&mut first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

#[test]
fn without_a_policy_tasks_run_first_in_first_out() {
    for seed in 0..5 {
        assert_eq!(run(TaskOrder::None, seed, 5, 1), [0, 1, 2, 3, 4]);
    }
}

#[test]
fn every_other_policy_reaches_many_orders_and_repeats_each_for_its_seed() {
    for order in ALL.into_iter().skip(1) {
        let mut orders = BTreeSet::new();
        for seed in 0..100 {
            let ran = run(order, seed, 5, 1);
            assert_eq!(ran, run(order, seed, 5, 1));
            orders.insert(ran);
        }
        assert!(orders.len() > 20, "{order:?} reaches only {} orders", orders.len());
    }
}

#[test]
fn under_every_policy_each_task_comes_to_its_end() {
    for order in ALL.into_iter().chain([TaskOrder::Jitter(1.0), TaskOrder::Starve(1.0)]) {
        for seed in 0..20 {
            assert_eq!(run(order, seed, 4, 10).len(), 40, "{order:?} seed {seed}");
        }
    }
}

#[test]
fn with_priorities_and_no_preemption_the_most_important_task_runs_to_its_end() {
    let ran = run(TaskOrder::Priorities(0), 3, 3, 5);
    let first = ran[0];
    assert!(ran[..5].iter().all(|number| *number == first), "{ran:?}");
}

/// A toy with a bug: the second task takes for granted that the first has run.
fn wake_order_bug_shows(order: TaskOrder, seed: u64) -> bool {
    run(order, seed, 2, 1) == [1, 0]
}

#[test]
fn a_wake_order_bug_is_found_within_twenty_seeds_and_never_without_a_policy() {
    assert!((0..1_000).all(|seed| !wake_order_bug_shows(TaskOrder::None, seed)));
    for order in ALL.into_iter().skip(1) {
        let found = (0..20).find(|seed| wake_order_bug_shows(order, *seed));
        assert!(found.is_some(), "{order:?} does not find it");
    }
}
