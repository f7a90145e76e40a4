//! Requests as a client writes them.

use serde_json::{Value, json};

use crate::history::{Request, Sent};
use crate::plan::Plan;

/// A key that nobody has.
const WRONG_KEY: &str = "key-of-nobody";

/// The text of a request.
#[must_use]
pub fn text(sent: &Sent) -> String {
    let id = sent.id;
    let value = match &sent.request {
        Request::Authenticate(user) => {
            let key = user.as_ref().map_or_else(|| WRONG_KEY.to_owned(), Plan::key_of);
            json!({"action": "authenticate", "api_key": key, "request_id": id})
        }
        Request::Subscribe(topics) => {
            let symbols: Vec<Value> = topics
                .iter()
                .map(|topic| {
                    let instrument = topic.instrument();
                    // Clients spell modes either way.
                    let mode = match id % 2 {
                        0 => json!(topic.mode().number()),
                        _ => json!(topic.mode().label()),
                    };
                    json!({"exchange": *instrument.exchange, "symbol": *instrument.symbol,
                        "mode": mode})
                })
                .collect();
            json!({"action": "subscribe", "symbols": symbols, "request_id": id})
        }
        Request::Unsubscribe(entries) => {
            let symbols: Vec<Value> = entries
                .iter()
                .map(|entry| {
                    let instrument = entry.topic.instrument();
                    let (exchange, symbol) = (&*instrument.exchange, &*instrument.symbol);
                    match entry.every_mode {
                        true => json!({"exchange": exchange, "symbol": symbol}),
                        false => json!({"exchange": exchange, "symbol": symbol,
                            "mode": entry.topic.mode().number()}),
                    }
                })
                .collect();
            json!({"action": "unsubscribe", "symbols": symbols, "request_id": id})
        }
        Request::UnsubscribeAll => json!({"action": "unsubscribe_all", "request_id": id}),
        Request::SubscribeOrders => json!({"action": "subscribe_orders", "request_id": id}),
        Request::UnsubscribeOrders => json!({"action": "unsubscribe_orders", "request_id": id}),
        Request::Ping => json!({"action": "ping", "timestamp": 1, "_pingId": id}),
        Request::BrokerInfo => json!({"action": "get_broker_info", "request_id": id}),
        Request::SupportedBrokers => json!({"action": "get_supported_brokers", "request_id": id}),
        Request::Garbage(text) => return text.clone(),
    };
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::UnsubscribeEntry;

    #[test]
    fn modes_are_spelt_both_ways_and_left_out_when_all_are_meant() {
        let topic: crate::topic_name::TopicName = "NSE:TCS/Quote".parse().expect("a topic");
        let subscribe = |id| text(&Sent { id, request: Request::Subscribe(vec![topic.clone()]) });
        assert!(subscribe(1).contains(r#""mode":"Quote""#));
        assert!(subscribe(2).contains(r#""mode":2"#));
        let entry = UnsubscribeEntry { topic: topic.clone(), every_mode: true };
        let all = text(&Sent { id: 3, request: Request::Unsubscribe(vec![entry]) });
        assert!(!all.contains("mode"), "{all}");
    }
}
