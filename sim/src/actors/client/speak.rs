//! Requests as a client writes them.

use serde::Serialize;
use tickgate::topic::{Instrument, Mode};

use crate::history::{Request, Sent, UnsubscribeEntry};
use crate::plan::Plan;
use crate::topic_name::TopicName;

/// A key that nobody has.
const WRONG_KEY: &str = "key-of-nobody";

/// A request on the wire.
#[derive(Default, Serialize)]
struct Body<'a> {
    #[serde(rename = "_pingId", skip_serializing_if = "Option::is_none")]
    ping_id: Option<u64>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    symbols: Option<Vec<Entry<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
}

/// One topic of a request.
#[derive(Serialize)]
struct Entry<'a> {
    exchange: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<Spelt>,
    symbol: &'a str,
}

/// Clients spell modes either way.
#[derive(Serialize)]
#[serde(untagged)]
enum Spelt {
    Number(u8),
    Label(&'static str),
}

/// The text of a request. A subscribe asks for this interval, unless it is 0.
#[must_use]
pub fn text(sent: &Sent, interval_ms: u64) -> String {
    let asks = |action| Body { action, request_id: Some(sent.id), ..Body::default() };
    let body = match &sent.request {
        Request::Authenticate(user) => {
            let key = user.as_ref().map_or_else(|| WRONG_KEY.to_owned(), Plan::key_of);
            Body { api_key: Some(key), ..asks("authenticate") }
        }
        Request::Subscribe(topics) => {
            let spelt = |mode: Mode| match sent.id % 2 {
                0 => Spelt::Number(mode.number()),
                _ => Spelt::Label(mode.label()),
            };
            let entries = topics.iter().map(|topic| entry(topic, Some(spelt(topic.mode()))));
            // Both places mean the same.
            let interval_ms = Some(interval_ms).filter(|ms| *ms > 0);
            let (of_all, of_each) = match sent.id % 3 {
                0 => (interval_ms, None),
                _ => (None, interval_ms),
            };
            let entries = entries.map(|entry| Entry { interval_ms: of_each, ..entry });
            let symbols = Some(entries.collect());
            Body { symbols, interval_ms: of_all, ..asks("subscribe") }
        }
        Request::Unsubscribe(entries) => {
            let entries = entries.iter().map(|UnsubscribeEntry { topic, every_mode }| {
                entry(topic, (!every_mode).then(|| Spelt::Number(topic.mode().number())))
            });
            Body { symbols: Some(entries.collect()), ..asks("unsubscribe") }
        }
        Request::UnsubscribeAll => asks("unsubscribe_all"),
        Request::SubscribeOrders => asks("subscribe_orders"),
        Request::UnsubscribeOrders => asks("unsubscribe_orders"),
        Request::Ping => {
            let (ping_id, timestamp) = (Some(sent.id), Some(1));
            Body { action: "ping", ping_id, timestamp, ..Body::default() }
        }
        Request::BrokerInfo => asks("get_broker_info"),
        Request::SupportedBrokers => asks("get_supported_brokers"),
        Request::Garbage(text) => return text.clone(),
    };
    serde_json::to_string(&body).expect("words and numbers can be written")
}

fn entry(topic: &TopicName, mode: Option<Spelt>) -> Entry<'_> {
    let Instrument { exchange, symbol } = topic.instrument();
    Entry { exchange, interval_ms: None, mode, symbol }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_spelt_both_ways_and_left_out_when_all_are_meant() {
        let topic: TopicName = "NSE:TCS/Quote".parse().expect("a topic");
        let asks = |id| Sent { id, request: Request::Subscribe(vec![topic.clone()]) };
        let subscribe = |id| text(&asks(id), 0);
        assert!(subscribe(1).contains(r#""mode":"Quote""#));
        assert!(subscribe(2).contains(r#""mode":2"#));
        let entry = UnsubscribeEntry { topic: topic.clone(), every_mode: true };
        let all = text(&Sent { id: 3, request: Request::Unsubscribe(vec![entry]) }, 50);
        assert!(!all.contains("mode") && !all.contains("interval"), "{all}");
        for id in [3, 4] {
            assert!(!subscribe(id).contains("interval_ms"));
            assert!(text(&asks(id), 50).contains(r#""interval_ms":50"#));
        }
    }
}
