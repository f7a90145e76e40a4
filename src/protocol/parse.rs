//! The bytes of a request.
//!
//! Decisions where JSON or the contract leave a choice:
//! - A field that occurs twice counts as given last, as in Python and in browsers.
//! - Unknown fields are ignored, whatever they hold, if they are JSON.
//! - `action`, `api_key` and `symbols` count as missing if they are `null`, `false`, zero or
//!   empty, as in Python. A `depth`, `interval_ms`, `snapshot`, `timestamp` or `_pingId` that is
//!   `null` counts as missing; a `mode` that is `null` is wrong, and a `request_id` that is `null`
//!   is echoed.
//! - A message that is no object, or `api_key`, `token` or `symbols` of a wrong type, is a
//!   `SERVER_ERROR` as it always was; so is an entry of `symbols` that is no object: nothing of
//!   the request is carried out.
//! - A wrong value inside an entry fails that entry alone. A wrong `mode` beside `symbols` refuses
//!   the request, whether an entry needs it or not; a wrong `depth`, `interval_ms` or `snapshot`
//!   there fails each entry that has none of its own.
//! - Refusals of unreadable requests need no authentication: the bytes alone decide.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::admin::parse_command;
use super::fields::{Fields, is_truthy, text};
use super::json::{holds_more_than, nests_deeper_than};
use super::name::{check_exchange, check_symbol, clean, holds_forbidden};
use super::reject::Reject;
use super::request::{
    BadEntry, Credential, DEPTH_DEFAULT, DEPTH_MAX, ECHO_BYTES_MAX, INTERVAL_MS, Incoming,
    ParseLimits, Request, Secret, SubscribeEntry, UnsubscribeEntry,
};
use crate::topic::{Instrument, Mode};

/// Reads one message of a client: the content of a text frame, or of a binary one.
///
/// Total: any bytes get an answer, in time and space linear in their number. The `request_id` is
/// there whenever the message is an object and the id is no longer than [`ECHO_BYTES_MAX`].
#[must_use]
pub fn parse_request(bytes: &[u8], limits: &ParseLimits) -> Incoming {
    let (json, fields) = match read_fields(bytes, limits) {
        Ok(read) => read,
        Err(reject) => return Incoming { request_id: None, body: Err(reject) },
    };
    match echo("request_id", fields.request_id) {
        Ok(request_id) => Incoming { request_id, body: read_request(json, &fields, limits) },
        Err(reject) => Incoming { request_id: None, body: Err(reject) },
    }
}

fn read_fields<'a>(bytes: &'a [u8], limits: &ParseLimits) -> Result<(&'a str, Fields<'a>), Reject> {
    let json = std::str::from_utf8(bytes).map_err(|_| Reject::invalid_json())?;
    if nests_deeper_than(bytes, limits.nesting_max) {
        return Err(Reject::too_deep(limits.nesting_max));
    }
    if holds_more_than(bytes, limits.elements_max) {
        return Err(Reject::too_many_values(limits.elements_max));
    }
    if json.trim_ascii_start().starts_with('{') {
        let fields = serde_json::from_str(json).map_err(|_| Reject::invalid_json())?;
        return Ok((json, fields));
    }
    match serde_json::from_str::<&RawValue>(json) {
        Ok(_) => Err(Reject::not_an_object()),
        Err(_) => Err(Reject::invalid_json()),
    }
}

fn read_request(json: &str, fields: &Fields<'_>, limits: &ParseLimits) -> Result<Request, Reject> {
    let Some(action) = fields.action.filter(truthy).or(fields.kind) else {
        return Err(Reject::invalid_action(None));
    };
    let Some(action) = text(action) else {
        return Err(Reject::invalid_action(Some(action.get()).filter(|&json| json != "null")));
    };
    match &*action {
        "authenticate" | "auth" => Ok(Request::Authenticate(credential(fields)?)),
        "subscribe" => subscribe(fields, limits),
        "unsubscribe" => unsubscribe(fields, limits),
        "unsubscribe_all" => Ok(Request::UnsubscribeAll),
        "subscribe_orders" => Ok(Request::SubscribeOrders),
        "unsubscribe_orders" => Ok(Request::UnsubscribeOrders),
        "get_broker_info" => Ok(Request::BrokerInfo),
        "get_supported_brokers" => Ok(Request::SupportedBrokers),
        "admin" => Ok(Request::Admin(parse_command(json)?)),
        "ping" => Ok(Request::Ping {
            timestamp: echo("timestamp", fields.timestamp.filter(not_null))?,
            ping_id: echo("_pingId", fields.ping_id.filter(not_null))?,
        }),
        unknown => Err(Reject::invalid_action(Some(unknown))),
    }
}

