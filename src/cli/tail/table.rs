//! The latest prices in place, for terminals.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::io;

use console::{Alignment, Term, measure_text_width, pad_str, style, truncate_str};

use super::message::{Level, Tick};
use crate::topic::{Instrument, Mode};

/// Notices below the table.
const NOTICES_MAX: usize = 3;
/// Faster than the eye, slower than the ticks.
const REDRAW_INTERVAL_MS: u64 = 100;
/// So that the age of a tick counts on.
const REFRESH_INTERVAL_MS: u64 = 1_000;

/// A table on the terminal, drawn anew in its own place.
///
/// Dropping it brings the cursor back and leaves the table standing.
#[derive(Debug)]
pub struct Table {
    term: Term,
    content: Content,
    lines_drawn: usize,
    drawn_at_ms: Option<u64>,
    changed: bool,
}

/// What the table shows.
#[derive(Debug)]
struct Content {
    mode: Mode,
    url: String,
    rows: Vec<Row>,
    by_instrument: BTreeMap<Instrument, usize>,
    ticks: u64,
    notices: VecDeque<String>,
}

#[derive(Debug)]
struct Row {
    instrument: Instrument,
    last: Option<Tick>,
    /// The price against which the change is shown if the ticks do not tell.
    first_price: Option<f64>,
    direction: Ordering,
    ticks: u64,
    at_ms: u64,
}

impl Table {
    /// A table of `instruments`, in this order, on standard output.
    #[must_use]
    pub fn new(instruments: &[Instrument], mode: Mode, url: &str) -> Self {
        let content = Content::new(instruments, mode, url);
        let term = Term::buffered_stdout();
        Self { term, content, lines_drawn: 0, drawn_at_ms: None, changed: true }
    }

    /// Takes note of a tick; [`Table::redraw`] shows it.
    pub fn tick(&mut self, tick: Tick, now_ms: u64) {
        self.content.tick(tick, now_ms);
        self.changed = true;
    }

    /// Shows a line below the table.
    pub fn notice(&mut self, text: String) {
        self.content.notice(text);
        self.changed = true;
    }

    /// Draws the table, if it is time to.
    ///
    /// # Errors
    ///
    /// Fails if the terminal cannot be written.
    pub fn redraw(&mut self, now_ms: u64) -> io::Result<()> {
        let interval_ms = if self.changed { REDRAW_INTERVAL_MS } else { REFRESH_INTERVAL_MS };
        if self.drawn_at_ms.is_some_and(|drawn| now_ms.saturating_sub(drawn) < interval_ms) {
            return Ok(());
        }
        self.draw(now_ms)
    }

    /// Draws the table for the last time, if it was ever drawn.
    ///
    /// # Errors
    ///
    /// Fails if the terminal cannot be written.
    pub fn finish(&mut self, now_ms: u64) -> io::Result<()> {
        if self.drawn_at_ms.is_some() { self.draw(now_ms) } else { Ok(()) }
    }

    fn draw(&mut self, now_ms: u64) -> io::Result<()> {
        if self.drawn_at_ms.is_none() {
            self.term.hide_cursor()?;
        }
        let (height, width) = self.term.size();
        let lines = self.content.lines(now_ms, usize::from(width), usize::from(height));
        self.term.clear_last_lines(self.lines_drawn.min(usize::from(height).saturating_sub(1)))?;
        for line in &lines {
            self.term.write_line(line)?;
        }
        self.term.flush()?;
        self.lines_drawn = lines.len();
        self.drawn_at_ms = Some(now_ms);
        self.changed = false;
        Ok(())
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if self.drawn_at_ms.is_some() {
            let _ = self.term.show_cursor();
            let _ = self.term.flush();
        }
    }
}

impl Content {
    fn new(instruments: &[Instrument], mode: Mode, url: &str) -> Self {
        let mut content = Self {
            mode,
            url: url.to_owned(),
            rows: Vec::new(),
            by_instrument: BTreeMap::new(),
            ticks: 0,
            notices: VecDeque::new(),
        };
        for instrument in instruments {
            content.row(instrument);
        }
        content
    }

    fn row(&mut self, instrument: &Instrument) -> &mut Row {
        let next = self.rows.len();
        let at = *self.by_instrument.entry(instrument.clone()).or_insert(next);
        if at == next {
            self.rows.push(Row {
                instrument: instrument.clone(),
                last: None,
                first_price: None,
                direction: Ordering::Equal,
                ticks: 0,
                at_ms: 0,
            });
        }
        &mut self.rows[at]
    }

