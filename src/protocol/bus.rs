//! What publishers say on ZeroMQ: two parts, `[topic, JSON object]`.
//!
//! Topics, tested in this order:
//!
//! | topic | meaning |
//! |---|---|
//! | `CACHE_INVALIDATE…` | a user's credentials changed |
//! | `…_orders` | an order update; whose, the payload says |
//! | `…_positions`, `…_margins` | private |
//! | `[BROKER_]EXCHANGE_SYMBOL_MODE` | a tick |
//!
//! The mode is the last segment: a name in any case, or 1 to 3. A configured broker in front is
//! recognised in any case, the longest name first (`dhan_sandbox` before `dhan`), except that
//! `CRYPTO_…` and the like stay exchanges unless a broker is spelled exactly so. The exchange has
//! one segment, or two if it is listed; the rest is the symbol, underscores included. Nothing
//! else is changed or judged: names that nobody subscribed to find no client.

pub use super::payload::{
    BadPayload, CacheType, Checked, Invalidation, check_payload, parse_invalidation,
    parse_order_user,
};
use crate::topic::{BrokerName, Instrument, Mode};

/// Exchanges of one segment: never taken for a broker of the same name in another case.
const KNOWN_EXCHANGES: [&str; 10] =
    ["NSE", "NFO", "CDS", "BSE", "BFO", "BCD", "MCX", "NCDEX", "NCO", "CRYPTO"];

/// What must be known to read a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicRules {
    /// Configured brokers: their names may stand in front.
    pub brokers: Vec<BrokerName>,
    /// Exchanges whose names have two segments, e.g. `NSE_INDEX`.
    pub two_segment_exchanges: Vec<String>,
}

/// What a message on the bus is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusTopic<'a> {
    /// A tick.
    Tick {
        /// The broker in front, as the configuration spells it; `None`: for every broker's users.
        broker: Option<&'a str>,
        /// E.g. `NSE` or `NSE_INDEX`.
        exchange: &'a str,
        /// As the publisher spells it; may hold `_`.
        symbol: &'a str,
        /// What the payload holds.
        mode: Mode,
    },
    /// An order update; see [`parse_order_user`].
    Orders,
    /// Positions or margins: nobody's business here.
    Private,
    /// A user's credentials changed; see [`parse_invalidation`].
    Invalidate,
}

/// Why a topic cannot be read. Count the message and drop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTopic {
    /// Not UTF-8.
    #[error("topic is not UTF-8")]
    NotUtf8,
    /// The last segment is no mode.
    #[error("topic does not end in a mode")]
    UnknownMode,
    /// Exchange or symbol is missing.
    #[error("topic lacks an exchange or a symbol")]
    Incomplete,
}

/// Reads a topic, without allocating.
///
/// # Errors
///
/// Fails if the topic is neither a tick's nor one of the others. Count it and drop the message;
/// the feed goes on.
pub fn parse_topic<'a>(topic: &'a [u8], rules: &'a TopicRules) -> Result<BusTopic<'a>, BadTopic> {
    let topic = std::str::from_utf8(topic).map_err(|_| BadTopic::NotUtf8)?;
    if topic.starts_with("CACHE_INVALIDATE") {
        return Ok(BusTopic::Invalidate);
    }
    let (front, last) = topic.rsplit_once('_').ok_or(BadTopic::Incomplete)?;
    match last {
        "orders" => return Ok(BusTopic::Orders),
        "positions" | "margins" => return Ok(BusTopic::Private),
        _ => {}
    }
    let mode = mode(last).ok_or(BadTopic::UnknownMode)?;
    let (broker, instrument) = match rules.broker_in_front(front) {
        Some((broker, rest)) => (Some(broker), rest),
        None => (None, front),
    };
    let (exchange, symbol) = rules.split_instrument(instrument).ok_or(BadTopic::Incomplete)?;
    Ok(BusTopic::Tick { broker, exchange, symbol, mode })
}

