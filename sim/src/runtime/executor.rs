//! Runs the tasks of simulated hosts, in an order that the seed decides.
//!
//! tokio's single-threaded scheduler runs ready tasks first in, first out, on every seed. Here the
//! next task is chosen among those that are ready. Timers and channels are tokio's own: the
//! executor is one task of a tokio runtime, and whatever wakes a task of its own wakes that one.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};

use indexmap::IndexMap;
use tickgate::runtime::{Task, TaskEnded, TaskHandle};

use super::crash::{self, Crash};
use super::fault_book::lock;
use super::task_order::{HostOrder, Place, Turn};
use crate::fence;

/// Polls without a moment in which nothing is ready. Beyond that, something spins.
const POLLS_AT_ONCE_MAX: u32 = 2_000_000;
/// A task that is ready is overtaken so often at most: with priorities, what the others wait for
/// may never happen before it has run.
const OVERTAKEN_MAX: u64 = 400;

/// Runs tasks. Cheap to clone.
#[derive(Clone, Default)]
pub struct Executor(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    ready: Vec<Ready>,
    /// Whether any task has a priority.
    ranked: bool,
    polls: u64,
    next_id: u64,
    alive: IndexMap<u64, Arc<Cell>>,
    driver: Driver,
}

/// The task of tokio that runs the others.
#[derive(Default)]
enum Driver {
    /// There is none: it begins with the next task.
    #[default]
    None,
    /// It looks at the queue until the queue is empty.
    Runs,
    /// It waits to be woken.
    Waits(Waker),
}

/// A task that is ready.
struct Ready {
    task: Arc<Cell>,
    turn: Turn,
    /// How many polls there were when it became ready.
    since: u64,
}

/// A task.
struct Cell {
    name: &'static str,
    id: u64,
    executor: Weak<Shared>,
    order: HostOrder,
    place: Mutex<Place>,
    /// It is in the queue, or has ended.
    queued: AtomicBool,
    aborted: AtomicBool,
    /// `None` once it has ended.
    future: Mutex<Option<Work>>,
    end: Mutex<End>,
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a task has ended, and who waits for that.
#[derive(Default)]
struct End {
    how: Option<TaskEnded>,
    waiting: Option<Waker>,
}

impl Executor {
    /// Starts a task of the host whose order this is.
    pub fn spawn(
        &self,
        order: &HostOrder,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> Task {
        let place = order.place(name);
        let mut queue = lock(&self.0.queue);
        queue.ranked |= place.is_ranked();
        queue.next_id += 1;
        let id = queue.next_id;
        let cell = Arc::new(Cell {
            name,
            id,
            executor: Arc::downgrade(&self.0),
            order: order.clone(),
            queued: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
            place: Mutex::new(place),
            future: Mutex::new(Some(Box::pin(future))),
            end: Mutex::default(),
        });
        queue.alive.insert(id, Arc::clone(&cell));
        let first = matches!(queue.driver, Driver::None);
        if first {
            queue.driver = Driver::Runs;
        }
        drop(queue);
        if first {
            self.begin();
        }
        Arc::clone(&cell).enqueue();
        Task::new(Handle(cell))
    }

    /// Ends all tasks of a host where they stand, as when its process is killed, and those that
    /// were told to stop. None of them may be the one that asks for it.
    pub fn kill(&self, order: &HostOrder) {
        let queue = lock(&self.0.queue);
        let is_meant = |task: &&Arc<Cell>| {
            task.aborted.load(Ordering::Relaxed) || task.order.is_of_the_same_host(order)
        };
        let meant: Vec<Arc<Cell>> = queue.alive.values().filter(is_meant).cloned().collect();
        drop(queue);
        for task in meant {
            task.end(TaskEnded::Aborted);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the simulator's own spawn")]
    fn begin(&self) {
        let drive = Drive(Arc::clone(&self.0));
        // tokio's budget would make everything pending after some hundred operations of all tasks
        // together.
        tokio::spawn(tokio::task::unconstrained(drive));
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").finish_non_exhaustive()
    }
}

impl Queue {
    /// Takes the task whose turn it is.
    fn next(&mut self) -> Option<Arc<Cell>> {
        let at = if self.ranked { self.highest()? } else { self.foremost()? };
        self.polls += 1;
        Some(self.ready.remove(at).task)
    }

    /// First in, first out, but whoever still has steps back to take goes to the end.
    fn foremost(&mut self) -> Option<usize> {
        while self.ready.len() > 1 && self.ready.first_mut()?.turn.steps_back() {
            self.ready.rotate_left(1);
        }
        (!self.ready.is_empty()).then_some(0)
    }

    fn highest(&self) -> Option<usize> {
        if self.polls.saturating_sub(self.ready.first()?.since) > OVERTAKEN_MAX {
            return Some(0);
        }
        let ranks = self.ready.iter().enumerate();
        ranks.max_by_key(|(_, ready)| ready.turn.rank()).map(|(at, _)| at)
    }
}

/// Polls what is ready until nothing is. As long as it lives, so do the tasks: they end with the
/// runtime, and not inside of whatever drops the last waker.
struct Drive(Arc<Shared>);

impl Future for Drive {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let shared = &self.0;
        lock(&shared.queue).driver = Driver::Runs;
        for _ in 0..POLLS_AT_ONCE_MAX {
            let mut queue = lock(&shared.queue);
            let Some(task) = queue.next() else {
                queue.driver = Driver::Waits(cx.waker().clone());
                return Poll::Pending;
            };
            drop(queue);
            task.run();
        }
        let next = lock(&shared.queue).next();
        let name = next.map_or("nobody", |task| task.name);
        let message =
            format!("something spins: {POLLS_AT_ONCE_MAX} polls in one moment, the last of {name}");
        crash::report(Crash { message, ..Crash::default() });
        Poll::Pending
    }
}

impl Drop for Drive {
    /// The host is gone, or its runtime: so are its tasks.
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        queue.driver = Driver::None;
        let alive = std::mem::take(&mut queue.alive);
        queue.ready.clear();
        drop(queue);
        for task in alive.into_values() {
            task.end(TaskEnded::Aborted);
        }
    }
}

impl Cell {
    fn enqueue(self: Arc<Self>) {
        if self.queued.swap(true, Ordering::Relaxed) {
            return;
        }
        let Some(executor) = self.executor.upgrade() else { return };
        let turn = lock(&self.place).turn();
        let mut queue = lock(&executor.queue);
        let since = queue.polls;
        queue.ready.push(Ready { task: self, turn, since });
        if matches!(queue.driver, Driver::Waits(_))
            && let Driver::Waits(waker) = std::mem::replace(&mut queue.driver, Driver::Runs)
        {
            drop(queue);
            waker.wake();
        }
    }

