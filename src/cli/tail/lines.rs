//! One line for each tick, for pipes and files.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::message::Tick;
use crate::topic::Mode;

/// Writes ticks to standard output, and what else there is to say to standard error.
#[derive(Debug)]
pub struct Lines {
    json: bool,
}

impl Lines {
    /// `json`: the frames as they came instead of a summary.
    #[must_use]
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// # Errors
    ///
    /// Fails if standard output cannot be written.
    pub fn tick(&self, tick: &Tick, frame: &str) -> io::Result<()> {
        print(&if self.json { one_line(frame) } else { summary(tick) })
    }

    /// # Errors
    ///
    /// Fails if standard output cannot be written.
    pub fn order(&self, frame: &str) -> io::Result<()> {
        let frame = one_line(frame);
        print(&if self.json {
            frame
        } else {
            format!("order {}", super::message::printable(&frame))
        })
    }
}

/// `NSE:RELIANCE ltp=1424.05 …`: what the mode promises, as far as it came.
fn summary(tick: &Tick) -> String {
    let mut line = tick.instrument.to_string();
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = write!(line, " {name}={value}");
        }
    };
    add("ltp", &tick.ltp);
    if tick.mode >= Mode::Quote {
        add("open", &tick.open);
        add("high", &tick.high);
        add("low", &tick.low);
        add("close", &tick.close);
        add("volume", &tick.volume);
    }
    if tick.mode == Mode::Depth {
        for (side, levels) in [("bid", &tick.bids), ("ask", &tick.asks)] {
            if let Some(best) = levels.first() {
                add(side, &format!("{}x{}", best.price, best.quantity));
            }
        }
        add("levels", &format!("{}/{}", tick.bids.len(), tick.asks.len()));
    }
    if tick.skipped > 0 {
        add("skipped", &tick.skipped.to_string());
    }
    line
}

/// JSON may hold line breaks between its parts, and nowhere else.
fn one_line(frame: &str) -> String {
    frame.replace(['\n', '\r'], " ")
}

fn print(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

#[cfg(test)]
mod tests {
    use super::super::message::{Message, parse};
    use super::*;

    fn line(mode: u8) -> String {
        let frame = format!(
            r#"{{"type":"market_data","symbol":"TCS:20","exchange":"NSE","mode":{mode},"data":{{
               "ltp":10.50,"open":10,"high":11,"low":9.5,"close":10.1,"volume":7,
               "depth":{{"buy":[{{"price":10.4,"quantity":3}}],"sell":[]}}}}}}"#
        );
        match parse(&frame) {
            Some(Message::Tick(tick)) => summary(&tick),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_shows_what_the_mode_promises() {
        assert_eq!(line(1), "NSE:TCS:20 ltp=10.50");
        assert_eq!(line(2), "NSE:TCS:20 ltp=10.50 open=10 high=11 low=9.5 close=10.1 volume=7");
        assert_eq!(
            line(3),
            "NSE:TCS:20 ltp=10.50 open=10 high=11 low=9.5 close=10.1 volume=7 bid=10.4x3 levels=1/0"
        );
    }

    #[test]
    fn what_was_left_out_before_a_tick_is_told() {
        let line = |skipped: &str| {
            let frame = format!(
                r#"{{"type":"market_data",{skipped}"symbol":"TCS","exchange":"NSE","mode":1,
                   "data":{{"ltp":10.50}}}}"#
            );
            match parse(&frame) {
                Some(Message::Tick(tick)) => summary(&tick),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(line(r#""skipped":3,"seq":9,"#), "NSE:TCS ltp=10.50 skipped=3");
        assert_eq!(line(r#""skipped":"many","#), "NSE:TCS ltp=10.50");
    }

    #[test]
    fn a_frame_stays_on_one_line() {
        assert_eq!(one_line("{\n\"a\":\r\n1}"), "{ \"a\":  1}");
    }
}
