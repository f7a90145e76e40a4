//! A broker that differs from others, and a hub that deals with it.

use std::collections::{BTreeMap, BTreeSet};

use tickgate::broker::{
    Answer as BrokerAnswer, BrokerError, BrokerErrorCode, BrokerEvent, Command, CommandKind, Done,
    SessionId,
};
use tickgate::config::{BrokerEntry, BrokerKind, Config, Quirks};
use tickgate::engine::{ChannelId, Effect, Event, Hub, HubOptions, Identity, Request};
use tickgate::protocol::{SubscribeEntry, UnsubscribeEntry};
use tickgate::topic::{ClientId, Instrument, Mode, Role, Topic};

pub const BROKER: &str = "far";
/// Another broker, which is like most others.
pub const NEAR: &str = "near";

/// A hub, and a broker that does as it is told, or as the test says.
pub struct Play {
    pub hub: Hub,
    pub now_ms: u64,
    /// Every command, and when it was sent.
    pub sent: Vec<(u64, Command)>,
    /// Answers to clients, as JSON.
    pub answers: Vec<(u64, serde_json::Value)>,
    /// What the broker is subscribed to, by session.
    pub market: BTreeMap<SessionId, BTreeSet<Topic>>,
    /// What is refused for its credentials: so many connects, so many subscribes.
    pub expired: (usize, usize),
    pub silent: bool,
}

impl Play {
    pub fn new(quirks: Quirks) -> Self {
        let mut config = Config::default();
        let (name, kind) = (BROKER.to_owned(), BrokerKind::Remote);
        config.brokers = vec![BrokerEntry { name, kind, quirks, ..BrokerEntry::paper() }];
        config.brokers.push(BrokerEntry { name: NEAR.to_owned(), kind, ..BrokerEntry::paper() });
        config.limits.subscriptions_per_client_max = 10_000;
        config.limits.subscriptions_per_user_max = 10_000;
        let hub = Hub::new(HubOptions::new(&config, vec![BROKER.into(), NEAR.into()], 1));
        let mut play = Self {
            hub,
            now_ms: 0,
            sent: Vec::new(),
            answers: Vec::new(),
            market: BTreeMap::new(),
            expired: (0, 0),
            silent: false,
        };
        play.broker(BrokerEvent::Up);
        play.tell(Event::Broker { broker: NEAR.into(), event: BrokerEvent::Up });
        play
    }

    pub fn broker(&mut self, event: BrokerEvent) {
        self.tell(Event::Broker { broker: BROKER.into(), event });
    }