    /// Polls it once. A panic stops it where it stands, where panics are caught.
    fn run(self: Arc<Self>) {
        self.queued.store(false, Ordering::Relaxed);
        let _closed = fence::close();
        if !crash::catches() {
            return self.step();
        }
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.step())) {
            crash::remember(payload.as_ref());
            std::mem::forget(lock(&self.future).take());
        }
    }

    fn step(self: &Arc<Self>) {
        if self.aborted.load(Ordering::Relaxed) {
            return self.end(TaskEnded::Aborted);
        }
        self.order.begins(&mut lock(&self.place));
        let waker = Waker::from(Arc::clone(self));
        let mut future = lock(&self.future);
        let Some(work) = future.as_mut() else { return };
        let done = work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        drop(future);
        if done {
            self.end(TaskEnded::Done);
        }
    }

    fn end(&self, how: TaskEnded) {
        // Nothing puts it into the queue again.
        self.queued.store(true, Ordering::Relaxed);
        // What a task drops, it drops behind the fence.
        let closed = fence::close();
        let future = lock(&self.future).take();
        drop(future);
        drop(closed);
        if let Some(executor) = self.executor.upgrade() {
            lock(&executor.queue).alive.swap_remove(&self.id);
        }
        let mut end = lock(&self.end);
        end.how.get_or_insert(how);
        let waiting = end.waiting.take();
        drop(end);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

impl Wake for Cell {
    fn wake(self: Arc<Self>) {
        self.enqueue();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.load(Ordering::Relaxed) {
            Arc::clone(self).enqueue();
        }
    }
}

/// What owns a task.
struct Handle(Arc<Cell>);

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.0.name).finish()
    }
}

impl TaskHandle for Handle {
    fn abort(&self) {
        if !self.is_finished() {
            self.0.aborted.store(true, Ordering::Relaxed);
            Arc::clone(&self.0).enqueue();
        }
    }

    fn is_finished(&self) -> bool {
        lock(&self.0.end).how.is_some()
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<TaskEnded> {
        let mut end = lock(&self.0.end);
        if let Some(how) = end.how {
            return Poll::Ready(how);
        }
        end.waiting = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
#[path = "executor_tests.rs"]
mod tests;
