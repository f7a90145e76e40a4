//! Walks: the hub alone, without any runtime, led through orders of events that concurrent actors
//! could produce, and compared with the [`model`](crate::model) after each.

pub mod choices;
mod continuity;
pub mod delivery;
pub mod engine;
pub mod exhaustive;
pub mod failure;
pub mod generate;
pub mod judge;
mod mail;
pub mod operator;
pub mod translate;
pub mod world;

use std::sync::Arc;

use tickgate::engine::{Effect, Hub};

use crate::model::words::{BROKERS, BrokerNo, ClientNo, Sent, Step, USERS, UserNo};
use crate::model::{Model, Rules};
use choices::{Choices, FromBytes, Seeded};
use engine::Engine;
use failure::{Failure, caught};
use generate::Generator;
use judge::Judge;
use translate::Dictionary;
use world::World;

/// Events after which things must have come to rest: as many as all deadlines and pauses of a
/// walk's clients, sessions and topics can take.
const SETTLE_EVENTS_MAX: usize = 4_000;

/// How a walk is taken.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Events before things are left to settle.
    pub events: usize,
    /// Let the engine check itself after every so many events; 0: never.
    pub check_every: usize,
    /// Compare everything that an operator sees after every so many events; 0: at the end only.
    pub compare_every: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { events: 300, check_every: 1, compare_every: 32 }
    }
}

/// What a walk has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events.
    pub events: u64,
    /// Broker commands.
    pub commands: u64,
    /// Answers to clients.
    pub answers: u64,
}

impl Totals {
    /// Adds another walk's.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.commands += other.commands;
        self.answers += other.answers;
    }
}

/// Takes the walk of a seed.
///
/// # Errors
///
/// Fails if the engine differs from the model, breaks a rule of its own, or panics.
pub fn walk(seed: u64, options: Options) -> Result<Totals, Failure> {
    walk_with(Seeded::new(seed), options, |rules| Hub::new(translate::options(rules, seed)))
}

/// Takes the walk that some bytes decide: what a fuzzer calls.
///
/// # Errors
///
/// As [`walk`].
pub fn walk_bytes(bytes: &[u8]) -> Result<Totals, Failure> {
    let options = Options { events: bytes.len(), ..Options::default() };
    walk_with(FromBytes::new(bytes), options, |rules| Hub::new(translate::options(rules, 1)))
}

/// Takes a walk with any engine.
///
/// # Errors
///
/// As [`walk`].
pub fn walk_with<E: Engine>(
    mut choices: impl Choices,
    options: Options,
    engine: impl FnOnce(&Rules) -> E,
) -> Result<Totals, Failure> {
    let rules = Generator::rules(&mut choices);
    let mut walk = Walk::new(engine(&rules), rules, options);
    let result = caught(|| walk.whole(&mut choices));
    match result {
        Ok(()) => Ok(walk.totals),
        Err(reason) => Err(Failure { reason, trail: walk.trail }),
    }
}

/// A hub on its way, and all that it is compared with.
#[derive(Clone, Debug)]
pub struct Walk<E> {
    engine: E,
    model: Model,
    world: World,
    judge: Judge,
    dictionary: Arc<Dictionary>,
    now_ms: u64,
    options: Options,
    totals: Totals,
    trail: Vec<(u64, Step)>,
    effects: Vec<Effect>,
    sent: Vec<Sent>,
}

