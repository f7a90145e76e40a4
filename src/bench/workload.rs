//! What is published, and who wants what.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Digits of a topic's number in a payload, of its sequence number, and of a time.
const TOPIC_DIGITS: usize = 7;
const SEQUENCE_DIGITS: usize = 10;
const TIME_DIGITS: usize = 19;
/// Added to what is written, so that it always has as many digits and never a leading zero.
const TOPIC_BASE: u64 = 1_000_000;
const SEQUENCE_BASE: u64 = 1_000_000_000;
const TIME_BASE: u64 = 1_000_000_000_000_000_000;

const TOPIC_KEY: &[u8] = br#","t":"#;
const SEQUENCE_KEY: &[u8] = br#","n":"#;
const TIME_KEY: &[u8] = br#","at":"#;

/// Bytes of a payload's end, which say which tick it is, without the closing brace.
const STAMP_BYTES: usize = TOPIC_KEY.len()
    + TOPIC_DIGITS
    + SEQUENCE_KEY.len()
    + SEQUENCE_DIGITS
    + TIME_KEY.len()
    + TIME_DIGITS;

/// The same with a space behind each comma and each colon.
const SPACED_STAMP_BYTES: usize = STAMP_BYTES + 6;

/// Bytes of the smallest payload.
pub const PAYLOAD_BYTES_MIN: usize = 128;

/// Topics that a run may have.
pub const TOPICS_MAX: usize = 1_000_000;

/// How many clients want how many topics, and how large a tick is.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Clients that stay for the whole run.
    pub clients: usize,
    /// Topics that are published.
    pub topics: usize,
    /// Topics of each client.
    pub topics_per_client: usize,
    /// Bytes of the JSON object that is published.
    pub payload_bytes: usize,
}

/// Which tick a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub topic: u32,
    /// Counted in each topic, from 0.
    pub sequence: u32,
    /// When it was due, in nanoseconds since the beginning of the run.
    pub due_ns: u64,
}

impl Workload {
    /// The topics of a client, in ascending order: the same in every run.
    pub(super) fn topics_of(&self, client: usize) -> Vec<u32> {
        let all = u32::try_from(self.topics.min(TOPICS_MAX)).unwrap_or(u32::MAX);
        if self.topics_per_client >= self.topics {
            return (0..all).collect();
        }
        let mut random = ChaCha8Rng::seed_from_u64(client as u64);
        let mut topics: Vec<u32> = if self.topics_per_client * 4 < self.topics {
            let mut few = std::collections::BTreeSet::new();
            while few.len() < self.topics_per_client {
                few.insert(random.random_range(0..all));
            }
            few.into_iter().collect()
        } else {
            let mut all: Vec<u32> = (0..all).collect();
            all.partial_shuffle(&mut random, self.topics_per_client).0.to_vec()
        };
        topics.sort_unstable();
        topics
    }

    /// How many of the clients want each topic.
    pub(super) fn audience(&self) -> Vec<u32> {
        let mut audience = vec![0; self.topics];
        for client in 0..self.clients {
            for topic in self.topics_of(client) {
                audience[topic as usize] += 1;
            }
        }
        audience
    }
}

/// A topic's symbol; its exchange is `NSE`.
pub(super) fn symbol(topic: u32) -> String {
    format!("BENCH{topic}")
}

/// As what it is published.
pub(super) fn bus_topic(topic: u32) -> String {
    format!("NSE_{}_LTP", symbol(topic))
}

/// The payload of a tick: an LTP with as much more as makes it `bytes` long.
pub(super) fn payload(stamp: Stamp, bytes: usize) -> Vec<u8> {
    let mut json = br#"{"ltp":2431.55,"timestamp":1763775000000,"fill":""#.to_vec();
    let fill = bytes.saturating_sub(json.len() + 1 + STAMP_BYTES + 1);
    json.resize(json.len() + fill, b'x');
    json.push(b'"');
    let values = [
        (TOPIC_KEY, TOPIC_BASE + u64::from(stamp.topic)),
        (SEQUENCE_KEY, SEQUENCE_BASE + u64::from(stamp.sequence)),
        (TIME_KEY, TIME_BASE + stamp.due_ns),
    ];
    for (key, value) in values {
        json.extend_from_slice(key);
        json.extend_from_slice(value.to_string().as_bytes());
    }
    json.push(b'}');
    json
}

