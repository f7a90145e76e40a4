//! Types to bytes.

use bytes::Bytes;
use serde::Serialize;

use super::{Answer, Event, Failure, FailureCode, FromHost, Op, Request, TEXT_BYTES_MAX, ToHost};
use crate::topic::Topic;

impl ToHost {
    /// The message as JSON.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Hello(hello) => json(&WireToHost::Hello {
                version: hello.version,
                gateway: &hello.gateway,
                n: hello.n,
            }),
            Self::Request(request) => json(&WireToHost::Request(wire_request(request))),
            Self::Ping { n } => json(&WireToHost::Ping { n: *n }),
        }
    }
}

impl FromHost {
    /// The message as JSON. A text that is too long is cut.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Welcome(welcome) => json(&WireFromHost::Welcome {
                version: welcome.version,
                name: &welcome.name,
                instance: &welcome.instance,
                n: welcome.n,
            }),
            Self::Answer(Answer { id, result: Ok(depth) }) => json(&WireFromHost::Answer {
                id: *id,
                status: "success",
                depth: *depth,
                code: None,
                message: None,
            }),
            Self::Answer(Answer { id, result: Err(Failure { code, message }) }) => {
                json(&WireFromHost::Answer {
                    id: *id,
                    status: "error",
                    depth: None,
                    code: Some(*code),
                    message: Some(cut(message)),
                })
            }
            Self::Event(Event::SessionLost { user, session, message }) => {
                json(&WireFromHost::Event {
                    event: "session_lost",
                    user: user.as_str(),
                    session: *session,
                    message: cut(message),
                })
            }
            Self::Pong { n } => json(&WireFromHost::Pong { n: *n }),
        }
    }
}

/// The longest beginning of `text` that a message may hold.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum WireToHost<'a> {
    Hello { version: u32, gateway: &'a str, n: u64 },
    Request(WireRequest<'a>),
    Ping { n: u64 },
}

#[derive(Serialize)]
struct WireRequest<'a> {
    id: u64,
    op: &'static str,
    user: &'a str,
    #[serde(skip_serializing_if = "is_first")]
    connection: u32,
    session: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exchange: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    symbol: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    depth: Option<u32>,
    deadline_ms: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_first(connection: &u32) -> bool {
    *connection == 0
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum WireFromHost<'a> {
    Welcome {
        version: u32,
        name: &'a str,
        instance: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        n: Option<u64>,
    },
    Answer {
        id: u64,
        status: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        depth: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<FailureCode>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<&'a str>,
    },
    Event {
        event: &'static str,
        user: &'a str,
        session: u64,
        message: &'a str,
    },
    Pong {
        n: u64,
    },
}

fn wire_request(request: &Request) -> WireRequest<'_> {
    let (op, topic, depth) = match &request.op {
        Op::Connect => ("connect", None, None),
        Op::Disconnect => ("disconnect", None, None),
        Op::Subscribe { topic, depth } => ("subscribe", Some(topic), Some(*depth)),
        Op::Unsubscribe { topic } => ("unsubscribe", Some(topic), None),
        Op::UnsubscribeAll => ("unsubscribe_all", None, None),
    };
    WireRequest {
        id: request.id,
        op,
        user: request.user.as_str(),
        connection: request.connection,
        session: request.session,
        exchange: topic.map(|topic: &Topic| &*topic.instrument.exchange),
        symbol: topic.map(|topic| &*topic.instrument.symbol),
        mode: topic.map(|topic| topic.mode.number()),
        depth,
        deadline_ms: request.deadline_ms,
        more: request.more,
    }
}

fn json(message: &impl Serialize) -> Bytes {
    serde_json::to_vec(message).expect("text and numbers are always JSON").into()
}
