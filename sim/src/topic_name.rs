//! Topics as scenarios and traces spell them: `NSE:RELIANCE/LTP`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tickgate::topic::{Instrument, Mode, Topic};

/// Bytes of the beginning of a topic.
const HEAD_BYTES: usize = 16;
/// The last byte of a beginning that is not the whole: it comes after every mode.
const GOES_ON: u8 = u8::MAX;

/// A topic with a text form.
///
/// Judges look topics up all the time, so its first bytes are kept as a number, which is compared
/// first. The order is that of exchange, symbol and mode.
#[derive(Clone)]
pub struct TopicName {
    topic: Topic,
    head: u128,
}

impl TopicName {
    /// What is traded, as an answer or a tick names it.
    #[must_use]
    pub fn new(exchange: &str, symbol: &str, mode: Mode) -> Self {
        Topic::new(Instrument::new(exchange, symbol), mode).into()
    }

    /// What is traded.
    #[must_use]
    pub const fn instrument(&self) -> &Instrument {
        &self.topic.instrument
    }

    /// How much of it is wanted.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.topic.mode
    }

    /// The topic of the bus on which its ticks are published: `NSE_RELIANCE_LTP`.
    #[must_use]
    pub fn on_the_bus(&self) -> String {
        let Instrument { exchange, symbol } = &self.topic.instrument;
        format!("{exchange}_{symbol}_{}", self.topic.mode.segment())
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.topic, f)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.topic, f)
    }
}

impl From<Topic> for TopicName {
    fn from(topic: Topic) -> Self {
        let head = head(&topic);
        Self { topic, head }
    }
}

/// The beginning of a topic: exchange, a zero, symbol, zeros, and at last the mode if that is all.
fn head(topic: &Topic) -> u128 {
    let Instrument { exchange, symbol } = &topic.instrument;
    let mut head = [0; HEAD_BYTES];
    let (text, last) = head.split_at_mut(HEAD_BYTES - 1);
    let spelled = exchange.bytes().chain([0]).chain(symbol.bytes());
    text.iter_mut().zip(spelled).for_each(|(byte, spelled)| *byte = spelled);
    let fits = exchange.len() + 1 + symbol.len() <= text.len();
    let zeros = exchange.bytes().chain(symbol.bytes()).any(|byte| byte == 0);
    last[0] = if fits && !zeros { topic.mode.number() } else { GOES_ON };
    u128::from_be_bytes(head)
}

impl Ord for TopicName {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.head.cmp(&other.head) {
            Ordering::Equal if self.head as u8 == GOES_ON => self.topic.cmp(&other.topic),
            order => order,
        }
    }
}

impl PartialOrd for TopicName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for TopicName {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for TopicName {}

impl FromStr for TopicName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('/').and_then(|(instrument, mode)| {
            let (exchange, symbol) = instrument.split_once(':')?;
            Some((exchange, symbol, Mode::from_name(mode)?))
        });
        match parts {
            Some((exchange, symbol, mode)) if !exchange.is_empty() && !symbol.is_empty() => {
                Ok(Self::new(exchange, symbol, mode))
            }
            Some(_) | None => {
                Err(format!("{text:?} is no topic: write EXCHANGE:SYMBOL/MODE, e.g. NSE:TCS/LTP"))
            }
        }
    }
}

impl Serialize for TopicName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TopicName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_reads_back_as_it_is_written() {
        let topic: TopicName = "NSE:M&M/depth".parse().expect("it is a topic");
        assert_eq!(topic.to_string(), "NSE:M&M/Depth");
        assert_eq!(topic.on_the_bus(), "NSE_M&M_DEPTH");
    }

    #[test]
    fn topics_are_ordered_by_exchange_symbol_and_mode_however_long_they_are() {
        let exchanges = ["", "N", "NSE", "NSE_INDEX", "NSE\0I", "A_VERY_LONG_EXCHANGE"];
        let symbols = ["", "A", "AB", "A\0", "TCS", "TEN_LETTER", "TEN_LETTERS", "ELEVEN_LETTER"];
        let topics = exchanges.into_iter().flat_map(|exchange| {
            symbols.into_iter().flat_map(move |symbol| {
                Mode::ALL.map(|mode| Topic::new(Instrument::new(exchange, symbol), mode))
            })
        });
        let topics: Vec<Topic> = topics.filter(|topic| !topic.to_string().contains('\0')).collect();
        let named: Vec<TopicName> = topics.iter().cloned().map(TopicName::from).collect();
        for (one, one_named) in topics.iter().zip(&named) {
            for (other, other_named) in topics.iter().zip(&named) {
                assert_eq!(one_named.cmp(other_named), one.cmp(other), "{one} and {other}");
            }
        }
        let zeros = [("A\0B", "C"), ("A", "B\0C")];
        let zeros = zeros.map(|(exchange, symbol)| TopicName::new(exchange, symbol, Mode::Ltp));
        assert_ne!(zeros[0], zeros[1]);
    }

    #[test]
    fn what_is_no_topic_is_refused_with_an_example() {
        for text in ["", "NSE:TCS", "NSE/LTP", ":TCS/LTP", "NSE:/LTP", "NSE:TCS/best"] {
            let problem = text.parse::<TopicName>().expect_err("it is no topic");
            assert!(problem.contains("NSE:TCS/LTP"), "{problem}");
        }
    }
}
