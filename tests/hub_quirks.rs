//! Brokers that differ from others: what they are asked, how often, and on which connection.

use std::collections::{BTreeMap, BTreeSet};

use tickgate::broker::{
    Answer as BrokerAnswer, BrokerError, BrokerErrorCode, BrokerEvent, Command, CommandKind, Done,
    SessionId,
};
use tickgate::config::{BrokerEntry, BrokerKind, Config, Quirks};
use tickgate::engine::{ChannelId, Effect, Event, Hub, HubOptions, Identity, Request};
use tickgate::protocol::{SubscribeEntry, UnsubscribeEntry};
use tickgate::topic::{ClientId, Instrument, Mode, Role, Topic};

const BROKER: &str = "far";

/// A hub, and a broker that does as it is told, or as the test says.
struct Play {
    hub: Hub,
    now_ms: u64,
    /// Every command, and when it was sent.
    sent: Vec<(u64, Command)>,
    /// Answers to clients, as JSON.
    answers: Vec<(u64, serde_json::Value)>,
    /// What the broker is subscribed to, by session.
    market: BTreeMap<SessionId, BTreeSet<Topic>>,
    /// What is refused for its credentials: so many connects, so many subscribes.
    expired: (usize, usize),
    silent: bool,
}

impl Play {
    fn new(quirks: Quirks) -> Self {
        let mut config = Config::default();
        let (name, kind) = (BROKER.to_owned(), BrokerKind::Remote);
        config.brokers = vec![BrokerEntry { name, kind, quirks, ..BrokerEntry::paper() }];
        config.limits.subscriptions_per_client_max = 10_000;
        config.limits.subscriptions_per_user_max = 10_000;
        let hub = Hub::new(HubOptions::new(&config, vec![BROKER.into()], 1));
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
        play
    }

    fn broker(&mut self, event: BrokerEvent) {
        self.tell(Event::Broker { broker: BROKER.into(), event });
    }

