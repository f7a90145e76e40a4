//! Messages of the gateway as a client understands them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use tickgate::topic::Mode;

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
    data: Numbered,
    #[serde(default)]
    snapshot: bool,
}

/// What the simulated feed puts into a tick.
#[derive(Deserialize)]
struct Numbered {
    src: i64,
    seq: u64,
}

/// What a text message means.
#[must_use]
pub fn understand(text: &str) -> Seen {
    // Most messages are ticks: they are read without a tree of values.
    if let Some(tick) = serde_json::from_str(text).ok().and_then(tick) {
        return Seen::Tick(tick);
    }
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) => return unexpected(text),
    };
    let seen = match value["type"].as_str() {
        Some("market_data") => None,
        Some("order_update") => order_update(&value),
        _ => reply(&value).map(|reply| Seen::Answered(Answer { id: id(&value), reply })),
    };
    seen.unwrap_or_else(|| unexpected(text))
}

fn unexpected(text: &str) -> Seen {
    Seen::Unexpected(text.chars().take(SHOWN_CHARS_MAX).collect())
}

fn id(value: &Value) -> Option<u64> {
    value["request_id"].as_u64().or_else(|| value["_pingId"].as_u64())
}

fn tick(data: MarketData<'_>) -> Option<Tick> {
    (data.kind == "market_data").then_some(())?;
    let mode = Mode::from_number(data.mode)?;
    Some(Tick {
        topic: TopicName::new(&data.exchange, &data.symbol, mode),
        source: Mode::from_number(data.data.src)?,
        seq: data.data.seq,
        snapshot: data.snapshot,
    })
}

fn order_update(value: &Value) -> Option<Seen> {
    let user = value["user_id"].as_str()?.into();
    Some(Seen::OrderUpdate { user, seq: value["seq"].as_u64()? })
}

fn reply(value: &Value) -> Option<Reply> {
    let success = value["status"] == "success";
    match value["type"].as_str() {
        Some("auth") if success => Some(Reply::Authenticated(value["user_id"].as_str()?.into())),
        Some("subscribe") => subscribed(value),
        Some("unsubscribe") => Some(Reply::Unsubscribed {
            successful: instruments(&value["successful"])?,
            failed: instruments(&value["failed"])?,
        }),
        Some("subscribe_orders") if success => Some(Reply::OrdersOn),
        Some("unsubscribe_orders") if success => Some(Reply::OrdersOff),
        Some("pong") if success => Some(Reply::Pong),
        Some("broker_info") if success => Some(Reply::BrokerInfo),
        Some("supported_brokers") if success => Some(Reply::SupportedBrokers),
        Some("error") | None if value["status"] == "error" => Some(Reply::Refused {
            code: value["code"].as_str()?.to_owned(),
            message: value["message"].as_str()?.to_owned(),
        }),
        Some(_) | None => None,
    }
}

fn subscribed(value: &Value) -> Option<Reply> {
    let rows = value["subscriptions"].as_array()?.iter().map(|row| {
        let mode = row["mode"].as_str().and_then(Mode::from_name);
        let outcome = match row["status"].as_str()? {
            "success" => RowOutcome::Success,
            "warning" => RowOutcome::Already,
            "error" => RowOutcome::Failed { code: row["code"].as_str()?.to_owned() },
            _ => return None,
        };
        // Whoever has it must be told in which mode.
        let failed = matches!(outcome, RowOutcome::Failed { .. });
        (failed || mode.is_some()).then_some(SubscribeRow {
            instrument: instrument(row)?,
            mode,
            outcome,
        })
    });
    rows.collect::<Option<Vec<_>>>().map(Reply::Subscribed)
}

fn instruments(rows: &Value) -> Option<Vec<String>> {
    rows.as_array()?.iter().map(instrument).collect()
}

fn instrument(row: &Value) -> Option<String> {
    Some(format!("{}:{}", row["exchange"].as_str()?, row["symbol"].as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_messages_are_understood() {
        let tick = r#"{"type":"market_data","symbol":"TCS","exchange":"NSE","mode":1,
            "broker":"b","data":{"ltp":1.5,"seq":7,"src":2},"snapshot":true}"#;
        assert_eq!(understand(tick).to_string(), "<- tick NSE:TCS/LTP #7 from Quote (snapshot)");
        let auth = r#"{"type":"auth","status":"success","user_id":"alice","request_id":4}"#;
        assert_eq!(understand(auth).to_string(), "<- 4 authenticated as alice");
        let rows = r#"{"type":"subscribe","status":"partial","request_id":5,"subscriptions":[
            {"symbol":"A","exchange":"NSE","status":"success","mode":"LTP"},
            {"symbol":"B","exchange":"NSE","status":"error","message":"no","code":"BROKER_ERROR"}]}"#;
        let shown = understand(rows).to_string();
        assert_eq!(shown, "<- 5 subscribed NSE:A/LTP ok NSE:B BROKER_ERROR");
        let refused = r#"{"type":"error","status":"error","code":"INVALID_JSON","message":"m"}"#;
        assert_eq!(understand(refused).to_string(), "<- refused INVALID_JSON: m");
    }

    #[test]
    fn anything_else_is_unexpected() {
        for text in [
            "nonsense",
            "{}",
            r#"{"type":"market_data","symbol":"TCS"}"#,
            r#"{"type":"auth","status":"maybe"}"#,
            r#"{"type":"subscribe","subscriptions":[{"symbol":"A","exchange":"B","status":"success"}]}"#,
        ] {
            assert!(matches!(understand(text), Seen::Unexpected(_)), "{text}");
        }
    }
}
