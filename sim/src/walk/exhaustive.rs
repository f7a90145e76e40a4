//! Small worlds, searched through: every order of events up to a length.
//!
//! Breadth first. Two ways that lead to the same state are followed once. A state is what the
//! model knows together with what the brokers really do, numbers replaced by their ranks and
//! times by distances; that the engine agrees with the model is judged after each event.

use std::collections::BTreeSet;
use std::hash::Hasher as _;

use tickgate::engine::Hub;
use xxhash_rust::xxh3::Xxh3;

use super::engine::Engine;
use super::failure::{Failure, caught};
use super::translate;
use super::{Options, Walk};
use crate::model::Rules;
use crate::model::list::List;
use crate::model::words::{
    Ask, ClientNo, Outcome, Step, SubscribeEntry, Topic, UnsubscribeEntry, UserNo,
};

/// Deadlines so far apart that their order is the same in every run, and pauses without jitter:
/// the engine has no choice left.
pub const RULES: Rules = Rules {
    auth_timeout_ms: 1_000,
    connect_timeout_ms: 100,
    answer_timeout_ms: 100,
    request_timeout_ms: 250,
    retry_min_ms: 1,
    retry_max_ms: 1,
    topics_per_client_max: 12,
    topics_per_user_max: 24,
    clients_per_user_max: 2,
};

const TOPIC: Topic = Topic::new(0, 0);
const ALICE: UserNo = 0;

/// A world small enough to be searched through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// Two clients of one user, both in, and one topic: subscribe, unsubscribe, vanish; the broker
    /// does it, refuses, does it without a word, loses the session; deadlines pass.
    OneTopic,
    /// Two clients of one user from the start: connect, authenticate, subscribe, vanish, return;
    /// the broker connects and subscribes, refuses, loses the session; credentials change.
    OneUser,
}

impl World {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::OneTopic, Self::OneUser];

    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneTopic => "two clients, one topic",
            Self::OneUser => "two clients of one user",
        }
    }
}

/// What a search has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Searched {
    /// Different states.
    pub states: u64,
    /// Events taken and judged.
    pub events: u64,
    /// Events that led to a state that was known: what follows from it was not followed again.
    pub pruned: u64,
}

/// Something that can happen next.
#[derive(Clone, Copy, Debug)]
enum Move {
    Step(Step),
    /// The broker deals with its `n`th command: as it should, or with this failure.
    Answer(usize, Option<Outcome>),
    /// It carries the command out and says nothing.
    Silence(usize),
    LoseSession,
    /// Time passes up to the next deadline.
    Wait,
}

/// Searches a world: every order of up to `events` events.
///
/// # Errors
///
/// Fails with the shortest order after which engine and model differ.
pub fn search(world: World, events: usize) -> Result<Searched, Box<Failure>> {
    search_with(world, events, Hub::new(translate::options(&RULES, 1)))
}

/// The same with any engine.
///
/// # Errors
///
/// As [`search`].
pub fn search_with<E: Engine + Clone>(
    world: World,
    events: usize,
    engine: E,
) -> Result<Searched, Box<Failure>> {
    let mut searched = Searched { states: 1, ..Searched::default() };
    let options = Options { events: 0, check_every: 1, compare_every: 1 };
    let mut start = Walk::new(engine, RULES, options);
    prepare(world, &mut start)?;
    let mut known = BTreeSet::from([fingerprint(&start)]);
    // A state is kept as the way to it, which is walked again: a whole hub takes a thousand times
    // the memory.
    let mut level: Vec<Vec<u8>> = vec![Vec::new()];
    for _ in 0..events {
        let mut next = Vec::new();
        for path in &level {
            let walk = walk_again(world, &start, path)?;
            for (choice, next_move) in (0..).zip(moves(world, &walk)) {
                let mut walk = walk.clone();
                apply(&mut walk, next_move)?;
                searched.events += 1;
                if known.insert(fingerprint(&walk)) {
                    searched.states += 1;
                    next.push(path.iter().copied().chain([choice]).collect());
                } else {
                    // It was reached with as few events, or fewer: what follows is the same.
                    searched.pruned += 1;
                }
            }
        }
        level = next;
    }
    Ok(searched)
}

/// What was judged once is not judged again.
fn walk_again<E: Engine + Clone>(
    world: World,
    start: &Walk<E>,
    path: &[u8],
) -> Result<Walk<E>, Box<Failure>> {
    let mut walk = start.clone();
    let judged = walk.options;
    walk.options = Options { check_every: 0, compare_every: 0, ..judged };
    for choice in path {
        let next = moves(world, &walk)[usize::from(*choice)];
        apply(&mut walk, next)?;
    }
    walk.options = judged;
    Ok(walk)
}

