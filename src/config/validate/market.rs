//! What `[feed]` and `[[market]]` must be.

use std::collections::BTreeMap;

use super::Findings;
use crate::config::{Config, DAYS, Feed, MARKETS_MAX};

/// Days that a market may be closed on beyond those of the week.
const HOLIDAYS_MAX: usize = 1_000;
const DAY_MS: u64 = 86_400_000;

impl Findings {
    pub(super) fn feed(&mut self, feed: &Feed) {
        let Feed { stale_min_ms, stale_after_ms, .. } = *feed;
        self.at_most(("feed.stale_min_ms", stale_min_ms), ("feed.stale_after_ms", stale_after_ms));
    }

    pub(super) fn markets(&mut self, config: &Config) {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, market) in config.market.iter().enumerate() {
            let key = |name: &str| format!("market.{index}.{name}");
            if let Err(name) = market.hours() {
                let wanted = match name {
                    "utc_offset" => "an offset from UTC as +05:30, at most 14 hours",
                    "days" => &format!("days of the week: {}", DAYS.join(", ")),
                    "open" => "a time of the day as 09:15, before 24:00",
                    "close" => "a time of the day as 15:30, at most 24:00",
                    _ => "days as 2026-01-26",
                };
                self.add(&[&key(name)], format!("`{}` takes {wanted}", key(name)));
            }
            if let Some(stale_after_ms) = market.stale_after_ms {
                let (name, min_ms) = (key("stale_after_ms"), config.feed.stale_min_ms);
                self.at_most(("feed.stale_min_ms", min_ms), (&name, stale_after_ms));
                if stale_after_ms > DAY_MS {
                    let message = format!("`{name}` may be {DAY_MS} ms, got {stale_after_ms} ms");
                    self.add(&[&name], message);
                }
            }
            if market.holidays.len() > HOLIDAYS_MAX {
                let name = key("holidays");
                let count = market.holidays.len();
                self.add(&[&name], format!("`{name}` may be {HOLIDAYS_MAX} days, got {count}"));
            }
            if market.exchanges.is_empty() {
                let name = key("exchanges");
                self.add(&[&name], format!("`{name}` is empty, so it is about no topic"));
            }
            for exchange in &market.exchanges {
                if let Some(first) = seen.insert(exchange, index) {
                    let name = key("exchanges");
                    self.add(
                        &[&name],
                        format!(
                            "`market.{first}` and `market.{index}` are both about {exchange:?}"
                        ),
                    );
                }
            }
        }
        let count = config.market.len();
        if count > MARKETS_MAX {
            let message = format!("there may be {MARKETS_MAX} [[market]], got {count}");
            self.add(&["market.0"], message);
        }
    }
}
