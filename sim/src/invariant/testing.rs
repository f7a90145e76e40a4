//! Hand-made histories.

use tickgate::server::status::{
    SessionState, SessionStatus, Status, TopicState, TopicStatus, UserStatus,
};
use tickgate::topic::UserId;

use super::holdings::Holdings;
use super::{Held, Invariant};
use crate::history::{
    Actor, Answer, Call, Event, Op, Phase, Reply, Request, RowOutcome, Seen, Sent, SubscribeRow,
    Tick, UnsubscribeEntry,
};
use crate::plan::{self, Plan};
use crate::scenario;
use crate::topic_name::TopicName;

/// A history in the making, and what an invariant thinks of it.
pub(super) struct Story<I> {
    invariant: I,
    holdings: Holdings,
    at_us: u64,
    requests: u64,
    calls: u64,
}

impl<I: Invariant> Story<I> {
    pub fn of(invariant: I) -> Self {
        Self { invariant, holdings: Holdings::default(), at_us: 0, requests: 0, calls: 0 }
    }

    /// Ten milliseconds later somebody sees something.
    pub fn see(&mut self, actor: &Actor, seen: Seen) -> Result<(), String> {
        self.later(10, actor, seen)
    }

    pub fn later(&mut self, after_ms: u64, actor: &Actor, seen: Seen) -> Result<(), String> {
        self.at_us += after_ms * 1_000;
        let event = Event { at_us: self.at_us, actor: actor.clone(), seen };
        let settled = self.holdings.observe(&event);
        self.invariant.observe(&event, &Held::after(&event, &self.holdings, settled.as_ref()))
    }

    /// Something that breaks nothing.
    pub fn good(&mut self, actor: &Actor, seen: Seen) {
        assert_eq!(self.see(actor, seen), Ok(()));
    }

    pub fn finish(&mut self) -> Result<(), String> {
        self.invariant.finish()
    }

    pub fn phase(&mut self, phase: Phase) {
        self.good(&Actor::Operator, Seen::Phase(phase));
    }

    pub fn connect(&mut self, name: &str) {
        self.good(&client(name), Seen::Connected { connection: 1 });
    }

    /// Connects and authenticates as the user before the dash.
    pub fn join(&mut self, name: &str) {
        self.connect(name);
        let user: UserId = name.split('-').next().unwrap_or_default().into();
        let id = self.send(name, Request::Authenticate(Some(user.clone())));
        self.answer(name, id, Reply::Authenticated(user)).expect("a good answer");
    }

    pub fn send(&mut self, name: &str, request: Request) -> u64 {
        self.requests += 1;
        let id = self.requests;
        self.good(&client(name), Seen::Sent(Sent { id, request }));
        id
    }

    pub fn answer(&mut self, name: &str, id: u64, reply: Reply) -> Result<(), String> {
        self.see(&client(name), Seen::Answered(Answer { id: Some(id), reply, broker: None }))
    }

    /// A subscribe that succeeds.
    pub fn subscribe(&mut self, name: &str, topic: &str) {
        let id = self.send(name, Request::Subscribe(vec![named(topic)]));
        self.answer(name, id, subscribed(topic)).expect("a good answer");
    }

    /// An unsubscribe that succeeds.
    pub fn unsubscribe(&mut self, name: &str, topic: &str) {
        let entry = UnsubscribeEntry { topic: named(topic), every_mode: false };
        let id = self.send(name, Request::Unsubscribe(vec![entry]));
        let successful = vec![named(topic).instrument().to_string()];
        let reply = Reply::Unsubscribed { successful, failed: Vec::new() };
        self.answer(name, id, reply).expect("a good answer");
    }

    pub fn tick(&mut self, name: &str, topic: &str, seq: u64) -> Result<(), String> {
        let topic = named(topic);
        let source = topic.mode();
        self.see(&client(name), Seen::Tick(Tick::new(topic, source, seq)))
    }

    pub fn publish(&mut self, topic: &str, seq: u64) {
        let topic = named(topic);
        self.good(&Actor::Feed, Seen::Published { topic, seq, wanted: true });
    }