fn prepare<E: Engine>(world: World, walk: &mut Walk<E>) -> Result<(), Box<Failure>> {
    let up = walk.world.start(0);
    take(walk, up)?;
    if world == World::OneTopic {
        for client in [1, 2] {
            take(walk, Step::Open { client, shard: 0 })?;
            take(walk, ask(client, Ask::Authenticate(ALICE, 0)))?;
        }
        let opened = walk.world.answer(0, None);
        take(walk, opened)?;
        walk.world.open = vec![1, 2];
    }
    Ok(())
}

/// Everything that can happen next.
fn moves<E: Engine>(world: World, walk: &Walk<E>) -> Vec<Move> {
    let mut moves = Vec::new();
    for client in [1, 2] {
        client_moves(world, walk, client, &mut moves);
    }
    for at in walk.world.next_ones() {
        moves.push(Move::Answer(at, None));
        moves.push(Move::Answer(at, Some(Outcome::Refused)));
        moves.push(Move::Silence(at));
    }
    if walk.world.at_broker(0, ALICE).0.is_some() {
        moves.push(Move::LoseSession);
    }
    if world == World::OneUser {
        moves.push(Move::Step(Step::Invalidate(ALICE)));
    }
    moves.push(Move::Wait);
    moves
}

fn client_moves<E: Engine>(world: World, walk: &Walk<E>, client: ClientNo, moves: &mut Vec<Move>) {
    let is_open = walk.world.open.contains(&client);
    let subscribe = SubscribeEntry::Good { topic: TOPIC, depth: 5, pace_ms: 0 };
    let subscribe = Ask::Subscribe(List::from_iter([subscribe]));
    let unsubscribe = UnsubscribeEntry::Good { symbol: TOPIC.symbol(), mode: None };
    let unsubscribe = Ask::Unsubscribe(List::from_iter([unsubscribe]));
    if is_open {
        moves.push(Move::Step(ask(client, subscribe)));
        moves.push(Move::Step(Step::Close { client }));
    }
    match world {
        World::OneTopic if is_open => moves.push(Move::Step(ask(client, unsubscribe))),
        World::OneTopic => {}
        World::OneUser if is_open => {
            moves.push(Move::Step(ask(client, Ask::Authenticate(ALICE, 0))));
        }
        // Each connects once: a connection's number is never used again.
        World::OneUser if walk.has_seen(client) => {}
        World::OneUser => moves.push(Move::Step(Step::Open { client, shard: 0 })),
    }
}

fn ask(client: ClientNo, ask: Ask) -> Step {
    Step::Ask { client, id: None, ask }
}

fn apply<E: Engine>(walk: &mut Walk<E>, next: Move) -> Result<(), Box<Failure>> {
    let step = match next {
        Move::Step(step) => step,
        Move::Answer(at, with) => walk.world.answer(at, with),
        Move::Silence(at) => {
            walk.world.answer_is_lost(at);
            Step::Timer
        }
        Move::LoseSession => walk.world.lose_session(0, ALICE).unwrap_or(Step::Timer),
        Move::Wait => {
            walk.now_ms = walk.engine.next_deadline_ms().unwrap_or(walk.now_ms).max(walk.now_ms);
            Step::Timer
        }
    };
    match step {
        Step::Open { client, .. } => walk.world.open.push(client),
        Step::Close { client } => walk.world.open.retain(|open| *open != client),
        Step::Ask { .. }
        | Step::BrokerUp(_)
        | Step::BrokerDown(_)
        | Step::Answered { .. }
        | Step::SessionLost { .. }
        | Step::Invalidate(_)
        | Step::Timer
        | Step::Drain => {}
    }
    take(walk, step)
}

fn take<E: Engine>(walk: &mut Walk<E>, step: Step) -> Result<(), Box<Failure>> {
    caught(|| walk.step(step))
        .map_err(|reason| Box::new(Failure { reason, trail: walk.trail.clone() }))
}

fn fingerprint<E: Engine>(walk: &Walk<E>) -> u128 {
    let (mut commands, mut sessions) = (Vec::new(), Vec::new());
    walk.model.numbers(&mut commands, &mut sessions);
    walk.world.numbers(&mut commands, &mut sessions);
    for numbers in [&mut commands, &mut sessions] {
        numbers.sort_unstable();
        numbers.dedup();
    }
    let mut hasher = Xxh3::new();
    walk.model.fingerprint(&mut hasher, &commands, &sessions);
    walk.world.fingerprint(&mut hasher, &commands, &sessions);
    for client in [1, 2] {
        hasher.write_u8(u8::from(walk.has_seen(client)));
    }
    hasher.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_short_order_of_events_agrees_with_the_model() {
        for world in World::ALL {
            let searched = match search(world, 6) {
                Ok(searched) => searched,
                Err(failure) => panic!("{}: {failure}", world.name()),
            };
            assert!(searched.states > 1_000, "{searched:?}");
            assert_eq!(searched.states - 1 + searched.pruned, searched.events);
        }
    }
}
