//! When markets trade.

use std::collections::BTreeMap;

use crate::config::{MarketEntry, MarketHours};

const MINUTE_MS: u64 = 60_000;
const DAY_MIN: i64 = 24 * 60;

/// How far ahead the next opening is looked for: the longest row of holidays and then some.
const DAYS_AHEAD: i64 = 40;

/// The hours of every market that has some.
#[derive(Clone, Debug, Default)]
pub struct Hours {
    markets: Vec<MarketHours>,
    /// Of each: after which silence a topic of it is stale, if it says so.
    stale_after_ms: Vec<Option<u64>>,
    by_exchange: BTreeMap<String, usize>,
}

impl Hours {
    /// The hours that a configuration gives. What cannot be read is left out; a validated
    /// configuration has none such.
    #[must_use]
    pub fn new(entries: &[MarketEntry]) -> Self {
        let mut hours = Self::default();
        for entry in entries {
            let Ok(market) = entry.hours() else { continue };
            let number = hours.markets.len();
            hours.markets.push(market);
            hours.stale_after_ms.push(entry.stale_after_ms);
            hours.by_exchange.extend(entry.exchanges.iter().map(|name| (name.clone(), number)));
        }
        hours
    }

    /// How many markets there are.
    pub(super) const fn len(&self) -> usize {
        self.markets.len()
    }

    /// The market at which an exchange trades; `None`: it always does.
    pub(super) fn market(&self, exchange: &str) -> Option<usize> {
        self.by_exchange.get(exchange).copied()
    }

    /// Silence after which a topic of a market is stale; `None`: as everywhere.
    pub(super) fn stale_after_ms(&self, market: usize) -> Option<u64> {
        self.stale_after_ms[market]
    }

    /// Whether a market trades at a moment.
    pub(super) fn is_open(&self, market: usize, unix_ms: u64) -> bool {
        is_open(&self.markets[market], minute_of(unix_ms))
    }

    /// The first moment behind this one at which a market may open or close, in milliseconds since
    /// 1970. If there is none soon, a moment at which to ask again.
    pub(super) fn next_change_ms(&self, market: usize, unix_ms: u64) -> u64 {
        let (hours, minute) = (&self.markets[market], minute_of(unix_ms));
        let today = (minute + hours.offset_min).div_euclid(DAY_MIN);
        let edges =
            (today - 2..today + DAYS_AHEAD).filter(|day| opens(hours, *day)).flat_map(|day| {
                [hours.open_min, hours.close_min].map(|min| day * DAY_MIN + i64::from(min))
            });
        let edges = edges.map(|local| local - hours.offset_min);
        let next = edges.filter(|edge| *edge > minute).min();
        let next = next.unwrap_or(minute + DAYS_AHEAD * DAY_MIN);
        u64::try_from(next).unwrap_or_default() * MINUTE_MS
    }
}

fn minute_of(unix_ms: u64) -> i64 {
    i64::try_from(unix_ms / MINUTE_MS).unwrap_or(i64::MAX)
}

/// `minute`: since 1970, in UTC.
fn is_open(hours: &MarketHours, minute: i64) -> bool {
    let local = minute + hours.offset_min;
    let (day, of_day) = (local.div_euclid(DAY_MIN), local.rem_euclid(DAY_MIN));
    // It may still be the day before, or close on the dot two days later.
    (0..=2).any(|ago| {
        let minute = of_day + ago * DAY_MIN;
        let range = i64::from(hours.open_min)..i64::from(hours.close_min);
        range.contains(&minute) && opens(hours, day - ago)
    })
}

/// `day`: since 1970, by the market's own clock.
fn opens(hours: &MarketHours, day: i64) -> bool {
    // 1970 began on a Thursday.
    let of_week = usize::try_from((day + 3).rem_euclid(7)).unwrap_or_default();
    hours.days[of_week] && hours.holidays.binary_search(&day).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22, a Sunday, 00:00 UTC.
    const SUNDAY_MS: u64 = 20_779 * 24 * 60 * MINUTE_MS;
    const HOUR_MS: u64 = 60 * MINUTE_MS;
    const DAY_MS: u64 = 24 * HOUR_MS;

    fn hours(open: &str, close: &str, days: &[&str], holidays: &[&str]) -> Hours {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Hours::new(&[MarketEntry {
            exchanges: vec!["NSE".into()],
            utc_offset: "+05:30".into(),
            days: list(days),
            open: open.into(),
            close: close.into(),
            holidays: list(holidays),
            stale_after_ms: None,
        }])
    }

    const WORKDAYS: &[&str] = &["mon", "tue", "wed", "thu", "fri"];

    #[test]
    fn a_day_in_mumbai_is_open_from_a_quarter_past_nine_to_half_past_three() {
        let hours = hours("09:15", "15:30", WORKDAYS, &["2026-11-24"]);
        let monday_ms = SUNDAY_MS + DAY_MS;
        let (open_ms, close_ms) = (monday_ms + 225 * MINUTE_MS, monday_ms + 10 * HOUR_MS);
        assert!(!hours.is_open(0, SUNDAY_MS + 6 * HOUR_MS), "a Sunday");
        assert!(!hours.is_open(0, open_ms - 1));
        assert!(hours.is_open(0, open_ms));
        assert!(hours.is_open(0, close_ms - 1));
        assert!(!hours.is_open(0, close_ms));
        assert!(!hours.is_open(0, open_ms + DAY_MS), "a holiday");
        assert!(hours.is_open(0, open_ms + 2 * DAY_MS));
        assert_eq!(hours.next_change_ms(0, SUNDAY_MS), open_ms);
        assert_eq!(hours.next_change_ms(0, open_ms), close_ms);
        assert_eq!(hours.next_change_ms(0, close_ms), open_ms + 2 * DAY_MS);
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_began() {
        let hours = hours("18:00", "02:00", &["sun"], &[]);
        let local_midnight_ms = SUNDAY_MS - 330 * MINUTE_MS;
        assert!(!hours.is_open(0, local_midnight_ms + HOUR_MS), "Saturday did not open");
        assert!(hours.is_open(0, local_midnight_ms + 19 * HOUR_MS));
        assert!(hours.is_open(0, local_midnight_ms + 25 * HOUR_MS), "Sunday's night");
        assert!(!hours.is_open(0, local_midnight_ms + 26 * HOUR_MS));
    }

    #[test]
    fn a_market_without_a_day_or_a_pause_never_changes() {
        let never = hours("09:15", "15:30", &[], &[]);
        assert!((0..14).all(|half| !never.is_open(0, SUNDAY_MS + half * DAY_MS / 2)));
        assert_eq!(never.next_change_ms(0, SUNDAY_MS), SUNDAY_MS + 40 * DAY_MS);
        let all_week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let always = hours("00:00", "24:00", &all_week, &[]);
        assert!((0..300).all(|hour| always.is_open(0, SUNDAY_MS + hour * HOUR_MS)));
        assert_eq!((always.market("NSE"), always.market("BSE")), (Some(0), None));
    }
}