impl TopicRules {
    /// Whether a tick of this instrument can be told from those of all others.
    ///
    /// `NSE_INDEX` + `NIFTY` and `NSE` + `INDEX_NIFTY` share their topics; only the former is
    /// read back. A subscription to the latter would succeed and never get a tick.
    #[must_use]
    pub fn carries(&self, instrument: &Instrument) -> bool {
        let Instrument { exchange, symbol } = instrument;
        let topic = format!("{exchange}_{symbol}_{}", Mode::Ltp.segment());
        let tick = BusTopic::Tick { broker: None, exchange, symbol, mode: Mode::Ltp };
        parse_topic(topic.as_bytes(), self) == Ok(tick)
    }

    fn broker_in_front<'a>(&'a self, topic: &'a str) -> Option<(&'a str, &'a str)> {
        self.brokers
            .iter()
            .map(BrokerName::as_str)
            .filter_map(|broker| {
                let (given, rest) = topic.split_at_checked(broker.len())?;
                let rest = rest.strip_prefix('_')?;
                let same = given == broker
                    || given.eq_ignore_ascii_case(broker) && !self.is_exchange(given);
                same.then_some((broker, rest))
            })
            .max_by_key(|(broker, _)| broker.len())
    }

    fn is_exchange(&self, name: &str) -> bool {
        KNOWN_EXCHANGES.contains(&name) || self.two_segment_exchanges.iter().any(|two| two == name)
    }

    fn split_instrument<'a>(&self, text: &'a str) -> Option<(&'a str, &'a str)> {
        let two = self.two_segment_exchanges.iter().find_map(|two| {
            let (exchange, rest) = text.split_at_checked(two.len())?;
            // `NSE_INDEX` alone is an exchange that lacks its symbol, not `INDEX` at `NSE`.
            let symbol = if rest.is_empty() { rest } else { rest.strip_prefix('_')? };
            (exchange == two).then_some((exchange, symbol))
        });
        two.or_else(|| text.split_once('_'))
            .filter(|(exchange, symbol)| !exchange.is_empty() && !symbol.is_empty())
    }
}

