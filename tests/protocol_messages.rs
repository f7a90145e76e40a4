//! Every message in both directions, as snapshots: a change of the wire shows as a diff.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::value::RawValue;
use tickgate::protocol::{
    Answer, BadEntry, ErrorCode, FailedRow, ParseLimits, Reject, Request, RowOutcome, SubscribeRow,
    close_frame, parse_request, text_frame, tick_frame, with_snapshot,
};
use tickgate::topic::{BrokerName, Instrument, Mode, UserId};

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// Each request and what is read of it.
fn read_all(requests: &[&str]) -> String {
    let mut script = String::new();
    for request in requests {
        let incoming = parse_request(request.as_bytes(), &ParseLimits::default());
        writeln!(script, "> {request}").unwrap();
        match (&incoming.request_id, &incoming.body) {
            (Some(id), Ok(body)) => writeln!(script, "{} {body:?}\n", id.get()),
            (None, Ok(body)) => writeln!(script, "{body:?}\n"),
            (id, Err(reject)) => writeln!(script, "{id:?} {reject}\n"),
        }
        .unwrap();
    }
    script
}

#[test]
fn requests_of_one_word() {
    let script = read_all(&[
        r#"{"action":"unsubscribe_all"}"#,
        r#"{"action":"unsubscribe_all","request_id":"r9"}"#,
        r#"{"type":"unsubscribe_all"}"#,
        r#"{"action":"unsubscribe","type":"unsubscribe_all","symbols":[{"symbol":"A"}]}"#,
        r#"{"action":"subscribe_orders","request_id":"o1"}"#,
        r#"{"action":"unsubscribe_orders"}"#,
        r#"{"action":"get_broker_info"}"#,
        r#"{"action":"get_supported_brokers"}"#,
        r#"{"action":"ping"}"#,
        r#"{"action":"ping","timestamp":1795235060023.50,"_pingId":"x"}"#,
        r#"{"action":"ping","timestamp":null,"_pingId":null,"request_id":null}"#,
        r#"{"type":"ping"}"#,
        r#"{"action":"","type":"ping"}"#,
    ]);
    insta::assert_snapshot!(script);
}

#[test]
fn requests_to_authenticate() {
    let script = read_all(&[
        r#"{"action":"authenticate","api_key":"k1"}"#,
        r#"{"action":"auth","apikey":"k1"}"#,
        r#"{"type":"auth","api_key":"","apikey":"k2"}"#,
        r#"{"action":"authenticate","api_key":"k1","apikey":"k2","token":"t"}"#,
        r#"{"action":"authenticate","token":"eyJ.a.b","request_id":1}"#,
        r#"{"action":"authenticate","api_key":null,"apikey":0,"token":false}"#,
        r#"{"action":"authenticate"}"#,
    ]);
    insta::assert_snapshot!(script);
}

#[test]
fn requests_to_subscribe() {
    let script = read_all(&[
        r#"{"action":"subscribe","symbol":"RELIANCE","exchange":"NSE","mode":1,"depth":5}"#,
        r#"{"action":"subscribe","symbols":[{"symbol":"RELIANCE","exchange":"NSE"},{"symbol":"NIFTY","exchange":"NSE_INDEX"}],"mode":"ltp","request_id":"r1"}"#,
        r#"{"action":"subscribe","symbols":[{"symbol":"TCS:20","exchange":"NSE"}]}"#,
        r#"{"action":"subscribe","mode":" DePtH\t","depth":20,"symbols":[{"symbol":"M\u0026M","exchange":"NSE"}]}"#,
        r#"{"action":"subscribe","mode":1,"depth":50,"symbols":[{"symbol":"A","exchange":"NSE","mode":"Depth"},{"symbol":"B","exchange":"NSE","depth":null},{"symbol":"C","exchange":"NSE","mode":2,"depth":200}]}"#,
        r#"{"action":"subscribe","symbols":[],"symbol":"SOL_INR","exchange":"CRYPTO"}"#,
        r#"{"action":"subscribe","symbols":[{"symbol":"A","exchange":"NSE"}],"symbol":"ignored","exchange":"ignored"}"#,
        r#"{"action":"subscribe","symbols":[{"symbol":"NIFTY 50","exchange":"NSE"},{"exchange":"NSE"},{"symbol":"X\u202eY","exchange":"N S"},{"symbol":"C","exchange":"NSE","mode":true},{"symbol":"D","exchange":"NSE","depth":0}]}"#,
        r#"{"action":"subscribe","symbol":"A","exchange":"NSE","interval_ms":250}"#,
        r#"{"action":"subscribe","interval_ms":1000,"symbols":[{"symbol":"A","exchange":"NSE"},{"symbol":"B","exchange":"NSE","interval_ms":10},{"symbol":"C","exchange":"NSE","interval_ms":0},{"symbol":"D","exchange":"NSE"}]}"#,
        r#"{"action":"subscribe","interval_ms":250,"symbols":[{"symbol":"D","exchange":"NSE","interval_ms":null},{"symbol":"E","exchange":"NSE","interval_ms":9}]}"#,
        r#"{"action":"subscribe","interval_ms":"fast","symbols":[{"symbol":"A","exchange":"NSE"},{"symbol":"B","exchange":"NSE","interval_ms":3600000}]}"#,
    ]);
    insta::assert_snapshot!(script);
}

