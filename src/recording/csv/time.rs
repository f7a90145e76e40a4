//! Moments as tick files have them.

use crate::runtime::calendar;

const SECOND_NS: u64 = 1_000_000_000;

/// How far the clocks of a place are ahead of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    seconds: i64,
}

impl Zone {
    /// No difference.
    pub const UTC: Self = Self { seconds: 0 };

    /// Reads `Z`, `+05:30`, `-0800` or `+01`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("z") {
            return Some(Self::UTC);
        }
        let (sign, digits) = match text.strip_prefix('+') {
            Some(digits) => (1, digits),
            None => (-1, text.strip_prefix('-')?),
        };
        let digits = digits.replacen(':', "", 1);
        let number = |text: &str| text.parse::<i64>().ok();
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (hours, minutes) = match digits.len() {
            2 => (number(&digits)?, 0),
            4 => (number(&digits[..2])?, number(&digits[2..])?),
            _ => return None,
        };
        let fits = hours <= 14 && minutes < 60;
        fits.then_some(Self { seconds: sign * (hours * 3_600 + minutes * 60) })
    }
}

/// Nanoseconds since 1970 of a moment: a number of seconds, milli-, micro- or nanoseconds since
/// 1970, told apart by its size, which may have decimals; or ISO 8601, as
/// `2026-11-21T09:15:00.123456+05:30`, without a zone in `zone`, and with a blank for the `T`.
#[must_use]
pub fn parse_time(text: &str, zone: Zone) -> Option<u64> {
    if text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return since_1970(text);
    }
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let (time, zone) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => (&time[..at], Zone::parse(time[at..].trim())?),
        None => (time, zone),
    };
    let (whole, decimals) = time.trim_end().split_once('.').unwrap_or((time.trim_end(), "0"));
    let seconds = calendar::unix_ms(&format!("{date}T{whole}"))? / 1_000;
    let seconds = seconds.checked_add_signed(-zone.seconds)?;
    seconds.checked_mul(SECOND_NS)?.checked_add(fraction_ns(decimals, SECOND_NS)?)
}

fn since_1970(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let number: u64 = whole.parse().ok()?;
    // Seconds until the year 5138; the others since 1973.
    let units = [
        (100_000_000_000, SECOND_NS),
        (100_000_000_000_000, 1_000_000),
        (100_000_000_000_000_000, 1_000),
    ];
    let unit_ns = units.into_iter().find(|(below, _)| number < *below).map_or(1, |(_, ns)| ns);
    number.checked_mul(unit_ns)?.checked_add(fraction_ns(decimals, unit_ns)?)
}

/// The decimals of a number of units in nanoseconds, rounded down.
fn fraction_ns(decimals: &str, unit_ns: u64) -> Option<u64> {
    let is_number = !decimals.is_empty() && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let digits = |byte: u8| u64::from(byte - b'0');
    let add = |(sum, place): (u64, u64), byte| (sum + digits(byte) * place, place / 10);
    is_number.then(|| decimals.bytes().fold((0, unit_ns / 10), add).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_apart_by_their_size() {
        for (text, ns) in [
            ("1732186800", 1_732_186_800_000_000_000),
            ("1732186800.5", 1_732_186_800_500_000_000),
            ("1732186800.123456789123", 1_732_186_800_123_456_789),
            ("1732186800123", 1_732_186_800_123_000_000),
            ("1732186800123.25", 1_732_186_800_123_250_000),
            ("1732186800123456", 1_732_186_800_123_456_000),
            ("1732186800123456789", 1_732_186_800_123_456_789),
            ("0", 0),
        ] {
            assert_eq!(parse_time(text, Zone::UTC), Some(ns), "{text}");
        }
    }

    #[test]
    fn iso_8601_has_a_zone_or_gets_one() {
        let india = Zone::parse("+05:30").unwrap();
        let at = 1_795_232_700_000_000_000;
        for (text, zone, ns) in [
            ("2026-11-21T03:45:00Z", india, at),
            ("2026-11-21T03:45:00", Zone::UTC, at),
            ("2026-11-21 09:15:00", india, at),
            ("2026-11-21T09:15:00+05:30", Zone::UTC, at),
            ("2026-11-21T09:15:00.000000001+0530", Zone::UTC, at + 1),
            ("2026-11-20T22:45:00.25-05", Zone::UTC, at + 250_000_000),
            ("2026-11-21T03:45", Zone::UTC, at),
        ] {
            assert_eq!(parse_time(text, zone), Some(ns), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for bad in [
            "",
            "now",
            "-1",
            "1.",
            "1.x",
            "1.2.3",
            "2026-11-21",
            "2026-11-21T",
            "2026-02-30T00:00",
            "2026-11-21T09:15:00+",
            "2026-11-21T09:15:00+5:30",
            "2026-11-21T09:15:00+99:00",
            "2026-11-21T09:15:00.",
            "99999999999999999999",
            "1970-01-01T00:00:00+05:30",
        ] {
            assert_eq!(parse_time(bad, Zone::UTC), None, "{bad:?}");
        }
        for bad in ["", "05:30", "+5", "+05:60", "+15", "+05:3", "IST"] {
            assert_eq!(Zone::parse(bad), None, "{bad:?}");
        }
    }
}
