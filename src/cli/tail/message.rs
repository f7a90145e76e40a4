//! What a gateway says, as far as `tail` shows it. Numbers stay text, digit for digit.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::topic::{Instrument, Mode};

/// One message of a gateway.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// The key was accepted.
    Authenticated {
        /// As whom.
        user: String,
        /// On which broker.
        broker: String,
    },
    /// An answer to one subscribe request.
    Subscribed {
        /// How many symbols are subscribed now.
        done: usize,
        /// For each of the others: the symbol and why.
        failed: Vec<String>,
    },
    /// Order updates will come.
    OrdersSubscribed,
    /// A request was refused as a whole.
    Refused {
        /// E.g. `AUTHENTICATION_ERROR`.
        code: String,
        /// For people.
        message: String,
    },
    /// Prices.
    Tick(Box<Tick>),
    /// Something of the user's own: an order update.
    Order,
    /// An answer that needs no showing.
    Other,
}

/// The prices of one message. What the message does not hold is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Of what.
    pub instrument: Instrument,
    /// Of which subscription.
    pub mode: Mode,
    /// How many values before it were left out.
    pub skipped: u64,
    /// Last traded price.
    pub ltp: String,
    /// The day's first price.
    pub open: String,
    /// The day's highest price.
    pub high: String,
    /// The day's lowest price.
    pub low: String,
    /// The previous day's last price.
    pub close: String,
    /// Traded today.
    pub volume: String,
    /// Per cent since the previous day's last price.
    pub change_percent: String,
    /// The buyers' side of the book, best first.
    pub bids: Vec<Level>,
    /// The sellers' side of the book, best first.
    pub asks: Vec<Level>,
}

/// One level of a book.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Level {
    /// Price of one.
    pub price: String,
    /// How many.
    pub quantity: String,
}

/// Reads a text frame. `None` if it is not a JSON object.
#[must_use]
pub fn parse(text: &str) -> Option<Message> {
    // An array would do for a struct.
    let head: Head<'_> =
        text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok())??;
    Some(match (head.kind.as_deref(), head.status.as_deref()) {
        (Some("market_data"), _) => serde_json::from_str::<TickFrame<'_>>(text)
            .ok()
            .and_then(TickFrame::tick)
            .map_or(Message::Other, |tick| Message::Tick(Box::new(tick))),
        (Some("auth"), Some("success")) => {
            Message::Authenticated { user: shown(head.user_id), broker: shown(head.broker) }
        }
        (Some("subscribe"), Some("success" | "partial")) => {
            serde_json::from_str::<SubscribeAnswer<'_>>(text)
                .map_or(Message::Other, SubscribeAnswer::message)
        }
        (Some("subscribe_orders"), Some("success")) => Message::OrdersSubscribed,
        (None | Some("error" | "auth" | "subscribe" | "subscribe_orders"), Some("error")) => {
            Message::Refused { code: shown(head.code), message: shown(head.message) }
        }
        (
            Some(
                "auth" | "subscribe" | "unsubscribe" | "subscribe_orders" | "unsubscribe_orders"
                | "broker_info" | "supported_brokers" | "pong" | "error",
            ),
            _,
        ) => Message::Other,
        (_, _) => Message::Order,
    })
}

/// Text of a peer without what a terminal would obey.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        Cow::Owned(text.replace(char::is_control, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow, default, deserialize_with = "lenient")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    code: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    message: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    user_id: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    broker: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct SubscribeAnswer<'a> {
    #[serde(borrow, default)]
    subscriptions: Vec<SubscribedEntry<'a>>,
}

#[derive(Deserialize)]
struct SubscribedEntry<'a> {
    #[serde(borrow, default)]
    symbol: Cow<'a, str>,
    #[serde(borrow, default)]
    exchange: Cow<'a, str>,
    #[serde(borrow, default)]
    status: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    message: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct TickFrame<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    exchange: Cow<'a, str>,
    mode: i64,
    #[serde(borrow, default)]
    skipped: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    ltp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    open: Option<&'a RawValue>,
    #[serde(borrow, default)]
    high: Option<&'a RawValue>,
    #[serde(borrow, default)]
    low: Option<&'a RawValue>,
    #[serde(borrow, default)]
    close: Option<&'a RawValue>,
    #[serde(borrow, default)]
    volume: Option<&'a RawValue>,
    #[serde(borrow, default)]
    change_percent: Option<&'a RawValue>,
    #[serde(borrow, default)]
    depth: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Book<'a> {
    #[serde(borrow, default, alias = "bids")]
    buy: Vec<BookLevel<'a>>,
    #[serde(borrow, default, alias = "asks")]
    sell: Vec<BookLevel<'a>>,
}

#[derive(Deserialize)]
struct BookLevel<'a> {
    #[serde(borrow, default)]
    price: Option<&'a RawValue>,
    #[serde(borrow, default)]
    quantity: Option<&'a RawValue>,
}

impl SubscribeAnswer<'_> {
    fn message(self) -> Message {
        let (failed, done): (Vec<_>, Vec<_>) =
            self.subscriptions.into_iter().partition(|entry| entry.status == "error");
        let failed = failed.into_iter().map(|entry| {
            let name = format!("{}:{}", entry.exchange, entry.symbol);
            format!("{}: {}", printable(&name), shown(entry.message))
        });
        Message::Subscribed { done: done.len(), failed: failed.collect() }
    }
}