    fn tick(&mut self, tick: Tick, now_ms: u64) {
        self.ticks += 1;
        let row = self.row(&tick.instrument);
        let price = |tick: &Tick| tick.ltp.parse::<f64>().ok();
        let (before, now) = (row.last.as_ref().and_then(price), price(&tick));
        if let Some(order) = before.zip(now).and_then(|(before, now)| now.partial_cmp(&before)) {
            row.direction = order;
        }
        row.first_price = row.first_price.or(now);
        row.last = Some(tick);
        row.ticks += 1;
        row.at_ms = now_ms;
    }

    fn notice(&mut self, text: String) {
        if self.notices.len() == NOTICES_MAX {
            self.notices.pop_front();
        }
        self.notices.push_back(text);
    }

    /// The whole, in `height` lines of `width` columns.
    fn lines(&self, now_ms: u64, width: usize, height: usize) -> Vec<String> {
        // A heading, the count of hidden rows, the lines below and the one of the cursor.
        let room = height.saturating_sub(4 + self.notices.len()).max(1);
        let levels = self.rows.iter().map(Row::levels).sum::<usize>();
        let with_levels = self.mode == Mode::Depth && self.rows.len() + levels <= room;

        let mut table = vec![(Look::Heading, header(self.mode))];
        for row in self.rows.iter().take(room) {
            table.push((Look::Moved(row.direction), row.cells(self.mode, now_ms)));
            for level in 1..=if with_levels { row.levels() } else { 0 } {
                table.push((Look::Level, row.level_cells(level)));
            }
        }
        let widths = widths(table.iter().map(|(_, cells)| cells));
        let mut lines: Vec<_> =
            table.iter().map(|(look, cells)| look.line(cells, &widths)).collect();
        let hidden = self.rows.len().saturating_sub(room);
        if hidden > 0 {
            lines.push(style(format!("… and {hidden} more")).dim().to_string());
        }
        let ticks = if self.ticks == 1 { "tick" } else { "ticks" };
        let footer = format!("{} {ticks} from {} · Ctrl-C ends", self.ticks, self.url);
        lines.push(style(footer).dim().to_string());
        lines.extend(self.notices.iter().map(|notice| style(notice).yellow().to_string()));
        lines.into_iter().map(|line| truncate_str(&line, width, "…").into_owned()).collect()
    }
}

impl Row {
    fn cells(&self, mode: Mode, now_ms: u64) -> Vec<String> {
        let mut cells = vec![self.instrument.to_string()];
        let waiting = |cells: &mut Vec<String>| cells.resize(header(mode).len(), "-".into());
        let Some(tick) = &self.last else {
            waiting(&mut cells);
            return cells;
        };
        cells.extend([tick.ltp.clone(), self.change()]);
        if mode >= Mode::Quote {
            cells.extend([&tick.open, &tick.high, &tick.low, &tick.volume].map(String::clone));
        }
        if mode == Mode::Depth {
            cells.extend([bid(tick.bids.first()), ask(tick.asks.first())]);
        }
        cells.extend([self.ticks.to_string(), age(now_ms.saturating_sub(self.at_ms))]);
        cells
    }

    /// How many levels of the book there are beyond the best.
    fn levels(&self) -> usize {
        self.last.as_ref().map_or(0, |tick| tick.bids.len().max(tick.asks.len()).saturating_sub(1))
    }

    fn level_cells(&self, level: usize) -> Vec<String> {
        let mut cells = vec![String::new(); header(Mode::Depth).len()];
        if let Some(tick) = &self.last {
            let book = cells.len() - 4;
            cells[book] = bid(tick.bids.get(level));
            cells[book + 1] = ask(tick.asks.get(level));
        }
        cells
    }

    /// Per cent, as told by the tick, or against the previous close, or against the first price
    /// that was seen here.
    fn change(&self) -> String {
        let Some(tick) = &self.last else { return String::new() };
        let told = tick.change_percent.parse::<f64>().ok();
        let against = tick.close.parse().ok().filter(|close| *close > 0.0).or(self.first_price);
        let computed = tick
            .ltp
            .parse::<f64>()
            .ok()
            .zip(against)
            .map(|(ltp, against): (f64, f64)| (ltp / against - 1.0) * 100.0);
        told.or(computed)
            .filter(|percent| percent.is_finite())
            .map_or_else(String::new, |percent| format!("{percent:+.2}%"))
    }
}

/// How a line looks.
#[derive(Clone, Copy, Debug)]
enum Look {
    Heading,
    /// Price and change in the colour of the last move.
    Moved(Ordering),
    Level,
}