#[test]
fn requests_to_unsubscribe() {
    let script = read_all(&[
        r#"{"action":"unsubscribe","symbols":[{"symbol":"RELIANCE","exchange":"NSE","mode":1}],"request_id":"r2"}"#,
        r#"{"action":"unsubscribe","symbols":[{"symbol":"RELIANCE","exchange":"NSE"}]}"#,
        r#"{"action":"unsubscribe","mode":"Quote","symbols":[{"symbol":"A","exchange":"NSE"},{"symbol":"B","exchange":"NSE","mode":"depth"}]}"#,
        r#"{"action":"unsubscribe","symbol":"A","exchange":"NSE","mode":3,"depth":"ignored"}"#,
        r#"{"action":"unsubscribe","symbol":"A","exchange":"NSE"}"#,
        r#"{"action":"unsubscribe","symbols":[{"symbol":"A","exchange":"NSE","mode":"all"},{"symbol":"B"}]}"#,
    ]);
    insta::assert_snapshot!(script);
}

#[test]
fn requests_that_are_refused() {
    let script = read_all(&[
        "hello",
        "[1]",
        "{}",
        r#"{"action":"explode","request_id":7}"#,
        r#"{"action":"authenticate","api_key":5,"request_id":[1]}"#,
        r#"{"action":"subscribe","request_id":"r1"}"#,
        r#"{"action":"unsubscribe"}"#,
        r#"{"action":"subscribe","mode":9,"symbol":"A","exchange":"NSE","request_id":"r1"}"#,
        r#"{"action":"subscribe","symbols":"NSE:A"}"#,
        r#"{"action":"subscribe","symbols":[{"symbol":"A","exchange":"NSE"},7]}"#,
    ]);
    insta::assert_snapshot!(script);
}

