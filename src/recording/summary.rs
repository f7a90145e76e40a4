//! What is in a recording.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek};

use bytes::Bytes;

use super::Tick;
use super::reader::{End, Next, Reader};

/// Topics that are told apart; what comes beyond is counted as one.
pub const TOPICS_SHOWN_MAX: usize = 100_000;

/// A recording, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Ticks of each topic.
    pub topics: BTreeMap<Bytes, u64>,
    /// Ticks of topics beyond [`TOPICS_SHOWN_MAX`].
    pub beyond: u64,
    /// All ticks.
    pub ticks: u64,
    /// Bytes of all topics and payloads.
    pub bytes: u64,
    /// Times of the first and the last tick, nanoseconds since the recording began.
    pub span_ns: Option<(u64, u64)>,
    /// How it ends.
    pub end: End,
}

impl Summary {
    /// Reads the recording from where it stands to its end.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read.
    pub fn of<R: Read + Seek>(reader: &mut Reader<R>) -> io::Result<Self> {
        let end = End::Whole { length_ns: 0 };
        let topics = BTreeMap::new();
        let mut summary = Self { topics, beyond: 0, ticks: 0, bytes: 0, span_ns: None, end };
        loop {
            match reader.next_ticks()? {
                Next::Ticks(ticks) => ticks.iter().for_each(|tick| summary.add(tick)),
                Next::End(end) => return Ok(Self { end, ..summary }),
            }
        }
    }

    /// How long it is: the silence behind the last tick included, where that is known.
    #[must_use]
    pub fn length_ns(&self) -> u64 {
        match self.end {
            End::Whole { length_ns } => length_ns,
            End::Cut { .. } | End::Damaged { .. } => self.span_ns.map_or(0, |(_, last)| last),
        }
    }

    fn add(&mut self, tick: &Tick) {
        self.ticks += 1;
        self.bytes += (tick.topic.len() + tick.payload.len()) as u64;
        self.span_ns = Some((self.span_ns.map_or(tick.at_ns, |(first, _)| first), tick.at_ns));
        if let Some(count) = self.topics.get_mut(&tick.topic) {
            *count += 1;
        } else if self.topics.len() < TOPICS_SHOWN_MAX {
            // A slice would keep its whole block in memory.
            self.topics.insert(Bytes::copy_from_slice(&tick.topic), 1);
        } else {
            self.beyond += 1;
        }
    }
}