    /// A command that takes effect and is answered in time.
    pub fn serve(&mut self, user: &str, session: u64, op: Op) {
        let call = self.call(user, session, op);
        self.good(&Actor::BROKER, Seen::Called(call.clone()));
        self.effect(call);
    }

    pub fn effect(&mut self, call: Call) {
        self.good(&Actor::BROKER, Seen::TookEffect(call.clone()));
        self.good(&Actor::BROKER, Seen::Replied { call, error: None, in_time: true });
    }

    pub fn call(&mut self, user: &str, session: u64, op: Op) -> Call {
        self.calls += 1;
        Call { id: self.calls, user: user.into(), connection: 0, session, op, more: false }
    }

    pub fn status(&mut self, status: Status) -> Result<(), String> {
        self.see(&Actor::Operator, Seen::Status(Box::new(status)))
    }
}

pub(super) fn client(name: &str) -> Actor {
    Actor::Client(name.into())
}

pub(super) fn named(topic: &str) -> TopicName {
    topic.parse().expect("a topic")
}

pub(super) fn subscribed(topic: &str) -> Reply {
    Reply::Subscribed(vec![row(topic, RowOutcome::Success)])
}

pub(super) fn row(topic: &str, outcome: RowOutcome) -> SubscribeRow {
    let topic = named(topic);
    let (instrument, mode) = (topic.instrument().to_string(), Some(topic.mode()));
    SubscribeRow { instrument, mode, outcome, interval_ms: 0 }
}

pub(super) fn failed(topic: &str) -> Reply {
    let outcome = RowOutcome::Failed { code: "BROKER_ERROR".into() };
    Reply::Subscribed(vec![row(topic, outcome)])
}

/// A page on which these users are connected and these topics are on.
pub(super) fn page(users: &[(&str, u64)], topics: &[(&str, &str, u64)]) -> Status {
    let mut status = Status::default();
    status.clients.total = users.iter().map(|(_, clients)| clients).sum();
    status.clients.authenticated = status.clients.total;
    status.clients.opened_total = status.clients.total;
    status.users_total = users.len() as u64;
    status.users = users
        .iter()
        .map(|(user, clients)| UserStatus {
            user: (*user).into(),
            broker: "simbroker".into(),
            session: SessionStatus { state: SessionState::Connected, ..SessionStatus::default() },
            connections: 1,
            clients: *clients,
            orders_clients: 0,
        })
        .collect();
    status.topics_total = topics.len() as u64;
    status.subscriptions = topics.iter().map(|(_, _, count)| count).sum();
    status.topics = topics
        .iter()
        .map(|(user, topic, count)| {
            let topic = named(topic);
            TopicStatus {
                user: (*user).into(),
                broker: "simbroker".into(),
                exchange: topic.instrument().exchange.clone(),
                symbol: topic.instrument().symbol.clone(),
                mode: topic.mode().number(),
                count: *count,
                state: TopicState::On,
                depth: 5,
                ticks_total: None,
                last_tick_age_ms: None,
            }
        })
        .collect();
    status
}

/// A calm world: alice and bob, `NSE:A/LTP`, `NSE:B/LTP`, and `NSE:M` in two modes.
pub(super) fn plan() -> Plan {
    let text = r#"
about: A calm world.
world:
  duration_ms: 1000
  users: [{ name: alice, clients: 2 }, { name: bob }]
  topics: ["NSE:A/LTP", "NSE:B/LTP", "NSE:M/LTP", "NSE:M/Quote"]
  broker:
    topics:
      - { topic: "NSE:B/LTP", subscribe: { slow: [300, 300] } }
"#;
    plan::draw(&scenario::parse("calm.yaml", text).expect("it is good"), 1)
}

/// alice at paper, bob at zerodha.
pub(super) fn two_brokers() -> Plan {
    let text = r#"
about: A world with two brokers.
world:
  duration_ms: 1000
  users: [{ name: alice, clients: 2, broker: paper }, { name: bob, broker: zerodha }]
  topics: ["NSE:A/LTP", "NSE:B/LTP"]
  brokers: { paper: {}, zerodha: {} }
"#;
    plan::draw(&scenario::parse("two.yaml", text).expect("it is good"), 1)
}
