//! When ticks of a topic are published, and what they hold.

use serde::{Deserialize, Serialize};

use crate::scenario::RecordedTick;
use crate::topic_name::TopicName;

/// When ticks of a topic are published.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicRhythm {
    /// Which.
    pub topic: TopicName,
    /// Time between two ticks; the longest, if they are recorded.
    pub period_ms: u64,
    /// Time of the first.
    pub first_at_ms: u64,
    /// Published although nobody asked for it.
    pub unwanted: bool,
    /// What a recording had of it, over and over; empty: ticks are even and made up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded: Vec<Recorded>,
}

/// One tick of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Time to the next.
    pub gap_ms: u64,
    /// What it said.
    pub payload: String,
}

impl TopicRhythm {
    /// The rhythm that a recording has for a topic; none if it does not have the topic.
    pub(super) fn recorded(
        topic: &TopicName,
        unwanted: bool,
        ticks: &[RecordedTick],
        length_ms: u64,
    ) -> Option<Self> {
        let own: Vec<_> = ticks.iter().filter(|tick| tick.topic == *topic).collect();
        let first_at_ms = own.first()?.at_ms;
        // The first of the next round is the next of the last.
        let round_ms = length_ms.max(own.last()?.at_ms + 1);
        let next = own.iter().skip(1).map(|tick| tick.at_ms).chain([round_ms + first_at_ms]);
        let recorded: Vec<_> = own
            .iter()
            .zip(next)
            .map(|(tick, next_ms)| Recorded {
                gap_ms: next_ms - tick.at_ms,
                payload: tick.payload.clone(),
            })
            .collect();
        let period_ms = recorded.iter().map(|tick| tick.gap_ms).max()?;
        Some(Self { topic: topic.clone(), period_ms, first_at_ms, unwanted, recorded })
    }

    /// What is due at its n-th moment, counted from 0: what a recording said, if there is one, and
    /// the time to the next moment.
    #[must_use]
    pub fn moment(&self, n: u64) -> (Option<&str>, u64) {
        let len = self.recorded.len() as u64;
        let recorded = n.checked_rem(len).and_then(|at| self.recorded.get(at as usize));
        match recorded {
            Some(tick) => (Some(&tick.payload), tick.gap_ms),
            None => (None, self.period_ms),
        }
    }

    /// At most so many ticks come within this time.
    #[must_use]
    pub fn ticks_within(&self, ms: u64) -> u64 {
        let round_ms: u64 = self.recorded.iter().map(|tick| tick.gap_ms).sum();
        match self.recorded.len() as u64 {
            0 => ms / self.period_ms.max(1) + 1,
            len => (ms / round_ms.max(1) + 1) * len,
        }
    }

    /// Bytes of the longest recorded payload.
    #[must_use]
    pub fn recorded_bytes(&self) -> usize {
        self.recorded.iter().map(|tick| tick.payload.len()).max().unwrap_or(0)
    }

    /// Whether time passes from tick to tick.
    pub(super) fn goes_on(&self) -> bool {
        self.period_ms > 0
            && (self.recorded.is_empty() || self.recorded.iter().any(|tick| tick.gap_ms > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(at_ms: u64, topic: &str) -> RecordedTick {
        let payload = format!("{{\"at\":{at_ms}}}");
        RecordedTick { at_ms, topic: topic.parse().expect("it is a topic"), payload }
    }

    #[test]
    fn a_recording_is_repeated_with_its_gaps() {
        let ticks = [
            tick(5, "NSE:A/LTP"),
            tick(7, "NSE:B/LTP"),
            tick(5, "NSE:A/LTP"),
            tick(30, "NSE:A/LTP"),
        ];
        let topic = "NSE:A/LTP".parse().expect("it is a topic");
        let rhythm = TopicRhythm::recorded(&topic, false, &ticks, 100).expect("it is there");
        assert_eq!((rhythm.first_at_ms, rhythm.period_ms), (5, 75));
        let moments: Vec<_> = (0..4).map(|n| rhythm.moment(n)).collect();
        let (five, thirty) = (Some("{\"at\":5}"), Some("{\"at\":30}"));
        assert_eq!(moments, [(five, 0), (five, 25), (thirty, 75), (five, 0)]);
        assert_eq!((rhythm.ticks_within(99), rhythm.ticks_within(100)), (3, 6));
        assert!(rhythm.goes_on());
        let other = "NSE:C/LTP".parse().expect("it is a topic");
        assert!(TopicRhythm::recorded(&other, false, &ticks, 100).is_none());
    }

    #[test]
    fn a_rhythm_without_a_recording_is_even() {
        let topic = "NSE:A/LTP".parse().expect("it is a topic");
        let recorded = Vec::new();
        let rhythm =
            TopicRhythm { topic, period_ms: 10, first_at_ms: 3, unwanted: false, recorded };
        assert_eq!(rhythm.moment(7), (None, 10));
        assert_eq!(rhythm.ticks_within(25), 3);
    }
}
