//! The order in which ready tasks run, decided by the seed.
//!
//! A task that is overtaken by others that are ready meets the world that another thread, or
//! another moment of arrival, would have made in production.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::fault_book::lock;
use super::interleavings::Interleavings;
use crate::rng::Stream;

/// With jitter, a task steps back so often in a row at most.
const STEPS_BACK_MAX: u32 = 3;
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
    /// What the next preempted task gets.
    least: i64,
    /// Polls at which the running task is preempted, the next last.
    preemptions: Vec<u64>,
    seen: Interleavings,
}

/// What the order knows of one task.
#[derive(Debug)]
pub(super) struct Place {
    policy: TaskOrder,
    label: u64,
    number: u64,
    priority: i64,
    stream: Stream,
    starved_steps: u32,
}

/// How a task that is ready stands in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    steps_back: u32,
    rank: (i64, u64),
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
        let seen = Interleavings::default();
        let shared = Shared { spawned: 0, polls: 0, least: -1, preemptions, seen };
        Self { policy, seed, host: host.into(), shared: Arc::new(Mutex::new(shared)) }
    }

    /// Whether both are of the same host.
    pub(super) fn is_of_the_same_host(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The place of a new task.
    pub(super) fn place(&self, name: &str) -> Place {
        let number = {
            let mut shared = lock(&self.shared);
            shared.spawned += 1;
            shared.spawned
        };
        // Each task has a stream of its own, so that a task more or less reshuffles no other.
        let entity = format!("{}/{name}/{number}", self.host);
        let mut stream = Stream::fork(self.seed, "task order", &entity);
        let starved_steps = match self.policy {
            TaskOrder::Starve(share) if stream.chance(share) => {
                stream.between(STARVED_STEPS[0], STARVED_STEPS[1])
            }
            _ => 0,
        };
        let starved_steps = u32::try_from(starved_steps).unwrap_or_default();
        let priority = i64::try_from(stream.below(1 << 32)).unwrap_or_default();
        let label = Interleavings::label(name);
        Place { policy: self.policy, label, number, priority, stream, starved_steps }
    }

    /// A task of this host takes its turn.
    pub(super) fn begins(&self, place: &mut Place) {
        let mut shared = lock(&self.shared);
        shared.polls += 1;
        shared.seen.add(place.label, place.number);
        if place.is_ranked() && shared.preemptions.last().is_some_and(|at| *at <= shared.polls) {
            shared.preemptions.pop();
            place.priority = shared.least;
            shared.least -= 1;
        }
    }

    /// Which orders of tasks were seen so far.
    #[must_use]
    pub fn seen(&self) -> Interleavings {
        lock(&self.shared).seen.clone()
    }
}

impl Place {
    /// Whether the task has a priority.
    pub fn is_ranked(&self) -> bool {
        matches!(self.policy, TaskOrder::Priorities(_))
    }

    /// The task is ready.
    pub fn turn(&mut self) -> Turn {
        let steps_back = match self.policy {
            TaskOrder::Jitter(share) => {
                let mut steps = 0;
                while steps < STEPS_BACK_MAX && self.stream.chance(share) {
                    steps += 1;
                }
                steps
            }
            TaskOrder::Starve(_) => self.starved_steps,
            TaskOrder::None | TaskOrder::Priorities(_) => 0,
        };
        Turn { steps_back, rank: (self.priority, self.number) }
    }
}

impl Turn {
    /// Whether it lets the others go first; so often once less.
    pub fn steps_back(&mut self) -> bool {
        let back = self.steps_back > 0;
        self.steps_back = self.steps_back.saturating_sub(1);
        back
    }

    /// The highest goes first.
    pub const fn rank(&self) -> (i64, u64) {
        self.rank
    }
}

#[cfg(test)]
#[path = "task_order_tests.rs"]
mod tests;
