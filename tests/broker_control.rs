//! The broker control protocol, message by message.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use tickgate::protocol::control::{
    Answer, Event, Failure, FailureCode, FromHost, Hello, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, Op,
    Problem, Request, TEXT_BYTES_MAX, ToHost, Welcome, decode_from_host, decode_to_host,
};
use tickgate::topic::{Instrument, Mode, Topic};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn request(op: Op) -> ToHost {
    let (connection, session, more) = (0, 3, false);
    let (user, deadline_ms) = ("alice".into(), 8_000);
    ToHost::Request(Request { id: 17, user, connection, session, op, deadline_ms, more })
}

fn topic() -> Topic {
    Topic::new(Instrument::new("NSE", "M&M"), Mode::Depth)
}

fn failed(code: FailureCode) -> FromHost {
    FromHost::Answer(Answer {
        id: 18,
        result: Err(Failure { code, message: "unknown symbol".into() }),
    })
}

#[test]
fn every_message_to_the_host_reads_as_documented() {
    let messages = [
        ToHost::Hello(Hello { version: 1, gateway: "5f0c".into(), n: 1 }),
        request(Op::Connect),
        request(Op::Disconnect),
        request(Op::Subscribe { topic: topic(), depth: 5 }),
        request(Op::Unsubscribe { topic: topic() }),
        request(Op::UnsubscribeAll),
        ToHost::Ping { n: 4 },
    ];
    let lines: Vec<String> = messages.iter().map(|message| text(&message.encode())).collect();

    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"type":"hello","version":1,"gateway":"5f0c","n":1}
    {"type":"request","id":17,"op":"connect","user":"alice","session":3,"deadline_ms":8000}
    {"type":"request","id":17,"op":"disconnect","user":"alice","session":3,"deadline_ms":8000}
    {"type":"request","id":17,"op":"subscribe","user":"alice","session":3,"exchange":"NSE","symbol":"M&M","mode":3,"depth":5,"deadline_ms":8000}
    {"type":"request","id":17,"op":"unsubscribe","user":"alice","session":3,"exchange":"NSE","symbol":"M&M","mode":3,"deadline_ms":8000}
    {"type":"request","id":17,"op":"unsubscribe_all","user":"alice","session":3,"deadline_ms":8000}
    {"type":"ping","n":4}
    "#);
    for message in messages {
        assert_eq!(decode_to_host(&message.encode()), Ok(Some(message)));
    }
}

#[test]
fn every_message_from_the_host_reads_as_documented() {
    let welcome = Welcome { version: 1, name: "paper".into(), instance: "8a1d".into(), n: Some(1) };
    let messages = [
        FromHost::Welcome(welcome.clone()),
        FromHost::Welcome(Welcome { n: None, ..welcome }),
        FromHost::Answer(Answer { id: 17, result: Ok(None) }),
        FromHost::Answer(Answer { id: 17, result: Ok(Some(5)) }),
        failed(FailureCode::Refused),
        failed(FailureCode::InitFailed),
        failed(FailureCode::NotConnected),
        failed(FailureCode::Timeout),
        FromHost::Event(Event::SessionLost {
            user: "alice".into(),
            session: 3,
            message: "token \"expired\"".into(),
        }),
        FromHost::Pong { n: 4 },
    ];
    let lines: Vec<String> = messages.iter().map(|message| text(&message.encode())).collect();

    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"type":"welcome","version":1,"name":"paper","instance":"8a1d","n":1}
    {"type":"welcome","version":1,"name":"paper","instance":"8a1d"}
    {"type":"answer","id":17,"status":"success"}
    {"type":"answer","id":17,"status":"success","depth":5}
    {"type":"answer","id":18,"status":"error","code":"REFUSED","message":"unknown symbol"}
    {"type":"answer","id":18,"status":"error","code":"INIT_FAILED","message":"unknown symbol"}
    {"type":"answer","id":18,"status":"error","code":"NOT_CONNECTED","message":"unknown symbol"}
    {"type":"answer","id":18,"status":"error","code":"TIMEOUT","message":"unknown symbol"}
    {"type":"event","event":"session_lost","user":"alice","session":3,"message":"token \"expired\""}
    {"type":"pong","n":4}
    "#);
    for message in messages {
        assert_eq!(decode_from_host(&message.encode()), Ok(Some(message)));
    }
}

