//! The table of malformed requests, `tests/malformed/requests.jsonl`: what a client sends, and
//! what it gets for it.
//!
//! One JSON object a line. What is sent:
//! - `name`: unique.
//! - `state`: `before` or `after` (default) authentication.
//! - one of `text`, `hex` (bytes), `parts` (`[[text, times], …]`, joined): one message in one
//!   frame, a text frame unless `frame` is `binary`.
//! - or `frames`: frames one by one, each with `opcode`, `fin` (default true), `mask` (default
//!   true), `reserved` (the three bits, default 0), `length` (claimed; default the real one) and
//!   `text`, `hex` or `parts`.
//!
//! What is expected, one of:
//! - `error`: the request is refused with this code. `row`: the request is served; its first row
//!   with status `error` has this code. `answer`: it is served with an answer of this `type`.
//!   `nothing`: there is no answer. In all four the connection lives: a ping behind it is served.
//! - `close`: the connection is closed with this code.
//!
//! `message` and `request_id` (JSON text), if present, are those of the answer (or of the row).
//! `by` says who decides: `parser` (default), `engine` or `framing`. The gateway has its default
//! limits.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;

/// Whether the client has authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Before,
    After,
}

/// Which part of the gateway decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Parser,
    Engine,
    Framing,
}

/// What the client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Error(String),
    Row(String),
    Answer(String),
    Nothing,
    Close(u16),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub state: State,
    pub by: By,
    pub frames: Vec<Frame>,
    pub expected: Expected,
    pub message: Option<String>,
    pub request_id: Option<String>,
}

/// One frame of a client.
#[derive(Clone, Debug)]
pub struct Frame {
    pub opcode: u8,
    pub is_final: bool,
    pub is_masked: bool,
    pub reserved: u8,
    pub claimed_len: u64,
    pub payload: Vec<u8>,
}

/// Reads the table.
pub fn cases() -> Vec<Case> {
    include_str!("../malformed/requests.jsonl").lines().map(read_case).collect()
}

impl Case {
    /// What to write to the socket, right behind the handshake (and authentication).
    pub fn wire(&self) -> Vec<u8> {
        self.frames.iter().flat_map(Frame::wire).collect()
    }
}

impl Frame {
    fn wire(&self) -> Vec<u8> {
        // A fixed mask: tests are the same each time.
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mask_bit = u8::from(self.is_masked) << 7;
        let mut wire = vec![u8::from(self.is_final) << 7 | self.reserved << 4 | self.opcode];
        match self.claimed_len {
            0..=125 => wire.push(mask_bit | u8::try_from(self.claimed_len).unwrap()),
            126..=0xffff => {
                wire.push(mask_bit | 126);
                wire.extend(u16::try_from(self.claimed_len).unwrap().to_be_bytes());
            }
            _ => {
                wire.push(mask_bit | 127);
                wire.extend(self.claimed_len.to_be_bytes());
            }
        }
        if self.is_masked {
            wire.extend(mask);
            wire.extend(
                self.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask),
            );
        } else {
            wire.extend(&self.payload);
        }
        wire
    }
}

fn read_case(line: &str) -> Case {
    let row: Value = serde_json::from_str(line).unwrap();
    let text = |key: &str| row.get(key).map(|value| value.as_str().unwrap().to_owned());
    let expected = [
        text("error").map(Expected::Error),
        text("row").map(Expected::Row),
        text("answer").map(Expected::Answer),
        row.get("nothing").map(|_| Expected::Nothing),
        row.get("close").map(|code| Expected::Close(code.as_u64().unwrap().try_into().unwrap())),
    ];
    let mut expected = expected.into_iter().flatten();
    let case = Case {
        name: text("name").unwrap(),
        state: match text("state").as_deref() {
            Some("before") => State::Before,
            None | Some("after") => State::After,
            Some(other) => panic!("state {other}"),
        },
        by: match text("by").as_deref() {
            None | Some("parser") => By::Parser,
            Some("engine") => By::Engine,
            Some("framing") => By::Framing,
            Some(other) => panic!("by {other}"),
        },
        frames: match row.get("frames") {
            Some(frames) => frames.as_array().unwrap().iter().map(read_frame).collect(),
            None => vec![read_frame(&row)],
        },
        expected: expected.next().unwrap_or_else(|| panic!("nothing expected: {line}")),
        message: text("message"),
        request_id: text("request_id"),
    };
    assert!(expected.next().is_none(), "more than one thing expected: {line}");
    case
}

fn read_frame(row: &Value) -> Frame {
    let payload = read_payload(row);
    let opcode = match (row.get("opcode"), row.get("frame").and_then(Value::as_str)) {
        (Some(opcode), _) => opcode.as_u64().unwrap().try_into().unwrap(),
        (None, Some("binary")) => 2,
        (None, None | Some("text")) => 1,
        (None, Some(other)) => panic!("frame {other}"),
    };
    let flag = |key: &str| row.get(key).is_none_or(|value| value.as_bool().unwrap());
    let number = |key: &str| row.get(key).map(|value| value.as_u64().unwrap());
    Frame {
        opcode,
        is_final: flag("fin"),
        is_masked: flag("mask"),
        reserved: number("reserved").unwrap_or(0).try_into().unwrap(),
        claimed_len: number("length").unwrap_or(payload.len() as u64),
        payload,
    }
}

fn read_payload(row: &Value) -> Vec<u8> {
    if let Some(text) = row.get("text") {
        return text.as_str().unwrap().as_bytes().to_vec();
    }
    if let Some(hex) = row.get("hex") {
        let hex = hex.as_str().unwrap();
        return (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
            .collect();
    }
    let parts = row.get("parts").and_then(Value::as_array).expect("text, hex or parts");
    let part = |part: &Value| {
        part[0].as_str().unwrap().repeat(part[1].as_u64().unwrap().try_into().unwrap())
    };
    parts.iter().map(part).collect::<String>().into_bytes()
}
