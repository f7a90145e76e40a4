//! What tests of the hub share.

pub mod far;
pub mod shards;
pub mod told;

use tickgate::broker::{
    Answer as BrokerAnswer, BrokerError, BrokerErrorCode, BrokerEvent, Command, CommandKind, Done,
};
use tickgate::config::{ChannelAuth, ChannelEntry, ChannelKind, Config};
use tickgate::engine::{
    ChannelId, CredentialUse, Effect, Event, Hub, HubOptions, Identity, Request,
};
use tickgate::protocol::{Answer, SubscribeEntry};
use tickgate::topic::{ClientId, Instrument, Mode, Role};

/// A hub whose broker does whatever it is asked.
pub struct Story {
    pub hub: Hub,
    pub now_ms: u64,
    pub answers: Vec<(ClientId, String)>,
    pub closes: Vec<(ClientId, u16)>,
    /// What the broker was asked, as `user connect` or `user subscribe TOPIC`.
    pub commands: Vec<String>,
    /// Who listens to which broadcast, as it was told.
    pub audience: Vec<(ChannelId, bool)>,
    /// Whether the broker refuses to open sessions.
    pub broker_refuses: bool,
}

impl Story {
    pub fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let hub = Hub::new(HubOptions::new(&config, vec!["paper".into()], 1));
        let mut story = Self {
            hub,
            now_ms: 0,
            answers: Vec::new(),
            closes: Vec::new(),
            commands: Vec::new(),
            audience: Vec::new(),
            broker_refuses: false,
        };
        story.tell(Event::Broker { broker: "paper".into(), event: BrokerEvent::Up });
        story
    }

    pub fn tell(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut effects = Vec::new();
            self.hub.handle(self.now_ms, event, &mut effects);
            self.hub.check();
            for effect in effects {
                match effect {
                    Effect::Deliver { client, answer: Some((answer, _)), .. } => {
                        self.answers.push((client, word(&answer)));
                    }
                    Effect::Close { client, code, .. } => self.closes.push((client, code)),
                    Effect::Command { broker, command } => {
                        let result = self.carry_out(&command);
                        let answer = BrokerAnswer { id: command.id, result };
                        events.push(Event::Broker { broker, event: BrokerEvent::Answer(answer) });
                    }
                    Effect::Audience { channel, wanted, .. } => {
                        self.audience.push((channel, wanted));
                    }
                    _ => {}
                }
            }
        }
    }

    fn carry_out(&mut self, command: &Command) -> Result<Done, BrokerError> {
        let (what, done) = match &command.kind {
            CommandKind::Connect if self.broker_refuses => {
                let code = BrokerErrorCode::NotConnected;
                return Err(BrokerError { code, message: "no".into() });
            }
            CommandKind::Connect => ("connect".into(), Done::default()),
            CommandKind::Disconnect => ("disconnect".into(), Done::default()),
            CommandKind::Subscribe { topic, depth } => {
                (format!("subscribe {topic}"), Done { depth: Some(*depth) })
            }
            CommandKind::Unsubscribe { topic } => (format!("unsubscribe {topic}"), Done::default()),
            CommandKind::UnsubscribeAll => ("unsubscribe all".into(), Done::default()),
        };
        self.commands.push(format!("{} {what}", command.user));
        Ok(done)
    }

    pub fn open(&mut self, id: u64) {
        self.open_in(id, 0);
    }

    /// Opens a client in a channel, by its number.
    pub fn open_in(&mut self, id: u64, channel: usize) {
        let channel = ChannelId(channel);
        self.tell(Event::Opened { client: ClientId(id), shard: 0, channel });
    }

    pub fn ask(&mut self, id: u64, request: Request) -> String {
        self.tell(Event::Request { client: ClientId(id), request_id: None, request });
        self.answers.pop().expect("an answer").1
    }

    pub fn enter(&mut self, id: u64, identity: Identity) -> String {
        self.open(id);
        self.ask(id, Request::Authenticate(Ok(identity)))
    }
}

/// `success`, or the code of the refusal; of a subscribe, that of its first row.
fn word(answer: &Answer) -> String {
    let json: serde_json::Value = serde_json::from_slice(&answer.to_json(None)).expect("JSON");
    let row = &json["subscriptions"][0]["code"];
    let code = if row.is_null() { &json["code"] } else { row };
    code.as_str().unwrap_or("success").to_owned()
}

pub fn identity(role: Role, credential: Option<CredentialUse>) -> Identity {
    Identity { user: "alice".into(), broker: "paper".into(), role, credential }
}

pub fn subscribe(symbol: usize) -> Request {
    let instrument = Instrument::new("NSE", format!("S{symbol}").as_str());
    Request::Subscribe(vec![Ok(SubscribeEntry {
        instrument,
        mode: Mode::Ltp,
        depth: 5,
        snapshot: None,
        interval_ms: 0,
    })])
}

/// One channel, number 1, where nobody need say who it is.
pub fn anonymous_channel(config: &mut Config) {
    let entry = ChannelEntry::new("/c", ChannelKind::Interactive);
    config.channel = vec![ChannelEntry { auth: ChannelAuth::Anonymous, ..entry }];
}
