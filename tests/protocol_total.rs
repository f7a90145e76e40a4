//! The protocol never panics, whatever a peer sends, and keeps its promises on what it accepts.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use serde_json::value::RawValue;
use tickgate::protocol::{
    Answer, BusTopic, ParseLimits, Request, TopicRules, check_payload, close_frame,
    parse_invalidation, parse_order_user, parse_request, parse_topic, text_frame, tick_frame,
    with_snapshot,
};
use tickgate::topic::{BrokerName, Instrument, Mode};

/// Text that is almost a request: its pieces, in any order.
fn almost_json() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", " ", "\n", "\"action\":", "\"type\":",
            "\"subscribe\"", "\"unsubscribe\"", "\"ping\"", "\"authenticate\"", "\"symbols\":",
            "\"symbol\":", "\"exchange\":", "\"NSE\"", "\"TCS\"", "\"mode\":", "\"depth\":",
            "\"request_id\":", "\"api_key\":", "\"user_id\":", "\"\\ud800\"", "\"\\u0041\"",
            "null", "true", "false", "0", "1", "-1", "2.5", "1e999", "NaN", "Infinity",
            "-Infinity", "{\"symbol\":\"A\",\"exchange\":\"B\"}", "\u{202e}", "\u{0}",
        ])
        .prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// A JSON object that Python could have written.
fn python_object() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i128>().prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,20})\\.[0-9]{1,20}(e[+-]?[0-9]{1,3})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        prop::sample::select(vec!["NaN", "Infinity", "-Infinity", "\"NaN\"", "\"\\\"-Infinity\""])
            .prop_map(str::to_owned),
    ];
    let value = leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            object_of(inner),
        ]
    });
    object_of(value)
}

fn object_of(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let key = prop_oneof![any::<String>(), Just("NaN".to_owned()), Just("user_id".to_owned())];
    prop::collection::vec((key, value), 0..6).prop_map(|fields| {
        let field = |(key, value): (String, String)| {
            format!("{}: {value}", serde_json::to_string(&key).unwrap())
        };
        format!("{{{}}}", fields.into_iter().map(field).collect::<Vec<_>>().join(", "))
    })
}

fn rules() -> TopicRules {
    TopicRules {
        brokers: vec![BrokerName::from("zerodha"), BrokerName::from("dhan_sandbox")],
        two_segment_exchanges: vec!["NSE_INDEX".into(), "BSE_INDEX".into()],
    }
}

