//! Stories about the hub, told as events and effects. After every event the hub checks itself.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use tickgate::broker::{
    Answer as BrokerAnswer, BrokerError, BrokerErrorCode, BrokerEvent, Command, CommandKind, Done,
};
use tickgate::config::{BrokerTimes, Config};
use tickgate::engine::{
    ChannelId, Effect, Event, Hub, HubOptions, Identity, Orders, Request, SessionState, Upstream,
};
use tickgate::protocol::{Answer, Reject, RowOutcome, SubscribeEntry, UnsubscribeEntry};
use tickgate::topic::{BrokerName, ClientId, Instrument, Mode, Topic};

/// A hub with a broker called `paper` that does only what the story tells it.
struct Story {
    hub: Hub,
    now_ms: u64,
    /// Commands that were sent and not answered yet.
    commands: Vec<Command>,
    /// All commands ever sent, as text.
    sent: Vec<String>,
    /// Answers by client, oldest first.
    answers: BTreeMap<u64, Vec<Answer>>,
    closed: Vec<(u64, u16)>,
    orders: BTreeMap<u64, Orders>,
}

const TCS: &str = "NSE:TCS";

fn topic(name: &str) -> Topic {
    let (exchange, symbol) = name.split_once(':').unwrap();
    Topic::new(Instrument::new(exchange, symbol), Mode::Ltp)
}

impl Story {
    fn new() -> Self {
        let mut story = Self::with_broker_down();
        story.broker_says(BrokerEvent::Up);
        story
    }

