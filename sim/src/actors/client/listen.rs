//! Messages of the gateway as a client understands them.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tickgate::protocol::FeedStatus;
use tickgate::protocol::feed_status::TOPICS_MAX;
use tickgate::topic::{Mode, UserId};
use xxhash_rust::xxh3::xxh3_64;

use crate::history::{Answer, Reply, RowOutcome, Seen, SubscribeRow, Tick};
use crate::topic_name::TopicName;

/// Characters of a message that nobody understands which go into the trace.
const SHOWN_CHARS_MAX: usize = 200;

/// The members of a tick that a client looks at.
#[derive(Deserialize)]
struct MarketData<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    exchange: Cow<'a, str>,
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    mode: i64,
    #[serde(borrow)]
    data: Numbered<'a>,
    #[serde(borrow)]
    broker: Option<Cow<'a, str>>,
    #[serde(default)]
    snapshot: bool,
    seq: Option<u64>,
    /// There only if it is not 0.
    skipped: Option<u64>,
}

/// The members of a broadcast that a client looks at.
#[derive(Deserialize)]
struct Broadcast<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    ticks: Vec<MarketData<'a>>,
    #[serde(default)]
    snapshot: bool,
}

/// What the simulated feed puts into a tick.
#[derive(Deserialize)]
struct Numbered<'a> {
    src: i64,
    seq: u64,
    /// What was recorded, if it was, and the checksum of its bytes.
    #[serde(borrow)]
    recorded: Option<&'a RawValue>,
    sum: Option<u64>,
}

/// The members of all other messages that a client looks at.
#[derive(Deserialize)]
struct Other {
    #[serde(rename = "type")]
    kind: Option<String>,
    status: Option<String>,
    /// Of what was no request, it is whatever that had.
    request_id: Option<Value>,
    #[serde(rename = "_pingId")]
    ping_id: Option<Value>,
    user_id: Option<UserId>,
    broker: Option<String>,
    adapter_status: Option<String>,
    brokers: Option<Vec<String>>,
    seq: Option<u64>,
    code: Option<String>,
    message: Option<String>,
    subscriptions: Option<Vec<Row>>,
    successful: Option<Vec<Named>>,
    failed: Option<Vec<Named>>,
    topics: Option<Vec<StatusTopic>>,
}

/// A topic of which a client is told how it is.
#[derive(Deserialize)]
struct StatusTopic {
    exchange: String,
    symbol: String,
    mode: i64,
    /// Milliseconds since 1970.
    #[serde(rename = "since")]
    _since: u64,
    #[serde(rename = "reason")]
    _reason: String,
}

/// How the subscription of one topic went.
#[derive(Deserialize)]
struct Row {
    exchange: String,
    symbol: String,
    mode: Option<String>,
    status: String,
    code: Option<String>,
    interval_ms: Option<u64>,
}

/// An instrument.
#[derive(Deserialize)]
struct Named {
    exchange: String,
    symbol: String,
}

/// What a text message means. `brokers`: of several the names; ticks of others are none.
#[must_use]
pub fn understand(text: &str, brokers: &[Arc<str>]) -> Seen {
    // An array of the same members would be read as well.
    if !text.trim_start().starts_with('{') {
        return unexpected(text);
    }
    // Most messages are ticks.
    if let Some(tick) = serde_json::from_str(text).ok().and_then(|data| tick(data, brokers)) {
        return Seen::Tick(tick);
    }
    if text.contains("broadcast")
        && let Some(seen) = serde_json::from_str(text).ok().and_then(broadcast)
    {
        return seen;
    }
    let seen =
        serde_json::from_str(text).ok().and_then(|other: Other| match other.kind.as_deref() {
            Some("market_data") => None,
            Some("notice") => {
                let number = other.message?.strip_prefix("notice ")?.parse().ok()?;
                Some(Seen::Notice { number })
            }
            Some("feed_status") => feed_status(other),
            Some("order_update") => {
                Some(Seen::OrderUpdate { user: other.user_id?, seq: other.seq? })
            }
            Some(_) | None => answer(other).map(Seen::Answered),
        });
    seen.unwrap_or_else(|| unexpected(text))
}

