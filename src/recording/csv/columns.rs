//! What columns mean, and what becomes of a row.

use std::fmt::Write as _;

use super::time::{Zone, parse_time};
use crate::protocol::bus::{BusTopic, TopicRules, check_payload, parse_topic};
use crate::topic::Mode;

/// Names under which what is needed is found.
const TIME: &[&str] = &["time", "timestamp", "datetime", "date_time", "ts", "time_ns"];
const EXCHANGE: &[&str] = &["exchange", "segment"];
const SYMBOL: &[&str] = &["symbol", "tradingsymbol", "instrument", "ticker"];
const PRICE: &[&str] = &["ltp", "price", "last_price", "last"];
const TOPIC: &[&str] = &["topic"];
const PAYLOAD: &[&str] = &["payload"];
const BID: &[&str] = &["bid", "bid_price"];
const ASK: &[&str] = &["ask", "ask_price"];
const BID_QUANTITY: &[&str] = &["bid_quantity", "bid_qty", "bid_size"];
const ASK_QUANTITY: &[&str] = &["ask_quantity", "ask_qty", "ask_size"];
/// What a quote holds besides the price: names of columns, the first that of the field.
const QUOTE: &[&[&str]] = &[
    &["open"],
    &["high"],
    &["low"],
    &["close", "prev_close"],
    &["volume", "vol"],
    &["last_trade_quantity", "ltq", "quantity", "qty", "size"],
    &["avg_trade_price", "average_price", "vwap"],
    &["change"],
    &["change_percent"],
    &["oi", "open_interest"],
];

/// A tick of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// When: nanoseconds since 1970.
    pub unix_ns: u64,
    /// `EXCHANGE_SYMBOL_MODE`, or what the file says.
    pub topic: String,
    /// A JSON object. Numbers are as in the file, digit for digit.
    pub payload: String,
}

/// Where what stands in a line.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    names: Vec<String>,
    time: usize,
    content: Content,
    unused: Vec<String>,
}

#[derive(Clone, Debug)]
enum Content {
    /// Topics and payloads as they are.
    Whole { topic: usize, payload: usize },
    /// Prices.
    Prices(Prices),
}

#[derive(Clone, Debug, Default)]
struct Prices {
    exchange: Option<usize>,
    /// If no column has it.
    default_exchange: String,
    symbol: usize,
    price: usize,
    /// Names of fields and their columns.
    quote: Vec<(&'static str, usize)>,
    /// Columns of price and quantity.
    bid: Option<(usize, Option<usize>)>,
    ask: Option<(usize, Option<usize>)>,
}

/// What is wrong with a row.
pub(super) enum BadRow {
    Whole(String),
    Field { column: usize, name: String, problem: String },
}

impl Default for Content {
    fn default() -> Self {
        Self::Prices(Prices::default())
    }
}

impl Columns {
    /// Reads a head line.
    pub(super) fn new(names: &[String], exchange: Option<&str>) -> Result<Self, String> {
        let mut used = vec![false; names.len()];
        let mut find = |wanted: &[&str]| -> Result<Option<usize>, String> {
            let named = |name: &String| wanted.contains(&name.to_ascii_lowercase().as_str());
            let mut found = names.iter().enumerate().filter(|(_, name)| named(name));
            let first = found.next();
            if let (Some((_, one)), Some((_, other))) = (first, found.next()) {
                return Err(format!("the columns {one:?} and {other:?} mean the same"));
            }
            Ok(first.map(|(at, _)| {
                used[at] = true;
                at
            }))
        };
        let lacks = |what: &str, names: &[&str]| {
            format!("no column is the {what}; name one of them {}", names.join(", "))
        };
        let time = find(TIME)?.ok_or_else(|| lacks("time", TIME))?;
        let content = match (find(TOPIC)?, find(PAYLOAD)?) {
            (Some(topic), Some(payload)) => Content::Whole { topic, payload },
            (Some(_), None) => return Err(lacks("payload beside the topic", PAYLOAD)),
            (None, Some(_)) => return Err(lacks("topic beside the payload", TOPIC)),
            (None, None) => {
                let of_exchange = find(EXCHANGE)?;
                if of_exchange.is_none() && exchange.is_none() {
                    let problem = lacks("exchange", EXCHANGE);
                    return Err(format!("{problem}, or give the exchange of all with --exchange"));
                }
                let mut quote = Vec::new();
                for field in QUOTE {
                    quote.extend(find(field)?.map(|at| (field[0], at)));
                }
                let (bid, bid_quantity) = (find(BID)?, find(BID_QUANTITY)?);
                let (ask, ask_quantity) = (find(ASK)?, find(ASK_QUANTITY)?);
                Content::Prices(Prices {
                    exchange: of_exchange,
                    default_exchange: exchange.unwrap_or_default().to_owned(),
                    symbol: find(SYMBOL)?.ok_or_else(|| lacks("symbol", SYMBOL))?,
                    price: find(PRICE)?.ok_or_else(|| lacks("price", PRICE))?,
                    quote,
                    bid: bid.map(|at| (at, bid_quantity)),
                    ask: ask.map(|at| (at, ask_quantity)),
                })
            }
        };
        let unused = names.iter().zip(&used).filter(|(_, used)| !**used);
        let unused = unused.map(|(name, _)| name.clone()).collect();
        Ok(Self { names: names.to_vec(), time, content, unused })
    }

