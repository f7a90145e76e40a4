//! Panics in a simulation.
//!
//! A task that panics is stopped where it stands and remembered; the simulation ends after that
//! step, and nothing of it is dropped. Unwinding through the scheduler instead would run
//! destructors in a broken world; one that panics again ends the whole process, and with it every
//! other simulation of a sweep.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll, Waker};

use crate::fence;

/// A panic, or a part of the world that ended on its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crash {
    /// What was said.
    pub message: String,
    /// File and line, if known.
    pub place: String,
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.place.is_empty() { Ok(()) } else { write!(f, " ({})", self.place) }
    }
}

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// The file and line of the latest panic.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
    static FIRST: RefCell<Option<Crash>> = const { RefCell::new(None) };
    /// Whoever waits for the first.
    static WAITING: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// From now on, panics of this thread's tasks are caught and not printed. Ask for [`first`] after
/// each step. On other threads they go the way that the scheduler prepares for them.
pub fn catch_on_this_thread() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !CATCHING.get() {
                print(info);
            }
            let place = info.location().map(|at| format!("{}:{}", at.file(), at.line()));
            PLACE.set(place.unwrap_or_default());
        }));
    });
    CATCHING.set(true);
}

/// Whether panics of this thread's tasks are caught.
pub(super) fn catches() -> bool {
    CATCHING.get()
}

/// The first panic of this thread's simulation, if there was one.
#[must_use]
pub fn first() -> Option<Crash> {
    FIRST.with_borrow(Clone::clone)
}

/// Ready when this thread's simulation has crashed.
pub fn poll_first(cx: &Context<'_>) -> Poll<Crash> {
    if let Some(crash) = first() {
        return Poll::Ready(crash);
    }
    WAITING.set(Some(cx.waker().clone()));
    Poll::Pending
}

/// Remembers a panic that was caught.
pub fn remember(payload: &(dyn Any + Send)) {
    let message = payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".into());
    report(Crash { message, place: PLACE.take() });
}

/// Remembers a part of the world that ended on its own.
pub fn report(crash: Crash) {
    FIRST.with_borrow_mut(|first| {
        first.get_or_insert(crash);
    });
    if let Some(waker) = WAITING.take() {
        waker.wake();
    }
}

/// Wraps a task so that a panic stops it and nothing else, where panics are caught.
pub fn caught<T>(task: impl Future<Output = T>) -> impl Future<Output = T> {
    Caught(Some(Box::pin(task)))
}

struct Caught<F>(Option<Pin<Box<F>>>);

/// What a task drops, it drops behind the fence.
impl<F> Drop for Caught<F> {
    fn drop(&mut self) {
        let _closed = fence::close();
        self.0 = None;
    }
}

impl<T, F: Future<Output = T>> Future for Caught<F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(task) = &mut self.0 else { return Poll::Pending };
        let _closed = fence::close();
        if !CATCHING.get() {
            return task.as_mut().poll(cx);
        }
        match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(payload) => {
                remember(payload.as_ref());
                std::mem::forget(self.0.take());
                Poll::Pending
            }
        }
    }
}
