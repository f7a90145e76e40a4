//! When ticks of a real market came: the times, topics and sizes of a recording.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use crate::recording::{self, End, Next};

/// Ticks of a recording that are kept in memory, 24 bytes each.
pub const ARRIVALS_MAX: usize = 4_000_000;
/// The shortest round: a recording of one moment is not published without end in the next.
const ROUND_NS_MIN: u64 = 1_000_000;

/// One tick: which topic, how large, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    at_ns: u64,
    pub topic: u32,
    pub bytes: u32,
}

/// The ticks of a recording, over and over, without what they say: payloads are the load's own,
/// because each has to tell which it is and when it was due.
#[derive(Debug)]
pub struct Arrivals {
    ticks: Vec<Arrival>,
    topics: usize,
    length_ns: u64,
    speed: f64,
}

impl Arrivals {
    /// Reads a recording, to be published `speed` times faster than it was.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be read or is empty or too long.
    pub fn read(path: &Path, speed: f64) -> Result<Self, String> {
        let problem = |reason: String| format!("{}: {reason}", path.display());
        let mut reader = recording::open(path).map_err(|bad| problem(bad.to_string()))?;
        let (mut ticks, mut topics) = (Vec::new(), BTreeMap::<Bytes, u32>::new());
        let end = loop {
            let block = match reader.next_ticks().map_err(|error| problem(error.to_string()))? {
                Next::Ticks(block) => block,
                Next::End(end) => break end,
            };
            if ticks.len() + block.len() > ARRIVALS_MAX {
                return Err(problem(format!("it has more than {ARRIVALS_MAX} ticks")));
            }
            for tick in block {
                let next = u32::try_from(topics.len()).unwrap_or(u32::MAX);
                let topic = match topics.get(&tick.topic) {
                    Some(topic) => *topic,
                    // A slice would keep its whole block in memory.
                    None => *topics.entry(Bytes::copy_from_slice(&tick.topic)).or_insert(next),
                };
                let bytes = u32::try_from(tick.payload.len()).unwrap_or(u32::MAX);
                ticks.push(Arrival { at_ns: tick.at_ns, topic, bytes });
            }
        };
        let length_ns = match end {
            End::Whole { length_ns } => length_ns,
            End::Cut { .. } | End::Damaged { .. } => reader.last_ns(),
        };
        if ticks.is_empty() {
            return Err(problem("there is no tick in it".into()));
        }
        Ok(Self { ticks, topics: topics.len(), length_ns: length_ns.max(ROUND_NS_MIN), speed })
    }

    /// Different topics.
    #[must_use]
    pub const fn topics(&self) -> usize {
        self.topics
    }

    /// Bytes of a payload in the mean.
    #[must_use]
    pub fn mean_bytes(&self) -> usize {
        let bytes: usize = self.ticks.iter().map(|tick| tick.bytes as usize).sum();
        bytes / self.ticks.len()
    }

    /// Ticks per second in the mean.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        let seconds = Duration::from_nanos(self.length_ns).as_secs_f64();
        self.ticks.len() as f64 / seconds * self.speed
    }

    /// The n-th tick, counted from 0, and when it is due after the beginning.
    pub(super) fn nth(&self, n: u64) -> (Duration, Arrival) {
        let len = self.ticks.len() as u64;
        let tick = self.ticks[(n % len) as usize];
        let at_ns = (n / len).saturating_mul(self.length_ns).saturating_add(tick.at_ns);
        (Duration::from_nanos((at_ns as f64 / self.speed) as u64), tick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{BlockBuilder, Writer};

    #[test]
    fn ticks_are_due_as_they_came_round_after_round() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.tick");
        let mut writer = Writer::new(Vec::new(), 0).expect("memory");
        let mut builder = BlockBuilder::default();
        for (at_ms, topic, payload) in [(10, "B", "{}"), (10, "A", "{\"x\":1}"), (40, "B", "{}")] {
            builder.push(at_ms * 1_000_000, topic.as_bytes(), payload.as_bytes()).expect("fits");
        }
        writer.write(&builder.take().expect("ticks")).expect("memory");
        writer.finish(100_000_000).expect("memory");
        std::fs::write(&path, writer.into_inner()).expect("a file");

        let arrivals = Arrivals::read(&path, 2.0).expect("it is good");
        assert_eq!((arrivals.topics(), arrivals.mean_bytes()), (2, 3));
        assert!((arrivals.per_second() - 60.0).abs() < 1e-9);
        let due: Vec<_> = (0..5).map(|n| arrivals.nth(n)).collect();
        let due: Vec<_> = due.iter().map(|(at, it)| (at.as_millis(), it.topic, it.bytes)).collect();
        assert_eq!(due, [(5, 0, 2), (5, 1, 7), (20, 0, 2), (55, 0, 2), (55, 1, 7)]);
        assert!(Arrivals::read(directory.path(), 1.0).is_err());
    }
}