    pub fn tell(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut effects = Vec::new();
            self.hub.handle(self.now_ms, event, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Deliver { client, answer: Some((answer, id)), .. } => {
                        let json = answer.to_json(id.as_deref());
                        let json = serde_json::from_slice(&json).expect("JSON");
                        self.answers.push((client.0, json));
                    }
                    Effect::Command { broker, command } => {
                        self.sent.push((self.now_ms, command.clone()));
                        if !self.silent {
                            let (id, result) = (command.id, self.carry_out(&command));
                            let event = BrokerEvent::Answer(BrokerAnswer { id, result });
                            events.insert(0, Event::Broker { broker, event });
                        }
                    }
                    _ => {}
                }
            }
        }
        self.hub.check();
    }

    pub fn carry_out(&mut self, command: &Command) -> Result<Done, BrokerError> {
        let expired = |left: &mut usize| {
            if *left == 0 {
                return Ok(());
            }
            *left -= 1;
            let (code, message) = (BrokerErrorCode::InitFailed, "token expired".into());
            Err(BrokerError { code, message })
        };
        match &command.kind {
            CommandKind::Connect => {
                expired(&mut self.expired.0)?;
                self.market.insert(command.session, BTreeSet::new());
            }
            CommandKind::Disconnect => drop(self.market.remove(&command.session)),
            CommandKind::UnsubscribeAll => {
                drop(self.market.insert(command.session, BTreeSet::new()))
            }
            CommandKind::Subscribe { topic, .. } => {
                expired(&mut self.expired.1)?;
                let is_new = self.market.values().all(|topics| !topics.contains(topic));
                assert!(is_new, "{topic} is subscribed twice");
                let session = self.market.get_mut(&command.session).expect("an open session");
                session.insert(topic.clone());
            }
            CommandKind::Unsubscribe { topic } => {
                let session = self.market.get_mut(&command.session).expect("an open session");
                assert!(session.remove(topic), "{topic} is not subscribed there");
            }
        }
        Ok(Done::default())
    }

    /// Does what it was silent about.
    pub fn do_now(&mut self, command: &Command) {
        let result = self.carry_out(command);
        self.reply(command, result);
    }

    pub fn reply(&mut self, command: &Command, result: Result<Done, BrokerError>) {
        self.broker(BrokerEvent::Answer(BrokerAnswer { id: command.id, result }));
    }

    /// What it was asked last.
    pub fn asked(&self) -> Command {
        self.sent.last().expect("a command").1.clone()
    }

    /// One of its sessions ends: that which was opened as the so manyth of those there are.
    pub fn lose(&mut self, which: usize) {
        let session = *self.market.keys().nth(which).expect("a session");
        self.market.remove(&session);
        let (user, reason) = ("alice".into(), "reset".into());
        self.broker(BrokerEvent::SessionLost { user, session, reason });
    }

    /// Lets time pass, deadline by deadline.
    pub fn pass(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        while let Some(at_ms) = self.hub.next_deadline_ms().filter(|at_ms| *at_ms <= until_ms) {
            self.now_ms = self.now_ms.max(at_ms);
            self.tell(Event::Timer);
        }
        self.now_ms = until_ms;
    }

    pub fn enter(&mut self, client: u64, user: &str) {
        let channel = ChannelId(0);
        self.tell(Event::Opened { client: ClientId(client), shard: 0, channel });
        self.authenticate(client, user, BROKER);
    }

    pub fn authenticate(&mut self, client: u64, user: &str, broker: &str) {
        let (user, broker) = (user.into(), broker.into());
        let identity = Identity { user, broker, role: Role::Trader, credential: None };
        self.ask(client, Request::Authenticate(Ok(identity)));
    }

    pub fn ask(&mut self, client: u64, request: Request) {
        self.tell(Event::Request { client: ClientId(client), request_id: None, request });
    }

    pub fn subscribe(&mut self, client: u64, symbols: std::ops::Range<u32>) {
        let entry = |number| {
            let instrument = instrument(number);
            let (mode, depth) = (Mode::Depth, 30);
            Ok(SubscribeEntry { instrument, mode, depth, snapshot: None, interval_ms: 0 })
        };
        self.ask(client, Request::Subscribe(symbols.map(entry).collect()));
    }

    pub fn unsubscribe(&mut self, client: u64, symbols: std::ops::Range<u32>) {
        let entry = |number| Ok(UnsubscribeEntry { instrument: instrument(number), mode: None });
        self.ask(client, Request::Unsubscribe(symbols.map(entry).collect()));
    }

    pub fn leave(&mut self, client: u64) {
        self.tell(Event::Closed { client: ClientId(client) });
    }

    /// The last answer to a client.
    pub fn answer(&self, client: u64) -> &serde_json::Value {
        let mut answers = self.answers.iter().rev();
        &answers.find(|(to, _)| *to == client).expect("an answer").1
    }

    /// The outcome of each row of the last answer: `success`, or the code of its refusal.
    pub fn rows(&self, client: u64) -> Vec<&str> {
        let rows = self.answer(client)["subscriptions"].as_array().expect("rows");
        rows.iter().map(|row| row["code"].as_str().unwrap_or("success")).collect()
    }

    /// How often each kind of command was sent.
    pub fn counts(&self) -> [usize; 5] {
        let mut counts = [0; 5];
        for (_, command) in &self.sent {
            counts[match &command.kind {
                CommandKind::Connect => 0,
                CommandKind::Subscribe { .. } => 1,
                CommandKind::Unsubscribe { .. } => 2,
                CommandKind::UnsubscribeAll => 3,
                CommandKind::Disconnect => 4,
            }] += 1;
        }
        counts
    }

    pub fn topics(&self) -> usize {
        self.market.values().map(BTreeSet::len).sum()
    }
}

pub fn instrument(number: u32) -> Instrument {
    Instrument::new("NSE", format!("S{number}"))
}
