//! What the hub has to say for the log: what an operator wants to find there, and nothing that a
//! client could fill a disk with.

use tickgate::broker::{Answer, BrokerError, BrokerErrorCode, BrokerEvent, CommandId, Done};
use tickgate::config::Config;
use tickgate::engine::{ChannelId, Effect, Event, Hub, HubOptions, Identity, Note, Request};
use tickgate::protocol::{AdminCommand, Reject, SubscribeEntry};
use tickgate::topic::{ClientId, Instrument, Mode};

const CLIENT: ClientId = ClientId(1);

/// A hub with one client, whose broker does what the test says.
struct Log {
    hub: Hub,
    commands: Vec<CommandId>,
    notes: Vec<Note>,
}

impl Log {
    fn new() -> Self {
        let hub = Hub::new(HubOptions::new(&Config::default(), vec!["paper".into()], 1));
        let mut log = Self { hub, commands: Vec::new(), notes: Vec::new() };
        log.event(Event::Broker { broker: "paper".into(), event: BrokerEvent::Up });
        log.event(Event::Opened { client: CLIENT, shard: 0, channel: ChannelId::BUILT_IN });
        log
    }

    fn event(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.hub.handle(0, event, &mut effects);
        self.hub.check();
        for effect in effects {
            match effect {
                Effect::Command { command, .. } => self.commands.push(command.id),
                Effect::Note(note) => self.notes.push(note),
                Effect::Deliver { .. }
                | Effect::Close { .. }
                | Effect::Detach { .. }
                | Effect::Administer { .. }
                | Effect::Notice { .. }
                | Effect::Interest { .. }
                | Effect::Served { .. }
                | Effect::Audience { .. } => {}
            }
        }
    }

    fn ask(&mut self, request: Request) {
        self.event(Event::Request { client: CLIENT, request_id: None, request });
    }

    fn authenticate(&mut self) {
        let identity = Identity::trader("alice".into(), "paper".into());
        self.ask(Request::Authenticate(Ok(identity)));
    }

    fn subscribe(&mut self) {
        let instrument = Instrument::new("NSE", "TCS");
        self.ask(Request::Subscribe(vec![Ok(SubscribeEntry {
            instrument,
            mode: Mode::Ltp,
            depth: 5,
            snapshot: None,
            interval_ms: 0,
        })]));
    }

    /// The broker answers its oldest command.
    fn answer(&mut self, result: Result<Done, BrokerErrorCode>) {
        let id = self.commands.remove(0);
        let result = result.map_err(|code| BrokerError { code, message: "no".to_owned() });
        let event = BrokerEvent::Answer(Answer { id, result });
        self.event(Event::Broker { broker: "paper".into(), event });
    }
}

#[test]
fn commands_that_a_role_does_not_allow_are_written_down_ever_less_often() {
    let mut log = Log::new();
    log.ask(Request::Admin(AdminCommand::ListBlocks));
    assert_eq!(log.notes, [], "it is nobody yet");
    log.authenticate();
    log.answer(Ok(Done::default()));
    log.notes.clear();
    for _ in 0..9 {
        log.ask(Request::Admin(AdminCommand::ListBlocks));
    }
    let counts = log.notes.iter().map(|note| match note {
        Note::AdminForbidden { client: CLIENT, user, count, .. } if user.as_str() == "alice" => {
            *count
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(counts.collect::<Vec<_>>(), [1, 2, 4, 8]);
}

#[test]
fn a_client_that_guesses_keys_does_not_fill_the_log() {
    let mut log = Log::new();
    for _ in 0..1_000 {
        log.ask(Request::Authenticate(Err(Reject::invalid_api_key())));
    }
    let told = log.notes.iter().filter_map(|note| match note {
        Note::AuthenticationFailed { failures, .. } => Some(*failures),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
}

#[test]
fn a_client_that_comes_in_again_and_again_is_told_of_once() {
    let mut log = Log::new();
    log.authenticate();
    log.answer(Ok(Done::default()));
    for _ in 0..1_000 {
        log.authenticate();
    }
    let told = log.notes.iter().filter(|note| matches!(note, Note::Authenticated { .. }));
    assert_eq!(told.count(), 1);
}

#[test]
fn a_refusal_that_the_client_was_told_of_is_no_warning() {
    let mut log = Log::new();
    log.authenticate();
    log.answer(Ok(Done::default()));
    for code in [BrokerErrorCode::Refused, BrokerErrorCode::Timeout] {
        log.subscribe();
        log.answer(Err(code));
    }
    let words = log.notes.iter().filter_map(|note| match note {
        Note::TopicRefused { .. } => Some("refused"),
        Note::TopicFailed { .. } => Some("failed"),
        _ => None,
    });
    assert_eq!(words.collect::<Vec<_>>(), ["refused", "failed"]);
}

#[test]
fn a_storm_of_invalidations_is_told_of_once_for_each_rebuilding() {
    let mut log = Log::new();
    log.authenticate();
    let storm = |log: &mut Log| {
        for _ in 0..1_000 {
            log.event(Event::Invalidate { user: "alice".into() });
        }
        log.notes.iter().filter(|note| matches!(note, Note::Invalidated { .. })).count()
    };
    assert_eq!(storm(&mut log), 1, "the connect under way is for nothing");
    log.answer(Ok(Done::default()));
    assert_eq!(storm(&mut log), 1, "the session is being closed already");
    log.answer(Ok(Done::default()));
    log.answer(Ok(Done::default()));
    assert_eq!(storm(&mut log), 2, "and now another one has to be");
}
