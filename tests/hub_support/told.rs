//! A hub whose broker does only what the story tells it.

use std::collections::BTreeMap;

use tickgate::broker::{
    Answer as BrokerAnswer, BrokerError, BrokerErrorCode, BrokerEvent, Command, CommandKind, Done,
};
use tickgate::config::{BrokerTimes, Config};
use tickgate::engine::{
    ChannelId, Effect, Event, Hub, HubOptions, Identity, Orders, Request, Upstream,
};
use tickgate::protocol::{Answer, RowOutcome, SubscribeEntry, UnsubscribeEntry};
use tickgate::topic::{ClientId, Instrument, Mode, Topic};

/// A hub with a broker called `paper` that does only what the story tells it.
pub struct Told {
    pub hub: Hub,
    pub now_ms: u64,
    /// Commands that were sent and not answered yet.
    pub commands: Vec<Command>,
    /// All commands ever sent, as text.
    pub sent: Vec<String>,
    /// Answers by client, oldest first.
    pub answers: BTreeMap<u64, Vec<Answer>>,
    pub closed: Vec<(u64, u16)>,
    pub orders: BTreeMap<u64, Orders>,
}

pub const TCS: &str = "NSE:TCS";

pub fn topic(name: &str) -> Topic {
    let (exchange, symbol) = name.split_once(':').expect("exchange and symbol");
    Topic::new(Instrument::new(exchange, symbol), Mode::Ltp)
}

impl Told {
    pub fn new() -> Self {
        let mut story = Self::with_broker_down();
        story.broker_says(BrokerEvent::Up);
        story
    }

    pub fn with_broker_down() -> Self {
        let mut config = Config {
            broker: BrokerTimes {
                connect_timeout_ms: 15_000,
                answer_timeout_ms: 8_000,
                request_timeout_ms: 20_000,
                retry_min_ms: 500,
                retry_max_ms: 30_000,
                ..BrokerTimes::default()
            },
            ..Config::default()
        };
        config.limits.subscriptions_per_client_max = 100;
        Self {
            hub: Hub::new(HubOptions::new(&config, vec!["paper".into(), "other".into()], 1)),
            now_ms: 0,
            commands: Vec::new(),
            sent: Vec::new(),
            answers: BTreeMap::new(),
            closed: Vec::new(),
            orders: BTreeMap::new(),
        }
    }

    pub fn event(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.hub.handle(self.now_ms, event, &mut effects);
        self.hub.check();
        for effect in effects {
            match effect {
                Effect::Command { command, .. } => {
                    self.sent.push(match &command.kind {
                        CommandKind::Connect => format!("connect {}", command.user),
                        CommandKind::Disconnect => format!("disconnect {}", command.user),
                        CommandKind::Subscribe { topic, .. } => format!("subscribe {topic}"),
                        CommandKind::Unsubscribe { topic } => format!("unsubscribe {topic}"),
                        CommandKind::UnsubscribeAll => "unsubscribe_all".to_owned(),
                    });
                    self.commands.push(command);
                }
                Effect::Deliver { client, change, answer, .. } => {
                    if change.orders != Orders::Keep {
                        self.orders.insert(client.0, change.orders);
                    }
                    if let Some((answer, _)) = answer {
                        self.answers.entry(client.0).or_default().push(answer);
                    }
                }
                Effect::Close { client, code, .. } => self.closed.push((client.0, code)),
                Effect::Detach { .. }
                | Effect::Interest { .. }
                | Effect::Served { .. }
                | Effect::Administer { .. }
                | Effect::Notice { .. }
                | Effect::Audience { .. }
                | Effect::Note(_) => {}
            }
        }
    }

    pub fn broker_says(&mut self, event: BrokerEvent) {
        self.event(Event::Broker { broker: "paper".into(), event });
    }

