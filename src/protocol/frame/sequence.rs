//! What a tick says of its place among the others of its topic.

use bytes::{BufMut, Bytes};

use super::{FINAL_TEXT, SEQ, SNAPSHOT, TICK_START, payload, split_skipped};

/// How many values right before this tick are never sent to its receiver, as the tick itself says;
/// 0 for anything else.
#[must_use]
pub fn skipped(frame: &[u8]) -> u64 {
    let rest = payload(frame).and_then(|payload| payload.strip_prefix(TICK_START));
    let Some(rest) = rest else { return 0 };
    split_skipped(rest.strip_prefix(SNAPSHOT).unwrap_or(rest)).0
}

/// The same tick as one that stands alone: without `skipped` and `seq`.
#[must_use]
pub fn without_sequence(frame: &Bytes) -> Bytes {
    let rest = payload(frame).and_then(|payload| payload.strip_prefix(TICK_START));
    let Some(rest) = rest else { return frame.clone() };
    let (_, bare) = split_skipped(rest);
    let bare = without_seq(bare);
    if bare.len() == rest.len() {
        return frame.clone();
    }
    let mut frame = super::frame(FINAL_TEXT, TICK_START.len() + bare.len());
    frame.put_slice(TICK_START);
    frame.put_slice(bare);
    frame.freeze()
}

fn without_seq(rest: &[u8]) -> &[u8] {
    let Some(said) = rest.strip_prefix(SEQ) else { return rest };
    let digits = said.iter().take_while(|byte| byte.is_ascii_digit()).count();
    said.get(digits + 1..).unwrap_or_default()
}

/// A number as text, without an allocation.
pub(super) struct Decimal {
    digits: [u8; Decimal::DIGITS_MAX],
    from: usize,
}

impl Decimal {
    /// Those of `u64::MAX`.
    const DIGITS_MAX: usize = 20;

    pub(super) const fn of(mut number: u64) -> Self {
        let (mut digits, mut from) = ([b'0'; Self::DIGITS_MAX], Self::DIGITS_MAX);
        loop {
            from -= 1;
            digits[from] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Self { digits, from };
            }
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.from..]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{numbered_tick_frame, text_frame, tick_frame, with_skipped, with_snapshot};
    use super::*;
    use crate::topic::{Instrument, Mode};

    fn tick(seq: Option<u64>) -> Bytes {
        let instrument = Instrument::new("NSE", "TCS");
        numbered_tick_frame(&instrument, Mode::Ltp, "b", seq, br#"{"ltp":1}"#)
    }

    fn text(frame: &Bytes) -> &str {
        std::str::from_utf8(payload(frame).unwrap()).unwrap()
    }

    #[test]
    fn a_tick_carries_its_number_whatever_else_is_told() {
        let rest = r#""symbol":"TCS","exchange":"NSE","mode":1,"broker":"b","data":{"ltp":1}}"#;
        let tick = tick(Some(42));
        assert_eq!(text(&tick), format!(r#"{{"type":"market_data","seq":42,{rest}"#));
        let told = with_skipped(&tick, 3);
        assert_eq!(text(&told), format!(r#"{{"type":"market_data","skipped":3,"seq":42,{rest}"#));
        let snapshot = with_snapshot(&told);
        let expected = format!(r#"{{"type":"market_data","snapshot":true,"seq":42,{rest}"#);
        assert_eq!(text(&snapshot), expected);
    }

    #[test]
    fn every_number_is_written_in_full() {
        for number in [0, 7, 10, 99, 100, 12_345_678_901_234_567_890, u64::MAX] {
            let read: serde_json::Value =
                serde_json::from_slice(payload(&tick(Some(number))).unwrap()).unwrap();
            assert_eq!(read["seq"], number);
        }
    }

    #[test]
    fn what_was_skipped_is_read_back() {
        let tick = tick(Some(9));
        assert_eq!(skipped(&tick), 0);
        assert_eq!(skipped(&with_skipped(&tick, 12)), 12);
        assert_eq!(skipped(&with_skipped(&with_snapshot(&tick), 3)), 3);
        assert_eq!(skipped(&with_snapshot(&with_skipped(&tick, 3))), 0);
        assert_eq!(skipped(&text_frame(br#"{"skipped":4}"#)), 0);
    }

    #[test]
    fn a_tick_that_stands_alone_says_nothing_of_others() {
        let bare = tick_frame(&Instrument::new("NSE", "TCS"), Mode::Ltp, "b", br#"{"ltp":1}"#);
        for told in [tick(Some(3)), with_skipped(&tick(Some(3)), 2), with_skipped(&tick(None), 2)] {
            assert_eq!(without_sequence(&told), bare);
        }
        assert_eq!(without_sequence(&bare), bare);
        let other = text_frame(b"{}");
        assert_eq!(without_sequence(&other), other);
    }
}