    fn with_broker_down() -> Self {
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

    fn event(&mut self, event: Event) {
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

    fn broker_says(&mut self, event: BrokerEvent) {
        self.event(Event::Broker { broker: "paper".into(), event });
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(at) = self.hub.next_deadline_ms().filter(|at| *at <= end) {
            self.now_ms = at.max(self.now_ms);
            self.event(Event::Timer);
        }
        self.now_ms = end;
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

    fn authenticate(&mut self, client: u64, user: &str) {
        let identity = Identity::trader(user.into(), "paper".into());
        self.ask(client, Request::Authenticate(Ok(identity)));
    }

    fn subscribe(&mut self, client: u64, names: &[&str]) {
        let entry = |name: &&str| {
            let Topic { instrument, mode } = topic(name);
            Ok(SubscribeEntry { instrument, mode, depth: 5, snapshot: None, interval_ms: 0 })
        };
        self.ask(client, Request::Subscribe(names.iter().map(entry).collect()));
    }

    fn unsubscribe(&mut self, client: u64, name: &str) {
        let instrument = topic(name).instrument;
        self.ask(
            client,
            Request::Unsubscribe(vec![Ok(UnsubscribeEntry { instrument, mode: None })]),
        );
    }

    /// The broker answers its oldest command.
    fn agree(&mut self) -> Command {
        self.answer(Ok(Done::default()))
    }

    fn refuse(&mut self, code: BrokerErrorCode) -> Command {
        self.answer(Err(BrokerError { code, message: "no".to_owned() }))
    }

    fn answer(&mut self, result: Result<Done, BrokerError>) -> Command {
        let command = self.commands.remove(0);
        self.broker_says(BrokerEvent::Answer(BrokerAnswer { id: command.id, result }));
        command
    }

    fn agree_to_all(&mut self) {
        while !self.commands.is_empty() {
            self.agree();
        }
    }

    /// A client that has authenticated.
    fn enter(&mut self, client: u64, user: &str) {
        self.open(client);
        self.authenticate(client, user);
        self.agree_to_all();
        assert!(matches!(self.last_answer(client), Answer::Authenticated { .. }));
    }

    fn last_answer(&self, client: u64) -> &Answer {
        self.answers[&client].last().unwrap()
    }

    fn answered(&self, client: u64) -> usize {
        self.answers.get(&client).map_or(0, Vec::len)
    }

    /// The outcomes of a client's latest subscribe: `ok`, `already` or the error's code.
    fn rows(&self, client: u64) -> Vec<String> {
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

    fn error(&self, client: u64) -> &'static str {
        match self.last_answer(client) {
            Answer::Rejected(reject) => reject.code.as_str(),
            other => panic!("{other:?}"),
        }
    }

    fn count(&self, name: &str) -> usize {
        let topics = self.hub.snapshot(self.now_ms, usize::MAX).topics;
        topics.iter().find(|at| at.topic == topic(name)).map_or(0, |at| at.count)
    }

    fn state(&self, name: &str) -> Option<Upstream> {
        let topics = self.hub.snapshot(self.now_ms, usize::MAX).topics;
        topics.iter().find(|at| at.topic == topic(name)).map(|at| at.state)
    }

    fn sent(&self, text: &str) -> usize {
        self.sent.iter().filter(|sent| *sent == text).count()
    }
}

#[test]
fn rc_001_ten_clients_that_subscribe_at_once_cost_one_broker_call() {
    let mut story = Story::new();
    for client in 1..=10 {
        story.enter(client, "alice");
    }
    for client in 1..=10 {
        story.subscribe(client, &[TCS]);
    }
    assert_eq!(story.sent("subscribe NSE:TCS/LTP"), 1);
    assert!((1..=10).all(|client| story.answered(client) == 1), "nobody is told before the broker");

    story.agree_to_all();
    assert!((1..=10).all(|client| story.rows(client) == ["ok"]));
    assert_eq!(story.count(TCS), 10);
}

#[test]
fn rc_002_clients_that_authenticate_at_once_share_one_session() {
    let mut story = Story::new();
    for client in 1..=3 {
        story.open(client);
        story.authenticate(client, "alice");
    }
    assert_eq!(story.sent, ["connect alice"]);
    story.agree();
    assert!(
        (1..=3).all(|client| matches!(story.last_answer(client), Answer::Authenticated { .. }))
    );
}

#[test]
fn rc_005_who_authenticates_while_the_session_closes_gets_a_new_one() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.close(1);
    story.open(2);
    story.authenticate(2, "alice");
    assert_eq!(story.sent, ["connect alice", "disconnect alice"]);
    assert_eq!(story.answered(2), 0, "the dying session is not taken for a live one");

    story.agree();
    story.agree();
    assert_eq!(story.sent.last().unwrap(), "connect alice");
    assert!(matches!(story.last_answer(2), Answer::Authenticated { .. }));
}

#[test]
fn rc_006_unsubscribing_what_was_never_subscribed_reaches_no_broker() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.enter(2, "alice");
    story.subscribe(1, &[TCS]);
    story.agree_to_all();
    story.unsubscribe(2, TCS);
    let Answer::Unsubscribed { successful, failed, .. } = story.last_answer(2) else { panic!() };
    assert_eq!((successful.len(), failed.len()), (0, 1));
    assert_eq!(story.count(TCS), 1);
    assert_eq!(story.sent("unsubscribe NSE:TCS/LTP"), 0);
}

#[test]
fn rc_007_a_refused_topic_fails_everyone_who_waits_and_the_next_try_starts_clean() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.enter(2, "alice");
    story.subscribe(1, &[TCS]);
    story.subscribe(2, &[TCS]);
    story.refuse(BrokerErrorCode::Refused);
    assert_eq!(
        (story.rows(1), story.rows(2)),
        (vec!["BROKER_ERROR".into()], vec!["BROKER_ERROR".into()])
    );
    assert_eq!(story.state(TCS), None, "nothing is left");

    story.subscribe(2, &[TCS]);
    story.agree();
    assert_eq!(story.rows(2), ["ok"]);
    assert_eq!(story.count(TCS), 1);
}

#[test]
fn rc_007_a_subscribe_that_times_out_is_undone_at_the_broker() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.pass(8_000);
    assert_eq!(story.rows(1), ["BROKER_TIMEOUT"]);
    assert_eq!(story.sent.last().unwrap(), "unsubscribe NSE:TCS/LTP");

    // The late answer to the subscribe changes nothing; the unsubscribe ends it.
    story.agree();
    assert!(matches!(story.state(TCS), Some(Upstream::TurningOff(_))));
    story.agree();
    assert_eq!(story.state(TCS), None);
}

#[test]
fn rc_007_a_session_lost_in_mid_subscribe_fails_the_request_and_comes_back_for_what_is_held() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.subscribe(1, &["NSE:INFY"]);
    story.agree();
    story.subscribe(1, &[TCS]);
    let session = story.commands[0].session;
    story.broker_says(BrokerEvent::SessionLost {
        user: "alice".into(),
        session,
        reason: "kicked".into(),
    });
    assert_eq!(story.rows(1), ["BROKER_CONNECTION_ERROR"]);
    assert_eq!((story.count(TCS), story.count("NSE:INFY")), (0, 1));

    story.commands.clear();
    story.pass(500);
    story.agree_to_all();
    assert_eq!(story.sent.last().unwrap(), "subscribe NSE:INFY/LTP");
    assert_eq!(story.state("NSE:INFY"), Some(Upstream::On));
    assert_eq!(story.state(TCS), None);
}