fn unexpected(text: &str) -> Seen {
    Seen::Unexpected(text.chars().take(SHOWN_CHARS_MAX).collect())
}

fn tick(data: MarketData<'_>, brokers: &[Arc<str>]) -> Option<Tick> {
    (data.kind == "market_data").then_some(())?;
    let mode = Mode::from_number(data.mode)?;
    (data.skipped != Some(0)).then_some(())?;
    // Digit for digit, or it is no tick of the feed.
    (data.data.recorded.map(checksum) == data.data.sum).then_some(())?;
    let broker = match brokers {
        [] => None,
        brokers => {
            let named = data.broker.as_deref()?;
            Some(brokers.iter().find(|name| ***name == *named)?.clone())
        }
    };
    Some(Tick {
        broker,
        topic: TopicName::new(&data.exchange, &data.symbol, mode),
        source: Mode::from_number(data.data.src)?,
        seq: data.data.seq,
        snapshot: data.snapshot,
        number: data.seq,
        skipped: data.skipped.unwrap_or_default(),
    })
}

fn checksum(recorded: &RawValue) -> u64 {
    xxh3_64(recorded.get().as_bytes())
}

fn broadcast(message: Broadcast<'_>) -> Option<Seen> {
    (message.kind == "broadcast").then_some(())?;
    let ticks = message.ticks.into_iter().map(|data| tick(data, &[])).collect::<Option<_>>()?;
    Some(Seen::Broadcast { ticks, snapshot: message.snapshot })
}

fn feed_status(message: Other) -> Option<Seen> {
    let word = message.status?;
    let status = FeedStatus::ALL.into_iter().find(|status| status.word() == word)?;
    let name = |topic: StatusTopic| {
        Some(TopicName::new(&topic.exchange, &topic.symbol, Mode::from_number(topic.mode)?))
    };
    let topics: Vec<TopicName> = message.topics?.into_iter().map(name).collect::<Option<_>>()?;
    let few = !topics.is_empty() && topics.len() <= TOPICS_MAX;
    few.then_some(Seen::FeedStatus { status, topics })
}

fn answer(message: Other) -> Option<Answer> {
    let number = |id: &Option<Value>| id.as_ref().and_then(Value::as_u64);
    let id = number(&message.request_id).or_else(|| number(&message.ping_id));
    let broker = message.broker.clone();
    reply(message).map(|reply| Answer { id, reply, broker })
}

fn reply(message: Other) -> Option<Reply> {
    let success = message.status.as_deref() == Some("success");
    match message.kind.as_deref() {
        Some("auth") if success => Some(Reply::Authenticated(message.user_id?)),
        Some("subscribe") => {
            let rows = message.subscriptions?.into_iter().map(row);
            rows.collect::<Option<_>>().map(Reply::Subscribed)
        }
        Some("unsubscribe") => Some(Reply::Unsubscribed {
            successful: message.successful?.into_iter().map(instrument).collect(),
            failed: message.failed?.into_iter().map(instrument).collect(),
        }),
        Some("subscribe_orders") if success => Some(Reply::OrdersOn),
        Some("unsubscribe_orders") if success => Some(Reply::OrdersOff),
        Some("pong") if success => Some(Reply::Pong),
        Some("broker_info") if success => {
            Some(Reply::BrokerInfo { broker: message.broker?, session: message.adapter_status? })
        }
        Some("supported_brokers") if success => Some(Reply::SupportedBrokers(message.brokers?)),
        Some("error") | None if message.status.as_deref() == Some("error") => {
            Some(Reply::Refused { code: message.code?, message: message.message? })
        }
        Some(_) | None => None,
    }
}