#[test]
fn unknown_fields_are_ignored_and_unknown_types_are_told_apart_from_errors() {
    assert_eq!(
        decode_from_host(br#" {"n":4,"later":{"a":[1]},"type":"pong"} "#),
        Ok(Some(FromHost::Pong { n: 4 }))
    );
    assert_eq!(decode_from_host(br#"{"type":"greeting"}"#), Ok(None));
    assert_eq!(decode_from_host(br#"{"type":"event","event":"maintenance"}"#), Ok(None));
    assert_eq!(decode_to_host(br#"{"type":"farewell"}"#), Ok(None));
    assert_eq!(decode_to_host(br#"{"type":"pong","n":1}"#), Ok(None), "the wrong direction");
}

#[test]
fn a_code_of_a_later_version_is_a_refusal() {
    let answer = br#"{"type":"answer","id":18,"status":"error","code":"MARKET_CLOSED"}"#;
    assert_eq!(
        decode_from_host(answer),
        Ok(Some(FromHost::Answer(Answer {
            id: 18,
            result: Err(Failure { code: FailureCode::Refused, message: String::new() })
        })))
    );
}

#[test]
fn malformed_messages_say_what_is_wrong_with_them() {
    let cases: [&[u8]; 14] = [
        b"",
        b"\xff\xfe",
        b"[\"ping\",4]",
        b"{\"type\":\"ping\"}",
        b"{\"type\":\"ping\",\"n\":-1}",
        b"{\"type\":\"ping\",\"n\":1,\"n\":2}",
        b"{\"type\":4}",
        b"{\"type\":\"hello\",\"version\":1,\"gateway\":\"\",\"n\":1}",
        br#"{"type":"request","id":7,"op":"dance","user":"a","session":1,"deadline_ms":1}"#,
        br#"{"type":"request","id":7,"op":"subscribe","user":"a","session":1,"deadline_ms":1}"#,
        br#"{"type":"request","id":7,"op":"unsubscribe","user":"a","session":1,"exchange":"NSE","symbol":"X","mode":4,"deadline_ms":1}"#,
        br#"{"type":"request","id":7,"op":"unsubscribe","user":"a","session":1,"exchange":"NSE","mode":1,"deadline_ms":1}"#,
        br#"{"type":"request","id":7,"op":"connect","user":7,"session":1,"deadline_ms":1}"#,
        br#"{"type":"request","id":"7","op":"connect","user":"a","session":1,"deadline_ms":1}"#,
    ];
    let lines: Vec<String> = cases
        .iter()
        .map(|case| {
            let malformed = decode_to_host(case).unwrap_err();
            format!("{} -> {:?} {malformed}", String::from_utf8_lossy(case), malformed.request_id)
        })
        .collect();

    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn lengths_are_bounded() {
    let long = vec![b' '; MESSAGE_BYTES_MAX + 1];
    assert_eq!(
        decode_to_host(&long).unwrap_err().problem,
        Problem::TooLong { bytes: MESSAGE_BYTES_MAX + 1 }
    );

    let hello =
        |bytes| ToHost::Hello(Hello { version: 1, gateway: "g".repeat(bytes), n: 1 }).encode();
    assert!(decode_to_host(&hello(NAME_BYTES_MAX)).is_ok());
    assert_eq!(
        decode_to_host(&hello(NAME_BYTES_MAX + 1)).unwrap_err().problem,
        Problem::Field("gateway")
    );

    // Cut between characters, never within one.
    let message = "€".repeat(TEXT_BYTES_MAX);
    let answer = Answer { id: 1, result: Err(Failure { code: FailureCode::Refused, message }) };
    let Ok(Some(FromHost::Answer(read))) = decode_from_host(&FromHost::Answer(answer).encode())
    else {
        panic!("an answer is read back");
    };
    assert_eq!(read.result.unwrap_err().message, "€".repeat(TEXT_BYTES_MAX / 3));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode_to_host(&bytes);
        let _ = decode_from_host(&bytes);
    }

    #[test]
    fn no_damage_to_a_message_makes_the_decoder_panic(
        at in 0_usize..150,
        byte: u8,
        cut in 0_usize..150,
    ) {
        let mut bytes = request(Op::Subscribe { topic: topic(), depth: 5 }).encode().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(cut);
        let _ = decode_to_host(&bytes);
        let _ = decode_from_host(&bytes);
    }

    #[test]
    fn any_names_survive_the_way_to_the_host(
        user in ".{1,60}",
        exchange in ".{1,60}",
        symbol in ".{1,60}",
        connection: u32,
        session: u64,
        id: u64,
        deadline_ms: u64,
        depth: u32,
        more: bool,
    ) {
        let topic = Topic::new(Instrument::new(exchange, symbol), Mode::Quote);
        let op = Op::Subscribe { topic, depth };
        let user = user.into();
        let request = Request { id, user, connection, session, op, deadline_ms, more };
        let message = ToHost::Request(request);
        prop_assert_eq!(decode_to_host(&message.encode()), Ok(Some(message)));
    }
}
