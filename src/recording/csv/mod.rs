//! Ticks from a plain text file with a head line that names its columns.
//!
//! Lines are read one at a time, so memory does not grow with the file; for the same reason its
//! lines must be in the order of their times.

mod columns;
mod line;
mod time;

use std::io::{self, BufRead, Read};

pub use columns::{Columns, Row};
pub use time::{Zone, parse_time};

use self::line::Separator;

/// Bytes of a line.
pub const LINE_BYTES_MAX: usize = 65_536;

/// What is wrong with a file, and where.
#[derive(Debug, thiserror::Error)]
pub enum BadCsv {
    /// The operating system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line makes no sense as a whole.
    #[error("line {line}: {problem}")]
    Line {
        /// From 1.
        line: u64,
        /// What, and what was expected.
        problem: String,
    },
    /// A field makes no sense.
    #[error("line {line}, column {column} ({name}): {problem}")]
    Field {
        /// From 1.
        line: u64,
        /// From 1.
        column: usize,
        /// As the head line has it.
        name: String,
        /// What, and what was expected.
        problem: String,
    },
}

/// A file that is being read.
#[derive(Debug)]
pub struct CsvReader<R> {
    input: R,
    line: u64,
    separator: Separator,
    columns: Columns,
    zone: Zone,
    /// Of the line before.
    last_ns: u64,
    text: Vec<u8>,
}

impl<R: BufRead> CsvReader<R> {
    /// Reads the head line. `exchange` is that of lines that name none; times without a zone are
    /// of `zone`.
    ///
    /// # Errors
    ///
    /// Fails if columns are missing or named twice.
    pub fn new(input: R, exchange: Option<&str>, zone: Zone) -> Result<Self, BadCsv> {
        let mut reader = Self {
            input,
            line: 0,
            separator: Separator::default(),
            columns: Columns::default(),
            zone,
            last_ns: 0,
            text: Vec::new(),
        };
        if !reader.next_line()? {
            return Err(BadCsv::Line { line: 1, problem: "the file is empty".into() });
        }
        let head = reader.text()?.trim_start_matches('\u{feff}').to_owned();
        reader.separator = Separator::of(&head);
        let names = reader.split(&head)?;
        let wrong = |problem| BadCsv::Line { line: 1, problem };
        reader.columns = Columns::new(&names, exchange).map_err(wrong)?;
        Ok(reader)
    }

    /// Names of columns that nothing is made of.
    #[must_use]
    pub fn unused(&self) -> &[String] {
        self.columns.unused()
    }

    /// The next row. `None` at the end; empty lines are passed over.
    ///
    /// # Errors
    ///
    /// Fails if a line makes no sense or is older than the one before.
    pub fn next_row(&mut self) -> Result<Option<Row>, BadCsv> {
        loop {
            if !self.next_line()? {
                return Ok(None);
            }
            let text = self.text()?.to_owned();
            if text.trim().is_empty() {
                continue;
            }
            let fields = self.split(&text)?;
            let line = self.line;
            let row = self.columns.row(&fields, self.zone).map_err(|bad| match bad {
                columns::BadRow::Whole(problem) => BadCsv::Line { line, problem },
                columns::BadRow::Field { column, name, problem } => {
                    BadCsv::Field { line, column: column + 1, name, problem }
                }
            })?;
            if row.unix_ns < self.last_ns {
                let (column, name) = self.columns.time();
                let problem =
                    "is before the time of the line above; lines must be in the order of \
                               their times, so sort the file first"
                        .to_owned();
                return Err(BadCsv::Field { line, column: column + 1, name, problem });
            }
            self.last_ns = row.unix_ns;
            return Ok(Some(row));
        }
    }

    fn split(&self, text: &str) -> Result<Vec<String>, BadCsv> {
        let wrong = |problem: &str| BadCsv::Line { line: self.line, problem: problem.to_owned() };
        self.separator.split(text).map_err(wrong)
    }

    fn text(&self) -> Result<&str, BadCsv> {
        let line = self.line;
        let problem = || "it is not UTF-8".to_owned();
        std::str::from_utf8(&self.text).map_err(|_| BadCsv::Line { line, problem: problem() })
    }

