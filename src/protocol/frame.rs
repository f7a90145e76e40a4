//! Complete WebSocket frames of a server (RFC 6455, section 5.2): final and unmasked, so that one
//! buffer serves every client.

mod sequence;

use bytes::{BufMut, Bytes, BytesMut};

use super::json::{escaped_len, push_escaped};
use crate::topic::{Instrument, Mode};

pub use sequence::{skipped, without_sequence};

/// Bytes of a close frame's reason: a control frame holds 125, two of them the code.
pub const REASON_BYTES_MAX: usize = 123;

const FINAL_TEXT: u8 = 0x81;
const FINAL_CLOSE: u8 = 0x88;

/// How every tick begins; `"snapshot":true` goes right behind it.
const TICK_START: &[u8] = br#"{"type":"market_data","#;
/// How every broadcast begins; `"snapshot":true` goes right behind it.
const BROADCAST_START: &[u8] = br#"{"type":"broadcast","#;
const SNAPSHOT: &[u8] = br#""snapshot":true,"#;
/// How a tick says that values before it were left out; the number and a comma follow.
const SKIPPED: &[u8] = br#""skipped":"#;
/// How a tick says which one of its topic it is; the number and a comma follow.
const SEQ: &[u8] = br#""seq":"#;

/// A text frame. `json` is UTF-8.
#[must_use]
pub fn text_frame(json: &[u8]) -> Bytes {
    let mut frame = frame(FINAL_TEXT, json.len());
    frame.put_slice(json);
    frame.freeze()
}

/// A close frame. `reason` is cut to [`REASON_BYTES_MAX`] bytes, between two characters.
#[must_use]
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    let mut frame = frame(FINAL_CLOSE, 2 + reason.len());
    frame.put_u16(code);
    frame.put_slice(reason.as_bytes());
    frame.freeze()
}

/// A tick as the clients of one mode and broker get it.
///
/// `data` is the `json` of a [checked](super::check_payload) payload; it is passed on byte for
/// byte. One allocation.
#[must_use]
pub fn tick_frame(instrument: &Instrument, mode: Mode, broker: &str, data: &[u8]) -> Bytes {
    numbered_tick_frame(instrument, mode, broker, None, data)
}

