//! What the fuzz targets do, as plain functions: cargo-fuzz calls them from `fuzz/`, and a test
//! replays the corpora and mutations of them on stable Rust. Each panics if a promise is broken.

use bytes::Bytes;
use serde_json::value::RawValue;
use tickgate::protocol::control::{decode_from_host, decode_to_host};
use tickgate::protocol::{
    Answer, BadEntry, BusTopic, ParseLimits, Request, TopicRules, check_payload,
    parse_invalidation, parse_order_user, parse_request, parse_topic, tick_frame, with_snapshot,
};
use tickgate::topic::Instrument;
use tickgate::zmtp::codec::{
    Command, Decoder, GREETING_BYTES, Item, Limits, ProtocolError, encode_message, encoded_len,
    parse_greeting,
};

use crate::{plan, scenario, walk};

/// A target's body.
pub type Target = fn(&[u8]);

/// Every target, by the name that its corpus and its binary have.
pub const TARGETS: [(&str, Target); 6] = [
    ("client_request", client_request),
    ("tick_and_topic", tick_and_topic),
    ("zmtp_bytes", zmtp_bytes),
    ("control_protocol", control_protocol),
    ("scenario_yaml", scenario_yaml),
    ("engine", engine),
];

/// Levels of the order book that may be asked for.
const DEPTHS: std::ops::RangeInclusive<u32> = 1..=200;
/// Bytes of a `request_id`.
const ECHO_BYTES_MAX: usize = 1_024;
/// Longest scenario that is parsed: a fuzzer would only find that long ones take long.
const SCENARIO_BYTES_MAX: usize = 16 << 10;
/// Longest walk: likewise.
const WALK_BYTES_MAX: usize = 4 << 10;

/// A message of a client is read or refused; limits hold for what is read, and a refusal is an
/// answer that the client can read.
pub fn client_request(bytes: &[u8]) {
    let limits =
        ParseLimits { symbols_max: 20, name_bytes_max: 32, nesting_max: 16, elements_max: 500 };
    let incoming = parse_request(bytes, &limits);
    let id = incoming.request_id.as_deref();
    if let Some(id) = id {
        assert!(id.get().len() <= ECHO_BYTES_MAX, "a request_id of {} bytes", id.get().len());
    }
    match incoming.body {
        Err(reject) => {
            let json = Answer::Rejected(reject).to_json(id);
            assert!(is_json_object(&json), "{}", String::from_utf8_lossy(&json));
        }
        Ok(Request::Subscribe(entries)) => {
            assert!((1..=limits.symbols_max).contains(&entries.len()));
            for entry in entries {
                match entry {
                    Ok(entry) => {
                        judge_name(&entry.instrument, &limits);
                        assert!(DEPTHS.contains(&entry.depth), "a depth of {}", entry.depth);
                    }
                    Err(bad) => judge_bad(&bad, &limits),
                }
            }
        }
        Ok(Request::Unsubscribe(entries)) => {
            assert!((1..=limits.symbols_max).contains(&entries.len()));
            for entry in entries {
                match entry {
                    Ok(entry) => judge_name(&entry.instrument, &limits),
                    Err(bad) => judge_bad(&bad, &limits),
                }
            }
        }
        Ok(
            Request::Authenticate(_)
            | Request::UnsubscribeAll
            | Request::SubscribeOrders
            | Request::UnsubscribeOrders
            | Request::BrokerInfo
            | Request::SupportedBrokers
            | Request::Admin(_)
            | Request::Ping { .. },
        ) => {}
    }
}

fn judge_name(instrument: &Instrument, limits: &ParseLimits) {
    for name in [&instrument.exchange, &instrument.symbol] {
        assert!((1..=limits.name_bytes_max).contains(&name.len()), "a name: {name:?}");
        assert!(!name.chars().any(char::is_control), "a name: {name:?}");
    }
}

/// What a client wrote is shown to it, and ends up in logs.
fn judge_bad(bad: &BadEntry, limits: &ParseLimits) {
    for name in [&bad.exchange, &bad.symbol] {
        assert!(name.chars().count() <= limits.name_bytes_max, "a name: {name:?}");
        assert!(!name.chars().any(char::is_control), "a name: {name:?}");
    }
}

fn is_json_object(json: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(json).is_ok_and(|json| json.get().starts_with('{'))
}