fn mode(segment: &str) -> Option<Mode> {
    match segment {
        "1" => Some(Mode::Ltp),
        "2" => Some(Mode::Quote),
        "3" => Some(Mode::Depth),
        name => Mode::from_name(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> TopicRules {
        TopicRules {
            brokers: ["zerodha", "dhan", "dhan_sandbox", "crypto"].map(BrokerName::from).to_vec(),
            two_segment_exchanges: ["NSE_INDEX", "BSE_INDEX", "MCX_INDEX", "GLOBAL_INDEX"]
                .map(String::from)
                .to_vec(),
        }
    }

    /// `broker|exchange|symbol|mode`, or the name of the other case.
    fn read(topic: &str) -> String {
        match parse_topic(topic.as_bytes(), &rules()) {
            Ok(BusTopic::Tick { broker, exchange, symbol, mode }) => {
                format!("{}|{exchange}|{symbol}|{mode}", broker.unwrap_or("-"))
            }
            Ok(other) => format!("{other:?}"),
            Err(bad) => format!("{bad:?}"),
        }
    }

    #[test]
    fn every_spelling_of_a_tick_is_read() {
        for (topic, expected) in [
            ("NSE_RELIANCE_LTP", "-|NSE|RELIANCE|LTP"),
            ("NSE_INDEX_NIFTY_QUOTE", "-|NSE_INDEX|NIFTY|Quote"),
            ("GLOBAL_INDEX_DOW_JONES_depth", "-|GLOBAL_INDEX|DOW_JONES|Depth"),
            ("CRYPTO_SOL_INR_LTP", "-|CRYPTO|SOL_INR|LTP"),
            ("crypto_CRYPTO_SOL_INR_LTP", "crypto|CRYPTO|SOL_INR|LTP"),
            ("zerodha_NSE_RELIANCE_LTP", "zerodha|NSE|RELIANCE|LTP"),
            ("ZERODHA_NSE_INDEX_NIFTY_1", "zerodha|NSE_INDEX|NIFTY|LTP"),
            ("dhan_NSE_TCS_2", "dhan|NSE|TCS|Quote"),
            ("dhan_sandbox_NSE_TCS_3", "dhan_sandbox|NSE|TCS|Depth"),
            ("NSE_TCS:50_DEPTH", "-|NSE|TCS:50|Depth"),
            ("NSE_M&M_Ltp", "-|NSE|M&M|LTP"),
            ("NSEIX_INDEX_GIFT_LTP", "-|NSEIX|INDEX_GIFT|LTP"),
            ("nse_tcs_ltp", "-|nse|tcs|LTP"),
            ("NSE_X_orders_LTP", "-|NSE|X_orders|LTP"),
            ("NSE__LTP_LTP", "-|NSE|_LTP|LTP"),
            ("NSE_日経_LTP", "-|NSE|日経|LTP"),
        ] {
            assert_eq!(read(topic), expected, "{topic}");
        }
    }

    #[test]
    fn other_topics_are_told_apart_by_their_ends() {
        for (topic, expected) in [
            ("ZERODHA_alice_orders", "Orders"),
            ("ANALYZE_a_l_i_c_e_orders", "Orders"),
            ("deltaexchange_orders", "Orders"),
            ("_orders", "Orders"),
            ("ZERODHA_alice_positions", "Private"),
            ("ZERODHA_alice_margins", "Private"),
            ("CACHE_INVALIDATE_ALL_alice", "Invalidate"),
            ("CACHE_INVALIDATE_AUTH_bob_orders", "Invalidate"),
            ("CACHE_INVALIDATE", "Invalidate"),
        ] {
            assert_eq!(read(topic), expected, "{topic}");
        }
    }

    #[test]
    fn what_is_no_topic_is_an_error_that_says_why() {
        for (topic, expected) in [
            ("", "Incomplete"),
            ("LTP", "Incomplete"),
            ("orders", "Incomplete"),
            ("_LTP", "Incomplete"),
            ("NSE_LTP", "Incomplete"),
            ("NSE__LTP", "Incomplete"),
            ("_X_LTP", "Incomplete"),
            ("NSE_INDEX_LTP", "Incomplete"),
            ("NSE_INDEX__LTP", "Incomplete"),
            ("zerodha_NSE_LTP", "Incomplete"),
            ("zerodha_LTP", "Incomplete"),
            ("DEBUG_MARKET_DATA", "UnknownMode"),
            ("NSE_TCS_FULL", "UnknownMode"),
            ("NSE_TCS_4", "UnknownMode"),
            ("NSE_TCS_", "UnknownMode"),
            ("NSE_TCS_ORDERS", "UnknownMode"),
            ("NSE_TCS_LTP ", "UnknownMode"),
        ] {
            assert_eq!(read(topic), expected, "{topic:?}");
        }
        assert_eq!(parse_topic(b"NSE_\xff_LTP", &rules()), Err(BadTopic::NotUtf8));
    }

    #[test]
    fn an_instrument_is_carried_if_its_topic_is_read_back() {
        let carries =
            |exchange: &str, symbol: &str| rules().carries(&Instrument::new(exchange, symbol));

        assert!(carries("NSE", "RELIANCE"));
        assert!(carries("NSE_INDEX", "NIFTY"));
        assert!(carries("CRYPTO", "SOL_INR"));
        assert!(!carries("NSE", "INDEX_NIFTY"), "read as NSE_INDEX");
        assert!(!carries("NSE", "INDEX"), "read as NSE_INDEX without a symbol");
        assert!(!carries("FOO_BAR", "X"), "read as FOO");
        assert!(!carries("zerodha", "NSE_TCS"), "read as a broker in front");
        assert!(!carries("CACHE", "INVALIDATE_X"), "read as an invalidation");
    }
}