    fn tell(&mut self, event: Event) {
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

    fn carry_out(&mut self, command: &Command) -> Result<Done, BrokerError> {
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

    /// Lets time pass, deadline by deadline.
    fn pass(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        while let Some(at_ms) = self.hub.next_deadline_ms().filter(|at_ms| *at_ms <= until_ms) {
            self.now_ms = self.now_ms.max(at_ms);
            self.tell(Event::Timer);
        }
        self.now_ms = until_ms;
    }

    fn enter(&mut self, client: u64, user: &str) {
        let channel = ChannelId(0);
        self.tell(Event::Opened { client: ClientId(client), shard: 0, channel });
        let (user, broker) = (user.into(), BROKER.into());
        let identity = Identity { user, broker, role: Role::Trader, credential: None };
        self.ask(client, Request::Authenticate(Ok(identity)));
    }

    fn ask(&mut self, client: u64, request: Request) {
        self.tell(Event::Request { client: ClientId(client), request_id: None, request });
    }

    fn subscribe(&mut self, client: u64, symbols: std::ops::Range<u32>) {
        let entry = |number| {
            let instrument = instrument(number);
            let (mode, depth) = (Mode::Depth, 30);
            Ok(SubscribeEntry { instrument, mode, depth, snapshot: None, interval_ms: 0 })
        };
        self.ask(client, Request::Subscribe(symbols.map(entry).collect()));
    }

    fn unsubscribe(&mut self, client: u64, symbols: std::ops::Range<u32>) {
        let entry = |number| Ok(UnsubscribeEntry { instrument: instrument(number), mode: None });
        self.ask(client, Request::Unsubscribe(symbols.map(entry).collect()));
    }

    fn leave(&mut self, client: u64) {
        self.tell(Event::Closed { client: ClientId(client) });
    }

    /// The last answer to a client.
    fn answer(&self, client: u64) -> &serde_json::Value {
        let mut answers = self.answers.iter().rev();
        &answers.find(|(to, _)| *to == client).expect("an answer").1
    }

    /// The outcome of each row of the last answer: `success`, or the code of its refusal.
    fn rows(&self, client: u64) -> Vec<&str> {
        let rows = self.answer(client)["subscriptions"].as_array().expect("rows");
        rows.iter().map(|row| row["code"].as_str().unwrap_or("success")).collect()
    }

    /// How often each kind of command was sent.
    fn counts(&self) -> [usize; 5] {
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

    fn topics(&self) -> usize {
        self.market.values().map(BTreeSet::len).sum()
    }
}

fn two_connections_and_ten_topics_a_call() -> Quirks {
    Quirks {
        calls_per_second: Some(2.0),
        batch_max: 10,
        connections_per_user: 2,
        topics_per_connection: 20,
        ..Quirks::default()
    }
}

fn instrument(number: u32) -> Instrument {
    Instrument::new("NSE", format!("S{number}"))
}

#[test]
fn who_comes_back_at_once_costs_the_broker_nothing() {
    let mut play = Play::new(Quirks { linger_ms: 1_000, ..Quirks::default() });
    for client in 1..=3 {
        play.enter(client, "alice");
        play.subscribe(client, 0..5);
        assert_eq!(play.rows(client), ["success"; 5]);
        play.leave(client);
        play.pass(999);
    }
    assert_eq!(play.counts(), [1, 5, 0, 0, 0]);
    play.pass(2);
    assert_eq!(play.counts()[4], 1, "nobody came back");
    assert!(play.hub.is_idle() && play.market.is_empty());
}

#[test]
fn a_topic_lingers_by_itself_while_its_session_is_needed() {
    let mut play = Play::new(Quirks { linger_ms: 1_000, ..Quirks::default() });
    play.enter(1, "alice");
    play.subscribe(1, 0..2);
    play.unsubscribe(1, 0..2);
    play.pass(500);
    play.subscribe(1, 0..1);
    play.pass(500);
    assert_eq!(play.counts(), [1, 2, 1, 0, 0], "the first was wanted again in time");
    assert_eq!(play.topics(), 1);
    play.pass(10_000);
    assert_eq!(play.topics(), 1);
}

#[test]
fn a_kept_session_loses_its_topics_in_one_call_and_serves_whoever_comes() {
    let mut play = Play::new(Quirks { keep_session: true, ..Quirks::default() });
    play.enter(1, "alice");
    play.subscribe(1, 0..50);
    play.leave(1);
    play.pass(60_000);
    assert_eq!(play.counts(), [1, 50, 0, 1, 0]);
    assert_eq!((play.market.len(), play.topics()), (1, 0));
    play.enter(2, "alice");
    play.subscribe(2, 0..1);
    assert_eq!((play.counts()[0], play.topics()), (1, 1));
    play.leave(2);
    play.tell(Event::Drain);
    assert!(play.hub.is_idle() && play.market.is_empty(), "a gateway that stops keeps nothing");
}

#[test]
fn a_client_that_comes_while_a_kept_session_is_emptied_waits_for_that() {
    let mut play = Play::new(Quirks { keep_session: true, ..Quirks::default() });
    play.enter(1, "alice");
    play.subscribe(1, 0..1);
    play.silent = true;
    play.leave(1);
    let (_, emptying) = play.sent.last().expect("a command").clone();
    assert_eq!(emptying.kind, CommandKind::UnsubscribeAll);
    play.enter(2, "alice");
    assert!(play.answers.iter().all(|(client, _)| *client == 1));
    play.silent = false;
    let result = play.carry_out(&emptying);
    play.broker(BrokerEvent::Answer(BrokerAnswer { id: emptying.id, result }));
    assert_eq!(play.answer(2)["status"], "success");
    play.subscribe(2, 0..1);
    assert_eq!(play.rows(2), ["success"]);
    assert_eq!(play.topics(), 1);
}

#[test]
fn expired_credentials_are_tried_once_more_and_no_more_than_once() {
    let quirks = Quirks { reinitialize: true, ..Quirks::default() };
    let mut play = Play::new(quirks.clone());
    play.expired.0 = 1;
    play.enter(1, "alice");
    assert_eq!(play.answer(1)["status"], "success");
    assert_eq!(play.counts()[0], 2);

    let mut play = Play::new(quirks);
    play.expired.0 = 9;
    play.enter(1, "alice");
    assert_eq!(play.answer(1)["code"], "BROKER_INIT_ERROR");
    assert_eq!(play.counts()[0], 2);
}

#[test]
fn a_topic_that_is_refused_for_credentials_has_its_session_opened_anew() {
    let mut play = Play::new(Quirks { reinitialize: true, ..Quirks::default() });
    play.enter(1, "alice");
    play.subscribe(1, 0..3);
    play.expired.1 = 1;
    play.subscribe(1, 3..4);
    assert_eq!(play.rows(1), ["success"], "it waited for the new session");
    assert_eq!((play.counts()[0], play.counts()[4], play.topics()), (2, 1, 4));
    // Whatever is wrong is not the credentials: nothing is torn down a second time.
    play.expired.1 = 99;
    play.subscribe(1, 4..5);
    let again = play.counts()[0];
    assert_eq!(play.rows(1), ["BROKER_ERROR"]);
    assert!(again <= 3, "{again} connects");
}

#[test]
fn a_session_that_is_ended_by_others_is_reopened_ever_more_rarely() {
    let mut play = Play::new(Quirks { single_session: true, ..Quirks::default() });
    play.pass(10_000_000);
    play.enter(1, "alice");
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let session = play.sent.last().expect("a connect").1.session;
        let (user, reason) = ("alice".into(), "logged in elsewhere".into());
        play.market.clear();
        let lost_ms = play.now_ms;
        play.broker(BrokerEvent::SessionLost { user, session, reason });
        while play.sent.last().expect("a connect").1.session == session {
            play.pass(1);
        }
        pauses.push(play.now_ms - lost_ms);
    }
    assert!(pauses[5] > 4 * pauses[0], "{pauses:?}");
}

#[test]
fn what_the_levels_allow_is_asked_for() {
    let depth_levels = vec!["5 20 50".to_owned(), "BSE: 5".to_owned()];
    let mut play = Play::new(Quirks { depth_levels, ..Quirks::default() });
    play.enter(1, "alice");
    play.subscribe(1, 0..1);
    let (_, command) = play.sent.last().expect("a command");
    let topic = Topic::new(instrument(0), Mode::Depth);
    assert_eq!(command.kind, CommandKind::Subscribe { topic, depth: 20 });
    assert_eq!(play.answer(1)["subscriptions"][0]["depth"], 20, "and that is what is told");
}

#[test]
fn calls_are_spread_and_users_take_turns() {
    let mut play = Play::new(Quirks { calls_per_second: Some(10.0), ..Quirks::default() });
    play.enter(1, "alice");
    play.enter(2, "bob");
    play.pass(5_000);
    let begun_ms = play.now_ms;
    play.subscribe(1, 0..100);
    play.subscribe(2, 200..202);
    play.pass(1_000);
    assert_eq!(play.rows(2), ["success"; 2], "bob does not wait for all of alice's");
    play.pass(9_100);
    assert_eq!(play.rows(1), ["success"; 100]);
    let times: Vec<u64> = play.sent.iter().map(|(at_ms, _)| *at_ms).collect();
    assert!(times.windows(11).all(|calls| calls[10] - calls[0] >= 1_000), "{times:?}");
    assert_eq!(play.now_ms - begun_ms, 10_100);
}

#[test]
fn what_nobody_wants_any_more_costs_no_call() {
    let mut play = Play::new(Quirks { calls_per_second: Some(1.0), ..Quirks::default() });
    play.enter(1, "alice");
    play.subscribe(1, 0..50);
    play.leave(1);
    play.pass(60_000);
    let [connects, subscribes, unsubscribes, _, disconnects] = play.counts();
    assert_eq!((connects, disconnects), (1, 1));
    assert!(subscribes + unsubscribes <= 2, "{:?}", play.counts());
    assert!(play.hub.is_idle());
}

#[test]
fn who_waits_for_its_turn_for_too_long_is_told_so() {
    let mut play = Play::new(Quirks { calls_per_second: Some(1.0), ..Quirks::default() });
    play.enter(1, "alice");
    play.subscribe(1, 0..50);
    play.pass(25_000);
    let rows = play.rows(1);
    // One call was for the session; the request is overdue after twenty seconds.
    assert_eq!(rows.iter().filter(|row| **row == "success").count(), 19, "{rows:?}");
    assert_eq!(rows[49], "BROKER_TIMEOUT");
    let message = &play.answer(1)["subscriptions"][49]["message"];
    assert_eq!(message, "broker far takes no more calls at present");
}

#[test]
fn subscribes_are_sent_as_one_call() {
    let quirks = Quirks { calls_per_second: Some(2.0), batch_max: 25, ..Quirks::default() };
    let mut play = Play::new(quirks);
    play.enter(1, "alice");
    play.subscribe(1, 0..60);
    play.pass(2_000);
    assert_eq!(play.rows(1), ["success"; 60]);
    let subscribes: Vec<_> = play
        .sent
        .iter()
        .filter(|(_, command)| matches!(command.kind, CommandKind::Subscribe { .. }))
        .map(|(_, command)| command.more)
        .collect();
    let ends: Vec<usize> =
        subscribes.iter().enumerate().filter(|(_, more)| !**more).map(|(at, _)| at).collect();
    assert_eq!(ends, [24, 49, 59], "each call ends with one that says so");
}

#[test]
fn five_thousand_topics_on_three_connections_survive_the_loss_of_one() {
    let quirks =
        Quirks { topics_per_connection: 2_000, connections_per_user: 3, ..Quirks::default() };
    let mut play = Play::new(quirks);
    play.enter(1, "alice");
    for from in (0..5_000).step_by(500) {
        play.subscribe(1, from..from + 500);
        assert_eq!(play.rows(1), ["success"; 500]);
    }
    let sizes = |play: &Play| play.market.values().map(BTreeSet::len).collect::<Vec<_>>();
    assert_eq!(sizes(&play), [2_000, 2_000, 1_000], "the first is filled before the next");

    for which in 0..3 {
        let session = *play.market.keys().nth(which).expect("a session");
        play.market.remove(&session);
        let (user, reason) = ("alice".into(), "reset".into());
        play.broker(BrokerEvent::SessionLost { user, session, reason });
        play.pass(60_000);
        // That none is on twice, the broker has seen to.
        assert_eq!(play.topics(), 5_000, "all are back");
        assert!(sizes(&play).iter().all(|topics| *topics <= 2_000), "{:?}", sizes(&play));
    }
    play.subscribe(1, 5_000..6_001);
    let rows = play.rows(1);
    assert_eq!(rows[..1_000], ["success"; 1_000]);
    assert_eq!(rows[1_000], "LIMIT_EXCEEDED");
    let message = &play.answer(1)["subscriptions"][1_000]["message"];
    assert!(message.as_str().is_some_and(|it| it.contains("2000 on each of 3")), "{message}");

    play.unsubscribe(1, 0..6_000);
    play.pass(1_000);
    assert_eq!(play.market.len(), 1, "empty connections are closed");
    play.leave(1);
    assert!(play.hub.is_idle() && play.market.is_empty());
}

#[test]
fn a_topic_that_lingers_makes_room_for_one_that_is_wanted() {
    let quirks = Quirks { topics_per_connection: 3, linger_ms: 60_000, ..Quirks::default() };
    let mut play = Play::new(quirks);
    play.enter(1, "alice");
    play.subscribe(1, 0..3);
    play.unsubscribe(1, 0..3);
    assert_eq!(play.topics(), 3);
    play.subscribe(1, 10..13);
    assert_eq!(play.rows(1), ["success"; 3]);
    assert_eq!(play.topics(), 3);
}

#[test]
fn topics_for_which_no_connection_can_be_had_fail() {
    let quirks = Quirks { topics_per_connection: 2, connections_per_user: 2, ..Quirks::default() };
    let mut play = Play::new(quirks);
    play.enter(1, "alice");
    play.subscribe(1, 0..2);
    play.expired.0 = 1;
    play.subscribe(1, 2..4);
    assert_eq!(play.rows(1), ["BROKER_ERROR"; 2]);
    assert_eq!(play.topics(), 2);
    play.pass(60_000);
    play.subscribe(1, 2..4);
    assert_eq!(play.rows(1), ["success"; 2]);
    assert_eq!(play.market.len(), 2);
}

#[test]
fn a_mode_that_the_broker_lacks_is_served_from_the_next_higher_one() {
    let modes = vec!["Quote".to_owned(), "Depth".to_owned()];
    let mut play = Play::new(Quirks { modes, ..Quirks::default() });
    play.enter(1, "alice");
    let entry = |mode| {
        let (instrument, depth) = (instrument(0), 5);
        Ok(SubscribeEntry { instrument, mode, depth, snapshot: None, interval_ms: 0 })
    };
    play.ask(1, Request::Subscribe(vec![entry(Mode::Ltp), entry(Mode::Quote)]));
    let answer = play.answer(1)["subscriptions"].clone();
    assert_eq!([&answer[0]["mode"], &answer[1]["mode"]], ["LTP", "Quote"], "as it was asked");
    let on = |play: &Play| play.market.values().next().expect("a session").clone();
    let quote = Topic::new(instrument(0), Mode::Quote);
    assert_eq!(on(&play), BTreeSet::from([quote.clone()]), "one subscription serves both");
    let give_up = |mode| UnsubscribeEntry { instrument: instrument(0), mode: Some(mode) };
    play.ask(1, Request::Unsubscribe(vec![Ok(give_up(Mode::Quote))]));
    assert_eq!(on(&play), BTreeSet::from([quote]), "the other is still wanted");
    play.ask(1, Request::Unsubscribe(vec![Ok(give_up(Mode::Ltp))]));
    assert_eq!(on(&play), BTreeSet::new());
}

#[test]
fn what_begins_to_linger_while_another_waits_makes_room_at_once() {
    let quirks = Quirks { topics_per_connection: 2, linger_ms: 60_000, ..Quirks::default() };
    let mut play = Play::new(quirks);
    play.enter(1, "alice");
    play.enter(2, "alice");
    play.subscribe(1, 0..1);
    play.silent = true;
    play.subscribe(2, 1..2);
    let pending = play.sent.last().expect("a subscribe").1.clone();
    play.unsubscribe(1, 0..1);
    play.subscribe(1, 2..3);
    play.leave(2);
    play.silent = false;
    // The first lingered and was told to go; the second is refused and makes room.
    for command in [pending, play.sent.last().expect("an unsubscribe").1.clone()] {
        let result = play.carry_out(&command);
        play.broker(BrokerEvent::Answer(BrokerAnswer { id: command.id, result }));
    }
    assert_eq!(play.rows(1), ["success"]);
    assert_eq!(play.topics(), 1, "nothing lingers where another waited");
}

#[test]
fn what_cannot_be_part_of_a_call_is_a_call_of_its_own() {
    let mut play = Play::new(two_connections_and_ten_topics_a_call());
    play.enter(1, "alice");
    play.subscribe(1, 0..15);
    play.pass(5_000);
    play.unsubscribe(1, 0..15);
    play.subscribe(1, 20..50);
    play.pass(60_000);
    assert_eq!(play.topics(), 30);
    let calls: Vec<u64> =
        play.sent.iter().filter(|(_, command)| !command.more).map(|(at_ms, _)| *at_ms).collect();
    assert!(calls.windows(3).all(|three| three[2] - three[0] >= 1_000), "{calls:?}");
}

#[test]
fn a_call_that_nobody_needs_any_more_keeps_nobody_waiting() {
    let mut play = Play::new(Quirks { calls_per_second: Some(1.0), ..Quirks::default() });
    play.enter(1, "alice");
    play.enter(2, "alice");
    play.subscribe(1, 0..3);
    play.enter(3, "bob");
    play.leave(1);
    play.pass(3_000);
    let connects = play.sent.iter().filter(|(_, command)| command.kind == CommandKind::Connect);
    let at_ms: Vec<u64> = connects.map(|(at_ms, _)| *at_ms).collect();
    assert_eq!(at_ms, [0, 1_000]);
}

#[test]
fn subscribes_of_each_connection_are_calls_of_its_own() {
    let mut play = Play::new(two_connections_and_ten_topics_a_call());
    play.enter(1, "alice");
    play.subscribe(1, 0..40);
    play.pass(60_000);
    assert_eq!(play.rows(1), ["success"; 40]);
    let calls = play.sent.iter().filter(|(_, command)| !command.more).count();
    assert_eq!(calls, 2 + 4, "two connections, and ten topics a call");
    let connections = |play: &Play| play.hub.snapshot(play.now_ms, 9).sessions[0].connections;
    assert_eq!(connections(&play), 2);
}

#[test]
fn a_broker_that_takes_one_topic_a_call_is_not_told_of_more_because_another_takes_them() {
    let mut config = Config::default();
    let of = |name: &str, batch_max| {
        let quirks = Quirks { batch_max, ..Quirks::default() };
        let (name, kind) = (name.to_owned(), BrokerKind::Remote);
        BrokerEntry { name, kind, quirks, ..BrokerEntry::paper() }
    };
    config.brokers = vec![of(BROKER, 1), of("near", 25)];
    let hub = HubOptions::new(&config, vec![BROKER.into(), "near".into()], 1);
    let mut play = Play { hub: Hub::new(hub), ..Play::new(Quirks::default()) };
    play.broker(BrokerEvent::Up);
    play.enter(1, "alice");
    play.subscribe(1, 0..3);
    assert_eq!(play.rows(1), ["success"; 3]);
    assert!(play.sent.iter().all(|(_, command)| !command.more));
}

#[test]
fn a_connection_that_is_just_full_takes_no_more() {
    let mut play = Play::new(Quirks { topics_per_connection: 2, ..Quirks::default() });
    play.enter(1, "alice");
    play.subscribe(1, 0..2);
    assert_eq!(play.rows(1), ["success"; 2]);
    play.subscribe(1, 2..3);
    assert_eq!(play.rows(1), ["LIMIT_EXCEEDED"]);
    play.subscribe(1, 0..1);
    assert_eq!(play.rows(1), ["success"], "that it has already");
}

#[test]
fn a_connection_that_runs_empty_is_closed_and_one_that_does_not_is_kept() {
    let quirks = Quirks { topics_per_connection: 2, connections_per_user: 3, ..Quirks::default() };
    let mut play = Play::new(quirks);
    play.enter(1, "alice");
    play.subscribe(1, 0..6);
    for (gone, connections) in [(1, 3), (2, 2), (3, 2), (4, 1), (5, 1), (6, 1)] {
        // From the last to the first.
        play.unsubscribe(1, 6 - gone..7 - gone);
        assert_eq!(play.market.len(), connections, "{gone}");
    }
}

#[test]
fn a_connection_that_carries_something_is_kept_though_another_has_room() {
    let quirks = Quirks { topics_per_connection: 2, connections_per_user: 2, ..Quirks::default() };
    let mut play = Play::new(quirks);
    play.enter(1, "alice");
    play.subscribe(1, 0..4);
    play.unsubscribe(1, 0..2);
    play.pass(60_000);
    assert_eq!((play.market.len(), play.topics(), play.counts()), (2, 2, [2, 4, 2, 0, 0]));
}

#[test]
fn of_several_connections_one_is_kept() {
    let quirks = Quirks {
        topics_per_connection: 2,
        connections_per_user: 2,
        keep_session: true,
        ..Quirks::default()
    };
    let mut play = Play::new(quirks);
    play.enter(1, "alice");
    play.subscribe(1, 0..4);
    play.leave(1);
    play.pass(60_000);
    assert_eq!((play.market.len(), play.topics()), (1, 0));
}