#[test]
fn rc_008_the_last_wish_wins_whatever_is_in_flight() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.agree();
    story.unsubscribe(1, TCS);
    story.subscribe(1, &[TCS]);
    assert_eq!(story.sent.last().unwrap(), "unsubscribe NSE:TCS/LTP", "one command in flight");
    story.agree();
    assert_eq!(story.sent.last().unwrap(), "subscribe NSE:TCS/LTP");
    story.agree();
    assert_eq!(story.rows(1), ["ok"]);
    assert_eq!(story.state(TCS), Some(Upstream::On));
}

#[test]
fn rc_008_a_client_that_vanishes_while_its_topic_turns_on_leaves_it_off() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.enter(2, "alice");
    story.subscribe(1, &[TCS]);
    story.close(1);
    assert_eq!(story.sent("unsubscribe NSE:TCS/LTP"), 0);
    story.agree();
    assert_eq!(story.sent("unsubscribe NSE:TCS/LTP"), 1);
    story.agree();
    assert_eq!(story.state(TCS), None);
}

#[test]
fn rc_011_authenticating_as_another_user_first_releases_everything() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.agree();
    story.ask(1, Request::SubscribeOrders);
    assert_eq!(story.orders[&1], Orders::Follow("alice".into()));

    story.authenticate(1, "bob");
    assert_eq!(story.orders[&1], Orders::Stop);
    assert_eq!(story.count(TCS), 0);
    story.agree_to_all();
    let Answer::Authenticated { user, .. } = story.last_answer(1) else { panic!() };
    assert_eq!(user.as_str(), "bob");
    let sessions = story.hub.snapshot(story.now_ms, usize::MAX).sessions;
    assert_eq!(sessions.len(), 1, "alice's session is closed: {sessions:?}");
}

#[test]
fn rc_012_invalidation_rebuilds_the_session_and_keeps_the_wants() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.agree();
    story.event(Event::Invalidate { user: "alice".into() });
    story.agree_to_all();
    assert_eq!(
        story.sent,
        [
            "connect alice",
            "subscribe NSE:TCS/LTP",
            "disconnect alice",
            "connect alice",
            "subscribe NSE:TCS/LTP"
        ]
    );
    assert_eq!((story.count(TCS), story.answered(1)), (1, 2), "the client noticed nothing");
}

#[test]
fn rc_012_invalidation_while_connecting_and_while_subscribing_loses_nothing() {
    let mut story = Story::new();
    story.open(1);
    story.authenticate(1, "alice");
    story.event(Event::Invalidate { user: "alice".into() });
    story.agree_to_all();
    assert_eq!(story.sent, ["connect alice", "disconnect alice", "connect alice"]);

    story.subscribe(1, &[TCS]);
    story.event(Event::Invalidate { user: "alice".into() });
    story.agree_to_all();
    assert_eq!(story.rows(1), ["ok"], "the request waits for the new session");
    assert_eq!(story.state(TCS), Some(Upstream::On));
}

#[test]
fn rc_013_a_slow_topic_delays_no_other_topic_client_or_user() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.enter(2, "alice");
    story.enter(3, "bob");
    story.subscribe(1, &[TCS]);
    story.subscribe(2, &["NSE:INFY"]);
    story.subscribe(3, &["NSE:SBIN"]);
    let slow = story.commands.remove(0);
    story.agree_to_all();
    assert_eq!((story.rows(2), story.rows(3)), (vec!["ok".to_owned()], vec!["ok".to_owned()]));
    assert_eq!(story.answered(1), 1);
    story.commands.push(slow);
    story.agree();
    assert_eq!(story.rows(1), ["ok"]);
}

