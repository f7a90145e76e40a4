//! Tasks that somebody owns.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Runtime;

/// A running task. Dropping it ends the task at its next await.
#[derive(Debug)]
#[must_use = "dropping a task ends it"]
pub struct Task {
    handle: Box<dyn TaskHandle>,
    ended: Option<TaskEnded>,
}

/// What the implementation of a [`Runtime`] knows of a task that it runs.
pub trait TaskHandle: fmt::Debug + Send + Sync {
    /// Ends the task at its next await, unless it has ended.
    fn abort(&self);

    /// Whether the task has ended.
    fn is_finished(&self) -> bool;

    /// Ready when the task has ended and all it held is released. Not asked again after that.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<TaskEnded>;
}

impl TaskHandle for JoinHandle<()> {
    fn abort(&self) {
        Self::abort(self);
    }

    fn is_finished(&self) -> bool {
        Self::is_finished(self)
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<TaskEnded> {
        Poll::Ready(match ready!(Pin::new(self).poll(cx)) {
            Ok(()) => TaskEnded::Done,
            Err(error) if error.is_panic() => TaskEnded::Panicked,
            Err(_) => TaskEnded::Aborted,
        })
    }
}

/// How a task came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskEnded {
    /// Its future returned.
    Done,
    /// Somebody dropped its [`Task`] or the runtime shut down.
    Aborted,
    /// It panicked: our own mistake. The process should end.
    Panicked,
}

impl Task {
    /// Takes ownership of a spawned future. For implementations of [`Runtime`] alone.
    pub fn new(handle: impl TaskHandle + 'static) -> Self {
        Self { handle: Box::new(handle), ended: None }
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Ends the task and waits until all it held is released.
    pub async fn stop(mut self) {
        self.handle.abort();
        (&mut self).await;
    }
}

impl Future for Task {
    type Output = TaskEnded;

    /// Ready with how the task ended, however often it is asked.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TaskEnded> {
        if let Some(ended) = self.ended {
            return Poll::Ready(ended);
        }
        let ended = ready!(self.handle.poll_ended(cx));
        self.ended = Some(ended);
        Poll::Ready(ended)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// How many tasks of each name are alive, for the status page and the leak checks.
#[derive(Clone, Debug, Default)]
pub struct TaskRegistry(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl TaskRegistry {
    /// Counts a task until the returned guard is dropped.
    #[must_use]
    pub fn enter(&self, name: &'static str) -> TaskGuard {
        *lock(&self.0).entry(name).or_default() += 1;
        TaskGuard { registry: self.clone(), name }
    }

    /// The names with at least one living task.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        lock(&self.0).clone()
    }

    /// All living tasks.
    #[must_use]
    pub fn total(&self) -> usize {
        lock(&self.0).values().sum()
    }
}

/// Counts one task in a [`TaskRegistry`] while it lives.
#[derive(Debug)]
pub struct TaskGuard {
    registry: TaskRegistry,
    name: &'static str,
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        let mut counts = lock(&self.registry.0);
        if let Some(count) = counts.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                counts.remove(self.name);
            }
        }
    }
}

/// Owner of any number of short-lived tasks, e.g. one for each connection.
///
/// A finished task leaves nothing behind. Dropping the group ends all that still run.
#[derive(Debug, Default)]
pub struct TaskGroup {
    inner: Arc<GroupInner>,
}

#[derive(Debug, Default)]
struct GroupInner {
    tasks: Mutex<Members>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    /// `None` while the task is between its start and its registration.
    running: BTreeMap<u64, Option<Task>>,
}

impl TaskGroup {
    /// An empty group.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that the group owns.
    pub fn spawn<R: Runtime>(
        &self,
        runtime: &R,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let id = {
            let mut members = lock(&self.inner.tasks);
            members.next += 1;
            let id = members.next;
            members.running.insert(id, None);
            id
        };
        let leave = Leave { group: Arc::downgrade(&self.inner), id };
        // An async block would hold the task twice: as what it was given and as what it awaits.
        let handle = runtime.spawn(name, task.map(move |()| drop(leave)));
        if let Some(slot) = lock(&self.inner.tasks).running.get_mut(&id) {
            *slot = Some(handle);
        }
    }

    /// How many tasks are alive.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.inner.tasks).running.len()
    }

    /// Whether no task is alive.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until no task is alive. Bound it with a timeout.
    pub async fn emptied(&self) {
        loop {
            let notified = self.inner.emptied.notified();
            if self.is_empty() {
                return;
            }
            notified.await;
        }
    }

    /// Ends every task at its next await.
    pub fn abort_all(&self) {
        let members = std::mem::take(&mut lock(&self.inner.tasks).running);
        drop(members);
        self.inner.emptied.notify_waiters();
    }
}

impl Drop for TaskGroup {
    fn drop(&mut self) {
        self.abort_all();
    }
}

/// Takes a task out of its group, however the task ends.
struct Leave {
    group: std::sync::Weak<GroupInner>,
    id: u64,
}

impl Drop for Leave {
    fn drop(&mut self) {
        let Some(group) = self.group.upgrade() else { return };
        let (left, emptied) = {
            let mut members = lock(&group.tasks);
            let left = members.running.remove(&self.id);
            (left, members.running.is_empty())
        };
        if emptied {
            group.emptied.notify_waiters();
        }
        drop(left);
    }
}

/// A panic elsewhere cannot leave these tables half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::TokioRuntime;
    use super::*;

    #[tokio::test]
    async fn a_dropped_task_ends_and_is_no_longer_counted() {
        let runtime = TokioRuntime::new();
        let task = runtime.spawn("sleeper", std::future::pending());
        tokio::task::yield_now().await;
        assert_eq!(runtime.tasks().counts().get("sleeper"), Some(&1));

        drop(task);
        tokio::task::yield_now().await;
        assert_eq!(runtime.tasks().total(), 0);
    }

    #[tokio::test]
    async fn a_group_forgets_finished_tasks_and_ends_the_others_when_dropped() {
        let runtime = TokioRuntime::new();
        let group = TaskGroup::new();
        group.spawn(&runtime, "short", async {});
        group.spawn(&runtime, "long", std::future::pending());
        tokio::task::yield_now().await;
        assert_eq!(group.len(), 1);

        drop(group);
        tokio::task::yield_now().await;
        assert_eq!(runtime.tasks().total(), 0);
    }

    #[tokio::test]
    async fn an_emptied_group_wakes_its_waiter() {
        let runtime = TokioRuntime::new();
        let group = TaskGroup::new();
        group.spawn(&runtime, "short", tokio::task::yield_now());
        group.emptied().await;
        assert!(group.is_empty());
    }

    #[tokio::test]
    async fn a_panic_is_told_apart_from_an_end() {
        let runtime = TokioRuntime::new();
        assert_eq!(runtime.spawn("ends", async {}).await, TaskEnded::Done);
        let mut task = runtime.spawn("panics", async { panic!("on purpose") });
        assert_eq!((&mut task).await, TaskEnded::Panicked);
        assert_eq!(task.await, TaskEnded::Panicked, "it can be asked again");
    }
}