impl TickFrame<'_> {
    fn tick(self) -> Option<Tick> {
        let data = self.data;
        let book = data
            .depth
            .and_then(|depth| serde_json::from_str::<Book<'_>>(depth.get()).ok())
            .unwrap_or(Book { buy: Vec::new(), sell: Vec::new() });
        Some(Tick {
            instrument: Instrument::new(&*printable(&self.exchange), &*printable(&self.symbol)),
            mode: Mode::from_number(self.mode)?,
            skipped: self.skipped.and_then(|raw| raw.get().parse().ok()).unwrap_or_default(),
            ltp: number(data.ltp),
            open: number(data.open),
            high: number(data.high),
            low: number(data.low),
            close: number(data.close),
            volume: number(data.volume),
            change_percent: number(data.change_percent),
            bids: book.buy.into_iter().map(BookLevel::level).collect(),
            asks: book.sell.into_iter().map(BookLevel::level).collect(),
        })
    }
}

impl BookLevel<'_> {
    fn level(self) -> Level {
        Level { price: number(self.price), quantity: number(self.quantity) }
    }
}

/// The digits as they came; nothing for what is neither a number nor a text.
fn number(value: Option<&RawValue>) -> String {
    let text = value.map_or("", RawValue::get);
    match text.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => text.to_owned(),
        Some(b'"') => {
            let inner: String = serde_json::from_str(text).unwrap_or_default();
            printable(&inner).into_owned()
        }
        _ => String::new(),
    }
}

fn shown(text: Option<Cow<'_, str>>) -> String {
    text.map(|text| printable(&text).into_owned()).unwrap_or_default()
}

/// A text, or nothing if it is something else.
fn lenient<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum TextOrNot<'a> {
        Text(#[serde(borrow)] Cow<'a, str>),
        Not(IgnoredAny),
    }
    Ok(match TextOrNot::deserialize(from)? {
        TextOrNot::Text(text) => Some(text),
        TextOrNot::Not(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(text: &str) -> Tick {
        match parse(text) {
            Some(Message::Tick(tick)) => *tick,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_tick_keeps_its_digits() {
        let tick = tick(
            r#"{"type":"market_data","symbol":"RELIANCE","exchange":"NSE","mode":2,"broker":"p",
                "data":{"ltp":1424.050,"open":1e3,"volume":12345678901234567890,"high":null}}"#,
        );
        assert_eq!(tick.instrument, Instrument::new("NSE", "RELIANCE"));
        assert_eq!(tick.mode, Mode::Quote);
        assert_eq!((&*tick.ltp, &*tick.open), ("1424.050", "1e3"));
        assert_eq!((&*tick.volume, &*tick.high, &*tick.low), ("12345678901234567890", "", ""));
    }

    #[test]
    fn a_book_is_read_in_both_spellings_and_a_broken_one_passed_over() {
        let frame = |depth: &str| {
            tick(&format!(
                r#"{{"type":"market_data","symbol":"A","exchange":"B","mode":3,
                    "data":{{"ltp":1,"depth":{depth}}}}}"#
            ))
        };
        let usual = frame(r#"{"buy":[{"price":1.5,"quantity":10,"orders":2}],"sell":[]}"#);
        assert_eq!(usual.bids, [Level { price: "1.5".into(), quantity: "10".into() }]);
        let other = frame(r#"{"bids":[],"asks":[{"price":2}]}"#);
        assert_eq!(other.asks, [Level { price: "2".into(), quantity: String::new() }]);
        assert_eq!(frame("[1]").bids, []);
    }

    #[test]
    fn answers_are_told_apart() {
        let auth = r#"{"type":"auth","status":"success","user_id":"alice","broker":"paper"}"#;
        assert_eq!(
            parse(auth),
            Some(Message::Authenticated { user: "alice".into(), broker: "paper".into() })
        );
        let answer = r#"{"type":"subscribe","status":"partial","request_id":0,"subscriptions":[
            {"symbol":"A","exchange":"N","status":"success","mode":"LTP","depth":5,"broker":"p"},
            {"symbol":"B","exchange":"N","status":"warning","message":"Already subscribed"},
            {"symbol":"C","exchange":"N","status":"error","message":"unknown","broker":"p"}]}"#;
        let failed = vec!["N:C: unknown".to_owned()];
        assert_eq!(parse(answer), Some(Message::Subscribed { done: 2, failed }));
        let error = r#"{"status":"error","code":"AUTHENTICATION_ERROR","message":"Invalid"}"#;
        let (code, message) = ("AUTHENTICATION_ERROR".into(), "Invalid".into());
        assert_eq!(parse(error), Some(Message::Refused { code, message }));
        assert_eq!(parse(r#"{"type":"pong","status":"success"}"#), Some(Message::Other));
        assert_eq!(parse(r#"{"type":"order_update","status":5}"#), Some(Message::Order));
        assert_eq!(parse(r#"{"orderid":"1","order_status":"open"}"#), Some(Message::Order));
        assert_eq!(parse("[]"), None);
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn nothing_that_a_terminal_obeys_comes_through() {
        let frame = "{\"type\":\"market_data\",\"symbol\":\"A\\u001b[2J\",\"exchange\":\"B\\n\",\
                     \"mode\":1,\"data\":{\"ltp\":\"\\u0007\"}}";
        let tick = tick(frame);
        assert_eq!(tick.instrument.to_string(), "B\u{fffd}:A\u{fffd}[2J");
        assert_eq!(tick.ltp, "\u{fffd}");
    }
}