impl Look {
    fn line(self, cells: &[String], widths: &[usize]) -> String {
        let padded = cells.iter().zip(widths).enumerate().map(|(at, (cell, width))| {
            let side = if at == 0 { Alignment::Left } else { Alignment::Right };
            let cell = style(pad_str(cell, *width, side, None));
            let cell = match self {
                Self::Heading => cell.bold(),
                Self::Level => cell.dim(),
                Self::Moved(Ordering::Less) if at == 1 || at == 2 => cell.red(),
                Self::Moved(Ordering::Greater) if at == 1 || at == 2 => cell.green(),
                Self::Moved(_) => cell,
            };
            cell.to_string()
        });
        padded.collect::<Vec<_>>().join("  ")
    }
}

fn header(mode: Mode) -> Vec<String> {
    let mut header = vec!["SYMBOL", "LTP", "CHANGE"];
    if mode >= Mode::Quote {
        header.extend(["OPEN", "HIGH", "LOW", "VOLUME"]);
    }
    if mode == Mode::Depth {
        header.extend(["BID", "ASK"]);
    }
    header.extend(["TICKS", "AGE"]);
    header.into_iter().map(String::from).collect()
}

fn bid(level: Option<&Level>) -> String {
    level.map_or_else(String::new, |level| format!("{} @ {}", level.quantity, level.price))
}

fn ask(level: Option<&Level>) -> String {
    level.map_or_else(String::new, |level| format!("{} @ {}", level.price, level.quantity))
}

fn age(age_ms: u64) -> String {
    match age_ms {
        0..1_000 => "now".into(),
        1_000..120_000 => format!("{} s", age_ms / 1_000),
        _ => format!("{} min", age_ms / 60_000),
    }
}

fn widths<'a>(rows: impl Iterator<Item = &'a Vec<String>>) -> Vec<usize> {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(row.len().max(widths.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = measure_text_width(cell).max(*width);
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::super::message::{Message, parse};
    use super::*;

    fn tick(symbol: &str, ltp: &str) -> Tick {
        let frame = format!(
            r#"{{"type":"market_data","symbol":"{symbol}","exchange":"NSE","mode":3,"data":{{
               "ltp":{ltp},"open":100,"high":110.5,"low":99.95,"close":100,"volume":1234567,
               "depth":{{"buy":[{{"price":104.9,"quantity":300}},{{"price":104.85,"quantity":5}}],
                         "sell":[{{"price":105.1,"quantity":20}}]}}}}}}"#
        );
        match parse(&frame) {
            Some(Message::Tick(tick)) => *tick,
            other => panic!("{other:?}"),
        }
    }

    fn content(mode: Mode, symbols: &[&str]) -> Content {
        console::set_colors_enabled(false);
        let instruments: Vec<_> = symbols.iter().map(|s| Instrument::new("NSE", *s)).collect();
        Content::new(&instruments, mode, "ws://127.0.0.1:8765/")
    }

    fn shown(content: &Content, width: usize, height: usize) -> String {
        content.lines(5_500, width, height).join("\n")
    }

    #[test]
    fn a_quote_table_shows_the_day_and_waits_for_what_is_missing() {
        let mut content = content(Mode::Quote, &["RELIANCE", "TCS:20"]);
        content.tick(tick("RELIANCE", "105.00"), 1_000);
        content.tick(tick("RELIANCE", "105.05"), 2_000);
        insta::assert_snapshot!(shown(&content, 100, 24));
    }

    #[test]
    fn a_depth_table_shows_the_book_where_there_is_room() {
        let mut content = content(Mode::Depth, &["RELIANCE"]);
        content.tick(tick("RELIANCE", "105"), 5_000);
        insta::assert_snapshot!(shown(&content, 120, 24));
        content.notice("the gateway closed the connection".into());
        insta::assert_snapshot!(shown(&content, 60, 6));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let content = content(Mode::Ltp, &["A", "B", "C", "D"]);
        insta::assert_snapshot!(shown(&content, 30, 6));
        assert_eq!(content.lines(0, 30, 1).len(), 4, "one row at least");
    }

    #[test]
    fn the_last_notices_are_kept() {
        let mut content = content(Mode::Ltp, &["A"]);
        for number in 0..5 {
            content.notice(format!("notice {number}"));
        }
        let shown = shown(&content, 40, 24);
        assert!(!shown.contains("notice 1") && shown.ends_with("notice 2\nnotice 3\nnotice 4"));
    }

    #[test]
    fn the_direction_is_that_of_the_last_move() {
        let mut content = content(Mode::Ltp, &["A"]);
        for (ltp, direction) in [
            ("10", Ordering::Equal),
            ("11", Ordering::Greater),
            ("10.5", Ordering::Less),
            ("10.5", Ordering::Equal),
        ] {
            content.tick(tick("A", ltp), 0);
            assert_eq!(content.rows[0].direction, direction, "{ltp}");
        }
    }
}