/// The same with `"seq":n`, if it is the n-th tick of its topic.
#[must_use]
pub fn numbered_tick_frame(
    instrument: &Instrument,
    mode: Mode,
    broker: &str,
    seq: Option<u64>,
    data: &[u8],
) -> Bytes {
    let Instrument { exchange, symbol } = instrument;
    let envelope = br#""symbol":"","exchange":"","mode":1,"broker":"","data":}"#.len();
    let names = escaped_len(symbol) + escaped_len(exchange) + escaped_len(broker);
    let digits = seq.map(sequence::Decimal::of);
    let numbered = digits.as_ref().map_or(0, |digits| SEQ.len() + digits.as_bytes().len() + 1);
    let payload_len = TICK_START.len() + numbered + envelope + names + data.len();

    let mut frame = Vec::with_capacity(header_len(payload_len) + payload_len);
    push_header(&mut frame, FINAL_TEXT, payload_len);
    frame.extend_from_slice(TICK_START);
    if let Some(digits) = &digits {
        frame.extend_from_slice(SEQ);
        frame.extend_from_slice(digits.as_bytes());
        frame.push(b',');
    }
    frame.extend_from_slice(br#""symbol":""#);
    push_escaped(&mut frame, symbol);
    frame.extend_from_slice(br#"","exchange":""#);
    push_escaped(&mut frame, exchange);
    frame.extend_from_slice(br#"","mode":"#);
    frame.push(b'0' + mode.number());
    frame.extend_from_slice(br#","broker":""#);
    push_escaped(&mut frame, broker);
    frame.extend_from_slice(br#"","data":"#);
    frame.extend_from_slice(data);
    frame.push(b'}');
    debug_assert_eq!(frame.len(), header_len(payload_len) + payload_len, "one allocation");
    frame.into()
}

/// The latest ticks of a channel, as all its listeners get them.
///
/// `ticks` are frames of [`tick_frame`]; their payloads are passed on byte for byte.
#[must_use]
pub fn broadcast_frame<'a>(
    channel: &str,
    timestamp_ms: u64,
    ticks: impl Iterator<Item = &'a Bytes>,
) -> Bytes {
    let mut json = BROADCAST_START.to_vec();
    json.extend_from_slice(br#""channel":""#);
    push_escaped(&mut json, channel);
    json.extend_from_slice(format!(r#"","timestamp":{timestamp_ms},"ticks":["#).as_bytes());
    for (at, tick) in ticks.filter_map(|tick| payload(tick)).enumerate() {
        if at > 0 {
            json.push(b',');
        }
        json.extend_from_slice(tick);
    }
    json.extend_from_slice(b"]}");
    text_frame(&json)
}

/// The same tick or broadcast with `"snapshot":true`. What was skipped before it, it says no more:
/// a snapshot is where its receiver begins.
///
/// # Panics
///
/// If `frame` is not one of [`tick_frame`] or [`broadcast_frame`].
#[must_use]
pub fn with_snapshot(frame: &Bytes) -> Bytes {
    let payload = payload(frame).unwrap_or_default();
    let starts = [TICK_START, BROADCAST_START];
    let split = starts.iter().find_map(|start| Some((start, payload.strip_prefix(*start)?)));
    let Some((start, rest)) = split else { panic!("only a tick can become a snapshot") };
    let (_, rest) = split_skipped(rest);
    let mut snapshot = self::frame(FINAL_TEXT, start.len() + SNAPSHOT.len() + rest.len());
    snapshot.put_slice(start);
    snapshot.put_slice(SNAPSHOT);
    snapshot.put_slice(rest);
    snapshot.freeze()
}

/// The same tick with `"skipped":n`: so many values of its topic, right before it, are never sent to
/// its receiver. What it says already is added up.
///
/// # Panics
///
/// If `frame` is not one of [`tick_frame`].
#[must_use]
pub fn with_skipped(frame: &Bytes, skipped: u64) -> Bytes {
    let rest = payload(frame).and_then(|payload| payload.strip_prefix(TICK_START));
    let Some(rest) = rest else { panic!("only a tick follows others") };
    let snapshot = if rest.starts_with(SNAPSHOT) { SNAPSHOT } else { b"" };
    let (before, rest) = split_skipped(&rest[snapshot.len()..]);
    let skipped = before.saturating_add(skipped).to_string();
    let parts = [TICK_START, snapshot, SKIPPED, skipped.as_bytes(), b",", rest];
    let mut told = self::frame(FINAL_TEXT, parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| told.put_slice(part));
    told.freeze()
}

/// How many values a tick says were skipped, and what comes behind that.
fn split_skipped(rest: &[u8]) -> (u64, &[u8]) {
    let Some(said) = rest.strip_prefix(SKIPPED) else { return (0, rest) };
    let digits = said.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&said[..digits]).ok().and_then(|text| text.parse().ok());
    // One comma behind the digits, since nothing else is ever written there.
    (number.unwrap_or(0), said.get(digits + 1..).unwrap_or_default())
}

/// A buffer that holds the header and has room for the payload.
fn frame(first_byte: u8, payload_len: usize) -> BytesMut {
    let mut frame = BytesMut::with_capacity(header_len(payload_len) + payload_len);
    push_header(&mut frame, first_byte, payload_len);
    frame
}

const fn header_len(payload_len: usize) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "each arm's range fits its type")]
fn push_header(out: &mut impl BufMut, first_byte: u8, payload_len: usize) {
    out.put_u8(first_byte);
    match payload_len {
        0..=125 => out.put_u8(payload_len as u8),
        126..=0xffff => {
            out.put_u8(126);
            out.put_u16(payload_len as u16);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(payload_len as u64);
        }
    }
}

/// What a frame of a server carries.
#[must_use]
pub fn payload(frame: &[u8]) -> Option<&[u8]> {
    let header_len = match frame.get(1)? {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    frame.get(header_len..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_skipped_is_told_once_and_added_up() {
        let tick = tick_frame(&reliance(), Mode::Ltp, "paper", br#"{"ltp":1}"#);
        let text = |frame: &Bytes| String::from_utf8(payload(frame).unwrap().to_vec()).unwrap();
        let rest =
            r#""symbol":"RELIANCE","exchange":"NSE","mode":1,"broker":"paper","data":{"ltp":1}}"#;

        let once = with_skipped(&tick, 3);
        assert_eq!(text(&once), format!(r#"{{"type":"market_data","skipped":3,{rest}"#));
        let twice = with_skipped(&once, 7);
        assert_eq!(text(&twice), format!(r#"{{"type":"market_data","skipped":10,{rest}"#));
        assert_eq!(with_snapshot(&twice), with_snapshot(&tick), "a snapshot is a beginning");
        let late = with_skipped(&with_snapshot(&tick), 2);
        let expected = format!(r#"{{"type":"market_data","snapshot":true,"skipped":2,{rest}"#);
        assert_eq!(text(&late), expected);
    }

    fn reliance() -> Instrument {
        Instrument::new("NSE", "RELIANCE")
    }

    #[test]
    fn a_frame_says_its_length_in_the_shortest_form() {
        for (len, header) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xff, 0xff]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let json = vec![b' '; len];
            let frame = text_frame(&json);

            assert_eq!(&frame[..header.len()], header, "{len}");
            assert_eq!(&frame[header.len()..], json, "{len}");
        }
    }

    #[test]
    fn a_close_frame_holds_code_and_reason() {
        assert_eq!(&close_frame(4401, "auth timeout")[..], b"\x88\x0e\x11\x31auth timeout");
        assert_eq!(&close_frame(1000, "")[..], b"\x88\x02\x03\xe8");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = close_frame(1008, &"é".repeat(100));

        assert_eq!(frame[1], 2 + 122, "123 bytes would cut a character in two");
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
        assert_eq!(close_frame(1008, &"e".repeat(200)).len(), 2 + 125);
    }

    #[test]
    fn a_tick_carries_its_payload_byte_for_byte() {
        let data = br#"{"ltp": 1424.05, "volume":12345678901234567890, "x":1e999}"#;
        let frame = tick_frame(&reliance(), Mode::Ltp, "zerodha", data);

        assert_eq!(
            std::str::from_utf8(&frame[4..]).unwrap(),
            r#"{"type":"market_data","symbol":"RELIANCE","exchange":"NSE","mode":1,"broker":"zerodha","data":{"ltp": 1424.05, "volume":12345678901234567890, "x":1e999}}"#
        );
        assert_eq!(&frame[..4], [0x81, 126, 0, 153]);
    }

    #[test]
    fn names_in_a_tick_are_escaped() {
        let odd = Instrument::new("N\"E", "a\\b\u{1}é");
        let frame = tick_frame(&odd, Mode::Depth, "x\"", b"{}");

        let tick: serde_json::Value = serde_json::from_slice(&frame[2..]).unwrap();
        assert_eq!(tick["symbol"], "a\\b\u{1}é");
        assert_eq!(tick["exchange"], "N\"E");
        assert_eq!(tick["broker"], "x\"");
        assert_eq!(tick["mode"], 3);
    }

    #[test]
    fn a_snapshot_is_the_same_tick_with_a_mark() {
        // Lengths on both sides of where the header grows: the mark has 16 bytes.
        for padding in [0, 1, 13, 14, 15, 16, 30, 200, 65_420, 65_436, 65_450, 70_000] {
            let data = format!("{{\"x\":\"{}\"}}", "y".repeat(padding));
            let frame = tick_frame(&Instrument::new("N", "S"), Mode::Quote, "b", data.as_bytes());
            let snapshot = with_snapshot(&frame);

            let read = |frame: &Bytes| -> serde_json::Value {
                assert_eq!(frame[0], FINAL_TEXT);
                let payload = payload(frame).unwrap();
                assert_eq!(frame.len(), header_len(payload.len()) + payload.len());
                serde_json::from_slice(payload).unwrap()
            };
            let mut expected = read(&frame);
            expected["snapshot"] = true.into();
            assert_eq!(read(&snapshot), expected, "{padding}");
        }
    }

    #[test]
    fn a_broadcast_becomes_a_snapshot_too() {
        let tick = tick_frame(&reliance(), Mode::Ltp, "b", b"{}");
        let frame = broadcast_frame("/ws/\"", 7, [&tick, &tick].into_iter());
        for (frame, is_snapshot) in [(with_snapshot(&frame), true), (frame, false)] {
            let read: serde_json::Value = serde_json::from_slice(payload(&frame).unwrap()).unwrap();
            assert_eq!(read["snapshot"] == true, is_snapshot);
            assert_eq!((&read["type"], &read["channel"]), (&"broadcast".into(), &"/ws/\"".into()));
            assert_eq!(read["ticks"].as_array().unwrap().len(), 2);
        }
    }

    #[test]
    #[should_panic(expected = "only a tick")]
    fn nothing_but_a_tick_becomes_a_snapshot() {
        let _ = with_snapshot(&text_frame(b"{}"));
    }
}
