use std::future::pending;

use super::super::TaskOrder;
use super::*;

/// Runs something on a runtime that is dropped afterwards.
fn on_a_runtime<T>(story: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be built");
    runtime.block_on(story)
}

fn order() -> HostOrder {
    HostOrder::new(1, "test", TaskOrder::None)
}

/// What a task holds; says so when it is dropped.
struct Held(Arc<AtomicBool>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_task_that_is_stopped_releases_what_it_holds_before_its_owner_goes_on() {
    let released = Arc::new(AtomicBool::new(false));
    let held = Held(Arc::clone(&released));
    on_a_runtime(async {
        let task = Executor::default().spawn(&order(), "holder", async move {
            let _held = held;
            pending::<()>().await;
        });
        tokio::task::yield_now().await;
        assert!(!task.is_finished() && !released.load(Ordering::Relaxed));
        task.stop().await;
        assert!(released.load(Ordering::Relaxed));
    });
}

#[test]
fn whoever_is_killed_has_released_everything_at_once_and_nobody_else_has() {
    let names = ["of the host", "told to stop", "of another host"];
    let released = names.map(|_| Arc::new(AtomicBool::new(false)));
    let (killed, other) = (order(), order());
    on_a_runtime(async {
        let executor = Executor::default();
        let hold = |of: &HostOrder, at: usize| {
            let held = Held(Arc::clone(&released[at]));
            executor.spawn(of, names[at], async move {
                let _held = held;
                pending::<()>().await;
            })
        };
        let tasks = [hold(&killed, 0), hold(&other, 1), hold(&other, 2)];
        tokio::task::yield_now().await;
        let [_of_host, told, _of_another] = tasks;
        drop(told);
        assert!(released.iter().all(|released| !released.load(Ordering::Relaxed)));
        executor.kill(&killed);
        let released = released.each_ref().map(|released| released.load(Ordering::Relaxed));
        assert_eq!(released, [true, true, false]);
    });
}

#[test]
#[expect(clippy::async_yields_async, reason = "the task is looked at after its runtime")]
fn tasks_end_with_the_runtime_although_somebody_keeps_their_waker() {
    let released = Arc::new(AtomicBool::new(false));
    let held = Held(Arc::clone(&released));
    let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
    let waker = Arc::clone(&kept);
    let task = on_a_runtime(async {
        // The executor itself is gone before its task has run.
        let task = Executor::default().spawn(&order(), "holder", async move {
            let _held = held;
            std::future::poll_fn::<(), _>(|cx| {
                *lock(&waker) = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
        });
        tokio::task::yield_now().await;
        task
    });
    assert!(lock(&kept).is_some(), "the task has run");
    assert!(released.load(Ordering::Relaxed) && task.is_finished());
    lock(&kept).take().expect("it is there").wake();
}

#[test]
fn a_panic_where_panics_are_caught_stops_its_task_and_no_other() {
    crash::catch_on_this_thread();
    on_a_runtime(async {
        let executor = Executor::default();
        let broken = executor.spawn(&order(), "broken", async { panic!("on purpose") });
        let whole = executor.spawn(&order(), "whole", tokio::task::yield_now());
        assert_eq!(whole.await, TaskEnded::Done);
        assert!(!broken.is_finished(), "nothing of it is dropped");
    });
    assert_eq!(crash::first().expect("it is remembered").message, "on purpose");
}

#[test]
fn a_task_that_spins_is_named() {
    crash::catch_on_this_thread();
    on_a_runtime(async {
        let _task = Executor::default().spawn(&order(), "whirl", async {
            std::future::poll_fn::<(), _>(|cx| {
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        });
        std::future::poll_fn(|cx| crash::poll_first(cx)).await;
    });
    let message = crash::first().expect("it is remembered").message;
    assert!(message.contains("spins") && message.contains("whirl"), "{message}");
}