/// A message of the bus: what comes before the first line feed is the topic, what comes after it
/// the payload. A topic that is read is read back from its parts; a payload that is accepted is
/// JSON, and goes into a tick as it is.
pub fn tick_and_topic(bytes: &[u8]) {
    let cut = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (topic, payload) = (&bytes[..cut], bytes.get(cut + 1..).unwrap_or_default());
    let rules = TopicRules {
        brokers: vec!["zerodha".into(), "dhan_sandbox".into()],
        two_segment_exchanges: vec!["NSE_INDEX".into(), "BSE_INDEX".into()],
    };
    let parsed = parse_topic(topic, &rules);
    let Ok(checked) = check_payload(payload) else { return };
    assert!(is_json_object(&checked.json), "{}", String::from_utf8_lossy(&checked.json));
    let again = check_payload(&checked.json).expect("what was accepted is accepted");
    assert_eq!((again.json, again.nulled), (checked.json.clone(), 0), "nothing is left to do");
    let _ = parse_order_user(&checked.json);
    let _ = parse_invalidation(&checked.json);
    let Ok(BusTopic::Tick { broker, exchange, symbol, mode }) = parsed else { return };
    let front = broker.map_or(String::new(), |broker| format!("{broker}_"));
    let spelled = format!("{front}{exchange}_{symbol}_{}", mode.segment());
    assert_eq!(parse_topic(spelled.as_bytes(), &rules), parsed, "{spelled}");
    let frame = tick_frame(&Instrument::new(exchange, symbol), mode, "zerodha", &checked.json);
    for frame in [with_snapshot(&frame), frame] {
        let header_bytes = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        let json = &frame[header_bytes..];
        assert!(is_json_object(json), "{}", String::from_utf8_lossy(json));
        let end = [&checked.json[..], b"}"].concat();
        assert!(json.ends_with(&end), "the payload was changed");
    }
}

/// A stream of a ZMTP peer means the same wherever it is cut, and what is read from it is written
/// back to the same meaning. The first byte says where it is cut.
pub fn zmtp_bytes(bytes: &[u8]) {
    let Some((&cut_bytes, stream)) = bytes.split_first() else { return };
    let greeting = parse_greeting(stream);
    for shorter in 0..stream.len().min(GREETING_BYTES) {
        if let Err(early) = parse_greeting(&stream[..shorter]) {
            assert_eq!(greeting, Err(early), "what is wrong early stays wrong");
            break;
        }
    }
    let limits = Limits { frame_bytes_max: 4_096, parts_max: 8, message_bytes_max: 8_192 };
    let whole = decode(stream, limits, stream.len().max(1));
    let cut = decode(stream, limits, usize::from(cut_bytes) + 1);
    assert_eq!(whole, cut, "the stream means something else when it is cut");
    for item in &whole.0 {
        match item {
            Item::Command(body) => {
                if let Ok(Command::Ping { context }) = Command::parse(body.clone()) {
                    assert!(context.len() <= 16, "a context of {} bytes", context.len());
                }
            }
            Item::Message(message) => {
                assert!((1..=limits.parts_max).contains(&message.parts().len()));
                assert!(message.bytes_len() <= limits.message_bytes_max);
                let mut written = Vec::new();
                encode_message(message, &mut written);
                assert_eq!(written.len(), encoded_len(message));
                let (items, error) = decode(&written, limits, written.len().max(1));
                assert_eq!((&items[..], error), (std::slice::from_ref(item), None));
            }
        }
    }
}

fn decode(stream: &[u8], limits: Limits, cut: usize) -> (Vec<Item>, Option<ProtocolError>) {
    let mut decoder = Decoder::new(limits);
    let mut items = Vec::new();
    for piece in stream.chunks(cut) {
        decoder.read_buffer().extend_from_slice(piece);
        decoder.filled(piece.len());
        loop {
            match decoder.next_item() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => return (items, Some(error)),
            }
        }
    }
    (items, None)
}

/// A message of the control protocol, of either side, that is read is written back to one that
/// means the same.
pub fn control_protocol(bytes: &[u8]) {
    if let Ok(Some(message)) = decode_to_host(bytes) {
        assert_eq!(decode_to_host(&message.encode()), Ok(Some(message)));
    }
    if let Ok(Some(message)) = decode_from_host(bytes) {
        let written: Bytes = message.encode();
        assert_eq!(decode_from_host(&written), Ok(Some(message)));
    }
}

/// A scenario is refused with a place in it, or a plan can be drawn from it.
pub fn scenario_yaml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.len() > SCENARIO_BYTES_MAX {
        return;
    }
    match scenario::parse("fuzz.yaml", text) {
        Ok(scenario) => {
            let first = plan::draw(&scenario, 1);
            assert_eq!(format!("{first:?}"), format!("{:?}", plan::draw(&scenario, 1)));
        }
        Err(error) => {
            let shown = error.to_string();
            assert!(shown.starts_with("fuzz.yaml:"), "{shown}");
        }
    }
}

/// Bytes decide a walk of the engine, which agrees with the reference model.
pub fn engine(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(WALK_BYTES_MAX)];
    if let Err(failure) = walk::walk_bytes(bytes) {
        panic!("{failure}");
    }
}
