//! What can be seen of the hub besides its effects: an operator's snapshot and counters, and in
//! which states events have found clients, sessions and topics.

use std::collections::BTreeMap;

use tickgate::broker::{
    Answer, BrokerError, BrokerErrorCode, BrokerEvent, Command, CommandId, Done, SessionId,
};
use tickgate::config::{ChannelEntry, ChannelKind, Config};
use tickgate::engine::{
    ChannelId, Effect, Event, Hub, HubOptions, HubTotals, Identity, Request, SessionState, Upstream,
};
use tickgate::marks::{Mark, Pair, reached};
use tickgate::protocol::{SubscribeEntry, UnsubscribeEntry};
use tickgate::topic::{ClientId, Instrument, Mode};

const NO_LIMIT: usize = usize::MAX;

/// A hub with two brokers that do what the test says.
struct Observed {
    hub: Hub,
    now_ms: u64,
    /// Commands that are not answered yet.
    commands: Vec<Command>,
}

impl Observed {
    fn new() -> Self {
        let brokers = vec!["paper".into(), "other".into()];
        let hub = Hub::new(HubOptions::new(&Config::default(), brokers, 1));
        let mut observed = Self { hub, now_ms: 0, commands: Vec::new() };
        observed.broker_says("paper", BrokerEvent::Up);
        observed
    }