#[test]
fn requests_of_one_client_are_answered_in_their_order() {
    let mut story = Story::new();
    story.open(1);
    story.authenticate(1, "alice");
    story.subscribe(1, &[TCS]);
    story.ask(1, Request::SupportedBrokers);
    assert_eq!(story.answered(1), 0);
    story.agree();
    assert_eq!(story.answered(1), 1);
    story.agree();
    assert!(matches!(story.answers[&1][1], Answer::Subscribed { .. }));
    assert!(matches!(story.answers[&1][2], Answer::SupportedBrokers { .. }));
}

#[test]
fn repeated_entries_are_warnings_or_share_the_failure() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS, "NSE:INFY", TCS]);
    assert_eq!(story.commands.len(), 2);
    story.agree_to_all();
    assert_eq!(story.rows(1), ["ok", "ok", "already"]);
    story.subscribe(1, &[TCS]);
    assert_eq!(story.rows(1), ["already"]);

    story.subscribe(1, &["NSE:X", "NSE:X"]);
    story.refuse(BrokerErrorCode::Refused);
    assert_eq!(story.rows(1), ["BROKER_ERROR", "BROKER_ERROR"]);
}

#[test]
fn an_unauthenticated_client_is_closed_at_its_deadline_and_refused_until_then() {
    let mut story = Story::new();
    story.open(1);
    story.subscribe(1, &[TCS]);
    assert_eq!(story.error(1), "NOT_AUTHENTICATED");
    story.pass(14_999);
    assert!(story.closed.is_empty());
    story.pass(1);
    assert_eq!(story.closed, [(1, 4401)]);
}

#[test]
fn a_failed_connect_tells_the_client_and_leaves_no_session() {
    for (code, expected) in [
        (BrokerErrorCode::InitFailed, "BROKER_INIT_ERROR"),
        (BrokerErrorCode::NotConnected, "BROKER_CONNECTION_ERROR"),
    ] {
        let mut story = Story::new();
        story.open(1);
        story.authenticate(1, "alice");
        story.refuse(code);
        assert_eq!(story.error(1), expected);
        assert!(story.hub.snapshot(0, usize::MAX).sessions.is_empty());
        story.subscribe(1, &[TCS]);
        assert_eq!(story.error(1), "NOT_AUTHENTICATED");
        story.authenticate(1, "alice");
        story.agree();
        assert!(matches!(story.last_answer(1), Answer::Authenticated { .. }));
    }
}

#[test]
fn a_connect_that_times_out_is_closed_at_the_broker_when_nobody_is_left() {
    let mut story = Story::new();
    story.open(1);
    story.authenticate(1, "alice");
    story.pass(15_000);
    assert_eq!(story.error(1), "BROKER_CONNECTION_ERROR");
    assert_eq!(story.sent, ["connect alice", "disconnect alice"]);
    story.commands.remove(0);
    story.agree();
    assert!(story.hub.snapshot(0, usize::MAX).sessions.is_empty());
}

#[test]
fn clients_wait_for_a_broker_that_is_not_there_yet() {
    let mut story = Story::with_broker_down();
    story.open(1);
    story.authenticate(1, "alice");
    story.pass(3_000);
    assert!(story.sent.is_empty());
    story.broker_says(BrokerEvent::Up);
    story.agree();
    assert!(matches!(story.last_answer(1), Answer::Authenticated { .. }));
}

#[test]
fn a_broker_that_stays_away_is_named_when_the_request_times_out() {
    let mut story = Story::with_broker_down();
    story.open(1);
    story.authenticate(1, "alice");
    story.pass(20_000);
    assert_eq!(story.error(1), "BROKER_CONNECTION_ERROR");
    assert!(story.hub.snapshot(story.now_ms, usize::MAX).sessions.is_empty());
    for (reason, expected) in [
        ("", "broker paper cannot be reached"),
        ("it moved", "broker paper cannot be reached: it moved"),
    ] {
        story.broker_says(BrokerEvent::Down { reason: reason.to_owned() });
        story.authenticate(1, "alice");
        story.pass(20_000);
        let said = story.last_answer(1);
        let is_right = |reject: &Reject| &*reject.message == expected;
        assert!(matches!(said, Answer::Rejected(reject) if is_right(reject)), "{said:?}");
    }
}