fn credential(fields: &Fields<'_>) -> Result<Option<Credential>, Reject> {
    let secret = |name: &str, raw: &RawValue| match text(raw) {
        Some(text) => Ok(Secret::from(text.into_owned())),
        None => Err(Reject::wrong_type(name, "a string")),
    };
    if let Some(key) = fields.api_key.filter(truthy) {
        return Ok(Some(Credential::ApiKey(secret("api_key", key)?)));
    }
    if let Some(key) = fields.apikey.filter(truthy) {
        return Ok(Some(Credential::ApiKey(secret("apikey", key)?)));
    }
    if let Some(token) = fields.token.filter(truthy) {
        return Ok(Some(Credential::Token(secret("token", token)?)));
    }
    Ok(None)
}

fn subscribe(fields: &Fields<'_>, limits: &ParseLimits) -> Result<Request, Reject> {
    let shared_mode = fields.mode.map(mode).transpose()?.unwrap_or(Mode::Quote);
    let shared_depth = fields.depth.filter(not_null).map_or(Ok(DEPTH_DEFAULT), depth);
    let shared_interval = fields.interval_ms.filter(not_null).map_or(Ok(0), interval);
    let shared_snapshot = snapshot(fields);
    let entries = entries(fields, limits)?.ok_or_else(Reject::no_symbols)?;
    let read = |entry: &Fields<'_>| {
        Ok(SubscribeEntry {
            instrument: instrument(entry, limits)?,
            mode: entry.mode.map_or(Ok(shared_mode), mode)?,
            depth: match entry.depth.filter(not_null) {
                Some(own) => depth(own)?,
                None => shared_depth.clone()?,
            },
            interval_ms: match entry.interval_ms.filter(not_null) {
                Some(own) => interval(own)?,
                None => shared_interval.clone()?,
            },
            snapshot: match entry.snapshot.filter(not_null) {
                Some(_) => snapshot(entry)?,
                None => shared_snapshot.clone()?,
            },
        })
    };
    Ok(Request::Subscribe(
        entries
            .iter()
            .map(|entry| read(entry).map_err(|reject| bad_entry(entry, reject, limits)))
            .collect(),
    ))
}

fn unsubscribe(fields: &Fields<'_>, limits: &ParseLimits) -> Result<Request, Reject> {
    if fields.kind.and_then(text).as_deref() == Some("unsubscribe_all") {
        return Ok(Request::UnsubscribeAll);
    }
    let shared_mode = fields.mode.map(mode).transpose()?;
    let entries = entries(fields, limits)?.ok_or_else(Reject::nothing_to_unsubscribe)?;
    let read = |entry: &Fields<'_>| {
        Ok(UnsubscribeEntry {
            instrument: instrument(entry, limits)?,
            mode: entry.mode.map(mode).transpose()?.or(shared_mode),
        })
    };
    Ok(Request::Unsubscribe(
        entries
            .iter()
            .map(|entry| read(entry).map_err(|reject| bad_entry(entry, reject, limits)))
            .collect(),
    ))
}

/// The entries of `symbols`, else the one beside it; `None`: there is neither.
fn entries<'a>(
    fields: &Fields<'a>,
    limits: &ParseLimits,
) -> Result<Option<Vec<Fields<'a>>>, Reject> {
    let Some(symbols) = fields.symbols.filter(truthy) else {
        let single = fields.symbol.filter(truthy).and(fields.exchange.filter(truthy));
        return Ok(single.map(|_| vec![fields.clone()]));
    };
    let Ok(symbols) = serde_json::from_str::<Vec<&RawValue>>(symbols.get()) else {
        return Err(Reject::wrong_type("symbols", "an array of objects"));
    };
    if symbols.len() > limits.symbols_max {
        return Err(Reject::too_many_symbols(limits.symbols_max));
    }
    let read = |(index, entry): (usize, &'a RawValue)| {
        serde_json::from_str(entry.get())
            .map_err(|_| Reject::wrong_type(&format!("symbols[{index}]"), "an object"))
    };
    symbols.into_iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
}

