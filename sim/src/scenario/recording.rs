//! `world.feed.recording`: ticks of a real or made-up market in place of drawn ones.

use std::fs::File;
use std::io::BufReader;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use tickgate::config::Config;
use tickgate::protocol::bus::{BusTopic, TopicRules, parse_topic};
use tickgate::recording::{Next, Reader, Tick};

use crate::topic_name::TopicName;

/// Bytes of a file: scenarios are small stories.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Ticks of a file: each becomes a line of the plan.
const TICKS_MAX: usize = 20_000;

/// `recording`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// What `tickgate record` or `tickgate import` wrote, below the scenario's own directory.
    pub file: PathBuf,
    /// How many times faster than it was.
    #[serde(default = "as_it_was")]
    pub speed: f64,
    /// What is in it.
    #[serde(skip)]
    pub ticks: Vec<RecordedTick>,
    /// How long it is, at this speed; it begins anew then.
    #[serde(skip)]
    pub length_ms: u64,
}

/// A tick, with its time at the speed that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedTick {
    /// Since the beginning.
    pub at_ms: u64,
    /// Of what.
    pub topic: TopicName,
    /// Byte for byte.
    pub payload: String,
}

const fn as_it_was() -> f64 {
    1.0
}

impl Recording {
    /// Reads the file, which lies below `directory`.
    ///
    /// # Errors
    ///
    /// Says in one sentence why it cannot be used.
    pub(super) fn load(&mut self, directory: &Path) -> Result<(), String> {
        if !(0.01..=10_000.0).contains(&self.speed) {
            return Err("`speed` must be from 0.01 to 10000".into());
        }
        if !self.file.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err("a recording lies below the scenario's own directory".into());
        }
        let path = directory.join(&self.file);
        let problem = |reason: &dyn ToString| {
            format!("the recording {} cannot be used: {}", path.display(), reason.to_string())
        };
        let about = std::fs::metadata(&path).map_err(|error| problem(&error))?;
        if !about.is_file() || about.len() > FILE_BYTES_MAX {
            return Err(problem(&format!("it has more than {FILE_BYTES_MAX} bytes or is no file")));
        }
        let file = File::open(&path).map_err(|error| problem(&error))?;
        let reader = Reader::new(BufReader::new(file)).map_err(|bad| problem(&bad))?;
        self.read(reader).map_err(|reason| problem(&reason))
    }

    fn read(&mut self, mut reader: Reader<BufReader<File>>) -> Result<(), String> {
        let two_segment_exchanges = Config::default().bus.two_segment_exchanges;
        let rules = TopicRules { brokers: Vec::new(), two_segment_exchanges };
        let end = loop {
            match reader.next_ticks().map_err(|error| error.to_string())? {
                Next::Ticks(ticks) => {
                    for tick in ticks {
                        let tick = self.tick(&tick, &rules)?;
                        self.ticks.push(tick);
                    }
                    if self.ticks.len() > TICKS_MAX {
                        return Err(format!("it has more than {TICKS_MAX} ticks"));
                    }
                }
                Next::End(end) => break end,
            }
        };
        let tickgate::recording::End::Whole { length_ns } = end else {
            return Err(end.notice().unwrap_or_default());
        };
        self.length_ms = self.scaled_ms(length_ns);
        if self.ticks.is_empty() { Err("it has no tick".into()) } else { Ok(()) }
    }

    fn tick(&self, tick: &Tick, rules: &TopicRules) -> Result<RecordedTick, String> {
        let name = String::from_utf8_lossy(&tick.topic);
        let Ok(BusTopic::Tick { exchange, symbol, mode, .. }) = parse_topic(&tick.topic, rules)
        else {
            return Err(format!("{name} is no topic of a tick"));
        };
        let payload = std::str::from_utf8(&tick.payload)
            .ok()
            .filter(|payload| serde_json::from_str::<serde_json::Value>(payload).is_ok())
            .ok_or_else(|| format!("a payload of {name} is no JSON"))?;
        Ok(RecordedTick {
            at_ms: self.scaled_ms(tick.at_ns),
            topic: TopicName::new(exchange, symbol, mode),
            payload: payload.to_owned(),
        })
    }

    fn scaled_ms(&self, ns: u64) -> u64 {
        (ns as f64 / self.speed / 1_000_000.0) as u64
    }
}
