//! Moments as people write them, always in UTC.

const DAY_MS: u64 = 86_400_000;
/// Days from 0000-03-01 to 1970-01-01. A year that begins in March ends with its leap day.
const EPOCH_DAY: u64 = 719_468;

/// Milliseconds since 1970 as `2026-11-21T07:30:00Z`.
#[must_use]
pub fn utc(unix_ms: u64) -> String {
    format!("{}Z", seconds(unix_ms))
}

/// Milliseconds since 1970 as `2026-11-21T07:30:00.123Z`: RFC 3339.
#[must_use]
pub fn utc_ms(unix_ms: u64) -> String {
    format!("{}.{:03}Z", seconds(unix_ms), unix_ms % 1_000)
}

fn seconds(unix_ms: u64) -> String {
    let (days, second) = (unix_ms / DAY_MS, unix_ms / 1_000 % 86_400);
    let days = days + EPOCH_DAY;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// The moment that a text names, in milliseconds since 1970.
///
/// Takes `2026-11-21`, `2026-11-21T09:15`, `2026-11-21T09:15:00` and `2026-11-21T09:15:00.123`,
/// each with or without a `Z`; all are UTC. `None`: it is none of these.
#[must_use]
pub fn unix_ms(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00"));
    let mut parts = date.splitn(3, '-');
    let year = number(parts.next()?, 4, 1970..=9999)?;
    let month = number(parts.next()?, 2, 1..=12)?;
    let day = number(parts.next()?, 2, 1..=31)?;
    let mut parts = time.splitn(3, ':');
    let hour = number(parts.next()?, 2, 0..=23)?;
    let minute = number(parts.next()?, 2, 0..=59)?;
    let (second, ms) = match parts.next() {
        None => (0, 0),
        Some(second) => {
            let (second, ms) = second.split_once('.').unwrap_or((second, "000"));
            (number(second, 2, 0..=59)?, number(ms, 3, 0..=999)?)
        }
    };
    let (march_year, march_month) =
        if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let days = march_year * 365 + march_year / 4 - march_year / 100 + march_year / 400;
    let days = (days + day_of_year).checked_sub(EPOCH_DAY)?;
    let unix_ms = days * DAY_MS + (hour * 3_600 + minute * 60 + second) * 1_000 + ms;
    // The 30th of February would be some day of March.
    utc(unix_ms).starts_with(date).then_some(unix_ms)
}

/// Milliseconds of a span as people write it: `90s`, `30m`, `2h` or `7d`. `None`: it is no span, or
/// too long to count.
#[must_use]
pub fn span_ms(text: &str) -> Option<u64> {
    let (at, unit) = text.char_indices().last()?;
    let unit_ms = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => DAY_MS,
        _ => return None,
    };
    text[..at].parse::<u64>().ok()?.checked_mul(unit_ms)
}

fn number(text: &str, digits: usize, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    let is_plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_plain && range.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_is_right_in_both_directions() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_799_000, "2000-02-29T23:59:59Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59Z"),
            (1_795_246_200_000, "2026-11-21T07:30:00Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(ms), text);
            assert_eq!(unix_ms(text), Some(ms));
            assert_eq!(utc(ms + 999), text, "what is left of a second is not rounded");
            assert_eq!(unix_ms(&utc_ms(ms + 7)), Some(ms + 7));
        }
    }

    #[test]
    fn a_span_is_a_number_and_its_unit() {
        let good = [("90s", 90_000), ("30m", 1_800_000), ("2h", 7_200_000), ("7d", 604_800_000)];
        for (text, ms) in good {
            assert_eq!(span_ms(text), Some(ms), "{text:?}");
        }
        for bad in ["", "h", "2", "-2h", "2 h", "2w", "1.5h", "2\u{b5}", "213503982335d"] {
            assert_eq!(span_ms(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_moment_can_be_written_in_part_and_a_wrong_one_is_none() {
        let midnight = unix_ms("2026-11-21T00:00:00Z");
        assert_eq!(unix_ms("2026-11-21"), midnight);
        assert_eq!(unix_ms("2026-11-21T00:00"), midnight);
        for bad in [
            "",
            "now",
            "2026-02-30",
            "2026-13-01",
            "2026-11-21T24:00",
            "2026-11-21T09:15:00+05:30",
            "1969-12-31",
            "2026-1-1",
            "+026-01-01",
            "2026-11-21T",
        ] {
            assert_eq!(unix_ms(bad), None, "{bad:?}");
        }
    }
}
