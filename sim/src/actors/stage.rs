//! What the actors of one simulation share: the history, the phase, the market.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::broker_host::BrokerHost;
use crate::history::{Actor, ClientName, Phase, Recorder, Seen};
use crate::runtime::clock::now_us;
use crate::topic_name::TopicName;

/// One simulation's common ground. Cheap to clone.
#[derive(Clone)]
pub struct Stage(Arc<Shared>);

struct Shared {
    recorder: Mutex<Recorder>,
    phase: watch::Sender<Phase>,
    /// A violation was found, or an actor cannot go on.
    ended: Notify,
    /// When the story began, in microseconds.
    story_began_us: Mutex<u64>,
    clients: Mutex<BTreeMap<ClientName, ClientState>>,
    /// When a tick of each topic was read last, once somebody wants to know.
    ticks: Mutex<Option<BTreeMap<TopicName, u64>>>,
    /// Topics that each broker was asked to publish.
    market: Mutex<BTreeMap<BrokerHost, BTreeSet<TopicName>>>,
    /// Changes of keys that the gateway has not carried out.
    key_changes: AtomicUsize,
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientState {
    /// Whether it has done everything that was planned.
    pub finished: bool,
    /// Whether it is connected.
    pub connected: bool,
    /// Whether it was cut off and is about to come back.
    pub returning: bool,
    /// Requests on its present connection that were not answered yet.
    pub unanswered: usize,
}

impl Stage {
    /// A stage that reports to this recorder.
    #[must_use]
    pub fn new(recorder: Recorder) -> Self {
        Self(Arc::new(Shared {
            recorder: Mutex::new(recorder),
            phase: watch::Sender::new(Phase::WarmUp),
            ended: Notify::new(),
            story_began_us: Mutex::new(0),
            clients: Mutex::default(),
            ticks: Mutex::default(),
            market: Mutex::default(),
            key_changes: AtomicUsize::new(0),
        }))
    }

    /// Reports what an actor sees now.
    pub fn saw(&self, actor: &Actor, seen: Seen) {
        let mut recorder = self.recorder();
        recorder.record(now_us(), actor.clone(), seen);
        if recorder.violation().is_some() || recorder.is_stuck() {
            drop(recorder);
            self.0.ended.notify_one();
        }
    }

    /// Waits until the story is over: played to its end, violated or stuck. Cancel-safe.
    pub async fn ended(&self) {
        tokio::select! {
            biased;
            () = self.0.ended.notified() => {}
            () = self.reached(Phase::Done) => {}
        }
    }

    /// The history so far.
    pub fn recorder(&self) -> MutexGuard<'_, Recorder> {
        lock(&self.0.recorder)
    }

    /// The present phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.phase.borrow()
    }

    /// Enters a phase.
    pub fn enter(&self, phase: Phase) {
        if phase == Phase::Play {
            *lock(&self.0.story_began_us) = now_us();
        }
        self.saw(&Actor::Operator, Seen::Phase(phase));
        self.0.phase.send_replace(phase);
    }

    /// Waits until this phase or a later one is entered. Cancel-safe.
    pub async fn reached(&self, phase: Phase) {
        let mut phases = self.0.phase.subscribe();
        // The sender lives as long as this stage.
        let _ = phases.wait_for(|now| *now >= phase).await;
    }

    /// When the story began, in microseconds; zero before that.
    #[must_use]
    pub fn story_began_us(&self) -> u64 {
        *lock(&self.0.story_began_us)
    }

    /// How long the story has lasted, in milliseconds.
    #[must_use]
    pub fn story_ms(&self) -> u64 {
        now_us().saturating_sub(self.story_began_us()) / 1_000
    }

    /// Time from now to a moment of the story; zero if it has passed.
    #[must_use]
    pub fn until(&self, at_ms: u64) -> Duration {
        let at_us = *lock(&self.0.story_began_us) + at_ms * 1_000;
        Duration::from_micros(at_us.saturating_sub(now_us()))
    }

    /// So many changes of keys are still to come.
    pub fn note_key_changes(&self, left: usize) {
        self.0.key_changes.store(left, Ordering::Relaxed);
    }

    /// How many changes of keys are still to come.
    #[must_use]
    pub fn key_changes(&self) -> usize {
        self.0.key_changes.load(Ordering::Relaxed)
    }

    /// Changes what is known of a client.
    pub fn update_client(&self, name: &ClientName, change: impl FnOnce(&mut ClientState)) {
        change(lock(&self.0.clients).entry(name.clone()).or_default());
    }

    /// How far the clients have come.
    #[must_use]
    pub fn clients(&self) -> BTreeMap<ClientName, ClientState> {
        lock(&self.0.clients).clone()
    }

    /// From now on, notes when a tick of each topic is read.
    pub fn watch_ticks(&self) {
        lock(&self.0.ticks).get_or_insert_default();
    }

    /// A client has read a tick of this topic.
    pub fn note_tick(&self, topic: &TopicName) {
        if let Some(ticks) = &mut *lock(&self.0.ticks) {
            ticks.insert(topic.clone(), now_us());
        }
    }

    /// When a tick of this topic was read last.
    #[must_use]
    pub fn last_tick_us(&self, topic: &TopicName) -> Option<u64> {
        lock(&self.0.ticks).as_ref()?.get(topic).copied()
    }

    /// Says which topics a broker was asked to publish.
    pub fn set_market(&self, broker: &BrokerHost, topics: BTreeSet<TopicName>) {
        lock(&self.0.market).insert(broker.clone(), topics);
    }

    /// Whether some broker was asked to publish this topic.
    #[must_use]
    pub fn is_on_the_market(&self, topic: &TopicName) -> bool {
        lock(&self.0.market).values().any(|topics| topics.contains(topic))
    }
}

/// A panic elsewhere ends the simulation anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