fn instrument(entry: &Fields<'_>, limits: &ParseLimits) -> Result<Instrument, Reject> {
    let bytes_max = limits.name_bytes_max;
    let symbol = name("Symbol", entry.symbol, |name| check_symbol(name, bytes_max))?;
    let exchange = name("Exchange", entry.exchange, |name| check_exchange(name, bytes_max))?;
    Ok(Instrument::new(&*exchange, &*symbol))
}

fn name<'a>(
    field: &'static str,
    raw: Option<&'a RawValue>,
    check: impl FnOnce(&str) -> Result<(), String>,
) -> Result<Cow<'a, str>, Reject> {
    let Some(raw) = raw.filter(not_null) else {
        return Err(Reject::invalid_name(field, "is required"));
    };
    let name = text(raw).ok_or_else(|| Reject::invalid_name(field, "must be a string"))?;
    check(&name).map_err(|why| Reject::invalid_name(field, &why))?;
    Ok(name)
}

fn mode(raw: &RawValue) -> Result<Mode, Reject> {
    let json = raw.get();
    if let Some(name) = text(raw) {
        return Mode::from_name(name.trim()).ok_or_else(|| Reject::invalid_mode_name(&name));
    }
    match json.as_bytes() {
        [b't', ..] => Err(Reject::invalid_mode_type("bool (True)")),
        [b'f', ..] => Err(Reject::invalid_mode_type("bool (False)")),
        [b'n', ..] => Err(Reject::invalid_mode_type("NoneType")),
        [b'[', ..] => Err(Reject::invalid_mode_type("list")),
        [b'{', ..] => Err(Reject::invalid_mode_type("dict")),
        // A string with half a surrogate pair.
        [b'"', ..] => Err(Reject::invalid_mode_name(json.trim_matches('"'))),
        _ if json.contains(['.', 'e', 'E']) => Err(Reject::invalid_mode_type("float")),
        _ => json
            .parse()
            .ok()
            .and_then(Mode::from_number)
            .ok_or_else(|| Reject::invalid_mode_number(json)),
    }
}

fn depth(raw: &RawValue) -> Result<u32, Reject> {
    match raw.get().parse() {
        Ok(depth @ 1..=DEPTH_MAX) => Ok(depth),
        Ok(_) | Err(_) => Err(Reject::invalid_depth(DEPTH_MAX)),
    }
}

fn interval(raw: &RawValue) -> Result<u64, Reject> {
    match raw.get().parse() {
        Ok(ms) if ms == 0 || INTERVAL_MS.contains(&ms) => Ok(ms),
        Ok(_) | Err(_) => Err(Reject::invalid_interval(&INTERVAL_MS)),
    }
}

fn snapshot(fields: &Fields<'_>) -> Result<Option<bool>, Reject> {
    match fields.snapshot.filter(not_null).map(RawValue::get) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(Reject::invalid_snapshot()),
    }
}

fn bad_entry(entry: &Fields<'_>, reject: Reject, limits: &ParseLimits) -> BadEntry {
    let shown = |raw: Option<&RawValue>| {
        raw.and_then(text).map_or_else(String::new, |text| clean(&text, limits.name_bytes_max))
    };
    let forbidden = [entry.exchange, entry.symbol]
        .into_iter()
        .flatten()
        .filter_map(text)
        .any(|text| holds_forbidden(&text));
    let (exchange, symbol) = (shown(entry.exchange), shown(entry.symbol));
    BadEntry { exchange, symbol, reject, forbidden }
}

fn echo(field: &str, raw: Option<&RawValue>) -> Result<Option<Box<RawValue>>, Reject> {
    match raw {
        Some(raw) if raw.get().len() > ECHO_BYTES_MAX => {
            Err(Reject::too_long(field, ECHO_BYTES_MAX))
        }
        Some(raw) => Ok(Some(raw.to_owned())),
        None => Ok(None),
    }
}

fn truthy(raw: &&RawValue) -> bool {
    is_truthy(raw)
}

fn not_null(raw: &&RawValue) -> bool {
    raw.get() != "null"
}