fn row(row: Row) -> Option<SubscribeRow> {
    let mode = row.mode.as_deref().and_then(Mode::from_name);
    let outcome = match row.status.as_str() {
        "success" => RowOutcome::Success,
        "warning" => RowOutcome::Already,
        "error" => RowOutcome::Failed { code: row.code? },
        _ => return None,
    };
    // Whoever has it must be told in which mode.
    let failed = matches!(outcome, RowOutcome::Failed { .. });
    let instrument = instrument(Named { exchange: row.exchange, symbol: row.symbol });
    let interval_ms = row.interval_ms.unwrap_or(0);
    (failed || mode.is_some()).then_some(SubscribeRow { instrument, mode, outcome, interval_ms })
}

fn instrument(Named { exchange, symbol }: Named) -> String {
    format!("{exchange}:{symbol}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str) -> Seen {
        understand(text, &[])
    }

    #[test]
    fn documented_messages_are_understood() {
        let tick = r#"{"type":"market_data","symbol":"TCS","exchange":"NSE","mode":1,
            "broker":"b","data":{"ltp":1.5,"seq":7,"src":2},"snapshot":true}"#;
        assert_eq!(heard(tick).to_string(), "<- tick NSE:TCS/LTP #7 from Quote (snapshot)");
        let told = r#"{"type":"market_data","skipped":3,"seq":11,"symbol":"TCS","exchange":"NSE",
            "mode":1,"broker":"b","data":{"ltp":1.5,"seq":7,"src":1}}"#;
        assert_eq!(heard(told).to_string(), "<- tick NSE:TCS/LTP #7=11 skipping 3");
        assert!(matches!(heard(&told.replace(":3,", ":0,")), Seen::Unexpected(_)));
        let auth = r#"{"type":"auth","status":"success","user_id":"alice","request_id":4}"#;
        assert_eq!(heard(auth).to_string(), "<- 4 authenticated as alice");
        let rows = r#"{"type":"subscribe","status":"partial","request_id":5,"subscriptions":[
            {"symbol":"A","exchange":"NSE","status":"success","mode":"LTP"},
            {"symbol":"B","exchange":"NSE","status":"error","message":"no","code":"BROKER_ERROR"}]}"#;
        let shown = heard(rows).to_string();
        assert_eq!(shown, "<- 5 subscribed NSE:A/LTP ok NSE:B BROKER_ERROR");
        let stale = r#"{"type":"feed_status","status":"stale","broker":"b","topics":[
            {"exchange":"NSE","symbol":"A","mode":1,"since":7,"reason":"r"}]}"#;
        assert_eq!(heard(stale).to_string(), "<- stale NSE:A/LTP");
        assert!(matches!(heard(&stale.replace("stale", "well")), Seen::Unexpected(_)));
        let refused = r#"{"type":"error","status":"error","code":"INVALID_JSON","message":"m"}"#;
        assert_eq!(heard(refused).to_string(), "<- refused INVALID_JSON: m");
    }

    #[test]
    fn a_recorded_tick_with_another_digit_is_none() {
        let sum = xxh3_64(br#"{"ltp": 1.10}"#);
        let tick = format!(
            r#"{{"type":"market_data","symbol":"TCS","exchange":"NSE","mode":1,"broker":"b",
            "data":{{"seq":7,"src":1,"sum":{sum},"recorded":{{"ltp": 1.10}}}}}}"#
        );
        assert_eq!(heard(&tick).to_string(), "<- tick NSE:TCS/LTP #7");
        for other in [r#"{"ltp": 1.1}"#, r#"{"ltp":1.10}"#, "null"] {
            let other = tick.replace(r#"{"ltp": 1.10}"#, other);
            assert!(matches!(heard(&other), Seen::Unexpected(_)), "{other}");
        }
    }

    #[test]
    fn anything_else_is_unexpected() {
        for text in [
            "nonsense",
            "{}",
            r#"{"type":"market_data","symbol":"TCS"}"#,
            r#"{"type":"auth","status":"maybe"}"#,
            r#"["market_data","NSE","TCS",1,[1,7],false]"#,
            r#"{"type":"subscribe","subscriptions":[{"symbol":"A","exchange":"B","status":"success"}]}"#,
        ] {
            assert!(matches!(heard(text), Seen::Unexpected(_)), "{text}");
        }
    }
}
