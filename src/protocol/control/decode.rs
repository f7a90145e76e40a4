//! Bytes to types.

use serde::Deserialize;

use super::encode::cut;
use super::{
    Answer, Event, Failure, FailureCode, FromHost, Hello, MESSAGE_BYTES_MAX, Malformed,
    NAME_BYTES_MAX, Op, Problem, Request, ToHost, Welcome,
};
use crate::topic::{Instrument, Mode, Topic};

/// Reads what a gateway said. `None` is a type that this version does not know: count it.
///
/// # Errors
///
/// Fails if the message is too long, not JSON or lacks a field. Count it and drop it, or answer
/// the request it names.
pub fn decode_to_host(bytes: &[u8]) -> Result<Option<ToHost>, Malformed> {
    let message = match kind(bytes)?.as_str() {
        "hello" => ToHost::Hello(hello(parse(bytes)?)?),
        "request" => match request(bytes) {
            Ok(request) => ToHost::Request(request),
            Err(malformed) => {
                return Err(Malformed { request_id: request_id(bytes), ..malformed });
            }
        },
        "ping" => ToHost::Ping { n: parse::<WireN>(bytes)?.n },
        _ => return Ok(None),
    };
    Ok(Some(message))
}

/// Reads what a host said. `None` is a type or event that this version does not know: count it.
///
/// # Errors
///
/// Fails if the message is too long, not JSON or lacks a field. Count it and drop it.
pub fn decode_from_host(bytes: &[u8]) -> Result<Option<FromHost>, Malformed> {
    let message = match kind(bytes)?.as_str() {
        "welcome" => FromHost::Welcome(welcome(parse(bytes)?)?),
        "answer" => FromHost::Answer(answer(parse(bytes)?)?),
        "event" => return Ok(event(bytes)?.map(FromHost::Event)),
        "pong" => FromHost::Pong { n: parse::<WireN>(bytes)?.n },
        _ => return Ok(None),
    };
    Ok(Some(message))
}

#[derive(Deserialize)]
struct WireKind {
    r#type: String,
}

#[derive(Deserialize)]
struct WireId {
    id: u64,
}

#[derive(Deserialize)]
struct WireN {
    n: u64,
}

#[derive(Deserialize)]
struct WireHello {
    version: u32,
    gateway: String,
    n: u64,
}

#[derive(Deserialize)]
struct WireRequest {
    id: u64,
    op: String,
    user: String,
    #[serde(default)]
    connection: u32,
    session: u64,
    exchange: Option<String>,
    symbol: Option<String>,
    mode: Option<i64>,
    depth: Option<u32>,
    deadline_ms: u64,
    #[serde(default)]
    more: bool,
}

#[derive(Deserialize)]
struct WireWelcome {
    version: u32,
    name: String,
    instance: String,
    n: Option<u64>,
}

#[derive(Deserialize)]
struct WireAnswer {
    id: u64,
    status: String,
    depth: Option<u32>,
    code: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct WireEventKind {
    event: String,
}

#[derive(Deserialize)]
struct WireSessionLost {
    user: String,
    session: u64,
    message: Option<String>,
}

fn kind(bytes: &[u8]) -> Result<String, Malformed> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(problem(Problem::TooLong { bytes: bytes.len() }));
    }
    Ok(parse::<WireKind>(bytes)?.r#type)
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Malformed> {
    // A struct may also be written as a JSON array; the protocol knows only objects.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(problem(Problem::Json("not a JSON object".into())));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| problem(Problem::Json(cut(&error.to_string()).into())))
}

fn hello(wire: WireHello) -> Result<Hello, Malformed> {
    Ok(Hello { version: wire.version, gateway: name(wire.gateway, "gateway")?, n: wire.n })
}

fn request(bytes: &[u8]) -> Result<Request, Malformed> {
    let wire: WireRequest = parse(bytes)?;
    let op = match wire.op.as_str() {
        "connect" => Op::Connect,
        "disconnect" => Op::Disconnect,
        "subscribe" => Op::Subscribe {
            depth: wire.depth.ok_or(problem(Problem::Field("depth")))?,
            topic: topic(wire.exchange, wire.symbol, wire.mode)?,
        },
        "unsubscribe" => Op::Unsubscribe { topic: topic(wire.exchange, wire.symbol, wire.mode)? },
        "unsubscribe_all" => Op::UnsubscribeAll,
        _ => return Err(problem(Problem::Field("op"))),
    };
    Ok(Request {
        id: wire.id,
        user: name(wire.user, "user")?.into(),
        connection: wire.connection,
        session: wire.session,
        op,
        deadline_ms: wire.deadline_ms,
        more: wire.more,
    })
}

fn request_id(bytes: &[u8]) -> Option<u64> {
    parse::<WireId>(bytes).ok().map(|wire| wire.id)
}

fn topic(
    exchange: Option<String>,
    symbol: Option<String>,
    mode: Option<i64>,
) -> Result<Topic, Malformed> {
    let exchange = name(exchange.unwrap_or_default(), "exchange")?;
    let symbol = name(symbol.unwrap_or_default(), "symbol")?;
    let mode = mode.and_then(Mode::from_number).ok_or(problem(Problem::Field("mode")))?;
    Ok(Topic::new(Instrument::new(exchange, symbol), mode))
}

fn welcome(wire: WireWelcome) -> Result<Welcome, Malformed> {
    Ok(Welcome {
        version: wire.version,
        name: name(wire.name, "name")?,
        instance: name(wire.instance, "instance")?,
        n: wire.n,
    })
}

fn answer(wire: WireAnswer) -> Result<Answer, Malformed> {
    let result = match wire.status.as_str() {
        "success" => Ok(wire.depth),
        "error" => {
            Err(Failure { code: failure_code(wire.code.as_deref()), message: text(wire.message) })
        }
        _ => return Err(problem(Problem::Field("status"))),
    };
    Ok(Answer { id: wire.id, result })
}

/// A code of a later version is still a refusal.
fn failure_code(code: Option<&str>) -> FailureCode {
    match code {
        Some("INIT_FAILED") => FailureCode::InitFailed,
        Some("NOT_CONNECTED") => FailureCode::NotConnected,
        Some("TIMEOUT") => FailureCode::Timeout,
        Some(_) | None => FailureCode::Refused,
    }
}

fn event(bytes: &[u8]) -> Result<Option<Event>, Malformed> {
    match parse::<WireEventKind>(bytes)?.event.as_str() {
        "session_lost" => {
            let wire: WireSessionLost = parse(bytes)?;
            Ok(Some(Event::SessionLost {
                user: name(wire.user, "user")?.into(),
                session: wire.session,
                message: text(wire.message),
            }))
        }
        _ => Ok(None),
    }
}

fn name(name: String, field: &'static str) -> Result<String, Malformed> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(problem(Problem::Field(field)));
    }
    Ok(name)
}

fn text(text: Option<String>) -> String {
    let mut text = text.unwrap_or_default();
    text.truncate(cut(&text).len());
    text
}

const fn problem(problem: Problem) -> Malformed {
    Malformed { request_id: None, problem }
}
