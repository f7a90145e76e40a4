//! The order in which ready tasks run, decided by the seed.
//!
//! tokio's single-threaded scheduler runs ready tasks first in, first out, on every seed. A task
//! that now and then steps back to the end of the queue lets the others overtake it, which is
//! what another thread, or another moment of arrival, would have done in production.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use serde::{Deserialize, Serialize};

use super::fault_book::lock;
use super::interleavings::Interleavings;
use crate::rng::Stream;

/// With jitter, a task that was told to wait this often in a row is run.
const STEPS_BACK_MAX: u32 = 3;
/// With priorities, the same: whatever it waits for may never run.
const STEPS_BACK_FOR_OTHERS_MAX: u32 = 40;
/// A starved task steps back so often before each poll.
const STARVED_STEPS: [u64; 2] = [4, 16];
/// Preemptions happen within so many polls of a host, as a power of two: as many among the first
/// sixteen polls as among the last thousands.
const PREEMPTED_WITHIN_BITS: [u64; 2] = [2, 13];

/// How ready tasks are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskOrder {
    /// First in, first out.
    #[default]
    None,
    /// Before each poll, a task steps back with this probability (0.0 to 1.0).
    Jitter(f64),
    /// This share of the tasks (0.0 to 1.0) is overtaken by all others, again and again.
    Starve(f64),
    /// Each task has a random priority and runs only when none with a higher one is ready. So
    /// many times, at random moments, the one that runs becomes the least: with few preemptions
    /// a bug that needs a certain order of few steps has a fair chance to show.
    Priorities(u32),
}

/// The order of one host's tasks.
#[derive(Clone, Debug)]
pub struct HostOrder {
    policy: TaskOrder,
    seed: u64,
    host: Arc<str>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    spawned: u64,
    polls: u64,
    /// Tasks that wait for their turn, by priority.
    ready: BTreeSet<(i64, u64)>,
    /// What the next preempted task gets.
    least: i64,
    /// Polls at which the running task is preempted, the next last.
    preemptions: Vec<u64>,
    seen: Interleavings,
}

impl HostOrder {
    /// The order that follows from the seed.
    #[must_use]
    pub fn new(seed: u64, host: &str, policy: TaskOrder) -> Self {
        let mut stream = Stream::fork(seed, "preemptions", host);
        let count = if let TaskOrder::Priorities(count) = policy { count } else { 0 };
        let [least, most] = PREEMPTED_WITHIN_BITS;
        let mut moment = || {
            let within = 1 << stream.between(least, most);
            stream.between(1, within)
        };
        let mut preemptions: Vec<u64> = (0..count).map(|_| moment()).collect();
        preemptions.sort_unstable_by_key(|at| std::cmp::Reverse(*at));
        let shared = Shared {
            spawned: 0,
            polls: 0,
            ready: BTreeSet::new(),
            least: -1,
            preemptions,
            seen: Interleavings::default(),
        };
        Self { policy, seed, host: host.into(), shared: Arc::new(Mutex::new(shared)) }
    }

    /// Wraps a task so that it runs in this order.
    pub fn arrange<F: Future<Output = ()>>(
        &self,
        name: &str,
        task: F,
    ) -> impl Future<Output = ()> + use<F> {
        let number = {
            let mut shared = lock(&self.shared);
            shared.spawned += 1;
            shared.spawned
        };
        // Each task has a stream of its own, so that a task more or less reshuffles no other.
        let entity = format!("{}/{name}/{number}", self.host);
        let mut stream = Stream::fork(self.seed, "task order", &entity);
        let steps = match self.policy {
            TaskOrder::Starve(share) if stream.chance(share) => {
                stream.between(STARVED_STEPS[0], STARVED_STEPS[1])
            }
            TaskOrder::Priorities(_) => u64::from(STEPS_BACK_FOR_OTHERS_MAX),
            TaskOrder::Jitter(_) => u64::from(STEPS_BACK_MAX),
            TaskOrder::None | TaskOrder::Starve(_) => 0,
        };
        let priority = i64::try_from(stream.below(1 << 32)).unwrap_or_default();
        Arranged {
            task: Box::pin(task),
            policy: self.policy,
            shared: Arc::clone(&self.shared),
            label: Interleavings::label(name),
            number,
            priority,
            stream,
            steps_back: 0,
            steps_back_max: u32::try_from(steps).unwrap_or_default(),
            heard_at: None,
        }
    }

    /// Which orders of tasks were seen so far.
    #[must_use]
    pub fn seen(&self) -> Interleavings {
        lock(&self.shared).seen.clone()
    }
}

struct Arranged<F> {
    task: Pin<Box<F>>,
    policy: TaskOrder,
    shared: Arc<Mutex<Shared>>,
    label: u64,
    number: u64,
    priority: i64,
    stream: Stream,
    steps_back: u32,
    steps_back_max: u32,
    /// The count of polls when it last stepped back for others.
    heard_at: Option<u64>,
}

impl<F> Arranged<F> {
    /// Whether others go first this time.
    fn lets_others_go(&mut self) -> bool {
        if self.steps_back >= self.steps_back_max {
            return false;
        }
        match self.policy {
            TaskOrder::None => false,
            TaskOrder::Jitter(probability) => self.stream.chance(probability),
            TaskOrder::Starve(_) => true,
            TaskOrder::Priorities(_) => {
                let mut shared = lock(&self.shared);
                let me = (self.priority, self.number);
                shared.ready.insert(me);
                // Since somebody ran last, all that are ready have to have their say first.
                let heard = self.heard_at.replace(shared.polls);
                heard != Some(shared.polls) || shared.ready.last() != Some(&me)
            }
        }
    }

    /// Takes its turn.
    fn begin(&mut self) {
        self.steps_back = 0;
        let mut shared = lock(&self.shared);
        shared.polls += 1;
        shared.seen.add(self.label, self.number);
        if matches!(self.policy, TaskOrder::Priorities(_)) {
            shared.ready.remove(&(self.priority, self.number));
            if shared.preemptions.last().is_some_and(|at| *at <= shared.polls) {
                shared.preemptions.pop();
                self.priority = shared.least;
                shared.least -= 1;
            }
        }
    }
}

impl<F: Future<Output = ()>> Future for Arranged<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.lets_others_go() {
            this.steps_back += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.begin();
        this.task.as_mut().poll(cx)
    }
}

impl<F> Drop for Arranged<F> {
    fn drop(&mut self) {
        lock(&self.shared).ready.remove(&(self.priority, self.number));
    }
}

#[cfg(test)]
#[path = "task_order_tests.rs"]
mod tests;