/// Which tick a message carries that ends with a payload, in as many objects as it may be. The
/// payload may have been written anew with a space behind commas and colons, as Python does.
pub(super) fn stamp(message: &[u8]) -> Option<Stamp> {
    let mut end = message.len();
    while end > 0 && message[end - 1] == b'}' {
        end -= 1;
    }
    let message = &message[..end];
    let stamp = message.last_chunk::<STAMP_BYTES>()?;
    if stamp.starts_with(TOPIC_KEY) {
        return read_stamp(stamp, [TOPIC_KEY, SEQUENCE_KEY, TIME_KEY]);
    }
    let stamp = message.last_chunk::<SPACED_STAMP_BYTES>()?;
    read_stamp(stamp, [br#", "t": "#, br#", "n": "#, br#", "at": "#])
}

fn read_stamp(stamp: &[u8], [topic, sequence, time]: [&[u8]; 3]) -> Option<Stamp> {
    let (topic, rest) = field(stamp, topic, TOPIC_DIGITS)?;
    let (sequence, rest) = field(rest, sequence, SEQUENCE_DIGITS)?;
    let (due, _) = field(rest, time, TIME_DIGITS)?;
    Some(Stamp {
        topic: u32::try_from(topic - TOPIC_BASE).ok()?,
        sequence: u32::try_from(sequence - SEQUENCE_BASE).ok()?,
        due_ns: due - TIME_BASE,
    })
}

/// The number behind a key, which begins with a 1, and what follows.
fn field<'a>(text: &'a [u8], key: &[u8], digits: usize) -> Option<(u64, &'a [u8])> {
    let rest = text.strip_prefix(key)?;
    let (number, rest) = rest.split_at_checked(digits)?;
    if number[0] != b'1' {
        return None;
    }
    let number = number.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + u64::from(digit))
    })?;
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_of_the_size_asked_for_and_says_which_tick_it_is() {
        let written = Stamp { topic: 499, sequence: 12_345, due_ns: 60_000_000_001 };
        for bytes in [PAYLOAD_BYTES_MIN, 200, 4_096] {
            let json = payload(written, bytes);
            assert_eq!(json.len(), bytes);
            serde_json::from_slice::<serde_json::Value>(&json).unwrap();
            assert_eq!(stamp(&json), Some(written));
            let tick = [br#"{"type":"market_data","data":"#, &json[..], b"}"].concat();
            assert_eq!(stamp(&tick), Some(written));
            // As Python writes it.
            let spaced = String::from_utf8(json).unwrap().replace(',', ", ").replace(':', ": ");
            assert_eq!(stamp(format!("{{\"data\": {spaced}}}").as_bytes()), Some(written));
        }
    }

    #[test]
    fn what_is_no_tick_of_ours_has_no_stamp() {
        for other in [&b""[..], b"}}", br#"{"type":"auth","status":"success"}"#, &[b'1'; 99]] {
            assert_eq!(stamp(other), None);
        }
    }

    #[test]
    fn each_client_has_as_many_different_topics_as_were_asked_for() {
        for (topics, topics_per_client) in [(1, 1), (500, 50), (100, 90), (10, 10)] {
            let workload = Workload { clients: 20, topics, topics_per_client, payload_bytes: 200 };
            for client in 0..20 {
                let mut mine = workload.topics_of(client);
                assert_eq!(mine, workload.topics_of(client));
                mine.dedup();
                assert_eq!(mine.len(), topics_per_client);
                assert!(mine.iter().all(|topic| (*topic as usize) < topics));
            }
            let all: u32 = workload.audience().iter().sum();
            assert_eq!(all as usize, 20 * topics_per_client);
        }
    }
}