    fn event(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.hub.handle(self.now_ms, event, &mut effects);
        self.hub.check();
        for effect in effects {
            if let Effect::Command { command, .. } = effect {
                self.commands.push(command);
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(at) = self.hub.next_deadline_ms().filter(|at| *at <= end) {
            self.now_ms = at.max(self.now_ms);
            self.event(Event::Timer);
        }
        self.now_ms = end;
    }

    fn broker_says(&mut self, broker: &str, event: BrokerEvent) {
        self.event(Event::Broker { broker: broker.into(), event });
    }

    fn open(&mut self, client: u64) {
        self.event(Event::Opened {
            client: ClientId(client),
            shard: 0,
            channel: ChannelId::BUILT_IN,
        });
    }

    fn close(&mut self, client: u64) {
        self.event(Event::Closed { client: ClientId(client) });
    }

    fn ask(&mut self, client: u64, request: Request) {
        self.event(Event::Request { client: ClientId(client), request_id: None, request });
    }

    fn authenticate(&mut self, client: u64, user: &str, broker: &str) {
        let identity = Identity::trader(user.into(), broker.into());
        self.ask(client, Request::Authenticate(Ok(identity)));
    }

    fn subscribe(&mut self, client: u64, symbol: &str) {
        let (instrument, mode) = (Instrument::new("NSE", symbol), Mode::Ltp);
        let entry = SubscribeEntry { instrument, mode, depth: 5, snapshot: None, interval_ms: 0 };
        self.ask(client, Request::Subscribe(vec![Ok(entry)]));
    }

    fn unsubscribe(&mut self, client: u64, symbol: &str) {
        let (instrument, mode) = (Instrument::new("NSE", symbol), Some(Mode::Ltp));
        self.ask(client, Request::Unsubscribe(vec![Ok(UnsubscribeEntry { instrument, mode })]));
    }

    fn answer(&mut self, result: Result<Done, BrokerErrorCode>) -> CommandId {
        let id = self.commands.remove(0).id;
        let result = result.map_err(|code| BrokerError { code, message: "no".to_owned() });
        self.broker_says("paper", BrokerEvent::Answer(Answer { id, result }));
        id
    }

    fn agree(&mut self) {
        self.answer(Ok(Done::default()));
    }

    fn refuse(&mut self) {
        self.answer(Err(BrokerErrorCode::Refused));
    }

    /// A client of this user with a live session.
    fn enter(&mut self, client: u64, user: &str) {
        self.open(client);
        self.authenticate(client, user, "paper");
        if !self.commands.is_empty() {
            self.agree();
        }
    }

    fn totals(&self) -> HubTotals {
        self.hub.snapshot(self.now_ms, NO_LIMIT).totals
    }
}

#[test]
fn every_counter_counts_what_it_says() {
    let mut observed = Observed::new();
    observed.enter(1, "alice");
    observed.enter(2, "alice");
    for symbol in ["TCS", "INFY"] {
        observed.subscribe(1, symbol);
        observed.agree();
    }
    observed.subscribe(1, "SBIN");
    observed.refuse();
    observed.unsubscribe(1, "TCS");
    observed.unsubscribe(1, "INFY");
    observed.agree();
    let id = observed.answer(Ok(Done::default()));
    let result = Ok(Done::default());
    observed.broker_says("paper", BrokerEvent::Answer(Answer { id, result }));
    let lost = BrokerEvent::SessionLost {
        user: "alice".into(),
        session: SessionId(99),
        reason: "old news".to_owned(),
    };
    observed.broker_says("paper", lost.clone());
    observed.broker_says("paper", lost);
    observed.subscribe(2, "WIPRO");
    observed.pass(Config::default().broker.answer_timeout_ms);
    observed.event(Event::Invalidate { user: "alice".into() });
    observed.event(Event::Invalidate { user: "nobody".into() });
    observed.event(Event::Invalidate { user: "alice".into() });
    observed.close(2);
    let expected = HubTotals {
        opened: 2,
        closed: 1,
        requests: 8,
        answers: 8,
        connects: 1,
        disconnects: 1,
        subscribes: 4,
        unsubscribes: 3,
        unsubscribes_of_all: 0,
        succeeded: 5,
        failed: 1,
        timed_out: 1,
        stale_events: 3,
        invalidations: 2,
    };
    assert_eq!(observed.totals(), expected);
}

#[test]
fn an_operator_sees_every_session_and_topic_and_its_place() {
    let mut observed = Observed::new();
    observed.enter(1, "bob");
    observed.enter(2, "alice");
    observed.enter(3, "alice");
    for symbol in ["TCS", "INFY"] {
        observed.subscribe(2, symbol);
        observed.agree();
    }
    observed.subscribe(3, "TCS");
    observed.subscribe(1, "TCS");
    observed.ask(3, Request::SubscribeOrders);
    observed.open(4);
    observed.authenticate(4, "carol", "other");
    observed.now_ms += 7;
    let snapshot = observed.hub.snapshot(observed.now_ms, NO_LIMIT);
    let sessions = snapshot.sessions.iter().map(|at| {
        (at.user.as_str(), at.state, at.clients, at.orders_clients, at.opened, at.in_state_ms)
    });
    let (up, down) = (SessionState::Up, SessionState::Down);
    let expected =
        [("alice", up, 2, 1, 1, 7), ("bob", up, 1, 0, 1, 7), ("carol", down, 1, 0, 0, 7)];
    assert_eq!(sessions.collect::<Vec<_>>(), expected);
    let topics =
        snapshot.topics.iter().map(|at| (at.user.as_str(), &*at.topic.instrument.symbol, at.count));
    let expected = [("alice", "INFY", 1), ("alice", "TCS", 2), ("bob", "TCS", 1)];
    assert_eq!(topics.collect::<Vec<_>>(), expected);
    let turning_on = Upstream::TurningOn(observed.commands[0].id);
    assert_eq!(snapshot.topics[2].state, turning_on);
    assert_eq!(snapshot.commands_by_broker, BTreeMap::from([("paper".into(), 1)]));
    assert_eq!((snapshot.clients, snapshot.authenticated, snapshot.subscriptions), (4, 3, 4));
    // For the one who is nobody yet, for two requests, and for the command.
    assert_eq!((snapshot.routes, snapshot.timers), (2, 3));
    let brokers: Vec<_> =
        snapshot.brokers.iter().map(|(name, up, _)| (name.as_str(), *up)).collect();
    assert_eq!(brokers, [("paper", true), ("other", false)]);

    for (rows, expected) in [(0, (0, 0)), (1, (1, 1)), (2, (2, 2)), (9, (3, 3))] {
        let few = observed.hub.snapshot(observed.now_ms, rows);
        assert_eq!((few.sessions.len(), few.topics.len()), expected, "{rows} rows");
        assert_eq!((few.session_states.len(), few.topic_states.len()), (3, 3));
    }
}

/// What a story meets, and how often, in words: pairs of state and event, and situations.
fn met(story: impl FnOnce(&mut Observed)) -> Vec<String> {
    let mut observed = Observed::new();
    let before = reached();
    story(&mut observed);
    let after = reached();
    let pairs = before.pairs.iter().zip(after.pairs).map(|(before, after)| after - before);
    let pairs = Pair::all().zip(pairs).filter(|(_, times)| *times > 0);
    let pairs = pairs.map(|(pair, times)| {
        let (state, event) = (pair.state(), pair.event());
        assert!(pair.is_possible(), "{state} cannot meet {event}");
        format!("{} {state} | {event} | {times}", pair.machine())
    });
    let marks = before.marks.iter().zip(after.marks).map(|(before, after)| after - before);
    let marks = Mark::ALL.iter().zip(marks).filter(|(_, times)| *times > 0);
    let marks = marks.map(|(mark, times)| format!("{} | {times}", mark.label()));
    pairs.chain(marks).collect()
}

#[test]
fn the_life_of_a_session_is_counted_state_by_state() {
    let changed = |story: &mut Observed| story.event(Event::Invalidate { user: "alice".into() });
    let met = met(|story| {
        changed(story);
        story.open(1);
        story.authenticate(1, "alice", "paper");
        changed(story);
        changed(story);
        story.close(1);
        changed(story);
        story.agree();
        changed(story);
        story.open(2);
        story.authenticate(2, "alice", "paper");
        changed(story);
        story.agree();
        story.agree();
        changed(story);
        story.answer(Err(BrokerErrorCode::Timeout));
        changed(story);
        story.refuse();
        changed(story);
        story.close(2);
        changed(story);
        story.broker_says("paper", BrokerEvent::Down { reason: String::new() });
        changed(story);
        story.broker_says("paper", BrokerEvent::Up);
        story.open(3);
        story.authenticate(3, "alice", "paper");
        story.event(Event::Drain);
    });
    let expected = [
        "session absent | a client joins | 1",
        "session absent | credentials change | 1",
        "session connecting | a client leaves | 1",
        "session connecting | the broker agrees | 1",
        "session connecting | the broker refuses | 1",
        "session connecting | credentials change | 1",
        "session connecting, stale | a client leaves | 1",
        "session connecting, stale | credentials change | 1",
        "session connecting, unneeded | the broker agrees | 1",
        "session connecting, unneeded | the broker goes | 1",
        "session connecting, unneeded | credentials change | 2",
        "session up | credentials change | 1",
        "session closing | a client joins | 2",
        "session closing | credentials change | 1",
        "session closing, needed | the broker agrees | 1",
        "session closing, needed | no answer in time | 1",
        "session closing, needed | credentials change | 1",
        "session closing, needed | the gateway stops | 1",
        "session unsure | credentials change | 2",
        "session unsure, unneeded | the broker comes | 1",
        "session unsure, unneeded | credentials change | 1",
        "client absent | it connects | 3",
        "client nobody | authenticate | 3",
        "client joining | its connection ends | 1",
        "client joining | the gateway stops | 1",
        "client joined | its connection ends | 1",
        "a client comes while the session closes | 2",
        "a session opens when nobody needs it any more | 1",
        "a live session is closed because credentials changed | 3",
        "credentials change while the session connects | 4",
        "credentials change while the session closes | 2",
        "a refusal does not settle the doubt about a session | 1",
        "a disconnect fails | 1",
        "a session waits for its next try | 2",
        "the broker goes while a session connects | 1",
        "nobody needs a session in doubt and the broker is away | 2",
        "a client goes while its request waits | 1",
        "the gateway stops while a request waits | 1",
    ];
    assert_eq!(met, expected);
}

#[test]
fn the_life_of_a_topic_is_counted_state_by_state() {
    let met = met(|story| {
        story.enter(1, "alice");
        story.subscribe(1, "TCS");
        story.close(1);
        story.enter(2, "alice");
        while !story.commands.is_empty() {
            story.agree();
        }
        story.subscribe(2, "TCS");
        story.agree();
        story.unsubscribe(2, "TCS");
        story.subscribe(2, "TCS");
        story.answer(Err(BrokerErrorCode::Timeout));
        story.answer(Err(BrokerErrorCode::Timeout));
        story.refuse();
        story.subscribe(2, "INFY");
        story.answer(Err(BrokerErrorCode::NotConnected));
    });
    let expected = [
        "topic absent | a client wants it | 3",
        "topic off | a client gives it up | 1",
        "topic off | the session ends | 1",
        "topic turning on | a client gives it up | 1",
        "topic turning on | the broker agrees | 1",
        "topic turning on | no answer in time | 1",
        "topic turning on | the answer is that there is no session | 1",
        "topic turning on, unwanted | the session ends | 1",
        "topic on | a client gives it up | 1",
        "topic turning off | a client wants it | 1",
        "topic turning off | the broker refuses | 1",
        "topic turning off, wanted | no answer in time | 1",
        "topic unsure | a client gives it up | 1",
        "topic unsure, unwanted | the session ends | 1",
        "session absent | a client joins | 1",
        "session connecting | the broker agrees | 2",
        "session up | a client leaves | 1",
        "session closing | a client joins | 1",
        "session closing, needed | the broker agrees | 1",
        "client absent | it connects | 2",
        "client nobody | authenticate | 2",
        "client joined | subscribe | 4",
        "client joined | unsubscribe | 1",
        "client subscribing | its connection ends | 1",
        "a topic that is off is wanted | 3",
        "the last want of a topic that is on ends | 1",
        "a client returns while a topic turns off | 1",
        "a want comes and goes while a topic turns off | 1",
        "a topic in doubt is wanted | 1",
        "a topic in doubt is not wanted | 2",
        "a subscribe is in doubt after a timeout | 1",
        "an unsubscribe fails | 2",
        "a topic to be restored waits for its next try | 1",
        "a client that waits does not wait for a topic's pause | 1",
        "a client comes while the session closes | 1",
        "a session waits for its next try | 1",
        "a session is closed with a topic's command in flight | 1",
        "an answer comes when nobody waits for it any more | 1",
        "a client goes while its request waits | 1",
    ];
    assert_eq!(met, expected);
}

#[test]
fn a_topic_that_is_tried_again_is_counted() {
    let met = met(|story| {
        story.enter(1, "alice");
        story.subscribe(1, "TCS");
        story.agree();
        story.unsubscribe(1, "TCS");
        story.refuse();
        let pause_ms = story.hub.next_deadline_ms().map_or(0, |at_ms| at_ms - story.now_ms);
        story.pass(pause_ms);
    });
    let expected = "topic unsure, unwanted | it may be tried again | 1";
    assert!(met.iter().any(|line| line == expected), "{met:?}");
}

#[test]
fn what_a_client_asks_is_counted_with_the_state_that_it_is_in() {
    let met = met(|story| {
        let ask_all = |story: &mut Observed, client| {
            for request in [
                Request::Subscribe(Vec::new()),
                Request::Unsubscribe(Vec::new()),
                Request::UnsubscribeAll,
                Request::SubscribeOrders,
                Request::UnsubscribeOrders,
                Request::BrokerInfo,
                Request::SupportedBrokers,
                Request::Ready(tickgate::protocol::Answer::UnsubscribedOrders),
            ] {
                story.ask(client, request);
            }
        };
        story.open(1);
        ask_all(story, 1);
        story.authenticate(1, "alice", "paper");
        ask_all(story, 1);
        story.agree();
        ask_all(story, 1);
        story.subscribe(1, "TCS");
        ask_all(story, 1);
        story.agree();
        story.agree();
        story.open(2);
        story.pass(30_000);
        ask_all(story, 2);
        story.broker_says("paper", BrokerEvent::Down { reason: String::new() });
        story.authenticate(1, "alice", "paper");
        story.pass(30_000);
        story.authenticate(1, "alice", "paper");
        story.event(Event::Drain);
        ask_all(story, 1);
        story.close(1);
        story.close(2);
    });
    let expected = [
        "topic absent | a client wants it | 1",
        "topic turning on | the broker agrees | 1",
        "topic on | a client gives it up | 1",
        "topic turning off | the broker agrees | 1",
        "session absent | a client joins | 1",
        "session down | a client leaves | 1",
        "session down | the gateway stops | 1",
        "session connecting | the broker agrees | 1",
        "session up | the broker goes | 1",
        "client absent | it connects | 2",
        "client nobody | authenticate | 1",
        "client nobody | subscribe | 1",
        "client nobody | unsubscribe | 1",
        "client nobody | unsubscribe_all | 1",
        "client nobody | subscribe_orders | 1",
        "client nobody | unsubscribe_orders | 1",
        "client nobody | get_broker_info | 1",
        "client nobody | get_supported_brokers | 1",
        "client nobody | a ping or what is no request | 1",
        "client nobody | it did not authenticate in time | 1",
        "client joining | subscribe | 1",
        "client joining | unsubscribe | 1",
        "client joining | unsubscribe_all | 1",
        "client joining | subscribe_orders | 1",
        "client joining | unsubscribe_orders | 1",
        "client joining | get_broker_info | 1",
        "client joining | get_supported_brokers | 1",
        "client joining | a ping or what is no request | 1",
        "client joined | authenticate | 2",
        "client joined | subscribe | 2",
        "client joined | unsubscribe | 1",
        "client joined | unsubscribe_all | 1",
        "client joined | subscribe_orders | 1",
        "client joined | unsubscribe_orders | 1",
        "client joined | get_broker_info | 1",
        "client joined | get_supported_brokers | 1",
        "client joined | a ping or what is no request | 1",
        "client authenticating again | its request was not answered in time | 1",
        "client authenticating again | the gateway stops | 1",
        "client subscribing | subscribe | 1",
        "client subscribing | unsubscribe | 1",
        "client subscribing | unsubscribe_all | 1",
        "client subscribing | subscribe_orders | 1",
        "client subscribing | unsubscribe_orders | 1",
        "client subscribing | get_broker_info | 1",
        "client subscribing | get_supported_brokers | 1",
        "client subscribing | a ping or what is no request | 1",
        "client being closed | its connection ends | 2",
        "client being closed | subscribe | 2",
        "client being closed | unsubscribe | 2",
        "client being closed | unsubscribe_all | 2",
        "client being closed | subscribe_orders | 2",
        "client being closed | unsubscribe_orders | 2",
        "client being closed | get_broker_info | 2",
        "client being closed | get_supported_brokers | 2",
        "client being closed | a ping or what is no request | 2",
        "client being closed | the gateway stops | 1",
        "a topic that is off is wanted | 1",
        "the last want of a topic that is on ends | 1",
        "a client goes while its request waits | 1",
        "a client authenticates again while the session is not live | 2",
        "a request waits for the one before it | 24",
        "a client that is being closed asks for something | 16",
        "a client does not authenticate in time | 1",
        "an authentication waits too long for the session | 1",
        "nobody asks for data | 6",
        "the gateway stops while a request waits | 1",
    ];
    assert_eq!(met, expected);
}

#[test]
fn clients_are_counted_where_they_have_come_in() {
    let entry = ChannelEntry::new("/c", ChannelKind::Interactive);
    let config = Config { channel: vec![entry], ..Config::default() };
    let mut observed = Observed::new();
    observed.hub = Hub::new(HubOptions::new(&config, vec!["paper".into()], 1));
    for (client, channel) in [(1, 0), (2, 1), (3, 1)] {
        let (client, channel) = (ClientId(client), ChannelId(channel));
        observed.event(Event::Opened { client, shard: 0, channel });
    }
    let (client, channel) = (ClientId::own(0), ChannelId(1));
    observed.event(Event::Opened { client, shard: 0, channel });
    assert_eq!(observed.hub.snapshot(0, NO_LIMIT).channels, [1, 2], "the gateway's own is nobody");
}

#[test]
fn it_is_counted_what_topics_do_while_credentials_change() {
    let marked = |story: fn(&mut Observed)| {
        let met = met(|observed| {
            observed.enter(1, "alice");
            observed.subscribe(1, "TCS");
            story(observed);
            observed.event(Event::Invalidate { user: "alice".into() });
        });
        let is_counted =
            |mark: Mark| met.iter().any(|words| words.starts_with(&format!("{} |", mark.label())));
        let marks = [Mark::CredentialsChangeInSubscribe, Mark::CredentialsChangeInUnsubscribe];
        marks.map(is_counted)
    };
    assert_eq!(marked(|_| ()), [true, false]);
    assert_eq!(marked(Observed::agree), [false, false]);
    let unsubscribes = |observed: &mut Observed| {
        observed.agree();
        observed.unsubscribe(1, "TCS");
    };
    assert_eq!(marked(unsubscribes), [false, true]);
}
