//! How many clients of a user hold a topic: as they were told, and as the status page says.

use std::collections::BTreeMap;

use serde::Serialize;
use tickgate::topic::Mode;

use crate::history::{Event, Seen};
use crate::invariant::holdings::Holdings;

/// The counts of one user's topic over time.
#[derive(Default, Serialize)]
pub(super) struct Strip {
    /// `alice NSE:TCS/LTP`
    label: String,
    topic: String,
    /// According to the answers that clients have read: `[at, count]`, at each change.
    told: Vec<(u64, u64)>,
    /// On each status page: `[at, count]`.
    page: Vec<(u64, u64)>,
}

/// A strip for every topic that anybody ever held.
pub(super) fn strips(events: &[Event]) -> Vec<Strip> {
    let mut strips: BTreeMap<(String, String), Strip> = BTreeMap::new();
    let mut holdings = Holdings::default();
    for event in events {
        let at_us = event.at_us;
        match &event.seen {
            Seen::Answered(_) | Seen::Leaves { .. } | Seen::Lost { .. } => {
                holdings.observe(event);
                let counts = holdings.counts();
                let named = counts
                    .into_iter()
                    .map(|((user, topic), count)| ((user.to_string(), topic.to_string()), count));
                let counts: BTreeMap<_, _> = named.collect();
                counts.keys().for_each(|key| {
                    strip(&mut strips, key);
                });
                for (key, strip) in &mut strips {
                    let count = counts.get(key).copied().unwrap_or(0);
                    if strip.told.last().map_or(0, |(_, last)| *last) != count {
                        strip.told.push((at_us, count));
                    }
                }
            }
            Seen::Status(status) => {
                let mut counts = BTreeMap::new();
                for topic in &status.topics {
                    let mode = Mode::from_number(topic.mode.into()).map_or("?", Mode::label);
                    let name = format!("{}:{}/{mode}", topic.exchange, topic.symbol);
                    counts.insert((topic.user.to_string(), name), topic.count);
                }
                counts.keys().for_each(|key| {
                    strip(&mut strips, key);
                });
                for (key, strip) in &mut strips {
                    strip.page.push((at_us, counts.get(key).copied().unwrap_or(0)));
                }
            }
            _ => {
                holdings.observe(event);
            }
        }
    }
    strips.into_values().collect()
}

fn strip<'a>(
    strips: &'a mut BTreeMap<(String, String), Strip>,
    key: &(String, String),
) -> &'a mut Strip {
    strips.entry(key.clone()).or_insert_with(|| Strip {
        label: format!("{} {}", key.0, key.1),
        topic: key.1.clone(),
        ..Strip::default()
    })
}
