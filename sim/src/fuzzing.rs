//! What the fuzz targets do, as plain functions: cargo-fuzz calls them from `fuzz/`, and a test
//! replays the corpora and mutations of them on stable Rust. Each panics if a promise is broken.

use std::io::Cursor;

use bytes::Bytes;
use serde_json::value::RawValue;
use tickgate::protocol::control::{decode_from_host, decode_to_host};
use tickgate::protocol::{
    Answer, BadEntry, BusTopic, ParseLimits, Request, TopicRules, check_payload,
    parse_invalidation, parse_order_user, parse_request, parse_topic, tick_frame, with_snapshot,
};
use tickgate::recording::{BlockBuilder, End, Next, Reader, Tick, Writer};
use tickgate::topic::Instrument;
use tickgate::zmtp::codec::{
    Command, Decoder, GREETING_BYTES, Item, Limits, ProtocolError, encode_message, encoded_len,
    parse_greeting,
};
use xxhash_rust::xxh3::Xxh3;

use crate::{plan, scenario, walk};

/// A target's body.
pub type Target = fn(&[u8]);

/// Every target, by the name that its corpus and its binary have.
pub const TARGETS: [(&str, Target); 7] = [
    ("client_request", client_request),
    ("tick_and_topic", tick_and_topic),
    ("zmtp_bytes", zmtp_bytes),
    ("control_protocol", control_protocol),
    ("scenario_yaml", scenario_yaml),
    ("engine", engine),
    ("recording", recording),
];

/// Levels of the order book that may be asked for.
const DEPTHS: std::ops::RangeInclusive<u32> = 1..=200;
/// Bytes of a `request_id`.
const ECHO_BYTES_MAX: usize = 1_024;
/// Longest scenario that is parsed: a fuzzer would only find that long ones take long.
const SCENARIO_BYTES_MAX: usize = 16 << 10;
/// Longest body of a recording: likewise.
const BODY_BYTES_MAX: usize = 64 << 10;
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

/// A recording is read up to its end or to what is wrong with it, and what was read can be written
/// and read again. The bytes are a file, and then a body in a file that is good otherwise.
pub fn recording(bytes: &[u8]) {
    read_again(bytes);
    if let Some((&[ticks, first_ns, last_ns], body)) = bytes.split_first_chunk::<3>() {
        let body = &body[..body.len().min(BODY_BYTES_MAX)];
        read_again(&file_around(body, ticks.into(), first_ns.into(), last_ns.into()));
    }
}

fn read_again(bytes: &[u8]) {
    let Some((ticks, _)) = read_recording(bytes) else { return };
    let mut builder = BlockBuilder::default();
    for tick in &ticks {
        assert_eq!(builder.push(tick.at_ns, &tick.topic, &tick.payload), Ok(()), "{tick:?}");
    }
    let mut writer = Writer::new(Vec::new(), 0).expect("memory takes everything");
    if let Some(block) = builder.take() {
        writer.write(&block).expect("memory takes everything");
    }
    let length_ns = u64::MAX;
    writer.finish(length_ns).expect("memory takes everything");
    let (again, end) = read_recording(&writer.into_inner()).expect("it was just written");
    // More than one block would hold is not written as one.
    if end == (End::Whole { length_ns }) {
        assert_eq!(again, ticks);
    }
}

fn read_recording(bytes: &[u8]) -> Option<(Vec<Tick>, End)> {
    let mut reader = Reader::new(Cursor::new(bytes)).ok()?;
    let mut ticks = Vec::new();
    loop {
        match reader.next_ticks().expect("memory can be read") {
            Next::Ticks(more) => ticks.extend(more),
            Next::End(end) => return Some((ticks, end)),
        }
    }
}

/// A recording of one block with this body, as it is before it is compressed. The layout is told in
/// `tickgate::recording`; that of the frame, which holds the body as it is, in RFC 8878.
fn file_around(raw: &[u8], ticks: u32, first_ns: u64, last_ns: u64) -> Vec<u8> {
    let length = u32::try_from(raw.len()).expect("it was cut");
    let last_block = (length << 3) | 1;
    let mut body = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    body.extend(length.to_le_bytes());
    body.extend(&last_block.to_le_bytes()[..3]);
    body.extend(raw);
    let mut head = b"TICK".to_vec();
    head.extend(u32::try_from(body.len()).expect("it was cut").to_le_bytes());
    head.extend(length.to_le_bytes());
    head.extend(ticks.to_le_bytes());
    head.extend(first_ns.to_le_bytes());
    head.extend(last_ns.to_le_bytes());
    let mut hash = Xxh3::new();
    hash.update(&head);
    hash.update(&body);
    let writer = Writer::new(Vec::new(), 0).expect("memory takes everything");
    let mut file = writer.into_inner();
    file.extend(head);
    file.extend(hash.digest().to_le_bytes());
    file.extend(body);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_a_file_that_is_good_otherwise_is_read() {
        let raw = b"\x00\x00\x07A_B_LTP\x02{}\x05\x01\x00";
        let (ticks, end) = read_recording(&file_around(raw, 2, 7, 12)).expect("a head");
        let payloads: Vec<_> = ticks.iter().map(|tick| (tick.at_ns, &tick.payload[..])).collect();
        assert_eq!(payloads, [(7, &b"{}"[..]), (12, b"")]);
        assert!(matches!(end, End::Cut { .. }), "it has no end");
    }
}
