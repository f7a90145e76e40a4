//! Which instruments and topics an event is about.

use tickgate::topic::Mode;

use super::{Reply, Request, Seen};
use crate::topic_name::TopicName;

/// An instrument that an event names, with the mode if it says which.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// `EXCHANGE:SYMBOL`.
    pub instrument: String,
    /// Absent: every mode, or not said.
    pub mode: Option<Mode>,
}

impl Mention {
    fn of(topic: &TopicName) -> Self {
        Self { instrument: topic.instrument().to_string(), mode: Some(topic.mode()) }
    }

    /// What `EXCHANGE:SYMBOL` or `EXCHANGE:SYMBOL/MODE` means; `None` if it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(topic) = text.parse::<TopicName>() {
            return Some(Self::of(&topic));
        }
        let (exchange, symbol) = text.split_once(':')?;
        let whole = !exchange.is_empty() && !symbol.is_empty() && !text.contains('/');
        whole.then(|| Self { instrument: text.to_owned(), mode: None })
    }

    /// Whether both may mean the same topic.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let modes = self.mode.is_none() || other.mode.is_none() || self.mode == other.mode;
        modes && self.instrument == other.instrument
    }
}

impl std::fmt::Display for Mention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.mode {
            Some(mode) => write!(f, "{}/{}", self.instrument, mode.label()),
            None => f.write_str(&self.instrument),
        }
    }
}

impl Seen {
    /// What this is about. The status page is about everything and names nothing.
    #[must_use]
    pub fn mentions(&self) -> Vec<Mention> {
        let named = |instrument: &String| Mention { instrument: instrument.clone(), mode: None };
        match self {
            Self::Sent(sent) => match &sent.request {
                Request::Subscribe(topics) => topics.iter().map(Mention::of).collect(),
                Request::Unsubscribe(entries) => entries
                    .iter()
                    .map(|entry| match entry.every_mode {
                        true => named(&entry.topic.instrument().to_string()),
                        false => Mention::of(&entry.topic),
                    })
                    .collect(),
                _ => Vec::new(),
            },
            Self::Answered(answer) => match &answer.reply {
                Reply::Subscribed(rows) => rows
                    .iter()
                    .map(|row| Mention { instrument: row.instrument.clone(), mode: row.mode })
                    .collect(),
                Reply::Unsubscribed { successful, failed } => {
                    successful.iter().chain(failed).map(named).collect()
                }
                _ => Vec::new(),
            },
            Self::Broadcast { ticks, .. } => {
                ticks.iter().map(|tick| Mention::of(&tick.topic)).collect()
            }
            Self::FeedStatus { topics, .. } => topics.iter().map(Mention::of).collect(),
            Self::Tick(tick) => vec![Mention::of(&tick.topic)],
            Self::Published { topic, .. } => vec![Mention::of(topic)],
            Self::Called(call) | Self::TookEffect(call) | Self::Replied { call, .. } => {
                call.op.topic().map(Mention::of).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mention_without_a_mode_meets_every_mode() {
        let mention = |text| Mention::parse(text).expect("it is one");
        assert!(mention("NSE:A").meets(&mention("NSE:A/LTP")));
        assert!(mention("NSE:A/LTP").meets(&mention("NSE:A/ltp")));
        assert!(!mention("NSE:A/LTP").meets(&mention("NSE:A/Quote")));
        assert!(!mention("NSE:A").meets(&mention("NSE:AB/LTP")));
        for text in ["NSE", "NSE:A/best", ":A", "NSE:"] {
            assert_eq!(Mention::parse(text), None, "{text}");
        }
    }
}
