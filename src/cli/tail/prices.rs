//! The latest price of each instrument, and how it is laid out.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

use console::{Alignment, measure_text_width, pad_str, style, truncate_str};

use super::message::{Level, Tick};
use crate::topic::{Instrument, Mode};

/// Notices below the table.
const NOTICES_MAX: usize = 3;
const GAP: &str = "  ";
/// What is left out where the terminal is too narrow, in this order.
const LEFT_OUT: [Column; 6] =
    [Column::Open, Column::Low, Column::High, Column::Volume, Column::Ticks, Column::Change];

/// The rows of a table, and what stands below it.
#[derive(Debug)]
pub(super) struct Prices {
    mode: Mode,
    url: String,
    rows: Vec<Row>,
    by_instrument: BTreeMap<Instrument, usize>,
    ticks: u64,
    /// Values that the gateway has left out.
    skipped: u64,
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

/// A column, with its heading as its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Symbol,
    Ltp,
    Change,
    Open,
    High,
    Low,
    Volume,
    Bid,
    Ask,
    Ticks,
    Age,
}

/// What a line of the table shows.
#[derive(Clone, Copy, Debug)]
enum Line<'a> {
    Heading,
    Prices(&'a Row),
    /// A level of the book beyond the best.
    Level(&'a Row, usize),
}

impl Prices {
    pub(super) fn new(instruments: &[Instrument], mode: Mode, url: &str) -> Self {
        let mut content = Self {
            mode,
            url: url.to_owned(),
            rows: Vec::new(),
            by_instrument: BTreeMap::new(),
            ticks: 0,
            skipped: 0,
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

    pub(super) fn tick(&mut self, tick: Tick, now_ms: u64) {
        self.ticks += 1;
        self.skipped = self.skipped.saturating_add(tick.skipped);
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

    pub(super) fn notice(&mut self, text: String) {
        if self.notices.len() == NOTICES_MAX {
            self.notices.pop_front();
        }
        self.notices.push_back(text);
    }

    /// The whole, in at most `height` lines of `width` columns where there is room for one row.
    pub(super) fn lines(&self, now_ms: u64, width: usize, height: usize) -> Vec<String> {
        // A heading, the count of hidden rows, the lines below and the one of the cursor.
        let room = height.saturating_sub(4 + self.notices.len()).max(1);
        let table = self.table(room);
        let cell = |column: Column, line: &Line<'_>| column.cell(line, now_ms);
        let mut columns: Vec<(Column, usize)> = Column::of(self.mode)
            .into_iter()
            .map(|column| {
                let widths = table.iter().map(|line| measure_text_width(&cell(column, line)));
                (column, widths.max().unwrap_or(0))
            })
            .collect();
        let total = |columns: &[(Column, usize)]| {
            columns.iter().map(|(_, width)| width + GAP.len()).sum::<usize>() - GAP.len()
        };
        for left_out in LEFT_OUT {
            if total(&columns) > width {
                columns.retain(|(column, _)| *column != left_out);
            }
        }
        let mut lines: Vec<String> = table
            .iter()
            .map(|line| {
                let cells = columns
                    .iter()
                    .map(|(column, width)| column.styled(line, &cell(*column, line), *width));
                cells.collect::<Vec<_>>().join(GAP)
            })
            .collect();
        lines.extend(self.below(self.rows.len().saturating_sub(room)));
        lines.into_iter().map(|line| truncate_str(&line, width, "…").into_owned()).collect()
    }

    /// As many rows as there is room for, with their books if all of those fit too.
    fn table(&self, room: usize) -> Vec<Line<'_>> {
        let levels = self.rows.iter().map(Row::levels).sum::<usize>();
        let with_levels = self.mode == Mode::Depth && self.rows.len() + levels <= room;
        let mut table = vec![Line::Heading];
        for row in self.rows.iter().take(room) {
            table.push(Line::Prices(row));
            let levels = if with_levels { row.levels() } else { 0 };
            table.extend((1..=levels).map(|level| Line::Level(row, level)));
        }
        table
    }

    fn below(&self, hidden: usize) -> Vec<String> {
        let mut lines = Vec::new();
        if hidden > 0 {
            lines.push(style(format!("… and {hidden} more")).dim().to_string());
        }
        let ticks = if self.ticks == 1 { "tick" } else { "ticks" };
        let skipped = match self.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} left out"),
        };
        let footer = format!("{} {ticks}{skipped} from {} · Ctrl-C ends", self.ticks, self.url);
        lines.push(style(footer).dim().to_string());
        lines.extend(self.notices.iter().map(|notice| style(notice).yellow().to_string()));
        lines
    }
}

impl Row {
    /// How many levels of the book there are beyond the best.
    fn levels(&self) -> usize {
        self.last.as_ref().map_or(0, |tick| tick.bids.len().max(tick.asks.len()).saturating_sub(1))
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

impl Column {
    fn of(mode: Mode) -> Vec<Self> {
        let mut columns = vec![Self::Symbol, Self::Ltp, Self::Change];
        if mode >= Mode::Quote {
            columns.extend([Self::Open, Self::High, Self::Low, Self::Volume]);
        }
        if mode == Mode::Depth {
            columns.extend([Self::Bid, Self::Ask]);
        }
        columns.extend([Self::Ticks, Self::Age]);
        columns
    }

    fn cell(self, line: &Line<'_>, now_ms: u64) -> String {
        match line {
            Line::Heading => format!("{self:?}").to_uppercase(),
            Line::Prices(row) => match &row.last {
                Some(tick) => self.price(row, tick, now_ms),
                None if self == Self::Symbol => row.instrument.to_string(),
                None => "-".into(),
            },
            Line::Level(row, level) => {
                let tick = row.last.as_ref();
                match self {
                    Self::Bid => bid(tick.and_then(|tick| tick.bids.get(*level))),
                    Self::Ask => ask(tick.and_then(|tick| tick.asks.get(*level))),
                    Self::Symbol
                    | Self::Ltp
                    | Self::Change
                    | Self::Open
                    | Self::High
                    | Self::Low
                    | Self::Volume
                    | Self::Ticks
                    | Self::Age => String::new(),
                }
            }
        }
    }

    fn price(self, row: &Row, tick: &Tick, now_ms: u64) -> String {
        match self {
            Self::Symbol => row.instrument.to_string(),
            Self::Ltp => tick.ltp.clone(),
            Self::Change => row.change(),
            Self::Open => tick.open.clone(),
            Self::High => tick.high.clone(),
            Self::Low => tick.low.clone(),
            Self::Volume => tick.volume.clone(),
            Self::Bid => bid(tick.bids.first()),
            Self::Ask => ask(tick.asks.first()),
            Self::Ticks => row.ticks.to_string(),
            Self::Age => age(now_ms.saturating_sub(row.at_ms)),
        }
    }

    /// Names to the left, numbers to the right, what moved in the colour of the move.
    fn styled(self, line: &Line<'_>, cell: &str, width: usize) -> String {
        let side = if self == Self::Symbol { Alignment::Left } else { Alignment::Right };
        let padded = pad_str(cell, width, side, None);
        if cell.is_empty() {
            return padded.into_owned();
        }
        let moves = matches!(self, Self::Ltp | Self::Change);
        let styled = match line {
            Line::Heading => style(padded).bold(),
            Line::Level(..) => style(padded).dim(),
            Line::Prices(row) => match row.direction {
                Ordering::Less if moves => style(padded).red(),
                Ordering::Greater if moves => style(padded).green(),
                Ordering::Less | Ordering::Equal | Ordering::Greater => style(padded),
            },
        };
        styled.to_string()
    }
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

    fn content(mode: Mode, symbols: &[&str]) -> Prices {
        console::set_colors_enabled(false);
        let instruments: Vec<_> = symbols.iter().map(|s| Instrument::new("NSE", *s)).collect();
        Prices::new(&instruments, mode, "ws://127.0.0.1:8765/")
    }

    fn shown(content: &Prices, width: usize, height: usize) -> String {
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
        insta::assert_snapshot!(shown(&content, 80, 6));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let content = content(Mode::Ltp, &["A", "B", "C", "D"]);
        insta::assert_snapshot!(shown(&content, 30, 6));
        assert_eq!(content.lines(0, 30, 1).len(), 4, "one row at least");
    }

    #[test]
    fn what_the_gateway_leaves_out_is_counted() {
        let mut content = content(Mode::Ltp, &["A"]);
        for skipped in [0, 3, 4] {
            content.tick(Tick { skipped, ..tick("A", "1") }, 0);
        }
        let shown = shown(&content, 80, 24);
        assert!(shown.contains("3 ticks, 7 left out from ws://"), "{shown}");
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