    /// Reads a line without its end. False at the end of the file.
    fn next_line(&mut self) -> Result<bool, BadCsv> {
        self.text.clear();
        let mut input = (&mut self.input).take(LINE_BYTES_MAX as u64 + 2);
        if input.read_until(b'\n', &mut self.text)? == 0 {
            return Ok(false);
        }
        self.line += 1;
        for end in [b'\n', b'\r'] {
            if self.text.last() == Some(&end) {
                self.text.pop();
            }
        }
        if self.text.len() > LINE_BYTES_MAX {
            let problem = format!("it has more than {LINE_BYTES_MAX} bytes");
            return Err(BadCsv::Line { line: self.line, problem });
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(text: &str) -> Result<Vec<Row>, String> {
        let reader = CsvReader::new(text.as_bytes(), Some("NSE"), Zone::UTC);
        let mut reader = reader.map_err(|bad| bad.to_string())?;
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row().map_err(|bad| bad.to_string())? {
            rows.push(row);
        }
        Ok(rows)
    }

    fn shown(text: &str) -> Vec<String> {
        let show = |row: &Row| format!("{} {} {}", row.unix_ns, row.topic, row.payload);
        import(text).unwrap().iter().map(show).collect()
    }

    #[test]
    fn the_head_line_says_what_a_column_is() {
        let text = "\u{feff}Time, Exchange ,symbol,Price\r\n\
                    1732186800000,NSE_INDEX,NIFTY,24000.50\r\n\
                    \r\n\
                    1732186800250,NSE,\"M&M\",1.0e3\r\n";
        assert_eq!(
            shown(text),
            [
                "1732186800000000000 NSE_INDEX_NIFTY_LTP {\"ltp\":24000.50,\"timestamp\":1732186800000}",
                "1732186800250000000 NSE_M&M_LTP {\"ltp\":1.0e3,\"timestamp\":1732186800250}",
            ]
        );
    }

    #[test]
    fn more_columns_make_more_of_a_tick() {
        let text = "symbol;ltp;volume;time\nTCS;3500.05;10;1732186800\nTCS;3500.10;;1732186801\n";
        assert_eq!(
            shown(text),
            [
                "1732186800000000000 NSE_TCS_QUOTE {\"ltp\":3500.05,\"timestamp\":1732186800000,\"volume\":10}",
                "1732186801000000000 NSE_TCS_QUOTE {\"ltp\":3500.10,\"timestamp\":1732186801000}",
            ]
        );
        let text = "time,symbol,ltp,bid,ask,bid_quantity\n1,TCS,10.5,10.4,10.6,7\n";
        assert_eq!(
            shown(text),
            [
                "1000000000 NSE_TCS_DEPTH {\"ltp\":10.5,\"timestamp\":1000,\"depth\":{\"buy\":[{\"price\":10.4,\"quantity\":7,\"orders\":0}],\"sell\":[{\"price\":10.6,\"quantity\":0,\"orders\":0}]}}",
            ]
        );
    }

    #[test]
    fn topics_and_payloads_are_taken_as_they_are() {
        let text = "time,topic,payload\n1,zerodha_NSE_TCS_LTP,\"{\"\"ltp\"\":1.10}\"\n";
        assert_eq!(shown(text), ["1000000000 zerodha_NSE_TCS_LTP {\"ltp\":1.10}"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let head = "time,exchange,symbol,ltp,volume\n";
        let cases = [
            String::new(),
            "time,symbol\n".into(),
            "symbol,ltp\n".into(),
            "time,symbol,ltp,price\n".into(),
            "time,ltp,symbl\n".into(),
            format!("{head}1,NSE,TCS\n"),
            format!("{head}1,NSE,TCS,cheap,1\n"),
            format!("{head}1,NSE,TCS,01.5,1\n"),
            format!("{head}1,NSE,TCS,,1\n"),
            format!("{head}1,NSE,TCS,1.5,NaN\n"),
            format!("{head}soon,NSE,TCS,1.5,1\n"),
            format!("{head}2,NSE,TCS,1.5,1\n1,NSE,TCS,1.5,1\n"),
            format!("{head}1,NSE,\"TCS,1.5,1\n"),
            format!("{head}1,NSE,T\"C\"S,1.5,1\n"),
            format!("{head}1,NSE,,1.5,1\n"),
            format!("{head}1,NSE,A B,1.5,1\n"),
            format!("{head}1,NSE,{},1.5,1\n", "T".repeat(LINE_BYTES_MAX)),
            "time,topic,payload\n1,alice_orders,{}\n".into(),
        ];
        let told = |text: &String| {
            let reason = import(text).expect_err(text);
            let text = if text.len() > 100 { "(long)".into() } else { text.replace('\n', "⏎") };
            format!("{text}\n    {reason}\n")
        };
        insta::assert_snapshot!(cases.iter().map(told).collect::<String>());
    }
}
