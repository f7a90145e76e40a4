//! What the feed is told of sessions: whether one serves a route.

use std::collections::BTreeMap;

use tickgate::broker::{Answer, BrokerEvent, Command, CommandKind, Done, SessionId};
use tickgate::config::Config;
use tickgate::engine::{ChannelId, Effect, Event, Hub, HubOptions, Identity, Request};
use tickgate::protocol::SubscribeEntry;
use tickgate::topic::{ClientId, Instrument, Mode, UserId};

/// A hub, and a broker that answers when it is told to.
struct Tale {
    hub: Hub,
    now_ms: u64,
    open: Vec<Command>,
    sessions: BTreeMap<UserId, SessionId>,
    told: Vec<bool>,
}

impl Tale {
    fn new() -> Self {
        let hub = Hub::new(HubOptions::new(&Config::default(), vec!["paper".into()], 1));
        let mut tale =
            Self { hub, now_ms: 0, open: Vec::new(), sessions: BTreeMap::new(), told: Vec::new() };
        tale.broker(BrokerEvent::Up);
        tale
    }

    fn tell(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.hub.handle(self.now_ms, event, &mut effects);
        self.hub.check();
        for effect in effects {
            match effect {
                Effect::Command { command, .. } => self.open.push(command),
                Effect::Served { up, .. } => self.told.push(up),
                _ => {}
            }
        }
    }

    fn broker(&mut self, event: BrokerEvent) {
        self.tell(Event::Broker { broker: "paper".into(), event });
    }

    /// The broker does all that it was asked. Says what the feed was told since the last time.
    fn works(&mut self) -> Vec<bool> {
        while !self.open.is_empty() {
            let Command { id, user, session, kind, .. } = self.open.remove(0);
            if kind == CommandKind::Connect {
                self.sessions.insert(user, session);
            }
            self.broker(BrokerEvent::Answer(Answer { id, result: Ok(Done::default()) }));
        }
        std::mem::take(&mut self.told)
    }

    /// Nothing is lost for a minute.
    fn rests(&mut self) -> Vec<bool> {
        let end_ms = self.now_ms + 60_000;
        let mut told = self.works();
        while let Some(at_ms) = self.hub.next_deadline_ms().filter(|at_ms| *at_ms <= end_ms) {
            self.now_ms = at_ms.max(self.now_ms);
            self.tell(Event::Timer);
            told.extend(self.works());
        }
        self.now_ms = end_ms;
        told
    }

    fn ask(&mut self, id: u64, request: Request) {
        self.tell(Event::Request { client: ClientId(id), request_id: None, request });
    }

    /// A client of this user comes and subscribes to the one topic.
    fn subscribes(&mut self, id: u64, user: &str) {
        self.tell(Event::Opened { client: ClientId(id), shard: 0, channel: ChannelId::BUILT_IN });
        self.ask(id, Request::Authenticate(Ok(Identity::trader(user.into(), "paper".into()))));
        let told = self.works();
        assert_eq!(told, NOTHING, "nothing is wanted yet");
        self.ask(
            id,
            Request::Subscribe(vec![Ok(SubscribeEntry {
                instrument: Instrument::new("NSE", "TCS"),
                mode: Mode::Ltp,
                depth: 5,
                snapshot: None,
                interval_ms: 0,
            })]),
        );
    }

    fn loses(&mut self, user: &str) {
        let user = UserId::from(user);
        let session = self.sessions[&user];
        self.broker(BrokerEvent::SessionLost { user, session, reason: "reset".into() });
    }
}

const NOTHING: [bool; 0] = [];

#[test]
fn a_route_is_served_until_its_session_is_lost_and_again_when_it_is_back() {
    let mut tale = Tale::new();
    tale.subscribes(1, "alice");
    assert_eq!(tale.works(), NOTHING, "it is taken for granted");
    tale.loses("alice");
    assert_eq!(tale.told, [false]);
    assert_eq!(tale.rests(), [false, true]);
    tale.tell(Event::Closed { client: ClientId(1) });
    assert_eq!(tale.works(), NOTHING, "nobody wants it any more");
}

#[test]
fn a_route_is_served_as_long_as_one_of_its_users_has_a_session() {
    let mut tale = Tale::new();
    tale.subscribes(1, "alice");
    tale.works();
    tale.subscribes(2, "bob");
    assert_eq!(tale.works(), NOTHING);
    tale.loses("alice");
    assert_eq!(tale.told, NOTHING, "bob has one");
    tale.loses("bob");
    assert_eq!(tale.rests(), [false, true], "told once");
}