#[test]
fn a_request_may_name_as_many_symbols_as_the_limit_says() {
    let limits = ParseLimits { symbols_max: 2, ..ParseLimits::default() };
    let parse = |count: usize| {
        let symbols = vec![r#"{"symbol":"A","exchange":"NSE"}"#; count].join(",");
        let request = format!(r#"{{"action":"subscribe","symbols":[{symbols}]}}"#);
        parse_request(request.as_bytes(), &limits).body
    };

    assert!(matches!(parse(2), Ok(Request::Subscribe(rows)) if rows.len() == 2));
    assert_eq!(parse(3), Err(Reject::too_many_symbols(2)));
}

#[test]
fn a_bad_entry_repeats_only_what_can_be_shown() {
    let long = "é".repeat(200);
    let request = format!(r#"{{"action":"unsubscribe","symbol":"{long}","exchange":"a\u0000b"}}"#);
    let Ok(Request::Unsubscribe(rows)) =
        parse_request(request.as_bytes(), &ParseLimits::default()).body
    else {
        panic!("not an unsubscribe")
    };

    let [Err(BadEntry { exchange, symbol, .. })] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((exchange.as_str(), symbol.as_str()), ("a?b", &*"é".repeat(64)));
}

#[test]
fn a_credential_shows_in_no_debug_output() {
    let request = br#"{"action":"authenticate","api_key":"hunter2"}"#;
    let shown = format!("{:?}", parse_request(request, &ParseLimits::default()));

    assert!(shown.contains("***") && !shown.contains("hunter2"), "{shown}");
}

/// Each answer as a client gets it.
fn write_all(answers: &[(Answer, Option<&str>)]) -> String {
    let mut script = String::new();
    for (answer, request_id) in answers {
        let id = request_id.map(raw);
        let json = answer.to_json(id.as_deref());
        let fields: BTreeMap<String, &RawValue> = serde_json::from_slice(&json).unwrap();
        assert_eq!(fields.get("request_id").map(|id| id.get()), *request_id);
        writeln!(script, "{}", String::from_utf8(json).unwrap()).unwrap();
    }
    script
}

fn zerodha() -> BrokerName {
    BrokerName::from("zerodha")
}

fn row(symbol: &str, outcome: RowOutcome) -> SubscribeRow {
    SubscribeRow { exchange: "NSE".into(), symbol: symbol.into(), outcome }
}

fn failed_row(symbol: &str, reject: Reject) -> FailedRow {
    FailedRow { exchange: "NSE".into(), symbol: symbol.into(), reject }
}

#[test]
fn answers_without_rows() {
    let script = write_all(&[
        (Answer::Authenticated { broker: zerodha(), user: UserId::from("alice") }, None),
        (Answer::Authenticated { broker: zerodha(), user: UserId::from("a\"b\n") }, Some("1")),
        (Answer::SubscribedOrders, Some("\"o1\"")),
        (Answer::UnsubscribedOrders, None),
        (
            Answer::BrokerInfo {
                broker: zerodha(),
                adapter_status: "connected",
                user: UserId::from("alice"),
            },
            None,
        ),
        (Answer::SupportedBrokers { brokers: vec![zerodha(), BrokerName::from("angel")] }, None),
        (Answer::SupportedBrokers { brokers: vec![] }, Some("null")),
        (
            Answer::Pong {
                server_timestamp_ms: 1_795_235_060_023,
                timestamp: Some(raw("123.50")),
                ping_id: Some(raw("{\"a\": [1e999]}")),
            },
            None,
        ),
        (Answer::Pong { server_timestamp_ms: 0, timestamp: None, ping_id: None }, Some("[\n1]")),
    ]);
    insta::assert_snapshot!(script);
}

#[test]
fn answers_to_subscribe() {
    let success =
        || row("RELIANCE", RowOutcome::Success { mode: Mode::Ltp, depth: 5, interval_ms: 0 });
    let paced =
        || row("TCS", RowOutcome::Success { mode: Mode::Quote, depth: 5, interval_ms: 250 });
    let again = || row("M&M", RowOutcome::AlreadySubscribed { mode: Mode::Depth, depth: 20 });
    let failed = || {
        row(
            "BAD",
            RowOutcome::Failed(Reject::new(
                ErrorCode::BrokerError,
                "Symbol BAD not found for exchange NSE",
            )),
        )
    };
    let answer = |rows| Answer::Subscribed { rows, broker: zerodha() };
    let script = write_all(&[
        (answer(vec![success()]), Some("\"r1\"")),
        (answer(vec![success(), again()]), None),
        (answer(vec![success(), failed(), again()]), None),
        (answer(vec![failed()]), Some("7")),
        (answer(vec![paced(), success()]), None),
        (answer(vec![]), None),
    ]);
    insta::assert_snapshot!(script);
}

#[test]
fn answers_to_unsubscribe() {
    let good = || Instrument::new("NSE", "RELIANCE");
    let bad = || failed_row("TCS", Reject::not_subscribed());
    let answer =
        |successful, failed| Answer::Unsubscribed { successful, failed, broker: zerodha() };
    let script = write_all(&[
        (answer(vec![good()], vec![]), Some("\"r2\"")),
        (answer(vec![good()], vec![bad()]), None),
        (answer(vec![], vec![bad(), bad()]), None),
        (answer(vec![], vec![]), None),
    ]);
    insta::assert_snapshot!(script);
}

#[test]
fn answers_that_refuse() {
    let rejects = [
        Reject::not_authenticated(),
        Reject::api_key_required(),
        Reject::invalid_api_key(),
        Reject::invalid_token(),
        Reject::no_broker(),
        Reject::broker_timeout(),
        Reject::not_subscribed(),
        Reject::too_many_subscriptions(1_000),
        Reject::rate_limited(1_500),
        Reject::forbidden("use the demo key from another machine"),
        Reject::shutting_down(),
        Reject::not_on_the_bus(),
        Reject::new(ErrorCode::BrokerInitError, "token \"x\" expired\r\nplease log in"),
        Reject::new(ErrorCode::BrokerConnectionError, "connection refused"),
        Reject::new(ErrorCode::ProcessingError, "internal error"),
        Reject::invalid_json(),
        Reject::too_deep(64),
        Reject::too_many_values(10_000),
        Reject::not_an_object(),
        Reject::wrong_type("symbols", "an array of objects"),
        Reject::too_long("request_id", 1_024),
        Reject::invalid_action(None),
        Reject::invalid_action(Some("<b>\"\n")),
        Reject::no_symbols(),
        Reject::nothing_to_unsubscribe(),
        Reject::too_many_symbols(1_000),
        Reject::invalid_mode_number("9"),
        Reject::invalid_mode_name("Foo"),
        Reject::invalid_mode_type("float"),
        Reject::invalid_depth(200),
        Reject::invalid_name("Symbol", "is required"),
    ];
    let codes: BTreeSet<_> = rejects.iter().map(|reject| reject.code).collect();
    assert_eq!(codes.len(), ErrorCode::ALL.len(), "every code is shown");
    let answers: Vec<_> =
        rejects.into_iter().map(|reject| (Answer::Rejected(reject), Some("\"r1\""))).collect();
    let script = write_all(&answers);
    insta::assert_snapshot!(script);
}

#[test]
fn answers_are_equal_if_a_client_cannot_tell_them_apart() {
    let pong = |timestamp: &str| Answer::Pong {
        server_timestamp_ms: 1,
        timestamp: Some(raw(timestamp)),
        ping_id: None,
    };

    assert_eq!(pong("1.0"), pong("1.0"));
    assert_ne!(pong("1.0"), pong("1.00"));
    assert_ne!(Answer::SubscribedOrders, Answer::UnsubscribedOrders);
}

#[test]
fn frames() {
    let tick = tick_frame(
        &Instrument::new("NSE_INDEX", "NIFTY 50"),
        Mode::Quote,
        "zerodha",
        br#"{"ltp": 22000.050,"timestamp":1746171226123}"#,
    );
    let hex_head = |frame: &[u8]| {
        let (head, payload) = frame.split_at(if frame[1] == 126 { 4 } else { 2 });
        format!("{head:02x?} {}", payload.escape_ascii())
    };
    let script = [
        tick.clone(),
        with_snapshot(&tick),
        text_frame(br#"{"type":"pong"}"#),
        close_frame(4401, "auth timeout"),
    ]
    .map(|frame| hex_head(&frame))
    .join("\n");
    insta::assert_snapshot!(script);
}

#[test]
fn a_thousand_symbols_with_all_their_members_are_no_message_of_too_many_values() {
    let row = r#"{"symbol":"A","exchange":"B","mode":1,"depth":5,"note":[]}"#;
    let wide = |rows: usize, more: usize| {
        let (rows, more) = (vec![row; rows].join(","), vec!["1"; more].join(","));
        format!(r#"{{"action":"subscribe","symbols":[{rows}],"request_id":7,"more":[{more}]}}"#)
    };
    let read = |request: &str| parse_request(request.as_bytes(), &ParseLimits::default());

    let Ok(Request::Subscribe(entries)) = read(&wide(1_000, 0)).body else {
        panic!("it is read");
    };
    assert_eq!(entries.len(), 1_000);
    // A row is six values; the whole, its four fields and what they hold are the rest.
    let left = 10_000 - 6_000 - 5;
    assert!(read(&wide(1_000, left)).body.is_ok());
    let refused = read(&wide(1_000, left + 1));
    assert_eq!(refused.body.err(), Some(Reject::too_many_values(10_000)));
    assert!(refused.request_id.is_none(), "it was not looked for");
}