fn answer_all(bytes: &[u8]) {
    let limits =
        ParseLimits { symbols_max: 5, name_bytes_max: 16, nesting_max: 8, elements_max: 100 };
    let incoming = parse_request(bytes, &limits);
    let id = incoming.request_id.as_deref();
    if let Err(reject) = incoming.body {
        let json = Answer::Rejected(reject).to_json(id);
        assert!(serde_json::from_slice::<&RawValue>(&json).is_ok(), "{json:?}");
    }
    let _ = parse_order_user(bytes);
    let _ = parse_invalidation(bytes);
    let _ = parse_topic(bytes, &rules());
    if let Ok(checked) = check_payload(bytes) {
        let object: &RawValue = serde_json::from_slice(&checked.json).unwrap();
        assert!(object.get().starts_with('{') && object.get().ends_with('}'));
        assert_eq!(object.get().len(), checked.json.len(), "no blanks around it");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        answer_all(&bytes);
    }

    #[test]
    fn no_text_that_is_almost_json_makes_it_panic(text in almost_json()) {
        answer_all(text.as_bytes());
    }

    #[test]
    fn a_request_is_read_wherever_its_fields_stand(
        mut fields in Just(vec![
            r#""action":"subscribe""#.to_owned(), r#""mode":"ltp""#.to_owned(),
            r#""request_id":{"a":[1]}"#.to_owned(), r#""depth":20"#.to_owned(),
            r#""symbols":[{"exchange":"NSE","symbol":"M&M"},{"symbol":"TCS:50","exchange":"NSE","mode":3}]"#.to_owned(),
        ]).prop_shuffle(),
        ignored in python_object(),
    ) {
        fields.insert(2, format!("\"ignored\":{}", ignored.replace("NaN", "0").replace("Infinity", "0")));
        let text = format!("{{{}}}", fields.join(","));
        let incoming = parse_request(text.as_bytes(), &ParseLimits::default());

        prop_assert_eq!(incoming.request_id.as_deref().map(RawValue::get), Some("{\"a\":[1]}"));
        let Ok(Request::Subscribe(rows)) = incoming.body else { panic!("{text}") };
        let rows: Vec<_> = rows.into_iter().map(Result::unwrap).collect();
        prop_assert_eq!(&*rows[0].instrument.symbol, "M&M");
        prop_assert_eq!((rows[0].mode, rows[0].depth), (Mode::Ltp, 20));
        prop_assert_eq!((rows[1].mode, rows[1].depth), (Mode::Depth, 20));
    }

    #[test]
    fn what_python_writes_passes_digit_for_digit_but_for_its_own_numbers(text in python_object()) {
        let checked = check_payload(text.as_bytes()).unwrap();
        let json = std::str::from_utf8(&checked.json).unwrap();

        prop_assert!(serde_json::from_str::<&RawValue>(json).is_ok());
        if checked.nulled == 0 {
            prop_assert_eq!(json, &text);
        } else {
            // Outside strings there is nothing left to replace, and nothing else was changed.
            prop_assert_eq!(check_payload(json.as_bytes()).unwrap().nulled, 0);
            prop_assert_eq!(json.matches("null").count() as u32, text.matches("null").count() as u32 + checked.nulled);
        }
    }

    #[test]
    fn a_tick_is_json_that_holds_its_payload_verbatim(
        exchange in any::<String>(), symbol in any::<String>(), broker in any::<String>(),
        data in python_object(),
    ) {
        let checked = check_payload(data.as_bytes()).unwrap();
        let instrument = Instrument::new(exchange.as_str(), symbol.as_str());
        let frame = tick_frame(&instrument, Mode::Quote, &broker, &checked.json);
        for frame in [frame.clone(), with_snapshot(&frame)] {
            let header_len = match frame[1] { 126 => 4, 127 => 10, _ => 2 };
            let json = &frame[header_len..];
            prop_assert_eq!(&text_frame(json), &frame);
            let before_brace = json.strip_suffix(b"}");
            prop_assert!(before_brace.is_some_and(|json| json.ends_with(&checked.json)));

            let tick: std::collections::BTreeMap<String, Box<RawValue>> =
                serde_json::from_slice(json).unwrap();
            prop_assert_eq!(tick["data"].get().as_bytes(), &*checked.json);
            prop_assert_eq!(&serde_json::from_str::<String>(tick["symbol"].get()).unwrap(), &symbol);
            prop_assert_eq!(&serde_json::from_str::<String>(tick["exchange"].get()).unwrap(), &exchange);
            prop_assert_eq!(&serde_json::from_str::<String>(tick["broker"].get()).unwrap(), &broker);
        }
    }

    #[test]
    fn a_close_frame_is_a_control_frame_of_legal_size(
        code in any::<u16>(),
        reason in any::<String>(),
    ) {
        let frame = close_frame(code, &reason);

        prop_assert_eq!(frame[0], 0x88);
        prop_assert!(frame[1] <= 125);
        prop_assert_eq!(frame.len(), 2 + usize::from(frame[1]));
        prop_assert!(reason.starts_with(std::str::from_utf8(&frame[4..]).unwrap()));
    }

    #[test]
    fn an_instrument_that_the_bus_carries_is_read_back_from_every_topic(
        exchange in "[A-Z]{1,3}|NSE_INDEX|BSE_INDEX", symbol in "[A-Z_]{1,8}(:[0-9]{1,2})?", mode in 0..3_usize,
    ) {
        let rules = rules();
        let instrument = Instrument::new(exchange.as_str(), symbol.as_str());
        let mode = Mode::ALL[mode];
        prop_assume!(rules.carries(&instrument));
        for (front, broker) in [("", None), ("zerodha_", Some("zerodha")), ("DHAN_SANDBOX_", Some("dhan_sandbox"))] {
            let topic = format!("{front}{exchange}_{symbol}_{}", mode.segment());
            let expected = BusTopic::Tick { broker, exchange: &exchange, symbol: &symbol, mode };
            prop_assert_eq!(parse_topic(topic.as_bytes(), &rules), Ok(expected));
        }
    }
}
