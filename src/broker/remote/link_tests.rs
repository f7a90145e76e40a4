//! Conversations with a host, on a clock made of numbers.

use std::fmt::Write;
use std::time::Duration;

use super::super::{BrokerEvent, Command, CommandId, CommandKind, SessionId};
use super::link::{Effect, IN_FLIGHT_MAX, LATE_MS, Link};
use super::{RemoteOptions, RemoteStats};
use crate::topic::{Instrument, Mode, Topic};

/// Tells what happens and what comes of it.
struct Story {
    link: Link,
    stats: RemoteStats,
    told: String,
}

impl Story {
    /// Pings every second, gives up after three, says hello every two.
    fn new() -> Self {
        let stats = RemoteStats::default();
        let options = RemoteOptions {
            heartbeat_interval: Duration::from_secs(1),
            heartbeat_timeout: Duration::from_secs(3),
            welcome_timeout: Duration::from_secs(2),
            ..RemoteOptions::new("paper", "tcp://127.0.0.1:1")
        };
        Self { link: Link::new("g1".into(), &options, stats.clone()), stats, told: String::new() }
    }

    /// One that has been welcomed by instance `i1` at time 0.
    fn up() -> Self {
        let mut story = Self::new();
        story.linked(0);
        story.hears(0, r#"{"type":"welcome","version":1,"name":"h","instance":"i1","n":1}"#);
        story.told.clear();
        story
    }

    fn linked(&mut self, at_ms: u64) {
        self.step(at_ms, "linked", |link, effects| link.linked(at_ms, effects));
    }

    fn unlinked(&mut self, at_ms: u64) {
        self.step(at_ms, "unlinked", |link, effects| link.unlinked("reset by peer", effects));
    }

    fn hears(&mut self, at_ms: u64, text: &str) {
        self.step(at_ms, text, |link, effects| link.received(text.as_bytes(), at_ms, effects));
    }

    fn wants(&mut self, at_ms: u64, id: u64, kind: CommandKind) {
        let command = Command {
            id: CommandId(id),
            user: "alice".into(),
            connection: 0,
            session: SessionId(3),
            kind,
            deadline: Duration::from_secs(2),
            more: false,
        };
        let what = format!("wants #{id}");
        self.step(at_ms, &what, |link, effects| link.command(&command, at_ms, effects));
    }

    /// Lets time pass to `until_ms`, stopping wherever the link asked for it.
    fn sleep(&mut self, until_ms: u64) {
        while let Some(at_ms) = self.link.next_due_ms().filter(|at_ms| *at_ms <= until_ms) {
            self.step(at_ms, "time", |link, effects| link.passed(at_ms, effects));
        }
    }

    fn step(&mut self, at_ms: u64, what: &str, act: impl FnOnce(&mut Link, &mut Vec<Effect>)) {
        let mut effects = Vec::new();
        act(&mut self.link, &mut effects);
        writeln!(self.told, "{at_ms:>6} {what}").unwrap();
        for effect in effects {
            match effect {
                Effect::Send(message) => {
                    let text = String::from_utf8(message.encode().to_vec()).unwrap();
                    writeln!(self.told, "       -> {text}").unwrap();
                }
                Effect::Tell(event) => writeln!(self.told, "       => {event:?}").unwrap(),
            }
        }
    }
}

fn subscribe() -> CommandKind {
    let topic = Topic::new(Instrument::new("NSE", "TCS"), Mode::Ltp);
    CommandKind::Subscribe { topic, depth: 5 }
}

#[test]
fn commands_are_asked_at_once_and_answered_once() {
    let mut story = Story::new();
    story.wants(0, 1, CommandKind::Connect);
    story.linked(10);
    story.wants(11, 2, CommandKind::Connect);
    story.hears(12, r#"{"type":"welcome","version":1,"name":"h","instance":"i1","n":1}"#);
    story.wants(13, 3, CommandKind::Connect);
    story.wants(13, 4, subscribe());
    story.hears(14, r#"{"type":"answer","id":4,"status":"success","depth":5}"#);
    story.hears(15, r#"{"type":"answer","id":4,"status":"success"}"#);
    story.hears(16, r#"{"type":"answer","id":99,"status":"success"}"#);
    story.hears(
        17,
        r#"{"type":"answer","id":3,"status":"error","code":"INIT_FAILED","message":"no"}"#,
    );
    story.hears(
        18,
        r#"{"type":"event","event":"session_lost","user":"alice","session":3,"message":"expired"}"#,
    );
    insta::assert_snapshot!(story.told);
    assert_eq!(story.stats.read().answers_unknown, 2);
    assert!(story.link.is_quiet());
}

#[test]
fn a_silent_host_is_given_up_and_greeted_until_it_is_back() {
    let mut story = Story::up();
    story.sleep(1_500);
    story.hears(1_600, r#"{"type":"pong","n":1}"#);
    story.wants(1_700, 1, subscribe());
    story.sleep(7_000);
    story.hears(7_100, r#"{"type":"answer","id":1,"status":"success"}"#);
    story.hears(7_200, r#"{"type":"welcome","version":1,"name":"h","instance":"i1","n":2}"#);
    story.hears(7_300, r#"{"type":"welcome","version":1,"name":"h","instance":"i1","n":3}"#);
    story.sleep(8_500);
    insta::assert_snapshot!(story.told);
    assert_eq!(story.stats.read().heartbeats_missed, 1);
    assert_eq!(story.stats.read().welcomes_stale, 1);
}

#[test]
fn a_host_that_was_restarted_behind_the_connection_is_started_afresh() {
    let mut story = Story::up();
    story.wants(100, 1, subscribe());
    story.hears(200, r#"{"type":"welcome","version":1,"name":"h","instance":"i2"}"#);
    story.hears(201, r#"{"type":"welcome","version":1,"name":"h","instance":"i2"}"#);
    story.sleep(1_500);
    story.hears(1_600, r#"{"type":"welcome","version":1,"name":"h","instance":"i2","n":2}"#);
    story.hears(3_000, r#"{"type":"welcome","version":1,"name":"h","instance":"i2","n":2}"#);
    insta::assert_snapshot!(story.told);
}

#[test]
fn a_lost_connection_takes_the_commands_in_flight_with_it() {
    let mut story = Story::up();
    story.wants(100, 1, subscribe());
    story.unlinked(200);
    story.wants(300, 2, subscribe());
    story.sleep(60_000);
    story.linked(60_000);
    story.hears(60_001, r#"{"type":"answer","id":1,"status":"success"}"#);
    story.hears(60_002, r#"{"type":"welcome","version":1,"name":"h","instance":"i1","n":2}"#);
    insta::assert_snapshot!(story.told);
}

#[test]
fn a_host_of_another_version_is_not_up() {
    let mut story = Story::new();
    story.linked(0);
    story.hears(1, r#"{"type":"welcome","version":2,"name":"h","instance":"i1","n":1}"#);
    story.wants(2, 1, subscribe());
    insta::assert_snapshot!(story.told);
}

#[test]
fn nonsense_is_counted_and_the_conversation_goes_on() {
    let mut story = Story::up();
    for text in ["", "{", "[]", r#"{"type":"answer"}"#] {
        story.hears(1, text);
    }
    story.hears(1, r#"{"type":"quote"}"#);
    story.wants(2, 1, subscribe());
    story.hears(3, r#"{"type":"answer","id":1,"status":"success"}"#);
    let counts = story.stats.read();
    assert_eq!((counts.messages_malformed, counts.messages_unknown), (4, 1));
    assert!(
        story.told.ends_with(
            "=> Answer(Answer { id: CommandId(1), result: Ok(Done { depth: None }) })\n"
        )
    );
}

#[test]
fn a_late_answer_is_passed_on_for_a_while_and_then_forgotten() {
    let mut story = Story::up();
    story.wants(0, 1, subscribe());
    story.wants(0, 2, subscribe());
    story.hears(2_000 + LATE_MS - 1, r#"{"type":"answer","id":1,"status":"success"}"#);
    assert!(story.told.contains("=> Answer(Answer { id: CommandId(1)"));
    story.sleep(2_000 + LATE_MS);
    story.hears(2_000 + LATE_MS, r#"{"type":"answer","id":2,"status":"success"}"#);
    assert!(!story.told.contains("=> Answer(Answer { id: CommandId(2)"));
    assert_eq!(story.stats.read().commands_unanswered, 1);
}

#[test]
fn commands_beyond_a_limit_and_names_beyond_a_length_are_refused() {
    let mut story = Story::up();
    let topic = Topic::new(Instrument::new("NSE", "X".repeat(300)), Mode::Ltp);
    story.wants(0, 1, CommandKind::Unsubscribe { topic });
    assert!(story.told.contains("code: Refused, message: \"the symbol is empty or too long\""));
    for id in 0..IN_FLIGHT_MAX as u64 {
        story.wants(0, 10 + id, subscribe());
    }
    story.told.clear();
    story.wants(0, 2, subscribe());
    assert!(story.told.contains("code: Refused"));
    story.hears(0, r#"{"type":"answer","id":10,"status":"success"}"#);
    story.told.clear();
    story.wants(0, 3, subscribe());
    assert!(story.told.contains("-> {\"type\":\"request\""));
}

#[test]
fn being_up_is_told_before_anything_else() {
    let mut story = Story::new();
    story.linked(0);
    let mut effects = Vec::new();
    let lost = br#"{"type":"event","event":"session_lost","user":"a","session":1}"#;
    story.link.received(lost, 1, &mut effects);
    assert_eq!(effects, []);
    let welcome = br#"{"type":"welcome","version":1,"name":"h","instance":"i","n":1}"#;
    story.link.received(welcome, 2, &mut effects);
    assert_eq!(effects, [Effect::Tell(BrokerEvent::Up)]);
}