impl<E: Engine> Walk<E> {
    /// Before anything has happened.
    pub fn new(engine: E, rules: Rules, options: Options) -> Self {
        Self {
            engine,
            model: Model::new(rules),
            world: World::default(),
            judge: Judge::default(),
            dictionary: Arc::default(),
            now_ms: 0,
            options,
            totals: Totals::default(),
            trail: Vec::with_capacity(options.events),
            effects: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// Whether a client has ever been there.
    fn has_seen(&self, client: ClientNo) -> bool {
        let opens =
            |step: &Step| matches!(step, Step::Open { client: opened, .. } if *opened == client);
        self.trail.iter().any(|(_, step)| opens(step))
    }

    fn whole(&mut self, choices: &mut impl Choices) -> Result<(), String> {
        let mut generator = Generator::new(choices);
        let drains = choices.one_in(8);
        for broker in 0..BROKERS as BrokerNo {
            let step = self.world.start(broker);
            self.step(step)?;
        }
        for _ in 0..self.options.events {
            if choices.is_over() {
                break;
            }
            let drawn = generator.draw(choices, &mut self.world);
            self.now_ms += drawn.after_ms;
            self.step(drawn.step)?;
        }
        if drains {
            self.step(Step::Drain)?;
        }
        self.settle()?;
        self.judge_rest()?;
        while let Some(client) = self.world.open.pop() {
            self.step(Step::Close { client })?;
        }
        self.settle()?;
        self.judge_rest()?;
        self.judge_emptiness()
    }

    /// One event, judged.
    ///
    /// # Errors
    ///
    /// Fails if the engine differs from the model.
    pub fn step(&mut self, step: Step) -> Result<(), String> {
        self.trail.push((self.now_ms, step));
        self.totals.events += 1;
        self.effects.clear();
        self.sent.clear();
        self.learn_pauses();
        self.engine.handle(self.now_ms, self.dictionary.event(&step), &mut self.effects);
        for effect in &self.effects {
            match effect {
                Effect::Command { broker, command } => {
                    let sent = self.dictionary.sent(broker, command)?;
                    self.sent.push(sent);
                    self.world.receive(sent);
                    self.totals.commands += 1;
                }
                Effect::Deliver { answer, .. } => {
                    self.totals.answers += u64::from(answer.is_some());
                }
                Effect::Close { .. }
                | Effect::Detach { .. }
                | Effect::Interest { .. }
                | Effect::Served { .. }
                | Effect::Administer { .. }
                | Effect::Notice { .. }
                | Effect::Audience { .. }
                | Effect::Note(_) => {}
            }
        }
        let events = self.totals.events;
        let is_due = |every: usize| every > 0 && events.is_multiple_of(every as u64);
        let (check, compare) =
            (is_due(self.options.check_every), is_due(self.options.compare_every));
        if check {
            self.engine.check();
        }
        let routes = {
            self.model.step(self.now_ms, &step, &self.sent)?;
            self.model.routes()
        };
        let expected = self.model.expected();
        self.judge.step(&self.dictionary, &self.effects, expected, &routes)?;
        self.judge_deadline()?;
        if compare { self.compare() } else { Ok(()) }
    }

    /// The one thing that the engine alone can know: when a jittered pause is over.
    fn learn_pauses(&mut self) {
        let now_ms = self.now_ms;
        if !self.model.has_open_pauses(now_ms) {
            return;
        }
        let snapshot = self.engine.snapshot(now_ms);
        for session in &snapshot.sessions {
            let user = self.dictionary.user_no(&session.user);
            self.model.learn_pause(now_ms, user, None, !session.paused);
        }
        for at in &snapshot.topics {
            let (user, topic) =
                (self.dictionary.user_no(&at.user), self.dictionary.topic_no(&at.topic));
            self.model.learn_pause(now_ms, user, Some(topic), !at.paused);
        }
    }

    /// The engine wants to be woken in time for whatever must not be late.
    fn judge_deadline(&self) -> Result<(), String> {
        let (wakes, due) = (self.engine.next_deadline_ms(), self.model.next_deadline_ms());
        match due {
            Some(due) if wakes.is_none_or(|wakes| wakes > due) => {
                Err(format!("something is due at {due} ms, the engine is woken at {wakes:?}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Everything that an operator sees.
    fn compare(&self) -> Result<(), String> {
        let snapshot = self.engine.snapshot(self.now_ms);
        let (seen, expected) = (judge::summary(&self.dictionary, &snapshot), self.model.summary());
        if seen != expected {
            return Err(format!("an operator sees {seen:?} instead of {expected:?}"));
        }
        operator::adds_up(&snapshot, &self.totals, self.model.is_draining())?;
        if self.engine.is_idle() != self.model.is_empty() {
            return Err(format!("the engine's word for whether it is idle is wrong: {expected:?}"));
        }
        Ok(())
    }

    /// From now on brokers are up and honest, and time passes until nothing has to change.
    fn settle(&mut self) -> Result<(), String> {
        for broker in 0..BROKERS as BrokerNo {
            if !self.world.is_up(broker) {
                let step = self.world.start(broker);
                self.step(step)?;
            }
        }
        for _ in 0..SETTLE_EVENTS_MAX {
            if let Some(step) = self.world.act_honestly() {
                self.step(step)?;
            } else if self.model.is_settled() {
                return Ok(());
            } else if let Some(at_ms) = self.engine.next_deadline_ms() {
                self.now_ms = at_ms.max(self.now_ms);
                self.step(Step::Timer)?;
            } else {
                break;
            }
        }
        let summary = self.model.summary();
        Err(format!("things do not settle though brokers are up and honest: {summary:?}"))
    }

    /// At rest, brokers do what is wanted and nothing else. A gateway that is stopping does not
    /// wait for brokers that do not answer.
    fn judge_rest(&self) -> Result<(), String> {
        self.engine.check();
        self.compare()?;
        if self.model.is_draining() {
            return Ok(());
        }
        for user in 0..USERS as UserNo {
            let wanted = self.model.wanted(user);
            for broker in 0..BROKERS as BrokerNo {
                let (session, topics) = self.world.at_broker(broker, user);
                let (needed, wanted) = match wanted {
                    Some((at, wanted)) if at == broker => (true, wanted),
                    Some(_) | None => (false, 0),
                };
                if session.is_some() != needed || topics != wanted {
                    let user = crate::model::words::user(user);
                    return Err(format!(
                        "{user} has session {session:?} with topics {topics:b} at broker {broker}, \
                         needed is {needed} with {wanted:b}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// After the last client has gone nothing is left.
    fn judge_emptiness(&self) -> Result<(), String> {
        let routes = self.engine.snapshot(self.now_ms).routes;
        let deadline = self.engine.next_deadline_ms();
        if !self.model.is_empty() {
            return Err(format!("the model is not empty: {:?}", self.model.summary()));
        }
        if !self.engine.is_idle() || routes > 0 || deadline.is_some() {
            let idle = self.engine.is_idle();
            return Err(format!(
                "something is left: idle {idle}, {routes} routes, next deadline {deadline:?}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod broken;
#[cfg(test)]
mod tests;
