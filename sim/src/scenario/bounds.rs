//! Bounds of numbers, for scenarios and plans.

use super::RangeMs;

/// Longest single fault, in milliseconds: everybody's patience has to outlast it.
pub const FAULT_MS_MAX: u64 = 60_000;

/// # Errors
///
/// Fails if a range ends before it begins.
pub fn in_order(range: RangeMs, name: &str) -> Result<(), String> {
    if range[0] <= range[1] {
        return Ok(());
    }
    Err(format!("`{name}` must be [least, most], not [{}, {}]", range[0], range[1]))
}

/// # Errors
///
/// Fails if a number is less or more than it may be.
pub fn within(number: u64, least: u64, most: u64, name: &str) -> Result<(), String> {
    match (least..=most).contains(&number) {
        true => Ok(()),
        false if most == u64::MAX => Err(format!("`{name}` must be at least {least}")),
        false => Err(format!("`{name}` must be from {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_range_are_inside() {
        assert_eq!((within(2, 2, 5, "n"), within(5, 2, 5, "n")), (Ok(()), Ok(())));
        assert_eq!(within(6, 2, 5, "n"), Err("`n` must be from 2 to 5".into()));
        assert_eq!(within(1, 2, u64::MAX, "n"), Err("`n` must be at least 2".into()));
    }

    #[test]
    fn a_range_may_hold_one_number_and_no_less() {
        assert_eq!(in_order([3, 3], "n"), Ok(()));
        assert_eq!(in_order([4, 3], "n"), Err("`n` must be [least, most], not [4, 3]".into()));
    }
}
