//! Topics as scenarios and traces spell them: `NSE:RELIANCE/LTP`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tickgate::topic::{Instrument, Mode, Topic};

/// A topic with a text form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(pub Topic);

impl TopicName {
    /// What is traded, as an answer or a tick names it.
    #[must_use]
    pub fn new(exchange: &str, symbol: &str, mode: Mode) -> Self {
        Self(Topic::new(Instrument::new(exchange, symbol), mode))
    }

    /// What is traded.
    #[must_use]
    pub const fn instrument(&self) -> &Instrument {
        &self.0.instrument
    }

    /// How much of it is wanted.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.0.mode
    }

    /// The topic of the bus on which its ticks are published: `NSE_RELIANCE_LTP`.
    #[must_use]
    pub fn on_the_bus(&self) -> String {
        let Instrument { exchange, symbol } = &self.0.instrument;
        format!("{exchange}_{symbol}_{}", self.0.mode.segment())
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl From<Topic> for TopicName {
    fn from(topic: Topic) -> Self {
        Self(topic)
    }
}

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
    fn what_is_no_topic_is_refused_with_an_example() {
        for text in ["", "NSE:TCS", "NSE/LTP", ":TCS/LTP", "NSE:/LTP", "NSE:TCS/best"] {
            let problem = text.parse::<TopicName>().expect_err("it is no topic");
            assert!(problem.contains("NSE:TCS/LTP"), "{problem}");
        }
    }
}
