//! A host between its gateways and its broker, on a clock made of numbers.

use std::fmt::Write;
use std::time::Duration;

use super::super::{Answer, BrokerError, BrokerErrorCode, BrokerEvent, CommandId, Done, SessionId};
use super::effect::Effect;
use super::ledger::{GATEWAYS_MAX, LATE_MS, Ledger};
use super::{HostOptions, HostStats};

/// Tells what happens and what comes of it. Connections are letters.
struct Story {
    ledger: Ledger<char>,
    stats: HostStats,
    told: String,
}

impl Story {
    fn new() -> Self {
        let stats = HostStats::default();
        let options =
            HostOptions { gateway_silence: Duration::from_secs(10), ..HostOptions::new("h") };
        Self {
            ledger: Ledger::new("i1".into(), &options, stats.clone()),
            stats,
            told: String::new(),
        }
    }

    fn hello(&mut self, peer: char, gateway: &str) {
        self.says(
            0,
            peer,
            &format!(r#"{{"type":"hello","version":1,"gateway":"{gateway}","n":1}}"#),
        );
    }

    fn asks(&mut self, peer: char, id: u64, op: &str, session: u64) {
        let topic = match op {
            "subscribe" => r#""exchange":"NSE","symbol":"TCS","mode":1,"depth":5,"#,
            "unsubscribe" => r#""exchange":"NSE","symbol":"TCS","mode":1,"#,
            _ => "",
        };
        let head = format!(r#"{{"type":"request","id":{id},"op":"{op}","user":"alice","#);
        let tail = format!(r#""session":{session},{topic}"deadline_ms":1000}}"#);
        self.says(0, peer, &(head + &tail));
    }

    fn says(&mut self, at_ms: u64, peer: char, text: &str) {
        let what = format!("{peer} {text}");
        self.step(&what, |ledger, effects| ledger.received(peer, text.as_bytes(), at_ms, effects));
    }

    fn leaves(&mut self, peer: char) {
        self.step(&format!("{peer} leaves"), |ledger, effects| ledger.left(peer, effects));
    }

    fn broker(&mut self, event: BrokerEvent) {
        let what = format!("broker {event:?}");
        self.step(&what, |ledger, effects| ledger.broker(event, effects));
    }

    fn does(&mut self, id: u64) {
        let answer = Answer { id: CommandId(id), result: Ok(Done { depth: None }) };
        self.broker(BrokerEvent::Answer(answer));
    }

    fn fails(&mut self, id: u64) {
        let error = BrokerError { code: BrokerErrorCode::InitFailed, message: "bad token".into() };
        self.broker(BrokerEvent::Answer(Answer { id: CommandId(id), result: Err(error) }));
    }

    fn step(&mut self, what: &str, act: impl FnOnce(&mut Ledger<char>, &mut Vec<Effect<char>>)) {
        let mut effects = Vec::new();
        act(&mut self.ledger, &mut effects);
        writeln!(self.told, "{what}").unwrap();
        for effect in effects {
            match effect {
                Effect::Send(peer, message) => {
                    let text = String::from_utf8(message.encode().to_vec()).unwrap();
                    writeln!(self.told, "    -> {peer} {text}").unwrap();
                }
                Effect::Command(command) => {
                    let (id, session) = (command.id.0, command.session);
                    writeln!(
                        self.told,
                        "    => #{id} {} {session} {:?}",
                        command.user, command.kind
                    )
                    .unwrap();
                }
            }
        }
    }
}

#[test]
fn requests_reach_the_broker_under_numbers_of_the_host() {
    let mut story = Story::new();
    story.asks('a', 1, "connect", 7);
    story.says(0, 'a', r#"{"type":"ping","n":1}"#);
    story.hello('a', "g1");
    story.says(0, 'a', r#"{"type":"ping","n":2}"#);
    story.asks('a', 2, "subscribe", 7);
    story.asks('a', 3, "connect", 7);
    story.asks('a', 4, "subscribe", 7);
    story.does(2);
    story.does(1);
    story.does(1);
    story.asks('a', 5, "unsubscribe", 6);
    story.asks('a', 6, "disconnect", 6);
    story.asks('a', 7, "connect", 6);
    story.asks('a', 8, "unsubscribe_all", 7);
    story.asks('a', 9, "disconnect", 7);
    story.does(4);
    story.asks('a', 10, "disconnect", 7);
    insta::assert_snapshot!(story.told);
    assert_eq!(story.stats.read().answers_unknown, 1);
    assert_eq!(story.stats.read().requests_before_hello, 1);
}

#[test]
fn a_gateway_that_leaves_takes_its_sessions_with_it() {
    let mut story = Story::new();
    story.hello('a', "g1");
    story.asks('a', 1, "connect", 7);
    story.asks('a', 2, "subscribe", 7);
    story.does(1);
    story.leaves('a');
    story.does(2);
    story.does(3);
    insta::assert_snapshot!(story.told);
}

#[test]
fn a_session_that_another_gateway_took_over_survives_the_first_one() {
    let mut story = Story::new();
    story.hello('a', "g1");
    story.hello('b', "g2");
    story.asks('a', 1, "connect", 7);
    story.does(1);
    story.asks('b', 1, "connect", 3);
    story.asks('a', 2, "subscribe", 7);
    story.asks('a', 3, "disconnect", 7);
    story.leaves('a');
    story.does(2);
    story.asks('b', 2, "subscribe", 3);
    insta::assert_snapshot!(story.told);
}

#[test]
fn a_gateway_that_comes_back_on_a_new_connection_starts_afresh() {
    let mut story = Story::new();
    story.hello('a', "g1");
    story.asks('a', 1, "connect", 7);
    story.hello('b', "g1");
    story.asks('b', 2, "connect", 8);
    story.leaves('a');
    story.does(3);
    story.hello('b', "g1");
    insta::assert_snapshot!(story.told);
}

#[test]
fn a_session_that_could_not_be_opened_is_none() {
    let mut story = Story::new();
    story.hello('a', "g1");
    story.asks('a', 1, "connect", 7);
    story.fails(1);
    story.asks('a', 2, "subscribe", 7);
    // The failure of an older attempt says nothing about the newer one.
    story.asks('a', 3, "connect", 8);
    story.asks('a', 4, "connect", 9);
    story.fails(2);
    story.asks('a', 5, "subscribe", 9);
    insta::assert_snapshot!(story.told);
}

#[test]
fn what_the_broker_loses_is_told_to_whom_it_concerns() {
    let mut story = Story::new();
    let lost = |session| BrokerEvent::SessionLost {
        user: "alice".into(),
        session: SessionId(session),
        reason: "expired".into(),
    };
    story.broker(BrokerEvent::Up);
    story.hello('a', "g1");
    story.asks('a', 1, "connect", 7);
    story.does(1);
    story.broker(lost(99));
    story.broker(lost(1));
    story.broker(lost(1));
    story.asks('a', 2, "connect", 8);
    story.does(2);
    story.asks('a', 3, "subscribe", 8);
    story.asks('a', 4, "connect", 9);
    story.broker(BrokerEvent::Down { reason: "no route".into() });
    story.does(3);
    story.broker(BrokerEvent::Up);
    story.asks('a', 5, "connect", 10);
    insta::assert_snapshot!(story.told);
}

#[test]
fn a_silent_gateway_is_given_up() {
    let mut story = Story::new();
    story.hello('a', "g1");
    story.asks('a', 1, "connect", 7);
    story.does(1);
    story.says(5_000, 'a', r#"{"type":"ping","n":1}"#);
    assert_eq!(story.ledger.next_due_ms(), Some(15_000));
    story.told.clear();
    story.step("14999", |ledger, effects| ledger.passed(14_999, effects));
    story.step("15000", |ledger, effects| ledger.passed(15_000, effects));
    insta::assert_snapshot!(story.told, @r"
    14999
    15000
        => #2 alice s1 Disconnect
    ");
    assert_eq!(story.ledger.next_due_ms(), None);
}

#[test]
fn unanswered_commands_are_forgotten() {
    let mut story = Story::new();
    story.hello('a', "g1");
    story.asks('a', 1, "connect", 7);
    let at_ms = 1_000 + LATE_MS;
    assert_eq!(story.ledger.next_due_ms(), Some(at_ms));
    story.step("late", |ledger, effects| ledger.passed(at_ms, effects));
    assert_eq!(story.stats.read().commands_unanswered, 1);
}

#[test]
fn malformed_requests_are_refused_and_other_nonsense_is_counted() {
    let mut story = Story::new();
    story.hello('a', "g1");
    story.says(0, 'a', r#"{"type":"request","id":5,"op":"dance"}"#);
    story.says(0, 'a', "{");
    story.says(0, 'a', r#"{"type":"dance"}"#);
    insta::assert_snapshot!(story.told);
    let counts = story.stats.read();
    assert_eq!((counts.messages_malformed, counts.messages_unknown), (2, 1));
}

#[test]
fn a_gateway_of_another_version_learns_which_one_the_host_speaks() {
    let mut story = Story::new();
    story.says(0, 'a', r#"{"type":"hello","version":2,"gateway":"g1","n":1}"#);
    story.asks('a', 1, "connect", 7);
    insta::assert_snapshot!(story.told);
}

#[test]
fn gateways_beyond_a_limit_are_not_welcome() {
    let mut story = Story::new();
    for number in 0..=GATEWAYS_MAX {
        let peer = char::from_u32(u32::from('Ā') + u32::try_from(number).unwrap()).unwrap();
        story.hello(peer, &format!("g{number}"));
    }
    assert_eq!(story.told.matches("welcome").count(), GATEWAYS_MAX);
    assert_eq!(story.stats.read().gateways_refused, 1);
}

#[test]
fn a_close_that_is_refused_can_be_asked_for_again_even_after_a_refused_connect() {
    let mut story = Story::new();
    story.hello('a', "g1");
    story.asks('a', 1, "connect", 7);
    story.does(1);
    story.asks('a', 2, "disconnect", 7);
    story.fails(2);
    story.asks('a', 3, "connect", 8);
    story.fails(3);
    story.told.clear();
    story.asks('a', 4, "disconnect", 8);
    story.does(4);
    insta::assert_snapshot!(story.told, @r#"
    a {"type":"request","id":4,"op":"disconnect","user":"alice","session":8,"deadline_ms":1000}
        => #4 alice s1 Disconnect
    broker Answer(Answer { id: CommandId(4), result: Ok(Done { depth: None }) })
        -> a {"type":"answer","id":4,"status":"success"}
    "#);
}

#[test]
fn a_session_of_another_gateway_that_could_not_be_replaced_is_closed_by_whoever_tried() {
    let mut story = Story::new();
    story.hello('a', "g1");
    story.hello('b', "g2");
    story.asks('a', 1, "connect", 7);
    story.does(1);
    story.asks('b', 1, "connect", 3);
    story.fails(2);
    story.told.clear();
    story.asks('b', 2, "subscribe", 3);
    story.asks('b', 3, "disconnect", 3);
    let close = "    => #3 alice s1 Disconnect\n";
    assert!(story.told.contains("no session 3 is open"), "{}", story.told);
    assert!(story.told.ends_with(close), "{}", story.told);
}

#[test]
fn a_close_that_is_never_answered_can_be_asked_for_again() {
    let mut story = Story::new();
    story.hello('a', "g1");
    story.asks('a', 1, "connect", 7);
    story.does(1);
    story.asks('a', 2, "disconnect", 7);
    story.told.clear();
    story.asks('a', 3, "disconnect", 7);
    assert!(story.told.ends_with("    => #3 alice s1 Disconnect\n"), "{}", story.told);
}