    pub fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(at) = self.hub.next_deadline_ms().filter(|at| *at <= end) {
            self.now_ms = at.max(self.now_ms);
            self.event(Event::Timer);
        }
        self.now_ms = end;
    }

    pub fn open(&mut self, client: u64) {
        self.event(Event::Opened {
            client: ClientId(client),
            shard: 0,
            channel: ChannelId::BUILT_IN,
        });
    }

    pub fn close(&mut self, client: u64) {
        self.event(Event::Closed { client: ClientId(client) });
    }

    pub fn ask(&mut self, client: u64, request: Request) {
        self.event(Event::Request { client: ClientId(client), request_id: None, request });
    }

    pub fn authenticate(&mut self, client: u64, user: &str) {
        let identity = Identity::trader(user.into(), "paper".into());
        self.ask(client, Request::Authenticate(Ok(identity)));
    }

    pub fn subscribe(&mut self, client: u64, names: &[&str]) {
        let entry = |name: &&str| {
            let Topic { instrument, mode } = topic(name);
            Ok(SubscribeEntry { instrument, mode, depth: 5, snapshot: None, interval_ms: 0 })
        };
        self.ask(client, Request::Subscribe(names.iter().map(entry).collect()));
    }

    pub fn unsubscribe(&mut self, client: u64, name: &str) {
        let instrument = topic(name).instrument;
        self.ask(
            client,
            Request::Unsubscribe(vec![Ok(UnsubscribeEntry { instrument, mode: None })]),
        );
    }

    /// The broker answers its oldest command.
    pub fn agree(&mut self) -> Command {
        self.answer(Ok(Done::default()))
    }

    pub fn refuse(&mut self, code: BrokerErrorCode) -> Command {
        self.answer(Err(BrokerError { code, message: "no".to_owned() }))
    }

    pub fn answer(&mut self, result: Result<Done, BrokerError>) -> Command {
        let command = self.commands.remove(0);
        self.broker_says(BrokerEvent::Answer(BrokerAnswer { id: command.id, result }));
        command
    }

    pub fn agree_to_all(&mut self) {
        while !self.commands.is_empty() {
            self.agree();
        }
    }

    /// A client that has authenticated.
    pub fn enter(&mut self, client: u64, user: &str) {
        self.open(client);
        self.authenticate(client, user);
        self.agree_to_all();
        assert!(matches!(self.last_answer(client), Answer::Authenticated { .. }));
    }

    pub fn last_answer(&self, client: u64) -> &Answer {
        self.answers[&client].last().expect("an answer")
    }

    pub fn answered(&self, client: u64) -> usize {
        self.answers.get(&client).map_or(0, Vec::len)
    }

    /// The outcomes of a client's latest subscribe: `ok`, `already` or the error's code.
    pub fn rows(&self, client: u64) -> Vec<String> {
        let Answer::Subscribed { rows, .. } = self.last_answer(client) else {
            panic!("{:?}", self.last_answer(client))
        };
        let word = |outcome: &RowOutcome| match outcome {
            RowOutcome::Success { .. } => "ok".to_owned(),
            RowOutcome::AlreadySubscribed { .. } => "already".to_owned(),
            RowOutcome::Failed(reject) => reject.code.as_str().to_owned(),
        };
        rows.iter().map(|row| word(&row.outcome)).collect()
    }

    pub fn error(&self, client: u64) -> &'static str {
        match self.last_answer(client) {
            Answer::Rejected(reject) => reject.code.as_str(),
            other => panic!("{other:?}"),
        }
    }

    pub fn count(&self, name: &str) -> usize {
        let topics = self.hub.snapshot(self.now_ms, usize::MAX).topics;
        topics.iter().find(|at| at.topic == topic(name)).map_or(0, |at| at.count)
    }

    pub fn state(&self, name: &str) -> Option<Upstream> {
        let topics = self.hub.snapshot(self.now_ms, usize::MAX).topics;
        topics.iter().find(|at| at.topic == topic(name)).map(|at| at.state)
    }

    pub fn sent(&self, text: &str) -> usize {
        self.sent.iter().filter(|sent| *sent == text).count()
    }
}
