//! Random walks of the hub: every order of events that clients and a badly behaved broker could
//! produce, judged after each event by the hub's own check and at the end by the broker's view.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tickgate::broker::{
    Answer, BrokerError, BrokerErrorCode, BrokerEvent, Command, CommandKind, Done, SessionId,
};
use tickgate::config::Config;
use tickgate::engine::{Effect, Event, Hub, HubOptions, Identity, Request, RouteId, ShardId};
use tickgate::protocol::{SubscribeEntry, UnsubscribeEntry};
use tickgate::topic::{ClientId, Instrument, Mode, Topic, UserId};

const SEEDS: u64 = 400;
const USERS: [&str; 3] = ["alice", "bob", "carol"];
const SYMBOLS: [&str; 4] = ["TCS", "INFY", "SBIN", "ITC"];

/// What the broker really did, whatever it says.
#[derive(Default)]
struct BrokerWorld {
    sessions: BTreeMap<UserId, SessionId>,
    topics: BTreeSet<(UserId, Topic)>,
    waiting: Vec<Command>,
}

struct Walk {
    rng: ChaCha8Rng,
    hub: Hub,
    now_ms: u64,
    broker: BrokerWorld,
    open: Vec<ClientId>,
    next_client: u64,
    requests: BTreeMap<ClientId, usize>,
    answers: BTreeMap<ClientId, usize>,
    /// What feed and shards have been told: who is on which route, and where that has interest.
    joined: BTreeSet<(RouteId, ShardId, ClientId)>,
    interest: BTreeSet<(RouteId, ShardId)>,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut walk = Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            hub: Hub::new(HubOptions::new(&Config::default(), vec!["paper".into()], seed)),
            now_ms: 0,
            broker: BrokerWorld::default(),
            open: Vec::new(),
            next_client: 0,
            requests: BTreeMap::new(),
            answers: BTreeMap::new(),
            joined: BTreeSet::new(),
            interest: BTreeSet::new(),
        };
        walk.broker_says(BrokerEvent::Up);
        walk
    }

    fn event(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.hub.handle(self.now_ms, event, &mut effects);
        self.hub.check();
        for effect in effects {
            match effect {
                Effect::Command { command, .. } => self.broker.waiting.push(command),
                Effect::Deliver { client, shard, change, answer } => {
                    for route in change.remove {
                        self.joined.remove(&(route, shard, client));
                    }
                    for route in change.add {
                        let is_new = self.joined.insert((route, shard, client));
                        assert!(is_new, "{client} joins {route:?} twice");
                    }
                    if answer.is_some() {
                        *self.answers.entry(client).or_default() += 1;
                        let (asked, answered) = (self.requests[&client], self.answers[&client]);
                        assert!(answered <= asked, "{client} got an answer too many");
                    }
                }
                Effect::Interest { route, shard, wanted: true, .. } => {
                    assert!(self.interest.insert((route, shard)), "{route:?} is told twice");
                }
                Effect::Interest { route, shard, wanted: false, .. } => {
                    assert!(self.interest.remove(&(route, shard)), "{route:?} ends twice");
                }
                Effect::Detach { client, .. } => {
                    self.joined.retain(|(_, _, joined)| *joined != client);
                }
                Effect::Close { .. } | Effect::Note(_) => {}
            }
        }
        for (route, shard, client) in &self.joined {
            assert!(self.interest.contains(&(*route, *shard)), "{client} gets no {route:?}");
        }
    }

    fn broker_says(&mut self, event: BrokerEvent) {
        self.event(Event::Broker { broker: "paper".into(), event });
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..8 => {
                self.next_client += 1;
                let client = ClientId(self.next_client);
                self.open.push(client);
                self.event(Event::Opened { client, shard: self.next_client as usize % 3 });
            }
            8..13 => {
                if let Some(client) = self.take_client() {
                    self.event(Event::Closed { client });
                }
            }
            13..55 => self.request(),
            55..85 => self.broker_acts(),
            85..88 => {
                let user = self.user();
                self.event(Event::Invalidate { user });
            }
            88..90 => self.session_dies(),
            90..91 => self.broker_dies(),
            _ => {
                let pause = *[1, 50, 600, 9_000].choose(&mut self.rng).unwrap();
                self.pass(pause);
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.event(Event::Timer);
    }

    fn user(&mut self) -> UserId {
        (*USERS.choose(&mut self.rng).unwrap()).into()
    }

    fn take_client(&mut self) -> Option<ClientId> {
        if self.open.is_empty() {
            return None;
        }
        let at = self.rng.random_range(0..self.open.len());
        Some(self.open.swap_remove(at))
    }

    fn request(&mut self) {
        let Some(client) = self.open.choose(&mut self.rng).copied() else { return };
        let symbols = self.rng.random_range(1..4);
        let instruments: Vec<Instrument> = (0..symbols)
            .map(|_| Instrument::new("NSE", *SYMBOLS.choose(&mut self.rng).unwrap()))
            .collect();
        let mode = *Mode::ALL.choose(&mut self.rng).unwrap();
        let request = match self.rng.random_range(0..10) {
            0..3 => {
                let user = self.user();
                Request::Authenticate(Ok(Identity { user, broker: "paper".into() }))
            }
            3..7 => Request::Subscribe(
                instruments
                    .into_iter()
                    .map(|instrument| Ok(SubscribeEntry { instrument, mode, depth: 5 }))
                    .collect(),
            ),
            7..9 => Request::Unsubscribe(
                instruments
                    .into_iter()
                    .map(|instrument| Ok(UnsubscribeEntry { instrument, mode: None }))
                    .collect(),
            ),
            _ => Request::UnsubscribeAll,
        };
        *self.requests.entry(client).or_default() += 1;
        self.event(Event::Request { client, request_id: None, request });
    }

    /// The broker carries out one waiting command, not always in order across topics, and not
    /// always saying so.
    fn broker_acts(&mut self) {
        if self.broker.waiting.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.broker.waiting.len());
        let at = self.first_of_its_kind(at);
        let command = self.broker.waiting.remove(at);
        let honest = self.rng.random_range(0..10);
        let result = match honest {
            0 => Err(BrokerErrorCode::Refused),
            1 => Err(BrokerErrorCode::NotConnected),
            _ => self.carry_out(&command),
        };
        if result == Err(BrokerErrorCode::NotConnected) {
            self.kill_session(command.user.clone());
        }
        let result = result.map(|()| Done::default());
        let result = result.map_err(|code| BrokerError { code, message: "no".into() });
        let answer = BrokerEvent::Answer(Answer { id: command.id, result });
        match honest {
            2 => {} // The answer is lost.
            3 => {
                self.broker_says(answer.clone());
                self.broker_says(answer);
            }
            _ => self.broker_says(answer),
        }
    }

    /// The contract of a broker: commands of one topic in order, session commands as barriers.
    fn first_of_its_kind(&self, at: usize) -> usize {
        let command = &self.broker.waiting[at];
        let key = |command: &Command| match &command.kind {
            CommandKind::Subscribe { topic, .. } | CommandKind::Unsubscribe { topic } => {
                Some(topic.clone())
            }
            _ => None,
        };
        let blocks = |earlier: &Command| {
            earlier.user == command.user
                && (key(earlier).is_none()
                    || key(command).is_none()
                    || key(earlier) == key(command))
        };
        self.broker.waiting[..=at].iter().position(blocks).unwrap_or(at)
    }

    fn carry_out(&mut self, command: &Command) -> Result<(), BrokerErrorCode> {
        let user = command.user.clone();
        let current = self.broker.sessions.get(&user) == Some(&command.session);
        match &command.kind {
            CommandKind::Connect => {
                self.broker.topics.retain(|(at, _)| *at != user);
                self.broker.sessions.insert(user, command.session);
            }
            CommandKind::Disconnect => {
                let older = |at: &SessionId| *at <= command.session;
                if self.broker.sessions.get(&user).is_some_and(older) {
                    self.broker.sessions.remove(&user);
                    self.broker.topics.retain(|(at, _)| *at != user);
                }
            }
            CommandKind::Subscribe { topic, .. } => {
                if !current {
                    return Err(BrokerErrorCode::NotConnected);
                }
                self.broker.topics.insert((user, topic.clone()));
            }
            CommandKind::Unsubscribe { topic } => {
                self.broker.topics.remove(&(user, topic.clone()));
            }
            CommandKind::UnsubscribeAll => panic!("the hub does not say this"),
        }
        Ok(())
    }

    fn session_dies(&mut self) {
        let user = self.user();
        self.kill_session(user);
    }

    fn kill_session(&mut self, user: UserId) {
        let Some(session) = self.broker.sessions.remove(&user) else { return };
        self.broker.topics.retain(|(at, _)| *at != user);
        self.broker_says(BrokerEvent::SessionLost { user, session, reason: "gone".into() });
    }

    fn broker_dies(&mut self) {
        // What was on its way may be lost, or carried out when the broker is back.
        let waiting = std::mem::take(&mut self.broker.waiting);
        self.broker = BrokerWorld::default();
        if self.rng.random_bool(0.5) {
            self.broker.waiting = waiting;
        }
        self.broker_says(BrokerEvent::Down { reason: "gone".into() });
        self.pass(700);
        self.broker_says(BrokerEvent::Up);
    }

    /// The broker behaves from now on; everything in flight comes to its end.
    fn settle(&mut self) {
        for _ in 0..2_000 {
            if !self.broker.waiting.is_empty() {
                let command = self.broker.waiting.remove(0);
                let result = self.carry_out(&command).map(|()| Done::default());
                let result = result.map_err(|code| BrokerError { code, message: "no".into() });
                self.broker_says(BrokerEvent::Answer(Answer { id: command.id, result }));
            } else if let Some(at_ms) = self.hub.next_deadline_ms().filter(|_| self.busy()) {
                self.now_ms = at_ms.max(self.now_ms);
                self.event(Event::Timer);
            } else {
                return;
            }
        }
        panic!("the hub does not settle: {:#?}", self.hub.snapshot(self.now_ms, usize::MAX));
    }

    fn busy(&self) -> bool {
        let snapshot = self.hub.snapshot(self.now_ms, usize::MAX);
        let sessions = snapshot.sessions.iter();
        let topics = snapshot.topics.iter();
        sessions.map(|at| format!("{:?}", at.state)).any(|state| state != "Up")
            || topics.map(|at| format!("{:?}", at.state)).any(|state| state != "On")
            || self.requests.iter().any(|(client, asked)| {
                self.open.contains(client) && self.answers.get(client) != Some(asked)
            })
    }

    fn judge(&self) {
        let snapshot = self.hub.snapshot(self.now_ms, usize::MAX);
        let wanted: BTreeSet<(UserId, Topic)> =
            snapshot.topics.iter().map(|at| (at.user.clone(), at.topic.clone())).collect();
        assert_eq!(self.broker.topics, wanted, "broker and gateway disagree");
        let users: Vec<UserId> = snapshot.sessions.iter().map(|at| at.user.clone()).collect();
        let live: Vec<UserId> = self.broker.sessions.keys().cloned().collect();
        assert_eq!(live, users, "sessions are leaked or missing");
    }
}

#[test]
fn after_any_walk_broker_and_gateway_agree_and_nothing_is_left_behind() {
    for seed in 0..SEEDS {
        let mut walk = Walk::new(seed);
        for _ in 0..300 {
            walk.step();
        }
        walk.settle();
        walk.judge();
        while let Some(client) = walk.take_client() {
            walk.event(Event::Closed { client });
        }
        walk.settle();
        walk.judge();
        assert!(walk.hub.is_idle(), "seed {seed} leaves something behind");
        assert_eq!(walk.hub.next_deadline_ms(), None, "seed {seed} leaves a timer behind");
        assert_eq!(
            walk.hub.snapshot(walk.now_ms, usize::MAX).routes,
            0,
            "seed {seed} leaves a route behind"
        );
    }
}