    pub(super) fn unused(&self) -> &[String] {
        &self.unused
    }

    /// The column of the time, and its name.
    pub(super) fn time(&self) -> (usize, String) {
        (self.time, self.names[self.time].clone())
    }

    /// Makes a tick of a line's fields.
    pub(super) fn row(&self, fields: &[String], zone: Zone) -> Result<Row, BadRow> {
        if fields.len() != self.names.len() {
            let (is, wanted) = (fields.len(), self.names.len());
            let problem = format!("it has {is} fields, and the head line has {wanted}");
            return Err(BadRow::Whole(problem));
        }
        let text = &fields[self.time];
        let unix_ns = parse_time(text, zone).ok_or_else(|| {
            let wanted = "write a number of s, ms, us or ns since 1970, or ISO 8601 as \
                          2026-11-21T09:15:00.123+05:30";
            self.wrong(self.time, format!("{text:?} is no time; {wanted}"))
        })?;
        match &self.content {
            Content::Whole { topic, payload } => {
                self.whole(unix_ns, (*topic, &fields[*topic]), (*payload, &fields[*payload]))
            }
            Content::Prices(prices) => self.prices(unix_ns, prices, fields),
        }
    }

    fn whole(
        &self,
        unix_ns: u64,
        (topic_at, topic): (usize, &str),
        (payload_at, payload): (usize, &str),
    ) -> Result<Row, BadRow> {
        match parse_topic(topic.as_bytes(), &TopicRules::default()) {
            Ok(BusTopic::Tick { .. }) => {}
            Ok(_) | Err(_) => {
                let wanted = "is no topic of a tick, as NSE_RELIANCE_LTP";
                return Err(self.wrong(topic_at, format!("{topic:?} {wanted}")));
            }
        }
        check_payload(payload.as_bytes())
            .map_err(|bad| self.wrong(payload_at, format!("the {bad}")))?;
        Ok(Row { unix_ns, topic: topic.to_owned(), payload: payload.to_owned() })
    }

    fn prices(&self, unix_ns: u64, prices: &Prices, fields: &[String]) -> Result<Row, BadRow> {
        let exchange = match prices.exchange.filter(|at| !fields[*at].is_empty()) {
            Some(at) => self.name(at, &fields[at])?,
            None => &prices.default_exchange,
        };
        let symbol = self.name(prices.symbol, &fields[prices.symbol])?;
        let price = self.number(prices.price, fields)?.ok_or_else(|| {
            self.wrong(prices.price, "it is empty; a tick has a price".to_owned())
        })?;
        let ms = unix_ns / 1_000_000;
        let mut payload = format!(r#"{{"ltp":{price},"timestamp":{ms}"#);
        for (field, at) in &prices.quote {
            if let Some(number) = self.number(*at, fields)? {
                // Writing to a String cannot fail.
                let _ = write!(payload, r#","{field}":{number}"#);
            }
        }
        let is_depth = prices.bid.is_some() || prices.ask.is_some();
        if is_depth {
            let buy = self.level(prices.bid, fields)?;
            let sell = self.level(prices.ask, fields)?;
            let _ = write!(payload, r#","depth":{{"buy":[{buy}],"sell":[{sell}]}}"#);
        }
        payload.push('}');
        let mode = match (is_depth, prices.quote.is_empty()) {
            (true, _) => Mode::Depth,
            (false, false) => Mode::Quote,
            (false, true) => Mode::Ltp,
        };
        Ok(Row { unix_ns, topic: format!("{exchange}_{symbol}_{}", mode.segment()), payload })
    }

    /// One level of a book; nothing if there is no price.
    fn level(
        &self,
        columns: Option<(usize, Option<usize>)>,
        fields: &[String],
    ) -> Result<String, BadRow> {
        let Some((price_at, quantity_at)) = columns else { return Ok(String::new()) };
        let Some(price) = self.number(price_at, fields)? else { return Ok(String::new()) };
        let quantity = match quantity_at {
            Some(at) => self.number(at, fields)?.unwrap_or("0"),
            None => "0",
        };
        Ok(format!(r#"{{"price":{price},"quantity":{quantity},"orders":0}}"#))
    }

    /// A number as JSON has it; none if the field is empty.
    fn number<'a>(&self, at: usize, fields: &'a [String]) -> Result<Option<&'a str>, BadRow> {
        let text = fields[at].as_str();
        let is_number = text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
            && serde_json::from_str::<serde_json::Number>(text).is_ok();
        match text {
            "" => Ok(None),
            text if is_number => Ok(Some(text)),
            text => Err(self.wrong(at, format!("{text:?} is no number, as 2885.05"))),
        }
    }

    fn name<'a>(&self, at: usize, text: &'a str) -> Result<&'a str, BadRow> {
        let fits = |c: char| !c.is_control() && !c.is_whitespace();
        if !text.is_empty() && text.chars().all(fits) {
            return Ok(text);
        }
        Err(self.wrong(at, format!("{text:?} is no name; write it without blanks, as RELIANCE")))
    }

    fn wrong(&self, column: usize, problem: String) -> BadRow {
        BadRow::Field { column, name: self.names[column].clone(), problem }
    }
}