#[test]
fn a_broker_that_goes_and_returns_gets_its_sessions_and_topics_back() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.enter(2, "bob");
    story.subscribe(1, &[TCS]);
    story.subscribe(2, &[TCS]);
    story.agree_to_all();
    story.broker_says(BrokerEvent::Down { reason: "host died".into() });
    story.pass(60_000);
    assert!(story.commands.is_empty(), "a broker that is down is left alone");

    story.sent.clear();
    story.broker_says(BrokerEvent::Up);
    story.agree_to_all();
    assert_eq!(story.sent.len(), 4, "{:?}", story.sent);
    let snapshot = story.hub.snapshot(story.now_ms, usize::MAX);
    assert!(snapshot.sessions.iter().all(|session| session.state == SessionState::Up));
    assert!(snapshot.topics.iter().all(|topic| topic.state == Upstream::On));
}

#[test]
fn a_topic_that_cannot_be_restored_is_tried_again_at_growing_pauses() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.agree();
    story.event(Event::Invalidate { user: "alice".into() });
    story.agree();
    story.agree();
    for _ in 0..3 {
        story.refuse(BrokerErrorCode::Refused);
        assert!(story.commands.is_empty(), "not at once");
        story.pass(2_000);
    }
    story.agree();
    assert_eq!((story.count(TCS), story.state(TCS)), (1, Some(Upstream::On)));
}

#[test]
fn an_unsubscribe_that_fails_is_said_again_until_it_is_done() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.agree();
    story.unsubscribe(1, TCS);
    story.refuse(BrokerErrorCode::Refused);
    assert_eq!(story.state(TCS), Some(Upstream::Unsure));
    story.pass(500);
    story.agree();
    assert_eq!(story.sent("unsubscribe NSE:TCS/LTP"), 2);
    assert_eq!(story.state(TCS), None);
}

#[test]
fn a_refusal_after_a_try_that_was_not_answered_still_leaves_a_doubt() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.pass(8_000);
    let (_lost, undo) = (story.commands.remove(0), story.commands.remove(0));
    assert!(matches!(undo.kind, CommandKind::Unsubscribe { .. }));
    story.subscribe(1, &[TCS]);
    story.pass(8_000);
    assert_eq!(story.sent.last().unwrap(), "subscribe NSE:TCS/LTP");
    story.refuse(BrokerErrorCode::Refused);
    assert_eq!(story.rows(1), ["BROKER_ERROR"]);
    assert_eq!(story.sent.last().unwrap(), "unsubscribe NSE:TCS/LTP");
}

#[test]
fn limits_are_named_in_the_row() {
    let mut story = Story::new();
    story.enter(1, "alice");
    let names: Vec<String> = (0..101).map(|at| format!("NSE:S{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    story.subscribe(1, &names);
    story.agree_to_all();
    let rows = story.rows(1);
    assert_eq!(rows.iter().filter(|row| *row == "ok").count(), 100);
    assert_eq!(rows[100], "LIMIT_EXCEEDED");
}

#[test]
fn a_user_is_on_one_broker() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.open(2);
    let broker: BrokerName = "other".into();
    story.ask(2, Request::Authenticate(Ok(Identity::trader("alice".into(), broker))));
    assert_eq!(story.error(2), "BROKER_ERROR");
}

#[test]
fn a_drain_closes_the_clients_then_the_sessions() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    story.event(Event::Drain);
    assert_eq!(story.closed, [(1, 1012)]);
    story.close(1);
    story.agree_to_all();
    assert!(story.hub.is_idle());
    story.open(2);
    assert_eq!(story.closed.last(), Some(&(2, 1012)));
}

#[test]
fn a_drain_with_a_session_in_doubt_and_its_broker_gone_waits_for_the_clients() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.event(Event::Invalidate { user: "alice".into() });
    story.refuse(BrokerErrorCode::Timeout);
    story.broker_says(BrokerEvent::Down { reason: "it has crashed".into() });
    story.event(Event::Drain);
    story.close(1);
    assert!(story.hub.is_idle());
}

#[test]
fn answers_said_twice_or_too_late_are_counted_and_change_nothing() {
    let mut story = Story::new();
    story.enter(1, "alice");
    story.subscribe(1, &[TCS]);
    let command = story.agree();
    let again = BrokerAnswer {
        id: command.id,
        result: Err(BrokerError { code: BrokerErrorCode::Refused, message: "no".into() }),
    };
    story.broker_says(BrokerEvent::Answer(again));
    assert_eq!(story.state(TCS), Some(Upstream::On));
    assert_eq!(story.hub.snapshot(0, usize::MAX).totals.stale_events, 1);
}
