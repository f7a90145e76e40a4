//! `[[market]]`: when exchanges trade.
//!
//! Hours are said in a fixed offset from UTC. India has had one since 1945, crypto trades in UTC,
//! and a table of the world's time zones would have to be kept up to date with the gateway.

use serde::{Deserialize, Serialize};

use super::schema::Key;
use super::value::Slot;

/// The section of markets.
pub(super) const MARKET: &str = "market";

/// Most markets one gateway can have.
pub const MARKETS_MAX: usize = 64;

/// Days of the week as the configuration writes them, from Monday.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const DAY_MIN: u32 = 24 * 60;
/// Days from 0000-03-01 to 1970-01-01. A year that begins in March ends with its leap day.
const EPOCH_DAY: i64 = 719_468;

/// `[[market]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketEntry {
    /// The exchanges whose topics trade at these hours.
    pub exchanges: Vec<String>,
    /// The clock by which all the rest is said, as `+05:30`.
    #[serde(default = "default_utc_offset")]
    pub utc_offset: String,
    /// Days of the week on which it opens.
    #[serde(default = "default_days")]
    pub days: Vec<String>,
    /// When it opens, as `09:15`.
    pub open: String,
    /// When it closes, as `15:30`; not after `open`: on the next day.
    pub close: String,
    /// Days on which it does not open, as `2026-01-26`.
    #[serde(default)]
    pub holidays: Vec<String>,
    /// Silence after which a topic of it is stale. Absent: `feed.stale_after_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_after_ms: Option<u64>,
}

/// What a [`MarketEntry`] says, as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketHours {
    /// Minutes that its clock is ahead of UTC.
    pub offset_min: i64,
    /// Whether it opens on a day of the week, from Monday.
    pub days: [bool; 7],
    /// Minutes from midnight to its opening.
    pub open_min: u32,
    /// Minutes from that midnight to its close, up to two days.
    pub close_min: u32,
    /// Days since 1970 on which it does not open, in order.
    pub holidays: Vec<i64>,
}

impl MarketEntry {
    /// The hours that it says, or the key that says no such thing.
    ///
    /// # Errors
    ///
    /// Fails with the name of the first key that cannot be read. A validated configuration has
    /// none.
    pub fn hours(&self) -> Result<MarketHours, &'static str> {
        let offset_min = offset_min(&self.utc_offset).ok_or("utc_offset")?;
        let mut days = [false; 7];
        for word in &self.days {
            let at = DAYS.iter().position(|day| day == word).ok_or("days")?;
            days[at] = true;
        }
        let open_min = minutes(&self.open).filter(|min| *min < DAY_MIN).ok_or("open")?;
        let close = minutes(&self.close).ok_or("close")?;
        let close_min = if close > open_min { close } else { close + DAY_MIN };
        let holidays = self.holidays.iter().map(|day| day_number(day)).collect::<Option<Vec<_>>>();
        let mut holidays = holidays.ok_or("holidays")?;
        holidays.sort_unstable();
        Ok(MarketHours { offset_min, days, open_min, close_min, holidays })
    }
}

/// `09:15` as minutes since midnight; `24:00` is the last.
fn minutes(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= DAY_MIN).then_some(minutes)
}

/// `+05:30` as minutes.
fn offset_min(text: &str) -> Option<i64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let minutes = minutes(rest).filter(|minutes| *minutes <= 14 * 60)?;
    Some(sign * i64::from(minutes))
}

fn two_digits(text: &str) -> Option<u32> {
    let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

/// `2026-01-26` as days since 1970.
fn day_number(text: &str) -> Option<i64> {
    let (year, rest) = text.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let is_plain = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    let year: i64 = year.parse().ok().filter(|year| is_plain && *year >= 1970)?;
    let (month, day) = (i64::from(two_digits(month)?), i64::from(two_digits(day)?));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    let (march_year, march_month) =
        if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let leaps = march_year / 4 - march_year / 100 + march_year / 400;
    Some(march_year * 365 + leaps + day_of_year - EPOCH_DAY)
}

fn default_utc_offset() -> String {
    "+05:30".into()
}

fn default_days() -> Vec<String> {
    DAYS[..5].iter().map(|day| (*day).to_owned()).collect()
}

/// A `[[market]]` entry of which parts may still be missing.
#[derive(Debug)]
pub(super) struct MarketDraft {
    open: Option<String>,
    close: Option<String>,
    entry: MarketEntry,
}

impl Default for MarketDraft {
    fn default() -> Self {
        let entry = MarketEntry {
            exchanges: Vec::new(),
            utc_offset: default_utc_offset(),
            days: default_days(),
            open: String::new(),
            close: String::new(),
            holidays: Vec::new(),
            stale_after_ms: None,
        };
        Self { open: None, close: None, entry }
    }
}

impl MarketDraft {
    /// The entry, or the name of the key that is missing.
    pub(super) fn finish(self) -> Result<MarketEntry, &'static str> {
        if self.entry.exchanges.is_empty() {
            return Err("exchanges");
        }
        let open = self.open.ok_or("open")?;
        let close = self.close.ok_or("close")?;
        Ok(MarketEntry { open, close, ..self.entry })
    }
}

/// Every key of one `[[market]]` entry.
pub(super) const MARKET_KEYS: &[Key<MarketDraft>] = &[
    key("exchanges", Slot::List(|m| &mut m.entry.exchanges)),
    key("utc_offset", Slot::Text(|m| &mut m.entry.utc_offset)),
    key("days", Slot::List(|m| &mut m.entry.days)),
    key("open", Slot::MaybeText(|m| &mut m.open)),
    key("close", Slot::MaybeText(|m| &mut m.close)),
    key("holidays", Slot::List(|m| &mut m.entry.holidays)),
    key("stale_after_ms", Slot::MaybeWhole(|m| &mut m.entry.stale_after_ms)),
];

const fn key(name: &'static str, slot: Slot<MarketDraft>) -> Key<MarketDraft> {
    Key { section: MARKET, name, slot }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_days_are_read_as_people_write_them() {
        assert_eq!(minutes("09:15"), Some(555));
        assert_eq!(minutes("24:00"), Some(1_440));
        assert_eq!(offset_min("+05:30"), Some(330));
        assert_eq!(offset_min("-09:00"), Some(-540));
        assert_eq!(day_number("1970-01-01"), Some(0));
        assert_eq!(day_number("2000-02-29"), Some(11_016));
        assert_eq!(day_number("2026-11-22"), Some(20_779));
        for bad in ["9:15", "24:01", "12:60", "12", "", "1x:00"] {
            assert_eq!(minutes(bad), None, "{bad}");
        }
        for bad in ["05:30", "+15:00", "Asia/Kolkata", ""] {
            assert_eq!(offset_min(bad), None, "{bad}");
        }
        for bad in ["2026-02-29", "2026-13-01", "26-01-01", "2026-1-1", "2026-04-31"] {
            assert_eq!(day_number(bad), None, "{bad}");
        }
    }
}
